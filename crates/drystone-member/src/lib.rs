//! One member of a cluster without sockets, threads or clocks.
//!
//! # What it is
//! Three parts that take inputs and give effects, each meant for a thread of its own and all
//! able to share one:
//! * [`Node`]: consensus. Ticks, messages, proposals and reads in; messages, appends for the
//!   log, committed entries and confirmed reads out.
//! * [`LogWriter`]: the log. Appends in; durable numbers and the messages that waited for them
//!   out.
//! * [`Applier`]: the machine. Committed entries in; answers, events and released reads out.
//!
//! [`Feed`] carries events from the applier to a `drystone_watch::Hub`, and [`Founding`] makes the
//! first log of a new cluster.
//!
//! # What it is not
//! It starts no thread, reads no clock and opens no socket; it does not know tokio. A server
//! moves the effects between threads, a simulator between members.
//!
//! # The order that must hold
//! Messages of [`Append::then_send`] leave only after [`LogWriter::sync`] returned them.
//! [`Node::persisted`] is told only what the log said. Entries are applied in the order given.
//! [`Node::flushed`] is told only what the store said is durable.
//!
//! # Example
//! `examples/single.rs` drives a cluster of one member through a put; `tests/it` drives three
//! through crashes.

mod applier;
mod bootstrap;
mod compactor;
mod corruption;
mod divergence;
mod ends;
mod force;
mod lead;
mod learner;
mod log;
mod node;
mod reads;
mod watch;

pub use applier::{Applier, ApplierConfig, Done};
pub use bootstrap::{Founding, FoundingError};
pub use compactor::{Compactor, Retention};
pub use corruption::{CompactionVerdict, Fault, PeriodicAnswer, StartVerdict, judge_periodic};
pub use divergence::{Comparison, Standing, compare};
pub use force::{ForceError, Forced, ForcedFrom, force_alone};
pub use lead::{Decision, LeaderCommand};
pub use learner::NotReady;
pub use log::{LogWriter, Persisted, encode_conf};
pub use node::{Append, Effects, Leadership, Node, NodeConfig, Work};
pub use watch::{Fed, Feed, LazyHistory, watch_create, watch_response};
