//! What every part of a running server shares: who it is, how to reach its threads, and what
//! it can answer without asking them.

use crate::access::Authority;
use crate::brakes::Brakes;
use crate::calls::Hearers;
use crate::config::Config;
use crate::digest::Aside;
use crate::hub::HubHandle;
use crate::ids::Ids;
use crate::inbox::{self, Class};
use crate::layout::Layout;
use crate::listing::Lists;
use crate::metrics::{Kind, Metrics, kind_of};
use crate::passwords::Passwords;
use crate::raise::Raise;
use crate::tokens::Tokens;
use bytes::Bytes;
use crossbeam_channel::Sender;
use dashmap::DashMap;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    AlarmRequest, InternalRaftRequest, LeaseKeepAliveRequest, ResponseHeader,
    alarm_request::AlarmAction,
};
use drystone_auth::Auth;
use drystone_backend::{Backend, Size};
use drystone_lease::{Renewed, TimeToLive};
use drystone_machine::{
    Alarm, Alarms, Answer, AuthReader, Change, Machine, Membership, header, quota,
};
use drystone_member::{LeaderCommand, Leadership, NotReady, Work};
use drystone_mvcc::Reader;
use drystone_peer::{Fetch, Transport};
use drystone_raft::{ConfChange, Message, SnapshotMeta};
use drystone_types::{Applied, ClusterId, LeaseId, LogIndex, MemberId};
use parking_lot::{Mutex, RwLock};
use prost::Message as _;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::time::Instant;

/// The answer to one proposal, sent to whoever waits for it.
pub(crate) type Reply = oneshot::Sender<Result<Answer, EtcdError>>;
/// Tells a linearizable read that it may go on.
pub(crate) type ReadToken = oneshot::Sender<Result<(), EtcdError>>;

/// What the member's thread takes in.
#[derive(Debug)]
pub(crate) enum Input {
    /// A client's command, under the id its waiter is filed under.
    Propose { id: u64, data: Bytes },
    /// A command that only the leader of one term may propose.
    Lead(LeaderCommand),
    /// A linearizable read.
    Read(ReadToken),
    /// A message of another member.
    Peer(Message),
    /// Messages to a member do not get through.
    Unreachable(MemberId),
    /// A snapshot's transfer ended.
    SnapshotSent(MemberId, bool),
    /// A snapshot for a member was made.
    SnapshotReady(MemberId, SnapshotMeta),
    /// No snapshot could be made for a member.
    SnapshotFailed(MemberId),
    /// A change of membership, under the id its waiter is filed under.
    Change { id: u64, change: Change },
    /// The change of membership in an entry was applied, or found invalid. Who waits for it is
    /// answered when raft has taken it over.
    Membership(LogIndex, ConfChange, Option<Reply>),
    /// Whether a learner may be promoted.
    CheckLearner(MemberId, oneshot::Sender<Result<(), NotReady>>),
    /// Hand leadership to a member, and tell whether that was begun.
    Transfer(MemberId, oneshot::Sender<Result<(), EtcdError>>),
    /// Ask the leader to hand its leadership to this member, then answer.
    TakeOver(oneshot::Sender<()>),
    /// Something that is told by a counter moved: look.
    Wake,
    /// Hand leadership over, then answer.
    HandOver(oneshot::Sender<()>),
    /// End the thread.
    Stop,
}

/// What the apply thread takes in.
#[derive(Debug)]
pub(crate) enum ApplyInput {
    /// Committed entries, or a snapshot to install.
    Work(Vec<Work>),
    /// Reads to release once the index is applied.
    Reads(LogIndex, Vec<ReadToken>),
    /// Who leads.
    Lead(Leadership),
    /// Reset a lease's clock; `None` for an unknown lease.
    Renew(LeaseId, oneshot::Sender<Result<Option<Renewed>, EtcdError>>),
    /// What is left of a lease.
    TimeToLive(LeaseId, bool, oneshot::Sender<Result<Option<TimeToLive>, EtcdError>>),
    /// Whether somebody may reset the clock of a lease, whose keys are here.
    MayRenew(LeaseKeepAliveRequest, Authority, oneshot::Sender<Result<(), EtcdError>>),
    /// All leases, if somebody may read all keys that hang on any.
    Leases(Authority, oneshot::Sender<Result<Vec<LeaseId>, EtcdError>>),
    /// Tell when compaction has removed everything it let go.
    Swept(oneshot::Sender<()>),
    /// Make a snapshot for a member.
    Snapshot(MemberId),
    /// A snapshot for a member was made, which holds so much, or it failed.
    SnapshotMade(MemberId, Result<Applied, String>),
    /// End the thread.
    Stop,
}

