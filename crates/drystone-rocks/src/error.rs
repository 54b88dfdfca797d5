//! From RocksDB's statuses to the contract's errors.

use drystone_backend::BackendError;
use rocksdb::ErrorKind;
use std::path::Path;

/// What RocksDB's `error` means when `action` was tried on the store in `dir`.
pub(crate) fn from_engine(
    action: &'static str,
    dir: &Path,
    error: &rocksdb::Error,
) -> BackendError {
    if error.kind() == ErrorKind::Corruption {
        let place = damaged_file(error.as_ref()).unwrap_or_else(|| dir.display().to_string());
        return BackendError::corrupt(place, error);
    }
    BackendError::io(action, format_args!("{error} (store {})", dir.display()))
}

/// Like [`from_engine`] for opening, where a taken lock file gets its own answer.
pub(crate) fn from_opening(dir: &Path, error: &rocksdb::Error) -> BackendError {
    let text: &str = error.as_ref();
    // Two forms, for a holder in this process and in another (RocksDB's `env/fs_posix.cc`).
    let locked = text.contains("lock hold by current process")
        || text.contains("While lock file") && text.contains("Resource temporarily unavailable");
    if error.kind() == ErrorKind::IOError && locked {
        return BackendError::InUse { place: dir.display().to_string() };
    }
    from_engine("open", dir, error)
}

/// The file that a corruption status names, if it names one.
fn damaged_file(text: &str) -> Option<String> {
    text.split_whitespace()
        .map(|word| {
            let bare = |c: char| matches!(c, ':' | ',' | ';' | '(' | ')' | '\'' | '"');
            word.trim_matches(bare).trim_end_matches('.')
        })
        .find(|word| {
            let name = word.rsplit('/').next().unwrap_or(word);
            name.ends_with(".sst") || name.starts_with("MANIFEST-") || name == "CURRENT"
        })
        .map(str::to_owned)
}

#[cfg(test)]
mod tests;
