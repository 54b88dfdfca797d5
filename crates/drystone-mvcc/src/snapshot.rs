//! Reading what is published.

use crate::digest::DigestMark;
use crate::error::{Error, OpError};
use crate::hash::KvHasher;
use crate::index::Span;
use crate::outcome::{Changes, HashKv, Page, RangeResult, TxnOutcome};
use crate::request::{RangeQuery, Txn};
use crate::state::{Shared, State};
use crate::store;
use crate::view::View;
use bytes::Bytes;
use drystone_backend::Table;
use drystone_types::Revision;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

mod changes;

/// A handle for reading a store from any thread. It never waits for the writer.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What is published now, frozen. Costs a reference count.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { shared: self.shared.clone(), state: self.shared.published.load_full() }
    }

    /// The published revision.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.shared.published.load().revision
    }

    /// Bytes of pairs that are kept in memory.
    #[must_use]
    pub fn cached_bytes(&self) -> usize {
        self.shared.cache.bytes()
    }

    /// Marks of the rolling digest, ascending: of the newest revision, of ever fewer older ones,
    /// and of the oldest there is one of. At least one, about twenty at most.
    #[must_use]
    pub fn digest_marks(&self) -> Vec<DigestMark> {
        self.shared.trail.spread()
    }

    /// The marks of those of `revisions` that the digest still has, in their order.
    #[must_use]
    pub fn digests_at(&self, revisions: &[i64]) -> Vec<DigestMark> {
        self.shared.trail.at(revisions)
    }

    /// The hashes taken while compacting, newest first, ten at most: what members compare to
    /// find corruption without stopping anything. They are forgotten at a restart.
    #[must_use]
    pub fn compaction_hashes(&self) -> Vec<HashKv> {
        self.shared.hashes.lock().newest_first().to_vec()
    }
}

/// One published state. It answers the same for as long as it is held, whatever is written and
/// compacted meanwhile.
///
/// Drop it when done: what a later compaction lets go stays in the store as long as a snapshot
/// from before that compaction is held.
#[derive(Clone, Debug)]
pub struct Snapshot {
    shared: Arc<Shared>,
    state: Arc<State>,
}

