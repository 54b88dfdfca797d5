//! Random calls, crashes, sweeps and readers, held against the naive twin.

use crate::model::{Answer, Call, Model, Outcome};
use crate::rig::{LEASES, kind};
use bytes::Bytes;
use drystone_backend::{Backend, Batch, MemBackend, Read, Table};
use drystone_mvcc::{
    Compare, CompareResult, CompareTarget, Config, DeleteRange, Op, OpError, Put, RangeQuery,
    Snapshot, SortOrder, SortTarget, Store, Txn,
};
use drystone_types::{Applied, KeyRange, LeaseId, LogIndex, Term};
use proptest::prelude::*;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Step {
    Call(Call),
    /// Compact this far behind the present.
    Compact(i64),
    /// Write and publish what was called.
    Publish,
    Sweep(usize),
    Flush,
    /// Cut the power; this many unflushed batches survive.
    Crash(usize),
    /// Take a snapshot and keep it.
    Hold,
    /// Check what was kept and let go.
    Release,
    Range(RangeQuery),
    /// Walk through a range in pages of so many pairs and bytes.
    Pages(RangeQuery, usize, usize),
    Read(Txn),
    Changes(i64, i64, usize, usize),
    Hash(i64),
}

fn key() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        8 => "[a-e]".prop_map(Bytes::from),
        3 => "[a-c][a-c]".prop_map(Bytes::from),
    ]
}

fn range() -> impl Strategy<Value = KeyRange> {
    let end = prop_oneof![
        4 => Just(Bytes::new()),
        2 => Just(Bytes::from_static(b"\0")),
        4 => key(),
    ];
    prop_oneof![
        9 => (key(), end).prop_map(|(key, end)| KeyRange::from_fields(key, end)),
        1 => Just(KeyRange::all()),
    ]
}

fn value() -> impl Strategy<Value = Bytes> {
    prop_oneof![6 => "[0-9]{0,2}".prop_map(Bytes::from), 1 => "[x-z]{200}".prop_map(Bytes::from)]
}

fn put() -> impl Strategy<Value = Put> {
    let lease = prop_oneof![6 => Just(0), 3 => 1..4i64, 1 => Just(9)];
    let flags = (any::<bool>(), prop::bool::weighted(0.15), prop::bool::weighted(0.15));
    (key(), value(), lease, flags).prop_map(|(key, value, lease, flags)| {
        let (prev_kv, ignore_value, ignore_lease) = flags;
        Put { key, value, lease: LeaseId(lease), prev_kv, ignore_value, ignore_lease }
    })
}

fn delete() -> impl Strategy<Value = DeleteRange> {
    (range(), any::<bool>()).prop_map(|(range, prev_kv)| DeleteRange { range, prev_kv })
}

