//! Which of many equal lines are written, as etcd's logger decides it.

use super::level::Level;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Lines of one message that are all written in a second.
const FIRST: u64 = 100;
/// Of those behind, every so manieth is written.
const THEREAFTER: u64 = 100;
/// Counters. Messages that share one are counted together.
const COUNTERS: usize = 4_096;
/// Bits of a counter that count; those above hold the second.
const COUNT_BITS: u32 = 32;

/// Counts the lines of each message in the current second.
#[derive(Debug)]
pub(super) struct Sampler {
    counters: Box<[AtomicU64]>,
}

impl Default for Sampler {
    fn default() -> Self {
        Self { counters: (0..COUNTERS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Sampler {
    /// Whether a line with this message, logged at `time`, is to be written.
    pub(super) fn admits(&self, level: Level, message: &str, time: SystemTime) -> bool {
        let mut hasher = DefaultHasher::new();
        (level, message).hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % COUNTERS as u64).unwrap_or_default();
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = since.as_secs() << COUNT_BITS;
        let count =
            |held: u64| if held >> COUNT_BITS == second >> COUNT_BITS { held } else { second };
        let counter = &self.counters[place];
        let held = counter
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| Some(count(held) + 1));
        let number = (count(held.unwrap_or(second)) - second) + 1;
        number <= FIRST || (number - FIRST).is_multiple_of(THEREAFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn of_many_equal_lines_in_a_second_every_hundredth_is_written() {
        let sampler = Sampler::default();
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let written = |count: usize, message, now| {
            (0..count).filter(|_| sampler.admits(Level::Info, message, now)).count()
        };
        assert_eq!(written(100, "a", now), 100);
        assert_eq!(written(99, "a", now), 0);
        assert_eq!(written(1, "a", now), 1, "the two hundredth");
        assert_eq!(written(500, "a", now), 5);
        assert_eq!(written(100, "b", now), 100, "another message has its own count");
        assert_eq!(written(101, "a", now + Duration::from_secs(1)), 100, "a new second");
    }
}
