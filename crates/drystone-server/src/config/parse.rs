//! From words and variables to a checked [`Config`].

use super::flags::{FLAGS, Fate, Flag, Kind, find, variable};
use super::gates::{COMPACT_HASH_CHECK, Gates, INITIAL_CORRUPT_CHECK};
use super::{AutoCompaction, ClusterState, Config, LogFormat, parse_urls, urls};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use drystone_auth::{COST_MAX, COST_MIN, TokenSpec};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Work for the hash of a password, as in etcd.
const BCRYPT_COST_DEFAULT: u32 = 10;
/// Default quota: two GiB.
const QUOTA_BYTES_DEFAULT: i64 = 2 * 1024 * 1024 * 1024;
/// The longest election timeout, as in etcd.
const ELECTION_TIMEOUT_MS_MAX: u64 = 50_000;
/// The shortest interval of progress notices, as in etcd.
const PROGRESS_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// What a command line asks for.
#[derive(Debug)]
pub enum Parsed {
    /// Run a server.
    Run {
        /// How.
        config: Box<Config>,
        /// What the operator should know, to be logged once logging is up.
        warnings: Vec<String>,
    },
    /// Print this text to stdout and end well.
    Print(String),
}

/// A command line or a variable that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError {
    /// What to print on stderr.
    pub message: String,
    /// The exit code: 2 for a flag that cannot be read, 1 for a configuration that makes no
    /// sense, as etcd.
    pub code: u8,
}

impl UsageError {
    fn flag(message: String) -> Self {
        Self { message, code: 2 }
    }

    fn config(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }
}

/// The values in force: flag name to text, and whether the default was replaced.
struct Values {
    set: BTreeMap<&'static str, String>,
}

impl Values {
    fn text(&self, name: &'static str) -> &str {
        self.set
            .get(name)
            .map_or_else(|| find(name).map_or("", |flag| flag.default), String::as_str)
    }

    fn is_set(&self, name: &'static str) -> bool {
        self.set.contains_key(name)
    }

    fn uint(&self, name: &'static str) -> u64 {
        parse_uint(self.text(name)).unwrap_or_default()
    }

    fn size(&self, name: &'static str) -> usize {
        usize::try_from(self.uint(name)).unwrap_or(usize::MAX)
    }

    fn int(&self, name: &'static str) -> i64 {
        parse_int(self.text(name)).unwrap_or_default()
    }

    fn duration(&self, name: &'static str) -> Duration {
        parse_duration(self.text(name)).unwrap_or_default()
    }

    fn urls(&self, name: &'static str) -> Vec<String> {
        parse_urls(self.text(name)).unwrap_or_default()
    }
}

/// Reads a command line (without the program's name) and the environment.
///
/// Flags are etcd's: `-f v`, `--f v`, `-f=v` and `--f=v` are the same, a boolean never takes
/// a separate word. A variable `ETCD_A_B` stands for the flag `--a-b`; giving both is an error.
///
/// # Errors
/// [`UsageError`] names the flag or variable, the value, and what would be right.
pub fn parse(
    arguments: impl IntoIterator<Item = String>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Parsed, UsageError> {
    let words: Vec<String> = arguments.into_iter().map(two_dashes).collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        return Ok(Parsed::Print(help()));
    }
    if words.iter().any(|word| word == "--version") {
        return Ok(Parsed::Print(version()));
    }
    let mut warnings = Vec::new();
    let mut values = Values { set: from_words(&words)? };
    merge_environment(&mut values, environment, &mut warnings)?;
    check_fates(&values, &mut warnings)?;
    let config = build(&values, &mut warnings)?;
    Ok(Parsed::Run { config: Box::new(config), warnings })
}

/// Go reads `-flag` as `--flag`.
fn two_dashes(word: String) -> String {
    let single = word.len() > 2 && word.starts_with('-') && !word.starts_with("--");
    let is_number = word.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    if single && !is_number { format!("-{word}") } else { word }
}

