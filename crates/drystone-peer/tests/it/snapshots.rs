//! Native snapshots: whole or not at all.

use crate::harness::*;
use bytes::{BufMut, BytesMut};
use drystone_peer::codec::encode_frame;
use drystone_peer::{Config, SnapshotFile, StepRefused};
use drystone_raft::{Message, MessageKind, SnapshotMeta};
use drystone_types::{ConfState, LogIndex, Term};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn message() -> Message {
    snapshot_at(17)
}

pub(crate) fn snapshot_at(index: u64) -> Message {
    let mut message = Message::new(MessageKind::Snapshot, A, B, Term(3));
    message.snapshot = Some(SnapshotMeta {
        conf_state: ConfState { voters: vec![A], learners: vec![B] },
        index: LogIndex(index),
        term: Term(3),
        data: "{}".into(),
    });
    message
}

fn noise(bytes: usize, mut seed: u64) -> Vec<u8> {
    (0..bytes)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed.to_be_bytes()[0]
        })
        .collect()
}

fn offer(node: &Node, dir: &Path, files: &[(&str, Vec<u8>)]) {
    let mut source = Vec::new();
    for (n, (name, data)) in files.iter().enumerate() {
        let path = dir.join(n.to_string());
        std::fs::write(&path, data).unwrap();
        let bytes = data.len() as u64;
        source.push(SnapshotFile { name: (*name).to_owned(), path, bytes });
    }
    node.member.script.lock().unwrap().source = source;
}

fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn reports(node: &Node) -> Vec<bool> {
    node.member.seen.lock().unwrap().snapshots.iter().map(|(_, delivered)| *delivered).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_megabytes_arrive_whole() {
    let (a, b) = pair().await;
    let files = [
        ("CURRENT", b"MANIFEST-1\n".to_vec()),
        ("000007.sst", noise(5 << 20, 1)),
        ("empty", Vec::new()),
        ("deep/er/000008.blob", noise((1 << 20) + 12_345, 2)),
    ];
    let dir = tempfile::tempdir().unwrap();
    offer(&a, dir.path(), &files);
    a.transport.send(vec![message()]);
    eventually("a report", || !reports(&a).is_empty()).await;
    assert_eq!(reports(&a), [true]);
    let received = std::mem::take(&mut b.member.seen.lock().unwrap().received);
    assert_eq!(received.len(), 1);
    let (got, path) = &received[0];
    assert_eq!(*got, message());
    for (name, data) in &files {
        assert!(std::fs::read(path.join(name)).unwrap() == *data, "{name}");
    }
    let name = "0000000000000003-0000000000000011-0.snapshot";
    assert_eq!(entries(b.member.dir.path()), [name]);
    assert_eq!((a.status(B).snapshots_sent, a.status(B).snapshots_in_flight), (1, 0));

    // The same again takes another name, since the first may be in use.
    a.transport.send(vec![message()]);
    eventually("a report", || reports(&a).len() == 2).await;
    assert_eq!(entries(b.member.dir.path()).len(), 2);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_pace_is_kept() {
    let a = Node::with(Config { snapshot_bytes_per_second: 1 << 20, ..fast(A) }).await;
    let b = Node::start(B).await;
    a.knows(&b);
    let dir = tempfile::tempdir().unwrap();
    offer(&a, dir.path(), &[("f", noise(512 << 10, 3))]);
    let began = Instant::now();
    a.transport.send(vec![message()]);
    eventually("a report", || !reports(&a).is_empty()).await;
    assert_eq!(reports(&a), [true]);
    assert!(began.elapsed() > Duration::from_millis(350), "{:?}", began.elapsed());
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn what_the_member_refuses_or_the_source_breaks_leaves_nothing() {
    let (a, b) = pair().await;
    let dir = tempfile::tempdir().unwrap();
    offer(&a, dir.path(), &[("f", noise(100_000, 4))]);
    b.member.script.lock().unwrap().refuse = Some(StepRefused::Stopped);
    a.transport.send(vec![message()]);
    eventually("a report", || reports(&a).len() == 1).await;
    b.member.script.lock().unwrap().refuse = None;

    // A file that is shorter than announced, one that is gone, one with a bad name.
    a.member.script.lock().unwrap().source[0].bytes += 1;
    a.transport.send(vec![message()]);
    eventually("a report", || reports(&a).len() == 2).await;
    a.member.script.lock().unwrap().source[0].path.push("gone");
    a.transport.send(vec![message()]);
    eventually("a report", || reports(&a).len() == 3).await;
    offer(&a, dir.path(), &[("../f", noise(10, 5))]);
    a.transport.send(vec![message()]);
    eventually("a report", || reports(&a).len() == 4).await;
    assert_eq!(reports(&a), [false; 4]);
    eventually("nothing left", || entries(b.member.dir.path()).is_empty()).await;
    assert!(b.member.seen.lock().unwrap().received.is_empty());
    assert!(a.member.seen.lock().unwrap().unreachable.contains(&B));
    a.stop().await;
    b.stop().await;
}

/// A snapshot of one file as it goes over the wire.
pub(crate) fn wire(message: &Message, data: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    encode_frame(message, &mut out);
    let start = out.len();
    out.put_u8(1);
    out.put_u16(1);
    out.put_u64(data.len() as u64);
    out.put_slice(b"f");
    let crc = crc32c::crc32c(&out[start..]);
    out.put_u32(crc);
    for piece in data.chunks(4096) {
        out.put_u8(2);
        out.put_u32(u32::try_from(piece.len()).unwrap());
        out.put_u32(crc32c::crc32c(piece));
        out.put_slice(piece);
    }
    out.put_u8(3);
    out.put_u32(crc32c::crc32c(data));
    let start = out.len();
    out.put_u8(4);
    out.put_u32(1);
    out.put_u64(data.len() as u64);
    let crc = crc32c::crc32c(&out[start..]);
    out.put_u32(crc);
    out
}

/// Waits until a transfer that ended has made room: its files go a moment before its permit.
async fn room(node: &Node) {
    let headers = with(raft_headers(A), "X-Drystone-Snapshot", "1");
    let probe = wire(&heartbeat(A, B, 1), b"x");
    for _ in 0..1000 {
        let answer = raw(&node.address, "POST", "/raft/snapshot", &headers, &probe).await;
        if answer.status == 400 {
            return;
        }
    }
    panic!("a transfer keeps its permit");
}

#[tokio::test]
async fn broken_and_interrupted_transfers_leave_nothing() {
    let b = Node::start(B).await;
    let headers = with(raft_headers(A), "X-Drystone-Snapshot", "1");
    let post = |headers: Vec<(String, String)>, body: BytesMut| {
        let address = b.address.clone();
        async move { raw(&address, "POST", "/raft/snapshot", &headers, &body).await }
    };
    let sound = wire(&message(), &noise(50_000, 6));
    let nothing_left = || entries(b.member.dir.path()).is_empty();

    let mut corrupt = sound.clone();
    let middle = corrupt.len() / 2;
    corrupt[middle] ^= 1;
    let answer = post(headers.clone(), corrupt).await;
    assert_eq!(answer.status, 500);
    assert!(answer.body.starts_with("failed to save KV snapshot (checksum mismatch"), "{answer:?}");
    assert!(nothing_left());

    let answer = post(headers.clone(), BytesMut::from(&sound[..sound.len() - 1])).await;
    let text = "failed to save KV snapshot (unexpected EOF)\n";
    assert_eq!((answer.status, answer.body.as_str()), (500, text));
    let mut longer = sound.clone();
    longer.put_u8(0);
    assert_eq!(post(headers.clone(), longer).await.status, 500);
    assert!(nothing_left());

    // The sender dies half way.
    let half = &sound[..sound.len() / 2];
    let path = "/raft/snapshot";
    let sender = send_raw(&b.address, "POST", path, &headers, sound.len(), half).await;
    eventually("a partial directory", || !nothing_left()).await;
    // Meanwhile there is no room for another one.
    let answer = post(headers.clone(), sound.clone()).await;
    assert_eq!(answer.status, 500);
    assert!(answer.body.contains("another one is being received"), "{answer:?}");
    drop(sender);
    eventually("nothing left", nothing_left).await;
    room(&b).await;

    // The sender falls silent: the read timeout ends it.
    let sender = send_raw(&b.address, "POST", path, &headers, sound.len(), half).await;
    eventually("a partial directory", || !nothing_left()).await;
    eventually("nothing left", nothing_left).await;
    room(&b).await;
    drop(sender);
    assert!(b.member.seen.lock().unwrap().received.is_empty());

    let answer = post(headers.clone(), sound.clone()).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""), "the sound one passes");
    assert_eq!(b.member.seen.lock().unwrap().received.len(), 1);
    b.stop().await;
}

#[tokio::test]
async fn refusals() {
    let b = Node::start(B).await;
    let headers = with(raft_headers(A), "X-Drystone-Snapshot", "1");
    let post = |headers: Vec<(String, String)>, body: BytesMut| {
        let address = b.address.clone();
        async move { raw(&address, "POST", "/raft/snapshot", &headers, &body).await }
    };
    let sound = wire(&message(), b"x");
    // An etcd sends no such header, and a bbolt image.
    let answer = post(raft_headers(A), sound.clone()).await;
    assert_eq!(answer.status, 501);
    assert!(answer.body.contains("native snapshots"), "{answer:?}");
    let answer = post(with(headers.clone(), "X-Etcd-Cluster-ID", "1"), sound.clone()).await;
    assert_eq!((answer.status, answer.body.as_str()), (412, "cluster ID mismatch\n"));
    let answer = post(headers.clone(), wire(&heartbeat(A, B, 1), b"x")).await;
    assert_eq!((answer.status, answer.body.as_str()), (400, "wrong raft message type\n"));
    let mut misrouted = message();
    misrouted.to = A;
    assert_eq!(post(headers.clone(), wire(&misrouted, b"x")).await.status, 403);
    b.member.script.lock().unwrap().removed.insert(A);
    assert_eq!(post(headers.clone(), sound).await.status, 403);
    let mut huge = BytesMut::new();
    huge.put_u64(1 << 60);
    let answer = post(headers.clone(), huge).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.starts_with("failed to decode raft message ("), "{answer:?}");
    let answer = raw(&b.address, "GET", "/raft/snapshot", &headers, b"").await;
    assert_eq!((answer.status, answer.header("Allow")), (405, Some("POST")));
    assert!(entries(b.member.dir.path()).is_empty());
    b.stop().await;
}

