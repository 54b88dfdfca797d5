//! The one writer of a store.

use crate::codec::{self, Numbers};
use crate::config::Config;
use crate::deltas::Delta;
use crate::digest::DigestMark;
use crate::error::{Error, OpError};
use crate::index::Tree;
use crate::outcome::{DeleteOutcome, PutOutcome};
use crate::request::{DeleteRange, Put};
use crate::snapshot::Reader;
use crate::state::{Pin, Shared, State};
use crate::sweep::Sweeper;
use crate::view::View;
use crate::write::Change;
use bytes::Bytes;
use drystone_backend::{Backend, Batch, Table};
use drystone_probe::{mark, planted};
use drystone_types::{LeaseId, Revision, RevisionEvents};
use std::ops::ControlFlow;
use std::sync::Arc;

mod open;
mod txn;

pub(crate) use txn::read_only;

/// What a put needs to know of leases.
pub trait Leases {
    /// True when the lease exists at this point of the log.
    fn exists(&self, id: LeaseId) -> bool;
}

/// The one writer of a store; owned by the thread that applies the log.
///
/// Each call is one entry of the log. It adds to a batch and changes the working state, which
/// later calls see and readers do not. When the batch has been written to the backend,
/// [`Store::publish`] shows readers everything since the last time.
///
/// ```text
/// put, txn, compact ...  ->  backend.write(batch)  ->  publish  ->  answer, notify
/// ```
///
/// A call that fails with anything but [`OpError::Store`] has changed nothing.
#[derive(Debug)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tree: Tree,
    pub(crate) revision: i64,
    pub(crate) compacted: i64,
    pub(crate) pin: Arc<Pin>,
    pub(crate) staged: Staged,
    pub(crate) sweeper: Sweeper,
    pub(crate) live_bytes: u64,
    /// The sum of the digests of all revisions since the store was opened.
    pub(crate) digest: u64,
}

/// What readers do not see yet.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    /// New pairs by ascending revision.
    pub(crate) pairs: Vec<(Revision, Bytes)>,
    /// Revisions that are not their keys' newest any more.
    pub(crate) replaced: Vec<Revision>,
    pub(crate) deltas: Vec<Delta>,
    pub(crate) events: Vec<RevisionEvents>,
    /// The digests up to each new revision.
    pub(crate) marks: Vec<DigestMark>,
    /// True when there is anything to publish.
    pub(crate) any: bool,
}

impl Store {
    /// Opens the store that `backend` holds: reads every record once and builds the key index.
    /// A compaction that was cut off goes on with the next [`Store::sweep`].
    ///
    /// # Errors
    /// When the backend fails or holds a record that is none.
    pub fn open(backend: Arc<dyn Backend>, config: Config) -> Result<Self, Error> {
        open::open(backend, config)
    }

