//! What can be asked of a store.

use bytes::Bytes;
use drystone_types::{KeyRange, LeaseId};

/// Writes one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// The key; not empty.
    pub key: Bytes,
    /// The value; empty with `ignore_value`.
    pub value: Bytes,
    /// The lease the key is attached to from now on, or none; none with `ignore_lease`.
    pub lease: LeaseId,
    /// Answer with the pair that is replaced.
    pub prev_kv: bool,
    /// Keep the present value; the key must exist.
    pub ignore_value: bool,
    /// Keep the present lease; the key must exist.
    pub ignore_lease: bool,
}

impl Put {
    /// A plain put.
    #[must_use]
    pub fn new(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self { key: key.into(), value: value.into(), ..Self::default() }
    }
}

/// Deletes the keys of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteRange {
    /// The keys.
    pub range: KeyRange,
    /// Answer with the pairs that are deleted.
    pub prev_kv: bool,
}

/// How the pairs of an answer are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortOrder {
    /// As they come: by key, unless the target is another one. See [`RangeQuery`].
    #[default]
    None,
    /// From the smallest on.
    Ascend,
    /// From the largest on.
    Descend,
    /// A number that means nothing; refused by [`validate`](crate::validate).
    Unknown(i32),
}

impl From<i32> for SortOrder {
    /// Reads the number of etcd's `RangeRequest.SortOrder`.
    fn from(number: i32) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Ascend,
            2 => Self::Descend,
            number => Self::Unknown(number),
        }
    }
}

/// What the pairs of an answer are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortTarget {
    /// The key.
    #[default]
    Key,
    /// The version.
    Version,
    /// The create revision.
    Create,
    /// The mod revision.
    Mod,
    /// The value.
    Value,
    /// A number that means nothing; refused by [`validate`](crate::validate).
    Unknown(i32),
}

impl From<i32> for SortTarget {
    /// Reads the number of etcd's `RangeRequest.SortTarget`.
    fn from(number: i32) -> Self {
        match number {
            0 => Self::Key,
            1 => Self::Version,
            2 => Self::Create,
            3 => Self::Mod,
            4 => Self::Value,
            number => Self::Unknown(number),
        }
    }
}

/// Reads the keys of a range.
///
/// Order of work, which is etcd's: the keys are read in key order, and cut to one more than
/// `limit` if nothing sorts or filters; then filtered; then sorted; then cut to `limit`; then
/// their values are dropped for `keys_only`. A target other than the key with
/// [`SortOrder::None`] sorts ascending, after the first cut. Pairs that sort alike stay in key
/// order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeQuery {
    /// The keys.
    pub range: KeyRange,
    /// The main revision to read at; 0 or less for the current one.
    pub revision: i64,
    /// The most pairs to answer with; 0 or less for all.
    pub limit: i64,
    /// The order of the answer.
    pub sort_order: SortOrder,
    /// What the order goes by.
    pub sort_target: SortTarget,
    /// Answer without values. Leases are left out too, unless the target is the value.
    pub keys_only: bool,
    /// Answer with the count alone.
    pub count_only: bool,
    /// Leave out pairs with a smaller mod revision; 0 for off.
    pub min_mod_revision: i64,
    /// Leave out pairs with a larger mod revision; 0 for off.
    pub max_mod_revision: i64,
    /// Leave out pairs with a smaller create revision; 0 for off.
    pub min_create_revision: i64,
    /// Leave out pairs with a larger create revision; 0 for off.
    pub max_create_revision: i64,
}

impl RangeQuery {
    /// All pairs of `range`, now, in key order.
    #[must_use]
    pub fn new(range: KeyRange) -> Self {
        Self {
            range,
            revision: 0,
            limit: 0,
            sort_order: SortOrder::None,
            sort_target: SortTarget::Key,
            keys_only: false,
            count_only: false,
            min_mod_revision: 0,
            max_mod_revision: 0,
            min_create_revision: 0,
            max_create_revision: 0,
        }
    }

    /// True when pairs are left out for their revisions.
    #[must_use]
    pub fn filters(&self) -> bool {
        self.min_mod_revision != 0
            || self.max_mod_revision != 0
            || self.min_create_revision != 0
            || self.max_create_revision != 0
    }
}

/// What a comparison looks at, and what it compares that with.
///
/// etcd keeps the two apart on the wire: where the operand given is not of the target's kind,
/// compare with 0 or with nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompareTarget {
    /// The version.
    Version(i64),
    /// The create revision.
    Create(i64),
    /// The mod revision.
    Mod(i64),
    /// The value.
    Value(Bytes),
    /// The lease.
    Lease(LeaseId),
    /// A target that means nothing: found equal, whatever the pair.
    Unknown,
}

/// What a comparison has to find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompareResult {
    /// The same.
    #[default]
    Equal,
    /// The pair's is larger.
    Greater,
    /// The pair's is smaller.
    Less,
    /// Another.
    NotEqual,
    /// A result that means nothing: always found.
    Unknown,
}

impl From<i32> for CompareResult {
    /// Reads the number of etcd's `Compare.CompareResult`.
    fn from(number: i32) -> Self {
        match number {
            0 => Self::Equal,
            1 => Self::Greater,
            2 => Self::Less,
            3 => Self::NotEqual,
            _ => Self::Unknown,
        }
    }
}

/// A condition of a transaction: every pair of the range has to satisfy it.
///
/// A range without pairs is compared as if it were one pair of zeros, except for
/// [`CompareTarget::Value`], where it satisfies nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The keys.
    pub range: KeyRange,
    /// What has to be found.
    pub result: CompareResult,
    /// What is compared.
    pub target: CompareTarget,
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A read.
    Range(RangeQuery),
    /// A write.
    Put(Put),
    /// A delete.
    DeleteRange(DeleteRange),
    /// A transaction inside the transaction.
    Txn(Txn),
    /// An operation that the request left out; refused by [`validate`](crate::validate).
    Empty,
}

/// A transaction: if all of `compare` hold, all of `success` happens, else all of `failure`.
///
/// The conditions of nested transactions are judged, like the outer ones, on the state before
/// the whole transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// The conditions; none is satisfied.
    pub compare: Vec<Compare>,
    /// What happens if they hold.
    pub success: Vec<Op>,
    /// What happens if they do not.
    pub failure: Vec<Op>,
}

impl Txn {
    /// True when every operation of both branches is a read, and none a transaction. Such a
    /// transaction needs no place in the log.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        let mut ops = self.success.iter().chain(&self.failure);
        ops.all(|op| matches!(op, Op::Range(_)))
    }
}
