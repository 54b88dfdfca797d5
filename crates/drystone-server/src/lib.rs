//! A Drystone member as a process: configuration, bootstrap, threads and the gRPC face.
//!
//! # What it is
//! [`parse`] reads etcd's flags and `ETCD_*` variables into a checked [`Config`]; [`Server`]
//! restores or founds the member that the data directory holds, runs it, and stops it again.
//! [`run`] does all of that as a program does.
//!
//! Inside, `drystone-member`'s parts run on a thread each (`threads.rs`), the watch hub on
//! another (`hub.rs`), and the services (`kv.rs`, `watch.rs`, `lease.rs`, …) on tokio's
//! workers. They share `shared.rs` and meet at channels that carry batches.
//!
//! # What it is not
//! It decides nothing about consensus, keys, leases or watchers: those are the cores'. It does
//! no blocking work on a worker.
//!
//! # Example
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use drystone_server::{Parsed, Server, parse};
//!
//! let words = ["--name=a".to_owned(), "--data-dir=/var/lib/drystone".to_owned()];
//! if let Ok(Parsed::Run { config, .. }) = parse(words, std::env::vars()) {
//!     let server = Server::start(*config).await?;
//!     tokio::signal::ctrl_c().await?;
//!     server.stop().await;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//! * Nothing is answered before a majority has synced it and this member has applied it.
//! * A failure of the log or the store ends the process; it never goes on with a guess.
//! * Every queue is bounded: the inbox refuses, streams stall, the feed overflows into history.

mod access;
mod auth;
mod auto_compact;
mod brakes;
mod calls;
mod changes;
mod checkpoint;
mod clients;
mod cluster;
mod config;
mod connection;
mod corrupt;
mod deadline;
mod digest;
mod discovery;
mod downgrade;
mod download;
mod election;
mod founding;
mod gate;
mod health;
mod http;
mod hub;
mod ids;
mod inbox;
mod join;
mod kv;
mod layout;
mod lease;
mod list;
mod listing;
mod lock;
mod logging;
mod long;
mod maintenance;
mod memory;
mod metrics;
mod milestones;
mod observe;
mod passwords;
mod peers;
mod pieces;
mod process;
mod raise;
mod range;
mod recipe;
mod reconfigure;
mod recover;
mod rejoin;
mod replace;
mod resolve;
mod serve;
mod shared;
mod slow;
mod strict;
mod texts;
mod threads;
mod tls;
mod tokens;
mod version;
mod watch;

pub use self::http::{Accept, tell_of_allocator};
pub use config::{
    AutoCompaction, Bootstrap, ClusterState, Config, Feature, LogFormat, LogOutput, LogRotation,
    Note, NoteLevel, Parsed, Printout, RegistryConfig, SrvConfig, TlsConfig, Tracing, UsageError,
    bind_address, describe, parse, parse_urls, report,
};
pub use connection::{Connection, FarEnd};
pub use logging::{OpenError, flush as flush_log, start as start_logging};
pub use observe::{Load, Observer};
pub use serve::Server;

use config::tell;
use std::process::ExitCode;

/// The version of etcd whose behaviour this server has, as clients ask for it.
pub const ETCD_VERSION: &str = "3.7.1";
/// Threads that blocking reads may use at once.
const BLOCKING_THREADS_MAX: usize = 16;

/// True when the caller asks to be refused while no leader is known.
pub(crate) fn needs_leader(metadata: &tonic::metadata::MetadataMap) -> bool {
    metadata.get("hasleader").is_some_and(|value| value == "true")
}

/// Runs a server as a program: flags from `words`, variables from the environment, until
/// SIGTERM or SIGINT, by which it then dies. Returns the exit code of any other end.
pub fn run(words: impl IntoIterator<Item = String>) -> ExitCode {
    let words: Vec<String> = words.into_iter().collect();
    let shown = logging::without_secrets(&words);
    let (config, notes) = match parse(words, variables()) {
        Ok(Parsed::Run { config, notes }) => (*config, notes),
        Ok(Parsed::Print(text)) => {
            tell(std::io::stderr(), &text.stderr);
            tell(std::io::stdout(), &text.stdout);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            if error.goes_to_the_log() {
                logging::start_plain();
            }
            error.tell();
            logging::flush();
            return ExitCode::from(error.code);
        }
    };
    if let Err(error) = start_logging(&config) {
        logging::start_plain();
        tracing::warn!(%error, "failed to verify flags");
        logging::flush();
        return ExitCode::FAILURE;
    }
    tracing::info!(args = ?shown, "Running: ");
    for note in notes {
        note.log();
    }
    http::raise_descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("worker")
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    process::run(config, runtime)
}

/// Runs `config check` as a program: says what flags, variables and file mean, and starts
/// nothing. Returns the exit code that a server would have ended with, or 0.
pub fn check_config(words: impl IntoIterator<Item = String>) -> ExitCode {
    let (text, code) = report(words, variables());
    tell(std::io::stdout(), &text);
    ExitCode::from(code)
}

/// The variables of this process. Names that are no UTF-8 are none of ours.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    })
}
