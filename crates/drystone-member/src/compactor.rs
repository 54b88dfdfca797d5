//! When history is compacted without anyone asking, as etcd does it
//! (`server/etcdserver/api/v3compactor`).

use std::collections::VecDeque;
use std::time::Duration;

/// Parts of a period, or of an hour if that is shorter, at which the revision is noted.
const PARTS: u32 = 10;
/// The longest time between two compactions by period.
const INTERVAL_MAX: Duration = Duration::from_secs(3_600);
/// The least pause between two looks: a period of nanoseconds must not keep a processor busy.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// Pause between two looks when revisions are counted.
const REVISIONS_PAUSE: Duration = Duration::from_secs(300);

/// How much history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// What was current within this time.
    Period(Duration),
    /// The newest revisions, this many.
    Revisions(i64),
}

/// Decides when to compact up to which revision. Every member runs one, so that whoever leads
/// knows what was current a period ago; only the leader's decisions count.
///
/// The order of calls: [`Compactor::sample`], a wait of [`Compactor::pause`],
/// [`Compactor::turn`], the compaction it asks for, [`Compactor::done`] if that went well, and
/// again from the first.
#[derive(Clone, Debug)]
pub struct Compactor {
    retention: Retention,
    /// The revisions of the last turns, oldest first.
    samples: VecDeque<i64>,
    /// The target of the last compaction; 0 before the first.
    last_target: i64,
    last_done: Duration,
    /// How long after `last_done` the next one may come.
    interval: Duration,
}

impl Compactor {
    /// One that has seen nothing before `now`.
    #[must_use]
    pub fn new(retention: Retention, now: Duration) -> Self {
        let interval = match retention {
            // The first compaction waits until a whole period was seen.
            Retention::Period(period) => period,
            Retention::Revisions(_) => Duration::ZERO,
        };
        let samples = VecDeque::new();
        Self { retention, samples, last_target: 0, last_done: now, interval }
    }

    /// How long to wait between two turns.
    #[must_use]
    pub fn pause(&self) -> Duration {
        match self.retention {
            Retention::Period(period) => (period.min(INTERVAL_MAX) / PARTS).max(PAUSE_MIN),
            Retention::Revisions(_) => REVISIONS_PAUSE,
        }
    }

    /// Notes the current revision.
    pub fn sample(&mut self, revision: i64) {
        let Retention::Period(period) = self.retention else { return };
        let kept = period.as_nanos() / self.pause().as_nanos() + 1;
        self.samples.push_back(revision);
        if self.samples.len() as u128 > kept {
            self.samples.pop_front();
        }
    }

    /// The revision up to which to compact at `now`, if at all. `revision` is the current one.
    #[must_use]
    pub fn turn(&self, now: Duration, revision: i64, leads: bool) -> Option<i64> {
        let target = match self.retention {
            Retention::Period(_) => *self.samples.front()?,
            Retention::Revisions(kept) => revision.saturating_sub(kept),
        };
        let is_due = now.saturating_sub(self.last_done) >= self.interval;
        (leads && is_due && target > 0 && target != self.last_target).then_some(target)
    }

    /// Takes note that history up to `target` is compacted as of `now`, by this turn or already.
    /// Without it the next turn tries again.
    pub fn done(&mut self, now: Duration, target: i64) {
        self.last_target = target;
        self.last_done = now;
        if let Retention::Period(period) = self.retention {
            self.interval = period.min(INTERVAL_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A member whose revision at minute m is 1000 + m, from minute 0 on: what it compacts.
    fn by_minutes(period: Duration, minutes: u32, leads: impl Fn(u32) -> bool) -> Vec<(u32, i64)> {
        let mut compactor = Compactor::new(Retention::Period(period), Duration::ZERO);
        let pause = compactor.pause();
        let mut now = Duration::ZERO;
        let mut compacted = Vec::new();
        let minute = |now: Duration| u32::try_from(now.as_secs() / 60).unwrap();
        while now < MINUTE * minutes {
            compactor.sample(1_000 + i64::from(minute(now)));
            now += pause;
            if let Some(target) = compactor.turn(now, 0, leads(minute(now))) {
                compacted.push((minute(now), target));
                compactor.done(now, target);
            }
        }
        compacted
    }

    #[test]
    fn a_short_period_is_compacted_once_a_period_up_to_what_was_current_then() {
        let compacted = by_minutes(MINUTE * 10, 45, |_| true);
        assert_eq!(compacted, [(10, 1_000), (20, 1_009), (30, 1_019), (40, 1_029)]);
    }

    #[test]
    fn a_long_period_is_compacted_every_hour_once_it_has_passed() {
        let compacted = by_minutes(MINUTE * 300, 430, |_| true);
        assert_eq!(compacted, [(300, 1_000), (360, 1_054), (420, 1_114)]);
    }

    #[test]
    fn a_follower_samples_so_that_it_can_go_on_as_leader() {
        let compacted = by_minutes(MINUTE * 60, 150, |minute| minute >= 100);
        // It compacts as soon as it leads, to what was current an hour and a look before.
        assert_eq!(compacted, [(102, 1_036)]);
    }

    #[test]
    fn what_failed_is_tried_again_at_the_next_look_and_what_stands_still_is_left_alone() {
        let mut compactor = Compactor::new(Retention::Period(MINUTE * 10), Duration::ZERO);
        for _ in 0..10 {
            compactor.sample(7);
        }
        assert_eq!(compactor.turn(MINUTE * 9, 7, true), None);
        assert_eq!(compactor.turn(MINUTE * 10, 7, true), Some(7));
        compactor.sample(7);
        assert_eq!(compactor.turn(MINUTE * 11, 7, true), Some(7), "again");
        compactor.done(MINUTE * 11, 7);
        for minute in 12..30 {
            compactor.sample(7);
            assert_eq!(compactor.turn(MINUTE * minute, 7, true), None, "nothing was written");
        }
    }

    #[test]
    fn revisions_are_counted_from_the_newest() {
        let mut compactor = Compactor::new(Retention::Revisions(100), Duration::ZERO);
        assert_eq!(compactor.pause(), MINUTE * 5);
        let now = MINUTE * 5;
        assert_eq!(compactor.turn(now, 100, true), None, "all of them are to be kept");
        assert_eq!(compactor.turn(now, 101, false), None, "a follower");
        assert_eq!(compactor.turn(now, 101, true), Some(1));
        assert_eq!(compactor.turn(now, 102, true), Some(2), "the first try failed");
        compactor.done(now, 2);
        assert_eq!(compactor.turn(now, 102, true), None);
        assert_eq!(compactor.turn(now, 103, true), Some(3));
    }

    #[test]
    fn absurd_periods_do_not_spin() {
        for period in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            let mut compactor = Compactor::new(Retention::Period(period), Duration::ZERO);
            compactor.sample(5);
            compactor.sample(5);
            assert!(compactor.pause() >= PAUSE_MIN);
            let _ = compactor.turn(Duration::from_secs(1), 5, true);
        }
    }
}
