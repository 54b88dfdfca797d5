//! Replicas among each other, on a network and disks that a seed decides.

#![expect(clippy::unwrap_used, reason = "a test says what failed by panicking")]

mod basics;
mod chaos;
mod checks;
mod determinism;
mod membership;
mod net;
