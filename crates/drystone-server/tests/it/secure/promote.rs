//! A promotion that a member passes on for a client whom only a certificate names.

use super::{Papers, enable_auth, member, ready};
use crate::{READY_MAX, free_port};
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::cluster_client::ClusterClient;
use drystone_api::etcdserverpb::maintenance_client::MaintenanceClient;
use drystone_client::Transport;
use drystone_server::Server;
use std::time::Duration;
use tonic::Code;

/// What a promotion is refused with until the learner has caught up, and on a slow machine.
const LATER: [&str; 2] = [
    "etcdserver: can only promote a learner member which is in sync with leader",
    "etcdserver: request timed out",
];

/// Takes a client for the user that its certificate names.
const NAMED: &str = "--client-cert-auth";

fn entry(n: usize) -> String {
    format!("m{n}=https://127.0.0.1:{}", free_port())
}

/// Which of two members leads.
async fn leader(papers: &Papers, servers: &[Server; 2]) -> usize {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    let found = async {
        loop {
            for (n, server) in servers.iter().enumerate() {
                let client = papers.client(server, "https", Some("root"));
                let mut maintenance = MaintenanceClient::new(Transport::new(&client).unwrap());
                let status = maintenance.status(pb::StatusRequest {}).await.unwrap().into_inner();
                if status.leader == status.header.unwrap().member_id {
                    return n;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(READY_MAX, found).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_known_by_a_common_name_alone_may_promote_through_a_follower() {
    let papers = Papers::new();
    papers.issue("root", 2, "root");
    papers.issue("alice", 3, "alice");
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let mut cluster = vec![entry(0), entry(1)];
    let [a, b] = [0, 1].map(|n| member(&papers, &folders[n], n, &cluster, &[NAMED]));
    let (a, b) = tokio::join!(Server::start(a), Server::start(b));
    let servers = [a.unwrap(), b.unwrap()];
    for server in &servers {
        ready(&papers.client(server, "https", Some("root"))).await;
    }
    let leader = leader(&papers, &servers).await;
    let as_user = |n: usize, name| {
        let client = papers.client(&servers[n], "https", Some(name));
        ClusterClient::new(Transport::new(&client).unwrap())
    };
    let root = papers.client(&servers[leader], "https", Some("root"));
    enable_auth(Transport::new(&root).unwrap()).await;

    // Two members have to have been in contact for five seconds before one more is let in.
    let learner = entry(2);
    let url = learner.split_once('=').unwrap().1.to_owned();
    let add = pb::MemberAddRequest { peer_ur_ls: vec![url], is_learner: true };
    let added = async {
        loop {
            match as_user(leader, "root").member_add(add.clone()).await {
                Ok(added) => break added.into_inner().member.unwrap().id,
                Err(status) => assert_eq!(status.message(), "etcdserver: unhealthy cluster"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let id = tokio::time::timeout(READY_MAX, added).await.unwrap();
    cluster.push(learner);
    let flags = [NAMED, "--initial-cluster-state=existing"];
    let third = member(&papers, &folders[2], 2, &cluster, &flags);
    let third = Server::start(third).await.unwrap();

    let follower = 1 - leader;
    let promote = pb::MemberPromoteRequest { id };
    let denied = as_user(follower, "alice").member_promote(promote).await.unwrap_err();
    assert_eq!(
        (denied.code(), denied.message()),
        (Code::PermissionDenied, "etcdserver: permission denied",)
    );
    let promoted = async {
        loop {
            match as_user(follower, "root").member_promote(promote).await {
                Ok(promoted) => break promoted.into_inner().members,
                Err(status) => assert!(LATER.contains(&status.message()), "{status}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let members = tokio::time::timeout(READY_MAX, promoted).await.unwrap();
    assert_eq!(members.len(), 3);
    assert!(members.iter().all(|member| !member.is_learner), "{members:?}");
    for server in servers.into_iter().chain([third]) {
        server.stop().await;
    }
}
