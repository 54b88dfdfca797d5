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

mod history;
mod model;

pub use history::{
    Committed, History, LeaseClock, Operation, Outcome, Request, Response, StreamEnd, StreamEvent,
    StreamHeard, WatchStream,
};
pub use model::{Lease, Model, TTL_SECONDS_MIN};
