//! Transactions: decided first, whole; then done.

use super::{Leases, Store};
use crate::error::OpError;
use crate::intervals::Intervals;
use crate::outcome::{OpOutcome, TxnOutcome};
use crate::request::{Op, Put, Txn};
use crate::state::State;
use crate::validate;
use crate::view::View;
use crate::write::Change;
use drystone_backend::Batch;
use drystone_probe::{mark, planted};
use std::collections::BTreeSet;

impl Store {
    /// Runs a transaction. Everything it changes has one revision.
    ///
    /// Which branches are taken, and whether anything in them could fail, is decided on the
    /// state before it, and for keys that must exist also on what the transaction itself does
    /// to them before; only then is anything staged. (etcd decides on the state before alone,
    /// and dies of a put that keeps the value of a key the same transaction has deleted.)
    ///
    /// # Errors
    /// For the first operation of the branches taken that cannot be done:
    /// [`OpError::FutureRevision`] and [`OpError::Compacted`] for a read, where a negative
    /// revision counts as compacted; [`OpError::KeyNotFound`] and [`OpError::LeaseNotFound`]
    /// for a put. Nothing has happened then. [`OpError::TooDeep`] when it is nested deeper than
    /// [`TXN_DEPTH_MAX`](validate::TXN_DEPTH_MAX).
    pub fn txn(
        &mut self,
        out: &mut Batch,
        txn: &Txn,
        leases: &dyn Leases,
    ) -> Result<TxnOutcome, OpError> {
        let path = if planted!("mvcc.txn_decided_on_published_state") {
            let State { tree, revision, compacted, .. } = &**self.shared.published.load();
            decide(&self.shared.view(tree, (*revision, *compacted), &[], &[]), txn, Some(leases))?
        } else {
            decide(&self.view(), txn, Some(leases))?
        };
        let mut change = Change::new(self, out);
        let responses = execute(&mut change, path.branch(txn), &path.nested)?;
        let (revision, lease_changes) = change.finish();
        Ok(TxnOutcome { revision, succeeded: path.succeeded, responses, lease_changes })
    }
}

/// Which branch a transaction takes, and those nested in that branch, in order.
#[derive(Debug)]
struct Path {
    succeeded: bool,
    nested: Vec<Path>,
}

impl Path {
    fn branch<'t>(&self, txn: &'t Txn) -> &'t [Op] {
        if self.succeeded { &txn.success } else { &txn.failure }
    }
}

/// Runs a transaction that only reads.
pub(crate) fn read_only(view: &View<'_>, txn: &Txn) -> Result<TxnOutcome, OpError> {
    let path = decide(view, txn, None)?;
    let responses = read(view, path.branch(txn), &path.nested)?;
    let Path { succeeded, .. } = path;
    let revision = view.revision;
    Ok(TxnOutcome { revision, succeeded, responses, lease_changes: Vec::new() })
}

fn read(view: &View<'_>, ops: &[Op], nested: &[Path]) -> Result<Vec<OpOutcome>, OpError> {
    let mut nested = nested.iter();
    let mut responses = Vec::with_capacity(ops.len());
    for op in ops {
        responses.push(match op {
            Op::Range(query) => OpOutcome::Range(view.range(query)?),
            Op::Txn(txn) => {
                let path = nested.next().expect("one path for each nested transaction");
                let responses = read(view, path.branch(txn), &path.nested)?;
                OpOutcome::Txn { succeeded: path.succeeded, responses }
            }
            Op::Put(_) | Op::DeleteRange(_) | Op::Empty => return Err(OpError::NotReadOnly),
        });
    }
    Ok(responses)
}

