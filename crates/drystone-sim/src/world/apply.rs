//! The apply thread and the flusher's: entries into the store, answers and events out of it.

use super::{Event, LEASE_TICK, World};
use crate::clock::MILLISECOND;
use crate::host::{Actor, ApplyInput, Input, Process, Token};
use crate::plan::Moment;
use crate::random::Draw;
use drystone_member::{Done, Work};
use drystone_raft::SnapshotMeta;
use drystone_types::{Entry, LogIndex, MemberId};
use std::collections::VecDeque;
use std::sync::Arc;

impl World {
    pub(super) fn leases_due(&mut self, m: usize) {
        let incarnation = self.hosts[m].incarnation;
        let span = self.hosts[m].clock.span(LEASE_TICK);
        self.after(span, Event::Leases(m, incarnation));
        if let Some(process) = &mut self.hosts[m].process {
            process.leases_due = true;
            self.wake(m, Actor::Apply);
        }
    }

    pub(super) fn sweep_due(&mut self, m: usize) {
        if let Some(process) = &mut self.hosts[m].process {
            process.sweep_due = true;
            self.wake(m, Actor::Apply);
        }
    }

    pub(super) fn run_apply(&mut self, m: usize) {
        let now = self.now;
        let Some(process) = &mut self.hosts[m].process else { return };
        if process.news.is_some() {
            return;
        }
        if now < process.apply_busy_until {
            let (until, incarnation) = (process.apply_busy_until, self.hosts[m].incarnation);
            if let Some(process) = &mut self.hosts[m].process {
                process.awake[Actor::Apply as usize] = true;
            }
            self.at(until, Event::Run(m, incarnation, Actor::Apply));
            return;
        }
        let mut span = self.between(self.knobs.apply_us);
        let (extra, until) = self.hosts[m].slow_apply;
        if now < until {
            span = span.saturating_add(extra);
        }
        let Some(process) = &mut self.hosts[m].process else { return };
        process.apply_busy_until = now + span;
        if let Some(input) = process.apply_inputs.pop_front() {
            self.apply_take(m, input);
        }
        self.lead_leases(m);
        self.sweep(m);
        let Some(process) = &mut self.hosts[m].process else { return };
        if !process.apply_inputs.is_empty() || process.leases_due || process.sweep_due {
            self.wake(m, Actor::Apply);
        }
    }

    fn apply_take(&mut self, m: usize, input: ApplyInput) {
        let clock = self.hosts[m].clock.duration(self.now);
        let Some(process) = &mut self.hosts[m].process else { return };
        match input {
            ApplyInput::Work(work) => self.work(m, work),
            ApplyInput::Reads(index, tokens) => {
                let released = process.applier.read(index, tokens);
                self.release(m, released);
            }
            ApplyInput::Lead(leadership) => process.applier.lead(leadership),
            ApplyInput::Renew(id, ask) => {
                let renewed = process.applier.renew(id, clock);
                self.renewed(m, ask, id, renewed);
            }
            ApplyInput::TimeToLive(id, keys, ask) => {
                let found = process.applier.machine().time_to_live(id, clock, keys);
                self.time_to_live_found(m, ask, found);
            }
            ApplyInput::Leases(ask) => {
                let leases = process.applier.machine().leases();
                self.leases_listed(m, ask, leases);
            }
            ApplyInput::Swept(ask) => {
                process.swept_waiters.push(ask);
                self.begin_sweeping(m);
            }
            ApplyInput::Snapshot(to) => self.make_snapshot(m, to),
        }
    }

    fn work(&mut self, m: usize, mut work: VecDeque<Work>) {
        let mut entries = Vec::new();
        while let Some(item) = work.pop_front() {
            match item {
                // Entries that came in several pieces are applied as one batch.
                Work::Entries(mut more) => entries.append(&mut more),
                Work::Install { snapshot, number } => {
                    self.apply(m, &mut entries);
                    let Some(process) = &mut self.hosts[m].process else { return };
                    if process.persisted < number || process.news.is_some() {
                        // Not before the log names it.
                        work.push_front(Work::Install { snapshot, number });
                        process.apply_inputs.push_front(ApplyInput::Work(work));
                        return;
                    }
                    self.install(m, &snapshot);
                }
            }
        }
        self.apply(m, &mut entries);
    }

