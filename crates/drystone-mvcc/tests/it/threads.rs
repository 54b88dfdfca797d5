//! Readers in their own threads beside a writer that compacts and sweeps.

use crate::rig::{Rig, pairs, put, then};
use drystone_mvcc::{RangeQuery, Snapshot};
use drystone_types::KeyRange;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Every revision writes the same value to all three keys.
fn check(snapshot: &Snapshot, revision: i64) {
    let query = RangeQuery { revision, ..RangeQuery::new(KeyRange::all()) };
    let found = pairs(&snapshot.range(&query).unwrap().kvs);
    let seen = if revision == 0 { snapshot.revision() } else { revision };
    assert_eq!(found.len(), if seen == 1 { 0 } else { 3 });
    assert!(found.iter().all(|pair| pair.mod_revision == seen && pair.value == found[0].value));
}

#[test]
fn snapshots_are_whole_and_stay_as_they_are() {
    const VALUES: [&str; 4] = ["0", "1", "2", "3"];
    let mut rig = Rig::new();
    let reader = rig.store.reader();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while !done.load(Ordering::Acquire) {
                    let snapshot = reader.snapshot();
                    assert!(snapshot.revision() >= last);
                    last = snapshot.revision();
                    let oldest = snapshot.compacted().max(1);
                    for revision in [0, oldest, i64::midpoint(oldest, last), oldest] {
                        check(&snapshot, revision);
                    }
                    let changes = snapshot.changes(oldest, last, 20, usize::MAX).unwrap();
                    assert!(changes.revisions.iter().all(|change| change.events.len() == 3));
                    assert_eq!(snapshot.hash_kv(0).unwrap(), snapshot.hash_kv(0).unwrap());
                }
            });
        }
        for round in 0..400 {
            let value = VALUES[round % VALUES.len()];
            let txn = then(vec![put("a", value), put("b", value), put("c", value)]);
            let revision = rig.txn(&txn).unwrap().revision;
            if round % 10 == 9 {
                rig.compact(revision - 5).unwrap();
            }
            if let Some(batch) = rig.store.sweep(7).unwrap() {
                drystone_backend::Backend::write(&rig.backend, &batch).unwrap();
            }
        }
        done.store(true, Ordering::Release);
    });
    while rig.store.is_sweeping() {
        rig.sweep(1000);
    }
    assert_eq!(rig.records().len(), 3 * 6);
}
