//! The hub's thread: events from the apply side in, responses for every stream out.
//!
//! The apply thread leaves events in a [`Feed`] and goes on; it never waits for watchers.

use crate::access::{Authority, Authorized};
use crate::metrics::{Held, Metrics};
use crate::shared::View;
use crate::watch::cancel_reason;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::WatchCreateRequest;
use drystone_auth::{Auth, Identity, Need};
use drystone_machine::convert;
use drystone_member::{Feed, LazyHistory, watch_create};
use drystone_mvcc::Snapshot;
use drystone_types::{KeyRange, RevisionEvents};
use drystone_watch::{Hub, Response, Stats, StreamId, WatchId};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Commands that may wait for the hub.
const COMMANDS_MAX: usize = 8_192;
/// Pieces that may wait between the hub and one stream's task.
const PIECES_MAX: usize = 4;
/// Bytes of one piece, about.
const PIECE_BYTES: usize = 1 << 20;
/// Bytes of pieces that may wait for all streams' tasks together. Beyond them a stream has one
/// short piece at a time.
const WAITING_BYTES_MAX: usize = 256 << 20;
/// Bytes of a short piece, about.
const SHORT_PIECE_BYTES: usize = 4 << 10;
/// How often the hub looks at time when nothing else wakes it.
const TICK: Duration = Duration::from_millis(50);
/// How long a worker sleeps before it offers a command to a full hub again.
const FULL_PAUSE: Duration = Duration::from_millis(1);
/// Revisions of history that are read between two looks at new commands and events.
const CATCH_UP_REVISIONS: usize = 4_000;
/// Bytes of events that may wait in the feed.
const FEED_BYTES_MAX: usize = 64 << 20;

/// Responses on their way to a stream's task.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) responses: Vec<Response>,
    /// Dropped with the piece.
    pub(crate) held: Held,
}

/// What streams ask of the hub.
#[derive(Debug)]
pub(crate) enum Command {
    Open(mpsc::Sender<Piece>, oneshot::Sender<StreamId>),
    Close(StreamId),
    /// A watcher that its creator may have.
    Create(StreamId, Box<Authorized<WatchCreateRequest>>),
    /// The answer to a create whose creator may not have it, in its place among the answers.
    Refuse(StreamId, String),
    Cancel(StreamId, WatchId),
    Progress(StreamId),
    /// A stream that could take no more has room again.
    Drained(StreamId),
    /// The feed has news.
    Fed,
    /// The store's view was replaced by a snapshot.
    Replaced,
    /// Tell what there is, once nothing is left that could be done at once.
    Rest(oneshot::Sender<Stats>),
    Stop,
}

/// The way to the hub.
#[derive(Clone, Debug)]
pub(crate) struct HubHandle {
    commands: Sender<Command>,
    feed: Arc<Mutex<Feed>>,
    fed: Arc<AtomicBool>,
}

impl HubHandle {
    /// A handle, and what the hub's thread needs.
    pub(crate) fn new(revision: i64, compacted: i64) -> (Self, Receiver<Command>) {
        let (commands, receiver) = crossbeam_channel::bounded(COMMANDS_MAX);
        let feed = Arc::new(Mutex::new(Feed::new(revision, compacted, FEED_BYTES_MAX)));
        (Self { commands, feed, fed: Arc::default() }, receiver)
    }

    /// Leaves events for the hub; never waits. `revision` and `compacted` are the store's.
    pub(crate) fn publish(&self, events: Vec<RevisionEvents>, revision: i64, compacted: i64) {
        if !self.feed.lock().publish(events, revision, compacted) {
            return;
        }
        if !self.fed.swap(true, Ordering::AcqRel) {
            // A hub with a full queue of commands looks at the feed anyway.
            let _ = self.commands.try_send(Command::Fed);
        }
    }

    /// Says that the store was replaced by a snapshot.
    pub(crate) fn replaced(&self, revision: i64, compacted: i64) {
        self.feed.lock().replaced(revision, compacted);
        let _ = self.commands.try_send(Command::Replaced);
    }

