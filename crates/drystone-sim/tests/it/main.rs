//! Runs of whole clusters.

mod findings;
mod regress;
mod seeds;
mod tables;
