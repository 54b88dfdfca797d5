//! Everything that can happen to a replica.

use super::{Replica, Role};
use crate::conf_change::{ConfChange, ConfChangeKind, MEMBERS_MAX, check_membership};
use crate::convert::{entry_in, message_in};
use crate::error::{
    ApplyConfChangeError, LeadError, ProposeError, ReadError, SnapshotError, StepError,
};
use crate::message::{Message, MessageKind, READ_CONTEXT_BYTES_MAX, SnapshotMeta};
use crate::reads::HeldRead;
use bytes::Bytes;
use drystone_probe::{mark, planted};
use drystone_types::{ConfState, Entry, EntryKind, LogIndex, MemberId, Term};
use raft::SnapshotStatus;
use raft::eraftpb as pb;

impl Replica {
    /// One tick of the clock has passed.
    pub fn tick(&mut self) {
        let raft = &mut self.raw.raft;
        let due = raft.election_elapsed + 1 >= raft.randomized_election_timeout();
        if due && self.role() != Role::Leader && !self.may_campaign() {
            mark!("raft.campaign_refused");
            // Stand still at the timeout: the next tick tries again, and meanwhile no leader
            // is taken to be alive, so that others get this replica's vote.
            let raft = &mut self.raw.raft;
            raft.election_elapsed = raft.randomized_election_timeout();
        } else {
            self.raw.tick();
        }
        self.settle();
    }

    /// Takes a message from a peer.
    ///
    /// # Errors
    /// No correct peer sends this message to a replica in this state, or a forwarded proposal
    /// was not taken. The replica is as before.
    /// [`StepError::LogLost`] means that this member must be replaced.
    pub fn step(&mut self, message: Message) -> Result<(), StepError> {
        message.check(self.id())?;
        let Some(message) = self.admit(message)? else {
            mark!("raft.message_let_go");
            return Ok(());
        };
        let outcome = match message.kind {
            MessageKind::ReadIndex => {
                self.step_read(message);
                Ok(())
            }
            MessageKind::Propose => self.step_propose(message).map_err(StepError::from),
            _ => {
                let from = message.from;
                self.raw.step(message_in(message)).map_err(|_| StepError::UnknownPeer(from))
            }
        };
        self.settle();
        outcome
    }

    /// Proposes one command. A follower passes it on to its leader; then no one reports its
    /// loss, so the proposer must watch for it with a timeout of its own.
    ///
    /// # Errors
    /// It was not taken. Nothing was sent.
    pub fn propose(&mut self, data: Bytes) -> Result<(), ProposeError> {
        self.propose_batch(vec![data])
    }

    /// Proposes commands that are to become neighbours in the log: all or none.
    ///
    /// # Errors
    /// None was taken. Nothing was sent.
    pub fn propose_batch(&mut self, batch: Vec<Bytes>) -> Result<(), ProposeError> {
        let entries = batch.into_iter().map(|data| Entry { data, ..Entry::default() });
        self.propose_entries(entries.collect())
    }

    /// Proposes a change of the membership.
    ///
    /// # Errors
    /// It was not taken. A leader takes none while an earlier one is not applied.
    pub fn propose_conf_change(&mut self, change: &ConfChange) -> Result<(), ProposeError> {
        let data = change.encode();
        self.propose_entries(vec![Entry { kind: EntryKind::ConfChange, data, ..Entry::default() }])
    }

    fn propose_entries(&mut self, entries: Vec<Entry>) -> Result<(), ProposeError> {
        let (id, leader) = (self.id(), self.leader().ok_or(ProposeError::NoLeader)?);
        let mut message = Message::new(MessageKind::Propose, id, leader, Term(0));
        message.entries = entries;
        let outcome = self.step_propose(message);
        self.settle();
        outcome
    }

