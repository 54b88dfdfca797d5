//! Every flag of etcd's server, and what Drystone does with it.
//!
//! One table drives the command line, the `ETCD_*` variables and the help text, so that the
//! three cannot drift apart.

use super::kind::Kind;

/// What becomes of a flag that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It does what its help says.
    Used,
    /// It is taken and has no effect here, for the reason given.
    NoEffect(&'static str),
    /// It is refused unless it says what the default says, for the reason given.
    Refused(&'static str),
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: &'static str,
    pub(crate) fate: Fate,
    pub(crate) help: &'static str,
}

const fn used(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind, default, fate: Fate::Used, help }
}

const fn idle(name: &'static str, kind: Kind, default: &'static str, reason: &'static str) -> Flag {
    Flag { name, kind, default, fate: Fate::NoEffect(reason), help: "no effect" }
}

const fn refused(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    reason: &'static str,
) -> Flag {
    Flag { name, kind, default, fate: Fate::Refused(reason), help: "not served yet" }
}

const NO_BBOLT: &str = "Drystone does not keep its data in bbolt";
/// etcd's rotation where nothing else is said.
const ROTATION: &str =
    r#"{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}"#;
const OLD: &str = "etcd has accepted and ignored this flag for years";
const V2_DEPRECATIONS: &[&str] =
    &["write-only", "write-only-skip-check", "write-only-drop-data", "gone"];
const GONE: &str = "etcd removed this feature";

/// The table, in the groups that the help shows.
pub(crate) const FLAGS: &[(&str, &[Flag])] = &[
    ("Member and storage", STORAGE),
    ("Listeners", LISTENERS),
    ("Clustering", CLUSTERING),
    ("Security", SECURITY),
    ("Logs and tracing", LOGS),
    ("Features", FEATURES),
    ("Drystone's own", OWN),
    ("Names of etcd 3.5 and before", RETIRED),
];

const STORAGE: &[Flag] = &[
    used("name", Kind::Text, "default", "this member's name"),
    used("data-dir", Kind::Text, "", "where this member keeps its data (default: NAME.etcd)"),
    used("wal-dir", Kind::Text, "", "where the log goes when not under --data-dir"),
    used("snapshot-count", Kind::Uint, "10000", "applied entries between flushes of the store"),
    used("snapshot-catchup-entries", Kind::Uint, "5000", "log entries kept for slow followers"),
    idle("max-snapshots", Kind::Uint, "5", "old checkpoints are removed as soon as they are idle"),
    idle("max-wals", Kind::Uint, "5", "the log is cut by --snapshot-catchup-entries"),
    used("heartbeat-interval", Kind::Uint, "100", "milliseconds between heartbeats; one tick"),
    used(
        "election-timeout",
        Kind::Uint,
        "1000",
        "milliseconds without a leader before an election",
    ),
    used("initial-election-tick-advance", Kind::Bool, "true", "elect sooner after a start"),
    used(
        "quota-backend-bytes",
        Kind::Int,
        "0",
        "live bytes at which writes stop; 0 is 2 GiB, negative is none",
    ),
    idle("backend-bbolt-freelist-type", Kind::Text, "", NO_BBOLT),
    idle("backend-batch-interval", Kind::Duration, "0", NO_BBOLT),
    idle("backend-batch-limit", Kind::Int, "0", NO_BBOLT),
    used("max-txn-ops", Kind::Uint, "128", "operations one transaction may hold"),
    used("max-request-bytes", Kind::Uint, "1572864", "bytes one request may have"),
    used("max-concurrent-streams", Kind::Uint32, "4294967295", "HTTP/2 streams per connection"),
    idle("grpc-keepalive-min-time", Kind::Duration, "5s", "clients may ping as often as they like"),
    used("grpc-keepalive-interval", Kind::Duration, "2h", "how often an idle client is pinged"),
    used("grpc-keepalive-timeout", Kind::Duration, "20s", "how long a pinged client may be silent"),
    used(
        "socket-reuse-port",
        Kind::Bool,
        "false",
        "set SO_REUSEPORT, so that others who do may listen on the same ports",
    ),
    idle("socket-reuse-address", Kind::Bool, "false", "listeners always set SO_REUSEADDR"),
    used("memory-mlock", Kind::Bool, "false", "keep the whole process out of swap"),
    refused("unsafe-no-fsync", Kind::Bool, "false", "Drystone does not answer before a sync"),
    used("force-new-cluster", Kind::Bool, "false", "go on alone: forget all other members"),
    idle("bootstrap-defrag-threshold-megabytes", Kind::Uint, "0", "there is nothing to defragment"),
    used(
        "compaction-batch-limit",
        Kind::Int,
        "0",
        "revisions one step of compaction removes; 0 is 1000",
    ),
    used(
        "compaction-sleep-interval",
        Kind::Duration,
        "0",
        "pause between two such steps; 0 is 10ms",
    ),
    used("auto-compaction-mode", Kind::Text, "periodic", "periodic or revision"),
    used("auto-compaction-retention", Kind::Text, "0", "how much history to keep; 0 is all"),
    used("max-learners", Kind::Int, "1", "learners the cluster may have"),
    used(
        "watch-progress-notify-interval",
        Kind::Duration,
        "0",
        "interval of progress notices; 0 is 10m",
    ),
    used(
        "warning-apply-duration",
        Kind::Duration,
        "100ms",
        "how long applying may take before the log warns",
    ),
    used(
        "warning-unary-request-duration",
        Kind::Duration,
        "300ms",
        "how long a unary call may take before the log warns; 0 is 300ms",
    ),
    used(
        "corrupt-check-time",
        Kind::Duration,
        "0",
        "how often the leader compares whole stores; 0 is never",
    ),
    used(
        "compact-hash-check-time",
        Kind::Duration,
        "1m",
        "how often the leader compares what compactions left",
    ),
    used(
        "downgrade-check-time",
        Kind::Duration,
        "5s",
        "how often a downgrade is looked at; 0 never",
    ),
    used(
        "raft-read-timeout",
        Kind::Duration,
        "5s",
        "how long another member that owes bytes may be silent; at least 5s",
    ),
    used(
        "raft-write-timeout",
        Kind::Duration,
        "5s",
        "how long another member may take no bytes; at least 5s",
    ),
];

