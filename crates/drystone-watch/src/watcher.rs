//! One watcher.

use crate::WatchId;
use crate::slab::Slot;
use bytes::Bytes;
use drystone_probe::planted;
use drystone_types::{EventKind, KeyRange};

/// What a client asks for when it creates a watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// The keys to watch. The rule that an empty key stands for `\0` is the caller's to apply.
    pub range: KeyRange,
    /// The first revision to hear of; 0 is "from now on". May lie in the future.
    pub start_revision: i64,
    /// The id to be known by, or [`WatchId::AUTO`].
    pub watch_id: WatchId,
    /// Send along the pair that a change replaced.
    pub prev_kv: bool,
    /// Tell of progress now and then while nothing happens.
    pub progress_notify: bool,
    /// Cut large responses.
    pub fragment: bool,
    /// Leave out puts.
    pub no_put: bool,
    /// Leave out deletes.
    pub no_delete: bool,
}

impl Create {
    /// A watcher of `range` from now on, with an id of the hub's choice and nothing special.
    #[must_use]
    pub fn new(range: KeyRange) -> Self {
        Self {
            range,
            start_revision: 0,
            watch_id: WatchId::AUTO,
            prev_kv: false,
            progress_notify: false,
            fragment: false,
            no_put: false,
            no_delete: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Fed by each publish.
    Synced,
    /// Everything before `next` is queued; the rest comes from history.
    Unsynced { next: i64 },
    /// Compaction passed it. It keeps its id until the client cancels it, as in etcd.
    Compacted,
}

#[derive(Debug)]
pub(crate) struct Watcher {
    pub(crate) stream: Slot,
    pub(crate) id: WatchId,
    pub(crate) wants: Create,
    pub(crate) state: State,
    /// Nothing before it is heard; above the hub's revision for a watcher of the future.
    pub(crate) revision_min: i64,
    /// No events since the last tick, so a progress response would be news.
    pub(crate) quiet: bool,
    /// The number of its last response with events on its stream, while later events may
    /// still join it.
    pub(crate) last_response: Option<u64>,
    /// Takes part in the piece of history at hand.
    pub(crate) catching_up: bool,
    pub(crate) pending: Pending,
}

/// Events on their way into one response.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) events: Vec<Bytes>,
    pub(crate) revisions: usize,
    last_revision: i64,
    /// An event could not be made; the watcher must come back for it.
    pub(crate) failed: bool,
}

impl Pending {
    pub(crate) fn push(&mut self, revision: i64, event: Bytes) {
        if self.events.is_empty() {
            // Most responses hold one event.
            self.events.reserve_exact(1);
        }
        self.events.push(event);
        if self.last_revision != revision {
            self.last_revision = revision;
            self.revisions += 1;
        }
    }
}

impl Watcher {
    pub(crate) fn passes(&self, kind: EventKind) -> bool {
        match kind {
            EventKind::Put => !self.wants.no_put,
            EventKind::Delete => !self.wants.no_delete,
        }
    }

    /// True when a live event of `revision` is this watcher's.
    pub(crate) fn hears(&self, revision: i64, kind: EventKind) -> bool {
        let synced = match self.state {
            State::Unsynced { .. } => planted!("watch.unsynced_watcher_hears_live"),
            State::Synced => true,
            State::Compacted => false,
        };
        let due = revision >= self.revision_min || planted!("watch.future_watcher_gets_old_events");
        synced && due && self.passes(kind)
    }

    /// True when an event of `revision` of the piece at hand is this watcher's.
    pub(crate) fn catches(&self, revision: i64, kind: EventKind) -> bool {
        match self.state {
            State::Unsynced { next } => {
                let passes = self.passes(kind) || planted!("watch.filter_ignored_in_history");
                self.catching_up && revision >= next && passes
            }
            State::Synced | State::Compacted => false,
        }
    }
}
