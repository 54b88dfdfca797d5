//! Compaction: what it forbids, what it keeps, and that it shows nowhere else.

use crate::rig::*;
use drystone_backend::{Backend, Batch, MemBackend, Table};
use drystone_mvcc::{FINISHED_COMPACT, RangeQuery, SCHEDULED_COMPACT};
use drystone_types::{EventKind, KeyRange, Revision};

fn at(key: &'static str, revision: i64) -> RangeQuery {
    RangeQuery { revision, ..RangeQuery::new(KeyRange::key(key)) }
}

#[test]
fn compaction_forbids_what_is_below_it_at_once() {
    let mut rig = Rig::new();
    for value in ["1", "2", "3"] {
        rig.put("a", value);
    }
    assert_eq!(rig.store.compacted(), -1);
    assert_eq!(kind(&rig.compact(5).unwrap_err()), "future");
    rig.compact(0).unwrap();
    assert_eq!(kind(&rig.compact(0).unwrap_err()), "compacted");
    rig.compact(3).unwrap();
    assert_eq!(kind(&rig.compact(3).unwrap_err()), "compacted");
    assert_eq!(kind(&rig.range(&at("a", 2)).unwrap_err()), "compacted");
    assert_eq!(keys(&rig.range(&at("a", 3)).unwrap()), "a");
    assert_eq!(kind(&rig.snapshot().changes(2, 9, 9, 9).unwrap_err()), "compacted");
    rig.compact(4).unwrap();
    rig.sweep(1);
    assert_eq!(rig.store.swept(), 4);
    assert_eq!(rig.records().len(), 1);
}

#[test]
fn a_tombstone_at_the_compacted_revision_stays_for_watchers() {
    let mut rig = Rig::new();
    rig.put("tb", "1");
    rig.put("other", "1");
    rig.delete("tb", "");
    rig.put("other", "2");
    rig.compact(4).unwrap();
    rig.sweep(2);
    for rig in [&rig, &rig.restarted()] {
        let changes = rig.snapshot().changes(4, 4, 10, 1000).unwrap();
        let [revision] = changes.revisions.as_slice() else { panic!() };
        assert_eq!((revision.events[0].kind, revision.events[0].prev), (EventKind::Delete, None));
        assert_eq!(rig.store.revision(), 5);
    }
    // The next compaction takes it.
    rig.compact(5).unwrap();
    rig.sweep(2);
    assert_eq!(rig.records().len(), 1);
}

/// etcd loses the key, or dies (its issue 22376).
#[test]
fn a_key_born_at_the_compacted_revision_beside_its_tombstone_stays() {
    let mut rig = Rig::new();
    rig.put("a", "1");
    rig.txn(&then(vec![del("a", "\0"), put("a", "2")])).unwrap();
    rig.compact(3).unwrap();
    let check = |rig: &Rig| {
        for revision in [0, 3] {
            let found = rig.range(&at("a", revision)).unwrap();
            let pair = pairs(&found.kvs).pop().unwrap();
            assert_eq!((pair.create_revision, pair.mod_revision, pair.version), (3, 3, 1));
            assert_eq!((pair.value.as_ref(), found.count), (&b"2"[..], 1));
        }
        let changes = rig.snapshot().changes(3, 3, 10, 1000).unwrap();
        assert_eq!(changes.revisions[0].events.len(), 2);
        (rig.snapshot().hash_kv(0).unwrap(), changes)
    };
    let before = check(&rig);
    rig.sweep(1);
    assert_eq!(check(&rig), before);
    assert_eq!(check(&rig.restarted()), before);
    assert_eq!(rig.put("a", "3").prev.map(|pair| pairs(&[pair])[0].version), Some(1));
}

#[test]
fn a_sweep_waits_for_those_who_still_read() {
    let mut rig = Rig::new();
    for value in ["1", "2", "3"] {
        rig.put("a", value);
    }
    let old = rig.snapshot();
    rig.compact(4).unwrap();
    while let Some(batch) = rig.store.sweep(10).unwrap() {
        rig.backend.write(&batch).unwrap();
    }
    assert!(rig.store.is_sweeping());
    assert_eq!(rig.records().len(), 3);
    for revision in 2..=4 {
        assert_eq!(old.range(&at("a", revision)).unwrap().kvs.len(), 1);
    }
    assert_eq!(old.changes(2, 4, 10, 1000).unwrap().revisions.len(), 3);
    let new = rig.snapshot();
    drop(old);
    rig.sweep(10);
    assert_eq!(rig.records().len(), 1);
    assert_eq!(new.range(&at("a", 4)).unwrap().kvs.len(), 1);
}

#[test]
fn a_compaction_is_not_swept_before_it_is_published() {
    let mut rig = Rig::new();
    rig.put("a", "1");
    rig.put("a", "2");
    let mut batch = Batch::new();
    rig.store.compact(&mut batch, 3).unwrap();
    while rig.store.sweep(10).unwrap().is_some() {}
    assert!(rig.store.is_sweeping());
    assert_eq!(rig.snapshot().range(&at("a", 2)).unwrap().kvs.len(), 1);
    rig.commit(batch);
    rig.sweep(10);
    assert_eq!(rig.records().len(), 1);
}

