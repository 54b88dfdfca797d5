//! The server's configuration: etcd's flags, `ETCD_*` variables and file, checked once.

mod bootstrap;
mod checks;
mod describe;
mod environment;
mod file;
mod flags;
mod gates;
mod help;
mod kind;
mod log;
mod note;
mod numbers;
mod parse;
mod report;
mod spans;
mod tls;

mod urls;
mod usage;
mod values;
mod words;
mod yaml;

pub(crate) use bootstrap::parse_initial_cluster;
pub use bootstrap::{Bootstrap, RegistryConfig, SrvConfig};
pub use describe::describe;
pub(crate) use flags::is_secret;
pub use gates::Feature;
pub(crate) use help::arch;
pub use log::{LogFormat, LogOutput, LogRotation};
pub use note::{Note, NoteLevel};
pub(crate) use numbers::format_nanoseconds;
pub use parse::parse;
pub use report::report;
pub use spans::Tracing;
pub use tls::TlsConfig;
pub use urls::{bind_address, parse_urls};
pub(crate) use urls::{check_urls, split_host_port};
pub(crate) use usage::tell;
pub use usage::{Parsed, Printout, UsageError};

use drystone_auth::TokenSpec;
use drystone_machine::quota::Quota;
use std::path::PathBuf;
use std::time::Duration;

/// Whether this member founds its cluster or joins one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// Every member of `initial_cluster` starts a new cluster together.
    New,
    /// The cluster exists and has been told of this member.
    Existing,
}

/// What history is compacted away without anyone asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCompaction {
    /// None.
    Off,
    /// What is older than this.
    Periodic(Duration),
    /// All but the newest revisions, this many.
    Revisions(i64),
}

