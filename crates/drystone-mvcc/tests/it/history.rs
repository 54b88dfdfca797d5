//! Events, live and from the past.

use crate::rig::*;
use drystone_backend::Batch;
use drystone_mvcc::Put;
use drystone_types::{Event, EventKind, Revision};

fn summary(event: &Event) -> (EventKind, String, Option<Revision>) {
    (event.kind, String::from_utf8(event.key.to_vec()).unwrap(), event.prev)
}

#[test]
fn events_come_once_per_revision_with_the_pair_before() {
    let mut rig = Rig::new();
    let mut batch = Batch::new();
    rig.store.put(&mut batch, &Put::new("a", "1"), &LEASES).unwrap();
    rig.store.put(&mut batch, &Put::new("a", "2"), &LEASES).unwrap();
    let swap = then(vec![del("a", ""), put("a", "3"), put("b", "1"), del("b", "")]);
    rig.store.txn(&mut batch, &swap, &LEASES).unwrap();
    rig.store.delete_range(&mut batch, &delete_range("z", "")).unwrap();
    assert_eq!(rig.snapshot().revision(), 1);
    let events = rig.commit(batch);
    assert_eq!(events.iter().map(|events| events.revision).collect::<Vec<_>>(), [2, 3, 4]);
    let prev = |main| Some(Revision::first(main));
    assert_eq!(summary(&events[0].events[0]), (EventKind::Put, "a".into(), None));
    assert_eq!(summary(&events[1].events[0]), (EventKind::Put, "a".into(), prev(2)));
    let third: Vec<_> = events[2].events.iter().map(summary).collect();
    let expected = [
        (EventKind::Delete, "a".into(), prev(3)),
        (EventKind::Put, "a".into(), None),
        (EventKind::Put, "b".into(), None),
        (EventKind::Delete, "b".into(), None),
    ];
    assert_eq!(third, expected);
    let gone = pairs(&[events[2].events[0].kv.clone()]).pop().unwrap();
    assert_eq!((gone.mod_revision, gone.create_revision, gone.version), (4, 0, 0));
    assert!(rig.store.publish().is_empty());

    let snapshot = rig.snapshot();
    assert_eq!(snapshot.changes(1, 100, 100, 1 << 20).unwrap().revisions, events);
    assert_eq!(rig.restarted().snapshot().changes(2, 4, 100, 1 << 20).unwrap().revisions, events);
    let value = snapshot.value_at(Revision::first(2)).unwrap().unwrap();
    assert_eq!(pairs(&[value])[0].value, "1");
    assert_eq!(snapshot.value_at(Revision { main: 4, sub: 0 }).unwrap(), None);
}

#[test]
fn history_is_read_in_bounded_pieces_of_whole_revisions() {
    let mut rig = Rig::new();
    for _ in 0..6 {
        rig.txn(&then(vec![put("a", "0123456789"), put("b", "0123456789")])).unwrap();
    }
    let snapshot = rig.snapshot();
    let read = |from, to, revisions_max, bytes_max| {
        let changes = snapshot.changes(from, to, revisions_max, bytes_max).unwrap();
        assert!(changes.revisions.iter().all(|revision| revision.events.len() == 2));
        let revisions: Vec<_> = changes.revisions.iter().map(|r| r.revision).collect();
        (revisions, changes.next)
    };
    assert_eq!(read(2, 7, 4, 1 << 20), (vec![2, 3, 4, 5], 6));
    assert_eq!(read(6, 7, 4, 1 << 20), (vec![6, 7], 8));
    assert_eq!(read(2, 7, 0, 0), (vec![2], 3));
    assert_eq!(read(2, 7, 100, 60), (vec![2, 3], 4));
    assert_eq!(read(3, 4, 100, 1 << 20), (vec![3, 4], 5));
    assert_eq!(read(2, 99, 100, 1 << 20), (vec![2, 3, 4, 5, 6, 7], 8));
    assert_eq!(read(8, 99, 100, 1 << 20), (vec![], 8));
    assert_eq!(read(50, 99, 100, 1 << 20), (vec![], 50));
}

#[test]
fn the_pair_before_is_left_out_when_it_is_compacted() {
    let mut rig = Rig::new();
    for _ in 0..4 {
        rig.put("a", "1");
    }
    rig.compact(4).unwrap();
    let before = rig.snapshot().changes(4, 5, 10, 1000).unwrap();
    let prevs: Vec<_> = before.revisions.iter().map(|r| r.events[0].prev).collect();
    assert_eq!(prevs, [None, Some(Revision::first(4))]);
    rig.sweep(10);
    assert_eq!(rig.snapshot().changes(4, 5, 10, 1000).unwrap(), before);
}
