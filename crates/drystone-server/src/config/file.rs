//! The configuration file: YAML with etcd's keys.
//!
//! A key is its flag's name, but for the blocks of [`BLOCKS`]. A null leaves the default, keys
//! are found whatever their case, and of a key that comes twice the last counts. Durations are
//! whole nanoseconds. An unknown key is ignored, as in etcd, but not without a word.

use super::flags::{Fate, Flag, OLD_NAMES, find};
use super::kind::Kind;
use super::note::Note;
use super::usage::UsageError;
use super::values::{Given, Source, Values};
use super::words::refuse_two_names;
use super::yaml::{self, Node};
use std::fs::File;
use std::io::Read;

/// Bytes a configuration file may have. etcd's with every key and comment has a hundredth.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Keys of a block, and the flag behind each.
type Keys = &'static [(&'static str, &'static str)];

/// The blocks of the file: their path, the name of etcd's type for the texts of errors, and the
/// flags behind their keys.
const BLOCKS: &[(&str, &str, Keys)] = &[
    (
        "client-transport-security",
        "embed.securityConfig",
        &[
            ("cert-file", "cert-file"),
            ("key-file", "key-file"),
            ("client-cert-file", "client-cert-file"),
            ("client-key-file", "client-key-file"),
            ("client-cert-auth", "client-cert-auth"),
            ("trusted-ca-file", "trusted-ca-file"),
            ("allowed-hostname", "client-cert-allowed-hostname"),
            ("auto-tls", "auto-tls"),
        ],
    ),
    (
        "peer-transport-security",
        "embed.securityConfig",
        &[
            ("cert-file", "peer-cert-file"),
            ("key-file", "peer-key-file"),
            ("client-cert-file", "peer-client-cert-file"),
            ("client-key-file", "peer-client-key-file"),
            ("client-cert-auth", "peer-client-cert-auth"),
            ("trusted-ca-file", "peer-trusted-ca-file"),
            ("allowed-cn", "peer-cert-allowed-cn"),
            ("allowed-hostname", "peer-cert-allowed-hostname"),
            ("auto-tls", "peer-auto-tls"),
            ("skip-client-san-verification", "peer-skip-client-san-verification"),
        ],
    ),
    (
        "socket-options",
        "transport.SocketOpts",
        &[("reuse-port", "socket-reuse-port"), ("reuse-address", "socket-reuse-address")],
    ),
    ("discovery-config", "v3discovery.DiscoveryConfig", &[("token", "discovery-token")]),
    (
        "discovery-config.client",
        "clientv3.ConfigSpec",
        &[
            ("endpoints", "discovery-endpoints"),
            ("request-timeout", "discovery-request-timeout"),
            ("dial-timeout", "discovery-dial-timeout"),
            ("keepalive-time", "discovery-keepalive-time"),
            ("keepalive-timeout", "discovery-keepalive-timeout"),
        ],
    ),
    (
        "discovery-config.client.secure",
        "clientv3.SecureConfig",
        &[
            ("cert", "discovery-cert"),
            ("key", "discovery-key"),
            ("cacert", "discovery-cacert"),
            ("insecure-transport", "discovery-insecure-transport"),
            ("insecure-skip-tls-verify", "discovery-insecure-skip-tls-verify"),
        ],
    ),
    (
        "discovery-config.client.auth",
        "clientv3.AuthConfig",
        &[("username", "discovery-user"), ("password", "discovery-password")],
    ),
];

/// etcd's type of the whole file.
const ROOT: &str = "embed.configYAML";

/// Flags that a file cannot set although they are used, as in etcd.
const NOT_IN_A_FILE: &[&str] = &[
    "config-file",
    "raft-read-timeout",
    "raft-write-timeout",
    "client-crl-file",
    "peer-crl-file",
    "discovery-fallback",
];

/// Flags whose value in the file is a list of texts.
const LISTS: &[&str] = &[
    "log-outputs",
    "cipher-suites",
    "client-cert-allowed-hostname",
    "peer-cert-allowed-cn",
    "peer-cert-allowed-hostname",
    "discovery-endpoints",
];

/// A key of etcd 3.5's file that is not the name of its flag.
const SNAPSHOT_CATCH_UP: (&str, &str) =
    ("experimental-snapshot-catch-up-entries", "snapshot-catchup-entries");

