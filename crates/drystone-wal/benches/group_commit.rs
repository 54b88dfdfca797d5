//! How many entries a second the log makes durable, by the size of the batch that shares one
//! write and one sync. Real files in the directory for temporary files: set `TMPDIR` to measure
//! another disk.

#![expect(missing_docs, reason = "criterion's macro makes a public function")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use drystone_types::{ClusterId, Entry, LogIndex, MemberId, Term};
use drystone_wal::{Config, FsDisk, Identity, Wal};
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

/// The work without the disk's part: encoding and checksums alone.
fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for batch in [16, 256] {
        let owner = Identity { cluster: ClusterId(1), member: MemberId(1) };
        let config = Config { segment_bytes: 16 << 20, ..Config::default() };
        let disk = drystone_wal::testing::SimDisk::new(1);
        let dir = std::path::Path::new("/log");
        let mut wal =
            Wal::create(Arc::new(disk), dir, config, owner).expect("a log in a new directory");
        group.throughput(Throughput::Bytes(batch * ENTRY_BYTES as u64));
        let batch_entries = entries(1, batch);
        group.bench_function(BenchmarkId::new("append", batch), |bencher| {
            bencher.iter(|| {
                if wal.append(&batch_entries, None).is_err() {
                    wal.sync().expect("a simulated disk works");
                    wal.append(&batch_entries, None).expect("the buffer is empty");
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, group_commit, encode);
criterion_main!(benches);
