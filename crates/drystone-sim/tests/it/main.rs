//! Runs of whole clusters.

mod seeds;
