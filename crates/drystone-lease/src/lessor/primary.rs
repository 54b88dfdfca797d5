//! What the primary alone does: deadlines, renewals, and what is due.
//!
//! Each lease has one place in an ordered set of times. A renewal moves the lease's deadline
//! and leaves its place behind; whoever finds the place before the deadline moves it up. So a
//! renewal costs a look-up, and the set never holds more than one place a lease.

use super::{Lease, Lessor, Renewed, TimeToLive};
use crate::{Config, Error};
use drystone_probe::{mark, planted};
use drystone_types::LeaseId;
use std::collections::BTreeSet;
use std::time::Duration;

/// Nanoseconds since the caller's origin; reaches 584 years.
type Nanos = u64;

const SECOND: Nanos = 1_000_000_000;
/// "Not in the queue", and a deadline that never comes.
const NEVER: Nanos = Nanos::MAX;
/// Places that a call may move up besides those that it reports, so that a crowd of renewed
/// leases cannot make one call long.
const MOVES_MIN: usize = 1024;

#[derive(Clone, Debug, Default)]
pub(super) struct Primary {
    expiries: BTreeSet<(Nanos, LeaseId)>,
    checkpoints: BTreeSet<(Nanos, LeaseId)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    expires_at: Nanos,
    /// Where the lease stands in `expiries`.
    expiry_queued_at: Nanos,
    checkpoint_at: Nanos,
    /// Where the lease stands in `checkpoints`.
    checkpoint_queued_at: Nanos,
    /// A remainder was handed out to be logged and has not come back.
    remainder_pending: bool,
    /// A renewal asked for a zero checkpoint that has not come back.
    zero_pending: bool,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            expires_at: NEVER,
            expiry_queued_at: NEVER,
            checkpoint_at: NEVER,
            checkpoint_queued_at: NEVER,
            remainder_pending: false,
            zero_pending: false,
        }
    }
}

impl Timing {
    /// A checkpoint of this lease was applied.
    pub(super) fn settle(&mut self, remaining_seconds: i64) {
        self.remainder_pending = false;
        if remaining_seconds == 0 {
            self.zero_pending = false;
        }
    }
}

impl Primary {
    /// Starts the time of a new lease.
    pub(super) fn start(&mut self, config: &Config, id: LeaseId, lease: &mut Lease, now: Duration) {
        let interval = config.checkpoint_interval.map(nanos);
        lease.timing = lease.start(nanos(now), 0, interval);
        let Timing { expiry_queued_at, checkpoint_queued_at, .. } = lease.timing;
        for (queue, at) in
            [(&mut self.expiries, expiry_queued_at), (&mut self.checkpoints, checkpoint_queued_at)]
        {
            if at != NEVER {
                queue.insert((at, id));
            }
        }
    }

    pub(super) fn forget(&mut self, id: LeaseId, timing: &Timing) {
        self.expiries.remove(&(timing.expiry_queued_at, id));
        self.checkpoints.remove(&(timing.checkpoint_queued_at, id));
    }

    fn queue_expiry(&mut self, id: LeaseId, timing: &mut Timing, at: Nanos) {
        self.expiries.remove(&(timing.expiry_queued_at, id));
        timing.expiry_queued_at = at;
        if at != NEVER {
            self.expiries.insert((at, id));
        }
    }

    fn queue_checkpoint(&mut self, id: LeaseId, timing: &mut Timing, at: Nanos) {
        self.checkpoints.remove(&(timing.checkpoint_queued_at, id));
        timing.checkpoint_queued_at = at;
        if at != NEVER {
            self.checkpoints.insert((at, id));
        }
    }

    /// Sets when the lease's remaining time is looked at next.
    fn schedule_checkpoint(
        &mut self,
        config: &Config,
        id: LeaseId,
        timing: &mut Timing,
        now: Nanos,
    ) {
        let interval = config.checkpoint_interval.map(nanos);
        timing.checkpoint_at = checkpoint_at(timing.expires_at, now, interval);
        // A place that comes too early moves up when it is found.
        if timing.checkpoint_at < timing.checkpoint_queued_at {
            self.queue_checkpoint(id, timing, timing.checkpoint_at);
        }
    }
}

impl Lease {
    /// The timing of a lease that has all of its due left, and `extend`.
    fn start(&self, now: Nanos, extend: Nanos, checkpoint_interval: Option<Nanos>) -> Timing {
        let due = seconds(self.base_seconds()).saturating_add(extend);
        let expires_at = now.saturating_add(due);
        let checkpoint_at = checkpoint_at(expires_at, now, checkpoint_interval);
        Timing {
            expires_at,
            expiry_queued_at: expires_at,
            checkpoint_at,
            checkpoint_queued_at: checkpoint_at,
            ..Timing::default()
        }
    }
}

