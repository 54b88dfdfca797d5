//! What the log says of itself, and what it is told of snapshots.

use crate::state::Marker;
use bytes::Bytes;
use drystone_types::{Entry, HardState};
use std::path::PathBuf;

/// A place in the log's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Sequence of the segment.
    pub segment: u64,
    /// Bytes from the start of its file.
    pub offset: u32,
}

/// What a successful sync made durable: everything that was appended before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    /// The last entry.
    pub last: Marker,
    /// The hard state.
    pub hard_state: HardState,
    /// The end of the log's bytes.
    pub position: Position,
}

/// A snapshot that stands for all entries up to an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotMark {
    /// The last entry that the snapshot holds.
    pub at: Marker,
    /// The cluster's configuration there, in the caller's own encoding; at most
    /// [`crate::CONF_BYTES_MAX`] bytes. It is given back when the log is opened.
    pub conf: Bytes,
}

/// Where an incomplete write at the end of the log was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub file: PathBuf,
    /// Where the log ends now.
    pub offset: u64,
}

/// What a log held when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The newest hard state.
    pub hard_state: HardState,
    /// The entry before the first one that the log holds: the newest mark.
    pub start: Marker,
    /// The configuration that the newest mark with one carried; empty when there was none.
    pub conf: Bytes,
    /// The last entry; equal to `start` when there are none.
    pub last: Marker,
    /// The entry before the first of `entries`; equal to `last` when there are none.
    pub before: Marker,
    /// The entries from the index that was asked for, or from the start, without gap. Their
    /// data may share one allocation per segment.
    pub entries: Vec<Entry>,
    /// Set when recognisable pieces of a write that was never synced were cut off. A torn
    /// write may leave nothing recognisable.
    pub torn: Option<TornTail>,
}
