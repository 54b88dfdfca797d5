//! A member without raft, and a raw HTTP client.

use drystone_api::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use drystone_peer::{
    Answers, Config, HashKv, HashKvRefused, Inbox, LeaseRefused, MemberInfo, PassedOn, PeerStatus,
    PeerUrl, PromoteRefused, ReplaceRefused, Replacement, SnapshotSource, Snapshots, StepRefused,
    TcpDialer, Transport, VersionInfo,
};
use drystone_raft::{Message, MessageKind};
use drystone_types::{ClusterId, Entry, EntryKind, LogIndex, MemberId, Term};
use futures::future::BoxFuture;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

pub(crate) const CLUSTER: ClusterId = ClusterId(0x6316_a809_35d7_df3a);
pub(crate) const A: MemberId = MemberId(0xa);
pub(crate) const B: MemberId = MemberId(0xb);

/// What happened to a member.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) messages: Vec<Message>,
    pub(crate) unreachable: BTreeSet<MemberId>,
    pub(crate) snapshots: Vec<(MemberId, bool)>,
    pub(crate) removed_from_cluster: usize,
    pub(crate) received: Vec<(Message, PathBuf)>,
}

/// What a member shall do.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) removed: BTreeSet<MemberId>,
    pub(crate) refuse: Option<StepRefused>,
    pub(crate) source: Vec<drystone_peer::SnapshotFile>,
}

pub(crate) struct Member {
    pub(crate) id: MemberId,
    pub(crate) seen: Mutex<Seen>,
    pub(crate) script: Mutex<Script>,
    pub(crate) dir: tempfile::TempDir,
}

impl Inbox for Member {
    fn step(&self, message: Message) -> Result<(), StepRefused> {
        if let Some(refused) = self.script.lock().unwrap().refuse {
            return Err(refused);
        }
        self.seen.lock().unwrap().messages.push(message);
        Ok(())
    }

    fn report_unreachable(&self, id: MemberId) {
        self.seen.lock().unwrap().unreachable.insert(id);
    }

    fn report_snapshot(&self, id: MemberId, delivered: bool) {
        self.seen.lock().unwrap().snapshots.push((id, delivered));
    }

    fn is_removed(&self, id: MemberId) -> bool {
        self.script.lock().unwrap().removed.contains(&id)
    }

    fn removed_from_cluster(&self) {
        self.seen.lock().unwrap().removed_from_cluster += 1;
    }
}

impl Snapshots for Member {
    fn snapshot_dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    fn open_snapshot(&self, _: &Message) -> io::Result<SnapshotSource> {
        let files = self.script.lock().unwrap().source.clone();
        Ok(SnapshotSource { files, guard: Box::new(()) })
    }

    fn snapshot_received(&self, message: Message, dir: PathBuf) -> Result<(), StepRefused> {
        if let Some(refused) = self.script.lock().unwrap().refuse {
            return Err(refused);
        }
        self.seen.lock().unwrap().received.push((message, dir));
        Ok(())
    }
}

impl Answers for Member {
    fn members(&self) -> Vec<MemberInfo> {
        vec![MemberInfo {
            id: self.id.0,
            peer_urls: vec!["http://127.0.0.1:2380".into()],
            name: "m".into(),
            ..MemberInfo::default()
        }]
    }

    fn version(&self) -> VersionInfo {
        VersionInfo {
            server: "3.7.0".into(),
            cluster: "not_decided".into(),
            storage: String::new(),
        }
    }

