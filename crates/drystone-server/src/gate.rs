//! What is checked of every call before any service sees it.

use crate::shared::Shared;
use drystone_api::errors::EtcdError;
use futures::future::{Either, Ready, ready};
use http::{Request, Response};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// What a learner serves, besides serializable reads.
const FOR_LEARNERS: [&str; 2] =
    ["/etcdserverpb.Maintenance/Status", "/etcdserverpb.Maintenance/Snapshot"];
/// A learner serves it when it is serializable: whoever reads the request decides.
const RANGE: &str = "/etcdserverpb.KV/Range";

/// True for services that speak about the member and not about keys: they answer also when it is
/// set aside.
fn tells_state(path: &str) -> bool {
    ["/etcdserverpb.Maintenance/", "/grpc.health.v1."].iter().any(|open| path.starts_with(open))
}

/// Refuses what a learner or a member that is set aside does not serve, and calls marked `hasleader: true` while no leader is
/// known.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    shared: Arc<Shared>,
}

impl Gate {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { inner, shared: self.shared.clone() }
    }
}

/// See [`Gate`].
#[derive(Clone, Debug)]
pub(crate) struct Gated<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response<Body>, Infallible>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_learner = self.shared.status.is_learner.load(Ordering::Acquire);
        let path = request.uri().path();
        if is_learner && path != RANGE && !FOR_LEARNERS.contains(&path) {
            let refusal = Status::from(EtcdError::NotSupportedForLearner).into_http();
            return Either::Left(ready(Ok(refusal)));
        }
        if self.shared.aside.get().is_some() && !tells_state(path) {
            let refusal = Status::from(EtcdError::Corrupt).into_http();
            return Either::Left(ready(Ok(refusal)));
        }
        let asks = request.headers().get("hasleader").is_some_and(|value| value == "true");
        if asks && self.shared.status.leader().is_none() {
            let refusal = Status::from(EtcdError::NoLeader).into_http();
            return Either::Left(ready(Ok(refusal)));
        }
        Either::Right(self.inner.call(request))
    }
}
