//! Time: the run's own, and each member's idea of it.

use std::time::Duration;

/// Microseconds since the run began.
pub(crate) type Micros = u64;

pub(crate) const MILLISECOND: Micros = 1_000;
pub(crate) const SECOND: Micros = 1_000_000;

/// A member's monotonic clock: it gains or loses, leaps forward, and never goes back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Where the present stretch began, by the run's clock and by this one.
    since: Micros,
    shown: Micros,
    ppm: i64,
}

impl Clock {
    pub(crate) fn new(shown: Micros, ppm: i64) -> Self {
        Self { since: 0, shown, ppm }
    }

    /// What it shows at `now`.
    pub(crate) fn at(&self, now: Micros) -> Micros {
        let passed = i64::try_from(now - self.since).unwrap_or(i64::MAX);
        let gained = passed / 1_000_000 * self.ppm + passed % 1_000_000 * self.ppm / 1_000_000;
        self.shown + u64::try_from(passed + gained).unwrap_or(0)
    }

    pub(crate) fn duration(&self, now: Micros) -> Duration {
        Duration::from_micros(self.at(now))
    }

    /// Goes on at another rate.
    pub(crate) fn drift(&mut self, now: Micros, ppm: i64) {
        *self = Self { since: now, shown: self.at(now), ppm };
    }

    /// Leaps forward.
    pub(crate) fn jump(&mut self, now: Micros, by: Micros) {
        *self = Self { since: now, shown: self.at(now) + by, ppm: self.ppm };
    }

    /// How long the run takes while this clock shows `micros` to pass.
    pub(crate) fn span(&self, micros: Micros) -> Micros {
        let rate = u64::try_from(1_000_000 + self.ppm).unwrap_or(1).max(1);
        (micros * 1_000_000 / rate).max(1)
    }
}
