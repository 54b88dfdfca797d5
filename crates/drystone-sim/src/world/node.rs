//! The member's thread: consensus. It follows the server's thread of the same name.

use super::log::promise;
use super::{Event, World};
use crate::host::{Actor, ApplyInput, Input, LogInput, Process, Token};
use drystone_api::errors::EtcdError;
use drystone_judge::Outcome;
use drystone_member::{Effects, Leadership, Work};
use drystone_raft::ProposeError;
use drystone_types::LogIndex;

/// Proposals that wait for a leader, as in the server.
const PARKED_MAX: usize = 4_096;

/// The read that a member waits for when it starts; asks of clients have other numbers.
pub(super) const START: Token = 0;

impl World {
    pub(super) fn tick(&mut self, m: usize) {
        let incarnation = self.hosts[m].incarnation;
        let span = self.tick_span(m);
        // A process that was stopped does not make up for it with a burst of ticks.
        self.after(span, Event::Tick(m, incarnation));
        if let Some(process) = &mut self.hosts[m].process {
            process.tick_due = true;
            self.wake(m, Actor::Node);
        }
        self.knock(m);
    }

    pub(super) fn run_node(&mut self, m: usize) {
        let mut proposals = Vec::new();
        for _ in 0..self.knobs.round_inputs_max {
            let Some(process) = &mut self.hosts[m].process else { return };
            let Some(input) = process.inbox.pop_front() else { break };
            self.take(m, input, &mut proposals);
        }
        self.propose(m, proposals);
        self.propose_changes(m);
        let Some(process) = &mut self.hosts[m].process else { return };
        if process.persisted > process.told_persisted {
            process.told_persisted = process.persisted;
            process.node.persisted(process.persisted);
        }
        if process.applied > process.told_applied {
            process.told_applied = process.applied;
            process.node.applied(LogIndex(process.applied));
        }
        let ticked = std::mem::take(&mut process.tick_due);
        if ticked {
            process.node.tick();
            process.node.flushed(LogIndex(process.flushed));
        }
        process.started = process.started || process.node.campaign_alone();
        self.carry_out(m, ticked);
        let Some(process) = &self.hosts[m].process else { return };
        if !process.inbox.is_empty() {
            self.wake(m, Actor::Node);
        }
    }

    fn take(&mut self, m: usize, input: Input, proposals: &mut Vec<(u64, bytes::Bytes)>) {
        let Some(process) = &mut self.hosts[m].process else { return };
        match input {
            Input::Propose { id, data } => proposals.push((id, data)),
            Input::Lead(command) => {
                self.judges.expiry.decided(m, &command);
                // A leader that is none any more has nothing to say.
                let _ = process.node.propose_as_leader(command);
            }
            Input::Read(token) => {
                if process.node.read(token).is_err() {
                    self.turn_away(m, token, EtcdError::RequestTooManyRequests);
                }
            }
            Input::Peer(message) => {
                self.judges.expiry.heard(m, &message);
                if let Err(error) = process.node.receive(message) {
                    self.trace.say(self.now, format_args!("m{m} refuses a message: {error}"));
                }
            }
            Input::Unreachable(id) => process.node.unreachable(id),
            Input::SnapshotSent(id, delivered) => {
                process.node.snapshot_sent(id, delivered);
                self.trace.say(
                    self.now,
                    format_args!("m{m} hears that its snapshot for {id} was sent: {delivered}"),
                );
            }
            Input::SnapshotReady(to, meta) => {
                let index = meta.index;
                if let Err(error) = process.node.snapshot_ready(to, meta) {
                    self.offered.remove(&(m, index));
                    self.trace.say(self.now, format_args!("m{m} snapshot too late: {error}"));
                }
            }
            Input::Membership(index, change) => self.change_raft(m, index, &change),
            Input::Change { id, change } => process.changes.push((id, change)),
            Input::CheckLearner(learner, ask) => {
                let checked = process.node.check_learner(learner);
                self.learner_checked(m, ask, checked);
            }
            Input::Transfer(to) => {
                if process.node.transfer_leader(to).is_ok() {
                    self.counts.fault("leadership moved");
                }
            }
            Input::HandOver => {
                if process.node.hand_over().is_some() {
                    self.counts.fault("leadership handed over");
                }
            }
        }
    }

    /// Proposes what a round gathered, together if raft takes it together.
    fn propose(&mut self, m: usize, proposals: Vec<(u64, bytes::Bytes)>) {
        let Some(process) = &mut self.hosts[m].process else { return };
        if proposals.is_empty() {
            return;
        }
        let batch = proposals.iter().map(|(_, data)| data.clone()).collect();
        if process.node.propose_batch(batch).is_ok() {
            return;
        }
        for (id, data) in proposals {
            let Some(process) = &mut self.hosts[m].process else { return };
            if let Err(error) = process.node.propose(data.clone()) {
                self.not_proposed(m, id, data, &error);
            }
        }
    }

