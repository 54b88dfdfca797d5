//! What members ask each other about the cluster.

use super::{Answer, reply};
use crate::call::collect;
use crate::clock::to_rfc3339;
use crate::digest::{DigestAnswer, DigestRequest, REVISIONS_MAX, to_json};
use crate::headers::{CLUSTER_ID, NATIVE_SNAPSHOT, NATIVE_SNAPSHOT_1, text};
use crate::info::{
    common_name_from_json, hash_kv_request_from_json, hash_kv_to_json, members_to_json,
    version_to_json,
};
use crate::prober::Probe;
use crate::transport::Inner;
use crate::{HashKvRefused, PassedOn, PromoteRefused};
use bytes::Bytes;
use drystone_types::MemberId;
use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::SystemTime;

/// Longest body of a request for a hash.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// `/raft/probing`, with any method. Also tells a sender whether native snapshots are taken.
pub(crate) fn probing() -> Answer {
    let probe = Probe { ok: true, now: to_rfc3339(SystemTime::now()) };
    let json = serde_json::to_string(&probe).unwrap_or_default() + "\n";
    let mut answer = reply::body("text/plain; charset=utf-8", json);
    answer.headers_mut().insert(NATIVE_SNAPSHOT, NATIVE_SNAPSHOT_1);
    answer
}

/// `GET /members`
pub(crate) fn members<B>(transport: &Inner, request: &Request<B>) -> Answer {
    if let Some(refused) = reply::refuse_method(request, "GET") {
        return refused;
    }
    let shared = &transport.shared;
    let json = members_to_json(&shared.handler.members());
    reply::with_cluster(reply::body("application/json", json), shared.config.cluster)
}

/// `GET /version`
pub(crate) fn version<B>(transport: &Inner, request: &Request<B>) -> Answer {
    if let Some(refused) = reply::refuse_method(request, "GET") {
        return refused;
    }
    reply::body("application/json", version_to_json(&transport.shared.handler.version()))
}

/// `GET /members/hashkv`, with a body.
pub(crate) async fn hash_kv(transport: &Arc<Inner>, request: Request<Incoming>) -> Answer {
    if let Some(refused) = reply::refuse_method(&request, "GET") {
        return refused;
    }
    let answer = answer_hash_kv(transport, request).await.unwrap_or_else(|refused| refused);
    reply::with_cluster(answer, transport.shared.config.cluster)
}

async fn answer_hash_kv(
    transport: &Arc<Inner>,
    request: Request<Incoming>,
) -> Result<Answer, Answer> {
    let body = read_in_cluster(transport, request).await?;
    let bad = |text| reply::text(StatusCode::BAD_REQUEST, text);
    let revision =
        hash_kv_request_from_json(&body).map_err(|_| bad("error unmarshalling request"))?;
    match transport.shared.handler.hash_kv(revision).await {
        Ok(hash) => Ok(reply::body("application/json", hash_kv_to_json(&hash))),
        Err(error @ (HashKvRefused::Compacted | HashKvRefused::Future)) => {
            Err(bad(&error.to_string()))
        }
        Err(HashKvRefused::Other(reason)) => Err(bad(&reason)),
    }
}

/// `GET /drystone/digest`, with a body.
pub(crate) async fn digest(transport: &Arc<Inner>, request: Request<Incoming>) -> Answer {
    if let Some(refused) = reply::refuse_method(&request, "GET") {
        return refused;
    }
    let answer = answer_digest(transport, request).await.unwrap_or_else(|refused| refused);
    reply::with_cluster(answer, transport.shared.config.cluster)
}

async fn answer_digest(
    transport: &Arc<Inner>,
    request: Request<Incoming>,
) -> Result<Answer, Answer> {
    let body = read_in_cluster(transport, request).await?;
    let bad = |text| reply::text(StatusCode::BAD_REQUEST, text);
    let asked: DigestRequest =
        serde_json::from_slice(&body).map_err(|_| bad("error unmarshalling request"))?;
    if asked.revisions.len() > REVISIONS_MAX {
        return Err(bad("too many revisions; ask for 256 at a time"));
    }
    let marks = transport.shared.handler.digests(&asked.revisions);
    Ok(reply::body("application/json", to_json(&DigestAnswer { marks })))
}

