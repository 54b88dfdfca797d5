//! The consensus side of a member: inputs in, effects out.

mod decisions;
mod effects;
mod snapshots;
mod stall;

pub use effects::{Append, Effects, Leadership, Work};

use crate::ends::Ends;
use crate::lead::LeaderCommand;
use crate::learner::{NotReady, is_ready};
use crate::reads::Reads;
use bytes::Bytes;
use decisions::Waiter;
use drystone_machine::Change;
use drystone_probe::{mark, planted};
use drystone_raft::{
    ApplyConfChangeError, ConfChange, LeadError, Message, MessageKind, ProposeError, Ready,
    Replica, Role, StepError,
};
use drystone_types::{ConfState, LogIndex, MemberId};
use snapshots::Transfer;
use stall::Stall;
use std::collections::{BTreeMap, VecDeque};

/// Settings of a [`Node`].
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Entries that the log keeps behind the flushed index, for followers that are slow.
    pub catchup_entries: u64,
    /// Linearizable reads that may wait at once.
    pub reads_max: usize,
    /// Ticks after which an unanswered read index round is repeated (etcd: 500 ms).
    pub read_retry_ticks: usize,
    /// Must differ between two runs of a member; see [`Node::read`].
    pub first_read_context: u64,
    /// Ticks for which the log is kept after a snapshot was delivered, so that its receiver
    /// finds what follows (etcd: 30 s).
    pub snapshot_hold_ticks: usize,
    /// Bytes of log in memory beyond which it is cut as far as the store allows, whoever may
    /// still need it.
    pub log_bytes_max: u64,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            catchup_entries: 5_000,
            reads_max: 65_536,
            read_retry_ticks: 5,
            first_read_context: 1,
            snapshot_hold_ticks: 300,
            log_bytes_max: 512 << 20,
        }
    }
}

/// One replica with the reads that wait on it and the log it may drop.
///
/// `R` stands for a waiting read; the node only hands it back.
#[derive(Debug)]
pub struct Node<R> {
    config: NodeConfig,
    replica: Replica,
    reads: Reads<Waiter<R>>,
    leadership: Leadership,
    applied: LogIndex,
    committed: LogIndex,
    flushed: LogIndex,
    compacted: LogIndex,
    pending: Effects<R>,
    served: VecDeque<(LogIndex, Vec<R>)>,
    /// Members that a snapshot is made for or sent to, and how far it is.
    snapshots_under_way: BTreeMap<MemberId, Transfer>,
    hold_ticks: usize,
    /// Leases that the log ends behind what is applied; only while this member leads.
    ends: Ends,
    /// Decisions that wait for a quorum.
    unconfirmed: usize,
    /// Decisions that a quorum has confirmed and that are not in the log yet, oldest first.
    decided: Vec<LeaderCommand>,
    /// Whether the log and the apply side move.
    stall: Stall,
}

impl<R> Node<R> {
    /// A node over a replica that was restored; `applied` is what the store holds and
    /// `flushed` what of it survives a power cut.
    #[must_use]
    pub fn new(config: NodeConfig, replica: Replica, applied: LogIndex, flushed: LogIndex) -> Self {
        let reads =
            Reads::new(config.first_read_context, config.reads_max, config.read_retry_ticks);
        Self {
            config,
            replica,
            reads,
            leadership: Leadership::default(),
            applied,
            committed: applied,
            flushed,
            compacted: LogIndex(0),
            pending: Effects::default(),
            served: VecDeque::new(),
            snapshots_under_way: BTreeMap::new(),
            hold_ticks: 0,
            ends: Ends::default(),
            unconfirmed: 0,
            decided: Vec::new(),
            stall: Stall::new(applied),
        }
    }

    /// One tick of raft's clock has passed.
    ///
    /// A leader whose log or apply side has work and has finished none of it for an election
    /// timeout hands its leadership over, or gives it up when nobody takes it; a single voter has
    /// nobody to give it to and goes on. While either stands still like that, this member does
    /// not stand for election, nor lead when it is handed over to it.
    pub fn tick(&mut self) {
        self.mind_stalls();
        self.replica.tick();
        self.hold_ticks = self.hold_ticks.saturating_sub(1);
        self.age_offers();
        if let Some(context) = self.reads.tick() {
            self.ask(context);
        }
    }

    /// Takes a message of another member. One that no correct member could have sent is
    /// refused and changes nothing.
    ///
    /// # Errors
    /// [`StepError`] says why; the connection it came on is worth a warning.
    pub fn receive(&mut self, message: Message) -> Result<(), StepError> {
        self.replica.step(message)
    }

    /// Proposes a command. It is not durable, and may yet be lost: only its application
    /// answers it.
    ///
    /// # Errors
    /// [`ProposeError`] when it certainly did not enter the log.
    pub fn propose(&mut self, data: Bytes) -> Result<(), ProposeError> {
        self.propose_decided();
        self.replica.propose(data)
    }

