//! From words and variables to a checked [`Config`].

use super::flags::variable;
use super::gates::{COMPACT_HASH_CHECK, INITIAL_CORRUPT_CHECK};
use super::note::Note;
use super::numbers::{parse_duration, parse_nanoseconds};
use super::urls::advertised;
use super::usage::{Parsed, Printout, UsageError};
use super::values::Values;
use super::words::{self, Asked};
use super::{AutoCompaction, ClusterState, Config, log, urls};
use super::{bootstrap, checks, environment, file, help};
use drystone_auth::{COST_MAX, COST_MIN, TokenSpec};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Work for the hash of a password, as in etcd.
const BCRYPT_COST_DEFAULT: u32 = 10;
/// Default quota: two GiB.
const QUOTA_BYTES_DEFAULT: i64 = 2 * 1024 * 1024 * 1024;
/// How long a call may take where the flag says 0, as in etcd.
const WARNING_UNARY_REQUEST_DEFAULT: Duration = Duration::from_millis(300);
/// The shortest interval of progress notices, as in etcd.
const PROGRESS_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// The shortest deadline on connections of members, as in etcd: a silent stream carries a
/// heartbeat every third of it.
const RAFT_TIMEOUT_MIN: Duration = Duration::from_secs(5);

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
    let mut notes = Vec::new();
    let environment: BTreeMap<String, String> = environment.into_iter().collect();
    let values = match gather(arguments, &environment, &mut notes) {
        Ok(Asked::Help) => {
            let stdout = help::flags();
            return Ok(Parsed::Print(Printout { stderr: help::USAGE.to_owned(), stdout }));
        }
        Ok(Asked::Version) => {
            let printout = Printout { stderr: String::new(), stdout: help::version() };
            return Ok(Parsed::Print(printout));
        }
        Ok(Asked::Run(values)) => values,
        Err(error) => return Err(error.after(notes)),
    };
    match build(&values, &mut notes) {
        Ok(config) => Ok(Parsed::Run { config: Box::new(config), notes }),
        Err(error) => Err(error.after(notes)),
    }
}

/// Finds what is asked for and, for a server, the values in force: those of a configuration file
/// alone if one is named, else those of flags, variables and defaults, in this order.
pub(super) fn gather(
    arguments: impl IntoIterator<Item = String>,
    environment: &BTreeMap<String, String>,
    notes: &mut Vec<Note>,
) -> Result<Asked, UsageError> {
    let mut values = match words::read(arguments)? {
        Asked::Run(values) => values,
        other => return Ok(other),
    };
    environment::check_arch(help::arch(), environment)?;
    let named = values.text("config-file");
    let variable = environment.get(&variable("config-file")).map_or("", String::as_str);
    let path = if named.is_empty() { variable } else { named };
    if path.is_empty() {
        environment::merge(&mut values, environment, notes)?;
        return Ok(Asked::Run(values));
    }
    let told = "loaded server configuration, other configuration command line flags and \
                environment variables will be ignored if provided";
    notes.push(Note::info(told).with("path", path));
    file::read(path, notes).map(Asked::Run)
}

