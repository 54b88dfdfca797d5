//! HTTP on one connection, with every limit set on purpose.

use super::browsers::{Browsers, Entry};
use super::gateway::{JsonGateway, gateway};
use super::metered::Metered;
use super::mux;
use super::socket::Upgraded;
use super::web::{self, is_web};
use crate::clients::{Grpc, grpc};
use crate::connection::{Connection, FIRST_BYTES_MAX, FirstBytes, Guarded, OfConnection};
use crate::shared::Shared;
use futures::future::{BoxFuture, Either, FutureExt as _};
use http::{Request, Response, Version, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::error::Error as _;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::body::Body;
use tower::ServiceExt as _;
use tower::util::Oneshot;

/// How long a connection may take to become ready for HTTP (etcd's TLS handshakes: 10 s).
const OPENING_MAX: Duration = Duration::from_secs(10);
/// HTTP/2 windows: large enough that a list is not cut up by its round trips.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// What a client may send before anybody reads it: enough for 50 MB/s over a way of 40 ms. It is
/// also what a client can make the server hold that sends, and does not let answers go.
const CONNECTION_WINDOW_BYTES: u32 = 2 << 20;
/// Bytes of a frame that a client may send: the least that HTTP/2 allows for.
const FRAME_BYTES_MAX: u32 = 16 << 10;
/// Bytes of an answer that wait for HTTP/2's windows, for each stream.
const SEND_BUFFER_BYTES_MAX: usize = 400 << 10;
/// Bytes of headers that a request over HTTP/2 may have.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// Bytes that the head of a request over HTTP/1 may have, and a piece of its body.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Streams that a client may reset before they were looked at, before it is taken for an attacker
/// (h2's own default).
const PENDING_RESETS_MAX: usize = 20;
/// Streams that may be reset for faults of the client, before it is taken for an attacker.
const FAULTY_STREAMS_MAX: usize = 1024;
/// How long the head of an HTTP/1 request may take to come, and so how long a connection without
/// a request is kept (etcd: 5 min for the head).
const HEAD_MAX: Duration = Duration::from_secs(300);
/// How gRPC names itself.
const GRPC: &[u8] = b"application/grpc";
/// Header lines of an HTTP/1 request.
const HEADER_LINES_MAX: usize = 100;

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// gRPC, and clients' paths of HTTP.
    All,
    /// gRPC alone.
    Grpc,
    /// Clients' paths of HTTP alone.
    Http,
    /// Probes and metrics.
    Probes,
}

impl Traffic {
    /// As etcd's log calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::All => "grpc+http",
            Self::Grpc => "grpc",
            Self::Http => "http",
            Self::Probes => "probes",
        }
    }

    /// Whether anything is served over this version of HTTP. In clear, HTTP/2 is gRPC's alone.
    fn takes(self, is_http2: bool, is_secure: bool) -> bool {
        match self {
            Self::All => true,
            Self::Grpc => is_http2,
            Self::Http | Self::Probes => is_secure || !is_http2,
        }
    }
}

/// What clients meet on a connection: services, and how HTTP is spoken. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Face {
    shared: Arc<Shared>,
    grpc: Grpc,
    /// The same services, in JSON, where that is wanted.
    gateway: Option<JsonGateway>,
    browsers: Arc<Browsers>,
    traffic: Traffic,
}

impl Face {
    pub(crate) fn new(shared: Arc<Shared>, traffic: Traffic) -> Self {
        let browsers = Arc::new(Browsers::new(&shared.config));
        let grpc = grpc(&shared);
        let takes_json = matches!(traffic, Traffic::All | Traffic::Http);
        let gateway = gateway(&shared, &grpc).filter(|_| takes_json);
        Self { grpc, gateway, shared, browsers, traffic }
    }

    /// Answers what is not plainly gRPC in clear.
    async fn answer(self, of: OfConnection, mut request: Request<Body>) -> Response<Body> {
        if self.traffic == Traffic::Probes {
            return mux::for_probes(self.shared, request).await;
        }
        let is_grpc = self.is_grpc(&of, &request);
        let origin = match self.browsers.admit(&self.shared, &of.far_end, &mut request) {
            Entry::Allowed(origin) => origin,
            Entry::Answered(answer) => return *answer,
        };
        let mut answer = if is_grpc {
            let Ok(answer) = self.grpc.oneshot(request).await;
            answer
        } else if self.is_web(&request) {
            web::answer(self.grpc, request).await
        } else {
            mux::for_clients(self.shared, self.gateway, request).await
        };
        self.browsers.share(&mut answer, origin);
        answer
    }

    /// Whether it is gRPC as browsers can speak it, and that is wanted.
    fn is_web(&self, request: &Request<Body>) -> bool {
        self.shared.config.grpc_web && is_web(request)
    }

    fn is_grpc(&self, of: &OfConnection, request: &Request<Body>) -> bool {
        let is_named = || {
            let kind = request.headers().get(header::CONTENT_TYPE);
            kind.is_some_and(|kind| kind.as_bytes().starts_with(GRPC))
        };
        match self.traffic {
            _ if request.version() != Version::HTTP_2 || self.is_web(request) => false,
            Traffic::All => !of.far_end.is_secure || is_named(),
            Traffic::Grpc => true,
            Traffic::Http | Traffic::Probes => false,
        }
    }

