//! Histories of an etcd v3 cluster, and the judges that say whether they can be true.
//!
//! # What it is
//! [`History`] is what clients did and were told, what a watcher heard, and the committed log as
//! the witness. Whoever drives a cluster (the simulator, a torture of real processes) writes one;
//! the judges read it when it is complete. [`Model`] is the naive twin of a cluster's state that
//! they judge by. The crate's README lists the judges and their rules.
//!
//! # What it is not
//! It drives nothing, and it does not know how a member works: a history of etcd itself can be
//! judged. What needs a look inside (raft's state, queues) is judged by who can look.
//!
//! # Example
//! ```
//! use drystone_api::etcdserverpb::{InternalRaftRequest, PutRequest, PutResponse, ResponseHeader};
//! use drystone_judge::{Committed, History, Operation, Outcome, Request, Response, judge};
//! use drystone_types::{LogIndex, MemberId, Term};
//! use std::time::Duration;
//!
//! let put = PutRequest { key: "stone".into(), value: "granite".into(), ..Default::default() };
//! let command = InternalRaftRequest { put: Some(put.clone()), ..Default::default() };
//! let header = Some(ResponseHeader { revision: 2, ..Default::default() });
//! let mut history = History::default();
//! history.log.push(Committed {
//!     index: LogIndex(1),
//!     term: Term(1),
//!     command: Some(command),
//!     applied_at: None,
//! });
//! history.operations.push(Operation {
//!     client: 1,
//!     member: MemberId(1),
//!     proposal: None,
//!     called_at: Duration::from_millis(1),
//!     returned_at: Duration::from_millis(2),
//!     request: Request::Put(put),
//!     outcome: Outcome::Answered(Response::Put(PutResponse { header, prev_kv: None })),
//! });
//! assert!(judge(&history).is_clean());
//!
//! // Had the log held nothing but an empty entry, the write would be lost.
//! history.log[0].command = None;
//! assert!(judge(&history).breaks("lost"));
//! ```

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
    Committed, History, LeaseClock, MembersRequest, Operation, Outcome, Request, Response,
    StreamEnd, StreamEvent, StreamHeard, WatchStream,
};
pub use leases::leases;
pub use model::{Auth, Lease, Model, TTL_SECONDS_MIN};
pub use search::{Searched, search};
pub use verdict::{VIOLATIONS_MAX, Verdict, Violation};
pub use watches::watches;
pub use witness::witness;

/// Judges a history by everything that reads it once: [`witness()`], [`watches()`],
/// [`leases()`].
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
