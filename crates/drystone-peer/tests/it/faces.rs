//! What members ask each other besides raft: both ends of each question.

use crate::harness::*;
use drystone_api::etcdserverpb::{LeaseKeepAliveRequest, LeaseTimeToLiveRequest};
use drystone_peer::{
    CallError, Dial, Fetch, FetchError, HashKvRefused, LeaseRefused, Opened, PassedOn, PeerUrl,
    PromoteRefused, ReplaceRefused, Replacement, Stream, TcpDialer, Transport,
};
use drystone_types::{ClusterId, MemberId};
use futures::future::BoxFuture;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn fetch() -> Fetch {
    Fetch::new(Arc::new(TcpDialer), Duration::from_secs(5))
}

#[tokio::test]
async fn members_and_versions() {
    let a = Node::start(A).await;
    let info = fetch().members(&a.url()).await.unwrap();
    assert_eq!(info.cluster, CLUSTER);
    assert_eq!((info.members.len(), info.members[0].member()), (1, A));
    let version = fetch().version(&a.url()).await.unwrap();
    assert_eq!((version.server.as_str(), version.cluster.as_str()), ("3.7.0", "not_decided"));
    assert!(!fetch().downgrade_enabled(&a.url()).await.unwrap());

    let answer = raw(&a.address, "GET", "/members", &[], b"").await;
    let json = "[{\"id\":10,\"peerURLs\":[\"http://127.0.0.1:2380\"],\"name\":\"m\"}]\n";
    assert_eq!((answer.status, answer.body.as_str()), (200, json));
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    let answer = raw(&a.address, "POST", "/members", &[], b"").await;
    assert_eq!((answer.status, answer.header("Allow")), (405, Some("GET")));
    let answer = raw(&a.address, "GET", "/version", &[], b"").await;
    let json = r#"{"etcdserver":"3.7.0","etcdcluster":"not_decided"}"#;
    assert_eq!((answer.status, answer.body.as_str()), (200, json));
    let answer = raw(&a.address, "POST", "/raft/probing", &[], b"").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.starts_with(r#"{"OK":true,"Now":"2"#) && answer.body.ends_with("Z\"}\n"));
    assert_eq!(answer.header("X-Drystone-Snapshot"), Some("1"));
    a.stop().await;

    let nobody = fetch().members(&"http://127.0.0.1:1".parse().unwrap()).await;
    assert!(matches!(nobody, Err(CallError::Dial { .. })), "{nobody:?}");
    let tls = fetch().version(&"https://127.0.0.1:1".parse().unwrap()).await;
    assert!(matches!(tls, Err(CallError::Dial { .. })), "{tls:?}");
}

#[tokio::test]
async fn a_connection_that_the_server_accepted_is_served() {
    let a = Node::start(A).await;
    let (mut near, far) = tokio::io::duplex(1 << 16);
    let transport = a.transport.clone();
    let serving =
        tokio::spawn(async move { transport.serve_connection(Opened::by_anybody(far)).await });
    near.write_all(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    near.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    // The connection is kept alive, and ends with the transport.
    a.stop().await;
    serving.await.unwrap();
}

#[tokio::test]
async fn leases() {
    let a = Node::start(A).await;
    let keep = |id| {
        let url = a.url();
        async move { fetch().lease_keep_alive(&url, LeaseKeepAliveRequest { id }).await }
    };
    assert_eq!(keep(7).await.unwrap().ttl, 60);
    let refused = |error| match error {
        FetchError::Refused(refused) => refused,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(keep(1).await.unwrap_err()), LeaseRefused::NotFound);
    assert_eq!(refused(keep(8).await.unwrap_err()), LeaseRefused::ApplyTimeout);
    let other = LeaseRefused::Other("not a primary lessor".into());
    assert_eq!(refused(keep(9).await.unwrap_err()), other);

    let read = |id| {
        let url = a.url();
        let request = LeaseTimeToLiveRequest { id, keys: true };
        async move { fetch().lease_time_to_live(&url, request).await }
    };
    let lease = read(7).await.unwrap();
    assert_eq!((lease.ttl, lease.granted_ttl, lease.keys.len()), (50, 60, 1));
    assert_eq!(refused(read(1).await.unwrap_err()), LeaseRefused::NotFound);

    let post = |path: &'static str, body: Vec<u8>| {
        let address = a.address.clone();
        async move { raw(&address, "POST", path, &[], &body).await }
    };
    let answer = post("/leases", vec![8, 7]).await;
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/protobuf")));
    for (path, body, status, text) in [
        ("/leases", vec![8, 1], 404, "lease not found\n"),
        ("/leases", vec![8, 9], 400, "not a primary lessor\n"),
        ("/leases", vec![0xff], 400, "error unmarshalling request\n"),
        ("/leases", vec![0; (64 << 10) + 1], 413, "request body too large\n"),
        ("/leases/internal", vec![10, 2, 8, 1], 404, "lease not found\n"),
        ("/leases/internal", vec![10, 2, 8, 9], 500, "not a primary lessor\n"),
        ("/leases/internal", vec![], 400, "error unmarshalling request\n"),
    ] {
        let answer = post(path, body).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, text), "{path}");
    }
    let answer = raw(&a.address, "GET", "/leases", &[], b"").await;
    assert_eq!((answer.status, answer.header("Allow")), (405, None));
    a.stop().await;
}

