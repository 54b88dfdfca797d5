//! The entries since the last compaction, in memory, as the core reads them.

use crate::convert::{conf_state_in, entry_in, hard_state_in, snapshot_in};
use crate::message::SnapshotMeta;
use drystone_probe::mark;
use drystone_types::{Applied, ConfState, Entry, EntryKind, HardState, LogIndex, MemberId};
use raft::eraftpb as pb;
use raft::{GetEntriesContext, RaftState, StorageError};
use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};

/// What an entry takes beside its data, in memory and, about, on the wire.
const ENTRY_OVERHEAD_BYTES: u64 = size_of::<Entry>() as u64;

/// What an entry costs against any bound.
pub(crate) fn entry_bytes(entry: &Entry) -> u64 {
    entry.data.len() as u64 + ENTRY_OVERHEAD_BYTES
}

/// The log in memory. Entries enter it when a `Ready` hands them out to be made durable, and
/// leave it by compaction or when a leader overrules them.
pub(crate) struct Log {
    /// The entry that the log begins after.
    start: Applied,
    entries: VecDeque<Entry>,
    bytes: u64,
    /// Indexes of the configuration changes among the entries.
    conf_changes: BTreeSet<u64>,
    /// Up to where `unapplied_bytes` has discounted entries.
    applied: u64,
    unapplied_bytes: u64,
    /// Only read when the core starts.
    initial: (HardState, ConfState),
    /// What peers get that have fallen behind the log's start.
    snapshot: Option<SnapshotMeta>,
    /// Peers for which the core asked in vain. The core only has a shared reference then.
    wanted: RefCell<BTreeSet<u64>>,
    /// Entries handed to the core.
    #[cfg(test)]
    loaded: std::cell::Cell<usize>,
}

impl Log {
    /// A log of contiguous `entries` after `start`.
    pub(crate) fn new(
        start: Applied,
        entries: Vec<Entry>,
        applied: LogIndex,
        initial: (HardState, ConfState),
    ) -> Self {
        let mut log = Self {
            start,
            entries: VecDeque::new(),
            bytes: 0,
            conf_changes: BTreeSet::new(),
            applied: applied.0,
            unapplied_bytes: 0,
            initial,
            snapshot: None,
            wanted: RefCell::default(),
            #[cfg(test)]
            loaded: <_>::default(),
        };
        log.append(entries);
        log
    }

    /// The entry before the first one held.
    pub(crate) fn start(&self) -> Applied {
        self.start
    }

    pub(crate) fn last(&self) -> u64 {
        self.start.index.0 + self.entries.len() as u64
    }

