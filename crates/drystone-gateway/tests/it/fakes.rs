//! Services that answer what a test wants to see, and how to ask them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use bytes::Bytes;
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::watch_request::RequestUnion;
use drystone_api::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use drystone_gateway::{Config, Gateway};
use futures::stream::{self, BoxStream, StreamExt};
use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use tower::Service;

/// Bytes that a message may have, to these services.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1024;

/// A lock is answered with its name, or with the metadata whose name it has. An unlock is
/// refused with the code that its key is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fake;

#[tonic::async_trait]
impl drystone_api::v3lockpb::lock_server::Lock for Fake {
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        let name = std::str::from_utf8(&request.get_ref().name).unwrap().to_owned();
        if name == "never" {
            return std::future::pending().await;
        }
        if name == "large" {
            let key = Bytes::from(vec![0; drystone_gateway::ANSWER_BYTES_MAX]);
            return Ok(Response::new(LockResponse { key, ..Default::default() }));
        }
        let mut all = request.metadata().get_all(name.as_str()).iter().peekable();
        let key = if all.peek().is_some() {
            let texts: Vec<_> = all.map(|value| value.to_str().unwrap()).collect();
            texts.join(",").into()
        } else {
            request.into_inner().name
        };
        let mut answer = Response::new(LockResponse { key, ..Default::default() });
        answer.metadata_mut().insert("more", "of <it>".parse().unwrap());
        Ok(answer)
    }

    async fn unlock(
        &self,
        request: Request<UnlockRequest>,
    ) -> Result<Response<UnlockResponse>, Status> {
        let code: i32 = std::str::from_utf8(&request.get_ref().key).unwrap().parse().unwrap();
        Err(Status::new(Code::from(code), "a <refusal>"))
    }
}

/// Each creation is answered with its key as the reason, each cancellation ends the stream with
/// a refusal, and so does a progress request before anything was answered. When the requests
/// end, the answers stay open.
#[tonic::async_trait]
impl pb::watch_server::Watch for Fake {
    type WatchStream = BoxStream<'static, Result<pb::WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<tonic::Streaming<pb::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let answers = request.into_inner().filter_map(|request| async {
            match request.ok()?.request_union? {
                RequestUnion::CreateRequest(create) => Some(Ok(pb::WatchResponse {
                    created: true,
                    cancel_reason: String::from_utf8(create.key.to_vec()).unwrap(),
                    ..Default::default()
                })),
                _ => Some(Err(Status::out_of_range("no more"))),
            }
        });
        Ok(Response::new(answers.chain(stream::pending()).boxed()))
    }
}

/// A gateway in front of all of them.
pub(crate) fn gateway() -> Gateway<Routes> {
    let routes = Routes::new(drystone_api::v3lockpb::lock_server::LockServer::new(Fake))
        .add_service(pb::watch_server::WatchServer::new(Fake));
    Gateway::new(routes, Config { message_bytes_max: MESSAGE_BYTES_MAX })
}

/// Sends a request whose body is known.
pub(crate) async fn ask(request: http::request::Builder, body: &[u8]) -> http::Response<Body> {
    let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
    gateway().call(request).await.unwrap()
}

/// Status, type and text of an answer that ends.
pub(crate) async fn read(answer: http::Response<Body>) -> (u16, Option<String>, String) {
    let status = answer.status().as_u16();
    let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}