    fn step_propose(&mut self, message: Message) -> Result<(), ProposeError> {
        if message.entries.is_empty() {
            return Err(ProposeError::Empty);
        }
        let bytes_max = self.config.proposal_bytes_max;
        let large = message.entries.iter().map(|entry| entry.data.len()).find(|n| *n > bytes_max);
        if let Some(bytes) = large {
            return Err(ProposeError::TooLarge { bytes, bytes_max });
        }
        if self.leader().is_none() {
            return Err(ProposeError::NoLeader);
        }
        let leads = self.leads();
        if leads {
            if self.raw.raft.lead_transferee.is_some() {
                return Err(ProposeError::Transferring);
            }
            if self.unapplied_bytes() >= self.config.unapplied_bytes_max {
                return Err(ProposeError::Full);
            }
            // The core would silently put an empty entry in its place.
            let changes = message.entries.iter().filter(|entry| entry.kind != EntryKind::Normal);
            let changes = changes.count();
            if changes > 1 || changes == 1 && self.raw.raft.has_pending_conf() {
                mark!("raft.change_waits_for_another");
                return Err(ProposeError::ConfChangePending);
            }
        }
        self.raw.step(message_in(message)).map_err(|_| match leads {
            true => ProposeError::Full,
            false => ProposeError::Dropped,
        })
    }

    /// Asks for a read index: the answer is a [`ReadState`](super::ReadState) with this
    /// context in a later [`Ready`](super::Ready). Every read that began before this call may
    /// be served once its index is applied; so let many reads share one call.
    ///
    /// A context may be used again at any time: an answer always belongs to a call made after
    /// the last one with the same context was answered or dropped. A request or its answer may
    /// be lost; ask again after a while. Reads that can no longer be answered come back in
    /// [`Ready::reads_dropped`](super::Ready::reads_dropped).
    ///
    /// # Errors
    /// Nobody leads, or too many reads wait for a quorum.
    pub fn read_index(&mut self, context: Bytes) -> Result<(), ReadError> {
        // Peers add a nonce of theirs to ours.
        if context.len() > READ_CONTEXT_BYTES_MAX - 16 {
            return Err(ReadError::Context(context.len()));
        }
        if self.leader().is_none() {
            return Err(ReadError::NoLeader);
        }
        if self.leads() && self.reads.is_full(self.raw.raft.pending_read_count()) {
            return Err(ReadError::Full);
        }
        let name = self.reads.begin(context);
        self.hold_or_begin_read(HeldRead { from: None, name });
        self.settle();
        Ok(())
    }

    /// A peer's read. On a leader it gets a name of its own; a follower passes it on. One of
    /// this member's that comes back was given up when the leader changed.
    fn step_read(&mut self, mut message: Message) {
        if message.from == self.id() {
            return;
        }
        if self.leads() {
            if self.reads.is_full(self.raw.raft.pending_read_count()) {
                return;
            }
            let name = self.reads.name(&message.entries[0].data);
            self.hold_or_begin_read(HeldRead { from: Some(message.from), name });
        } else {
            message.entries.truncate(1);
            // Without a leader the core drops it, and the peer asks again.
            let _ = self.raw.step(message_in(message));
        }
    }

    /// Until a leader has committed something in its term, it cannot know what is committed
    /// (Raft, section 8). The core drops reads until then.
    fn hold_or_begin_read(&mut self, read: HeldRead) {
        if self.leads() && !self.raw.raft.commit_to_current_term() {
            self.reads.hold(read);
        } else {
            self.begin_read(read);
        }
    }

    pub(super) fn begin_read(&mut self, read: HeldRead) {
        let mut message = pb::Message::default();
        message.set_msg_type(pb::MessageType::MsgReadIndex);
        message.from = read.from.unwrap_or_default().0;
        let entry = Entry { data: read.name, ..Entry::default() };
        message.set_entries(vec![entry_in(entry)].into());
        // The core has no error for reads.
        let _ = self.raw.step(message);
    }

