//! The room a member has: what a request would add to the store, by etcd's reckoning
//! (`server/storage/quota.go`), what is admitted, and when a full member has room again.
//!
//! Nothing here decides what an entry of the log does: there, only the replicated alarm counts.
//! Members may have quotas that differ.

use crate::alarm::RaisedBy;
use drystone_api::etcdserverpb::{
    InternalRaftRequest, PutRequest, RequestOp, TxnRequest, request_op::Request,
};
use drystone_api::limits::{QUOTA_LEASE_BYTES, QUOTA_PUT_OVERHEAD_BYTES};
use std::time::Duration;

/// Below so much of its quota a member that raised NOSPACE by itself clears it, in percent. The
/// distance keeps a store that hovers at its quota from raising and clearing in turns.
pub const RELEASE_PERCENT: u64 = 90;
/// How far below the soft limit the store must fall before crossing it is worth another warning,
/// in percent of the quota.
pub const WARNING_DISTANCE_PERCENT: u64 = 5;
/// Pause between two proposals to clear an alarm: the first may be lost with its leader.
pub const RELEASE_PAUSE: Duration = Duration::from_secs(1);

/// How large a member's store may become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Live bytes ([`crate::Machine::live_bytes`]) from which on nothing that adds is admitted;
    /// `None` for no bound.
    pub bytes: Option<u64>,
    /// The soft limit, in percent of `bytes`; 0 for none.
    pub warning_percent: u8,
}

impl Quota {
    /// Whether a request that adds `cost` bytes may be proposed by a member whose store has
    /// `live_bytes`. What costs nothing always may: deletes, compactions, ends of leases.
    #[must_use]
    pub fn admits(&self, live_bytes: u64, cost: u64) -> bool {
        cost == 0 || self.bytes.is_none_or(|quota| live_bytes.saturating_add(cost) < quota)
    }

    /// `percent` of the quota in bytes; without one, more than any store has.
    fn share(&self, percent: u64) -> u64 {
        let share = |bytes| u128::from(bytes) * u128::from(percent) / 100;
        self.bytes.map_or(u64::MAX, |bytes| u64::try_from(share(bytes)).unwrap_or(u64::MAX))
    }
}

/// Watches a member's room: warns once for each crossing of the soft limit, and tells when a
/// member that raised NOSPACE by itself should clear it.
#[derive(Clone, Debug)]
pub struct Room {
    quota: Quota,
    warned: bool,
    next_release: Duration,
}

/// What [`Room::look`] finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The soft limit was crossed upwards since the last look: warn.
    pub warn: bool,
    /// The member's own alarm should be cleared: propose it, as a command nobody waits for.
    pub release: bool,
}

impl Room {
    /// A watch that has seen nothing yet.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self { quota, warned: false, next_release: Duration::ZERO }
    }

    /// Looks at `now` at a store of `live_bytes`, whose member's NOSPACE alarm was set by
    /// `alarm`, if it is set. Call it every now and then, and only when proposals have a chance.
    pub fn look(&mut self, now: Duration, live_bytes: u64, alarm: Option<RaisedBy>) -> Look {
        let percent = u64::from(self.quota.warning_percent);
        let warns = percent > 0 && live_bytes >= self.quota.share(percent);
        let warn = warns && !self.warned;
        if warns {
            self.warned = true;
        } else if live_bytes < self.quota.share(percent.saturating_sub(WARNING_DISTANCE_PERCENT)) {
            self.warned = false;
        }
        let release = alarm == Some(RaisedBy::Itself)
            && live_bytes < self.quota.share(RELEASE_PERCENT)
            && now >= self.next_release;
        if release {
            self.next_release = now + RELEASE_PAUSE;
        }
        Look { warn, release }
    }
}

/// Bytes that a request may add: 0 for whatever only reads or frees space.
#[must_use]
pub fn cost(request: &InternalRaftRequest) -> u64 {
    if let Some(put) = &request.put {
        put_cost(put)
    } else if let Some(txn) = &request.txn {
        txn_cost(txn)
    } else if request.lease_grant.is_some() {
        QUOTA_LEASE_BYTES
    } else {
        0
    }
}

fn put_cost(put: &PutRequest) -> u64 {
    QUOTA_PUT_OVERHEAD_BYTES + put.key.len() as u64 + put.value.len() as u64
}

/// The larger branch counts; nested transactions count too (since etcd 3.7.1).
fn txn_cost(txn: &TxnRequest) -> u64 {
    ops_cost(&txn.success).max(ops_cost(&txn.failure))
}

fn ops_cost(ops: &[RequestOp]) -> u64 {
    ops.iter()
        .map(|op| match &op.request {
            Some(Request::RequestPut(put)) => put_cost(put),
            Some(Request::RequestTxn(txn)) => txn_cost(txn),
            _ => 0,
        })
        .sum()
}
