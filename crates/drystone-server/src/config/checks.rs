//! What a configuration must keep, in the order in which etcd looks.

use super::flags::{Fate, OLD_GATES, OLD_NAMES, is_secret, variable};
use super::gates::{Gates, LEASE_CHECKPOINT, LEASE_CHECKPOINT_PERSIST};
use super::note::Note;
use super::numbers::format_nanoseconds;
use super::urls::{check_advertised_client, check_advertised_peer, check_bind};
use super::usage::UsageError;
use super::values::{Given, Source, Values};

/// The longest election timeout, as in etcd.
const ELECTION_TIMEOUT_MS_MAX: u64 = 50_000;
/// From here on etcd warns of the size of requests.
const RECOMMENDED_REQUEST_BYTES: u64 = 10 << 20;
/// From here on etcd warns of the quota.
const RECOMMENDED_QUOTA_BYTES: i64 = 8 << 30;
/// Calls that tracing may sample: all.
const SAMPLING_PER_MILLION_MAX: i64 = 1_000_000;

type Check = fn(&Values, &Gates) -> Result<(), UsageError>;

/// The checks. The first that fails is told.
const CHECKS: &[Check] = &[
    logging,
    urls,
    one_bootstrap,
    discovery,
    ticks,
    advertised,
    compaction_mode,
    tracing_rate,
    lease_gates,
    hash_check_time,
    quota_warning,
    fates,
    http_urls,
];

/// Looks at everything, and notes what is not wrong but worth a word.
///
/// # Errors
/// The first thing that is wrong, in etcd's words.
pub(super) fn check(
    values: &Values,
    gates: &Gates,
    notes: &mut Vec<Note>,
) -> Result<(), UsageError> {
    for check in CHECKS {
        check(values, gates)?;
    }
    note_names(values, notes);
    note_sizes(values, notes);
    super::log::note(values, notes);
    note_idle(values, notes);
    Ok(())
}

fn logging(values: &Values, _: &Gates) -> Result<(), UsageError> {
    super::log::check(values)
}

fn urls(values: &Values, _: &Gates) -> Result<(), UsageError> {
    let listen = [
        "listen-peer-urls",
        "listen-client-urls",
        "listen-client-http-urls",
        "listen-metrics-urls",
    ];
    for url in listen.iter().flat_map(|list| values.urls(list)) {
        check_bind(&url).map_err(UsageError::config)?;
    }
    for url in values.urls("initial-advertise-peer-urls") {
        check_advertised_peer(&url).map_err(UsageError::config)?;
    }
    for url in values.urls("advertise-client-urls") {
        check_advertised_client(&url).map_err(UsageError::config)?;
    }
    Ok(())
}

/// No URL is for HTTP alone and for gRPC too. Port 0 is another each time.
fn http_urls(values: &Values, _: &Gates) -> Result<(), UsageError> {
    let http = values.urls("listen-client-http-urls");
    let both = values.urls("listen-client-urls");
    match both.iter().find(|url| http.contains(url) && !url.ends_with(":0")) {
        None => Ok(()),
        Some(url) => Err(UsageError::config(format!(
            "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url \
             {url}"
        ))),
    }
}

fn one_bootstrap(values: &Values, _: &Gates) -> Result<(), UsageError> {
    let ways = ["initial-cluster", "discovery-srv", "discovery-endpoints"];
    if ways.iter().filter(|way| !values.text(way).is_empty()).count() > 1 {
        return Err(UsageError::config(
            "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \
             \"discovery-endpoints\" or \"discovery-srv\"",
        ));
    }
    Ok(())
}

