//! Members that come, go, and change places, in one process.

use crate::put;
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::cluster_client::ClusterClient;
use drystone_api::etcdserverpb::kv_client::KvClient;
use drystone_api::etcdserverpb::maintenance_client::MaintenanceClient;
use drystone_server::{Config, Parsed, Server, parse};
use std::time::Duration;
use tempfile::TempDir;
use tonic::transport::Channel;

/// Bound on every wait for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// One member: where it listens, where its data is, and the server while it runs.
pub(crate) struct Member {
    name: String,
    client: String,
    pub(crate) peer: String,
    folder: TempDir,
    pub(crate) server: Option<Server>,
}

impl Member {
    pub(crate) fn new(name: &str) -> Self {
        let [client, peer] = [(); 2].map(|()| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            format!("http://{}", listener.local_addr().unwrap())
        });
        let folder = tempfile::tempdir().unwrap();
        Self { name: name.to_owned(), client, peer, folder, server: None }
    }

    fn config(&self, cluster: &str, words: &[&str]) -> Config {
        let own = [
            format!("--name={}", self.name),
            format!("--data-dir={}", self.folder.path().display()),
            format!("--listen-client-urls={}", self.client),
            format!("--advertise-client-urls={}", self.client),
            format!("--listen-peer-urls={}", self.peer),
            format!("--initial-advertise-peer-urls={}", self.peer),
            format!("--initial-cluster={cluster}"),
        ];
        let words = own.into_iter().chain(words.iter().map(|word| (*word).to_owned()));
        match parse(words, []).unwrap() {
            Parsed::Run { config, .. } => *config,
            Parsed::Print(text) => panic!("{text}"),
        }
    }

    pub(crate) async fn start(&mut self, cluster: &str, words: &[&str]) {
        self.server = Some(Server::start(self.config(cluster, words)).await.unwrap());
    }

    pub(crate) fn entry(&self) -> String {
        format!("{}={}", self.name, self.peer)
    }

    async fn channel(&self) -> Channel {
        let connect = async {
            loop {
                let endpoint = Channel::from_shared(self.client.clone()).unwrap();
                if let Ok(channel) = endpoint.connect().await {
                    return channel;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(PATIENCE, connect).await.unwrap()
    }

    pub(crate) async fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel().await)
    }

    async fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel().await)
    }

    async fn status(&self) -> pb::StatusResponse {
        let mut client = MaintenanceClient::new(self.channel().await);
        client.status(pb::StatusRequest {}).await.unwrap().into_inner()
    }

    async fn id(&self) -> u64 {
        self.status().await.header.unwrap().member_id
    }

    async fn leads(&self) -> bool {
        let status = self.status().await;
        status.leader == status.header.unwrap().member_id
    }
}

pub(crate) fn initial(members: &[Member]) -> String {
    members.iter().map(Member::entry).collect::<Vec<_>>().join(",")
}

/// Three members that serve, with one key.
pub(crate) async fn three() -> Vec<Member> {
    let mut members: Vec<Member> = ["a", "b", "c"].into_iter().map(Member::new).collect();
    let cluster = initial(&members);
    for member in &mut members {
        member.start(&cluster, &[]).await;
    }
    for member in &members {
        let read = pb::RangeRequest { key: "a".into(), ..Default::default() };
        member.kv().await.range(read).await.unwrap();
    }
    members[0].kv().await.put(put("a", "1")).await.unwrap();
    members
}

