//! One entry of the log on its way into the working state.

use crate::codec::{self, Numbers};
use crate::deltas::Delta;
use crate::digest::{DigestMark, RecordsDigest};
use crate::error::Error;
use crate::index::{Entry, Version};
use crate::outcome::{LeaseChange, RangeResult};
use crate::request::{DeleteRange, Put, RangeQuery};
use crate::store::{Store, deleted, record_bytes};
use crate::view::{View, fields};
use bytes::Bytes;
use drystone_backend::{Batch, Table};
use drystone_probe::planted;
use drystone_types::{Event, EventKind, KeyRange, LeaseId, RangeEnd, Revision, RevisionEvents};

/// Changes that share one main revision.
#[derive(Debug)]
pub(crate) struct Change<'s> {
    store: &'s mut Store,
    out: &'s mut Batch,
    events: Vec<Event>,
    lease_changes: Vec<LeaseChange>,
    records: RecordsDigest,
}

impl<'s> Change<'s> {
    pub(crate) fn new(store: &'s mut Store, out: &'s mut Batch) -> Self {
        let records = RecordsDigest::default();
        Self { store, out, events: Vec::new(), lease_changes: Vec::new(), records }
    }

    /// The store's revision as of now: the one of these changes as soon as there is one.
    pub(crate) fn revision(&self) -> i64 {
        self.store.revision + i64::from(!self.events.is_empty())
    }

