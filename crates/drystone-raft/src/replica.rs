//! The replica: inputs in, [`Ready`] out.

mod admit;
mod inputs;
mod output;
mod status;

pub use output::{ReadState, Ready, SoftState};
pub use status::{PeerState, PeerStatus, Role, Status};

use crate::conf_change::check_membership;
use crate::config::Config;
use crate::convert::{conf_state_out, entry_out};
use crate::error::RecoverError;
use crate::log::Log;
use crate::logger::logger;
use crate::reads::Reads;
use drystone_probe::mark;
use drystone_types::{Applied, ConfState, Entry, HardState, LogIndex, MemberId, Term};
use raft::{RawNode, StateRole};
use rand::RngCore;
use std::collections::VecDeque;
use std::fmt;

/// What a member finds on its disks when it starts. All empty for a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The newest durable hard state.
    pub hard_state: HardState,
    /// The configuration as of `applied`.
    pub conf_state: ConfState,
    /// The entry that the log begins after: the newest compacted one, or the snapshot's.
    pub start: Applied,
    /// The durable log after `start`, without gaps.
    pub entries: Vec<Entry>,
    /// The newest entry whose effects the store holds durably. At least `start.index`.
    pub applied: LogIndex,
}

/// A `Ready` that is being made durable.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    number: u64,
    /// It holds a new term or vote.
    promises: bool,
    /// It holds entries or a snapshot.
    grows_log: bool,
}

/// One replica of a raft group. See the [crate's documentation](crate) for the model.
///
/// Nothing here blocks, and no method waits for another replica. Methods that change state do
/// not return what follows from it; [`ready`](Self::ready) does.
pub struct Replica {
    raw: RawNode<Log>,
    config: Config,
    rng: Box<dyn RngCore + Send>,
    /// The drawn election timeout, and the situation it was drawn for.
    timeout_ticks: usize,
    timeout_for: (u64, StateRole, u64),
    reads: Reads,
    /// Readys that need a sync and have not had it, in order.
    in_flight: VecDeque<InFlight>,
    last_number: u64,
    last_hard_state: HardState,
    /// What the member said it applied; the core hears of it as far as it can bear.
    applied: u64,
    /// The newest configuration change handed to `apply_conf_change`.
    conf_applied: u64,
    /// This replica is not to become leader for now.
    held_back: bool,
}

impl Replica {
    /// Starts a replica from what its member recovered.
    ///
    /// `rng` decides election timeouts and the names of reads. Two incarnations of one member
    /// must not get the same sequence, or a late answer to the first could confirm a read of
    /// the second.
    ///
    /// The commit index is raised to what was applied: a commit index alone is not worth a
    /// sync, so the durable one may lag behind the store's.
    ///
    /// # Errors
    /// The recovered state contradicts itself or the settings do; the member must not start.
    pub fn new(
        config: Config,
        recovered: Recovered,
        mut rng: Box<dyn RngCore + Send>,
    ) -> Result<Self, RecoverError> {
        config.check()?;
        let hard_state = check_recovered(&recovered)?;
        let Recovered { conf_state, start, entries, applied, .. } = recovered;
        let log = Log::new(start, entries, applied, (hard_state, conf_state));
        let raw = RawNode::new(&config.to_raft(applied.0), log, &logger())
            .map_err(|error| RecoverError::Core(error.to_string()))?;
        let reads = Reads::new(rng.next_u64(), config.reads_max);
        let mut replica = Self {
            timeout_ticks: config.election_ticks,
            // No situation at all, so that the first timeout is drawn.
            timeout_for: (u64::MAX, StateRole::Follower, 0),
            raw,
            config,
            rng,
            reads,
            in_flight: VecDeque::new(),
            last_number: 0,
            last_hard_state: hard_state,
            applied: applied.0,
            conf_applied: applied.0,
            held_back: false,
        };
        replica.settle();
        Ok(replica)
    }

    /// This member.
    #[must_use]
    pub fn id(&self) -> MemberId {
        self.config.id
    }

    /// The current term.
    #[must_use]
    pub fn term(&self) -> Term {
        Term(self.raw.raft.term)
    }

    /// Who leads, so far as this replica knows.
    #[must_use]
    pub fn leader(&self) -> Option<MemberId> {
        let leader = MemberId(self.raw.raft.leader_id);
        (!leader.is_none()).then_some(leader)
    }

    /// What this replica is at the moment.
    #[must_use]
    pub fn role(&self) -> Role {
        Role::of(self.raw.raft.state)
    }

    /// The newest entry known to be committed.
    #[must_use]
    pub fn commit(&self) -> LogIndex {
        LogIndex(self.raw.raft.raft_log.committed)
    }

    /// The end of the log, durable or not.
    #[must_use]
    pub fn last_index(&self) -> LogIndex {
        LogIndex(self.raw.raft.raft_log.last_index())
    }

    /// The current configuration.
    #[must_use]
    pub fn conf_state(&self) -> ConfState {
        conf_state_out(&self.raw.raft.prs().conf().to_conf_state())
    }

