//! A store in memory that can lose power.

mod checkpoint;
#[cfg(test)]
mod tests;

use crate::{
    APPLIED_INDEX_KEY, APPLIED_TERM_KEY, Backend, BackendError, Batch, Change, KeyBounds, Read,
    Size, Table, Visit, bounds_are_empty,
};
use bytes::Bytes;
use drystone_probe::{mark, planted};
use drystone_types::Applied;
use rpds::RedBlackTreeMapSync;
use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a [`MemBackend`] behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemConfig {
    /// How many batches may wait for a flush. The write that would make them more first flushes
    /// by itself, as engines do when their buffers are full.
    pub unflushed_batches_max: usize,
}

impl Default for MemConfig {
    fn default() -> Self {
        Self { unflushed_batches_max: 4096 }
    }
}

/// A [`Backend`] in memory whose power can be cut at any moment ([`MemBackend::crash`]).
///
/// Clones are handles of one store. Every state is a persistent map, so a view costs two
/// reference counts and a write touches only the paths to what it changes; the same calls give
/// the same states, whatever the process. Nothing is written to disk except by
/// [`Backend::checkpoint`].
///
/// Faults are asked for ([`MemBackend::fail_write_after`], [`MemBackend::fail_flush_after`]) and
/// poison the store as a real one would be.
#[derive(Clone)]
pub struct MemBackend {
    inner: Arc<Mutex<Inner>>,
    config: MemConfig,
}

struct Inner {
    visible: Arc<State>,
    /// The state after each batch that no flush has covered, oldest first. Its last element is
    /// `visible`.
    unflushed: VecDeque<Arc<State>>,
    durable: Arc<State>,
    poisoned: bool,
    fail_write_after: Option<usize>,
    fail_flush_after: Option<usize>,
}

/// One state of a store; never changed once it is shared.
#[derive(Clone, Default)]
struct State {
    tables: [RedBlackTreeMapSync<Bytes, Bytes>; Table::ALL.len()],
    applied: Applied,
    bytes: u64,
}

impl Default for MemBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl MemBackend {
    /// A new, empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with_config(MemConfig::default())
    }

    /// A new, empty store that behaves as `config` says.
    #[must_use]
    pub fn with_config(config: MemConfig) -> Self {
        Self::holding(Arc::default(), config)
    }

    /// Opens what [`Backend::checkpoint`] left in `dir`. The files are read and not kept open;
    /// the store is a copy in memory, all of it durable.
    ///
    /// # Errors
    /// [`BackendError::Io`] when there is no checkpoint or it cannot be read,
    /// [`BackendError::Corrupt`] when it is not what was written.
    pub fn open_checkpoint(dir: &Path) -> Result<Self, BackendError> {
        Ok(Self::holding(Arc::new(checkpoint::read(dir)?), MemConfig::default()))
    }

    fn holding(state: Arc<State>, config: MemConfig) -> Self {
        let inner = Inner {
            visible: Arc::clone(&state),
            unflushed: VecDeque::new(),
            durable: state,
            poisoned: false,
            fail_write_after: None,
            fail_flush_after: None,
        };
        Self { inner: Arc::new(Mutex::new(inner)), config }
    }

    /// Cuts the power and opens what the disk then holds: everything flushed, and of the batches
    /// written since then the oldest `keep_unflushed` (all of them, if there are fewer).
    ///
    /// The crashed store, with all its clones, takes no more writes; its views stay as they are.
    #[must_use = "the returned store is what survived"]
    pub fn crash(&self, keep_unflushed: usize) -> Self {
        let mut inner = self.lock();
        inner.poisoned = true;
        if keep_unflushed < inner.unflushed.len() {
            mark!("backend.batches_lost");
        }
        let survivor = match keep_unflushed.min(inner.unflushed.len()) {
            0 => &inner.durable,
            kept => &inner.unflushed[kept - 1],
        };
        Self::holding(Arc::clone(survivor), self.config)
    }

    /// How many batches a power cut could take at this moment.
    #[must_use]
    pub fn unflushed(&self) -> usize {
        self.lock().unflushed.len()
    }

    /// A store of its own that starts with what is visible in this one, all of it durable. Takes
    /// no time and no space; for simulators that hand snapshots around without a file system.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::holding(self.image(), self.config)
    }

    /// Lets `writes` more writes pass and fails the one after them.
    pub fn fail_write_after(&self, writes: usize) {
        self.lock().fail_write_after = Some(writes);
    }

    /// Lets `flushes` more flushes pass, asked for or not, and fails the one after them.
    pub fn fail_flush_after(&self, flushes: usize) {
        self.lock().fail_flush_after = Some(flushes);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No state is half-changed when a panic could occur: states are replaced whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn visible(&self) -> Arc<State> {
        Arc::clone(&self.lock().visible)
    }

    /// What a snapshot of this store holds.
    fn image(&self) -> Arc<State> {
        let mut image = self.visible();
        if planted!("backend.snapshot_without_leases") {
            Arc::make_mut(&mut image).tables[Table::Lease.position()] =
                RedBlackTreeMapSync::default();
        }
        image
    }
}

