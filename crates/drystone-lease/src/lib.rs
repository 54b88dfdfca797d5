//! Key leases: grants, renewals, expiry, attached keys and checkpoints.
//!
//! # What it is
//! [`Lessor`] is the book of leases of one member. Changes that the replicated log orders
//! (grant, revoke, checkpoint, attach) are applied on every member and write their records into
//! a [`drystone_backend::Batch`]. Deadlines exist on the *primary* alone, the member that leads:
//! it is told the time, says which leases ran out, and whoever owns it proposes to revoke them.
//!
//! # What it is not
//! It has no clock, no thread and no store. It deletes no keys: [`Lessor::revoke`] names them
//! and the key-value store deletes them in one revision. It does not know raft.
//!
//! # Time
//! `now` is the time since an origin of the caller's choice, from a clock that never goes
//! back; nothing is kept of it across [`Lessor::demote`] or a restart. A new primary starts all
//! leases afresh, so a change of leader can only lengthen a lease.
//!
//! # Example
//! ```
//! use drystone_backend::Batch;
//! use drystone_lease::{Config, Lessor};
//! use drystone_types::LeaseId;
//! use std::time::Duration;
//!
//! let mut lessor = Lessor::new(Config::default());
//! lessor.promote(Duration::ZERO, Duration::from_secs(1));
//!
//! let mut batch = Batch::new();
//! let granted = lessor.grant(&mut batch, LeaseId(7), 10, Duration::ZERO)?;
//! assert_eq!(granted.ttl_seconds, 10);
//! lessor.attach(&b"lock".as_slice().into(), LeaseId(0), LeaseId(7))?;
//!
//! assert!(lessor.expired(Duration::from_secs(9), 100).is_empty());
//! assert_eq!(lessor.expired(Duration::from_secs(10), 100), [LeaseId(7)]);
//! assert_eq!(lessor.revoke(&mut batch, LeaseId(7))?, ["lock"]);
//! # Ok::<(), drystone_lease::Error>(())
//! ```
//!
//! # Invariants
//! * A lease is reported as expired only when at least its granted time has passed, by the
//!   clock handed in, since the grant, the last renewal or the promotion, whichever is latest
//!   (after a promotion: at least the checkpointed remainder).
//! * What a checkpoint says is left never grows unless the lease was renewed.
//! * A key hangs on one lease at most as long as the caller reports every change of a key.
//! * What is replicated (ids, granted time, remainder, attachments) depends on the calls in
//!   their order, never on `now`.
//! * Memory is in proportion to the leases that live and the keys attached to them.

mod config;
mod error;
mod keys;
mod lessor;
mod record;

pub use config::Config;
pub use error::Error;
pub use lessor::{Granted, Lessor, Renewed, TTL_SECONDS_MAX, TimeToLive};
