//! One HTTP/1.1 connection to a peer, and small requests over it.

use crate::io::WriteDeadline;
use crate::{CallError, Dial, PeerUrl};
use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::future::Future;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

pub(crate) type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Longest text that is read of a refusal.
const REFUSAL_BYTES_MAX: usize = 1024;

/// How long the steps of a call may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) dial: Duration,
    pub(crate) read: Duration,
    pub(crate) write: Duration,
}

/// An open connection. Its driving task ends with it.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Body>,
    driver: AbortHandle,
    host: HeaderValue,
    limits: Limits,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    pub(crate) async fn open(
        dialer: &dyn Dial,
        url: &PeerUrl,
        limits: Limits,
        tasks: &TaskTracker,
    ) -> Result<Self, CallError> {
        let stream = match timeout(limits.dial, dialer.dial(url.clone())).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => return Err(CallError::Dial { url: url.to_string(), source }),
            Err(_) => {
                return Err(CallError::DialTimeout { url: url.to_string(), after: limits.dial });
            }
        };
        let io = TokioIo::new(WriteDeadline::new(stream, limits.write));
        let (sender, connection) = http1::handshake(io).await.map_err(CallError::http)?;
        let driver = tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "connection to a peer ended");
            }
        });
        let host = HeaderValue::from_str(url.authority())
            .map_err(|_| CallError::Malformed("a URL that HTTP can name"))?;
        Ok(Self { sender, driver: driver.abort_handle(), host, limits })
    }

    /// Whether another request may be sent.
    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a request, and gives the head of its answer whenever that comes.
    pub(crate) fn start(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Body,
    ) -> Result<impl Future<Output = Result<Response<Incoming>, CallError>> + use<>, CallError>
    {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|_| CallError::Malformed("a path"))?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(HOST, self.host.clone());
        let answer = self.sender.send_request(request);
        Ok(async move { answer.await.map_err(CallError::http) })
    }

    /// Sends a request and waits for the head of the answer for as long as a read may take,
    /// plus once more for each MiB of `body_bytes` that has to go out first.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Body,
        body_bytes: usize,
    ) -> Result<Response<Incoming>, CallError> {
        let mebibytes = u32::try_from(body_bytes >> 20).unwrap_or(u32::MAX);
        let after = self.limits.read.saturating_mul(mebibytes.saturating_add(1));
        self.sender.ready().await.map_err(CallError::http)?;
        let answer = self.start(method, path, headers, body)?;
        timeout(after, answer).await.map_err(|_| CallError::ReadTimeout { after })?
    }

    /// Reads the rest of an answer so that the connection may be used again.
    pub(crate) async fn body(
        &self,
        answer: Response<Incoming>,
        bytes_max: usize,
    ) -> Result<Bytes, CallError> {
        collect(answer.into_body(), bytes_max, self.limits.read).await
    }
}

/// Reads a whole body, piece by piece, as far as `bytes_max`.
pub(crate) async fn collect(
    mut body: Incoming,
    bytes_max: usize,
    pause_max: Duration,
) -> Result<Bytes, CallError> {
    let mut all = BytesMut::new();
    loop {
        let frame = timeout(pause_max, body.frame()).await;
        let frame = frame.map_err(|_| CallError::ReadTimeout { after: pause_max })?;
        let Some(frame) = frame else { return Ok(all.freeze()) };
        let Ok(data) = frame.map_err(CallError::http)?.into_data() else { continue };
        if data.len() > bytes_max - all.len() {
            return Err(CallError::TooLong { bytes_max });
        }
        all.extend_from_slice(&data);
    }
}

/// What an answer other than success means to a member, as etcd's dialers and senders read it.
pub(crate) async fn refusal(connection: &Connection, answer: Response<Incoming>) -> CallError {
    let status = answer.status();
    let version = crate::headers::text(answer.headers(), &crate::headers::SERVER_VERSION);
    let version = version.to_owned();
    let text = connection.body(answer, REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).trim_end().to_owned();
    match status {
        // The far end is not the member that is meant. That says nothing about this one, which
        // etcd would stop all the same.
        StatusCode::FORBIDDEN if text.contains("mismatch member") => {
            CallError::Status { status: status.as_u16(), text }
        }
        StatusCode::GONE | StatusCode::FORBIDDEN => CallError::Removed,
        StatusCode::PRECONDITION_FAILED if text == "cluster ID mismatch" => {
            CallError::ClusterMismatch
        }
        StatusCode::PRECONDITION_FAILED if text == "incompatible version" => {
            CallError::Incompatible(version)
        }
        status => CallError::Status { status: status.as_u16(), text },
    }
}
