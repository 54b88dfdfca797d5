//! The whole server behind a simulated network: streams, cancellations, deadlines, back-pressure
//! and lost connections. `rig.rs` says how simulated time and real threads go together.
//!
//! A seed decides the network's delays and faults and what clients do. `DRYSTONE_TURMOIL_SEEDS`
//! gives other seeds than the first few, as in `100..200`.

mod calls;
mod connections;
mod lease;
mod mixed;
mod record;
mod rig;
mod socket;
mod watch;
