//! `KV.Range` without a buffer as large as its answer.
//!
//! A list of all keys can be hundreds of megabytes. The pairs of an answer lie encoded in the
//! store's cache already; gathering them in one more buffer would cost as much memory again,
//! and its pages. gRPC lets a message span any number of HTTP/2 frames, so the answer leaves in
//! pieces that are made as the connection takes them. The bytes are those that the plain
//! service would send.

use crate::kv::KvService;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use drystone_api::etcdserverpb::RangeRequest;
use drystone_api::limits::RESPONSE_BYTES_MAX;
use drystone_api::raw::{self, kv_server::Kv};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Service;

/// The call that is served here.
const PATH: &str = "/etcdserverpb.KV/Range";
/// gRPC's frame: a flag for compression and the length.
const FRAME_HEADER_BYTES: usize = 5;
/// Bytes of one piece, about.
const PIECE_BYTES: usize = 64 << 10;
/// From this size on a pair is handed on as it lies instead of being copied into a piece.
const SHARE_BYTES: usize = 16 << 10;
/// The key of `RangeResponse.kvs`: field 2, length-delimited.
const KVS_KEY: u8 = 2 << 3 | 2;

/// Serves `Range` itself and leaves all other calls of KV to the service inside.
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
        if request.uri().path() != PATH {
            return Box::pin(self.inner.call(request));
        }
        let kv = self.kv.clone();
        let bytes_max = self.request_bytes_max;
        Box::pin(async move {
            let answer = match read_request(request.into_body(), bytes_max).await {
                Ok(request) => kv.range(tonic::Request::new(request)).await,
                Err(status) => Err(status),
            };
            Ok(match answer.and_then(|answer| Pieces::new(answer.into_inner())) {
                Ok(pieces) => {
                    let mut response = Response::new(Body::new(pieces));
                    let grpc = HeaderValue::from_static("application/grpc");
                    response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
                    response
                }
                Err(status) => status.into_http(),
            })
        })
    }
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

/// An answer on its way out.
#[derive(Debug)]
struct Pieces {
    /// The frame's header and the response's, until the first piece is made.
    head: Option<Bytes>,
    kvs: std::vec::IntoIter<Bytes>,
    /// A large pair that follows the piece made last.
    shared: Option<Bytes>,
    /// What comes after the pairs.
    tail: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Pieces {
    fn new(response: raw::RangeResponse) -> Result<Self, Status> {
        let raw::RangeResponse { header, kvs, more, count } = response;
        let before = raw::RangeResponse { header, ..Default::default() };
        let after = raw::RangeResponse { more, count, ..Default::default() };
        let (before_bytes, after_bytes) = (before.encoded_len(), after.encoded_len());
        let pairs: usize =
            kvs.iter().map(|kv| 1 + encoded_len_varint(kv.len() as u64) + kv.len()).sum();
        let length = before_bytes + pairs + after_bytes;
        let too_large = || {
            Status::resource_exhausted(format!(
                "grpc: trying to send message larger than max ({length} vs. {RESPONSE_BYTES_MAX})"
            ))
        };
        let framed = u32::try_from(length).map_err(|_| too_large())?;
        if length > RESPONSE_BYTES_MAX {
            return Err(too_large());
        }
        let mut head = BytesMut::with_capacity(FRAME_HEADER_BYTES + before_bytes);
        head.put_u8(0);
        head.put_u32(framed);
        before.encode_raw(&mut head);
        let tail = (after_bytes > 0).then(|| after.encode_to_vec().into());
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        debug_assert_eq!(Code::Ok as i32, 0);
        Ok(Self {
            head: Some(head.freeze()),
            kvs: kvs.into_iter(),
            shared: None,
            tail,
            trailers: Some(trailers),
        })
    }

    /// The next piece of the message; `None` when all of it was handed out.
    fn next_piece(&mut self) -> Option<Bytes> {
        if let Some(shared) = self.shared.take() {
            return Some(shared);
        }
        if self.head.is_none() && self.kvs.len() == 0 {
            return self.tail.take();
        }
        let room = if self.kvs.len() > 1 { PIECE_BYTES } else { 512 };
        let mut piece = BytesMut::with_capacity(room);
        if let Some(head) = self.head.take() {
            piece.extend_from_slice(&head);
        }
        while piece.len() < PIECE_BYTES {
            let Some(kv) = self.kvs.next() else { break };
            piece.put_u8(KVS_KEY);
            encode_varint(kv.len() as u64, &mut piece);
            if kv.len() >= SHARE_BYTES {
                self.shared = Some(kv);
                return Some(piece.freeze());
            }
            piece.extend_from_slice(&kv);
        }
        if self.kvs.len() == 0
            && let Some(tail) = self.tail.take()
        {
            piece.extend_from_slice(&tail);
        }
        Some(piece.freeze())
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(piece) = self.next_piece() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drystone_api::etcdserverpb::ResponseHeader;

    fn sent(response: raw::RangeResponse) -> Vec<u8> {
        let mut pieces = Pieces::new(response).unwrap();
        let mut sent = Vec::new();
        while let Some(piece) = pieces.next_piece() {
            assert!(!piece.is_empty());
            sent.extend_from_slice(&piece);
        }
        sent
    }

    #[test]
    fn the_pieces_are_the_message() {
        let header = Some(ResponseHeader { revision: 7, cluster_id: 9, ..Default::default() });
        for sizes in [
            vec![],
            vec![0],
            vec![3; 5],
            vec![1000; 1000],
            vec![SHARE_BYTES, 1, SHARE_BYTES * 9, SHARE_BYTES - 1],
            vec![1, PIECE_BYTES * 3],
        ] {
            for (more, count, header) in [(false, 0, None), (true, 12, header)] {
                let kvs: Vec<Bytes> =
                    sizes.iter().map(|size| Bytes::from(vec![0x5a; *size])).collect();
                let response = raw::RangeResponse { header, kvs, more, count };
                let mut whole = vec![0];
                whole.extend(u32::try_from(response.encoded_len()).unwrap().to_be_bytes());
                whole.extend(response.encode_to_vec());
                assert!(sent(response) == whole, "{} pairs", sizes.len());
            }
        }
    }

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
