//! Lines of the log that say where a server is between its start and its end, in etcd's words and
//! with etcd's fields: tools wait for them and read the configuration from them.

use crate::config::{AutoCompaction, ClusterState, Config, format_nanoseconds};
use crate::shared::Shared;
use crate::slow::go_duration;
use drystone_auth::TokenSpec;
use std::path::Path;

/// The configuration in force. `initialized` says whether this member has run before.
pub(crate) fn starting(config: &Config, initialized: bool) {
    let shown = |path: &Path| path.display().to_string();
    let wal_dir = config.wal_dir.as_deref().map(shown).unwrap_or_default();
    let clusters = config.initial_cluster.iter();
    let members = clusters.flat_map(|(name, urls)| urls.iter().map(move |url| (name, url)));
    let initial_cluster: Vec<String> = members.map(|(name, url)| format!("{name}={url}")).collect();
    let gates: Vec<String> =
        config.features.iter().map(|gate| format!("{}={}", gate.name, gate.open)).collect();
    let (mode, retention) = compaction(&config.auto_compaction);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tracing::info!(
        "etcd-version" = crate::ETCD_VERSION,
        "git-sha" = concat!("drystone-", env!("CARGO_PKG_VERSION")),
        "go-version" = "none",
        "go-os" = std::env::consts::OS,
        "go-arch" = crate::config::arch(),
        "max-cpu-set" = cores,
        "max-cpu-available" = cores,
        "member-initialized" = initialized,
        name = config.name,
        "data-dir" = shown(&config.data_dir),
        "wal-dir" = wal_dir,
        "wal-dir-dedicated" = wal_dir,
        "member-dir" = shown(&config.data_dir.join("member")),
        "force-new-cluster" = config.force_new_cluster,
        "heartbeat-interval" = go_duration(config.heartbeat_interval),
        "election-timeout" = go_duration(config.election_timeout()),
        "initial-election-tick-advance" = config.initial_election_tick_advance,
        "snapshot-count" = config.snapshot_count,
        "snapshot-catchup-entries" = config.snapshot_catchup_entries,
        "initial-advertise-peer-urls" = ?config.initial_advertise_peer_urls,
        "listen-peer-urls" = ?config.listen_peer_urls,
        "advertise-client-urls" = ?config.advertise_client_urls,
        "listen-client-urls" = ?config.listen_client_urls,
        "listen-metrics-urls" = ?config.listen_metrics_urls,
        "local-address" = "",
        cors = ?config.cors,
        "host-whitelist" = ?config.host_whitelist,
        "initial-cluster" = initial_cluster.join(","),
        "initial-cluster-state" = state(config.initial_cluster_state),
        "initial-cluster-token" = config.initial_cluster_token,
        "quota-backend-bytes" = config.quota_backend_bytes,
        "max-request-bytes" = config.max_request_bytes,
        "max-concurrent-streams" = config.max_concurrent_streams,
        "pre-vote" = true,
        "feature-gates" = gates.join(","),
        "initial-corrupt-check" = config.initial_corrupt_check,
        "corrupt-check-time-interval" = go_duration(config.corrupt_check_interval),
        "compact-check-time-interval" = go_duration(config.compact_hash_check_interval),
        "auto-compaction-mode" = mode,
        "auto-compaction-retention" = retention,
        "auto-compaction-interval" = retention,
        "downgrade-check-interval" = go_duration(config.downgrade_check_interval),
        "max-learners" = config.learners_max,
        "v2-deprecation" = "write-only",
        "starting an etcd server"
    );
    if config.auth_token == TokenSpec::Simple {
        tracing::warn!("simple token is not cryptographically signed");
    }
}

/// Mode and retention as etcd shows them: numbers of revisions as so many nanoseconds.
fn compaction(compaction: &AutoCompaction) -> (&'static str, String) {
    match compaction {
        AutoCompaction::Off => ("periodic", go_duration(std::time::Duration::ZERO)),
        AutoCompaction::Periodic(period) => ("periodic", go_duration(*period)),
        AutoCompaction::Revisions(revisions) => ("revision", format_nanoseconds(*revisions)),
    }
}

fn state(state: ClusterState) -> &'static str {
    match state {
        ClusterState::New => "new",
        ClusterState::Existing => "existing",
    }
}

/// Listeners are about to be bound.
pub(crate) fn configuring_listeners(config: &Config) {
    tracing::info!(
        "listen-peer-urls" = ?config.listen_peer_urls,
        "configuring peer listeners"
    );
    tracing::info!(
        "listen-client-urls" = ?config.listen_client_urls,
        "configuring client listeners"
    );
}

