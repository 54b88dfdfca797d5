//! The log's thread: all that waits, one write, one sync.

use super::{Event, World};
use crate::clock::MILLISECOND;
use crate::host::{Actor, LogInput, Promise};
use crate::plan::Moment;
use drystone_backend::Backend;
use drystone_member::{Append, Persisted};

/// How long the log is idle before it vouches for its last batch, as in the server.
const ATTEST_PAUSE_MS: u64 = 100;
/// Bytes of the next segment that an idle log lays out at a time.
const TEND_BYTES: u64 = 16 << 10;

impl World {
    pub(super) fn run_log(&mut self, m: usize) {
        let Some(process) = &mut self.hosts[m].process else { return };
        if process.syncing || process.log_inputs.is_empty() {
            return;
        }
        process.syncing = true;
        process.log_rounds += 1;
        let mut failed = None;
        for input in std::mem::take(&mut process.log_inputs) {
            match input {
                LogInput::Append(append) => {
                    if let Err(error) = process.log.append(append) {
                        failed = Some(error);
                        break;
                    }
                }
                LogInput::Compact(upto) => process.cut_log = Some(upto),
            }
        }
        if let Some(error) = failed {
            return self.give_up(m, &format!("the log: {error}"));
        }
        let mut span = self.between(self.knobs.sync_us);
        let (extra, until) = self.hosts[m].slow_disk;
        if self.now < until {
            // A disk that hangs lets go when the fault ends.
            span = span.saturating_add(extra).min(until - self.now + span);
        }
        let incarnation = self.hosts[m].incarnation;
        self.after(span, Event::Synced(m, incarnation));
    }

    pub(super) fn synced(&mut self, m: usize) {
        if self.is_doomed(m, Moment::InSync) {
            return self.crash_in_sync(m);
        }
        let Some(process) = &mut self.hosts[m].process else { return };
        process.syncing = false;
        let Persisted { number, send } = match process.log.sync() {
            Ok(persisted) => persisted,
            Err(error) => return self.give_up(m, &format!("the log: {error}")),
        };
        self.counts.syncs += 1;
        if let Some(number) = number {
            process.persisted = number;
            self.judges.raft.durable(m, number);
        }
        if self.is_doomed(m, Moment::AfterSync) {
            return self.meet_doom(m);
        }
        if number.is_some() {
            self.wake(m, Actor::Node);
            // What waits to install a snapshot waits for this.
            self.wake(m, Actor::Apply);
        }
        self.send(m, send);
        let host = &mut self.hosts[m];
        let (Some(process), Some(disks)) = (&mut host.process, &host.disks) else { return };
        if let Some(upto) = process.cut_log.take() {
            let flushed = disks.store.durable().index;
            self.judges.raft.log_cut(self.now, m, upto, flushed);
            if let Err(error) = process.log.compact(upto) {
                return self.give_up(m, &format!("the log: {error}"));
            }
        }
        let Some(process) = &self.hosts[m].process else { return };
        let (round, waiting) = (process.log_rounds, !process.log_inputs.is_empty());
        if waiting {
            self.wake(m, Actor::Log);
        } else {
            let incarnation = self.hosts[m].incarnation;
            self.after(ATTEST_PAUSE_MS * MILLISECOND, Event::LogIdle(m, incarnation, round));
        }
    }

    /// The log had nothing to do for a while.
    pub(super) fn log_idle(&mut self, m: usize, round: u64) {
        let Some(process) = &mut self.hosts[m].process else { return };
        if process.syncing || process.log_rounds != round {
            return;
        }
        // A failure to lay out shows when the room is needed.
        let _ = process.log.tend(TEND_BYTES);
        if let Err(error) = process.log.attest() {
            self.give_up(m, &format!("the log: {error}"));
        }
    }
}

pub(super) fn promise(append: &Append) -> Promise {
    Promise {
        number: append.number,
        snapshot: append.snapshot.as_ref().map(|snapshot| (snapshot.index, snapshot.term)),
        entries: append.entries.iter().map(|entry| (entry.index, entry.term)).collect(),
        hard_state: append.hard_state,
        must_sync: append.must_sync || append.snapshot.is_some(),
    }
}
