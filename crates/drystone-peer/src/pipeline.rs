//! Messages that go out one POST each, while there is no stream for them.

use crate::CallError;
use crate::PeerUrl;
use crate::call::{Connection, full, refusal};
use crate::codec::encode_message;
use crate::outbox::Ticket;
use crate::peer::Peer;
use bytes::{Bytes, BytesMut};
use drystone_raft::Message;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use std::future::poll_fn;
use std::sync::Arc;

/// Sends one lane's messages in order over one connection. Appends and the rest have a lane
/// each, as they have a stream each: a slow append delays no heartbeat.
pub(crate) async fn run(peer: Arc<Peer>, lane: usize, ticket: Ticket) {
    let mut open: Option<(PeerUrl, Connection)> = None;
    let mut batch = Vec::new();
    loop {
        let outbox = peer.lane(lane);
        if !poll_fn(|cx| outbox.poll_take(cx, ticket, 1, &mut batch)).await {
            return;
        }
        for message in batch.drain(..) {
            match post(&peer, &mut open, &message).await {
                Ok(()) => peer.health.activate(),
                Err(error) => {
                    if matches!(error, CallError::Removed) {
                        peer.shared.removed(peer.id);
                    }
                    let url = open.take().map(|(url, _)| url).or_else(|| peer.url().ok());
                    peer.failed("post message", url.as_ref(), &error);
                    peer.lost(1);
                }
            }
        }
    }
}

async fn post(
    peer: &Peer,
    open: &mut Option<(PeerUrl, Connection)>,
    message: &Message,
) -> Result<(), CallError> {
    let mut body = BytesMut::new();
    encode_message(message, &mut body);
    let body = body.freeze();
    let url = peer.url()?;
    let usable = open.as_ref().is_some_and(|(to, connection)| *to == url && connection.is_open());
    if usable {
        // The far end may have closed an idle connection at this very moment; raft takes a
        // message twice, so it may be sent again.
        match post_over(peer, open, &body).await {
            Err(CallError::Http(_)) => {}
            outcome => return outcome,
        }
    }
    *open = None;
    *open = Some((url.clone(), peer.shared.connect(&url).await?));
    post_over(peer, open, &body).await
}

async fn post_over(
    peer: &Peer,
    open: &mut Option<(PeerUrl, Connection)>,
    body: &Bytes,
) -> Result<(), CallError> {
    let Some((_, connection)) = open else { return Err(CallError::NoUrl) };
    let mut request = peer.shared.headers.clone();
    request.insert(CONTENT_TYPE, HeaderValue::from_static("application/protobuf"));
    let sent = connection.send(Method::POST, "/raft", request, full(body.clone()), body.len());
    let answer = sent.await?;
    if answer.status() != StatusCode::NO_CONTENT {
        return Err(refusal(connection, answer).await);
    }
    peer.health.counters.sent_bytes.add(body.len() as u64);
    connection.body(answer, 0).await?;
    Ok(())
}
