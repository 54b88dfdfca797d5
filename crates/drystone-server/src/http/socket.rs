//! The gateway over WebSocket, as pages in browsers use it for streams: each message that comes
//! in is a request in JSON, each line of the answer is a message.
//!
//! As with etcd, every path of the gateway takes it, and a token comes as the second of two
//! subprotocols (`Bearer, TOKEN`) or in the cookie `token`: a page cannot set headers here. CORS
//! does not bound WebSocket either; pages that `--cors` does not list were refused before.

use super::answers;
use super::gateway::JsonGateway;
use crate::connection::OfConnection;
use crate::shared::Shared;
use bytes::{Bytes, BytesMut};
use drystone_api::limits::TRANSPORT_OVERHEAD_BYTES;
use drystone_gateway::BODY_GROWTH;
use futures::future::{BoxFuture, FutureExt as _};
use futures::{Sink, SinkExt as _, Stream, StreamExt as _};
use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, HeaderName, ORIGIN, REFERER, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tonic::body::Body;
use tower::ServiceExt as _;

/// The one version of the protocol there is (RFC 6455).
const VERSION: HeaderValue = HeaderValue::from_static("13");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADED: HeaderValue = HeaderValue::from_static("Upgrade");
/// The subprotocol under which a token comes.
const BEARER: &str = "Bearer";
const TOKEN_COOKIE: &str = "token";
/// Requests that wait until the call takes them. More wait in the connection.
const REQUESTS_MAX: usize = 1;

/// What becomes of a connection that stops speaking HTTP. Whoever holds the connection takes it
/// from here, so that it counts as a connection for as long as it lasts.
#[derive(Clone, Default)]
pub(super) struct Upgraded(Arc<Mutex<Option<BoxFuture<'static, ()>>>>);

impl Upgraded {
    /// What there is to do when HTTP is over, if anything.
    pub(super) fn take(&self) -> Option<BoxFuture<'static, ()>> {
        self.0.lock().take()
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upgraded").field(&self.0.lock().is_some()).finish()
    }
}

/// Whether a request asks for WebSocket.
pub(super) fn is_upgrade(request: &Request<Body>) -> bool {
    let names = |name: HeaderName, wanted: &str| {
        let values = request.headers().get_all(name).into_iter();
        let mut words = values.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
        words.any(|word| word.trim().eq_ignore_ascii_case(wanted))
    };
    names(CONNECTION, "upgrade") && names(UPGRADE, "websocket")
}

/// Answers the handshake, and leaves the rest to whoever holds the connection.
pub(super) fn open(
    shared: &Shared,
    gateway: JsonGateway,
    mut request: Request<Body>,
) -> Response<Body> {
    if request.method() != Method::GET {
        return answers::method_not_allowed("GET");
    }
    let upgraded = request.extensions().get::<Upgraded>().cloned();
    let key = request.headers().get(SEC_WEBSOCKET_KEY).filter(|key| !key.is_empty());
    let accepted = key.map(|key| derive_accept_key(key.as_bytes()));
    let is_known = request.headers().get(SEC_WEBSOCKET_VERSION) == Some(&VERSION);
    let accepted = accepted.filter(|_| is_known && request.version() == Version::HTTP_11);
    let accepted = accepted.and_then(|accepted| HeaderValue::from_str(&accepted).ok());
    let (Some(accepted), Some(upgraded)) = (accepted, upgraded) else {
        let mut refusal = answers::text(StatusCode::BAD_REQUEST, "Bad Request\n");
        refusal.headers_mut().insert(SEC_WEBSOCKET_VERSION, VERSION);
        return refusal;
    };
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(UPGRADE, WEBSOCKET);
    headers.insert(CONNECTION, UPGRADED);
    headers.insert(SEC_WEBSOCKET_ACCEPT, accepted);
    if text(request.headers(), &SEC_WEBSOCKET_PROTOCOL).is_some_and(|p| p.starts_with(BEARER)) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(BEARER));
    }
    let config = &shared.config;
    let bounds = Bounds {
        message_bytes_max: (config.max_request_bytes + TRANSPORT_OVERHEAD_BYTES)
            .saturating_mul(BODY_GROWTH),
        ping_interval: config.grpc_keepalive_interval,
    };
    let ready = hyper::upgrade::on(&mut request);
    // Nothing of the body is HTTP's any more.
    let (asked, _) = request.into_parts();
    let served = async move {
        let Ok(connection) = ready.await else { return };
        serve(TokioIo::new(connection), gateway, asked, bounds).await;
    };
    *upgraded.0.lock() = Some(served.boxed());
    answer
}

/// What one socket may take.
struct Bounds {
    message_bytes_max: usize,
    /// How often the client is pinged, and how long it may stay silent; zero is never, and for
    /// ever.
    ping_interval: Duration,
}

/// Serves one call, until either end has had enough.
async fn serve<C>(connection: C, gateway: JsonGateway, asked: Parts, bounds: Bounds)
where
    C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .max_message_size(Some(bounds.message_bytes_max))
        .max_frame_size(Some(bounds.message_bytes_max));
    let socket = WebSocketStream::from_raw_socket(connection, Role::Server, Some(config)).await;
    let (out, incoming) = socket.split();
    let (give, requests) = mpsc::channel(REQUESTS_MAX);
    let heard = AtomicBool::new(true);
    let answered = async {
        let Ok(answer) = gateway.oneshot(call(&asked, requests)).await;
        told(answer.into_body(), out, pings(bounds.ping_interval), &heard).await
    };
    tokio::select! {
        () = taken(incoming, give, &heard) => {}
        outcome = answered => if let Err(error) = outcome {
            tracing::debug!(%error, "a websocket ended badly");
        },
    }
}

