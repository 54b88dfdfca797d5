//! Bounds on the bytes of requests that are in the server at once: of one connection, and of
//! all together.
//!
//! A request counts from its head until it is answered, with what the call itself costs: a client
//! may open any number of calls and send nothing on them. Bytes that a client has sent and nobody
//! has read yet are bounded by HTTP/2's windows. Of streams of requests (watches, keep-alives)
//! only the heads are counted: each is read a message at a time.

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

/// Bytes of requests that one connection may have in the server.
const CONNECTION_REQUEST_BYTES_MAX: usize = 64 << 20;
/// Bytes of requests that all connections together may have in the server.
const ALL_REQUEST_BYTES_MAX: usize = 512 << 20;
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
    left: AtomicUsize,
}

impl Budget {
    fn of(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(bytes_max) })
    }

    /// The budget of a new connection.
    pub(crate) fn of_connection() -> Arc<Self> {
        Self::of(CONNECTION_REQUEST_BYTES_MAX)
    }

    fn take(&self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok()
    }

    fn give(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::AcqRel);
    }
}

/// What one request has taken, given back when it is gone.
#[derive(Debug)]
struct Taken {
    bytes: AtomicUsize,
    connection: Option<Arc<Budget>>,
    all: Arc<Budget>,
}

impl Taken {
    fn more(&self, bytes: usize) -> bool {
        if let Some(connection) = &self.connection
            && !connection.take(bytes)
        {
            return false;
        }
        if !self.all.take(bytes) {
            if let Some(connection) = &self.connection {
                connection.give(bytes);
            }
            return false;
        }
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        true
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

/// Refuses requests whose bytes find no room, as they come in.
#[derive(Clone, Debug)]
pub(crate) struct Brakes {
    all: Arc<Budget>,
}

impl Brakes {
    /// Brakes that all listeners of a server share.
    pub(crate) fn new() -> Self {
        Self { all: Budget::of(ALL_REQUEST_BYTES_MAX) }
    }

    /// Bytes of requests that are in the server, and how many there may be.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let left = self.all.left.load(Ordering::Acquire);
        (ALL_REQUEST_BYTES_MAX - left, ALL_REQUEST_BYTES_MAX)
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
            connection: connection.map(|connection| connection.requests.clone()),
            all: self.all.clone(),
        });
        if !taken.more(head_bytes(&request)) {
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
            let answer = answer.await;
            drop(taken);
            answer
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::FarEnd;
    use http_body_util::{BodyExt as _, Full};
    use tokio::sync::Notify;

    /// Reads a request whole and keeps it until it is told to answer; or says why it could not.
    #[derive(Clone)]
    struct Keeping(Arc<Notify>);

    impl Service<Request<Body>> for Keeping {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = Answer;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Answer {
            let answer = self.0.clone();
            Box::pin(async move {
                match request.into_body().collect().await {
                    Ok(_) => answer.notified().await,
                    Err(status) => return Ok(status.into_http()),
                }
                Ok(Status::ok("").into_http())
            })
        }
    }

    /// A request that costs so many bytes in all.
    fn request(path: &str, bytes: usize, connection: &OfConnection) -> Request<Body> {
        let mut request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let body = Bytes::from(vec![0; bytes - head_bytes(&request)]);
        *request.body_mut() = Body::new(Full::new(body));
        request.extensions_mut().insert(connection.clone());
        request
    }

    fn connection(bytes_max: usize) -> OfConnection {
        let far_end = Arc::new(FarEnd::in_clear(None));
        OfConnection { far_end, requests: Budget::of(bytes_max) }
    }

    fn refused(answer: &Response<Body>) -> bool {
        let status = Status::from_header_map(answer.headers()).unwrap();
        let text = "etcdserver: too many requests";
        assert!(status.code() == tonic::Code::Ok || status.message() == text, "{status}");
        status.message() == text
    }

    const PUT: &str = "/etcdserverpb.KV/Put";

    #[tokio::test]
    async fn requests_are_refused_while_a_connection_is_full_and_not_after() {
        let answer = Arc::new(Notify::new());
        let mut service = Brakes { all: Budget::of(100_000) }.layer(Keeping(answer.clone()));
        let (one, other) = (connection(10_000), connection(10_000));
        let first = tokio::spawn(service.call(request(PUT, 6_000, &one)));
        while one.requests.left.load(Ordering::Acquire) != 4_000 {
            tokio::task::yield_now().await;
        }
        assert!(refused(&service.call(request(PUT, 4_001, &one)).await.unwrap()));
        assert_eq!(one.requests.left.load(Ordering::Acquire), 4_000, "what was refused is gone");
        let beside = tokio::spawn(service.call(request(PUT, 9_000, &other)));
        while other.requests.left.load(Ordering::Acquire) != 1_000 {
            tokio::task::yield_now().await;
        }
        answer.notify_waiters();
        for answered in [first, beside] {
            assert!(!refused(&answered.await.unwrap().unwrap()));
        }
        answer.notify_one();
        assert!(!refused(&service.call(request(PUT, 10_000, &one)).await.unwrap()));
        assert_eq!(service.all.left.load(Ordering::Acquire), 100_000);
    }

    #[tokio::test]
    async fn all_connections_together_are_bounded_too() {
        let answer = Arc::new(Notify::new());
        let mut service = Brakes { all: Budget::of(10_000) }.layer(Keeping(answer.clone()));
        let (one, other) = (connection(9_000), connection(9_000));
        let first = tokio::spawn(service.call(request(PUT, 6_000, &one)));
        while service.all.left.load(Ordering::Acquire) != 4_000 {
            tokio::task::yield_now().await;
        }
        assert!(refused(&service.call(request(PUT, 6_000, &other)).await.unwrap()));
        assert_eq!(other.requests.left.load(Ordering::Acquire), 9_000);
        // Callers that go away give back what they took.
        first.abort();
        assert!(first.await.is_err());
        assert_eq!(service.all.left.load(Ordering::Acquire), 10_000);
    }

    #[tokio::test]
    async fn of_streams_of_requests_only_heads_are_counted() {
        let answer = Arc::new(Notify::new());
        let mut service = Brakes { all: Budget::of(3_000) }.layer(Keeping(answer.clone()));
        answer.notify_one();
        let watch = request(STREAMS[0], 100_000, &connection(3_000));
        assert!(!refused(&service.call(watch).await.unwrap()));
        assert!(refused(
            &service.call(request(STREAMS[0], 3_000, &connection(1_000))).await.unwrap()
        ));
    }

    /// A client once could open any number of calls with large headers and send nothing on them.
    #[tokio::test]
    async fn calls_on_which_nothing_is_sent_count_with_their_heads() {
        let answer = Arc::new(Notify::new());
        let mut service = Brakes { all: Budget::of(100_000) }.layer(Keeping(answer.clone()));
        let one = connection(20_000);
        let silent = || {
            let mut request = request(PUT, CALL_BYTES + PUT.len(), &one);
            request.headers_mut().insert("a", "b".repeat(4_000).parse().unwrap());
            request
        };
        let waiting: Vec<_> = (0..3).map(|_| tokio::spawn(service.call(silent()))).collect();
        assert!(refused(&service.call(silent()).await.unwrap()));
        for call in waiting {
            call.abort();
            assert!(call.await.is_err());
        }
        assert_eq!(one.requests.left.load(Ordering::Acquire), 20_000);
    }
}
