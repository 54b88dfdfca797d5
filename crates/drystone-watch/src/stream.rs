//! One stream: its watchers' ids and the responses that wait to be sent.

use crate::response::{events_bytes, fragments};
use crate::slab::Slot;
use crate::watcher::{Pending, Watcher};
use crate::{Config, Response, ResponseKind, WatchId};
use drystone_probe::{mark, planted};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Responses that an empty queue keeps room for.
const IDLE_RESPONSES_MAX: usize = 32;

/// Names a stream for as long as it is open; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u64);

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) watchers: BTreeMap<WatchId, Slot>,
    next_auto_id: i64,
    /// Watchers with history to catch up on.
    pub(crate) unsynced: BTreeSet<Slot>,
    /// Watchers that want to hear of progress.
    pub(crate) notified: BTreeSet<Slot>,
    /// Watchers that start in the future.
    pub(crate) future: usize,
    /// Watchers that compaction ended and the client has not cancelled.
    pub(crate) compacted: usize,
    /// The queue was full and has not been half emptied since: no events until then.
    pub(crate) stalled: bool,
    /// The caller was told that there is output.
    pub(crate) announced: bool,
    /// It stands in the list that the caller will be told.
    pub(crate) listed: bool,
    /// A progress request waits until every watcher is synced.
    pub(crate) progress_wanted: bool,
    pub(crate) tick_interval: Duration,
    pub(crate) tick_at: Duration,
    pub(crate) queue: Queue,
}

impl Stream {
    pub(crate) fn new(id: StreamId, tick_interval: Duration, tick_at: Duration) -> Self {
        Self {
            id,
            watchers: BTreeMap::new(),
            next_auto_id: 0,
            unsynced: BTreeSet::new(),
            notified: BTreeSet::new(),
            future: 0,
            compacted: 0,
            stalled: false,
            announced: false,
            listed: false,
            progress_wanted: false,
            tick_interval,
            tick_at,
            queue: Queue::default(),
        }
    }

    /// The next id from 0 on that is not in use.
    pub(crate) fn auto_id(&mut self) -> WatchId {
        while self.watchers.contains_key(&WatchId(self.next_auto_id)) {
            self.next_auto_id += 1;
        }
        self.next_auto_id += 1;
        WatchId(self.next_auto_id - 1)
    }

    /// True when every watcher has been sent all there is up to the hub's revision.
    pub(crate) fn complete(&self) -> bool {
        self.unsynced.is_empty() && self.future == 0 && self.compacted == 0
    }
}

/// Responses that wait, in the order in which they are to be sent. Each has a number, counted
/// from the stream's first.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// The number of the first that waits.
    first: u64,
    /// Nothing may join a response before this number: it would overtake a progress response.
    join_min: u64,
}

#[derive(Debug)]
struct Waiting {
    response: Response,
    bytes: usize,
    revisions: usize,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// True when no further events are to be queued; `total` is what all streams hold.
    pub(crate) fn is_full(&self, config: &Config, total: usize) -> bool {
        let over_all = total >= config.queues_bytes_max && !self.is_empty();
        over_all
            || self.len() >= config.queue_responses_max.max(1)
            || self.bytes >= config.queue_bytes_max.max(1)
    }

    /// True when a stalled stream may go on.
    pub(crate) fn has_room(&self, config: &Config, total: usize) -> bool {
        self.is_empty()
            || (total < config.queues_bytes_max
                && self.len() <= config.queue_responses_max / 2
                && self.bytes <= config.queue_bytes_max / 2)
    }

    /// Queues a response without events.
    pub(crate) fn push_control(&mut self, response: Response, total: &mut usize) {
        let broadcast =
            response.kind == ResponseKind::Progress && response.watch_id == WatchId::NONE;
        self.push(response, 0, total);
        if broadcast && !planted!("watch.progress_overtaken") {
            self.join_min = self.next_number();
        }
    }

