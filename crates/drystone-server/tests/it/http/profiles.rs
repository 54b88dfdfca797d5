//! Profiles of this very process, as a server in it shows them.

use super::ask::{PATIENCE, ask, exchange, get};
use crate::{config_with, start, start_as};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::Request;
use http_body_util::Full;
use prost::Message;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// As much of `profile.proto` as is looked at.
#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    strings: Vec<String>,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function: u64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "4")]
    file: i64,
}

impl Profile {
    /// Samples in which a function stands whose name has `part` in it.
    fn samples_in(&self, part: &str) -> i64 {
        let name = |id: u64| {
            let function = self.function.iter().find(|function| function.id == id).unwrap();
            self.strings[usize::try_from(function.name).unwrap()].as_str()
        };
        let stands_in = |id: &u64| {
            let location = self.location.iter().find(|location| location.id == *id).unwrap();
            location.line.iter().any(|line| name(line.function).contains(part))
        };
        let samples = self.sample.iter().filter(|sample| sample.location.iter().any(stands_in));
        samples.map(|sample| sample.value[0]).sum()
    }

    /// Files of the functions that were interrupted.
    fn files_at_the_top(&self) -> Vec<&str> {
        let tops = self.sample.iter().filter_map(|sample| sample.location.first());
        let top = |id: &u64| self.location.iter().find(|location| location.id == *id).unwrap();
        let lines = tops.flat_map(|id| &top(id).line);
        let file = |line: &Line| {
            let function = self.function.iter().find(|function| function.id == line.function);
            self.strings[usize::try_from(function.unwrap().file).unwrap()].as_str()
        };
        lines.map(file).collect()
    }
}

/// Keeps a processor busy until it is told to stop.
#[inline(never)]
fn busy_for_the_profile(stop: &AtomicBool) -> u64 {
    let mut number = 1_u64;
    while !stop.load(Ordering::Relaxed) {
        number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005) | 1);
    }
    number
}

async fn profile(to: SocketAddr) -> Profile {
    let request = Request::get("/debug/pprof/profile?seconds=1");
    let answer = exchange(to, request.body(Full::<Bytes>::default()).unwrap()).await;
    assert_eq!(answer.status(), 200, "{:?}", answer.body());
    assert_eq!(answer.headers()["content-type"], "application/octet-stream");
    let file = "attachment; filename=\"profile\"";
    assert_eq!(answer.headers()["content-disposition"], file);
    let mut bytes = Vec::new();
    GzDecoder::new(&answer.body()[..]).read_to_end(&mut bytes).unwrap();
    Profile::decode(&bytes[..]).unwrap()
}

/// A process has one timer for profiles: what follows is one test.
#[tokio::test(flavor = "multi_thread")]
async fn the_profile_says_where_the_processor_was_and_is_taken_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _channel) = start_as(config_with(folder.path(), &["--enable-pprof"])).await;
    let to = server.client_addresses()[0];
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let busy = std::thread::spawn(move || busy_for_the_profile(&told));
    let seen = async {
        loop {
            let profile = profile(to).await;
            assert_eq!(profile.strings[0], "");
            assert!(profile.duration_nanos >= 1_000_000_000);
            let all: i64 = profile.sample.iter().map(|sample| sample.value[0]).sum();
            let of_it = profile.samples_in("busy_for_the_profile");
            assert!(of_it <= all);
            let files = profile.files_at_the_top();
            assert!(!files.iter().any(|file| file.contains("/backtrace-")), "{files:?}");
            // The thread may have had no processor in that second.
            if of_it > 0 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    busy.join().unwrap();

    // One who stays long, and leaves once another was turned away.
    let long = tokio::spawn(async move { get(to, "/debug/pprof/profile?seconds=300").await });
    let turned_away = async {
        loop {
            let answer = get(to, "/debug/pprof/profile?seconds=301").await;
            assert_eq!(answer.status, 400, "{}", answer.body);
            let request = Request::get("/debug/pprof/profile?seconds=1");
            let answer = exchange(to, request.body(Full::<Bytes>::default()).unwrap()).await;
            if answer.status() == 500 {
                return answer;
            }
        }
    };
    let turned_away = tokio::time::timeout(PATIENCE, turned_away).await.unwrap();
    let text = "Could not enable CPU profiling: cpu profiling already in use\n";
    assert_eq!(turned_away.body(), text);
    assert_eq!(turned_away.headers()["x-go-pprof"], "1");
    long.abort();
    let free_again = async {
        loop {
            let request = Request::get("/debug/pprof/profile?seconds=1");
            let answer = exchange(to, request.body(Full::<Bytes>::default()).unwrap()).await;
            if answer.status() == 200 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, free_again).await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_beside_the_profile_are_there_when_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for word in ["--enable-pprof", "--log-level=debug"] {
        let (server, _channel) = start_as(config_with(folder.path(), &[word])).await;
        let to = server.client_addresses()[0];
        let index = get(to, "/debug/pprof/").await;
        assert_eq!((index.status, index.header("content-type")), (200, "text/html; charset=utf-8"));
        assert!(index.body.contains("<a href='profile'>"), "{}", index.body);
        let elsewhere = ask(to, "GET", "/debug/pprof", &[]).await;
        assert_eq!((elsewhere.status, elsewhere.header("location")), (307, "/debug/pprof/"));
        let heap = get(to, "/debug/pprof/heap").await;
        let line = heap.body.lines().find(|line| line.starts_with("resident ")).unwrap();
        assert!(line.ends_with(" kB") && !line.contains(" 0 kB"), "{line}");
        assert!(heap.body.contains("The allocator"), "{}", heap.body);
        let words = get(to, "/debug/pprof/cmdline").await;
        let own: Vec<String> = std::env::args().collect();
        assert_eq!(words.body, own.join("\0"));
        let unknown = get(to, "/debug/pprof/goroutine").await;
        assert_eq!((unknown.status, &*unknown.body), (404, "Unknown profile\n"));
        assert_eq!(unknown.header("x-go-pprof"), "1");
        server.stop().await;
    }
    let (server, _channel) = start(folder.path()).await;
    for path in ["/debug/pprof/", "/debug/pprof/profile", "/debug/pprof/heap", "/debug/pprof"] {
        let answer = get(server.client_addresses()[0], path).await;
        assert_eq!((answer.status, &*answer.body), (404, "404 page not found\n"), "{path}");
    }
    server.stop().await;
}