impl Lessor {
    /// Makes this member the primary: every lease gets its granted time again, or what its
    /// last checkpoint left, and `extend` on top, because nobody can know what was renewed
    /// with the primary before. With many leases, those that would run out in one second are
    /// spread over later ones. Costs time in proportion to the leases.
    pub fn promote(&mut self, now: Duration, extend: Duration) {
        if self.is_primary() && planted!("lease.time_kept_over_demotion") {
            return;
        }
        if !self.is_empty() {
            mark!("lease.promoted_with_leases");
        }
        let (now, extend) = (nanos(now), nanos(extend));
        let interval = self.config.checkpoint_interval.map(nanos);
        let mut expiries = Vec::with_capacity(self.leases.len());
        let mut checkpoints = Vec::new();
        for (&id, lease) in &mut self.leases {
            lease.timing = lease.start(now, extend, interval);
            if planted!("lease.promoted_without_time") {
                lease.timing.expires_at = now.saturating_add(extend);
                lease.timing.expiry_queued_at = lease.timing.expires_at;
            }
            let Timing { expiry_queued_at, checkpoint_queued_at, .. } = lease.timing;
            expiries.push((expiry_queued_at, id));
            checkpoints.push((checkpoint_queued_at, id));
        }
        // Sets are built from sorted lists at once: this can be a million leases.
        expiries.sort_unstable();
        if self.leases.len() > self.config.spread_leases_min {
            mark!("lease.expiries_spread");
            self.spread(&mut expiries);
        }
        let queued =
            |list: Vec<(Nanos, LeaseId)>| list.into_iter().filter(|(at, _)| *at != NEVER).collect();
        self.primary =
            Some(Primary { expiries: queued(expiries), checkpoints: queued(checkpoints) });
    }

    /// Moves deadlines, which come ascending, back until no second holds too many. Their order
    /// stays.
    fn spread(&mut self, expiries: &mut [(Nanos, LeaseId)]) {
        let limit = self.config.spread_expiries_per_second_max.max(1);
        let (mut window, mut held) = (0_u64, 0);
        for (at, id) in expiries {
            let window_end = window.saturating_add(SECOND);
            if *at >= window_end {
                (window, held) = (*at, 0);
            } else if held == limit {
                (window, held) = (window_end, 0);
            }
            held += 1;
            if *at >= window {
                continue;
            }
            *at = window;
            if let Some(lease) = self.leases.get_mut(id) {
                lease.timing.expires_at = window;
                lease.timing.expiry_queued_at = window;
            }
        }
    }

    /// Ends being the primary: no deadlines any more, nothing is due.
    pub fn demote(&mut self) {
        if planted!("lease.time_kept_over_demotion") {
            return;
        }
        if self.is_primary() && !self.is_empty() {
            mark!("lease.demoted_with_leases");
        }
        self.primary = None;
        for lease in self.leases.values_mut() {
            lease.timing = Timing::default();
        }
    }

