//! What the numbers are after the work, on any etcd.

use drystone_metrics::Scrape;
use std::fmt;

/// What is expected of a number, summed over members.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Expected {
    /// Exactly this: it counts the work, or says how the cluster stands.
    Is(f64),
    /// This or more: it depends on time, size or luck as well.
    AtLeast(f64),
}

use Expected::{AtLeast, Is};

/// A sample, some of its labels, and what it is.
type Row = (&'static str, &'static [(&'static str, &'static str)], Expected);

const PUT: &[(&str, &str)] = &[("grpc_method", "Put")];
const PUT_OK: &[(&str, &str)] = &[("grpc_method", "Put"), ("grpc_code", "OK")];
const PUT_FAILED: &[(&str, &str)] = &[("grpc_method", "Put"), ("grpc_code", "Unavailable")];
const ANY: &[(&str, &str)] = &[];

/// Every name of etcd's dashboard and alerts, of Kubernetes' load tests, and of the dashboards of
/// clouds that is there without a failure, on three members after [`super::work`] on one of them.
pub(super) const ROWS: &[Row] = &[
    ("etcd_server_has_leader", ANY, Is(3.0)),
    ("etcd_server_is_leader", ANY, Is(1.0)),
    ("etcd_server_is_learner", ANY, Is(0.0)),
    ("etcd_server_leader_changes_seen_total", ANY, AtLeast(3.0)),
    ("etcd_server_proposals_committed_total", ANY, AtLeast(24.0)),
    ("etcd_server_proposals_applied_total", ANY, AtLeast(24.0)),
    ("etcd_server_proposals_pending", ANY, Is(0.0)),
    ("etcd_server_proposals_failed_total", ANY, AtLeast(0.0)),
    // Two gibibytes on each.
    ("etcd_server_quota_backend_bytes", ANY, Is(6_442_450_944.0)),
    ("etcd_disk_wal_fsync_duration_seconds_count", ANY, AtLeast(9.0)),
    ("etcd_disk_wal_fsync_duration_seconds_bucket", &[("le", "+Inf")], AtLeast(9.0)),
    ("etcd_disk_backend_commit_duration_seconds_count", ANY, AtLeast(3.0)),
    ("etcd_debugging_snap_save_total_duration_seconds_count", ANY, AtLeast(0.0)),
    ("etcd_mvcc_db_total_size_in_bytes", ANY, AtLeast(3_000.0)),
    ("etcd_mvcc_db_total_size_in_use_in_bytes", ANY, AtLeast(300.0)),
    // Every member applies what changes something, and one reads.
    ("etcd_mvcc_put_total", ANY, Is(12.0)),
    ("etcd_mvcc_delete_total", ANY, Is(3.0)),
    ("etcd_mvcc_txn_total", ANY, Is(3.0)),
    ("etcd_mvcc_range_total", ANY, AtLeast(1.0)),
    ("etcd_debugging_mvcc_keys_total", ANY, Is(3.0)),
    ("etcd_debugging_mvcc_current_revision", ANY, Is(15.0)),
    ("etcd_debugging_lease_granted_total", ANY, Is(3.0)),
    ("etcd_debugging_lease_revoked_total", ANY, Is(3.0)),
    ("grpc_server_started_total", PUT, Is(2.0)),
    ("grpc_server_handled_total", PUT_OK, Is(2.0)),
    ("grpc_server_handled_total", PUT_FAILED, Is(0.0)),
    ("grpc_server_handling_seconds_count", PUT, Is(2.0)),
    ("grpc_server_msg_received_total", PUT, Is(2.0)),
    ("grpc_server_msg_sent_total", PUT, Is(2.0)),
    ("etcd_network_client_grpc_received_bytes_total", ANY, AtLeast(20.0)),
    ("etcd_network_client_grpc_sent_bytes_total", ANY, AtLeast(20.0)),
    ("etcd_network_active_peers", ANY, Is(6.0)),
    ("etcd_network_peer_sent_bytes_total", ANY, AtLeast(300.0)),
    ("etcd_network_peer_received_bytes_total", ANY, AtLeast(300.0)),
    ("etcd_network_peer_round_trip_time_seconds_count", ANY, AtLeast(6.0)),
    ("etcd_server_health_success", ANY, Is(0.0)),
    ("etcd_server_health_failures", ANY, Is(0.0)),
    ("process_resident_memory_bytes", ANY, AtLeast(3_000_000.0)),
    ("process_cpu_seconds_total", ANY, AtLeast(0.001)),
    // Since 1970, and not before this was written.
    ("process_start_time_seconds", ANY, AtLeast(3.0 * 1_750_000_000.0)),
    ("process_open_fds", ANY, AtLeast(30.0)),
    ("process_max_fds", ANY, AtLeast(30.0)),
    ("go_goroutines", ANY, AtLeast(3.0)),
    ("go_threads", ANY, AtLeast(3.0)),
    ("go_memstats_alloc_bytes", ANY, AtLeast(3_000_000.0)),
];

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Is(number) => write!(f, "{number}"),
            AtLeast(number) => write!(f, "{number} or more"),
        }
    }
}

impl Expected {
    fn holds(self, found: f64) -> bool {
        match self {
            Is(number) => (found - number).abs() < 1e-9,
            AtLeast(number) => found >= number && found.is_finite(),
        }
    }
}

/// What is otherwise than expected.
pub(super) fn faults(scrapes: &[Scrape]) -> Vec<String> {
    let fault = |(name, labels, expected): &Row| {
        let found = sum(scrapes, name, labels);
        let holds = found.is_some_and(|found| expected.holds(found));
        (!holds).then(|| format!("{name} {labels:?} is {found:?} and not {expected}"))
    };
    ROWS.iter().filter_map(fault).collect()
}

/// The sum of all samples of this name that have these labels; `None` where there are none.
fn sum(scrapes: &[Scrape], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let families = scrapes.iter().flat_map(|scrape| scrape.families.values());
    let samples = families.flat_map(|family| &family.samples).filter(|sample| {
        let has = |(label, value): &(&str, &str)| {
            sample.labels.get(*label).is_some_and(|found| found == value)
        };
        sample.name == name && labels.iter().all(has)
    });
    samples.map(|sample| sample.value).reduce(|sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_missing_or_wrong_is_a_fault() {
        let parse = |text: &str| Scrape::parse(text).unwrap();
        let told = |fault: &str, scrapes: &[Scrape]| {
            faults(scrapes).iter().any(|found| found.starts_with(fault))
        };
        let leader = parse("etcd_server_is_leader 1\n");
        assert!(!told("etcd_server_is_leader", std::slice::from_ref(&leader)));
        assert!(told("etcd_server_is_leader [] is Some(2.0)", &[leader.clone(), leader]));
        assert!(told("etcd_server_is_leader [] is None", &[]));
        let puts = parse("grpc_server_started_total{grpc_method=\"Put\",a=\"b\"} 2\n");
        assert!(!told("grpc_server_started_total", &[puts]));
        let ranges = parse("grpc_server_started_total{grpc_method=\"Range\"} 2\n");
        assert!(told("grpc_server_started_total", &[ranges]));
        assert!(told("process_open_fds [] is Some(NaN)", &[parse("process_open_fds NaN\n")]));
    }
}