fn query() -> impl Strategy<Value = RangeQuery> {
    let order = prop_oneof![3 => Just(SortOrder::None), 1 => Just(SortOrder::Ascend),
        1 => Just(SortOrder::Descend)];
    let target = prop_oneof![4 => Just(0), 1 => 1..5i32].prop_map(SortTarget::from);
    let revision = prop_oneof![3 => Just(0), 1 => Just(-1), 6 => 1..50i64];
    let bound = || prop_oneof![9 => Just(0), 1 => 1..50i64];
    let flags = (prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    let bounds = (bound(), bound(), bound(), bound());
    (range(), revision, -1..4i64, order, target, flags, bounds).prop_map(
        |(range, revision, limit, sort_order, sort_target, flags, bounds)| RangeQuery {
            revision,
            limit,
            sort_order,
            sort_target,
            keys_only: flags.0,
            count_only: flags.1,
            min_mod_revision: bounds.0,
            max_mod_revision: bounds.1,
            min_create_revision: bounds.2,
            max_create_revision: bounds.3,
            ..RangeQuery::new(range)
        },
    )
}

fn compare() -> impl Strategy<Value = Compare> {
    let target = prop_oneof![
        (0..4i64).prop_map(CompareTarget::Version),
        (0..40i64).prop_map(CompareTarget::Create),
        (0..40i64).prop_map(CompareTarget::Mod),
        value().prop_map(CompareTarget::Value),
        (0..4i64).prop_map(|lease| CompareTarget::Lease(LeaseId(lease))),
        Just(CompareTarget::Unknown),
    ];
    (range(), 0..5i32, target).prop_map(|(range, result, target)| Compare {
        range,
        result: CompareResult::from(result),
        target,
    })
}

/// Transactions with operations that a server would refuse too: the store must stand them.
fn txn(writes: bool) -> impl Strategy<Value = Txn> {
    let read = query().prop_map(Op::Range);
    let op = if writes {
        prop_oneof![
            4 => put().prop_map(Op::Put),
            2 => delete().prop_map(Op::DeleteRange),
            2 => read,
        ]
        .boxed()
    } else {
        read.boxed()
    };
    let list = |op: BoxedStrategy<Op>| prop::collection::vec(op, 0..4);
    let wrap = move |op: BoxedStrategy<Op>| {
        (prop::collection::vec(compare(), 0..2), list(op.clone()), list(op))
            .prop_map(|(compare, success, failure)| Txn { compare, success, failure })
    };
    let nested = op.clone().prop_recursive(
        2,
        12,
        3,
        move |inner| prop_oneof![3 => inner.clone(), 1 => wrap(inner.boxed()).prop_map(Op::Txn)],
    );
    wrap(nested.boxed())
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        8 => put().prop_map(Call::Put),
        3 => delete().prop_map(Call::Delete),
        1 => prop::collection::vec(key(), 0..4).prop_map(Call::DeleteKeys),
        6 => txn(true).prop_map(Call::Txn),
        2 => (0..40i64).prop_map(Call::Compact),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => call().prop_map(Step::Call),
        2 => (0..3i64).prop_map(Step::Compact),
        10 => Just(Step::Publish),
        8 => (1..6usize).prop_map(Step::Sweep),
        2 => Just(Step::Flush),
        2 => (0..6usize).prop_map(Step::Crash),
        3 => Just(Step::Hold),
        2 => Just(Step::Release),
        8 => query().prop_map(Step::Range),
        4 => (query(), 0..5usize, 0..300usize)
            .prop_map(|(query, pairs, bytes)| Step::Pages(query, pairs, bytes)),
        2 => txn(false).prop_map(Step::Read),
        3 => (0..40i64, 0..50i64, 0..6usize, 0..200usize)
            .prop_map(|(from, to, revisions, bytes)| Step::Changes(from, to, revisions, bytes)),
        3 => (0..45i64).prop_map(Step::Hash),
    ]
}

/// The store and its twin.
struct Pair {
    config: Config,
    backend: MemBackend,
    store: Store,
    /// With every call so far.
    working: Model,
    /// With every published call.
    model: Model,
    batch: Batch,
    /// Every call so far with its answer, the log of a member.
    log: Vec<(Call, Answer<Outcome>)>,
    published: usize,
    held: Vec<(Snapshot, Model)>,
}

fn call_store(store: &mut Store, batch: &mut Batch, call: &Call) -> Answer<Outcome> {
    let before = batch.changes().len();
    let answer = match call {
        Call::Put(put) => store.put(batch, put, &LEASES).map(Outcome::Put),
        Call::Delete(delete) => store.delete_range(batch, delete).map(Outcome::Delete),
        Call::DeleteKeys(keys) => Ok(Outcome::Delete(store.delete_keys(batch, keys))),
        Call::Txn(txn) => store.txn(batch, txn, &LEASES).map(Outcome::Txn),
        Call::Compact(revision) => store.compact(batch, *revision).map(|()| Outcome::Compact),
    };
    if answer.is_err() {
        assert_eq!(batch.changes().len(), before, "a refused call has changed something");
    }
    plain(answer)
}

fn plain<T>(answer: Result<T, OpError>) -> Answer<T> {
    answer.map_err(|error| kind(&error))
}

