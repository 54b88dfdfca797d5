//! Values that are refused, by their kind and by their meaning, in which words and with which
//! exit code.

use super::table::{Key, Kind, ROWS, Row};
use super::{WAYS, Way, command, file, give, row, variable, with_companions};
use std::process::Command;

/// A value that its kind refuses, as it is given, and the words, as etcd says them in each way,
/// and the exit code.
pub(super) fn by_kind(row: &Row, way: Way) -> Option<(&'static str, String, i32)> {
    let name = row.name;
    let reason = match row.kind {
        Kind::Text | Kind::List => None,
        Kind::Bool | Kind::Number(_) | Kind::Duration => Some("parse error"),
        Kind::Urls | Kind::Origins => Some("URL scheme must be http, https, unix, or unixs: x"),
        Kind::Words(reason) => Some(reason),
        Kind::Gates => Some("missing bool value for x"),
    };
    match way {
        Way::Flag if row.kind == Kind::Bool => {
            Some(("x", format!("invalid boolean value \"x\" for -{name}: parse error"), 2))
        }
        Way::Flag => Some(("x", format!("invalid value \"x\" for flag -{name}: {}", reason?), 2)),
        Way::Variable => {
            Some(("x", format!("invalid value \"x\" for {}: {}", variable(name), reason?), 1))
        }
        Way::File => in_a_file(row),
    }
}

/// The same of a file, where the value is the YAML behind the key.
fn in_a_file(row: &Row) -> Option<(&'static str, String, i32)> {
    let (place, path) = match row.key {
        Key::None => return None,
        Key::Own => ("configYAML", row.name),
        Key::At(path, block) => (block, path),
    };
    let (value, found, wanted) = match row.kind {
        Kind::Bool => ("x", "string", "bool"),
        Kind::Number(wanted) => ("x", "string", wanted),
        Kind::Duration => ("7s", "string", "time.Duration"),
        Kind::List => ("x", "string", "[]string"),
        Kind::Urls => {
            let reason = "URL scheme must be http, https, unix, or unixs: x";
            let told = format!("unexpected error setting up {}: {reason}", row.name);
            return Some(("x", told, 1));
        }
        Kind::Text | Kind::Origins | Kind::Words(_) | Kind::Gates => ("7", "number", "string"),
    };
    let told = format!(
        "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go \
         struct field {place}.{path} of type {wanted}"
    );
    Some((value, told, 1))
}

/// Starts a server that must not start, and holds its words and exit code.
fn refused(mut server: Command, words: &str, code: i32, what: &str) {
    let output = server.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{what}: {stderr}");
    if code == 2 {
        assert_eq!(stderr.lines().next(), Some(words), "{what}");
        assert!(stderr.contains("Usage:\n"), "{what}: {stderr}");
    } else if words.starts_with("unexpected error setting up") {
        assert_eq!(stderr.lines().next_back(), Some(words), "{what}");
    } else {
        // A line of the log, where quotes are escaped.
        let line = stderr.lines().find(|line| line.contains("failed to verify flags"));
        let line = line.unwrap_or_else(|| panic!("{what}: {stderr}"));
        let error = format!("\"error\":\"{}\"", words.replace('"', "\\\""));
        assert!(line.contains(&error), "{what}: {error}: {line}");
    }
}

#[test]
fn values_of_no_sense_are_refused_in_etcds_words_in_every_way() {
    let folder = tempfile::tempdir().unwrap();
    for row in ROWS {
        for way in WAYS {
            let Some((value, words, code)) = by_kind(row, way) else { continue };
            let mut server = Command::new(env!("CARGO_BIN_EXE_drystone"));
            let text = file(&[(row, value.to_owned())]);
            give(&mut server, folder.path(), way, &[(row, value)], &text);
            refused(server, &words, code, &format!("{} by {way:?}", row.name));
        }
    }
}

