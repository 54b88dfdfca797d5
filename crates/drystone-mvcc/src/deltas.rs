//! Which keys were born and died lately, so that keys at a past revision can be counted from
//! the count of today.

use crate::index::Span;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many changes one piece holds; what a publisher and a counter may hold each other up for.
const PIECE_DELTAS: usize = 256;

/// A key began or ended a life at `main`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delta {
    pub(crate) main: i64,
    pub(crate) born: bool,
    pub(crate) key: Box<[u8]>,
}

impl Delta {
    fn bytes(&self) -> usize {
        self.key.len() + size_of::<Self>()
    }
}

/// The newest changes, bounded in bytes.
#[derive(Debug)]
pub(crate) struct DeltaLog {
    log: Mutex<Log>,
    bytes_max: usize,
}

#[derive(Debug)]
struct Log {
    /// Every change with a main revision above this one is in the log.
    floor: i64,
    sealed: VecDeque<Arc<Vec<Delta>>>,
    tail: Vec<Delta>,
    bytes: usize,
}

impl DeltaLog {
    /// A log that knows nothing of what happened up to `floor`.
    pub(crate) fn new(floor: i64, bytes_max: usize) -> Self {
        let log = Log { floor, sealed: VecDeque::new(), tail: Vec::new(), bytes: 0 };
        Self { log: Mutex::new(log), bytes_max }
    }

    pub(crate) fn extend(&self, deltas: impl Iterator<Item = Delta>) {
        let mut log = self.log.lock();
        for delta in deltas {
            log.bytes += delta.bytes();
            log.tail.push(delta);
            if log.tail.len() == PIECE_DELTAS {
                let piece = std::mem::take(&mut log.tail);
                log.sealed.push_back(Arc::new(piece));
            }
        }
        while log.bytes > self.bytes_max {
            let dropped = match log.sealed.pop_front() {
                Some(piece) => piece,
                None => Arc::new(std::mem::take(&mut log.tail)),
            };
            log.bytes -= dropped.iter().map(Delta::bytes).sum::<usize>();
            log.floor = dropped.last().map_or(log.floor, |delta| delta.main);
        }
    }

    /// Live keys in `span` at `newer` minus those at `older`, if the log reaches back that far.
    pub(crate) fn growth(&self, span: Span<'_>, older: i64, newer: i64) -> Option<isize> {
        let (tail, sealed) = {
            let log = self.log.lock();
            if older < log.floor {
                return None;
            }
            let begin = log
                .sealed
                .partition_point(|piece| piece.last().is_some_and(|delta| delta.main <= older));
            let sealed: Vec<_> = log.sealed.iter().skip(begin).cloned().collect();
            (growth(&log.tail, span, older, newer), sealed)
        };
        let sealed = sealed.iter().map(|piece| growth(piece, span, older, newer));
        Some(tail + sealed.sum::<isize>())
    }
}

/// What `deltas`, in the order of their revisions, add to the live keys of `span` after `older`
/// and up to `newer`.
pub(crate) fn growth(deltas: &[Delta], span: Span<'_>, older: i64, newer: i64) -> isize {
    let begin = deltas.partition_point(|delta| delta.main <= older);
    let inside = |key: &[u8]| key >= span.start && span.end.is_none_or(|end| key < end);
    deltas[begin..]
        .iter()
        .take_while(|delta| delta.main <= newer)
        .filter(|delta| inside(&delta.key))
        .map(|delta| if delta.born { 1 } else { -1 })
        .sum()
}