    /// Queues a watcher's pending events, unless the queue is full: then they stay with the
    /// watcher. They join its last response where that still waits and stays small enough.
    pub(crate) fn offer(
        &mut self,
        config: &Config,
        total: &mut usize,
        watcher: &mut Watcher,
        header_revision: i64,
    ) -> bool {
        let bytes = events_bytes(&watcher.pending.events);
        if let Some(last) = self.joinable(config, *total, watcher, bytes) {
            mark!("watch.events_joined_a_response");
            let Pending { events, revisions, .. } = std::mem::take(&mut watcher.pending);
            last.response.events.extend(events);
            last.response.header_revision = last.response.header_revision.max(header_revision);
            last.revisions += revisions;
            last.bytes += bytes;
            self.bytes += bytes;
            *total += bytes;
            return true;
        }
        if self.is_full(config, *total) {
            return false;
        }
        let Pending { events, revisions, .. } = std::mem::take(&mut watcher.pending);
        let response = Response {
            watch_id: watcher.id,
            header_revision,
            kind: ResponseKind::Events,
            events,
            fragment: false,
        };
        let cut = watcher.wants.fragment
            && response.events.len() > 1
            && response.bytes() >= config.fragment_bytes;
        if cut {
            mark!("watch.response_cut");
            watcher.last_response = None;
            self.push_fragments(config, response, total);
        } else {
            watcher.last_response = Some(self.next_number());
            self.push(response, revisions, total);
        }
        true
    }

    fn joinable(
        &mut self,
        config: &Config,
        total: usize,
        watcher: &Watcher,
        bytes: usize,
    ) -> Option<&mut Waiting> {
        let number = watcher.last_response.filter(|number| *number >= self.join_min)?;
        let bytes_max = match watcher.wants.fragment {
            true => config.response_bytes_max.min(config.fragment_bytes),
            false => config.response_bytes_max,
        };
        let room = self.bytes + bytes <= config.queue_bytes_max
            && total + bytes <= config.queues_bytes_max;
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.waiting.get_mut(place).filter(|last| {
            room && last.bytes + bytes < bytes_max
                && last.revisions + watcher.pending.revisions <= config.response_revisions_max
        })
    }

    fn push_fragments(&mut self, config: &Config, response: Response, total: &mut usize) {
        let mut pieces = fragments(response.events, config.fragment_bytes);
        if planted!("watch.last_fragment_loses_an_event")
            && let Some(piece) = pieces.last_mut()
        {
            piece.pop();
        }
        let last = pieces.len() - 1;
        for (place, events) in pieces.into_iter().enumerate() {
            let fragment = place < last;
            let kind = ResponseKind::Events;
            let Response { watch_id, header_revision, .. } = response;
            let piece = Response { watch_id, header_revision, kind, events, fragment };
            self.push(piece, 0, total);
        }
    }

    fn push(&mut self, response: Response, revisions: usize, total: &mut usize) {
        let bytes = response.bytes();
        self.bytes += bytes;
        *total += bytes;
        self.waiting.push_back(Waiting { response, bytes, revisions });
    }

    /// Takes responses from the front: at least one if any waits, and as many as `bytes_max`
    /// holds.
    pub(crate) fn take(&mut self, bytes_max: usize, total: &mut usize) -> Vec<Response> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.waiting.front() {
            if !taken.is_empty() && bytes + next.bytes > bytes_max {
                break;
            }
            bytes += next.bytes;
            taken.extend(self.waiting.pop_front().map(|waiting| waiting.response));
            self.first += 1;
        }
        self.bytes -= bytes;
        *total -= bytes;
        if self.is_empty() {
            // A burst must not leave its memory with an idle stream.
            self.waiting.shrink_to(IDLE_RESPONSES_MAX);
        }
        taken
    }

    fn next_number(&self) -> u64 {
        self.first + self.waiting.len() as u64
    }
}
