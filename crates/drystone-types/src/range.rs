//! Which keys a request speaks of.

use bytes::Bytes;
use std::ops::Bound;

/// Where a [`KeyRange`] ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RangeEnd {
    /// The range is the single key it starts with.
    Single,
    /// The range goes on to the last key there is.
    Unbounded,
    /// The range ends before this key. It is empty when this key is not above the start.
    Before(Bytes),
}

/// A set of keys: one key, a half-open interval, or all keys from one on.
///
/// The rules are those of etcd's `key` and `range_end`: no `range_end` is a single key, one
/// zero byte is "to the end", anything else is the exclusive end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyRange {
    /// The first key of the range.
    pub start: Bytes,
    /// Where the range ends.
    pub end: RangeEnd,
}

impl KeyRange {
    /// The range of a single key.
    #[must_use]
    pub fn key(key: impl Into<Bytes>) -> Self {
        Self { start: key.into(), end: RangeEnd::Single }
    }

    /// All keys.
    #[must_use]
    pub fn all() -> Self {
        Self { start: Bytes::new(), end: RangeEnd::Unbounded }
    }

    /// Reads the pair of fields as etcd's requests carry them.
    #[must_use]
    pub fn from_fields(key: impl Into<Bytes>, range_end: impl Into<Bytes>) -> Self {
        let end = range_end.into();
        let end = match end.as_ref() {
            b"" => RangeEnd::Single,
            b"\0" => RangeEnd::Unbounded,
            _ => RangeEnd::Before(end),
        };
        Self { start: key.into(), end }
    }

    /// All keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        let start = Bytes::copy_from_slice(prefix);
        match prefix_end(prefix) {
            Some(end) => Self { start, end: RangeEnd::Before(end.into()) },
            None => Self { start, end: RangeEnd::Unbounded },
        }
    }

    /// True when the range names exactly one key, whether it exists or not.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.end == RangeEnd::Single
    }

    /// True when no key can be in the range.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.end, RangeEnd::Before(end) if *end <= self.start)
    }

    /// True when `key` is in the range.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        match &self.end {
            RangeEnd::Single => self.start == key,
            RangeEnd::Unbounded => key >= self.start.as_ref(),
            RangeEnd::Before(end) => key >= self.start.as_ref() && key < end.as_ref(),
        }
    }

    /// The range as bounds of an ordered map. An empty range gives `start..start`, which every
    /// ordered map accepts.
    #[must_use]
    pub fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let start = self.start.as_ref();
        match &self.end {
            RangeEnd::Single => (Bound::Included(start), Bound::Included(start)),
            RangeEnd::Unbounded => (Bound::Included(start), Bound::Unbounded),
            RangeEnd::Before(_) if self.is_empty() => {
                (Bound::Included(start), Bound::Excluded(start))
            }
            RangeEnd::Before(end) => (Bound::Included(start), Bound::Excluded(end.as_ref())),
        }
    }
}

/// The first key after all keys that begin with `prefix`: its last byte below 0xff raised by
/// one and the rest cut. `None` when there is no such key (the prefix is empty or all 0xff).
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_read_as_etcd_reads_them() {
        assert!(KeyRange::from_fields("a", "").contains(b"a"));
        assert!(!KeyRange::from_fields("a", "").contains(b"aa"));
        assert!(KeyRange::from_fields("a", "\0").contains(b"zz"));
        assert!(!KeyRange::from_fields("b", "\0").contains(b"a"));
        assert!(KeyRange::from_fields("a", "c").contains(b"bzz"));
        assert!(!KeyRange::from_fields("a", "c").contains(b"c"));
        assert!(KeyRange::from_fields("c", "a").is_empty());
        assert!(KeyRange::from_fields("a", "a").is_empty());
    }

    #[test]
    fn bounds_of_every_range_are_legal_for_an_ordered_map() {
        let map = std::collections::BTreeMap::from([(b"b".as_slice(), ()), (b"c", ())]);
        for (key, end) in [("a", "\0"), ("c", "a"), ("b", "b"), ("b", ""), ("a", "c")] {
            let range = KeyRange::from_fields(key, end);
            let by_bounds: Vec<_> =
                map.range::<[u8], _>(range.bounds()).map(|(key, ())| *key).collect();
            let by_contains: Vec<_> =
                map.keys().copied().filter(|key| range.contains(key)).collect();
            assert_eq!(by_bounds, by_contains, "{key:?} {end:?}");
        }
    }

    #[test]
    fn prefix_end_skips_bytes_that_cannot_rise() {
        assert_eq!(prefix_end(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(prefix_end(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(prefix_end(b"\xff"), None);
        assert_eq!(prefix_end(b""), None);
        assert!(KeyRange::prefix(b"\xff").contains(b"\xff\xff"));
    }
}
