use crate::config::Config;
use crate::index::visits;
use crate::request::{Put, RangeQuery};
use crate::snapshot::Snapshot;
use crate::store::{Leases, Store};
use drystone_backend::{Backend, Batch, MemBackend};
use drystone_types::{KeyRange, LeaseId};
use std::sync::Arc;

struct None;

impl Leases for None {
    fn exists(&self, _: LeaseId) -> bool {
        false
    }
}

/// A store of keys `k00000000` and on, each put once.
fn filled(keys: usize) -> Store {
    let backend = Arc::new(MemBackend::new());
    let mut store = Store::open(backend.clone(), Config::default()).unwrap();
    let mut batch = Batch::new();
    for n in 0..keys {
        store.put(&mut batch, &Put::new(format!("k{n:08}"), "v"), &None).unwrap();
    }
    backend.write(&batch).unwrap();
    store.publish();
    store
}

fn range(from: usize, to: usize) -> KeyRange {
    KeyRange::from_fields(format!("k{from:08}"), format!("k{to:08}"))
}

fn nodes(snapshot: &Snapshot, query: &RangeQuery) -> (i64, usize) {
    let (answer, nodes) = visits::of(|| snapshot.range(query).unwrap());
    (answer.count, nodes)
}

#[test]
fn counting_any_range_goes_with_the_depth_of_the_tree() {
    for (keys, depth) in [(30, 1), (900, 2), (20_000, 3), (100_000, 4)] {
        let snapshot = filled(keys).reader().snapshot();
        for (from, to) in [(0, keys), (1, keys - 1), (keys / 3, keys / 2), (0, 1), (keys, keys)] {
            let query = RangeQuery { count_only: true, ..RangeQuery::new(range(from, to)) };
            let (count, nodes) = nodes(&snapshot, &query);
            assert_eq!(count, i64::try_from(to - from).unwrap());
            assert!(nodes <= 2 * depth, "{nodes} nodes for {from}..{to} of {keys}");
        }
        let all = RangeQuery { count_only: true, ..RangeQuery::new(KeyRange::all()) };
        assert!(nodes(&snapshot, &all).1 <= depth);
    }
}

#[test]
fn the_count_beside_a_limit_costs_no_more_than_the_depth() {
    let snapshot = filled(100_000).reader().snapshot();
    let query = RangeQuery { limit: 5, ..RangeQuery::new(range(10, 99_990)) };
    let (count, nodes) = nodes(&snapshot, &query);
    assert_eq!(count, 99_980);
    // Down to the first pairs, perhaps into a second leaf, and down twice for the count.
    assert!(nodes <= 3 * 4 + 1, "{nodes} nodes");
}

#[test]
fn a_past_revision_is_counted_from_what_changed_since() {
    let mut store = filled(50_000);
    let then = store.revision();
    let mut batch = Batch::new();
    for n in 50_000..50_100 {
        store.put(&mut batch, &Put::new(format!("k{n:08}"), "v"), &None).unwrap();
    }
    store.publish();
    let query = RangeQuery { revision: then, count_only: true, ..RangeQuery::new(KeyRange::all()) };
    let (count, nodes) = nodes(&store.reader().snapshot(), &query);
    assert_eq!(count, 50_000);
    assert!(nodes <= 4, "{nodes} nodes");
}
