//! Calls from their first byte to their last: counted, timed, and told of to whoever asked.
//!
//! One wrapper stands around everything that may refuse a call. It looks at the bytes that go by
//! and keeps little of them; what that means is worked out only for calls that are told of.

mod access;
mod answer;
mod content;
mod frames;
mod record;
mod spans;
mod stats;

pub(crate) use access::AccessLog;
pub(crate) use frames::Seen;
pub(crate) use record::Record;
pub(crate) use spans::Spans;

use crate::config::Config;
use crate::metrics::{CANCELED, CODES, Calls, UNKNOWN};
use answer::Answered;
use anyhow::Context as _;
use bytes::Bytes;
use frames::Frames;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use spans::CallSpan;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};
use std::time::Duration;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Who hears of calls.
#[derive(Debug)]
pub(crate) struct Hearers {
    pub(crate) calls: Arc<Calls>,
    /// How long a unary call may take before the log warns of it.
    pub(crate) slow: Duration,
    pub(crate) access: Option<AccessLog>,
    pub(crate) spans: Option<Spans>,
}

impl Hearers {
    /// All that the flags ask for.
    ///
    /// # Errors
    /// The access log or the way to the collector of traces cannot be opened.
    pub(crate) fn open(config: &Config, calls: Arc<Calls>) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            calls,
            slow: config.warning_unary_request_duration,
            access: AccessLog::open(config).context("--drystone-access-log")?,
            spans: config.tracing.as_ref().map(Spans::open).transpose()?,
        }))
    }

    /// Waits until what was told is written and sent, but not for long. Blocks.
    pub(crate) fn close(&self) {
        if let Some(access) = &self.access {
            access.flush();
        }
        if let Some(spans) = &self.spans {
            spans.close();
        }
    }
}

/// Tells of all calls that come through. It belongs around everything that may refuse one.
#[derive(Clone, Debug)]
pub(crate) struct TellOfCalls(pub(crate) Arc<Hearers>);

impl<S> Layer<S> for TellOfCalls {
    type Service = Told<S>;

    fn layer(&self, inner: S) -> Told<S> {
        Told { inner, hearers: self.0.clone() }
    }
}

/// See [`TellOfCalls`].
#[derive(Clone, Debug)]
pub(crate) struct Told<S> {
    inner: S,
    hearers: Arc<Hearers>,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Told<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Answer {
        let Some(series) = self.hearers.calls.begin(request.uri().path(), request.headers()) else {
            return Box::pin(self.inner.call(request));
        };
        let asks_for_user = self.hearers.access.is_some();
        let record = Arc::new(Record::new(series, request.extensions(), asks_for_user));
        let spans = self.hearers.spans.as_ref();
        let span = spans.and_then(|spans| spans.begin(&record, request.headers()));
        request.extensions_mut().insert(record.clone());
        let end = End {
            hearers: self.hearers.clone(),
            record: record.clone(),
            answered: Answered::default(),
            took: None,
            span,
            is_told: false,
        };
        let request =
            request.map(|body| Body::new(Received { body, frames: Frames::default(), record }));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut end = end;
            let answer = answer.await?;
            end.took = Some(end.record.began.elapsed());
            if let Some(code) = code_in(answer.headers()) {
                end.tell(code);
                return Ok(answer);
            }
            Ok(answer.map(|body| Body::new(Sent { body, frames: Frames::default(), end })))
        })
    }
}

fn code_in(headers: &HeaderMap) -> Option<usize> {
    let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    Some(if code < CODES.len() { code } else { UNKNOWN })
}

/// Tells how a call ends, once; a call that is dropped before was given up by its caller.
struct End {
    hearers: Arc<Hearers>,
    record: Arc<Record>,
    answered: Answered,
    /// From when it came in until its answer stood.
    took: Option<Duration>,
    span: Option<Box<CallSpan>>,
    is_told: bool,
}

impl End {
    fn tell(&mut self, code: usize) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let record = &self.record;
        let took = self.took.unwrap_or_else(|| record.began.elapsed());
        record.series.ended(code, record.began);
        stats::tell_steps(record, took);
        stats::tell(record, &self.answered, took, self.hearers.slow);
        if let Some(access) = &self.hearers.access {
            access.tell(record, &self.answered, code);
        }
        if let (Some(spans), Some(span)) = (&self.hearers.spans, self.span.take()) {
            spans.end(*span, record, took, code);
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.tell(CANCELED);
    }
}

/// A request's body, of which what comes is counted and the beginning kept.
struct Received {
    body: Body,
    frames: Frames,
    record: Arc<Record>,
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let seen = self.frames.see(data);
            self.record.received(seen, data);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body, of which what goes is counted, and how it ends.
struct Sent {
    body: Body,
    frames: Frames,
    end: End,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let seen = self.frames.see(data);
                    self.end.record.series.sent(seen);
                    self.end.answered.see(seen, data);
                }
                if let Some(trailers) = frame.trailers_ref() {
                    self.end.tell(code_in(trailers).unwrap_or(UNKNOWN));
                }
            }
            Some(Err(_)) | None => self.end.tell(UNKNOWN),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
