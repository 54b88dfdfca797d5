//! What the transport needs from the member it serves.

use crate::{DigestMark, HashKv, MemberInfo, Replacement, VersionInfo};
use drystone_api::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use drystone_raft::Message;
use drystone_types::MemberId;
use futures::future::BoxFuture;
use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The way into the member. No method may wait: they are called on network tasks, and some of
/// them from inside [`Transport::send`](crate::Transport::send), on the caller's own thread.
pub trait Inbox: Send + Sync + 'static {
    /// Hands a message from a peer to raft. It is decoded, addressed to this member and not
    /// from a removed one; nothing else is known about it.
    ///
    /// # Errors
    /// The message is dropped, which raft survives.
    fn step(&self, message: Message) -> Result<(), StepRefused>;

    /// Messages to `id` were lost. May come often; several losses may come as one.
    fn report_unreachable(&self, id: MemberId);

    /// The snapshot for `id` was taken over by it, or was not. Comes once for each MsgSnap that
    /// was sent.
    fn report_snapshot(&self, id: MemberId, delivered: bool);

    /// Whether `id` was a member once and is none any more.
    fn is_removed(&self, id: MemberId) -> bool;

    /// A peer says that this member was removed from the cluster: it should stop. Comes once.
    fn removed_from_cluster(&self);
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StepRefused {
    /// The inbox is full.
    #[error("the member's inbox is full")]
    Full,
    /// The member stops.
    #[error("the member is stopping")]
    Stopped,
    /// Raft does not know the sender (any more).
    #[error("the sender is not part of the raft group")]
    UnknownSender,
}

/// Snapshots as directories of files. The methods may block; they run on blocking threads.
pub trait Snapshots: Send + Sync + 'static {
    /// Where incoming snapshots are put. It must exist, and be on the file system to which the
    /// member moves them.
    fn snapshot_dir(&self) -> PathBuf;

    /// The state that `message`, a MsgSnap, stands for.
    ///
    /// # Errors
    /// The state is gone or cannot be read: the snapshot counts as not delivered.
    fn open_snapshot(&self, message: &Message) -> std::io::Result<SnapshotSource>;

    /// A snapshot came in: `dir` holds its files, all of them synced and verified, and belongs
    /// to the member from here on. The member steps `message` once it has noted `dir`. Files
    /// of a snapshot that raft then ignores are the member's to delete.
    ///
    /// # Errors
    /// The snapshot is not wanted; the transport deletes `dir`.
    fn snapshot_received(&self, message: Message, dir: PathBuf) -> Result<(), StepRefused>;

    /// A transfer began or ended: for those who count them. Must not block.
    fn transferred(&self, _transfer: &Transfer) {}
}

/// A snapshot on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The far end; `None` while the message that names the sender has not come.
    pub peer: Option<MemberId>,
    /// True for one that comes in.
    pub incoming: bool,
    /// Where it is.
    pub phase: Phase,
}

/// Where a snapshot's transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It began. Told of those that come in, once their sender is known.
    Begun,
    /// It was taken over, after so long.
    Done(Duration),
    /// It broke off, or was refused.
    Failed,
}

/// One file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Its path inside the snapshot: components of letters, digits, `.`, `-` and `_`, with `/`
    /// between them.
    pub name: String,
    /// Where it is now.
    pub path: PathBuf,
    /// Its length. A file that turns out longer or shorter fails the transfer.
    pub bytes: u64,
}

/// A state that stays as it is while it is sent.
pub struct SnapshotSource {
    /// The files, in the order in which they are sent.
    pub files: Vec<SnapshotFile>,
    /// Dropped, on a blocking thread, after the last byte was read: what keeps the files alive.
    pub guard: Box<dyn Any + Send>,
}

impl fmt::Debug for SnapshotSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotSource").field("files", &self.files).finish_non_exhaustive()
    }
}

