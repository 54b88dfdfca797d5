//! Drystone's own calls: a member that lost its data is replaced by a new one, which begins
//! without a vote and is promoted when it has caught up. Members trust each other here, as they
//! do with raft's messages: it is the peer port that must be kept from others.

use super::{Answer, reply};
use crate::call::collect;
use crate::headers::{CLUSTER_ID, text};
use crate::info::{members_to_json, replacement_from_json};
use crate::transport::Inner;
use crate::{MemberInfo, ReplaceRefused};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use std::sync::Arc;

/// Longest body of a request to be replaced.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// `POST /drystone/members/replace`
pub(crate) async fn replace(transport: &Arc<Inner>, request: Request<Incoming>) -> Answer {
    let answer = match check(transport, &request) {
        Some(refused) => refused,
        None => take_replacement(transport, request).await,
    };
    reply::with_cluster(answer, transport.shared.config.cluster)
}

async fn take_replacement(transport: &Arc<Inner>, request: Request<Incoming>) -> Answer {
    let shared = &transport.shared;
    let body = collect(request.into_body(), REQUEST_BYTES_MAX, shared.config.read_timeout).await;
    let bad = |text| reply::text(StatusCode::BAD_REQUEST, text);
    let Ok(body) = body else { return reply::closing(bad("error reading body")) };
    let Some(replacement) = replacement_from_json(&body) else {
        return bad("error unmarshalling request");
    };
    answer(shared.handler.replace_member(replacement).await)
}

/// `POST /drystone/members/promote/<hex id>`
pub(crate) async fn promote<B>(transport: &Arc<Inner>, request: &Request<B>, id: &str) -> Answer {
    let shared = &transport.shared;
    let answer = match (check(transport, request), crate::headers::parse_member(id)) {
        (Some(refused), _) => refused,
        (None, None) => reply::not_found(),
        (None, Some(id)) => answer(shared.handler.promote_replacement(id).await),
    };
    reply::with_cluster(answer, shared.config.cluster)
}

/// What is refused whatever is asked for: another method, and members of other clusters.
fn check<B>(transport: &Inner, request: &Request<B>) -> Option<Answer> {
    let cluster = transport.shared.config.cluster.to_string();
    let foreign = text(request.headers(), &CLUSTER_ID) != cluster;
    let mismatch = || reply::text(StatusCode::PRECONDITION_FAILED, "cluster ID mismatch");
    reply::refuse_method(request, "POST").or_else(|| foreign.then(mismatch))
}

fn answer(outcome: Result<Vec<MemberInfo>, ReplaceRefused>) -> Answer {
    let refused = match outcome {
        Ok(members) => return reply::body("application/json", members_to_json(&members)),
        Err(refused) => refused,
    };
    let status = match refused {
        ReplaceRefused::NotLeader => StatusCode::MISDIRECTED_REQUEST,
        ReplaceRefused::Later(_) => StatusCode::SERVICE_UNAVAILABLE,
        ReplaceRefused::Never(_) => StatusCode::CONFLICT,
    };
    reply::text(status, &refused.to_string())
}
