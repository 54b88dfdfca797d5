//! Questions to members whose ids one need not know: for bootstrap and for passing leases on.

use crate::call::{Connection, Limits, empty, full};
use crate::digest::{DigestAnswer, DigestMark, DigestRequest, to_json};
use crate::info::{
    common_name_to_json, hash_kv_from_json, hash_kv_request_to_json, members_from_json,
    replacement_to_json,
};
use crate::{
    CallError, ClusterInfo, Dial, HashKv, HashKvRefused, LeaseRefused, MemberInfo, PassedOn,
    PeerUrl, PromoteRefused, ReplaceRefused, Replacement, VersionInfo, headers,
};
use bytes::Bytes;
use drystone_api::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use drystone_api::leasepb::{LeaseInternalRequest, LeaseInternalResponse};
use drystone_types::{ClusterId, MemberId};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;
use prost::Message as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// Longest list of members that is read.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Calls single members, each time over a new connection. Every call ends within its timeout.
#[derive(Clone)]
pub struct Fetch {
    dialer: Arc<dyn Dial>,
    timeout: Duration,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Fetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetch").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// Why a member did not answer a question: the call failed, or the member said no.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError<R: std::error::Error + 'static> {
    /// Try another URL, or again.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The member's word.
    #[error(transparent)]
    Refused(R),
}

struct Question {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Question {
    fn get(path: &str) -> Self {
        let path = path.to_owned();
        Self { method: Method::GET, path, headers: HeaderMap::new(), body: Bytes::new() }
    }

    fn post(path: &str, content_type: &'static str, body: Vec<u8>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { method: Method::POST, path: path.to_owned(), headers, body: body.into() }
    }
}

impl Fetch {
    /// Calls that end after `timeout`, dialling included.
    #[must_use]
    pub fn new(dialer: Arc<dyn Dial>, timeout: Duration) -> Self {
        Self { dialer, timeout, tasks: TaskTracker::new() }
    }

    /// `GET /members`: who belongs to the cluster that listens at `url`.
    ///
    /// # Errors
    /// The call failed, or the answer does not name a cluster and at least one member.
    pub async fn members(&self, url: &PeerUrl) -> Result<ClusterInfo, CallError> {
        let (answer, body) = self.ask(url, Question::get("/members")).await?;
        let members = members_from_json(&accept(&answer, &body)?)
            .map_err(|_| CallError::Malformed("a list of members"))?;
        let cluster = headers::parse_member(headers::text(&answer.headers, &headers::CLUSTER_ID));
        let cluster = cluster.ok_or(CallError::Malformed("marked with a cluster id"))?;
        if members.is_empty() {
            return Err(CallError::Malformed("a list with members"));
        }
        Ok(ClusterInfo { cluster: ClusterId(cluster.0), members })
    }

    /// `GET /version`: what the member at `url` runs.
    ///
    /// # Errors
    /// The call failed, or the answer is no version.
    pub async fn version(&self, url: &PeerUrl) -> Result<VersionInfo, CallError> {
        let (answer, body) = self.ask(url, Question::get("/version")).await?;
        serde_json::from_slice(&accept(&answer, &body)?)
            .map_err(|_| CallError::Malformed("a version"))
    }

    /// `GET /downgrade/enabled`: whether the cluster is being downgraded.
    ///
    /// # Errors
    /// The call failed, or the answer is neither `true` nor `false`.
    pub async fn downgrade_enabled(&self, url: &PeerUrl) -> Result<bool, CallError> {
        let (answer, body) = self.ask(url, Question::get("/downgrade/enabled")).await?;
        let body = accept(&answer, &body)?;
        let text = std::str::from_utf8(&body).unwrap_or_default().trim();
        text.parse().map_err(|_| CallError::Malformed("true or false"))
    }