fn discovery(values: &Values, _: &Gates) -> Result<(), UsageError> {
    let endpoints = values.text("discovery-endpoints");
    if values.text("discovery-token").is_empty() != endpoints.is_empty() {
        return Err(UsageError::config(
            "both --discovery-token and --discovery-endpoints must be set",
        ));
    }
    if !endpoints.is_empty() && endpoints.split(',').any(|endpoint| endpoint.trim().is_empty()) {
        return Err(UsageError::config("--discovery-endpoints must not contain empty endpoints"));
    }
    // etcd takes a time that lets no call through, and asks for ever.
    for name in ["discovery-dial-timeout", "discovery-request-timeout"] {
        let time = values.nanoseconds(name);
        if !endpoints.is_empty() && time <= 0 {
            let set = format_nanoseconds(time);
            return Err(UsageError::config(format!("--{name} must be >0 (set to {set})")));
        }
    }
    if !values.is_from_file() && values.text("discovery-fallback") == "proxy" {
        return Err(UsageError::config(
            "v2 proxy is deprecated, and --discovery-fallback can't be configured as \"proxy\"",
        ));
    }
    Ok(())
}

fn ticks(values: &Values, _: &Gates) -> Result<(), UsageError> {
    let heartbeat = values.uint("heartbeat-interval");
    let election = values.uint("election-timeout");
    let wrong = if heartbeat == 0 {
        "--heartbeat-interval must be >0 (set to 0ms)".to_owned()
    } else if election == 0 {
        "--election-timeout must be >0 (set to 0ms)".to_owned()
    } else if heartbeat.saturating_mul(5) > election {
        format!(
            "--election-timeout[{election}ms] should be at least as 5 times as \
             --heartbeat-interval[{heartbeat}ms]"
        )
    } else if election > ELECTION_TIMEOUT_MS_MAX {
        format!("--election-timeout[{election}ms] is too long, and should be set less than 50000ms")
    } else {
        return Ok(());
    };
    Err(UsageError::config(wrong))
}

/// Not asked of a file, as in etcd.
fn advertised(values: &Values, _: &Gates) -> Result<(), UsageError> {
    let listens = values.is_set("listen-client-urls") && !values.is_from_file();
    if listens && !values.is_set("advertise-client-urls") {
        return Err(UsageError::advertise_unset());
    }
    Ok(())
}

fn compaction_mode(values: &Values, _: &Gates) -> Result<(), UsageError> {
    match values.text("auto-compaction-mode") {
        "periodic" | "revision" => Ok(()),
        "" => Err(UsageError::config("undefined auto-compaction-mode")),
        other => Err(UsageError::config(format!("unknown auto-compaction-mode {other:?}"))),
    }
}

fn tracing_rate(values: &Values, _: &Gates) -> Result<(), UsageError> {
    if !values.bool("enable-distributed-tracing") {
        return Ok(());
    }
    let wrong = match values.int("distributed-tracing-sampling-rate") {
        ..0 => "must be positive",
        rate if rate > SAMPLING_PER_MILLION_MAX => "must be less than 1000000",
        _ => return Ok(()),
    };
    // The word is etcd's, as it stands there.
    Err(UsageError::config(format!(
        "distributed tracing configurition is not valid: (tracing sampling rate {wrong})"
    )))
}

/// Checkpoints are always made and kept here, so that only who shuts the one and opens the other
/// has asked for what cannot be.
fn lease_gates(_: &Values, gates: &Gates) -> Result<(), UsageError> {
    if gates.is_open(LEASE_CHECKPOINT_PERSIST)
        && gates.is_named(LEASE_CHECKPOINT_PERSIST)
        && !gates.is_open(LEASE_CHECKPOINT)
    {
        return Err(UsageError::config(
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate \
             LeaseCheckpoint",
        ));
    }
    Ok(())
}

fn hash_check_time(values: &Values, _: &Gates) -> Result<(), UsageError> {
    let interval = values.nanoseconds("compact-hash-check-time");
    if interval <= 0 {
        return Err(UsageError::config(format!(
            "--compact-hash-check-time must be >0 (set to {})",
            format_nanoseconds(interval)
        )));
    }
    Ok(())
}

