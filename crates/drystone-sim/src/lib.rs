//! A whole cluster in one thread, from one seed: real members under simulated time, disks and
//! network, and judges of everything they do.

mod attempt;
mod clock;
pub mod faults;
mod generate;
mod host;
mod judges;
mod kept;
mod knobs;
pub mod marks;
mod network;
mod panics;
pub mod plan;
mod random;
mod report;
mod requests;
pub mod rights;
mod shrink;
mod tally;
mod trace;
mod world;

pub use attempt::{Attempt, Finding, PANIC, attempt};
pub use kept::Kept;
pub use knobs::Knobs;
pub use panics::hear_panics;
pub use plan::Plan;
pub use report::{Counts, Report};
pub use shrink::{Shrunk, shrink};
pub use tally::{Passed, Tally};

/// Runs a plan and judges it.
#[must_use]
pub fn run(plan: Plan, keep_trace: bool) -> Report {
    world::World::new(plan, keep_trace).run()
}
