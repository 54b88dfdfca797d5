//! How the log fails.

use crate::Identity;
use drystone_types::LogIndex;
use std::{io, path::PathBuf};

/// Why the log could not do what it was asked.
///
/// What a caller does about it: [`Error::BufferFull`], [`Error::RecordTooLarge`] and
/// [`Error::OutOfOrder`] refuse one call and change nothing. [`Error::Io`] and
/// [`Error::Poisoned`] mean that the process must stop and read again what is durable.
/// The others refuse to open, and an operator has to look.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk reported a failure. Every call that would change the log answers
    /// [`Error::Poisoned`] from now on (only [`crate::Wal::tend`] says otherwise).
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done, as a verb phrase.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Bytes that had been synced are not what was written, in two readings. Nothing was
    /// changed.
    #[error("the log is damaged in {} at byte {offset}: {reason}", file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Where the first record that does not hold begins.
        offset: u64,
        /// What does not fit, and how it is known that this is no torn write.
        reason: String,
    },
    /// Readings of the log differ: the disk errs, or what lies between it and this process.
    /// Nothing was changed, and opening the log again may succeed.
    #[error("{} does not read the same twice at byte {offset}", file.display())]
    Unsteady {
        /// The file.
        file: PathBuf,
        /// Where the record begins that differs.
        offset: u64,
    },
    /// An earlier write or sync failed; what reached the disk is unknown.
    #[error("the log failed earlier and takes nothing more; restart the member")]
    Poisoned,
    /// Another holder, most likely a running member, has the directory.
    #[error("the log directory {} is in use by another process", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no log to open.
    #[error("there is no log in {}", dir.display())]
    Missing {
        /// The directory.
        dir: PathBuf,
    },
    /// There is a log already where one was to be created.
    #[error("there is a log already in {}", dir.display())]
    Exists {
        /// The directory.
        dir: PathBuf,
    },
    /// The log belongs to another member or another cluster.
    #[error("{} belongs to {found}, not to {expected}", file.display())]
    Foreign {
        /// The file that says so.
        file: PathBuf,
        /// Whose it is.
        found: Identity,
        /// Who opened it.
        expected: Identity,
    },
    /// The log was written by a later version of this crate.
    #[error("{} has format version {found}; this program reads {supported}", file.display())]
    Version {
        /// The file that says so.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this program reads.
        supported: u32,
    },
    /// What waits for a sync has reached its bound. Nothing of the call was taken: sync and
    /// call again; a call that is larger than the bound by itself has to be split.
    #[error("{asked_bytes} bytes do not fit: {buffered_bytes} of {limit_bytes} wait for a sync")]
    BufferFull {
        /// Bytes that wait.
        buffered_bytes: usize,
        /// Bytes that the call would have added.
        asked_bytes: usize,
        /// The bound, [`crate::Config::buffer_bytes_max`].
        limit_bytes: usize,
    },
    /// One entry or one configuration is larger than a record may be. Nothing was taken.
    #[error("a record of {bytes} bytes is larger than {limit_bytes}")]
    RecordTooLarge {
        /// Its size.
        bytes: usize,
        /// The bound, [`crate::Config::record_bytes_max`].
        limit_bytes: usize,
    },
    /// An entry or a mark does not continue this log. Nothing was taken.
    #[error("index {index} does not fit a log that holds {first} to {last}: {reason}")]
    OutOfOrder {
        /// The index that was given.
        index: LogIndex,
        /// The first index that the log may hold.
        first: LogIndex,
        /// The last index that the log holds.
        last: LogIndex,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// The configuration contradicts itself or the format's bounds.
    #[error("bad configuration of the log: {reason}")]
    Config {
        /// What is wrong.
        reason: &'static str,
    },
}

impl Error {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn corrupt(
        file: impl Into<PathBuf>,
        offset: u32,
        reason: impl Into<String>,
    ) -> Self {
        Self::Corrupt { file: file.into(), offset: u64::from(offset), reason: reason.into() }
    }
}
