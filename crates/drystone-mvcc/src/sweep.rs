//! Removing what compaction let go, a piece at a time.
//!
//! A compaction has two parts. First the index is walked: versions that no read can see any more
//! leave it, and what stays of the compacted history is noted. Then the records up to the
//! compacted revision are read in order; those that were not noted are deleted, and all of them
//! go into the hash that members compare. Either part may stop after any number of keys or
//! records, and a restart begins again with the first: what was removed before is simply not
//! there.

use crate::error::Error;
use crate::hash::KvHasher;
use crate::index::{Pruned, Span, Tree};
use crate::state::Pin;
use crate::store::{Store, record_bytes};
use drystone_backend::{Batch, Table};
use drystone_probe::{mark, planted};
use drystone_types::Revision;
use std::collections::VecDeque;
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Weak};

/// How many compactions may wait for the one that is swept. When there are more, the last two
/// become one, which has no hash, as in etcd when a compaction starts before the last has ended.
const WAITING_MAX: usize = 10;

/// The compactions whose removal is not complete.
#[derive(Debug)]
pub(crate) struct Sweeper {
    /// The last compaction that is complete, -1 for none.
    finished: i64,
    running: Option<Running>,
    waiting: VecDeque<Compaction>,
}

#[derive(Debug)]
struct Compaction {
    revision: i64,
    previous: i64,
    /// Whether the hash means anything: the previous compaction was complete when this one was
    /// asked for.
    hashes: bool,
    /// Held by the states between the compaction before and this one. Older states are waited
    /// for by older compactions, which are swept first.
    before: Vec<Weak<Pin>>,
}

#[derive(Debug)]
struct Running {
    compaction: Compaction,
    part: Part,
}

#[derive(Debug)]
enum Part {
    Index {
        /// The key to go on with.
        next: Vec<u8>,
        /// Revisions up to the compacted one that stay.
        keep: Vec<Revision>,
    },
    Records {
        /// The first record to go on with, stored form.
        next: Vec<u8>,
        /// As above; ascending.
        keep: Vec<Revision>,
        hasher: KvHasher,
    },
}

impl Sweeper {
    /// What is left to do at a start, after a compaction that was cut off if `scheduled` is above
    /// `finished`.
    pub(crate) fn resume(finished: i64, scheduled: i64) -> Self {
        let mut sweeper = Self { finished, running: None, waiting: VecDeque::new() };
        if scheduled > finished {
            mark!("mvcc.sweep_resumed_after_restart");
            sweeper.waiting.push_back(Compaction {
                revision: scheduled,
                previous: finished,
                hashes: false,
                before: Vec::new(),
            });
        }
        sweeper
    }

    /// Takes on a compaction; `before` is held by the states that precede it.
    pub(crate) fn schedule(&mut self, revision: i64, previous: i64, before: &Arc<Pin>) {
        let mut compaction = Compaction {
            revision,
            previous,
            hashes: self.finished == previous,
            before: vec![Arc::downgrade(before)],
        };
        if self.waiting.len() == WAITING_MAX
            && let Some(last) = self.waiting.pop_back()
        {
            mark!("mvcc.compactions_joined");
            compaction.previous = last.previous;
            compaction.before.extend(last.before);
            compaction.before.retain(|pin| pin.strong_count() > 0);
        }
        self.waiting.push_back(compaction);
    }

    fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    /// The compaction to work on.
    fn take(&mut self) -> Option<Running> {
        let start = |compaction| {
            let part = Part::Index { next: Vec::new(), keep: Vec::new() };
            Running { compaction, part }
        };
        self.running.take().or_else(|| self.waiting.pop_front().map(start))
    }
}

impl Compaction {
    /// True while somebody may still read what this compaction lets go.
    fn is_held(&mut self) -> bool {
        self.before.retain(|pin| pin.strong_count() > 0);
        !self.before.is_empty()
    }
}

impl Store {
    /// The last compaction whose removal is complete, -1 for none. A compaction that is to have
    /// taken physical effect has when this is not below it and the batch that the sweep returned
    /// last is written.
    #[must_use]
    pub fn swept(&self) -> i64 {
        self.sweeper.finished
    }

    /// True while a compaction waits to be swept.
    #[must_use]
    pub fn is_sweeping(&self) -> bool {
        !self.sweeper.is_idle()
    }

