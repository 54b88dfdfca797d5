//! What locks and elections share: programs over KV, Lease and Watch that take turns by the
//! revisions their keys were made at.
//!
//! These are the recipes of etcd's client library, key for key, run inside the server. A caller
//! who runs the recipe himself and one who calls these services wait for each other. Every
//! inner call is made in the caller's name, so it may do what he may do.

use crate::kv::KvService;
use crate::lease::{LeaseService, renew};
use crate::shared::Shared;
use crate::watch::WatchService;
use bytes::Bytes;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use drystone_api::etcdserverpb::lease_server::Lease as _;
use drystone_api::etcdserverpb::range_request::{SortOrder, SortTarget};
use drystone_api::etcdserverpb::request_op::Request as Op;
use drystone_api::etcdserverpb::response_op::Response as OpAnswer;
use drystone_api::etcdserverpb::{
    Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest,
    RangeResponse, RequestOp, TxnRequest, TxnResponse, WatchCreateRequest, WatchRequest,
    watch_request::RequestUnion,
};
use drystone_api::mvccpb::{Event, KeyValue, event::EventType};
use drystone_api::raw::{self, kv_server::Kv as _};
use drystone_types::LeaseId;
use prost::Message as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio_stream::StreamExt as _;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Status};

/// Seconds of the lease that a caller without one is given (etcd's).
const SESSION_TTL_SECONDS: i64 = 60;
/// How often that lease is renewed while its caller waits for his turn.
const SESSION_RENEWAL: Duration = Duration::from_secs(20);

/// Runs recipes, each for the caller it is made for.
#[derive(Clone, Debug)]
pub(crate) struct Recipes {
    shared: Arc<Shared>,
}

impl Recipes {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The recipes in the name of a request's sender, and what it asks.
    pub(crate) fn of<T>(&self, request: Request<T>) -> (Recipe, T) {
        let (metadata, extensions, message) = request.into_parts();
        (Recipe { shared: self.shared.clone(), metadata, extensions }, message)
    }
}

/// The calls a recipe makes, in one caller's name.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    shared: Arc<Shared>,
    metadata: MetadataMap,
    extensions: Extensions,
}

/// The lease a caller's key hangs on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) lease: i64,
    /// Granted here, so nobody else renews it yet.
    ours: bool,
}

/// A caller's key in the queue.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) session: Session,
    pub(crate) key: Bytes,
    /// The revision the key was made at: its place in the queue.
    pub(crate) revision: i64,
    /// The value the key had already, if it was there.
    pub(crate) present: Option<KeyValue>,
    /// The oldest key of the queue.
    pub(crate) first: Option<KeyValue>,
    pub(crate) answer: TxnResponse,
}

/// Ends when the caller has gone away.
pub(crate) type Gone = oneshot::Receiver<()>;

/// Runs a program to its end even when its caller goes away, so that it can take back what it
/// has written; the program hears of that. Its errors reach the caller as UNKNOWN with their
/// text, as those of etcd's do.
pub(crate) async fn to_its_end<T, F>(program: impl FnOnce(Gone) -> F) -> Result<T, Status>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Status>> + Send + 'static,
{
    let (here, gone) = oneshot::channel();
    let ended = tokio::spawn(program(gone)).await;
    drop(here);
    ended.map_err(|_| Status::from(EtcdError::Stopped))?.map_err(unknown)
}

/// An inner call's refusal as the caller of a recipe hears it.
pub(crate) fn unknown(status: Status) -> Status {
    Status::unknown(status.message())
}

/// The keys of a lock or an election: all below its name.
pub(crate) fn queue(name: &[u8]) -> Bytes {
    [name, b"/"].concat().into()
}

/// The key of a lease in a queue: etcd writes the lease in hexadecimal, with its sign.
fn own_key(queue: &[u8], lease: i64) -> Bytes {
    let sign = if lease < 0 { "-" } else { "" };
    [queue, format!("{sign}{:x}", lease.unsigned_abs()).as_bytes()].concat().into()
}

/// All keys of a queue. It ends in `/`, so what ends it is the same with a `0`.
fn whole(queue: &Bytes) -> RangeRequest {
    let mut end = queue.to_vec();
    end.pop();
    end.push(b'0');
    RangeRequest { key: queue.clone(), range_end: end.into(), ..Default::default() }
}

/// The oldest key of a queue.
fn first(queue: &Bytes) -> RangeRequest {
    RangeRequest {
        sort_target: SortTarget::Create.into(),
        sort_order: SortOrder::Ascend.into(),
        limit: 1,
        ..whole(queue)
    }
}

