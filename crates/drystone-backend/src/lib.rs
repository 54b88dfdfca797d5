//! The ordered byte store that Drystone's cores are written against.
//!
//! # What it is
//! Two traits, [`Read`] and [`Backend`], the [`Batch`] of changes that goes through them, and
//! [`MemBackend`], a store in memory that can lose power. With the feature `testing` it also
//! holds `testing`, the suite that every implementation has to pass.
//!
//! # What it is not
//! It is no log: the replicated log is the log, and a store may forget its newest batches. It
//! knows nothing of revisions, leases or protobuf. It has no transactions that read and write:
//! one thread writes, and it knows what it read.
//!
//! # The model
//! A store is a row of [`Table`]s, each an ordered map from bytes to bytes. A [`Batch`] changes
//! any of them at once. It is visible when [`Backend::write`] returns and durable when a later
//! flush has ended, be it [`Backend::flush`] or one that the engine chose to make. A power cut
//! takes away the newest batches, whole and from the newest back, and never one that a flush
//! covered. Batches that apply log entries carry the last of them, so the reopened store says
//! itself from which entry on the log has to be applied again. The store keeps that mark in
//! [`Table::Meta`] under etcd's keys ([`APPLIED_INDEX_KEY`], [`APPLIED_TERM_KEY`]), so every
//! view and every checkpoint holds the mark it belongs to ([`applied_of`]).
//!
//! # Example
//! ```
//! use drystone_backend::{Backend, Batch, MemBackend, Read, Table};
//! use drystone_types::{Applied, LogIndex, Term};
//!
//! let store = MemBackend::new();
//! let mut batch = Batch::new();
//! batch.put(Table::Key, "a", "1");
//! batch.set_applied(Applied { index: LogIndex(1), term: Term(1) });
//! store.write(&batch)?;
//! store.flush()?;
//!
//! batch.clear();
//! batch.put(Table::Key, "a", "2");
//! batch.set_applied(Applied { index: LogIndex(2), term: Term(1) });
//! store.write(&batch)?;
//! assert_eq!(store.get(Table::Key, b"a")?.as_deref(), Some(&b"2"[..]));
//!
//! // The power goes before the second batch was flushed.
//! let store = store.crash(0);
//! assert_eq!(store.get(Table::Key, b"a")?.as_deref(), Some(&b"1"[..]));
//! assert_eq!(store.applied().index, LogIndex(1));
//! # Ok::<(), drystone_backend::BackendError>(())
//! ```
//!
//! # Invariants
//! * `durable() <= applied()`, and both only grow while a store is open.
//! * What a store holds is always the result of a prefix of the batches written to it.
//! * A view never changes. Whatever it shows was the visible state at one moment.
//! * After one failed write or flush nothing is accepted until the store is opened anew.

mod batch;
mod error;
mod marks;
mod mem;
mod store;
mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use batch::{Batch, Change};
pub use error::BackendError;
pub use marks::{APPLIED_INDEX_KEY, APPLIED_TERM_KEY, applied_of, bounds_are_empty};
pub use mem::{MemBackend, MemConfig};
pub use store::{Backend, KeyBounds, Read, Size, Visit};
pub use table::Table;
