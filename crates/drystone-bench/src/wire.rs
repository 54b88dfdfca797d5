//! Calls at the lowest price: gRPC straight on HTTP/2 frames.
//!
//! What a general client adds for every call (boxed bodies, a task to pump each of them, tables
//! of headers) costs more here than the server's own work for a small request, and would be
//! measured with it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use drystone_client::{Endpoint, Target};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tonic::Status;

use crate::Error;
use crate::scan::Scan;

/// Methods, by their place in [`PATHS`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    Range,
    Put,
    Txn,
    DeleteRange,
    Watch,
}

const PATHS: [&str; 5] = [
    "/etcdserverpb.KV/Range",
    "/etcdserverpb.KV/Put",
    "/etcdserverpb.KV/Txn",
    "/etcdserverpb.KV/DeleteRange",
    "/etcdserverpb.Watch/Watch",
];

/// Large enough that lists do not wait for window updates.
const STREAM_WINDOW_BYTES: u32 = 16 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
/// What stands before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// One connection to one server, opened anew when it is lost.
#[derive(Debug)]
pub(crate) struct Wire {
    endpoint: Endpoint,
    uris: [Uri; PATHS.len()],
    timeout: Duration,
    live: Mutex<Option<SendRequest<Bytes>>>,
}

impl Wire {
    pub(crate) fn new(endpoint: &Endpoint, timeout: Duration) -> Wire {
        let uri = |path| {
            let mut parts = http::uri::Parts::default();
            parts.scheme = Some(http::uri::Scheme::HTTP);
            parts.authority = Some(endpoint.authority().clone());
            parts.path_and_query = Some(http::uri::PathAndQuery::from_static(path));
            Uri::from_parts(parts).expect("all parts are there")
        };
        Wire { endpoint: endpoint.clone(), uris: PATHS.map(uri), timeout, live: Mutex::new(None) }
    }

    /// Opens the connection.
    pub(crate) async fn connect(&self) -> Result<(), Error> {
        self.sender().await.map(drop).map_err(Error::step("connecting"))
    }

    /// One unary call.
    pub(crate) async fn call<R: Scan>(
        &self,
        call: Call,
        request: &impl Message,
    ) -> Result<R, Status> {
        match tokio::time::timeout(self.timeout, self.exchange(call, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(Status::deadline_exceeded("the request took too long")),
        }
    }

    async fn exchange<R: Scan>(&self, call: Call, request: &impl Message) -> Result<R, Status> {
        let (response, mut body) = self.begin(call).await?;
        body.send_data(frame(request), true).map_err(|error| self.broken(error))?;
        let mut answer = Messages::new(response.await.map_err(|error| self.broken(error))?)?;
        let Some(message) = answer.next::<R>().await? else {
            return Err(Status::internal("the response is empty"));
        };
        // Whatever the status is, it comes after the message.
        match answer.next::<R>().await? {
            None => Ok(message),
            Some(_) => Err(Status::internal("the response has two messages")),
        }
    }

    /// Opens a watch stream and sends its requests.
    pub(crate) async fn watch(
        &self,
        requests: impl IntoIterator<Item = impl Message>,
    ) -> Result<Watching, Status> {
        let (response, mut body) = self.begin(Call::Watch).await?;
        for request in requests {
            body.send_data(frame(&request), false).map_err(|error| self.broken(error))?;
        }
        let response = response.await.map_err(|error| self.broken(error))?;
        Ok(Watching { answers: Messages::new(response)?, _requests: body })
    }

    async fn begin(&self, call: Call) -> Result<(ResponseFuture, SendStream<Bytes>), Status> {
        let sender = self.sender().await?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uris[call as usize].clone();
        let headers = request.headers_mut();
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        let mut sender = sender.ready().await.map_err(|error| self.broken(error))?;
        sender.send_request(request, false).map_err(|error| self.broken(error))
    }

    /// What became of the call; a connection that is lost is forgotten.
    fn broken(&self, error: h2::Error) -> Status {
        if error.is_io() || error.is_go_away() || !error.is_reset() {
            *self.live() = None;
        }
        Status::unavailable(error.to_string())
    }

    fn live(&self) -> MutexGuard<'_, Option<SendRequest<Bytes>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sender(&self) -> Result<SendRequest<Bytes>, Status> {
        if let Some(sender) = self.live().clone() {
            return Ok(sender);
        }
        let opened = tokio::time::timeout(self.timeout, self.open()).await;
        let opened = opened.unwrap_or_else(|_| Err("connecting took too long".to_owned()));
        let failed = |reason| Status::unavailable(format!("{}: {reason}", self.endpoint));
        let sender = opened.map_err(failed)?;
        // Several callers may have opened one each: all but the last close when unused.
        *self.live() = Some(sender.clone());
        Ok(sender)
    }