    /// The term of the entry at `index`, if the log still holds it.
    #[must_use]
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        let log = &self.raw.raft.raft_log;
        let held = log.first_index() - 1..=log.last_index();
        if !held.contains(&index.0) {
            return None;
        }
        log.term(index.0).ok().map(Term)
    }

    /// The entries after `index`, also those that are not durable, in order; `None` when the log
    /// does not reach back so far. Their data are shared. Ask for what is not applied yet: the
    /// answer is as long as what lies there.
    #[must_use]
    pub fn entries_after(&self, index: LogIndex) -> Option<Vec<Entry>> {
        let held = self.raw.store();
        if index < held.start().index {
            return None;
        }
        let mut entries: Vec<Entry> = held.after(index.0).cloned().collect();
        // What no `Ready` has handed out yet may overrule some of it.
        for entry in self.raw.raft.raft_log.unstable_entries() {
            if entry.index > index.0 && entry.index > held.last() {
                entries.push(entry_out(entry.clone()));
            }
        }
        Some(entries)
    }

    /// Ticks without a leader's word after which a follower may stand for election.
    #[must_use]
    pub fn election_ticks(&self) -> usize {
        self.config.election_ticks
    }

    /// Bytes of log in memory, entries' overhead included.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        self.raw.store().bytes()
    }

    /// Bytes of log in memory that were not applied yet.
    #[must_use]
    pub fn unapplied_bytes(&self) -> u64 {
        self.raw.store().unapplied_bytes()
    }

    /// True when [`ready`](Self::ready) has something to say.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        self.raw.has_ready() || self.reads.has_dropped() || self.raw.store().has_wanted()
    }

    fn leads(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    fn is_voter(&self, id: u64) -> bool {
        self.raw.raft.prs().conf().voters().contains(id)
    }

    /// Puts right what the core may have changed on its own. Follows every call into it.
    ///
    /// The core draws election timeouts from the thread's generator. Whether it has drawn one
    /// cannot be seen for sure, since it may draw the same again; but it draws only when its
    /// term, role or leader changes. So a new timeout is drawn here whenever those differ, and
    /// ours is put back in any case.
    fn settle(&mut self) {
        let raft = &mut self.raw.raft;
        let situation = (raft.term, raft.state, raft.leader_id);
        if situation != self.timeout_for {
            self.timeout_for = situation;
            let spread = self.config.election_ticks as u64;
            let drawn = usize::try_from(self.rng.next_u64() % spread)
                .expect("less than election_ticks, a usize");
            self.timeout_ticks = self.config.election_ticks + drawn;
        }
        raft.set_randomized_election_timeout(self.timeout_ticks);
        let (term, leads) = (raft.term, raft.state == StateRole::Leader);
        self.reads.enter(term, leads);
        if leads && self.reads.has_held() && self.raw.raft.commit_to_current_term() {
            for read in self.reads.take_held() {
                self.begin_read(read);
            }
        }
    }

    /// Whether the core can stand for election without breaking on it or cutting a corner.
    fn may_campaign(&self) -> bool {
        let raft = &self.raw.raft;
        let log = &raft.raft_log;
        if self.held_back || !raft.promotable() {
            return false;
        }
        // A snapshot is being installed: the store lies behind the log's start.
        if raft.snap().is_some() || log.applied < self.raw.store().start().index.0 {
            return false;
        }
        // A lone voter elects itself on the spot, and must hold what it then counts as held.
        let durable = log.persisted == log.last_index()
            && !self.in_flight.iter().any(|ready| ready.grows_log);
        if raft.prs().is_singleton() && !durable {
            return false;
        }
        // Two configurations that differ by more than one change may not both elect.
        let (first, last) = (log.applied + 1, log.committed);
        let unstable = log.unstable_entries().iter();
        self.raw.store().conf_change_in(first, last).is_none()
            && !unstable
                .filter(|entry| (first..=last).contains(&entry.index))
                .any(|entry| entry.get_entry_type() != raft::eraftpb::EntryType::EntryNormal)
    }

    /// Tells the core what was applied, as far as it can know of it: committed, durable, and
    /// not beyond a configuration change that it was not told of.
    fn advance_applied(&mut self) {
        let log = &self.raw.raft.raft_log;
        let mut to = self.applied.min(log.committed).min(log.persisted);
        if let Some(change) = self.raw.store().conf_change_in(self.conf_applied + 1, to) {
            to = change - 1;
        }
        if to > log.applied {
            self.raw.advance_apply_to(to);
            self.raw.mut_store().applied_to(to);
        }
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("config", &self.config)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// Checks what the core would only assert, and returns the hard state with its commit index
/// raised to what is known to be committed, and its term to that of the newest entry.
///
/// A write that a crash tore may have left the entries of a new term without the hard state that
/// was written behind them. Nothing was promised in that term then: whatever promises anything
/// leaves only when the hard state is durable. So the member is in that term, and has not voted.
fn check_recovered(recovered: &Recovered) -> Result<HardState, RecoverError> {
    let Recovered { hard_state, conf_state, start, entries, applied } = recovered;
    check_membership(conf_state).map_err(RecoverError::Membership)?;
    let (mut last, mut term) = (start.index, start.term);
    if (start.index.0 == 0) != (term.0 == 0) {
        return Err(RecoverError::Terms { index: last, term, at_least: Term(0) });
    }
    for entry in entries {
        let (expected, found) = (last.next(), entry.index);
        if found != expected {
            return Err(RecoverError::Gap { expected, found });
        }
        if entry.term < term || entry.term.0 == 0 {
            let (index, at_least) = (found, term.max(Term(1)));
            return Err(RecoverError::Terms { index, term: entry.term, at_least });
        }
        (last, term) = (found, entry.term);
    }
    if hard_state.commit > last {
        return Err(RecoverError::CommitBeyondLog { commit: hard_state.commit, last });
    }
    if *applied > last {
        return Err(RecoverError::AppliedBeyondLog { applied: *applied, last });
    }
    if *applied < start.index {
        return Err(RecoverError::AppliedBehindLog { applied: *applied, start: start.index });
    }
    let commit = hard_state.commit.max(*applied);
    if term > hard_state.term {
        mark!("raft.hard_state_torn_off");
        return Ok(HardState { term, vote: MemberId(0), commit });
    }
    Ok(HardState { commit, ..*hard_state })
}

#[cfg(test)]
mod tests;
