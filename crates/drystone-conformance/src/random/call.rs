//! The calls of a random stream, their answers, and one server that is asked.

mod auth;
mod recipes;

pub(super) use auth::{AuthCall, Tokens, Told};

use super::rights::ROOT;
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::kv_client::KvClient;
use drystone_api::etcdserverpb::lease_client::LeaseClient;
use drystone_api::etcdserverpb::maintenance_client::MaintenanceClient;
use drystone_api::v3electionpb as epb;
use drystone_api::v3lockpb as lpb;
use drystone_client::{Client, Transport};
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

/// How long a call may take. The servers' own bounds lie below.
const CALL_MAX: Duration = Duration::from_secs(30);
/// Renewals that wait to be sent; one at a time is.
const RENEWALS_MAX: usize = 1;

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Call {
    Range(pb::RangeRequest),
    Put(pb::PutRequest),
    Delete(pb::DeleteRangeRequest),
    Txn(pb::TxnRequest),
    Compact(pb::CompactionRequest),
    Grant(pb::LeaseGrantRequest),
    /// A lease whose id the server chooses; it is looked at and revoked at once.
    GrantAny(i64),
    Revoke(pb::LeaseRevokeRequest),
    TimeToLive(pb::LeaseTimeToLiveRequest),
    KeepAlive(pb::LeaseKeepAliveRequest),
    Leases,
    HashKv(pb::HashKvRequest),
    /// A lock, taken and given back.
    Lock(lpb::LockRequest),
    /// An election of this name with one candidate, who has this lease.
    Elect(&'static str, i64),
    Auth(AuthCall),
    /// One of the others, by somebody.
    As(Who, Box<Call>),
}

/// Who makes a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Nobody says so.
    Nobody,
    /// A user, with the last token that was given for him.
    User(String),
    /// Somebody with a token that nobody gave.
    Stranger,
}

impl Who {
    pub(super) fn is_root(&self) -> bool {
        matches!(self, Who::User(name) if name == ROOT)
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reply {
    Range(pb::RangeResponse),
    Put(pb::PutResponse),
    Delete(pb::DeleteRangeResponse),
    Txn(pb::TxnResponse),
    Compact(pb::CompactionResponse),
    Grant(pb::LeaseGrantResponse),
    Revoke(pb::LeaseRevokeResponse),
    TimeToLive(pb::LeaseTimeToLiveResponse),
    KeepAlive(pb::LeaseKeepAliveResponse),
    Leases(pb::LeaseLeasesResponse),
    HashKv(pb::HashKvResponse),
    Lock(lpb::LockResponse),
    Unlock(lpb::UnlockResponse),
    Leader(epb::LeaderResponse),
    Campaign(epb::CampaignResponse),
    Proclaim(epb::ProclaimResponse),
    Resign(epb::ResignResponse),
    Auth(Option<pb::ResponseHeader>, Told),
    /// The answers to several calls in a row.
    All(Vec<Reply>),
    /// An error: its code and text.
    Refused(Code, String),
    /// No answer within [`CALL_MAX`].
    Silent,
}

impl Call {
    /// What it asks of users, roles and permissions, if that is what it asks of.
    pub(super) fn auth(&self) -> Option<&AuthCall> {
        match self {
            Call::Auth(auth) => Some(auth),
            Call::As(_, call) => call.auth(),
            _ => None,
        }
    }

    /// What it is counted as.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Call::Range(_) => "ranges",
            Call::Put(_) => "puts",
            Call::Delete(_) => "deletions",
            Call::Txn(_) => "transactions",
            Call::Compact(_) => "compactions",
            Call::Grant(_) | Call::GrantAny(_) => "leases granted",
            Call::Revoke(_) => "leases revoked",
            Call::TimeToLive(_) => "leases looked at",
            Call::KeepAlive(_) => "leases renewed",
            Call::Leases => "lists of leases",
            Call::HashKv(_) => "hashes",
            Call::Lock(_) | Call::Elect(..) => "locks, elections",
            Call::Auth(_) => "users and roles",
            Call::As(_, call) => call.kind(),
        }
    }

    /// The call, whoever makes it.
    pub(super) fn bare(&self) -> &Call {
        match self {
            Call::As(_, call) => call.bare(),
            call => call,
        }
    }
}

