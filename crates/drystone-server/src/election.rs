//! The Election service: a lock whose key carries what its holder has to say.

use crate::recipe::{Gone, Recipe, Recipes, delete, made_at, op, queue, to_its_end, unknown};
use crate::shared::Shared;
use bytes::Bytes;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::request_op::Request as Op;
use drystone_api::etcdserverpb::{PutRequest, ResponseHeader, TxnRequest, TxnResponse};
use drystone_api::mvccpb::{KeyValue, event::EventType};
use drystone_api::v3electionpb::election_server::Election;
use drystone_api::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
    ProclaimResponse, ResignRequest, ResignResponse,
};
use std::pin::Pin;
use std::sync::Arc;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

/// Serves `v3electionpb.Election`.
#[derive(Clone, Debug)]
pub(crate) struct ElectionService {
    shared: Arc<Shared>,
    recipes: Recipes,
}

impl ElectionService {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { recipes: Recipes::new(shared.clone()), shared }
    }
}

/// Stands for election and waits to win it, until the caller goes away.
async fn campaign(
    recipe: Recipe,
    request: CampaignRequest,
    gone: Gone,
) -> Result<CampaignResponse, Status> {
    let queue = queue(&request.name);
    let session = recipe.session(request.lease).await?;
    let claim = recipe.enter(&queue, session, request.value.clone()).await?;
    let leader = LeaderKey {
        name: request.name,
        key: claim.key.clone(),
        rev: claim.revision,
        lease: session.lease,
    };
    let says = claim.present.as_ref().map_or(&request.value, |present| &present.value);
    if *says != request.value
        && let Err(error) = proclaim(&recipe, &leader, session.lease, request.value).await
    {
        recipe.leave(&claim).await;
        return Err(error);
    }
    if claim.first.as_ref().is_some_and(|first| first.create_revision < claim.revision) {
        recipe.wait(&queue, &claim, gone).await?;
    } else {
        recipe.leave_if(gone, &claim).await;
    }
    // The header is that of entering, not of winning, as etcd's is.
    Ok(CampaignResponse { header: claim.answer.header, leader: Some(leader) })
}

/// Changes what the leader has to say; nothing happens when it leads no more.
async fn proclaim(
    recipe: &Recipe,
    leader: &LeaderKey,
    lease: i64,
    value: Bytes,
) -> Result<TxnResponse, Status> {
    let put = PutRequest { key: leader.key.clone(), value, lease, ..Default::default() };
    let answer = recipe
        .txn(TxnRequest {
            compare: vec![made_at(&leader.key, leader.rev)],
            success: vec![op(Op::RequestPut(put))],
            failure: Vec::new(),
        })
        .await?;
    if answer.succeeded { Ok(answer) } else { Err(EtcdError::ElectionNotLeader.into()) }
}

/// Every leader from the present one on, and everything each of them says; of changes that come
/// faster than they are taken, the latest at least.
fn observe(
    recipe: Recipe,
    shared: Arc<Shared>,
    name: Bytes,
) -> impl Stream<Item = Result<LeaderResponse, Status>> + Send {
    async_stream::try_stream! {
        let queue = queue(&name);
        loop {
            let (kv, at) = present(&recipe, &queue).await.map_err(unknown)?;
            let key = kv.key.clone();
            yield LeaderResponse { header: shared.header(at), kv: Some(kv) };
            let mut events =
                recipe.watch(key, Bytes::new(), at + 1).await.map_err(unknown)?;
            'leads: while let Some(heard) = events.next().await.map_err(unknown)? {
                for event in heard.events {
                    if event.r#type() == EventType::Delete {
                        break 'leads;
                    }
                    yield LeaderResponse { header: shared.header(heard.revision), kv: event.kv };
                }
            }
        }
    }
}

/// The leader, waited for if there is none, and the revision it was seen at.
async fn present(recipe: &Recipe, queue: &Bytes) -> Result<(KeyValue, i64), Status> {
    loop {
        let found = recipe.first(queue).await?;
        let at = found.header.map_or(0, |header| header.revision);
        if let Some(leader) = found.kvs.into_iter().next() {
            return Ok((leader, at));
        }
        let mut events = recipe.watch_queue(queue, at + 1).await?;
        while let Some(heard) = events.next().await? {
            let put = heard.events.into_iter().find(|event| event.r#type() == EventType::Put);
            if let Some(kv) = put.and_then(|event| event.kv) {
                let at = kv.mod_revision;
                return Ok((kv, at));
            }
        }
    }
}

/// The key a request is about.
fn of(leader: Option<LeaderKey>) -> Result<LeaderKey, Status> {
    leader.ok_or_else(|| EtcdError::ElectionLeaderMissing.into())
}

#[tonic::async_trait]
impl Election for ElectionService {
    async fn campaign(
        &self,
        request: Request<CampaignRequest>,
    ) -> Result<Response<CampaignResponse>, Status> {
        let (recipe, request) = self.recipes.of(request);
        to_its_end(|gone| campaign(recipe, request, gone)).await.map(Response::new)
    }

    async fn proclaim(
        &self,
        request: Request<ProclaimRequest>,
    ) -> Result<Response<ProclaimResponse>, Status> {
        let (recipe, request) = self.recipes.of(request);
        let leader = of(request.leader)?;
        let session = recipe.session(leader.lease).await.map_err(unknown)?;
        let answer = proclaim(&recipe, &leader, session.lease, request.value).await;
        let header = answer.map_err(unknown)?.header;
        Ok(Response::new(ProclaimResponse { header }))
    }

    async fn leader(
        &self,
        request: Request<LeaderRequest>,
    ) -> Result<Response<LeaderResponse>, Status> {
        let (recipe, request) = self.recipes.of(request);
        let found = recipe.first(&queue(&request.name)).await.map_err(unknown)?;
        let Some(kv) = found.kvs.into_iter().next() else {
            return Err(EtcdError::ElectionNoLeader.into());
        };
        let header: Option<ResponseHeader> = found.header;
        Ok(Response::new(LeaderResponse { header, kv: Some(kv) }))
    }

    type ObserveStream = Pin<Box<dyn Stream<Item = Result<LeaderResponse, Status>> + Send>>;

    async fn observe(
        &self,
        request: Request<LeaderRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        let (recipe, request) = self.recipes.of(request);
        let leaders = observe(recipe, self.shared.clone(), request.name);
        Ok(Response::new(Box::pin(leaders)))
    }

    async fn resign(
        &self,
        request: Request<ResignRequest>,
    ) -> Result<Response<ResignResponse>, Status> {
        let (recipe, request) = self.recipes.of(request);
        let leader = of(request.leader)?;
        let resigned = recipe
            .txn(TxnRequest {
                compare: vec![made_at(&leader.key, leader.rev)],
                success: vec![op(Op::RequestDeleteRange(delete(&leader.key)))],
                failure: Vec::new(),
            })
            .await
            .map_err(unknown)?;
        Ok(Response::new(ResignResponse { header: resigned.header }))
    }
}