    fn not_proposed(&mut self, m: usize, id: u64, data: bytes::Bytes, error: &ProposeError) {
        let Some(process) = &mut self.hosts[m].process else { return };
        let refusal = match error {
            ProposeError::NoLeader if process.parked.len() < PARKED_MAX => {
                process.parked.push_back((id, data));
                return;
            }
            ProposeError::NoLeader | ProposeError::Full => EtcdError::RequestTooManyRequests,
            ProposeError::TooLarge { .. } => EtcdError::RequestTooLarge,
            _ => EtcdError::ProposalDropped,
        };
        self.turn_away(m, id, refusal);
    }

    /// Carries out everything that follows from the inputs, in the server's order.
    fn carry_out(&mut self, m: usize, ticked: bool) {
        let Some(process) = &mut self.hosts[m].process else { return };
        let effects: Effects<Token> = process.node.effects();
        let committed = process.node.committed();
        let seen = (&*process, &self.judges.raft.roll);
        self.judges.stall.round(self.now, m, seen, &effects, ticked);
        self.judges.expiry.round(self.now, m, seen, &effects);
        for append in &effects.append {
            self.judges.raft.promised(m, promise(append));
        }
        if let Some(leadership) = effects.leadership {
            self.note_leadership(m, leadership);
        }
        self.judges.raft.committed(self.now, m, committed);
        self.send(m, effects.send);
        let Some(process) = &mut self.hosts[m].process else { return };
        let logs = !effects.append.is_empty() || effects.compact_log.is_some();
        for append in effects.append {
            process.log_inputs.push_back(LogInput::Append(append));
        }
        if let Some(upto) = effects.compact_log {
            process.log_inputs.push_back(LogInput::Compact(upto));
        }
        self.pass_on_work(m, effects.apply);
        self.pass_on_reads(m, effects.reads);
        for token in effects.interrupted {
            self.turn_away(m, token, EtcdError::LeaderChanged);
        }
        for to in effects.snapshots_wanted {
            self.apply_input(m, ApplyInput::Snapshot(to));
        }
        if logs {
            self.wake(m, Actor::Log);
        }
    }

    fn pass_on_work(&mut self, m: usize, work: Vec<Work>) {
        if work.is_empty() {
            return;
        }
        for item in &work {
            if let Work::Entries(entries) = item {
                self.judges.raft.handed_out(self.now, m, entries);
            }
        }
        self.follow_members();
        self.apply_input(m, ApplyInput::Work(work.into()));
    }

    fn pass_on_reads(&mut self, m: usize, reads: Vec<(LogIndex, Vec<Token>)>) {
        for (index, tokens) in reads {
            let Some(process) = &self.hosts[m].process else { return };
            if index.0 <= process.applied {
                self.release(m, tokens);
            } else {
                self.apply_input(m, ApplyInput::Reads(index, tokens));
            }
        }
    }

    fn note_leadership(&mut self, m: usize, leadership: Leadership) {
        self.trace.say(
            self.now,
            format_args!(
                "m{m} follows {} in term {}{}",
                leadership.leader,
                leadership.term,
                if leadership.is_leader { ", itself" } else { "" },
            ),
        );
        self.judges.raft.leadership(self.now, m, leadership);
        let Some(process) = &mut self.hosts[m].process else { return };
        if leadership.is_leader && !process.leadership.is_leader {
            self.counts.leaders += 1;
        }
        process.leadership = leadership;
        let waiting = match leadership.leader.is_none() {
            true => Vec::new(),
            false => still_asked(process),
        };
        self.apply_input(m, ApplyInput::Lead(leadership));
        self.propose(m, waiting);
    }

    /// A member that starts serves nobody before the cluster knows its name and URLs, which it
    /// tells it, or before one read was confirmed, so that it does not show older state than it
    /// did before (the server's `announce`).
    pub(super) fn confirm_start(&mut self, m: usize) {
        let Some(process) = &self.hosts[m].process else { return };
        if process.serving {
            return;
        }
        if self.is_known_by_name(m) {
            self.input(m, Input::Read(START));
        } else {
            self.announce(m);
        }
    }

    pub(super) fn apply_input(&mut self, m: usize, input: ApplyInput) {
        if let Some(process) = &mut self.hosts[m].process {
            process.apply_inputs.push_back(input);
            self.wake(m, Actor::Apply);
        }
    }

    /// Answers an ask with an error after which nothing has happened.
    pub(super) fn turn_away(&mut self, m: usize, ask: u64, error: EtcdError) {
        if ask == START {
            return self.confirm_start(m);
        }
        self.finish_ask(m, ask, Outcome::TurnedAway(error));
    }
}

/// Parked proposals whose callers still wait.
fn still_asked(process: &mut Process) -> Vec<(u64, bytes::Bytes)> {
    let (asks, announcement) = (&process.asks, process.announcement);
    let waits = |id: &u64| asks.contains_key(id) || announcement == Some(*id);
    process.parked.drain(..).filter(|(id, _)| waits(id)).collect()
}
