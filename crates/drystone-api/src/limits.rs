//! Bounds and defaults that etcd's clients and operators count on.
//!
//! The constants are etcd 3.7's defaults. Those that a flag changes name it; who parses flags
//! starts from here.

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::etcdserverpb::{TxnRequest, request_op::Request};

/// Bytes of a serialized [`InternalRaftRequest`](crate::etcdserverpb::InternalRaftRequest),
/// header included (`--max-request-bytes`).
pub const REQUEST_BYTES_MAX: usize = 1_572_864;

/// What the transport allows a message to be larger than [`REQUEST_BYTES_MAX`], in bytes, so
/// that most requests that are too large get etcd's own answer.
pub const TRANSPORT_OVERHEAD_BYTES: usize = 524_288;

/// Bytes of a response. Lists and unfragmented watch responses are not cut below it.
pub const RESPONSE_BYTES_MAX: usize = i32::MAX as usize;

/// Operations of a transaction (`--max-txn-ops`): each of the lists `compare`, `success` and
/// `failure` may have so many. A nested transaction may have what its parent's longest list
/// leaves.
pub const TXN_OPS_MAX: usize = 128;

/// How deep transactions may nest, the outermost counted.
///
/// Protobuf messages nest at most 100 deep when prost decodes them, which is what keeps a
/// hostile message from exhausting the stack. Each transaction inside another takes two of
/// these levels, and the log entry around them one more. A request one level deeper than this
/// still decodes when it comes from a client, and would not decode when it comes back from
/// the log: **who proposes must check [`txn_depth`] first** and answer
/// [`EtcdError::TooManyOps`](crate::errors::EtcdError::TooManyOps) beyond. etcd itself only has
/// its budget of operations, which allows a depth of 129 where every level has one operation.
pub const TXN_DEPTH_MAX: usize = 49;

/// Upper bound of a lease's time to live, in seconds.
pub const LEASE_TTL_SECONDS_MAX: i64 = 9_000_000_000;

/// Bytes of the store beyond which puts are refused (`--quota-backend-bytes 0`).
pub const QUOTA_BYTES_DEFAULT: u64 = 2 * 1024 * 1024 * 1024;

/// What a put costs the quota beyond the bytes of its key and value.
pub const QUOTA_PUT_OVERHEAD_BYTES: u64 = 256;

/// What the grant of a lease costs the quota.
pub const QUOTA_LEASE_BYTES: u64 = 64;

/// How far applying may fall behind committing, in entries, before proposals are refused.
pub const APPLY_LAG_ENTRIES_MAX: u64 = 5000;

/// The same for what gives room or time back: ends of leases.
pub const APPLY_LAG_ENTRIES_MAX_URGENT: u64 = 10_000;

/// Bytes from which a watch response is split, for watchers that allow it.
pub const WATCH_FRAGMENT_BYTES: usize = 2_097_152;

/// Bytes of each piece of a snapshot but the last.
pub const SNAPSHOT_CHUNK_BYTES: usize = 32_768;

/// Pause between reports of progress on an idle watch (`--watch-progress-notify-interval`).
pub const WATCH_PROGRESS_INTERVAL: Duration = Duration::from_secs(600);

/// Pause between heartbeats (`--heartbeat-interval`).
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(100);

/// Silence after which a follower campaigns (`--election-timeout`).
pub const ELECTION_TIMEOUT: Duration = Duration::from_millis(1000);

/// Learners in a cluster (`--max-learners`).
pub const LEARNERS_MAX: usize = 1;

/// Bytes of a password beyond which bcrypt refuses it.
pub const PASSWORD_BYTES_MAX: usize = 72;

/// How long a server works on a proposal or a linearizable read: five seconds and two election
/// timeouts.
///
/// ```
/// use std::time::Duration;
/// use drystone_api::limits::{ELECTION_TIMEOUT, request_timeout};
///
/// assert_eq!(request_timeout(ELECTION_TIMEOUT), Duration::from_secs(7));
/// ```
#[must_use]
pub const fn request_timeout(election_timeout: Duration) -> Duration {
    Duration::from_secs(5).saturating_add(election_timeout.saturating_mul(2))
}

/// The smallest time to live a lease is granted, in seconds: one and a half election timeouts,
/// rounded up.
///
/// ```
/// use drystone_api::limits::{ELECTION_TIMEOUT, lease_ttl_seconds_min};
///
/// assert_eq!(lease_ttl_seconds_min(ELECTION_TIMEOUT), 2);
/// ```
#[must_use]
pub fn lease_ttl_seconds_min(election_timeout: Duration) -> i64 {
    let millis = election_timeout.as_millis().saturating_mul(3).div_ceil(2);
    i64::try_from(millis.div_ceil(1000)).unwrap_or(LEASE_TTL_SECONDS_MAX)
}

/// How deep transactions nest in `txn`, itself counted: 1 for one without nested ones.
///
/// It walks both branches of every level, at a cost proportional to the number of operations,
/// and keeps its own stack, so that the depth of the message is no matter.
#[must_use]
pub fn txn_depth(txn: &TxnRequest) -> usize {
    let mut deepest = 0;
    let mut open = vec![(txn, 1)];
    while let Some((txn, depth)) = open.pop() {
        deepest = deepest.max(depth);
        for op in txn.success.iter().chain(&txn.failure) {
            if let Some(Request::RequestTxn(nested)) = &op.request {
                open.push((nested, depth + 1));
            }
        }
    }
    deepest
}