    /// `GET /members/hashkv`: the hash of the member's key space at a revision, 0 for its
    /// newest.
    ///
    /// # Errors
    /// The call failed, or the member has no such revision.
    pub async fn hash_kv(
        &self,
        url: &PeerUrl,
        cluster: ClusterId,
        revision: i64,
    ) -> Result<HashKv, FetchError<HashKvRefused>> {
        let mut question = Question::get("/members/hashkv");
        question.headers.insert(headers::CLUSTER_ID, headers::value(&cluster));
        question.body = hash_kv_request_to_json(revision).into();
        let (answer, body) = self.ask(url, question).await?;
        if answer.status == StatusCode::BAD_REQUEST {
            let text = String::from_utf8_lossy(&body);
            let known = [HashKvRefused::Compacted, HashKvRefused::Future];
            let told = known.into_iter().find(|known| text.contains(&known.to_string()));
            return Err(FetchError::Refused(
                told.unwrap_or_else(|| HashKvRefused::Other(text.trim_end().to_owned())),
            ));
        }
        if answer.status == StatusCode::PRECONDITION_FAILED {
            return Err(CallError::ClusterMismatch.into());
        }
        let body = accept(&answer, &body)?;
        Ok(hash_kv_from_json(&body).map_err(|_| CallError::Malformed("a hash"))?)
    }

    /// `GET /drystone/digest`: the marks that the member has of `revisions`, 256 at most.
    ///
    /// # Errors
    /// The call failed, or the member is none of Drystone's.
    pub async fn digests(
        &self,
        url: &PeerUrl,
        cluster: ClusterId,
        revisions: &[i64],
    ) -> Result<Vec<DigestMark>, CallError> {
        let mut question = Question::get("/drystone/digest");
        question.headers.insert(headers::CLUSTER_ID, headers::value(&cluster));
        question.body = to_json(&DigestRequest { revisions: revisions.to_vec() }).into();
        let (answer, body) = self.ask(url, question).await?;
        let answer: DigestAnswer = serde_json::from_slice(&accept(&answer, &body)?)
            .map_err(|_| CallError::Malformed("a list of digests"))?;
        Ok(answer.marks)
    }

    /// The same, with another time for each call.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// `POST /leases`: renews a lease on the leader.
    ///
    /// # Errors
    /// The call failed, or the leader did not renew it.
    pub async fn lease_keep_alive(
        &self,
        url: &PeerUrl,
        request: LeaseKeepAliveRequest,
    ) -> Result<LeaseKeepAliveResponse, FetchError<LeaseRefused>> {
        let body = self.ask_lease(url, "/leases", request.encode_to_vec()).await?;
        let answer = LeaseKeepAliveResponse::decode(body);
        Ok(answer.map_err(|_| CallError::Malformed("a renewed lease"))?)
    }

    /// `POST /leases/internal`: reads a lease on the leader.
    ///
    /// # Errors
    /// The call failed, or the leader has no such lease.
    pub async fn lease_time_to_live(
        &self,
        url: &PeerUrl,
        request: LeaseTimeToLiveRequest,
    ) -> Result<LeaseTimeToLiveResponse, FetchError<LeaseRefused>> {
        let request = LeaseInternalRequest { lease_time_to_live_request: Some(request) };
        let body = self.ask_lease(url, "/leases/internal", request.encode_to_vec()).await?;
        let answer = LeaseInternalResponse::decode(body).ok();
        let answer = answer.and_then(|answer| answer.lease_time_to_live_response);
        Ok(answer.ok_or(CallError::Malformed("a lease"))?)
    }

    /// `POST /members/promote/<id>`: has the leader promote a learner for a client.
    ///
    /// # Errors
    /// The call failed, or the leader did not promote it.
    pub async fn promote_member(
        &self,
        url: &PeerUrl,
        id: MemberId,
        caller: &PassedOn,
    ) -> Result<Vec<MemberInfo>, FetchError<PromoteRefused>> {
        let path = format!("/members/promote/{}", id.0);
        let body = caller.common_name.as_deref().map(common_name_to_json).unwrap_or_default();
        let mut question = Question::post(&path, "application/json", body.into());
        if let Some(token) = caller.token.as_deref() {
            let mut token = HeaderValue::from_str(token)
                .map_err(|_| CallError::Malformed("reached with such a token"))?;
            token.set_sensitive(true);
            question.headers.insert(AUTHORIZATION, token);
        }
        let (answer, body) = self.ask(url, question).await?;
        let told = String::from_utf8_lossy(&body);
        let known = [PromoteRefused::NotLearner, PromoteRefused::NotReady];
        match answer.status {
            StatusCode::NOT_FOUND => Err(FetchError::Refused(PromoteRefused::NotFound)),
            StatusCode::PRECONDITION_FAILED => Err(FetchError::Refused(
                known
                    .into_iter()
                    .find(|known| told.contains(&known.to_string()))
                    .unwrap_or_else(|| PromoteRefused::Other(told.trim_end().to_owned())),
            )),
            _ => {
                let body = accept(&answer, &body)?;
                let members = members_from_json(&body);
                Ok(members.map_err(|_| CallError::Malformed("a list of members"))?)
            }
        }
    }

