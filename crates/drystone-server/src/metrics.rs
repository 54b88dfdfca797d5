//! What this server counts: its own registry, and the handles of all that is counted as it happens.
//!
//! Handles are made when the server starts, so that counting looks nothing up. What the server's
//! state tells anyway is not counted but sampled when somebody asks (`sample.rs`).

mod apply;
mod grpc;
mod kinds;
mod log_disk;
mod peers;
mod probes;
mod process;
mod requests;
mod respond;
mod sample;
mod store;
mod watches;

pub(crate) use apply::Batch;
pub(crate) use grpc::{CANCELED, CODES, Calls, Series, UNKNOWN};
pub(crate) use kinds::{Kind, kind_of};
pub(crate) use log_disk::LogDisk;
pub(crate) use peers::follow_peers;
pub(crate) use respond::respond;
pub(crate) use store::MeasuredStore;
pub(crate) use watches::{Held, Sent};

use apply::ApplyMetrics;
use drystone_metrics::{Counter, Gauge, Histogram, Registry};
use log_disk::LogMetrics;
use parking_lot::Mutex;
use probes::ProbeMetrics;
use requests::RequestMetrics;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::StoreMetrics;
use watches::WatchMetrics;

/// The numbers of one server.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) registry: Arc<Registry>,
    pub(crate) apply: ApplyMetrics,
    pub(crate) calls: Arc<Calls>,
    pub(crate) log: LogMetrics,
    pub(crate) probes: ProbeMetrics,
    pub(crate) requests: RequestMetrics,
    pub(crate) store: StoreMetrics,
    pub(crate) watches: WatchMetrics,
    pub(crate) leader_changes: Counter,
    pub(crate) late_ticks: Counter,
    pub(crate) installing: Gauge,
    pub(crate) leases_renewed: Counter,
    pub(crate) promoted: Counter,
    hash: Histogram,
    hash_kv: Histogram,
    scrapes: Scrapes,
    /// Series that say 1 for something that holds: what holds no more is set to 0.
    shown: Mutex<BTreeSet<(&'static str, Vec<String>)>>,
}

/// How scrapes were answered.
#[derive(Debug)]
struct Scrapes {
    in_flight: Gauge,
    answered: Counter,
    failed: Counter,
    seconds: Gauge,
}

impl Metrics {
    /// Numbers that all begin at 0. With `extensive`, calls are timed too.
    pub(crate) fn new(extensive: bool) -> Arc<Self> {
        let registry = Arc::new(Registry::new());
        let scrapes = Scrapes {
            in_flight: registry.gauge("promhttp_metric_handler_requests_in_flight", &[]),
            answered: registry.counter("promhttp_metric_handler_requests_total", &["200"]),
            failed: registry.counter("promhttp_metric_handler_requests_total", &["500"]),
            seconds: registry.counted_elsewhere("drystone_scrape_sampling_seconds_total", &[]),
        };
        let _ = registry.counter("promhttp_metric_handler_requests_total", &["503"]);
        register_idle(&registry);
        Arc::new(Self {
            apply: ApplyMetrics::new(&registry),
            calls: Calls::new(&registry, extensive),
            log: LogMetrics::new(&registry),
            probes: ProbeMetrics::new(&registry),
            requests: RequestMetrics::new(&registry),
            store: StoreMetrics::new(&registry),
            watches: WatchMetrics::new(&registry),
            leader_changes: registry.counter("etcd_server_leader_changes_seen_total", &[]),
            late_ticks: registry.counter("etcd_server_heartbeat_send_failures_total", &[]),
            installing: registry.gauge("etcd_server_snapshot_apply_in_progress_total", &[]),
            leases_renewed: registry.counter("etcd_debugging_lease_renewed_total", &[]),
            promoted: registry.counter("etcd_server_learner_promote_successes", &[]),
            hash: registry.histogram("etcd_mvcc_hash_duration_seconds", &[]),
            hash_kv: registry.histogram("etcd_mvcc_hash_rev_duration_seconds", &[]),
            scrapes,
            shown: Mutex::default(),
            registry,
        })
    }

    /// Times what hashes the whole store.
    pub(crate) fn timed_hash<T>(&self, hash: impl FnOnce() -> T) -> T {
        timed(&self.hash, hash)
    }

    /// Times what hashes the keys at a revision.
    pub(crate) fn timed_hash_kv<T>(&self, hash: impl FnOnce() -> T) -> T {
        timed(&self.hash_kv, hash)
    }

    /// A learner was not promoted by this member, which leads.
    pub(crate) fn not_promoted(&self, reason: &str) {
        self.registry.counter("etcd_server_learner_promote_failures", &[reason]).increment(1);
    }

    /// A snapshot's transfer began or ended.
    pub(crate) fn transferred(&self, transfer: &drystone_peer::Transfer) {
        peers::transferred(&self.registry, transfer);
    }

    /// Connections of clients that this server ended, or did not begin, for this reason.
    pub(crate) fn connection_ended(&self, reason: &'static str) -> Counter {
        self.registry.counter("drystone_client_connections_ended_total", &[reason])
    }

    /// A client's stream broke while it was being read.
    pub(crate) fn stream_broke(&self, api: &'static str) {
        let labels = ["receive", api];
        self.registry.counter("etcd_network_server_stream_failures_total", &labels).increment(1);
    }
}

fn timed<T>(histogram: &Histogram, work: impl FnOnce() -> T) -> T {
    let began = std::time::Instant::now();
    let done = work();
    histogram.record(began.elapsed());
    done
}

/// Series without labels are there from the start, also those that nothing here moves.
fn register_idle(registry: &Registry) {
    use drystone_metrics::{Kind, TABLE};
    let families = TABLE.iter().flat_map(|section| section.iter());
    for family in families.filter(|family| family.labels.is_empty()) {
        let idle = matches!(family.here, drystone_metrics::Here::Idle(_));
        match family.kind {
            Kind::Counter if idle => drop(registry.counter(family.name, &[])),
            Kind::Gauge if idle => drop(registry.gauge(family.name, &[])),
            Kind::Histogram => drop(registry.histogram(family.name, &[])),
            Kind::Counter | Kind::Gauge => {}
        }
    }
    // etcd's servers still keep their members in the store of version 2, and so show these.
    for (family, actions) in [
        ("etcd_debugging_store_reads_total", &["getRecursive"][..]),
        ("etcd_debugging_store_writes_total", &["create", "set"]),
    ] {
        for action in actions {
            drop(registry.counter(family, &[action]));
        }
    }
}
