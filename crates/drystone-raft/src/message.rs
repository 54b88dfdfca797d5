//! What members say to each other: etcd's raftpb `Message` as plain data.

use crate::conf_change::{ConfChange, check_membership};
use crate::error::MessageError;
use bytes::Bytes;
use drystone_types::{ConfState, Entry, EntryKind, LogIndex, MemberId, Term};

/// Bytes of a read's context that are taken from a peer. etcd sends 8; two nonces of 8 come
/// on top.
pub const READ_CONTEXT_BYTES_MAX: usize = 1024;

/// Terms and indexes from the wire end here, so that adding to them cannot overflow.
pub(crate) const NUMBER_MAX: u64 = 1 << 62;

/// What a [`Message`] is. The numbers are those of raftpb's `MessageType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are raftpb's; the raft paper explains them")]
pub enum MessageKind {
    Hup = 0,
    Beat = 1,
    Propose = 2,
    Append = 3,
    AppendResponse = 4,
    Vote = 5,
    VoteResponse = 6,
    Snapshot = 7,
    Heartbeat = 8,
    HeartbeatResponse = 9,
    Unreachable = 10,
    SnapshotStatus = 11,
    CheckQuorum = 12,
    TransferLeader = 13,
    TimeoutNow = 14,
    ReadIndex = 15,
    ReadIndexResponse = 16,
    PreVote = 17,
    PreVoteResponse = 18,
}

impl MessageKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 19] = [
        Self::Hup,
        Self::Beat,
        Self::Propose,
        Self::Append,
        Self::AppendResponse,
        Self::Vote,
        Self::VoteResponse,
        Self::Snapshot,
        Self::Heartbeat,
        Self::HeartbeatResponse,
        Self::Unreachable,
        Self::SnapshotStatus,
        Self::CheckQuorum,
        Self::TransferLeader,
        Self::TimeoutNow,
        Self::ReadIndex,
        Self::ReadIndexResponse,
        Self::PreVote,
        Self::PreVoteResponse,
    ];

    /// The kind with this raftpb number. `None` for numbers that never travel between members
    /// (etcd uses 19 to 23 inside a member).
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// True for kinds that a member only sends to itself.
    #[must_use]
    pub fn is_local(self) -> bool {
        matches!(
            self,
            Self::Hup | Self::Beat | Self::Unreachable | Self::SnapshotStatus | Self::CheckQuorum
        )
    }

    /// True for kinds that carry no term: they are requests which the receiver may pass on.
    pub(crate) fn is_termless(self) -> bool {
        matches!(self, Self::Propose | Self::ReadIndex)
    }

    /// True for answers, which count only from members of the configuration.
    pub(crate) fn is_response(self) -> bool {
        matches!(
            self,
            Self::AppendResponse
                | Self::VoteResponse
                | Self::HeartbeatResponse
                | Self::PreVoteResponse
        )
    }
}

/// What a snapshot stands for. The data of the state machine travels beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The configuration at `index`.
    pub conf_state: ConfState,
    /// The newest entry whose effects the snapshot holds.
    pub index: LogIndex,
    /// That entry's term.
    pub term: Term,
    /// For the application (etcd: the v2 store as JSON). Small; not the store itself.
    pub data: Bytes,
}

/// A message from one member to another. Which fields mean something depends on the kind, as
/// in raftpb; the others are zero or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: MessageKind,
    /// Who it is for.
    pub to: MemberId,
    /// Who it comes from. For [`TransferLeader`](MessageKind::TransferLeader), who shall lead.
    pub from: MemberId,
    /// The sender's term, or the term asked for in votes; zero for forwarded requests.
    pub term: Term,
    /// The term of the entry at `index` (answers that reject: at `reject_hint`).
    pub log_term: Term,
    /// The entry before `entries`, the entry acknowledged, or the end of a candidate's log.
    pub index: LogIndex,
    /// Entries to append or propose; for reads, one entry whose data is the read's context.
    pub entries: Vec<Entry>,
    /// The newest entry the sender knows to be committed and, in heartbeats, to be here.
    pub commit: LogIndex,
    /// Only with [`Snapshot`](MessageKind::Snapshot).
    pub snapshot: Option<SnapshotMeta>,
    /// The answer is no.
    pub reject: bool,
    /// Where the sender of a rejection suggests to try next.
    pub reject_hint: LogIndex,
    /// Comes back unchanged in the answer; marks votes that a leader asked for.
    pub context: Bytes,
}

impl Message {
    /// An otherwise empty message.
    #[must_use]
    pub fn new(kind: MessageKind, from: MemberId, to: MemberId, term: Term) -> Self {
        Self {
            kind,
            to,
            from,
            term,
            log_term: Term(0),
            index: LogIndex(0),
            entries: Vec::new(),
            commit: LogIndex(0),
            snapshot: None,
            reject: false,
            reject_hint: LogIndex(0),
            context: Bytes::new(),
        }
    }

