//! The apply side of a member: committed entries in; answers, events and finished reads out.

use crate::lead::{Decision, LeaderCommand};
use crate::node::Leadership;
use drystone_backend::Backend;
use drystone_machine::{
    Machine, MachineConfig, MachineError, NotPrimary, Outcome, Renewed, TokenChange,
};
use drystone_probe::{mark, planted};
use drystone_raft::ConfChange;
use drystone_types::{Applied, Entry, LeaseId, LogIndex, RevisionEvents, Term};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Settings of an [`Applier`].
#[derive(Clone, Debug)]
pub struct ApplierConfig {
    /// Settings of the machine.
    pub machine: MachineConfig,
    /// Applied entries after which the store is flushed, so that the log can be cut.
    pub flush_entries: u64,
    /// One election timeout: what a new leader adds to every lease, since it cannot know when
    /// the old one last heard of it.
    pub lease_extend: Duration,
    /// Leases whose ends may be on their way at once: decided and not applied. Under overload
    /// the ends so come no faster than they are applied (etcd: 500 in half a second, 16 at once).
    pub expiries_max: usize,
    /// Leases that one pass may checkpoint (etcd: 1000).
    pub checkpoints_max: usize,
}

/// What came of work.
#[derive(Debug)]
pub struct Done<R> {
    /// Answers to proposals, wherever they were made; most belong to other members.
    pub outcomes: Vec<Outcome>,
    /// Changes of keys, by revision.
    pub events: Vec<RevisionEvents>,
    /// Changes of membership for raft, in order; [`ConfChange::nothing`] for one that was
    /// found invalid.
    pub membership: Vec<(LogIndex, ConfChange)>,
    /// Membership, the cluster's version or alarms changed.
    pub cluster_changed: bool,
    /// What became of simple tokens, in order.
    pub tokens: Vec<TokenChange>,
    /// Reads whose index is applied.
    pub reads: Vec<R>,
    /// The newest applied entry.
    pub applied: Applied,
    /// So much was applied since the last flush that the store should be flushed now.
    pub flush_wanted: bool,
}

/// The machine, the reads that wait for it, and what a leader decides by its clock.
#[derive(Debug)]
pub struct Applier<R> {
    config: ApplierConfig,
    machine: Machine,
    reads: BTreeMap<LogIndex, Vec<R>>,
    leadership: Leadership,
    flush_asked: LogIndex,
    /// Leases whose end was asked for, and when; only while this member leads.
    ending: BTreeMap<LeaseId, Duration>,
}

impl<R> Applier<R> {
    /// Opens the machine over `backend`.
    ///
    /// # Errors
    /// [`MachineError`] when the store cannot be read.
    pub fn open(backend: Arc<dyn Backend>, config: ApplierConfig) -> Result<Self, MachineError> {
        let machine = Machine::open(backend, config.machine.clone())?;
        let flush_asked = machine.applied().index;
        Ok(Self {
            config,
            machine,
            reads: BTreeMap::new(),
            leadership: Leadership::default(),
            flush_asked,
            ending: BTreeMap::new(),
        })
    }

    /// The machine, for reading.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Applies entries that raft committed, in order.
    ///
    /// # Errors
    /// [`MachineError`] ends the member: what the store holds may not be what the others hold.
    pub fn apply(&mut self, entries: &[Entry], now: Duration) -> Result<Done<R>, MachineError> {
        let output = self.machine.apply(entries, now)?;
        if let Some(term) = output.leader_entry {
            self.first_entry_of(term, now);
        }
        let applied = self.machine.applied();
        let flush_wanted =
            applied.index.0.saturating_sub(self.flush_asked.0) >= self.config.flush_entries;
        if flush_wanted {
            self.flush_asked = applied.index;
        }
        Ok(Done {
            outcomes: output.outcomes,
            events: output.events,
            membership: membership(entries, &output.membership),
            cluster_changed: output.cluster_changed,
            tokens: output.tokens,
            reads: self.finished_reads(),
            applied,
            flush_wanted,
        })
    }

