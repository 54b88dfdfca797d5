//! Encoded pairs in memory, by revision.
//!
//! Revisions never change, so a cache of them can be shared by the writer and readers of every
//! snapshot, and forgetting one changes no answer.

use bytes::Bytes;
use drystone_probe::mark;
use drystone_types::Revision;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

#[cfg(test)]
mod tests;

/// Caches below this many bytes are one shard: shares of less would hold nothing.
const SHARED_BYTES_MIN: usize = 16 << 20;
const SHARDS: usize = 16;
/// What keeping a pair costs beside its bytes: its place in the table and in the queue, and the
/// count of its users.
const SLOT_BYTES: usize = 128;
/// The share of the budget for pairs that were just replaced, which watchers ask for as `prev_kv`.
const REPLACED_SHARE: usize = 8;

/// The caches of one store.
#[derive(Debug)]
pub(crate) struct Cache {
    current: Lru,
    replaced: Lru,
}

impl Cache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let replaced = bytes_max / REPLACED_SHARE;
        Self { current: Lru::new(bytes_max - replaced), replaced: Lru::new(replaced) }
    }

    pub(crate) fn get(&self, revision: Revision) -> Option<Bytes> {
        self.current.get(revision).or_else(|| self.replaced.get(revision))
    }

    /// Keeps the newest pair of a key.
    pub(crate) fn insert(&self, revision: Revision, pair: Bytes) {
        self.current.insert(revision, pair);
    }

    /// Says that `revision` is not its key's newest any more.
    pub(crate) fn replaced(&self, revision: Revision) {
        if let Some(pair) = self.current.remove(revision) {
            self.replaced.insert(revision, pair);
        }
    }

    /// Forgets `revision`.
    pub(crate) fn forget(&self, revision: Revision) {
        self.current.remove(revision);
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        let caches = [&self.current, &self.replaced];
        caches.iter().flat_map(|lru| lru.shards.iter()).map(|shard| shard.lock().bytes).sum()
    }
}

/// Pairs up to a number of bytes; first in, first out, but those that were read since they were
/// last considered stay once more.
#[derive(Debug)]
struct Lru {
    shards: Box<[Mutex<Shard>]>,
    shard_bytes_max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    slots: HashMap<Revision, Slot, BuildHasherDefault<Mix>>,
    /// Revisions in the order they are considered for eviction. Removed ones stay in it until
    /// they are met or swept out.
    queue: VecDeque<Revision>,
    bytes: usize,
}

#[derive(Debug)]
struct Slot {
    pair: Bytes,
    read: bool,
}

impl Lru {
    fn new(bytes_max: usize) -> Self {
        let shards = if bytes_max < SHARED_BYTES_MIN { 1 } else { SHARDS };
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            shard_bytes_max: bytes_max / shards,
        }
    }

    fn shard(&self, revision: Revision) -> &Mutex<Shard> {
        let mixed = mix(revision) >> 48;
        &self.shards[usize::try_from(mixed).unwrap_or(0) % self.shards.len()]
    }

    fn get(&self, revision: Revision) -> Option<Bytes> {
        let mut shard = self.shard(revision).lock();
        let slot = shard.slots.get_mut(&revision)?;
        slot.read = true;
        Some(slot.pair.clone())
    }

    fn insert(&self, revision: Revision, pair: Bytes) {
        let bytes = pair.len() + SLOT_BYTES;
        if bytes > self.shard_bytes_max {
            return;
        }
        let mut shard = self.shard(revision).lock();
        if shard.slots.contains_key(&revision) {
            return;
        }
        shard.make_room(self.shard_bytes_max - bytes);
        shard.bytes += bytes;
        shard.queue.push_back(revision);
        shard.slots.insert(revision, Slot { pair, read: false });
    }

    fn remove(&self, revision: Revision) -> Option<Bytes> {
        let mut shard = self.shard(revision).lock();
        let slot = shard.slots.remove(&revision)?;
        shard.bytes -= slot.pair.len() + SLOT_BYTES;
        if shard.queue.len() > 2 * shard.slots.len() + 64 {
            let Shard { slots, queue, .. } = &mut *shard;
            queue.retain(|revision| slots.contains_key(revision));
        }
        Some(slot.pair)
    }
}

impl Shard {
    /// Evicts until no more than `bytes_max` are held. Every turn of the loop shortens the queue
    /// or takes a mark away, so it ends.
    fn make_room(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max {
            let Some(revision) = self.queue.pop_front() else { return };
            let Some(slot) = self.slots.get_mut(&revision) else { continue };
            if std::mem::take(&mut slot.read) {
                self.queue.push_back(revision);
                continue;
            }
            mark!("mvcc.value_evicted");
            self.bytes -= slot.pair.len() + SLOT_BYTES;
            self.slots.remove(&revision);
        }
    }
}

/// Spreads revisions, which are counted up, over all 64 bits (the finalizer of MurmurHash3).
fn mix(revision: Revision) -> u64 {
    let mut number = revision.main.cast_unsigned() ^ revision.sub.cast_unsigned().rotate_left(40);
    number ^= number >> 33;
    number = number.wrapping_mul(0xff51_afd7_ed55_8ccd);
    number ^= number >> 33;
    number = number.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ (number >> 33)
}

/// A hasher for revisions: two `i64`. They are given out by the store, so nobody can choose them
/// to collide.
#[derive(Debug, Default)]
struct Mix(Revision);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_i64(i64::from(*byte));
        }
    }

    fn write_i64(&mut self, number: i64) {
        self.0 = Revision { main: self.0.sub ^ self.0.main.rotate_left(20), sub: number };
    }

    fn finish(&self) -> u64 {
        mix(self.0)
    }
}