fn command() -> clap::Command {
    let mut command = clap::Command::new("drystone")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .no_binary_name(true)
        .args_override_self(true);
    for flag in FLAGS {
        command = command.arg(argument(flag.name, flag.kind));
    }
    for (old, new) in super::flags::OLD_NAMES {
        let kind = find(new).map_or(Kind::Text, |flag| flag.kind);
        command = command.arg(argument(old, kind));
    }
    command
}

fn argument(name: &'static str, kind: Kind) -> clap::Arg {
    let argument = clap::Arg::new(name).long(name);
    if kind == Kind::Bool {
        argument.num_args(0..=1).require_equals(true).default_missing_value("true")
    } else {
        argument.num_args(1).allow_hyphen_values(true)
    }
}

fn from_words(words: &[String]) -> Result<BTreeMap<&'static str, String>, UsageError> {
    let command = command();
    let matches = command.try_get_matches_from(words).map_err(|error| explain(&error))?;
    let mut set = BTreeMap::new();
    for id in matches.ids() {
        let given = matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
        let (Some(flag), true) = (find(id.as_str()), given) else { continue };
        if let Some(value) = matches.get_one::<String>(id.as_str()) {
            check_kind(flag, value).map_err(|reason| {
                UsageError::flag(format!("invalid value {value:?} for flag -{id}: {reason}"))
            })?;
            if set.insert(flag.name, value.clone()).is_some() {
                return Err(UsageError::config(format!(
                    "--{} is given under its old and its new name; keep the new one",
                    flag.name
                )));
            }
        }
    }
    Ok(set)
}

fn explain(error: &clap::Error) -> UsageError {
    let word = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) => word.clone(),
        _ => String::new(),
    };
    let hint = "run `drystone --help` for the flags there are";
    match error.kind() {
        ErrorKind::UnknownArgument if word.starts_with('-') => UsageError::flag(format!(
            "flag provided but not defined: {}; {hint}",
            word.replacen("--", "-", 1)
        )),
        ErrorKind::UnknownArgument => {
            UsageError::config(format!("{word:?} is not a valid flag; {hint}"))
        }
        ErrorKind::InvalidValue | ErrorKind::WrongNumberOfValues | ErrorKind::NoEquals => {
            let flag = word.split(' ').next().unwrap_or_default().replacen("--", "-", 1);
            UsageError::flag(format!("flag needs an argument: {flag}; {hint}"))
        }
        _ => UsageError::flag(error.to_string()),
    }
}

fn merge_environment(
    values: &mut Values,
    environment: impl IntoIterator<Item = (String, String)>,
    warnings: &mut Vec<String>,
) -> Result<(), UsageError> {
    let known: BTreeMap<String, &'static Flag> = FLAGS
        .iter()
        .map(|flag| (variable(flag.name), flag))
        .chain(
            super::flags::OLD_NAMES
                .iter()
                .filter_map(|(old, new)| Some((variable(old), find(new)?))),
        )
        .collect();
    for (name, value) in environment {
        if !name.starts_with("ETCD_") || value.is_empty() {
            continue;
        }
        let Some(flag) = known.get(&name) else {
            if !matches!(name.as_str(), "ETCD_UNSUPPORTED_ARCH" | "ETCD_VERIFY") {
                warnings.push(format!("unrecognized environment variable {name}={value}"));
            }
            continue;
        };
        if values.is_set(flag.name) {
            return Err(UsageError::config(format!(
                "conflicting environment variable {name} is shadowed by corresponding \
                 command-line flag (either unset environment variable or disable flag)"
            )));
        }
        check_kind(flag, &value).map_err(|reason| {
            UsageError::config(format!("invalid value {value:?} for {name}: {reason}"))
        })?;
        values.set.insert(flag.name, value);
    }
    Ok(())
}