/// What readers need; replaced as a whole when a snapshot is installed.
#[derive(Clone, Debug)]
pub(crate) struct View {
    reader: Reader,
    backend: Arc<dyn Backend>,
    auth: AuthReader,
    pub(crate) membership: Arc<Membership>,
    pub(crate) alarms: Arc<Alarms>,
}

impl View {
    pub(crate) fn of(machine: &Machine) -> Self {
        Self {
            reader: machine.reader(),
            backend: machine.backend().clone(),
            auth: machine.auth_reader(),
            membership: Arc::new(machine.membership().clone()),
            alarms: Arc::new(machine.alarms().clone()),
        }
    }

    /// Users, roles and permissions, as this member has applied them.
    pub(crate) fn auth(&self) -> Arc<Auth> {
        self.auth.latest()
    }

    /// The way to the keys. For a client's request [`Shared::snapshot`] is the right way.
    pub(crate) fn reader(&self, _: &Authority) -> &Reader {
        &self.reader
    }

    /// The store with everything in it.
    pub(crate) fn backend(&self, _: &Authority) -> &Arc<dyn Backend> {
        &self.backend
    }
}

/// Numbers that one thread writes and all may read.
#[derive(Debug, Default)]
pub(crate) struct Status {
    pub(crate) leader: AtomicU64,
    pub(crate) term: AtomicU64,
    pub(crate) is_leader: AtomicBool,
    /// This member has no vote (yet).
    pub(crate) is_learner: AtomicBool,
    pub(crate) committed: AtomicU64,
    pub(crate) applied: AtomicU64,
    pub(crate) applied_term: AtomicU64,
    pub(crate) flushed: AtomicU64,
    pub(crate) persisted: AtomicU64,
    /// What the quota is held against, as of the newest applied entry.
    pub(crate) live_bytes: AtomicU64,
}

impl Status {
    pub(crate) fn leader(&self) -> Option<MemberId> {
        match self.leader.load(Ordering::Acquire) {
            0 => None,
            id => Some(MemberId(id)),
        }
    }
}

/// A running server, as its parts see it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) cluster: ClusterId,
    pub(crate) member: MemberId,
    pub(crate) ids: Ids,
    pub(crate) status: Status,
    pub(crate) view: Arc<RwLock<View>>,
    pub(crate) waiters: DashMap<u64, Reply>,
    pub(crate) inbox: Sender<Input>,
    pub(crate) apply: Sender<ApplyInput>,
    pub(crate) hub: HubHandle,
    pub(crate) layout: Layout,
    /// Snapshots that came in and wait to be installed, by index.
    pub(crate) received: Mutex<BTreeMap<LogIndex, PathBuf>>,
    /// Set once at start, before any message can leave.
    pub(crate) transport: OnceLock<Transport>,
    /// TLS of the listeners; unset where connections come from elsewhere.
    pub(crate) faces: OnceLock<crate::tls::Faces>,
    pub(crate) fetch: Fetch,
    /// Origin of the monotonic time that leases and the hub are given. It is the runtime's, so
    /// that where that stands still or runs ahead, they do too.
    pub(crate) origin: Instant,
    /// Set once when this member must not serve any more.
    pub(crate) aside: OnceLock<Aside>,
    /// Snapshots that clients may take at a time.
    pub(crate) downloads: Arc<Semaphore>,
    /// The NOSPACE alarm, for whoever raises it.
    pub(crate) no_space: Raise,
    /// Told each time `view` was replaced.
    pub(crate) view_changed: Notify,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) passwords: Passwords,
    pub(crate) stopping: AtomicBool,
    /// Held while a member that lost its data is replaced: one at a time.
    pub(crate) replacing: tokio::sync::Mutex<()>,
    /// Bounds on the bytes of requests.
    pub(crate) brakes: Brakes,
    /// Who hears of calls.
    pub(crate) hearers: Arc<Hearers>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Where lists are read.
    pub(crate) lists: Lists,
    /// True once this member is known to have been removed from the cluster.
    pub(crate) left: watch::Sender<bool>,
    /// True once the cluster knows of this member and clients are served.
    pub(crate) ready: watch::Sender<bool>,
}

/// Takes a waiter out of the table when its caller goes away.
pub(crate) struct WaiterGuard<'a> {
    waiters: &'a DashMap<u64, Reply>,
    id: u64,
}