#[tokio::test]
async fn leftovers_of_a_crash_are_deleted_at_the_start() {
    let b = Node::start(B).await;
    let dir = b.member.dir.path().to_owned();
    std::fs::create_dir(dir.join("1-2-0.partial")).unwrap();
    std::fs::write(dir.join("1-2-0.partial/f"), b"x").unwrap();
    std::fs::create_dir(dir.join("1-2-0.snapshot")).unwrap();
    let member = std::sync::Arc::clone(&b.member);
    let dialer = std::sync::Arc::new(drystone_peer::TcpDialer);
    let again = drystone_peer::Transport::new(fast(B), member, dialer).unwrap();
    assert_eq!(entries(&dir), ["1-2-0.snapshot"]);
    again.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_far_end_without_native_snapshots_gets_none() {
    // It answers every request as an etcd answers a probe, and counts the others.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (posts, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let etcd = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let posts = posts.clone();
            tokio::spawn(async move {
                let mut buf = vec![0; 65536];
                while let Ok(n @ 1..) = stream.read(&mut buf).await {
                    if buf[..n].starts_with(b"POST /raft/snapshot") {
                        posts.send(()).unwrap();
                    }
                    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"OK\":true}";
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let a = Node::start(A).await;
    a.transport.add_remote(B, vec![url]);
    a.transport.send(vec![message()]);
    eventually("a report", || !reports(&a).is_empty()).await;
    assert_eq!(reports(&a), [false]);
    assert_eq!(a.status(B).snapshots_failed, 1);
    assert!(seen.try_recv().is_err(), "nothing was posted");
    etcd.abort();
    a.stop().await;
}

#[tokio::test]
async fn a_transfer_ends_with_its_transport() {
    let a = Node::with(Config { snapshot_bytes_per_second: 1000, ..fast(A) }).await;
    let b = Node::start(B).await;
    a.knows(&b);
    let dir = tempfile::tempdir().unwrap();
    offer(&a, dir.path(), &[("f", noise(1 << 20, 7))]);
    a.transport.send(vec![message()]);
    eventually("it began", || !entries(b.member.dir.path()).is_empty()).await;
    let member = std::sync::Arc::clone(&a.member);
    a.stop().await;
    assert_eq!(member.seen.lock().unwrap().snapshots, [(B, false)]);
    eventually("nothing left", || entries(b.member.dir.path()).is_empty()).await;
    b.stop().await;
}
