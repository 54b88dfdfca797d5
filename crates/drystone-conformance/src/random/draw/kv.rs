//! Reads, writes, deletions, hashes, compactions.

use super::Draw;
use crate::random::call::Call;
use bytes::Bytes;
use drystone_api::etcdserverpb as pb;
use rand::Rng as _;

/// Larger than a request may be, and larger than a message of a connection may be.
const TOO_LARGE: [usize; 2] = [1_600_000, 2_300_000];
/// One in so many writes is too large.
const TOO_LARGE_EVERY: u32 = 20_000;
/// The longest of the values that are not short.
const VALUE_BYTES_MAX: usize = 2_000;

impl Draw {
    pub(super) fn put(&mut self) -> pb::PutRequest {
        if self.rng.random_ratio(1, TOO_LARGE_EVERY) {
            let value = vec![b'x'; TOO_LARGE[self.below(TOO_LARGE.len())]];
            return pb::PutRequest { key: self.key(), value: value.into(), ..Default::default() };
        }
        self.small_put()
    }

    /// A write that is not too large.
    pub(super) fn small_put(&mut self) -> pb::PutRequest {
        let mut request = pb::PutRequest {
            key: self.key(),
            value: self.value(),
            prev_kv: self.chance(30),
            ..Default::default()
        };
        match self.rng.random_range(0..100) {
            0..25 => request.lease = self.lease_id(),
            25..30 => {
                request.ignore_value = true;
                request.value = Bytes::new();
                request.lease = if self.chance(30) { self.lease_id() } else { 0 };
            }
            30..35 => request.ignore_lease = true,
            35 => {
                request.ignore_value = true;
                request.ignore_lease = true;
                request.value = Bytes::new();
            }
            36 => request.ignore_value = true,
            37 => {
                request.ignore_lease = true;
                request.lease = self.lease_id();
            }
            38 => request.key = Bytes::new(),
            _ => {}
        }
        request
    }

    fn value(&mut self) -> Bytes {
        self.written += 1;
        match self.rng.random_range(0..20) {
            0 => Bytes::new(),
            1 => vec![b'x'; self.rng.random_range(0..VALUE_BYTES_MAX)].into(),
            // Seldom new, so that there are equals to sort.
            2..8 => format!("v{}", self.rng.random_range(0..9)).into(),
            8 => vec![0xff, 0, self.rng.random()].into(),
            _ => format!("v{}", self.written).into(),
        }
    }

    /// A value that a key may have.
    pub(super) fn likely_value(&mut self) -> Bytes {
        if self.chance(50) {
            format!("v{}", self.rng.random_range(0..9)).into()
        } else {
            let old = self.written.saturating_sub(self.rng.random_range(0..200));
            format!("v{old}").into()
        }
    }

    pub(super) fn delete(&mut self) -> pb::DeleteRangeRequest {
        let (key, range_end) = self.keys();
        let key = if self.chance(1) { Bytes::new() } else { key };
        pb::DeleteRangeRequest { key, range_end, prev_kv: self.chance(30) }
    }

    /// A read; with sorts that exist.
    pub(super) fn range(&mut self, in_txn: bool) -> pb::RangeRequest {
        let (key, range_end) = self.keys();
        let mut request = pb::RangeRequest {
            key,
            range_end,
            revision: self.past(),
            serializable: self.chance(30),
            keys_only: self.chance(10),
            count_only: self.chance(8),
            ..Default::default()
        };
        if self.chance(30) {
            request.limit = self.rng.random_range(0..6);
        }
        if self.chance(20) {
            request.sort_order = self.rng.random_range(0..3);
            request.sort_target = self.rng.random_range(0..5);
        }
        if self.chance(12) {
            let mut bound = || match self.rng.random_range(0..3) {
                0 => self.rng.random_range(0..=self.revision),
                _ => 0,
            };
            request.min_mod_revision = bound();
            request.max_mod_revision = bound();
            request.min_create_revision = bound();
            request.max_create_revision = bound();
        }
        match self.rng.random_range(0..200) {
            0 => request.key = Bytes::new(),
            1 => request.limit = i64::MIN,
            2 => request.limit = i64::MAX,
            3 if !in_txn => request.revision = -1,
            4 => request.min_mod_revision = i64::MIN,
            _ => {}
        }
        request
    }

    /// A hash at a revision that is there, or is not.
    pub(super) fn hash(&mut self) -> pb::HashKvRequest {
        let lowest = if self.etcd.hashes_cut() { self.compacted } else { self.compacted + 1 };
        let lowest = lowest.max(1);
        let revision = match self.rng.random_range(0..10) {
            0 => self.revision + self.rng.random_range(1..9),
            1 if self.compacted > 1 => self.rng.random_range(1..self.compacted),
            2..5 => 0,
            _ if lowest <= self.revision => self.rng.random_range(lowest..=self.revision),
            _ => 0,
        };
        let is_cut = !self.etcd.hashes_cut() && self.cuts.contains(&revision);
        pb::HashKvRequest { revision: if is_cut { 0 } else { revision } }
    }

    /// What is looked at after a compaction: hashes, and all that is stored, now and before.
    pub(in crate::random) fn looks(&mut self, count: usize) -> Vec<Call> {
        let mut looks = vec![Call::HashKv(pb::HashKvRequest { revision: 0 }), self.everything()];
        for _ in 0..count {
            looks.push(Call::HashKv(self.hash()));
            let revision = self.past();
            if let Call::Range(all) = self.everything() {
                looks.push(Call::Range(pb::RangeRequest { revision, ..all }));
            }
        }
        looks
    }

    /// Plain writes with a lease.
    pub(in crate::random) fn puts(&mut self, count: usize, lease: i64) -> Vec<pb::PutRequest> {
        let put = |_| pb::PutRequest {
            key: self.key(),
            value: self.value(),
            lease,
            ..Default::default()
        };
        (0..count).map(put).collect()
    }

    /// A compaction that is refused.
    pub(super) fn wrong_compaction(&mut self) -> Call {
        let revision = match self.rng.random_range(0..4) {
            0 => self.revision + self.rng.random_range(1..9),
            1 => i64::MAX,
            _ if self.compacted == 0 => -1 - self.rng.random_range(0..9),
            _ => self.rng.random_range(-9..=self.compacted),
        };
        Call::Compact(pb::CompactionRequest { revision, physical: self.chance(50) })
    }

    /// Everything there is.
    pub(in crate::random) fn everything(&self) -> Call {
        Call::Range(pb::RangeRequest {
            key: b"\0"[..].into(),
            range_end: b"\0"[..].into(),
            ..Default::default()
        })
    }
}
