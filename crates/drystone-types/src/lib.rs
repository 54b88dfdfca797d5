//! The words that Drystone's crates share: ids, units, key ranges, log entries and events.
//!
//! # What it is
//! Plain data with the rules that belong to it: how an id prints, how a revision is laid out
//! in a store, which keys a range holds. Everything here is a value; nothing owns a resource.
//!
//! # What it is not
//! It has no I/O, no clock, no randomness and no protobuf. Messages of the wire live in
//! `drystone-api`; whoever joins the layers converts.
//!
//! # Example
//! ```
//! use drystone_types::{KeyRange, Revision};
//!
//! let prefix = KeyRange::prefix(b"registry/pods/");
//! assert!(prefix.contains(b"registry/pods/default/web-0"));
//! assert!(!prefix.contains(b"registry/services/web"));
//!
//! let revision = Revision { main: 7, sub: 1 };
//! assert_eq!(Revision::from_key(&revision.to_key(false)), Some((revision, false)));
//! ```
//!
//! # Invariants
//! * Ordering of [`Revision`] equals the byte order of its stored key.
//! * [`KeyRange::contains`] agrees with the bounds that [`KeyRange::bounds`] returns.

mod event;
mod ids;
mod log;
mod range;
mod revision;

pub use event::{Event, EventKind, RevisionEvents};
pub use ids::{ClusterId, LeaseId, LogIndex, MemberId, Term};
pub use log::{Applied, ConfState, Entry, EntryKind, HardState};
pub use range::{KeyRange, RangeEnd, prefix_end};
pub use revision::Revision;
