//! Leases: granted, attached, looked at, renewed, revoked. None of them runs out, except where
//! the stream waits for it.

use super::Draw;
use crate::random::call::Call;
use drystone_api::etcdserverpb as pb;
use drystone_api::v3lockpb as lpb;
use rand::Rng as _;

/// Leases that can be alive at once, and some with ids at the edges.
const LEASES: i64 = 10;
const ODD_IDS: [i64; 4] = [-1, i64::MAX, i64::MIN, 0x7fff_ffff_0000_0001];
/// Names of locks and elections.
const RECIPES: [&str; 3] = ["lock", "k0", ""];
/// Nothing runs out during a stream.
const TTL_SECONDS: [i64; 3] = [1_000_000, 77_777_777, 9_000_000_000];
/// More than a lease may have.
const TTL_TOO_LARGE: [i64; 2] = [9_000_000_001, i64::MAX];
/// Of leases that are revoked at once: shorter than the servers' shortest, and longer.
const TTL_ANY: [i64; 6] = [0, 1, -5, 2, 600, i64::MIN];

impl Draw {
    /// The id of a lease that may be alive.
    pub(super) fn lease_id(&mut self) -> i64 {
        match self.rng.random_range(0..60) {
            0 => ODD_IDS[self.below(ODD_IDS.len())],
            1 => 999,
            2 => 0,
            _ => self.rng.random_range(1..=LEASES),
        }
    }

    pub(super) fn lease_change(&mut self) -> Call {
        let id = self.lease_id();
        match self.rng.random_range(0..100) {
            0..60 if id != 0 => {
                let ttl = TTL_SECONDS[self.below(TTL_SECONDS.len())];
                Call::Grant(pb::LeaseGrantRequest { id, ttl })
            }
            60..64 => {
                let ttl = TTL_TOO_LARGE[self.below(TTL_TOO_LARGE.len())];
                Call::Grant(pb::LeaseGrantRequest { id, ttl })
            }
            64..72 => Call::GrantAny(TTL_ANY[self.below(TTL_ANY.len())]),
            _ => Call::Revoke(pb::LeaseRevokeRequest { id }),
        }
    }

    /// A lock or an election, with a lease that may be alive. The lease is never one that the
    /// server makes: its id is in the key.
    pub(super) fn recipe(&mut self) -> Call {
        let lease = self.rng.random_range(1..=LEASES);
        let name = RECIPES[self.below(RECIPES.len())];
        if self.chance(50) {
            Call::Lock(lpb::LockRequest { name: name.into(), lease })
        } else {
            Call::Elect(name, lease)
        }
    }

    pub(super) fn lease_look(&mut self) -> Call {
        let id = self.lease_id();
        match self.rng.random_range(0..10) {
            0 => Call::Leases,
            1..6 => Call::TimeToLive(pb::LeaseTimeToLiveRequest { id, keys: self.chance(70) }),
            _ => Call::KeepAlive(pb::LeaseKeepAliveRequest { id }),
        }
    }
}
