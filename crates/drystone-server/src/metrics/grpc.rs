//! Calls: how many began and ended with which code, and their messages and bytes.

mod methods;

pub(crate) use methods::{CODES, Method};

use crate::calls::Seen;
use drystone_metrics::{Counter, Histogram, Registry};
use http::{HeaderMap, HeaderValue};
use methods::METHODS;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Code of a call whose caller went away.
pub(crate) const CANCELED: usize = 1;
/// Code of an answer that ends without one.
pub(crate) const UNKNOWN: usize = 2;
/// Versions of clients that are told apart; later ones count as `unknown`.
const VERSIONS_MAX: usize = 32;
/// Bytes of a version that is taken for one.
const VERSION_BYTES_MAX: usize = 32;
const NO_VERSION: &str = "unknown";

/// One method and its handles.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) method: &'static Method,
    started: Counter,
    received: Counter,
    sent: Counter,
    /// By code.
    handled: Vec<Counter>,
    /// Only with `--metrics=extensive`.
    seconds: Option<Histogram>,
    bytes_received: Counter,
    bytes_sent: Counter,
}

impl Series {
    /// A call began.
    pub(crate) fn began(&self) {
        self.started.increment(1);
    }

    /// A piece of a request came.
    pub(crate) fn received(&self, seen: Seen) {
        self.received.increment(seen.messages);
        self.bytes_received.increment(seen.bytes);
    }

    /// A piece of an answer went.
    pub(crate) fn sent(&self, seen: Seen) {
        self.sent.increment(seen.messages);
        self.bytes_sent.increment(seen.bytes);
    }

    /// A call that began then ended with this code.
    pub(crate) fn ended(&self, code: usize, began: Instant) {
        self.handled[code].increment(1);
        if let Some(seconds) = &self.seconds {
            seconds.record(began.elapsed());
        }
    }
}

/// Calls from clients of one version.
#[derive(Clone, Debug)]
struct Version {
    unary: Counter,
    stream: Counter,
}

/// Handles of all methods.
#[derive(Debug)]
pub(crate) struct Calls {
    registry: Arc<Registry>,
    extensive: bool,
    methods: HashMap<String, (&'static Method, OnceLock<Arc<Series>>)>,
    versions: RwLock<Vec<(HeaderValue, Version)>>,
    no_version: OnceLock<Version>,
}

impl Calls {
    pub(crate) fn new(registry: &Arc<Registry>, extensive: bool) -> Arc<Self> {
        let path = |method: &Method| format!("/{}/{}", method.service, method.name);
        let all = METHODS.iter().map(|method| (path(method), (method, OnceLock::new())));
        let calls = Self {
            registry: registry.clone(),
            extensive,
            methods: all.collect(),
            versions: RwLock::default(),
            no_version: OnceLock::new(),
        };
        for (method, series) in calls.methods.values().filter(|(method, _)| method.at_start) {
            series.get_or_init(|| calls.register(method));
        }
        for bytes in [
            "etcd_network_client_grpc_received_bytes_total",
            "etcd_network_client_grpc_sent_bytes_total",
        ] {
            drop(registry.counter(bytes, &[]));
        }
        Arc::new(calls)
    }

    fn register(&self, method: &'static Method) -> Arc<Series> {
        let registry = &self.registry;
        let labels = [method.form.word(), method.service, method.name];
        let with_code = |code: &&str| {
            let [form, service, name] = labels;
            registry.counter("grpc_server_handled_total", &[form, service, name, code])
        };
        let seconds = || registry.histogram("grpc_server_handling_seconds", &labels);
        let bytes_sent = "etcd_network_client_grpc_sent_bytes_total";
        let bytes_received = "etcd_network_client_grpc_received_bytes_total";
        Arc::new(Series {
            method,
            started: registry.counter("grpc_server_started_total", &labels),
            received: registry.counter("grpc_server_msg_received_total", &labels),
            sent: registry.counter("grpc_server_msg_sent_total", &labels),
            handled: CODES.iter().map(with_code).collect(),
            seconds: self.extensive.then(seconds),
            bytes_received: registry.counter(bytes_received, &[]),
            bytes_sent: registry.counter(bytes_sent, &[]),
        })
    }

    /// The handles of a method; `None` for a path that is none.
    pub(crate) fn begin(&self, path: &str, headers: &HeaderMap) -> Option<Arc<Series>> {
        let (method, series) = self.methods.get(path)?;
        self.count_version(headers.get("client-api-version"), method.form.is_unary());
        Some(series.get_or_init(|| self.register(method)).clone())
    }

    fn count_version(&self, said: Option<&HeaderValue>, unary: bool) {
        let version = match said {
            Some(said) => self.version(said),
            None => None,
        };
        let none = || self.no_version.get_or_init(|| self.register_version(NO_VERSION)).clone();
        let version = version.unwrap_or_else(none);
        if unary { version.unary.increment(1) } else { version.stream.increment(1) }
    }

    /// The handles of a version; `None` when it is none, or too many are known.
    fn version(&self, said: &HeaderValue) -> Option<Version> {
        let known = |versions: &[(HeaderValue, Version)]| {
            versions.iter().find(|(known, _)| known == said).map(|(_, version)| version.clone())
        };
        if let Some(version) = known(&self.versions.read()) {
            return Some(version);
        }
        let text = said.to_str().ok().filter(|text| text.len() <= VERSION_BYTES_MAX)?;
        let mut versions = self.versions.write();
        if let Some(version) = known(&versions) {
            return Some(version);
        }
        if versions.len() >= VERSIONS_MAX {
            return None;
        }
        let version = self.register_version(text);
        versions.push((said.clone(), version.clone()));
        Some(version)
    }

    fn register_version(&self, text: &str) -> Version {
        let counter =
            |form| self.registry.counter("etcd_server_client_requests_total", &[form, text]);
        Version { unary: counter("unary"), stream: counter("stream") }
    }
}
