//! Runs of whole clusters.

mod regress;
mod seeds;
mod tables;
