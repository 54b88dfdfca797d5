//! Watches: of keys and ranges, from the past, the present and the future, with every option,
//! and some that are refused.

use super::Draw;
use bytes::Bytes;
use drystone_api::etcdserverpb::WatchCreateRequest;
use rand::Rng as _;

/// Ids that are asked for; 0 lets the server choose.
const IDS: i64 = 12;

impl Draw {
    pub(super) fn watch(&mut self) -> WatchCreateRequest {
        let (key, range_end) = if self.chance(30) { ("k".into(), "l".into()) } else { self.keys() };
        let key = if self.chance(3) { Bytes::new() } else { key };
        let filters = match self.rng.random_range(0..20) {
            0..3 => vec![0],
            3..6 => vec![1],
            6 => vec![0, 1],
            7 => vec![1, 1, 7],
            _ => Vec::new(),
        };
        WatchCreateRequest {
            key,
            range_end,
            start_revision: self.start(),
            progress_notify: self.chance(30),
            filters,
            prev_kv: self.chance(40),
            watch_id: if self.chance(30) { self.rng.random_range(1..IDS) } else { 0 },
            fragment: self.chance(40),
        }
    }

    fn start(&mut self) -> i64 {
        let skip = i64::from(self.etcd.cuts_deletions() && self.cut_deletion);
        let lowest = (self.compacted + skip).max(1).min(self.revision + 1);
        match self.rng.random_range(0..100) {
            0..40 => 0,
            40..70 => self.rng.random_range(lowest..=self.revision.max(lowest)),
            70..75 => lowest,
            75..80 => self.revision + 1,
            80..90 => self.revision + self.rng.random_range(2..60),
            90..96 if self.compacted > 1 => self.rng.random_range(1..self.compacted),
            96..98 => -1 - self.rng.random_range(0..9),
            _ => 0,
        }
    }

    /// Whether only Drystone can be asked to begin this watch.
    pub(in crate::random) fn is_watch_alone(&self, request: &WatchCreateRequest) -> bool {
        request.start_revision < 0 && self.etcd.watches_from_negative()
    }
}
