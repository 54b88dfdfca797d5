//! Whole transports over loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bounds;
mod etcd;
mod faces;
mod harness;
mod refusals;
mod snapshots;
mod streams;
