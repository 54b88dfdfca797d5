//! What applying entries comes to, counted a batch at a time on the apply thread.

use super::kinds::{ByKind, Kind, kind_of};
use drystone_api::raw;
use drystone_api::raw::response_op::Response;
use drystone_machine::{Answer, Outcome};
use drystone_metrics::{Counter, Gauge, Histogram, Registry};
use drystone_types::{Entry, EntryKind, EventKind, LogIndex, RevisionEvents};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Handles of the apply thread.
#[derive(Debug)]
pub(crate) struct ApplyMetrics {
    seconds: ByKind,
    batch_seconds: Histogram,
    entries: Counter,
    slow: Counter,
    ranges: Counter,
    puts: Counter,
    deletes: Counter,
    txns: Counter,
    put_bytes: Gauge,
    leases_granted: Counter,
    leases_revoked: Counter,
    leases_expired: Counter,
    lease_seconds: Histogram,
    compaction_applied: Histogram,
    compaction_step: Histogram,
    compaction: Histogram,
    compacted_at: Gauge,
}

/// One batch that was applied.
pub(crate) struct Batch<'a> {
    pub(crate) entries: &'a [Entry],
    /// The newest entry that was applied before.
    pub(crate) before: LogIndex,
    pub(crate) outcomes: &'a [Outcome],
    pub(crate) events: &'a [RevisionEvents],
    pub(crate) took: Duration,
    /// How long it may take before it counts as slow.
    pub(crate) expected: Duration,
    pub(crate) is_leader: bool,
}

impl ApplyMetrics {
    pub(super) fn new(registry: &Arc<Registry>) -> Self {
        let counter = |name| registry.counter(name, &[]);
        let histogram = |name| registry.histogram(name, &[]);
        Self {
            seconds: ByKind::new(registry, |registry, kind, success| {
                let labels = ["v3", kind, success];
                registry.histogram("etcd_server_apply_duration_seconds", &labels)
            }),
            batch_seconds: histogram("drystone_apply_batch_duration_seconds"),
            entries: counter("drystone_apply_entries_total"),
            slow: counter("etcd_server_slow_apply_total"),
            ranges: counter("etcd_mvcc_range_total"),
            puts: counter("etcd_mvcc_put_total"),
            deletes: counter("etcd_mvcc_delete_total"),
            txns: counter("etcd_mvcc_txn_total"),
            put_bytes: registry.gauge("etcd_debugging_mvcc_total_put_size_in_bytes", &[]),
            leases_granted: counter("etcd_debugging_lease_granted_total"),
            leases_revoked: counter("etcd_debugging_lease_revoked_total"),
            leases_expired: counter("etcd_debugging_server_lease_expired_total"),
            lease_seconds: histogram("etcd_debugging_lease_ttl_total"),
            compaction_applied: histogram(
                "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds",
            ),
            compaction_step: histogram(
                "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
            ),
            compaction: histogram("etcd_debugging_mvcc_db_compaction_total_duration_milliseconds"),
            compacted_at: registry.gauge("etcd_debugging_mvcc_db_compaction_last", &[]),
        }
    }

    /// Counts a batch. Each entry counts as its share of the time.
    pub(crate) fn applied(&self, batch: &Batch<'_>) {
        let entries = batch.entries.iter().filter(|entry| entry.index > batch.before);
        let number = entries.clone().count();
        if number == 0 {
            return;
        }
        self.batch_seconds.record(batch.took);
        self.entries.increment(number as u64);
        if crate::slow::apply(entries.clone(), batch.took, batch.expected) {
            self.slow.increment(1);
        }
        let share = batch.took / u32::try_from(number).unwrap_or(u32::MAX);
        // A leader's first entry is empty and has no outcome; all others have one.
        let answered =
            entries.filter(|entry| entry.kind != EntryKind::Normal || !entry.data.is_empty());
        for (entry, outcome) in answered.zip(batch.outcomes) {
            if entry.kind == EntryKind::Normal {
                self.outcome(kind_of(&entry.data), outcome, share, batch.is_leader);
            }
        }
        let puts = batch.events.iter().flat_map(|revision| &revision.events);
        let puts = puts.filter(|event| event.kind == EventKind::Put);
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        self.put_bytes.increment(puts.map(|event| event.kv.len()).sum::<usize>() as f64);
    }

    fn outcome(&self, kind: Kind, outcome: &Outcome, share: Duration, is_leader: bool) {
        self.seconds.of(kind, outcome.answer.is_ok()).record(share);
        let Ok(answer) = &outcome.answer else { return };
        match answer {
            Answer::Put(_) => self.puts.increment(1),
            Answer::DeleteRange(_) => self.deletes.increment(1),
            Answer::Range(_) => self.ranges.increment(1),
            Answer::Txn(response) => self.txn(response),
            Answer::LeaseGrant(response) => {
                self.leases_granted.increment(1);
                #[expect(clippy::cast_precision_loss, reason = "seconds")]
                self.lease_seconds.record(response.ttl as f64);
            }
            Answer::LeaseRevoke(_) => {
                self.leases_revoked.increment(1);
                // What a leader decides by its clock is asked for by nobody.
                if is_leader && outcome.request == 0 {
                    self.leases_expired.increment(1);
                }
            }
            Answer::Compaction(_) => self.compaction_applied.record(millis(share)),
            _ => {}
        }
    }

    fn txn(&self, response: &raw::TxnResponse) {
        let mut counts = [0; 3];
        count(response, &mut counts);
        let [ranges, puts, deletes] = counts;
        self.ranges.increment(ranges);
        self.puts.increment(puts);
        self.deletes.increment(deletes);
        if ranges + puts + deletes > 1 {
            self.txns.increment(1);
        }
    }

    /// A transaction that only read, answered without the log.
    pub(crate) fn read_only_txn(&self, response: &raw::TxnResponse) {
        self.txn(response);
    }

    /// A read was answered.
    pub(crate) fn range(&self) {
        self.ranges.increment(1);
    }

    /// One step of a compaction was carried out. `began` is when the whole of it did, and it is
    /// over with `last`.
    pub(crate) fn swept(&self, step: Duration, began: Instant, last: bool) {
        self.compaction_step.record(millis(step));
        if last {
            self.compaction.record(millis(began.elapsed()));
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.compacted_at.set(now.as_secs_f64().floor());
        }
    }
}

/// Reads, puts and deletes in a transaction, those in nested ones too.
fn count(response: &raw::TxnResponse, counts: &mut [u64; 3]) {
    for op in &response.responses {
        match &op.response {
            Some(Response::ResponseRange(_)) => counts[0] += 1,
            Some(Response::ResponsePut(_)) => counts[1] += 1,
            Some(Response::ResponseDeleteRange(_)) => counts[2] += 1,
            Some(Response::ResponseTxn(nested)) => count(nested, counts),
            None => {}
        }
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
