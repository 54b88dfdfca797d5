//! The log's disk, with a look at how long its writes and syncs take.

use drystone_metrics::{Counter, Gauge, Histogram, Registry};
use drystone_wal::{DirLock, Disk, DiskFile, FsDisk};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What was done to the log's files so far. The log's thread looks before and after: what it
/// lays out ahead while it is idle is not what anybody waits for.
#[derive(Debug, Default)]
pub(crate) struct LogWork {
    writes: AtomicU64,
    write_nanos: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
    sync_nanos: AtomicU64,
}

/// [`LogWork`] at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WorkMark {
    writes: u64,
    write_nanos: u64,
    bytes: u64,
    syncs: u64,
    sync_nanos: u64,
}

impl LogWork {
    pub(crate) fn mark(&self) -> WorkMark {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        WorkMark {
            writes: load(&self.writes),
            write_nanos: load(&self.write_nanos),
            bytes: load(&self.bytes),
            syncs: load(&self.syncs),
            sync_nanos: load(&self.sync_nanos),
        }
    }
}

/// The file system, as the log uses it.
#[derive(Debug)]
pub(crate) struct LogDisk {
    disk: FsDisk,
    work: Arc<LogWork>,
}

impl LogDisk {
    pub(crate) fn new(work: Arc<LogWork>) -> Self {
        Self { disk: FsDisk, work }
    }

    fn measured(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(LogFile { file, work: self.work.clone() })
    }
}

impl Disk for LogDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn lock(&self, dir: &Path) -> io::Result<Box<dyn DirLock>> {
        self.disk.lock(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create(path).map(|file| self.measured(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(path).map(|file| self.measured(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
}

#[derive(Debug)]
struct LogFile {
    file: Box<dyn DiskFile>,
    work: Arc<LogWork>,
}

/// Adds a piece of work and its time.
fn add(count: &AtomicU64, nanos: &AtomicU64, began: Instant) {
    count.fetch_add(1, Ordering::Relaxed);
    let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    nanos.fetch_add(took, Ordering::Relaxed);
}

impl DiskFile for LogFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn drop_cached(&self) {
        self.file.drop_cached();
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let began = Instant::now();
        self.file.write_at(offset, bytes)?;
        self.work.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        add(&self.work.writes, &self.work.write_nanos, began);
        Ok(())
    }

    fn lay_out(&mut self, bytes: u64) -> io::Result<()> {
        self.file.lay_out(bytes)
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.file.truncate(bytes)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let began = Instant::now();
        self.file.sync_data()?;
        add(&self.work.syncs, &self.work.sync_nanos, began);
        Ok(())
    }
}

/// Handles of the log's thread.
#[derive(Debug)]
pub(crate) struct LogMetrics {
    pub(crate) work: Arc<LogWork>,
    write_seconds: Histogram,
    sync_seconds: Histogram,
    bytes: Gauge,
    syncs: Counter,
    batch_appends: Histogram,
}

impl LogMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            work: Arc::default(),
            write_seconds: registry.histogram("etcd_disk_wal_write_duration_seconds", &[]),
            sync_seconds: registry.histogram("etcd_disk_wal_fsync_duration_seconds", &[]),
            bytes: registry.gauge("etcd_disk_wal_write_bytes_total", &[]),
            syncs: registry.counter("drystone_wal_syncs_total", &[]),
            batch_appends: registry.histogram("drystone_wal_batch_appends", &[]),
        }
    }

    /// A batch of appends was written and synced since `before`. Nothing is counted where
    /// nothing had to be.
    pub(crate) fn synced(&self, before: WorkMark, appends: u32) {
        let now = self.work.mark();
        let seconds = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64();
        if now.writes > before.writes {
            self.write_seconds.record(seconds(now.write_nanos - before.write_nanos));
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
            self.bytes.increment((now.bytes - before.bytes) as f64);
        }
        if now.syncs > before.syncs {
            let took = Duration::from_nanos(now.sync_nanos - before.sync_nanos);
            self.sync_seconds.record(took.as_secs_f64());
            crate::slow::sync(took);
            self.syncs.increment(1);
            self.batch_appends.record(f64::from(appends));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_and_synced_is_counted_and_what_lay_before_is_not() {
        let registry = Registry::new();
        let metrics = LogMetrics::new(&registry);
        let dir = tempfile::tempdir().unwrap();
        let disk = LogDisk::new(metrics.work.clone());
        let mut file = disk.create(&dir.path().join("a")).unwrap();
        file.write_at(0, b"laid out before").unwrap();
        let before = metrics.work.mark();
        metrics.synced(before, 0);
        file.write_at(0, b"1234").unwrap();
        file.write_at(4, b"56").unwrap();
        file.sync_data().unwrap();
        metrics.synced(before, 3);
        let text = registry.render();
        for line in [
            "etcd_disk_wal_write_bytes_total 6",
            "etcd_disk_wal_write_duration_seconds_count 1",
            "etcd_disk_wal_fsync_duration_seconds_count 1",
            "drystone_wal_batch_appends_sum 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
