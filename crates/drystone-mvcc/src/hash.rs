//! Digests of history, equal to etcd's (`server/storage/mvcc/hash.go`).

use crate::outcome::HashKv;
use drystone_backend::Table;
use drystone_types::Revision;

/// How many hashes taken while compacting are kept.
const RING_HASHES: usize = 10;

/// Feeds records, in order, into one hash.
#[derive(Debug)]
pub(crate) struct KvHasher {
    crc: u32,
    /// The compacted revision: what compaction lets go up to there does not count.
    compact_revision: i64,
    /// The last revision that counts.
    revision: i64,
    /// How far the set of kept revisions was searched.
    searched: usize,
}

impl KvHasher {
    pub(crate) fn new(compact_revision: i64, revision: i64) -> Self {
        let crc = crc32c::crc32c(Table::Key.name().as_bytes());
        Self { crc, compact_revision, revision, searched: 0 }
    }

    /// Adds a record if it counts. Of the revisions up to the compacted one only those in
    /// `keep`, which is ascending and the same for each call, do.
    ///
    /// etcd has two more rules: nothing is left out when nothing is kept, and tombstones at the
    /// compacted revision never count. Whoever makes `keep` sees to both.
    pub(crate) fn add(&mut self, revision: Revision, keep: &[Revision], key: &[u8], value: &[u8]) {
        if revision.main > self.revision {
            return;
        }
        if revision.main <= self.compact_revision {
            while keep.get(self.searched).is_some_and(|kept| *kept < revision) {
                self.searched += 1;
            }
            if keep.get(self.searched) != Some(&revision) {
                return;
            }
        }
        self.crc = crc32c::crc32c_append(self.crc, key);
        self.crc = crc32c::crc32c_append(self.crc, value);
    }

    pub(crate) fn finish(&self) -> HashKv {
        let Self { crc, compact_revision, revision, .. } = *self;
        HashKv { hash: crc, compact_revision, revision }
    }
}

/// The newest hashes that were taken while compacting.
#[derive(Debug, Default)]
pub(crate) struct HashRing {
    /// By descending revision.
    hashes: Vec<HashKv>,
}

impl HashRing {
    pub(crate) fn push(&mut self, hash: HashKv) {
        self.hashes.retain(|held| held.revision != hash.revision);
        self.hashes.push(hash);
        self.hashes.sort_by_key(|held| std::cmp::Reverse(held.revision));
        self.hashes.truncate(RING_HASHES);
    }

    pub(crate) fn find(&self, revision: i64) -> Option<HashKv> {
        self.hashes.iter().find(|hash| hash.revision == revision).copied()
    }

    pub(crate) fn newest_first(&self) -> &[HashKv] {
        &self.hashes
    }
}
