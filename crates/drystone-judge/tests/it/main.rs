//! Judges must accept what can be true and find what cannot.

mod rig;
mod witness;