    /// Stands for election now, without waiting for the timeout.
    ///
    /// # Errors
    /// This replica cannot lead, or not yet.
    pub fn campaign(&mut self) -> Result<(), LeadError> {
        if self.leads() {
            return Ok(());
        }
        if !self.is_voter(self.id().0) {
            return Err(LeadError::NotVoter(self.id()));
        }
        if !self.may_campaign() {
            return Err(LeadError::NotReady);
        }
        let outcome = self.raw.campaign().map_err(|_| LeadError::NotReady);
        self.settle();
        outcome
    }

    /// Begins to hand leadership to `to`. Until it is done or an election timeout has passed,
    /// proposals are refused.
    ///
    /// # Errors
    /// This replica does not lead, or `to` does not vote.
    pub fn transfer_leader(&mut self, to: MemberId) -> Result<(), LeadError> {
        if !self.leads() {
            return Err(LeadError::NotLeader);
        }
        if !self.is_voter(to.0) {
            return Err(LeadError::NotVoter(to));
        }
        self.raw.transfer_leader(to.0);
        self.settle();
        Ok(())
    }

    /// While held back, this replica does not stand for election and takes no votes, whoever
    /// asks it to lead: what leading takes is out of order here. It goes on voting and following.
    /// A replica that leads already goes on leading.
    pub fn hold_back(&mut self, held_back: bool) {
        self.held_back = held_back;
    }

    /// Gives up leadership, for instance because this member's disk has hung. Others elect a
    /// new leader after their timeouts. Does nothing unless leading.
    pub fn step_down(&mut self) {
        if self.leads() {
            let raft = &mut self.raw.raft;
            raft.become_follower(raft.term, raft::INVALID_ID);
            self.settle();
        }
    }

    /// A message to `peer` was probably lost. The leader then probes instead of streaming.
    pub fn report_unreachable(&mut self, peer: MemberId) {
        self.raw.report_unreachable(peer.0);
        self.settle();
    }

