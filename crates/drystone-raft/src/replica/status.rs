//! What a replica knows about itself and its peers.

use super::Replica;
use drystone_types::{LogIndex, MemberId, Term};
use raft::{ProgressState, StateRole};

/// What a replica is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Follows a leader, or waits for one. Learners are always this.
    Follower,
    /// Asks whether it would get votes.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

impl Role {
    pub(super) fn of(role: StateRole) -> Self {
        match role {
            StateRole::Follower => Self::Follower,
            StateRole::PreCandidate => Self::PreCandidate,
            StateRole::Candidate => Self::Candidate,
            StateRole::Leader => Self::Leader,
        }
    }
}

/// How a leader feeds a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerState {
    /// Looks for the end of the common log, one message per heartbeat.
    Probe,
    /// Sends entries as they come.
    Replicate,
    /// Waits until the peer has a snapshot.
    Snapshot {
        /// The snapshot's index.
        index: LogIndex,
    },
}

/// What a leader knows about a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Who.
    pub id: MemberId,
    /// It does not vote.
    pub learner: bool,
    /// The newest entry it holds durably.
    pub matched: LogIndex,
    /// The entry it gets next. Always above `matched`.
    pub next: LogIndex,
    /// How it is fed.
    pub state: PeerState,
    /// It answered since the last check for a quorum.
    pub recently_active: bool,
}

/// A replica at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This member.
    pub id: MemberId,
    /// Its term.
    pub term: Term,
    /// Its role.
    pub role: Role,
    /// Who leads, if known.
    pub leader: Option<MemberId>,
    /// The newest entry known to be committed.
    pub commit: LogIndex,
    /// The newest entry that consensus knows to be applied.
    pub applied: LogIndex,
    /// The oldest entry in the log.
    pub first: LogIndex,
    /// The newest entry in the log.
    pub last: LogIndex,
    /// The newest entry that is durable here.
    pub persisted: LogIndex,
    /// Bytes of log in memory.
    pub log_bytes: u64,
    /// This member's reads without an answer.
    pub reads_waiting: usize,
    /// Whom leadership is being handed to.
    pub transferee: Option<MemberId>,
    /// Everybody in the configuration, in the order of their ids; empty unless leading.
    pub peers: Vec<PeerStatus>,
}

impl Replica {
    /// The replica at this moment. Costs a little for each peer.
    #[must_use]
    pub fn status(&self) -> Status {
        let raft = &self.raw.raft;
        let log = &raft.raft_log;
        Status {
            id: self.id(),
            term: self.term(),
            role: self.role(),
            leader: self.leader(),
            commit: self.commit(),
            applied: LogIndex(log.applied),
            first: LogIndex(log.first_index()),
            last: self.last_index(),
            persisted: LogIndex(log.persisted),
            log_bytes: self.log_bytes(),
            reads_waiting: self.reads.waiting(),
            transferee: raft.lead_transferee.map(MemberId),
            peers: if self.leads() { self.peers() } else { Vec::new() },
        }
    }

    fn peers(&self) -> Vec<PeerStatus> {
        let progress = self.raw.raft.prs();
        let mut peers: Vec<_> = progress
            .iter()
            .map(|(id, peer)| PeerStatus {
                id: MemberId(*id),
                learner: progress.conf().learners().contains(id),
                matched: LogIndex(peer.matched),
                next: LogIndex(peer.next_idx),
                state: match peer.state {
                    ProgressState::Probe => PeerState::Probe,
                    ProgressState::Replicate => PeerState::Replicate,
                    ProgressState::Snapshot => {
                        PeerState::Snapshot { index: LogIndex(peer.pending_snapshot) }
                    }
                },
                recently_active: peer.recent_active,
            })
            .collect();
        peers.sort_unstable_by_key(|peer| peer.id);
        peers
    }
}
