//! Calls that write down their answers.

use super::render;
use crate::harness::Cluster;
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::request_op::Request;
use drystone_api::etcdserverpb::watch_client::WatchClient;
use drystone_api::etcdserverpb::watch_request::RequestUnion;
use drystone_client::{Client, Error};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

/// How long a stream may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a stream that should say nothing is listened to.
const SILENCE: Duration = Duration::from_millis(300);
/// Requests that wait to be sent on one watch stream.
const WATCH_REQUESTS_MAX: usize = 16;

/// Makes calls to one member and keeps a line for each answer.
#[derive(Debug)]
pub struct Session {
    /// For calls that have no method here.
    pub client: Client,
    /// The member's id, as the cluster lists it.
    pub member: u64,
    /// The member's addresses, for clients and for members.
    pub addresses: [String; 2],
    lines: Vec<String>,
}

/// A stream of watches on one member.
#[derive(Debug)]
pub struct WatchStream {
    requests: mpsc::Sender<pb::WatchRequest>,
    state: StreamState,
}

#[derive(Debug)]
enum StreamState {
    Opening(JoinHandle<Result<Response<Streaming<pb::WatchResponse>>, Status>>),
    Open(Box<Streaming<pb::WatchResponse>>),
    Ended(String),
}

fn failure(error: &Error) -> String {
    format!("{:?}: {error}", error.code())
}

impl Session {
    /// A session with the first member of the cluster.
    pub fn new(cluster: &Cluster) -> Session {
        let member = &cluster.members()[0];
        let addresses = [member.client_address(), member.peer_address()].map(str::to_owned);
        Session { client: member.client(), member: member.id(), addresses, lines: Vec::new() }
    }

    /// Keeps a line.
    pub fn say(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// All lines kept.
    pub fn finish(self) -> Vec<String> {
        self.lines
    }

    /// Keeps the answer or the refusal; the answer.
    pub fn note<T>(&mut self, answer: Result<T, Error>, show: fn(&T) -> String) -> Option<T> {
        self.say(match &answer {
            Ok(answer) => show(answer),
            Err(error) => failure(error),
        });
        answer.ok()
    }

    /// A read.
    pub async fn range(&mut self, request: pb::RangeRequest) -> Option<pb::RangeResponse> {
        let answer = self.client.range(request).await;
        self.note(answer, render::range)
    }

    /// A read in chunks; their number is not written down.
    pub async fn range_stream(&mut self, request: pb::RangeRequest) {
        let merged = match self.client.range_stream(request).await {
            Ok(chunks) => chunks.merged().await,
            Err(refused) => Err(refused),
        };
        self.note(merged, render::range);
    }

    /// A write; the revision it got, 0 if refused.
    pub async fn put(&mut self, request: pb::PutRequest) -> i64 {
        let answer = self.client.put(request).await;
        let answer = self.note(answer, render::put);
        answer.and_then(|answer| answer.header).map_or(0, |header| header.revision)
    }

    /// A deletion; the revision in its answer, 0 if refused.
    pub async fn delete(&mut self, request: pb::DeleteRangeRequest) -> i64 {
        let answer = self.client.delete_range(request).await;
        let answer = self.note(answer, render::delete);
        answer.and_then(|answer| answer.header).map_or(0, |header| header.revision)
    }

    /// A transaction.
    pub async fn txn(&mut self, request: pb::TxnRequest) {
        let answer = self.client.txn(request).await;
        self.note(answer, render::txn);
    }

    /// A compaction.
    pub async fn compact(&mut self, revision: i64, physical: bool) {
        let answer = self.client.compact(pb::CompactionRequest { revision, physical }).await;
        self.note(answer, |answer| {
            format!("compact: {}", render::revision(answer.header.as_ref()))
        });
    }

    /// A lease with this id.
    pub async fn grant(&mut self, id: i64, ttl: i64) {
        let answer = self.client.lease_grant(pb::LeaseGrantRequest { id, ttl }).await;
        self.note(answer, |answer| {
            let header = render::revision(answer.header.as_ref());
            format!("grant: {header}, id {}, ttl {}", answer.id, answer.ttl)
        });
    }

    /// A lease's end.
    pub async fn revoke(&mut self, id: i64) {
        let answer = self.client.lease_revoke(pb::LeaseRevokeRequest { id }).await;
        self.note(answer, |answer| format!("revoke: {}", render::revision(answer.header.as_ref())));
    }

    /// What is left of a lease; what is left of its time is not written down.
    pub async fn time_to_live(&mut self, id: i64, keys: bool) {
        let request = pb::LeaseTimeToLiveRequest { id, keys };
        let answer = self.client.lease_time_to_live(request).await;
        self.note(answer, |answer| {
            let mut keys: Vec<String> =
                answer.keys.iter().map(|key| key.escape_ascii().to_string()).collect();
            keys.sort();
            let header = render::revision(answer.header.as_ref());
            let left = if answer.ttl > 0 { "some".to_owned() } else { answer.ttl.to_string() };
            format!("left: {header}, {left} of {}, keys {keys:?}", answer.granted_ttl)
        });
    }

    /// The hash at a revision.
    pub async fn hash_kv(&mut self, revision: i64) {
        let answer = self.client.hash_kv(pb::HashKvRequest { revision }).await;
        self.note(answer, |answer| {
            let header = render::revision(answer.header.as_ref());
            format!("hash: {header}, {}, compacted {}", answer.hash, answer.compact_revision)
        });
    }

    /// Opens a stream of watches.
    pub fn watches(&mut self) -> WatchStream {
        let (requests, queue) = mpsc::channel(WATCH_REQUESTS_MAX);
        let mut client = WatchClient::new(self.client.transport())
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX);
        // Servers answer the call itself when they answer the first request, so it must not be
        // waited for before there is one.
        let opening = tokio::spawn(async move { client.watch(ReceiverStream::new(queue)).await });
        WatchStream { requests, state: StreamState::Opening(opening) }
    }

