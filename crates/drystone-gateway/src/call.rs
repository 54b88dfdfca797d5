//! One call of the gRPC service, from decoded requests to encoded answers.

use crate::codec::DynamicCodec;
use crate::encode;
use crate::metadata;
use crate::routes::Binding;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use http::header::CONTENT_TYPE;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use prost_reflect::DynamicMessage;
use std::convert::Infallible;
use std::future::Future;
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::client::{Grpc, GrpcService};
use tonic::{Code, Request, Status, Streaming};

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Bytes of the largest answer that is turned into JSON. It is held in memory as a whole, a few
/// times over, since JSON knows no pages; gRPC takes larger ones.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;
/// How tonic's refusal of a larger one begins.
const TOO_LARGE: &str = "Error, decoded message length too large";

/// Requests on their way to the service, which ends with the body.
pub(crate) type Requests = BoxStream<'static, DynamicMessage>;

/// Until when the caller waits, when it says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(pub(crate) Option<Instant>);

impl Deadline {
    async fn hold<T>(self, answer: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let late = || Status::deadline_exceeded("context deadline exceeded");
        match self.0 {
            None => answer.await,
            // Nothing is asked that nobody waits for.
            Some(instant) if instant <= Instant::now() => Err(late()),
            Some(instant) => timeout_at(instant, answer).await.unwrap_or_else(|_| Err(late())),
        }
    }
}

/// Calls the method and turns what comes back into an answer of HTTP. An error is a refusal that
/// stands alone.
pub(crate) async fn call<S>(
    grpc: S,
    binding: &'static Binding,
    request: Request<Requests>,
    deadline: Deadline,
) -> Result<Response<Body>, Status>
where
    S: GrpcService<Body>,
    S::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let opened = deadline.hold(open(grpc, binding, request)).await;
    if binding.answers_stream {
        lines(opened, deadline).await
    } else {
        single(opened?, deadline).await
    }
}

/// What a service has begun to answer.
struct Opened {
    headers: HeaderMap,
    answers: Streaming<DynamicMessage>,
}

async fn open<S>(
    grpc: S,
    binding: &'static Binding,
    request: Request<Requests>,
) -> Result<Opened, Status>
where
    S: GrpcService<Body>,
    S::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut client = Grpc::new(grpc).max_decoding_message_size(ANSWER_BYTES_MAX);
    client.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let codec = DynamicCodec { output: binding.output.clone() };
    let path = PathAndQuery::from_static(binding.method);
    let answer = client.streaming(request, path, codec).await?;
    let (metadata, answers, _) = answer.into_parts();
    Ok(Opened { headers: metadata::of_answer(metadata), answers })
}

/// The next message. One that is too large is refused with what to do.
async fn next(answers: &mut Streaming<DynamicMessage>) -> Result<Option<DynamicMessage>, Status> {
    answers.message().await.map_err(|status| {
        if status.code() != Code::OutOfRange || !status.message().starts_with(TOO_LARGE) {
            return status;
        }
        Status::resource_exhausted(format!(
            "the answer has more than {ANSWER_BYTES_MAX} bytes: ask for less at a time (`limit`), \
             or over gRPC"
        ))
    })
}

/// The answer of a unary call: its one message, once the service has said that it went well.
async fn single(mut opened: Opened, deadline: Deadline) -> Result<Response<Body>, Status> {
    let message = deadline.hold(next(&mut opened.answers)).await?;
    let message = message.ok_or_else(|| Status::internal("the service ended without an answer"))?;
    deadline.hold(next(&mut opened.answers)).await?;
    let json = Body::new(Full::new(Bytes::from(encode::message(&message))));
    Ok(answer(StatusCode::OK, opened.headers, Some(JSON), json))
}

/// The answer of a stream: a line for each message. Its status is known when the first message
/// is, or the refusal in its place.
async fn lines(
    opened: Result<Opened, Status>,
    deadline: Deadline,
) -> Result<Response<Body>, Status> {
    let refusal = |headers: HeaderMap, status: &Status| {
        let line = Body::new(Full::new(encode::error_line(status)));
        answer(encode::http_status(status.code()), headers, Some(JSON), line)
    };
    let Opened { headers, mut answers } = match opened {
        Ok(opened) => opened,
        Err(status) => return Ok(refusal(HeaderMap::new(), &status)),
    };
    match deadline.hold(next(&mut answers)).await {
        Err(status) => Ok(refusal(headers, &status)),
        // Go's library does not tell what it was told before nothing.
        Ok(None) => Ok(answer(StatusCode::OK, HeaderMap::new(), None, Body::empty())),
        Ok(Some(first)) => {
            let first = encode::result_line(&first);
            let lines = stream::iter([first]).chain(more_lines(answers, deadline));
            let frames = lines.map(|line| Ok::<_, Infallible>(Frame::data(line)));
            Ok(answer(StatusCode::OK, headers, Some(JSON), Body::new(StreamBody::new(frames))))
        }
    }
}

/// The lines behind the first. A refusal is the last.
fn more_lines(
    answers: Streaming<DynamicMessage>,
    deadline: Deadline,
) -> impl stream::Stream<Item = Bytes> + Send {
    stream::unfold(Some(answers), move |answers| async move {
        let mut answers = answers?;
        match deadline.hold(next(&mut answers)).await {
            Ok(Some(message)) => Some((encode::result_line(&message), Some(answers))),
            Ok(None) => None,
            Err(status) => Some((encode::error_line(&status), None)),
        }
    })
}

/// An answer of HTTP.
pub(crate) fn answer(
    status: StatusCode,
    headers: HeaderMap,
    content_type: Option<HeaderValue>,
    body: Body,
) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    if let Some(content_type) = content_type {
        answer.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    answer
}
