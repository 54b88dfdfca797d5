//! Changes that happen together or not at all.

use crate::Table;
use bytes::Bytes;
use drystone_types::Applied;

/// One change of one key of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Set `key` to `value`.
    Put {
        /// The table.
        table: Table,
        /// The key; not empty.
        key: Bytes,
        /// The value; may be empty.
        value: Bytes,
    },
    /// Remove `key`; nothing happens when it is not there.
    Delete {
        /// The table.
        table: Table,
        /// The key; not empty.
        key: Bytes,
    },
}

/// Changes that a store takes on together: after a crash all of them are there or none is.
///
/// Later changes of a key win over earlier ones. A batch made by applying log entries carries
/// the last of them ([`Batch::set_applied`]), so that the store always knows which part of the
/// log it holds; a batch of housekeeping (removing what compaction let go) carries none and
/// leaves the mark as it is.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    changes: Vec<Change>,
    applied: Option<Applied>,
    bytes: usize,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a put.
    pub fn put(&mut self, table: Table, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        let (key, value) = (key.into(), value.into());
        self.bytes += key.len() + value.len();
        self.changes.push(Change::Put { table, key, value });
    }

    /// Adds a delete.
    pub fn delete(&mut self, table: Table, key: impl Into<Bytes>) {
        let key = key.into();
        self.bytes += key.len();
        self.changes.push(Change::Delete { table, key });
    }

    /// Says that the batch holds the effects of every entry up to and including `applied`.
    pub fn set_applied(&mut self, applied: Applied) {
        self.applied = Some(applied);
    }

    /// The last entry whose effects the batch holds, unless it is housekeeping.
    #[must_use]
    pub fn applied(&self) -> Option<Applied> {
        self.applied
    }

    /// The changes, in the order they were added.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Bytes of keys and values, for bounds on how much one batch may gather.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// True when the batch changes nothing and moves no mark.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.applied.is_none()
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.changes.clear();
        self.applied = None;
        self.bytes = 0;
    }
}
