//! Sets of keys made of ranges.

use drystone_types::{KeyRange, RangeEnd};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

#[cfg(test)]
mod tests;

/// The union of ranges, borrowed from a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Intervals<'a> {
    points: BTreeSet<&'a [u8]>,
    /// Disjoint intervals by their start; no end is the end of all keys.
    spans: BTreeMap<&'a [u8], Option<&'a [u8]>>,
}

impl<'a> Intervals<'a> {
    pub(crate) fn insert(&mut self, range: &'a KeyRange) {
        let start = range.start.as_ref();
        match &range.end {
            RangeEnd::Single => {
                self.points.insert(start);
            }
            RangeEnd::Unbounded => self.insert_span(start, None),
            RangeEnd::Before(end) if end.as_ref() > start => self.insert_span(start, Some(end)),
            RangeEnd::Before(_) => {}
        }
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.points.extend(other.points);
        for (start, end) in other.spans {
            self.insert_span(start, end);
        }
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.points.contains(key)
            || self
                .spans
                .range::<[u8], _>((Bound::Unbounded, Bound::Included(key)))
                .next_back()
                .is_some_and(|(_, end)| end.is_none_or(|end| key < end))
    }

    fn insert_span(&mut self, mut start: &'a [u8], mut end: Option<&'a [u8]>) {
        // Every interval that is swallowed here was inserted once, so this is cheap over time.
        while let Some((low, high)) = self.touching(start, end) {
            self.spans.remove(low);
            start = start.min(low);
            end = match (end, high) {
                (Some(end), Some(high)) => Some(end.max(high)),
                _ => None,
            };
        }
        self.spans.insert(start, end);
    }

    /// An interval that overlaps `start..end` or meets it, if there is one.
    fn touching(&self, start: &[u8], end: Option<&[u8]>) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        let upper = end.map_or(Bound::Unbounded, Bound::Included);
        let (low, high) = self.spans.range::<[u8], _>((Bound::Unbounded, upper)).next_back()?;
        high.is_none_or(|high| high >= start).then_some((*low, *high))
    }
}
