//! `/raft`, `/raft/snapshot` and the streams.

#![expect(clippy::result_large_err, reason = "an answer is made once a request")]

use super::{Answer, reply};
use crate::call::collect;
use crate::codec::decode_message;
use crate::headers::{
    MIN_CLUSTER_VERSION, PEER_URLS, RAFT_TO, SERVER_FROM, SERVER_VERSION, native_snapshot,
    parse_member, text, value, version,
};
use crate::peer::{Shared, StreamKind};
use crate::snapshot::receive::{ReceiveError, receive};
use crate::stream_out::StreamBody;
use crate::transport::Inner;
use crate::url::parse_list;
use crate::{CallError, Phase, StepRefused, Transfer};
use drystone_raft::{Message, MessageKind};
use drystone_types::MemberId;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Instant;

/// URLs that are believed of a far end that nobody knows.
const REMOTE_URLS_MAX: usize = 16;

/// Why a message is not handed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotDelivered {
    #[error("cannot process message from removed member")]
    Removed,
    #[error("cannot process message to mismatch member")]
    Misrouted,
    #[error(transparent)]
    Malformed(#[from] drystone_raft::MessageError),
    #[error(transparent)]
    Refused(#[from] StepRefused),
}

impl NotDelivered {
    fn answer(&self, text: &str) -> Answer {
        match self {
            Self::Removed | Self::Misrouted => {
                reply::json_message(StatusCode::FORBIDDEN, &self.to_string())
            }
            Self::Malformed(_) | Self::Refused(_) => {
                reply::closing(reply::text(StatusCode::INTERNAL_SERVER_ERROR, text))
            }
        }
    }
}

/// Checks who a message is from and for.
fn admit(shared: &Shared, message: &Message) -> Result<(), NotDelivered> {
    if shared.handler.is_removed(message.from) {
        return Err(NotDelivered::Removed);
    }
    if message.to != shared.config.member {
        return Err(NotDelivered::Misrouted);
    }
    Ok(message.check(shared.config.member)?)
}

/// Hands a message from the network to the member.
pub(crate) fn deliver(shared: &Shared, message: Message) -> Result<(), NotDelivered> {
    admit(shared, &message)?;
    Ok(shared.handler.step(message)?)
}

/// The checks that all raft calls share: versions, then the cluster.
fn refuse_stranger(shared: &Shared, headers: &HeaderMap) -> Option<Answer> {
    let own = shared.config.version;
    let versions = (version(headers, &SERVER_VERSION), version(headers, &MIN_CLUSTER_VERSION));
    let may_talk =
        matches!(versions, (Some(server), Some(oldest)) if own.may_talk_to(server, oldest));
    if !may_talk {
        if shared.refusal_pace.is_due() {
            tracing::warn!(
                remote_version = text(headers, &SERVER_VERSION),
                remote_oldest = text(headers, &MIN_CLUSTER_VERSION),
                "request sent was ignored by remote peer due to server version incompatibility"
            );
        }
        return Some(reply::text(StatusCode::PRECONDITION_FAILED, "incompatible version"));
    }
    if text(headers, &crate::headers::CLUSTER_ID) != shared.config.cluster.to_string() {
        if shared.refusal_pace.is_due() {
            tracing::warn!(
                remote_cluster = text(headers, &crate::headers::CLUSTER_ID),
                local_cluster = %shared.config.cluster,
                "request cluster ID mismatch"
            );
        }
        return Some(reply::text(StatusCode::PRECONDITION_FAILED, "cluster ID mismatch"));
    }
    None
}

/// Remembers a far end that this member does not know yet, so that it can be answered.
fn remember(transport: &Inner, headers: &HeaderMap) {
    let urls = parse_list(text(headers, &PEER_URLS), REMOTE_URLS_MAX);
    if let Some(from) = parse_member(text(headers, &SERVER_FROM)).filter(|_| !urls.is_empty()) {
        transport.add_remote(from, urls);
    }
}

/// `GET /raft/stream/<kind>/<from>`
pub(crate) fn stream<B>(transport: &Arc<Inner>, request: &Request<B>, path: &str) -> Answer {
    let shared = &transport.shared;
    if let Some(refused) = reply::refuse_method(request, "GET") {
        return refused;
    }
    let answer = open_stream(transport, request.headers(), path).unwrap_or_else(|refused| refused);
    let mut answer = reply::with_cluster(answer, shared.config.cluster);
    answer.headers_mut().insert(SERVER_VERSION, value(&shared.config.version));
    answer
}

fn open_stream(transport: &Arc<Inner>, headers: &HeaderMap, path: &str) -> Result<Answer, Answer> {
    let shared = &transport.shared;
    if let Some(refused) = refuse_stranger(shared, headers) {
        return Err(refused);
    }
    let (kind, from) = path.rsplit_once('/').unwrap_or((path, ""));
    let kind = StreamKind::ALL.into_iter().find(|known| known.name() == kind);
    let kind = kind.ok_or_else(|| reply::text(StatusCode::NOT_FOUND, "invalid path"))?;
    let from = parse_member(from);
    let from = from.ok_or_else(|| reply::text(StatusCode::NOT_FOUND, "invalid from"))?;
    if shared.handler.is_removed(from) {
        return Err(reply::text(StatusCode::GONE, "removed member"));
    }
    let Some(peer) = transport.peer(from) else {
        // A member that was added a moment ago may dial before this one has applied that.
        remember(transport, headers);
        return Err(reply::text(StatusCode::NOT_FOUND, "error sender not found"));
    };
    if text(headers, &RAFT_TO) != shared.config.member.to_string() {
        return Err(reply::text(StatusCode::PRECONDITION_FAILED, "to field mismatch"));
    }
    Ok(Response::new(StreamBody::new(peer, kind).boxed_unsync()))
}

/// `POST /raft`
pub(crate) async fn message(transport: &Arc<Inner>, request: Request<Incoming>) -> Answer {
    if let Some(refused) = reply::refuse_method(&request, "POST") {
        return refused;
    }
    let answer = take_message(transport, request).await.unwrap_or_else(|refused| refused);
    reply::with_cluster(answer, transport.shared.config.cluster)
}

async fn take_message(
    transport: &Arc<Inner>,
    request: Request<Incoming>,
) -> Result<Answer, Answer> {
    let shared = &transport.shared;
    let (head, body) = request.into_parts();
    if let Some(refused) = refuse_stranger(shared, &head.headers) {
        return Err(refused);
    }
    remember(transport, &head.headers);
    let config = &shared.config;
    let body = collect(body, config.frame_bytes_max, config.read_timeout).await;
    let body = body.map_err(|error: CallError| {
        tracing::debug!(%error, "cannot read a posted message");
        reply::closing(reply::text(StatusCode::BAD_REQUEST, "error reading raft message"))
    })?;
    let bytes = body.len();
    let message = decode_message(body).map_err(|error| {
        tracing::debug!(%error, "cannot decode a posted message");
        reply::text(StatusCode::BAD_REQUEST, "error unmarshalling raft message")
    })?;
    let from = message.from;
    let peer = transport.far_end(from);
    if let Some(peer) = &peer {
        peer.health.received(bytes);
    }
    deliver(shared, message).map_err(|error| {
        if let Some(peer) = &peer {
            peer.health.counters.received_failures.add(1);
        }
        error.answer("error processing raft message")
    })?;
    Ok(reply::no_content())
}

/// `POST /raft/snapshot`
pub(crate) async fn snapshot(transport: &Arc<Inner>, request: Request<Incoming>) -> Answer {
    if let Some(refused) = reply::refuse_method(&request, "POST") {
        return refused;
    }
    let answer = take_snapshot(transport, request).await.unwrap_or_else(reply::closing);
    let mut answer = reply::with_cluster(answer, transport.shared.config.cluster);
    let native = crate::headers::NATIVE_SNAPSHOT_1;
    answer.headers_mut().insert(crate::headers::NATIVE_SNAPSHOT, native);
    answer
}

async fn take_snapshot(
    transport: &Arc<Inner>,
    request: Request<Incoming>,
) -> Result<Answer, Answer> {
    let mut arrival = Arrival { shared: &transport.shared, from: None, ended: false };
    let began = Instant::now();
    let outcome = take_in(transport, request, &mut arrival).await;
    arrival.end(if outcome.is_ok() { Phase::Done(began.elapsed()) } else { Phase::Failed });
    outcome
}

/// Tells how a transfer that comes in ends, also when its connection goes away.
struct Arrival<'a> {
    shared: &'a Shared,
    from: Option<MemberId>,
    ended: bool,
}