impl Reply {
    /// The header, where an answer has one.
    pub(super) fn header(&self) -> Option<&pb::ResponseHeader> {
        match self {
            Reply::Lock(answer) => answer.header.as_ref(),
            Reply::Unlock(answer) => answer.header.as_ref(),
            Reply::Leader(answer) => answer.header.as_ref(),
            Reply::Campaign(answer) => answer.header.as_ref(),
            Reply::Proclaim(answer) => answer.header.as_ref(),
            Reply::Resign(answer) => answer.header.as_ref(),
            Reply::Range(answer) => answer.header.as_ref(),
            Reply::Put(answer) => answer.header.as_ref(),
            Reply::Delete(answer) => answer.header.as_ref(),
            Reply::Txn(answer) => answer.header.as_ref(),
            Reply::Compact(answer) => answer.header.as_ref(),
            Reply::Grant(answer) => answer.header.as_ref(),
            Reply::Revoke(answer) => answer.header.as_ref(),
            Reply::TimeToLive(answer) => answer.header.as_ref(),
            Reply::KeepAlive(answer) => answer.header.as_ref(),
            Reply::Leases(answer) => answer.header.as_ref(),
            Reply::HashKv(answer) => answer.header.as_ref(),
            Reply::Auth(header, _) => header.as_ref(),
            Reply::All(_) | Reply::Refused(..) | Reply::Silent => None,
        }
    }

    /// The revision in the header; 0 without one.
    pub(super) fn revision(&self) -> i64 {
        match self {
            Reply::All(replies) => replies.iter().map(Reply::revision).max().unwrap_or(0),
            one => one.header().map_or(0, |header| header.revision),
        }
    }

    /// Whether the server could not be asked, which no stream of requests may cause.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Reply::Silent | Reply::Refused(Code::Unavailable, _))
    }
}

/// One of the two servers.
pub(super) struct Side {
    kv: KvClient<Transport>,
    lease: LeaseClient<Transport>,
    maintenance: MaintenanceClient<Transport>,
    renewals: Mutex<Option<Renewals>>,
    pub(super) tokens: Tokens,
    transport: Transport,
}

/// A stream that keeps leases alive.
struct Renewals {
    requests: mpsc::Sender<pb::LeaseKeepAliveRequest>,
    answers: Streaming<pb::LeaseKeepAliveResponse>,
}

impl Side {
    /// Over the connections of `client`.
    pub(super) fn new(client: &Client) -> Side {
        let transport = client.transport();
        let any = usize::MAX;
        Side {
            kv: KvClient::new(transport.clone()).max_decoding_message_size(any),
            lease: LeaseClient::new(transport.clone()).max_decoding_message_size(any),
            maintenance: MaintenanceClient::new(transport.clone()),
            renewals: Mutex::new(None),
            tokens: Tokens::default(),
            transport,
        }
    }

    /// For streams of watches.
    pub(super) fn transport(&self) -> Transport {
        self.transport.clone()
    }

    /// Makes a call.
    pub(super) async fn call(&self, call: &Call) -> Reply {
        let sent = Box::pin(async {
            match call {
                Call::As(who, call) => match &**call {
                    Call::KeepAlive(request) if !who.is_root() => {
                        self.keep_alive_once(*request, who).await
                    }
                    call => self.send(call.clone(), who).await,
                },
                call => self.send(call.clone(), &Who::Nobody).await,
            }
        });
        tokio::time::timeout(CALL_MAX, sent).await.unwrap_or(Reply::Silent)
    }

