//! What a far end may make this member read, however it asks: advisories of etcd about the peer
//! port.

use crate::harness::*;
use crate::snapshots::{snapshot_at, wire};
use bytes::{BufMut, BytesMut};
use drystone_peer::Config;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest body of a call about a lease, and longest message before a snapshot.
const LEASE_BYTES_MAX: usize = 64 << 10;
const ENVELOPE_BYTES_MAX: u64 = 64 << 20;
/// Bound on every wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// etcd before 3.6.14 and 3.7.1 read a body of any length into memory.
#[tokio::test]
async fn etcd_3_7_1_a_call_about_a_lease_is_read_up_to_64_kib() {
    let a = Node::start(A).await;
    for path in ["/leases", "/leases/internal"] {
        let fits = vec![0; LEASE_BYTES_MAX];
        let answer = raw(&a.address, "POST", path, &[], &fits).await;
        let text = "error unmarshalling request\n";
        assert_eq!((answer.status, answer.body.as_str()), (400, text), "{path}");
        // The rest never comes, and is not waited for.
        let begun = vec![0; LEASE_BYTES_MAX + 1];
        let mut stream = send_raw(&a.address, "POST", path, &[], 1 << 30, &begun).await;
        let answer = read_raw(&mut stream).await;
        assert_eq!((answer.status, answer.body.as_str()), (413, "request body too large\n"));
    }
    a.stop().await;
}

/// etcd before 3.6.14 and 3.7.1 believed an envelope of a tebibyte.
#[tokio::test]
async fn etcd_3_7_1_the_message_before_a_snapshot_is_at_most_64_mib() {
    let b = Node::start(B).await;
    let headers = with(raft_headers(A), "X-Drystone-Snapshot", "1");
    let announce = |length: u64| {
        let (address, headers) = (b.address.clone(), headers.clone());
        async move {
            let mut body = BytesMut::new();
            body.put_u64(length);
            body.put_slice(b"the beginning");
            raw(&address, "POST", "/raft/snapshot", &headers, &body).await
        }
    };
    for length in [ENVELOPE_BYTES_MAX + 1, 1 << 40, u64::MAX] {
        let answer = announce(length).await;
        let text = format!("failed to decode raft message ({length} bytes)\n");
        assert_eq!((answer.status, answer.body), (400, text));
    }
    let answer = announce(ENVELOPE_BYTES_MAX).await;
    let text = "failed to decode raft message (unexpected EOF)\n";
    assert_eq!((answer.status, answer.body.as_str()), (400, text), "it would fit");
    assert_eq!(std::fs::read_dir(b.member.dir.path()).unwrap().count(), 0);
    b.stop().await;
}

/// Reads until the far end ends the connection.
async fn hear_out(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    // A reset ends it too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut heard)).await.expect("it ends");
    heard
}

/// What floods a server with HTTP/2's resets or headers finds no HTTP/2 here.
#[tokio::test]
async fn cve_2023_44487_and_45288_the_peer_port_speaks_no_http2() {
    let a = Node::start(A).await;
    let mut stream = TcpStream::connect(&a.address).await.unwrap();
    let mut words = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    // HEADERS that are never ended.
    words.extend_from_slice(b"\0\0\x01\x01\0\0\0\0\x01\x82");
    let _ = stream.write_all(&words).await;
    let heard = hear_out(&mut stream).await;
    assert!(heard.is_empty() || heard.starts_with(b"HTTP/1.1 4"), "{heard:?}");
    let answer = raw(&a.address, "GET", "/raft/probing", &[], b"").await;
    assert_eq!(answer.status, 200, "others are served");
    a.stop().await;
}

/// etcd had no deadline for the head of a request before 3.7.1.
#[tokio::test]
async fn etcd_3_7_1_a_head_that_does_not_end_is_given_up() {
    let a = Node::with(Config { idle_timeout: Duration::from_millis(50), ..fast(A) }).await;
    for words in [&b""[..], b"GET /version HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let mut stream = TcpStream::connect(&a.address).await.unwrap();
        stream.write_all(words).await.unwrap();
        let heard = hear_out(&mut stream).await;
        assert!(heard.is_empty() || heard.starts_with(b"HTTP/1.1 408"), "{heard:?}");
    }
    // One that comes quickly but is endless is refused for its length.
    let mut stream = TcpStream::connect(&a.address).await.unwrap();
    let line = format!("X-Long: {}\r\n", "x".repeat(1000));
    stream.write_all(b"GET /version HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    for _ in 0..2000 {
        if stream.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
    let heard = hear_out(&mut stream).await;
    assert!(heard.is_empty() || heard.starts_with(b"HTTP/1.1 431"), "{heard:?}");
    assert_eq!(raw(&a.address, "GET", "/version", &[], b"").await.status, 200);
    a.stop().await;
}

/// A version that is none ends the connection of an etcd 3.7.1 with a panic.
#[tokio::test]
async fn a_version_that_is_none_is_refused_in_words() {
    let a = Node::start(A).await;
    let good = with(raft_headers(B), "X-Raft-To", "a");
    let long = "9".repeat(5000);
    for name in ["X-Server-Version", "X-Min-Cluster-Version"] {
        for version in ["nonsense", "3", "3.7", "3.7.x", "-1.0.0", "3.7.0.1", "v3.7.0", &long] {
            let headers = with(good.clone(), name, version);
            let answer = raw(&a.address, "GET", "/raft/stream/message/b", &headers, b"").await;
            let text = "incompatible version\n";
            assert_eq!((answer.status, answer.body.as_str()), (412, text), "{name}: {version}");
        }
    }
    a.stop().await;
}

/// Two snapshots in quick succession ended the one who received them. Here one comes in at a
/// time; who comes meanwhile is told so and leaves nothing.
#[tokio::test]
async fn etcd_18055_snapshots_in_quick_succession_come_in_whole_or_not_at_all() {
    const ROUNDS: u64 = 30;
    let b = Node::start(B).await;
    let headers = with(raft_headers(A), "X-Drystone-Snapshot", "1");
    let send = |index: u64| {
        let (address, headers) = (b.address.clone(), headers.clone());
        let body = wire(&snapshot_at(index), &vec![b'd'; 30_000]);
        async move { raw(&address, "POST", "/raft/snapshot", &headers, &body).await }
    };
    let mut taken = Vec::new();
    for round in 1..=ROUNDS {
        let indexes = [2 * round, 2 * round + 1];
        let (first, second) = tokio::join!(send(indexes[0]), send(indexes[1]));
        for (index, answer) in indexes.into_iter().zip([first, second]) {
            if answer.status == 204 {
                taken.push(index);
            } else {
                assert_eq!(answer.status, 500, "{answer:?}");
                assert!(answer.body.contains("another one is being received"), "{answer:?}");
            }
        }
    }
    let received = b.member.seen.lock().unwrap().received.clone();
    let mut indexes: Vec<_> = received
        .iter()
        .map(|(message, dir)| {
            assert_eq!(std::fs::read(dir.join("f")).unwrap().len(), 30_000);
            message.snapshot.as_ref().unwrap().index.0
        })
        .collect();
    indexes.sort_unstable();
    taken.sort_unstable();
    assert_eq!(indexes, taken);
    assert!(!taken.is_empty());
    let kept = std::fs::read_dir(b.member.dir.path()).unwrap().count();
    assert_eq!(kept, taken.len(), "what was refused leaves nothing");
    b.stop().await;
}