    fn apply(&mut self, m: usize, entries: &mut Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        let clock = self.hosts[m].clock.duration(self.now);
        let Some(process) = &mut self.hosts[m].process else { return };
        let done = match process.applier.apply(entries, clock) {
            Ok(done) => done,
            Err(error) => return self.give_up(m, &format!("applying: {error}")),
        };
        self.counts.entries += entries.len() as u64;
        self.trace.say(
            self.now,
            format_args!("m{m} applied {} entries up to {}", entries.len(), done.applied.index),
        );
        let process = self.hosts[m].process.as_ref().expect("it has just applied");
        self.judges.store.applied(
            self.now,
            m,
            entries,
            &done.outcomes,
            (process, &self.judges.raft.roll),
            &mut self.history.log,
        );
        self.judges.hashes.applied(m, process);
        self.judges.bounds.inbox(self.now, m, process, &self.knobs);
        entries.clear();
        if self.is_doomed(m, Moment::AfterApply) {
            return self.meet_doom(m);
        }
        if self.timing.percent(self.knobs.late_news_percent) {
            // The thread is held up here: readers see the new state, nobody heard of it.
            let span = self.between(self.knobs.apply_us);
            let incarnation = self.hosts[m].incarnation;
            if let Some(process) = &mut self.hosts[m].process {
                process.news = Some(done);
                self.after(span, Event::News(m, incarnation));
            }
            return;
        }
        self.finish(m, done);
    }

    pub(super) fn news(&mut self, m: usize) {
        let Some(process) = &mut self.hosts[m].process else { return };
        if let Some(done) = process.news.take() {
            self.finish(m, done);
            self.wake(m, Actor::Apply);
        }
    }

    /// Tells everyone what came of applying, in the server's order.
    fn finish(&mut self, m: usize, done: Done<Token>) {
        let Some(process) = &mut self.hosts[m].process else { return };
        let snapshot = process.applier.machine().reader().snapshot();
        let (revision, compacted) = (snapshot.revision(), snapshot.compacted());
        process.feed.publish(done.events, revision, compacted);
        process.applied_term = done.applied.term.0;
        process.applied = done.applied.index.0;
        for (index, change) in done.membership {
            process.inbox.push_back(Input::Membership(index, change));
        }
        let sweeping = process.applier.machine().is_sweeping();
        self.wake(m, Actor::Hub);
        for outcome in done.outcomes {
            if outcome.request != 0 {
                self.command_applied(m, outcome.request, outcome.answer);
            }
        }
        self.release(m, done.reads);
        self.end_if_removed(m);
        if sweeping {
            self.begin_sweeping(m);
        }
        if done.flush_wanted {
            self.flush(m);
        }
        self.wake(m, Actor::Node);
    }

    fn lead_leases(&mut self, m: usize) {
        let clock = self.hosts[m].clock.duration(self.now);
        let inbox_max = self.knobs.inbox_max;
        let Some(process) = &mut self.hosts[m].process else { return };
        if !std::mem::take(&mut process.leases_due) {
            return;
        }
        for command in process.applier.lease_commands(clock) {
            let Some(process) = &mut self.hosts[m].process else { return };
            if process.inbox.len() >= inbox_max {
                return;
            }
            self.input(m, Input::Lead(command));
        }
    }

    fn begin_sweeping(&mut self, m: usize) {
        let Some(process) = &mut self.hosts[m].process else { return };
        if !std::mem::replace(&mut process.sweeping, true) {
            let incarnation = self.hosts[m].incarnation;
            let span = self.knobs.compaction_sleep_ms * MILLISECOND;
            self.after(span, Event::Sweep(m, incarnation));
        }
    }

