//! The directory that snapshots come in to. What is not complete has a name of its own.

use std::io;
use std::path::{Path, PathBuf};

/// Ends the name of a directory that may be incomplete.
const PARTIAL: &str = ".partial";
/// Ends the name of a directory that is complete and synced.
const COMPLETE: &str = ".snapshot";

/// Deletes what interrupted transfers left. A directory that is not there holds none.
pub(crate) fn remove_partial(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().ends_with(PARTIAL) {
            remove(&entry.path());
        }
    }
}

/// Deletes a directory; one that stays costs space and no more.
pub(crate) fn remove(dir: &Path) {
    if let Err(error) = std::fs::remove_dir_all(dir) {
        tracing::warn!(dir = %dir.display(), %error, "cannot delete a snapshot directory");
    }
}

/// A new directory for an incoming snapshot. Deleted when dropped, unless it was completed.
#[derive(Debug)]
pub(crate) struct Partial {
    parent: PathBuf,
    stem: String,
    path: PathBuf,
    complete: bool,
}

impl Partial {
    /// Makes `<stem>-<n>.partial` with the first free `n`, taken by no complete snapshot either.
    pub(crate) fn create(parent: &Path, stem: &str) -> io::Result<Self> {
        for n in 0_u32.. {
            let stem = format!("{stem}-{n}");
            if parent.join(format!("{stem}{COMPLETE}")).try_exists()? {
                continue;
            }
            let path = parent.join(format!("{stem}{PARTIAL}"));
            match std::fs::create_dir(&path) {
                Ok(()) => {
                    return Ok(Self { parent: parent.to_owned(), stem, path, complete: false });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("no free name for a snapshot directory"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the directory its final name, synced. What is in it must be synced already.
    pub(crate) fn complete(mut self) -> io::Result<PathBuf> {
        let target = self.parent.join(format!("{}{COMPLETE}", self.stem));
        std::fs::rename(&self.path, &target)?;
        self.path.clone_from(&target);
        sync_dir(&self.parent)?;
        self.complete = true;
        Ok(target)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.complete {
            remove(&self.path);
        }
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}
