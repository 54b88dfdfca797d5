//! How this member meets the others: the transport's questions answered, snapshots handed over.

use crate::access::{Authority, Caller};
use crate::layout::{Layout, move_folder};
use crate::lease::{renew_here, time_to_live_here};
use crate::shared::{Input, Shared};
use crossbeam_channel::TrySendError;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
    MemberPromoteRequest,
};
use drystone_backend::Backend;
use drystone_machine::{Member, Membership};
use drystone_mvcc::OpError;
use drystone_peer::{
    Answers, DigestMark, HashKv, HashKvRefused, Inbox, LeaseRefused, MemberInfo, PassedOn, PeerUrl,
    PromoteRefused, ReplaceRefused, Replacement, SnapshotFile, SnapshotSource, Snapshots,
    StepRefused, Transfer, Transport, VersionInfo,
};
use drystone_raft::Message;
use drystone_types::{LogIndex, MemberId};
use futures::future::BoxFuture;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often a replaced store is looked at until its last reader is gone.
const IDLE_PAUSE: Duration = Duration::from_millis(500);

/// What the transport asks, answered from the shared state. Weak, because the transport is
/// itself part of that state.
pub(crate) struct PeerHandler {
    pub(crate) shared: Weak<Shared>,
    pub(crate) layout: Layout,
}

impl PeerHandler {
    fn shared(&self) -> Result<Arc<Shared>, StepRefused> {
        self.shared.upgrade().ok_or(StepRefused::Stopped)
    }

    fn send(&self, input: Input) -> Result<(), StepRefused> {
        self.shared()?.inbox.try_send(input).map_err(|error| match error {
            TrySendError::Full(_) => StepRefused::Full,
            TrySendError::Disconnected(_) => StepRefused::Stopped,
        })
    }
}

impl Inbox for PeerHandler {
    fn step(&self, message: Message) -> Result<(), StepRefused> {
        self.send(Input::Peer(message))
    }

    fn report_unreachable(&self, id: MemberId) {
        // Only a hint: losing one is harmless.
        let _ = self.send(Input::Unreachable(id));
    }

    fn report_snapshot(&self, id: MemberId, delivered: bool) {
        // Not a hint: raft sends nothing else to that member before it hears of it. So it
        // waits for room on a thread of its own when there is none.
        let Ok(shared) = self.shared() else { return };
        remove_outgoing(&shared.layout, id);
        if let Err(TrySendError::Full(input)) =
            shared.inbox.try_send(Input::SnapshotSent(id, delivered))
        {
            std::thread::spawn(move || shared.inbox.send(input).is_ok());
        }
    }

    fn is_removed(&self, id: MemberId) -> bool {
        self.shared().is_ok_and(|shared| shared.view.read().membership.is_removed(id))
    }

    fn removed_from_cluster(&self) {
        if let Ok(shared) = self.shared() {
            shared.leave();
        }
    }
}

impl Snapshots for PeerHandler {
    fn transferred(&self, transfer: &Transfer) {
        if let Ok(shared) = self.shared() {
            shared.metrics.transferred(transfer);
        }
    }

    fn snapshot_dir(&self) -> PathBuf {
        self.layout.snapshots()
    }

    fn open_snapshot(&self, message: &Message) -> io::Result<SnapshotSource> {
        let index = message
            .snapshot
            .as_ref()
            .ok_or_else(|| io::Error::other("the message carries no snapshot"))?
            .index;
        let dir = outgoing(&self.layout, index, message.to);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let name = entry
                .file_name()
                .into_string()
                .map_err(|name| io::Error::other(format!("{name:?} is no name for a file")))?;
            files.push(SnapshotFile { name, path: entry.path(), bytes: entry.metadata()?.len() });
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(SnapshotSource { files, guard: Box::new(()) })
    }

    fn snapshot_received(&self, message: Message, dir: PathBuf) -> Result<(), StepRefused> {
        let shared = self.shared()?;
        let index = message.snapshot.as_ref().map_or(LogIndex(0), |snapshot| snapshot.index);
        if index.0 <= shared.status.applied.load(std::sync::atomic::Ordering::Acquire) {
            return Err(StepRefused::Full);
        }
        let store = self.layout.store_at(index);
        if shared.received.lock().contains_key(&index) {
            return Err(StepRefused::Full);
        }
        move_folder(&dir, &store).map_err(|error| {
            tracing::error!(%error, "cannot keep a snapshot that came in");
            StepRefused::Stopped
        })?;
        shared.received.lock().insert(index, store);
        self.send(Input::Peer(message))
    }
}

