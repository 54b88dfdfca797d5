//! The rules of the contract, one function each.

use super::Fixture;
use crate::{
    APPLIED_INDEX_KEY, APPLIED_TERM_KEY, Backend, BackendError, Batch, Read, Table, applied_of,
};
use bytes::Bytes;
use drystone_types::{Applied, LogIndex, Term};
use std::ops::{Bound, ControlFlow};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

type Case = fn(&mut dyn Fixture);

pub(super) const ALL: &[Case] = &[
    a_new_store_is_empty,
    changes_of_a_batch_apply_in_their_order,
    tables_are_apart,
    scans_keep_their_bounds,
    scans_stop_when_told,
    many_reads_keep_their_order,
    views_are_frozen,
    views_hold_their_mark,
    the_mark_moves_with_batches_and_flushes,
    the_mark_never_moves_backwards,
    an_empty_batch_does_nothing,
    flushed_batches_survive,
    a_crash_takes_whole_batches_from_the_newest_back,
    a_failed_flush_poisons,
    a_checkpoint_is_a_store_of_its_own,
    a_checkpoint_needs_a_new_directory,
    size_is_sane,
    readers_see_whole_batches,
];

fn at(index: u64, term: u64) -> Applied {
    Applied { index: LogIndex(index), term: Term(term) }
}

fn write(store: &dyn Backend, index: u64, fill: impl FnOnce(&mut Batch)) {
    let mut batch = Batch::new();
    fill(&mut batch);
    batch.set_applied(at(index, 1));
    store.write(&batch).expect("a write to a sound store");
}

fn get(state: &dyn Read, table: Table, key: &str) -> Option<String> {
    let value = state.get(table, key.as_bytes()).expect("a read of a sound store")?;
    Some(String::from_utf8_lossy(&value).into_owned())
}

fn keys(state: &dyn Read, table: Table, from: Bound<&str>, to: Bound<&str>) -> Vec<String> {
    let bounds = (from.map(str::as_bytes), to.map(str::as_bytes));
    let mut found = Vec::new();
    state
        .scan(table, bounds, &mut |key, _| {
            found.push(String::from_utf8_lossy(key).into_owned());
            ControlFlow::Continue(())
        })
        .expect("a scan of a sound store");
    found
}

fn a_new_store_is_empty(fixture: &mut dyn Fixture) {
    let store = fixture.store();
    for table in Table::ALL {
        let found = keys(store, table, Bound::Unbounded, Bound::Unbounded);
        assert!(found.is_empty(), "table {table:?} of a new store holds {found:?}");
    }
    assert_eq!(store.applied(), Applied::default());
    assert_eq!(store.durable(), Applied::default());
    assert_eq!(store.flush().expect("flush of an empty store"), Applied::default());
}

fn changes_of_a_batch_apply_in_their_order(fixture: &mut dyn Fixture) {
    let store = fixture.store();
    write(store, 1, |batch| {
        batch.put(Table::Key, "a", "first");
        batch.put(Table::Key, "a", "second");
        batch.put(Table::Key, "b", "gone");
        batch.delete(Table::Key, "b");
        batch.delete(Table::Key, "c");
        batch.put(Table::Key, "c", "back");
        batch.delete(Table::Key, "never there");
        batch.put(Table::Key, "empty", "");
    });
    assert_eq!(get(store, Table::Key, "a").as_deref(), Some("second"));
    assert_eq!(get(store, Table::Key, "b"), None);
    assert_eq!(get(store, Table::Key, "c").as_deref(), Some("back"));
    assert_eq!(get(store, Table::Key, "empty").as_deref(), Some(""));
    let found = keys(store, Table::Key, Bound::Unbounded, Bound::Unbounded);
    assert_eq!(found, ["a", "c", "empty"]);
}

fn tables_are_apart(fixture: &mut dyn Fixture) {
    let store = fixture.store();
    write(store, 1, |batch| {
        for table in Table::ALL {
            batch.put(table, "k", table.name());
        }
        batch.delete(Table::Lease, "k");
    });
    for table in Table::ALL {
        let expected = (table != Table::Lease).then_some(table.name());
        assert_eq!(get(store, table, "k").as_deref(), expected, "table {table:?}");
    }
    fixture.crash();
}