/// What peers ask of a member besides raft.
pub trait Answers: Send + Sync + 'static {
    /// All members, in any order.
    fn members(&self) -> Vec<MemberInfo>;

    /// The versions that `/version` shows.
    fn version(&self) -> VersionInfo;

    /// Renews a lease on this member, which the caller takes for the leader. Waits until it has
    /// applied what was committed on arrival.
    fn lease_keep_alive(
        &self,
        request: LeaseKeepAliveRequest,
    ) -> BoxFuture<'static, Result<LeaseKeepAliveResponse, LeaseRefused>>;

    /// Reads a lease on this member, which the caller takes for the leader.
    fn lease_time_to_live(
        &self,
        request: LeaseTimeToLiveRequest,
    ) -> BoxFuture<'static, Result<LeaseTimeToLiveResponse, LeaseRefused>>;

    /// Hashes the key space at a revision; 0 is the newest.
    fn hash_kv(&self, revision: i64) -> BoxFuture<'static, Result<HashKv, HashKvRefused>>;

    /// The marks of the rolling digest at those of `revisions` that it still has; none of a
    /// member that keeps no digest.
    fn digests(&self, _revisions: &[i64]) -> Vec<DigestMark> {
        Vec::new()
    }

    /// Promotes a learner, if this member leads and `caller` has the right.
    fn promote_member(
        &self,
        id: MemberId,
        caller: PassedOn,
    ) -> BoxFuture<'static, Result<Vec<MemberInfo>, PromoteRefused>>;

    /// Puts a new learner in the place of a member that lost its data, if this member leads. A
    /// repeated call does it once.
    fn replace_member(
        &self,
        replacement: Replacement,
    ) -> BoxFuture<'static, Result<Vec<MemberInfo>, ReplaceRefused>>;

    /// Promotes a learner that took such a place, if this member leads and it has caught up.
    fn promote_replacement(
        &self,
        id: MemberId,
    ) -> BoxFuture<'static, Result<Vec<MemberInfo>, ReplaceRefused>>;

    /// Whether a downgrade is under way, after a linearizable check. The error is the check's.
    fn downgrade_enabled(&self) -> BoxFuture<'static, Result<bool, String>>;
}

/// Why a lease was not renewed or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseRefused {
    /// There is no such lease.
    #[error("lease not found")]
    NotFound,
    /// The member did not catch up with its own log in time.
    #[error("waiting for node to catch up its applied index has timed out")]
    ApplyTimeout,
    /// Something else, for example `not a primary lessor`.
    #[error("{0}")]
    Other(String),
}

/// Why there is no hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashKvRefused {
    /// The revision is compacted.
    #[error("mvcc: required revision has been compacted")]
    Compacted,
    /// The revision has not come yet.
    #[error("mvcc: required revision is a future revision")]
    Future,
    /// Something else.
    #[error("{0}")]
    Other(String),
}

/// The client for whom another member passes a request on, by what that member knows of it. The
/// receiver asks for its right anew.
///
/// A token proves itself: the receiver knows its secret or its signature. A common name is the
/// sender's word that it has verified a certificate of that name, and is taken only from one that
/// has itself shown a certificate that the peer port's authorities signed. Such a sender is a
/// member, and members may write any entry to the log; a name adds nothing to what it can do. From
/// anybody else the word is worth nothing and is dropped, although in clear, or without
/// `--peer-client-cert-auth`, the peer port is open to raft's messages from anybody too: no right
/// of a user is to rest on that. Etcd passes on the token alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PassedOn {
    /// What the client sent as `Authorization` or `token`.
    pub token: Option<String>,
    /// The common name in the certificate of the client's connection, which the sender verified.
    pub common_name: Option<String>,
}

/// Says whether there is a token, not which.
impl fmt::Debug for PassedOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PassedOn")
            .field("has_token", &self.token.is_some())
            .field("common_name", &self.common_name)
            .finish()
    }
}

/// Why a learner was not promoted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PromoteRefused {
    /// There is no such member.
    #[error("membership: ID not found")]
    NotFound,
    /// It votes already.
    #[error("membership: can only promote a learner member")]
    NotLearner,
    /// It lags too far behind.
    #[error("etcdserver: can only promote a learner member which is in sync with leader")]
    NotReady,
    /// Something else; peers see an internal error.
    #[error("{0}")]
    Other(String),
}

/// Why a member that lost its data was not replaced, or does not vote again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplaceRefused {
    /// Another member must be asked.
    #[error("this member does not lead")]
    NotLeader,
    /// Not now; later it may do.
    #[error("{0}")]
    Later(String),
    /// Asking again does not help.
    #[error("{0}")]
    Never(String),
}

/// Everything that a [`Transport`](crate::Transport) asks of its member. Implemented by
/// whatever implements the parts.
pub trait Handler: Inbox + Snapshots + Answers {}

impl<T: Inbox + Snapshots + Answers> Handler for T {}
