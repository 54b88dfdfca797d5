//! Bounds on the bytes of calls that are in the server at once: of one connection, and of all
//! together.
//!
//! A call counts from its head until its answer was taken, with what the call itself costs: a
//! client may open any number of calls and send nothing on them, or let no answer go. Of answers
//! that count is what the transport holds and what is ready to follow it. Bytes that a client has
//! sent and nobody has read yet are bounded by HTTP/2's windows. Of streams of requests (watches,
//! keep-alives) only the heads are counted: each is read a message at a time.
//!
//! No connection has more than a share of what is left, so that however many hold what they can,
//! something is left for the next: sixteen greedy ones leave a fifth of all to the others. And its
//! calls begin in the first half of its share, so that there is room for what comes of them: else
//! work would be done for answers that are refused.

use crate::connection::OfConnection;
use bytes::Bytes;
use drystone_api::errors::EtcdError;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Bytes of calls that one connection may have in the server.
const CONNECTION_BYTES_MAX: usize = 128 << 20;
/// Bytes of calls that all connections together may have in the server.
const ALL_BYTES_MAX: usize = 512 << 20;
/// The part of what is left that one connection may have: one in so many.
const SHARE: usize = 4;
/// Bytes that a call costs beside its headers: its task, its stream and their buffers.
const CALL_BYTES: usize = 2 << 10;
/// Bytes that a header costs beside its name and value (RFC 9113, 6.5.2).
const HEADER_OVERHEAD_BYTES: usize = 32;
/// Calls whose requests are streams.
const STREAMS: [&str; 4] = [
    "/etcdserverpb.Watch/Watch",
    "/etcdserverpb.Lease/LeaseKeepAlive",
    // The same, as JSON.
    "/v3/watch",
    "/v3/lease/keepalive",
];

/// A number of bytes that can be taken and given back.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: usize,
    left: AtomicUsize,
}

impl Budget {
    fn of(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, left: AtomicUsize::new(bytes_max) })
    }

    /// The budget of a new connection.
    pub(crate) fn of_connection() -> Arc<Self> {
        Self::of(CONNECTION_BYTES_MAX)
    }

    /// Takes bytes while no more than `used_max` are in use then.
    fn take(&self, bytes: usize, used_max: usize) -> bool {
        let least = self.bytes_max.saturating_sub(used_max);
        let less = |left: usize| left.checked_sub(bytes).filter(|left| *left >= least);
        self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok()
    }

    fn used(&self) -> usize {
        self.bytes_max - self.left.load(Ordering::Acquire)
    }

    /// What a connection may use while `all` has so much left.
    fn share(&self, all: &Self) -> usize {
        self.bytes_max.min(all.left.load(Ordering::Acquire) / SHARE)
    }

    fn give(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::AcqRel);
    }
}

/// What one call has taken, given back when it is gone.
#[derive(Debug)]
struct Taken {
    bytes: AtomicUsize,
    connection: Option<Arc<Budget>>,
    all: Arc<Budget>,
}

impl Taken {
    /// Takes what a call begins with.
    fn begin(&self, bytes: usize) -> bool {
        self.take(bytes, 2)
    }

    fn more(&self, bytes: usize) -> bool {
        self.take(bytes, 1)
    }

    /// Takes bytes while the connection uses no more then than its share by `part`.
    fn take(&self, bytes: usize, part: usize) -> bool {
        if !self.all.take(bytes, self.all.bytes_max) {
            return false;
        }
        if let Some(connection) = &self.connection
            && !connection.take(bytes, connection.share(&self.all) / part)
        {
            self.all.give(bytes);
            return false;
        }
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        true
    }

    fn less(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        if let Some(connection) = &self.connection {
            connection.give(bytes);
        }
        self.all.give(bytes);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        if let Some(connection) = &self.connection {
            connection.give(bytes);
        }
        self.all.give(bytes);
    }
}

