//! The Lock service: mutual exclusion among the callers of one name.

use crate::recipe::{Gone, Recipe, Recipes, delete, queue, to_its_end, unknown};
use crate::shared::Shared;
use bytes::Bytes;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::RangeRequest;
use drystone_api::v3lockpb::lock_server::Lock;
use drystone_api::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Serves `v3lockpb.Lock`.
#[derive(Clone, Debug)]
pub(crate) struct LockService {
    recipes: Recipes,
}

impl LockService {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { recipes: Recipes::new(shared) }
    }
}

/// Takes the lock, or waits for it until the caller goes away.
async fn lock(recipe: Recipe, request: LockRequest, gone: Gone) -> Result<LockResponse, Status> {
    let queue = queue(&request.name);
    let session = recipe.session(request.lease).await?;
    let claim = recipe.enter(&queue, session, Bytes::new()).await?;
    let holder = claim.first.as_ref().map_or(claim.revision, |first| first.create_revision);
    if holder == claim.revision {
        recipe.leave_if(gone, &claim).await;
        return Ok(LockResponse { header: claim.answer.header, key: claim.key });
    }
    recipe.wait(&queue, &claim, gone).await?;
    // The lease may have ended while its holder waited, and the key with it.
    let own = RangeRequest { key: claim.key.clone(), ..Default::default() };
    let own = match recipe.range(own).await {
        Ok(own) => own,
        Err(error) => {
            recipe.leave(&claim).await;
            return Err(error);
        }
    };
    if own.kvs.is_empty() {
        return Err(EtcdError::SessionExpired.into());
    }
    Ok(LockResponse { header: own.header, key: claim.key })
}

#[tonic::async_trait]
impl Lock for LockService {
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        let (recipe, request) = self.recipes.of(request);
        to_its_end(|gone| lock(recipe, request, gone)).await.map(Response::new)
    }

    async fn unlock(
        &self,
        request: Request<UnlockRequest>,
    ) -> Result<Response<UnlockResponse>, Status> {
        let (recipe, request) = self.recipes.of(request);
        let deleted = recipe.delete(delete(&request.key)).await.map_err(unknown)?;
        Ok(Response::new(UnlockResponse { header: deleted.header }))
    }
}
