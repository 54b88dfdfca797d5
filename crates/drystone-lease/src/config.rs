//! What can be set.

use std::time::Duration;

/// Settings of a [`Lessor`](crate::Lessor).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The shortest lease there is; shorter requests are raised to it. It shapes replicated
    /// records, so all members must agree: etcd takes 1.5 election timeouts, rounded up.
    pub ttl_seconds_min: i64,
    /// How long after a lease was reported as expired it is reported again, while it lives.
    pub expiry_retry: Duration,
    /// How often the remaining time of a long lease is logged; `None` never logs it.
    pub checkpoint_interval: Option<Duration>,
    /// At how many leases a promotion begins to spread expiries that fall together.
    pub spread_leases_min: usize,
    /// How many leases may run out in one second after a promotion that spreads; at least 1.
    pub spread_expiries_per_second_max: usize,
}

impl Default for Config {
    /// etcd's numbers, with checkpoints on.
    fn default() -> Self {
        Self {
            ttl_seconds_min: 2,
            expiry_retry: Duration::from_secs(3),
            checkpoint_interval: Some(Duration::from_secs(300)),
            spread_leases_min: 1000,
            spread_expiries_per_second_max: 750,
        }
    }
}
