//! What the store costs at a million keys (or as many as `DRYSTONE_BENCH_KEYS` says): `write`
//! with the work of a backend in memory, `apply` without it.
#![allow(missing_docs, reason = "the macros of criterion make public items")]
#![expect(clippy::unwrap_used, reason = "a bench that fails may panic")]

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use drystone_backend::{Backend, Batch, MemBackend};
use drystone_mvcc::{
    Compare, CompareResult, CompareTarget, Config, Leases, Op, Put, RangeQuery, Store, Txn,
};
use drystone_types::{KeyRange, LeaseId};
use std::hint::black_box;
use std::sync::Arc;

const VALUE_BYTES: usize = 256;
const BATCH_CALLS: usize = 100;

struct NoLeases;

impl Leases for NoLeases {
    fn exists(&self, _: LeaseId) -> bool {
        false
    }
}

struct Bed {
    backend: MemBackend,
    store: Store,
    keys: usize,
    value: Bytes,
    step: usize,
    /// Whether batches reach the backend. The cache is large enough to do without.
    writes: bool,
}

fn key(number: usize) -> Bytes {
    format!("/registry/pods/namespace-{:03}/pod-{number:08}", number % 200).into()
}

impl Bed {
    fn new() -> Self {
        let keys = std::env::var("DRYSTONE_BENCH_KEYS").ok();
        let keys = keys.map_or(1_000_000, |keys| keys.parse().unwrap());
        let backend = MemBackend::new();
        let config = Config::default().with_value_cache_bytes(1 << 30);
        let store = Store::open(Arc::new(backend.clone()), config).unwrap();
        let value = Bytes::from(vec![b'v'; VALUE_BYTES]);
        let mut bed = Self { backend, store, keys, value, step: 0, writes: true };
        for first in (0..keys).step_by(1000) {
            let numbers = first..(first + 1000).min(keys);
            bed.commit(|store, batch, value| {
                for number in numbers {
                    store.put(batch, &Put::new(key(number), value.clone()), &NoLeases).unwrap();
                }
            });
        }
        bed.backend.flush().unwrap();
        bed
    }

    fn commit(&mut self, calls: impl FnOnce(&mut Store, &mut Batch, Bytes)) {
        let mut batch = Batch::new();
        calls(&mut self.store, &mut batch, self.value.clone());
        if self.writes {
            self.backend.write(&batch).unwrap();
        }
        black_box((batch, self.store.publish()));
    }

    /// A key, no two calls in a row near each other.
    fn any(&mut self) -> usize {
        self.step += 1;
        self.step.wrapping_mul(0x9e37_79b9_7f4a_7c15) % self.keys
    }
}

fn writes(criterion: &mut Criterion, bed: &mut Bed, name: &str) {
    let mut group = criterion.benchmark_group(name);
    for calls in [1, BATCH_CALLS] {
        group.throughput(Throughput::Elements(calls as u64));
        group.bench_function(BenchmarkId::new("put", calls), |bencher| {
            bencher.iter(|| {
                let keys: Vec<_> = (0..calls).map(|_| key(bed.any())).collect();
                bed.commit(|store, batch, value| {
                    for key in keys {
                        store.put(batch, &Put::new(key, value.clone()), &NoLeases).unwrap();
                    }
                });
            });
        });
        group.bench_function(BenchmarkId::new("guarded_update", calls), |bencher| {
            bencher.iter(|| {
                let keys: Vec<_> = (0..calls).map(|_| key(bed.any())).collect();
                bed.commit(|store, batch, value| {
                    for key in keys {
                        let txn = guarded(&key, value.clone());
                        assert!(store.txn(batch, &txn, &NoLeases).unwrap().succeeded);
                    }
                });
            });
        });
    }
    group.finish();
}

/// What Kubernetes does to change an object: put if it is there, else read it.
fn guarded(key: &Bytes, value: Bytes) -> Txn {
    let range = KeyRange::key(key.clone());
    Txn {
        compare: vec![Compare {
            range: range.clone(),
            result: CompareResult::Greater,
            target: CompareTarget::Mod(0),
        }],
        success: vec![Op::Put(Put::new(key.clone(), value))],
        failure: vec![Op::Range(RangeQuery::new(range))],
    }
}

fn reads(criterion: &mut Criterion, bed: &mut Bed) {
    let reader = bed.store.reader();
    let past = bed.store.revision() - 100;
    let mut group = criterion.benchmark_group("read");
    group.bench_function("point", |bencher| {
        bencher.iter(|| {
            let query = RangeQuery::new(KeyRange::key(key(bed.any())));
            black_box(reader.snapshot().range(&query).unwrap())
        });
    });
    for (name, revision) in [("page_of_500", 0), ("page_of_500_in_the_past", past)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let start = key(bed.any());
                let range = KeyRange::from_fields(start, "/registry/pods0");
                let query = RangeQuery { limit: 500, revision, ..RangeQuery::new(range) };
                black_box(reader.snapshot().range(&query).unwrap())
            });
        });
    }
    group.bench_function("count", |bencher| {
        bencher.iter(|| {
            let range = KeyRange::from_fields(key(bed.any()), "/registry/pods0");
            let query = RangeQuery { count_only: true, ..RangeQuery::new(range) };
            black_box(reader.snapshot().range(&query).unwrap())
        });
    });
    group.finish();
}

fn all(criterion: &mut Criterion) {
    let mut bed = Bed::new();
    reads(criterion, &mut bed);
    writes(criterion, &mut bed, "write");
    bed.writes = false;
    writes(criterion, &mut bed, "apply");
}

criterion_group!(benches, all);
criterion_main!(benches);
