//! Sets of keys as sorted intervals that neither overlap nor touch.

use bytes::Bytes;
use drystone_types::{KeyRange, RangeEnd};

/// An interval of keys, not empty. `None` ends after the last key there is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    start: Bytes,
    end: Option<Bytes>,
}

impl Span {
    /// The keys of a permission's range. One that begins with no key, or ends before it begins,
    /// holds none: etcd does not take such permissions, and old stores may have them.
    fn of(range: &KeyRange) -> Option<Self> {
        if range.start.is_empty() || range.is_empty() {
            return None;
        }
        let end = match &range.end {
            RangeEnd::Single => Some([&range.start[..], b"\0"].concat().into()),
            RangeEnd::Before(end) => Some(end.clone()),
            RangeEnd::Unbounded => None,
        };
        Some(Self { start: range.start.clone(), end })
    }

    /// True when the span ends at `key` or after it.
    fn reaches(&self, key: &[u8]) -> bool {
        self.end.as_deref().is_none_or(|end| key <= end)
    }
}

/// The union of ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spans(Vec<Span>);

impl Spans {
    pub(crate) fn union(ranges: impl Iterator<Item = KeyRange>) -> Self {
        let mut parts: Vec<Span> = ranges.filter_map(|range| Span::of(&range)).collect();
        parts.sort_by(|one, other| one.start.cmp(&other.start));
        let mut merged: Vec<Span> = Vec::with_capacity(parts.len());
        for part in parts {
            match merged.last_mut() {
                Some(last) if last.reaches(&part.start) => {
                    let longer = part.end.as_deref().is_none_or(|end| !last.reaches(end));
                    if longer {
                        last.end = part.end;
                    }
                }
                _ => merged.push(part),
            }
        }
        Self(merged)
    }

    /// The interval that holds `key`.
    fn around(&self, key: &[u8]) -> Option<&Span> {
        let after = self.0.partition_point(|span| span.start <= key);
        let span = self.0[..after].last()?;
        span.end.as_deref().is_none_or(|end| key < end).then_some(span)
    }
}

/// True when the sets together hold every key of `range`; of a range without keys, its start.
///
/// Walks from the start to the end: each step goes as far as any of the sets goes without a
/// gap. There are at most as many steps as the sets have intervals.
pub(crate) fn cover<'a, I>(sets: impl Fn() -> I, range: &KeyRange) -> bool
where
    I: Iterator<Item = &'a Spans>,
{
    if range.is_single() || range.is_empty() {
        return sets().any(|set| set.around(&range.start).is_some());
    }
    let mut at: &[u8] = &range.start;
    loop {
        let mut furthest: Option<&[u8]> = None;
        for span in sets().filter_map(|set| set.around(at)) {
            match span.end.as_deref() {
                None => return true,
                Some(end) => furthest = furthest.max(Some(end)),
            }
        }
        let Some(end) = furthest else { return false };
        if matches!(&range.end, RangeEnd::Before(wanted) if end >= wanted.as_ref()) {
            return true;
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(ranges: &[(&'static str, &'static str)]) -> Spans {
        Spans::union(ranges.iter().map(|(key, end)| KeyRange::from_fields(*key, *end)))
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let union = spans(&[("m", "p"), ("a", "c"), ("b", "m"), ("x", "\0"), ("y", "z")]);
        assert_eq!(union, spans(&[("a", "p"), ("x", "\0")]));
        assert_eq!(spans(&[("a", ""), ("a\0", "b")]), spans(&[("a", "b")]));
        assert_eq!(spans(&[("a", ""), ("b", "")]).0.len(), 2);
        assert_eq!(spans(&[("", "z"), ("c", "b"), ("c", "c")]), Spans::default());
    }

    #[test]
    fn several_sets_cover_together() {
        let (one, two) = (spans(&[("a", "f"), ("k", "m")]), spans(&[("e", "k"), ("m", "\0")]));
        let covered =
            |key, end| cover(|| [&one, &two].into_iter(), &KeyRange::from_fields(key, end));
        assert!(covered("a", "z") && covered("b", "\0") && covered("q", ""));
        assert!(!covered("Z", "b") && !covered("Z", ""));
        let alone = |key, end| cover(|| [&one].into_iter(), &KeyRange::from_fields(key, end));
        assert!(alone("a", "f") && !alone("a", "f\0") && !alone("a", "\0"));
        assert!(alone("c", "a") && !alone("g", "a"), "a range without keys counts by its start");
    }
}
