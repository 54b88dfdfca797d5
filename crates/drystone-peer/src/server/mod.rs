//! The peer listener: which path is answered by whom.

mod cluster;
mod connection;
mod lease;
mod raft;
mod rejoin;
mod reply;

pub(crate) use connection::{serve, serve_connection};
pub(crate) use raft::deliver;

use crate::call::Body;
use crate::transport::Inner;
use http::{Request, Response};
use hyper::body::Incoming;
use std::sync::Arc;

pub(crate) type Answer = Response<Body>;

/// Answers one request. Etcd's paths and texts (`etcdhttp/peer.go`, `rafthttp/http.go`),
/// and Drystone's own below `/drystone/`. `is_proven`: see [`crate::Opened`].
pub(crate) async fn answer(
    transport: Arc<Inner>,
    request: Request<Incoming>,
    is_proven: bool,
) -> Answer {
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/raft" => raft::message(&transport, request).await,
        "/raft/snapshot" => raft::snapshot(&transport, request).await,
        "/raft/probing" => cluster::probing(),
        "/members" => cluster::members(&transport, &request),
        "/members/hashkv" => cluster::hash_kv(&transport, request).await,
        "/drystone/digest" => cluster::digest(&transport, request).await,
        "/version" => cluster::version(&transport, &request),
        "/downgrade/enabled" => cluster::downgrade_enabled(&transport, &request).await,
        "/drystone/members/replace" => rejoin::replace(&transport, request).await,
        "/leases" => lease::keep_alive(&transport, request).await,
        "/leases/internal" => lease::time_to_live(&transport, request).await,
        path => {
            if let Some(rest) = path.strip_prefix("/raft/stream/") {
                return raft::stream(&transport, &request, rest);
            }
            if let Some(id) = path.strip_prefix("/members/promote/") {
                let id = id.to_owned();
                return cluster::promote(&transport, request, &id, is_proven).await;
            }
            if let Some(id) = path.strip_prefix("/drystone/members/promote/") {
                return rejoin::promote(&transport, &request, id).await;
            }
            reply::not_found()
        }
    }
}
