//! What HTTP/2 itself lets a client do to a server, in raw frames: the library classes among the
//! advisories that touched etcd.

use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bound on every wait for something that must happen. A flood is borne for a while.
const PATIENCE: Duration = Duration::from_secs(180);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The error code by which a server says that a client asks too much of it.
const ENHANCE_YOUR_CALM: u32 = 11;
const CANCEL: u32 = 8;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The headers of a call, none of which enters the table of the connection.
fn call(path: &str) -> Vec<u8> {
    // POST, http, and then names by their places in the static table.
    let mut block = vec![0x83, 0x86];
    let mut literal = |name: &[u8], value: &str| {
        block.extend(name);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    };
    literal(&[0x04], path);
    literal(&[0x01], "localhost");
    literal(&[0x0f, 0x10], "application/grpc");
    literal(b"\0\x02te", "trailers");
    block
}

/// A connection that has said hello.
async fn connect(server: &Server) -> TcpStream {
    connect_with(server, &[]).await
}

/// A connection that has said hello, with these settings.
async fn connect_with(server: &Server, settings: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.client_addresses()[0]).await.unwrap();
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat();
    stream.write_all(&hello).await.unwrap();
    stream
}

/// One frame: its kind, flags, stream and payload. `None` at the end of the connection.
async fn read_frame(stream: &mut TcpStream) -> Option<(u8, u8, u32, Vec<u8>)> {
    let read = async {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).await.ok()?;
        let number = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some((head[3], head[4], number, payload))
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap()
}

/// Writes pieces until the server ends the connection, reading what it says meanwhile; gives the
/// code of its GOAWAY, if that came through.
async fn flood(
    stream: TcpStream,
    pieces: impl Iterator<Item = Vec<u8>> + Send + 'static,
) -> Option<u32> {
    let (mut read, mut write) = stream.into_split();
    // It gives its half back, which so stays open: it is the server that is to end it.
    let writer = tokio::spawn(async move {
        for piece in pieces {
            if write.write_all(&piece).await.is_err() {
                break;
            }
        }
        write
    });
    let mut heard = Vec::new();
    // A reset that overtakes what was said before ends it too.
    let _ = tokio::time::timeout(PATIENCE, read.read_to_end(&mut heard)).await.expect("it ends");
    drop(writer.await.unwrap());
    let mut rest = heard.as_slice();
    while rest.len() >= 9 {
        let length = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
        let frame = rest.get(..9 + length)?;
        if frame[3] == GOAWAY {
            return Some(u32::from_be_bytes([frame[13], frame[14], frame[15], frame[16]]));
        }
        rest = &rest[9 + length..];
    }
    None
}

async fn serves(channel: &Channel) {
    KvClient::new(channel.clone()).put(put("a", "1")).await.unwrap();
}

/// Rapid reset: calls that are given up as soon as they are made keep a server busy with nothing.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2023_44487_calls_that_are_reset_at_once_end_their_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    let block = call("/etcdserverpb.KV/Range");
    let pieces = (0..1_000_u32).map(move |round| {
        let mut piece = Vec::new();
        for number in 0..100 {
            let stream = 2 * (100 * round + number) + 1;
            piece.extend(frame(HEADERS, END_HEADERS, stream, &block));
            piece.extend(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
        }
        piece
    });
    let code = flood(connect(&server).await, pieces).await;
    assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{code:?}");
    serves(&channel).await;
    server.stop().await;
}

/// Headers that never end are kept by a server until it has no memory left.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2023_45288_headers_that_do_not_end_end_their_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    // Empty, small, and as large as a frame may be; with and without a table that grows.
    let field = [b"\0\x01x\x7f\x01".as_slice(), &[b'v'; 128]].concat();
    for filler in [Vec::new(), field.clone(), field.repeat(120)] {
        assert!(filler.len() < 16 << 10);
        let begun = frame(HEADERS, END_STREAM, 1, &call("/etcdserverpb.KV/Range"));
        let more = frame(CONTINUATION, 0, 1, &filler);
        let pieces = std::iter::once(begun).chain(std::iter::repeat_n(more, 100_000));
        let code = flood(connect(&server).await, pieces).await;
        assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{code:?}");
        serves(&channel).await;
    }
    server.stop().await;
}

