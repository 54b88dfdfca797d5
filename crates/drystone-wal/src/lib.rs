//! A replicated log on disk: what a member of a raft group must not forget.
//!
//! # What it is
//! Entries, the hard state and snapshot marks, appended to segments of a set size. Everything
//! that waits goes out with one write and one sync ([`Wal::sync`]); segments that are not
//! needed any more are renamed and written over instead of being made anew. When the log is
//! opened, a write that a crash tore at its end is cut off, and damage to anything that had
//! been synced is reported with its file and offset ([`Error::Corrupt`]); checksums alone
//! cannot tell the two apart, so records also carry how far the log had been synced when they
//! were written. `docs/formats/wal.md` describes every byte and gives the argument.
//!
//! # What it is not
//! It does not read entries back while it is open: a member keeps the recent ones in memory.
//! It has no threads, no clock and no randomness, decides nothing about raft, and does not
//! repair damage: a damaged member is rebuilt from the others.
//!
//! # The model
//! A [`Disk`] holds files. [`FsDisk`] is the machine's file system; `testing::SimDisk` (feature
//! `testing`) loses, tears, reorders and fails from one seed. A [`Wal`] is a sequence of
//! records. Appending an entry replaces all entries from its index on (the later record wins,
//! as in etcd's log); a mark moves the start forward. Opening replays the records.
//!
//! # Example
//! ```
//! use drystone_types::{ClusterId, Entry, HardState, LogIndex, MemberId, Term};
//! use drystone_wal::{Config, FsDisk, Identity, Wal};
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let owner = Identity { cluster: ClusterId(7), member: MemberId(1) };
//! let config = Config { segment_bytes: 1 << 20, ..Config::default() };
//!
//! let mut wal = Wal::create(Arc::new(FsDisk), dir.path(), config.clone(), owner)?;
//! let entry =
//!     Entry { term: Term(1), index: LogIndex(1), data: "a command".into(), ..Entry::default() };
//! let voted = HardState { term: Term(1), vote: MemberId(1), commit: LogIndex(0) };
//! wal.append(std::slice::from_ref(&entry), Some(voted))?;
//! let durable = wal.sync()?;
//! assert_eq!(durable.last.index, LogIndex(1));
//! drop(wal);
//!
//! let (_, found) = Wal::open(Arc::new(FsDisk), dir.path(), config, owner, LogIndex(0))?;
//! assert_eq!(found.entries, [entry]);
//! assert_eq!(found.hard_state, voted);
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//! * After a crash everything that a successful [`Wal::sync`] covered is there; of what came
//!   later there is a prefix in the order of appending; there is nothing else.
//! * Bytes that a successful sync covered are never cut off as torn, except in the last batch
//!   while nothing vouches for it yet ([`Wal::attest`] ends that window).
//! * Nothing is cut off and nothing is called damaged because of one reading that went wrong.
//! * After a failed write or sync nothing is accepted; no sync is tried twice.
//! * What a recycled file held before can never be read as part of the log.
//! * Bytes from the disk never panic, and memory for them is bounded by the file's size.

mod buffer;
mod config;
mod disk;
mod error;
mod format;
mod outcome;
mod pool;
mod recover;
mod scan;
mod state;
#[cfg(feature = "testing")]
pub mod testing;
mod wal;

pub use config::{
    CONF_BYTES_MAX, Config, Identity, RECORD_BYTES_MAX, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN,
};
pub use disk::{DirLock, Disk, DiskFile, FsDisk};
pub use error::Error;
pub use outcome::{Durable, Position, Recovered, SnapshotMark, TornTail};
pub use state::Marker;
pub use wal::Wal;