    /// Writes `count` keys `prefix0`, `prefix1` … at once, in no order; answers are not kept.
    pub async fn put_many(&mut self, prefix: &str, count: usize, value: &bytes::Bytes) {
        use futures::StreamExt as _;
        let client = self.client.clone();
        let puts = (0..count).map(|n| {
            let (client, key, value) = (client.clone(), format!("{prefix}{n}"), value.clone());
            async move { client.put(put(&key, value)).await }
        });
        let mut answers = futures::stream::iter(puts).buffer_unordered(64);
        while let Some(answer) = answers.next().await {
            if let Err(error) = answer {
                self.say(failure(&error));
            }
        }
    }
}

impl WatchStream {
    /// Sends a request.
    pub async fn send(&mut self, request: RequestUnion) {
        // A stream that has ended shows in what comes next.
        let _ = self.requests.send(pb::WatchRequest { request_union: Some(request) }).await;
    }

    /// Begins a watch and keeps the answer.
    pub async fn create(&mut self, session: &mut Session, request: pb::WatchCreateRequest) {
        self.send(RequestUnion::CreateRequest(request)).await;
        self.next(session).await;
    }

    /// Asks for a watch to end; keeps nothing.
    pub async fn cancel(&mut self, watch_id: i64) {
        self.send(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id })).await;
    }

    /// Asks how far the watches are; keeps nothing.
    pub async fn progress(&mut self) {
        self.send(RequestUnion::ProgressRequest(pb::WatchProgressRequest {})).await;
    }

    /// Keeps the next response.
    pub async fn next(&mut self, session: &mut Session) -> Option<pb::WatchResponse> {
        match self.receive(ANSWER).await {
            Ok(Some(response)) => {
                session.say(render::watch(&response));
                Some(response)
            }
            Ok(None) => {
                session.say("watch: nothing came");
                None
            }
            Err(end) => {
                session.say(format!("watch: ended, {end}"));
                None
            }
        }
    }

    /// The next response, if one comes; keeps nothing.
    pub async fn take(&mut self) -> Option<pb::WatchResponse> {
        self.receive(ANSWER).await.ok().flatten()
    }

    /// Keeps a line that nothing came, or what did.
    pub async fn silence(&mut self, session: &mut Session) {
        session.say(match self.receive(SILENCE).await {
            Ok(Some(response)) => format!("not silent: {}", render::watch(&response)),
            Ok(None) => "silence".to_owned(),
            Err(end) => format!("watch: ended, {end}"),
        });
    }

    /// The next response, nothing within the limit, or how the stream ended.
    async fn receive(&mut self, limit: Duration) -> Result<Option<pb::WatchResponse>, String> {
        let ended = |status: Status| format!("{:?}: {}", status.code(), status.message());
        let next = async {
            if let StreamState::Opening(opening) = &mut self.state {
                self.state = match opening.await {
                    Ok(Ok(opened)) => StreamState::Open(Box::new(opened.into_inner())),
                    Ok(Err(status)) => StreamState::Ended(ended(status)),
                    Err(panic) => StreamState::Ended(panic.to_string()),
                };
            }
            match &mut self.state {
                StreamState::Open(responses) => match responses.message().await {
                    Ok(Some(response)) => Ok(response),
                    Ok(None) => Err("without a reason".to_owned()),
                    Err(status) => Err(ended(status)),
                },
                StreamState::Ended(why) => Err(why.clone()),
                StreamState::Opening(_) => Err("the stream does not open".to_owned()),
            }
        };
        tokio::time::timeout(limit, next).await.map_or(Ok(None), |answer| answer.map(Some))
    }
}