fn execute(
    change: &mut Change<'_>,
    ops: &[Op],
    nested: &[Path],
) -> Result<Vec<OpOutcome>, OpError> {
    let mut nested = nested.iter();
    let mut responses = Vec::with_capacity(ops.len());
    for op in ops {
        responses.push(match op {
            Op::Range(query) => OpOutcome::Range(change.range(query)?),
            Op::Put(put) => {
                let prev = change.put(put)?;
                OpOutcome::Put { revision: change.revision(), prev }
            }
            Op::DeleteRange(delete) => {
                let (deleted, prevs) = change.delete_range(delete)?;
                OpOutcome::DeleteRange { revision: change.revision(), deleted, prevs }
            }
            Op::Txn(txn) => {
                let path = nested.next().expect("one path for each nested transaction");
                let responses = execute(change, path.branch(txn), &path.nested)?;
                OpOutcome::Txn { succeeded: path.succeeded, responses }
            }
            Op::Empty => unreachable!("checked before"),
        });
    }
    Ok(responses)
}

/// Fixes the path of a transaction and makes sure that nothing on it can fail. Without `leases`
/// it must not write.
fn decide(view: &View<'_>, txn: &Txn, leases: Option<&dyn Leases>) -> Result<Path, OpError> {
    if !validate::is_shallow(txn) {
        return Err(OpError::TooDeep);
    }
    let path = path(view, txn)?;
    let mut check = Check { view, leases, written: BTreeSet::new(), deleted: Intervals::default() };
    check.ops(path.branch(txn), &path.nested)?;
    Ok(path)
}

fn path(view: &View<'_>, txn: &Txn) -> Result<Path, OpError> {
    let mut succeeded = true;
    for compare in &txn.compare {
        succeeded = view.compare(compare)?;
        if !succeeded {
            break;
        }
    }
    let mut path = Path { succeeded, nested: Vec::new() };
    for op in path.branch(txn) {
        if let Op::Txn(nested) = op {
            path.nested.push(self::path(view, nested)?);
        }
    }
    Ok(path)
}

/// Walks the path of a transaction before it is taken.
struct Check<'a> {
    view: &'a View<'a>,
    leases: Option<&'a dyn Leases>,
    /// Keys that exist by then because the transaction wrote them.
    written: BTreeSet<&'a [u8]>,
    /// Keys that do not exist by then, unless written, because it deleted them.
    deleted: Intervals<'a>,
}

impl<'a> Check<'a> {
    fn ops(&mut self, ops: &'a [Op], nested: &[Path]) -> Result<(), OpError> {
        let mut nested = nested.iter();
        for op in ops {
            match op {
                Op::Range(_) if planted!("mvcc.txn_half_applied") => {}
                Op::Range(query) => self.read_revision(query.revision)?,
                Op::Put(put) => self.put(put)?,
                Op::DeleteRange(delete) => {
                    if self.leases.is_none() {
                        return Err(OpError::NotReadOnly);
                    }
                    // Each key leaves the set once for each time it came, so this is cheap.
                    let bounds = delete.range.bounds();
                    let gone: Vec<_> = self.written.range::<[u8], _>(bounds).copied().collect();
                    for key in gone {
                        self.written.remove(key);
                    }
                    self.deleted.insert(&delete.range);
                }
                Op::Txn(txn) => {
                    mark!("mvcc.txn_nested");
                    let path = nested.next().expect("one path for each nested transaction");
                    self.ops(path.branch(txn), &path.nested)?;
                }
                Op::Empty => return Err(OpError::KeyNotFound),
            }
        }
        Ok(())
    }

    /// The transaction's own revision cannot be read by its number: it does not exist yet.
    fn read_revision(&self, revision: i64) -> Result<(), OpError> {
        if revision < 0 {
            mark!("mvcc.txn_read_of_negative_revision");
            return Err(OpError::Compacted { compacted: self.view.compacted });
        }
        self.view.resolve(revision).map(drop)
    }

    fn put(&mut self, put: &'a Put) -> Result<(), OpError> {
        let Some(leases) = self.leases else { return Err(OpError::NotReadOnly) };
        let key = put.key.as_ref();
        // Before the whole transaction, as in etcd, and at this point of it.
        if (put.ignore_value || put.ignore_lease)
            && (!self.view.exists(key)
                || (self.deleted.contains(key) && !self.written.contains(key)))
        {
            return Err(OpError::KeyNotFound);
        }
        if !put.lease.is_none() && !leases.exists(put.lease) {
            return Err(OpError::LeaseNotFound(put.lease));
        }
        self.written.insert(key);
        Ok(())
    }
}
