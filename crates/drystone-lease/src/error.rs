//! How calls are refused.

use drystone_types::LeaseId;

/// Why the lessor refused a call. Nothing was changed, except where the call says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A grant without an id. Ids are picked by whoever proposes the grant, so that every
    /// member applies the same one.
    #[error("a lease must be granted under an id other than zero")]
    NoId,
    /// There is no such lease.
    #[error("lease {0} does not exist")]
    NotFound(LeaseId),
    /// There is such a lease already.
    #[error("lease {0} exists already")]
    Exists(LeaseId),
    /// The time asked for is above [`TTL_SECONDS_MAX`](crate::TTL_SECONDS_MAX).
    #[error("a lease of {ttl_seconds} s is too long")]
    TtlTooLarge {
        /// The seconds asked for.
        ttl_seconds: i64,
    },
    /// Only the primary can renew; ask the leader.
    #[error("this member does not time leases")]
    NotPrimary,
    /// The lease ran out and waits to be revoked; it cannot be renewed any more.
    #[error("lease {0} has run out")]
    Expired(LeaseId),
    /// A stored record is not what was once written.
    #[error("the lease record under key {key:02x?} is damaged: {reason}")]
    Corrupt {
        /// The record's key.
        key: Vec<u8>,
        /// What does not fit.
        reason: &'static str,
    },
}
