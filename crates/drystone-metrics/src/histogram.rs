//! A histogram that any thread may add to and whose memory does not grow.

use metrics::HistogramFn;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of observations by size, and their sum.
#[derive(Debug)]
pub(crate) struct Buckets {
    bounds: Vec<f64>,
    /// One more than there are bounds: the last has no upper end.
    counts: Vec<AtomicU64>,
    /// The bits of an `f64`.
    sum: AtomicU64,
}

impl Buckets {
    pub(crate) fn new(bounds: Vec<f64>) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0_f64.to_bits()) }
    }

    fn add(&self, value: f64, times: u64) {
        // A bound belongs to its own bucket.
        let at = self.bounds.partition_point(|bound| *bound < value);
        self.counts[at].fetch_add(times, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "sums are rounded as it is")]
        let more = value * times as f64;
        let add = |sum: u64| Some((f64::from_bits(sum) + more).to_bits());
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Each bound with the number of observations up to it; the last bound is infinite. An
    /// observation that is added meanwhile is in or not.
    pub(crate) fn cumulative(&self) -> Vec<(f64, u64)> {
        let mut total = 0;
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        bounds
            .zip(&self.counts)
            .map(|(bound, count)| {
                total += count.load(Ordering::Relaxed);
                (bound, total)
            })
            .collect()
    }

    pub(crate) fn sum(&self) -> f64 {
        f64::from_bits(self.sum.load(Ordering::Relaxed))
    }
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        self.add(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        self.add(value, count as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_equals_a_bound_counts_below_it_and_what_is_above_all_counts_last() {
        let buckets = Buckets::new(vec![1.0, 2.0, 4.0]);
        for value in [0.5, 1.0, 1.5, 4.0, 9.0] {
            buckets.record(value);
        }
        buckets.record_many(2.0, 3);
        let counts = [(1.0, 2), (2.0, 6), (4.0, 7), (f64::INFINITY, 8)];
        assert_eq!(buckets.cumulative(), counts);
        assert!((buckets.sum() - 22.0).abs() < 1e-9);
    }
}