/// Repeats a change that is refused because members have not been in contact for long enough.
pub(crate) async fn once_healthy<T, F: Future<Output = Result<T, tonic::Status>>>(
    mut change: impl FnMut() -> F,
) -> T {
    let done = async {
        loop {
            match change().await {
                Ok(done) => return done,
                Err(status) => assert_eq!(status.message(), "etcdserver: unhealthy cluster"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, done).await.unwrap()
}

async fn leader(members: &[Member]) -> usize {
    let found = async {
        loop {
            for (n, member) in members.iter().enumerate() {
                if member.server.is_some() && member.leads().await {
                    return n;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap()
}

pub(crate) async fn stop_all(members: Vec<Member>) {
    for member in members {
        if let Some(server) = member.server {
            server.stop().await;
        }
    }
}

/// A fourth member joins as a learner, is promoted, and takes part when the leader is removed.
#[tokio::test(flavor = "multi_thread")]
async fn a_learner_joins_is_promoted_and_the_leader_is_removed() {
    let mut members = three().await;
    let mut fourth = Member::new("d");
    let mut cluster = members[0].cluster().await;
    let request = pb::MemberAddRequest { peer_ur_ls: vec![fourth.peer.clone()], is_learner: true };
    let added = once_healthy(|| {
        let (mut cluster, request) = (cluster.clone(), request.clone());
        async move { cluster.member_add(request).await }
    });
    let added = added.await.into_inner();
    let learner = added.member.unwrap();
    assert!(learner.is_learner && learner.name.is_empty());
    assert_eq!(added.members.len(), 4);
    assert!(added.members.windows(2).all(|pair| pair[0].id < pair[1].id));
    // Other URLs besides, and so another id than within the same second.
    let urls = vec![fourth.peer.clone(), "http://127.0.0.1:1".to_owned()];
    let again = pb::MemberAddRequest { peer_ur_ls: urls, is_learner: true };
    let again = cluster.member_add(again).await.unwrap_err();
    assert_eq!(again.message(), "etcdserver: Peer URLs already exists");

    let promote = pb::MemberPromoteRequest { id: learner.id };
    for member in &members {
        // A follower asks the leader, so the answer is the same everywhere.
        let refused = member.cluster().await.member_promote(promote).await.unwrap_err();
        assert_eq!(
            refused.message(),
            "etcdserver: can only promote a learner member which is in sync with leader"
        );
    }

    let listed = format!("{},{}", initial(&members), fourth.entry());
    fourth.start(&listed, &["--initial-cluster-state=existing"]).await;
    assert_eq!(fourth.id().await, learner.id);
    learner_serves_little(&fourth).await;

    let promoted = async {
        loop {
            match members[1].cluster().await.member_promote(promote).await {
                Ok(answer) => return answer.into_inner(),
                Err(status) => assert!(status.message().contains("in sync"), "{status:?}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let promoted = tokio::time::timeout(PATIENCE, promoted).await.unwrap();
    assert!(promoted.members.iter().all(|member| !member.is_learner));
    let twice = cluster.member_promote(promote).await.unwrap_err();
    assert_eq!(twice.message(), "etcdserver: can only promote a learner member");

    members.push(fourth);
    let led = leader(&members).await;
    let id = members[led].id().await;
    let asked = members[(led + 1) % 4].cluster().await;
    let removed = once_healthy(|| {
        let mut asked = asked.clone();
        async move { asked.member_remove(pb::MemberRemoveRequest { id }).await }
    });
    assert_eq!(removed.await.into_inner().members.len(), 3);
    let server = members[led].server.take().unwrap();
    tokio::time::timeout(PATIENCE, server.removed()).await.unwrap();
    server.stop().await;
    let gone = members.remove(led);
    let mut kv = members[2].kv().await;
    kv.put(put("a", "2")).await.unwrap();
    let read = pb::RangeRequest { key: "a".into(), ..Default::default() };
    for member in &members {
        let found = member.kv().await.range(read.clone()).await.unwrap().into_inner();
        assert_eq!(found.kvs[0].value, "2", "{}", member.name);
    }
    cluster = members[0].cluster().await;
    let unknown = cluster.member_remove(pb::MemberRemoveRequest { id }).await.unwrap_err();
    assert_eq!(unknown.message(), "etcdserver: member not found");
    drop(gone);
    stop_all(members).await;
}

/// What a learner answers to clients.
async fn learner_serves_little(learner: &Member) {
    let refusal = "etcdserver: rpc not supported for learner";
    let status = learner.status().await;
    assert!(status.is_learner);
    let mut kv = learner.kv().await;
    let read = pb::RangeRequest { key: "a".into(), serializable: true, ..Default::default() };
    let caught_up = async {
        while kv.range(read.clone()).await.unwrap().into_inner().kvs.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, caught_up).await.unwrap();
    let linearizable = pb::RangeRequest { serializable: false, ..read.clone() };
    assert_eq!(kv.range(linearizable).await.unwrap_err().message(), refusal);
    assert_eq!(kv.put(put("a", "x")).await.unwrap_err().message(), refusal);
    let op = pb::request_op::Request::RequestRange(read);
    let txn =
        pb::TxnRequest { success: vec![pb::RequestOp { request: Some(op) }], ..Default::default() };
    assert_eq!(kv.txn(txn).await.unwrap_err().message(), refusal);
    let list = pb::MemberListRequest { linearizable: false };
    let listed = learner.cluster().await.member_list(list).await.unwrap_err();
    assert_eq!(listed.message(), refusal);
    assert_eq!(listed.code(), tonic::Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_moves_to_whom_it_is_told() {
    let members = three().await;
    let led = leader(&members).await;
    let (next, own) = ((led + 1) % 3, members[led].id().await);
    let target = members[next].id().await;
    let mut client = MaintenanceClient::new(members[led].channel().await);
    let answer = client.move_leader(pb::MoveLeaderRequest { target_id: own }).await.unwrap();
    assert_eq!(answer.into_inner().header, None);
    let unknown = client.move_leader(pb::MoveLeaderRequest { target_id: 7 }).await.unwrap_err();
    assert_eq!(unknown.message(), "etcdserver: bad leader transferee");
    client.move_leader(pb::MoveLeaderRequest { target_id: target }).await.unwrap();
    assert_eq!(leader(&members).await, next);
    let refused = client.move_leader(pb::MoveLeaderRequest { target_id: own }).await.unwrap_err();
    assert_eq!(refused.message(), "etcdserver: not leader");
    stop_all(members).await;
}

/// A leader that hands over before it goes may not hear that its removal was agreed on: its
/// caller then lost the connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_asked_to_remove_itself_answers_before_it_ends() {
    let mut members = three().await;
    let led = leader(&members).await;
    let id = members[led].id().await;
    let asked = members[led].cluster().await;
    let removed = once_healthy(|| {
        let mut asked = asked.clone();
        async move { asked.member_remove(pb::MemberRemoveRequest { id }).await }
    });
    let left = removed.await.into_inner().members;
    assert!(left.len() == 2 && left.iter().all(|member| member.id != id));
    let server = members[led].server.take().unwrap();
    tokio::time::timeout(PATIENCE, server.removed()).await.unwrap();
    server.stop().await;
    members[(led + 1) % 3].kv().await.put(put("a", "2")).await.unwrap();
    stop_all(members).await;
}

/// A member that is removed is told so by the others, even when it starts later.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_removed_while_it_was_away_ends() {
    let mut members = three().await;
    let led = leader(&members).await;
    let away = (led + 1) % 3;
    let id = members[away].id().await;
    let cluster = initial(&members);
    members[away].server.take().unwrap().stop().await;
    let asked = members[led].cluster().await;
    once_healthy(|| {
        let mut asked = asked.clone();
        async move { asked.member_remove(pb::MemberRemoveRequest { id }).await }
    })
    .await;
    members[away].start(&cluster, &[]).await;
    let server = members[away].server.take().unwrap();
    tokio::time::timeout(PATIENCE, server.removed()).await.unwrap();
    server.stop().await;
    members[led].kv().await.put(put("a", "2")).await.unwrap();
    stop_all(members).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_a_cluster_that_is_another_is_refused() {
    let mut members: Vec<Member> = vec![Member::new("a")];
    let cluster = initial(&members);
    members[0].start(&cluster, &[]).await;
    members[0].kv().await.put(put("a", "1")).await.unwrap();
    let stranger = Member::new("s");
    let existing = &["--initial-cluster-state=existing"];
    let both = format!("{cluster},{}", stranger.entry());
    let refused = Server::start(stranger.config(&both, existing)).await.unwrap_err();
    let text = format!("{refused:#}");
    assert!(text.starts_with("error validating peerURLs {ClusterID:"), "{text}");
    assert!(text.ends_with(": member count is unequal"), "{text}");
    let nobody = format!("n=http://127.0.0.1:1,{}", stranger.entry());
    let refused = Server::start(stranger.config(&nobody, existing)).await.unwrap_err();
    assert_eq!(
        format!("{refused:#}"),
        "cannot fetch cluster info from peer urls: could not retrieve cluster information from \
         the given URLs"
    );
    stop_all(members).await;
}

/// A restart once ended on a list that no longer had this member, or had it elsewhere, which
/// happens when manifests are made anew from a cluster that has changed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_does_not_look_at_the_initial_cluster() {
    let mut member = Member::new("a");
    let own = member.entry();
    member.start(&own, &[]).await;
    let id = member.id().await;
    member.kv().await.put(put("a", "1")).await.unwrap();
    for list in ["b=http://127.0.0.1:1", "a=http://127.0.0.1:1", "a=x", "no list at all"] {
        member.server.take().unwrap().stop().await;
        member.start(list, &["--initial-cluster-token=other"]).await;
        assert_eq!(member.id().await, id, "{list}");
        let read = pb::RangeRequest { key: "a".into(), ..Default::default() };
        let found = member.kv().await.range(read).await.unwrap().into_inner();
        assert_eq!(found.kvs[0].value, "1", "{list}");
    }
    stop_all(vec![member]).await;
}
