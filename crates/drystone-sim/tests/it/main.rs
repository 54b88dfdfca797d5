//! Runs of whole clusters.

mod findings;
mod ledgers;
mod regress;
mod seeds;
mod tables;