/// Refuses flags whose feature is not served, and says which have no effect.
fn check_fates(values: &Values, warnings: &mut Vec<String>) -> Result<(), UsageError> {
    for (name, value) in &values.set {
        let Some(flag) = find(name) else { continue };
        let is_default =
            value == flag.default || (flag.kind == Kind::Bool && same_bool(value, flag));
        match flag.fate {
            Fate::Refused(reason) if !is_default && !value.is_empty() => {
                return Err(UsageError::config(format!(
                    "--{name}={value} cannot be served: {reason}"
                )));
            }
            Fate::NoEffect(reason) if !is_default => {
                warnings.push(format!("--{name}={value} has no effect: {reason}"));
            }
            Fate::Used | Fate::NoEffect(_) | Fate::Refused(_) => {}
        }
    }
    Ok(())
}

fn same_bool(value: &str, flag: &Flag) -> bool {
    parse_bool(value) == parse_bool(flag.default)
}

fn build(values: &Values, warnings: &mut Vec<String>) -> Result<Config, UsageError> {
    let name = values.text("name").to_owned();
    let gates = gates(values, warnings)?;
    let (heartbeat_interval, election_ticks) = ticks(values)?;
    if values.is_set("listen-client-urls") && !values.is_set("advertise-client-urls") {
        return Err(UsageError::config(
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ));
    }
    for list in ["listen-peer-urls", "listen-client-urls"] {
        for url in values.urls(list) {
            urls::bind_address(&url)
                .map_err(|reason| UsageError::config(format!("--{list}: {reason}")))?;
        }
    }
    let peer_urls = values.urls("initial-advertise-peer-urls");
    let (format, to_stdout) = log_target(values)?;
    let data_dir = match values.text("data-dir") {
        "" => {
            warnings.push(format!("--data-dir is not given; using {name}.etcd"));
            PathBuf::from(format!("{name}.etcd"))
        }
        dir => PathBuf::from(dir),
    };
    let wal_dir = Some(values.text("wal-dir")).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let interval = match values.duration("watch-progress-notify-interval") {
        Duration::ZERO => Duration::from_secs(600),
        short if short < PROGRESS_INTERVAL_MIN => {
            warnings.push("--watch-progress-notify-interval raised to 100ms".to_owned());
            PROGRESS_INTERVAL_MIN
        }
        interval => interval,
    };
    Ok(Config {
        initial_cluster: initial_cluster(values, &name, &peer_urls)?,
        name,
        data_dir,
        wal_dir,
        listen_peer_urls: values.urls("listen-peer-urls"),
        listen_client_urls: values.urls("listen-client-urls"),
        advertise_client_urls: values.urls("advertise-client-urls"),
        initial_advertise_peer_urls: peer_urls,
        initial_cluster_state: match values.text("initial-cluster-state") {
            "existing" => ClusterState::Existing,
            _ => ClusterState::New,
        },
        initial_cluster_token: values.text("initial-cluster-token").to_owned(),
        heartbeat_interval,
        election_ticks,
        initial_election_tick_advance: parse_bool(values.text("initial-election-tick-advance"))
            .unwrap_or(true),
        snapshot_count: non_zero(values.uint("snapshot-count"), 10_000),
        snapshot_catchup_entries: non_zero(values.uint("snapshot-catchup-entries"), 5_000),
        quota_backend_bytes: match values.int("quota-backend-bytes") {
            0 => QUOTA_BYTES_DEFAULT,
            quota => quota,
        },
        quota_warning_percent: quota_warning(values)?,
        max_txn_ops: values.size("max-txn-ops"),
        max_request_bytes: values.size("max-request-bytes"),
        max_concurrent_streams: u32::try_from(values.uint("max-concurrent-streams"))
            .unwrap_or(u32::MAX),
        connections_per_address_max: values.size("drystone-max-connections-per-address"),
        grpc_keepalive_interval: values.duration("grpc-keepalive-interval"),
        grpc_keepalive_timeout: values.duration("grpc-keepalive-timeout"),
        compaction_batch_revisions: usize::try_from(values.int("compaction-batch-limit"))
            .ok()
            .filter(|limit| *limit > 0)
            .unwrap_or(1_000),
        compaction_sleep: match values.duration("compaction-sleep-interval") {
            Duration::ZERO => Duration::from_millis(10),
            sleep => sleep,
        },
        auto_compaction: auto_compaction(values, warnings)?,
        force_new_cluster: parse_bool(values.text("force-new-cluster")).unwrap_or(false),
        downgrade_check_interval: values.duration("downgrade-check-time"),
        initial_corrupt_check: gates.is_open(INITIAL_CORRUPT_CHECK),
        compact_hash_check: gates.is_open(COMPACT_HASH_CHECK),
        compact_hash_check_interval: compact_hash_check_interval(values)?,
        corrupt_check_interval: values.duration("corrupt-check-time"),
        native_snapshot: parse_bool(values.text("native-snapshot")).unwrap_or(false),
        learners_max: usize::try_from(values.int("max-learners")).unwrap_or(1),
        auto_join: parse_bool(values.text("auto-join")).unwrap_or(false),
        strict_reconfig_check: parse_bool(values.text("strict-reconfig-check")).unwrap_or(true),
        auth_token: TokenSpec::parse(values.text("auth-token"), parse_duration)
            .map_err(|error| UsageError::config(format!("--auth-token: {error}")))?,
        auth_token_ttl: Duration::from_secs(values.uint("auth-token-ttl")),
        bcrypt_cost: bcrypt_cost(values, warnings),
        watch_progress_interval: interval,
        log_level: values.text("log-level").to_owned(),
        log_format: format,
        log_to_stdout: to_stdout,
        value_cache_bytes: values.size("value-cache-bytes"),
        block_cache_bytes: values.size("block-cache-bytes"),
        write_buffer_bytes: values.size("write-buffer-bytes"),
    })
}