#[test]
fn a_compaction_that_was_cut_off_goes_on_after_a_restart() {
    let mut rig = Rig::new();
    for value in ["1", "2", "3", "4"] {
        rig.put("a", value);
        rig.put("b", value);
    }
    rig.compact(8).unwrap();
    for _ in 0..3 {
        let batch = rig.store.sweep(2).unwrap().unwrap();
        rig.backend.write(&batch).unwrap();
    }
    let mut again = rig.restarted();
    assert!(again.store.is_sweeping());
    assert_eq!((again.store.compacted(), again.store.swept()), (8, -1));
    assert_eq!(kind(&again.range(&at("a", 7)).unwrap_err()), "compacted");
    let hash = again.snapshot().hash_kv(0).unwrap();
    again.sweep(2);
    rig.sweep(2);
    assert_eq!(again.records(), rig.records());
    assert_eq!(again.snapshot().hash_kv(0).unwrap(), hash);
    assert!(again.store.reader().compaction_hashes().is_empty());
    assert_eq!(rig.store.reader().compaction_hashes().len(), 1);
    assert!(!again.restarted().store.is_sweeping());
}

#[test]
fn the_revision_never_falls() {
    let mut rig = Rig::new();
    rig.put("a", "1");
    rig.delete("a", "");
    rig.compact(3).unwrap();
    rig.sweep(9);
    assert_eq!(rig.restarted().store.revision(), 3);
    assert_eq!(rig.restarted().put("b", "1").revision, 4);
}

/// Older etcds removed the tombstone at the compacted revision, and so the newest record.
#[test]
fn the_revision_is_not_below_a_compaction_whose_records_are_gone() {
    for mark in [SCHEDULED_COMPACT, FINISHED_COMPACT] {
        let backend = MemBackend::new();
        let mut batch = Batch::new();
        batch.put(Table::Key, Revision::first(2).to_key(false), "\n\x01a\x10\x02\x18\x02");
        batch.put(Table::Meta, mark, Revision::first(7).to_key(false));
        backend.write(&batch).unwrap();
        let rig = Rig::over(backend);
        assert_eq!((rig.store.revision(), rig.store.compacted()), (7, 7));
        assert_eq!(rig.snapshot().revision(), 7);
    }
}

#[test]
fn a_put_that_its_own_transaction_deleted_is_gone_at_once() {
    let mut rig = Rig::new();
    rig.put("a", "1");
    rig.txn(&then(vec![put("a", "2"), del("a", "\0")])).unwrap();
    assert_eq!(rig.snapshot().changes(3, 3, 9, 999).unwrap().revisions[0].events.len(), 2);
    rig.compact(3).unwrap();
    let before = rig.snapshot().changes(3, 3, 9, 999).unwrap();
    let events = &before.revisions[0].events;
    assert_eq!((events.len(), events[0].kind), (1, EventKind::Delete));
    rig.sweep(9);
    assert_eq!(rig.snapshot().changes(3, 3, 9, 999).unwrap(), before);
}

#[test]
fn a_restored_store_with_a_raised_revision_starts_there() {
    let backend = MemBackend::new();
    let mut rig = Rig::over(backend.clone());
    rig.put("a", "1");
    rig.put("a", "2");
    let mut batch = Batch::new();
    batch.put(Table::Key, Revision::first(1003).to_key(false), "");
    batch.put(Table::Meta, SCHEDULED_COMPACT, Revision::first(1003).to_key(false));
    backend.write(&batch).unwrap();
    let mut rig = Rig::over(backend);
    assert_eq!((rig.store.revision(), rig.store.compacted()), (1003, 1003));
    let all = RangeQuery::new(KeyRange::all());
    let hash = rig.snapshot().hash_kv(0).unwrap();
    assert_eq!(keys(&rig.range(&all).unwrap()), "a");
    assert_eq!((rig.range(&all).unwrap().count, rig.snapshot().keys()), (1, 1));
    assert_eq!(rig.get("").as_ref(), None);
    assert_eq!(rig.snapshot().changes(1003, 1003, 1, 1).unwrap().revisions, []);
    rig.sweep(1);
    // The record stays, as etcd's compaction keeps it: hashes cover it.
    assert_eq!(rig.records().len(), 2);
    assert_eq!(rig.snapshot().hash_kv(0).unwrap(), hash);
    assert_eq!(rig.put("a", "3").revision, 1004);
    assert_eq!(rig.restarted().store.revision(), 1004);
}

#[test]
fn damaged_records_stop_the_start() {
    let damage: [(Table, Vec<u8>, &[u8]); 5] = [
        (Table::Key, b"short".to_vec(), b""),
        (Table::Key, Revision::first(2).to_key(false), b"\xff"),
        (Table::Key, Revision { main: 2, sub: -1 }.to_key(false), b"\x0a\x01a"),
        (Table::Key, Revision::first(i64::MAX).to_key(false), b"\x0a\x01a"),
        (Table::Meta, FINISHED_COMPACT.into(), b"x"),
    ];
    for (table, key, value) in damage {
        let backend = MemBackend::new();
        let mut batch = Batch::new();
        batch.put(table, key.clone(), value.to_vec());
        backend.write(&batch).unwrap();
        let config = drystone_mvcc::Config::default();
        let opened = drystone_mvcc::Store::open(std::sync::Arc::new(backend), config);
        assert!(matches!(opened, Err(drystone_mvcc::Error::Corrupt { .. })), "{key:?}");
    }
}

#[test]
fn more_compactions_than_can_wait_become_one() {
    let mut rig = Rig::new();
    for _ in 0..40 {
        rig.put("a", "1");
    }
    let mut held = Vec::new();
    for revision in 2..40 {
        held.push(rig.snapshot());
        rig.compact(revision).unwrap();
    }
    while let Some(batch) = rig.store.sweep(100).unwrap() {
        rig.backend.write(&batch).unwrap();
    }
    for old in &held {
        assert_eq!(old.range(&at("a", old.compacted().max(2))).unwrap().kvs.len(), 1);
    }
    held.clear();
    rig.sweep(100);
    assert_eq!((rig.store.swept(), rig.records().len()), (39, 3));
}
