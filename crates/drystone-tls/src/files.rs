//! Files that are followed: read again when they change, and only then.

use crate::Error;
use crate::error::whole;
use parking_lot::Mutex;
use ring::digest::{Digest, SHA256, digest};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Bytes that one file may have. Lists of revocations are the largest: this is a million.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// A file that changed less than this before it was read may change again and keep its stamp,
/// where the system's clock of files is coarse. It is read again until it is older.
const SETTLED_AFTER: Duration = Duration::from_secs(3);

/// What tells one state of a file from another without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(data: &Metadata) -> Self {
        Self {
            device: data.dev(),
            inode: data.ino(),
            bytes: data.size(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        }
    }

    fn is_settled(&self) -> bool {
        let since_1970 = u64::try_from(self.changed.0).unwrap_or_default();
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(since_1970);
        changed.elapsed().is_ok_and(|age| age >= SETTLED_AFTER)
    }
}

/// What is made of files. Every look costs a stamp of each; reading happens when one differs.
pub(crate) struct Followed<T> {
    what: &'static str,
    paths: Vec<PathBuf>,
    make: Make<T>,
    state: Mutex<State<T>>,
}

type Make<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<T, Error> + Send + Sync>;

struct State<T> {
    seen: Option<Seen>,
    last_good: Option<Arc<T>>,
    trouble: Option<Error>,
}

/// What was last read, right or wrong.
struct Seen {
    stamps: Vec<Stamp>,
    settled: bool,
    digests: Vec<Digest>,
}

/// What a look found.
pub(crate) struct Look<T> {
    /// The last that could be used.
    pub(crate) last_good: Option<Arc<T>>,
    /// Why what the files hold now cannot be used, if it cannot.
    pub(crate) trouble: Option<Error>,
}

impl<T> Followed<T> {
    pub(crate) fn new(
        what: &'static str,
        paths: &[&Path],
        make: impl Fn(&[Vec<u8>]) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Self {
        Self {
            what,
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
            make: Box::new(make),
            state: Mutex::new(State { seen: None, last_good: None, trouble: None }),
        }
    }

    /// Looks, and fails when there is nothing to go on with. Blocks on files.
    ///
    /// # Errors
    /// Why nothing can be used.
    pub(crate) fn open(&self) -> Result<Arc<T>, Error> {
        let look = self.look();
        match (look.trouble, look.last_good) {
            (None, Some(good)) => Ok(good),
            (trouble, _) => Err(trouble.unwrap_or(Error::NoPair)),
        }
    }

    /// Looks whether the files changed, and reads them if so. Blocks on files.
    pub(crate) fn look(&self) -> Look<T> {
        let mut state = self.state.lock();
        if let Err(error) = self.refresh(&mut state) {
            let told = state.trouble.as_ref().map(|before| whole(before));
            let text = whole(&error);
            if told.as_ref() != Some(&text) && state.last_good.is_some() {
                let what = self.what;
                tracing::warn!(error = text, what, "changed TLS files cannot be used yet");
            }
            state.trouble = Some(error);
        }
        Look { last_good: state.last_good.clone(), trouble: state.trouble.clone() }
    }

    fn refresh(&self, state: &mut State<T>) -> Result<(), Error> {
        let stamps = self.stamps().inspect_err(|_| state.seen = None)?;
        let same = state.seen.as_ref().filter(|seen| seen.stamps == stamps);
        if same.is_some_and(|seen| seen.settled) {
            return Ok(());
        }
        let contents = self.read().inspect_err(|_| state.seen = None)?;
        let digests: Vec<Digest> = contents.iter().map(|bytes| digest(&SHA256, bytes)).collect();
        let settled = stamps.iter().all(Stamp::is_settled) && self.stamps()? == stamps;
        let known = state.seen.as_ref().is_some_and(|seen| {
            seen.digests.iter().zip(&digests).all(|(old, new)| old.as_ref() == new.as_ref())
        });
        state.seen = Some(Seen { stamps, settled, digests });
        if known {
            return Ok(());
        }
        let made = (self.make)(&contents)?;
        if state.last_good.replace(Arc::new(made)).is_some() {
            tracing::info!(what = self.what, "took up changed TLS files");
        }
        state.trouble = None;
        Ok(())
    }

    fn stamps(&self) -> Result<Vec<Stamp>, Error> {
        let stamp = |path: &PathBuf| match std::fs::metadata(path) {
            Ok(data) => Ok(Stamp::of(&data)),
            Err(error) => Err(unread(path, error)),
        };
        self.paths.iter().map(stamp).collect()
    }

    fn read(&self) -> Result<Vec<Vec<u8>>, Error> {
        self.paths.iter().map(|path| read(path)).collect()
    }
}

fn unread(path: &Path, error: std::io::Error) -> Error {
    Error::Read { path: path.to_owned(), source: Arc::new(error) }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| unread(path, error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::TooLong { path: path.to_owned(), bytes_max: FILE_BYTES_MAX });
    }
    Ok(bytes)
}

/// Shows where it reads, not what.
impl<T> std::fmt::Debug for Followed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Followed").field("paths", &self.paths).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
