//! A failing plan made small: the fewest steps, the smallest cluster and the calmest network
//! that still fail in the same way.
//!
//! Steps go first, by delta debugging (Zeller and Hildebrandt, IEEE TSE 2002). A plan with a
//! step less draws other delays from then on, so a smaller plan may fail with another seed only:
//! each is tried with a few.

use crate::knobs::Knobs;
use crate::plan::{Plan, Step, What};

/// Seeds that each smaller plan is tried with.
const SEEDS: u64 = 3;
/// Time after the last step that a plan keeps, if it can do with so little.
const REST_MS: u64 = 500;

/// What [`shrink`] came to.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest plan that still fails.
    pub plan: Plan,
    /// How many runs that took.
    pub runs: usize,
}

/// Makes a plan smaller as long as `still_fails` says that it fails in the same way, in at most
/// `runs_max` runs. The plan itself must fail; it comes back as it is when nothing smaller does.
pub fn shrink(plan: Plan, runs_max: usize, still_fails: impl FnMut(&Plan) -> bool) -> Shrunk {
    let mut shrinker = Shrinker { best: plan, runs: 0, runs_max, still_fails };
    loop {
        let before = shrinker.best.clone();
        shrinker.fewer_steps();
        shrinker.simpler_knobs();
        shrinker.simpler_steps();
        if shrinker.best == before || shrinker.is_spent() {
            return Shrunk { plan: shrinker.best, runs: shrinker.runs };
        }
    }
}

struct Shrinker<F> {
    best: Plan,
    runs: usize,
    runs_max: usize,
    still_fails: F,
}

impl<F: FnMut(&Plan) -> bool> Shrinker<F> {
    fn is_spent(&self) -> bool {
        self.runs >= self.runs_max
    }

    /// Takes a smaller plan if it fails with its seed or one of a few others.
    fn take(&mut self, plan: Plan) -> bool {
        if plan == self.best {
            return false;
        }
        for other in 0..SEEDS {
            if self.is_spent() {
                return false;
            }
            let seed = if other == 0 { plan.seed } else { other };
            let plan = Plan { seed, ..plan.clone() };
            self.runs += 1;
            if (self.still_fails)(&plan) {
                self.best = plan;
                return true;
            }
        }
        false
    }

    /// Leaves out runs of steps, long ones first.
    fn fewer_steps(&mut self) {
        let mut chunk = self.best.steps.len().div_ceil(2).max(1);
        loop {
            let mut at = 0;
            let mut fewer = false;
            while at < self.best.steps.len() && !self.is_spent() {
                let mut plan = self.best.clone();
                let end = (at + chunk).min(plan.steps.len());
                plan.steps.drain(at..end);
                if self.take(plan) {
                    fewer = true;
                } else {
                    at = end;
                }
            }
            if self.is_spent() || (chunk == 1 && !fewer) {
                return;
            }
            chunk = chunk.div_ceil(2);
        }
    }

    fn simpler_knobs(&mut self) {
        let last_ms = self.best.steps.last().map_or(0, |step| step.at_ms);
        self.tweak(|knobs| knobs.duration_ms = knobs.duration_ms.min(last_ms + REST_MS));
        for members in [1, 3] {
            self.tweak(|knobs| knobs.members = knobs.members.min(members));
        }
        for clients in [1, 2, 3] {
            self.tweak(|knobs| knobs.clients = knobs.clients.min(clients));
        }
        self.tweak(|knobs| knobs.loss_percent = 0);
        self.tweak(|knobs| knobs.duplicate_percent = 0);
        self.tweak(|knobs| knobs.drift_ppm_max = 0);
        // One that is the usual one says that it does not matter.
        let usual = Knobs::default();
        for set in usual_groups() {
            self.tweak(|knobs| set(knobs, &usual));
        }
    }

    fn tweak(&mut self, change: impl FnOnce(&mut Knobs)) {
        let mut plan = self.best.clone();
        change(&mut plan.knobs);
        self.take(plan);
    }

    fn simpler_steps(&mut self) {
        for at in 0..self.best.steps.len() {
            for simpler in simpler(&self.best.steps[at]) {
                let mut plan = self.best.clone();
                plan.steps[at] = simpler;
                self.take(plan);
            }
        }
        // All at half the time.
        loop {
            let mut plan = self.best.clone();
            plan.steps.iter_mut().for_each(|step| step.at_ms /= 2);
            if !self.take(plan) {
                return;
            }
        }
    }
}