    /// Whether requests go to gRPC before anything of HTTP is looked at.
    fn is_grpc_alone(&self, of: &OfConnection, request: &Request<Body>) -> bool {
        let is_shared = self.traffic == Traffic::All && of.far_end.is_secure;
        !is_shared && self.is_grpc(of, request)
    }

    /// Counts a connection that this server ended, or did not begin.
    pub(crate) fn ended(&self, reason: &'static str) {
        self.shared.metrics.connection_ended(reason).increment(1);
    }

    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            // As Go writes them.
            .title_case_headers(true)
            .header_read_timeout(HEAD_MAX)
            .max_headers(HEADER_LINES_MAX)
            .max_buf_size(HEAD_BYTES_MAX);
        builder
    }

    fn http2(&self) -> http2::Builder<TokioExecutor> {
        let config = &self.shared.config;
        let keepalive = config.grpc_keepalive_interval;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_concurrent_streams(config.max_concurrent_streams)
            .max_frame_size(FRAME_BYTES_MAX)
            .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
            .max_header_list_size(HEADER_BYTES_MAX)
            .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
            .max_local_error_reset_streams(FAULTY_STREAMS_MAX)
            .keep_alive_interval((!keepalive.is_zero()).then_some(keepalive))
            .keep_alive_timeout(config.grpc_keepalive_timeout);
        builder
    }

    /// How long a client may be silent while it takes no bytes: by then it was pinged, and did
    /// not answer.
    fn silence_max(&self) -> Option<Duration> {
        let keepalive = self.shared.config.grpc_keepalive_interval;
        (!keepalive.is_zero()).then_some(keepalive + self.shared.config.grpc_keepalive_timeout)
    }
}

/// Holds one connection: makes it ready when its time has come, sees what it speaks, and serves
/// it to its end.
///
/// # Errors
/// In a word, why this server had to end it.
pub(crate) async fn hold<C: Connection>(
    face: Face,
    connection: C,
    begin: Instant,
    mut stop: watch::Receiver<bool>,
) -> Result<(), &'static str> {
    let address = connection.address();
    let opening = async {
        sleep_until(begin).await;
        open(connection).await
    };
    let opened = tokio::select! {
        opened = opening => opened,
        // Nothing was asked on it yet.
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
    };
    let (stream, first, of_connection) = match opened {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
        Err(error) => {
            tracing::debug!(?address, %error, "rejected connection on client endpoint");
            let late = error.kind() == io::ErrorKind::TimedOut;
            return Err(if late { "slow" } else { "opening" });
        }
    };
    if !face.traffic.takes(first.is_http2(), of_connection.far_end.is_secure) {
        let traffic = face.traffic.name();
        tracing::debug!(?address, traffic, "rejected connection: it speaks what is not served");
        return Ok(());
    }
    let guarded = Guarded::new(stream, first, face.silence_max());
    let upgraded = Upgraded::default();
    let service = Calls { face: face.clone(), of_connection, upgraded: upgraded.clone() };
    let mut stop_later = stop.clone();
    let told = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let mut told = pin!(told);
    let outcome = if first.is_http2() {
        let io = TokioIo::new(Metered::new(guarded, first.count()));
        let mut served = pin!(face.http2().serve_connection(io, service));
        tokio::select! {
            outcome = &mut served => outcome,
            () = &mut told => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        }
    } else {
        let io = TokioIo::new(guarded);
        let mut served = pin!(face.http1().serve_connection(io, service).with_upgrades());
        tokio::select! {
            outcome = &mut served => outcome,
            () = &mut told => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(?address, %error, "a connection ended badly");
        return reason(&error).map_or(Ok(()), Err);
    }
    if let Some(served) = upgraded.take() {
        tokio::select! {
            () = served => {}
            _ = stop_later.wait_for(|stop| *stop) => {}
        }
    }
    Ok(())
}

/// Why a connection was ended, if this server did it.
fn reason(error: &hyper::Error) -> Option<&'static str> {
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match io.map(io::Error::kind) {
        None => Some("http"),
        Some(io::ErrorKind::QuotaExceeded) => Some("flood"),
        Some(io::ErrorKind::TimedOut) => Some("stuck"),
        Some(_) => None,
    }
}

/// Makes a connection ready for HTTP, within bounds of time.
async fn open<C: Connection>(connection: C) -> io::Result<(C::Stream, FirstBytes, OfConnection)> {
    let late = |what: &'static str| move |_| io::Error::new(io::ErrorKind::TimedOut, what);
    let opened = timeout(OPENING_MAX, connection.open()).await;
    let (mut stream, far_end) = opened.map_err(late("the handshake took too long"))??;
    let first = timeout(FIRST_BYTES_MAX, FirstBytes::read(&mut stream)).await;
    let first = first.map_err(late("the client said nothing"))??;
    if first.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((stream, first, OfConnection::new(far_end)))
}

/// The calls that come on one connection.
struct Calls {
    face: Face,
    of_connection: OfConnection,
    upgraded: Upgraded,
}

type Answer = Result<Response<Body>, Infallible>;

impl hyper::service::Service<Request<Incoming>> for Calls {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<Oneshot<Grpc, Request<Body>>, BoxFuture<'static, Answer>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.of_connection.clone());
        if self.face.is_grpc_alone(&self.of_connection, &request) {
            Either::Left(self.face.grpc.clone().oneshot(request))
        } else {
            request.extensions_mut().insert(self.upgraded.clone());
            let answer = self.face.clone().answer(self.of_connection.clone(), request);
            Either::Right(answer.map(Ok).boxed())
        }
    }
}
