//! What the store promises, seen from outside.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod compaction;
mod hashes;
mod history;
mod ledger;
mod model;
mod rig;
mod threads;
mod twin;
mod vectors;
