//! Watch streams on the wire: what they are told leaves in pieces that are made as the
//! connection takes them.
//!
//! A response with history can be megabytes, and its events lie encoded in the hub, where all
//! streams share them. A stream whose client takes nothing keeps one piece of its own, and one
//! on which nothing happens no buffer at all. Short responses that are ready together leave
//! together.

use super::{Responses, WatchService};
use crate::pieces::{FRAME_HEADER_BYTES, Pieces, frame, well};
use bytes::{Bytes, BytesMut};
use drystone_api::raw::WatchResponse;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body as HttpBody, Frame};
use prost::Message as _;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{BufferSettings, Streaming};
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic_prost::ProstDecoder;
use tower::Service;

const WATCH: &str = "/etcdserverpb.Watch/Watch";
/// Bytes of short responses that leave together, about; a longer one leaves in pieces.
const TOGETHER_BYTES: usize = 32 << 10;
/// Bytes in which requests are gathered at first. They are few and short, and streams are many.
const REQUEST_BYTES: usize = 512;

/// `etcdserverpb.Watch` as gRPC.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    watches: WatchService,
    request_bytes_max: usize,
}

impl Wire {
    /// `request_bytes_max` bounds a request as the transport bounds all others.
    pub(crate) fn new(watches: WatchService, request_bytes_max: usize) -> Self {
        Self { watches, request_bytes_max }
    }

    async fn open(self, request: Request<Body>) -> Result<Responses, Status> {
        if request.uri().path() != WATCH {
            return Err(Status::unimplemented(""));
        }
        let (parts, body) = request.into_parts();
        if let Some(encoding) = parts.headers.get("grpc-encoding")
            && encoding != "identity"
        {
            let encoding = String::from_utf8_lossy(encoding.as_bytes()).into_owned();
            return Err(Status::unimplemented(format!(
                "Content is compressed with `{encoding}` which isn't supported"
            )));
        }
        let decoder = ProstDecoder::new(BufferSettings::new(REQUEST_BYTES, TOGETHER_BYTES));
        let requests = Streaming::new_request(decoder, body, None, Some(self.request_bytes_max));
        let metadata = MetadataMap::from_headers(parts.headers);
        self.watches.open(tonic::Request::from_parts(metadata, parts.extensions, requests)).await
    }
}

impl NamedService for Wire {
    const NAME: &'static str = "etcdserverpb.Watch";
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Service<Request<Body>> for Wire {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let opening = self.clone().open(request);
        Box::pin(async move {
            Ok(opening.await.map_or_else(Status::into_http, |responses| {
                let mut response = Response::new(Body::new(Told::new(responses)));
                let grpc = HeaderValue::from_static("application/grpc");
                response.headers_mut().insert(header::CONTENT_TYPE, grpc);
                response
            }))
        })
    }
}

/// What a stream is told, as the body of an answer.
struct Told {
    /// Until they ended.
    responses: Option<Responses>,
    /// Responses that leave together.
    short: BytesMut,
    /// The response that follows them, as far as it has not left.
    long: Option<Pieces>,
    /// How it ended.
    trailers: Option<Result<HeaderMap, Status>>,
}

impl Told {
    fn new(responses: Responses) -> Self {
        Self { responses: Some(responses), short: BytesMut::new(), long: None, trailers: None }
    }

    /// Takes the next response.
    fn take(&mut self, response: WatchResponse) -> Result<(), Status> {
        let bytes: usize = response.events.iter().map(Bytes::len).sum();
        if bytes >= TOGETHER_BYTES {
            self.long = Some(Pieces::of_events(response)?);
            return Ok(());
        }
        let length = response.encoded_len();
        self.short.reserve(FRAME_HEADER_BYTES + length);
        frame(length, &mut self.short)?;
        response.encode_raw(&mut self.short);
        Ok(())
    }

    fn end(&mut self, outcome: Result<(), Status>) {
        self.responses = None;
        self.trailers = Some(outcome.map_or_else(
            |status| {
                let mut trailers = HeaderMap::new();
                status.add_header(&mut trailers).map(|()| trailers)
            },
            |()| Ok(well()),
        ));
    }
}

