//! The naive twin of a store: all records in one list, read from the start for every answer.

use crate::rig::LEASES;
use bytes::Bytes;
use drystone_mvcc::{
    Changes, Compare, CompareResult, CompareTarget, DeleteOutcome, DeleteRange, HashKv, KeyValue,
    LeaseChange, Leases, Op, OpOutcome, Put, PutOutcome, RangeQuery, RangeResult, SortOrder,
    SortTarget, Txn, TxnOutcome,
};
use drystone_types::{Event, EventKind, KeyRange, LeaseId, Revision, RevisionEvents};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) type Answer<T> = Result<T, &'static str>;

/// One call of the writer.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Put(Put),
    Delete(DeleteRange),
    DeleteKeys(Vec<Bytes>),
    Txn(Txn),
    Compact(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Put(PutOutcome),
    Delete(DeleteOutcome),
    Txn(TxnOutcome),
    Compact,
}

#[derive(Clone, Debug)]
struct Record {
    at: Revision,
    key: Bytes,
    /// Nothing for a tombstone.
    pair: Option<KeyValue>,
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    records: Vec<Record>,
    pub(crate) revision: i64,
    pub(crate) compacted: i64,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self { records: Vec::new(), revision: 1, compacted: -1 }
    }

    pub(crate) fn apply(&mut self, call: &Call) -> Answer<Outcome> {
        if let Call::Compact(revision) = call {
            if *revision <= self.compacted {
                return Err("compacted");
            }
            if *revision > self.revision {
                return Err("future");
            }
            self.compacted = *revision;
            return Ok(Outcome::Compact);
        }
        let mut run = Run { model: self.clone(), lease_changes: Vec::new(), sub: 0 };
        let outcome = run.call(call)?;
        run.model.revision += i64::from(run.sub > 0);
        *self = run.model;
        Ok(outcome)
    }

    /// The live pairs at `main`.
    fn at(&self, main: i64) -> BTreeMap<Bytes, KeyValue> {
        let mut live = BTreeMap::new();
        for record in self.records.iter().filter(|record| record.at.main <= main) {
            match &record.pair {
                Some(pair) => live.insert(record.key.clone(), pair.clone()),
                None => live.remove(&record.key),
            };
        }
        live
    }

    pub(crate) fn range(&self, query: &RangeQuery) -> Answer<RangeResult> {
        let RangeQuery { revision, limit, .. } = *query;
        if revision > self.revision {
            return Err("future");
        }
        let at = if revision <= 0 { self.revision } else { revision };
        if at < self.compacted {
            return Err("compacted");
        }
        let mut pairs: Vec<_> = self.at(at).into_values().collect();
        pairs.retain(|pair| !pair.key.is_empty() && query.range.contains(&pair.key));
        let mut result = RangeResult { revision: self.revision, ..RangeResult::default() };
        result.count = i64::try_from(pairs.len()).unwrap();
        if query.count_only {
            return Ok(result);
        }
        let limit = usize::try_from(limit.max(0)).unwrap();
        let bounds = [
            query.min_mod_revision,
            query.max_mod_revision,
            query.min_create_revision,
            query.max_create_revision,
        ];
        if limit > 0 && query.sort_order == SortOrder::None && bounds == [0; 4] {
            pairs.truncate(limit + 1);
        }
        let [min_mod, max_mod, min_create, max_create] = bounds;
        pairs.retain(|pair| min_mod == 0 || pair.mod_revision >= min_mod);
        pairs.retain(|pair| max_mod == 0 || pair.mod_revision <= max_mod);
        pairs.retain(|pair| min_create == 0 || pair.create_revision >= min_create);
        pairs.retain(|pair| max_create == 0 || pair.create_revision <= max_create);
        pairs.sort_by(|left, right| {
            let order = match query.sort_target {
                SortTarget::Version => left.version.cmp(&right.version),
                SortTarget::Create => left.create_revision.cmp(&right.create_revision),
                SortTarget::Mod => left.mod_revision.cmp(&right.mod_revision),
                SortTarget::Value => left.value.cmp(&right.value),
                _ => left.key.cmp(&right.key),
            };
            if query.sort_order == SortOrder::Descend { order.reverse() } else { order }
        });
        if limit > 0 && pairs.len() > limit {
            pairs.truncate(limit);
            result.more = true;
        }
        result.kvs = pairs
            .into_iter()
            .map(|mut pair| {
                if query.keys_only {
                    pair.value = Bytes::new();
                    if query.sort_target != SortTarget::Value {
                        pair.lease = 0;
                    }
                }
                pair.encode()
            })
            .collect();
        Ok(result)
    }

    pub(crate) fn txn_read_only(&self, txn: &Txn) -> Answer<TxnOutcome> {
        let mut run = Run { model: self.clone(), lease_changes: Vec::new(), sub: 0 };
        run.txn(txn)
    }

    /// The newest record of `key` up to `main`, with its place.
    fn newest(&self, key: &[u8], main: i64) -> Option<&Record> {
        self.records.iter().rev().find(|record| record.key == key && record.at.main <= main)
    }

    fn is_newest(&self, record: &Record, main: i64) -> bool {
        self.newest(&record.key, main).is_some_and(|newest| newest.at == record.at)
    }

    /// True when a complete compaction at `compacted` leaves `record`.
    fn stays(&self, record: &Record, compacted: i64) -> bool {
        record.at.main > compacted
            || match record.pair {
                Some(_) => self.is_newest(record, compacted),
                None => record.at.main == compacted,
            }
    }

    /// The records that a complete compaction at `compacted` leaves, stored form.
    pub(crate) fn stored(&self, compacted: i64) -> Vec<(Vec<u8>, Bytes)> {
        let left = self.records.iter().filter(|record| self.stays(record, compacted));
        left.map(Record::stored).collect()
    }

    pub(crate) fn changes(&self, from: i64, to: i64, max: usize, bytes: usize) -> Answer<Changes> {
        if from < self.compacted {
            return Err("compacted");
        }
        let to = to.min(self.revision);
        let mut changes = Changes { revisions: Vec::new(), next: from.max(1).max(to + 1) };
        let mut sum = 0;
        for main in from.max(2)..=to {
            if changes.revisions.len() >= max.max(1)
                || (!changes.revisions.is_empty() && sum >= bytes)
            {
                changes.next = main;
                break;
            }
            let events: Vec<_> = self
                .records
                .iter()
                .filter(|record| record.at.main == main && self.stays(record, self.compacted))
                .inspect(|record| sum += record.stored().1.len())
                .map(|record| self.event(record))
                .collect();
            changes.revisions.push(RevisionEvents { revision: main, events });
        }
        Ok(changes)
    }

    fn event(&self, record: &Record) -> Event {
        let main = record.at.main;
        let before = self.newest(&record.key, main - 1).filter(|before| before.pair.is_some());
        let born = record.pair.as_ref().is_some_and(|pair| pair.create_revision == main);
        let deleted =
            KeyValue { key: record.key.clone(), mod_revision: main, ..KeyValue::default() };
        let kind = if record.pair.is_some() { EventKind::Put } else { EventKind::Delete };
        Event {
            kind,
            key: record.key.clone(),
            revision: record.at,
            kv: record.pair.as_ref().unwrap_or(&deleted).encode(),
            prev: before.filter(|_| !born && main > self.compacted).map(|before| before.at),
        }
    }

    pub(crate) fn hash(&self, revision: i64) -> Answer<HashKv> {
        let at = if revision == 0 { self.revision } else { revision };
        if at > self.revision {
            return Err("future");
        }
        if at < self.compacted {
            return Err("compacted");
        }
        let nothing_live = self.at(at).is_empty();
        let mut crc = crc32c(!0, b"key");
        for record in self.records.iter().filter(|record| record.at.main <= at) {
            let newest_at = if nothing_live { self.compacted } else { at };
            let counts = record.at.main > self.compacted
                || (record.pair.is_some() && self.is_newest(record, newest_at));
            if counts {
                let (key, value) = record.stored();
                crc = crc32c(crc32c(crc, &key), &value);
            }
        }
        Ok(HashKv { hash: !crc, compact_revision: self.compacted, revision: at })
    }

    pub(crate) fn leased(&self) -> Vec<(LeaseId, Vec<u8>)> {
        let live = self.at(self.revision).into_values().filter(|pair| pair.lease != 0);
        live.map(|pair| (LeaseId(pair.lease), pair.key.to_vec())).collect()
    }
}