    /// Removes a piece of what compaction let go.
    fn sweep(&mut self, m: usize) {
        let revisions = self.knobs.compaction_batch_revisions;
        let Some(process) = &mut self.hosts[m].process else { return };
        if !std::mem::take(&mut process.sweep_due) {
            return;
        }
        if let Err(error) = process.applier.machine_mut().sweep(revisions) {
            return self.give_up(m, &format!("compaction: {error}"));
        }
        process.sweeping = process.applier.machine().is_sweeping();
        if process.sweeping {
            let incarnation = self.hosts[m].incarnation;
            let span = self.knobs.compaction_sleep_ms * MILLISECOND;
            self.after(span, Event::Sweep(m, incarnation));
            return;
        }
        for ask in std::mem::take(&mut process.swept_waiters) {
            self.swept(m, ask);
        }
    }

    fn flush(&mut self, m: usize) {
        let span = self.between(self.knobs.flush_us);
        let Some(process) = &mut self.hosts[m].process else { return };
        if std::mem::replace(&mut process.flushing, true) {
            process.flush_again = true;
            return;
        }
        let incarnation = self.hosts[m].incarnation;
        self.after(span, Event::Flushed(m, incarnation));
    }

    pub(super) fn store_flushed(&mut self, m: usize) {
        if self.is_doomed(m, Moment::InFlush) {
            return self.meet_doom(m);
        }
        let Some(process) = &mut self.hosts[m].process else { return };
        process.flushing = false;
        match process.applier.machine().backend().flush() {
            Ok(durable) => process.flushed = process.flushed.max(durable.index.0),
            Err(error) => return self.give_up(m, &format!("the store's flush: {error}")),
        }
        self.counts.flushes += 1;
        if std::mem::take(&mut process.flush_again) {
            self.flush(m);
        }
        self.wake(m, Actor::Node);
    }

    fn make_snapshot(&mut self, m: usize, to: MemberId) {
        let host = &self.hosts[m];
        let (Some(process), Some(disks)) = (&host.process, &host.disks) else { return };
        let machine = process.applier.machine();
        let applied = machine.applied();
        let meta = SnapshotMeta {
            conf_state: machine.membership().conf_state(),
            index: applied.index,
            term: applied.term,
            data: bytes::Bytes::new(),
        };
        self.offered.insert((m, applied.index), disks.store.fork());
        self.trace.say(self.now, format_args!("m{m} makes snapshot {} for {to}", applied.index));
        self.input(m, Input::SnapshotReady(to, meta));
    }

    /// Replaces the store by a snapshot that came in.
    fn install(&mut self, m: usize, snapshot: &SnapshotMeta) {
        let host = &mut self.hosts[m];
        let (Some(process), Some(disks)) = (&mut host.process, &mut host.disks) else { return };
        let later = disks.received.split_off(&snapshot.index.next());
        let received = disks.received.remove(&snapshot.index);
        disks.received = later;
        let Some(store) = received else {
            return self.give_up(m, &format!("the files of snapshot {} are gone", snapshot.index));
        };
        disks.store = store;
        let done = match process.applier.install(Arc::new(disks.store.clone())) {
            Ok(done) => done,
            Err(error) => return self.give_up(m, &format!("installing: {error}")),
        };
        process.flushed = done.applied.index.0;
        process.flushing = false;
        let view = process.applier.machine().reader().snapshot();
        process.feed.replaced(view.revision(), view.compacted());
        self.counts.snapshots += 1;
        self.trace.say(self.now, format_args!("m{m} installed snapshot {}", done.applied.index));
        let seen = (self.hosts[m].process.as_ref(), &self.judges.raft.roll);
        self.judges.store.installed(self.now, m, seen, done.applied);
        self.judges.raft.installed(m, done.applied.index);
        if self.is_doomed(m, Moment::AfterInstall) {
            return self.meet_doom(m);
        }
        self.finish(m, done);
    }
}

impl Process {
    /// The newest entry that was applied.
    pub(crate) fn applied_index(&self) -> LogIndex {
        self.applier.machine().applied().index
    }
}