/// Refuses calls whose bytes find no room, as they come in or go out.
#[derive(Clone, Debug)]
pub(crate) struct Brakes {
    all: Arc<Budget>,
}

impl Brakes {
    /// Brakes that all listeners of a server share.
    pub(crate) fn new() -> Self {
        Self { all: Budget::of(ALL_BYTES_MAX) }
    }

    /// Bytes of calls that are in the server, and how many there may be.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        (self.all.used(), self.all.bytes_max)
    }

    /// Whether no call of a connection may begin now.
    pub(crate) fn is_crowded(&self, connection: &Budget) -> bool {
        connection.used() > connection.share(&self.all) / 2
    }
}

impl<S> Layer<S> for Brakes {
    type Service = Braked<S>;

    fn layer(&self, inner: S) -> Braked<S> {
        Braked { inner, all: self.all.clone() }
    }
}

/// See [`Brakes`].
#[derive(Clone, Debug)]
pub(crate) struct Braked<S> {
    inner: S,
    all: Arc<Budget>,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Braked<S>
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
        let connection = request.extensions().get::<OfConnection>();
        let taken = Arc::new(Taken {
            bytes: AtomicUsize::new(0),
            connection: connection.map(|connection| connection.calls.clone()),
            all: self.all.clone(),
        });
        if !taken.begin(head_bytes(&request)) {
            let refusal = Status::from(EtcdError::RequestTooManyRequests).into_http();
            return Box::pin(std::future::ready(Ok(refusal)));
        }
        let request = if STREAMS.contains(&request.uri().path()) {
            request
        } else {
            let taken = taken.clone();
            request.map(|body| Body::new(Counted { body, taken }))
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let Ok(answer) = answer.await;
            Ok(kept(answer, taken))
        })
    }
}

/// An answer that counts until it was taken.
fn kept(answer: Response<Body>, taken: Arc<Taken>) -> Response<Body> {
    if answer.body().is_end_stream() {
        return answer;
    }
    let (parts, body) = answer.into_parts();
    let ready = ready_bytes(&body);
    let mut body = Kept { body, taken, held: 0, last: 0 };
    if !body.hold(ready) {
        return Status::from(EtcdError::RequestTooManyRequests).into_http();
    }
    Response::from_parts(parts, Body::new(body))
}

/// Bytes of an answer that wait in memory.
fn ready_bytes(body: &Body) -> usize {
    usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX)
}

/// What a call costs before anything of its body came.
fn head_bytes(request: &Request<Body>) -> usize {
    let headers = request.headers().iter();
    let headers: usize = headers
        .map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD_BYTES)
        .sum();
    CALL_BYTES + request.uri().path().len() + headers
}

/// A request's body that counts what comes of it.
struct Counted {
    body: Body,
    taken: Arc<Taken>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && !self.taken.more(data.len())
        {
            return Poll::Ready(Some(Err(EtcdError::RequestTooManyRequests.into())));
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

/// An answer's body that counts what the transport holds of it, and what is ready to follow.
struct Kept {
    body: Body,
    taken: Arc<Taken>,
    /// What is counted beyond [`CALL_BYTES`], which small answers keep to.
    held: usize,
    /// Bytes of the piece that the transport was given last: it asks for the next one before it
    /// has written this one.
    last: usize,
}

impl Kept {
    /// Counts so many bytes from now on.
    fn hold(&mut self, bytes: usize) -> bool {
        let held = bytes.saturating_sub(CALL_BYTES);
        if held > self.held && !self.taken.more(held - self.held) {
            return false;
        }
        if held < self.held {
            self.taken.less(self.held - held);
        }
        self.held = held;
        true
    }
}

impl HttpBody for Kept {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let before = std::mem::replace(&mut self.last, data.len());
            let bytes = before + data.len();
            let bytes = bytes.saturating_add(ready_bytes(&self.body));
            if !self.hold(bytes) {
                return Poll::Ready(Some(Err(EtcdError::RequestTooManyRequests.into())));
            }
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