impl Record {
    fn stored(&self) -> (Vec<u8>, Bytes) {
        let tombstone = KeyValue { key: self.key.clone(), ..KeyValue::default() };
        let value = self.pair.as_ref().unwrap_or(&tombstone).encode();
        (self.at.to_key(self.pair.is_none()), value)
    }
}

/// CRC-32C bit by bit, without the inversions at both ends.
fn crc32c(mut crc: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    crc
}

/// One call in progress, on a copy that is thrown away if it fails.
struct Run {
    model: Model,
    lease_changes: Vec<LeaseChange>,
    sub: i64,
}

impl Run {
    fn call(&mut self, call: &Call) -> Answer<Outcome> {
        Ok(match call {
            Call::Put(put) => {
                if put.lease.0 != 0 && !LEASES.exists(put.lease) {
                    return Err("lease not found");
                }
                let present = self.model.at(self.model.revision).contains_key(&put.key);
                if (put.ignore_value || put.ignore_lease) && !present {
                    return Err("key not found");
                }
                let prev = self.put(put);
                let (revision, lease_changes) = (self.revision(), self.lease_changes.clone());
                Outcome::Put(PutOutcome { revision, prev, lease_changes })
            }
            Call::Delete(delete) => {
                let (deleted, prevs) = self.delete(delete);
                let (revision, lease_changes) = (self.revision(), self.lease_changes.clone());
                Outcome::Delete(DeleteOutcome { revision, deleted, prevs, lease_changes })
            }
            Call::DeleteKeys(keys) => {
                let keys: BTreeSet<_> = keys.iter().cloned().collect();
                let mut deleted = 0;
                for key in keys {
                    let delete = DeleteRange { range: KeyRange::key(key), prev_kv: false };
                    deleted += self.delete(&delete).0;
                }
                let (revision, lease_changes) = (self.revision(), self.lease_changes.clone());
                let prevs = Vec::new();
                Outcome::Delete(DeleteOutcome { revision, deleted, prevs, lease_changes })
            }
            Call::Txn(txn) => Outcome::Txn(self.txn(txn)?),
            Call::Compact(_) => unreachable!("not a change of keys"),
        })
    }

