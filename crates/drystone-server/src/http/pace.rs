//! How fast connections from one address begin.
//!
//! A connection that comes and goes costs its client little, and the server a task, HTTP/2's
//! first words, and over TLS a signature. So those of one address begin one after the other. Who
//! comes too fast waits; only when too many wait is one refused.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// Connections that may begin at once: those of an API server of Kubernetes, when one of the two
/// comes back.
const AT_ONCE: u32 = 200;
/// Time between two connections beyond these: 100 a second, whose handshakes take a processor a
/// twentieth of its time.
const STEP: Duration = Duration::from_millis(10);
/// What a connection costs its address beside itself that the server had to end: it is not worth
/// less than ten others.
const BLAME: u32 = 10;
/// How long a connection may have to wait, which clients bear. So many wait at most from one
/// address: 1,000.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How long others from an address may have to wait for connections that had to be ended: many can
/// end at one moment, and what comes next may be honest.
const BLAME_MAX: Duration = Duration::from_secs(5);
/// Addresses at which it is first looked whether some are known in vain.
const LOOK_AT: usize = 1_024;

/// When connections may begin, by where they come from. An address is known for as long as its
/// connections have come faster than one each [`STEP`], where one that was ended for what it did
/// counts as some more.
#[derive(Debug)]
pub(super) struct Pace {
    /// When all connections so far of an address would have begun, one each [`STEP`].
    due: HashMap<IpAddr, Instant>,
    look_at: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { due: HashMap::new(), look_at: LOOK_AT }
    }
}

impl Pace {
    /// When a connection from this address may begin; `None` when too many wait.
    pub(super) fn begin(&mut self, address: IpAddr, now: Instant) -> Option<Instant> {
        if self.due.len() >= self.look_at {
            self.due.retain(|_, due| *due > now);
            self.look_at = LOOK_AT.max(2 * self.due.len());
        }
        let due = self.due.entry(address).or_insert(now);
        let next = (*due).max(now) + STEP;
        let at = now.max(next.checked_sub(STEP * AT_ONCE).unwrap_or(now));
        if at - now > WAIT_MAX {
            return None;
        }
        *due = next;
        Some(at)
    }

    /// A connection from this address had to be ended. Nobody is refused for that alone.
    pub(super) fn blame(&mut self, address: IpAddr, now: Instant) {
        let due = self.due.entry(address).or_insert(now);
        let most = (now + STEP * AT_ONCE + BLAME_MAX).max(*due);
        *due = ((*due).max(now) + STEP * BLAME).min(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn connections_begin_at_once_then_one_by_one_and_then_not_at_all() {
        let mut pace = Pace::default();
        // Some time after the clock's own beginning.
        let now = Instant::now() + STEP * AT_ONCE;
        for n in 0..AT_ONCE {
            assert_eq!(pace.begin(HERE, now), Some(now), "{n}");
        }
        assert_eq!(pace.begin(HERE, now), Some(now + STEP));
        let there = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(pace.begin(there, now), Some(now));
        let mut waiting = 1;
        while pace.begin(HERE, now).is_some() {
            waiting += 1;
        }
        assert_eq!(STEP * waiting, WAIT_MAX);
        let later = now + WAIT_MAX;
        assert_eq!(pace.begin(HERE, later), Some(later + STEP));
    }

    #[test]
    fn an_address_is_slower_for_connections_that_had_to_be_ended() {
        let mut pace = Pace::default();
        let now = Instant::now() + STEP * AT_ONCE;
        for _ in 0..AT_ONCE {
            assert_eq!(pace.begin(HERE, now), Some(now));
        }
        assert_eq!(pace.begin(HERE, now), Some(now + STEP));
        pace.blame(HERE, now);
        assert_eq!(pace.begin(HERE, now), Some(now + STEP * (BLAME + 2)));
        let there = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(pace.begin(there, now), Some(now));
    }

    /// Thousands that were ended at one moment once shut their address out for minutes.
    #[test]
    fn connections_that_had_to_be_ended_shut_nobody_out() {
        let mut pace = Pace::default();
        let now = Instant::now() + STEP * AT_ONCE;
        for _ in 0..10_000 {
            pace.blame(HERE, now);
        }
        assert_eq!(pace.begin(HERE, now), Some(now + BLAME_MAX + STEP));
    }

    #[test]
    fn addresses_whose_time_is_over_are_forgotten() {
        let mut pace = Pace::default();
        let mut now = Instant::now() + STEP * AT_ONCE;
        for n in 0..100_000_u32 {
            let address = IpAddr::V4(n.into());
            assert_eq!(pace.begin(address, now), Some(now));
            now += STEP;
        }
        assert!(pace.due.len() <= LOOK_AT, "{}", pace.due.len());
    }
}