impl Pair {
    fn new(config: Config) -> Self {
        let backend = MemBackend::new();
        let store = Store::open(Arc::new(backend.clone()), config).unwrap();
        let model = Model::new();
        Self {
            config,
            backend,
            store,
            working: model.clone(),
            model,
            batch: Batch::new(),
            log: Vec::new(),
            published: 0,
            held: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Call(call) => self.call(call.clone()),
            Step::Compact(behind) => self.call(Call::Compact(self.working.revision - behind)),
            Step::Publish => self.publish(),
            Step::Sweep(budget) => self.sweep(*budget),
            Step::Flush => drop(self.backend.flush().unwrap()),
            Step::Crash(keep) => self.crash(*keep),
            Step::Hold => self.held.push((self.snapshot(), self.model.clone())),
            Step::Release => self.release(),
            Step::Range(query) => {
                let answer = plain(self.snapshot().range(query));
                assert_eq!(answer, self.model.range(query), "{query:?}");
            }
            Step::Pages(query, pairs, bytes) => self.pages(query, *pairs, *bytes),
            Step::Read(txn) => {
                let answer = plain(self.snapshot().txn_read_only(txn));
                assert_eq!(answer, self.model.txn_read_only(txn), "{txn:?}");
            }
            Step::Changes(from, to, revisions, bytes) => {
                let answer = plain(self.snapshot().changes(*from, *to, *revisions, *bytes));
                assert_eq!(answer, self.model.changes(*from, *to, *revisions, *bytes));
            }
            Step::Hash(revision) => {
                let snapshot = self.snapshot();
                let ring = self.store.reader().compaction_hashes();
                if *revision == 0 || ring.iter().all(|hash| hash.revision != *revision) {
                    assert_eq!(plain(snapshot.hash_kv(*revision)), self.model.hash(*revision));
                }
            }
        }
    }

    /// Pages give what one read in key order gives, and none is larger than it may be.
    fn pages(&self, query: &RangeQuery, pairs_max: usize, bytes_max: usize) {
        let snapshot = self.snapshot();
        let mut query = RangeQuery {
            keys_only: query.keys_only,
            revision: query.revision,
            ..RangeQuery::new(query.range.clone())
        };
        let whole = self.model.range(&query);
        let start = query.range.start.clone();
        let mut kvs = Vec::new();
        let answer = loop {
            let page = match plain(snapshot.page(&query, pairs_max, bytes_max)) {
                Ok(page) => page,
                Err(refused) => break Err(refused),
            };
            assert!(page.kvs.len() <= pairs_max.max(1));
            let but_last = page.kvs.len().saturating_sub(1);
            let bytes: usize = page.kvs[..but_last].iter().map(Bytes::len).sum();
            assert!(but_last == 0 || bytes < bytes_max);
            assert!(page.next.is_none() || !page.kvs.is_empty());
            kvs.extend(page.kvs);
            match page.next {
                Some(next) => query.range.start = next,
                None => break Ok(kvs),
            }
        };
        assert_eq!(answer, whole.map(|whole| whole.kvs), "{query:?}");
        let answer = answer.map(|kvs| kvs.iter().map(|kv| kv.len() + 1).sum::<usize>());
        query.range.start = start;
        let measured = plain(snapshot.measure(&query, usize::MAX, |length| length + 1));
        if !query.keys_only {
            assert_eq!(measured, answer, "{query:?}");
        }
    }

    fn call(&mut self, call: Call) {
        let answer = call_store(&mut self.store, &mut self.batch, &call);
        assert_eq!(answer, self.working.apply(&call), "{call:?}");
        assert_eq!(self.store.revision(), self.working.revision);
        assert_eq!(self.store.compacted(), self.working.compacted);
        self.log.push((call, answer));
    }

    fn snapshot(&self) -> Snapshot {
        self.store.reader().snapshot()
    }

    fn publish(&mut self) {
        self.write();
        assert_eq!(self.store.live_bytes(), self.stored_bytes());
        let events = self.store.publish();
        // What the store compacted in this very batch is still known to who publishes it.
        let mut seen = self.working.clone();
        seen.compacted = -1;
        let from = self.model.revision + 1;
        let expected = seen.changes(from, i64::MAX, usize::MAX, usize::MAX).unwrap();
        assert_eq!(events, expected.revisions);
        self.model = self.working.clone();
        self.published = self.log.len();
        assert_eq!(self.snapshot().revision(), self.model.revision);
        assert_eq!(self.snapshot().compacted(), self.model.compacted);
    }

    /// Writes the batch of everything in the log.
    fn write(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        let index = LogIndex(u64::try_from(self.log.len()).unwrap());
        batch.set_applied(Applied { index, term: Term(1) });
        self.backend.write(&batch).unwrap();
    }