    /// The revision as of now.
    fn revision(&self) -> i64 {
        self.model.revision + i64::from(self.sub > 0)
    }

    fn record(&mut self, key: Bytes, pair: Option<KeyValue>) {
        let at = Revision { main: self.model.revision + 1, sub: self.sub };
        self.model.records.push(Record { at, key, pair });
        self.sub += 1;
    }

    fn live(&self) -> BTreeMap<Bytes, KeyValue> {
        self.model.at(self.model.revision + 1)
    }

    fn lease_change(&mut self, key: &Bytes, before: i64, after: i64) {
        if before != after {
            let (before, after) = (LeaseId(before), LeaseId(after));
            self.lease_changes.push(LeaseChange { key: key.clone(), before, after });
        }
    }

    fn put(&mut self, put: &Put) -> Option<Bytes> {
        let main = self.model.revision + 1;
        let old = self.live().remove(&put.key);
        let mut pair = old.clone().unwrap_or(KeyValue {
            key: put.key.clone(),
            create_revision: main,
            ..KeyValue::default()
        });
        pair.mod_revision = main;
        pair.version += 1;
        if !put.ignore_value {
            pair.value = put.value.clone();
        }
        if !put.ignore_lease {
            pair.lease = put.lease.0;
        }
        self.lease_change(&put.key, old.as_ref().map_or(0, |old| old.lease), pair.lease);
        self.record(put.key.clone(), Some(pair));
        old.filter(|_| put.prev_kv).map(|old| old.encode())
    }

