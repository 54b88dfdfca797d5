//! The live path.

use super::Hub;
use crate::History;
use crate::watcher::{Pending, State};
use drystone_probe::{mark, planted};
use drystone_types::RevisionEvents;

impl Hub {
    /// Tells of changes that the store has just made visible, in order; [`Hub::revision`]
    /// moves on with them. Events go to the queues of the watchers that they concern; where a
    /// queue is full the watcher is left to [`Hub::catch_up`]. Never waits and never fails.
    ///
    /// `history` is asked for replaced pairs, once an event and only where a watcher that
    /// hears it wants them; when it fails, the watchers that want them come back for the
    /// event through [`Hub::catch_up`], which reports the failure.
    ///
    /// Revisions that were published before are ignored. Revisions that are left out are made
    /// up for from history.
    pub fn publish(&mut self, batches: &[RevisionEvents], history: &dyn History) {
        for batch in batches {
            if batch.revision <= self.revision {
                continue;
            }
            if batch.revision > self.revision + 1 {
                self.restored(batch.revision - 1);
            }
            self.revision = batch.revision;
            self.reach_futures();
            self.publish_batch(batch, history);
        }
    }

    /// The store stands at `revision` now without having told of the way there (a member was
    /// rebuilt from a snapshot). Watchers go on where they stood, through [`Hub::catch_up`];
    /// tell of the store's compaction with [`Hub::compacted`] afterwards. Nothing happens when
    /// the hub is there already.
    pub fn restored(&mut self, revision: i64) {
        if revision <= self.revision {
            return;
        }
        mark!("watch.restored");
        let back = planted!("watch.goes_back_when_restored");
        let next = if back { 1 } else { self.revision + 1 };
        self.revision = revision;
        let synced: Vec<_> = self
            .watchers
            .slots()
            .filter(|slot| {
                let watcher = &self.watchers[*slot];
                watcher.state == State::Synced && watcher.revision_min <= revision
            })
            .collect();
        for slot in synced {
            if planted!("watch.restored_watchers_stay_synced") {
                break;
            }
            mark!("watch.restored_with_watchers");
            self.set_unsynced(slot, next.max(self.watchers[slot].revision_min));
        }
        self.reach_futures();
    }

    /// Watchers whose start has been reached are watchers like all others.
    fn reach_futures(&mut self) {
        while let Some(&(start, slot)) = self.positions.future.first() {
            if start > self.revision {
                break;
            }
            mark!("watch.future_came");
            self.positions.future.pop_first();
            let stream = self.watchers[slot].stream;
            self.streams[stream].future -= 1;
        }
    }

    fn publish_batch(&mut self, batch: &RevisionEvents, history: &dyn History) {
        let revision = batch.revision;
        let mut touched = std::mem::take(&mut self.touched);
        let Self { watchers, index, encoder, compacted, .. } = self;
        encoder.begin(batch.events.len());
        for (place, event) in batch.events.iter().enumerate() {
            index.visit(&event.key, |slot| {
                let watcher = &mut watchers[slot];
                if !watcher.hears(revision, event.kind) {
                    return;
                }
                if watcher.pending.events.is_empty() && !watcher.pending.failed {
                    touched.push(slot);
                }
                let prev_kv = watcher.wants.prev_kv;
                match encoder.event(batch, place, prev_kv, *compacted, history) {
                    Ok(event) => watcher.pending.push(revision, event),
                    Err(_) => watcher.pending.failed = true,
                }
            });
        }
        for slot in touched.drain(..) {
            if self.watchers[slot].pending.failed {
                self.watchers[slot].pending = Pending::default();
                self.set_unsynced(slot, revision);
            } else if !self.hand_over(slot, revision) {
                mark!("watch.live_watcher_overflowed");
                if !planted!("watch.stalled_watcher_loses_events") {
                    self.set_unsynced(slot, revision);
                }
            } else if planted!("watch.event_twice_after_overflow") {
                // Whether there was room is asked when the events are queued already.
                let stream = &self.streams[self.watchers[slot].stream];
                if stream.queue.is_full(&self.config, self.queued_bytes) {
                    self.set_unsynced(slot, revision);
                }
            }
        }
        self.touched = touched;
    }
}
