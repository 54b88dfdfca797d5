//! Deadlines that callers give their calls.
//!
//! tonic ends a call at its deadline too, but as cancelled. This answers before it does: its
//! timer starts first, and what it wraps is asked first.

use drystone_api::errors::EtcdError;
use futures::FutureExt;
use futures::future::{Either, Map};
use http::{HeaderMap, Request, Response};
use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::error::Elapsed;
use tokio::time::{Timeout, timeout};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Digits of a deadline, at most (gRPC over HTTP/2, "Timeout").
const DIGITS_MAX: usize = 8;

/// Answers calls that took longer than their callers wait, and drops them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deadlines;

impl<S> Layer<S> for Deadlines {
    type Service = Hurried<S>;

    fn layer(&self, inner: S) -> Hurried<S> {
        Hurried { inner }
    }
}

/// See [`Deadlines`].
#[derive(Clone, Debug)]
pub(crate) struct Hurried<S> {
    inner: S,
}

type Answer = Result<Response<Body>, Infallible>;

impl<S> Service<Request<Body>> for Hurried<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Map<Timeout<S::Future>, fn(Result<Answer, Elapsed>) -> Answer>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(limit) = limit(request.headers()) else {
            return Either::Left(self.inner.call(request));
        };
        let answer = timeout(limit, self.inner.call(request));
        Either::Right(answer.map(|answer| answer.unwrap_or_else(|_| Ok(too_late()))))
    }
}

fn too_late() -> Response<Body> {
    Status::from(EtcdError::ContextDeadlineExceeded).into_http()
}

/// How long the caller waits; `None` when it does not say so, or not so that it can be read.
fn limit(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (unit_at, unit) = text.char_indices().last()?;
    let digits = &text[..unit_at];
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    let count: u32 = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
    let unit = match unit {
        'H' => Duration::from_secs(3600),
        'M' => Duration::from_secs(60),
        'S' => Duration::from_secs(1),
        'm' => Duration::from_millis(1),
        'u' => Duration::from_micros(1),
        'n' => Duration::from_nanos(1),
        _ => return None,
    };
    Some(unit * count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn deadlines_are_read_as_grpc_writes_them() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_static(text));
            limit(&headers)
        };
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(read("2M"), Some(Duration::from_secs(120)));
        assert_eq!(read("3S"), Some(Duration::from_secs(3)));
        assert_eq!(read("4m"), Some(Duration::from_millis(4)));
        assert_eq!(read("5u"), Some(Duration::from_micros(5)));
        assert_eq!(read("0n"), Some(Duration::ZERO));
        for text in ["", "S", "123456789S", "1", "1s", "-1S", "+1S", "1.5S", " 1S", "1 S"] {
            assert_eq!(read(text), None, "{text:?}");
        }
        assert_eq!(limit(&HeaderMap::new()), None);
    }
}
