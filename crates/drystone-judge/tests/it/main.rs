//! Judges must accept what can be true and find what cannot.

mod leases;
mod rig;
mod watches;
mod witness;
