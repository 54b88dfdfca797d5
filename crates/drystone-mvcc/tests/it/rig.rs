//! A store over memory, with what tests do to it.

use bytes::Bytes;
use drystone_backend::{Backend, Batch, MemBackend, Read, Table};
use drystone_mvcc::{
    Compare, CompareResult, CompareTarget, Config, DeleteOutcome, DeleteRange, KeyValue, Leases,
    Op, OpError, Put, PutOutcome, RangeQuery, RangeResult, Snapshot, Store, Txn, TxnOutcome,
};
use drystone_types::{Applied, KeyRange, LeaseId, LogIndex, RevisionEvents, Term};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

/// Leases up to this id exist.
pub(crate) struct LeasesTo(pub(crate) i64);

impl Leases for LeasesTo {
    fn exists(&self, id: LeaseId) -> bool {
        (1..=self.0).contains(&id.0)
    }
}

pub(crate) const LEASES: LeasesTo = LeasesTo(5);

/// A store that writes and publishes after each call.
pub(crate) struct Rig {
    pub(crate) backend: MemBackend,
    pub(crate) store: Store,
    pub(crate) index: u64,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::over(MemBackend::new())
    }

    pub(crate) fn over(backend: MemBackend) -> Self {
        let config = Config::default().with_value_cache_bytes(2000);
        let store = Store::open(Arc::new(backend.clone()), config).unwrap();
        let index = backend.applied().index.0;
        Self { backend, store, index }
    }

    /// The store as it is after a restart that lost nothing.
    pub(crate) fn restarted(&self) -> Self {
        Self::over(self.backend.fork())
    }

    pub(crate) fn commit(&mut self, mut batch: Batch) -> Vec<RevisionEvents> {
        self.index += 1;
        batch.set_applied(Applied { index: LogIndex(self.index), term: Term(1) });
        self.backend.write(&batch).unwrap();
        self.store.publish()
    }

    fn call<T>(
        &mut self,
        call: impl FnOnce(&mut Store, &mut Batch) -> Result<T, OpError>,
    ) -> Result<T, OpError> {
        let mut batch = Batch::new();
        let answer = call(&mut self.store, &mut batch);
        if answer.is_err() {
            assert!(batch.is_empty(), "a refused call has changed something");
        }
        self.commit(batch);
        answer
    }

    pub(crate) fn put(&mut self, key: &'static str, value: &'static str) -> PutOutcome {
        self.put_with(&Put { prev_kv: true, ..Put::new(key, value) }).unwrap()
    }

    pub(crate) fn put_with(&mut self, put: &Put) -> Result<PutOutcome, OpError> {
        self.call(|store, batch| store.put(batch, put, &LEASES))
    }

    pub(crate) fn delete(&mut self, key: &'static str, end: &'static str) -> DeleteOutcome {
        let delete = delete_range(key, end);
        self.call(|store, batch| store.delete_range(batch, &delete)).unwrap()
    }

    pub(crate) fn delete_keys(&mut self, keys: &[Bytes]) -> DeleteOutcome {
        self.call(|store, batch| Ok(store.delete_keys(batch, keys))).unwrap()
    }

    pub(crate) fn txn(&mut self, txn: &Txn) -> Result<TxnOutcome, OpError> {
        self.call(|store, batch| store.txn(batch, txn, &LEASES))
    }

    pub(crate) fn compact(&mut self, revision: i64) -> Result<(), OpError> {
        self.call(|store, batch| store.compact(batch, revision))
    }

    /// Sweeps to the end.
    pub(crate) fn sweep(&mut self, budget: usize) {
        while let Some(batch) = self.store.sweep(budget).unwrap() {
            self.backend.write(&batch).unwrap();
        }
        assert!(!self.store.is_sweeping());
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.store.reader().snapshot()
    }

    pub(crate) fn range(&self, query: &RangeQuery) -> Result<RangeResult, OpError> {
        self.snapshot().range(query)
    }

    pub(crate) fn get(&self, key: &'static str) -> Option<KeyValue> {
        let found = self.range(&RangeQuery::new(KeyRange::key(key))).unwrap();
        pairs(&found.kvs).pop()
    }

    /// The records of the store, keys in hexadecimal.
    pub(crate) fn records(&self) -> Vec<(String, Bytes)> {
        self.raw_records().into_iter().map(|(key, value)| (hex(&key), value)).collect()
    }

    /// The records of the store.
    pub(crate) fn raw_records(&self) -> Vec<(Vec<u8>, Bytes)> {
        let mut records = Vec::new();
        let all = (Bound::Unbounded, Bound::Unbounded);
        let visit = &mut |key: &[u8], value: &[u8]| {
            records.push((key.to_vec(), Bytes::copy_from_slice(value)));
            ControlFlow::Continue(())
        };
        self.backend.scan(Table::Key, all, visit).unwrap();
        records
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn delete_range(key: &'static str, end: &'static str) -> DeleteRange {
    DeleteRange { range: KeyRange::from_fields(key, end), prev_kv: true }
}

pub(crate) fn pairs(encoded: &[Bytes]) -> Vec<KeyValue> {
    encoded.iter().map(|pair| KeyValue::decode(pair).unwrap()).collect()
}

/// The keys of an answer, joined.
pub(crate) fn keys(found: &RangeResult) -> String {
    let keys =
        pairs(&found.kvs).into_iter().map(|pair| String::from_utf8(pair.key.to_vec()).unwrap());
    keys.collect::<Vec<_>>().join(",")
}

pub(crate) fn put(key: &'static str, value: &'static str) -> Op {
    Op::Put(Put::new(key, value))
}

pub(crate) fn del(key: &'static str, end: &'static str) -> Op {
    Op::DeleteRange(delete_range(key, end))
}

pub(crate) fn get(key: &'static str, revision: i64) -> Op {
    Op::Range(RangeQuery { revision, ..RangeQuery::new(KeyRange::key(key)) })
}

pub(crate) fn then(ops: Vec<Op>) -> Txn {
    Txn { success: ops, ..Txn::default() }
}

pub(crate) fn compare(key: &'static str, result: CompareResult, target: CompareTarget) -> Compare {
    Compare { range: KeyRange::key(key), result, target }
}

/// What an error is, without its numbers.
pub(crate) fn kind(error: &OpError) -> &'static str {
    match error {
        OpError::KeyNotFound => "key not found",
        OpError::LeaseNotFound(_) => "lease not found",
        OpError::Compacted { .. } => "compacted",
        OpError::FutureRevision { .. } => "future",
        _ => "other",
    }
}