/// A path without its slash went past what looks at paths (CVE-2026-33186 of Go's gRPC).
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_33186_a_path_without_its_slash_is_no_call() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    serves(&channel).await;
    // A range request for the key "a".
    let message = frame(DATA, END_STREAM, 1, b"\0\0\0\0\x03\x0a\x01a");
    for (path, is_call) in [("/etcdserverpb.KV/Range", true), ("etcdserverpb.KV/Range", false)] {
        let mut stream = connect(&server).await;
        let words = [frame(HEADERS, END_HEADERS, 1, &call(path)), message.clone()].concat();
        stream.write_all(&words).await.unwrap();
        let mut answered = false;
        loop {
            let Some((kind, flags, number, _)) = read_frame(&mut stream).await else { break };
            answered |= number == 1 && kind == DATA;
            let ended = kind == RST_STREAM || flags & END_STREAM != 0;
            if kind == GOAWAY || number == 1 && ended {
                break;
            }
        }
        assert_eq!(answered, is_call, "{path}");
    }
    server.stop().await;
}

/// None of these has a limit in HTTP/2's library, and each makes the server work.
#[tokio::test(flavor = "multi_thread")]
async fn floods_of_frames_without_calls_end_their_connections() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    let mut floods = tokio::task::JoinSet::new();
    for (kind, flags, stream, payload) in [
        (SETTINGS, 0, 0, &b""[..]),
        (PING, 0, 0, b"question"),
        (PING, 1, 0, b"answered"),
        (PRIORITY, 0, 9, &[0; 5]),
        (WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
    ] {
        let piece = frame(kind, flags, stream, payload).repeat(1_000);
        let connection = connect(&server).await;
        floods.spawn(flood(connection, std::iter::repeat(piece)));
    }
    serves(&channel).await;
    while let Some(ended) = floods.join_next().await {
        ended.unwrap();
        serves(&channel).await;
    }
    server.stop().await;
}

/// What a client does not take waits in the server, however often it asks.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_takes_are_bounded_and_leave_room_for_others() {
    const CALLS: u32 = 100;
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    let mut kv = KvClient::new(channel);
    for key in ["a", "b", "c"] {
        kv.put(put(key, &"v".repeat(1 << 20))).await.unwrap();
    }
    // INITIAL_WINDOW_SIZE 0: heads of answers may come, and nothing of their bodies.
    let mut stream = connect_with(&server, &[0, 4, 0, 0, 0, 0]).await;
    let all = frame(DATA, END_STREAM, 1, b"\0\0\0\0\x06\x0a\x01\0\x12\x01\0");
    for n in 0..CALLS {
        let number = 2 * n + 1;
        let mut words = frame(HEADERS, END_HEADERS, number, &call("/etcdserverpb.KV/Range"));
        words.extend(&all);
        let at = words.len() - all.len() + 5;
        words[at..at + 4].copy_from_slice(&number.to_be_bytes());
        stream.write_all(&words).await.unwrap();
    }
    let (mut held, mut refused) = (0, 0);
    while held + refused < CALLS {
        let (kind, flags, _, _) = read_frame(&mut stream).await.unwrap();
        if kind == HEADERS {
            // A refusal has no body: its head is all of it.
            let is_all = flags & END_STREAM != 0;
            (held, refused) = (held + u32::from(!is_all), refused + u32::from(is_all));
        }
    }
    // 128 MiB of 3 MiB each, at most.
    assert!((1..=42).contains(&held), "{held} answers are held, {refused} refused");
    let everything =
        RangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() };
    assert_eq!(kv.range(everything).await.unwrap().into_inner().kvs.len(), 3);
    server.stop().await;
}

/// What honest clients do in numbers: none of the limits is in their way.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_calls_and_watches_on_one_connection_meet_no_limit() {
    const MANY: usize = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    // It would hear of the end of its connection.
    let mut watch = WatchClient::new(channel.clone());
    let create = |key: &str| {
        let key = Bytes::copy_from_slice(key.as_bytes());
        let create = WatchCreateRequest { key, ..Default::default() };
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        futures::StreamExt::chain(futures::stream::iter([create]), futures::stream::pending())
    };
    let mut witness = watch.watch(create("last")).await.unwrap().into_inner();
    assert!(witness.message().await.unwrap().unwrap().created);
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..MANY {
        let mut kv = KvClient::new(channel.clone());
        calls.spawn(async move { kv.put(put(&format!("k{n}"), "v")).await.map(drop) });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap().unwrap();
    }
    let mut watches = Vec::new();
    for n in 0..MANY {
        watches.push(watch.watch(create(&format!("k{n}"))).await.unwrap().into_inner());
    }
    for stream in &mut watches {
        assert!(stream.message().await.unwrap().unwrap().created);
    }
    // All of them are given up at one moment.
    drop(watches);
    KvClient::new(channel).put(put("last", "v")).await.unwrap();
    let heard = tokio::time::timeout(PATIENCE, witness.message()).await.unwrap();
    assert_eq!(heard.unwrap().unwrap().events.len(), 1);
    server.stop().await;
}