    pub(crate) fn view(&self) -> View<'_> {
        self.store.view_at(self.revision())
    }

    pub(crate) fn range(&self, query: &RangeQuery) -> Result<RangeResult, crate::OpError> {
        self.view().range(query)
    }

    /// Ends the changes: the store's revision after them, and the attachments that changed.
    pub(crate) fn finish(self) -> (i64, Vec<LeaseChange>) {
        let Self { store, mut events, lease_changes, records, .. } = self;
        if planted!("mvcc.events_in_key_order") {
            events.sort_by(|left, right| left.key.cmp(&right.key));
        }
        if !events.is_empty() {
            store.revision += 1;
            store.digest = store.digest.wrapping_add(records.at(store.revision));
            let mark = DigestMark { revision: store.revision, sum: store.digest };
            store.staged.marks.push(mark);
            store.staged.events.push(RevisionEvents { revision: store.revision, events });
            store.staged.any = true;
        }
        (store.revision, lease_changes)
    }

    /// The place of the next change.
    fn next(&self) -> Version {
        let sub = u32::try_from(self.events.len()).expect("changes in memory are fewer than 2^32");
        Version { main: self.store.revision + 1, sub, tombstone: false }
    }

    /// Writes a key whose preconditions hold; returns the pair it replaced if that is wanted.
    pub(crate) fn put(&mut self, put: &Put) -> Result<Option<Bytes>, Error> {
        let next = self.next();
        let entry = self.store.tree.get(&put.key);
        let prev_event = entry.and_then(|entry| entry.live_at(before_change(next.main)));
        let before = entry.filter(|entry| entry.is_live());
        let before = before.map(|entry| (entry.newest().revision(), entry.numbers()));
        let old = match before {
            Some((revision, _)) if put.prev_kv || put.ignore_value => {
                Some((revision, self.view().values.get(revision)?))
            }
            _ => None,
        };
        let numbers = before.map(|(_, numbers)| numbers);
        let numbers = match entry {
            Some(entry) if planted!("mvcc.version_survives_delete") => Some(entry.numbers()),
            _ => numbers,
        };
        let numbers = next_numbers(next.main, put, numbers);
        let pair = match &old {
            Some((revision, old)) if put.ignore_value => {
                codec::encode(&put.key, numbers, &old[fields(*revision, old)?.value])
            }
            _ => codec::encode(&put.key, numbers, &put.value),
        };

        self.note_lease(&put.key, before.map_or(0, |(_, numbers)| numbers.lease), numbers.lease);
        self.events.push(Event {
            kind: EventKind::Put,
            key: codec::shared_key(&pair, &put.key),
            revision: next.revision(),
            kv: pair.clone(),
            // A key that was born in this revision had no pair before it, as far as watchers
            // are concerned (etcd's `IsCreateEvent`).
            prev: prev_event
                .filter(|_| numbers.create_revision != next.main)
                .map(Version::revision),
        });
        let stored_key = next.revision().to_key(false);
        self.store.live_bytes += record_bytes(&stored_key, &pair);
        self.records.add(&stored_key, &pair);
        self.out.put(Table::Key, stored_key, pair.clone());
        let staged = &mut self.store.staged;
        match before {
            Some((revision, _)) => staged.replaced.push(revision),
            None => staged.deltas.push(delta(next.main, true, &put.key)),
        }
        let length = pair.len();
        staged.pairs.push((next.revision(), pair));
        self.store.tree.set(&put.key, |before| Entry::put(before, next, numbers, length));
        Ok(old.map(|(_, pair)| pair).filter(|_| put.prev_kv))
    }

    /// Deletes the keys of a range; returns how many, and the pairs if they are wanted.
    pub(crate) fn delete_range(
        &mut self,
        delete: &DeleteRange,
    ) -> Result<(i64, Vec<Bytes>), crate::OpError> {
        let mut keys = self.view().live_keys(&delete.range);
        if let RangeEnd::Before(end) = &delete.range.end
            && planted!("mvcc.delete_takes_the_end")
        {
            keys.extend(self.view().live_keys(&KeyRange::key(end.clone())));
        }
        let prevs = if delete.prev_kv {
            self.view().values.get_many(keys.iter().map(|(_, revision)| *revision), false)?
        } else {
            Vec::new()
        };
        for (key, _) in &keys {
            self.delete(key);
        }
        Ok((i64::try_from(keys.len()).unwrap_or(i64::MAX), prevs))
    }

    /// Deletes one key; false when it does not exist.
    pub(crate) fn delete(&mut self, key: &[u8]) -> bool {
        let next = self.next();
        let Some(entry) = self.store.tree.get(key).filter(|entry| entry.is_live()) else {
            return false;
        };
        let (newest, lease) = (entry.newest().revision(), entry.numbers().lease);
        let prev = entry.live_at(before_change(next.main)).map(Version::revision);
        let (event_pair, record) = deleted(key, next.main);
        if !planted!("mvcc.delete_keeps_lease") {
            self.note_lease(key, lease, 0);
        }
        self.events.push(Event {
            kind: EventKind::Delete,
            key: codec::shared_key(&event_pair, key),
            revision: next.revision(),
            kv: event_pair,
            prev,
        });
        let stored_key = next.revision().to_key(true);
        self.store.live_bytes += record_bytes(&stored_key, &record);
        self.records.add(&stored_key, &record);
        self.out.put(Table::Key, stored_key, record);
        let staged = &mut self.store.staged;
        staged.replaced.push(newest);
        staged.deltas.push(delta(next.main, false, key));
        self.store.tree.set(key, |before| Entry::delete(before, next.main, next.sub));
        true
    }

    fn note_lease(&mut self, key: &[u8], before: i64, after: i64) {
        if before != after {
            // A copy: the lessor keeps it for long, and must not keep a whole request with it.
            let key = Bytes::copy_from_slice(key);
            let (before, after) = (LeaseId(before), LeaseId(after));
            self.lease_changes.push(LeaseChange { key, before, after });
        }
    }
}

fn next_numbers(main: i64, put: &Put, before: Option<Numbers>) -> Numbers {
    let Numbers { create_revision, version, lease, .. } =
        before.unwrap_or(Numbers { create_revision: main, ..Numbers::default() });
    let keeps = put.ignore_lease && !planted!("mvcc.ignore_lease_drops_lease");
    let lease = if keeps { lease } else { put.lease.0 };
    Numbers { create_revision, mod_revision: main, version: version + 1, lease }
}

/// The revision that shows what a change of `main` replaced.
pub(crate) fn before_change(main: i64) -> i64 {
    if planted!("mvcc.prev_kv_too_old") { main - 2 } else { main - 1 }
}

fn delta(main: i64, born: bool, key: &[u8]) -> Delta {
    Delta { main, born, key: key.into() }
}

impl View<'_> {
    /// The live keys of `range` with their newest revisions.
    fn live_keys(&self, range: &KeyRange) -> Vec<(Vec<u8>, Revision)> {
        let mut keys = Vec::new();
        self.each(range, true, &mut |key, entry| {
            keys.push((key.to_vec(), entry.newest().revision()));
            std::ops::ControlFlow::Continue(())
        });
        keys
    }
}
