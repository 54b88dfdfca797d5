//! What a leader decided by its clock: confirmed by a quorum, then proposed before anything else.

use super::Node;
use crate::lead::{Decision, LeaderCommand};
use drystone_probe::{mark, planted};
use drystone_raft::{ProposeError, Role};
use drystone_types::LogIndex;

/// Decisions that may wait for a quorum or for room in the log; whoever decides asks again.
const DECISIONS_MAX: usize = 4_096;

/// What waits for a confirmation of leadership.
#[derive(Debug)]
pub(super) enum Waiter<R> {
    /// A linearizable read.
    Read(R),
    /// The end of a lease.
    Decision(LeaderCommand),
}

impl<R> Waiter<R> {
    pub(super) fn read(self) -> Option<R> {
        match self {
            Self::Read(read) => Some(read),
            Self::Decision(_) => None,
        }
    }
}

impl<R> Node<R> {
    /// Takes what this member decided as a leader by its clock; it is proposed only while this
    /// member leads in that term: a successor must be free to decide otherwise.
    ///
    /// The end of a lease waits for a quorum to confirm this leader after the call, in a round
    /// that it shares with reads. A leader that was cut off, or whose clock went on while it stood
    /// still, learns of its successor before it ends anything (etcd issue 15247). Then it goes
    /// into the log before what clients propose, as soon as there is room. Leases that the log
    /// ends meanwhile are left out: what has their ids then was not meant.
    ///
    /// Nothing is reported of what becomes of it: whoever decided asks again if it still holds.
    ///
    /// # Errors
    /// [`ProposeError::Dropped`] when the command has been overtaken already,
    /// [`ProposeError::Full`] when too many wait.
    pub fn propose_as_leader(&mut self, command: LeaderCommand) -> Result<(), ProposeError> {
        let upheld = self.upheld(command.clone()).ok_or(ProposeError::Dropped)?;
        if self.unconfirmed + self.decided.len() >= DECISIONS_MAX {
            return Err(ProposeError::Full);
        }
        match upheld {
            Decision::Checkpoint(_) => self.replica.propose(upheld.encode()),
            Decision::Revoke(_) if planted!("member.lease_ended_unconfirmed") => {
                self.decided.push(command);
                Ok(())
            }
            Decision::Revoke(_) => {
                self.unconfirmed += 1;
                self.reads.add(Waiter::Decision(command));
                Ok(())
            }
        }
    }

    /// A round was answered: its reads may be served, its decisions proposed.
    pub(super) fn confirmed(&mut self, context: &[u8], index: LogIndex) {
        let Some((index, waiters)) = self.reads.confirmed(context, index) else { return };
        let mut reads = Vec::with_capacity(waiters.len());
        for waiter in waiters {
            match waiter {
                Waiter::Read(read) => reads.push(read),
                Waiter::Decision(command) => {
                    self.unconfirmed -= 1;
                    self.decided.push(command);
                }
            }
        }
        if !reads.is_empty() {
            self.served.push_back((index, reads));
        }
    }

    /// Proposes all confirmed decisions together; true when something was proposed. Without room
    /// they wait, in front of everything that comes later.
    pub(super) fn propose_decided(&mut self) -> bool {
        if self.decided.is_empty() {
            return false;
        }
        let commands = std::mem::take(&mut self.decided);
        let upheld = commands.iter().filter_map(|command| self.upheld(command.clone()));
        let batch: Vec<_> = upheld.map(Decision::encode).collect();
        if batch.is_empty() {
            return false;
        }
        match self.replica.propose_batch(batch) {
            Ok(()) => true,
            Err(ProposeError::Full | ProposeError::Transferring) => {
                mark!("member.lease_ends_waited_for_room");
                self.decided = commands;
                false
            }
            Err(error) => {
                tracing::debug!(%error, "ends of leases were not proposed");
                false
            }
        }
    }

    /// What of `command` still holds, if this member leads in its term.
    fn upheld(&mut self, command: LeaderCommand) -> Option<Decision> {
        if self.replica.role() != Role::Leader || self.replica.term() != command.term {
            mark!("member.leader_command_came_late");
            return None;
        }
        self.ends.uphold(&self.replica, command)
    }
}