    async fn open(&self) -> Result<SendRequest<Bytes>, String> {
        match self.endpoint.target() {
            Target::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
                stream.set_nodelay(true).map_err(|e| e.to_string())?;
                handshake(stream).await
            }
            Target::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(|e| e.to_string())?;
                handshake(stream).await
            }
        }
    }
}

async fn handshake<S>(stream: S) -> Result<SendRequest<Bytes>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake(stream)
        .await
        .map_err(|error| error.to_string())?;
    // Ends when the peer closes or the last sender is dropped; calls hear of errors themselves.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

/// A message as it stands in the body.
fn frame(message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + len);
    frame.put_u8(0);
    // Requests are built here, of sizes that options bound far below 4 GiB.
    frame.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    message.encode_raw(&mut frame);
    frame.freeze()
}

/// An open watch stream.
#[derive(Debug)]
pub(crate) struct Watching {
    answers: Messages,
    /// Dropping it would end the stream.
    _requests: SendStream<Bytes>,
}

impl Watching {
    /// The next response; `None` at the end of the stream.
    pub(crate) async fn next<R: Scan>(&mut self) -> Result<Option<R>, Status> {
        self.answers.next().await
    }
}

/// The messages of a response's body.
#[derive(Debug)]
struct Messages {
    body: RecvStream,
    /// What has come and is not read yet.
    buffer: Bytes,
}

impl Messages {
    fn new(response: Response<RecvStream>) -> Result<Messages, Status> {
        let (head, body) = response.into_parts();
        // A response that is only an error carries it in its headers.
        check(&head.headers)?;
        if !head.status.is_success() {
            return Err(Status::unavailable(format!("HTTP status {}", head.status)));
        }
        Ok(Messages { body, buffer: Bytes::new() })
    }

    async fn next<R: Scan>(&mut self) -> Result<Option<R>, Status> {
        if self.buffer.is_empty() && !self.more().await? {
            let trailers = self.body.trailers().await.map_err(lost)?;
            check(&trailers.unwrap_or_default())?;
            return Ok(None);
        }
        self.fill(PREFIX_BYTES).await?;
        let Some(&[compressed, a, b, c, d]) = self.buffer.first_chunk() else {
            return Err(cut_off());
        };
        if compressed != 0 {
            return Err(Status::internal("the response is compressed"));
        }
        let len = PREFIX_BYTES + u32::from_be_bytes([a, b, c, d]) as usize;
        self.fill(len).await?;
        let message = self.buffer.split_to(len);
        let scanned = R::scan(&message[PREFIX_BYTES..]);
        scanned.map(Some).ok_or_else(|| Status::internal("the response is not a message"))
    }

    /// Waits for a frame; `false` at the end of the body.
    async fn more(&mut self) -> Result<bool, Status> {
        loop {
            match self.body.data().await {
                None => return Ok(false),
                Some(data) => {
                    let data = data.map_err(lost)?;
                    self.body.flow_control().release_capacity(data.len()).map_err(lost)?;
                    if !data.is_empty() {
                        self.buffer = data;
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Waits until so many bytes are there; copies only if they come in several frames.
    async fn fill(&mut self, len: usize) -> Result<(), Status> {
        if self.buffer.len() >= len {
            return Ok(());
        }
        let mut whole = BytesMut::from(std::mem::take(&mut self.buffer));
        while whole.len() < len {
            if !self.more().await? {
                return Err(cut_off());
            }
            whole.extend_from_slice(&self.buffer);
        }
        self.buffer = whole.freeze();
        Ok(())
    }
}

fn check(headers: &HeaderMap) -> Result<(), Status> {
    match Status::from_header_map(headers) {
        Some(status) if status.code() != tonic::Code::Ok => Err(status),
        _ => Ok(()),
    }
}

fn lost(error: h2::Error) -> Status {
    Status::unavailable(error.to_string())
}

fn cut_off() -> Status {
    Status::unavailable("the response ends within a message")
}