    /// Sends a command, waiting while the hub has as many as it takes. False when it ended.
    pub(crate) async fn send(&self, mut command: Command) -> bool {
        loop {
            match self.commands.try_send(command) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(back)) => command = back,
            }
            tokio::time::sleep(FULL_PAUSE).await;
        }
    }

    /// Sends a command that must not be lost, from a place that cannot wait.
    pub(crate) fn send_blocking(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Sends a command if there is room.
    pub(crate) fn try_send(&self, command: Command) -> Result<(), Command> {
        self.commands.try_send(command).map_err(TrySendError::into_inner)
    }
}

/// An open stream, as the hub's thread knows it.
struct Outlet {
    /// The way to its task.
    responses: mpsc::Sender<Piece>,
    /// Who made its newest watcher. All calls of a stream come with one token.
    user: Option<String>,
}

/// The hub's thread.
pub(crate) struct HubThread {
    hub: Hub,
    handle: HubHandle,
    commands: Receiver<Command>,
    view: Arc<RwLock<View>>,
    origin: Instant,
    /// The open streams. No order of theirs can be seen.
    outlets: HashMap<StreamId, Outlet>,
    /// The users, roles and permissions that all watchers were held against.
    auth: Arc<Auth>,
    /// Who waits until the hub rests.
    resting: Vec<oneshot::Sender<Stats>>,
    metrics: Arc<Metrics>,
}

