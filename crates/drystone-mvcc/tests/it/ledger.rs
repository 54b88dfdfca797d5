//! What went wrong in etcd where keys are kept, a test for each.

use crate::rig::{Rig, keys, kind};
use drystone_backend::Backend;
use drystone_mvcc::RangeQuery;
use drystone_types::{EventKind, KeyRange};

/// A store whose newest revisions are tombstones, compacted as far as it goes and durable, of
/// which `steps` pieces were swept since then. False when there are fewer.
fn swept(steps: usize) -> (Rig, bool) {
    let mut rig = Rig::new();
    for value in ["1", "2", "3"] {
        rig.put("a", value);
        rig.put("b", value);
        rig.put("c", value);
    }
    rig.delete("b", "");
    rig.put("d", "1");
    rig.delete("d", "");
    rig.compact(rig.store.revision()).unwrap();
    rig.backend.flush().unwrap();
    for _ in 0..steps {
        let Some(batch) = rig.store.sweep(1).unwrap() else { return (rig, false) };
        rig.backend.write(&batch).unwrap();
    }
    (rig, true)
}

/// A crash while history was removed let the revision fall (17780); one while the file was
/// rewritten left members with different ones (14685). Nothing is rewritten here, so the sweep
/// stands for both: cut anywhere, with any part of it lost.
#[test]
fn etcd_14685_and_17780_a_crash_at_any_step_of_a_sweep_changes_no_answer() {
    let (rig, _) = swept(0);
    let revision = rig.store.revision();
    let hash = rig.snapshot().hash_kv(0).unwrap();
    let all = RangeQuery::new(KeyRange::all());
    let found = keys(&rig.range(&all).unwrap());
    let mut steps = 0;
    while swept(steps).1 {
        for kept in 0..=steps {
            let mut crashed = Rig::over(swept(steps).0.backend.crash(kept));
            assert_eq!(crashed.store.revision(), revision, "step {steps}, {kept} kept");
            assert_eq!(crashed.store.compacted(), revision);
            assert_eq!(crashed.snapshot().hash_kv(0).unwrap(), hash);
            assert_eq!(keys(&crashed.range(&all).unwrap()), found);
            let below = RangeQuery { revision: revision - 1, ..all.clone() };
            assert_eq!(kind(&crashed.range(&below).unwrap_err()), "compacted");
            crashed.sweep(3);
            assert_eq!(crashed.store.revision(), revision);
            assert_eq!(crashed.put("e", "1").revision, revision + 1);
        }
        steps += 1;
    }
    assert!(steps > 5, "{steps} steps");
}

/// The scan for watchers that lag behind held the lock that writers need. Here it reads a frozen
/// state: writes, compactions and sweeps go on between two of its pieces, and it does not see them.
#[test]
fn etcd_22264_a_scan_of_the_past_holds_up_no_writer() {
    let mut rig = Rig::new();
    for _ in 0..50 {
        rig.put("a", "1");
    }
    let scan = rig.snapshot();
    let mut from = 2;
    let mut heard = Vec::new();
    while from <= 51 {
        let piece = scan.changes(from, 51, 7, usize::MAX).unwrap();
        for change in &piece.revisions {
            heard.extend(change.events.iter().map(|event| event.kind));
        }
        from = piece.revisions.last().unwrap().revision + 1;
        let revision = rig.put("a", "2").revision;
        rig.compact(revision).unwrap();
        if let Some(batch) = rig.store.sweep(5).unwrap() {
            rig.backend.write(&batch).unwrap();
        }
    }
    assert_eq!(heard, vec![EventKind::Put; 50]);
}
