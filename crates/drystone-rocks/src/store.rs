//! The store.

use crate::error::{from_engine, from_opening};
use crate::view::View;
use crate::{Config, Metrics, options, read};
use bytes::Bytes;
use drystone_backend::{
    APPLIED_INDEX_KEY, APPLIED_TERM_KEY, Backend, BackendError, Batch, Change, KeyBounds, Read,
    Size, Table, Visit, applied_of,
};
use drystone_types::Applied;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    Cache, ColumnFamily, DB, FlushOptions, Options, ReadOptions, ReadTier, WriteBatch,
    WriteOptions, properties,
};
use std::fmt;
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A [`Backend`] in a directory. See the crate's documentation.
///
/// Dropping it closes the directory once the last view is gone, without a flush.
pub struct RocksBackend {
    db: Arc<DB>,
    cache: Cache,
    read_options: ReadOptions,
    write_options: WriteOptions,
    /// Held while a batch is written: one writer at a time.
    writer: Mutex<()>,
    marks: Mutex<Marks>,
    poisoned: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct Marks {
    applied: Applied,
    durable: Applied,
}

impl RocksBackend {
    /// Opens the store in `dir`, and makes it if there is none. What is found is durable.
    ///
    /// Blocks on the disk, for a store of many files up to seconds.
    ///
    /// # Errors
    /// [`BackendError::InUse`] when the directory is open already, here or in another process;
    /// [`BackendError::Corrupt`] when files are missing or damaged, as far as that shows without
    /// reading all of them; [`BackendError::Io`] for everything else.
    pub fn open(dir: &Path, config: Config) -> Result<Self, BackendError> {
        fs::create_dir_all(dir).map_err(|error| {
            BackendError::io("open", format_args!("{}: {error}", dir.display()))
        })?;
        let cache = Cache::new_lru_cache(config.block_cache_bytes);
        let database = options::database(dir, &config, &cache)?;
        let families = options::column_families(&config, &cache);
        let db = DB::open_cf_descriptors(&database, dir, families)
            .map_err(|error| from_opening(dir, &error))?;
        let mut write_options = WriteOptions::default();
        write_options.disable_wal(true);
        let mut store = Self {
            db: Arc::new(db),
            cache,
            read_options: ReadOptions::default(),
            write_options,
            writer: Mutex::new(()),
            marks: Mutex::new(Marks { applied: Applied::default(), durable: Applied::default() }),
            poisoned: AtomicBool::new(false),
        };
        let found = applied_of(&store)?;
        store.marks = Mutex::new(Marks { applied: found, durable: found });
        Ok(store)
    }

    /// What the engine counts. Takes the engine's lock a few dozen times for an instant; once a
    /// second is fine.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let number = |name| self.db.property_int_value(name).ok().flatten().unwrap_or(0);
        Metrics {
            memory_table_bytes: self.sum(properties::SIZE_ALL_MEM_TABLES),
            file_bytes: self.sum(properties::TOTAL_SST_FILES_SIZE),
            live_bytes: self.sum(properties::ESTIMATE_LIVE_DATA_SIZE),
            block_cache_bytes: self.cache.get_usage() as u64,
            compaction_backlog_bytes: self.sum(properties::ESTIMATE_PENDING_COMPACTION_BYTES),
            compactions_running: number(properties::NUM_RUNNING_COMPACTIONS),
            flushes_running: number(properties::NUM_RUNNING_FLUSHES),
            slowed_to_bytes_per_second: number(properties::ACTUAL_DELAYED_WRITE_RATE),
            writes_stopped: number(properties::IS_WRITE_STOPPED) != 0,
            background_errors: number(properties::BACKGROUND_ERRORS),
            views: number(properties::NUM_SNAPSHOTS),
        }
    }

    /// A property summed over the tables. What cannot be read counts as nothing.
    fn sum(&self, name: &properties::PropName) -> u64 {
        let of_table = |table| {
            let family = read::column_family(&self.db, table);
            self.db.property_int_value_cf(family, name).ok().flatten().unwrap_or(0)
        };
        Table::ALL.into_iter().map(of_table).sum()
    }

    fn marks(&self) -> Marks {
        *self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what failed when it is found, and [`BackendError::Poisoned`] from then on.
    fn check_sound(&self) -> Result<(), BackendError> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(BackendError::Poisoned);
        }
        let errors = self
            .db
            .property_int_value(properties::BACKGROUND_ERRORS)
            .map_err(|error| self.poison("ask for background errors", &error))?;
        match errors {
            Some(0) | None => Ok(()),
            Some(count) => {
                self.poisoned.store(true, Ordering::Release);
                let log = self.db.path().join("LOG");
                let reason = format_args!("{count} failures, described in {}", log.display());
                Err(BackendError::io("flush or compact in the background", reason))
            }
        }
    }

    fn poison(&self, action: &'static str, error: &rocksdb::Error) -> BackendError {
        self.poisoned.store(true, Ordering::Release);
        from_engine(action, self.db.path(), error)
    }

    /// The mark in the files, past what waits in memory.
    fn mark_in_files(&self) -> Result<Applied, BackendError> {
        applied_of(&InFiles(&self.db))
    }

    fn encode(&self, batch: &Batch) -> WriteBatch {
        let families = Table::ALL.map(|table| read::column_family(&self.db, table));
        let family = |table: Table| -> &ColumnFamily { families[table.position()] };
        let mut out = WriteBatch::default();
        for change in batch.changes() {
            match change {
                Change::Put { table, key, value } => out.put_cf(family(*table), key, value),
                Change::Delete { table, key } => out.delete_cf(family(*table), key),
            }
        }
        if let Some(applied) = batch.applied() {
            let meta = family(Table::Meta);
            out.put_cf(meta, APPLIED_INDEX_KEY, applied.index.0.to_be_bytes());
            out.put_cf(meta, APPLIED_TERM_KEY, applied.term.0.to_be_bytes());
        }
        out
    }
}