    /// A handle for reading what is published.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(self.shared.clone())
    }

    /// The revision of the working state: 1 for an empty store.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The compacted revision of the working state, -1 before the first compaction.
    #[must_use]
    pub fn compacted(&self) -> i64 {
        self.compacted
    }

    /// Bytes of all records of the working state: what the table `key` holds, keys and values,
    /// before any compression. Counted exactly, and equal on members that applied the same log
    /// and swept as far: it grows with every change, deletes too, and falls as
    /// [`Store::sweep`] removes what compaction let go.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// Writes one key.
    ///
    /// # Errors
    /// [`OpError::LeaseNotFound`]; [`OpError::KeyNotFound`] when the present value or lease is
    /// to be kept and there is none.
    pub fn put(
        &mut self,
        out: &mut Batch,
        put: &Put,
        leases: &dyn Leases,
    ) -> Result<PutOutcome, OpError> {
        if !put.lease.is_none() && !leases.exists(put.lease) {
            return Err(OpError::LeaseNotFound(put.lease));
        }
        if (put.ignore_value || put.ignore_lease) && !self.view().exists(&put.key) {
            return Err(OpError::KeyNotFound);
        }
        let mut change = Change::new(self, out);
        let prev = change.put(put)?;
        let (revision, lease_changes) = change.finish();
        Ok(PutOutcome { revision, prev, lease_changes })
    }

    /// Deletes the keys of a range, in key order, as one revision; none if there is none.
    ///
    /// # Errors
    /// [`OpError::Store`] only.
    pub fn delete_range(
        &mut self,
        out: &mut Batch,
        delete: &DeleteRange,
    ) -> Result<DeleteOutcome, OpError> {
        let mut change = Change::new(self, out);
        let (deleted, prevs) = change.delete_range(delete)?;
        let (revision, lease_changes) = change.finish();
        Ok(DeleteOutcome { revision, deleted, prevs, lease_changes })
    }

    /// Deletes `keys`, those of them that exist, in key order, as one revision: what a lease
    /// that ends does to its keys.
    pub fn delete_keys(&mut self, out: &mut Batch, keys: &[Bytes]) -> DeleteOutcome {
        let mut keys: Vec<&Bytes> = keys.iter().collect();
        keys.sort_unstable();
        keys.dedup();
        let mut change = Change::new(self, out);
        let mut deleted = 0;
        for key in keys {
            deleted += i64::from(change.delete(key));
        }
        let (revision, lease_changes) = change.finish();
        DeleteOutcome { revision, deleted, prevs: Vec::new(), lease_changes }
    }

    /// Moves the compacted revision. What that lets go is removed later, by [`Store::sweep`],
    /// but cannot be read any more from the next [`Store::publish`] on.
    ///
    /// # Errors
    /// [`OpError::Compacted`] when it is not above the compacted revision,
    /// [`OpError::FutureRevision`] when it is above the current one.
    pub fn compact(&mut self, out: &mut Batch, revision: i64) -> Result<(), OpError> {
        if revision <= self.compacted {
            mark!("mvcc.compaction_refused");
            return Err(OpError::Compacted { compacted: self.compacted });
        }
        if revision > self.revision {
            let current = self.revision;
            return Err(OpError::FutureRevision { requested: revision, current });
        }
        if !planted!("mvcc.compaction_mark_lost") {
            let mark = Revision::first(revision).to_key(false);
            out.put(Table::Meta, crate::SCHEDULED_COMPACT, mark);
        }
        let pin = std::mem::replace(&mut self.pin, Arc::new(Pin));
        self.sweeper.schedule(revision, self.compacted, &pin);
        self.compacted = revision;
        self.staged.any = true;
        Ok(())
    }

    /// Shows readers everything since the last time, and returns the events of it, in order.
    /// Call it when the batches of all calls before it have been written to the backend.
    pub fn publish(&mut self) -> Vec<RevisionEvents> {
        let staged = std::mem::take(&mut self.staged);
        if !staged.any {
            return Vec::new();
        }
        let cache = &self.shared.cache;
        for (revision, pair) in staged.pairs {
            cache.insert(revision, pair);
        }
        for revision in staged.replaced {
            cache.replaced(revision);
        }
        self.shared.deltas.extend(staged.deltas.into_iter());
        self.shared.trail.extend(staged.marks.into_iter());
        self.show();
        staged.events
    }

    /// Calls `visit` for every live key that is attached to a lease, in key order: what a lessor
    /// needs to know after a restart.
    pub fn for_each_leased(&self, visit: &mut dyn FnMut(LeaseId, &[u8])) {
        let _ = self.tree.visit(crate::index::Span::ALL, true, &mut |key, entry| {
            let Numbers { lease, .. } = entry.numbers();
            if lease != 0 {
                visit(LeaseId(lease), key);
            }
            ControlFlow::Continue(())
        });
    }

    /// Replaces what readers see by the working state.
    pub(crate) fn show(&self) {
        let state = State {
            tree: self.tree.clone(),
            revision: self.revision,
            compacted: self.compacted,
            pin: self.pin.clone(),
        };
        self.shared.published.store(Arc::new(state));
    }

    /// The working state.
    pub(crate) fn view(&self) -> View<'_> {
        self.view_at(self.revision)
    }

    /// The working state in the middle of a change, when it may be one revision further.
    pub(crate) fn view_at(&self, revision: i64) -> View<'_> {
        let Staged { pairs, deltas, .. } = &self.staged;
        let swept = self.swept();
        let by_sweep = planted!("mvcc.txn_judged_by_sweep");
        let compacted = if by_sweep { swept } else { self.compacted };
        self.shared.view(&self.tree, (revision, compacted), pairs, deltas)
    }
}

/// Bytes that a record counts for.
pub(crate) fn record_bytes(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}

/// What the event and the record of a delete carry.
pub(crate) fn deleted(key: &[u8], main: i64) -> (Bytes, Bytes) {
    (codec::encode_deleted(key, main), codec::encode_tombstone(key))
}
