//! Connections: one HTTP/2 connection an endpoint, opened when needed, calls spread over them.
//!
//! This stands where tonic's own channel would. The reason is one promise: it always knows
//! whether a request has left the process, so that a write is never sent twice by accident.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Scheme;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

use crate::dial::{SecureDialer, Stream};
use crate::error::NotSent;
use crate::{Config, Dial, Endpoint, Error, Timeouts, Windows};

type Sender = http2::SendRequest<Body>;

/// A gRPC service over the endpoints of one cluster: give it to any generated client of
/// `drystone-api` to make calls that [`Client`](crate::Client) has no method for.
///
/// Each call goes to the next endpoint that is connected, else to the first that can be
/// connected within [`Timeouts::connect`]. Cloning is cheap and shares the connections.
/// Nothing is repeated once a request has been handed to a connection.
#[derive(Clone, Debug)]
pub struct Transport {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    nodes: Vec<Arc<Node>>,
    next: AtomicUsize,
}

/// One endpoint and the connection to it, if there is one.
#[derive(Debug)]
struct Node {
    endpoint: Endpoint,
    dial: Arc<dyn Dial>,
    timeouts: Timeouts,
    windows: Windows,
    /// Whether requests are to say so: servers tell secure requests by it.
    secure: bool,
    state: Mutex<State>,
    /// Held while connecting, so that a crowd of calls opens one connection.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    live: Option<Sender>,
    failures: u32,
    retry_at: Option<Instant>,
    last_error: String,
}

/// First and longest wait before an endpoint that failed is tried again on its own.
const DOWN_MIN: Duration = Duration::from_millis(50);
const DOWN_MAX: Duration = Duration::from_secs(2);

impl Transport {
    /// Makes the service; opens no connection yet. Reads the files of [`Config::tls`].
    pub fn new(config: &Config) -> Result<Transport, Error> {
        Transport::over(config, Arc::new(SecureDialer::new(config)?))
    }

    /// [`Transport::new`] over connections that `dial` makes; TLS is its business.
    pub fn over(config: &Config, dial: Arc<dyn Dial>) -> Result<Transport, Error> {
        if config.endpoints.is_empty() {
            return Err(Error::NoEndpoints);
        }
        let node = |endpoint: &Endpoint| {
            Arc::new(Node {
                endpoint: endpoint.clone(),
                dial: dial.clone(),
                timeouts: config.timeouts,
                windows: config.windows,
                secure: endpoint.is_secure(config.tls.is_some()),
                state: Mutex::default(),
                connecting: tokio::sync::Mutex::default(),
            })
        };
        let nodes = config.endpoints.iter().map(node).collect();
        Ok(Transport { shared: Arc::new(Shared { nodes, next: AtomicUsize::new(0) }) })
    }

    /// Opens a connection to one endpoint if none is open. Calls do this by themselves.
    pub async fn connect(&self) -> Result<(), Error> {
        match self.acquire(0).await {
            Ok(_) => Ok(()),
            Err(message) => Err(Error::Unreachable { message }),
        }
    }

    /// How many endpoints there are.
    pub fn endpoints(&self) -> usize {
        self.shared.nodes.len()
    }

    /// A connection to use, chosen in turn from `turn` on, or why there is none.
    async fn acquire(&self, turn: usize) -> Result<(Arc<Node>, Sender), String> {
        let nodes = &self.shared.nodes;
        let in_turn = || (0..nodes.len()).map(|i| &nodes[(turn % nodes.len() + i) % nodes.len()]);
        let any_live = in_turn().any(|node| node.live().is_some());
        for node in in_turn() {
            if let Some(sender) = node.live() {
                return Ok((node.clone(), sender));
            }
            if node.is_down() {
                continue;
            }
            if any_live {
                // Others can serve this call: bring the endpoint back beside it.
                let node = node.clone();
                tokio::spawn(async move { node.connect().await.map(drop) });
            } else if let Ok(sender) = node.connect().await {
                return Ok((node.clone(), sender));
            }
        }
        Err(nodes[turn % nodes.len()].last_error())
    }

