//! `KV.Range` and `KV.RangeStream` without a buffer as large as their answers.
//!
//! A list of all keys can be hundreds of megabytes. gRPC lets a message span any number of
//! HTTP/2 frames, so an answer leaves in pieces that are made as the connection takes them:
//! from pairs that lie encoded in the store's cache already, or, where there are more than a
//! server should hold, from pages that are read as the list goes on. The bytes are those that
//! the plain service would send.

use crate::calls::Record;
use crate::kv::KvService;
use crate::long::Listed;
use crate::pieces::{FRAME_HEADER_BYTES, Pieces, of_chunks, of_long, well};
use bytes::{Buf, Bytes, BytesMut};
use drystone_api::etcdserverpb::RangeRequest;
use drystone_api::raw::kv_server::Kv;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, StreamBody};
use prost::Message;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tower::Service;

/// The calls that are served here.
const RANGE: &str = "/etcdserverpb.KV/Range";
const RANGE_STREAM: &str = "/etcdserverpb.KV/RangeStream";

/// Serves `Range` and `RangeStream` itself and leaves all other calls of KV to the service inside.
#[derive(Clone, Debug)]
pub(crate) struct PiecewiseRange<S> {
    inner: S,
    kv: KvService,
    request_bytes_max: usize,
}

impl<S> PiecewiseRange<S> {
    /// `request_bytes_max` bounds a request as the transport bounds all others.
    pub(crate) fn new(inner: S, kv: KvService, request_bytes_max: usize) -> Self {
        Self { inner, kv, request_bytes_max }
    }
}

impl<S: NamedService> NamedService for PiecewiseRange<S> {
    const NAME: &'static str = S::NAME;
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for PiecewiseRange<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let streams = match request.uri().path() {
            RANGE => false,
            RANGE_STREAM => true,
            _ => return Box::pin(self.inner.call(request)),
        };
        let kv = self.kv.clone();
        let bytes_max = self.request_bytes_max;
        Box::pin(async move {
            let answer = match typed(request, bytes_max).await {
                Ok(request) if streams => in_chunks(&kv, request).await,
                Ok(request) => at_once(&kv, request).await,
                Err(status) => Err(status),
            };
            Ok(answer.map_or_else(Status::into_http, |body| {
                let mut response = Response::new(body);
                let grpc = HeaderValue::from_static("application/grpc");
                response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
                response
            }))
        })
    }
}

async fn at_once(kv: &KvService, request: tonic::Request<RangeRequest>) -> Result<Body, Status> {
    let record = request.extensions().get::<Arc<Record>>().cloned();
    let listed = kv.list(request).await?;
    if let Some(record) = record {
        record.counted(listed.count());
    }
    Ok(match listed {
        Listed::Whole(response) => {
            let pieces = Pieces::of(response)?;
            Body::new(Whole { left: pieces.bytes(), pieces, trailers: Some(well()) })
        }
        Listed::Long(long) => Body::new(StreamBody::new(of_long(*long)?)),
    })
}

async fn in_chunks(kv: &KvService, request: tonic::Request<RangeRequest>) -> Result<Body, Status> {
    let chunks = kv.range_stream(request).await?.into_inner();
    Ok(Body::new(StreamBody::new(of_chunks(chunks))))
}

/// The request as the services know it, with what its sender said of himself.
async fn typed(
    request: Request<Body>,
    bytes_max: usize,
) -> Result<tonic::Request<RangeRequest>, Status> {
    let (parts, body) = request.into_parts();
    let message = read_request(body, bytes_max).await?;
    let metadata = MetadataMap::from_headers(parts.headers);
    Ok(tonic::Request::from_parts(metadata, parts.extensions, message))
}

/// Reads the one message of a request.
async fn read_request(mut body: Body, bytes_max: usize) -> Result<RangeRequest, Status> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        read.extend_from_slice(&data);
        if read.len() > FRAME_HEADER_BYTES + bytes_max {
            break;
        }
    }
    if read.len() < FRAME_HEADER_BYTES {
        return Err(Status::internal("Missing request message."));
    }
    let compressed = read.get_u8() != 0;
    let length = read.get_u32() as usize;
    if compressed {
        return Err(Status::unimplemented("compressed requests are not served"));
    }
    if length > bytes_max {
        return Err(Status::resource_exhausted(format!(
            "grpc: received message larger than max ({length} vs. {bytes_max})"
        )));
    }
    if read.len() < length {
        return Err(Status::internal("Unexpected EOF decoding stream."));
    }
    RangeRequest::decode(read.split_to(length).freeze())
        .map_err(|error| Status::internal(error.to_string()))
}

/// A message that is held as a whole.
#[derive(Debug)]
struct Whole {
    pieces: Pieces,
    /// Bytes of it that were not handed out.
    left: usize,
    trailers: Option<HeaderMap>,
}

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(piece) = self.pieces.next_piece() {
            self.left = self.left.saturating_sub(piece.len());
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // Not exact: that would become a header, which gRPC's answers do not have.
        let mut hint = SizeHint::new();
        hint.set_lower(self.left as u64);
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    #[tokio::test]
    async fn requests_are_read_whole_or_refused() {
        let frame = |flag: u8, length: u32, message: &[u8]| {
            let mut bytes = vec![flag];
            bytes.extend(length.to_be_bytes());
            bytes.extend(message);
            Body::new(http_body_util::Full::new(Bytes::from(bytes)))
        };
        let message = RangeRequest { key: "a".into(), ..Default::default() }.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap();
        let read = read_request(frame(0, length, &message), 100).await.unwrap();
        assert_eq!(read.key, "a");
        for (body, code) in [
            (frame(1, length, &message), Code::Unimplemented),
            (frame(0, 101, &[0; 101]), Code::ResourceExhausted),
            (frame(0, u32::MAX, &[0; 300]), Code::ResourceExhausted),
            (frame(0, 50, &message), Code::Internal),
            (frame(0, 2, &[0xff, 0xff]), Code::Internal),
            (Body::empty(), Code::Internal),
        ] {
            assert_eq!(read_request(body, 100).await.unwrap_err().code(), code);
        }
    }
}
