//! `/debug/pprof`: where the process spends its time and its memory, for a person who looks.
//!
//! The paths are those of Go programs, so that `go tool pprof http://HOST/debug/pprof/profile`
//! works. What only Go's runtime can tell (goroutines, its traces) is not there. A profile tells
//! names of functions and threads, and no key and no value.

mod cpu;
mod heap;
mod page;

pub use heap::tell_of_allocator;

use super::answers;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use std::os::unix::ffi::OsStrExt as _;
use tonic::body::Body;

/// What its paths begin with.
pub(crate) const PREFIX: &str = "/debug/pprof/";
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// By this `go tool pprof` knows that a refusal is the server's own.
const OF_PPROF: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-go-pprof"), HeaderValue::from_static("1"));

/// Answers on a path that begins with [`PREFIX`]. As with Go, any method will do.
pub(crate) async fn answer(head: &Parts) -> Response<Body> {
    match head.uri.path().strip_prefix(PREFIX).unwrap_or_default() {
        "" => page::index(),
        "cmdline" => {
            let words: Vec<_> = std::env::args_os().collect();
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            answers::text(StatusCode::OK, words.join(&0))
        }
        "heap" => heap::answer().await,
        "profile" => cpu::answer(head.uri.query().unwrap_or_default()).await,
        _ => refusal(StatusCode::NOT_FOUND, "Unknown profile"),
    }
}

/// A file for the caller to keep.
fn download(disposition: HeaderValue, bytes: Vec<u8>) -> Response<Body> {
    let mut answer = answers::text(StatusCode::OK, bytes);
    answer.headers_mut().insert(CONTENT_TYPE, BINARY);
    answer.headers_mut().insert(CONTENT_DISPOSITION, disposition);
    answer
}

fn refusal(status: StatusCode, text: &str) -> Response<Body> {
    let mut answer = answers::text(status, format!("{text}\n"));
    answer.headers_mut().insert(OF_PPROF.0, OF_PPROF.1);
    answer
}
