//! What can be said of a request without looking at the store: the checks that come before a
//! request is proposed, in etcd's order, so that the first thing wrong is the one reported.
//!
//! The rules on keys that a transaction touches twice are those of etcd's `checkIntervals`
//! (`server/etcdserver/api/v3rpc/key.go`).

use crate::intervals::Intervals;
use crate::request::{DeleteRange, Op, Put, RangeQuery, SortOrder, SortTarget, Txn};
use drystone_types::RangeEnd;
use std::collections::HashSet;

#[cfg(test)]
mod tests;

/// How deep transactions may be nested, the outer one counted.
///
/// etcd bounds the depth by the budget of operations alone, 128 by default; protobuf decoders
/// give up at 100 messages, which are 50 transactions.
pub const TXN_DEPTH_MAX: usize = 64;

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// A key is empty.
    #[error("the key is empty")]
    EmptyKey,
    /// A sort order or target is none of those there are.
    #[error("the sort order or target is unknown")]
    InvalidSort,
    /// A put has a value and is to keep the present one.
    #[error("a value is given and to be ignored")]
    ValueProvided,
    /// A put has a lease and is to keep the present one.
    #[error("a lease is given and to be ignored")]
    LeaseProvided,
    /// A transaction has more operations than its budget, or is nested too deeply.
    #[error("the transaction has too many operations")]
    TooManyOps,
    /// A transaction would write a key twice.
    #[error("a key is given twice")]
    DuplicateKey,
    /// An operation of a transaction is missing. etcd says "key not found" to it.
    #[error("an operation of the transaction is missing")]
    MissingOp,
}

/// Checks a read.
///
/// # Errors
/// [`InvalidRequest::EmptyKey`], [`InvalidRequest::InvalidSort`].
pub fn range(query: &RangeQuery) -> Result<(), InvalidRequest> {
    if query.range.start.is_empty() {
        return Err(InvalidRequest::EmptyKey);
    }
    let unknown = matches!(query.sort_order, SortOrder::Unknown(_))
        || matches!(query.sort_target, SortTarget::Unknown(_));
    if unknown { Err(InvalidRequest::InvalidSort) } else { Ok(()) }
}

/// Checks a put.
///
/// # Errors
/// [`InvalidRequest::EmptyKey`], [`InvalidRequest::ValueProvided`],
/// [`InvalidRequest::LeaseProvided`].
pub fn put(put: &Put) -> Result<(), InvalidRequest> {
    if put.key.is_empty() {
        return Err(InvalidRequest::EmptyKey);
    }
    if put.ignore_value && !put.value.is_empty() {
        return Err(InvalidRequest::ValueProvided);
    }
    if put.ignore_lease && !put.lease.is_none() {
        return Err(InvalidRequest::LeaseProvided);
    }
    Ok(())
}

/// Checks a delete.
///
/// # Errors
/// [`InvalidRequest::EmptyKey`].
pub fn delete_range(delete: &DeleteRange) -> Result<(), InvalidRequest> {
    if delete.range.start.is_empty() { Err(InvalidRequest::EmptyKey) } else { Ok(()) }
}

/// Checks a transaction and everything in it.
///
/// At each level the largest of its three lists must be within the budget, which is `ops_max`
/// for the outermost and what the level above left for a nested one.
///
/// # Errors
/// Any [`InvalidRequest`].
pub fn txn(txn: &Txn, ops_max: usize) -> Result<(), InvalidRequest> {
    check_ops(txn, ops_max, 1)?;
    writes(&txn.success)?;
    writes(&txn.failure)?;
    Ok(())
}

/// True when `txn` is nested no deeper than [`TXN_DEPTH_MAX`].
pub(crate) fn is_shallow(txn: &Txn) -> bool {
    fn fits(txn: &Txn, depth_left: usize) -> bool {
        depth_left > 0
            && txn.success.iter().chain(&txn.failure).all(|op| match op {
                Op::Txn(nested) => fits(nested, depth_left - 1),
                _ => true,
            })
    }
    fits(txn, TXN_DEPTH_MAX)
}

fn check_ops(txn: &Txn, budget: usize, depth: usize) -> Result<(), InvalidRequest> {
    let ops = txn.compare.len().max(txn.success.len()).max(txn.failure.len());
    if ops > budget || depth > TXN_DEPTH_MAX {
        return Err(InvalidRequest::TooManyOps);
    }
    if txn.compare.iter().any(|compare| compare.range.start.is_empty()) {
        return Err(InvalidRequest::EmptyKey);
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match op {
            Op::Range(query) => range(query)?,
            Op::Put(request) => put(request)?,
            Op::DeleteRange(delete) => delete_range(delete)?,
            Op::Txn(nested) => check_ops(nested, budget - ops, depth + 1)?,
            Op::Empty => return Err(InvalidRequest::MissingOp),
        }
    }
    Ok(())
}

/// What a list of operations writes, nested lists included.
type Writes<'a> = (HashSet<&'a [u8]>, Intervals<'a>);

/// Collects what `ops` write and refuses what would write a key twice:
///
/// 1. two puts of a key in the list;
/// 2. a put and a delete that covers it in the list, in either order;
/// 3. a put in a nested transaction against deletes and puts of the list, and against those of
///    earlier nested transactions;
/// 4. a put in the list against deletes of any nested transaction.
///
/// The branches of one transaction exclude each other, so they are not held against each other.
fn writes(ops: &[Op]) -> Result<Writes<'_>, InvalidRequest> {
    let (mut puts, mut deletes) = (HashSet::new(), Intervals::default());
    for op in ops {
        if let Op::DeleteRange(delete) = op {
            // etcd takes the end of an open range for the key it is written as, below every
            // start, and so never sees such a delete overlap. Clients rely on it.
            if delete.range.end != RangeEnd::Unbounded {
                deletes.insert(&delete.range);
            }
        }
    }
    for op in ops {
        let Op::Txn(nested) = op else { continue };
        let (then_puts, then_deletes) = writes(&nested.success)?;
        let (else_puts, else_deletes) = writes(&nested.failure)?;
        let taken = |key: &&[u8]| puts.contains(key) || deletes.contains(key);
        if then_puts.iter().chain(&else_puts).any(taken) {
            return Err(InvalidRequest::DuplicateKey);
        }
        puts.extend(then_puts);
        puts.extend(else_puts);
        deletes.extend(then_deletes);
        deletes.extend(else_deletes);
    }
    for op in ops {
        let Op::Put(put) = op else { continue };
        let key = put.key.as_ref();
        if deletes.contains(key) || !puts.insert(key) {
            return Err(InvalidRequest::DuplicateKey);
        }
    }
    Ok((puts, deletes))
}