#[tokio::test]
async fn hashes() {
    let a = Node::start(A).await;
    let hash = fetch().hash_kv(&a.url(), CLUSTER, 7).await.unwrap();
    assert_eq!((hash.hash, hash.compact_revision, hash.hash_revision), (3_248_259_889, 5, 7));
    let refusal = |revision| {
        let url = a.url();
        async move {
            match fetch().hash_kv(&url, CLUSTER, revision).await {
                Err(FetchError::Refused(refused)) => refused,
                other => panic!("{other:?}"),
            }
        }
    };
    assert_eq!(refusal(1).await, HashKvRefused::Compacted);
    assert_eq!(refusal(9).await, HashKvRefused::Future);
    let stranger = fetch().hash_kv(&a.url(), ClusterId(1), 7).await;
    assert!(matches!(stranger, Err(FetchError::Call(CallError::ClusterMismatch))));
    let answer = raw(&a.address, "GET", "/members/hashkv", &[], b"{\"revision\":6}").await;
    let json =
        r#"{"header":{"revision":7},"hash":3248259889,"compact_revision":5,"hash_revision":6}"#;
    assert_eq!((answer.status, answer.body.as_str()), (200, json));
    let answer = raw(&a.address, "GET", "/members/hashkv", &[], b"x").await;
    assert_eq!((answer.status, answer.body.as_str()), (400, "error unmarshalling request\n"));
    a.stop().await;
}

#[tokio::test]
async fn a_member_that_lost_its_data_is_replaced_by_the_leader() {
    let a = Node::start(A).await;
    let replace = |old, new| {
        let url = a.url();
        let (name, peer_urls) = ("m".to_owned(), vec!["http://127.0.0.1:2380".to_owned()]);
        let replacement = Replacement { name, peer_urls, old: MemberId(old), new: MemberId(new) };
        async move { fetch().replace_member(&url, CLUSTER, &replacement).await }
    };
    assert_eq!(replace(1, 0x10).await.unwrap().len(), 1);
    for (old, wanted) in [
        (2, ReplaceRefused::Later("busy".into())),
        (3, ReplaceRefused::Never("no".into())),
        (4, ReplaceRefused::NotLeader),
    ] {
        match replace(old, 0x10).await {
            Err(FetchError::Refused(refused)) => assert_eq!(refused, wanted),
            other => panic!("{other:?}"),
        }
    }
    let promote = fetch().promote_replacement(&a.url(), CLUSTER, MemberId(0x10)).await;
    assert_eq!(promote.unwrap().len(), 1);
    let behind = fetch().promote_replacement(&a.url(), CLUSTER, MemberId(1)).await;
    assert!(matches!(behind, Err(FetchError::Refused(ReplaceRefused::Later(_)))));
    let foreign = fetch().promote_replacement(&a.url(), ClusterId(1), MemberId(0x10)).await;
    assert!(matches!(foreign, Err(FetchError::Call(CallError::ClusterMismatch))));
    let own = [("X-Etcd-Cluster-ID".to_owned(), CLUSTER.to_string())];
    let no_id = br#"{"name":"m","peerURLs":[],"old":"x","new":"1"}"#;
    for body in [&b""[..], b"{}", b"[1", no_id] {
        let answer = raw(&a.address, "POST", "/drystone/members/replace", &own, body).await;
        assert_eq!(answer.status, 400, "{body:?}");
    }
    let answer = raw(&a.address, "GET", "/drystone/members/replace", &own, b"").await;
    assert_eq!(answer.status, 405);
    a.stop().await;
}

