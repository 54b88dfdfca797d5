//! The hub: streams, watchers, and what moves between them.

mod catch_up;
mod progress;
mod publish;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;

use crate::encode::Encoder;
use crate::index::Index;
use crate::random::Random;
use crate::response::reason;
use crate::slab::{Slab, Slot};
use crate::stream::Stream;
use crate::watcher::{Pending, State, Watcher};
use crate::{Config, Create, Response, ResponseKind, StreamId, WatchId};
use drystone_probe::{mark, planted};
use drystone_types::KeyRange;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// How many of what there are, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Open streams.
    pub streams: usize,
    /// Watchers, also those that compaction ended and nobody cancelled.
    pub watchers: usize,
    /// Watchers with history to catch up on.
    pub unsynced: usize,
    /// Bytes that wait on all streams, shared ones counted once a stream.
    pub queued_bytes: usize,
}

/// Watchers by where they stand, each as (revision, slot).
#[derive(Debug, Default)]
struct Positions {
    /// All that are unsynced, at their next revision.
    unsynced: BTreeSet<(i64, Slot)>,
    /// Those of them whose stream is not stalled.
    runnable: BTreeSet<(i64, Slot)>,
    /// Those that start above the hub's revision, at their start.
    future: BTreeSet<(i64, Slot)>,
}

/// Who hears which event. See the crate's documentation.
#[derive(Debug)]
pub struct Hub {
    config: Config,
    revision: i64,
    compacted: i64,
    streams: Slab<Stream>,
    /// Only ever looked up: its order shows nowhere.
    stream_slots: HashMap<StreamId, Slot>,
    next_stream: u64,
    /// All watchers that live are in the index, whatever their state.
    watchers: Slab<Watcher>,
    index: Index,
    positions: Positions,
    ready: Vec<StreamId>,
    queued_bytes: usize,
    ticks: BTreeSet<(Duration, StreamId)>,
    random: Random,
    encoder: Encoder,
    touched: Vec<Slot>,
    /// Where the sweep through history stands.
    sweep_at: i64,
    sweep_next: bool,
}

impl Hub {
    /// A hub without streams over a store that stands at `revision` and was compacted at
    /// `compacted` (-1: never). `seed` decides the jitter of progress and the shape of the
    /// index, nothing else that can be seen.
    #[must_use]
    pub fn new(config: Config, seed: u64, revision: i64, compacted: i64) -> Self {
        let mut random = Random(seed);
        let index = Index::new(Random(random.next()));
        Self {
            config,
            revision,
            compacted,
            streams: Slab::default(),
            stream_slots: HashMap::new(),
            next_stream: 0,
            watchers: Slab::default(),
            index,
            positions: Positions::default(),
            ready: Vec::new(),
            queued_bytes: 0,
            ticks: BTreeSet::new(),
            random,
            encoder: Encoder::default(),
            touched: Vec::new(),
            sweep_at: 0,
            sweep_next: false,
        }
    }

    /// The newest revision that was published.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The newest compaction that the hub heard of; -1 for none.
    #[must_use]
    pub fn compacted_revision(&self) -> i64 {
        self.compacted
    }

