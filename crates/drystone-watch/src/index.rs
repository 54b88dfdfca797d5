//! Which watchers a key concerns.

use crate::intervals::Intervals;
use crate::random::Random;
use crate::slab::Slot;
use bytes::Bytes;
use drystone_types::{KeyRange, RangeEnd};
use std::collections::HashMap;

/// Watchers by what they watch: single keys in a map, ranges in a tree. The cost of a look-up
/// grows with the watchers found (and the logarithm of the ranges), not with the watchers.
#[derive(Debug)]
pub(crate) struct Index {
    /// Only ever looked up, never walked through: its order shows nowhere.
    keys: HashMap<Bytes, Vec<Slot>>,
    ranges: Intervals,
}

impl Index {
    pub(crate) fn new(random: Random) -> Self {
        Self { keys: HashMap::new(), ranges: Intervals::new(random) }
    }

    pub(crate) fn insert(&mut self, range: &KeyRange, slot: Slot) {
        match &range.end {
            RangeEnd::Single => {
                insert_member(self.keys.entry(range.start.clone()).or_default(), slot);
            }
            RangeEnd::Unbounded => self.ranges.insert(&range.start, None, slot),
            RangeEnd::Before(end) => self.ranges.insert(&range.start, Some(end), slot),
        }
    }

    pub(crate) fn remove(&mut self, range: &KeyRange, slot: Slot) {
        match &range.end {
            RangeEnd::Single => {
                if let Some(members) = self.keys.get_mut(&range.start) {
                    remove_member(members, slot);
                    if members.is_empty() {
                        self.keys.remove(&range.start);
                    }
                }
            }
            RangeEnd::Unbounded => self.ranges.remove(&range.start, None, slot),
            RangeEnd::Before(end) => self.ranges.remove(&range.start, Some(end), slot),
        }
    }

    /// Visits the watchers whose range holds `key`, each once, in an order that depends on
    /// what was inserted and removed alone.
    pub(crate) fn visit(&self, key: &[u8], mut visit: impl FnMut(Slot)) {
        for slot in self.keys.get(key).into_iter().flatten() {
            visit(*slot);
        }
        self.ranges.visit(key, &mut visit);
    }
}

/// Members are kept ascending, so that finding one to remove is cheap.
pub(crate) fn insert_member(members: &mut Vec<Slot>, slot: Slot) {
    if let Err(place) = members.binary_search(&slot) {
        members.insert(place, slot);
    }
}

pub(crate) fn remove_member(members: &mut Vec<Slot>, slot: Slot) {
    if let Ok(place) = members.binary_search(&slot) {
        members.remove(place);
    }
}

#[cfg(test)]
mod tests;
