//! Lease calls that followers pass on to the leader (etcd's `leasehttp`).

use super::{Answer, reply};
use crate::call::collect;
use crate::transport::Inner;
use crate::{CallError, LeaseRefused};
use bytes::Bytes;
use drystone_api::etcdserverpb::LeaseKeepAliveRequest;
use drystone_api::leasepb::{LeaseInternalRequest, LeaseInternalResponse};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use prost::Message as _;
use std::sync::Arc;

/// Longest body that etcd 3.7.1 takes.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// `POST /leases`
pub(crate) async fn keep_alive(transport: &Arc<Inner>, request: Request<Incoming>) -> Answer {
    let body = match read(transport, request).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let Ok(request) = LeaseKeepAliveRequest::decode(body) else {
        return reply::text(StatusCode::BAD_REQUEST, "error unmarshalling request");
    };
    match transport.shared.handler.lease_keep_alive(request).await {
        Ok(answer) => reply::body("application/protobuf", answer.encode_to_vec()),
        Err(error) => refuse(&error, StatusCode::BAD_REQUEST),
    }
}

/// `POST /leases/internal`
pub(crate) async fn time_to_live(transport: &Arc<Inner>, request: Request<Incoming>) -> Answer {
    let body = match read(transport, request).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let request = LeaseInternalRequest::decode(body);
    let Some(request) = request.ok().and_then(|request| request.lease_time_to_live_request) else {
        return reply::text(StatusCode::BAD_REQUEST, "error unmarshalling request");
    };
    match transport.shared.handler.lease_time_to_live(request).await {
        Ok(answer) => {
            let answer = LeaseInternalResponse { lease_time_to_live_response: Some(answer) };
            reply::body("application/protobuf", answer.encode_to_vec())
        }
        Err(error) => refuse(&error, StatusCode::INTERNAL_SERVER_ERROR),
    }
}

async fn read(transport: &Inner, request: Request<Incoming>) -> Result<Bytes, Answer> {
    if let Some(refused) = reply::refuse_lease_method(&request) {
        return Err(refused);
    }
    let pause_max = transport.shared.config.read_timeout;
    collect(request.into_body(), REQUEST_BYTES_MAX, pause_max).await.map_err(|error| {
        reply::closing(match error {
            CallError::TooLong { .. } => {
                reply::text(StatusCode::PAYLOAD_TOO_LARGE, "request body too large")
            }
            _ => reply::text(StatusCode::BAD_REQUEST, "error reading body"),
        })
    })
}

fn refuse(error: &LeaseRefused, other: StatusCode) -> Answer {
    let status = match error {
        LeaseRefused::NotFound => StatusCode::NOT_FOUND,
        LeaseRefused::ApplyTimeout => StatusCode::REQUEST_TIMEOUT,
        LeaseRefused::Other(_) => other,
    };
    reply::text(status, &error.to_string())
}