const LISTENERS: &[Flag] = &[
    used("listen-peer-urls", Kind::Urls, "http://localhost:2380", "where to listen for members"),
    used("listen-client-urls", Kind::Urls, "http://localhost:2379", "where to listen for clients"),
    used(
        "listen-client-http-urls",
        Kind::Urls,
        "",
        "where to listen for HTTP alone, which leaves the ports above to gRPC",
    ),
    used("listen-metrics-urls", Kind::Urls, "", "where to listen for probes and metrics"),
    used(
        "advertise-client-urls",
        Kind::Urls,
        "http://localhost:2379",
        "where clients reach this member",
    ),
    used("cors", Kind::Origins, "*", "origins whose pages may call and read: URLs, or * for all"),
    used(
        "host-whitelist",
        Kind::Text,
        "*",
        "hosts that HTTP requests in clear may be for; * is any",
    ),
    used("enable-grpc-gateway", Kind::Bool, "true", "take JSON over HTTP under /v3/"),
    used(
        "enable-pprof",
        Kind::Bool,
        "false",
        "show profiles under /debug/pprof/; so does --log-level=debug",
    ),
    used("metrics", Kind::Text, "basic", "basic or extensive; extensive times calls by method"),
];

const CLUSTERING: &[Flag] = &[
    used(
        "initial-advertise-peer-urls",
        Kind::Urls,
        "http://localhost:2380",
        "where members reach this one",
    ),
    used("initial-cluster", Kind::Text, "", "the members a new cluster starts with: NAME=URL,..."),
    used("initial-cluster-state", Kind::OneOf(&["new", "existing"]), "new", "new or existing"),
    used("initial-cluster-token", Kind::Text, "etcd-cluster", "sets clusters of equal URLs apart"),
    used(
        "strict-reconfig-check",
        Kind::Bool,
        "true",
        "refuse changes of membership that endanger the quorum",
    ),
    idle("pre-vote", Kind::Bool, "true", "elections always begin with a pre-vote"),
    used("discovery-endpoints", Kind::Text, "", "a cluster in whose keys new members meet"),
    used("discovery-token", Kind::Text, "", "the name of the new cluster's registry there"),
    used("discovery-dial-timeout", Kind::Duration, "2s", "how long connecting there may take"),
    used("discovery-request-timeout", Kind::Duration, "5s", "how long a call there may take"),
    used("discovery-keepalive-time", Kind::Duration, "2s", "silence after which it is probed"),
    used("discovery-keepalive-timeout", Kind::Duration, "6s", "how long a probe may wait"),
    used("discovery-insecure-transport", Kind::Bool, "true", "no TLS there but for https"),
    used("discovery-insecure-skip-tls-verify", Kind::Bool, "false", "trust any server there"),
    used("discovery-cert", Kind::Text, "", "certificate to show there, in PEM"),
    used("discovery-key", Kind::Text, "", "its private key"),
    used("discovery-cacert", Kind::Text, "", "authorities of that cluster's certificates"),
    used("discovery-user", Kind::Text, "", "who asks there"),
    used("discovery-password", Kind::Text, "", "the password of --discovery-user"),
    used("discovery-srv", Kind::Text, "", "the domain whose SRV records name the members"),
    used("discovery-srv-name", Kind::Text, "", "what follows the services' names in DNS: -NAME"),
    idle("discovery-fallback", Kind::OneOf(&["exit", "proxy"]), "exit", GONE),
];