impl Snapshot {
    /// The current revision of this state.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.state.revision
    }

    /// The compacted revision of this state, -1 before the first compaction: the oldest one that
    /// can be read.
    #[must_use]
    pub fn compacted(&self) -> i64 {
        self.state.compacted
    }

    /// How many keys are live.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.state.tree.count(Span { start: b"\0", end: None })
    }

    /// Answers a read. The cost goes with the pairs read; counting all keys of a range goes with
    /// the logarithm of their number, at past revisions as far as the log of births and deaths
    /// reaches back.
    ///
    /// # Errors
    /// [`OpError::FutureRevision`] above the current revision, [`OpError::Compacted`] below the
    /// compacted one.
    pub fn range(&self, query: &RangeQuery) -> Result<RangeResult, OpError> {
        self.view().range(query)
    }

    /// Reads the first pairs of a range in key order, whatever order, limit and filters the query
    /// has: no more than `pairs_max`, and none after the one that brings their bytes to
    /// `bytes_max`. There is always one, if the range holds any.
    ///
    /// Holds `pairs_max` small numbers and, beside the page, no more than sixteen pairs. What is
    /// fetched for it stays out of the cache of pairs: who walks through all of a store must not
    /// drive out what others use.
    ///
    /// # Errors
    /// Those of [`Snapshot::range`].
    pub fn page(
        &self,
        query: &RangeQuery,
        pairs_max: usize,
        bytes_max: usize,
    ) -> Result<Page, OpError> {
        self.view().page(query, pairs_max, bytes_max)
    }

    /// The sum of `cost` over the lengths, in bytes, of the first `pairs_max` stored pairs of a
    /// range in key order, whatever else the query asks. It is what who sends them must know
    /// before.
    ///
    /// The index knows the lengths of newest pairs below 16 MiB; others are read, a few at a
    /// time.
    ///
    /// # Errors
    /// Those of [`Snapshot::range`].
    pub fn measure(
        &self,
        query: &RangeQuery,
        pairs_max: usize,
        cost: fn(usize) -> usize,
    ) -> Result<usize, OpError> {
        self.view().measure(query, pairs_max, cost)
    }

    /// Runs a transaction that only reads.
    ///
    /// # Errors
    /// Those of [`Store::txn`](crate::Store::txn) for reads; [`OpError::NotReadOnly`] when there
    /// is a write in a branch that is taken.
    pub fn txn_read_only(&self, txn: &Txn) -> Result<TxnOutcome, OpError> {
        store::read_only(&self.view(), txn)
    }

    /// The encoded pair that one put stored, such as an event's `prev`. `None` when there is no
    /// put of this revision, and possibly when it is compacted.
    ///
    /// # Errors
    /// [`OpError::Store`] only.
    pub fn value_at(&self, revision: Revision) -> Result<Option<Bytes>, OpError> {
        Ok(self.view().values.find(revision)?)
    }

    /// The digest of history up to `revision`, 0 for the current one. At a revision that was
    /// compacted lately it is the one taken by that compaction, while it is remembered.
    ///
    /// Reads all records up to `revision`, and holds a list of the keys that were not written
    /// since the compacted revision.
    ///
    /// # Errors
    /// [`OpError::FutureRevision`] above the current revision, [`OpError::Compacted`] below the
    /// compacted one.
    pub fn hash_kv(&self, revision: i64) -> Result<HashKv, OpError> {
        if revision != 0
            && let Some(hash) = self.shared.hashes.lock().find(revision)
        {
            return Ok(hash);
        }
        if revision < 0 {
            return Err(OpError::Compacted { compacted: self.compacted() });
        }
        let at = self.view().resolve(revision)?;
        let compacted = self.compacted();
        let keep = self.counting(at);
        let mut hasher = KvHasher::new(compacted, at);
        let end = Revision::first(at + 1).to_key(false);
        let mut damaged = None;
        let view = self.shared.backend.view()?;
        let bounds = (Bound::Unbounded, Bound::Excluded(end.as_slice()));
        view.scan(Table::Key, bounds, &mut |key, value| {
            let Some((revision, _)) = Revision::from_key(key) else {
                damaged = Some(Error::corrupt(Table::Key, key, "not a revision"));
                return ControlFlow::Break(());
            };
            hasher.add(revision, &keep, key, value);
            ControlFlow::Continue(())
        })?;
        match damaged {
            Some(error) => Err(error.into()),
            None => Ok(hasher.finish()),
        }
    }

    /// The revisions up to the compacted one that count in a hash at `at`, ascending: those that
    /// are still their keys' newest at `at`. When no key is live at `at`, etcd leaves nothing
    /// out, so all that a sweep leaves counts. Tombstones never do, so that it does not matter
    /// whether the one at the compacted revision stays.
    fn counting(&self, at: i64) -> Vec<Revision> {
        let compacted = self.compacted();
        let (mut keep, mut left, mut any) = (Vec::new(), Vec::new(), false);
        let _ = self.state.tree.visit(Span::ALL, false, &mut |_, entry| {
            if let Some(version) = entry.live_at(at) {
                any = true;
                keep.extend((version.main <= compacted).then(|| version.revision()));
            }
            if !any {
                left.extend(entry.live_at(compacted).map(|version| version.revision()));
            }
            ControlFlow::Continue(())
        });
        let mut counting = if any { keep } else { left };
        counting.sort_unstable();
        counting
    }

    fn view(&self) -> View<'_> {
        let State { tree, revision, compacted, .. } = &*self.state;
        self.shared.view(tree, (*revision, *compacted), &[], &[])
    }

    /// The changes from main revision `from` on, up to and including `to`, in order, for a
    /// watcher that starts in the past. The current revision bounds `to`.
    ///
    /// Ends after `revisions_max` revisions, or with the first one that brings the encoded pairs
    /// to `bytes_max`; there is always one, if there is any, and always whole ones. An event's
    /// `prev` is `None` when the pair before it is compacted.
    ///
    /// # Errors
    /// [`OpError::Compacted`] when `from` is below the compacted revision.
    pub fn changes(
        &self,
        from: i64,
        to: i64,
        revisions_max: usize,
        bytes_max: usize,
    ) -> Result<Changes, OpError> {
        if from < self.compacted() {
            return Err(OpError::Compacted { compacted: self.compacted() });
        }
        let (from, to) = (from.max(1), to.min(self.revision()));
        changes::read(self, from, to, revisions_max.max(1), bytes_max)
    }
}