#[test]
fn values_that_mean_no_good_are_refused_in_etcds_words_in_every_way() {
    let folder = tempfile::tempdir().unwrap();
    for row in ROWS {
        let Some((value, words)) = row.bad else { continue };
        for way in WAYS {
            let settings = with_companions(row, value);
            let server = command(folder.path(), &[], way, &settings);
            refused(server, words, 1, &format!("{}={value} by {way:?}", row.name));
        }
    }
}

/// Settings that do not go together, or whose meaning the table's one bad value does not show;
/// where they are refused, and the words.
type Refusal = (&'static [Way], &'static [(&'static str, &'static str)], &'static str);

const ON_THE_LINE: &[Way] = &[Way::Flag, Way::Variable];
const TOKEN_XOR: &str = "both --discovery-token and --discovery-endpoints must be set";
const SEVERAL: &str = "multiple discovery or bootstrap flags are set. Choose one of \
                       \"initial-cluster\", \"discovery-endpoints\" or \"discovery-srv\"";
const ONE_FILE: &str =
    "--log-outputs requires a single file path when --log-rotate-config-json is defined";
const NO_CERTIFICATE: &str = "TLS key/cert (--cert-file, --key-file) must be provided for client \
                              url https://127.0.0.1:7 with HTTPS scheme";

const REFUSALS: &[Refusal] = &[
    (&WAYS, &[("discovery-token", "a")], TOKEN_XOR),
    (&WAYS, &[("discovery-endpoints", "http://a:7")], TOKEN_XOR),
    (
        &WAYS,
        &[("discovery-srv", "a.b"), ("initial-cluster", "default=http://localhost:2380")],
        SEVERAL,
    ),
    (
        &WAYS,
        &[
            ("discovery-srv", "a.b"),
            ("discovery-endpoints", "http://a:7"),
            ("discovery-token", "a"),
        ],
        SEVERAL,
    ),
    (
        ON_THE_LINE,
        &[("discovery-fallback", "proxy")],
        "v2 proxy is deprecated, and --discovery-fallback can't be configured as \"proxy\"",
    ),
    (&WAYS, &[("election-timeout", "0")], "--election-timeout must be >0 (set to 0ms)"),
    (
        &WAYS,
        &[("election-timeout", "50001")],
        "--election-timeout[50001ms] is too long, and should be set less than 50000ms",
    ),
    (
        &WAYS,
        &[("election-timeout", "100"), ("heartbeat-interval", "100")],
        "--election-timeout[100ms] should be at least as 5 times as --heartbeat-interval[100ms]",
    ),
    (
        ON_THE_LINE,
        &[("listen-client-urls", "http://127.0.0.1:7")],
        "--advertise-client-urls is required when --listen-client-urls is set explicitly",
    ),
    (&[Way::File], &[("initial-cluster-state", "x")], "unexpected clusterState \"x\""),
    (&[Way::Flag, Way::File], &[("auto-compaction-mode", "")], "undefined auto-compaction-mode"),
    (
        &WAYS,
        &[("tls-min-version", "TLS1.3"), ("tls-max-version", "TLS1.2")],
        "min version (TLS1.3) is greater than max version (TLS1.2)",
    ),
    (
        &WAYS,
        &[
            ("tls-min-version", "TLS1.3"),
            ("cipher-suites", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ],
        "cipher suites cannot be configured when only TLS1.3 is enabled",
    ),
    (
        &WAYS,
        &[
            ("listen-client-urls", "https://127.0.0.1:7"),
            ("advertise-client-urls", "https://127.0.0.1:7"),
        ],
        NO_CERTIFICATE,
    ),
    (
        &WAYS,
        &[("listen-metrics-urls", "https://127.0.0.1:7")],
        "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url",
    ),
    (
        &WAYS,
        &[
            ("listen-client-urls", "http://127.0.0.1:7"),
            ("listen-client-http-urls", "http://127.0.0.1:7"),
            ("advertise-client-urls", "http://127.0.0.1:7"),
        ],
        "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url \
         http://127.0.0.1:7",
    ),
    (&WAYS, &[("auth-token", "jwt,sign-method=x")], "auth: invalid auth signature method"),
    (&WAYS, &[("logger", "capnslog")], "--logger=capnslog is removed in v3.5"),
    (&WAYS, &[("enable-log-rotation", "true")], ONE_FILE),
    (
        &WAYS,
        &[
            ("enable-log-rotation", "true"),
            ("log-outputs", "log"),
            ("log-rotation-config-json", "[]"),
        ],
        "invalid log rotation config: json: cannot unmarshal array into Go value of type \
         embed.logRotationConfig",
    ),
    (
        &WAYS,
        &[
            ("enable-log-rotation", "true"),
            ("log-outputs", "log"),
            ("log-rotation-config-json", "{"),
        ],
        "improperly formatted log rotation config: unexpected end of JSON input",
    ),
    (
        &WAYS,
        &[("enable-distributed-tracing", "true"), ("distributed-tracing-sampling-rate", "-1")],
        "distributed tracing configurition is not valid: (tracing sampling rate must be positive)",
    ),
    (
        &WAYS,
        &[("enable-distributed-tracing", "true"), ("distributed-tracing-sampling-rate", "1000001")],
        "distributed tracing configurition is not valid: (tracing sampling rate must be less than \
         1000000)",
    ),
    (
        &[Way::File],
        &[("feature-gates", "a=true")],
        "invalid value \"a=true\" for feature-gates: \
      unrecognized feature gate: a",
    ),
    (
        &WAYS,
        &[
            ("feature-gates", "CompactHashCheck=true"),
            ("experimental-compact-hash-check-enabled", "true"),
        ],
        "cannot specify both flags: --experimental-compact-hash-check-enabled=true and \
         --feature-gates=CompactHashCheck=true at the same time, please just use \
         --feature-gates=CompactHashCheck=true",
    ),
];

#[test]
fn settings_that_do_not_go_together_are_refused_in_etcds_words() {
    let folder = tempfile::tempdir().unwrap();
    for (ways, settings, words) in REFUSALS {
        for way in *ways {
            let rows: Vec<_> = settings.iter().map(|(name, value)| (row(name), *value)).collect();
            let server = command(folder.path(), &[], *way, &rows);
            refused(server, words, 1, &format!("{settings:?} by {way:?}"));
        }
    }
}

/// Rules of the words themselves, whatever the flag.
#[test]
fn the_command_line_is_read_as_gos_flags_are() {
    let refusal = |words: &[&str]| {
        let output = crate::drystone(words);
        (String::from_utf8(output.stderr).unwrap(), output.status.code())
    };
    for (words, told, code) in [
        (&["-x"][..], "flag provided but not defined: -x", 2),
        (&["--name"], "flag needs an argument: -name", 2),
        (&["--pre-vote", "false"], "\\\"false\\\" is not a valid flag", 1),
        (&["--=a"], "bad flag syntax: --=a", 2),
        (&["-max-txn-ops", "0x1g"], "invalid value \"0x1g\" for flag -max-txn-ops: parse error", 2),
        (
            &["--max-concurrent-streams=4294967296"],
            "invalid value \"4294967296\" for flag -max-concurrent-streams: value out of range",
            2,
        ),
    ] {
        let (stderr, found) = refusal(words);
        assert!(stderr.contains(told), "{words:?}: {stderr}");
        assert_eq!(found, Some(code), "{words:?}: {stderr}");
    }
    let mut shadowed = Command::new(env!("CARGO_BIN_EXE_drystone"));
    let shadowed = shadowed.arg("--name=a").env_clear().env("ETCD_NAME", "a").output().unwrap();
    let stderr = String::from_utf8(shadowed.stderr).unwrap();
    assert_eq!(shadowed.status.code(), Some(1), "{stderr}");
    let told = "conflicting environment variable is shadowed by corresponding command-line flag \
                (either unset environment variable or disable flag))";
    assert!(stderr.contains(told) && stderr.contains("ETCD_NAME"), "{stderr}");
}