const SECURITY: &[Flag] = &[
    used("cert-file", Kind::Text, "", "certificate that clients are shown, in PEM"),
    used("key-file", Kind::Text, "", "its private key"),
    used("client-cert-file", Kind::Text, "", "certificate to dial clients' faces with"),
    used("client-key-file", Kind::Text, "", "its private key"),
    used("trusted-ca-file", Kind::Text, "", "authorities of clients, who then need a certificate"),
    used(
        "client-cert-auth",
        Kind::Bool,
        "false",
        "clients need a certificate, whose common name is their user",
    ),
    used("auto-tls", Kind::Bool, "false", "make a certificate for clients when there is none"),
    used(
        "client-cert-allowed-hostname",
        Kind::Text,
        "",
        "host names of which a client's certificate needs one",
    ),
    used("client-crl-file", Kind::Text, "", "revoked certificates of clients: a CRL"),
    used("peer-crl-file", Kind::Text, "", "revoked certificates of members: a CRL"),
    used("peer-cert-file", Kind::Text, "", "certificate that members are shown, in PEM"),
    used("peer-key-file", Kind::Text, "", "its private key"),
    used("peer-client-cert-file", Kind::Text, "", "certificate to dial members with, if another"),
    used("peer-client-key-file", Kind::Text, "", "its private key"),
    used(
        "peer-trusted-ca-file",
        Kind::Text,
        "",
        "authorities of members, who then need a certificate",
    ),
    used("peer-client-cert-auth", Kind::Bool, "false", "members need a certificate to connect"),
    used("peer-auto-tls", Kind::Bool, "false", "make a certificate for members when there is none"),
    used(
        "peer-cert-allowed-cn",
        Kind::Text,
        "",
        "common names of which a member's certificate needs one",
    ),
    used(
        "peer-cert-allowed-hostname",
        Kind::Text,
        "",
        "host names of which a member's certificate needs one",
    ),
    used(
        "peer-skip-client-san-verification",
        Kind::Bool,
        "false",
        "members may connect from addresses that their certificates do not name",
    ),
    used(
        "self-signed-cert-validity",
        Kind::Uint,
        "1",
        "years that certificates of --auto-tls and --peer-auto-tls are valid",
    ),
    used("cipher-suites", Kind::Text, "", "suites of TLS 1.2 by name; the weak are not served"),
    used("tls-min-version", Kind::Text, "TLS1.2", "oldest version: TLS1.2 or TLS1.3"),
    used("tls-max-version", Kind::Text, "", "newest version; empty is the newest there is"),
    used(
        "auth-token",
        Kind::Text,
        "simple",
        "simple, or jwt,sign-method=M,pub-key=F,priv-key=F,ttl=D; empty gives out no tokens",
    ),
    used("bcrypt-cost", Kind::Uint, "10", "work for the hash of a password, from 4 to 31"),
    used("auth-token-ttl", Kind::Uint, "300", "seconds that an idle simple token lives"),
];

const LOGS: &[Flag] = &[
    used("logger", Kind::Text, "zap", "kept for etcd's manifests; only zap"),
    used("log-outputs", Kind::Text, "default", "stderr, stdout, systemd/journal or paths of files"),
    used(
        "log-level",
        Kind::OneOf(&["debug", "info", "warn", "error", "panic", "fatal"]),
        "info",
        "how much to log",
    ),
    used("log-format", Kind::Text, "json", "json or console"),
    used("enable-log-rotation", Kind::Bool, "false", "begin a new file when the log's is full"),
    used("log-rotation-config-json", Kind::Text, ROTATION, "when, in MB, days and files"),
    used(
        "enable-distributed-tracing",
        Kind::Bool,
        "false",
        "send OpenTelemetry spans of calls to a collector",
    ),
    used(
        "distributed-tracing-address",
        Kind::Text,
        "localhost:4317",
        "host and port of the collector: OTLP over gRPC, in clear",
    ),
    used("distributed-tracing-service-name", Kind::Text, "etcd", "what spans call this server"),
    used(
        "distributed-tracing-instance-id",
        Kind::Text,
        "",
        "what sets it apart from others of that name",
    ),
    used(
        "distributed-tracing-sampling-rate",
        Kind::Int,
        "0",
        "calls in a million with spans, besides those whose trace is sampled already",
    ),
];