/// Where a flag stands in the file, as `block.key`; `None` if a file cannot set it.
pub(super) fn key_of(flag: &Flag) -> Option<String> {
    for (block, _, keys) in BLOCKS {
        if let Some((key, _)) = keys.iter().find(|(_, name)| *name == flag.name) {
            return Some(format!("{block}.{key}"));
        }
    }
    let is_root = is_root_key(flag);
    is_root.then(|| flag.name.to_owned())
}

/// Whether the flag's name is a key of the file: not for those in blocks, and not for those that
/// etcd has dropped, which its sample file still holds.
fn is_root_key(flag: &Flag) -> bool {
    let in_a_block =
        || BLOCKS.iter().any(|(_, _, keys)| keys.iter().any(|(_, name)| *name == flag.name));
    let dropped = super::flags::is_retired(flag) && !matches!(flag.fate, Fate::Used);
    !dropped && !NOT_IN_A_FILE.contains(&flag.name) && !in_a_block()
}

/// Reads a configuration file.
///
/// # Errors
/// Why it cannot be read or used, in etcd's words.
pub(super) fn read(path: &str, notes: &mut Vec<Note>) -> Result<Values, UsageError> {
    let text = load(path).map_err(UsageError::config)?;
    let root = yaml::read(&text).map_err(|reason| {
        UsageError::config(format!("error converting YAML to JSON: yaml: {reason}"))
            .with_hint(format!("the configuration file is {path}"))
    })?;
    let mut values = Values::default();
    take_block("", root, &mut values, notes)?;
    Ok(values)
}

fn load(path: &str) -> Result<String, String> {
    let told = |verb: &str, error: &std::io::Error| format!("{verb} {path}: {}", go_text(error));
    let file = File::open(path).map_err(|error| told("open", &error))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| told("read", &error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("{path} has more than {FILE_BYTES_MAX} bytes; is it the right file?"));
    }
    String::from_utf8(bytes)
        .map_err(|_| "error converting YAML to JSON: yaml: invalid UTF-8".to_owned())
}

/// The system's text for an error, as Go writes it: in small letters, without the number.
fn go_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().collect::<String>() + letters.as_str()
    })
}

fn take_block(
    path: &str,
    node: Node,
    values: &mut Values,
    notes: &mut Vec<Note>,
) -> Result<(), UsageError> {
    let items = match node {
        Node::Null => return Ok(()),
        Node::Map(items) => items,
        other => return Err(mismatch(path, &other, type_of_block(path))),
    };
    for (key, node) in items {
        let key = key.to_lowercase();
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if BLOCKS.iter().any(|(block, _, _)| *block == path) {
            take_block(&path, node, values, notes)?;
        } else if let Some(flag) = flag_at(&path) {
            take_value(&path, flag, node, values)?;
        } else if node != Node::Null {
            let told = "the configuration file has a key that is not known here and is ignored";
            notes.push(Note::warn(told).with("key", path));
        }
    }
    Ok(())
}

fn flag_at(path: &str) -> Option<&'static Flag> {
    if let Some((block, key)) = path.rsplit_once('.') {
        let (_, _, keys) = BLOCKS.iter().find(|(name, _, _)| *name == block)?;
        return keys.iter().find(|(name, _)| *name == key).and_then(|(_, name)| find(name));
    }
    if path == SNAPSHOT_CATCH_UP.0 {
        return find(SNAPSHOT_CATCH_UP.1);
    }
    let flag = find(path)?;
    // The peers' old key lies at the root although its flag is in a block.
    let is_old_name = OLD_NAMES.iter().any(|(old, _)| *old == path);
    (is_root_key(flag) || is_old_name).then_some(flag)
}