/// Everything that decides how a server runs. Settings only: no handles, no state.
#[derive(Clone, Debug)]
pub struct Config {
    /// This member's name.
    pub name: String,
    /// Where the member keeps everything.
    pub data_dir: PathBuf,
    /// Where the log goes when not under the data directory.
    pub wal_dir: Option<PathBuf>,
    /// URLs to listen on for other members.
    pub listen_peer_urls: Vec<String>,
    /// URLs to listen on for clients.
    pub listen_client_urls: Vec<String>,
    /// URLs to listen on for clients that speak HTTP and not gRPC. With any, the URLs above are
    /// gRPC's alone.
    pub listen_client_http_urls: Vec<String>,
    /// URLs to listen on for probes and metrics.
    pub listen_metrics_urls: Vec<String>,
    /// Origins whose pages may read answers; none, or `*`, is all.
    pub cors: Vec<String>,
    /// Names of hosts that requests in clear may be for; none, or `*`, is all.
    pub host_whitelist: Vec<String>,
    /// Whether JSON is taken under `/v3/`.
    pub grpc_gateway: bool,
    /// Whether gRPC-web is taken.
    pub grpc_web: bool,
    /// Whether profiles are shown.
    pub pprof: bool,
    /// URLs under which clients reach this member.
    pub advertise_client_urls: Vec<String>,
    /// URLs under which other members reach this one.
    pub initial_advertise_peer_urls: Vec<String>,
    /// Longest silence of another member that owes bytes; at least five seconds.
    pub raft_read_timeout: Duration,
    /// Longest time for which another member may take no byte; at least five seconds.
    pub raft_write_timeout: Duration,
    /// Whether others may listen on the same ports, if they ask for it too.
    pub reuse_port: bool,
    /// Whether the process keeps its memory out of swap.
    pub lock_memory: bool,
    /// How the members of a new cluster are found.
    pub bootstrap: Bootstrap,
    /// Names and sorted peer URLs of the members a new cluster starts with; none before they are
    /// found, unless they are listed.
    pub initial_cluster: Vec<(String, Vec<String>)>,
    /// New cluster or existing one.
    pub initial_cluster_state: ClusterState,
    /// Goes into the ids of members.
    pub initial_cluster_token: String,
    /// Whether this member forgets all others and goes on alone.
    pub force_new_cluster: bool,
    /// How often the leader looks whether a downgrade is done; zero is never.
    pub downgrade_check_interval: Duration,
    /// One tick of raft's clock.
    pub heartbeat_interval: Duration,
    /// Ticks without a leader before an election; at least 5.
    pub election_ticks: usize,
    /// Whether to shorten the first wait for a leader.
    pub initial_election_tick_advance: bool,
    /// Applied entries between flushes of the store.
    pub snapshot_count: u64,
    /// Entries the log keeps behind the flushed index.
    pub snapshot_catchup_entries: u64,
    /// Live bytes at which writes stop; negative is never, and 0 does not occur.
    pub quota_backend_bytes: i64,
    /// Percent of it at which the log warns; 0 is never.
    pub quota_warning_percent: u8,
    /// Operations one transaction may hold.
    pub max_txn_ops: usize,
    /// Bytes one proposed request may have.
    pub max_request_bytes: usize,
    /// HTTP/2 streams per connection.
    pub max_concurrent_streams: u32,
    /// Connections that clients may have from one address; 0 is half of all there may be.
    pub connections_per_address_max: usize,
    /// How often an idle client is pinged; zero is never.
    pub grpc_keepalive_interval: Duration,
    /// How long a pinged client may be silent.
    pub grpc_keepalive_timeout: Duration,
    /// Revisions that one step of compaction removes.
    pub compaction_batch_revisions: usize,
    /// Pause between two such steps.
    pub compaction_sleep: Duration,
    /// Compaction by itself.
    pub auto_compaction: AutoCompaction,
    /// Whether calls are timed by method.
    pub metrics_extensive: bool,
    /// The feature gates, for those who ask which are open.
    pub features: Vec<Feature>,
    /// Whether stores are compared before the member serves clients.
    pub initial_corrupt_check: bool,
    /// Whether the leader compares the hashes that compactions leave.
    pub compact_hash_check: bool,
    /// How often it does.
    pub compact_hash_check_interval: Duration,
    /// How often the leader compares whole stores; zero is never.
    pub corrupt_check_interval: Duration,
    /// Whether clients may take snapshots in Drystone's own format.
    pub native_snapshot: bool,
    /// Learners the cluster may have.
    pub learners_max: usize,
    /// Whether a member that lost its data comes back by itself, as a new one.
    pub auto_join: bool,
    /// Whether changes of membership that endanger the quorum are refused.
    pub strict_reconfig_check: bool,
    /// TLS for clients and other members.
    pub tls: TlsConfig,
    /// Which tokens are given out and taken.
    pub auth_token: TokenSpec,
    /// How long a simple token lives that is not used.
    pub auth_token_ttl: Duration,
    /// Work for the hash of a password, as a power of two, from 4 to 31.
    pub bcrypt_cost: u32,
    /// Interval of progress notices to watchers that asked for them.
    pub watch_progress_interval: Duration,
    /// How long applying may take before the log warns of it.
    pub warning_apply_duration: Duration,
    /// How long a unary call may take before the log warns of it.
    pub warning_unary_request_duration: Duration,
    /// The least level of messages to log, as `tracing` names it.
    pub log_level: String,
    /// Form of the log.
    pub log_format: LogFormat,
    /// Where the log goes; at least one place.
    pub log_outputs: Vec<LogOutput>,
    /// When the log's file gives way to a new one; `None` is never.
    pub log_rotation: Option<LogRotation>,
    /// Where the access log goes, if anywhere.
    pub access_log: Option<LogOutput>,
    /// One of so many calls has a line in it; at least 1.
    pub access_log_one_in: u64,
    /// Spans of calls, if they are asked for.
    pub tracing: Option<Tracing>,
    /// Memory for values of current keys, in bytes.
    pub value_cache_bytes: usize,
    /// Memory for blocks of the store's files, in bytes.
    pub block_cache_bytes: usize,
    /// Memory for writes the store has not flushed, in bytes.
    pub write_buffer_bytes: usize,
}

impl Config {
    /// How long the server waits for one request: five seconds and two elections, as etcd.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election_timeout()
    }

    /// The quota, as it is reckoned with.
    #[must_use]
    pub fn quota(&self) -> Quota {
        Quota {
            bytes: u64::try_from(self.quota_backend_bytes).ok(),
            warning_percent: self.quota_warning_percent,
        }
    }

    /// How long a member goes without a leader before it asks for votes, at the least.
    #[must_use]
    pub fn election_timeout(&self) -> Duration {
        self.heartbeat_interval * u32::try_from(self.election_ticks).unwrap_or(u32::MAX)
    }

    /// The least TTL of a lease in seconds: one and a half elections, rounded up.
    #[must_use]
    pub fn lease_ttl_seconds_min(&self) -> i64 {
        let millis = (3 * self.election_timeout().as_millis()).div_ceil(2);
        i64::try_from(millis.div_ceil(1000)).unwrap_or(i64::MAX)
    }

    /// Where the log lies.
    #[must_use]
    pub fn wal_path(&self) -> PathBuf {
        self.wal_dir.clone().unwrap_or_else(|| self.data_dir.join("member").join("wal"))
    }

    /// Where the store and its checkpoints lie.
    #[must_use]
    pub fn store_path(&self) -> PathBuf {
        self.data_dir.join("member").join("store")
    }
}