impl Inner {
    fn flush(&mut self) -> Result<Applied, BackendError> {
        if self.poisoned {
            return Err(BackendError::Poisoned);
        }
        if strike(&mut self.fail_flush_after) {
            self.poisoned = true;
            return Err(BackendError::io("flush", "injected fault"));
        }
        if planted!("backend.flush_reports_unflushed") {
            return Ok(self.visible.applied);
        }
        self.unflushed.clear();
        self.durable = Arc::clone(&self.visible);
        Ok(self.durable.applied)
    }
}

/// Counts a fault down; true when it strikes now.
fn strike(fault: &mut Option<usize>) -> bool {
    match fault {
        None => false,
        Some(0) => {
            *fault = None;
            true
        }
        Some(left) => {
            *left -= 1;
            false
        }
    }
}

impl State {
    fn put(&mut self, table: Table, key: Bytes, value: Bytes) {
        self.delete(table, &key);
        self.bytes += (key.len() + value.len()) as u64;
        self.tables[table.position()].insert_mut(key, value);
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        let map = &mut self.tables[table.position()];
        if let Some(value) = map.get(key) {
            self.bytes -= (key.len() + value.len()) as u64;
            map.remove_mut(key);
        }
    }

    fn apply(&mut self, batch: &Batch) {
        for change in batch.changes() {
            match change {
                Change::Put { table, key, value } => self.put(*table, key.clone(), value.clone()),
                Change::Delete { table, key } => self.delete(*table, key),
            }
        }
        if let Some(applied) = batch.applied() {
            self.set_applied(applied);
        }
    }

    fn set_applied(&mut self, applied: Applied) {
        let number = |value: u64| Bytes::copy_from_slice(&value.to_be_bytes());
        self.put(Table::Meta, Bytes::from_static(APPLIED_INDEX_KEY), number(applied.index.0));
        self.put(Table::Meta, Bytes::from_static(APPLIED_TERM_KEY), number(applied.term.0));
        self.applied = applied;
    }
}

impl Read for State {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        Ok(self.tables[table.position()].get(key).cloned())
    }

    fn scan(
        &self,
        table: Table,
        bounds: KeyBounds<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<(), BackendError> {
        if bounds_are_empty(bounds) {
            return Ok(());
        }
        for (key, value) in self.tables[table.position()].range::<[u8], _>(bounds) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Read for MemBackend {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        self.lock().visible.get(table, key)
    }

    fn get_many(&self, table: Table, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, BackendError> {
        self.visible().get_many(table, keys)
    }

    fn scan(
        &self,
        table: Table,
        bounds: KeyBounds<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<(), BackendError> {
        self.visible().scan(table, bounds, visit)
    }
}

impl Backend for MemBackend {
    fn view(&self) -> Result<Arc<dyn Read>, BackendError> {
        Ok(self.visible())
    }

    fn write(&self, batch: &Batch) -> Result<(), BackendError> {
        let mut inner = self.lock();
        if inner.poisoned {
            return Err(BackendError::Poisoned);
        }
        let store = inner.visible.applied;
        if let Some(batch) = batch.applied().filter(|batch| *batch < store) {
            return Err(BackendError::AppliedBackwards { store, batch });
        }
        if batch.is_empty() {
            return Ok(());
        }
        if strike(&mut inner.fail_write_after) {
            inner.poisoned = true;
            return Err(BackendError::io("write a batch", "injected fault"));
        }
        if inner.unflushed.len() >= self.config.unflushed_batches_max {
            mark!("backend.flushed_by_itself");
            inner.flush()?;
        }
        let mut state = State::clone(&inner.visible);
        state.apply(batch);
        inner.visible = Arc::new(state);
        let newest = Arc::clone(&inner.visible);
        inner.unflushed.push_back(newest);
        Ok(())
    }

    fn applied(&self) -> Applied {
        self.lock().visible.applied
    }

    fn durable(&self) -> Applied {
        self.lock().durable.applied
    }

    fn flush(&self) -> Result<Applied, BackendError> {
        self.lock().flush()
    }

    fn size(&self) -> Size {
        let bytes = self.lock().visible.bytes;
        Size { allocated_bytes: bytes, in_use_bytes: bytes }
    }

    fn checkpoint(&self, dir: &Path) -> Result<Applied, BackendError> {
        let state = self.image();
        checkpoint::write(&state, dir)?;
        Ok(state.applied)
    }
}

impl fmt::Debug for MemBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        f.debug_struct("MemBackend")
            .field("visible", &inner.visible)
            .field("unflushed", &inner.unflushed.len())
            .field("durable", &inner.durable.applied)
            .field("poisoned", &inner.poisoned)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: usize = self.tables.iter().map(RedBlackTreeMapSync::size).sum();
        f.debug_struct("State")
            .field("applied", &self.applied)
            .field("keys", &keys)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