    async fn send(&self, call: Call, who: &Who) -> Reply {
        let (mut kv, mut lease) = (self.kv.clone(), self.lease.clone());
        match call {
            Call::Range(request) => reply(kv.range(self.by(who, request)).await, Reply::Range),
            Call::Put(request) => reply(kv.put(self.by(who, request)).await, Reply::Put),
            Call::Delete(request) => {
                reply(kv.delete_range(self.by(who, request)).await, Reply::Delete)
            }
            Call::Txn(request) => reply(kv.txn(self.by(who, request)).await, Reply::Txn),
            Call::Compact(request) => {
                reply(kv.compact(self.by(who, request)).await, Reply::Compact)
            }
            Call::Grant(request) => {
                reply(lease.lease_grant(self.by(who, request)).await, Reply::Grant)
            }
            Call::GrantAny(ttl) => self.grant_any(ttl, who).await,
            Call::Revoke(request) => {
                reply(lease.lease_revoke(self.by(who, request)).await, Reply::Revoke)
            }
            Call::TimeToLive(request) => {
                reply(lease.lease_time_to_live(self.by(who, request)).await, Reply::TimeToLive)
            }
            Call::KeepAlive(request) => self.keep_alive(request, who).await,
            Call::Leases => {
                let request = self.by(who, pb::LeaseLeasesRequest {});
                reply(lease.lease_leases(request).await, Reply::Leases)
            }
            Call::HashKv(request) => {
                let request = self.by(who, request);
                reply(self.maintenance.clone().hash_kv(request).await, Reply::HashKv)
            }
            Call::Lock(request) => self.lock(request, who).await,
            Call::Elect(name, lease) => self.elect(name, lease, who).await,
            Call::Auth(call) => {
                // What a stream may do is told by the token it began with, which this may end.
                *self.renewals.lock().await = None;
                self.auth(call, who).await
            }
            // One within another is not made.
            Call::As(..) => Reply::Silent,
        }
    }

    /// A request with the token of whoever makes it.
    fn by<T>(&self, who: &Who, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = self.tokens.of(who) {
            request.metadata_mut().insert(TOKEN, token);
        }
        request
    }

    /// The id that was chosen is in none of the answers given back.
    async fn grant_any(&self, ttl: i64, who: &Who) -> Reply {
        let mut lease = self.lease.clone();
        let request = self.by(who, pb::LeaseGrantRequest { ttl, id: 0 });
        let mut granted = reply(lease.lease_grant(request).await, Reply::Grant);
        let Reply::Grant(answer) = &mut granted else { return granted };
        let id = answer.id;
        answer.id = id.signum();
        let look = self.by(who, pb::LeaseTimeToLiveRequest { id, keys: true });
        let mut seen = reply(lease.lease_time_to_live(look).await, Reply::TimeToLive);
        if let Reply::TimeToLive(answer) = &mut seen {
            answer.id -= id;
        }
        let revoke = self.by(who, pb::LeaseRevokeRequest { id });
        let revoked = reply(lease.lease_revoke(revoke).await, Reply::Revoke);
        Reply::All(vec![granted, seen, revoked])
    }

    /// Asks on a stream of its own.
    async fn keep_alive_once(&self, request: pb::LeaseKeepAliveRequest, who: &Who) -> Reply {
        let (requests, queue) = mpsc::channel(RENEWALS_MAX);
        // Nobody waits for more room than this one takes.
        let _ = requests.send(request).await;
        let begin = self.by(who, ReceiverStream::new(queue));
        let mut answers = match self.lease.clone().lease_keep_alive(begin).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => return refused(&status),
        };
        match answers.message().await {
            Ok(Some(answer)) => Reply::KeepAlive(answer),
            Ok(None) => Reply::Silent,
            Err(status) => refused(&status),
        }
    }

    /// Asks on the one stream there is; opens it first.
    async fn keep_alive(&self, request: pb::LeaseKeepAliveRequest, who: &Who) -> Reply {
        let mut renewals = self.renewals.lock().await;
        if let Some(open) = renewals.as_mut() {
            // That it has ended shows in the answer.
            let _ = open.requests.send(request).await;
        } else {
            let (requests, queue) = mpsc::channel(RENEWALS_MAX);
            let _ = requests.send(request).await;
            let begin = self.by(who, ReceiverStream::new(queue));
            match self.lease.clone().lease_keep_alive(begin).await {
                Ok(answers) => {
                    *renewals = Some(Renewals { requests, answers: answers.into_inner() });
                }
                Err(status) => return refused(&status),
            }
        }
        let Some(open) = renewals.as_mut() else { return Reply::Silent };
        match open.answers.message().await {
            Ok(Some(answer)) => Reply::KeepAlive(answer),
            Ok(None) => {
                *renewals = None;
                Reply::Silent
            }
            Err(status) => {
                *renewals = None;
                refused(&status)
            }
        }
    }
}

/// Where a request tells its token.
pub(super) const TOKEN: &str = "token";

pub(super) fn reply<T>(answer: Result<Response<T>, Status>, kind: fn(T) -> Reply) -> Reply {
    match answer {
        Ok(answer) => kind(answer.into_inner()),
        Err(status) => refused(&status),
    }
}

pub(super) fn refused(status: &Status) -> Reply {
    Reply::Refused(status.code(), status.message().to_owned())
}
