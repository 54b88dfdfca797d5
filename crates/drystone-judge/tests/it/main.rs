//! Judges must accept what can be true and find what cannot.

mod leases;
mod random;
mod rig;
mod search;
mod watches;
mod witness;
mod world;
