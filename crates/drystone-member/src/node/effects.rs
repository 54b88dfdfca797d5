//! What a node asks of those around it.

use drystone_raft::{Message, SnapshotMeta};
use drystone_types::{Entry, HardState, LogIndex, MemberId, Term};

/// What the log thread is to make durable, in the order it is given.
#[derive(Clone, Debug)]
pub struct Append {
    /// Number to report with [`Node::persisted`](crate::Node::persisted) once this is durable.
    pub number: u64,
    /// A snapshot that replaces everything before it: the log starts anew after its index.
    pub snapshot: Option<SnapshotMeta>,
    /// Entries; the first may overwrite what the log holds from its index on.
    pub entries: Vec<Entry>,
    /// New hard state, if it changed.
    pub hard_state: Option<HardState>,
    /// False when nothing here needs a sync of its own.
    pub must_sync: bool,
    /// Messages that promise what is above: to be sent once it is durable, and not before.
    pub then_send: Vec<Message>,
}

/// What the apply side is to do, in the order it is given.
#[derive(Clone, Debug)]
pub enum Work {
    /// Apply these committed entries.
    Entries(Vec<Entry>),
    /// Replace the state by a snapshot that was received, once append `number` is durable: the
    /// store must not be ahead of what the log names.
    Install {
        /// The snapshot.
        snapshot: SnapshotMeta,
        /// The append that names it.
        number: u64,
    },
}

/// Who leads, as this member knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, or nobody.
    pub leader: MemberId,
    /// The current term.
    pub term: Term,
    /// True when this member is the leader.
    pub is_leader: bool,
}

/// Everything that is to happen after inputs were taken in.
#[derive(Debug)]
pub struct Effects<R> {
    /// Messages that may leave at once.
    pub send: Vec<Message>,
    /// Appends for the log, in order.
    pub append: Vec<Append>,
    /// Work for the apply side, in order.
    pub apply: Vec<Work>,
    /// Reads that may be served once the index is applied.
    pub reads: Vec<(LogIndex, Vec<R>)>,
    /// Reads that the change of leader interrupted.
    pub interrupted: Vec<R>,
    /// Members that need a snapshot: answer with [`Node::snapshot_ready`](crate::Node::snapshot_ready).
    pub snapshots_wanted: Vec<MemberId>,
    /// The log up to and including this index is not needed any more.
    pub compact_log: Option<LogIndex>,
    /// Leader, term or role changed.
    pub leadership: Option<Leadership>,
}

impl<R> Default for Effects<R> {
    fn default() -> Self {
        Self {
            send: Vec::new(),
            append: Vec::new(),
            apply: Vec::new(),
            reads: Vec::new(),
            interrupted: Vec::new(),
            snapshots_wanted: Vec::new(),
            compact_log: None,
            leadership: None,
        }
    }
}
