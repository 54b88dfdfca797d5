//! What the server's state tells by itself, looked at when a scrape asks.

use super::{Metrics, peers, process};
use crate::access::Authority;
use crate::shared::Shared;
use drystone_metrics::Registry;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// Brings all that is not counted as it happens up to date. May take milliseconds, and reads
/// small files.
pub(super) fn sample(shared: &Shared) {
    let metrics = &shared.metrics;
    let registry = &*metrics.registry;
    member(shared, registry);
    raft(shared, registry);
    queues(shared, registry);
    keys(shared, registry);
    cluster(shared, registry);
    engine(metrics, registry);
    if let Some(transport) = shared.transport.get() {
        for peer in transport.peers() {
            peers::sample(registry, shared.member, &peer);
        }
    }
    certificates(shared, registry);
    process::sample(registry);
}

fn level(registry: &Registry, name: &'static str, value: f64) {
    registry.gauge(name, &[]).set(value);
}

fn flag(registry: &Registry, name: &'static str, value: bool) {
    level(registry, name, f64::from(u8::from(value)));
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has only floats")]
fn number(registry: &Registry, name: &'static str, value: u64) {
    level(registry, name, value as f64);
}

fn size(registry: &Registry, name: &'static str, value: usize) {
    number(registry, name, value as u64);
}

fn member(shared: &Shared, registry: &Registry) {
    let status = &shared.status;
    flag(registry, "etcd_server_has_leader", status.leader().is_some());
    flag(registry, "etcd_server_is_leader", status.is_leader.load(Ordering::Acquire));
    flag(registry, "etcd_server_is_learner", status.is_learner.load(Ordering::Acquire));
    #[expect(clippy::cast_precision_loss, reason = "Prometheus has only floats")]
    let quota = shared.config.quota_backend_bytes as f64;
    level(registry, "etcd_server_quota_backend_bytes", quota);
    for (name, label) in [
        ("etcd_server_version", crate::ETCD_VERSION),
        ("etcd_server_go_version", process::COMPILER),
        ("etcd_server_id", &*shared.member.to_string()),
        ("drystone_build_info", env!("CARGO_PKG_VERSION")),
    ] {
        registry.gauge(name, &[label]).set(1.0);
    }
    for feature in &shared.config.features {
        let labels = [feature.name, feature.stage];
        let open = f64::from(u8::from(feature.open));
        registry.gauge("etcd_server_feature_enabled", &labels).set(open);
    }
    flag(registry, "drystone_stopping", shared.stopping.load(Ordering::Acquire));
    let aside = shared.aside.get().map_or(0, |aside| aside.revision);
    flag(registry, "drystone_digest_set_aside", shared.aside.get().is_some());
    let revision = u64::try_from(aside).unwrap_or_default();
    number(registry, "drystone_digest_differing_revision", revision);
}

fn certificates(shared: &Shared, registry: &Registry) {
    let Some(faces) = shared.faces.get() else { return };
    for (face, expiry) in faces.expiries() {
        let used = format!("{face}_{}", expiry.of);
        let ends = expiry.at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        registry.gauge("drystone_certificate_expiry_seconds", &[&used]).set(ends.as_secs_f64());
    }
}

fn raft(shared: &Shared, registry: &Registry) {
    let load = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Acquire);
    let status = &shared.status;
    // Applied first, so that it is never ahead of what is committed.
    let applied = load(&status.applied);
    let committed = load(&status.committed).max(applied);
    number(registry, "etcd_server_proposals_committed_total", committed);
    number(registry, "etcd_server_proposals_applied_total", applied);
    size(registry, "etcd_server_proposals_pending", shared.waiters.len());
    size(registry, "drystone_waiters", shared.waiters.len());
    number(registry, "drystone_apply_lag_entries", committed - applied);
    number(registry, "drystone_raft_term", load(&status.term));
    number(registry, "drystone_flushed_index", load(&status.flushed));
}

fn queues(shared: &Shared, registry: &Registry) {
    size(registry, "drystone_inbox_depth", shared.inbox.len());
    size(registry, "drystone_inbox_depth_max", crate::inbox::INBOX_MAX);
    size(registry, "drystone_apply_queue_depth", shared.apply.len());
    let (bytes, bytes_max) = shared.brakes.bytes();
    size(registry, "drystone_request_bytes", bytes);
    size(registry, "drystone_request_bytes_max", bytes_max);
    let (reading, waiting) = shared.lists.load();
    size(registry, "drystone_lists_reading", reading);
    size(registry, "drystone_lists_waiting", waiting);
    let downloads = crate::download::DOWNLOADS_MAX - shared.downloads.available_permits();
    size(registry, "drystone_snapshot_downloads", downloads);
}

