//! What is refused, in etcd's order and words.

use crate::harness::*;
use bytes::BytesMut;
use drystone_peer::StepRefused;
use drystone_peer::codec::encode_message;
use drystone_raft::Message;
use drystone_types::MemberId;

fn body(message: &Message) -> BytesMut {
    let mut body = BytesMut::new();
    encode_message(message, &mut body);
    body
}

#[tokio::test]
async fn streams() {
    let a = Node::start(A).await;
    a.transport.add_peer(B, vec!["http://127.0.0.1:1".parse().unwrap()]);
    let removed = MemberId(0xdead);
    a.member.script.lock().unwrap().removed.insert(removed);
    let good = with(raft_headers(B), "X-Raft-To", "a");
    let change = |name, value| with(good.clone(), name, value);
    let without = |name: &str| {
        let mut headers = good.clone();
        headers.retain(|(known, _)| known != name);
        headers
    };
    let path = "/raft/stream/message/b";
    let cases = [
        ("POST", path, good.clone(), 405, "Method Not Allowed"),
        ("GET", path, change("X-Server-Version", "2.3.0"), 412, "incompatible version"),
        ("GET", path, change("X-Server-Version", "nonsense"), 412, "incompatible version"),
        ("GET", path, without("X-Server-Version"), 412, "incompatible version"),
        ("GET", path, change("X-Min-Cluster-Version", "3.8.0"), 412, "incompatible version"),
        ("GET", path, change("X-Etcd-Cluster-ID", "1"), 412, "cluster ID mismatch"),
        ("GET", path, without("X-Etcd-Cluster-ID"), 412, "cluster ID mismatch"),
        ("GET", "/raft/stream/other/b", good.clone(), 404, "invalid path"),
        ("GET", "/raft/stream/b", good.clone(), 404, "invalid path"),
        ("GET", "/raft/stream/message/xyz", good.clone(), 404, "invalid from"),
        ("GET", "/raft/stream/message/dead", good.clone(), 410, "removed member"),
        ("GET", "/raft/stream/message/c", good.clone(), 404, "error sender not found"),
        ("GET", path, change("X-Raft-To", "f"), 412, "to field mismatch"),
        ("GET", path, without("X-Raft-To"), 412, "to field mismatch"),
    ];
    for (method, path, headers, status, text) in cases {
        let answer = raw(&a.address, method, path, &headers, b"").await;
        assert_eq!((answer.status, answer.body.as_str()), (status, format!("{text}\n").as_str()));
        if status == 405 {
            assert_eq!(answer.header("Allow"), Some("GET"));
        } else {
            assert_eq!(answer.header("X-Etcd-Cluster-ID"), Some("6316a80935d7df3a"));
            assert_eq!(answer.header("X-Server-Version"), Some("3.7.0"));
        }
    }
    // The stranger is answered from now on, if it says where it listens.
    assert!(a.transport.peer(MemberId(0xc)).is_none());
    let headers = change("X-PeerURLs", "http://127.0.0.1:1,http://127.0.0.1:2");
    let headers = with(headers, "X-Server-From", "c");
    raw(&a.address, "GET", "/raft/stream/message/c", &headers, b"").await;
    let remote = a.status(MemberId(0xc));
    assert!(!remote.is_peer && remote.urls.len() == 2);
    a.stop().await;
}

#[tokio::test]
async fn posted_messages() {
    let a = Node::start(A).await;
    let removed = MemberId(0xdead);
    a.member.script.lock().unwrap().removed.insert(removed);
    let good = raft_headers(B);
    let post = |headers: Vec<(String, String)>, body: BytesMut| {
        let address = a.address.clone();
        async move { raw(&address, "POST", "/raft", &headers, &body).await }
    };
    let sound = body(&heartbeat(B, A, 1));

    let answer = raw(&a.address, "GET", "/raft", &good, b"").await;
    assert_eq!((answer.status, answer.header("Allow")), (405, Some("POST")));
    let answer = post(with(good.clone(), "X-Server-Version", "2.9.9"), sound.clone()).await;
    assert_eq!((answer.status, answer.body.as_str()), (412, "incompatible version\n"));
    let answer = post(with(good.clone(), "X-Etcd-Cluster-ID", "1"), sound.clone()).await;
    assert_eq!((answer.status, answer.body.as_str()), (412, "cluster ID mismatch\n"));
    let answer = post(good.clone(), BytesMut::from(&b"nonsense"[..])).await;
    assert_eq!((answer.status, answer.body.as_str()), (400, "error unmarshalling raft message\n"));
    let answer = post(good.clone(), body(&heartbeat(removed, A, 1))).await;
    let text = r#"{"message":"cannot process message from removed member"}"#;
    assert_eq!((answer.status, answer.body.as_str()), (403, text));
    let answer = post(good.clone(), body(&heartbeat(B, MemberId(9), 1))).await;
    let text = r#"{"message":"cannot process message to mismatch member"}"#;
    assert_eq!((answer.status, answer.body.as_str()), (403, text));
    assert_eq!(answer.header("X-Etcd-Cluster-ID"), Some("6316a80935d7df3a"));

    a.member.script.lock().unwrap().refuse = Some(StepRefused::Full);
    let answer = post(good.clone(), sound.clone()).await;
    assert_eq!((answer.status, answer.body.as_str()), (500, "error processing raft message\n"));
    a.member.script.lock().unwrap().refuse = None;
    let answer = post(good, sound).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert_eq!(a.messages(), [heartbeat(B, A, 1)]);
    a.stop().await;
}

#[tokio::test]
async fn a_message_beyond_the_bound_is_not_read() {
    let a = Node::with(drystone_peer::Config { frame_bytes_max: 1000, ..fast(A) }).await;
    let answer = raw(&a.address, "POST", "/raft", &raft_headers(B), &[0; 5000]).await;
    assert_eq!((answer.status, answer.body.as_str()), (400, "error reading raft message\n"));
    a.stop().await;
}

#[tokio::test]
async fn members_of_different_clusters_and_versions_do_not_meet() {
    let other = drystone_peer::Config::new(B, drystone_types::ClusterId(1));
    let other = drystone_peer::Config { redial_pause: fast(B).redial_pause, ..other };
    let (a, b) = (Node::start(A).await, Node::with(other).await);
    a.knows(&b);
    b.knows(&a);
    eventually("refused", || a.status(B).sent_failures > 4).await;
    let failure = a.status(B).last_failure.unwrap();
    assert!(failure.contains("cluster ID mismatch"), "{failure}");
    assert!(!a.status(B).message_stream && !b.status(A).message_stream);
    b.stop().await;

    let old = drystone_peer::Config { version: drystone_peer::ApiVersion::new(2, 3, 8), ..fast(B) };
    let b = Node::with(old).await;
    a.transport.update_peer(B, vec![b.url()]);
    b.knows(&a);
    let failure = || a.status(B).last_failure.unwrap_or_default();
    eventually("refused", || failure().contains("incompatible version")).await;
    eventually("refused", || {
        b.status(A).last_failure.unwrap_or_default().contains("incompatible version")
    })
    .await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn unknown_paths() {
    let a = Node::start(A).await;
    for path in ["/", "/members/", "/health", "/v2/keys", "/raft/", "/raft/stream", "/leases/x"] {
        let answer = raw(&a.address, "GET", path, &[], b"").await;
        assert_eq!((answer.status, answer.body.as_str()), (404, "404 page not found\n"), "{path}");
        assert_eq!(answer.header("Content-Type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
    }
    a.stop().await;
}