/// The same step with less to it.
fn simpler(step: &Step) -> Vec<Step> {
    let What::Ask(ask) = &step.what else { return Vec::new() };
    let mut with = Vec::new();
    let mut add = |change: &dyn Fn(&mut crate::plan::Ask)| {
        let mut ask = ask.clone();
        change(&mut ask);
        with.push(Step { what: What::Ask(ask), ..step.clone() });
    };
    add(&|ask| ask.client = 0);
    add(&|ask| ask.member = 0);
    add(&|ask| ask.retries = 0);
    with
}

/// Settings that can be set to the usual ones, a group at a time.
fn usual_groups() -> [fn(&mut Knobs, &Knobs); 5] {
    [
        |knobs, usual| {
            // Times that things take.
            knobs.sync_us = usual.sync_us;
            knobs.apply_us = usual.apply_us;
            knobs.thread_us = usual.thread_us;
            knobs.flush_us = usual.flush_us;
            knobs.link_us = usual.link_us;
            knobs.client_us = usual.client_us;
            knobs.read_us = usual.read_us;
            knobs.long_reads_percent = usual.long_reads_percent;
            knobs.late_news_percent = usual.late_news_percent;
        },
        |knobs, usual| {
            // Watches.
            knobs.feed_bytes_max = usual.feed_bytes_max;
            knobs.piece_bytes = usual.piece_bytes;
            knobs.pieces_max = usual.pieces_max;
            knobs.queue_responses_max = usual.queue_responses_max;
            knobs.queue_bytes_max = usual.queue_bytes_max;
            knobs.queues_bytes_max = usual.queues_bytes_max;
            knobs.response_revisions_max = usual.response_revisions_max;
            knobs.response_bytes_max = usual.response_bytes_max;
            knobs.fragment_bytes = usual.fragment_bytes;
            knobs.catch_up_watchers_max = usual.catch_up_watchers_max;
            knobs.catch_up_revisions = usual.catch_up_revisions;
            knobs.progress_interval_ms = usual.progress_interval_ms;
        },
        |knobs, usual| {
            // Leases.
            knobs.spread_leases_min = usual.spread_leases_min;
            knobs.expiry_retry_ms = usual.expiry_retry_ms;
            knobs.checkpoint_interval_ms = usual.checkpoint_interval_ms;
            knobs.expiries_max = usual.expiries_max;
        },
        |knobs, usual| {
            // The log and the store.
            knobs.large_sectors = usual.large_sectors;
            knobs.segment_bytes = usual.segment_bytes;
            knobs.recycle_segments_max = usual.recycle_segments_max;
            knobs.wal_buffer_bytes_max = usual.wal_buffer_bytes_max;
            knobs.unflushed_batches_max = usual.unflushed_batches_max;
            knobs.value_cache_bytes = usual.value_cache_bytes;
            knobs.compaction_batch_revisions = usual.compaction_batch_revisions;
            knobs.compaction_sleep_ms = usual.compaction_sleep_ms;
            knobs.flush_entries = usual.flush_entries;
            knobs.catchup_entries = usual.catchup_entries;
            knobs.log_bytes_max = usual.log_bytes_max;
        },
        |knobs, usual| {
            // Raft and the queues.
            knobs.tick_ms = usual.tick_ms;
            knobs.election_ticks = usual.election_ticks;
            knobs.snapshot_hold_ticks = usual.snapshot_hold_ticks;
            knobs.unapplied_bytes_more = usual.unapplied_bytes_more;
            knobs.reads_max = usual.reads_max;
            knobs.read_retry_ticks = usual.read_retry_ticks;
            knobs.message_bytes_max = usual.message_bytes_max;
            knobs.inflight_messages_max = usual.inflight_messages_max;
            knobs.uncommitted_bytes_max = usual.uncommitted_bytes_max;
            knobs.committed_bytes_max_per_ready = usual.committed_bytes_max_per_ready;
            knobs.inbox_max = usual.inbox_max;
            knobs.round_inputs_max = usual.round_inputs_max;
            knobs.request_timeout_ms = usual.request_timeout_ms;
        },
    ]
}

#[cfg(test)]
mod tests;
