//! What a replica is told once, at its start.

use crate::error::ConfigError;
use drystone_types::MemberId;

/// Settings of one [`Replica`](crate::Replica). Pre-vote, check-quorum and reads confirmed by a
/// quorum are always on; the rest has etcd's values or a bound of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This member. Never zero, never reused by another member or by the same member with an
    /// empty log.
    pub id: MemberId,
    /// Ticks without a leader's word after which a follower may ask for votes. The actual wait
    /// is drawn between this and twice this.
    pub election_ticks: usize,
    /// Ticks between a leader's heartbeats. Below `election_ticks`.
    pub heartbeat_ticks: usize,
    /// Bytes of entries in one message; a larger entry travels alone.
    pub entry_bytes_max_per_message: u64,
    /// Messages with entries on their way to one peer before the leader waits for answers.
    /// Times `entry_bytes_max_per_message` it bounds what a slow peer costs.
    pub inflight_messages_max: usize,
    /// Bytes of one proposal, over which it is refused.
    pub proposal_bytes_max: usize,
    /// Bytes of proposals that a leader holds without a majority; more are refused. A single
    /// proposal is always let in when nothing waits.
    pub uncommitted_bytes_max: u64,
    /// Bytes of log that wait to be applied. Beyond it a leader refuses proposals, and a
    /// follower that has something to apply leaves appended entries unanswered until it has
    /// caught up.
    pub unapplied_bytes_max: u64,
    /// Bytes of committed entries handed out in one [`Ready`](crate::Ready); a larger entry
    /// comes alone.
    pub committed_bytes_max_per_ready: u64,
    /// Read-index requests that wait at once: those of this member, those a leader confirms,
    /// and those it holds until its first commit each have this bound.
    pub reads_max: usize,
}

impl Config {
    /// etcd's timing and Drystone's bounds for `id`.
    #[must_use]
    pub fn new(id: MemberId) -> Self {
        Self {
            id,
            election_ticks: 10,
            heartbeat_ticks: 1,
            entry_bytes_max_per_message: 1 << 20,
            inflight_messages_max: 128,
            proposal_bytes_max: 64 << 20,
            uncommitted_bytes_max: 128 << 20,
            unapplied_bytes_max: 256 << 20,
            committed_bytes_max_per_ready: 16 << 20,
            reads_max: 4096,
        }
    }

    /// Says whether the settings make sense together.
    ///
    /// # Errors
    /// Names the first setting that does not.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.id.is_none() {
            return Err(ConfigError::NoId);
        }
        if self.heartbeat_ticks == 0 || self.election_ticks <= self.heartbeat_ticks {
            return Err(ConfigError::Ticks {
                election_ticks: self.election_ticks,
                heartbeat_ticks: self.heartbeat_ticks,
            });
        }
        for (name, value) in [
            ("inflight_messages_max", self.inflight_messages_max),
            ("proposal_bytes_max", self.proposal_bytes_max),
            ("reads_max", self.reads_max),
        ] {
            if value == 0 {
                return Err(ConfigError::Zero { name });
            }
        }
        if self.uncommitted_bytes_max < self.entry_bytes_max_per_message {
            return Err(ConfigError::UncommittedBelowMessage {
                uncommitted_bytes_max: self.uncommitted_bytes_max,
                entry_bytes_max_per_message: self.entry_bytes_max_per_message,
            });
        }
        if self.unapplied_bytes_max <= self.uncommitted_bytes_max {
            return Err(ConfigError::UnappliedBelowUncommitted {
                unapplied_bytes_max: self.unapplied_bytes_max,
                uncommitted_bytes_max: self.uncommitted_bytes_max,
            });
        }
        Ok(())
    }

    /// The same settings as the `raft` crate wants them. Priority stays 0 and vote messages
    /// stay etcd's; messages are merged by this crate, because the `raft` crate's own batching
    /// ignores the bound on a message's size.
    pub(crate) fn to_raft(&self, applied: u64) -> raft::Config {
        raft::Config {
            id: self.id.0,
            election_tick: self.election_ticks,
            heartbeat_tick: self.heartbeat_ticks,
            applied,
            max_size_per_msg: self.entry_bytes_max_per_message,
            max_inflight_msgs: self.inflight_messages_max,
            check_quorum: true,
            pre_vote: true,
            min_election_tick: 0,
            max_election_tick: 0,
            read_only_option: raft::ReadOnlyOption::Safe,
            skip_bcast_commit: false,
            batch_append: false,
            priority: 0,
            max_uncommitted_size: self.uncommitted_bytes_max,
            max_committed_size_per_ready: self.committed_bytes_max_per_ready,
        }
    }
}
