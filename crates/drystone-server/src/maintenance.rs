//! The Maintenance service: how a member is, and digests of what it holds.

use crate::access::split;
use crate::download;
use crate::kv::read_error;
use crate::shared::Shared;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, DowngradeInfo,
    DowngradeRequest, DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest, HashResponse,
    InternalRaftRequest, MoveLeaderRequest, MoveLeaderResponse, SnapshotRequest, SnapshotResponse,
    StatusRequest, StatusResponse, alarm_request::AlarmAction, maintenance_server::Maintenance,
};
use drystone_backend::{Backend, BackendError, Table};
use drystone_machine::Answer;
use drystone_types::MemberId;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Keys of the table `meta` that differ from member to member and stay out of the hash.
const UNHASHED: [&[u8]; 3] = [b"consistent_index", b"term", b"storageVersion"];

/// Serves `etcdserverpb.Maintenance`.
#[derive(Clone, Debug)]
pub(crate) struct MaintenanceService {
    shared: Arc<Shared>,
}

impl MaintenanceService {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if self.shared.status.leader().is_none() {
            errors.push(EtcdError::NoLeader.message().to_owned());
        }
        if let Some(aside) = self.shared.aside.get() {
            errors.push(format!(
                "set aside: differs from the majority from revision {} on",
                aside.revision
            ));
        }
        let alarms = self.shared.view.read().alarms.clone();
        errors.extend(
            alarms
                .list(None)
                .map(|(member, alarm)| format!("memberID:{} alarm:{}", member.0, alarm.name())),
        );
        errors
    }
}

