//! Random histories against a naive twin.

use super::Make;
use crate::{
    APPLIED_INDEX_KEY, APPLIED_TERM_KEY, Backend, Batch, Change, KeyBounds, Read, Table,
    bounds_are_empty,
};
use bytes::Bytes;
use drystone_types::{Applied, LogIndex, Term};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

/// The key that every batch of a random history sets to its own number, so that a state tells
/// which batches it holds. Keys of the random changes are shorter.
pub(super) const NUMBER_KEY: &[u8] = b"number of the batch";

/// A put, or a delete when there is no value.
type RandomChange = (Table, Vec<u8>, Option<Vec<u8>>);

#[derive(Clone, Debug)]
enum Step {
    Write { changes: Vec<RandomChange>, entries: Option<u64> },
    Flush,
    Crash,
    TakeView,
    DropViews,
    Scan(Table, Bound<Vec<u8>>, Bound<Vec<u8>>),
    Checkpoint,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(select(&[0_u8, 1, b'a', 0xff][..]), 1..4)
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        key().prop_map(Bound::Included),
        key().prop_map(Bound::Excluded),
        Just(Bound::Unbounded)
    ]
}

fn step() -> impl Strategy<Value = Step> {
    // Some tables are busy and some idle, so that flushes meet both.
    let table = || {
        prop_oneof![4 => Just(Table::Key), 2 => Just(Table::Lease),
        1 => select(&Table::ALL[..])]
    };
    let value = prop_oneof![2 => vec(any::<u8>(), 0..24).prop_map(Some), 1 => Just(None)];
    let changes = vec((table(), key(), value), 0..8);
    let entries = prop_oneof![4 => (0_u64..4).prop_map(Some), 1 => Just(None)];
    prop_oneof![
        20 => (changes, entries).prop_map(|(changes, entries)| Step::Write { changes, entries }),
        3 => Just(Step::Flush),
        2 => Just(Step::Crash),
        2 => Just(Step::TakeView),
        1 => Just(Step::DropViews),
        6 => (table(), bound(), bound()).prop_map(|(table, from, to)| Step::Scan(table, from, to)),
        1 => Just(Step::Checkpoint),
    ]
}

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Twin {
    tables: [Pairs; Table::ALL.len()],
    pub(super) applied: Applied,
}

impl Twin {
    pub(super) fn apply(&mut self, batch: &Batch) {
        for change in batch.changes() {
            match change {
                Change::Put { table, key, value } => {
                    self.tables[table.position()].insert(key.to_vec(), value.to_vec());
                }
                Change::Delete { table, key } => {
                    self.tables[table.position()].remove(&key[..]);
                }
            }
        }
        if let Some(applied) = batch.applied() {
            let meta = &mut self.tables[Table::Meta.position()];
            let number = |number: u64| number.to_be_bytes().to_vec();
            meta.insert(APPLIED_INDEX_KEY.to_vec(), number(applied.index.0));
            meta.insert(APPLIED_TERM_KEY.to_vec(), number(applied.term.0));
            self.applied = applied;
        }
    }

    /// Fails unless `state` holds exactly what the twin holds.
    pub(super) fn check(&self, state: &dyn Read, what: &str) {
        for table in Table::ALL {
            let all = pairs(state, table, (Bound::Unbounded, Bound::Unbounded));
            let expected: Vec<_> = self.tables[table.position()].clone().into_iter().collect();
            assert_eq!(all, expected, "{what}: table {table:?}");
            let keys: Vec<Bytes> = expected.iter().map(|(key, _)| key.clone().into()).collect();
            let values: Vec<Option<Bytes>> =
                expected.into_iter().map(|(_, value)| Some(value.into())).collect();
            assert_eq!(state.get_many(table, &keys).expect("reads"), values, "{what}: {table:?}");
        }
    }
}

fn pairs(state: &dyn Read, table: Table, bounds: KeyBounds<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    state
        .scan(table, bounds, &mut |key, value| {
            found.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })
        .expect("a scan of a sound store");
    found
}

/// The number of the newest batch in `state`; 0 when it holds none.
pub(super) fn number_of(state: &dyn Read) -> usize {
    let value = state.get(Table::Cluster, NUMBER_KEY).expect("a read of a sound store");
    value.map_or(0, |value| {
        String::from_utf8_lossy(&value).parse().expect("only the history writes this key")
    })
}