    /// Says whether a correct peer can have sent this message to `local`, as far as the
    /// message alone tells. [`Replica::step`](crate::Replica::step) does this first, and then
    /// holds the message against its own state; a transport may do it earlier to drop the
    /// connection of a broken peer.
    ///
    /// # Errors
    /// The first rule that the message breaks.
    pub fn check(&self, local: MemberId) -> Result<(), MessageError> {
        if self.kind.is_local() {
            return Err(MessageError::LocalKind(self.kind));
        }
        // A transfer of leadership names the new leader as its sender, and what a member asked
        // of one that it took for the leader may be passed back to it.
        let returns = self.kind == MessageKind::TransferLeader || self.kind.is_termless();
        if self.from.is_none() || (self.from == local && !returns) {
            return Err(MessageError::Sender(self.from));
        }
        if self.to != local {
            return Err(MessageError::Recipient(self.to));
        }
        self.check_numbers()?;
        self.check_entries()?;
        self.check_snapshot()
    }

    fn check_numbers(&self) -> Result<(), MessageError> {
        if self.kind.is_termless() != (self.term.0 == 0) || self.term.0 > NUMBER_MAX {
            return Err(MessageError::Term { kind: self.kind, term: self.term });
        }
        for index in [self.index, self.commit, self.reject_hint] {
            if index.0 > NUMBER_MAX {
                return Err(MessageError::Index(index));
            }
        }
        let log_term = self.log_term;
        let names_an_entry =
            matches!(self.kind, MessageKind::Append | MessageKind::Vote | MessageKind::PreVote);
        // An index without a term would match "no such entry" in the core.
        if names_an_entry && (log_term.0 == 0) != (self.index.0 == 0) || log_term > self.term {
            return Err(MessageError::LogTerm { index: self.index, log_term });
        }
        Ok(())
    }

    fn check_entries(&self) -> Result<(), MessageError> {
        let count = self.entries.len();
        let right_count = match self.kind {
            MessageKind::Append => true,
            MessageKind::Propose => count > 0,
            MessageKind::ReadIndex | MessageKind::ReadIndexResponse => count == 1,
            MessageKind::Hup
            | MessageKind::Beat
            | MessageKind::AppendResponse
            | MessageKind::Vote
            | MessageKind::VoteResponse
            | MessageKind::Snapshot
            | MessageKind::Heartbeat
            | MessageKind::HeartbeatResponse
            | MessageKind::Unreachable
            | MessageKind::SnapshotStatus
            | MessageKind::CheckQuorum
            | MessageKind::TransferLeader
            | MessageKind::TimeoutNow
            | MessageKind::PreVote
            | MessageKind::PreVoteResponse => count == 0,
        };
        if !right_count {
            return Err(MessageError::EntryCount { kind: self.kind, count });
        }
        if self.kind == MessageKind::Append {
            self.check_order()?;
        }
        for entry in &self.entries {
            match entry.kind {
                EntryKind::Normal => {}
                EntryKind::ConfChange => drop(ConfChange::decode(&entry.data)?),
                EntryKind::ConfChangeV2 => return Err(MessageError::EntryKind(entry.kind)),
            }
        }
        if matches!(self.kind, MessageKind::ReadIndex | MessageKind::ReadIndexResponse) {
            let entry = &self.entries[0];
            if entry.kind != EntryKind::Normal {
                return Err(MessageError::EntryKind(entry.kind));
            }
            if entry.data.len() > READ_CONTEXT_BYTES_MAX {
                return Err(MessageError::ReadContext(entry.data.len()));
            }
        }
        Ok(())
    }

    /// Appended entries follow on from `index` without gaps, in terms that only rise.
    fn check_order(&self) -> Result<(), MessageError> {
        let (mut index, mut term) = (self.index, self.log_term);
        for entry in &self.entries {
            let expected = index.next();
            let fits = entry.index == expected
                && entry.term.0 > 0
                && (term..=self.term).contains(&entry.term);
            if !fits {
                let Entry { index, term, .. } = *entry;
                return Err(MessageError::EntryOrder { index, term, expected });
            }
            (index, term) = (entry.index, entry.term);
        }
        Ok(())
    }

    fn check_snapshot(&self) -> Result<(), MessageError> {
        let mismatch = MessageError::Snapshot(self.kind);
        match (&self.snapshot, self.kind == MessageKind::Snapshot) {
            (None, false) => Ok(()),
            // etcd up to 3.5 puts an empty snapshot into every message.
            (Some(snapshot), false) if snapshot.index.0 == 0 => Ok(()),
            (None, true) | (Some(_), false) => Err(mismatch),
            (Some(snapshot), true) => {
                let SnapshotMeta { conf_state, index, term, .. } = snapshot;
                if index.0 == 0 || conf_state.voters.is_empty() {
                    return Err(mismatch);
                }
                if index.0 > NUMBER_MAX {
                    return Err(MessageError::Index(*index));
                }
                if term.0 == 0 || *term > self.term {
                    return Err(MessageError::LogTerm { index: *index, log_term: *term });
                }
                Ok(check_membership(conf_state)?)
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
