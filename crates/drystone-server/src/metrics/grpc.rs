//! Calls: how many began and ended with which code, and their messages and bytes.

mod frames;
mod methods;

use drystone_metrics::{Counter, Histogram, Registry};
use frames::Frames;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use methods::{CODES, METHODS, Method};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Code of a call whose caller went away.
const CANCELED: usize = 1;
/// Code of an answer that ends without one.
const UNKNOWN: usize = 2;
/// Versions of clients that are told apart; later ones count as `unknown`.
const VERSIONS_MAX: usize = 32;
/// Bytes of a version that is taken for one.
const VERSION_BYTES_MAX: usize = 32;
const NO_VERSION: &str = "unknown";

/// Handles of one method.
#[derive(Debug)]
struct Series {
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
    pub(super) fn new(registry: &Arc<Registry>, extensive: bool) -> Arc<Self> {
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

    fn register(&self, method: &Method) -> Arc<Series> {
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
    fn begin(&self, path: &str, headers: &HeaderMap) -> Option<Arc<Series>> {
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

/// Counts all calls that come through. It belongs around everything that may refuse one.
#[derive(Clone, Debug)]
pub(crate) struct CountCalls(pub(crate) Arc<Calls>);

impl<S> Layer<S> for CountCalls {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, calls: self.0.clone() }
    }
}

/// See [`CountCalls`].
#[derive(Clone, Debug)]
pub(crate) struct Counted<S> {
    inner: S,
    calls: Arc<Calls>,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let Some(series) = self.calls.begin(request.uri().path(), request.headers()) else {
            return Box::pin(self.inner.call(request));
        };
        series.started.increment(1);
        let began = series.seconds.is_some().then(Instant::now);
        let end = End { series: series.clone(), began, is_told: false };
        let request =
            request.map(|body| Body::new(Received { body, frames: Frames::default(), series }));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut end = end;
            let answer = answer.await?;
            if let Some(code) = code_in(answer.headers()) {
                end.tell(code);
                return Ok(answer);
            }
            Ok(answer.map(|body| Body::new(Sent { body, frames: Frames::default(), end })))
        })
    }
}

fn code_in(headers: &HeaderMap) -> Option<usize> {
    let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    Some(if code < CODES.len() { code } else { UNKNOWN })
}

/// Counts how a call ends, once; a call that is dropped before was given up by its caller.
struct End {
    series: Arc<Series>,
    began: Option<Instant>,
    is_told: bool,
}

impl End {
    fn tell(&mut self, code: usize) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        self.series.handled[code].increment(1);
        if let (Some(seconds), Some(began)) = (&self.series.seconds, self.began) {
            seconds.record(began.elapsed());
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.tell(CANCELED);
    }
}

/// A request's body that counts what comes of it.
struct Received {
    body: Body,
    frames: Frames,
    series: Arc<Series>,
}

impl HttpBody for Received {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let seen = self.frames.see(data);
            self.series.received.increment(seen.messages);
            self.series.bytes_received.increment(seen.bytes);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body that counts what goes into it, and how it ends.
struct Sent {
    body: Body,
    frames: Frames,
    end: End,
}

impl HttpBody for Sent {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let seen = self.frames.see(data);
                    self.end.series.sent.increment(seen.messages);
                    self.end.series.bytes_sent.increment(seen.bytes);
                }
                if let Some(trailers) = frame.trailers_ref() {
                    self.end.tell(code_in(trailers).unwrap_or(UNKNOWN));
                }
            }
            Some(Err(_)) | None => self.end.tell(UNKNOWN),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
