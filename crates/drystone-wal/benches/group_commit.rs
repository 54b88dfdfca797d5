//! How many entries a second the log makes durable, by the size of the batch that shares one
//! write and one sync. Real files in the directory for temporary files: set `TMPDIR` to measure
//! another disk.

#![expect(missing_docs, reason = "criterion's macro makes a public function")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use drystone_types::{ClusterId, Entry, LogIndex, MemberId, Term};
use drystone_wal::{Config, DirLock, Disk, DiskFile, FsDisk, Identity, Wal};
use std::io;
use std::path::Path;
use std::sync::Arc;

const ENTRY_BYTES: usize = 256;
/// How far the log may grow before its beginning is given up and recycled.
const KEEP_ENTRIES: u64 = 100_000;

fn entries(first: u64, count: u64) -> Vec<Entry> {
    let data = bytes::Bytes::from(vec![0x5a; ENTRY_BYTES]);
    let entry = |index| Entry {
        term: Term(1),
        index: LogIndex(index),
        data: data.clone(),
        ..Entry::default()
    };
    (first..first + count).map(entry).collect()
}

fn group_commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("group_commit");
    for batch in [1, 16, 256] {
        let dir = tempfile::tempdir().expect("a directory for temporary files");
        let owner = Identity { cluster: ClusterId(1), member: MemberId(1) };
        let config = Config { segment_bytes: 16 << 20, ..Config::default() };
        let mut wal = Wal::create(Arc::new(FsDisk), dir.path(), config, owner)
            .expect("a log in a new directory");
        while !wal.tend(1 << 20).expect("room for a second segment") {}
        group.throughput(Throughput::Elements(batch));
        group.bench_function(BenchmarkId::new("append_and_sync", batch), |bencher| {
            bencher.iter(|| {
                let next = wal.last().index.0 + 1;
                wal.append(&entries(next, batch), None).expect("the buffer is empty");
                if next > wal.start().index.0 + 2 * KEEP_ENTRIES {
                    wal.compact(LogIndex(next - KEEP_ENTRIES)).expect("the entry is there");
                }
                wal.sync().expect("the disk works")
            });
        });
    }
    group.finish();
}

/// A disk that costs nothing and keeps nothing.
#[derive(Debug)]
struct NoDisk;

#[derive(Debug)]
struct NoFile(u64);

#[derive(Debug)]
struct NoLock;

impl DirLock for NoLock {}

impl DiskFile for NoFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0)
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0 = self.0.max(offset + bytes.len() as u64);
        Ok(())
    }

    fn lay_out(&mut self, bytes: u64) -> io::Result<()> {
        self.0 = self.0.max(bytes);
        Ok(())
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.0 = self.0.min(bytes);
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for NoDisk {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn DirLock>> {
        Ok(Box::new(NoLock))
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn create(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(NoFile(0)))
    }

    fn open(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(NoFile(0)))
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// The same without the disk's part: copying, checksums, headers.
fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for batch in [1, 16, 256] {
        let owner = Identity { cluster: ClusterId(1), member: MemberId(1) };
        let dir = Path::new("/log");
        let mut wal = Wal::create(Arc::new(NoDisk), dir, Config::default(), owner)
            .expect("this disk cannot fail");
        // The same indexes again and again: a replacement costs what an entry costs.
        let batch_entries = entries(1, batch);
        group.throughput(Throughput::Elements(batch));
        group.bench_function(BenchmarkId::new("append_and_sync", batch), |bencher| {
            bencher.iter(|| {
                wal.append(&batch_entries, None).expect("the buffer is empty");
                wal.sync().expect("this disk cannot fail")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, group_commit, encode);
criterion_main!(benches);
