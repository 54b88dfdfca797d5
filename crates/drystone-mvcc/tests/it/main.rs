//! What the store promises, seen from outside.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod compaction;
mod hashes;
mod history;
mod rig;
mod vectors;
