//! The store, with a look at how long its writes, flushes and copies take.

use bytes::Bytes;
use drystone_backend::{Backend, BackendError, Batch, Change, KeyBounds, Read, Size, Table, Visit};
use drystone_metrics::{Counter, Histogram, Registry};
use drystone_rocks::RocksBackend;
use drystone_types::Applied;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Handles of what writes to the store.
#[derive(Clone, Debug)]
struct Handles {
    commit: Histogram,
    flush: Histogram,
    saved: Histogram,
    copy: Histogram,
    compacted: Counter,
}

/// What is counted of the store.
#[derive(Debug)]
pub(crate) struct StoreMetrics {
    handles: Handles,
    /// The store that was opened last. It must not live on for what it counts.
    current: Mutex<Weak<RocksBackend>>,
}

impl StoreMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let histogram = |name| registry.histogram(name, &[]);
        let handles = Handles {
            commit: histogram("etcd_disk_backend_commit_duration_seconds"),
            flush: histogram("drystone_store_flush_duration_seconds"),
            saved: histogram("etcd_debugging_snap_save_total_duration_seconds"),
            copy: histogram("etcd_disk_backend_snapshot_duration_seconds"),
            compacted: registry.counter("etcd_debugging_mvcc_db_compaction_keys_total", &[]),
        };
        Self { handles, current: Mutex::default() }
    }

    /// What the engine counts, while there is one.
    pub(super) fn engine(&self) -> Option<drystone_rocks::Metrics> {
        let current = self.current.lock().upgrade();
        current.map(|store| store.metrics())
    }
}

/// A store whose writes are timed. Reads go straight through.
#[derive(Debug)]
pub(crate) struct MeasuredStore {
    store: Arc<RocksBackend>,
    handles: Handles,
}

impl MeasuredStore {
    pub(crate) fn new(store: RocksBackend, metrics: &StoreMetrics) -> Self {
        let store = Arc::new(store);
        *metrics.current.lock() = Arc::downgrade(&store);
        Self { store, handles: metrics.handles.clone() }
    }
}

impl Read for MeasuredStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        self.store.get(table, key)
    }

    fn get_many(&self, table: Table, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, BackendError> {
        self.store.get_many(table, keys)
    }

    fn scan(
        &self,
        table: Table,
        bounds: KeyBounds<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<(), BackendError> {
        self.store.scan(table, bounds, visit)
    }
}

impl Backend for MeasuredStore {
    fn view(&self) -> Result<Arc<dyn Read>, BackendError> {
        self.store.view()
    }

    fn write(&self, batch: &Batch) -> Result<(), BackendError> {
        let began = Instant::now();
        self.store.write(batch)?;
        self.handles.commit.record(began.elapsed());
        // Only a sweep after a compaction writes without an entry's mark.
        if batch.applied().is_none() {
            let removed =
                |change: &&Change| matches!(change, Change::Delete { table: Table::Key, .. });
            let removed = batch.changes().iter().filter(removed).count();
            self.handles.compacted.increment(removed as u64);
        }
        Ok(())
    }

    fn applied(&self) -> Applied {
        self.store.applied()
    }

    fn durable(&self) -> Applied {
        self.store.durable()
    }

    fn flush(&self) -> Result<Applied, BackendError> {
        let began = Instant::now();
        let durable = self.store.flush()?;
        self.handles.flush.record(began.elapsed());
        self.handles.saved.record(began.elapsed());
        Ok(durable)
    }

    fn size(&self) -> Size {
        self.store.size()
    }

    fn checkpoint(&self, dir: &Path) -> Result<Applied, BackendError> {
        let began = Instant::now();
        let copied = self.store.checkpoint(dir)?;
        self.handles.copy.record(began.elapsed());
        Ok(copied)
    }
}
