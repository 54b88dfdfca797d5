//! The KV service: checks, then the log or a snapshot.

use crate::access::{Authority, Caller, split};
use crate::connection::OfConnection;
use crate::long::{Listed, may_be_long};
use crate::metrics::Kind;
use crate::shared::Shared;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, InternalRaftRequest, PutRequest,
    RangeRequest, TxnRequest,
};
use drystone_api::limits::{TXN_DEPTH_MAX, txn_depth};
use drystone_api::raw::{self, kv_server::Kv};
use drystone_machine::{Answer, convert};
use drystone_mvcc::{OpError, RangeQuery, Snapshot, Txn, validate};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::SemaphorePermit;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

/// A read of at most so many pairs is served on the worker that took it; a larger one goes to
/// the pool of threads that may block.
const INLINE_PAIRS_MAX: i64 = 1_000;

/// Serves `etcdserverpb.KV`.
#[derive(Clone, Debug)]
pub(crate) struct KvService {
    shared: Arc<Shared>,
}

impl KvService {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Runs a read where it belongs: a small one here, a large one where blocking is allowed.
    async fn read<T: Send + 'static>(
        &self,
        authority: Authority,
        small: bool,
        read: impl FnOnce(Snapshot) -> Result<T, OpError> + Send + 'static,
    ) -> Result<T, Status> {
        let shared = self.shared.clone();
        let metrics = shared.metrics.clone();
        let read = move |snapshot: Snapshot| {
            let began = Instant::now();
            let result = read(snapshot);
            metrics.requests.range_read(result.is_ok(), began);
            result
        };
        let result = if small {
            read(shared.snapshot(&authority)?)
        } else {
            let wait_max = shared.config.request_timeout();
            let frozen = move || shared.snapshot(&authority).map(read);
            self.shared.lists.read(wait_max, frozen).await??
        };
        result.map_err(read_error)
    }

    /// Waits until everything that was acknowledged before is applied here.
    async fn confirm_read(&self, caller: &Caller) -> Result<(), EtcdError> {
        self.shared.confirm_read().await?;
        if let Some(record) = caller.record() {
            record.confirmed();
        }
        Ok(())
    }

    /// Checks a read, waits until it may be answered, and asks whether its caller may have it.
    async fn admit_range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<(RangeQuery, Authority), Status> {
        let (caller, request) = split(request);
        let serializable = request.serializable;
        if !serializable && self.shared.status.is_learner.load(Ordering::Acquire) {
            return Err(EtcdError::NotSupportedForLearner.into());
        }
        let query = convert::range(request.clone());
        validate::range(&query).map_err(invalid)?;
        if !serializable {
            self.confirm_read(&caller).await?;
        }
        let (_, authority) = self.shared.authorize(&caller, request).await?.into_parts();
        Ok((query, authority))
    }

    /// The whole answer to a read.
    async fn answer(
        &self,
        query: RangeQuery,
        authority: Authority,
    ) -> Result<raw::RangeResponse, Status> {
        let small = is_small(&query);
        let result = self.read(authority, small, move |snapshot| snapshot.range(&query)).await?;
        let mut response = convert::range_response(result);
        self.shared.complete(&mut response.header);
        Ok(response)
    }

    /// `range`, without holding a list that is large.
    pub(crate) async fn list(&self, request: Request<RangeRequest>) -> Result<Listed, Status> {
        let began = Instant::now();
        let listed = self.begin_list(request).await;
        self.note_read(Kind::RANGE, listed.is_ok(), began);
        listed
    }

    /// Counts a read, from when it came in until its answer stands, or the first page of it.
    fn note_read(&self, kind: Kind, success: bool, began: Instant) {
        self.shared.metrics.requests.answered(kind, success, began);
        if success && kind == Kind::RANGE {
            self.shared.metrics.apply.range();
        }
    }

    async fn begin_list(&self, request: Request<RangeRequest>) -> Result<Listed, Status> {
        let connection = request.extensions().get::<OfConnection>().cloned();
        let (query, authority) = self.admit_range(request).await?;
        if is_small(&query) || !may_be_long(&query) {
            return self.answer(query, authority).await.map(Listed::Whole);
        }
        let shared = self.shared.clone();
        let wait_max = shared.config.request_timeout();
        // The lists of one connection wait for each other before they wait with all others, and
        // are not read when there is no room for what comes of them.
        let _turn = match &connection {
            Some(connection) => Some(self.turn(connection, wait_max).await?),
            None => None,
        };
        let first = move || crate::long::begin(shared, authority, query);
        self.shared.lists.read(wait_max, first).await?
    }

    async fn turn<'a>(
        &self,
        connection: &'a OfConnection,
        wait_max: Duration,
    ) -> Result<SemaphorePermit<'a>, EtcdError> {
        let turn = tokio::time::timeout(wait_max, connection.lists.acquire()).await;
        let turn = turn.map_err(|_| EtcdError::Timeout)?.map_err(|_| EtcdError::Stopped)?;
        if self.shared.brakes.is_crowded(&connection.calls) {
            return Err(EtcdError::RequestTooManyRequests);
        }
        Ok(turn)
    }

    async fn read_only_txn(
        &self,
        caller: &Caller,
        request: TxnRequest,
        txn: Txn,
    ) -> Result<raw::TxnResponse, Status> {
        if !all_serializable(&request) {
            self.confirm_read(caller).await?;
        }
        let (_, authority) = self.shared.authorize(caller, request).await?.into_parts();
        let small = txn.success.iter().chain(&txn.failure).all(|op| match op {
            drystone_mvcc::Op::Range(query) => is_small(query),
            _ => false,
        });
        let outcome =
            self.read(authority, small, move |snapshot| snapshot.txn_read_only(&txn)).await?;
        let mut response = convert::txn_response(outcome);
        self.shared.complete(&mut response.header);
        Ok(response)
    }
}

