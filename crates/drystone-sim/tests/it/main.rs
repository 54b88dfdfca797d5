//! Runs of whole clusters.

mod seeds;
mod tables;
