//! Watches: of keys and ranges, from the past, the present and the future, with every option,
//! and some that are refused.

use super::Draw;
use crate::random::call::Who;
use crate::random::watches::DENIED;
use bytes::Bytes;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{WatchCreateRequest, WatchResponse};
use drystone_types::KeyRange;
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

    /// A request that is refused for want of rights alone, where it is not root's.
    pub(in crate::random) fn permitted(
        &self,
        request: WatchCreateRequest,
        who: &Who,
    ) -> WatchCreateRequest {
        let mut request = request;
        if self.is_guarded() && !who.is_root() {
            request.start_revision = request.start_revision.max(0);
            let range = KeyRange::from_fields(request.key.clone(), request.range_end.clone());
            if range.is_empty() {
                request.range_end = Bytes::new();
            }
        }
        request
    }

    /// What an etcd answered to a watch; where it is old and lets somebody not watch, as Drystone
    /// does, with Drystone's reason.
    pub(in crate::random) fn refusal(
        &self,
        ours: &WatchResponse,
        theirs: WatchResponse,
    ) -> WatchResponse {
        let denied = |answer: &WatchResponse| {
            answer.created && answer.canceled && answer.cancel_reason.starts_with(DENIED)
        };
        if self.etcd.tells_one_refusal() && denied(ours) && denied(&theirs) {
            let (watch_id, cancel_reason) = (ours.watch_id, ours.cancel_reason.clone());
            return WatchResponse { watch_id, cancel_reason, ..theirs };
        }
        theirs
    }

    /// Whether a watch hears nothing after another one with its id was refused.
    pub(in crate::random) fn is_silenced(&self) -> bool {
        self.etcd.silences()
    }

    /// Why Drystone must refuse this watch, if it is the only one that can be asked for it.
    pub(in crate::random) fn watch_alone(
        &self,
        request: &WatchCreateRequest,
        who: &Who,
    ) -> Option<EtcdError> {
        if request.start_revision < 0 && self.etcd.watches_from_negative() {
            return Some(EtcdError::Compacted);
        }
        self.rights.watch_alone(who, request, self.etcd)
    }
}
