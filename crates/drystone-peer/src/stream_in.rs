//! Messages that come in: this member dials, the far end writes without end.

use crate::call::{Connection, empty, refusal};
use crate::codec::{CodecError, FrameDecoder, Item, MsgAppDecoder};
use crate::headers;
use crate::peer::{Peer, StreamKind};
use crate::{ApiVersion, CallError};
use bytes::BytesMut;
use drystone_raft::Message;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::sync::Arc;
use tokio::time::{sleep, timeout};

/// Dials, reads until the stream ends, and again, for as long as the peer is a peer.
pub(crate) async fn run(peer: Arc<Peer>, kind: StreamKind) {
    loop {
        if matches!(once(&peer, kind).await, Err(CallError::Removed)) {
            peer.shared.removed(peer.id);
        }
        sleep(peer.shared.config.redial_pause).await;
    }
}

async fn once(peer: &Arc<Peer>, kind: StreamKind) -> Result<(), CallError> {
    let url = peer.url()?;
    let opened = async {
        let mut connection = peer.shared.connect(&url).await?;
        let body = open(peer, kind, &mut connection).await?;
        Ok((connection, body))
    };
    let (connection, body) = match opened.await {
        Ok(opened) => opened,
        Err(error) => {
            peer.failed("dial stream", Some(&url), &error);
            return Err(error);
        }
    };
    peer.health.activate();
    tracing::debug!(peer = %peer.id, stream = kind.name(), "stream from peer is open");
    let outcome = receive(peer, kind, body).await;
    drop(connection);
    if let Err(error) = &outcome {
        peer.failed("read stream", None, error);
    }
    outcome
}

async fn open(
    peer: &Peer,
    kind: StreamKind,
    connection: &mut Connection,
) -> Result<Incoming, CallError> {
    let config = &peer.shared.config;
    let path = format!("/raft/stream/{}/{}", kind.name(), config.member);
    let mut request = peer.shared.headers.clone();
    request.insert(headers::RAFT_TO, headers::value(&peer.id));
    let answer = connection.send(Method::GET, &path, request, empty(), 0).await?;
    if answer.status() != StatusCode::OK {
        return Err(refusal(connection, answer).await);
    }
    // An etcd that does not know a newer minor checks the other way round; here any far end
    // of the same protocol will do.
    match headers::version(answer.headers(), &headers::SERVER_VERSION) {
        Some(version) if version.release() >= ApiVersion::OLDEST.release() => {}
        _ => {
            let text = headers::text(answer.headers(), &headers::SERVER_VERSION);
            return Err(CallError::Incompatible(text.chars().take(64).collect()));
        }
    }
    Ok(answer.into_body())
}

enum Decoder {
    MsgApp(MsgAppDecoder),
    Message(FrameDecoder),
}

impl Decoder {
    fn new(peer: &Peer, kind: StreamKind) -> Self {
        let config = &peer.shared.config;
        let bytes_max = config.frame_bytes_max;
        match kind {
            StreamKind::MsgApp => {
                Self::MsgApp(MsgAppDecoder::new(peer.id, config.member, bytes_max))
            }
            StreamKind::Message => Self::Message(FrameDecoder::new(bytes_max)),
        }
    }

    fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Item>, CodecError> {
        match self {
            Self::MsgApp(decoder) => decoder.decode(buf),
            Self::Message(decoder) => decoder.decode(buf),
        }
    }
}

/// Reads until the far end closes the stream, which is no error.
async fn receive(peer: &Peer, kind: StreamKind, mut body: Incoming) -> Result<(), CallError> {
    let after = peer.shared.config.read_timeout;
    let mut decoder = Decoder::new(peer, kind);
    let mut buf = BytesMut::new();
    loop {
        let frame = timeout(after, body.frame()).await;
        let Some(frame) = frame.map_err(|_| CallError::ReadTimeout { after })? else {
            return Ok(());
        };
        let Ok(data) = frame.map_err(CallError::http)?.into_data() else { continue };
        peer.health.received(data.len());
        buf.extend_from_slice(&data);
        while let Some(item) = decoder.decode(&mut buf)? {
            if let Item::Message(message) = item {
                deliver(peer, message);
            }
        }
    }
}

/// A stream has no way to answer: a message that is not taken is dropped and counted.
fn deliver(peer: &Peer, message: Message) {
    let kind = message.kind;
    if let Err(error) = crate::server::deliver(&peer.shared, message) {
        peer.health.counters.received_failures.add(1);
        tracing::debug!(peer = %peer.id, ?kind, %error, "dropped a message of a peer");
    }
}