fn scans_keep_their_bounds(fixture: &mut dyn Fixture) {
    use Bound::{Excluded, Included, Unbounded};
    let store = fixture.store();
    let all = ["a", "ab", "b", "b\0", "bb", "c"];
    write(store, 1, |batch| {
        // Not in order: the store sorts.
        for key in ["c", "b\0", "a", "bb", "ab", "b"] {
            batch.put(Table::Key, key, key);
        }
        // Neighbours in other tables must not leak in.
        batch.put(Table::Cluster, "bz", "x");
        batch.put(Table::Lease, "a0", "x");
    });
    let edges = ["", "a", "aa", "ab", "b", "b\0", "b\0\0", "bb", "c", "d"];
    let mut bounds = vec![Unbounded];
    bounds.extend(edges.iter().flat_map(|edge| [Included(*edge), Excluded(*edge)]));
    for from in &bounds {
        for to in &bounds {
            let expected: Vec<&str> = all
                .into_iter()
                .filter(|key| match from {
                    Included(from) => key >= from,
                    Excluded(from) => key > from,
                    Unbounded => true,
                })
                .filter(|key| match to {
                    Included(to) => key <= to,
                    Excluded(to) => key < to,
                    Unbounded => true,
                })
                .collect();
            let found = keys(store, Table::Key, *from, *to);
            assert_eq!(found, expected, "scan from {from:?} to {to:?}");
        }
    }
    let view = store.view().expect("a view");
    store.flush().expect("a flush");
    for state in [&*view, store as &dyn Read] {
        assert_eq!(keys(state, Table::Key, Excluded("a"), Included("b\0")), ["ab", "b", "b\0"]);
    }
}

