//! A history in memory.

use crate::{Changes, History, HistoryError};
use bytes::Bytes;
use drystone_types::{Event, EventKind, Revision, RevisionEvents};
use std::collections::BTreeMap;

/// One change for [`MemoryHistory::apply`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Write a key.
    Put {
        /// The key.
        key: Bytes,
        /// Its value.
        value: Bytes,
    },
    /// Delete a key; nothing happens when it does not exist.
    Delete {
        /// The key.
        key: Bytes,
    },
}

#[derive(Clone, Copy, Debug)]
struct Live {
    at: Revision,
    create_revision: i64,
    version: i64,
}

/// A small multi-version store with etcd's rules for revisions and compaction: enough to try a
/// [`Hub`](crate::Hub), in tests, examples and benchmarks. It keeps everything that is not
/// compacted in memory.
#[derive(Clone, Debug)]
pub struct MemoryHistory {
    revision: i64,
    compacted: i64,
    live: BTreeMap<Bytes, Live>,
    /// Every put, by its revision.
    values: BTreeMap<Revision, (Bytes, Bytes)>,
    batches: BTreeMap<i64, RevisionEvents>,
}

impl Default for MemoryHistory {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryHistory {
    /// An empty store, at revision 1.
    #[must_use]
    pub fn new() -> Self {
        Self {
            revision: 1,
            compacted: -1,
            live: BTreeMap::new(),
            values: BTreeMap::new(),
            batches: BTreeMap::new(),
        }
    }

    /// Applies changes in one main revision and returns them as events; `None` when nothing
    /// changed.
    pub fn apply(&mut self, ops: impl IntoIterator<Item = Op>) -> Option<RevisionEvents> {
        let main = self.revision + 1;
        let mut events = Vec::new();
        for (op, sub) in ops.into_iter().zip(0_i64..) {
            let at = Revision { main, sub };
            match op {
                Op::Put { key, value } => events.push(self.put(at, key, &value)),
                Op::Delete { key } => events.extend(self.delete(at, key)),
            }
        }
        if events.is_empty() {
            return None;
        }
        self.revision = main;
        let batch = RevisionEvents { revision: main, events };
        self.batches.insert(main, batch.clone());
        Some(batch)
    }

    /// Applies one put.
    pub fn put_one(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> RevisionEvents {
        let op = Op::Put { key: key.into(), value: value.into() };
        self.apply([op]).expect("a put always changes something")
    }

    fn put(&mut self, at: Revision, key: Bytes, value: &[u8]) -> Event {
        let before = self.live.get(&key).copied();
        let create_revision = before.map_or(at.main, |live| live.create_revision);
        let version = before.map_or(0, |live| live.version) + 1;
        self.live.insert(key.clone(), Live { at, create_revision, version });
        let kv = encode_pair(&key, create_revision, at.main, version, value);
        self.values.insert(at, (key.clone(), kv.clone()));
        let prev = before.map(|live| live.at);
        Event { kind: EventKind::Put, key, revision: at, kv, prev }
    }

    fn delete(&mut self, at: Revision, key: Bytes) -> Option<Event> {
        let before = self.live.remove(&key)?;
        let kv = encode_pair(&key, 0, at.main, 0, b"");
        Some(Event { kind: EventKind::Delete, key, revision: at, kv, prev: Some(before.at) })
    }

    /// Lets go of what is older than `revision`, except the pairs that still live there.
    /// Nothing happens for a revision that is compacted already or not yet reached.
    pub fn compact(&mut self, revision: i64) {
        if revision <= self.compacted || revision > self.revision {
            return;
        }
        self.compacted = revision;
        self.batches = self.batches.split_off(&revision);
        let above = self.values.split_off(&Revision::first(revision + 1));
        let newest: BTreeMap<Bytes, Revision> =
            self.values.iter().map(|(at, (key, _))| (key.clone(), *at)).collect();
        self.values.retain(|at, (key, _)| newest.get(key) == Some(at));
        self.values.extend(above);
    }
}

impl History for MemoryHistory {
    fn changes(
        &self,
        from: i64,
        to: i64,
        revisions_max: usize,
        bytes_max: usize,
    ) -> Result<Changes, HistoryError> {
        if from < self.compacted {
            return Err(HistoryError::Compacted { revision: self.compacted });
        }
        let to = to.min(self.revision);
        let mut changes = Changes { batches: Vec::new(), next: to + 1 };
        if from > to {
            changes.next = from;
            return Ok(changes);
        }
        let mut bytes = 0;
        for (revision, batch) in self.batches.range(from..=to) {
            let full = changes.batches.len() >= revisions_max || bytes >= bytes_max;
            if full && !changes.batches.is_empty() {
                changes.next = *revision;
                break;
            }
            bytes += batch.events.iter().map(|event| event.kv.len()).sum::<usize>();
            changes.batches.push(batch.clone());
        }
        Ok(changes)
    }

    fn value_at(&self, revision: Revision) -> Result<Option<Bytes>, HistoryError> {
        Ok(self.values.get(&revision).map(|(_, kv)| kv.clone()))
    }

    fn revision(&self) -> i64 {
        self.revision
    }

    fn compacted(&self) -> i64 {
        self.compacted
    }
}

/// A pair as `mvccpb.KeyValue`; fields that are zero or empty are left out.
fn encode_pair(key: &[u8], create: i64, modified: i64, version: i64, value: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(key.len() + value.len() + 40);
    let number = |out: &mut Vec<u8>, tag: Option<u8>, mut value: u64| {
        out.extend(tag);
        while value >= 0x80 {
            out.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        out.push(value.to_le_bytes()[0]);
    };
    if !key.is_empty() {
        number(&mut out, Some(0x0a), key.len() as u64);
        out.extend_from_slice(key);
    }
    for (tag, value) in [(0x10, create), (0x18, modified), (0x20, version)] {
        if value != 0 {
            number(&mut out, Some(tag), value.unsigned_abs());
        }
    }
    if !value.is_empty() {
        number(&mut out, Some(0x2a), value.len() as u64);
        out.extend_from_slice(value);
    }
    out.into()
}