impl HubThread {
    pub(crate) fn new(
        config: drystone_watch::Config,
        seed: u64,
        handle: HubHandle,
        commands: Receiver<Command>,
        view: Arc<RwLock<View>>,
        origin: Instant,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (revision, compacted) = handle.feed.lock().position();
        let auth = view.read().auth();
        Self {
            hub: Hub::new(config, seed, revision, compacted),
            handle,
            commands,
            view,
            origin,
            outlets: HashMap::new(),
            auth,
            resting: Vec::new(),
            metrics,
        }
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let mut busy = false;
        loop {
            if busy {
                // Whoever waits for this processor has something shorter to do.
                std::thread::yield_now();
            }
            let wait = if busy { Duration::ZERO } else { TICK };
            match self.commands.recv_timeout(wait) {
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(command) => {
                    self.take(command);
                    let waiting = self.commands.len();
                    for command in self.commands.try_iter().take(waiting).collect::<Vec<_>>() {
                        if matches!(command, Command::Stop) {
                            return;
                        }
                        self.take(command);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.publish();
            self.hub.tick(self.origin.elapsed());
            busy = self.catch_up();
            for stream in self.hub.ready_streams() {
                self.pump(stream);
            }
            self.metrics.watches.hub(self.hub.stats());
            if !busy {
                for waiter in self.resting.drain(..) {
                    let _ = waiter.send(self.hub.stats());
                }
            }
        }
    }

    /// Does what a command says. What was published before it was sent is taken in first, so that
    /// no answer's revision is below one that its asker has already been told.
    fn take(&mut self, command: Command) {
        match command {
            Command::Open(responses, reply) => {
                let stream = self.hub.open_stream(self.origin.elapsed());
                self.outlets.insert(stream, Outlet { responses, user: None });
                if reply.send(stream).is_err() {
                    self.close(stream);
                }
            }
            Command::Close(stream) => self.close(stream),
            Command::Create(stream, create) => {
                self.publish();
                self.create(stream, *create);
            }
            Command::Refuse(stream, reason) => {
                self.publish();
                self.hub.refuse(stream, reason);
            }
            Command::Cancel(stream, watch) => {
                self.publish();
                self.hub.cancel(stream, watch);
            }
            Command::Progress(stream) => {
                self.publish();
                self.hub.request_progress(stream);
            }
            Command::Drained(stream) => {
                self.pump(stream);
            }
            Command::Rest(waiter) => self.resting.push(waiter),
            Command::Replaced | Command::Fed | Command::Stop => {}
        }
    }

    /// Makes a watcher, unless the right to it was taken away after it was given.
    fn create(&mut self, stream: StreamId, create: Authorized<WatchCreateRequest>) {
        let Some(outlet) = self.outlets.get_mut(&stream) else { return };
        let (create, authority) = create.into_parts();
        outlet.user = authority.who().map(|who| who.user.clone());
        let create = watch_create(create);
        match may_hear(&self.auth, outlet.user.as_deref(), &create.range) {
            Ok(()) => {
                self.hub.create(stream, create);
            }
            Err(error) => self.hub.refuse(stream, cancel_reason(error)),
        }
    }

    /// Ends the watchers of those who lost the right to their keys. (etcd's hear on for as long
    /// as their stream lives.)
    fn follow_rights(&mut self) {
        let latest = self.view.read().auth();
        if Arc::ptr_eq(&latest, &self.auth) {
            return;
        }
        self.auth = latest;
        for (stream, outlet) in &self.outlets {
            let user = outlet.user.as_deref();
            let error = match user {
                Some(_) => EtcdError::PermissionDenied,
                None => EtcdError::UserEmpty,
            };
            let lost = |range: &KeyRange| may_hear(&self.auth, user, range).is_err();
            self.hub.revoke(*stream, &cancel_reason(error), lost);
        }
    }

    fn close(&mut self, stream: StreamId) {
        self.hub.close_stream(stream);
        self.outlets.remove(&stream);
    }

    /// What was published of the keys. Who may hear of them was decided when a watcher was made.
    fn history(&self) -> LazyHistory<impl Fn() -> Snapshot + use<>> {
        let view = self.view.clone();
        LazyHistory::new(move || view.read().reader(&Authority::of_this_member()).snapshot())
    }

    /// Takes what the feed holds. A gap in it is filled from the store.
    fn publish(&mut self) {
        self.handle.fed.store(false, Ordering::Release);
        let fed = self.handle.feed.lock().take();
        // Permissions are published before the changes that follow them: what they are now is
        // no older than anything in the feed, so nobody hears of it who lost the right before.
        self.follow_rights();
        let history = self.history();
        fed.publish(&mut self.hub, &history);
    }

    /// Lets watchers that are behind read history; true when they could go on at once.
    fn catch_up(&mut self) -> bool {
        if !self.hub.wants_catch_up() {
            return false;
        }
        let history = self.history();
        self.hub.catch_up(&history, CATCH_UP_REVISIONS).unwrap_or_else(|error| {
            tracing::error!(%error, "watchers cannot catch up");
            false
        })
    }

    /// Moves a stream's responses to its task, as far as the task has room.
    fn pump(&mut self, stream: StreamId) {
        let Some(outlet) = self.outlets.get(&stream) else { return };
        let responses = outlet.responses.clone();
        while self.hub.has_output(stream) {
            let is_full = self.metrics.watches.waiting_bytes() >= WAITING_BYTES_MAX;
            if is_full && responses.capacity() < PIECES_MAX {
                // As below.
                return;
            }
            let bytes_max = if is_full { SHORT_PIECE_BYTES } else { PIECE_BYTES };
            match responses.try_reserve() {
                Ok(permit) => {
                    let before = self.hub.stats().queued_bytes;
                    let responses = self.hub.drain(stream, bytes_max);
                    let bytes = before.saturating_sub(self.hub.stats().queued_bytes);
                    let held = self.metrics.watches.held(&responses, bytes);
                    permit.send(Piece { responses, held });
                }
                // The task asks for more when it has emptied its channel.
                Err(mpsc::error::TrySendError::Full(())) => return,
                Err(mpsc::error::TrySendError::Closed(())) => {
                    self.close(stream);
                    return;
                }
            }
        }
    }
}

/// Whether somebody may hear of the keys in a range now. Who he is was found out when he asked
/// for a watcher; that users or roles changed since is no reason by itself.
fn may_hear(auth: &Auth, user: Option<&str>, range: &KeyRange) -> Result<(), EtcdError> {
    let user = user.map(str::to_owned);
    let who = user.map(|user| Identity { user, revision: auth.revision() });
    if auth.is_open_to(who.as_ref()) {
        return Ok(());
    }
    auth.decide(who.as_ref(), &[Need::Read(range.clone())]).map_err(convert::denial)
}

/// Capacity of the channel between the hub and a stream's task.
pub(crate) fn pieces() -> (mpsc::Sender<Piece>, mpsc::Receiver<Piece>) {
    mpsc::channel(PIECES_MAX)
}

#[cfg(test)]
mod tests;