pub(super) fn random_histories(make: &Make<'_>, cases: u32) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&vec(step(), 1..60), |steps| {
        History::new(make).run(&steps);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("a random history broke the contract: {failure}");
    }
}

struct History {
    fixture: Box<dyn super::Fixture>,
    /// The twin's state after each batch since the store was made; the first is the empty one.
    states: Vec<Twin>,
    /// How many batches a crash must keep.
    flushed: usize,
    views: Vec<(Arc<dyn Read>, Twin)>,
    checkpoints: usize,
}

impl History {
    fn new(make: &Make<'_>) -> Self {
        let states = vec![Twin::default()];
        Self { fixture: make(), states, flushed: 0, views: Vec::new(), checkpoints: 0 }
    }

    fn run(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Write { changes, entries } => self.write(changes, *entries),
                Step::Flush => self.flush(),
                Step::Crash => self.crash(),
                Step::TakeView => {
                    let view = self.store().view().expect("a view");
                    self.views.push((view, self.newest().clone()));
                }
                Step::DropViews => self.check_views(),
                Step::Scan(table, from, to) => self.scan(*table, from, to),
                Step::Checkpoint => self.checkpoint(),
            }
            assert_eq!(self.store().applied(), self.newest().applied);
            assert!(self.store().durable() <= self.store().applied());
            assert!(self.store().durable() >= self.states[self.flushed].applied);
        }
        self.newest().check(self.store(), "at the end");
        self.crash();
    }

    fn store(&self) -> &dyn Backend {
        self.fixture.store()
    }

    fn newest(&self) -> &Twin {
        self.states.last().expect("the empty state is always there")
    }

    fn write(&mut self, changes: &[RandomChange], entries: Option<u64>) {
        let mut batch = Batch::new();
        for (table, key, value) in changes {
            match value {
                Some(value) => batch.put(*table, key.clone(), value.clone()),
                None => batch.delete(*table, key.clone()),
            }
        }
        batch.put(Table::Cluster, NUMBER_KEY, self.states.len().to_string());
        if let Some(entries) = entries {
            let Applied { index, term } = self.newest().applied;
            batch.set_applied(Applied {
                index: LogIndex(index.0 + entries),
                term: Term(term.0 + entries / 3),
            });
        }
        self.store().write(&batch).expect("a write to a sound store");
        let mut state = self.newest().clone();
        state.apply(&batch);
        self.states.push(state);
    }

    fn flush(&mut self) {
        let durable = self.store().flush().expect("a flush of a sound store");
        assert_eq!(durable, self.newest().applied, "flush covers what was written before it");
        self.flushed = self.states.len() - 1;
    }

    fn crash(&mut self) {
        self.check_views();
        let durable = self.store().durable();
        self.fixture.crash();
        let kept = number_of(self.store());
        let possible = self.flushed..self.states.len();
        assert!(possible.contains(&kept), "a crash kept {kept} batches of {possible:?}");
        self.states.truncate(kept + 1);
        self.flushed = kept;
        self.newest().check(self.store(), "after a crash");
        assert!(self.store().applied() >= durable, "what was called durable is gone");
        assert_eq!(self.store().durable(), self.store().applied(), "after a crash");
    }

    fn check_views(&mut self) {
        for (view, twin) in self.views.drain(..) {
            twin.check(&*view, "a view");
        }
    }

    fn scan(&self, table: Table, from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>) {
        let bounds = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
        let mut expected = Vec::new();
        if !bounds_are_empty(bounds) {
            let range = self.newest().tables[table.position()].range::<[u8], _>(bounds);
            expected.extend(range.map(|(key, value)| (key.clone(), value.clone())));
        }
        assert_eq!(pairs(self.store(), table, bounds), expected, "scan of {table:?}, {bounds:?}");
    }

    fn checkpoint(&mut self) {
        self.checkpoints += 1;
        let dir = self.fixture.scratch().join(format!("checkpoint-{}", self.checkpoints));
        let applied = self.store().checkpoint(&dir).expect("a checkpoint of a sound store");
        assert_eq!(applied, self.newest().applied);
        self.newest().check(&*self.fixture.open_checkpoint(&dir), "a checkpoint");
    }
}