fn quota_warning(values: &Values, _: &Gates) -> Result<(), UsageError> {
    let percent = values.uint("quota-warning-percent");
    if percent > 100 {
        return Err(UsageError::config(format!(
            "--quota-warning-percent={percent} is more than the whole; use 1 to 100, or 0 for none"
        )));
    }
    Ok(())
}

/// Refuses flags whose feature is not served.
fn fates(values: &Values, _: &Gates) -> Result<(), UsageError> {
    for (flag, given) in values.iter() {
        if let Fate::Refused(reason) = flag.fate
            && given.text != flag.default
            && !given.text.is_empty()
        {
            return Err(UsageError::config(format!(
                "{} cannot be served: {reason}",
                shown(flag.name, given)
            )));
        }
    }
    Ok(())
}

fn note_idle(values: &Values, notes: &mut Vec<Note>) {
    for (flag, given) in values.iter() {
        if let Fate::NoEffect(reason) = flag.fate
            && given.text != flag.default
        {
            let given = shown(flag.name, given);
            notes.push(Note::warn(format!("{given} has no effect: {reason}")));
        }
    }
}

/// A value as it was given, without secrets.
fn shown(name: &str, given: &Given) -> String {
    let text = if is_secret(name) { "..." } else { &given.text };
    match given.source {
        Source::File => format!("{}: {text}", given.spelled),
        Source::Flag | Source::Variable => format!("{}={text}", given.spelled),
    }
}

/// Warns of names that etcd has given up or is about to.
fn note_names(values: &Values, notes: &mut Vec<Note>) {
    for (flag, given) in values.iter() {
        let is_old = OLD_NAMES.iter().chain(OLD_GATES).any(|(old, _)| {
            [format!("--{old}"), variable(old), (*old).to_owned()].contains(&given.spelled)
        });
        if !is_old {
            continue;
        }
        let today = match OLD_GATES.iter().find(|(old, _)| *old == flag.name) {
            Some((_, gate)) => format!("--feature-gates={gate}={}", given.text),
            None => format!("--{}", flag.name),
        };
        let told = format!("{} is an old name; use {today} instead", given.spelled);
        notes.push(Note::warn(told));
    }
    if values.is_set("max-snapshots") {
        let told = "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8.";
        notes.push(Note::warn(told));
    }
    if values.is_set("v2-deprecation") {
        let told = "--v2-deprecation is deprecated and scheduled for removal in v3.8. The default \
                    value is enforced, ignoring user input.";
        notes.push(Note::warn(told));
    }
}

fn note_sizes(values: &Values, notes: &mut Vec<Note>) {
    if values.text("name") == "default" {
        let told = "it isn't recommended to use default name, please set a value for --name. \
                    Members of one cluster need names of their own";
        notes.push(Note::warn(told));
    }
    if values.uint("max-request-bytes") > RECOMMENDED_REQUEST_BYTES {
        notes.push(Note::warn("exceeded recommended request limit"));
    }
    if values.int("quota-backend-bytes") > RECOMMENDED_QUOTA_BYTES {
        notes.push(Note::warn("quota exceeds the recommended maximum of 8 GiB"));
    }
}

/// The feature gates, and the old flags that some of them have replaced.
///
/// # Errors
/// A gate that is given both ways.
pub(super) fn gates(values: &Values, notes: &mut Vec<Note>) -> Result<Gates, UsageError> {
    let text = values.text("feature-gates");
    // The text was checked when it was read.
    let mut gates = Gates::parse(text, notes).map_err(UsageError::config)?;
    for (old, gate) in OLD_GATES {
        if !values.is_set(old) {
            continue;
        }
        let open = values.bool(old);
        if gates.is_named(gate) {
            let named = gates.is_open(gate);
            return Err(UsageError::config(format!(
                "cannot specify both flags: --{old}={open} and --feature-gates={gate}={named} at \
                 the same time, please just use --feature-gates={gate}={named}"
            )));
        }
        gates.set(gate, open, notes);
    }
    if !text.is_empty() {
        notes.push(Note::info(format!("feature gates: {text}")));
    }
    Ok(gates)
}