fn keys(shared: &Shared, registry: &Registry) {
    let own = Authority::of_this_member();
    let reader = shared.view.read().reader(&own).clone();
    let snapshot = reader.snapshot();
    size(registry, "etcd_debugging_mvcc_keys_total", snapshot.keys());
    for (name, revision) in [
        ("etcd_debugging_mvcc_current_revision", snapshot.revision()),
        ("etcd_debugging_mvcc_compact_revision", snapshot.compacted()),
    ] {
        #[expect(clippy::cast_precision_loss, reason = "Prometheus has only floats")]
        level(registry, name, revision as f64);
    }
    number(registry, "etcd_debugging_auth_revision", shared.auth().revision());
    let (allocated_bytes, in_use_bytes) = shared.db_bytes();
    number(registry, "etcd_mvcc_db_total_size_in_bytes", allocated_bytes);
    number(registry, "etcd_mvcc_db_total_size_in_use_in_bytes", in_use_bytes);
    number(registry, "drystone_live_bytes", shared.status.live_bytes.load(Ordering::Acquire));
    size(registry, "drystone_value_cache_bytes", reader.cached_bytes());
    size(registry, "drystone_value_cache_bytes_max", shared.config.value_cache_bytes);
}

fn cluster(shared: &Shared, registry: &Registry) {
    let (membership, alarms) = {
        let view = shared.view.read();
        (view.membership.clone(), view.alarms.clone())
    };
    let mut shown = shared.metrics.shown.lock();
    let keep = |name, labels: Vec<String>, now: &mut BTreeSet<(&'static str, Vec<String>)>| {
        registry.gauge(name, &labels.iter().map(String::as_str).collect::<Vec<_>>()).set(1.0);
        now.insert((name, labels));
    };
    let mut now = BTreeSet::new();
    if let Some(version) = crate::version::cluster(&membership) {
        keep(
            "etcd_cluster_version",
            vec![format!("{}.{}", version.major, version.minor)],
            &mut now,
        );
    }
    for (member, alarm) in alarms.list(None) {
        let labels = vec![member.to_string(), alarm.name().to_owned()];
        keep("etcd_debugging_server_alarms", labels, &mut now);
    }
    let local = shared.member.to_string();
    let (mut voters, mut learners) = (0, 0);
    for member in membership.members() {
        if member.is_learner {
            learners += 1
        } else {
            voters += 1
        }
        let labels = vec![local.clone(), member.member_id().to_string()];
        keep("etcd_network_known_peers", labels, &mut now);
    }
    // What was shown before and holds no more stays, as 0.
    for (name, labels) in shown.difference(&now) {
        registry.gauge(name, &labels.iter().map(String::as_str).collect::<Vec<_>>()).set(0.0);
    }
    *shown = now;
    for (role, count) in [("voter", voters), ("learner", learners)] {
        registry.gauge("drystone_members", &[role]).set(f64::from(count));
    }
}

fn engine(metrics: &Metrics, registry: &Registry) {
    let Some(engine) = metrics.store.engine() else { return };
    number(registry, "etcd_mvcc_db_open_read_transactions", engine.views);
    number(registry, "drystone_store_memory_table_bytes", engine.memory_table_bytes);
    number(registry, "drystone_store_file_bytes", engine.file_bytes);
    number(registry, "drystone_store_block_cache_bytes", engine.block_cache_bytes);
    let backlog = engine.compaction_backlog_bytes;
    number(registry, "drystone_store_compaction_backlog_bytes", backlog);
    number(registry, "drystone_store_compactions_running", engine.compactions_running);
    number(registry, "drystone_store_flushes_running", engine.flushes_running);
    let rate = engine.slowed_to_bytes_per_second;
    number(registry, "drystone_store_write_rate_bytes_per_second", rate);
    flag(registry, "drystone_store_writes_stopped", engine.writes_stopped);
    number(registry, "drystone_store_background_errors", engine.background_errors);
}
