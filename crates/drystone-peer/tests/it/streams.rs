//! Messages between two members.

use crate::harness::*;
use drystone_peer::{Config, PeerUrl, TcpDialer, Transport};
use drystone_raft::{Message, MessageKind};
use drystone_types::{MemberId, Term};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_in_order_on_each_stream() {
    let (a, b) = pair().await;
    let sent: Vec<Message> = (0..3000_u64)
        .map(|n| match n % 3 {
            0 => heartbeat(A, B, n),
            _ => append(A, B, n, &n.to_be_bytes()),
        })
        .collect();
    // The member's thread is none of tokio's.
    let (transport, batches) = (a.transport.clone(), sent.clone());
    let member = std::thread::spawn(move || {
        for batch in batches.chunks(100) {
            transport.send(batch.to_vec());
        }
    });
    eventually("all messages", || b.messages().len() == sent.len()).await;
    member.join().unwrap();
    let of = |messages: &[Message], kind| -> Vec<Message> {
        messages.iter().filter(|m| m.kind == kind).cloned().collect()
    };
    for kind in [MessageKind::Append, MessageKind::Heartbeat] {
        assert_eq!(of(&b.messages(), kind), of(&sent, kind));
    }
    let status = a.status(B);
    assert!(status.sent_bytes > 0 && status.dropped_messages == 0, "{status:?}");
    assert!(b.status(A).received_bytes > 0 && b.status(A).last_contact.is_some());
    eventually("a probe", || a.status(B).round_trip.is_some()).await;
    let skew = a.status(B).clock_difference_nanos.expect("clocks were compared");
    assert!(skew.abs() < 1_000_000_000, "one clock, two readings: {skew}");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn large_appends_pass_whole() {
    let (a, b) = pair().await;
    let data = vec![0x5a; 3 << 20];
    a.transport.send(vec![append(A, B, 1, &data), append(A, B, 2, b"small")]);
    eventually("both", || b.messages().len() == 2).await;
    assert_eq!(b.messages()[0].entries[0].data, data);
    assert_eq!(b.messages()[1].entries[0].data, "small");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn posts_serve_where_there_is_no_stream() {
    let (a, b) = (Node::start(A).await, Node::start(B).await);
    // B does not know A: it refuses A's streams and does not dial, but remembers A.
    a.knows(&b);
    let sent: Vec<Message> = (1..41).map(|n| append(A, B, n, b"x")).collect();
    a.transport.send(sent.clone());
    eventually("posts", || b.messages().len() == sent.len()).await;
    assert_eq!(b.messages(), sent, "one lane keeps its order");
    assert!(!a.status(B).msgapp_stream);
    assert!(!b.status(A).is_peer);
    b.transport.send(vec![heartbeat(B, A, 1)]);
    eventually("an answer to a remote", || a.messages().len() == 1).await;
    // Once B learns of A through its log, the streams come up by themselves.
    b.knows(&a);
    eventually("streams", || a.streams_to(B) && b.streams_to(A)).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_peer_that_comes_back_is_found_again() {
    let (a, b) = pair().await;
    let address = b.address.clone();
    b.stop().await;
    eventually("lost", || !a.streams_to(B) && a.status(B).active_since.is_none()).await;
    assert!(a.member.seen.lock().unwrap().unreachable.contains(&B));
    assert!(a.status(B).disconnects > 0 && a.status(B).last_failure.is_some());
    a.member.seen.lock().unwrap().unreachable.clear();
    a.transport.send(vec![heartbeat(A, B, 1)]);
    eventually("reported", || a.member.seen.lock().unwrap().unreachable.contains(&B)).await;

    let listener = TcpListener::bind(&address).await.unwrap();
    let b = Node::on(fast(B), listener);
    b.knows(&a);
    eventually("streams", || a.streams_to(B) && b.streams_to(A)).await;
    a.transport.send(vec![append(A, B, 1, b"again")]);
    eventually("a message", || !b.messages().is_empty()).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_peer_that_moved_is_found_at_its_new_url() {
    let (a, b) = (Node::start(A).await, Node::start(B).await);
    b.knows(&a);
    // Nobody listens on the first URL; the second is tried next.
    let nowhere: PeerUrl = "http://127.0.0.1:1".parse().unwrap();
    a.transport.add_peer(B, vec![nowhere.clone(), b.url()]);
    eventually("streams", || a.streams_to(B) && b.streams_to(A)).await;
    a.transport.update_peer(B, vec![nowhere]);
    assert_eq!(a.status(B).urls.len(), 1);
    a.transport.update_peer(B, vec![b.url()]);
    eventually("streams", || a.streams_to(B) && b.streams_to(A)).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_removed_peer_is_left_alone_and_told() {
    let (a, b) = pair().await;
    b.member.script.lock().unwrap().removed.insert(A);
    b.transport.remove_peer(A);
    assert!(b.transport.peer(A).is_none());
    let told = || a.member.seen.lock().unwrap().removed_from_cluster;
    eventually("410", || told() == 1).await;
    a.transport.send(vec![heartbeat(A, B, 1)]);
    eventually("403", || a.status(B).sent_failures > 0).await;
    assert_eq!(told(), 1, "told once");
    assert!(b.messages().is_empty());
    a.stop().await;
    b.stop().await;
}

/// What answers at a peer's address may have taken the place of the member that was there. Its
/// word that a message is not for it once ended the sender.
#[tokio::test]
async fn another_member_at_a_peers_address_does_not_end_the_sender() {
    let (a, b) = (Node::start(A).await, Node::start(B).await);
    let gone = MemberId(0xdead);
    a.transport.add_peer(gone, vec![b.url()]);
    a.transport.send(vec![heartbeat(A, gone, 1)]);
    eventually("403", || a.status(gone).sent_failures > 0 && a.status(gone).dropped_messages > 0)
        .await;
    assert_eq!(a.member.seen.lock().unwrap().removed_from_cluster, 0);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_cut_off_and_costs_bounded_memory() {
    let config = Config { stream_messages_max: 50, ..fast(A) };
    let a = Node::with(config).await;
    a.transport.add_peer(B, vec!["http://127.0.0.1:1".parse().unwrap()]);
    let headers = with(raft_headers(B), "X-Raft-To", "a");
    let path = "/raft/stream/message/b";
    let stuck = send_raw(&a.address, "GET", path, &headers, 0, b"").await;
    eventually("attached", || a.status(B).message_stream).await;
    let mut message = heartbeat(A, B, 1);
    message.context = vec![1; 1 << 20].into();
    for _ in 0..200 {
        a.transport.send(vec![message.clone()]);
    }
    assert!(a.status(B).dropped_messages >= 100, "{:?}", a.status(B));
    assert!(a.member.seen.lock().unwrap().unreachable.contains(&B));
    eventually("the write deadline", || !a.status(B).message_stream).await;
    drop(stuck);
    a.stop().await;
}

#[tokio::test]
async fn a_newer_stream_of_one_kind_ends_the_older_and_idle_ones_beat() {
    let a = Node::start(A).await;
    a.transport.add_peer(B, vec!["http://127.0.0.1:1".parse().unwrap()]);
    let headers = with(raft_headers(B), "X-Raft-To", "a");
    let open = |path: &'static str| send_raw(&a.address, "GET", path, &headers, 0, b"");
    let mut old = open("/raft/stream/msgapp/b").await;
    eventually("attached", || a.status(B).msgapp_stream).await;
    let mut other = open("/raft/stream/message/b").await;
    eventually("attached", || a.status(B).message_stream).await;
    let mut new = open("/raft/stream/msgapp/b").await;
    let mut all = Vec::new();
    timeout(Duration::from_secs(5), old.read_to_end(&mut all)).await.expect("it ends").unwrap();
    let text = String::from_utf8_lossy(&all);
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.ends_with("0\r\n\r\n"), "a clean end: {text}");
    assert!(text.to_lowercase().contains("x-server-version: 3.7.0"), "{text}");
    assert!(text.to_lowercase().contains("x-etcd-cluster-id: 6316a80935d7df3a"), "{text}");

    let beats =
        [(&mut new, &b"1\r\n\0\r\n"[..]), (&mut other, b"A\r\n\0\0\0\0\0\0\0\x02\x08\x08\r\n")];
    for (stream, beat) in beats {
        let mut seen = Vec::new();
        while !seen.windows(beat.len()).any(|window| window == beat) {
            let mut buf = [0; 256];
            let reading = stream.read(&mut buf);
            let n = timeout(Duration::from_secs(5), reading).await.expect("beats").unwrap();
            assert!(n > 0, "{:?}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buf[..n]);
        }
    }
    assert!(a.status(B).msgapp_stream && a.status(B).message_stream);
    a.stop().await;
}

#[tokio::test]
async fn messages_that_make_no_sense_are_dropped() {
    let (a, b) = pair().await;
    let misrouted = Message::new(MessageKind::Heartbeat, A, MemberId(0xc), Term(3));
    // A gap between index and first entry; a term of zero.
    let mut gap = append(A, B, 5, b"x");
    gap.entries[0].index.0 += 1;
    let termless = Message::new(MessageKind::Heartbeat, A, B, Term(0));
    let nobody = Message::new(MessageKind::Heartbeat, A, MemberId(0), Term(3));
    a.transport.send(vec![misrouted, gap, termless, nobody, heartbeat(A, B, 1)]);
    eventually("the sound one", || !b.messages().is_empty()).await;
    eventually("two refused", || b.status(A).received_failures == 2).await;
    assert_eq!(b.messages(), [heartbeat(A, B, 1)]);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_snapshot_to_a_stranger_is_reported_too() {
    let a = Node::start(A).await;
    a.transport.send(vec![Message::new(MessageKind::Snapshot, A, B, Term(3))]);
    assert_eq!(a.member.seen.lock().unwrap().snapshots, [(B, false)]);
    assert!(a.member.seen.lock().unwrap().unreachable.contains(&B));
    a.stop().await;
}

#[tokio::test]
async fn nothing_runs_after_the_end() {
    let (a, b) = pair().await;
    let transport = a.transport.clone();
    a.stop().await;
    transport.add_peer(B, vec![b.url()]);
    transport.add_remote(B, vec![b.url()]);
    transport.send(vec![heartbeat(A, B, 1)]);
    assert!(transport.peers().is_empty());
    b.stop().await;
}

#[test]
fn a_runtime_is_needed() {
    let member = Arc::new(Member {
        id: A,
        seen: Default::default(),
        script: Default::default(),
        dir: tempfile::tempdir().unwrap(),
    });
    let made = Transport::new(fast(A), member, Arc::new(TcpDialer));
    assert!(matches!(made, Err(drystone_peer::ConfigError::NoRuntime)));
}
