//! The handle that a member holds: all its peers.

use crate::peer::{LogPace, Peer, Shared};
use crate::{Config, ConfigError, Dial, Handler, Listen, PeerStatus, PeerUrl, headers, server};
use drystone_raft::Message;
use drystone_types::MemberId;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The connections of one member to all its peers. Clones share them.
///
/// It owns tasks, and its handler most often owns it: break the circle with
/// [`stop`](Transport::stop).
#[derive(Clone)]
pub struct Transport {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct FarEnds {
    peers: BTreeMap<MemberId, Arc<Peer>>,
    remotes: BTreeMap<MemberId, Arc<Peer>>,
    stopped: bool,
}

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) snapshot_receives: Semaphore,
    far_ends: RwLock<FarEnds>,
}

impl Inner {
    /// A member by its id.
    pub(crate) fn peer(&self, id: MemberId) -> Option<Arc<Peer>> {
        self.far_ends.read().peers.get(&id).cloned()
    }

    /// A member or a remote by its id.
    pub(crate) fn far_end(&self, id: MemberId) -> Option<Arc<Peer>> {
        let far_ends = self.far_ends.read();
        far_ends.peers.get(&id).or_else(|| far_ends.remotes.get(&id)).cloned()
    }

    pub(crate) fn add_remote(&self, id: MemberId, urls: Vec<PeerUrl>) {
        if id.is_none() || id == self.shared.config.member || self.far_end(id).is_some() {
            return;
        }
        if self.shared.handler.is_removed(id) {
            return;
        }
        let mut far_ends = self.far_ends.write();
        let known = far_ends.peers.contains_key(&id) || far_ends.remotes.contains_key(&id);
        if known || far_ends.stopped || far_ends.remotes.len() >= self.shared.config.remotes_max {
            return;
        }
        tracing::info!(remote = %id, "added remote peer");
        far_ends.remotes.insert(id, Peer::start(&self.shared, id, urls, false));
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("member", &self.inner.shared.config.member)
            .field("peers", &self.inner.far_ends.read().peers.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Transport {
    /// A transport without peers. Deletes what an interrupted transfer left in the handler's
    /// snapshot directory.
    ///
    /// # Errors
    /// A setting is unusable, or no tokio runtime runs here.
    pub fn new(
        config: Config,
        handler: Arc<dyn Handler>,
        dialer: Arc<dyn Dial>,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ConfigError::NoRuntime)?;
        crate::snapshot::dir::remove_partial(&handler.snapshot_dir());
        let shared = Shared {
            headers: headers::own(&config),
            snapshot_sends: Arc::new(Semaphore::new(config.snapshot_sends_max)),
            config,
            handler,
            dialer,
            runtime,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            told_removed: AtomicBool::new(false),
            refusal_pace: LogPace::default(),
        };
        let inner = Inner {
            snapshot_receives: Semaphore::new(shared.config.snapshot_receives_max),
            shared: Arc::new(shared),
            far_ends: RwLock::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Sends each message on its channel. Never waits: what does not fit is dropped and reported
    /// as unreachable. Messages of one peer keep their order within a channel, of which there
    /// is one for appends and one for the rest; no order holds across channels, nor when a
    /// channel moves from a stream to POSTs or back. Messages to nobody are dropped;
    /// those to strangers count as not delivered.
    pub fn send(&self, messages: Vec<Message>) {
        for message in messages {
            if message.to.is_none() {
                continue;
            }
            let far_end = self.inner.far_end(message.to);
            match far_end {
                Some(peer) => peer.send(message),
                None => self.inner.shared.refuse_stranger(&message),
            }
        }
    }

    /// Starts to talk with a member. A known one only gets its URLs set.
    pub fn add_peer(&self, id: MemberId, urls: Vec<PeerUrl>) {
        if id.is_none() || id == self.inner.shared.config.member {
            return;
        }
        let mut far_ends = self.inner.far_ends.write();
        if far_ends.stopped {
            return;
        }
        if let Some(peer) = far_ends.peers.get(&id) {
            peer.update(urls);
            return;
        }
        if let Some(remote) = far_ends.remotes.remove(&id) {
            remote.close();
        }
        far_ends.peers.insert(id, Peer::start(&self.inner.shared, id, urls, true));
        tracing::info!(peer = %id, "added peer");
    }

    /// Takes new URLs for a known far end; calls under way go on.
    pub fn update_peer(&self, id: MemberId, urls: Vec<PeerUrl>) {
        if let Some(peer) = self.inner.far_end(id) {
            peer.update(urls);
        }
    }

    /// Stops talking with a member. What waits for it is lost.
    pub fn remove_peer(&self, id: MemberId) {
        let mut far_ends = self.inner.far_ends.write();
        let (peer, remote) = (far_ends.peers.remove(&id), far_ends.remotes.remove(&id));
        drop(far_ends);
        for far_end in peer.iter().chain(&remote) {
            far_end.close();
            tracing::info!(peer = %id, "removed peer");
        }
    }

    /// Remembers a far end that membership does not list (yet), so that it can be answered. A
    /// joining member names the members it was told of, since it knows no peers until the
    /// leader has sent it the log. Ignored beyond `remotes_max`.
    pub fn add_remote(&self, id: MemberId, urls: Vec<PeerUrl>) {
        self.inner.add_remote(id, urls);
    }

    /// All peers and remotes, ascending by id within each.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        let far_ends = self.inner.far_ends.read();
        far_ends.peers.values().chain(far_ends.remotes.values()).map(|p| p.status()).collect()
    }

    /// One peer or remote.
    #[must_use]
    pub fn peer(&self, id: MemberId) -> Option<PeerStatus> {
        self.inner.far_end(id).map(|peer| peer.status())
    }

    /// Serves the connections of a listener until the transport stops or the future is
    /// dropped; the connections that were accepted live on until then.
    pub async fn serve(&self, listener: impl Listen) {
        let stop = self.inner.shared.stop.clone();
        let accept = server::serve(Arc::clone(&self.inner), listener);
        stop.run_until_cancelled(accept).await;
    }

    /// Serves one connection, whoever accepted it. Ends with the
    /// connection, or when the transport stops.
    pub async fn serve_connection(&self, opened: crate::Opened) {
        let serve = server::serve_connection(Arc::clone(&self.inner), opened);
        self.inner.shared.tasks.track_future(serve).await;
    }

    /// Ends all streams, connections and transfers, and waits for their tasks. Afterwards the
    /// transport does nothing any more.
    pub async fn stop(&self) {
        let ended = {
            let mut far_ends = self.inner.far_ends.write();
            far_ends.stopped = true;
            let FarEnds { peers, remotes, .. } = &mut *far_ends;
            std::mem::take(peers)
                .into_values()
                .chain(std::mem::take(remotes).into_values())
                .collect::<Vec<_>>()
        };
        for peer in ended {
            peer.close();
        }
        self.inner.shared.stop.cancel();
        self.inner.shared.tasks.close();
        self.inner.shared.tasks.wait().await;
    }
}