pub(super) fn build(values: &Values, notes: &mut Vec<Note>) -> Result<Config, UsageError> {
    let name = values.text("name").to_owned();
    let gates = checks::gates(values, notes)?;
    checks::check(values, &gates, notes)?;
    let listening = [
        "listen-peer-urls",
        "listen-client-urls",
        "listen-client-http-urls",
        "listen-metrics-urls",
    ];
    for list in listening {
        for url in values.urls(list) {
            if !url.starts_with("unix") {
                urls::bind_address(&url)
                    .map_err(|reason| UsageError::config(format!("--{list}: {reason}")))?;
            }
        }
    }
    let heartbeat = values.uint("heartbeat-interval").max(1);
    let election = values.uint("election-timeout");
    let peer_urls = advertised(values, "initial-advertise-peer-urls", "listen-peer-urls", notes);
    let data_dir = match values.text("data-dir") {
        "" => {
            let dir = format!("{name}.etcd");
            let told = "'data-dir' was empty; using default";
            notes.push(Note::warn(told).with("data-dir", dir.as_str()));
            PathBuf::from(dir)
        }
        dir => PathBuf::from(dir),
    };
    let wal_dir = Some(values.text("wal-dir")).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let interval = match values.duration("watch-progress-notify-interval") {
        Duration::ZERO => Duration::from_secs(600),
        short if short < PROGRESS_INTERVAL_MIN => {
            notes.push(Note::warn("--watch-progress-notify-interval raised to 100ms"));
            PROGRESS_INTERVAL_MIN
        }
        interval => interval,
    };
    let (bootstrap, initial_cluster) = bootstrap::bootstrap(values, &name, &peer_urls)?;
    Ok(Config {
        bootstrap,
        initial_cluster,
        name,
        data_dir,
        wal_dir,
        listen_peer_urls: values.urls("listen-peer-urls"),
        listen_client_urls: values.urls("listen-client-urls"),
        listen_client_http_urls: values.urls("listen-client-http-urls"),
        listen_metrics_urls: values.urls("listen-metrics-urls"),
        cors: values.list("cors"),
        host_whitelist: values.list("host-whitelist"),
        grpc_gateway: values.bool("enable-grpc-gateway"),
        grpc_web: values.bool("drystone-grpc-web"),
        pprof: values.bool("enable-pprof") || values.text("log-level") == "debug",
        advertise_client_urls: advertised(
            values,
            "advertise-client-urls",
            "listen-client-urls",
            notes,
        ),
        initial_advertise_peer_urls: peer_urls,
        raft_read_timeout: raft_timeout(values, "raft-read-timeout", notes),
        raft_write_timeout: raft_timeout(values, "raft-write-timeout", notes),
        reuse_port: values.bool("socket-reuse-port"),
        lock_memory: values.bool("memory-mlock"),
        initial_cluster_state: match values.text("initial-cluster-state") {
            "existing" => ClusterState::Existing,
            _ => ClusterState::New,
        },
        initial_cluster_token: values.text("initial-cluster-token").to_owned(),
        heartbeat_interval: Duration::from_millis(heartbeat),
        election_ticks: usize::try_from(election / heartbeat).unwrap_or(usize::MAX),
        initial_election_tick_advance: values.bool("initial-election-tick-advance"),
        snapshot_count: non_zero(values.uint("snapshot-count"), 10_000),
        snapshot_catchup_entries: non_zero(values.uint("snapshot-catchup-entries"), 5_000),
        quota_backend_bytes: match values.int("quota-backend-bytes") {
            0 => QUOTA_BYTES_DEFAULT,
            quota => quota,
        },
        quota_warning_percent: u8::try_from(values.uint("quota-warning-percent")).unwrap_or(100),
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
        auto_compaction: auto_compaction(values, notes)?,
        force_new_cluster: values.bool("force-new-cluster"),
        downgrade_check_interval: values.duration("downgrade-check-time"),
        metrics_extensive: values.text("metrics") == "extensive",
        features: gates.features(),
        initial_corrupt_check: gates.is_open(INITIAL_CORRUPT_CHECK),
        compact_hash_check: gates.is_open(COMPACT_HASH_CHECK),
        compact_hash_check_interval: values.duration("compact-hash-check-time"),
        corrupt_check_interval: values.duration("corrupt-check-time"),
        native_snapshot: values.bool("native-snapshot"),
        learners_max: usize::try_from(values.int("max-learners")).unwrap_or(1),
        auto_join: values.bool("auto-join"),
        strict_reconfig_check: values.bool("strict-reconfig-check"),
        tls: super::tls::tls(values)?,
        auth_token: TokenSpec::parse(values.text("auth-token"), parse_duration)
            .map_err(|error| UsageError::config(error.to_string()))?,
        auth_token_ttl: Duration::from_secs(values.uint("auth-token-ttl")),
        bcrypt_cost: bcrypt_cost(values, notes),
        watch_progress_interval: interval,
        warning_apply_duration: values.duration("warning-apply-duration"),
        warning_unary_request_duration: match values.duration("warning-unary-request-duration") {
            Duration::ZERO => WARNING_UNARY_REQUEST_DEFAULT,
            duration => duration,
        },
        log_level: values.text("log-level").to_owned(),
        log_format: log::format(values),
        log_outputs: log::outputs(values),
        log_rotation: log::rotation(values)?,
        access_log: log::access(values),
        access_log_one_in: values.uint("drystone-access-log-one-in").max(1),
        tracing: super::spans::tracing(values),
        value_cache_bytes: values.size("value-cache-bytes"),
        block_cache_bytes: values.size("block-cache-bytes"),
        write_buffer_bytes: values.size("write-buffer-bytes"),
    })
}

/// A deadline on connections of members, raised to the least there is, as in etcd.
fn raft_timeout(values: &Values, name: &str, notes: &mut Vec<Note>) -> Duration {
    let given = values.duration(name);
    if given < RAFT_TIMEOUT_MIN {
        notes.push(Note::info(format!("{name} increased to minimum value: 5s")));
    }
    given.max(RAFT_TIMEOUT_MIN)
}

/// A cost that bcrypt does not have is replaced by the default one, as in etcd.
fn bcrypt_cost(values: &Values, notes: &mut Vec<Note>) -> u32 {
    let given = values.uint("bcrypt-cost");
    match u32::try_from(given) {
        Ok(cost) if (COST_MIN..=COST_MAX).contains(&cost) => cost,
        _ => {
            let told = format!("--bcrypt-cost={given} is not between 4 and 31; using 10");
            notes.push(Note::warn(told));
            BCRYPT_COST_DEFAULT
        }
    }
}

fn non_zero(value: u64, default: u64) -> u64 {
    if value == 0 { default } else { value }
}

/// etcd's rule: a bare number is hours in periodic mode and revisions in revision mode, and
/// whatever else is a duration. In revision mode that is read as so many revisions as it has
/// nanoseconds, which nobody means: it is taken, as in etcd, but not without a word.
fn auto_compaction(values: &Values, notes: &mut Vec<Note>) -> Result<AutoCompaction, UsageError> {
    let retention = values.text("auto-compaction-retention");
    let number = retention.parse::<i64>().ok().and_then(|number| u64::try_from(number).ok());
    let duration = || {
        let nanoseconds = parse_nanoseconds(retention).map_err(|reason| {
            UsageError::config(format!("error parsing CompactionRetention: {reason}"))
                .with_hint("give a number, or a duration such as 8h or 30m".to_owned())
        })?;
        u64::try_from(nanoseconds).map(Duration::from_nanos).map_err(|_| {
            UsageError::config("error parsing CompactionRetention: it must not be negative")
        })
    };
    match values.text("auto-compaction-mode") {
        "revision" => {
            let revisions = match number {
                Some(revisions) => i64::try_from(revisions).unwrap_or(i64::MAX),
                None => {
                    let revisions = i64::try_from(duration()?.as_nanos()).unwrap_or(i64::MAX);
                    notes.push(Note::warn(format!(
                        "--auto-compaction-retention={retention} keeps {revisions} revisions: in \
                         revision mode give a plain number of them"
                    )));
                    revisions
                }
            };
            Ok(match revisions {
                0 => AutoCompaction::Off,
                revisions => AutoCompaction::Revisions(revisions),
            })
        }
        // The check has left no other mode.
        _ => {
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
    }
}

#[cfg(test)]
mod tests;
