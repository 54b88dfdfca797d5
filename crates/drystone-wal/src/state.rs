//! What the log holds, without the entries themselves. Appending and recovery apply the same
//! records through the same methods, so that they cannot disagree about a rule.

use crate::format::{BASE_FIXED, get64};
use bytes::Bytes;
use drystone_types::{HardState, LogIndex, MemberId, Term};

/// Indexes beyond this are refused, so that no arithmetic on one can overflow.
const INDEX_MAX: LogIndex = LogIndex(u64::MAX >> 1);

/// A place in the replicated log: the index of an entry and its term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marker {
    /// The entry's index; 0 before the first entry.
    pub index: LogIndex,
    /// The entry's term; 0 before the first entry.
    pub term: Term,
}

/// The part that the head of each segment repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) hard_state: HardState,
    /// The entry before the first one that is needed.
    pub(crate) start: Marker,
    /// The last entry; equal to `start` when there is none.
    pub(crate) last: Marker,
    /// What the newest mark that came with a configuration said.
    pub(crate) conf: Bytes,
}

impl Base {
    /// The payload of a base record. `last` travels in the record's header.
    pub(crate) fn head(&self) -> [u8; BASE_FIXED] {
        let words = [
            self.hard_state.term.0,
            self.hard_state.vote.0,
            self.hard_state.commit.0,
            self.start.index.0,
            self.start.term.0,
        ];
        let mut out = [0; BASE_FIXED];
        for (slot, word) in out.chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    pub(crate) fn decode(last: Marker, payload: &Bytes) -> Option<Self> {
        if payload.len() < BASE_FIXED {
            return None;
        }
        let base = Self {
            hard_state: HardState {
                term: Term(get64(payload, 0)),
                vote: MemberId(get64(payload, 8)),
                commit: LogIndex(get64(payload, 16)),
            },
            start: Marker { index: LogIndex(get64(payload, 24)), term: Term(get64(payload, 32)) },
            last,
            conf: Bytes::copy_from_slice(&payload[BASE_FIXED..]),
        };
        (base.start.index <= base.last.index && last.index <= INDEX_MAX).then_some(base)
    }
}

/// The log's shape: its marks and the term of every index.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogState {
    pub(crate) base: Base,
    terms: Terms,
}

impl LogState {
    /// The state at the head of the oldest segment that is left. Entries before it are gone,
    /// so only the last one's term is known.
    pub(crate) fn from_base(base: Base) -> Self {
        let mut terms = Terms::default();
        if base.last.index > base.start.index {
            terms.push(base.last.index, base.last.term);
        }
        Self { base, terms }
    }

    /// The term of an entry, also of the one at the start mark.
    pub(crate) fn term(&self, index: LogIndex) -> Option<Term> {
        if index == self.base.start.index {
            return Some(self.base.start.term);
        }
        if index < self.base.start.index || index > self.base.last.index {
            return None;
        }
        self.terms.get(index)
    }

    /// Which rule an entry breaks that is to be written at `index`.
    pub(crate) fn check_entry(&self, index: LogIndex, term: Term) -> Result<(), &'static str> {
        if index <= self.base.start.index {
            return Err("the entry lies before the start of the log");
        }
        if index > self.base.last.index.next() {
            return Err("the entry leaves a gap");
        }
        if index > INDEX_MAX {
            return Err("the index is too large");
        }
        match self.term(LogIndex(index.0 - 1)) {
            Some(before) if before > term => Err("the term is lower than that of the entry before"),
            _ => Ok(()),
        }
    }

    /// Takes an entry that passed [`Self::check_entry`]; those from its index on are gone.
    pub(crate) fn push(&mut self, index: LogIndex, term: Term) {
        if index <= self.base.last.index {
            self.terms.truncate(index);
        }
        self.terms.push(index, term);
        self.base.last = Marker { index, term };
    }

    /// Forgets entries up to one that the log holds or held.
    pub(crate) fn compact(&mut self, mark: Marker) -> Result<(), &'static str> {
        if mark.index < self.base.start.index || mark.index > self.base.last.index {
            return Err("the mark lies outside the log");
        }
        self.terms.drop_through(mark.index, self.base.last.index);
        self.base.start = mark;
        Ok(())
    }

    /// Forgets everything and goes on behind `mark`.
    pub(crate) fn restart(&mut self, mark: Marker) -> Result<(), &'static str> {
        if mark.index < self.base.start.index {
            return Err("the mark lies before the start of the log");
        }
        if mark.index > INDEX_MAX {
            return Err("the index is too large");
        }
        self.terms = Terms::default();
        self.base.start = mark;
        self.base.last = mark;
        Ok(())
    }
}

/// Terms by index as runs, because thousands of entries share one.
#[derive(Clone, Debug, Default)]
struct Terms {
    /// First index and term of each run, both ascending.
    runs: Vec<(LogIndex, Term)>,
}

impl Terms {
    fn get(&self, index: LogIndex) -> Option<Term> {
        let after = self.runs.partition_point(|(first, _)| *first <= index);
        after.checked_sub(1).map(|run| self.runs[run].1)
    }

    fn push(&mut self, index: LogIndex, term: Term) {
        if self.runs.last().is_none_or(|(_, last)| *last != term) {
            self.runs.push((index, term));
        }
    }

    fn truncate(&mut self, from: LogIndex) {
        let keep = self.runs.partition_point(|(first, _)| *first < from);
        self.runs.truncate(keep);
    }

    fn drop_through(&mut self, index: LogIndex, last: LogIndex) {
        if index >= last {
            self.runs.clear();
            return;
        }
        let after = self.runs.partition_point(|(first, _)| *first <= index.next());
        if let Some(run) = after.checked_sub(1) {
            self.runs.drain(..run);
            self.runs[0].0 = index.next();
        }
    }
}

#[cfg(test)]
mod tests;