    /// Does the next piece of removing what compaction let go: looks at no more than
    /// `budget_revisions` keys or records, at least one, and returns the batch to be written,
    /// which may be empty. `None` when there is nothing to do, or nothing yet because a snapshot
    /// from before the compaction is held ([`Store::is_sweeping`] tells which).
    ///
    /// Nothing that can be read changes. Call it between entries, when every batch has been
    /// written, and write its batch before the next call.
    ///
    /// # Errors
    /// When the backend fails or holds a record that is none.
    pub fn sweep(&mut self, budget_revisions: usize) -> Result<Option<Batch>, Error> {
        let budget = budget_revisions.max(1);
        let Some(Running { mut compaction, part }) = self.sweeper.take() else {
            return Ok(None);
        };
        let mut batch = Batch::new();
        let part = match part {
            Part::Index { next, mut keep } => {
                let next = prune(&mut self.tree, compaction.revision, next, &mut keep, budget);
                if !self.staged.any {
                    self.show();
                }
                match next {
                    Some(next) => Part::Index { next, keep },
                    None => records_part(&compaction, keep),
                }
            }
            part @ Part::Records { .. } if compaction.is_held() => {
                mark!("mvcc.sweep_held_by_reader");
                self.sweeper.running = Some(Running { compaction, part });
                return Ok(None);
            }
            Part::Records { next, keep, mut hasher } => {
                let Removed { next, bytes } =
                    remove(self, &compaction, next, (&keep, &mut hasher), budget, &mut batch)?;
                self.live_bytes = self.live_bytes.saturating_sub(bytes);
                let Some(next) = next else {
                    mark!("mvcc.sweep_finished");
                    self.finish(&compaction, &hasher, &mut batch);
                    return Ok(Some(batch));
                };
                Part::Records { next, keep, hasher }
            }
        };
        self.sweeper.running = Some(Running { compaction, part });
        Ok(Some(batch))
    }

    fn finish(&mut self, compaction: &Compaction, hasher: &KvHasher, batch: &mut Batch) {
        let mark = Revision::first(compaction.revision).to_key(false);
        batch.put(Table::Meta, crate::FINISHED_COMPACT, mark);
        self.sweeper.finished = compaction.revision;
        if compaction.hashes {
            self.shared.hashes.lock().push(hasher.finish());
        }
    }
}

fn records_part(compaction: &Compaction, mut keep: Vec<Revision>) -> Part {
    keep.sort_unstable();
    keep.shrink_to_fit();
    let hasher = KvHasher::new(compaction.previous, compaction.revision);
    Part::Records { next: Revision::first(0).to_key(false), keep, hasher }
}

/// Prunes the entries of up to `budget` keys from `next` on; returns the key to go on with.
fn prune(
    tree: &mut Tree,
    revision: i64,
    next: Vec<u8>,
    keep: &mut Vec<Revision>,
    budget: usize,
) -> Option<Vec<u8>> {
    let (mut seen, mut rest, mut less) = (0, None, Vec::new());
    let _ = tree.visit(Span { start: &next, end: None }, false, &mut |key, entry| {
        if seen == budget {
            mark!("mvcc.sweep_paused_in_index");
            rest = Some(key.to_vec());
            return ControlFlow::Break(());
        }
        seen += 1;
        match entry.prune(revision, keep) {
            Pruned::Same => {}
            Pruned::Less(entry) => less.push((key.to_vec(), Some(entry))),
            Pruned::Gone => less.push((key.to_vec(), None)),
        }
        ControlFlow::Continue(())
    });
    for (key, entry) in less {
        match entry {
            Some(entry) => tree.set(&key, |_| entry),
            None => drop(tree.remove(&key)),
        }
    }
    rest
}

/// What a piece of the removal came to.
struct Removed {
    /// The record to go on with, if any.
    next: Option<Vec<u8>>,
    /// Bytes of the records that were deleted.
    bytes: u64,
}

/// Deletes what does not stay of up to `budget` records from `next` on.
fn remove(
    store: &Store,
    compaction: &Compaction,
    next: Vec<u8>,
    (keep, hasher): (&[Revision], &mut KvHasher),
    budget: usize,
    batch: &mut Batch,
) -> Result<Removed, Error> {
    let beyond = i64::from(planted!("mvcc.sweep_goes_one_too_far"));
    let end = Revision::first(compaction.revision + 1 + beyond).to_key(false);
    let (mut seen, mut bytes, mut rest, mut damaged) = (0, 0, None, None);
    let bounds = (Bound::Included(next.as_slice()), Bound::Excluded(end.as_slice()));
    store.shared.backend.scan(Table::Key, bounds, &mut |key, value| {
        if seen == budget {
            mark!("mvcc.sweep_paused_in_records");
            rest = Some(key.to_vec());
            return ControlFlow::Break(());
        }
        seen += 1;
        let Some((revision, _)) = Revision::from_key(key) else {
            damaged = Some(Error::corrupt(Table::Key, key, "not a revision"));
            return ControlFlow::Break(());
        };
        // What the last compaction kept of this one's tombstones is in no later `keep`, and
        // something is always kept: the change at the compacted revision itself.
        hasher.add(revision, keep, key, value);
        if keep.binary_search(&revision).is_err() {
            bytes += record_bytes(key, value);
            batch.delete(Table::Key, bytes::Bytes::copy_from_slice(key));
        }
        ControlFlow::Continue(())
    })?;
    match damaged {
        Some(error) => Err(error),
        None => Ok(Removed { next: rest, bytes }),
    }
}
