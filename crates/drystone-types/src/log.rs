//! What the replicated log holds, in the words that the log on disk and raft share.

use crate::{LogIndex, MemberId, Term};
use bytes::Bytes;

/// What an [`Entry`] carries. The numbers are those of raftpb's `EntryType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// A command of the state machine, or nothing (a new leader's first entry).
    #[default]
    Normal = 0,
    /// A change of one member, encoded as raftpb's `ConfChange`.
    ConfChange = 1,
    /// A change of several members, encoded as raftpb's `ConfChangeV2`.
    ConfChangeV2 = 2,
}

impl EntryKind {
    /// The kind with this raftpb number, if there is one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Normal),
            1 => Some(Self::ConfChange),
            2 => Some(Self::ConfChangeV2),
            _ => None,
        }
    }
}

/// One entry of the replicated log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The term of the leader that made it.
    pub term: Term,
    /// Its place in the log.
    pub index: LogIndex,
    /// What `data` is.
    pub kind: EntryKind,
    /// The payload, byte for byte as it was proposed. Clones share it.
    pub data: Bytes,
}

/// What a member must remember across a restart besides its log (Raft, figure 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The newest term the member has seen.
    pub term: Term,
    /// The candidate it voted for in that term, or nobody.
    pub vote: MemberId,
    /// The newest index it knows to be committed. May lag; never ahead of the durable log.
    pub commit: LogIndex,
}

/// Who takes part in consensus. Lists are ascending and free of repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfState {
    /// Members that vote.
    pub voters: Vec<MemberId>,
    /// Members that receive the log and do not vote.
    pub learners: Vec<MemberId>,
}

/// The newest entry whose effects a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Applied {
    /// Index of that entry; 0 when nothing was applied.
    pub index: LogIndex,
    /// Term of that entry.
    pub term: Term,
}
