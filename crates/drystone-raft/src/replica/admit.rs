//! Which messages reach the core.
//!
//! The core answers many a message that no correct peer sends with a panic. Here each is held
//! against the replica's own state first. What breaks a rule is an error and changes nothing;
//! what is merely late is let go.

use super::Replica;
use crate::error::StepError;
use crate::message::{Message, MessageKind};
use drystone_probe::mark;
use drystone_types::{LogIndex, MemberId, Term};
use raft::{ProgressState, StateRole};

impl Replica {
    /// The message as the core may see it; `None` when it has nothing to say any more.
    pub(super) fn admit(&mut self, mut message: Message) -> Result<Option<Message>, StepError> {
        let raft = &self.raw.raft;
        if message.kind.is_response() && raft.prs().get(message.from.0).is_none() {
            return Err(StepError::UnknownPeer(message.from));
        }
        let here = message.term.0 == raft.term;
        let wanted = match message.kind {
            MessageKind::Append | MessageKind::Heartbeat | MessageKind::Snapshot => {
                self.check_leader(&message)?;
                // Late ones are answered with the current term and read no further.
                message.term.0 < raft.term || self.takes_from_leader(&message)?
            }
            MessageKind::AppendResponse => {
                !here || !self.leads() || self.admit_append_response(&mut message)?
            }
            // Refusals bring the term of those who refuse.
            MessageKind::PreVoteResponse | MessageKind::VoteResponse
                if self.held_back && !message.reject =>
            {
                mark!("raft.vote_passed_over");
                false
            }
            // The core takes for granted that a vote was asked for with a durable log.
            MessageKind::VoteResponse => {
                raft.state != StateRole::Candidate
                    || raft.raft_log.persisted == raft.raft_log.last_index()
                        && !self.in_flight.iter().any(|ready| ready.grows_log)
            }
            MessageKind::TimeoutNow => {
                here && raft.leader_id == message.from.0 && self.may_campaign()
            }
            // A follower would pass this on, which the core cannot do with a term in it.
            MessageKind::TransferLeader => here && self.leads(),
            MessageKind::ReadIndexResponse => here && raft.leader_id == message.from.0,
            MessageKind::Propose
            | MessageKind::ReadIndex
            | MessageKind::HeartbeatResponse
            | MessageKind::Vote
            | MessageKind::PreVote
            | MessageKind::PreVoteResponse => true,
            // `Message::check` has refused these.
            MessageKind::Hup
            | MessageKind::Beat
            | MessageKind::Unreachable
            | MessageKind::SnapshotStatus
            | MessageKind::CheckQuorum => false,
        };
        Ok(wanted.then_some(message))
    }

    /// A term has one leader.
    fn check_leader(&self, message: &Message) -> Result<(), StepError> {
        let raft = &self.raw.raft;
        let leader = raft.leader_id;
        if message.term.0 == raft.term && leader != 0 && leader != message.from.0 {
            return Err(StepError::TwoLeaders {
                term: message.term,
                claims: message.from,
                leads: MemberId(leader),
            });
        }
        Ok(())
    }

    fn takes_from_leader(&self, message: &Message) -> Result<bool, StepError> {
        let last = self.last_index();
        match message.kind {
            // A leader sends in heartbeats what this replica is known to hold.
            MessageKind::Heartbeat if message.commit > last => {
                Err(StepError::LogLost { commit: message.commit, last })
            }
            // Applying has fallen too far behind: the leader sends again what is not answered.
            // Unless nothing is there to be applied: what is not committed may wait for just this
            // message, since a new leader commits nothing before an entry of its own term. It
            // stays bounded, for leaders with so much propose nothing more.
            MessageKind::Append => {
                let log = &self.raw.raft.raft_log;
                let full = self.unapplied_bytes() >= self.config.unapplied_bytes_max
                    && log.applied < log.committed;
                if full {
                    mark!("raft.append_refused_unapplied");
                }
                Ok(!full || message.entries.is_empty())
            }
            _ => Ok(true),
        }
    }

    /// Only on a leader, for an answer of its own term. Keeps the peer's next entry above its
    /// matched one, which the core forgets to do for a rejection that comes late (raft-rs
    /// pull request 557).
    fn admit_append_response(&mut self, message: &mut Message) -> Result<bool, StepError> {
        let raft = &mut self.raw.raft;
        let last = LogIndex(raft.raft_log.last_index());
        if !message.reject {
            let (from, index) = (message.from, message.index);
            return if index > last {
                Err(StepError::AckBeyondLog { from, index, last })
            } else {
                Ok(true)
            };
        }
        mark!("raft.append_was_rejected");
        let hint = message.reject_hint.0.min(last.0);
        let probe = match message.log_term.0 {
            0 => hint,
            term => raft.raft_log.find_conflict_by_term(hint, term).0,
        };
        let Some(peer) = raft.mut_prs().get_mut(message.from.0) else { return Ok(false) };
        peer.recent_active = true;
        if message.index.0 <= peer.matched {
            mark!("raft.rejection_came_late");
            return Ok(false);
        }
        if peer.state != ProgressState::Replicate && probe < peer.matched {
            mark!("raft.probe_kept_above_match");
            message.reject_hint = LogIndex(peer.matched);
            message.log_term = Term(0);
        }
        Ok(true)
    }
}