/// The body of a request that a member of this cluster may make.
async fn read_in_cluster(
    transport: &Arc<Inner>,
    request: Request<Incoming>,
) -> Result<Bytes, Answer> {
    let shared = &transport.shared;
    let named = text(request.headers(), &CLUSTER_ID);
    if !named.is_empty() && named != shared.config.cluster.to_string() {
        return Err(reply::text(StatusCode::PRECONDITION_FAILED, "cluster ID mismatch"));
    }
    let body = collect(request.into_body(), REQUEST_BYTES_MAX, shared.config.read_timeout).await;
    let bad = |text| reply::text(StatusCode::BAD_REQUEST, text);
    body.map_err(|_| reply::closing(bad("error reading body")))
}

/// `POST /members/promote/<decimal id>`. The common name in the body, which is Drystone's own,
/// counts where the sender has proven to be a member; see [`PassedOn`].
pub(crate) async fn promote(
    transport: &Arc<Inner>,
    request: Request<Incoming>,
    id: &str,
    is_proven: bool,
) -> Answer {
    if let Some(refused) = reply::refuse_method(&request, "POST") {
        return refused;
    }
    let answer = answer_promote(transport, request, id, is_proven).await;
    let answer = answer.unwrap_or_else(|refused| refused);
    reply::with_cluster(answer, transport.shared.config.cluster)
}

async fn answer_promote(
    transport: &Arc<Inner>,
    request: Request<Incoming>,
    id: &str,
    is_proven: bool,
) -> Result<Answer, Answer> {
    let shared = &transport.shared;
    let Ok(id) = id.parse::<u64>() else {
        let shown: String = id.chars().take(64).collect();
        let text = format!("member {shown} not found in cluster");
        return Err(reply::text(StatusCode::NOT_FOUND, &text));
    };
    let token = Some(text(request.headers(), &AUTHORIZATION).to_owned());
    let token = token.filter(|token| !token.is_empty());
    let body = read_in_cluster(transport, request).await?;
    let common_name = common_name_from_json(&body)
        .map_err(|_| reply::text(StatusCode::BAD_REQUEST, "error unmarshalling request"))?;
    if common_name.is_some() && !is_proven {
        tracing::warn!(
            "ignoring the common name of a client whose request was passed on by somebody who \
             did not prove to be a member; it takes --peer-client-cert-auth"
        );
    }
    let caller = PassedOn { token, common_name: common_name.filter(|_| is_proven) };
    match shared.handler.promote_member(MemberId(id), caller).await {
        Ok(members) => Ok(reply::body("application/json", members_to_json(&members))),
        Err(error) => Err(refuse_promote(&error)),
    }
}

fn refuse_promote(error: &PromoteRefused) -> Answer {
    match error {
        PromoteRefused::NotFound => reply::text(StatusCode::NOT_FOUND, &error.to_string()),
        PromoteRefused::NotLearner | PromoteRefused::NotReady => {
            reply::text(StatusCode::PRECONDITION_FAILED, &error.to_string())
        }
        PromoteRefused::Other(reason) => {
            tracing::warn!(reason, "failed to promote a member");
            reply::json_message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        }
    }
}

/// `GET /downgrade/enabled`
pub(crate) async fn downgrade_enabled<B>(transport: &Arc<Inner>, request: &Request<B>) -> Answer {
    if let Some(refused) = reply::refuse_method(request, "GET") {
        return refused;
    }
    let shared = &transport.shared;
    let answer = match shared.handler.downgrade_enabled().await {
        Ok(enabled) => reply::body("text/plain", enabled.to_string()),
        Err(reason) => reply::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("failed linearized read: {reason}"),
        ),
    };
    reply::with_cluster(answer, shared.config.cluster)
}
