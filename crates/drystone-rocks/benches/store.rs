//! Batches, reads and scans as the machine makes them.

#![allow(missing_docs, reason = "criterion's macros make public items without documentation")]

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use drystone_backend::{Backend, Batch, Read, Table};
use drystone_rocks::{Config, RocksBackend};
use drystone_types::{Applied, LogIndex, Revision, Term};
use std::hint::black_box;
use std::ops::{Bound, ControlFlow};

const STORED: u64 = 200_000;
const VALUE_BYTES: usize = 256;

fn key(main: u64) -> Bytes {
    let main = i64::try_from(main).expect("benchmarks stay far below 2^63");
    Bytes::copy_from_slice(&Revision { main, sub: 0 }.to_key(false))
}

fn fill(batch: &mut Batch, first: u64, count: u64) {
    batch.clear();
    for main in first..first + count {
        batch.put(Table::Key, key(main), Bytes::from_static(&[b'v'; VALUE_BYTES]));
    }
    batch.set_applied(Applied { index: LogIndex(first + count), term: Term(1) });
}

fn writes(c: &mut Criterion) {
    let mut group = c.benchmark_group("write");
    for puts in [1, 100, 1000] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = RocksBackend::open(dir.path(), Config::default()).expect("a new store");
        let mut next = 1;
        group.throughput(Throughput::Elements(puts));
        group.bench_function(format!("{puts} puts of {VALUE_BYTES} bytes"), |b| {
            b.iter_batched_ref(
                || {
                    let mut batch = Batch::new();
                    fill(&mut batch, next, puts);
                    next += puts;
                    batch
                },
                |batch| store.write(batch).expect("a write"),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn reads(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    // All of it fits, so that this measures the store and not the system's file cache.
    let config = Config { block_cache_bytes: 256 << 20, ..Config::default() };
    let store = RocksBackend::open(dir.path(), config).expect("a new store");
    let mut batch = Batch::new();
    for first in (0..STORED).step_by(1000) {
        fill(&mut batch, first, 1000);
        store.write(&batch).expect("a write");
    }
    store.flush().expect("a flush");
    let mut at = 0;
    let mut random = move || {
        at = (at + 0x9e37_79b9) % STORED;
        at
    };

    let mut group = c.benchmark_group("read");
    group.bench_function("get", |b| {
        b.iter(|| black_box(store.get(Table::Key, &key(random())).expect("a read")));
    });
    group.throughput(Throughput::Elements(100));
    group.bench_function("get 100 at once", |b| {
        let view = store.view().expect("a view");
        b.iter_batched_ref(
            || (0..100).map(|_| key(random())).collect::<Vec<_>>(),
            |keys| black_box(view.get_many(Table::Key, keys).expect("reads")),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("get 100 neighbours at once", |b| {
        let view = store.view().expect("a view");
        b.iter_batched_ref(
            || {
                let first = random() % (STORED - 100);
                (first..first + 100).map(key).collect::<Vec<_>>()
            },
            |keys| black_box(view.get_many(Table::Key, keys).expect("reads")),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("get 100 one by one", |b| {
        let view = store.view().expect("a view");
        b.iter_batched_ref(
            || (0..100).map(|_| key(random())).collect::<Vec<_>>(),
            |keys| {
                for key in keys {
                    black_box(view.get(Table::Key, key).expect("a read"));
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.throughput(Throughput::Elements(1000));
    group.bench_function("scan 1000", |b| {
        b.iter(|| {
            let from = key(random() % (STORED - 1000));
            let mut left = 1000;
            store
                .scan(Table::Key, (Bound::Included(&from), Bound::Unbounded), &mut |key, value| {
                    black_box((key, value));
                    left -= 1;
                    if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })
                .expect("a scan");
        });
    });
    group.finish();

    let mut group = c.benchmark_group("marks");
    group.bench_function("view", |b| b.iter(|| black_box(store.view().expect("a view"))));
    batch.clear();
    batch.set_applied(Applied { index: LogIndex(STORED + 1), term: Term(1) });
    store.write(&batch).expect("a write");
    group.bench_function("durable, behind applied", |b| b.iter(|| black_box(store.durable())));
    group.finish();
}

criterion_group!(benches, writes, reads);
criterion_main!(benches);
