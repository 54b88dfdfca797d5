//! Ids of requests and leases: unique over a cluster's life without anyone asking anyone.

use drystone_types::MemberId;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Makes ids as etcd's `pkg/idutil` does: sixteen bits of the member's id, forty of the time
/// of start in milliseconds, and a counter from there on. A restarted member begins above
/// what it used before, as long as it makes fewer than 256 ids a millisecond on average.
#[derive(Debug)]
pub(crate) struct Ids {
    prefix: u64,
    suffix: AtomicU64,
}

/// Bits of the counter, time included.
const SUFFIX_BITS: u32 = 48;
/// Bits of the counter below the time.
const COUNTER_BITS: u32 = 8;

impl Ids {
    pub(crate) fn new(member: MemberId, started_at: SystemTime) -> Self {
        let millis = started_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let millis = u64::try_from(millis).unwrap_or_default();
        Self {
            prefix: member.0 << SUFFIX_BITS,
            suffix: AtomicU64::new((millis << COUNTER_BITS) & suffix_mask()),
        }
    }

    /// The next id; never 0.
    pub(crate) fn next(&self) -> u64 {
        loop {
            let suffix = self.suffix.fetch_add(1, Ordering::Relaxed) & suffix_mask();
            let id = self.prefix | suffix;
            if id != 0 {
                return id;
            }
        }
    }

    /// The next id of a lease: positive, as clients expect of an id that they did not pick.
    pub(crate) fn next_lease(&self) -> i64 {
        loop {
            let id = i64::try_from(self.next() & (u64::MAX >> 1)).unwrap_or_default();
            if id != 0 {
                return id;
            }
        }
    }
}

fn suffix_mask() -> u64 {
    u64::MAX >> (u64::BITS - SUFFIX_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_restart_begins_above_what_was_used() {
        let member = MemberId(0xabcd);
        let start = UNIX_EPOCH + Duration::from_millis(1_700_000_000_000);
        let first = Ids::new(member, start);
        let used: Vec<u64> = (0..200).map(|_| first.next()).collect();
        assert!(used.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(used.iter().all(|id| id >> 48 == 0xabcd));
        let second = Ids::new(member, start + Duration::from_millis(1));
        assert!(second.next() > *used.last().unwrap());
        assert!(second.next_lease() > 0);
    }
}