    async fn send(self, turn: usize, request: Request<Body>) -> Result<Response<Incoming>, Status> {
        let mut request = request;
        // Connections that turn out to be closed give the request back; each can do so once.
        for attempt in 0..=self.endpoints() {
            let (node, mut sender) =
                self.acquire(turn.wrapping_add(attempt)).await.map_err(NotSent::status)?;
            *request.uri_mut() = node.uri(request.uri());
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut refused) => {
                    node.forget_closed();
                    match refused.take_message() {
                        Some(unsent) => request = unsent,
                        None => return Err(node.lost(refused.into_error())),
                    }
                }
            }
        }
        Err(NotSent::status("every connection closed before the request was sent".into()))
    }
}

impl Node {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> Option<Sender> {
        let mut state = self.state();
        if state.live.as_ref().is_some_and(Sender::is_closed) {
            state.live = None;
        }
        state.live.clone()
    }

    fn forget_closed(&self) {
        self.live();
    }

    fn is_down(&self) -> bool {
        self.state().retry_at.is_some_and(|at| Instant::now() < at)
    }

    fn last_error(&self) -> String {
        self.state().last_error.clone()
    }

    fn uri(&self, given: &Uri) -> Uri {
        let mut parts = http::uri::Parts::default();
        let scheme = if self.secure { Scheme::HTTPS } else { Scheme::HTTP };
        parts.scheme = Some(scheme);
        parts.authority = Some(self.endpoint.authority().clone());
        parts.path_and_query = given.path_and_query().cloned();
        Uri::from_parts(parts).unwrap_or_else(|_| given.clone())
    }

    fn lost(&self, cause: hyper::Error) -> Status {
        let mut status = Status::unavailable(format!("{}", self.endpoint));
        status.set_source(Arc::new(cause));
        status
    }

    async fn connect(&self) -> Result<Sender, ()> {
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(sender) = self.live() {
            return Ok(sender);
        }
        if self.is_down() {
            return Err(());
        }
        let opened = tokio::time::timeout(self.timeouts.connect, self.open()).await;
        let mut state = self.state();
        match opened.unwrap_or_else(|_| Err("connecting took too long".to_owned())) {
            Ok(sender) => {
                *state = State { live: Some(sender.clone()), ..State::default() };
                Ok(sender)
            }
            Err(message) => {
                let wait = DOWN_MIN.saturating_mul(1 << state.failures.min(16)).min(DOWN_MAX);
                state.failures = state.failures.saturating_add(1);
                state.retry_at = Some(Instant::now() + wait);
                state.last_error = format!("{}: {message}", self.endpoint);
                tracing::debug!(endpoint = %self.endpoint, %message, "cannot connect");
                Err(())
            }
        }
    }

    async fn open(&self) -> Result<Sender, String> {
        let stream = self.dial.dial(&self.endpoint).await.map_err(|e| e.to_string())?;
        self.handshake(stream).await
    }

    async fn handshake(&self, stream: Box<dyn Stream>) -> Result<Sender, String> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(self.windows.stream_bytes)
            .initial_connection_window_size(self.windows.connection_bytes)
            .keep_alive_interval(self.timeouts.keepalive_interval_checked())
            .keep_alive_timeout(self.timeouts.keepalive_answer)
            .handshake::<_, Body>(TokioIo::new(stream))
            .await
            .map_err(|e| e.to_string())?;
        let endpoint = self.endpoint.clone();
        // Ends by itself: when the peer closes, or when the last sender is dropped.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%endpoint, %error, "connection ended");
            }
        });
        Ok(sender)
    }
}

impl tower_service::Service<Request<Body>> for Transport {
    type Response = Response<Incoming>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let turn = self.shared.next.fetch_add(1, Ordering::Relaxed);
        Box::pin(self.clone().send(turn, request))
    }
}
