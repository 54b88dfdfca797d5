//! One table of cases, run against Drystone and against etcd.
//!
//! # What it is
//! Four tables and what it takes to run them. [`commands`]: lists of `etcdctl` commands whose
//! transcripts must be equal. [`rows`]: gRPC calls whose answers are known from etcd 3.7.
//! [`sequences`]: requests after which a cluster must still stand, be equal and remember.
//! [`random`]: a stream of random requests done by both in step, with equal answers, events
//! and hashes. Beside them [`gateway`]: requests as JSON whose answers are known from etcd 3.7.
//! [`Comparison`] runs them, [`Report`] writes `docs/compatibility.md`, and [`harness`] starts
//! and ends the processes; other test programs use it too. Beside the tables stand seven
//! programs over the same harness: [`torture`] kills members under load and judges every
//! answer, [`chaos`] does so with disks and networks that fail, [`rejoin`] brings a member back
//! after a long absence, [`turnover`] exchanges members one by one, [`lists`] measures what
//! memory a list of everything takes, [`siege`] what attackers cost a server and its clients, and
//! [`contest`] measures both servers under the same loads.
//!
//! # What it is not
//! It knows nothing of Drystone's insides: it sees a binary, its ports and its exit. Only
//! [`chaos`] makes faults beside kills, for which it needs root, and reads the log that members
//! leave on their disks; clocks that fail are the simulator's work.
//!
//! # The model
//! Every row runs on a cluster of its own, started for it on free loopback ports with data in a
//! temporary directory. What servers choose (ids, addresses, sizes, terms) is hidden by
//! [`transcript::Mask`] in a way that keeps identity: the same id gets the same name everywhere.
//! An etcd older than 3.7 may rightly answer otherwise; a row names such versions with the
//! reason, and then only Drystone is held to it.
//!
//! # Example
//! ```no_run
//! use drystone_conformance::harness::{Cluster, Launch, Program};
//!
//! # async fn run() -> anyhow::Result<()> {
//! let cluster = Cluster::start(&Program::drystone()?, &Launch::of(3)).await?;
//! let put = drystone_api::etcdserverpb::PutRequest { key: "a".into(), ..Default::default() };
//! cluster.client().put(put).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//! * A process started here ends with the value that stands for it.
//! * Everything that waits is bounded by a named duration.
//! * A page is the same for the same answers: nothing in it changes from run to run.

pub mod chaos;
pub mod commands;
mod comparison;
pub mod contest;
pub mod fields;
pub mod gateway;
pub mod harness;
pub mod lists;
pub mod monitoring;
mod process;
pub mod random;
pub mod rejoin;
mod report;
pub mod rotation;
pub mod rows;
pub mod rpcs;
pub mod scrapes;
pub mod secure;
pub mod sequences;
pub mod siege;
pub mod torture;
pub mod transcript;
pub mod turnover;
mod web;

pub use comparison::{Comparison, Finding, Verdict};
pub use report::Report;