/// The call that the messages are the body of.
fn call(asked: &Parts, requests: mpsc::Receiver<Bytes>) -> Request<Body> {
    let frames = ReceiverStream::new(requests).map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
    let mut call = Request::new(Body::new(StreamBody::new(frames)));
    *call.method_mut() = Method::POST;
    *call.uri_mut() = asked.uri.clone();
    let headers = call.headers_mut();
    for name in [ORIGIN, REFERER] {
        if let Some(value) = asked.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    if let Some(token) = token(&asked.headers) {
        headers.insert(AUTHORIZATION, token);
    }
    if let Some(of) = asked.extensions.get::<OfConnection>() {
        call.extensions_mut().insert(of.clone());
    }
    call
}

/// Reads messages until the client has had enough.
async fn taken(
    mut incoming: impl Stream<Item = Result<Message, Error>> + Unpin,
    give: mpsc::Sender<Bytes>,
    heard: &AtomicBool,
) {
    while let Some(Ok(message)) = incoming.next().await {
        heard.store(true, Ordering::Relaxed);
        let bytes = match message {
            Message::Text(text) => Bytes::from(text),
            Message::Binary(bytes) => bytes,
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        let mut line = BytesMut::from(&bytes[..]);
        line.extend_from_slice(b"\n");
        // A call that takes no more may still have something to say, for as long as the client
        // answers pings and does not close.
        let _ = give.send(line.freeze()).await;
    }
}

/// Sends the lines of an answer, and ends the socket behind the last.
async fn told(
    mut body: Body,
    mut out: impl Sink<Message, Error = Error> + Unpin,
    mut pings: Option<Interval>,
    heard: &AtomicBool,
) -> Result<(), Error> {
    let mut line = BytesMut::new();
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = due(&mut pings) => {
                if !heard.swap(false, Ordering::Relaxed) {
                    return Err(Error::ConnectionClosed);
                }
                out.send(Message::Ping(Bytes::new())).await?;
                continue;
            }
        };
        let Some(Ok(frame)) = frame else { break };
        let mut searched = line.len();
        line.extend_from_slice(&frame.into_data().unwrap_or_default());
        while let Some(end) = line[searched..].iter().position(|byte| *byte == b'\n') {
            let whole = line.split_to(searched + end + 1).freeze();
            out.send(message(whole.slice(..whole.len() - 1))).await?;
            searched = 0;
        }
    }
    if !line.is_empty() {
        out.send(message(line.freeze())).await?;
    }
    out.close().await
}

/// A line as a message; JSON is text.
fn message(line: Bytes) -> Message {
    match tokio_tungstenite::tungstenite::Utf8Bytes::try_from(line.clone()) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(line),
    }
}

fn pings(every: Duration) -> Option<Interval> {
    let mut pings = (!every.is_zero()).then(|| interval(every))?;
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first is due at once.
    pings.reset();
    Some(pings)
}

async fn due(pings: &mut Option<Interval>) {
    match pings {
        Some(pings) => {
            pings.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// The token that a handshake carries, as a header says it.
fn token(headers: &HeaderMap) -> Option<HeaderValue> {
    let named = text(headers, &SEC_WEBSOCKET_PROTOCOL);
    // Some browsers put no space behind the comma.
    let named = named.and_then(|protocols| protocols.split_once("Bearer,"));
    let cookies = headers.get_all(COOKIE).into_iter();
    let mut pairs = cookies.filter_map(|cookies| cookies.to_str().ok()).flat_map(|c| c.split(';'));
    let cookie = pairs.find_map(|pair| pair.trim().strip_prefix(TOKEN_COOKIE)?.strip_prefix('='));
    let token = cookie.or(named.map(|(_, token)| token.trim_matches(' ')))?;
    HeaderValue::from_str(&format!("{BEARER} {token}")).ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    #[test]
    fn a_token_comes_as_a_subprotocol_or_as_a_cookie() {
        for (protocol, cookie, expected) in [
            ("Bearer, abc", "", Some("Bearer abc")),
            ("Bearer,abc", "a=b; c=d", Some("Bearer abc")),
            ("Bearer, Bearer,abc", "", Some("Bearer Bearer,abc")),
            ("Bearer, abc", "a=b; token=def; token=x", Some("Bearer def")),
            ("chat", "mytoken=x; tokens=y", None),
            ("", "", None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(SEC_WEBSOCKET_PROTOCOL, protocol), (COOKIE, cookie)] {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
            let token = token(&headers);
            assert_eq!(token.as_ref().map(|token| token.to_str().unwrap()), expected);
        }
    }

    #[test]
    fn a_socket_whose_call_takes_no_more_is_still_read() {
        let (give, requests) = mpsc::channel(REQUESTS_MAX);
        drop(requests);
        let heard = AtomicBool::new(false);
        let messages = [Message::text("{}"), Message::text("{}"), Message::Pong(Bytes::new())];
        // It ends with the messages, so all of them were read.
        let read = taken(stream::iter(messages.map(Ok)), give, &heard).now_or_never();
        assert!(read.is_some(), "it waits for a call that has ended");
        assert!(heard.load(Ordering::Relaxed));
    }
}