fn take_value(
    path: &str,
    flag: &'static Flag,
    node: Node,
    values: &mut Values,
) -> Result<(), UsageError> {
    let Some(text) = text_of(path, flag, node)? else { return Ok(()) };
    let is_words = matches!(flag.kind, Kind::OneOf(_) | Kind::SomeOf(_));
    if is_words && text.is_empty() {
        return Ok(());
    }
    match flag.kind {
        Kind::Urls if !text.is_empty() => {
            super::parse_urls(&text).map_err(|reason| {
                UsageError::plain(format!("unexpected error setting up {path}: {reason}"))
            })?;
        }
        Kind::OneOf(_) if flag.name == "initial-cluster-state" => {
            flag.kind.check(&text).map_err(|_| {
                UsageError::config(format!("unexpected clusterState {text:?}"))
                    .with_hint(format!("{path} takes {}", flag.kind.expects()))
            })?;
        }
        _ => flag.kind.check(&text).map_err(|reason| {
            UsageError::config(format!("invalid value {text:?} for {path}: {reason}"))
                .with_hint(format!("{path} takes {}", flag.kind.expects()))
        })?,
    }
    let given = Given { text, source: Source::File, spelled: path.to_owned() };
    match values.set(flag, given) {
        Some(before) if before.spelled != path => {
            refuse_two_names(flag, &format!("--{}", before.spelled), &format!("--{path}"))
        }
        _ => Ok(()),
    }
}

/// The value as it would stand behind the flag; `None` for null.
fn text_of(path: &str, flag: &Flag, node: Node) -> Result<Option<String>, UsageError> {
    let told = |node: &Node, kind: &'static str| Err(mismatch(path, node, kind));
    if LISTS.contains(&flag.name) {
        return match node {
            Node::Null => Ok(None),
            Node::List(items) => texts(path, items).map(|texts| Some(texts.join(","))),
            other => told(&other, "[]string"),
        };
    }
    match (flag.kind, node) {
        (_, Node::Null) => Ok(None),
        (Kind::Bool, Node::Bool(value)) => Ok(Some(value.to_string())),
        (Kind::Bool, other) => told(&other, "bool"),
        (Kind::Uint, Node::Number(number)) if number.parse::<u64>().is_ok() => Ok(Some(number)),
        (Kind::Uint, other) if flag.name == "snapshot-count" => told(&other, "uint64"),
        (Kind::Uint, other) => told(&other, "uint"),
        (Kind::Uint32, Node::Number(number)) if number.parse::<u32>().is_ok() => Ok(Some(number)),
        (Kind::Uint32, other) => told(&other, "uint32"),
        (Kind::Int, Node::Number(number)) if number.parse::<i64>().is_ok() => Ok(Some(number)),
        (Kind::Int, other) if flag.name == "quota-backend-bytes" => told(&other, "int64"),
        (Kind::Int, other) => told(&other, "int"),
        (Kind::Duration, Node::Number(number)) if number.parse::<i64>().is_ok() => {
            Ok(Some(format!("{number}ns")))
        }
        (Kind::Duration, other) => told(&other, "time.Duration").map_err(|error: UsageError| {
            error.with_hint(format!("{path} takes whole nanoseconds: 600000000000 for 10m"))
        }),
        (_, Node::Text(text)) => Ok(Some(text)),
        (_, other) => told(&other, "string").map_err(|error: UsageError| {
            error.with_hint(format!("{path} takes text; put it into quotes"))
        }),
    }
}

fn texts(path: &str, items: Vec<Node>) -> Result<Vec<String>, UsageError> {
    let text = |item| match item {
        Node::Text(text) => Ok(text),
        other => Err(mismatch(path, &other, "string")),
    };
    items.into_iter().map(text).collect()
}

fn type_of_block(path: &str) -> &'static str {
    BLOCKS.iter().find(|(block, _, _)| *block == path).map_or(ROOT, |(_, name, _)| name)
}

/// etcd's text for a value of the wrong type.
fn mismatch(path: &str, node: &Node, wanted: &str) -> UsageError {
    let is_number =
        wanted.starts_with("uint") || wanted.starts_with("int") || wanted.ends_with("Duration");
    let found = match node {
        Node::Null => "null".to_owned(),
        Node::Bool(_) => "bool".to_owned(),
        Node::Number(number) if is_number => format!("number {number}"),
        Node::Number(_) => "number".to_owned(),
        Node::Text(_) => "string".to_owned(),
        Node::List(_) => "array".to_owned(),
        Node::Map(_) => "object".to_owned(),
    };
    let place = if path.is_empty() {
        "value".to_owned()
    } else {
        let block = path.rsplit_once('.').map_or("", |(block, _)| block);
        let name = type_of_block(block).rsplit('.').next().unwrap_or_default();
        format!("struct field {name}.{path}")
    };
    UsageError::config(format!(
        "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go \
         {place} of type {wanted}"
    ))
}

#[cfg(test)]
mod tests;
