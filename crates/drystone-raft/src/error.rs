//! What can go wrong, by what the caller can do about it.

use drystone_types::{LogIndex, MemberId, Term};
use thiserror::Error;

/// Settings that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The member has no id.
    #[error("a replica needs a member id other than zero")]
    NoId,
    /// Elections must take longer than heartbeats.
    #[error(
        "election ticks ({election_ticks}) must exceed heartbeat ticks ({heartbeat_ticks}), \
         which must exceed zero"
    )]
    Ticks {
        /// The setting of that name.
        election_ticks: usize,
        /// The setting of that name.
        heartbeat_ticks: usize,
    },
    /// A bound of nothing.
    #[error("{name} must exceed zero")]
    Zero {
        /// The setting.
        name: &'static str,
    },
    /// A full message would never fit among the uncommitted entries.
    #[error(
        "uncommitted_bytes_max ({uncommitted_bytes_max}) is below \
         entry_bytes_max_per_message ({entry_bytes_max_per_message})"
    )]
    UncommittedBelowMessage {
        /// The setting of that name.
        uncommitted_bytes_max: u64,
        /// The setting of that name.
        entry_bytes_max_per_message: u64,
    },
    /// Followers would refuse entries that the leader needs them to hold.
    #[error(
        "unapplied_bytes_max ({unapplied_bytes_max}) must exceed \
         uncommitted_bytes_max ({uncommitted_bytes_max})"
    )]
    UnappliedBelowUncommitted {
        /// The setting of that name.
        unapplied_bytes_max: u64,
        /// The setting of that name.
        uncommitted_bytes_max: u64,
    },
}

/// State that no correct member can have left behind. The member must not start from it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An entry is missing, or out of order.
    #[error("the log holds entry {found} where {expected} belongs")]
    Gap {
        /// The index that should follow.
        expected: LogIndex,
        /// The index found.
        found: LogIndex,
    },
    /// Terms only rise along a log, from 1 on.
    #[error("entry {index} has term {term}, below {at_least}")]
    Terms {
        /// The entry's index.
        index: LogIndex,
        /// Its term.
        term: Term,
        /// The term of the entry before it.
        at_least: Term,
    },
    /// The commit index is ahead of the durable log: entries were lost.
    #[error("entry {commit} is committed but the log ends at {last}")]
    CommitBeyondLog {
        /// The commit index.
        commit: LogIndex,
        /// The log's end.
        last: LogIndex,
    },
    /// The store is ahead of the log: the log was lost or is another member's.
    #[error("entry {applied} was applied but the log ends at {last}")]
    AppliedBeyondLog {
        /// The applied index.
        applied: LogIndex,
        /// The log's end.
        last: LogIndex,
    },
    /// The store is older than the oldest entry left: it must come from a snapshot.
    #[error("the store stands at {applied} but the log begins after {start}")]
    AppliedBehindLog {
        /// The applied index.
        applied: LogIndex,
        /// The index that the log begins after.
        start: LogIndex,
    },
    /// The configuration repeats a member, names member zero, or has learners and no voter.
    #[error("the recovered configuration is not one: {0}")]
    Membership(MembershipError),
    /// The consensus core refused the state.
    #[error("the consensus core refused the recovered state: {0}")]
    Core(String),
}

/// A list of members that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// Nobody votes.
    #[error("it has no voter")]
    NoVoter,
    /// Zero is nobody.
    #[error("it names member zero")]
    MemberZero,
    /// A member can take part only once.
    #[error("it names member {0} twice")]
    Repeated(MemberId),
    /// Bound on memory for a list that came over the wire.
    #[error("it names {count} members, more than {max}")]
    TooMany {
        /// How many.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
}

/// Bytes that are not a configuration change this crate supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfChangeError {
    /// The bytes are not a protobuf message.
    #[error("the configuration change is malformed at byte {at}")]
    Malformed {
        /// Offset of the field that could not be read.
        at: usize,
    },
    /// A kind of change that is not known.
    #[error("configuration changes of type {0} are not known")]
    UnknownKind(u64),
}