const FEATURES: &[Flag] = &[
    used(
        "feature-gates",
        Kind::Gates,
        "",
        "NAME=true,...; InitialCorruptCheck and CompactHashCheck are open unless shut here",
    ),
    used(
        "config-file",
        Kind::Text,
        "",
        "a YAML file with everything; other flags and variables are ignored then",
    ),
    idle("v2-deprecation", Kind::SomeOf(V2_DEPRECATIONS), "write-only", GONE),
];

const OWN: &[Flag] = &[
    used(
        "native-snapshot",
        Kind::Bool,
        "false",
        "answer Maintenance.Snapshot in Drystone's own format, which etcd's tools do not restore",
    ),
    used(
        "quota-warning-percent",
        Kind::Uint,
        "80",
        "percent of the quota at which the log warns; 0 is never",
    ),
    used(
        "auto-join",
        Kind::Bool,
        "false",
        "a member that lost its data comes back by itself, as a new one",
    ),
    used(
        "drystone-max-connections-per-address",
        Kind::Uint,
        "0",
        "connections that clients may have from one address; 0 is half of all there may be",
    ),
    used(
        "drystone-grpc-web",
        Kind::Bool,
        "false",
        "take gRPC-web, which pages in browsers speak, where HTTP is spoken",
    ),
    used(
        "drystone-access-log",
        Kind::Text,
        "",
        "where a line for each call goes: stderr, stdout, systemd/journal or a file; empty is none",
    ),
    used(
        "drystone-access-log-one-in",
        Kind::Uint,
        "1",
        "one of so many calls has a line in the access log",
    ),
    used("value-cache-bytes", Kind::Uint, "134217728", "memory for values of current keys"),
    used(
        "block-cache-bytes",
        Kind::Uint,
        "33554432",
        "memory for blocks read from the store's files",
    ),
    used(
        "write-buffer-bytes",
        Kind::Uint,
        "33554432",
        "memory for writes the store has not flushed",
    ),
];

/// Names that manifests for older etcds still hold.
const RETIRED: &[Flag] = &[
    used(
        "experimental-initial-corrupt-check",
        Kind::Bool,
        "true",
        "the gate InitialCorruptCheck, as etcd 3.5 called it",
    ),
    used(
        "experimental-compact-hash-check-enabled",
        Kind::Bool,
        "true",
        "the gate CompactHashCheck, as etcd 3.5 called it",
    ),
    used(
        "experimental-enable-lease-checkpoint",
        Kind::Bool,
        "true",
        "the gate LeaseCheckpoint, as etcd 3.5 called it",
    ),
    used(
        "experimental-enable-lease-checkpoint-persist",
        Kind::Bool,
        "true",
        "the gate LeaseCheckpointPersist, as etcd 3.5 called it",
    ),
    used(
        "experimental-txn-mode-write-with-shared-buffer",
        Kind::Bool,
        "true",
        "the gate TxnModeWriteWithSharedBuffer, as etcd 3.5 called it",
    ),
    used(
        "experimental-stop-grpc-service-on-defrag",
        Kind::Bool,
        "false",
        "the gate StopGRPCServiceOnDefrag, as etcd 3.6 called it",
    ),
    refused("discovery", Kind::Text, "", GONE),
    refused("discovery-proxy", Kind::Text, "", GONE),
    refused("enable-v2", Kind::Bool, "false", GONE),
    refused("experimental-enable-v2v3", Kind::Text, "", GONE),
    refused("proxy", Kind::Text, "off", GONE),
    idle("proxy-failure-wait", Kind::Uint, "5000", GONE),
    idle("proxy-refresh-interval", Kind::Uint, "30000", GONE),
    idle("proxy-dial-timeout", Kind::Uint, "1000", GONE),
    idle("proxy-write-timeout", Kind::Uint, "5000", GONE),
    idle("proxy-read-timeout", Kind::Uint, "0", GONE),
    refused("debug", Kind::Bool, "false", "etcd removed it; use --log-level=debug"),
    refused("log-package-levels", Kind::Text, "", "etcd removed it; use --log-level"),
    refused("log-output", Kind::Text, "", "etcd removed it; use --log-outputs"),
    idle("cluster-active-size", Kind::Text, "", OLD),
    idle("cluster-remove-delay", Kind::Text, "", OLD),
    idle("cluster-sync-interval", Kind::Text, "", OLD),
    idle("config", Kind::Text, "", OLD),
    idle("force", Kind::Text, "", OLD),
    idle("max-result-buffer", Kind::Text, "", OLD),
    idle("max-retry-attempts", Kind::Text, "", OLD),
    idle("peer-heartbeat-interval", Kind::Text, "", OLD),
    idle("peer-election-timeout", Kind::Text, "", OLD),
    idle("retry-interval", Kind::Text, "", OLD),
    idle("snapshot", Kind::Text, "", OLD),
    idle("v", Kind::Text, "", OLD),
    idle("vv", Kind::Text, "", OLD),
    idle("test.coverprofile", Kind::Text, "", OLD),
    idle("test.outputdir", Kind::Text, "", OLD),
];

