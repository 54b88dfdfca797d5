//! One far end: its URLs, its channels, and which message takes which.

use crate::call::{Connection, Limits};
use crate::codec::message_bytes;
use crate::error::chain;
use crate::outbox::{Bounds, Outbox, Refused, Weigh};
use crate::status::Health;
use crate::{CallError, Config, Dial, Handler, PeerStatus, PeerUrl};
use drystone_raft::{Message, MessageKind};
use drystone_types::MemberId;
use http::HeaderMap;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the tasks of a transport share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) dialer: Arc<dyn Dial>,
    pub(crate) headers: HeaderMap,
    pub(crate) runtime: runtime::Handle,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) told_removed: AtomicBool,
    pub(crate) refusal_pace: LogPace,
    pub(crate) snapshot_sends: Arc<Semaphore>,
}

/// Lets a log line through once in a while: a stranger dials ten times a second.
#[derive(Debug, Default)]
pub(crate) struct LogPace(Mutex<Option<Instant>>);

impl LogPace {
    const PAUSE: Duration = Duration::from_secs(10);

    pub(crate) fn is_due(&self) -> bool {
        let mut last = self.0.lock();
        let is_due = last.is_none_or(|last| last.elapsed() >= Self::PAUSE);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

impl Shared {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            dial: self.config.dial_timeout,
            read: self.config.read_timeout,
            write: self.config.write_timeout,
        }
    }

    pub(crate) async fn connect(&self, url: &PeerUrl) -> Result<Connection, CallError> {
        Connection::open(&*self.dialer, url, self.limits(), &self.tasks).await
    }

    /// Raft waits for the fate of every snapshot, so that of a stranger's is told as well.
    pub(crate) fn refuse_stranger(&self, message: &Message) {
        tracing::debug!(to = %message.to, kind = ?message.kind, "dropped a message to a stranger");
        self.handler.report_unreachable(message.to);
        if message.kind == MessageKind::Snapshot {
            self.handler.report_snapshot(message.to, false);
        }
    }

    /// A peer says that this member is no member. It is told once.
    pub(crate) fn removed(&self, by: MemberId) {
        if !self.told_removed.swap(true, Ordering::Relaxed) {
            tracing::error!(
                peer = %by,
                "the member has been permanently removed from the cluster"
            );
            self.handler.removed_from_cluster();
        }
    }
}

/// The two long-lived streams between peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// Appends, in msgappv2.
    MsgApp,
    /// Everything but snapshots.
    Message,
}

impl StreamKind {
    pub(crate) const ALL: [Self; 2] = [Self::MsgApp, Self::Message];

    /// The last component of its path.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MsgApp => "msgapp",
            Self::Message => "message",
        }
    }
}

/// Where a peer listens, and which URL is in use: the next one after each failure.
#[derive(Debug, Default)]
struct Urls {
    list: Vec<PeerUrl>,
    at: usize,
}

/// One far end. A *peer* is a member with all channels; a *remote* is only answered by POST.
pub(crate) struct Peer {
    pub(crate) id: MemberId,
    pub(crate) shared: Arc<Shared>,
    pub(crate) health: Health,
    pub(crate) stop: CancellationToken,
    pub(crate) snapshots_in_flight: AtomicU64,
    is_peer: bool,
    urls: Mutex<Urls>,
    streams: [Outbox<Message>; 2],
    lanes: [Outbox<Message>; 2],
}

impl Weigh for Message {
    fn weight(&self) -> usize {
        message_bytes(self)
    }
}