impl Answers for PeerHandler {
    fn members(&self) -> Vec<MemberInfo> {
        let Ok(shared) = self.shared() else { return Vec::new() };
        shared.members().into_iter().map(tell).collect()
    }

    fn version(&self) -> VersionInfo {
        let membership = self.shared().ok().map(|shared| shared.view.read().membership.clone());
        crate::version::info(membership.as_deref())
    }

    fn lease_keep_alive(
        &self,
        request: LeaseKeepAliveRequest,
    ) -> BoxFuture<'static, Result<LeaseKeepAliveResponse, LeaseRefused>> {
        let shared = self.shared();
        Box::pin(async move {
            let shared = shared.map_err(|error| LeaseRefused::Other(error.to_string()))?;
            match renew_here(&shared, drystone_types::LeaseId(request.id)).await {
                Ok(Some(ttl)) => Ok(LeaseKeepAliveResponse {
                    header: shared.header(shared.revision()),
                    id: request.id,
                    ttl,
                }),
                Ok(None) => Err(LeaseRefused::NotFound),
                Err(error) => Err(refused(error)),
            }
        })
    }

    fn lease_time_to_live(
        &self,
        request: LeaseTimeToLiveRequest,
    ) -> BoxFuture<'static, Result<LeaseTimeToLiveResponse, LeaseRefused>> {
        let shared = self.shared();
        Box::pin(async move {
            let shared = shared.map_err(|error| LeaseRefused::Other(error.to_string()))?;
            match time_to_live_here(&shared, &request).await {
                Ok(response) if response.ttl == -1 => Err(LeaseRefused::NotFound),
                Ok(response) => Ok(response),
                Err(error) => Err(refused(error)),
            }
        })
    }

    fn hash_kv(&self, revision: i64) -> BoxFuture<'static, Result<HashKv, HashKvRefused>> {
        let shared = self.shared();
        Box::pin(async move {
            let shared = shared.map_err(|error| HashKvRefused::Other(error.to_string()))?;
            let own = Authority::of_this_member();
            let snapshot = shared.view.read().reader(&own).snapshot();
            let current = snapshot.revision();
            let metrics = shared.metrics.clone();
            let hash = move || metrics.timed_hash_kv(|| snapshot.hash_kv(revision));
            let hashed = tokio::task::spawn_blocking(hash)
                .await
                .map_err(|error| HashKvRefused::Other(error.to_string()))?;
            match hashed {
                Ok(hash) => Ok(HashKv {
                    revision: current,
                    hash: hash.hash,
                    compact_revision: hash.compact_revision,
                    hash_revision: hash.revision,
                }),
                Err(OpError::Compacted { .. }) => Err(HashKvRefused::Compacted),
                Err(OpError::FutureRevision { .. }) => Err(HashKvRefused::Future),
                Err(error) => Err(HashKvRefused::Other(error.to_string())),
            }
        })
    }

    fn digests(&self, revisions: &[i64]) -> Vec<DigestMark> {
        let Ok(shared) = self.shared() else { return Vec::new() };
        let marks = crate::digest::marks_at(&shared, revisions);
        let mark = |mark: &drystone_mvcc::DigestMark| DigestMark {
            revision: mark.revision,
            sum: mark.sum,
        };
        marks.iter().map(mark).collect()
    }

    fn promote_member(
        &self,
        id: MemberId,
        caller: PassedOn,
    ) -> BoxFuture<'static, Result<Vec<MemberInfo>, PromoteRefused>> {
        let shared = self.shared();
        Box::pin(async move {
            let shared = shared.map_err(|error| PromoteRefused::Other(error.to_string()))?;
            // The one question of a peer that a client's right stands behind.
            let caller = Caller::passed_on(caller);
            let request = MemberPromoteRequest { id: id.0 };
            let allowed = shared.authorize_change(&caller, request).await;
            let allowed = allowed.map_err(|error| PromoteRefused::Other(error.to_string()))?;
            let (_, authority) = allowed.into_parts();
            match shared.promote_here(&authority, id).await {
                Ok(()) => Ok(shared.members().into_iter().map(tell).collect()),
                Err(EtcdError::MemberNotFound) => Err(PromoteRefused::NotFound),
                Err(EtcdError::MemberNotLearner) => Err(PromoteRefused::NotLearner),
                Err(EtcdError::LearnerNotReady) => Err(PromoteRefused::NotReady),
                Err(error) => Err(PromoteRefused::Other(error.message().to_owned())),
            }
        })
    }

    fn replace_member(
        &self,
        replacement: Replacement,
    ) -> BoxFuture<'static, Result<Vec<MemberInfo>, ReplaceRefused>> {
        let shared = self.shared();
        Box::pin(async move {
            let shared = shared.map_err(|error| ReplaceRefused::Later(error.to_string()))?;
            let members = shared.replace_member(replacement).await?;
            Ok(members.into_iter().map(tell).collect())
        })
    }

    fn promote_replacement(
        &self,
        id: MemberId,
    ) -> BoxFuture<'static, Result<Vec<MemberInfo>, ReplaceRefused>> {
        let shared = self.shared();
        Box::pin(async move {
            let shared = shared.map_err(|error| ReplaceRefused::Later(error.to_string()))?;
            let members = shared.promote_replacement(id).await?;
            Ok(members.into_iter().map(tell).collect())
        })
    }

    fn downgrade_enabled(&self) -> BoxFuture<'static, Result<bool, String>> {
        let shared = self.shared();
        Box::pin(async move {
            let shared = shared.map_err(|error| error.to_string())?;
            shared.confirm_read().await.map_err(|error| error.message().to_owned())?;
            Ok(crate::version::downgrade(&shared.view.read().membership).is_some())
        })
    }
}

