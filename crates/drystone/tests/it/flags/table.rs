//! One row for every flag: what its values look like, where it stands in the file, a value that
//! is taken and, where the kind alone does not say it, one that is refused, in which words.

/// What a value looks like, as etcd declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Text,
    Bool,
    /// A number, by Go's type of it.
    Number(&'static str),
    Duration,
    Urls,
    /// URLs or `*`, which the file holds as one text.
    Origins,
    /// Texts: a list in the file.
    List,
    /// One of a few words; the reason for another, on the command line.
    Words(&'static str),
    /// Feature gates.
    Gates,
}

/// Where a flag stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// At the root, by its name.
    Own,
    /// In a block: the path, and etcd's type of the block that holds the key.
    At(&'static str, &'static str),
    /// Nowhere: the key is unknown.
    None,
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) key: Key,
    /// A value that is not the default.
    pub(crate) good: &'static str,
    /// Other flags that this one needs beside it.
    pub(crate) with: &'static [(&'static str, &'static str)],
    /// A value that only a look at its meaning refuses, and the words.
    pub(crate) bad: Option<(&'static str, &'static str)>,
}

const fn row(name: &'static str, kind: Kind, good: &'static str) -> Row {
    Row { name, kind, key: Key::Own, good, with: &[], bad: None }
}

impl Row {
    const fn at(mut self, path: &'static str, block: &'static str) -> Self {
        self.key = Key::At(path, block);
        self
    }

    const fn no_key(mut self) -> Self {
        self.key = Key::None;
        self
    }

    const fn with(mut self, with: &'static [(&'static str, &'static str)]) -> Self {
        self.with = with;
        self
    }

    const fn bad(mut self, value: &'static str, words: &'static str) -> Self {
        self.bad = Some((value, words));
        self
    }
}

const UINT: Kind = Kind::Number("uint");
const INT: Kind = Kind::Number("int");
const SECURITY: &str = "securityConfig";
const SECURE: &str = "SecureConfig";
const CLIENT: &str = "ConfigSpec";
const INVALID: Kind = Kind::Words("invalid value");

