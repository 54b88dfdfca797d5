//! The service: from a request of HTTP to its answer.

use crate::body::{BODY_GROWTH, Values};
use crate::call::{self, Deadline, JSON, Requests};
use crate::decode::decode;
use crate::encode;
use crate::metadata;
use crate::routes::{self, Binding};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use http::header::{HOST, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Body as HttpBody;
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use prost_reflect::DynamicMessage;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::{Code, Status};
use tower::Service;

/// What a gateway is told once.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Bytes of the largest message that the gRPC service takes. A JSON value may be
    /// [`BODY_GROWTH`] times as long.
    pub message_bytes_max: usize,
}

/// Answers requests under `/v3/` with calls of a gRPC service. It needs a runtime of tokio with
/// its clock for requests with a deadline.
#[derive(Clone, Debug)]
pub struct Gateway<S> {
    grpc: S,
    config: Config,
}

impl<S> Gateway<S> {
    /// A gateway to `grpc`, which is cloned for each call.
    pub fn new(grpc: S, config: Config) -> Self {
        Self { grpc, config }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<S, B> Service<Request<B>> for Gateway<S>
where
    S: GrpcService<Body> + Clone + Send + 'static,
    S::Future: Send,
    S::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <S::ResponseBody as HttpBody>::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Each call waits for its own clone of the service.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let grpc = self.grpc.clone();
        let value_bytes_max = self.config.message_bytes_max.saturating_mul(BODY_GROWTH);
        Box::pin(async move {
            let path = percent_decode_str(request.uri().path()).decode_utf8_lossy();
            let Some(binding) = routes::find(&path) else {
                return Ok(refusal(&Status::not_found("Not Found")));
            };
            if request.method() != Method::POST {
                return Ok(refusal(&Status::unimplemented("Method Not Allowed")));
            }
            let answer = transcode(grpc, binding, request, value_bytes_max).await;
            Ok(answer.unwrap_or_else(|status| refusal(&status)))
        })
    }
}

async fn transcode<S, B>(
    grpc: S,
    binding: &'static Binding,
    request: Request<B>,
    value_bytes_max: usize,
) -> Result<Response<Body>, Status>
where
    S: GrpcService<Body>,
    S::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <S::ResponseBody as HttpBody>::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (parts, body) = request.into_parts();
    let named = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = named.or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
    let metadata = metadata::of_request(&parts.headers, host)?;
    let timeout = metadata::deadline(&parts.headers)?;
    let deadline = Deadline(timeout.and_then(|timeout| Instant::now().checked_add(timeout)));

    let mut values = Values::new(Box::pin(body), value_bytes_max);
    let requests = if binding.requests_stream {
        let first = next_request(binding, &mut values).await?;
        stream_of(binding, first, values)
    } else {
        let only = next_request(binding, &mut values).await?;
        // No body at all asks for what an empty object asks for.
        let only = only.unwrap_or_else(|| DynamicMessage::new(binding.input.clone()));
        stream::iter([only]).boxed()
    };
    let mut request = tonic::Request::from_parts(metadata, parts.extensions, requests);
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    call::call(grpc, binding, request, deadline).await
}

/// Requests as they come in behind the first. One that cannot be read ends them, as in etcd:
/// what has been asked for goes on.
fn stream_of<B>(
    binding: &'static Binding,
    first: Option<DynamicMessage>,
    values: Values<Pin<Box<B>>>,
) -> Requests
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let Some(first) = first else { return stream::empty().boxed() };
    let rest = stream::unfold(values, move |mut values| async move {
        let request = next_request(binding, &mut values).await.ok().flatten()?;
        Some((request, values))
    });
    stream::iter([first]).chain(rest).boxed()
}

async fn next_request<B>(
    binding: &'static Binding,
    values: &mut Values<Pin<Box<B>>>,
) -> Result<Option<DynamicMessage>, Status>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let Some(json) = values.next().await.map_err(|error| error.into_status())? else {
        return Ok(None);
    };
    let request = decode(&binding.input, &json);
    request.map(Some).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// A refusal that stands alone.
fn refusal(status: &Status) -> Response<Body> {
    let mut headers = HeaderMap::new();
    if status.code() == Code::Unauthenticated
        && let Ok(message) = HeaderValue::from_str(status.message())
    {
        headers.insert(WWW_AUTHENTICATE, message);
    }
    let json = Body::new(Full::new(Bytes::from(encode::error(status))));
    call::answer(encode::http_status(status.code()), headers, Some(JSON), json)
}