    /// Replaces the state by that of `backend`, a snapshot that was installed.
    ///
    /// # Errors
    /// [`MachineError`] when the snapshot cannot be read.
    pub fn install(&mut self, backend: Arc<dyn Backend>) -> Result<Done<R>, MachineError> {
        mark!("member.snapshot_installed");
        self.machine = Machine::open(backend, self.config.machine.clone())?;
        let applied = self.machine.applied();
        self.flush_asked = applied.index;
        Ok(Done {
            outcomes: Vec::new(),
            events: Vec::new(),
            membership: Vec::new(),
            cluster_changed: true,
            // Which of them ended in what this member did not apply, nobody tells it.
            tokens: vec![TokenChange::AllDropped],
            reads: self.finished_reads(),
            applied,
            flush_wanted: false,
        })
    }

    /// Lets `reads` wait until `index` is applied; gives them back when it is already.
    pub fn read(&mut self, index: LogIndex, mut reads: Vec<R>) -> Vec<R> {
        if index <= self.machine.applied().index || planted!("member.read_before_applied") {
            return reads;
        }
        mark!("member.read_waits_for_apply");
        self.reads.entry(index).or_default().append(&mut reads);
        Vec::new()
    }

    /// Follows a change of leader. A member that ceases to lead stops timing leases at once;
    /// one that begins to lead starts only when its first entry is applied.
    pub fn lead(&mut self, leadership: Leadership) {
        let ceases = !leadership.is_leader || leadership.term != self.leadership.term;
        if ceases {
            self.machine.demote();
            self.ending.clear();
        }
        self.leadership = leadership;
    }

    /// What the leader's clock asks for: ends of leases that ran out, and checkpoints.
    pub fn lease_commands(&mut self, now: Duration) -> Vec<LeaderCommand> {
        if !self.leadership.is_leader {
            return Vec::new();
        }
        let term = self.leadership.term;
        let decided_at = self.machine.applied().index;
        // What was lost on its way is named again after the lessor's own pause.
        let (machine, retry) = (&self.machine, self.config.machine.lease.expiry_retry);
        self.ending.retain(|id, asked_at| {
            now < *asked_at + retry && machine.time_to_live(*id, now, false).is_some()
        });
        let room = self.config.expiries_max.saturating_sub(self.ending.len());
        if room == 0 {
            mark!("member.lease_ends_paced");
        }
        let expired = self.machine.expired_leases(now, room);
        self.ending.extend(expired.iter().map(|id| (*id, now)));
        let due = self.machine.due_checkpoints(now, self.config.checkpoints_max);
        let checkpoint = (!due.is_empty()).then_some(Decision::Checkpoint(due));
        let decisions = expired.into_iter().map(Decision::Revoke).chain(checkpoint);
        decisions.map(|decision| LeaderCommand { decision, term, decided_at }).collect()
    }

    /// Resets the clock of a lease, on the leader only; `None` when there is no such lease. The
    /// caller confirmed leadership after the request came in, and answers only when a checkpoint
    /// that [`Renewed::checkpoint_zero`] asks for is applied.
    ///
    /// # Errors
    /// [`NotPrimary`] when this member does not time leases (yet).
    pub fn renew(&mut self, id: LeaseId, now: Duration) -> Result<Option<Renewed>, NotPrimary> {
        self.machine.renew(id, now)
    }

    /// The machine, for what a leader decides.
    pub fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// A leader's first entry was applied: from here on, if it is this member, it times leases.
    fn first_entry_of(&mut self, term: Term, now: Duration) {
        if self.leadership.is_leader && self.leadership.term == term {
            mark!("member.lease_timing_began");
            self.machine.promote(now, self.config.lease_extend);
        }
    }

    fn finished_reads(&mut self) -> Vec<R> {
        let later = self.reads.split_off(&self.machine.applied().index.next());
        let finished = std::mem::replace(&mut self.reads, later);
        finished.into_values().flatten().collect()
    }
}

/// What raft has to carry out for entries that the machine judged.
fn membership(entries: &[Entry], judged: &[(LogIndex, bool)]) -> Vec<(LogIndex, ConfChange)> {
    judged
        .iter()
        .map(|(index, valid)| {
            let entry = entries.iter().find(|entry| entry.index == *index);
            let change = entry
                .filter(|_| *valid || planted!("member.refused_change_carried_out"))
                .and_then(|entry| ConfChange::decode(&entry.data).ok())
                .unwrap_or_else(ConfChange::nothing);
            (*index, change)
        })
        .collect()
}