impl Peer {
    /// Starts the tasks of a far end.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        id: MemberId,
        urls: Vec<PeerUrl>,
        is_peer: bool,
    ) -> Arc<Self> {
        let config = &shared.config;
        let stream =
            Bounds { items_max: config.stream_messages_max, bytes_max: config.stream_bytes_max };
        let lane = Bounds {
            items_max: config.pipeline_messages_max,
            bytes_max: config.pipeline_bytes_max,
        };
        let peer = Arc::new(Self {
            id,
            shared: Arc::clone(shared),
            health: Health::new(id),
            stop: shared.stop.child_token(),
            snapshots_in_flight: AtomicU64::new(0),
            is_peer,
            urls: Mutex::new(Urls { list: urls, at: 0 }),
            streams: [Outbox::new(stream), Outbox::new(stream)],
            lanes: [Outbox::new(lane), Outbox::new(lane)],
        });
        for lane in 0..peer.lanes.len() {
            let (ticket, _) = peer.lanes[lane].attach();
            peer.spawn(crate::pipeline::run(Arc::clone(&peer), lane, ticket));
        }
        if is_peer {
            for kind in StreamKind::ALL {
                peer.spawn(crate::stream_in::run(Arc::clone(&peer), kind));
            }
            peer.spawn(crate::prober::run(Arc::clone(&peer)));
        }
        peer
    }

    /// Runs a task until it ends or the peer is stopped.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        let task = async move {
            stop.run_until_cancelled(task).await;
        };
        self.shared.tasks.spawn_on(task, &self.shared.runtime);
    }

    /// Ends the tasks; what waits is lost. The tasks are joined by the transport.
    pub(crate) fn close(&self) {
        self.stop.cancel();
        for outbox in self.streams.iter().chain(&self.lanes) {
            outbox.close();
        }
    }

    /// Puts a message on its channel. Never waits.
    pub(crate) fn send(self: &Arc<Self>, message: Message) {
        if message.kind == MessageKind::Snapshot {
            crate::snapshot::send::start(self, message);
            return;
        }
        let is_append = message.kind == MessageKind::Append;
        let first = if is_append { StreamKind::MsgApp } else { StreamKind::Message };
        let lane = usize::from(!is_append);
        let outcome = match self.stream(first).push(message) {
            Err(Refused::Detached(message)) if is_append => {
                match self.stream(StreamKind::Message).push(message) {
                    Err(Refused::Detached(message)) => self.lanes[lane].push(message),
                    outcome => outcome,
                }
            }
            Err(Refused::Detached(message)) => self.lanes[lane].push(message),
            outcome => outcome,
        };
        if outcome.is_err() {
            self.lost(1);
        }
    }

    /// Messages were lost between the member and the network.
    pub(crate) fn lost(&self, messages: usize) {
        self.health.counters.dropped_messages.add(messages as u64);
        self.shared.handler.report_unreachable(self.id);
    }

    pub(crate) fn stream(&self, kind: StreamKind) -> &Outbox<Message> {
        &self.streams[usize::from(kind == StreamKind::Message)]
    }

    pub(crate) fn lane(&self, lane: usize) -> &Outbox<Message> {
        &self.lanes[lane]
    }

    /// The URL to call next.
    pub(crate) fn url(&self) -> Result<PeerUrl, CallError> {
        let urls = self.urls.lock();
        urls.list.get(urls.at).cloned().ok_or(CallError::NoUrl)
    }

    /// Turns to the next URL if `url` is the one in use.
    pub(crate) fn avoid(&self, url: &PeerUrl) {
        let mut urls = self.urls.lock();
        if urls.list.get(urls.at) == Some(url) {
            urls.at = (urls.at + 1) % urls.list.len();
        }
    }

    pub(crate) fn update(&self, list: Vec<PeerUrl>) {
        *self.urls.lock() = Urls { list, at: 0 };
    }

    /// A call failed: the peer counts as inactive, and the next call takes the next URL.
    pub(crate) fn failed(&self, action: &'static str, url: Option<&PeerUrl>, error: &CallError) {
        if let Some(url) = url {
            self.avoid(url);
        }
        self.health.deactivate(action, &chain(error));
    }

    pub(crate) fn status(&self) -> PeerStatus {
        let urls = self.urls.lock().list.clone();
        PeerStatus {
            msgapp_stream: self.stream(StreamKind::MsgApp).is_attached(),
            message_stream: self.stream(StreamKind::Message).is_attached(),
            snapshots_in_flight: self.snapshots_in_flight.load(Ordering::Relaxed),
            ..self.health.fill(self.id, urls, self.is_peer)
        }
    }
}
