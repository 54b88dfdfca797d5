//! gRPC as pages in browsers can speak it: over HTTP/1 too, with trailers in the body.

use crate::clients::Grpc;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use tonic::body::Body;
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, ServiceExt as _};

/// How it names itself, in either of its forms.
const GRPC_WEB: &[u8] = b"application/grpc-web";

/// Whether a request says that it is gRPC-web.
pub(super) fn is_web(request: &Request<Body>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(GRPC_WEB))
}

/// Answers with the services that gRPC reaches, and with every bound that holds there.
pub(super) async fn answer(grpc: Grpc, request: Request<Body>) -> Response<Body> {
    let Ok(answer) = GrpcWebLayer::new().layer(grpc).oneshot(request).await;
    answer
}
