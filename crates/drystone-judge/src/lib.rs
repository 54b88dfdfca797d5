//! Histories of an etcd v3 cluster, and the judges that say whether they can be true.
//!
//! # What it is
//! [`History`] is what clients did and were told, what a watcher heard, and the committed log as
//! the witness. Whoever drives a cluster (the simulator, a torture of real processes) writes one;
//! the judges read it when it is complete. [`Model`] is the naive twin of a cluster's state that
//! they judge by.
//!
//! # What it is not
//! It drives nothing, and it does not know how a member works: a history of etcd itself can be
//! judged. What needs a look inside (raft's state, queues) is judged by who can look.

mod answer;
mod history;
mod leases;
mod model;
mod replay;
mod search;
mod verdict;
mod watches;
mod witness;

pub use history::{
    Committed, History, LeaseClock, Operation, Outcome, Request, Response, StreamEnd, StreamEvent,
    StreamHeard, WatchStream,
};
pub use leases::leases;
pub use model::{Lease, Model, TTL_SECONDS_MIN};
pub use search::{Searched, search};
pub use verdict::{VIOLATIONS_MAX, Verdict, Violation};
pub use watches::watches;
pub use witness::witness;

/// Judges a history by everything that reads it once: [`witness`], [`watches`], [`leases`].
///
/// A complete history of a true cluster gives a clean verdict. So does one that says little:
/// without a log, nothing is judged.
#[must_use]
pub fn judge(history: &History) -> Verdict {
    let replay = replay::Replay::new(history);
    let mut verdict = witness::judge(history, &replay);
    verdict.extend(watches::judge(history, &replay));
    verdict.extend(leases::judge(history, &replay));
    verdict
}