/// The feature gates, and the old flags that two of them have replaced.
fn gates(values: &Values, warnings: &mut Vec<String>) -> Result<Gates, UsageError> {
    let mut gates = Gates::parse(values.text("feature-gates"), warnings)
        .map_err(|reason| UsageError::flag(format!("--feature-gates: {reason}")))?;
    for (old, gate) in [
        ("experimental-initial-corrupt-check", INITIAL_CORRUPT_CHECK),
        ("experimental-compact-hash-check-enabled", COMPACT_HASH_CHECK),
    ] {
        let Some(open) = parse_bool(values.text(old)).filter(|_| values.is_set(old)) else {
            continue;
        };
        if gates.is_named(gate) {
            return Err(UsageError::config(format!(
                "cannot specify both flags: --{old}={open} and --feature-gates={gate}={} at the \
                 same time, please just use --feature-gates={gate}={}",
                gates.is_open(gate),
                gates.is_open(gate),
            )));
        }
        gates.set(gate, open);
    }
    Ok(gates)
}

fn compact_hash_check_interval(values: &Values) -> Result<Duration, UsageError> {
    match values.duration("compact-hash-check-time") {
        Duration::ZERO => {
            Err(UsageError::config("--compact-hash-check-time must be >0 (set to 0s)"))
        }
        interval => Ok(interval),
    }
}

fn quota_warning(values: &Values) -> Result<u8, UsageError> {
    let percent = values.uint("quota-warning-percent");
    u8::try_from(percent).ok().filter(|percent| *percent <= 100).ok_or_else(|| {
        UsageError::config(format!(
            "--quota-warning-percent={percent} is more than the whole; use 1 to 100, or 0 for none"
        ))
    })
}

/// A cost that bcrypt does not have is replaced by the default one, as in etcd.
fn bcrypt_cost(values: &Values, warnings: &mut Vec<String>) -> u32 {
    let given = values.uint("bcrypt-cost");
    match u32::try_from(given) {
        Ok(cost) if (COST_MIN..=COST_MAX).contains(&cost) => cost,
        _ => {
            warnings.push(format!("--bcrypt-cost={given} is not between 4 and 31; using 10"));
            BCRYPT_COST_DEFAULT
        }
    }
}

