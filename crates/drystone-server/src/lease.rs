//! The Lease service. Grants and revokes go through the log; clocks are the leader's.

use crate::access::{Authority, Caller, split};
use crate::inbox::Class;
use crate::shared::{ApplyInput, Shared};
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    InternalRaftRequest, LeaseCheckpoint, LeaseCheckpointRequest, LeaseGrantRequest,
    LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
    LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, lease_server::Lease,
};
use drystone_machine::Answer;
use drystone_peer::{FetchError, LeaseRefused, PeerUrl};
use drystone_types::LeaseId;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status, Streaming};

/// How long a follower waits before it asks the leader again (etcd: 50 ms).
const FORWARD_PAUSE: Duration = Duration::from_millis(50);

/// Serves `etcdserverpb.Lease`.
#[derive(Clone, Debug)]
pub(crate) struct LeaseService {
    shared: Arc<Shared>,
}

impl LeaseService {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

/// Resets a lease's clock on this member, which must lead: `None` for an unknown lease.
pub(crate) async fn renew_here(shared: &Shared, id: LeaseId) -> Result<Option<i64>, EtcdError> {
    let own = Authority::of_this_member();
    // Leadership is confirmed after the request came in; a deposed leader must not promise.
    shared.confirm_read_as(Class::Lease).await?;
    let Some(renewed) = shared.ask(&own, |reply| ApplyInput::Renew(id, reply)).await?? else {
        return Ok(None);
    };
    if renewed.checkpoint_zero {
        // A shorter remainder is in the log. A successor would count from it, so the client
        // hears of the renewal only when the log says otherwise.
        let checkpoints = vec![LeaseCheckpoint { id: id.0, remaining_ttl: 0 }];
        let request = LeaseCheckpointRequest { checkpoints };
        let proposal =
            InternalRaftRequest { lease_checkpoint: Some(request), ..Default::default() };
        match shared.propose(&own, proposal).await {
            Ok(_) => {}
            Err(EtcdError::LeaseNotFound) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    shared.metrics.leases_renewed.increment(1);
    Ok(Some(renewed.ttl_seconds))
}

/// What is left of a lease on this member, which must lead.
pub(crate) async fn time_to_live_here(
    shared: &Shared,
    request: &LeaseTimeToLiveRequest,
) -> Result<LeaseTimeToLiveResponse, EtcdError> {
    shared.confirm_read().await?;
    let id = LeaseId(request.id);
    let own = Authority::of_this_member();
    let found = shared.ask(&own, |reply| ApplyInput::TimeToLive(id, request.keys, reply)).await??;
    let header = shared.header(shared.revision());
    Ok(match found {
        Some(found) => LeaseTimeToLiveResponse {
            header,
            id: request.id,
            ttl: found.remaining_seconds,
            granted_ttl: found.granted_seconds,
            keys: found.keys,
        },
        None => LeaseTimeToLiveResponse { header, id: request.id, ttl: -1, ..Default::default() },
    })
}

/// Whether the caller may reset the clock of a lease: it must be allowed to write all its keys.
async fn may_renew(
    shared: &Shared,
    caller: &Caller,
    request: LeaseKeepAliveRequest,
) -> Result<(), EtcdError> {
    let (request, authority) = shared.authorize(caller, request).await?.into_parts();
    if authority.who().is_none() {
        return Ok(());
    }
    let who = authority.clone();
    shared.ask(&authority, |reply| ApplyInput::MayRenew(request, who, reply)).await?
}

fn leads(shared: &Shared) -> bool {
    shared.status.is_leader.load(std::sync::atomic::Ordering::Acquire)
}

/// True for refusals that another try, maybe at another leader, can end.
fn may_pass(error: EtcdError) -> bool {
    matches!(error, EtcdError::NotPrimaryLessor | EtcdError::LeaderChanged)
}

/// Resets a lease's clock wherever the leader is.
pub(crate) async fn renew(shared: &Shared, id: LeaseId) -> Result<Option<i64>, EtcdError> {
    let deadline = Instant::now() + shared.config.request_timeout();
    loop {
        if leads(shared) {
            match renew_here(shared, id).await {
                Err(error) if may_pass(error) => {}
                other => return other,
            }
        } else if let Some(url) = leader_url(shared) {
            let request = LeaseKeepAliveRequest { id: id.0 };
            match shared.fetch.lease_keep_alive(&url, request).await {
                Ok(response) => return Ok(Some(response.ttl).filter(|ttl| *ttl > 0)),
                Err(FetchError::Refused(LeaseRefused::NotFound)) => return Ok(None),
                Err(error) => tracing::debug!(%error, "a lease could not be renewed; trying again"),
            }
        }
        pause(shared, deadline).await?;
    }
}

async fn time_to_live(
    shared: &Shared,
    request: &LeaseTimeToLiveRequest,
) -> Result<LeaseTimeToLiveResponse, EtcdError> {
    let deadline = Instant::now() + shared.config.request_timeout();
    loop {
        if leads(shared) {
            match time_to_live_here(shared, request).await {
                Err(error) if may_pass(error) => {}
                other => return other,
            }
        } else if let Some(url) = leader_url(shared) {
            match shared.fetch.lease_time_to_live(&url, *request).await {
                Ok(mut response) => {
                    response.header = shared.header(shared.revision());
                    return Ok(response);
                }
                Err(FetchError::Refused(LeaseRefused::NotFound)) => {
                    return Ok(LeaseTimeToLiveResponse {
                        header: shared.header(shared.revision()),
                        id: request.id,
                        ttl: -1,
                        ..Default::default()
                    });
                }
                Err(error) => tracing::debug!(%error, "a lease could not be read; trying again"),
            }
        }
        pause(shared, deadline).await?;
    }
}

async fn pause(shared: &Shared, deadline: Instant) -> Result<(), EtcdError> {
    if Instant::now() >= deadline {
        return Err(match shared.status.leader() {
            None => EtcdError::NoLeader,
            Some(_) => EtcdError::Timeout,
        });
    }
    tokio::time::sleep(FORWARD_PAUSE).await;
    Ok(())
}

fn leader_url(shared: &Shared) -> Option<PeerUrl> {
    let leader = shared.status.leader()?;
    let membership = shared.view.read().membership.clone();
    membership.member(leader)?.peer_urls.iter().find_map(|url| url.parse().ok())
}

#[tonic::async_trait]
impl Lease for LeaseService {
    async fn lease_grant(
        &self,
        request: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        let (caller, request) = split(request);
        let authorized = self.shared.authorize_change(&caller, request).await?;
        let (mut request, authority) = authorized.into_parts();
        let picked = request.id == 0;
        loop {
            if picked {
                request.id = self.shared.ids.next_lease();
            }
            let proposal = InternalRaftRequest { lease_grant: Some(request), ..Default::default() };
            match self.shared.propose(&authority, proposal).await {
                Ok(Answer::LeaseGrant(mut response)) => {
                    self.shared.complete(&mut response.header);
                    return Ok(Response::new(response));
                }
                // The client did not pick the id, so a clash is ours to solve.
                Err(EtcdError::LeaseExist) if picked => {}
                Err(error) => return Err(error.into()),
                Ok(other) => {
                    return Err(Status::internal(format!(
                        "the log answered a grant with {other:?}"
                    )));
                }
            }
        }
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        let (caller, request) = split(request);
        let authorized = self.shared.authorize_change(&caller, request).await?;
        let (request, authority) = authorized.into_parts();
        let proposal = InternalRaftRequest { lease_revoke: Some(request), ..Default::default() };
        match self.shared.propose(&authority, proposal).await? {
            Answer::LeaseRevoke(mut response) => {
                self.shared.complete(&mut response.header);
                Ok(Response::new(response))
            }
            other => Err(Status::internal(format!("the log answered a revoke with {other:?}"))),
        }
    }

    type LeaseKeepAliveStream =
        Pin<Box<dyn Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send>>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let shared = self.shared.clone();
        let (caller, mut requests) = split(request);
        let stream = async_stream::stream! {
            loop {
                let request = match requests.message().await {
                    Ok(Some(request)) => request,
                    Ok(None) => return,
                    Err(broken) => {
                        if broken.code() != Code::Cancelled {
                            shared.metrics.stream_broke("lease-keepalive");
                        }
                        return;
                    }
                };
                // The header says where the contacted member stood before the renewal.
                let header = shared.header(shared.revision());
                let renewed = match may_renew(&shared, &caller, request).await {
                    Ok(()) => renew(&shared, LeaseId(request.id)).await,
                    Err(denied) => Err(denied),
                };
                match renewed {
                    Ok(ttl) => yield Ok(LeaseKeepAliveResponse {
                        header,
                        id: request.id,
                        ttl: ttl.unwrap_or(0),
                    }),
                    Err(error) => {
                        yield Err(error.into());
                        return;
                    }
                }
            }
        };
        Ok(Response::new(Box::pin(stream)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let (caller, request) = split(request);
        let shared = &self.shared;
        let (request, authority) = shared.authorize(&caller, request).await?.into_parts();
        let response = time_to_live(shared, &request).await?;
        if request.keys && authority.who().is_some() {
            // The leader told the keys. Whether they may be read is decided by permissions that
            // are no older.
            shared.confirm_read().await?;
            shared.allow_keys(&authority, &request, &response.keys)?;
        }
        Ok(Response::new(response))
    }

    async fn lease_leases(
        &self,
        request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        let (caller, request) = split(request);
        let (_, authority) = self.shared.authorize(&caller, request).await?.into_parts();
        let who = authority.clone();
        let leases = self.shared.ask(&authority, |reply| ApplyInput::Leases(who, reply)).await??;
        Ok(Response::new(LeaseLeasesResponse {
            header: self.shared.header(self.shared.revision()),
            leases: leases.into_iter().map(|id| LeaseStatus { id: id.0 }).collect(),
        }))
    }
}