/// Names of etcd 3.5 and 3.6 that manifests still use, and today's name of each.
pub(crate) const OLD_NAMES: &[(&str, &str)] = &[
    ("experimental-compact-hash-check-time", "compact-hash-check-time"),
    ("experimental-corrupt-check-time", "corrupt-check-time"),
    ("experimental-compaction-batch-limit", "compaction-batch-limit"),
    ("experimental-compaction-sleep-interval", "compaction-sleep-interval"),
    ("experimental-watch-progress-notify-interval", "watch-progress-notify-interval"),
    ("experimental-warning-apply-duration", "warning-apply-duration"),
    ("experimental-warning-unary-request-duration", "warning-unary-request-duration"),
    ("experimental-bootstrap-defrag-threshold-megabytes", "bootstrap-defrag-threshold-megabytes"),
    ("experimental-memory-mlock", "memory-mlock"),
    ("experimental-downgrade-check-time", "downgrade-check-time"),
    ("experimental-snapshot-catchup-entries", "snapshot-catchup-entries"),
    ("experimental-max-learners", "max-learners"),
    ("experimental-peer-skip-client-san-verification", "peer-skip-client-san-verification"),
    ("experimental-enable-distributed-tracing", "enable-distributed-tracing"),
    ("experimental-distributed-tracing-address", "distributed-tracing-address"),
    ("experimental-distributed-tracing-service-name", "distributed-tracing-service-name"),
    ("experimental-distributed-tracing-instance-id", "distributed-tracing-instance-id"),
    ("experimental-distributed-tracing-sampling-rate", "distributed-tracing-sampling-rate"),
];

/// Old flags that feature gates have replaced, and the gate of each.
pub(crate) const OLD_GATES: &[(&str, &str)] = &[
    ("experimental-initial-corrupt-check", "InitialCorruptCheck"),
    ("experimental-compact-hash-check-enabled", "CompactHashCheck"),
    ("experimental-enable-lease-checkpoint", "LeaseCheckpoint"),
    ("experimental-enable-lease-checkpoint-persist", "LeaseCheckpointPersist"),
    ("experimental-txn-mode-write-with-shared-buffer", "TxnModeWriteWithSharedBuffer"),
    ("experimental-stop-grpc-service-on-defrag", "StopGRPCServiceOnDefrag"),
];

/// Every flag, in the order of the help.
pub(crate) fn all() -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().flat_map(|(_, flags)| *flags)
}

/// The flag of this name, today's or an older one.
pub(crate) fn find(name: &str) -> Option<&'static Flag> {
    let name = OLD_NAMES.iter().find(|(old, _)| *old == name).map_or(name, |(_, new)| new);
    all().find(|flag| flag.name == name)
}

/// Whether the value of this flag must not be shown.
pub(crate) fn is_secret(name: &str) -> bool {
    ["discovery-password", "discovery-token"].contains(&name)
}

/// Whether the flag is one of older etcds only.
pub(crate) fn is_retired(flag: &Flag) -> bool {
    RETIRED.iter().any(|retired| retired.name == flag.name)
}

/// The environment variable of a flag.
pub(crate) fn variable(name: &str) -> String {
    format!("ETCD_{}", name.to_uppercase().replace('-', "_"))
}
