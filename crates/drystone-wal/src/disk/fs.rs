//! Real files.

use super::{DirLock, Disk, DiskFile};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Name of the file that carries a directory's lock. It stays when the lock is gone.
const LOCK_NAME: &str = "LOCK";
/// A log holds what its users store: nobody else reads it.
const FILE_MODE: u32 = 0o600;
/// Likewise for directories that are made here.
const DIR_MODE: u32 = 0o700;
/// How much zero is written at once where the system cannot set aside room by itself.
const ZERO_BYTES: usize = 1 << 16;

/// The file system of this machine.
///
/// Locks are the system's advisory locks on a file `LOCK` in the directory, so they end with
/// the process, however it ends. Files and directories that it makes are their owner's alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct FsDisk;

impl Disk for FsDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let missing: Vec<&Path> =
            dir.ancestors().take_while(|d| !d.as_os_str().is_empty() && !d.exists()).collect();
        DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)?;
        for created in missing.iter().rev() {
            match created.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => self.sync_dir(parent)?,
                _ => self.sync_dir(Path::new("."))?,
            }
        }
        Ok(())
    }

    fn lock(&self, dir: &Path) -> io::Result<Box<dyn DirLock>> {
        let path = dir.join(LOCK_NAME);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(FsLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(FILE_MODE);
        let file = options.open(path)?;
        Ok(Box::new(FsFile { file }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Box::new(FsFile { file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

#[derive(Debug)]
struct FsLock {
    _file: File,
}

impl DirLock for FsLock {}

#[derive(Debug)]
struct FsFile {
    file: File,
}

impl FsFile {
    fn zero(&self, from: u64, to: u64) -> io::Result<()> {
        let zeros = [0; ZERO_BYTES];
        let mut at = from;
        while at < to {
            let piece = usize::try_from(to - at).map_or(ZERO_BYTES, |left| left.min(ZERO_BYTES));
            self.file.write_all_at(&zeros[..piece], at)?;
            at += piece as u64;
        }
        Ok(())
    }
}

impl DiskFile for FsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn drop_cached(&self) {
        // An advice that is not taken is no error.
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn lay_out(&mut self, bytes: u64) -> io::Result<()> {
        let len = self.len()?;
        if len >= bytes {
            return Ok(());
        }
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{FallocateFlags, fallocate};
            use rustix::io::{Errno, retry_on_intr};
            let lay = || fallocate(&self.file, FallocateFlags::empty(), len, bytes - len);
            match retry_on_intr(lay) {
                Ok(()) => return Ok(()),
                // Not every file system can; writing zeros asks for the same blocks.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.zero(len, bytes)
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        if self.len()? > bytes { self.file.set_len(bytes) } else { Ok(()) }
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}
