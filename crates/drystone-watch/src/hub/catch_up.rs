//! Watchers with history to catch up on.

use super::Hub;
use crate::slab::Slot;
use crate::watcher::Pending;
use crate::{Changes, History, HistoryError};
use drystone_probe::{mark, planted};

/// With at most this many watchers, each is tried in turn; with more, the index finds them.
const TRY_EACH_MAX: usize = 8;

impl Hub {
    /// True when [`Hub::catch_up`] has something to do: a watcher is behind and its stream has
    /// room.
    #[must_use]
    pub fn wants_catch_up(&self) -> bool {
        !self.positions.runnable.is_empty()
    }

    /// Reads on in history for watchers that are behind and whose streams have room, a piece
    /// at a time; a piece serves every watcher that stands inside it. Stops after about
    /// `revisions_max` revisions, and when as many were handed to watchers as
    /// [`Config::catch_up_deliveries_max`](crate::Config::catch_up_deliveries_max). Returns true when it could go on at once; false when all is
    /// done, or `history` is older than what was published and must be taken anew.
    ///
    /// Half of the pieces go to the watchers closest to the present, the other half sweep
    /// from the oldest on, so that neither waits for the other.
    ///
    /// # Errors
    /// [`HistoryError::Failed`] as `history` reported it. Nothing is lost: watchers stay where
    /// they are.
    pub fn catch_up(
        &mut self,
        history: &dyn History,
        revisions_max: usize,
    ) -> Result<bool, HistoryError> {
        let mut left = revisions_max.max(1);
        let mut deliveries_left = self.config.catch_up_deliveries_max.max(1);
        while left > 0 && deliveries_left > 0 {
            let Some(from) = self.next_piece() else { return Ok(false) };
            let piece = history.changes(
                from,
                self.revision,
                self.piece_revisions(from),
                self.config.response_bytes_max.min(self.config.queue_bytes_max),
            );
            let piece = match piece {
                Ok(piece) => piece,
                Err(HistoryError::Compacted { revision }) if revision > from => {
                    mark!("watch.history_was_compacted");
                    self.compacted(revision);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let next = piece.next.min(self.revision + 1);
            if next <= from {
                mark!("watch.history_was_old");
                return Ok(false);
            }
            left = left.saturating_sub(piece.batches.len().max(1));
            if self.sweep_next {
                self.sweep_at = next;
            }
            let watchers = self.deliver_piece(&piece, from, next, history)?;
            deliveries_left = deliveries_left.saturating_sub(watchers * piece.batches.len());
        }
        Ok(self.wants_catch_up())
    }

    /// Where the next piece begins.
    fn next_piece(&mut self) -> Option<i64> {
        self.sweep_next = !self.sweep_next;
        let reach = i64::try_from(self.config.response_revisions_max).unwrap_or(i64::MAX);
        let begin =
            if self.sweep_next { self.sweep_at } else { self.revision.saturating_sub(reach) };
        let runnable = &self.positions.runnable;
        let next = runnable.range((begin, 0)..).next().or_else(|| runnable.first());
        next.map(|(next, _)| *next)
    }

    /// Revisions of a piece that begins there: fewer when it goes to many.
    fn piece_revisions(&self, from: i64) -> usize {
        let there = self.positions.runnable.range((from, 0)..(from + 1, 0));
        let there = there.take(self.config.catch_up_watchers_max.max(1)).count().max(1);
        let revisions = self.config.catch_up_deliveries_max / there;
        revisions.min(self.config.response_revisions_max).max(1)
    }

    /// Returns how many watchers took part.
    fn deliver_piece(
        &mut self,
        piece: &Changes,
        from: i64,
        next: i64,
        history: &dyn History,
    ) -> Result<usize, HistoryError> {
        let watchers: Vec<Slot> = self
            .positions
            .runnable
            .range((from, 0)..(next, 0))
            .take(self.config.catch_up_watchers_max.max(1))
            .map(|(_, slot)| *slot)
            .collect();
        if watchers.len() > 1 {
            mark!("watch.piece_of_history_shared");
        }
        for slot in &watchers {
            self.watchers[*slot].catching_up = true;
        }
        let matched = self.match_piece(piece, &watchers, history);
        for slot in &watchers {
            self.watchers[*slot].catching_up = false;
        }
        if let Err(error) = matched {
            for slot in watchers {
                self.watchers[slot].pending = Pending::default();
            }
            return Err(error);
        }
        let count = watchers.len();
        for slot in watchers {
            let nothing = self.watchers[slot].pending.events.is_empty();
            let taken = nothing || self.hand_over(slot, self.revision);
            if !taken {
                mark!("watch.stalled_while_catching_up");
            }
            if taken || planted!("watch.starved_watcher_skips_history") {
                self.advance(slot, next);
            }
        }
        Ok(count)
    }

    /// Gathers the piece's events with the watchers that take part.
    fn match_piece(
        &mut self,
        piece: &Changes,
        slots: &[Slot],
        history: &dyn History,
    ) -> Result<(), HistoryError> {
        let Self { watchers, index, encoder, compacted, .. } = self;
        let mut outcome = Ok(());
        for batch in &piece.batches {
            encoder.begin(batch.events.len());
            for (place, event) in batch.events.iter().enumerate() {
                let mut take = |slot: Slot, in_range: bool| {
                    let watcher = &mut watchers[slot];
                    let catches = watcher.catches(batch.revision, event.kind)
                        && (in_range || watcher.wants.range.contains(&event.key));
                    if outcome.is_err() || !catches {
                        return;
                    }
                    let prev_kv = watcher.wants.prev_kv;
                    match encoder.event(batch, place, prev_kv, *compacted, history) {
                        Ok(event) => watcher.pending.push(batch.revision, event),
                        Err(error) => outcome = Err(error),
                    }
                };
                if slots.len() > TRY_EACH_MAX {
                    mark!("watch.history_matched_by_index");
                    index.visit(&event.key, |slot| take(slot, true));
                    continue;
                }
                for slot in slots {
                    take(*slot, false);
                }
            }
            if outcome.is_err() {
                break;
            }
        }
        outcome
    }
}