impl Read for RocksBackend {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        read::get(&self.db, &self.read_options, table, key)
    }

    fn get_many(&self, table: Table, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, BackendError> {
        read::get_many(&self.db, &self.read_options, table, keys)
    }

    fn scan(
        &self,
        table: Table,
        bounds: KeyBounds<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<(), BackendError> {
        read::scan(&self.db, ReadOptions::default(), table, bounds, visit)
    }
}

impl Backend for RocksBackend {
    fn view(&self) -> Result<Arc<dyn Read>, BackendError> {
        Ok(Arc::new(View::of(&self.db)))
    }

    fn write(&self, batch: &Batch) -> Result<(), BackendError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_sound()?;
        let store = self.marks().applied;
        if let Some(batch) = batch.applied().filter(|batch| *batch < store) {
            return Err(BackendError::AppliedBackwards { store, batch });
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.db
            .write_opt(self.encode(batch), &self.write_options)
            .map_err(|error| self.poison("write a batch", &error))?;
        if let Some(applied) = batch.applied() {
            self.marks.lock().unwrap_or_else(PoisonError::into_inner).applied = applied;
        }
        Ok(())
    }

    fn applied(&self) -> Applied {
        self.marks().applied
    }

    fn durable(&self) -> Applied {
        let known = self.marks();
        if known.durable == known.applied {
            return known.durable;
        }
        let Ok(in_files) = self.mark_in_files() else {
            // What is durable cannot be told any more; what was durable still is.
            self.poisoned.store(true, Ordering::Release);
            return known.durable;
        };
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        // A flush can overtake the thread whose write it covered before that thread has noted
        // the mark; and another thread may have read the files later than this one.
        marks.durable = marks.durable.max(in_files.min(marks.applied));
        marks.durable
    }

    fn flush(&self) -> Result<Applied, BackendError> {
        self.check_sound()?;
        let families = Table::ALL.map(|table| read::column_family(&self.db, table));
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.db.flush_cfs_opt(&families, &options).map_err(|error| self.poison("flush", &error))?;
        self.check_sound()?;
        Ok(self.durable())
    }

    fn size(&self) -> Size {
        let memory_bytes = self.sum(properties::SIZE_ALL_MEM_TABLES);
        let allocated_bytes = self.sum(properties::TOTAL_SST_FILES_SIZE) + memory_bytes;
        let live_bytes = self.sum(properties::ESTIMATE_LIVE_DATA_SIZE)
            + self.sum(properties::CUR_SIZE_ALL_MEM_TABLES);
        Size { allocated_bytes, in_use_bytes: live_bytes.min(allocated_bytes) }
    }

    fn checkpoint(&self, dir: &Path) -> Result<Applied, BackendError> {
        const ACTION: &str = "write a checkpoint";
        self.check_sound()?;
        let failed = |error| from_engine(ACTION, dir, &error);
        // Flushes first, all tables at one moment, so that the copy needs no log; then links the
        // files and syncs the directory.
        Checkpoint::new(&self.db).and_then(|copy| copy.create_checkpoint(dir)).map_err(failed)?;
        let parent = match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(|error| {
            BackendError::io(ACTION, format_args!("{}: {error}", dir.display()))
        })?;
        // Batches written since the call may or may not be in the copy. It knows.
        let families = [options::UNUSED, Table::Meta.name()];
        let mut quiet = Options::default();
        quiet.set_log_level(rocksdb::LogLevel::Error);
        let copy = DB::open_cf_for_read_only(&quiet, dir, families, false)
            .map_err(|error| from_engine("read back a checkpoint", dir, &error))?;
        applied_of(&InFiles(&copy))
    }
}

impl fmt::Debug for RocksBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksBackend")
            .field("dir", &self.db.path())
            .field("marks", &self.marks())
            .field("poisoned", &self.poisoned)
            .finish_non_exhaustive()
    }
}

/// Reads that skip the memory tables, which without a write-ahead log is what would be left
/// after a power cut. RocksDB offers them for single keys only.
struct InFiles<'db>(&'db DB);

impl InFiles<'_> {
    fn options() -> ReadOptions {
        let mut options = ReadOptions::default();
        options.set_read_tier(ReadTier::Persisted);
        options
    }
}

impl Read for InFiles<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        read::get(self.0, &Self::options(), table, key)
    }

    /// All from the files of one moment, though flushes go on.
    fn get_many(&self, table: Table, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, BackendError> {
        read::get_many(self.0, &Self::options(), table, keys)
    }

    fn scan(&self, _: Table, _: KeyBounds<'_>, _: &mut Visit<'_>) -> Result<(), BackendError> {
        Err(BackendError::io("scan", "the engine cannot scan past its memory tables"))
    }
}

impl fmt::Debug for InFiles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InFiles").field(&self.0.path()).finish()
    }
}