fn scans_stop_when_told(fixture: &mut dyn Fixture) {
    let store = fixture.store();
    write(store, 1, |batch| {
        for key in ["a", "b", "c"] {
            batch.put(Table::Key, key, "x");
        }
    });
    let mut seen = 0;
    let stop_at_second = &mut |_: &[u8], _: &[u8]| {
        seen += 1;
        if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    store.scan(Table::Key, (Bound::Unbounded, Bound::Unbounded), stop_at_second).expect("a scan");
    assert_eq!(seen, 2, "a scan went on after it was told to stop");
}

fn many_reads_keep_their_order(fixture: &mut dyn Fixture) {
    let store = fixture.store();
    write(store, 1, |batch| {
        for number in 0..64 {
            batch.put(Table::Key, format!("k{number:02}"), format!("v{number}"));
        }
    });
    let wanted = ["k63", "k00", "nope", "k07", "k07", "", "k31"].map(Bytes::from);
    let expected = [Some("v63"), Some("v0"), None, Some("v7"), Some("v7"), None, Some("v31")];
    let expected = expected.map(|value| value.map(Bytes::from)).to_vec();
    let view = store.view().expect("a view");
    assert_eq!(store.get_many(Table::Key, &wanted).expect("reads"), expected);
    assert_eq!(view.get_many(Table::Key, &wanted).expect("reads"), expected);
    store.flush().expect("a flush");
    assert_eq!(store.get_many(Table::Key, &wanted).expect("reads"), expected);
    assert_eq!(view.get_many(Table::Key, &wanted).expect("reads"), expected);
    assert_eq!(store.get_many(Table::Key, &[]).expect("reads"), []);
}

fn views_are_frozen(fixture: &mut dyn Fixture) {
    let store = fixture.store();
    let empty = store.view().expect("a view");
    write(store, 1, |batch| {
        batch.put(Table::Key, "a", "1");
        batch.put(Table::Key, "b", "1");
    });
    let one = store.view().expect("a view");
    write(store, 2, |batch| {
        batch.put(Table::Key, "a", "2");
        batch.delete(Table::Key, "b");
        batch.put(Table::Key, "c", "2");
    });
    store.flush().expect("a flush");
    let two = store.view().expect("a view");
    write(store, 3, |batch| batch.delete(Table::Key, "a"));

    assert_eq!(keys(&*empty, Table::Key, Bound::Unbounded, Bound::Unbounded), [""; 0]);
    assert_eq!(keys(&*one, Table::Key, Bound::Unbounded, Bound::Unbounded), ["a", "b"]);
    assert_eq!(get(&*one, Table::Key, "a").as_deref(), Some("1"));
    assert_eq!(get(&*one, Table::Key, "c"), None);
    assert_eq!(keys(&*two, Table::Key, Bound::Unbounded, Bound::Unbounded), ["a", "c"]);
    assert_eq!(get(&*two, Table::Key, "a").as_deref(), Some("2"));
    let gone = two.get_many(Table::Key, &[Bytes::from("b"), Bytes::from("a")]).expect("reads");
    assert_eq!(gone, [None, Some(Bytes::from("2"))]);
    assert_eq!(get(store, Table::Key, "a"), None);
}

fn views_hold_their_mark(fixture: &mut dyn Fixture) {
    let store = fixture.store();
    let view = store.view().expect("a view");
    assert_eq!(applied_of(&*view).expect("a mark"), Applied::default());
    write(store, 5, |_| ());
    let view = store.view().expect("a view");
    write(store, 6, |_| ());
    assert_eq!(applied_of(&*view).expect("a mark"), at(5, 1));
    assert_eq!(applied_of(store).expect("a mark"), at(6, 1));
    let index = store.get(Table::Meta, APPLIED_INDEX_KEY).expect("a read");
    assert_eq!(index.as_deref(), Some(&6_u64.to_be_bytes()[..]));
    let term = store.get(Table::Meta, APPLIED_TERM_KEY).expect("a read");
    assert_eq!(term.as_deref(), Some(&1_u64.to_be_bytes()[..]));
}

fn the_mark_moves_with_batches_and_flushes(fixture: &mut dyn Fixture) {
    let store = fixture.store();
    write(store, 3, |batch| batch.put(Table::Key, "a", "1"));
    assert_eq!(store.applied(), at(3, 1));
    assert!(store.durable() <= store.applied());
    assert_eq!(store.flush().expect("a flush"), at(3, 1));
    assert_eq!(store.durable(), at(3, 1));

    let mut housekeeping = Batch::new();
    housekeeping.delete(Table::Key, "a");
    store.write(&housekeeping).expect("housekeeping");
    assert_eq!(store.applied(), at(3, 1));
    assert_eq!(get(store, Table::Key, "a"), None);
    store.flush().expect("a flush");

    let mut mark_only = Batch::new();
    mark_only.set_applied(at(4, 2));
    store.write(&mark_only).expect("a mark");
    assert_eq!(store.applied(), at(4, 2));
    assert_eq!(store.flush().expect("a flush"), at(4, 2));
    fixture.crash();
    let store = fixture.store();
    assert_eq!(store.applied(), at(4, 2));
    assert_eq!(store.durable(), at(4, 2));
    assert_eq!(get(store, Table::Key, "a"), None, "flushed housekeeping was lost");
}

fn the_mark_never_moves_backwards(fixture: &mut dyn Fixture) {
    let store = fixture.store();
    let mut batch = Batch::new();
    batch.put(Table::Key, "a", "1");
    batch.set_applied(at(7, 3));
    store.write(&batch).expect("a write");
    for stale in [at(6, 3), at(6, 4), at(7, 2)] {
        let mut batch = Batch::new();
        batch.put(Table::Key, "a", "2");
        batch.set_applied(stale);
        match store.write(&batch) {
            Err(BackendError::AppliedBackwards { store, batch }) => {
                assert_eq!((store, batch), (at(7, 3), stale));
            }
            other => panic!("a batch at {stale:?} after index 7, term 3 gave {other:?}"),
        }
        assert_eq!(get(store, Table::Key, "a").as_deref(), Some("1"));
        assert_eq!(store.applied(), at(7, 3));
    }
    // The refusals left the store sound, and an equal mark is fine.
    batch.put(Table::Key, "a", "3");
    store.write(&batch).expect("a write with an equal mark");
    assert_eq!(get(store, Table::Key, "a").as_deref(), Some("3"));
    store.flush().expect("a flush");
    fixture.crash();
    let mut batch = Batch::new();
    batch.set_applied(at(1, 1));
    let outcome = fixture.store().write(&batch);
    let refused = matches!(outcome, Err(BackendError::AppliedBackwards { .. }));
    assert!(refused, "the reopened store forgot its mark");
}

fn an_empty_batch_does_nothing(fixture: &mut dyn Fixture) {
    let store = fixture.store();
    write(store, 1, |batch| batch.put(Table::Key, "a", "1"));
    store.write(&Batch::new()).expect("an empty batch");
    assert_eq!(store.applied(), at(1, 1));
    assert_eq!(get(store, Table::Key, "a").as_deref(), Some("1"));
}

fn flushed_batches_survive(fixture: &mut dyn Fixture) {
    for round in 1..=5_u64 {
        let store = fixture.store();
        write(store, round, |batch| {
            for table in Table::ALL {
                batch.put(table, format!("k{round}"), format!("v{round}"));
            }
        });
        assert_eq!(store.flush().expect("a flush"), at(round, 1));
        fixture.crash();
        let store = fixture.store();
        assert_eq!(store.applied(), at(round, 1));
        for table in Table::ALL {
            for earlier in 1..=round {
                let value = get(store, table, &format!("k{earlier}"));
                assert_eq!(value, Some(format!("v{earlier}")), "table {table:?}");
            }
        }
    }
}

fn a_crash_takes_whole_batches_from_the_newest_back(fixture: &mut dyn Fixture) {
    let mut index = 0;
    for _ in 0..4 {
        let store = fixture.store();
        let flushed = store.flush().expect("a flush").index.0;
        for _ in 0..6 {
            index += 1;
            write(store, index, |batch| {
                batch.put(Table::Key, "newest", index.to_string());
                batch.put(Table::Key, format!("k{index}"), "x");
                batch.put(Table::Lease, format!("l{index}"), "x");
                batch.delete(Table::Lease, format!("l{}", index - 1));
            });
        }
        fixture.crash();
        let store = fixture.store();
        let kept = store.applied().index.0;
        assert!((flushed..=index).contains(&kept), "kept {kept}, flushed {flushed}");
        assert_eq!(store.durable(), store.applied(), "what was reopened is durable");
        for written in 1..=index {
            let key = get(store, Table::Key, &format!("k{written}")).is_some();
            assert_eq!(key, written <= kept, "batch {written} when the mark is {kept}");
            let lease = get(store, Table::Lease, &format!("l{written}")).is_some();
            assert_eq!(lease, written == kept, "batch {written} when the mark is {kept}");
        }
        let newest = get(store, Table::Key, "newest");
        assert_eq!(newest, (kept > 0).then(|| kept.to_string()));
        index = kept;
    }
}

fn a_failed_flush_poisons(fixture: &mut dyn Fixture) {
    write(fixture.store(), 1, |batch| batch.put(Table::Key, "a", "1"));
    fixture.store().flush().expect("a flush");
    write(fixture.store(), 2, |batch| batch.put(Table::Key, "a", "2"));
    if !fixture.break_disk() {
        return;
    }
    let store = fixture.store();
    let error = store.flush().expect_err("a flush on a broken disk");
    assert!(!matches!(error, BackendError::Poisoned), "the first failure must say what failed");
    let mut batch = Batch::new();
    batch.put(Table::Key, "a", "3");
    batch.set_applied(at(3, 1));
    for _ in 0..2 {
        let outcome = store.write(&batch);
        assert!(matches!(outcome, Err(BackendError::Poisoned)), "a poisoned store: {outcome:?}");
        let outcome = store.flush();
        assert!(matches!(outcome, Err(BackendError::Poisoned)), "a poisoned store: {outcome:?}");
    }
    assert_eq!(store.durable(), at(1, 1));
    fixture.crash();
    let store = fixture.store();
    let kept = store.applied().index.0;
    assert!((1..=2).contains(&kept), "kept {kept}");
    assert_eq!(get(store, Table::Key, "a"), Some(kept.to_string()));
    write(store, 3, |batch| batch.put(Table::Key, "a", "3"));
    assert_eq!(store.flush().expect("a flush of the reopened store"), at(3, 1));
}

fn a_checkpoint_is_a_store_of_its_own(fixture: &mut dyn Fixture) {
    let dir = fixture.scratch().join("copy");
    let store = fixture.store();
    write(store, 1, |batch| {
        for table in Table::ALL {
            batch.put(table, "k", table.name());
        }
        batch.put(Table::Key, "gone", "x");
    });
    store.flush().expect("a flush");
    // Not flushed: the copy holds it all the same.
    write(store, 2, |batch| {
        batch.put(Table::Key, "late", "y");
        batch.delete(Table::Key, "gone");
    });
    assert_eq!(store.checkpoint(&dir).expect("a checkpoint"), at(2, 1));
    write(store, 3, |batch| batch.put(Table::Key, "k", "changed"));
    fixture.crash();
    let copy = fixture.open_checkpoint(&dir);
    assert_eq!(copy.applied(), at(2, 1));
    assert_eq!(copy.durable(), at(2, 1));
    for table in Table::ALL {
        assert_eq!(get(&*copy, table, "k").as_deref(), Some(table.name()), "table {table:?}");
    }
    assert_eq!(get(&*copy, Table::Key, "late").as_deref(), Some("y"));
    assert_eq!(get(&*copy, Table::Key, "gone"), None);
    write(&*copy, 9, |batch| batch.put(Table::Key, "k", "of the copy"));
    assert_ne!(get(fixture.store(), Table::Key, "k").as_deref(), Some("of the copy"));
}

fn a_checkpoint_needs_a_new_directory(fixture: &mut dyn Fixture) {
    let dir = fixture.scratch().join("twice");
    let store = fixture.store();
    write(store, 1, |batch| batch.put(Table::Key, "a", "1"));
    store.checkpoint(&dir).expect("a checkpoint");
    write(store, 2, |batch| batch.put(Table::Key, "a", "2"));
    store.checkpoint(&dir).expect_err("a checkpoint where one is already");
    write(store, 3, |batch| batch.put(Table::Key, "a", "3"));
    store.flush().expect("the store goes on");
    assert_eq!(get(&*fixture.open_checkpoint(&dir), Table::Key, "a").as_deref(), Some("1"));
}

fn size_is_sane(fixture: &mut dyn Fixture) {
    let store = fixture.store();
    write(store, 1, |batch| {
        for number in 0..1000_u32 {
            // Values that do not compress, so that the size has a floor.
            let mut state = number.wrapping_mul(2_654_435_761) | 1;
            let value: Vec<u8> = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state.to_le_bytes()[0]
            })
            .take(256)
            .collect();
            batch.put(Table::Key, format!("k{number}"), value);
        }
    });
    for _ in 0..2 {
        let size = store.size();
        assert!(size.in_use_bytes <= size.allocated_bytes, "{size:?}");
        assert!(size.allocated_bytes >= 200_000, "256 kB written, but {size:?}");
        store.flush().expect("a flush");
    }
}

fn readers_see_whole_batches(fixture: &mut dyn Fixture) {
    let store = fixture.store();
    write(store, 1, |batch| {
        batch.put(Table::Key, "a", "0");
        batch.put(Table::Lease, "b", "0");
    });
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut newest = 0;
                loop {
                    let last_round = done.load(Ordering::Acquire);
                    let view = store.view().expect("a view");
                    let a = get(&*view, Table::Key, "a");
                    let b = get(&*view, Table::Lease, "b");
                    assert_eq!(a, b, "half a batch is visible");
                    let seen = applied_of(&*view).expect("a mark").index.0;
                    assert!(seen >= newest, "a later view is older");
                    assert!(store.durable() <= store.applied());
                    newest = seen;
                    if last_round {
                        break;
                    }
                }
                assert_eq!(newest, 300);
            });
        }
        for index in 2..=300 {
            write(store, index, |batch| {
                batch.put(Table::Key, "a", index.to_string());
                batch.put(Table::Lease, "b", index.to_string());
            });
            if index % 100 == 0 {
                store.flush().expect("a flush");
            }
        }
        done.store(true, Ordering::Release);
    });
}
