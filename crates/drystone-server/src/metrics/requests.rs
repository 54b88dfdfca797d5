//! Proposals and reads, counted where their callers wait.

use super::kinds::{ByKind, Kind};
use drystone_api::errors::EtcdError;
use drystone_machine::Answer;
use drystone_metrics::{Counter, Histogram, Registry};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a leader may take to confirm itself before a read counts as slow; after so long the
/// round is repeated.
const SLOW_READ: Duration = Duration::from_millis(500);

/// Handles of the services.
#[derive(Debug)]
pub(crate) struct RequestMetrics {
    seconds: ByKind,
    failed: Counter,
    reads_failed: Counter,
    reads_slow: Counter,
    range_well: Histogram,
    range_failed: Histogram,
    for_quota: Counter,
    for_queues: Counter,
}

impl RequestMetrics {
    pub(super) fn new(registry: &Arc<Registry>) -> Self {
        let counter = |name| registry.counter(name, &[]);
        let range = |success| registry.histogram("etcd_server_range_duration_seconds", &[success]);
        let refused = |reason| registry.counter("drystone_refused_total", &[reason]);
        Self {
            seconds: ByKind::new(registry, |registry, kind, success| {
                registry.histogram("etcd_server_request_duration_seconds", &[kind, success])
            }),
            failed: counter("etcd_server_proposals_failed_total"),
            reads_failed: counter("etcd_server_read_indexes_failed_total"),
            reads_slow: counter("etcd_server_slow_read_indexes_total"),
            range_well: range("true"),
            range_failed: range("false"),
            for_quota: refused("quota"),
            for_queues: refused("queues"),
        }
    }

    /// A request of this kind was answered, or failed.
    pub(crate) fn answered(&self, kind: Kind, success: bool, began: Instant) {
        self.seconds.of(kind, success).record(began.elapsed());
    }

    /// A proposal of this kind came to its end.
    pub(crate) fn proposed(&self, kind: Kind, outcome: &Result<Answer, EtcdError>, began: Instant) {
        self.answered(kind, outcome.is_ok(), began);
        match outcome {
            Err(EtcdError::NoSpace) => self.for_quota.increment(1),
            Err(EtcdError::RequestTooManyRequests) => self.for_queues.increment(1),
            Err(
                EtcdError::Timeout
                | EtcdError::ContextDeadlineExceeded
                | EtcdError::ProposalDropped
                | EtcdError::Stopped,
            ) => self.failed.increment(1),
            // What the log answered is no failure of the proposal.
            Ok(_) | Err(_) => {}
        }
    }

    /// A read waited for its confirmation since `began`.
    pub(crate) fn read_confirmed(&self, outcome: Result<(), EtcdError>, began: Instant) {
        match outcome {
            Ok(()) => {}
            Err(EtcdError::RequestTooManyRequests) => self.for_queues.increment(1),
            Err(_) => self.reads_failed.increment(1),
        }
        if began.elapsed() > SLOW_READ {
            self.reads_slow.increment(1);
        }
    }

    /// The store was read since `began`.
    pub(crate) fn range_read(&self, success: bool, began: Instant) {
        let histogram = if success { &self.range_well } else { &self.range_failed };
        histogram.record(began.elapsed());
    }
}
