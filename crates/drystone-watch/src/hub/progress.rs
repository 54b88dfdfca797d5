//! Progress: promises that nothing before a revision is still to come.

use super::Hub;
use crate::slab::Slot;
use crate::watcher::State;
use crate::{Response, ResponseKind, StreamId, WatchId};
use drystone_probe::{mark, planted};
use std::time::Duration;

/// The shortest interval between two ticks of a stream (etcd's `v3rpc/watch.go`).
const INTERVAL_MIN: Duration = Duration::from_millis(100);

impl Hub {
    /// A client asks how far its stream is. Answered once with [`WatchId::NONE`] when all
    /// watchers of the stream are synced, at once or, while some still catch up, as soon as
    /// they have. Forgotten when the stream has no watchers, or one that starts in the future,
    /// or one that compaction ended. Requests that wait are answered together.
    pub fn request_progress(&mut self, stream: StreamId) {
        let Some(&slot) = self.stream_slots.get(&stream) else { return };
        let stream = &mut self.streams[slot];
        stream.progress_wanted = !stream.watchers.is_empty();
        self.answer_progress(slot);
    }

    /// Answers a progress request that waits, if it can be answered by now.
    pub(super) fn answer_progress(&mut self, stream_slot: Slot) {
        let stream = &mut self.streams[stream_slot];
        if !stream.progress_wanted {
            return;
        }
        if stream.watchers.is_empty() || stream.future > 0 || stream.compacted > 0 {
            stream.progress_wanted = false;
            return;
        }
        let early = stream.future == 0 && planted!("watch.progress_ahead_of_events");
        if !(stream.complete() || early) {
            mark!("watch.progress_waits_for_history");
        }
        if !(stream.complete() || early) || stream.queue.is_full(&self.config, self.queued_bytes) {
            return;
        }
        mark!("watch.progress_on_request");
        stream.progress_wanted = false;
        let progress = Response::control(WatchId::NONE, self.revision, ResponseKind::Progress);
        self.push_control(stream_slot, progress);
    }

    /// Lets time pass: watchers that asked for it, are synced, and heard nothing since their
    /// stream's last tick hear of progress. Costs time in proportion to the streams that are
    /// due. `now` has the origin of [`Hub::open_stream`]'s.
    pub fn tick(&mut self, now: Duration) {
        while let Some(&(at, id)) = self.ticks.first() {
            if at > now {
                break;
            }
            self.ticks.pop_first();
            let Some(&slot) = self.stream_slots.get(&id) else { continue };
            let stream = &mut self.streams[slot];
            // After a pause the ticks that were missed are not made up for.
            stream.tick_at = now.max(at).saturating_add(stream.tick_interval);
            self.ticks.insert((stream.tick_at, id));
            self.tick_stream(slot);
        }
    }

    /// When [`Hub::tick`] next has something to do; `None` without streams.
    #[must_use]
    pub fn next_tick(&self) -> Option<Duration> {
        self.ticks.first().map(|(at, _)| *at)
    }

    fn tick_stream(&mut self, stream_slot: Slot) {
        let notified: Vec<Slot> = self.streams[stream_slot].notified.iter().copied().collect();
        for slot in notified {
            let watcher = &mut self.watchers[slot];
            let quiet = std::mem::replace(&mut watcher.quiet, true);
            let future = self.positions.future.contains(&(watcher.revision_min, slot));
            let future = future && !planted!("watch.future_watcher_gets_progress");
            let current = watcher.state == State::Synced && !future;
            let stream = &self.streams[stream_slot];
            if !quiet || !current || stream.queue.is_full(&self.config, self.queued_bytes) {
                continue;
            }
            mark!("watch.progress_when_idle");
            // Events that follow must not slip in before the promise.
            if !planted!("watch.progress_overtaken") {
                watcher.last_response = None;
            }
            let progress = Response::control(watcher.id, self.revision, ResponseKind::Progress);
            self.push_control(stream_slot, progress);
        }
    }

    pub(super) fn jittered_interval(&mut self) -> Duration {
        let interval = self.config.progress_interval.max(INTERVAL_MIN);
        let tenth = u64::try_from(interval.as_nanos() / 10).unwrap_or(u64::MAX);
        let jitter = self.random.next() % tenth.max(1);
        interval.saturating_add(Duration::from_nanos(jitter))
    }
}
