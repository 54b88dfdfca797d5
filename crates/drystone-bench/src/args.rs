//! The command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Drives any etcd v3 server and prints throughput and latency.
#[derive(Clone, Debug, Parser)]
#[command(version, about, disable_help_subcommand = true)]
pub struct Bench {
    /// What to do to the server.
    #[command(subcommand)]
    pub work: Work,
    /// Options that every kind of work takes.
    #[command(flatten)]
    pub common: Common,
}

/// What is done to the server.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
#[non_exhaustive]
pub enum Work {
    /// Write keys.
    Put,
    /// Read single keys.
    Range,
    /// Update keys as Kubernetes does: put if the key is as last seen, else read it.
    Txn,
    /// Read all keys in one response.
    List,
    /// Read all keys page by page, at the revision of the first page.
    Page {
        /// Keys a page.
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
        page_size: u32,
    },
    /// Count all keys.
    Count,
    /// Write keys while watchers listen; measures from the put to the event.
    Watch(WatchArgs),
}

/// Options of [`Work::Watch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct WatchArgs {
    /// Watchers, spread over the streams.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub watchers: u32,
    /// Streams, spread over the connections.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub streams: u32,
    /// What a watcher watches.
    #[arg(long, value_enum, default_value_t = Scope::Prefix)]
    pub scope: Scope,
}

/// What a watcher watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    /// All keys: each event goes to every watcher.
    Prefix,
    /// One key, the n-th watcher the n-th key (modulo their number).
    Key,
}

/// Options that every kind of work takes.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Common {
    /// Servers, by comma; connections are spread over them.
    #[arg(long, global = true, value_delimiter = ',', default_value = "127.0.0.1:2379")]
    pub endpoints: Vec<String>,
    /// Connections.
    #[arg(long, global = true, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub connections: u32,
    /// Requests under way at once, spread over the connections.
    #[arg(long, global = true, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub clients: u32,
    /// Requests to make, 10000 if no duration is given.
    #[arg(long, global = true)]
    pub total: Option<u64>,
    /// Time to go on for, for example 30s.
    #[arg(long, global = true, value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// Requests a second over all clients; 0 for as many as possible.
    #[arg(long, global = true, default_value_t = 0)]
    pub rate: u32,
    /// Bytes of a key.
    #[arg(long, global = true, default_value_t = 32, value_parser = clap::value_parser!(u32).range(..=65_536))]
    pub key_size: u32,
    /// Bytes of a value.
    #[arg(long, global = true, default_value_t = 256, value_parser = clap::value_parser!(u32).range(..=1_048_576))]
    pub val_size: u32,
    /// Number of different keys.
    #[arg(long, global = true, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub keys: u64,
    /// What all keys begin with.
    #[arg(long, global = true, default_value = "bench/")]
    pub prefix: String,
    /// Go through the keys in order rather than at random.
    #[arg(long, global = true)]
    pub sequential: bool,
    /// Seed of all that is random.
    #[arg(long, global = true, default_value_t = 1)]
    pub seed: u64,
    /// Reads need not wait for the leader.
    #[arg(long, global = true)]
    pub serializable: bool,
    /// Do not write missing keys before work that reads.
    #[arg(long, global = true)]
    pub no_fill: bool,
    /// Delete all keys with the prefix at the end.
    #[arg(long, global = true)]
    pub clean: bool,
    /// Time that a request may take.
    #[arg(long, global = true, value_parser = humantime::parse_duration, default_value = "60s")]
    pub request_timeout: Duration,
    /// Errors after which to give up.
    #[arg(long, global = true, default_value_t = 1000)]
    pub errors_max: u64,
    /// Threads of the generator.
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
    /// Process of a server on this machine whose processor time and memory to report;
    /// may be repeated.
    #[arg(long = "server-pid", global = true)]
    pub server_pids: Vec<u32>,
    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

impl Work {
    /// The word on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Work::Put => "put",
            Work::Range => "range",
            Work::Txn => "txn",
            Work::List => "list",
            Work::Page { .. } => "page",
            Work::Count => "count",
            Work::Watch(_) => "watch",
        }
    }

    /// Whether the keys must be there beforehand.
    pub(crate) fn reads(&self) -> bool {
        match self {
            Work::Range | Work::List | Work::Page { .. } | Work::Count => true,
            Work::Put | Work::Txn | Work::Watch(_) => false,
        }
    }
}

impl Common {
    /// Requests if nothing is said about them or about time.
    const TOTAL: u64 = 10_000;

    /// Most requests to make.
    pub(crate) fn total(&self) -> u64 {
        match (self.total, self.duration) {
            (Some(total), _) => total,
            (None, Some(_)) => u64::MAX,
            (None, None) => Common::TOTAL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn command_lines() {
        Bench::command().debug_assert();
        let parse = |line: &str| Bench::try_parse_from(line.split_whitespace());
        let bench = parse("bench --clients 8 page --page-size 7 --duration 3s --json").unwrap();
        assert_eq!(bench.work, Work::Page { page_size: 7 });
        assert_eq!((bench.common.clients, bench.common.json), (8, true));
        assert_eq!(bench.common.total(), u64::MAX);
        assert_eq!(parse("bench put").unwrap().common.total(), 10_000);
        let watch = parse("bench watch --scope key --endpoints a:1,b:2").unwrap();
        assert_eq!(watch.common.endpoints, ["a:1", "b:2"]);
        for line in ["bench", "bench fly", "bench put --clients 0", "bench put --page-size 2"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