    fn lease_keep_alive(
        &self,
        request: LeaseKeepAliveRequest,
    ) -> BoxFuture<'static, Result<LeaseKeepAliveResponse, LeaseRefused>> {
        Box::pin(async move {
            match request.id {
                7 => Ok(LeaseKeepAliveResponse { header: None, id: 7, ttl: 60 }),
                8 => Err(LeaseRefused::ApplyTimeout),
                9 => Err(LeaseRefused::Other("not a primary lessor".into())),
                _ => Err(LeaseRefused::NotFound),
            }
        })
    }

    fn lease_time_to_live(
        &self,
        request: LeaseTimeToLiveRequest,
    ) -> BoxFuture<'static, Result<LeaseTimeToLiveResponse, LeaseRefused>> {
        Box::pin(async move {
            match request.id {
                7 => Ok(LeaseTimeToLiveResponse {
                    id: 7,
                    ttl: 50,
                    granted_ttl: 60,
                    keys: if request.keys { vec!["k".into()] } else { vec![] },
                    ..LeaseTimeToLiveResponse::default()
                }),
                9 => Err(LeaseRefused::Other("not a primary lessor".into())),
                _ => Err(LeaseRefused::NotFound),
            }
        })
    }

    fn hash_kv(&self, revision: i64) -> BoxFuture<'static, Result<HashKv, HashKvRefused>> {
        Box::pin(async move {
            match revision {
                5..=7 => Ok(HashKv {
                    revision: 7,
                    hash: 3_248_259_889,
                    compact_revision: 5,
                    hash_revision: revision,
                }),
                ..5 => Err(HashKvRefused::Compacted),
                8.. => Err(HashKvRefused::Future),
            }
        })
    }

    fn promote_member(
        &self,
        id: MemberId,
        caller: PassedOn,
    ) -> BoxFuture<'static, Result<Vec<MemberInfo>, PromoteRefused>> {
        let members = self.members();
        Box::pin(async move {
            match (id.0, caller.token.as_deref(), caller.common_name.as_deref()) {
                (1, Some("secret"), _) | (5, None, Some("root \u{e9}\n")) => Ok(members),
                (2, ..) => Err(PromoteRefused::NotLearner),
                (3, ..) => Err(PromoteRefused::NotReady),
                (4, ..) => Err(PromoteRefused::NotFound),
                _ => Err(PromoteRefused::Other("no".into())),
            }
        })
    }

    fn replace_member(
        &self,
        replacement: Replacement,
    ) -> BoxFuture<'static, Result<Vec<MemberInfo>, ReplaceRefused>> {
        let members = self.members();
        Box::pin(async move {
            match (replacement.old.0, replacement.new.0) {
                (1, 0x10) if replacement.name == "m" && replacement.peer_urls.len() == 1 => {
                    Ok(members)
                }
                (2, _) => Err(ReplaceRefused::Later("busy".into())),
                (3, _) => Err(ReplaceRefused::Never("no".into())),
                _ => Err(ReplaceRefused::NotLeader),
            }
        })
    }

    fn promote_replacement(
        &self,
        id: MemberId,
    ) -> BoxFuture<'static, Result<Vec<MemberInfo>, ReplaceRefused>> {
        let members = self.members();
        Box::pin(async move {
            match id.0 {
                0x10 => Ok(members),
                _ => Err(ReplaceRefused::Later("behind".into())),
            }
        })
    }

    fn downgrade_enabled(&self) -> BoxFuture<'static, Result<bool, String>> {
        Box::pin(async { Ok(false) })
    }
}

/// A member that listens.
pub(crate) struct Node {
    pub(crate) member: Arc<Member>,
    pub(crate) transport: Transport,
    pub(crate) address: String,
    accept: tokio::task::JoinHandle<()>,
}

pub(crate) fn fast(id: MemberId) -> Config {
    Config {
        dial_timeout: Duration::from_secs(2),
        read_timeout: Duration::from_secs(2),
        write_timeout: Duration::from_millis(500),
        redial_pause: Duration::from_millis(20),
        heartbeat_pause: Duration::from_millis(100),
        probe_pause: Duration::from_millis(50),
        ..Config::new(id, CLUSTER)
    }
}