/// Runs what may block where blocking is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|_| EtcdError::Stopped.into())
}

fn is_small(query: &RangeQuery) -> bool {
    let sorted = query.sort_order != drystone_mvcc::SortOrder::None
        || query.sort_target != drystone_mvcc::SortTarget::Key;
    query.range.is_single()
        || query.count_only
        || (!sorted && (1..=INLINE_PAIRS_MAX).contains(&query.limit))
}

/// What a caller hears where a read was refused, or failed.
pub(crate) fn read_error(error: OpError) -> Status {
    match convert::refusal(error) {
        Ok(refusal) => refusal.into(),
        Err(failure) => {
            tracing::error!(%failure, "a read failed");
            Status::internal(failure.to_string())
        }
    }
}

/// True when every range of both branches is serializable. A transaction without any operation
/// is linearizable here (etcd answers it from local state).
fn all_serializable(request: &TxnRequest) -> bool {
    use drystone_api::etcdserverpb::request_op::Request;
    let mut ops = request.success.iter().chain(&request.failure).peekable();
    ops.peek().is_some()
        && ops.all(
            |op| matches!(&op.request, Some(Request::RequestRange(range)) if range.serializable),
        )
}

fn unexpected(answer: &Answer) -> Status {
    Status::internal(format!("the log answered a request with {answer:?}"))
}