    /// Proposes commands together, all or none.
    ///
    /// # Errors
    /// [`ProposeError`] when none entered the log.
    pub fn propose_batch(&mut self, batch: Vec<Bytes>) -> Result<(), ProposeError> {
        self.propose_decided();
        if planted!("member.proposal_duplicated") && !self.leadership.is_leader {
            self.replica.propose_batch(batch.clone())?;
        }
        self.replica.propose_batch(batch)
    }

    /// Proposes a change of the membership under the id `request`. Like a command it may yet be
    /// lost, and like one it is answered when it is applied, under its id; tell raft of it then
    /// with [`Node::membership_changed`].
    ///
    /// # Errors
    /// [`ProposeError`] when it certainly did not enter the log. A leader takes none while an
    /// earlier one is not applied ([`ProposeError::ConfChangePending`]).
    pub fn propose_conf_change(
        &mut self,
        request: u64,
        change: &Change,
    ) -> Result<(), ProposeError> {
        let change = ConfChange::decode(&change.encode(request))
            .expect("what the machine writes is raftpb's");
        self.replica.propose_conf_change(&change)
    }

    /// Says, as the leader, whether a learner may be promoted: it has caught up with nine
    /// tenths of the log.
    ///
    /// # Errors
    /// [`NotReady`] says why not.
    pub fn check_learner(&self, id: MemberId) -> Result<(), NotReady> {
        let status = self.replica.status();
        if status.role != Role::Leader {
            return Err(NotReady::NotLeader);
        }
        let learner = status.peers.iter().find(|peer| peer.id == id);
        let learner = learner.ok_or(NotReady::Unknown(id))?;
        if !learner.learner {
            return Err(NotReady::NotLearner(id));
        }
        let leader = status.peers.iter().find(|peer| peer.id == status.id);
        let held = leader.map_or(status.persisted, |leader| leader.matched);
        match is_ready(learner.matched, held) {
            true => Ok(()),
            false => Err(NotReady::Behind(id)),
        }
    }

    /// Begins to hand leadership to `to`. It is done when [`Node::leadership`] says so, or given
    /// up after an election timeout; proposals are refused meanwhile.
    ///
    /// # Errors
    /// [`LeadError`] when this member does not lead, or `to` does not vote.
    pub fn transfer_leader(&mut self, to: MemberId) -> Result<(), LeadError> {
        self.replica.transfer_leader(to)
    }

    /// Asks the leader to hand its leadership to this member. Nothing comes of it when nobody
    /// leads, this member does, or it has no vote; so look at [`Node::leadership`] for a while.
    pub fn ask_for_leadership(&mut self) {
        let (own, term) = (self.replica.id(), self.replica.term());
        if let Some(leader) = self.replica.leader().filter(|leader| *leader != own) {
            let ask = Message::new(MessageKind::TransferLeader, own, leader, term);
            self.pending.send.push(ask);
        }
    }

    /// Lets a linearizable read wait for a confirmation of leadership that begins after this
    /// call; gives it back when too many wait.
    ///
    /// # Errors
    /// The read itself.
    pub fn read(&mut self, read: R) -> Result<(), R> {
        if self.reads.is_full() {
            return Err(read);
        }
        self.reads.add(Waiter::Read(read));
        Ok(())
    }

    /// Everything up to append `number` is durable.
    pub fn persisted(&mut self, number: u64) {
        self.stall.log.done(number);
        self.replica.log_persisted(number);
    }

    /// Everything up to `index` was applied.
    pub fn applied(&mut self, index: LogIndex) {
        if index > self.applied {
            self.applied = index;
            self.stall.apply.done(index.0);
            self.replica.applied_to(index);
            if planted!("member.flushed_is_applied") {
                self.flushed(index);
            }
        }
    }

    /// Everything up to `index` is on disk in the store, so that the log before it, less the
    /// tail for slow followers, may go.
    pub fn flushed(&mut self, index: LogIndex) {
        self.flushed = self.flushed.max(index);
        let crowded = self.replica.log_bytes() > self.config.log_bytes_max;
        let held = !self.snapshots_under_way.is_empty() || self.hold_ticks > 0;
        if held && !crowded {
            mark!("member.log_held_for_snapshot");
            return;
        }
        let tail = if crowded { 0 } else { self.config.catchup_entries };
        let keep_from = self.flushed.0.saturating_sub(tail);
        // Cutting costs a little work each time, so it waits for a tenth of the tail.
        let step = self.config.catchup_entries / 10 + 1;
        if keep_from >= self.compacted.0 + step {
            mark!("member.log_cut");
            if crowded {
                mark!("member.log_cut_when_crowded");
            }
            self.compacted = LogIndex(keep_from);
            self.replica.compact_log(self.compacted);
            self.pending.compact_log = Some(self.compacted);
        }
    }

    /// The change of membership in entry `index` was applied; [`ConfChange::nothing`] when the
    /// machine refused it.
    ///
    /// # Errors
    /// [`ApplyConfChangeError`] when it would leave no voter.
    pub fn membership_changed(
        &mut self,
        index: LogIndex,
        change: &ConfChange,
    ) -> Result<ConfState, ApplyConfChangeError> {
        self.replica.apply_conf_change(index, change)
    }