impl Node {
    pub(crate) async fn start(id: MemberId) -> Self {
        Self::with(fast(id)).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::on(config, TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn on(mut config: Config, listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        config.peer_urls = vec![format!("http://{address}").parse().unwrap()];
        let member = Arc::new(Member {
            id: config.member,
            seen: Mutex::default(),
            script: Mutex::default(),
            dir: tempfile::tempdir().unwrap(),
        });
        let transport =
            Transport::new(config, Arc::clone(&member) as _, Arc::new(TcpDialer)).unwrap();
        let serving = transport.clone();
        let accept = tokio::spawn(async move { serving.serve(listener).await });
        Self { member, transport, address, accept }
    }

    pub(crate) fn url(&self) -> PeerUrl {
        format!("http://{}", self.address).parse().unwrap()
    }

    pub(crate) fn knows(&self, other: &Self) {
        self.transport.add_peer(other.member.id, vec![other.url()]);
    }

    pub(crate) fn status(&self, id: MemberId) -> PeerStatus {
        self.transport.peer(id).expect("a far end")
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.member.seen.lock().unwrap().messages.clone()
    }

    /// Whether both streams to the other are up.
    pub(crate) fn streams_to(&self, id: MemberId) -> bool {
        let status = self.status(id);
        status.msgapp_stream && status.message_stream && status.active_since.is_some()
    }

    pub(crate) async fn stop(self) {
        timeout(Duration::from_secs(10), self.transport.stop()).await.expect("all tasks end");
        timeout(Duration::from_secs(1), self.accept).await.expect("accepting ends").unwrap();
    }
}

/// Two members that know each other, with all four streams up.
pub(crate) async fn pair() -> (Node, Node) {
    let (a, b) = (Node::start(A).await, Node::start(B).await);
    a.knows(&b);
    b.knows(&a);
    eventually("streams", || a.streams_to(B) && b.streams_to(A)).await;
    (a, b)
}

/// Waits until something holds, and fails loudly if it never does.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

/// An append that follows on from `index` with one entry.
pub(crate) fn append(from: MemberId, to: MemberId, index: u64, data: &[u8]) -> Message {
    let mut message = Message::new(MessageKind::Append, from, to, Term(3));
    message.log_term = Term(3);
    message.index = LogIndex(index);
    message.commit = LogIndex(index);
    message.entries = vec![Entry {
        term: Term(3),
        index: LogIndex(index + 1),
        kind: EntryKind::Normal,
        data: data.to_vec().into(),
    }];
    message
}

pub(crate) fn heartbeat(from: MemberId, to: MemberId, commit: u64) -> Message {
    let mut message = Message::new(MessageKind::Heartbeat, from, to, Term(3));
    message.commit = LogIndex(commit);
    message
}

/// The raft headers of a stranger who does everything right.
pub(crate) fn raft_headers(from: MemberId) -> Vec<(String, String)> {
    [
        ("X-Server-From", from.to_string()),
        ("X-Server-Version", "3.5.1".to_owned()),
        ("X-Min-Cluster-Version", "3.0.0".to_owned()),
        ("X-Etcd-Cluster-ID", CLUSTER.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

pub(crate) fn with(
    mut headers: Vec<(String, String)>,
    name: &str,
    value: &str,
) -> Vec<(String, String)> {
    headers.retain(|(known, _)| known != name);
    headers.push((name.to_owned(), value.to_owned()));
    headers
}

/// One answer, as text.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Raw {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Opens a connection and sends the head of a request, and as much of a body as is given.
pub(crate) async fn send_raw(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    length: usize,
    body: &[u8],
) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // The far end may refuse before it has read all of a body.
    let _ = stream.write_all(body).await;
    stream
}

/// A whole request and its whole answer.
pub(crate) async fn raw(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Raw {
    let mut stream = send_raw(address, method, path, headers, body.len(), body).await;
    read_raw(&mut stream).await
}

pub(crate) async fn read_raw(stream: &mut TcpStream) -> Raw {
    let mut all = Vec::new();
    let reading = stream.read_to_end(&mut all);
    let outcome = timeout(Duration::from_secs(10), reading).await.expect("an answer");
    if all.is_empty() {
        outcome.unwrap();
    }
    let text = String::from_utf8(all).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap();
    Raw { status, head: head.to_owned(), body: body.to_owned() }
}