/// A member as peers tell each other.
pub(crate) fn tell(member: Member) -> MemberInfo {
    let Member { id, peer_urls, is_learner, name, client_urls } = member;
    MemberInfo { id, peer_urls, is_learner, name, client_urls }
}

/// A member as a peer told of it.
pub(crate) fn told(info: MemberInfo) -> Member {
    let MemberInfo { id, peer_urls, is_learner, name, client_urls } = info;
    Member { id, peer_urls, is_learner, name, client_urls }
}

fn refused(error: EtcdError) -> LeaseRefused {
    match error {
        EtcdError::TimeoutWaitAppliedIndex => LeaseRefused::ApplyTimeout,
        other => LeaseRefused::Other(other.message().to_owned()),
    }
}

/// Where a checkpoint for a member lies while it is sent.
pub(crate) fn outgoing(layout: &Layout, index: LogIndex, to: MemberId) -> PathBuf {
    layout.snapshots().join(format!("to-{to}-{:016x}", index.0))
}

/// Removes what an earlier try left.
pub(crate) fn make_room(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the checkpoints made for a member.
fn remove_outgoing(layout: &Layout, to: MemberId) {
    let prefix = format!("to-{to}-");
    let Ok(entries) = std::fs::read_dir(layout.snapshots()) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix)
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            tracing::warn!(%error, "a checkpoint could not be removed");
        }
    }
}

/// Removes a replaced store once nobody reads it any more.
pub(crate) fn remove_when_idle(old: Arc<dyn Backend>, current: PathBuf, layout: Layout) {
    let last = Arc::downgrade(&old);
    drop(old);
    std::thread::spawn(move || {
        while last.strong_count() > 0 {
            std::thread::sleep(IDLE_PAUSE);
        }
        if let Err(error) = layout.sweep_stores(&current) {
            tracing::warn!(%error, "a replaced store could not be removed");
        }
    });
}

/// Makes the transport talk to exactly the members there are.
pub(crate) fn follow(transport: &Transport, membership: &Membership) {
    for status in transport.peers() {
        if membership.is_removed(status.id) {
            transport.remove_peer(status.id);
        }
    }
    for member in membership.members() {
        let urls: Vec<PeerUrl> =
            member.peer_urls.iter().filter_map(|url| url.parse().ok()).collect();
        transport.add_peer(member.member_id(), urls);
    }
}
