//! What a store is told about itself.

/// Bounds of a store's memory, apart from the key index, which grows with the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The most bytes of encoded pairs, with what keeping them costs, that are held in memory.
    /// Pairs beyond it are read from the store below. 0 keeps none.
    pub value_cache_bytes: usize,
    /// The most bytes of recent births and deaths of keys that are held to count keys at a past
    /// revision without walking them.
    pub count_log_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { value_cache_bytes: 128 << 20, count_log_bytes: 8 << 20 }
    }
}

impl Config {
    /// This config with another bound on cached values.
    #[must_use]
    pub fn with_value_cache_bytes(mut self, bytes: usize) -> Self {
        self.value_cache_bytes = bytes;
        self
    }

    /// This config with another bound on the log of births and deaths.
    #[must_use]
    pub fn with_count_log_bytes(mut self, bytes: usize) -> Self {
        self.count_log_bytes = bytes;
        self
    }
}