/// Holds for a key that was made at `revision`; at 0, for one that is not there.
pub(crate) fn made_at(key: &Bytes, revision: i64) -> Compare {
    Compare {
        key: key.clone(),
        target: CompareTarget::Create.into(),
        result: CompareResult::Equal.into(),
        target_union: Some(TargetUnion::CreateRevision(revision)),
        ..Default::default()
    }
}

pub(crate) fn op(op: Op) -> RequestOp {
    RequestOp { request: Some(op) }
}

pub(crate) fn delete(key: &Bytes) -> DeleteRangeRequest {
    DeleteRangeRequest { key: key.clone(), ..Default::default() }
}

/// An inner answer, decoded: it is small.
fn plain<R, T: TryFrom<R, Error = prost::DecodeError>>(raw: R) -> Result<T, Status> {
    T::try_from(raw).map_err(|error| Status::internal(error.to_string()))
}

fn pairs(answer: &TxnResponse, op: usize) -> &[KeyValue] {
    match answer.responses.get(op).and_then(|op| op.response.as_ref()) {
        Some(OpAnswer::ResponseRange(range)) => &range.kvs,
        _ => &[],
    }
}

impl Recipe {
    fn asks<T>(&self, message: T) -> Request<T> {
        Request::from_parts(self.metadata.clone(), self.extensions.clone(), message)
    }

    fn kv(&self) -> KvService {
        KvService::new(self.shared.clone())
    }

    pub(crate) async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Status> {
        plain(self.kv().txn(self.asks(request)).await?.into_inner())
    }

    pub(crate) async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Status> {
        plain(self.kv().range(self.asks(request)).await?.into_inner())
    }

    pub(crate) async fn delete(
        &self,
        request: DeleteRangeRequest,
    ) -> Result<raw::DeleteRangeResponse, Status> {
        Ok(self.kv().delete_range(self.asks(request)).await?.into_inner())
    }

    /// The oldest key of a queue: who holds the lock, or leads.
    pub(crate) async fn first(&self, queue: &Bytes) -> Result<RangeResponse, Status> {
        self.range(first(queue)).await
    }

    /// The caller's lease, or a new one if he names none.
    pub(crate) async fn session(&self, lease: i64) -> Result<Session, Status> {
        if lease != 0 {
            return Ok(Session { lease, ours: false });
        }
        let grant = self.asks(LeaseGrantRequest { ttl: SESSION_TTL_SECONDS, id: 0 });
        let granted = LeaseService::new(self.shared.clone()).lease_grant(grant).await?;
        Ok(Session { lease: granted.into_inner().id, ours: true })
    }

    /// Enters a queue, or finds the place that this lease has in it already.
    pub(crate) async fn enter(
        &self,
        queue: &Bytes,
        session: Session,
        value: Bytes,
    ) -> Result<Claim, Status> {
        let key = own_key(queue, session.lease);
        let lease = session.lease;
        let put = PutRequest { key: key.clone(), value, lease, ..Default::default() };
        let own = RangeRequest { key: key.clone(), ..Default::default() };
        let oldest = || op(Op::RequestRange(first(queue)));
        let answer = self
            .txn(TxnRequest {
                compare: vec![made_at(&key, 0)],
                success: vec![op(Op::RequestPut(put)), oldest()],
                failure: vec![op(Op::RequestRange(own)), oldest()],
            })
            .await?;
        let present = pairs(&answer, 0).first().cloned();
        let entered = answer.header.map_or(0, |header| header.revision);
        let revision = present.as_ref().map_or(entered, |own| own.create_revision);
        let first = pairs(&answer, 1).first().cloned();
        Ok(Claim { session, key, revision, present, first, answer })
    }

    /// Waits until nobody in the queue is older. When that fails, or the caller goes away, the
    /// caller's place is given up.
    pub(crate) async fn wait(
        &self,
        queue: &Bytes,
        claim: &Claim,
        gone: Gone,
    ) -> Result<(), Status> {
        let done = tokio::select! {
            done = self.wait_for_older(queue, claim.revision - 1) => done,
            lost = self.keep(claim.session) => Err(lost.into()),
            _ = gone => Err(Status::cancelled("the caller went away")),
        };
        if done.is_err() {
            self.leave(claim).await;
        }
        done
    }

    /// Gives a place up that was just made for a caller who is gone: he would never do it.
    pub(crate) async fn leave_if(&self, mut gone: Gone, claim: &Claim) {
        let here = matches!(gone.try_recv(), Err(TryRecvError::Empty));
        if !here && claim.present.is_none() {
            self.leave(claim).await;
        }
    }

