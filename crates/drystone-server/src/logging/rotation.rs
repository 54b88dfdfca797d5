//! A file of the log that gives way to a new one when it is full.
//!
//! Names, sizes and ages are those of the library that etcd uses, so that tools which gather
//! its backups find these.

use crate::config::LogRotation;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// Mode of a file that is rotated.
const FILE_MODE: u32 = 0o600;
/// Mode of one that is not, before the process' mask.
const PLAIN_MODE: u32 = 0o666;
/// Bytes of a megabyte, as sizes are given.
const MEGABYTE: u64 = 1 << 20;
/// What is appended to a compressed backup's name.
const GZIP: &str = ".gz";

/// A file that lines are appended to.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    rotation: Option<LogRotation>,
    /// Whether backups are being compressed and removed at the moment.
    tidying: Arc<AtomicBool>,
}

impl LogFile {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path, rotation: Option<LogRotation>) -> io::Result<Self> {
        let mode = if rotation.is_some() { FILE_MODE } else { PLAIN_MODE };
        if let (Some(folder), true) = (path.parent(), rotation.is_some()) {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).mode(mode).open(path)?;
        let bytes = file.metadata()?.len();
        let path = path.to_path_buf();
        Ok(Self { path, file, bytes, rotation, tidying: Arc::default() })
    }

    /// Appends whole lines, to a new file if they do not fit into this one.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if let Some(rotation) = &self.rotation {
            let fits = self.bytes + lines.len() as u64 <= rotation.megabytes_max * MEGABYTE;
            // Where a new file cannot be made the old one goes on: better long than lost.
            if !fits && self.bytes > 0 {
                let _ = self.rotate(SystemTime::now());
            }
        }
        self.file.write_all(lines)?;
        self.bytes += lines.len() as u64;
        Ok(())
    }

    fn rotate(&mut self, now: SystemTime) -> io::Result<()> {
        let Some(rotation) = self.rotation.clone() else {
            return Ok(());
        };
        let backup = backup_path(&self.path, now);
        if backup.try_exists()? {
            // Two in one millisecond: the file goes on until the next line.
            return Ok(());
        }
        std::fs::rename(&self.path, backup)?;
        *self = Self { tidying: self.tidying.clone(), ..Self::open(&self.path, Some(rotation))? };
        self.tidy(now);
        Ok(())
    }

    /// Compresses and removes backups, on a thread of its own: that may take seconds.
    fn tidy(&self, now: SystemTime) {
        let Some(rotation) = self.rotation.clone() else {
            return;
        };
        if self.tidying.swap(true, Ordering::AcqRel) {
            // The next rotation sees to it.
            return;
        }
        let (path, tidying) = (self.path.clone(), self.tidying.clone());
        let work = move || {
            let done = tidy(&path, &rotation, now);
            tidying.store(false, Ordering::Release);
            if let Err(error) = done {
                tracing::warn!(%error, path = %path.display(), "old logs could not be tidied");
            }
        };
        if std::thread::Builder::new().name("log-tidy".to_owned()).spawn(work).is_err() {
            self.tidying.store(false, Ordering::Release);
        }
    }
}

/// `dir/name-2026-01-02T03-04-05.000.ext`.
fn backup_path(path: &Path, now: SystemTime) -> PathBuf {
    let t = OffsetDateTime::from(now);
    let (year, month, day) = t.to_calendar_date();
    let (hour, minute, second, milli) = t.to_hms_milli();
    let month = u8::from(month);
    let stamp =
        format!("-{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}.{milli:03}");
    let mut name = OsString::from(path.file_stem().unwrap_or_default());
    name.push(stamp);
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// When a file of this name was put aside, if it is a backup of `path`.
fn put_aside_at(path: &Path, name: &str) -> Option<SystemTime> {
    let stem = path.file_stem()?.to_str()?;
    let name = name.strip_suffix(GZIP).unwrap_or(name);
    let mut stamp = name.strip_prefix(stem)?.strip_prefix('-')?;
    if let Some(extension) = path.extension() {
        stamp = stamp.strip_suffix(extension.to_str()?)?.strip_suffix('.')?;
    }
    let (date, rest) = stamp.split_once('T')?;
    let (rest, milli) = rest.split_once('.')?;
    let mut date = date.split('-');
    let mut time = rest.split('-');
    let year = date.next()?.parse().ok()?;
    let month: u8 = date.next()?.parse().ok()?;
    let day = date.next()?.parse().ok()?;
    let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?;
    let (hour, minute) = (time.next()?.parse().ok()?, time.next()?.parse().ok()?);
    let second = time.next()?.parse().ok()?;
    let time = Time::from_hms_milli(hour, minute, second, milli.parse().ok()?).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc().into())
}

/// Removes the backups that are too many or too old, and compresses the others if asked to.
fn tidy(path: &Path, rotation: &LogRotation, now: SystemTime) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut backups = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        if let Some((name, at)) = name.to_str().and_then(|n| Some((n, put_aside_at(path, n)?))) {
            backups.push((at, folder.join(name)));
        }
    }
    backups.sort();
    backups.reverse();
    let oldest = rotation.days_max.checked_mul(24 * 3_600).map(Duration::from_secs);
    for (number, (at, backup)) in backups.into_iter().enumerate() {
        let too_many = rotation.backups_max > 0 && number as u64 >= rotation.backups_max;
        let age = now.duration_since(at).unwrap_or_default();
        let too_old = rotation.days_max > 0 && oldest.is_some_and(|oldest| age > oldest);
        if too_many || too_old {
            std::fs::remove_file(backup)?;
        } else if rotation.compress && !backup.to_string_lossy().ends_with(GZIP) {
            compress(&backup)?;
        }
    }
    Ok(())
}

/// Replaces a file by its compressed form, which is complete before the file goes.
fn compress(path: &Path) -> io::Result<()> {
    let mut to = path.to_path_buf().into_os_string();
    to.push(GZIP);
    let mut options = OpenOptions::new();
    let out = options.create(true).write(true).truncate(true).mode(FILE_MODE).open(&to)?;
    let mut encoder = GzEncoder::new(out, Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    std::fs::remove_file(path)
}

#[cfg(test)]
mod tests;
