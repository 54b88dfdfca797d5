//! The hub's thread: events from the apply side in, responses for every stream out.
//!
//! The apply thread leaves events in a [`Feed`] and goes on; it never waits for watchers. When
//! the feed overflows, the hub reads what it missed from the store, as a slow watcher would.

use crate::shared::View;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use drystone_mvcc::{OpError, Snapshot};
use drystone_types::{Revision, RevisionEvents};
use drystone_watch::{
    Changes, Create, History, HistoryError, Hub, Response, Stats, StreamId, WatchId,
};
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, VecDeque};
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
/// How often the hub looks at time when nothing else wakes it.
const TICK: Duration = Duration::from_millis(50);
/// How long a worker sleeps before it offers a command to a full hub again.
const FULL_PAUSE: Duration = Duration::from_millis(1);
/// Revisions of history that are read between two looks at new commands and events.
const CATCH_UP_REVISIONS: usize = 4_000;
/// Bytes of events that may wait in the feed.
const FEED_BYTES_MAX: usize = 64 << 20;

/// What streams ask of the hub.
#[derive(Debug)]
pub(crate) enum Command {
    Open(mpsc::Sender<Vec<Response>>, oneshot::Sender<StreamId>),
    Close(StreamId),
    Create(StreamId, Box<Create>),
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

/// Events on their way to the hub, bounded in bytes.
#[derive(Debug, Default)]
struct Feed {
    batches: VecDeque<RevisionEvents>,
    bytes: usize,
    /// The newest revision that was applied, whether or not its events are still here.
    revision: i64,
    compacted: i64,
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
        let feed = Feed { revision, compacted, ..Feed::default() };
        let feed = Arc::new(Mutex::new(feed));
        (Self { commands, feed, fed: Arc::default() }, receiver)
    }

    /// Leaves events for the hub; never waits. `revision` and `compacted` are the store's.
    pub(crate) fn publish(&self, events: Vec<RevisionEvents>, revision: i64, compacted: i64) {
        {
            let mut feed = self.feed.lock();
            if events.is_empty() && compacted == feed.compacted {
                return;
            }
            feed.revision = revision;
            feed.compacted = compacted;
            for batch in events {
                feed.bytes += batch_bytes(&batch);
                feed.batches.push_back(batch);
            }
            if feed.bytes > FEED_BYTES_MAX {
                feed.batches.clear();
                feed.bytes = 0;
            }
        }
        if !self.fed.swap(true, Ordering::AcqRel) {
            // A hub with a full queue of commands looks at the feed anyway.
            let _ = self.commands.try_send(Command::Fed);
        }
    }

