//! The traits of a store.

use crate::{BackendError, Batch, Table};
use bytes::Bytes;
use drystone_types::Applied;
use std::fmt::Debug;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::Arc;

/// The keys of a scan, as bounds of an ordered map.
pub type KeyBounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// What a scan hands each pair to. The slices live for the call only.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// How large a store is, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// What it occupies: files and what waits in memory to be flushed.
    pub allocated_bytes: u64,
    /// What of it is live, by the store's own estimate. Never above `allocated_bytes`.
    pub in_use_bytes: u64,
}

/// Reading of one state of a store.
pub trait Read: Send + Sync + Debug {
    /// The value of `key`, or `None`.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, BackendError>;

    /// The values of `keys`, in their order. One call so that an engine can batch the look-ups;
    /// engines that do so also read all of them from one state.
    fn get_many(&self, table: Table, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, BackendError> {
        keys.iter().map(|key| self.get(table, key)).collect()
    }

    /// Visits the pairs inside `bounds` in ascending byte order of their keys until `visit`
    /// breaks or the bounds end. Inverted bounds hold no key; that is no error.
    ///
    /// A scan sees one state from its first pair to its last, also when it runs on the store
    /// itself while batches are written. `visit` must not write to the store.
    fn scan(
        &self,
        table: Table,
        bounds: KeyBounds<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<(), BackendError>;
}

/// An ordered byte store with atomic batches.
///
/// It keeps no log of its own: the replicated log is the log. A write is visible when it
/// returns and durable only after a flush; a crash loses the newest batches, whole and in
/// order, and [`Backend::applied`] of the reopened store names the last one it kept.
///
/// One thread writes; any number reads. Reads through [`Read`] on the store itself see the
/// newest state; reads that must agree with each other go through one [`Backend::view`].
pub trait Backend: Read {
    /// A frozen state: what is visible now, however the store changes later. Cheap to take;
    /// holding one keeps the engine from reclaiming space, so drop it when done.
    fn view(&self) -> Result<Arc<dyn Read>, BackendError>;

    /// Takes on all of `batch`, visible on return, durable after a later flush. May block while
    /// the engine's buffers are full.
    ///
    /// The batch's applied mark is stored with it, in [`Table::Meta`]
    /// ([`crate::APPLIED_INDEX_KEY`]); a mark equal to the store's is accepted. A batch that is
    /// empty does nothing.
    ///
    /// # Errors
    /// [`BackendError::AppliedBackwards`] leaves the store as it was; any other error poisons it,
    /// and of the batch nothing becomes visible.
    fn write(&self, batch: &Batch) -> Result<(), BackendError>;

    /// The newest entry whose effects are visible; all zero for a new store.
    fn applied(&self) -> Applied;

    /// The newest entry whose effects survive a power cut. Cheap; moves forward whenever a
    /// flush, asked for or the engine's own, has ended.
    fn durable(&self) -> Applied;

    /// Makes everything written before the call durable and returns [`Backend::durable`].
    /// Blocks on the disk; other threads may read and write meanwhile.
    ///
    /// # Errors
    /// Any error is final: the store is poisoned.
    fn flush(&self) -> Result<Applied, BackendError>;

    /// How large the store is. Cheap enough to call once a second.
    fn size(&self) -> Size;

    /// Writes a copy of the current state into the new directory `dir`, durable on return,
    /// and returns the applied mark it holds. Space is shared with the store where the file
    /// system can. Writers are not held up. May flush.
    ///
    /// The copy is a store of the same implementation. It lives on when this one changes or goes.
    ///
    /// # Errors
    /// When `dir` exists already, or the copy could not be written in full; what was written of
    /// it is then of no use and may be removed. The store itself goes on unless it was poisoned
    /// by a flush.
    fn checkpoint(&self, dir: &Path) -> Result<Applied, BackendError>;
}
