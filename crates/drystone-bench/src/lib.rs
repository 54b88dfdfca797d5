//! A load generator for etcd v3 servers: `drystone bench`.
//!
//! # What it is
//! [`run()`] puts a load on a server (Drystone or etcd) and gives a [`Report`]: requests a
//! second, percentiles of their times, and, for servers on the same machine, requests for each
//! second of processor time.
//!
//! # What it is not
//! It does not check answers; that is the work of the conformance and simulation crates. It
//! has no TLS.
//!
//! # Model
//! A number of clients share a number of connections; each takes a turn from a common budget
//! (requests or time, at a rate if one is given), makes one request and notes how long it
//! took. At a given rate, a request that could not be made when it was due counts from when it
//! was due. Responses are scanned for the few numbers that matter and never built: on a small
//! machine a generator that decodes competes with the server for the processor.
//!
//! # Example
//! ```no_run
//! use clap::Parser;
//! use drystone_bench::{Bench, run};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), drystone_bench::Error> {
//! let bench = Bench::parse_from(["bench", "put", "--total", "1000", "--clients", "16"]);
//! let report = run(&bench).await?;
//! assert_eq!(report.load.done + report.load.errors, 1000);
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//! * At most `--clients` requests are under way at once.
//! * Which keys and values are sent follows from the options alone.

mod args;
mod error;
mod keys;
mod load;
mod process;
mod progress;
mod report;
mod run;
mod scan;
mod wire;
mod work;

pub use args::{Bench, Common, Scope, WatchArgs, Work};
pub use error::Error;
pub use process::ServerUse;
pub use report::{Latency, Load, Report};
pub use run::{run, run_process};