    /// True between [`Lessor::promote`] and [`Lessor::demote`].
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.primary.is_some()
    }

    /// Gives lease `id` its full time again, from `now`. The caller has made sure that this
    /// member still leads, and heeds [`Renewed::checkpoint_zero`] before it answers.
    ///
    /// # Errors
    /// [`Error::NotPrimary`]; [`Error::NotFound`]; [`Error::Expired`] when the lease ran out
    /// and only waits for its revoke.
    pub fn renew(&mut self, id: LeaseId, now: Duration) -> Result<Renewed, Error> {
        let Self { config, leases, primary } = self;
        let Some(primary) = primary else {
            mark!("lease.renewal_came_to_no_primary");
            return Err(Error::NotPrimary);
        };
        let lease = leases.get_mut(&id).ok_or(Error::NotFound(id))?;
        let now = nanos(now);
        let timing = &mut lease.timing;
        if timing.expires_at <= now {
            mark!("lease.renewal_came_too_late");
            return Err(Error::Expired(id));
        }
        timing.expires_at = now.saturating_add(seconds(lease.ttl_seconds));
        if timing.expires_at < timing.expiry_queued_at {
            primary.queue_expiry(id, timing, timing.expires_at);
        }
        primary.schedule_checkpoint(config, id, timing, now);
        let checkpoint_zero =
            lease.remaining_seconds != 0 || timing.remainder_pending || timing.zero_pending;
        if checkpoint_zero {
            mark!("lease.renewed_after_checkpoint");
        }
        let checkpoint_zero = checkpoint_zero && !planted!("lease.renewal_keeps_the_checkpoint");
        timing.zero_pending = checkpoint_zero;
        Ok(Renewed { ttl_seconds: lease.ttl_seconds, checkpoint_zero })
    }

    /// Leases that have run out, at most `max`, in no promised order; the caller proposes to
    /// revoke each. A lease that is still there after [`Config::expiry_retry`] is named again.
    /// Nobody is named on a member that is not primary.
    ///
    /// One call does work for at most `max` leases and a fixed number of renewed ones, so it
    /// may leave some for the next call even when it returns fewer than `max`.
    pub fn expired(&mut self, now: Duration, max: usize) -> Vec<LeaseId> {
        let mut due = Vec::new();
        let Self { config, leases, primary: Some(primary) } = self else { return due };
        let retry = nanos(config.expiry_retry).max(1);
        let now = nanos(now);
        let mut moves = MOVES_MIN;
        while due.len() < max && moves > 0 {
            let Some(&(at, id)) = primary.expiries.first() else { break };
            if at > now {
                break;
            }
            let Some(lease) = leases.get_mut(&id) else {
                primary.expiries.pop_first();
                continue;
            };
            let again = if lease.timing.expires_at <= now {
                if lease.timing.expires_at < at {
                    mark!("lease.expiry_retried");
                }
                mark!("lease.expired");
                due.push(id);
                now.saturating_add(retry)
            } else {
                mark!("lease.expiry_moved_by_renewal");
                moves -= 1;
                lease.timing.expires_at
            };
            primary.queue_expiry(id, &mut lease.timing, again);
        }
        due
    }

    /// Leases whose remaining time ought to be logged now, at most `max`, with the whole
    /// seconds left (rounded up, never above what the last checkpoint said). Each comes once
    /// an interval while it has more than one interval left. The caller proposes them as one
    /// checkpoint; a lost one does no harm, the next primary is only more generous.
    pub fn due_checkpoints(&mut self, now: Duration, max: usize) -> Vec<(LeaseId, i64)> {
        let mut due = Vec::new();
        let Self { config, leases, primary: Some(primary) } = self else { return due };
        let now = nanos(now);
        let mut moves = MOVES_MIN;
        while due.len() < max && moves > 0 {
            let Some(&(at, id)) = primary.checkpoints.first() else { break };
            if at > now {
                break;
            }
            let Some(lease) = leases.get_mut(&id) else {
                primary.checkpoints.pop_first();
                continue;
            };
            moves -= 1;
            if lease.timing.checkpoint_at > now {
                let later = lease.timing.checkpoint_at;
                primary.queue_checkpoint(id, &mut lease.timing, later);
                continue;
            }
            primary.queue_checkpoint(id, &mut lease.timing, NEVER);
            primary.schedule_checkpoint(config, id, &mut lease.timing, now);
            let left = lease.timing.expires_at.saturating_sub(now).div_ceil(SECOND);
            let left = i64::try_from(left).unwrap_or(i64::MAX).min(lease.base_seconds());
            // While a renewal's zero is on its way, a remainder would undo it.
            let news = left > 0 && left != lease.base_seconds() && !lease.timing.zero_pending;
            if news {
                mark!("lease.checkpoint_due");
                lease.timing.remainder_pending = true;
                due.push((id, left));
            }
        }
        due
    }

    /// When [`Lessor::expired`] or [`Lessor::due_checkpoints`] may next have something, so
    /// that the caller can sleep until then. `None`: nothing is timed.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        let primary = self.primary.as_ref()?;
        let first = [primary.expiries.first(), primary.checkpoints.first()];
        first.into_iter().flatten().map(|(at, _)| Duration::from_nanos(*at)).min()
    }

    /// What is left of lease `id`; `None` when it does not exist.
    #[must_use]
    pub fn time_to_live(&self, id: LeaseId, now: Duration, with_keys: bool) -> Option<TimeToLive> {
        let lease = self.leases.get(&id)?;
        let remaining_seconds = if self.is_primary() {
            let left = lease.timing.expires_at.saturating_sub(nanos(now));
            i64::try_from(left / SECOND).unwrap_or(i64::MAX)
        } else {
            lease.base_seconds()
        };
        Some(TimeToLive {
            remaining_seconds,
            granted_seconds: lease.ttl_seconds,
            keys: if with_keys { lease.keys.to_vec() } else { Vec::new() },
        })
    }

    /// All leases: the one with the least time left first on the primary, by id elsewhere.
    #[must_use]
    pub fn list(&self) -> Vec<LeaseId> {
        let mut ids: Vec<LeaseId> = self.leases.keys().copied().collect();
        if self.is_primary() {
            ids.sort_by_cached_key(|id| {
                (self.leases.get(id).map_or(NEVER, |lease| lease.timing.expires_at), *id)
            });
        }
        ids
    }
}

/// A lease that has more than one interval left is looked at after the interval.
fn checkpoint_at(expires_at: Nanos, now: Nanos, interval: Option<Nanos>) -> Nanos {
    match interval {
        Some(interval) if expires_at.saturating_sub(now) > interval => {
            now.saturating_add(interval.max(1))
        }
        _ => NEVER,
    }
}

fn nanos(duration: Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

fn seconds(seconds: i64) -> Nanos {
    Nanos::try_from(seconds).unwrap_or(0).saturating_mul(SECOND)
}

#[cfg(test)]
impl Primary {
    /// One place a lease at most, where the lease says it is, and none after its deadline.
    pub(super) fn check(&self, leases: &std::collections::BTreeMap<LeaseId, Lease>) {
        assert_eq!(self.expiries.len(), leases.len());
        for (at, id) in &self.expiries {
            assert_eq!(leases[id].timing.expiry_queued_at, *at);
        }
        for (at, id) in &self.checkpoints {
            assert_eq!(leases[id].timing.checkpoint_queued_at, *at);
            assert!(leases[id].timing.checkpoint_at >= *at);
        }
    }
}