/// A read of one key.
pub(crate) fn range(key: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: key.to_owned().into(), ..Default::default() }
}

/// A read of `[key, end)`.
pub(crate) fn range_to(key: &str, end: &str) -> pb::RangeRequest {
    pb::RangeRequest { range_end: end.to_owned().into(), ..range(key) }
}

/// A write of one key.
pub(crate) fn put(key: &str, value: impl Into<bytes::Bytes>) -> pb::PutRequest {
    pb::PutRequest { key: key.to_owned().into(), value: value.into(), ..Default::default() }
}

/// A deletion of one key.
pub(crate) fn delete(key: &str) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest { key: key.to_owned().into(), ..Default::default() }
}

/// A deletion of `[key, end)`.
pub(crate) fn delete_to(key: &str, end: &str) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest { range_end: end.to_owned().into(), ..delete(key) }
}

/// A watch of one key.
pub(crate) fn watch(key: &str) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest { key: key.to_owned().into(), ..Default::default() }
}

/// A watch of `[key, end)`.
pub(crate) fn watch_to(key: &str, end: &str) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest { range_end: end.to_owned().into(), ..watch(key) }
}

/// An operation of a transaction.
pub(crate) fn op(request: impl Into<Op>) -> pb::RequestOp {
    pb::RequestOp { request: Some(request.into().0) }
}

/// A transaction without compares.
pub(crate) fn txn(success: Vec<pb::RequestOp>) -> pb::TxnRequest {
    pb::TxnRequest { success, ..Default::default() }
}

/// What [`op`] takes.
pub(crate) struct Op(Request);

impl From<pb::RangeRequest> for Op {
    fn from(request: pb::RangeRequest) -> Op {
        Op(Request::RequestRange(request))
    }
}

impl From<pb::PutRequest> for Op {
    fn from(request: pb::PutRequest) -> Op {
        Op(Request::RequestPut(request))
    }
}

impl From<pb::DeleteRangeRequest> for Op {
    fn from(request: pb::DeleteRangeRequest) -> Op {
        Op(Request::RequestDeleteRange(request))
    }
}

impl From<pb::TxnRequest> for Op {
    fn from(request: pb::TxnRequest) -> Op {
        Op(Request::RequestTxn(request))
    }
}