/// The table. `every_flag_has_its_row` fails while a flag is missing here.
pub(crate) const ROWS: &[Row] = &[
    // Member and storage.
    row("name", Kind::Text, "a"),
    row("data-dir", Kind::Text, "/tmp/none"),
    row("wal-dir", Kind::Text, "/tmp/none"),
    row("snapshot-count", Kind::Number("uint64"), "7"),
    row("snapshot-catchup-entries", UINT, "7"),
    row("max-snapshots", UINT, "7"),
    row("max-wals", UINT, "7"),
    row("heartbeat-interval", UINT, "7").bad("0", "--heartbeat-interval must be >0 (set to 0ms)"),
    row("election-timeout", UINT, "700").bad(
        "499",
        "--election-timeout[499ms] should be at least as 5 times as --heartbeat-interval[100ms]",
    ),
    row("initial-election-tick-advance", Kind::Bool, "false"),
    row("quota-backend-bytes", Kind::Number("int64"), "7"),
    row("backend-bbolt-freelist-type", Kind::Text, "array"),
    row("backend-batch-interval", Kind::Duration, "7s"),
    row("backend-batch-limit", INT, "7"),
    row("max-txn-ops", UINT, "7"),
    row("max-request-bytes", UINT, "7"),
    row("max-concurrent-streams", Kind::Number("uint32"), "7"),
    row("grpc-keepalive-min-time", Kind::Duration, "7s"),
    row("grpc-keepalive-interval", Kind::Duration, "7s"),
    row("grpc-keepalive-timeout", Kind::Duration, "7s"),
    row("socket-reuse-port", Kind::Bool, "true").at("socket-options.reuse-port", "SocketOpts"),
    row("socket-reuse-address", Kind::Bool, "true")
        .at("socket-options.reuse-address", "SocketOpts"),
    row("memory-mlock", Kind::Bool, "true"),
    row("unsafe-no-fsync", Kind::Bool, "true"),
    row("force-new-cluster", Kind::Bool, "true"),
    row("bootstrap-defrag-threshold-megabytes", UINT, "7"),
    row("compaction-batch-limit", INT, "7"),
    row("compaction-sleep-interval", Kind::Duration, "7s"),
    row("auto-compaction-mode", Kind::Text, "revision")
        .bad("x", r#"unknown auto-compaction-mode "x""#),
    row("auto-compaction-retention", Kind::Text, "7h")
        .bad("7x", r#"error parsing CompactionRetention: time: unknown unit "x" in duration "7x""#),
    row("max-learners", INT, "7"),
    row("watch-progress-notify-interval", Kind::Duration, "7s"),
    row("warning-apply-duration", Kind::Duration, "7s"),
    row("warning-unary-request-duration", Kind::Duration, "7s"),
    row("corrupt-check-time", Kind::Duration, "7s"),
    row("compact-hash-check-time", Kind::Duration, "7s")
        .bad("0s", "--compact-hash-check-time must be >0 (set to 0s)"),
    row("downgrade-check-time", Kind::Duration, "7s"),
    row("raft-read-timeout", Kind::Duration, "7s").no_key(),
    row("raft-write-timeout", Kind::Duration, "7s").no_key(),
    // Listeners.
    row("listen-peer-urls", Kind::Urls, "http://127.0.0.1:7")
        .bad("http://a.b:7", "expected IP in URL for binding (http://a.b:7)"),
    row("listen-client-urls", Kind::Urls, "http://127.0.0.1:7")
        .with(&[("advertise-client-urls", "http://127.0.0.1:7")])
        .bad("http://:7", "expected IP in URL for binding (http://:7)"),
    row("listen-client-http-urls", Kind::Urls, "http://127.0.0.1:7")
        .bad("http://a.b:7", "expected IP in URL for binding (http://a.b:7)"),
    row("listen-metrics-urls", Kind::Urls, "http://127.0.0.1:7")
        .bad("http://a.b:7", "expected IP in URL for binding (http://a.b:7)"),
    row("advertise-client-urls", Kind::Urls, "http://127.0.0.1:7").bad(
        "http://:7",
        "--advertise-client-urls \"http://:7\" must be in the format \"host:port\", \
         \"unix:/path/to/socket\" or \"unixs:/path/to/socket\" (unexpected empty host (http://:7))",
    ),
    row("cors", Kind::Origins, "http://a.b:7"),
    row("host-whitelist", Kind::Text, "a.b"),
    row("enable-grpc-gateway", Kind::Bool, "false"),
    row("enable-pprof", Kind::Bool, "true"),
    row("metrics", Kind::Text, "extensive"),
    // Clustering.
    row("initial-advertise-peer-urls", Kind::Urls, "http://127.0.0.1:7").bad(
        "http://:7",
        "--initial-advertise-peer-urls \"http://:7\" must be \"host:port\" (unexpected empty host \
         (http://:7))",
    ),
    row("initial-cluster", Kind::Text, "default=http://localhost:2380,b=http://127.0.0.1:7"),
    row("initial-cluster-state", INVALID, "existing"),
    row("initial-cluster-token", Kind::Text, "a"),
    row("strict-reconfig-check", Kind::Bool, "false"),
    row("pre-vote", Kind::Bool, "false"),
    row("discovery-endpoints", Kind::List, "http://127.0.0.1:7")
        .at("discovery-config.client.endpoints", CLIENT)
        .with(&[("discovery-token", "a")])
        .bad("http://a:7,", "--discovery-endpoints must not contain empty endpoints"),
    row("discovery-token", Kind::Text, "a")
        .at("discovery-config.token", "DiscoveryConfig")
        .with(&[("discovery-endpoints", "http://127.0.0.1:7")]),
    row("discovery-dial-timeout", Kind::Duration, "7s")
        .at("discovery-config.client.dial-timeout", CLIENT),
    row("discovery-request-timeout", Kind::Duration, "7s")
        .at("discovery-config.client.request-timeout", CLIENT),
    row("discovery-keepalive-time", Kind::Duration, "7s")
        .at("discovery-config.client.keepalive-time", CLIENT),
    row("discovery-keepalive-timeout", Kind::Duration, "7s")
        .at("discovery-config.client.keepalive-timeout", CLIENT),
    row("discovery-insecure-transport", Kind::Bool, "false")
        .at("discovery-config.client.secure.insecure-transport", SECURE),
    row("discovery-insecure-skip-tls-verify", Kind::Bool, "true")
        .at("discovery-config.client.secure.insecure-skip-tls-verify", SECURE),
    row("discovery-cert", Kind::Text, "/tmp/none")
        .at("discovery-config.client.secure.cert", SECURE),
    row("discovery-key", Kind::Text, "/tmp/none").at("discovery-config.client.secure.key", SECURE),
    row("discovery-cacert", Kind::Text, "/tmp/none")
        .at("discovery-config.client.secure.cacert", SECURE),
    row("discovery-user", Kind::Text, "a")
        .at("discovery-config.client.auth.username", "AuthConfig"),
    row("discovery-password", Kind::Text, "a")
        .at("discovery-config.client.auth.password", "AuthConfig"),
    row("discovery-srv", Kind::Text, "a.b"),
    row("discovery-srv-name", Kind::Text, "a"),
    row("discovery-fallback", INVALID, "exit").no_key(),
    // Security.
    row("cert-file", Kind::Text, "/tmp/none")
        .at("client-transport-security.cert-file", SECURITY)
        .with(&[("key-file", "/tmp/none")]),
    row("key-file", Kind::Text, "/tmp/none")
        .at("client-transport-security.key-file", SECURITY)
        .with(&[("cert-file", "/tmp/none")]),
    row("client-cert-file", Kind::Text, "/tmp/none")
        .at("client-transport-security.client-cert-file", SECURITY)
        .with(&[("client-key-file", "/tmp/none")]),
    row("client-key-file", Kind::Text, "/tmp/none")
        .at("client-transport-security.client-key-file", SECURITY)
        .with(&[("client-cert-file", "/tmp/none")]),
    row("trusted-ca-file", Kind::Text, "/tmp/none")
        .at("client-transport-security.trusted-ca-file", SECURITY),
    row("client-cert-auth", Kind::Bool, "true")
        .at("client-transport-security.client-cert-auth", SECURITY),
    row("auto-tls", Kind::Bool, "true").at("client-transport-security.auto-tls", SECURITY),
    row("client-cert-allowed-hostname", Kind::List, "a.b")
        .at("client-transport-security.allowed-hostname", SECURITY),
    row("client-crl-file", Kind::Text, "/tmp/none").no_key(),
    row("peer-crl-file", Kind::Text, "/tmp/none").no_key(),
    row("peer-cert-file", Kind::Text, "/tmp/none")
        .at("peer-transport-security.cert-file", SECURITY)
        .with(&[("peer-key-file", "/tmp/none")]),
    row("peer-key-file", Kind::Text, "/tmp/none")
        .at("peer-transport-security.key-file", SECURITY)
        .with(&[("peer-cert-file", "/tmp/none")]),
    row("peer-client-cert-file", Kind::Text, "/tmp/none")
        .at("peer-transport-security.client-cert-file", SECURITY)
        .with(&[("peer-client-key-file", "/tmp/none")]),
    row("peer-client-key-file", Kind::Text, "/tmp/none")
        .at("peer-transport-security.client-key-file", SECURITY)
        .with(&[("peer-client-cert-file", "/tmp/none")]),
    row("peer-trusted-ca-file", Kind::Text, "/tmp/none")
        .at("peer-transport-security.trusted-ca-file", SECURITY),
    row("peer-client-cert-auth", Kind::Bool, "true")
        .at("peer-transport-security.client-cert-auth", SECURITY),
    row("peer-auto-tls", Kind::Bool, "true").at("peer-transport-security.auto-tls", SECURITY),
    row("peer-cert-allowed-cn", Kind::List, "a").at("peer-transport-security.allowed-cn", SECURITY),
    row("peer-cert-allowed-hostname", Kind::List, "a.b")
        .at("peer-transport-security.allowed-hostname", SECURITY),
    row("peer-skip-client-san-verification", Kind::Bool, "true")
        .at("peer-transport-security.skip-client-san-verification", SECURITY),
    row("self-signed-cert-validity", UINT, "7"),
    row("cipher-suites", Kind::List, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
        .bad("x", r#"unexpected TLS cipher suite "x""#),
    row("tls-min-version", Kind::Text, "TLS1.3")
        .bad("x", r#"unexpected TLS version "x" (must be one of: TLS1.2, TLS1.3)"#),
    row("tls-max-version", Kind::Text, "TLS1.3")
        .bad("x", r#"unexpected TLS version "x" (must be one of: TLS1.2, TLS1.3)"#),
    row("auth-token", Kind::Text, "jwt,priv-key=/tmp/none,sign-method=RS256")
        .bad("x", "auth: invalid auth options"),
    row("bcrypt-cost", UINT, "7"),
    row("auth-token-ttl", UINT, "7"),
    // Logs and tracing.
    row("logger", Kind::Text, "zap").bad("x", r#"unknown logger option "x""#),
    row("log-outputs", Kind::List, "stdout")
        .bad("default,stderr", r#"multi logoutput for "default" is not supported yet"#),
    row("log-level", INVALID, "warn"),
    row("log-format", Kind::Text, "console")
        .bad("x", "unknown log format: x, supported values json, console"),
    row("enable-log-rotation", Kind::Bool, "true").with(&[("log-outputs", "/tmp/none")]),
    row("log-rotation-config-json", Kind::Text, r#"{"maxsize": 7}"#),
    row("enable-distributed-tracing", Kind::Bool, "true"),
    row("distributed-tracing-address", Kind::Text, "127.0.0.1:7"),
    row("distributed-tracing-service-name", Kind::Text, "a"),
    row("distributed-tracing-instance-id", Kind::Text, "a"),
    row("distributed-tracing-sampling-rate", INT, "7"),
    // Features.
    row("feature-gates", Kind::Gates, "CompactHashCheck=false").bad(
        "LeaseCheckpoint=false,LeaseCheckpointPersist=true",
        "enabling feature gate LeaseCheckpointPersist requires enabling feature gate \
         LeaseCheckpoint",
    ),
    row("config-file", Kind::Text, "").no_key(),
    row("v2-deprecation", Kind::Words(r#"invalid value "x""#), "gone"),
    // Drystone's own.
    row("drystone-access-log", Kind::Text, "stdout"),
    row("drystone-access-log-one-in", UINT, "7"),
    row("drystone-grpc-web", Kind::Bool, "true"),
    row("drystone-max-connections-per-address", UINT, "7"),
    row("native-snapshot", Kind::Bool, "true"),
    row("quota-warning-percent", UINT, "7").bad(
        "101",
        "--quota-warning-percent=101 is more than the whole; use 1 to 100, or 0 for none",
    ),
    row("auto-join", Kind::Bool, "true"),
    row("value-cache-bytes", UINT, "7"),
    row("block-cache-bytes", UINT, "7"),
    row("write-buffer-bytes", UINT, "7"),
    // Names of etcd 3.5 and before.
    row("experimental-initial-corrupt-check", Kind::Bool, "false"),
    row("experimental-compact-hash-check-enabled", Kind::Bool, "false"),
    row("experimental-enable-lease-checkpoint", Kind::Bool, "true"),
    row("experimental-enable-lease-checkpoint-persist", Kind::Bool, "true"),
    row("experimental-txn-mode-write-with-shared-buffer", Kind::Bool, "false"),
    row("experimental-stop-grpc-service-on-defrag", Kind::Bool, "true"),
    row("discovery", Kind::Text, "http://a:7").no_key(),
    row("discovery-proxy", Kind::Text, "http://a:7").no_key(),
    row("enable-v2", Kind::Bool, "true").no_key(),
    row("experimental-enable-v2v3", Kind::Text, "a").no_key(),
    row("proxy", Kind::Text, "on").no_key(),
    row("proxy-failure-wait", UINT, "7").no_key(),
    row("proxy-refresh-interval", UINT, "7").no_key(),
    row("proxy-dial-timeout", UINT, "7").no_key(),
    row("proxy-write-timeout", UINT, "7").no_key(),
    row("proxy-read-timeout", UINT, "7").no_key(),
    row("debug", Kind::Bool, "true").no_key(),
    row("log-package-levels", Kind::Text, "a").no_key(),
    row("log-output", Kind::Text, "a").no_key(),
    row("cluster-active-size", Kind::Text, "7").no_key(),
    row("cluster-remove-delay", Kind::Text, "7").no_key(),
    row("cluster-sync-interval", Kind::Text, "7").no_key(),
    row("config", Kind::Text, "a").no_key(),
    row("force", Kind::Text, "a").no_key(),
    row("max-result-buffer", Kind::Text, "7").no_key(),
    row("max-retry-attempts", Kind::Text, "7").no_key(),
    row("peer-heartbeat-interval", Kind::Text, "7").no_key(),
    row("peer-election-timeout", Kind::Text, "7").no_key(),
    row("retry-interval", Kind::Text, "7").no_key(),
    row("snapshot", Kind::Text, "a").no_key(),
    row("v", Kind::Text, "a").no_key(),
    row("vv", Kind::Text, "a").no_key(),
    row("test.coverprofile", Kind::Text, "a").no_key(),
    row("test.outputdir", Kind::Text, "a").no_key(),
];
