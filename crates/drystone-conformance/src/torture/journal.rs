//! What clients asked for and what they were told.

use super::words::{Key, Pair, Value};
use std::fmt;
use std::time::Duration;

/// One operation of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Writes a key.
    Put { key: Key, value: Value, want_prev: bool },
    /// Deletes a key.
    Delete { key: Key, want_prev: bool },
    /// If `key` was last changed at `seen` (0: is not there), writes it and its shadow;
    /// otherwise reads it.
    Guard { key: Key, seen: i64, value: Value },
    /// Reads `keys` keys from `first` on.
    Read { first: Key, keys: u16, serializable: bool },
}

impl Op {
    /// The value it writes.
    pub(crate) fn value(&self) -> Option<Value> {
        match self {
            Op::Put { value, .. } | Op::Guard { value, .. } => Some(*value),
            Op::Delete { .. } | Op::Read { .. } => None,
        }
    }

    /// Whether it only reads.
    pub(crate) fn reads(&self) -> bool {
        matches!(self, Op::Read { .. })
    }
}

/// What a server answered; `revision` is the header's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Put {
        revision: i64,
        prev: Option<Pair>,
    },
    Deleted {
        revision: i64,
        count: i64,
        prev: Option<Pair>,
    },
    Guarded {
        revision: i64,
    },
    /// The guard did not hold: what stands there instead.
    Refuted {
        revision: i64,
        found: Option<Pair>,
    },
    Read {
        revision: i64,
        pairs: Vec<Pair>,
        count: i64,
    },
}

impl Reply {
    pub(crate) fn revision(&self) -> i64 {
        match self {
            Reply::Put { revision, .. }
            | Reply::Deleted { revision, .. }
            | Reply::Guarded { revision }
            | Reply::Refuted { revision, .. }
            | Reply::Read { revision, .. } => *revision,
        }
    }

    /// Whether the store was changed, so that the revision is this operation's own.
    pub(crate) fn changed(&self) -> bool {
        match self {
            Reply::Put { .. } | Reply::Guarded { .. } => true,
            Reply::Deleted { count, .. } => *count > 0,
            Reply::Refuted { .. } | Reply::Read { .. } => false,
        }
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With this answer.
    Done(Reply),
    /// It was said, or is certain, that it had no effect.
    Refused(String),
    /// Nobody knows whether it had an effect.
    Unknown(String),
    /// With an answer that no server may give.
    Broken(String),
}

/// One operation from beginning to end.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Who asked: an index of clients, for messages.
    pub(crate) client: u16,
    /// When it began, since the load began.
    pub(crate) began: Duration,
    /// When it ended.
    pub(crate) ended: Duration,
    /// The highest revision that the answer must not go behind: of all answers that had come
    /// when it began, or, for serializable reads, of those this client had from this run of
    /// this member.
    pub(crate) floor: i64,
    pub(crate) op: Op,
    pub(crate) outcome: Outcome,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { client, began, ended, floor, op, outcome } = self;
        write!(
            f,
            "client {client}, {:.3} to {:.3} s, after revision {floor}: {op:?} -> {outcome:?}",
            began.as_secs_f64(),
            ended.as_secs_f64()
        )
    }
}
