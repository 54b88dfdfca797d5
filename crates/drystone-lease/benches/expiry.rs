//! What a tick costs with a million leases.

#![expect(missing_docs, reason = "criterion generates a public function")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use drystone_backend::Batch;
use drystone_lease::{Config, Lessor};
use drystone_types::LeaseId;
use std::hint::black_box;
use std::time::Duration;

const LEASES: i64 = 1_000_000;

/// A million leases whose ends are spread over an hour, from 60 s on.
fn million() -> Lessor {
    let mut lessor = Lessor::new(Config { checkpoint_interval: None, ..Config::default() });
    lessor.promote(Duration::ZERO, Duration::ZERO);
    let mut out = Batch::new();
    for id in 1..=LEASES {
        lessor.grant(&mut out, LeaseId(id), 60 + id % 3600, Duration::ZERO).expect("a new id");
        out.clear();
    }
    lessor
}

fn expiry(c: &mut Criterion) {
    let mut group = c.benchmark_group("lease_1m");
    group.sample_size(20);
    let mut lessor = million();

    group.bench_function("expired_none_due", |b| {
        b.iter(|| black_box(lessor.expired(Duration::from_secs(59), 500)));
    });
    let mut id = 0;
    group.bench_function("renew", |b| {
        b.iter(|| {
            id = id % LEASES + 1;
            black_box(lessor.renew(LeaseId(id), Duration::from_secs(1)))
        });
    });

    // Each call reports the next 500 and is asked again before their retry.
    let mut lessor = million();
    let mut now = Duration::from_secs(4000);
    group.bench_function("expired_500_due", |b| {
        b.iter(|| {
            let due = lessor.expired(now, 500);
            if due.len() < 500 {
                now += Duration::from_secs(4);
            }
            black_box(due)
        });
    });
    group.bench_function("expire_and_revoke_500", |b| {
        b.iter_batched(
            Batch::new,
            |mut out| {
                let due = lessor.expired(now, 500);
                for id in &due {
                    black_box(lessor.revoke(&mut out, *id)).expect("it lives");
                }
                for id in due {
                    let ttl = 60 + id.0 % 3600;
                    lessor.grant(&mut out, id, ttl, Duration::ZERO).expect("it was revoked");
                }
                now += Duration::from_millis(1);
            },
            BatchSize::SmallInput,
        );
    });
    group.sample_size(10);
    group.bench_function("promote", |b| {
        b.iter(|| lessor.promote(Duration::from_secs(1), Duration::from_secs(1)));
    });
    group.finish();
}

criterion_group!(benches, expiry);
criterion_main!(benches);