#[tokio::test]
async fn promotions() {
    let a = Node::start(A).await;
    let promote = |id, token: Option<&str>| {
        let url = a.url();
        let caller = PassedOn { token: token.map(str::to_owned), common_name: None };
        async move { fetch().promote_member(&url, MemberId(id), &caller).await }
    };
    assert_eq!(promote(1, Some("secret")).await.unwrap().len(), 1);
    for (id, expected) in [
        (2, PromoteRefused::NotLearner),
        (3, PromoteRefused::NotReady),
        (4, PromoteRefused::NotFound),
    ] {
        match promote(id, None).await {
            Err(FetchError::Refused(refused)) => assert_eq!(refused, expected),
            other => panic!("{other:?}"),
        }
    }
    let other = promote(1, None).await;
    assert!(matches!(other, Err(FetchError::Call(CallError::Status { status: 500, .. }))));
    let answer = raw(&a.address, "POST", "/members/promote/xyz", &[], b"").await;
    assert_eq!((answer.status, answer.body.as_str()), (404, "member xyz not found in cluster\n"));
    let answer = raw(&a.address, "POST", "/members/promote/9", &[], b"{").await;
    assert_eq!((answer.status, answer.body.as_str()), (400, "error unmarshalling request\n"));
    let answer = raw(&a.address, "POST", "/members/promote/9", &[], b"").await;
    let json = r#"{"message":"Internal Server Error"}"#;
    assert_eq!((answer.status, answer.body.as_str()), (500, json));
    a.stop().await;
}

/// Connects to a transport as somebody who has shown a certificate that was verified, or not.
struct To {
    transport: Transport,
    is_proven: bool,
}

impl Dial for To {
    fn dial(&self, _: PeerUrl) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let (near, far) = tokio::io::duplex(1 << 16);
        let opened = Opened { is_proven: self.is_proven, ..Opened::by_anybody(far) };
        let transport = self.transport.clone();
        tokio::spawn(async move { transport.serve_connection(opened).await });
        Box::pin(async move { Ok(Box::new(near) as Box<dyn Stream>) })
    }
}

#[tokio::test]
async fn a_common_name_is_taken_from_who_has_proven_to_be_a_member_alone() {
    let a = Node::start(A).await;
    let promote = |is_proven, name: &str| {
        let dialer = Arc::new(To { transport: a.transport.clone(), is_proven });
        let fetch = Fetch::new(dialer, Duration::from_secs(5));
        let caller = PassedOn { token: None, common_name: Some(name.to_owned()) };
        let url = a.url();
        async move { fetch.promote_member(&url, MemberId(5), &caller).await }
    };
    assert_eq!(promote(true, "root \u{e9}\n").await.unwrap().len(), 1);
    for (is_proven, name) in [(true, "alice"), (true, ""), (false, "root \u{e9}\n")] {
        let refused = promote(is_proven, name).await;
        let refused =
            matches!(refused, Err(FetchError::Call(CallError::Status { status: 500, .. })));
        assert!(refused, "{is_proven} {name}");
    }
    a.stop().await;
}