/// CRC-32C over the name of every table and the keys and values in it, as etcd's
/// `backend.Hash`; for debugging one member, not for comparing two.
fn hash(backend: &dyn Backend) -> Result<u32, BackendError> {
    let view = backend.view()?;
    let mut sum = 0;
    for table in Table::ALL {
        sum = crc32c::crc32c_append(sum, table.name().as_bytes());
        view.scan(table, (Bound::Unbounded, Bound::Unbounded), &mut |key, value| {
            if table != Table::Meta || !UNHASHED.contains(&key) {
                sum = crc32c::crc32c_append(crc32c::crc32c_append(sum, key), value);
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(sum)
}

#[tonic::async_trait]
impl Maintenance for MaintenanceService {
    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let shared = &self.shared;
        let (caller, request) = split(request);
        shared.authorize(&caller, request).await?;
        let membership = shared.view.read().membership.clone();
        let is_learner = membership.member(shared.member).is_some_and(|member| member.is_learner);
        let (allocated_bytes, in_use_bytes) = shared.db_bytes();
        Ok(Response::new(StatusResponse {
            header: shared.header(shared.revision()),
            version: crate::ETCD_VERSION.to_owned(),
            db_size: i64::try_from(allocated_bytes).unwrap_or(i64::MAX),
            leader: shared.status.leader.load(Ordering::Acquire),
            raft_index: shared.status.committed.load(Ordering::Acquire),
            raft_term: shared.status.term.load(Ordering::Acquire),
            raft_applied_index: shared.status.applied.load(Ordering::Acquire),
            errors: self.errors(),
            db_size_in_use: i64::try_from(in_use_bytes).unwrap_or(i64::MAX),
            is_learner,
            storage_version: crate::version::storage(&membership).unwrap_or_default(),
            db_size_quota: shared.config.quota_backend_bytes,
            downgrade_info: Some(DowngradeInfo {
                enabled: membership.downgrade().enabled,
                target_version: membership.downgrade().target.clone(),
            }),
        }))
    }

    async fn hash(&self, request: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        let (caller, request) = split(request);
        let (_, authority) = self.shared.authorize(&caller, request).await?.into_parts();
        let backend = self.shared.view.read().backend(&authority).clone();
        let metrics = self.shared.metrics.clone();
        let hash =
            tokio::task::spawn_blocking(move || metrics.timed_hash(|| hash(backend.as_ref())))
                .await
                .map_err(|_| Status::from(EtcdError::Stopped))?
                .map_err(|error| Status::internal(error.to_string()))?;
        let header = self.shared.header(self.shared.revision());
        Ok(Response::new(HashResponse { header, hash }))
    }

    async fn hash_kv(
        &self,
        request: Request<HashKvRequest>,
    ) -> Result<Response<HashKvResponse>, Status> {
        let (caller, request) = split(request);
        let (HashKvRequest { revision }, authority) =
            self.shared.authorize(&caller, request).await?.into_parts();
        let snapshot = self.shared.snapshot(&authority)?;
        let header = self.shared.header(snapshot.revision());
        let metrics = self.shared.metrics.clone();
        let hashed = move || metrics.timed_hash_kv(|| snapshot.hash_kv(revision));
        let hash = tokio::task::spawn_blocking(hashed)
            .await
            .map_err(|_| Status::from(EtcdError::Stopped))?;
        let hash = hash.map_err(read_error)?;
        Ok(Response::new(HashKvResponse {
            header,
            hash: hash.hash,
            compact_revision: hash.compact_revision,
            hash_revision: hash.revision,
        }))
    }

    async fn alarm(
        &self,
        request: Request<AlarmRequest>,
    ) -> Result<Response<AlarmResponse>, Status> {
        let (caller, request) = split(request);
        if AlarmAction::try_from(request.action).is_err() {
            // etcd's own handler crashes on an action it does not know.
            return Err(Status::invalid_argument(format!(
                "unknown alarm action {}; use GET, ACTIVATE or DEACTIVATE",
                request.action
            )));
        }
        let authorized = self.shared.authorize_change(&caller, request).await?;
        let (request, authority) = authorized.into_parts();
        let proposal = InternalRaftRequest { alarm: Some(request), ..Default::default() };
        match self.shared.propose(&authority, proposal).await? {
            Answer::Alarm(mut response) => {
                self.shared.complete(&mut response.header);
                Ok(Response::new(response))
            }
            other => Err(Status::internal(format!("the log answered an alarm with {other:?}"))),
        }
    }

    /// Answers at once, as etcd does in the end: an empty message without a header.
    async fn defragment(
        &self,
        request: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        let (caller, request) = split(request);
        self.shared.authorize(&caller, request).await?;
        // The engine rewrites its files by itself, at a bounded rate, and nothing stops for it.
        // There is nothing to wait for, so there is nothing to pretend.
        let size = self.shared.store_size();
        tracing::info!(
            allocated_bytes = size.allocated_bytes,
            live_bytes = self.shared.status.live_bytes.load(Ordering::Acquire),
            "asked to defragment: nothing to do, space comes back by itself after a compaction"
        );
        Ok(Response::new(DefragmentResponse::default()))
    }

    type SnapshotStream = ReceiverStream<Result<SnapshotResponse, Status>>;

    async fn snapshot(
        &self,
        request: Request<SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        let (caller, request) = split(request);
        let (_, authority) = self.shared.authorize(&caller, request).await?.into_parts();
        if !self.shared.config.native_snapshot {
            return Err(Status::unimplemented(
                "snapshots in etcd's file format are not served yet; a server that is started \
                 with --native-snapshot sends them in Drystone's own",
            ));
        }
        let permit = self.shared.downloads.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Status::from(EtcdError::RequestTooManyRequests))?;
        let (out, stream) = download::channel();
        let shared = self.shared.clone();
        tokio::task::spawn_blocking(move || {
            download::stream(&shared, &authority, &out);
            drop(permit);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn move_leader(
        &self,
        request: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        let (caller, request) = split(request);
        let (request, authority) = self.shared.authorize(&caller, request).await?.into_parts();
        self.shared.move_leader(&authority, MemberId(request.target_id)).await?;
        Ok(Response::new(MoveLeaderResponse { header: None }))
    }

    async fn downgrade(
        &self,
        request: Request<DowngradeRequest>,
    ) -> Result<Response<DowngradeResponse>, Status> {
        let (caller, request) = split(request);
        let request = self.shared.authorize_change(&caller, request).await?;
        let response = crate::downgrade::serve(&self.shared, request).await?;
        Ok(Response::new(response))
    }
}