    fn delete(&mut self, delete: &DeleteRange) -> (i64, Vec<Bytes>) {
        let mut pairs: Vec<_> = self.live().into_values().collect();
        pairs.retain(|pair| delete.range.contains(&pair.key));
        for pair in &pairs {
            self.lease_change(&pair.key, pair.lease, 0);
            self.record(pair.key.clone(), None);
        }
        let deleted = i64::try_from(pairs.len()).unwrap();
        let prevs = pairs.iter().filter(|_| delete.prev_kv).map(KeyValue::encode).collect();
        (deleted, prevs)
    }

    fn txn(&mut self, txn: &Txn) -> Answer<TxnOutcome> {
        let before = self.model.clone();
        let (succeeded, responses) = self.branch(txn, &before)?;
        let (revision, lease_changes) = (self.revision(), self.lease_changes.clone());
        Ok(TxnOutcome { revision, succeeded, responses, lease_changes })
    }

    fn branch(&mut self, txn: &Txn, before: &Model) -> Answer<(bool, Vec<OpOutcome>)> {
        let succeeded = txn.compare.iter().all(|compare| holds(compare, before));
        let ops = if succeeded { &txn.success } else { &txn.failure };
        let mut responses = Vec::new();
        for op in ops {
            responses.push(match op {
                Op::Range(query) => {
                    if query.revision < 0 {
                        return Err("compacted");
                    }
                    if query.revision > before.revision {
                        return Err("future");
                    }
                    let revision = self.revision();
                    let model = Model { revision, ..self.model.clone() };
                    OpOutcome::Range(model.range(query)?)
                }
                Op::Put(put) => {
                    let exists = before.at(before.revision).contains_key(&put.key)
                        && self.live().contains_key(&put.key);
                    if (put.ignore_value || put.ignore_lease) && !exists {
                        return Err("key not found");
                    }
                    if put.lease.0 != 0 && !LEASES.exists(put.lease) {
                        return Err("lease not found");
                    }
                    let prev = self.put(put);
                    OpOutcome::Put { revision: self.revision(), prev }
                }
                Op::DeleteRange(delete) => {
                    let (deleted, prevs) = self.delete(delete);
                    OpOutcome::DeleteRange { revision: self.revision(), deleted, prevs }
                }
                Op::Txn(nested) => {
                    let (succeeded, responses) = self.branch(nested, before)?;
                    OpOutcome::Txn { succeeded, responses }
                }
                Op::Empty => return Err("key not found"),
            });
        }
        Ok((succeeded, responses))
    }
}

fn holds(compare: &Compare, before: &Model) -> bool {
    let mut pairs: Vec<_> = before.at(before.revision).into_values().collect();
    pairs.retain(|pair| compare.range.contains(&pair.key));
    if pairs.is_empty() {
        if matches!(compare.target, CompareTarget::Value(_)) {
            return false;
        }
        pairs.push(KeyValue::default());
    }
    pairs.iter().all(|pair| {
        let order = match &compare.target {
            CompareTarget::Version(number) => pair.version.cmp(number),
            CompareTarget::Create(number) => pair.create_revision.cmp(number),
            CompareTarget::Mod(number) => pair.mod_revision.cmp(number),
            CompareTarget::Lease(lease) => pair.lease.cmp(&lease.0),
            CompareTarget::Value(value) => pair.value.cmp(value),
            CompareTarget::Unknown => Ordering::Equal,
        };
        match compare.result {
            CompareResult::Equal => order == Ordering::Equal,
            CompareResult::NotEqual => order != Ordering::Equal,
            CompareResult::Greater => order == Ordering::Greater,
            CompareResult::Less => order == Ordering::Less,
            CompareResult::Unknown => true,
        }
    })
}