    /// The entries after `index`, as far as they are held.
    pub(crate) fn after(&self, index: u64) -> impl Iterator<Item = &Entry> {
        let skipped = index.saturating_sub(self.start.index.0);
        self.entries.iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX))
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of entries that were not applied yet.
    pub(crate) fn unapplied_bytes(&self) -> u64 {
        self.unapplied_bytes
    }

    /// The first configuration change in `from..=to`.
    pub(crate) fn conf_change_in(&self, from: u64, to: u64) -> Option<u64> {
        if from > to {
            return None;
        }
        self.conf_changes.range(from..=to).next().copied()
    }

    fn position(&self, index: u64) -> usize {
        usize::try_from(index - self.start.index.0 - 1).expect("an index inside the log")
    }

    /// Appends entries that follow on from each other, dropping what they overrule.
    pub(crate) fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first().map(|entry| entry.index.0) else { return };
        debug_assert!(first > self.start.index.0 && first <= self.last() + 1);
        self.truncate(first);
        for entry in entries {
            debug_assert_eq!(entry.index.0, self.last() + 1);
            let bytes = entry_bytes(&entry);
            self.bytes += bytes;
            if entry.index.0 > self.applied {
                self.unapplied_bytes += bytes;
            }
            if entry.kind != EntryKind::Normal {
                self.conf_changes.insert(entry.index.0);
            }
            self.entries.push_back(entry);
        }
    }

    /// Drops `index` and everything after it.
    fn truncate(&mut self, index: u64) {
        while self.last() >= index
            && let Some(entry) = self.entries.pop_back()
        {
            mark!("raft.entry_overruled");
            let bytes = entry_bytes(&entry);
            self.bytes -= bytes;
            if entry.index.0 > self.applied {
                self.unapplied_bytes -= bytes;
            }
            self.conf_changes.remove(&entry.index.0);
        }
    }

    /// Discounts entries up to `index`, which were applied.
    pub(crate) fn applied_to(&mut self, index: u64) {
        while self.applied < index {
            self.applied += 1;
            if self.applied > self.start.index.0 && self.applied <= self.last() {
                let position = self.position(self.applied);
                self.unapplied_bytes -= entry_bytes(&self.entries[position]);
            }
        }
    }

    /// Forgets entries up to `index`, which were applied.
    pub(crate) fn compact(&mut self, index: u64) {
        let index = index.min(self.applied).min(self.last());
        while self.start.index.0 < index
            && let Some(entry) = self.entries.pop_front()
        {
            self.bytes -= entry_bytes(&entry);
            self.conf_changes.remove(&entry.index.0);
            self.start = Applied { index: entry.index, term: entry.term };
        }
        if self.entries.capacity() > 4 * self.entries.len().max(64) {
            self.entries.shrink_to(2 * self.entries.len());
        }
        if self.snapshot.as_ref().is_some_and(|snapshot| snapshot.index < self.start.index) {
            mark!("raft.snapshot_left_behind");
            self.snapshot = None;
        }
    }

    /// Starts anew after a snapshot that replaces everything.
    pub(crate) fn restore(&mut self, start: Applied) {
        self.entries = VecDeque::new();
        self.conf_changes.clear();
        self.bytes = 0;
        self.unapplied_bytes = 0;
        self.applied = self.applied.max(start.index.0);
        self.start = start;
        self.snapshot = None;
    }

    /// Offers a snapshot to peers that have fallen behind.
    pub(crate) fn offer(&mut self, snapshot: Option<SnapshotMeta>) {
        self.snapshot = snapshot;
    }

    /// Peers for which a snapshot was asked for since the last call, in ascending order.
    pub(crate) fn take_wanted(&mut self) -> Vec<u64> {
        std::mem::take(self.wanted.get_mut()).into_iter().collect()
    }

    #[cfg(test)]
    pub(crate) fn loaded(&self) -> usize {
        self.loaded.get()
    }

    pub(crate) fn has_wanted(&self) -> bool {
        !self.wanted.borrow().is_empty()
    }

    fn hand_out(&self, entries: Vec<Entry>) -> Vec<pb::Entry> {
        #[cfg(test)]
        self.loaded.set(self.loaded.get() + entries.len());
        entries.into_iter().map(entry_in).collect()
    }

    pub(crate) fn term_of(&self, index: u64) -> Option<u64> {
        if index == self.start.index.0 {
            return Some(self.start.term.0);
        }
        (index > self.start.index.0 && index <= self.last())
            .then(|| self.entries[self.position(index)].term.0)
    }
}

impl raft::Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let (hard_state, conf_state) = &self.initial;
        Ok(RaftState::new(hard_state_in(*hard_state), conf_state_in(conf_state)))
    }

    /// Without a bound on the size the core only asks in order to look for configuration
    /// changes among entries that are not applied, of which there may be any number. It gets
    /// just those changes: it counts them, and takes a short answer.
    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<pb::Entry>> {
        if low <= self.start.index.0 {
            return Err(StorageError::Compacted.into());
        }
        if high > self.last() + 1 {
            return Err(StorageError::Unavailable.into());
        }
        let Some(bytes_max) = max_size.into() else {
            let changes = self.conf_changes.range(low..high);
            let changes = changes.map(|index| self.entries[self.position(*index)].clone());
            return Ok(self.hand_out(changes.collect()));
        };
        let mut bytes = 0_u64;
        let mut out = Vec::new();
        for entry in self.entries.range(self.position(low)..self.position(high)) {
            bytes = bytes.saturating_add(entry_bytes(entry));
            if bytes > bytes_max && !out.is_empty() {
                break;
            }
            out.push(entry.clone());
        }
        Ok(self.hand_out(out))
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index < self.start.index.0 {
            return Err(StorageError::Compacted.into());
        }
        self.term_of(index).ok_or_else(|| StorageError::Unavailable.into())
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.start.index.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    /// A member refuses a snapshot in which it does not occur, so one that is older than its
    /// joining will not do: it would be sent for ever.
    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<pb::Snapshot> {
        let fits = |snapshot: &&SnapshotMeta| {
            let conf = &snapshot.conf_state;
            snapshot.index.0 >= request_index
                && (conf.voters.contains(&MemberId(to)) || conf.learners.contains(&MemberId(to)))
        };
        match self.snapshot.as_ref().filter(fits) {
            Some(snapshot) => Ok(snapshot_in(snapshot)),
            None => {
                mark!("raft.peer_behind_log");
                self.wanted.borrow_mut().insert(to);
                Err(StorageError::SnapshotTemporarilyUnavailable.into())
            }
        }
    }
}

#[cfg(test)]
mod tests;
