//! Streams of randomness, one for each purpose, all from one seed.
//!
//! They are apart so that a change in one (a fault less, an operation more) leaves the draws of
//! the others as they were.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What a stream is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Knobs,
    Workload,
    Faults,
    Network,
    Disk,
    Elections,
    Timing,
    Sampling,
    Members,
    Rights,
}

/// The stream of one purpose.
pub(crate) fn stream(seed: u64, purpose: Purpose) -> StdRng {
    StdRng::seed_from_u64(mix(seed ^ mix(purpose as u64 + 1)))
}

/// The finalizer of splitmix64: neighbours become strangers.
pub(crate) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Draws, in the words in which swarms are described.
pub(crate) trait Draw: Rng {
    /// True so many times in a hundred.
    fn percent(&mut self, percent: u32) -> bool {
        self.random_range(0..100) < percent
    }

    /// One of the items.
    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.random_range(0..items.len())]
    }

    /// A number of `low..=high`, small ones as likely as large ones (uniform in its logarithm).
    fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        let (low_bits, high_bits) = (low.max(1).ilog2(), high.max(1).ilog2());
        let bits = self.random_range(low_bits..=high_bits);
        let from = (1u64 << bits).clamp(low, high);
        let to = (1u64 << bits).saturating_mul(2).saturating_sub(1).clamp(from, high);
        self.random_range(from..=to)
    }
}

impl<R: Rng> Draw for R {}
