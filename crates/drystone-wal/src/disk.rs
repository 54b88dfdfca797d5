//! What the log asks of a disk.
//!
//! Two kinds of state are kept apart, as a file system keeps them apart: the bytes of a file,
//! which [`DiskFile::sync_data`] makes durable, and the names in a directory, which
//! [`Disk::sync_dir`] makes durable. Neither implies the other.

mod fs;

pub use fs::FsDisk;

use std::{fmt, io, path::Path};

/// Files in directories. Names become durable with [`Disk::sync_dir`] and not before.
///
/// Implementations are used by one thread at a time per directory (the holder of its lock).
/// Errors carry the [`io::ErrorKind`] that std gives for the same operation on a real file.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Creates a directory and those above it, durably. An existing one is fine.
    ///
    /// # Errors
    /// Those of the operating system.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Takes the directory for this holder alone, until the guard is dropped or the process
    /// ends.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another holder has it.
    fn lock(&self, dir: &Path) -> io::Result<Box<dyn DirLock>>;

    /// The names of the files in a directory, ascending.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Creates an empty file for reading and writing. Its name is not durable yet.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is none.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Renames a file inside its directory, replacing one that has the new name. Atomic: a
    /// crash leaves the old name or the new one. Not durable yet.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is no such file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name. Not durable yet.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is no such file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes all names of a directory durable as they are now. After an error it is unknown
    /// which are.
    ///
    /// # Errors
    /// Those of the operating system; final for whoever depends on the names.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// One open file. What is written is durable only after [`DiskFile::sync_data`] returned.
pub trait DiskFile: fmt::Debug + Send {
    /// The file's length in bytes.
    ///
    /// # Errors
    /// Those of the operating system.
    fn len(&self) -> io::Result<u64>;

    /// True when the file has no bytes.
    ///
    /// # Errors
    /// Those of [`DiskFile::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads from `offset` on and returns how many bytes it read: fewer than asked only at the
    /// end of the file.
    ///
    /// # Errors
    /// Those of the operating system.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Asks that what is read next comes from the device and not from memory, as far as it is
    /// not waiting to be written. A hint: what reads back is the same file, and a system may
    /// do nothing.
    fn drop_cached(&self) {}

    /// Writes all of `bytes` at `offset`; a gap before it reads as zeros. After an error any
    /// part of them may have been written.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] when there is no room, else those of the system.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Sets aside room so that writes below `bytes` find it. A shorter file grows to `bytes`
    /// and reads as zeros there; existing content stays; a longer file stays as it is.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] when there is no room, else those of the system.
    fn lay_out(&mut self, bytes: u64) -> io::Result<()>;

    /// Cuts the file to `bytes`. A shorter file stays as it is.
    ///
    /// # Errors
    /// Those of the operating system.
    fn truncate(&mut self, bytes: u64) -> io::Result<()>;

    /// Makes all bytes written so far durable, and the length needed to read them.
    ///
    /// An error is final: what was not synced may be lost although it still reads back, and a
    /// second call may succeed without having written it.
    ///
    /// # Errors
    /// Those of the operating system.
    fn sync_data(&mut self) -> io::Result<()>;
}

/// Holds a directory until it is dropped.
pub trait DirLock: fmt::Debug + Send {}