    /// Says that the store was replaced by a snapshot.
    pub(crate) fn replaced(&self, revision: i64, compacted: i64) {
        {
            let mut feed = self.feed.lock();
            feed.batches.clear();
            feed.bytes = 0;
            feed.revision = revision;
            feed.compacted = compacted;
        }
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

fn batch_bytes(batch: &RevisionEvents) -> usize {
    batch.events.iter().map(|event| 64 + event.key.len() + event.kv.len()).sum()
}

/// The hub's thread.
pub(crate) struct HubThread {
    hub: Hub,
    handle: HubHandle,
    commands: Receiver<Command>,
    view: Arc<RwLock<View>>,
    origin: Instant,
    /// The way to each open stream's task. Only ever looked up.
    outlets: HashMap<StreamId, mpsc::Sender<Vec<Response>>>,
    /// Who waits until the hub rests.
    resting: Vec<oneshot::Sender<Stats>>,
}

impl HubThread {
    pub(crate) fn new(
        config: drystone_watch::Config,
        seed: u64,
        handle: HubHandle,
        commands: Receiver<Command>,
        view: Arc<RwLock<View>>,
        origin: Instant,
    ) -> Self {
        let (revision, compacted) = {
            let feed = handle.feed.lock();
            (feed.revision, feed.compacted)
        };
        Self {
            hub: Hub::new(config, seed, revision, compacted),
            handle,
            commands,
            view,
            origin,
            outlets: HashMap::new(),
            resting: Vec::new(),
        }
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let mut busy = false;
        loop {
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
            if !busy {
                for waiter in self.resting.drain(..) {
                    let _ = waiter.send(self.hub.stats());
                }
            }
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Open(responses, reply) => {
                let stream = self.hub.open_stream(self.origin.elapsed());
                self.outlets.insert(stream, responses);
                if reply.send(stream).is_err() {
                    self.close(stream);
                }
            }
            Command::Close(stream) => self.close(stream),
            Command::Create(stream, create) => {
                self.publish();
                self.hub.create(stream, *create);
            }
            Command::Cancel(stream, watch) => {
                self.hub.cancel(stream, watch);
            }
            Command::Progress(stream) => self.hub.request_progress(stream),
            Command::Drained(stream) => {
                self.pump(stream);
            }
            Command::Rest(waiter) => self.resting.push(waiter),
            Command::Replaced | Command::Fed | Command::Stop => {}
        }
    }

    fn close(&mut self, stream: StreamId) {
        self.hub.close_stream(stream);
        self.outlets.remove(&stream);
    }

    /// Takes what the feed holds. A gap in it is filled from the store.
    fn publish(&mut self) {
        self.handle.fed.store(false, Ordering::Release);
        let (batches, revision, compacted) = {
            let mut feed = self.handle.feed.lock();
            feed.bytes = 0;
            (std::mem::take(&mut feed.batches), feed.revision, feed.compacted)
        };
        let snapshot = Lazy::new(&self.view);
        self.hub.publish(&Vec::from(batches), &snapshot);
        // Whatever overflowed, or came as a snapshot, watchers read from the store.
        self.hub.restored(revision);
        if compacted > self.hub.compacted_revision() {
            self.hub.compacted(compacted);
        }
    }

    /// Lets watchers that are behind read history; true when they could go on at once.
    fn catch_up(&mut self) -> bool {
        if !self.hub.wants_catch_up() {
            return false;
        }
        self.hub.catch_up(&Lazy::new(&self.view), CATCH_UP_REVISIONS).unwrap_or_else(|error| {
            tracing::error!(%error, "watchers cannot catch up");
            false
        })
    }

    /// Moves a stream's responses to its task, as far as the task has room.
    fn pump(&mut self, stream: StreamId) {
        let Some(responses) = self.outlets.get(&stream).cloned() else { return };
        while self.hub.has_output(stream) {
            match responses.try_reserve() {
                Ok(permit) => permit.send(self.hub.drain(stream, PIECE_BYTES)),
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

/// Capacity of the channel between the hub and a stream's task.
pub(crate) fn pieces() -> (mpsc::Sender<Vec<Response>>, mpsc::Receiver<Vec<Response>>) {
    mpsc::channel(PIECES_MAX)
}

/// History over the store, its snapshot taken only when something is asked of it.
struct Lazy<'a> {
    view: &'a RwLock<View>,
    snapshot: std::cell::OnceCell<Snapshot>,
}

impl<'a> Lazy<'a> {
    fn new(view: &'a RwLock<View>) -> Self {
        Self { view, snapshot: std::cell::OnceCell::new() }
    }

    fn snapshot(&self) -> &Snapshot {
        self.snapshot.get_or_init(|| self.view.read().reader.snapshot())
    }
}

fn history_error(error: OpError) -> HistoryError {
    match error {
        OpError::Compacted { compacted } => HistoryError::Compacted { revision: compacted },
        other => HistoryError::Failed { reason: other.to_string() },
    }
}

impl History for Lazy<'_> {
    fn changes(
        &self,
        from: i64,
        to: i64,
        revisions_max: usize,
        bytes_max: usize,
    ) -> Result<Changes, HistoryError> {
        self.snapshot()
            .changes(from, to, revisions_max, bytes_max)
            .map(|changes| Changes { batches: changes.revisions, next: changes.next })
            .map_err(history_error)
    }

    fn value_at(&self, revision: Revision) -> Result<Option<bytes::Bytes>, HistoryError> {
        self.snapshot().value_at(revision).map_err(history_error)
    }

    fn revision(&self) -> i64 {
        self.snapshot().revision()
    }

    fn compacted(&self) -> i64 {
        self.snapshot().compacted()
    }
}
