//! Two members in one process: streams come up, messages pass, a snapshot is carried over.
//!
//! `cargo run -p drystone-peer --example two_members`

use drystone_api::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use drystone_peer::{
    Answers, Config, HashKv, HashKvRefused, Inbox, LeaseRefused, MemberInfo, PassedOn,
    PromoteRefused, ReplaceRefused, Replacement, SnapshotFile, SnapshotSource, Snapshots,
    StepRefused, TcpDialer, Transport, VersionInfo,
};
use drystone_raft::{Message, MessageKind, SnapshotMeta};
use drystone_types::{ClusterId, ConfState, LogIndex, MemberId, Term};
use futures::future::BoxFuture;
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A member that tells what happens to it, and answers no questions.
struct Member {
    id: MemberId,
    dir: PathBuf,
    events: mpsc::UnboundedSender<String>,
}

impl Member {
    fn tell(&self, event: String) {
        // The example is over when nobody listens.
        let _ = self.events.send(format!("member {}: {event}", self.id));
    }
}

impl Inbox for Member {
    fn step(&self, message: Message) -> Result<(), StepRefused> {
        self.tell(format!("got {:?} from {}", message.kind, message.from));
        Ok(())
    }
    fn report_unreachable(&self, _: MemberId) {}
    fn report_snapshot(&self, id: MemberId, delivered: bool) {
        self.tell(format!("snapshot for {id} delivered: {delivered}"));
    }
    fn is_removed(&self, _: MemberId) -> bool {
        false
    }
    fn removed_from_cluster(&self) {}
}

impl Snapshots for Member {
    fn snapshot_dir(&self) -> PathBuf {
        self.dir.clone()
    }
    fn open_snapshot(&self, _: &Message) -> std::io::Result<SnapshotSource> {
        let path = self.dir.join("state");
        std::fs::write(&path, vec![7; 1 << 20])?;
        let file = SnapshotFile { name: "state".to_owned(), path, bytes: 1 << 20 };
        Ok(SnapshotSource { files: vec![file], guard: Box::new(()) })
    }
    fn snapshot_received(&self, _: Message, dir: PathBuf) -> Result<(), StepRefused> {
        let bytes = std::fs::metadata(dir.join("state")).map_or(0, |state| state.len());
        self.tell(format!("received a snapshot of {bytes} bytes"));
        Ok(())
    }
}

impl Answers for Member {
    fn members(&self) -> Vec<MemberInfo> {
        Vec::new()
    }
    fn version(&self) -> VersionInfo {
        VersionInfo { server: "3.7.0".to_owned(), ..VersionInfo::default() }
    }
    fn lease_keep_alive(
        &self,
        _: LeaseKeepAliveRequest,
    ) -> BoxFuture<'static, Result<LeaseKeepAliveResponse, LeaseRefused>> {
        Box::pin(async { Err(LeaseRefused::NotFound) })
    }
    fn lease_time_to_live(
        &self,
        _: LeaseTimeToLiveRequest,
    ) -> BoxFuture<'static, Result<LeaseTimeToLiveResponse, LeaseRefused>> {
        Box::pin(async { Err(LeaseRefused::NotFound) })
    }
    fn hash_kv(&self, _: i64) -> BoxFuture<'static, Result<HashKv, HashKvRefused>> {
        Box::pin(async { Err(HashKvRefused::Future) })
    }
    fn promote_member(
        &self,
        _: MemberId,
        _: PassedOn,
    ) -> BoxFuture<'static, Result<Vec<MemberInfo>, PromoteRefused>> {
        Box::pin(async { Err(PromoteRefused::NotFound) })
    }
    fn replace_member(
        &self,
        _: Replacement,
    ) -> BoxFuture<'static, Result<Vec<MemberInfo>, ReplaceRefused>> {
        Box::pin(async { Err(ReplaceRefused::NotLeader) })
    }

    fn promote_replacement(
        &self,
        _: MemberId,
    ) -> BoxFuture<'static, Result<Vec<MemberInfo>, ReplaceRefused>> {
        Box::pin(async { Err(ReplaceRefused::NotLeader) })
    }

    fn downgrade_enabled(&self) -> BoxFuture<'static, Result<bool, String>> {
        Box::pin(async { Ok(false) })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let base = std::env::temp_dir().join(format!("two-members-{}", std::process::id()));
    let (events, mut told) = mpsc::unbounded_channel();
    let mut transports = Vec::new();
    let mut urls = Vec::new();
    for id in [MemberId(1), MemberId(2)] {
        let dir = base.join(id.to_string());
        std::fs::create_dir_all(&dir)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?).parse()?;
        let mut config = Config::new(id, ClusterId(42));
        config.peer_urls = vec![url];
        urls.push(config.peer_urls.clone());
        let member = Member { id, dir, events: events.clone() };
        let transport = Transport::new(config, Arc::new(member), Arc::new(TcpDialer))?;
        let serving = transport.clone();
        tokio::spawn(async move { serving.serve(listener).await });
        transports.push(transport);
    }
    transports[0].add_peer(MemberId(2), urls[1].clone());
    transports[1].add_peer(MemberId(1), urls[0].clone());
    while !transports[0].peers().iter().all(|peer| peer.message_stream && peer.msgapp_stream) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let to = |kind| Message::new(kind, MemberId(1), MemberId(2), Term(1));
    let mut snapshot = to(MessageKind::Snapshot);
    snapshot.snapshot = Some(SnapshotMeta {
        conf_state: ConfState { voters: vec![MemberId(1), MemberId(2)], learners: Vec::new() },
        index: LogIndex(9),
        term: Term(1),
        ..SnapshotMeta::default()
    });
    transports[0].send(vec![to(MessageKind::Heartbeat), to(MessageKind::Append), snapshot]);
    let mut out = std::io::stdout().lock();
    for _ in 0..4 {
        if let Some(event) = told.recv().await {
            writeln!(out, "{event}")?;
        }
    }
    for transport in transports {
        transport.stop().await;
    }
    std::fs::remove_dir_all(base)?;
    Ok(())
}