/// The member was restored or made, and its threads run.
pub(crate) fn started(shared: &Shared, initialized: bool) {
    let (member, cluster) = (shared.member, shared.cluster);
    let word = if initialized { "restarting" } else { "starting" };
    let applied = shared.status.applied.load(std::sync::atomic::Ordering::Acquire);
    tracing::info!(
        "local-member-id" = %member,
        "cluster-id" = %cluster,
        "applied-index" = applied,
        "{word} local member"
    );
    let version = crate::version::cluster(&shared.view.read().membership);
    let version = version.map_or("to_be_decided".to_owned(), |version| version.to_string());
    tracing::info!(
        "local-member-id" = %member,
        "local-server-version" = crate::ETCD_VERSION,
        "cluster-id" = %cluster,
        "cluster-version" = version,
        "starting etcd server"
    );
}

/// All listeners are bound and their tasks run; clients are served when the cluster knows of
/// this member.
pub(crate) fn serving(shared: &Shared) {
    let config = &shared.config;
    tracing::info!(
        "local-member-id" = %shared.member,
        "initial-advertise-peer-urls" = ?config.initial_advertise_peer_urls,
        "listen-peer-urls" = ?config.listen_peer_urls,
        "advertise-client-urls" = ?config.advertise_client_urls,
        "listen-client-urls" = ?config.listen_client_urls,
        "listen-metrics-urls" = ?config.listen_metrics_urls,
        "now serving peer/client/metrics"
    );
}

/// The server begins to stop.
pub(crate) fn closing(config: &Config) {
    tracing::info!(
        name = config.name,
        "data-dir" = %config.data_dir.display(),
        "advertise-peer-urls" = ?config.initial_advertise_peer_urls,
        "advertise-client-urls" = ?config.advertise_client_urls,
        "closing etcd server"
    );
}

/// It has stopped.
pub(crate) fn closed(config: &Config) {
    tracing::info!(
        name = config.name,
        "data-dir" = %config.data_dir.display(),
        "advertise-peer-urls" = ?config.initial_advertise_peer_urls,
        "advertise-client-urls" = ?config.advertise_client_urls,
        "closed etcd server"
    );
}

/// Why leadership is not handed over at a stop.
pub(crate) fn keeps_leadership(shared: &Shared, alone: bool) {
    let leader = shared.status.leader().map_or("0".to_owned(), |leader| leader.to_string());
    let why =
        if alone { "for single voting member cluster" } else { "; local server is not leader" };
    let gap = if alone { " " } else { "" };
    tracing::info!(
        "local-member-id" = %shared.member,
        "current-leader-member-id" = leader,
        "skipped leadership transfer{gap}{why}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LogFormat, Parsed, parse};
    use crate::logging::testing::logged;

    #[test]
    fn the_first_line_holds_the_configuration_and_no_secret() {
        let words = [
            "--name=a",
            "--data-dir=/tmp/a",
            "--initial-advertise-peer-urls=http://127.0.0.1:1,http://127.0.0.1:2",
            "--initial-cluster=b=http://127.0.0.1:3,a=http://127.0.0.1:1,a=http://127.0.0.1:2",
            "--auto-compaction-mode=revision",
            "--auto-compaction-retention=1000",
            "--snapshot-catchup-entries=77",
        ];
        let Ok(Parsed::Run { config, .. }) = parse(words.map(str::to_owned), []) else {
            panic!("the flags are good");
        };
        let lines = logged(LogFormat::Json, || starting(&config, true));
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        for (key, value) in [
            ("msg", serde_json::json!("starting an etcd server")),
            ("etcd-version", crate::ETCD_VERSION.into()),
            ("member-initialized", true.into()),
            ("name", "a".into()),
            ("data-dir", "/tmp/a".into()),
            ("member-dir", "/tmp/a/member".into()),
            ("heartbeat-interval", "100ms".into()),
            ("election-timeout", "1s".into()),
            ("snapshot-count", 10_000.into()),
            ("snapshot-catchup-entries", 77.into()),
            ("listen-client-urls", serde_json::json!(["http://localhost:2379"])),
            (
                "initial-cluster",
                "a=http://127.0.0.1:1,a=http://127.0.0.1:2,b=http://127.0.0.1:3".into(),
            ),
            ("initial-cluster-state", "new".into()),
            ("auto-compaction-mode", "revision".into()),
            ("auto-compaction-retention", "1µs".into()),
            ("v2-deprecation", "write-only".into()),
        ] {
            assert_eq!(line[key], value, "{key} in {line}");
        }
        let warned: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
        assert_eq!(warned["msg"], "simple token is not cryptographically signed");
    }
}
