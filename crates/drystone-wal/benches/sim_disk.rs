//! What the simulated disk costs a simulator: a commit on it, a crash, a copy of it.

#![expect(missing_docs, reason = "criterion's macro makes a public function")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use drystone_types::{ClusterId, Entry, LogIndex, MemberId, Term};
use drystone_wal::testing::{CrashMode, SimDisk};
use drystone_wal::{Config, Disk as _, Identity, Wal};
use std::path::Path;
use std::sync::Arc;

const DIR: &str = "/log";

fn config(segment_bytes: u32) -> Config {
    Config { segment_bytes, buffer_bytes_max: 1 << 20, ..Config::default() }
}

fn owner() -> Identity {
    Identity { cluster: ClusterId(1), member: MemberId(1) }
}

fn entry(index: u64) -> Entry {
    let data = bytes::Bytes::from_static(&[0x5a; 200]);
    Entry { term: Term(1), index: LogIndex(index), data, ..Entry::default() }
}

/// A log of a few segments, with a batch that is written and not synced.
fn log(segment_bytes: u32) -> (SimDisk, Wal) {
    let disk = SimDisk::new(1);
    let mut wal =
        Wal::create(Arc::new(disk.clone()), Path::new(DIR), config(segment_bytes), owner())
            .expect("a log on an empty disk");
    while wal.segments() < 4 {
        let next = wal.last().index.0 + 1;
        wal.append_and_sync(&[entry(next), entry(next + 1)], None).expect("the disk works");
    }
    wal.attest().expect("the disk works");
    (disk, wal)
}

fn sim_disk(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sim_disk");
    for segment_bytes in [16 << 10, 1 << 20] {
        let (_, mut wal) = log(segment_bytes);
        group.bench_function(BenchmarkId::new("append_and_sync", segment_bytes), |bencher| {
            bencher.iter(|| {
                let next = wal.last().index.0 + 1;
                wal.compact(LogIndex(next - 1)).expect("the entry is there");
                wal.append_and_sync(&[entry(next)], None).expect("the disk works");
            });
        });
        let (disk, wal) = log(segment_bytes);
        let at = wal.durable().position;
        let names = disk.list(Path::new(DIR)).expect("the directory is there");
        let last = names.iter().rfind(|name| name.ends_with(".wal")).expect("there is a segment");
        let last = Path::new(DIR).join(last);
        for mode in [CrashMode::Lose, CrashMode::Scatter] {
            let name = format!("write_and_crash_{mode:?}").to_lowercase();
            group.bench_function(BenchmarkId::new(name, segment_bytes), |bencher| {
                bencher.iter(|| {
                    let mut file = disk.open(&last).expect("the file is there");
                    file.write_at(u64::from(at.offset), &[1; 2000]).expect("the disk works");
                    disk.crash(mode);
                });
            });
        }
        group.bench_function(BenchmarkId::new("fork", segment_bytes), |bencher| {
            bencher.iter(|| disk.fork(2));
        });
        let (disk, _wal) = log(segment_bytes);
        group.bench_function(BenchmarkId::new("crash_open_append", segment_bytes), |bencher| {
            bencher.iter(|| {
                disk.crash(CrashMode::Any);
                let (mut wal, found) = Wal::open(
                    Arc::new(disk.clone()),
                    Path::new(DIR),
                    config(segment_bytes),
                    owner(),
                    LogIndex(0),
                )
                .expect("nothing is damaged");
                let next = found.last.index.0 + 1;
                wal.append(&[entry(next)], None).expect("the buffer is empty");
                wal.compact(LogIndex(next.saturating_sub(100))).expect("the entry is there");
                wal.sync().expect("the disk works");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, sim_disk);
criterion_main!(benches);