    /// What there is at this moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            streams: self.streams.len(),
            watchers: self.watchers.len(),
            unsynced: self.positions.unsynced.len(),
            queued_bytes: self.queued_bytes,
        }
    }

    /// Opens a stream. Its progress ticks from `now` on.
    pub fn open_stream(&mut self, now: Duration) -> StreamId {
        let id = StreamId(self.next_stream);
        self.next_stream += 1;
        let interval = self.jittered_interval();
        let tick_at = now.saturating_add(interval);
        let slot = self.streams.insert(Stream::new(id, interval, tick_at));
        self.stream_slots.insert(id, slot);
        self.ticks.insert((tick_at, id));
        id
    }

    /// Closes a stream with its watchers and what waits on it. Nothing happens when it is
    /// closed already.
    pub fn close_stream(&mut self, stream: StreamId) {
        let Some(slot) = self.stream_slots.remove(&stream) else { return };
        let watchers: Vec<Slot> = self.streams[slot].watchers.values().copied().collect();
        for watcher in watchers {
            self.remove_watcher(watcher);
        }
        if let Some(stream) = self.streams.remove(slot) {
            self.queued_bytes -= stream.queue.bytes();
            self.ticks.remove(&(stream.tick_at, stream.id));
        }
    }

    /// True while the stream is open and may be given further requests. The caller reads no
    /// requests from a client that reads no responses; so the queue keeps its bound.
    #[must_use]
    pub fn accepts(&self, stream: StreamId) -> bool {
        self.stream_slots
            .get(&stream)
            .is_some_and(|slot| !self.streams[*slot].queue.is_full(&self.config, self.queued_bytes))
    }

    /// Creates a watcher and queues the one answer to it: created with its id, or refused.
    /// A start before the compacted revision is created and at once cancelled, as in etcd.
    /// Returns the id if there is a watcher now (also one cancelled by compaction).
    pub fn create(&mut self, stream: StreamId, create: Create) -> Option<WatchId> {
        let slot = *self.stream_slots.get(&stream)?;
        let refusal = if create.start_revision < 0 {
            Some(reason::NEGATIVE_START)
        } else if create.range.is_empty() {
            Some(reason::EMPTY_RANGE)
        } else if create.watch_id != WatchId::AUTO
            && self.streams[slot].watchers.contains_key(&create.watch_id)
        {
            Some(reason::DUPLICATE_ID)
        } else {
            None
        };
        if let Some(reason) = refusal {
            self.refuse(stream, reason);
            return None;
        }
        Some(self.admit(slot, create))
    }

    /// Queues the answer to a create that the caller refuses (a missing permission, a bad
    /// token), in its place among the answers.
    pub fn refuse(&mut self, stream: StreamId, reason: impl Into<Cow<'static, str>>) {
        let Some(&slot) = self.stream_slots.get(&stream) else { return };
        let kind = ResponseKind::Refused { reason: reason.into() };
        self.push_control(slot, Response::control(WatchId::NONE, self.revision, kind));
    }

    fn admit(&mut self, stream_slot: Slot, create: Create) -> WatchId {
        let stream = &mut self.streams[stream_slot];
        let id = match create.watch_id {
            WatchId::AUTO => stream.auto_id(),
            given => given,
        };
        let start = create.start_revision;
        let late = i64::from(start > 0 && planted!("watch.start_off_by_one"));
        let start = start + late;
        let past = start != 0 && start <= self.revision;
        let notify = create.progress_notify;
        let slot = self.watchers.insert(Watcher {
            stream: stream_slot,
            id,
            wants: create,
            state: State::Synced,
            revision_min: if past { start } else { start.max(self.revision + 1) },
            quiet: true,
            last_response: None,
            catching_up: false,
            pending: Pending::default(),
        });
        let stream = &mut self.streams[stream_slot];
        stream.watchers.insert(id, slot);
        if notify {
            stream.notified.insert(slot);
        }
        self.index.insert(&self.watchers[slot].wants.range, slot);
        let created = Response::control(id, self.revision, ResponseKind::Created);
        self.push_control(stream_slot, created);
        if past {
            self.set_unsynced(slot, start);
        } else if start > self.revision {
            mark!("watch.starts_in_the_future");
            self.positions.future.insert((start, slot));
            self.streams[stream_slot].future += 1;
        }
        id
    }

    /// Cancels a watcher and queues the answer; what was queued for it before still comes.
    /// There is no answer when there is no such watcher. Returns whether there was one.
    pub fn cancel(&mut self, stream: StreamId, watch_id: WatchId) -> bool {
        let Some(&stream_slot) = self.stream_slots.get(&stream) else { return false };
        let Some(&slot) = self.streams[stream_slot].watchers.get(&watch_id) else {
            return false;
        };
        self.remove_watcher(slot);
        let kind = ResponseKind::Canceled { compact_revision: 0 };
        self.push_control(stream_slot, Response::control(watch_id, self.revision, kind));
        self.answer_progress(stream_slot);
        true
    }

    /// Takes away the watchers of a stream whose keys its client may not hear of any more, and
    /// queues an answer for each, also for those that compaction has passed. What was queued
    /// before still comes. Returns how many there were.
    pub fn revoke(
        &mut self,
        stream: StreamId,
        reason: &str,
        mut lost: impl FnMut(&KeyRange) -> bool,
    ) -> usize {
        let Some(&stream_slot) = self.stream_slots.get(&stream) else { return 0 };
        let watchers = self.streams[stream_slot].watchers.iter().map(|(id, slot)| (*id, *slot));
        let ended: Vec<(WatchId, Slot)> =
            watchers.filter(|(_, slot)| lost(&self.watchers[*slot].wants.range)).collect();
        for (watch_id, slot) in &ended {
            self.remove_watcher(*slot);
            let kind = ResponseKind::Revoked { reason: reason.to_owned().into() };
            self.push_control(stream_slot, Response::control(*watch_id, self.revision, kind));
        }
        self.answer_progress(stream_slot);
        ended.len()
    }

    /// The store let go of everything before `revision`: watchers that still need some of it
    /// are cancelled. Older news is ignored.
    pub fn compacted(&mut self, revision: i64) {
        if revision <= self.compacted {
            return;
        }
        self.compacted = revision;
        while let Some(&(next, slot)) = self.positions.unsynced.first() {
            if next >= revision {
                break;
            }
            if planted!("watch.compaction_skips_history") {
                self.set_unsynced(slot, revision);
                continue;
            }
            mark!("watch.compaction_passed_a_watcher");
            self.end_by_compaction(slot);
        }
    }

    /// Takes what waits on a stream, in order: at least one response if there is any, and as
    /// many as `bytes_max` holds. Room that this makes lets the stream's watchers go on:
    /// see [`Hub::wants_catch_up`]. A stream is named by [`Hub::ready_streams`] again once it
    /// has been emptied.
    pub fn drain(&mut self, stream: StreamId, bytes_max: usize) -> Vec<Response> {
        let Some(&slot) = self.stream_slots.get(&stream) else { return Vec::new() };
        let taken = self.streams[slot].queue.take(bytes_max, &mut self.queued_bytes);
        let stream = &mut self.streams[slot];
        if stream.queue.is_empty() {
            stream.announced = stream.listed;
        }
        if stream.stalled && stream.queue.has_room(&self.config, self.queued_bytes) {
            self.unstall(slot);
        }
        self.answer_progress(slot);
        taken
    }

    /// True when responses wait on the stream.
    #[must_use]
    pub fn has_output(&self, stream: StreamId) -> bool {
        let slot = self.stream_slots.get(&stream);
        slot.is_some_and(|slot| !self.streams[*slot].queue.is_empty())
    }

    /// The streams that got output while they had none, since the last call, in the order in
    /// which that happened: those that must be woken.
    pub fn ready_streams(&mut self) -> Vec<StreamId> {
        let mut ready = std::mem::take(&mut self.ready);
        ready.retain(|id| {
            let Some(slot) = self.stream_slots.get(id) else { return false };
            let stream = &mut self.streams[*slot];
            stream.listed = false;
            stream.announced = !stream.queue.is_empty();
            stream.announced
        });
        ready
    }

    fn push_control(&mut self, stream_slot: Slot, response: Response) {
        let stream = &mut self.streams[stream_slot];
        stream.queue.push_control(response, &mut self.queued_bytes);
        self.announce(stream_slot);
    }

    fn announce(&mut self, stream_slot: Slot) {
        let stream = &mut self.streams[stream_slot];
        if !stream.announced {
            (stream.announced, stream.listed) = (true, true);
            self.ready.push(stream.id);
        }
    }

    fn remove_watcher(&mut self, slot: Slot) {
        self.leave_position(slot);
        let Some(watcher) = self.watchers.remove(slot) else { return };
        let stream = &mut self.streams[watcher.stream];
        stream.watchers.remove(&watcher.id);
        stream.notified.remove(&slot);
        if watcher.state == State::Compacted {
            stream.compacted -= 1;
        } else {
            self.index.remove(&watcher.wants.range, slot);
        }
    }

    /// Takes a watcher out of the sets of unsynced and future ones.
    fn leave_position(&mut self, slot: Slot) {
        let watcher = &self.watchers[slot];
        let stream = &mut self.streams[watcher.stream];
        if let State::Unsynced { next } = watcher.state {
            self.positions.unsynced.remove(&(next, slot));
            self.positions.runnable.remove(&(next, slot));
            stream.unsynced.remove(&slot);
        }
        if self.positions.future.remove(&(watcher.revision_min, slot)) {
            stream.future -= 1;
        }
    }

    /// The watcher goes on at `next`, in history, or ends when that is compacted.
    fn set_unsynced(&mut self, slot: Slot, next: i64) {
        if next < self.compacted {
            mark!("watch.start_was_compacted");
            self.end_by_compaction(slot);
            return;
        }
        self.leave_position(slot);
        let watcher = &mut self.watchers[slot];
        watcher.state = State::Unsynced { next };
        let stream = &mut self.streams[watcher.stream];
        stream.unsynced.insert(slot);
        self.positions.unsynced.insert((next, slot));
        if !stream.stalled {
            self.positions.runnable.insert((next, slot));
        }
    }

    /// Everything before `next` is queued for the watcher.
    fn advance(&mut self, slot: Slot, next: i64) {
        if next <= self.revision {
            self.set_unsynced(slot, next);
            return;
        }
        self.leave_position(slot);
        let watcher = &mut self.watchers[slot];
        watcher.state = State::Synced;
        let stream = watcher.stream;
        self.answer_progress(stream);
    }

    fn end_by_compaction(&mut self, slot: Slot) {
        self.leave_position(slot);
        let watcher = &mut self.watchers[slot];
        watcher.state = State::Compacted;
        let (stream, id) = (watcher.stream, watcher.id);
        self.index.remove(&watcher.wants.range, slot);
        self.streams[stream].compacted += 1;
        self.streams[stream].notified.remove(&slot);
        let kind = ResponseKind::Canceled { compact_revision: self.compacted };
        self.push_control(stream, Response::control(id, 0, kind));
    }

    fn stall(&mut self, stream_slot: Slot) {
        let stream = &mut self.streams[stream_slot];
        if std::mem::replace(&mut stream.stalled, true) {
            return;
        }
        mark!("watch.stream_stalled");
        for slot in &stream.unsynced {
            if let State::Unsynced { next } = self.watchers[*slot].state {
                self.positions.runnable.remove(&(next, *slot));
            }
        }
    }

    fn unstall(&mut self, stream_slot: Slot) {
        let stream = &mut self.streams[stream_slot];
        stream.stalled = false;
        mark!("watch.stream_went_on");
        for slot in &stream.unsynced {
            if let State::Unsynced { next } = self.watchers[*slot].state {
                self.positions.runnable.insert((next, *slot));
            }
        }
    }

    /// Hands a watcher's pending events to its stream. False when there is no room; the
    /// events are dropped then, and the stream stalls.
    fn hand_over(&mut self, slot: Slot, header_revision: i64) -> bool {
        let watcher = &mut self.watchers[slot];
        let stream_slot = watcher.stream;
        let stream = &mut self.streams[stream_slot];
        let taken = !stream.stalled
            && stream.queue.offer(&self.config, &mut self.queued_bytes, watcher, header_revision);
        if taken {
            watcher.quiet = false;
            self.announce(stream_slot);
        } else {
            watcher.pending = Pending::default();
            self.stall(stream_slot);
        }
        taken
    }
}
