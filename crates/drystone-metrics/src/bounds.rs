//! The bounds of histograms' buckets.

/// Upper bounds of a histogram's buckets, without the last one, which is infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bounds {
    /// Of what is no histogram.
    None,
    /// A first bound, and each further one so many times the one before.
    Exponential {
        /// The first.
        start: f64,
        /// The factor.
        factor: f64,
        /// How many.
        count: usize,
    },
    /// These.
    Listed(&'static [f64]),
}

impl Bounds {
    /// The bounds, ascending.
    #[must_use]
    pub fn values(self) -> Vec<f64> {
        match self {
            Self::None => Vec::new(),
            Self::Exponential { start, factor, count } => {
                let next = |bound: &f64| Some(bound * factor);
                std::iter::successors(Some(start), next).take(count).collect()
            }
            Self::Listed(bounds) => bounds.to_vec(),
        }
    }
}