impl HttpBody for Told {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            let is_full = self.short.len() >= TOGETHER_BYTES || self.long.is_some();
            let next = match &mut self.responses {
                Some(responses) if !is_full => responses.as_mut().poll_next(context),
                _ => Poll::Pending,
            };
            match next {
                Poll::Ready(Some(Ok(response))) => {
                    if let Err(status) = self.take(response) {
                        self.end(Err(status));
                    }
                }
                Poll::Ready(Some(Err(status))) => self.end(Err(status)),
                Poll::Ready(None) => self.end(Ok(())),
                Poll::Pending if !self.short.is_empty() => {
                    // Its memory goes with it.
                    let short = std::mem::take(&mut self.short).freeze();
                    return Poll::Ready(Some(Ok(Frame::data(short))));
                }
                Poll::Pending if self.long.is_some() => {
                    if let Some(piece) = self.long.as_mut().and_then(Pieces::next_piece) {
                        return Poll::Ready(Some(Ok(Frame::data(piece))));
                    }
                    self.long = None;
                }
                Poll::Pending if self.responses.is_some() => return Poll::Pending,
                Poll::Pending => {
                    let trailers = self.trailers.take();
                    return Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.responses.is_none() && self.short.is_empty() && self.trailers.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drystone_api::errors::EtcdError;
    use http_body_util::BodyExt as _;
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::UnboundedReceiverStream;
    use tonic::Code;

    fn response(watch_id: i64, events: &[usize]) -> WatchResponse {
        let events = events.iter().map(|bytes| Bytes::from(vec![0x5a; *bytes])).collect();
        WatchResponse { watch_id, events, ..Default::default() }
    }

    fn framed(responses: &[WatchResponse]) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        for response in responses {
            frame(response.encoded_len(), &mut bytes).unwrap();
            bytes.extend(response.encode_to_vec());
        }
        bytes.into()
    }

    type Say = mpsc::UnboundedSender<Result<WatchResponse, Status>>;

    fn told() -> (Say, Told) {
        let (say, hear) = mpsc::unbounded_channel();
        (say, Told::new(Box::pin(UnboundedReceiverStream::new(hear))))
    }

    #[tokio::test]
    async fn what_leaves_is_what_was_said_whatever_its_size() {
        let all = [
            response(1, &[]),
            response(2, &[100]),
            response(3, &[1_000; 1_000]),
            response(4, &[100; 10]),
            response(5, &[3 << 20, 10, TOGETHER_BYTES]),
            response(6, &[TOGETHER_BYTES - 1]),
            response(7, &[10]),
        ];
        let (say, mut told) = told();
        for response in &all {
            say.send(Ok(response.clone())).unwrap();
        }
        drop(say);
        let mut heard = Vec::new();
        let mut longest_made = 0;
        while let Some(frame) = told.frame().await {
            match frame.unwrap().into_data() {
                Ok(data) => {
                    heard.extend_from_slice(&data);
                    if data.len() < 3 << 20 {
                        longest_made = longest_made.max(data.len());
                    }
                }
                Err(frame) => {
                    assert_eq!(frame.into_trailers().unwrap()["grpc-status"], "0");
                    assert!(told.is_end_stream());
                }
            }
        }
        assert!(heard == framed(&all));
        assert!(longest_made < 3 * TOGETHER_BYTES, "a frame of {longest_made} bytes");
    }

    #[tokio::test]
    async fn short_responses_that_are_ready_leave_together_and_nothing_is_kept_for_more() {
        let (say, mut told) = told();
        let all: Vec<WatchResponse> = (0..100).map(|id| response(id, &[20])).collect();
        for response in &all {
            say.send(Ok(response.clone())).unwrap();
        }
        let data = told.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(data == framed(&all));
        assert_eq!(told.short.capacity(), 0);
        let waits = futures::poll!(told.frame());
        assert!(waits.is_pending());
        say.send(Ok(response(7, &[1]))).unwrap();
        let data = told.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(data == framed(&[response(7, &[1])]));
    }

    #[tokio::test]
    async fn a_stream_that_breaks_says_why_after_what_it_said_before() {
        let (say, mut told) = told();
        say.send(Ok(response(1, &[5]))).unwrap();
        say.send(Err(EtcdError::NoLeader.into())).unwrap();
        let data = told.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(data == framed(&[response(1, &[5])]));
        let trailers = told.frame().await.unwrap().unwrap().into_trailers().unwrap();
        let status = Status::from_header_map(&trailers).unwrap();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "etcdserver: no leader"));
        assert!(told.frame().await.is_none());
    }
}
