//! etcdctl's command line, as a library: `drystone ctl`, and `etcdctl` when called so.
//!
//! # What it is
//! [`run()`] takes the words of a command line and the streams to use, and gives the exit code.
//! Commands, flags, `ETCDCTL_*` variables, outputs (simple, json, fields, table, protobuf),
//! messages and exit codes are etcdctl 3.7's, so that scripts carry over.
//!
//! # What it is not
//! It does not have all of etcdctl's commands: `drystone ctl --help` lists those it has.
//!
//! # Model
//! A static tree of commands is walked by unambiguous prefixes; flags are read by pflag's
//! rules, because those are the rules that etcdctl's users have learned. A command checks its
//! arguments (exit 128), then the environment and the format (exit 1 and 4), then talks to the
//! servers. Printing is a function from a response to bytes.
//!
//! # Example
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use drystone_ctl::{Exit, Io, run};
//!
//! let mut io = Io { env: Default::default(), ..Io::process() };
//! let args = ["version"].map(Into::into);
//! assert_eq!(run("etcdctl", args, &mut io).await, Exit::SUCCESS);
//! # }
//! ```
//!
//! # Invariants
//! * Nothing is sent before arguments, environment and format have been accepted.
//! * Standard output carries what was asked for and nothing else.

mod cli;
mod commands;
mod context;
mod describe;
mod discovery;
mod exit;
mod go;
mod io;
mod print;
mod run;
mod tree;

pub use describe::describe;
pub use exit::Exit;
pub use io::Io;
pub use run::{run, run_process};
