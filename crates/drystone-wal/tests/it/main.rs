//! The log against disks that fail, and the disks against their contract.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod basics;
mod crash;
mod damage;
mod disks;
mod faults;
mod misreads;
mod world;