impl Drop for WaiterGuard<'_> {
    fn drop(&mut self) {
        self.waiters.remove(&self.id);
    }
}

impl Shared {
    /// Time since the server's own origin.
    pub(crate) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// The newest revision that is published here.
    pub(crate) fn revision(&self) -> i64 {
        self.view.read().reader.revision()
    }

    /// Size of the store.
    pub(crate) fn store_size(&self) -> Size {
        self.view.read().backend.size()
    }

    /// Bytes that the store takes, and those of them that are live, as clients are told.
    pub(crate) fn db_bytes(&self) -> (u64, u64) {
        let size = self.store_size();
        // The engine compresses its files: what they take may be less than what is in them. An
        // operator's arithmetic wants the part within the whole.
        let in_use_bytes = match self.status.live_bytes.load(Ordering::Acquire) {
            // No keys yet: what is there is the cluster's own records.
            0 => size.in_use_bytes,
            live_bytes => live_bytes,
        };
        (size.allocated_bytes.max(in_use_bytes), in_use_bytes)
    }

    /// Users, roles and permissions, as this member has applied them.
    pub(crate) fn auth(&self) -> Arc<Auth> {
        self.view.read().auth()
    }

    /// A response's header.
    pub(crate) fn header(&self, revision: i64) -> Option<ResponseHeader> {
        Some(ResponseHeader {
            cluster_id: self.cluster.0,
            member_id: self.member.0,
            revision,
            raft_term: self.status.applied_term.load(Ordering::Acquire),
        })
    }

    /// Fills in what the machine left open in a response's header.
    pub(crate) fn complete(&self, header: &mut Option<ResponseHeader>) {
        if let Some(header) = header {
            header.cluster_id = self.cluster.0;
            header.member_id = self.member.0;
            header.raft_term = self.status.applied_term.load(Ordering::Acquire);
        }
    }

    /// Wakes the member's thread after a counter moved. A full inbox needs no wake.
    pub(crate) fn wake(&self) {
        let _ = self.inbox.try_send(Input::Wake);
    }