fn non_zero(value: u64, default: u64) -> u64 {
    if value == 0 { default } else { value }
}

fn ticks(values: &Values) -> Result<(Duration, usize), UsageError> {
    let heartbeat = values.uint("heartbeat-interval");
    let election = values.uint("election-timeout");
    if heartbeat == 0 {
        return Err(UsageError::config("--heartbeat-interval must be >0 (set to 0ms)"));
    }
    if election == 0 {
        return Err(UsageError::config("--election-timeout must be >0 (set to 0ms)"));
    }
    if heartbeat.saturating_mul(5) > election {
        return Err(UsageError::config(format!(
            "--election-timeout[{election}ms] should be at least as 5 times as \
             --heartbeat-interval[{heartbeat}ms]"
        )));
    }
    if election > ELECTION_TIMEOUT_MS_MAX {
        return Err(UsageError::config(format!(
            "--election-timeout[{election}ms] is too long, and should be set less than 50000ms"
        )));
    }
    let ticks = usize::try_from(election / heartbeat).unwrap_or(usize::MAX);
    Ok((Duration::from_millis(heartbeat), ticks))
}

fn log_target(values: &Values) -> Result<(LogFormat, bool), UsageError> {
    let format = match values.text("log-format") {
        "console" => LogFormat::Console,
        _ => LogFormat::Json,
    };
    match values.text("log-outputs") {
        "default" | "stderr" => Ok((format, false)),
        "stdout" => Ok((format, true)),
        other => Err(UsageError::config(format!(
            "--log-outputs={other} is not served yet; use default, stderr or stdout"
        ))),
    }
}

/// Reads `name=url,name=url`; a repeated name gathers URLs.
fn initial_cluster(
    values: &Values,
    name: &str,
    peer_urls: &[String],
) -> Result<Vec<(String, Vec<String>)>, UsageError> {
    let text = values.text("initial-cluster");
    if text.is_empty() {
        return Ok(vec![(name.to_owned(), peer_urls.to_vec())]);
    }
    let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (name, url) = item.split_once('=').unwrap_or((item, ""));
        let mut urls = parse_urls(url).map_err(|reason| {
            UsageError::config(format!(
                "--initial-cluster: {reason} (in {item:?}; expected name=http://host:port,...)"
            ))
        })?;
        by_name.entry(name.to_owned()).or_default().append(&mut urls);
    }
    for urls in by_name.values_mut() {
        urls.sort();
    }
    let mut all: Vec<&String> = by_name.values().flatten().collect();
    let count = all.len();
    all.sort();
    all.dedup();
    if all.len() != count {
        return Err(UsageError::config(format!("initial cluster {text} has duplicate url")));
    }
    let Some(own) = by_name.get(name) else {
        return Err(UsageError::config(format!(
            "couldn't find local name {name:?} in the initial cluster configuration"
        )));
    };
    if own != peer_urls {
        return Err(UsageError::config(format!(
            "--initial-cluster has {name}={} but missing from --initial-advertise-peer-urls={}",
            own.join(","),
            peer_urls.join(",")
        )));
    }
    Ok(by_name.into_iter().collect())
}