    /// The snapshot sent to `peer` arrived, or did not. Must follow every message of kind
    /// [`Snapshot`](MessageKind::Snapshot): nothing else is sent to that peer before.
    pub fn report_snapshot(&mut self, peer: MemberId, arrived: bool) {
        let status = if arrived { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
        self.raw.report_snapshot(peer.0, status);
        self.settle();
    }

    /// Offers a snapshot to peers that need entries from before the log's start, and sends it
    /// to those that asked (see [`Ready::snapshots_wanted`](super::Ready::snapshots_wanted)).
    /// It stays on offer until it is replaced, withdrawn, or left behind by compaction; the
    /// member keeps its data as long. Peers that do not occur in its configuration do not get
    /// it, and are reported again.
    ///
    /// # Errors
    /// The log does not go on from this snapshot.
    pub fn offer_snapshot(
        &mut self,
        snapshot: SnapshotMeta,
        to: &[MemberId],
    ) -> Result<(), SnapshotError> {
        check_membership(&snapshot.conf_state)?;
        if snapshot.conf_state.voters.is_empty() {
            return Err(crate::error::MembershipError::NoVoter.into());
        }
        let (index, claimed) = (snapshot.index, snapshot.term);
        let first = self.raw.store().start().index;
        let applied = LogIndex(self.raw.raft.raft_log.applied);
        if index.0 == 0 || index < first || index > applied {
            mark!("raft.snapshot_too_old");
            return Err(SnapshotError::Index { index, first, applied });
        }
        let found = self.term_at(index).unwrap_or_default();
        if found != claimed {
            return Err(SnapshotError::Term { index, claimed, found });
        }
        mark!("raft.snapshot_offered");
        self.raw.mut_store().offer(Some(snapshot));
        if self.leads() {
            for peer in to {
                if *peer != self.id() && self.raw.raft.prs().get(peer.0).is_some() {
                    self.raw.raft.send_append(peer.0);
                }
            }
        }
        self.settle();
        Ok(())
    }

    /// Takes the snapshot off offer. Peers that need one are reported again.
    pub fn withdraw_snapshot(&mut self) {
        self.raw.mut_store().offer(None);
    }

    /// The [`Ready`](super::Ready) of this number and all before it are durable. Its
    /// `messages_after_persist` may be sent from now on. Entries may be committed by this.
    pub fn log_persisted(&mut self, number: u64) {
        debug_assert!(number <= self.last_number, "no Ready has number {number}");
        while self.in_flight.front().is_some_and(|ready| ready.number <= number) {
            self.in_flight.pop_front();
        }
        self.raw.on_persist_ready(number);
        self.advance_applied();
        self.settle();
    }

    /// The store holds the effects of every entry up to `index`. A snapshot counts as applied
    /// when the store has taken it over.
    pub fn applied_to(&mut self, index: LogIndex) {
        self.applied = self.applied.max(index.0);
        self.advance_applied();
        self.settle();
    }

    /// Carries out the committed configuration change of entry `index`. Must be called for
    /// every entry of that kind, in order; with [`ConfChange::nothing`] when the state machine
    /// refused the change. Until then [`applied_to`](Self::applied_to) takes no effect beyond
    /// the entry before, and this replica does not stand for election.
    ///
    /// A leader that is no voter afterwards steps down.
    ///
    /// # Errors
    /// The change is impossible (it leaves no voter), or a snapshot has overtaken it. The
    /// configuration stays as it was.
    pub fn apply_conf_change(
        &mut self,
        index: LogIndex,
        change: &ConfChange,
    ) -> Result<ConfState, ApplyConfChangeError> {
        // The core takes over a snapshot's configuration when the message comes in.
        let incoming = self.raw.raft.snap().map_or(0, |snapshot| snapshot.get_metadata().index);
        let by = LogIndex(self.conf_applied.max(incoming));
        if index <= by {
            return Err(ApplyConfChangeError::Superseded { index, by });
        }
        self.conf_applied = index.0;
        let outcome = self.change_conf(change);
        // The core would look up its own progress in the next commit, and find none.
        if self.leads() && !self.is_voter(self.id().0) {
            mark!("raft.removed_leader_stepped_down");
            self.step_down();
        }
        self.advance_applied();
        self.settle();
        outcome.map(|()| self.conf_state())
    }

    fn change_conf(&mut self, change: &ConfChange) -> Result<(), ApplyConfChangeError> {
        let kind = match change.kind {
            ConfChangeKind::AddNode => pb::ConfChangeType::AddNode,
            ConfChangeKind::RemoveNode if planted!("raft.removed_member_counts") => return Ok(()),
            ConfChangeKind::RemoveNode => pb::ConfChangeType::RemoveNode,
            ConfChangeKind::AddLearnerNode if planted!("raft.learner_votes") => {
                pb::ConfChangeType::AddNode
            }
            ConfChangeKind::AddLearnerNode => pb::ConfChangeType::AddLearnerNode,
            ConfChangeKind::UpdateNode => return Ok(()),
        };
        if change.member.is_none() {
            return Ok(());
        }
        let removes = change.kind == ConfChangeKind::RemoveNode;
        if !removes && self.raw.raft.prs().iter().len() >= MEMBERS_MAX {
            let reason = format!("there are {MEMBERS_MAX} members");
            return Err(ApplyConfChangeError::Impossible(reason));
        }
        let mut out = pb::ConfChange::default();
        out.set_change_type(kind);
        out.node_id = change.member.0;
        let applied = self.raw.apply_conf_change(&out);
        applied.map(drop).map_err(|error| ApplyConfChangeError::Impossible(error.to_string()))
    }

    /// Forgets entries up to `to`, as far as they were applied. Peers that still need them get
    /// a snapshot instead; keep a tail for those that are only slow.
    pub fn compact_log(&mut self, to: LogIndex) {
        let applied = self.raw.raft.raft_log.applied;
        self.raw.mut_store().compact(to.0.min(applied));
    }
}