    /// Gives a place in a queue up. When even that fails, the lease's end does it.
    pub(crate) async fn leave(&self, claim: &Claim) {
        if claim.session.ours {
            let revoke = self.asks(LeaseRevokeRequest { id: claim.session.lease });
            let revoked = LeaseService::new(self.shared.clone()).lease_revoke(revoke).await;
            if let Err(error) = revoked {
                tracing::debug!(%error, "a lease that was granted in vain runs out by itself");
            }
            return;
        }
        let request = TxnRequest {
            compare: vec![made_at(&claim.key, claim.revision)],
            success: vec![op(Op::RequestDeleteRange(delete(&claim.key)))],
            failure: Vec::new(),
        };
        if let Err(error) = self.txn(request).await {
            tracing::debug!(%error, "a place in a queue is left to its lease's end");
        }
    }

    async fn wait_for_older(&self, queue: &Bytes, made_max: i64) -> Result<(), Status> {
        loop {
            let youngest_older = RangeRequest {
                sort_target: SortTarget::Create.into(),
                sort_order: SortOrder::Descend.into(),
                limit: 1,
                max_create_revision: made_max,
                ..whole(queue)
            };
            let older = self.range(youngest_older).await?;
            let Some(before) = older.kvs.into_iter().next() else { return Ok(()) };
            let from = older.header.map_or(0, |header| header.revision);
            self.wait_for_delete(before.key, from).await?;
        }
    }

    /// Waits until a key is deleted at `from` or later; may return early, where history was
    /// compacted.
    async fn wait_for_delete(&self, key: Bytes, from: i64) -> Result<(), Status> {
        let mut events = self.watch(key, Bytes::new(), from).await?;
        while let Some(heard) = events.next().await? {
            if heard.events.iter().any(|event| event.r#type() == EventType::Delete) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Keeps a lease that was granted here while its caller waits; returns when it is gone.
    async fn keep(&self, session: Session) -> EtcdError {
        if !session.ours {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(SESSION_RENEWAL).await;
            match renew(&self.shared, LeaseId(session.lease)).await {
                Ok(None) => return EtcdError::SessionExpired,
                Ok(Some(_)) => {}
                Err(error) => tracing::debug!(%error, "a waiting caller's lease was not renewed"),
            }
        }
    }

    /// Watches one key, or up to `range_end`, from a revision on.
    pub(crate) async fn watch(
        &self,
        key: Bytes,
        range_end: Bytes,
        start_revision: i64,
    ) -> Result<Watched, Status> {
        let create = WatchCreateRequest { key, range_end, start_revision, ..Default::default() };
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        let requests = tokio_stream::once(Ok(create)).chain(tokio_stream::pending());
        let responses =
            WatchService::new(self.shared.clone()).open(self.asks(Box::pin(requests))).await?;
        Ok(Watched { responses })
    }

    /// Watches all of a queue.
    pub(crate) async fn watch_queue(&self, queue: &Bytes, from: i64) -> Result<Watched, Status> {
        let RangeRequest { key, range_end, .. } = whole(queue);
        self.watch(key, range_end, from).await
    }
}

/// What one watcher hears.
pub(crate) struct Watched {
    responses: crate::watch::Responses,
}

/// Events of one response, and the revision in its header.
pub(crate) struct Heard {
    pub(crate) revision: i64,
    pub(crate) events: Vec<Event>,
}

impl Watched {
    /// The next events; nothing when compaction has passed the watcher, so that what it waits
    /// for must be read again. (etcd's recipes fail then.)
    pub(crate) async fn next(&mut self) -> Result<Option<Heard>, Status> {
        loop {
            let Some(response) = self.responses.next().await else {
                return Err(EtcdError::LostWatcher.into());
            };
            let response = response?;
            if response.canceled {
                if response.compact_revision > 0 {
                    return Ok(None);
                }
                return Err(Status::unknown(response.cancel_reason));
            }
            if response.events.is_empty() {
                continue;
            }
            let decode = |event: Bytes| {
                Event::decode(event).map_err(|error| Status::internal(error.to_string()))
            };
            let events = response.events.into_iter().map(decode).collect::<Result<_, _>>()?;
            let revision = response.header.map_or(0, |header| header.revision);
            return Ok(Some(Heard { revision, events }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_as_etcd_names_them() {
        let queue = queue(b"L");
        assert_eq!(own_key(&queue, 0x12c8_a1f9_6b3e_8a53), "L/12c8a1f96b3e8a53");
        assert_eq!(own_key(&queue, -0x1f), "L/-1f");
        assert_eq!(own_key(&super::queue(b""), 1), "/1");
        assert_eq!((whole(&queue).key, whole(&queue).range_end), ("L/".into(), "L0".into()));
    }
}