    /// Messages to `to` do not get through.
    pub fn unreachable(&mut self, to: MemberId) {
        self.replica.report_unreachable(to);
    }

    /// Stands for election at once if nobody else votes, instead of waiting for a leader that
    /// cannot be. True when this member leads or nothing speaks for it any more.
    pub fn campaign_alone(&mut self) -> bool {
        if self.replica.leader().is_some() {
            return true;
        }
        let voters = self.replica.conf_state().voters;
        if voters.is_empty() {
            return false;
        }
        // It is refused until the membership is applied, and tried again then.
        voters != [self.replica.id()] || self.replica.campaign().is_ok()
    }

    /// Hands leadership to the follower that is furthest along, if this member leads and there
    /// is one; returns whom it chose.
    pub fn hand_over(&mut self) -> Option<MemberId> {
        if self.replica.role() != Role::Leader {
            return None;
        }
        let status = self.replica.status();
        let successor = status
            .peers
            .iter()
            .filter(|peer| !peer.learner && peer.id != status.id && peer.recently_active)
            .max_by_key(|peer| peer.matched)?
            .id;
        self.replica.transfer_leader(successor).ok()?;
        Some(successor)
    }

    /// True when this member is the only voter.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.replica.conf_state().voters == [self.replica.id()]
    }

    /// Who leads, as this member knows it.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        self.leadership
    }

    /// The newest index known to be committed.
    #[must_use]
    pub fn committed(&self) -> LogIndex {
        self.committed
    }

    /// What has to happen now. Call after every round of inputs and carry out all of it;
    /// nothing in it may be dropped but messages.
    pub fn effects(&mut self) -> Effects<R> {
        if let Some(context) = self.reads.start() {
            self.ask(context);
        }
        loop {
            while let Some(ready) = self.replica.ready() {
                self.take_ready(ready);
                self.notice_leadership();
            }
            self.notice_leadership();
            if !self.propose_decided() {
                break;
            }
        }
        self.pending.reads.extend(self.served.drain(..));
        std::mem::take(&mut self.pending)
    }

    /// Asks for a read index. Without a leader the round waits for one, or for its next try.
    fn ask(&mut self, context: Bytes) {
        if self.answers_alone() {
            let index = self.replica.commit();
            self.confirmed(&context, index);
            return;
        }
        if let Err(error) = self.replica.read_index(context) {
            tracing::trace!(%error, "a read index waits");
        }
    }

    /// Whether a planted fault lets this leader take its own commit index for the cluster's.
    fn answers_alone(&self) -> bool {
        if !self.leadership.is_leader {
            return false;
        }
        let fresh = || self.replica.term_at(self.replica.commit()) != Some(self.leadership.term);
        planted!("member.read_without_quorum")
            || (planted!("member.read_before_first_commit") && fresh())
    }

    fn take_ready(&mut self, ready: Ready) {
        self.track_snapshots(&ready);
        for state in ready.read_states {
            self.confirmed(&state.context, state.index);
        }
        for context in ready.reads_dropped {
            self.reads.dropped(&context);
        }
        self.pending.send.extend(ready.messages);
        if let Some(snapshot) = &ready.snapshot {
            self.committed = self.committed.max(snapshot.index);
            let number = if planted!("member.install_before_log") { 0 } else { ready.number };
            self.pending.apply.push(Work::Install { snapshot: snapshot.clone(), number });
        }
        self.stall.log.given(ready.number);
        self.pending.append.push(Append {
            number: ready.number,
            snapshot: ready.snapshot,
            entries: ready.entries,
            hard_state: ready.hard_state,
            must_sync: ready.must_sync,
            then_send: ready.messages_after_persist,
        });
        if let Some(last) = ready.committed.last() {
            self.committed = self.committed.max(last.index);
            self.pending.apply.push(Work::Entries(ready.committed));
        }
        self.stall.apply.given(self.committed.0);
    }

    fn notice_leadership(&mut self) {
        let now = Leadership {
            leader: self.replica.leader().unwrap_or_default(),
            term: self.replica.term(),
            is_leader: self.replica.role() == Role::Leader,
        };
        if now == self.leadership {
            return;
        }
        if now.leader != self.leadership.leader && !self.leadership.leader.is_none() {
            // A round that the old leader was asked to confirm may have died with it, and its
            // answer must not count for the new one (etcd answers "leader changed").
            self.unconfirmed = 0;
            let reads = self.reads.abort().into_iter().filter_map(Waiter::read);
            let before = self.pending.interrupted.len();
            self.pending.interrupted.extend(reads);
            if self.pending.interrupted.len() > before {
                mark!("member.reads_interrupted");
            }
        }
        if self.leadership.is_leader && !now.is_leader {
            mark!("member.leader_stepped_down");
        }
        let elected = !now.leader.is_none() && now.leader != self.leadership.leader;
        self.leadership = now;
        // Another leader may overrule what was seen.
        self.ends = Ends::default();
        self.decided.clear();
        if elected && let Some(context) = self.reads.restart() {
            mark!("member.read_round_found_a_leader");
            self.ask(context);
        }
        self.pending.leadership = Some(now);
    }
}