impl Arrival<'_> {
    fn tell(&self, phase: Phase) {
        let transfer = Transfer { peer: self.from, incoming: true, phase };
        self.shared.handler.transferred(&transfer);
    }

    fn begin(&mut self, from: MemberId) {
        self.from = Some(from);
        self.tell(Phase::Begun);
    }

    fn end(&mut self, phase: Phase) {
        if !std::mem::replace(&mut self.ended, true) {
            self.tell(phase);
        }
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        self.end(Phase::Failed);
    }
}

async fn take_in(
    transport: &Arc<Inner>,
    request: Request<Incoming>,
    arrival: &mut Arrival<'_>,
) -> Result<Answer, Answer> {
    let shared = &transport.shared;
    let (head, body) = request.into_parts();
    if let Some(refused) = refuse_stranger(shared, &head.headers) {
        return Err(refused);
    }
    remember(transport, &head.headers);
    if !native_snapshot(&head.headers) {
        // The far end is an etcd: its image is a bbolt file.
        let text = "only native snapshots are taken (X-Drystone-Snapshot: 1)";
        return Err(reply::text(StatusCode::NOT_IMPLEMENTED, text));
    }
    let Ok(_permit) = transport.snapshot_receives.try_acquire() else {
        let text = "failed to save KV snapshot (another one is being received)";
        return Err(reply::text(StatusCode::INTERNAL_SERVER_ERROR, text));
    };
    let admit = |message: &Message| {
        if message.kind != MessageKind::Snapshot {
            return Err(reply::text(StatusCode::BAD_REQUEST, "wrong raft message type"));
        }
        admit(shared, message)
            .map_err(|error| error.answer(&format!("failed to process raft message ({error})")))?;
        arrival.begin(message.from);
        Ok(())
    };
    let (message, dir) = receive(shared, body, admit).await.map_err(|error| match error {
        ReceiveError::Refused(answer) => answer,
        ReceiveError::Message(reason) => {
            let text = format!("failed to decode raft message ({reason})");
            reply::text(StatusCode::BAD_REQUEST, &text)
        }
        ReceiveError::Save(reason) => {
            tracing::warn!(reason, "failed to save a received snapshot");
            let text = format!("failed to save KV snapshot ({reason})");
            reply::text(StatusCode::INTERNAL_SERVER_ERROR, &text)
        }
    })?;
    let from = message.from;
    let handler = Arc::clone(&shared.handler);
    let handed_on = shared.tasks.spawn_blocking_on(
        move || {
            let outcome = handler.snapshot_received(message, dir.clone());
            if outcome.is_err() {
                crate::snapshot::dir::remove(&dir);
            }
            outcome
        },
        &shared.runtime,
    );
    match handed_on.await {
        Ok(Ok(())) => {
            tracing::info!(peer = %from, "received and saved a snapshot");
            Ok(reply::no_content())
        }
        Ok(Err(refused)) => Err(NotDelivered::Refused(refused)
            .answer(&format!("failed to process raft message ({refused})"))),
        Err(_) => Err(reply::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "failed to process raft message (stopped)",
        )),
    }
}