/// etcd's rule: a bare number is hours in periodic mode and revisions in revision mode, and
/// whatever else is a duration. In revision mode that is read as so many revisions as it has
/// nanoseconds, which nobody means: it is taken, as in etcd, but not without a word.
fn auto_compaction(
    values: &Values,
    warnings: &mut Vec<String>,
) -> Result<AutoCompaction, UsageError> {
    let retention = values.text("auto-compaction-retention");
    let number = retention.parse::<i64>().ok().and_then(|number| u64::try_from(number).ok());
    let duration = || {
        parse_duration(retention).ok_or_else(|| {
            UsageError::config(format!(
                "error parsing CompactionRetention: {retention:?} is neither a number nor a \
                 duration such as 8h or 30m"
            ))
        })
    };
    match values.text("auto-compaction-mode") {
        "" => Err(UsageError::config("undefined auto-compaction-mode")),
        "revision" => {
            let revisions = match number {
                Some(revisions) => i64::try_from(revisions).unwrap_or(i64::MAX),
                None => {
                    let revisions = i64::try_from(duration()?.as_nanos()).unwrap_or(i64::MAX);
                    warnings.push(format!(
                        "--auto-compaction-retention={retention} keeps {revisions} revisions: in \
                         revision mode give a plain number of them"
                    ));
                    revisions
                }
            };
            Ok(match revisions {
                0 => AutoCompaction::Off,
                revisions => AutoCompaction::Revisions(revisions),
            })
        }
        "periodic" => {
            let period = match number {
                Some(hours) => Duration::from_secs(hours.saturating_mul(3_600)),
                None => duration()?,
            };
            Ok(if period.is_zero() {
                AutoCompaction::Off
            } else {
                AutoCompaction::Periodic(period)
            })
        }
        other => Err(UsageError::config(format!("unknown auto-compaction-mode {other:?}"))),
    }
}

fn check_kind(flag: &Flag, value: &str) -> Result<(), String> {
    let parse_error = |right: &str| Err(format!("parse error; expected {right}"));
    match flag.kind {
        Kind::Text => Ok(()),
        Kind::Bool if parse_bool(value).is_none() => {
            Err("invalid boolean value; expected true or false".to_owned())
        }
        Kind::Uint if parse_uint(value).is_none() => parse_error("a number from 0 on"),
        Kind::Int if parse_int(value).is_none() => parse_error("a number"),
        Kind::Duration if parse_duration(value).is_none() => {
            parse_error("a duration such as 100ms or 1h30m")
        }
        Kind::Urls if !value.is_empty() => parse_urls(value).map(|_| ()),
        Kind::OneOf(words) if !words.contains(&value) => {
            Err(format!("invalid value; expected one of {}", words.join(", ")))
        }
        Kind::Bool | Kind::Uint | Kind::Int | Kind::Duration | Kind::Urls | Kind::OneOf(_) => {
            Ok(())
        }
    }
}

pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn parse_uint(text: &str) -> Option<u64> {
    match text.get(..2) {
        Some("0x" | "0X") => u64::from_str_radix(&text[2..], 16).ok(),
        Some("0b" | "0B") => u64::from_str_radix(&text[2..], 2).ok(),
        Some("0o" | "0O") => u64::from_str_radix(&text[2..], 8).ok(),
        _ => text.parse().ok(),
    }
}

fn parse_int(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(rest) => i64::try_from(parse_uint(rest)?).ok().map(|value| -value),
        None => i64::try_from(parse_uint(text)?).ok(),
    }
}

/// A duration as Go writes it; negative ones are none that a flag here could mean.
fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit_bytes = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_bytes);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = tail;
    }
    if text.is_empty() { None } else { Some(total) }
}

fn version() -> String {
    format!(
        "drystone Version: {}\netcd Version: {}\n",
        env!("CARGO_PKG_VERSION"),
        crate::ETCD_VERSION
    )
}

fn help() -> String {
    let mut text = String::from(
        "Usage:\n  drystone [flags]        start a member; no flag is needed\n  \
         drystone ctl ...        what etcdctl does\n  \
         drystone bench ...      put load on any etcd v3 server\n\n\
         Every flag --a-b can be given as the variable ETCD_A_B.\n\nFlags:\n",
    );
    for flag in FLAGS {
        let note = match flag.fate {
            Fate::Used => flag.help.to_owned(),
            Fate::NoEffect(reason) => format!("no effect: {reason}"),
            Fate::Refused(reason) => format!("refused: {reason}"),
        };
        let default = match flag.default {
            "" => String::new(),
            default => format!(" (default {default})"),
        };
        text.push_str(&format!("  --{}\n        {note}{default}\n", flag.name));
    }
    text
}

#[cfg(test)]
mod tests;
