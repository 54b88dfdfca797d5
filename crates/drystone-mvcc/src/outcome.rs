//! What a store answers.

use bytes::Bytes;
use drystone_types::{LeaseId, RevisionEvents};

/// A key changed its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseChange {
    /// The key.
    pub key: Bytes,
    /// The lease it was attached to, or none.
    pub before: LeaseId,
    /// The lease it is attached to now, or none. Never the same as `before`.
    pub after: LeaseId,
}

/// The answer to a put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutOutcome {
    /// The store's revision after it: its own.
    pub revision: i64,
    /// The pair it replaced, encoded, if that was asked for and there was one.
    pub prev: Option<Bytes>,
    /// Attachments that changed.
    pub lease_changes: Vec<LeaseChange>,
}

/// The answer to a delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOutcome {
    /// The store's revision after it: its own if it deleted anything.
    pub revision: i64,
    /// How many keys it deleted.
    pub deleted: i64,
    /// The pairs it deleted, encoded, in key order, if that was asked for.
    pub prevs: Vec<Bytes>,
    /// Attachments that changed, in key order.
    pub lease_changes: Vec<LeaseChange>,
}

/// The answer to a read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeResult {
    /// The store's current revision when it was read, whatever revision was asked for.
    pub revision: i64,
    /// The pairs, each an encoded `mvccpb.KeyValue`, byte for byte as stored unless values were
    /// left out.
    pub kvs: Vec<Bytes>,
    /// True when there were more pairs than the limit let through.
    pub more: bool,
    /// How many keys the range held at the revision asked for, without limit and filters.
    pub count: i64,
}

/// The next pairs of a read in key order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The pairs, each an encoded `mvccpb.KeyValue`, byte for byte as stored unless values were
    /// left out.
    pub kvs: Vec<Bytes>,
    /// The key the next page begins with; nothing when this is the last one.
    pub next: Option<Bytes>,
}

/// The answer to one operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpOutcome {
    /// To a read.
    Range(RangeResult),
    /// To a write.
    Put {
        /// The transaction's revision.
        revision: i64,
        /// The pair it replaced, encoded, if that was asked for and there was one.
        prev: Option<Bytes>,
    },
    /// To a delete.
    DeleteRange {
        /// The transaction's revision if anything had changed by then, else the one before.
        revision: i64,
        /// How many keys it deleted.
        deleted: i64,
        /// The pairs it deleted, encoded, in key order, if that was asked for.
        prevs: Vec<Bytes>,
    },
    /// To a nested transaction. It has no revision of its own.
    Txn {
        /// Whether its conditions held.
        succeeded: bool,
        /// The answers to the operations of the branch taken.
        responses: Vec<OpOutcome>,
    },
}

/// The answer to a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxnOutcome {
    /// The store's revision after it: its own if it changed anything.
    pub revision: i64,
    /// Whether its conditions held.
    pub succeeded: bool,
    /// The answers to the operations of the branch taken.
    pub responses: Vec<OpOutcome>,
    /// Attachments that changed, in the order of the changes.
    pub lease_changes: Vec<LeaseChange>,
}

/// A digest of a store's history.
///
/// Two members that agree on `revision` and `compact_revision` must agree on `hash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashKv {
    /// CRC-32C over the revisions that count.
    pub hash: u32,
    /// The compacted revision the hash was taken with, -1 if there was none.
    pub compact_revision: i64,
    /// The revision up to which history counts.
    pub revision: i64,
}

/// A piece of history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The changes, whole revisions in order.
    pub revisions: Vec<RevisionEvents>,
    /// The revision to go on with: everything below it, from the start asked for, is in
    /// `revisions`.
    pub next: i64,
}
