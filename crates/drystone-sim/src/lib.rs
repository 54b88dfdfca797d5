//! A whole cluster in one thread, from one seed: real members under simulated time, disks and
//! network, and judges of everything they do.

mod clock;
pub mod faults;
mod generate;
mod host;
mod judges;
mod knobs;
pub mod marks;
mod network;
pub mod plan;
mod random;
mod report;
mod requests;
mod trace;
mod world;

pub use knobs::Knobs;
pub use plan::Plan;
pub use report::{Counts, Report};

/// Runs a plan and judges it.
#[must_use]
pub fn run(plan: Plan, keep_trace: bool) -> Report {
    world::World::new(plan, keep_trace).run()
}