    /// One piece; with calls unpublished it may only touch what nobody reads.
    fn sweep(&mut self, budget: usize) {
        let (counted, stored) = (self.store.live_bytes(), self.stored_bytes());
        if let Some(batch) = self.store.sweep(budget).unwrap() {
            self.backend.write(&batch).unwrap();
            assert_eq!(counted - self.store.live_bytes(), stored - self.stored_bytes());
        }
    }

    fn crash(&mut self, keep: usize) {
        self.release();
        self.backend = self.backend.crash(keep);
        self.reopen();
    }

    /// Opens the store again and applies the log from where its backend ends. Calls that were
    /// not published are in no log.
    fn reopen(&mut self) {
        self.store = Store::open(Arc::new(self.backend.clone()), self.config).unwrap();
        self.batch = Batch::new();
        self.log.truncate(self.published);
        self.working = self.model.clone();
        let applied = usize::try_from(self.backend.applied().index.0).unwrap();
        for (call, answer) in &self.log[applied..] {
            let again = call_store(&mut self.store, &mut self.batch, call);
            assert_eq!(again, *answer, "replayed: {call:?}");
        }
        self.write();
        self.store.publish();
        assert_eq!(self.store.live_bytes(), self.stored_bytes());
        check(&self.snapshot(), &self.model);
    }

    fn release(&mut self) {
        for (snapshot, model) in self.held.drain(..) {
            check(&snapshot, &model);
        }
    }

    /// Lets everything come to an end and looks at what is left.
    fn end(mut self) {
        self.publish();
        check(&self.snapshot(), &self.model);
        let mut leased = Vec::new();
        self.store.for_each_leased(&mut |lease, key| leased.push((lease, key.to_vec())));
        assert_eq!(leased, self.model.leased());
        self.release();
        while self.store.is_sweeping() {
            self.sweep(3);
        }
        assert_eq!(self.stored(), self.model.stored(self.model.compacted));
        check(&self.snapshot(), &self.model);
        self.backend.flush().unwrap();
        self.crash(0);
        assert_eq!(self.stored(), self.model.stored(self.model.compacted));
    }

    fn stored_bytes(&self) -> u64 {
        self.stored().iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }

    fn stored(&self) -> Vec<(Vec<u8>, Bytes)> {
        let mut stored = Vec::new();
        let all = (Bound::Unbounded, Bound::Unbounded);
        let visit = &mut |key: &[u8], value: &[u8]| {
            stored.push((key.to_vec(), Bytes::copy_from_slice(value)));
            ControlFlow::Continue(())
        };
        self.backend.scan(Table::Key, all, visit).unwrap();
        stored
    }
}

/// Holds everything a snapshot can answer against the twin.
fn check(snapshot: &Snapshot, model: &Model) {
    assert_eq!((snapshot.revision(), snapshot.compacted()), (model.revision, model.compacted));
    for revision in 1..=model.revision + 1 {
        let all = RangeQuery { revision, ..RangeQuery::new(KeyRange::all()) };
        assert_eq!(plain(snapshot.range(&all)), model.range(&all));
        let some =
            RangeQuery { revision, limit: 1, ..RangeQuery::new(KeyRange::from_fields("b", "d")) };
        assert_eq!(plain(snapshot.range(&some)), model.range(&some));
    }
    let from = model.compacted.max(1);
    let changes = plain(snapshot.changes(from, i64::MAX, usize::MAX, usize::MAX));
    assert_eq!(changes, model.changes(from, i64::MAX, usize::MAX, usize::MAX));
    assert_eq!(plain(snapshot.hash_kv(0)), model.hash(0));
}

fn config() -> impl Strategy<Value = Config> {
    let bytes = || prop_oneof![Just(0), Just(300), Just(3000), Just(1 << 20)];
    (bytes(), bytes()).prop_map(|(cache, log)| {
        Config::default().with_value_cache_bytes(cache).with_count_log_bytes(log)
    })
}

proptest! {
    #[test]
    fn the_store_answers_as_its_naive_twin(
        config in config(),
        steps in prop::collection::vec(step(), 0..90),
    ) {
        let mut pair = Pair::new(config);
        for step in &steps {
            pair.step(step);
        }
        pair.end();
    }
}