    /// `POST /drystone/members/replace`: has the leader put a new learner in the place of a
    /// member that lost its data. May be repeated.
    ///
    /// # Errors
    /// The call failed, or the member refused.
    pub async fn replace_member(
        &self,
        url: &PeerUrl,
        cluster: ClusterId,
        replacement: &Replacement,
    ) -> Result<Vec<MemberInfo>, FetchError<ReplaceRefused>> {
        let body = replacement_to_json(replacement).into();
        let question = Question::post("/drystone/members/replace", "application/json", body);
        self.ask_own(url, cluster, question).await
    }

    /// `POST /drystone/members/promote/<id>`: has the leader promote a learner that took such a
    /// place.
    ///
    /// # Errors
    /// The call failed, or the member refused; before it has caught up, too.
    pub async fn promote_replacement(
        &self,
        url: &PeerUrl,
        cluster: ClusterId,
        id: MemberId,
    ) -> Result<Vec<MemberInfo>, FetchError<ReplaceRefused>> {
        let path = format!("/drystone/members/promote/{id}");
        let question = Question::post(&path, "application/json", Vec::new());
        self.ask_own(url, cluster, question).await
    }

    async fn ask_own(
        &self,
        url: &PeerUrl,
        cluster: ClusterId,
        mut question: Question,
    ) -> Result<Vec<MemberInfo>, FetchError<ReplaceRefused>> {
        question.headers.insert(headers::CLUSTER_ID, headers::value(&cluster));
        let (answer, body) = self.ask(url, question).await?;
        let told = || String::from_utf8_lossy(&body[..body.len().min(1024)]).trim_end().to_owned();
        let refused = match answer.status {
            StatusCode::MISDIRECTED_REQUEST => ReplaceRefused::NotLeader,
            StatusCode::SERVICE_UNAVAILABLE => ReplaceRefused::Later(told()),
            StatusCode::CONFLICT => ReplaceRefused::Never(told()),
            StatusCode::PRECONDITION_FAILED => return Err(CallError::ClusterMismatch.into()),
            _ => {
                let members = members_from_json(&accept(&answer, &body)?);
                return Ok(members.map_err(|_| CallError::Malformed("a list of members"))?);
            }
        };
        Err(FetchError::Refused(refused))
    }

    async fn ask_lease(
        &self,
        url: &PeerUrl,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Bytes, FetchError<LeaseRefused>> {
        let question = Question::post(path, "application/protobuf", body);
        let (answer, body) = self.ask(url, question).await?;
        let other = || LeaseRefused::Other(String::from_utf8_lossy(&body).trim_end().to_owned());
        match answer.status {
            StatusCode::OK => Ok(body),
            StatusCode::NOT_FOUND => Err(FetchError::Refused(LeaseRefused::NotFound)),
            StatusCode::REQUEST_TIMEOUT => Err(FetchError::Refused(LeaseRefused::ApplyTimeout)),
            _ => Err(FetchError::Refused(other())),
        }
    }

    async fn ask(
        &self,
        url: &PeerUrl,
        question: Question,
    ) -> Result<(http::response::Parts, Bytes), CallError> {
        let after = self.timeout;
        let limits = Limits { dial: after, read: after, write: after };
        let ask = async {
            let Question { method, path, headers, body } = question;
            let dialer = &*self.dialer;
            let mut connection = Connection::open(dialer, url, limits, &self.tasks).await?;
            let bytes = body.len();
            let body = if body.is_empty() { empty() } else { full(body) };
            let answer: Response<Incoming> =
                connection.send(method, &path, headers, body, bytes).await?;
            let (head, body) = answer.into_parts();
            let answer = Response::from_parts(head.clone(), body);
            Ok((head, connection.body(answer, ANSWER_BYTES_MAX).await?))
        };
        timeout(after, ask).await.map_err(|_| CallError::ReadTimeout { after })?
    }
}

/// The body of an answer that went well.
fn accept(head: &http::response::Parts, body: &Bytes) -> Result<Bytes, CallError> {
    if head.status == StatusCode::OK {
        return Ok(body.clone());
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(1024)]).trim_end().to_owned();
    Err(CallError::Status { status: head.status.as_u16(), text })
}
