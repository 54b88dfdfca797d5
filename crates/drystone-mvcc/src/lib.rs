//! A multi-version key-value store: revisions, ranges, transactions, compaction and hashes, with
//! etcd's semantics and etcd's stored bytes.
//!
//! # What it is
//! [`Store`] is the one writer. It applies operations one after another, each at its own
//! revision, to a working state and a batch for the store below
//! ([`drystone_backend::Backend`]). [`Reader`] gives out [`Snapshot`]s of what was published,
//! which no writer disturbs and which disturb no writer.
//!
//! # What it is not
//! It replicates nothing, knows no leases but their ids ([`Leases`] tells whether one exists),
//! and delivers no events: it returns them. It keeps no time and starts no thread. It does not
//! check who may do what.
//!
//! # The model
//! Every change has a [`Revision`](drystone_types::Revision): a main revision that counts
//! the entries that changed anything, from 2, and a place among the changes of that entry. A
//! record per change, pair or tombstone, lies in [`Table::Key`](drystone_backend::Table) under
//! its revision. An index in memory knows each key's revisions; it is a persistent B+tree that
//! counts live keys, so that a snapshot costs a reference count and counting a range costs a
//! logarithm. Encoded pairs of current versions are cached up to a bound.
//!
//! Compaction moves a mark. From then on older revisions cannot be read; removing them is
//! housekeeping, done in pieces by [`Store::sweep`].
//!
//! # Example
//! ```
//! use drystone_backend::{Backend, Batch, MemBackend};
//! use drystone_mvcc::{Config, KeyValue, Leases, Put, RangeQuery, Store};
//! use drystone_types::{KeyRange, LeaseId};
//! use std::sync::Arc;
//!
//! struct NoLeases;
//! impl Leases for NoLeases {
//!     fn exists(&self, _: LeaseId) -> bool {
//!         false
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let backend = Arc::new(MemBackend::new());
//! let mut store = Store::open(backend.clone(), Config::default())?;
//! let reader = store.reader();
//!
//! let mut batch = Batch::new();
//! let outcome = store.put(&mut batch, &Put::new("stone", "granite"), &NoLeases)?;
//! assert_eq!(outcome.revision, 2);
//! backend.write(&batch)?;
//! let events = store.publish();
//! assert_eq!(events[0].revision, 2);
//!
//! let found = reader.snapshot().range(&RangeQuery::new(KeyRange::key("stone")))?;
//! assert_eq!(KeyValue::decode(&found.kvs[0])?.value, "granite");
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//! * Equal entries give equal records, whatever the member, its config and its restarts.
//! * An operation that is refused has changed nothing: everything is decided before anything is
//!   staged.
//! * A restart changes no answer, and compaction at R changes none of those at R and above.
//! * Members that have swept a compaction and members that have not have equal hashes.
//! * A snapshot answers the same for as long as it is held.

mod cache;
mod codec;
mod config;
mod deltas;
mod digest;
mod error;
mod hash;
mod index;
mod intervals;
mod outcome;
mod request;
mod snapshot;
mod state;
mod store;
mod sweep;
pub mod validate;
mod view;
mod write;

pub use codec::{DecodeError, KeyValue};
pub use config::Config;
pub use digest::DigestMark;
pub use error::{Error, OpError};
pub use outcome::{
    Changes, DeleteOutcome, HashKv, LeaseChange, OpOutcome, Page, PutOutcome, RangeResult,
    TxnOutcome,
};
pub use request::{
    Compare, CompareResult, CompareTarget, DeleteRange, Op, Put, RangeQuery, SortOrder, SortTarget,
    Txn,
};
pub use snapshot::{Reader, Snapshot};
pub use store::{Leases, Store};

/// The key in [`Table::Meta`](drystone_backend::Table::Meta) of the last compaction asked for:
/// the stored form of its revision, with sub revision 0.
pub const SCHEDULED_COMPACT: &str = "scheduledCompactRev";
/// The key in [`Table::Meta`](drystone_backend::Table::Meta) of the last compaction whose
/// removal is complete, in the same form.
pub const FINISHED_COMPACT: &str = "finishedCompactRev";
