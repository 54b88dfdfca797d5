//! The paths of HTTP, on the ports of clients and on those that are for probes alone.

use super::answers::{self, method_not_allowed, not_found};
use super::gateway::{JsonGateway, PREFIX};
use super::paths::elsewhere;
use super::probes::{LIVEZ, READYZ, health};
use super::profiles;
use super::socket;
use super::vars::vars;
use crate::shared::Shared;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use std::sync::Arc;
use tonic::body::Body;
use tower::ServiceExt as _;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers on every port that speaks HTTP.
async fn everywhere(shared: &Arc<Shared>, head: &Parts) -> Option<Response<Body>> {
    match head.uri.path() {
        "/metrics" => Some(crate::metrics::respond(shared.clone(), &head.headers).await),
        "/health" => Some(health(shared, head).await),
        path if path.starts_with("/livez") => LIVEZ.answer(shared, head).await,
        path if path.starts_with("/readyz") => READYZ.answer(shared, head).await,
        _ => None,
    }
}

/// Answers on a port that is for probes and metrics.
pub(crate) async fn for_probes(shared: Arc<Shared>, request: Request<Body>) -> Response<Body> {
    // No path here reads a body.
    let (head, _) = request.into_parts();
    if let Some(answer) = elsewhere(&head.method, &head.uri, &[]) {
        return answer;
    }
    everywhere(&shared, &head).await.unwrap_or_else(not_found)
}

/// Answers on a port that is for clients.
pub(crate) async fn for_clients(
    shared: Arc<Shared>,
    gateway: Option<JsonGateway>,
    request: Request<Body>,
) -> Response<Body> {
    let profiled = shared.config.pprof;
    let folders = [(gateway.is_some(), PREFIX), (profiled, profiles::PREFIX)];
    let folders: Vec<&str> =
        folders.into_iter().filter_map(|(served, folder)| served.then_some(folder)).collect();
    if let Some(answer) = elsewhere(request.method(), request.uri(), &folders) {
        return answer;
    }
    if let Some(gateway) = gateway
        && request.uri().path().starts_with(PREFIX)
    {
        if socket::is_upgrade(&request) {
            return socket::open(&shared, gateway, request);
        }
        let Ok(answer) = gateway.oneshot(request).await;
        return answer;
    }
    let (head, _) = request.into_parts();
    if let Some(answer) = everywhere(&shared, &head).await {
        return answer;
    }
    if profiled && head.uri.path().starts_with(profiles::PREFIX) {
        return profiles::answer(&head).await;
    }
    let reads: fn(&Shared) -> Response<Body> = match head.uri.path() {
        "/version" => version,
        "/debug/vars" => vars,
        _ => return not_found(),
    };
    if head.method == Method::GET { reads(&shared) } else { method_not_allowed("GET") }
}

fn version(shared: &Shared) -> Response<Body> {
    let membership = shared.view.read().membership.clone();
    let body = drystone_peer::version_to_json(&crate::version::info(Some(&membership)));
    answers::of_type(StatusCode::OK, JSON, body)
}