/// A message that no correct peer sends. Nothing was changed by it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A kind that a member only sends to itself.
    #[error("messages of kind {0:?} do not travel")]
    LocalKind(crate::MessageKind),
    /// The sender names nobody, or this very member.
    #[error("sender {0} cannot be")]
    Sender(MemberId),
    /// Meant for somebody else.
    #[error("the message is for member {0}")]
    Recipient(MemberId),
    /// A term that this kind of message cannot have.
    #[error("messages of kind {kind:?} cannot have term {term}")]
    Term {
        /// The kind.
        kind: crate::MessageKind,
        /// The term.
        term: Term,
    },
    /// An index so large that no log reaches it.
    #[error("index {0} is out of range")]
    Index(LogIndex),
    /// The term of the entry named is impossible for its index or the message's term.
    #[error("entry {index} cannot have term {log_term}")]
    LogTerm {
        /// The index.
        index: LogIndex,
        /// The term claimed.
        log_term: Term,
    },
    /// More or fewer entries than the kind carries.
    #[error("messages of kind {kind:?} cannot carry {count} entries")]
    EntryCount {
        /// The kind.
        kind: crate::MessageKind,
        /// How many it had.
        count: usize,
    },
    /// Entries that do not follow on from each other.
    #[error("entry {index} of term {term} does not belong at {expected}")]
    EntryOrder {
        /// The entry's index.
        index: LogIndex,
        /// The entry's term.
        term: Term,
        /// The index that should stand there.
        expected: LogIndex,
    },
    /// An entry of a kind that this group does not use.
    #[error("entries of kind {0:?} are not supported")]
    EntryKind(drystone_types::EntryKind),
    /// A configuration change that cannot be read.
    #[error(transparent)]
    ConfChange(#[from] ConfChangeError),
    /// The context of a read is larger than any sender makes it.
    #[error("a read's context has {0} bytes")]
    ReadContext(usize),
    /// A snapshot in a message of another kind, or none in a snapshot message.
    #[error("messages of kind {0:?} and snapshots do not go together so")]
    Snapshot(crate::MessageKind),
    /// A snapshot of a group that cannot be.
    #[error("the snapshot's configuration is not one: {0}")]
    Membership(#[from] MembershipError),
}

/// Why a message was not taken. Nothing was changed by it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StepError {
    /// The message is malformed in itself.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// An answer from somebody who is not in the configuration (any more).
    #[error("member {0} is not in the configuration")]
    UnknownPeer(MemberId),
    /// Two members claim to lead the same term: one of them lost what it had promised.
    #[error("member {claims} claims term {term}, which member {leads} leads")]
    TwoLeaders {
        /// The term.
        term: Term,
        /// Who sent this message.
        claims: MemberId,
        /// Who leads as far as this replica knows.
        leads: MemberId,
    },
    /// The leader counts on entries that this replica does not hold: this replica lost a part
    /// of its log. It must not go on; remove it and add a new member.
    #[error("the leader counts on entry {commit} here, but the log ends at {last}")]
    LogLost {
        /// The commit index the leader sent.
        commit: LogIndex,
        /// The end of the log.
        last: LogIndex,
    },
    /// A follower acknowledges entries that this leader never had.
    #[error("member {from} acknowledges entry {index}, but the log ends at {last}")]
    AckBeyondLog {
        /// Who.
        from: MemberId,
        /// The index acknowledged.
        index: LogIndex,
        /// The end of the log.
        last: LogIndex,
    },
    /// A forwarded proposal was not taken.
    #[error(transparent)]
    Propose(#[from] ProposeError),
}

/// Why a proposal was not taken. All are answered by trying again later, but for
/// [`TooLarge`](Self::TooLarge) and [`Empty`](Self::Empty).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// Nobody leads, so far as this replica knows.
    #[error("there is no leader")]
    NoLeader,
    /// The leader hands its leadership over.
    #[error("leadership is being transferred")]
    Transferring,
    /// Too many proposals wait for a majority, or for being applied.
    #[error("too many proposals wait")]
    Full,
    /// Larger than the config allows.
    #[error("a proposal of {bytes} bytes exceeds {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// A batch of nothing.
    #[error("nothing was proposed")]
    Empty,
    /// Only one configuration change can be under way.
    #[error("an earlier configuration change is not applied yet")]
    ConfChangePending,
    /// The core dropped it for another reason.
    #[error("the proposal was dropped")]
    Dropped,
}

/// Why a read index was not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Nobody leads, so far as this replica knows.
    #[error("there is no leader")]
    NoLeader,
    /// As many reads as the config allows wait for a quorum.
    #[error("too many reads wait")]
    Full,
    /// The context is larger than peers take.
    #[error("a read's context of {0} bytes is too large")]
    Context(usize),
}

/// Why an election or a change of leader was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LeadError {
    /// Only a leader can hand over.
    #[error("this replica does not lead")]
    NotLeader,
    /// Only voters lead.
    #[error("member {0} is not a voter")]
    NotVoter(MemberId),
    /// This replica has something to finish first: a snapshot to install, a configuration
    /// change to apply, or entries to sync.
    #[error("this replica is not ready to stand for election")]
    NotReady,
}

/// Why a snapshot cannot be offered to peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Its index lies before the log's start or was not applied yet.
    #[error("snapshot index {index} is outside {first} to {applied}")]
    Index {
        /// The snapshot's index.
        index: LogIndex,
        /// The oldest index that the log can go on from.
        first: LogIndex,
        /// The newest applied index.
        applied: LogIndex,
    },
    /// The log has another term at that index.
    #[error("entry {index} has term {found}, not {claimed}")]
    Term {
        /// The index.
        index: LogIndex,
        /// The term given.
        claimed: Term,
        /// The log's term.
        found: Term,
    },
    /// Its configuration cannot be.
    #[error("the snapshot's configuration is not one: {0}")]
    Membership(#[from] MembershipError),
}

/// Why a committed configuration change was not carried out. The configuration stays as it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ApplyConfChangeError {
    /// It would leave no voter, or too many members. Every replica gets the same answer.
    #[error("the configuration change is impossible: {0}")]
    Impossible(String),
    /// A snapshot of a later entry has come in meanwhile, and with it a later configuration.
    /// The store is about to be replaced: entries up to the snapshot's need not be applied,
    /// and the configuration of this entry is not known here any more.
    #[error("entry {index} is covered by the snapshot or change at entry {by}")]
    Superseded {
        /// The change's entry.
        index: LogIndex,
        /// The entry that the configuration stands at.
        by: LogIndex,
    },
}