    /// Proposes a command and waits until this member has applied it.
    ///
    /// The command is encoded before the future is made, which so stays small: it is moved
    /// several times on its way to a worker.
    ///
    /// # Errors
    /// etcd's errors; after a timeout the command may yet be applied.
    pub(crate) fn propose(
        &self,
        authority: &Authority,
        mut request: InternalRaftRequest,
    ) -> impl Future<Output = Result<Answer, EtcdError>> + Send + '_ {
        let id = self.ids.next();
        request.header = Some(header(id, authority.who()));
        let class = Class::of(&request);
        let admitted = self.admit(&request).map(|()| request.encode_to_vec());
        let kind = admitted.as_deref().map_or(Kind::UNKNOWN, kind_of);
        let began = std::time::Instant::now();
        let record = authority.record().cloned();
        async move {
            let answer = self.carry(id, class, admitted).await;
            self.metrics.requests.proposed(kind, &answer, began);
            if let Some(record) = record {
                record.proposed(began, std::time::Instant::now());
            }
            answer
        }
    }

    /// Proposes an encoded command that was admitted, and waits for its answer.
    async fn carry(
        &self,
        id: u64,
        class: Class,
        admitted: Result<Vec<u8>, EtcdError>,
    ) -> Result<Answer, EtcdError> {
        let data = match admitted {
            Err(EtcdError::NoSpace) => {
                Box::pin(self.raise_no_space()).await;
                return Err(EtcdError::NoSpace);
            }
            admitted => admitted?,
        };
        if data.len() > self.config.max_request_bytes {
            return Err(EtcdError::RequestTooLarge);
        }
        let (_guard, answer) = self.file_waiter(id);
        inbox::offer(&self.inbox, class, Input::Propose { id, data: data.into() })?;
        match tokio::time::timeout(self.config.request_timeout(), answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(EtcdError::Stopped),
            // With nobody leading for all that time the proposal never left this member.
            Err(_) if self.status.leader().is_none() => Err(EtcdError::ContextDeadlineExceeded),
            Err(_) => Err(EtcdError::Timeout),
        }
    }

    /// Files one who waits for the outcome of the proposal with this id, until the guard goes.
    pub(crate) fn file_waiter(
        &self,
        id: u64,
    ) -> (WaiterGuard<'_>, oneshot::Receiver<Result<Answer, EtcdError>>) {
        let (reply, answer) = oneshot::channel();
        self.waiters.insert(id, reply);
        (WaiterGuard { waiters: &self.waiters, id }, answer)
    }

    /// Answers whoever waits for a proposal, if anybody does.
    pub(crate) fn answer(&self, id: u64, answer: Result<Answer, EtcdError>) {
        if let Some((_, waiter)) = self.waiters.remove(&id) {
            let _ = waiter.send(answer);
        }
    }

    /// This member was removed from the cluster: it is to end.
    pub(crate) fn leave(&self) {
        if !self.left.send_replace(true) {
            // Nothing that is proposed here can be agreed on any more: clients go elsewhere.
            self.stopping.store(true, Ordering::Release);
            tracing::error!("the member has been permanently removed from the cluster");
            tracing::error!("data-dir used by this member must be removed");
        }
    }

    /// Waits until everything that was acknowledged anywhere before this call is applied here.
    pub(crate) async fn confirm_read(&self) -> Result<(), EtcdError> {
        self.confirm_read_as(Class::Client).await
    }

    /// [`Shared::confirm_read`], for a class that may get in first.
    pub(crate) async fn confirm_read_as(&self, class: Class) -> Result<(), EtcdError> {
        let began = std::time::Instant::now();
        let (token, confirmed) = oneshot::channel();
        let offered = inbox::offer(&self.inbox, class, Input::Read(token));
        let outcome = match offered {
            Ok(()) => match tokio::time::timeout(self.config.request_timeout(), confirmed).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(EtcdError::Stopped),
                Err(_) => Err(EtcdError::Timeout),
            },
            Err(refused) => Err(refused),
        };
        self.metrics.requests.read_confirmed(outcome, began);
        outcome
    }

    /// Asks the apply thread.
    pub(crate) async fn ask<T>(
        &self,
        _: &Authority,
        question: impl FnOnce(oneshot::Sender<T>) -> ApplyInput,
    ) -> Result<T, EtcdError> {
        let (reply, answer) = oneshot::channel();
        self.apply.send(question(reply)).map_err(|_| EtcdError::Stopped)?;
        match tokio::time::timeout(self.config.request_timeout(), answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(EtcdError::Stopped),
            Err(_) => Err(EtcdError::Timeout),
        }
    }

    /// Hands a client's input to the member's thread. Clients have half of the inbox: however
    /// many there are, there is room for leases, and for the other members.
    pub(crate) fn send(&self, input: Input) -> Result<(), EtcdError> {
        inbox::offer(&self.inbox, Class::Client, input)
    }

    /// Refuses a command before it is proposed: the member stops, applies too slowly, or has
    /// no room.
    fn admit(&self, request: &InternalRaftRequest) -> Result<(), EtcdError> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(EtcdError::Stopped);
        }
        let committed = self.status.committed.load(Ordering::Acquire);
        let applied = self.status.applied.load(Ordering::Acquire);
        if committed.saturating_sub(applied) > Class::of(request).lag_max() {
            return Err(EtcdError::RequestTooManyRequests);
        }
        let live = self.status.live_bytes.load(Ordering::Acquire);
        if self.config.quota().admits(live, quota::cost(request)) {
            Ok(())
        } else {
            Err(EtcdError::NoSpace)
        }
    }

    /// Raises the alarm that stops writes on every member, and waits until it is applied here,
    /// so that who is refused for want of space finds it set.
    async fn raise_no_space(&self) {
        let propose = || {
            tracing::warn!(
                live_bytes = self.status.live_bytes.load(Ordering::Acquire),
                quota_bytes = self.config.quota_backend_bytes,
                "the store is at its quota: raising the NOSPACE alarm"
            );
            self.propose_own_alarm(AlarmAction::Activate, Alarm::NoSpace)
        };
        let (limit, changed) = (self.config.request_timeout(), &self.view_changed);
        self.no_space.raise(limit, changed, || self.raised_no_space(), propose).await;
    }

    fn raised_no_space(&self) -> bool {
        self.view.read().alarms.raised_by(self.member, Alarm::NoSpace).is_some()
    }

    /// Proposes a change of this member's own alarm, by its own decision: nobody waits for it.
    pub(crate) fn propose_own_alarm(
        &self,
        action: AlarmAction,
        alarm: Alarm,
    ) -> Result<(), EtcdError> {
        let request = InternalRaftRequest {
            header: Some(header(0, Authority::of_this_member().who())),
            alarm: Some(AlarmRequest {
                action: action as i32,
                member_id: self.member.0,
                alarm: alarm.number(),
            }),
            ..InternalRaftRequest::default()
        };
        self.send(Input::Propose { id: 0, data: request.encode_to_vec().into() })
    }
}
