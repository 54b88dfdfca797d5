//! What memory the process has.
//!
//! The allocator does not note who allocates, so there is no profile to open with a tool: what is
//! told is text, and says so.

use super::super::answers;
use http::{Response, StatusCode};
use std::fmt::Write as _;
use std::sync::OnceLock;
use tonic::body::Body;

static ALLOCATOR: OnceLock<fn() -> String> = OnceLock::new();

/// Lines of `/proc/self/status` that are about memory, and what they mean.
const LINES: [(&str, &str); 7] = [
    ("VmRSS:", "resident"),
    ("VmHWM:", "resident at most so far"),
    ("RssAnon:", "resident, of no file"),
    ("RssFile:", "resident, of files"),
    ("VmSwap:", "swapped out"),
    ("VmSize:", "address space"),
    ("Threads:", "threads"),
];

/// Says how this process asks its allocator about itself, for `/debug/pprof/heap`. A process has
/// one allocator, which its program chooses: the first call counts. What it gives is text, told
/// as it is; it is called where blocking is allowed.
pub fn tell_of_allocator(tell: fn() -> String) {
    // Whoever came first has said it.
    let _ = ALLOCATOR.set(tell);
}

pub(super) async fn answer() -> Response<Body> {
    let told = tokio::task::spawn_blocking(text).await;
    let told = told.unwrap_or_else(|_| "the memory cannot be told now\n".to_owned());
    answers::text(StatusCode::OK, told)
}

fn text() -> String {
    let mut text = "Memory of this process, as the system counts it. The allocator keeps no \
                    account of callers: this is no profile for a tool.\n\n"
        .to_owned();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for (name, meaning) in LINES {
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        let value = value.map_or("unknown", str::trim);
        writeln!(text, "{meaning:<24} {value:>16}").expect("a string takes all");
    }
    match ALLOCATOR.get() {
        Some(tell) => write!(text, "\nThe allocator:\n{}", tell()).expect("a string takes all"),
        None => text.push_str("\nThe allocator is the system's, which tells nothing.\n"),
    }
    text
}
