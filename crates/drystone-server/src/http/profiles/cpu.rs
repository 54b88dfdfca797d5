//! A profile of the processor's time: samples of the stacks of whatever runs.
//!
//! A timer of the process interrupts whichever thread runs; there and then its stack is noted.
//! What lies in the system's own libraries is left out, since a stack that is in there may hold a
//! lock that walking it takes.

mod format;

use super::{download, refusal};
use http::{HeaderValue, Response, StatusCode};
use pprof::{ProfilerGuard, ProfilerGuardBuilder};
use std::time::Duration;
use tonic::body::Body;

/// Samples for each second that a processor works, as in Go.
const SAMPLES_PER_SECOND: i32 = 100;
/// How long a profile takes when nobody says how long.
const SECONDS_DEFAULT: u64 = 30;
/// How long it may take at most.
const SECONDS_MAX: u64 = 300;
/// Libraries whose code is not interrupted to walk its stack.
const LEFT_OUT: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];
const FILE: HeaderValue = HeaderValue::from_static("attachment; filename=\"profile\"");

/// Takes samples for as long as is asked for, and gives them in pprof's format. One at a time.
/// When the caller goes away, it ends.
pub(super) async fn answer(query: &str) -> Response<Body> {
    let seconds = seconds(query);
    if seconds > SECONDS_MAX {
        let text =
            format!("a profile takes {SECONDS_MAX} seconds at most: ask for less in `seconds`");
        return refusal(StatusCode::BAD_REQUEST, &text);
    }
    match profile(Duration::from_secs(seconds)).await {
        Ok(bytes) => download(FILE, bytes),
        Err(text) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &text),
    }
}

async fn profile(length: Duration) -> Result<Vec<u8>, String> {
    let begun = tokio::task::spawn_blocking(begin).await;
    let guard = begun.map_err(|error| error.to_string())??;
    tokio::time::sleep(length).await;
    // Names are looked up in the program's debugging information, which takes a while.
    let told = tokio::task::spawn_blocking(move || {
        let report = guard.report().build().map_err(|error| error.to_string())?;
        drop(guard);
        Ok(format::gzipped(&report))
    });
    told.await.map_err(|error| error.to_string())?
}

fn begin() -> Result<ProfilerGuard<'static>, String> {
    let builder = ProfilerGuardBuilder::default().frequency(SAMPLES_PER_SECOND);
    builder.blocklist(&LEFT_OUT).build().map_err(|error| match error {
        // Go's words, which tools know.
        pprof::Error::Running => {
            "Could not enable CPU profiling: cpu profiling already in use".to_owned()
        }
        error => format!("Could not enable CPU profiling: {error}"),
    })
}

/// The seconds that are asked for. What cannot be read asks for nothing in particular, as in Go.
fn seconds(query: &str) -> u64 {
    let asked = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "seconds");
    let asked = asked.and_then(|(_, value)| value.parse().ok());
    asked.filter(|seconds| *seconds > 0).unwrap_or(SECONDS_DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_as_go_reads_them() {
        for (query, expected) in [
            ("", SECONDS_DEFAULT),
            ("seconds=", SECONDS_DEFAULT),
            ("seconds=x", SECONDS_DEFAULT),
            ("seconds=-1", SECONDS_DEFAULT),
            ("seconds=0", SECONDS_DEFAULT),
            ("debug=1&seconds=2&seconds=3", 2),
            ("seconds=18446744073709551615", u64::MAX),
        ] {
            assert_eq!(seconds(query), expected, "{query}");
        }
    }

    #[tokio::test]
    async fn a_profile_without_end_is_refused() {
        let answer = answer("seconds=301").await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    }
}
