//! Drystone's byte store on RocksDB.
//!
//! # What it is
//! [`RocksBackend`], the [`drystone_backend::Backend`] that servers run on: a column family for
//! each table, atomic batches, views that are RocksDB snapshots, checkpoints made of hard links.
//!
//! # What it is not
//! It has no log: RocksDB's own write-ahead log is off, because the replicated log is the log.
//! It never repairs: when RocksDB reports that something in its background failed, the store is
//! poisoned and the member starts again from what is durable.
//!
//! # The model
//! Batches go into RocksDB's memory tables. When those are full, or when
//! [`Backend::flush`](drystone_backend::Backend::flush) asks, RocksDB writes all column families
//! out at once (`atomic_flush`) and notes that in its manifest, with one sync. Every batch that
//! applies entries also writes the applied mark into table meta, so the files hold a mark that
//! fits their content, and [`Backend::durable`](drystone_backend::Backend::durable) simply reads
//! the mark past the memory tables. Closing the store flushes nothing: a close without a flush
//! is a crash. Whoever wants a short replay flushes first.
//!
//! # Memory
//! Bounded by [`Config`]: `write_buffer_bytes` for what waits to be flushed (writers block when
//! the disk cannot keep up), `block_cache_bytes` for blocks, indexes and filters of files. On top
//! come what views keep alive, about 20 KiB for an open file, and RocksDB's own few MiB.
//!
//! # What the binding does not expose
//! * Event listeners: that a flush has ended, or that one failed, is seen at the next call and
//!   not at once.
//! * Two options (no flush at close, no retries after background errors) have no setter. They
//!   are set through an options file in RocksDB's format, written to `base-options` in the
//!   store's directory before each opening.
//! * The fsync of a failing disk cannot be injected; tests break the directory instead.
//!
//! # Example
//! ```
//! use drystone_backend::{Backend, Batch, Read, Table};
//! use drystone_rocks::{Config, RocksBackend};
//! use drystone_types::{Applied, LogIndex, Term};
//!
//! # let scratch = tempfile::tempdir()?;
//! # let dir = scratch.path().join("store");
//! let store = RocksBackend::open(&dir, Config::default())?;
//! let mut batch = Batch::new();
//! batch.put(Table::Key, "a", "1");
//! batch.set_applied(Applied { index: LogIndex(1), term: Term(1) });
//! store.write(&batch)?;
//! store.flush()?;
//! drop(store);
//!
//! let store = RocksBackend::open(&dir, Config::default())?;
//! assert_eq!(store.applied().index, LogIndex(1));
//! assert_eq!(store.get(Table::Key, b"a")?.as_deref(), Some(&b"1"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Invariants
//! * Nothing but this crate sees a RocksDB type.
//! * The mark in table meta is part of the batch it describes, in memory and in the files.
//! * One directory is open once; a second opening fails with
//!   [`BackendError::InUse`](drystone_backend::BackendError::InUse).

mod config;
mod error;
mod metrics;
mod options;
mod read;
mod store;
mod view;

pub use config::Config;
pub use metrics::Metrics;
pub use store::RocksBackend;