/// The answer to a list that is read as the client takes it.
type Chunks = Pin<Box<dyn Stream<Item = Result<raw::RangeStreamResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Kv for KvService {
    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<raw::RangeResponse>, Status> {
        let began = Instant::now();
        let answer = async {
            let (query, authority) = self.admit_range(request).await?;
            self.answer(query, authority).await.map(Response::new)
        };
        let answer = answer.await;
        self.note_read(Kind::RANGE, answer.is_ok(), began);
        answer
    }

    type RangeStreamStream = Chunks;

    async fn range_stream(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        let (caller, request) = split(request);
        let serializable = request.serializable;
        let query = convert::range(request.clone());
        validate::range(&query).map_err(invalid)?;
        crate::list::check(&query)?;
        if !serializable {
            self.confirm_read(&caller).await?;
        }
        let (_, authority) = self.shared.authorize(&caller, request).await?.into_parts();
        let chunks = crate::list::stream(self.shared.clone(), authority, query).await?;
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn put(
        &self,
        request: Request<PutRequest>,
    ) -> Result<Response<raw::PutResponse>, Status> {
        let (caller, request) = split(request);
        validate::put(&convert::put(request.clone())).map_err(invalid)?;
        let authorized = self.shared.authorize_change(&caller, request).await?;
        let (request, authority) = authorized.into_parts();
        let proposal = InternalRaftRequest { put: Some(request), ..Default::default() };
        match self.shared.propose(&authority, proposal).await? {
            Answer::Put(mut response) => {
                self.shared.complete(&mut response.header);
                Ok(Response::new(response))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<raw::DeleteRangeResponse>, Status> {
        let (caller, request) = split(request);
        validate::delete_range(&convert::delete_range(request.clone())).map_err(invalid)?;
        let authorized = self.shared.authorize_change(&caller, request).await?;
        let (request, authority) = authorized.into_parts();
        let proposal = InternalRaftRequest { delete_range: Some(request), ..Default::default() };
        match self.shared.propose(&authority, proposal).await? {
            Answer::DeleteRange(mut response) => {
                self.shared.complete(&mut response.header);
                Ok(Response::new(response))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn txn(
        &self,
        request: Request<TxnRequest>,
    ) -> Result<Response<raw::TxnResponse>, Status> {
        let (caller, request) = split(request);
        // A transaction nested deeper could be decoded here, but not inside a log entry.
        if txn_depth(&request) > TXN_DEPTH_MAX {
            return Err(EtcdError::TooManyOps.into());
        }
        let txn = convert::txn(request.clone());
        validate::txn(&txn, self.shared.config.max_txn_ops).map_err(invalid)?;
        if txn.is_read_only() {
            let began = Instant::now();
            let answer = self.read_only_txn(&caller, request, txn).await;
            self.note_read(Kind::READ_ONLY_TXN, answer.is_ok(), began);
            if let Ok(response) = &answer {
                self.shared.metrics.apply.read_only_txn(response);
            }
            return answer.map(Response::new);
        }
        drop(txn);
        let authorized = self.shared.authorize_change(&caller, request).await?;
        let (request, authority) = authorized.into_parts();
        let proposal = InternalRaftRequest { txn: Some(request), ..Default::default() };
        match self.shared.propose(&authority, proposal).await? {
            Answer::Txn(mut response) => {
                self.shared.complete(&mut response.header);
                Ok(Response::new(response))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        let (caller, request) = split(request);
        let authorized = self.shared.authorize_change(&caller, request).await?;
        let (request, authority) = authorized.into_parts();
        let physical = request.physical;
        let proposal = InternalRaftRequest { compaction: Some(request), ..Default::default() };
        match self.shared.propose(&authority, proposal).await? {
            Answer::Compaction(mut response) => {
                if physical {
                    self.shared.ask(&authority, crate::shared::ApplyInput::Swept).await?;
                }
                self.shared.complete(&mut response.header);
                Ok(Response::new(response))
            }
            other => Err(unexpected(&other)),
        }
    }
}

fn invalid(error: validate::InvalidRequest) -> Status {
    use validate::InvalidRequest as Invalid;
    match error {
        Invalid::EmptyKey => EtcdError::EmptyKey,
        Invalid::MissingOp => EtcdError::KeyNotFound,
        Invalid::InvalidSort => EtcdError::InvalidSortOption,
        Invalid::ValueProvided => EtcdError::ValueProvided,
        Invalid::LeaseProvided => EtcdError::LeaseProvided,
        Invalid::DuplicateKey => EtcdError::DuplicateKey,
        _ => EtcdError::TooManyOps,
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use drystone_api::etcdserverpb::{Compare, PutRequest, RequestOp, request_op};

    /// etcd answers one that only compares from what the member knows at that moment.
    #[test]
    fn a_transaction_that_only_compares_is_as_fresh_as_a_read() {
        let op = |request| RequestOp { request: Some(request) };
        let range = |serializable| {
            op(request_op::Request::RequestRange(RangeRequest {
                serializable,
                ..Default::default()
            }))
        };
        let txn = |success: Vec<RequestOp>, failure: Vec<RequestOp>| TxnRequest {
            compare: vec![Compare::default()],
            success,
            failure,
        };
        assert!(!all_serializable(&txn(vec![], vec![])), "it only compares");
        assert!(!all_serializable(&txn(vec![range(true)], vec![range(false)])));
        assert!(all_serializable(&txn(vec![range(true)], vec![range(true)])));
        let put = op(request_op::Request::RequestPut(PutRequest::default()));
        assert!(!all_serializable(&txn(vec![range(true), put], vec![])));
        let nested = op(request_op::Request::RequestTxn(txn(vec![range(true)], vec![])));
        assert!(!all_serializable(&txn(vec![nested], vec![])), "what is nested is not looked at");
    }
}
