//! A rolling digest of what is written, so that members find out at any time, and cheaply, whether
//! they write the same.
//!
//! Every revision has a digest of its records. What is kept is the sum of all digests up to a
//! revision, since the store was opened. The difference of two sums speaks for the revisions
//! between them, and does not depend on when a member was started: members compare differences.

use parking_lot::Mutex;
use std::collections::VecDeque;

/// How many of the newest revisions have a mark each.
const DENSE_MAX: usize = 32_768;
/// Of what is older every so many revisions one is kept.
const SPARSE_STEP: i64 = 1_024;
/// How many of those.
const SPARSE_MAX: usize = 4_096;

/// The sum of the digests of all revisions from some base on, up to one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DigestMark {
    /// The revision, that one included.
    pub revision: i64,
    /// The sum. Only the difference of two marks of one store means anything.
    pub sum: u64,
}

/// Gathers the records of one revision, in order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecordsDigest(u32);

impl RecordsDigest {
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.0 = crc32c::crc32c_append(crc32c::crc32c_append(self.0, key), value);
    }

    /// What the revision adds to the sum: its number goes in, so that the same records at
    /// another revision add something else.
    pub(crate) fn at(self, revision: i64) -> u64 {
        mix(u64::from(self.0) << 32 ^ mix(revision.cast_unsigned()))
    }
}

/// Spreads every bit over the whole number (the finalizer of `splitmix64`).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The marks of the newest revisions: all of the last, a few of those before.
#[derive(Debug)]
pub(crate) struct Trail(Mutex<Marks>);

#[derive(Debug)]
struct Marks {
    sparse: VecDeque<DigestMark>,
    dense: VecDeque<DigestMark>,
}

impl Trail {
    /// A trail that begins at `revision`, the newest when the store was opened.
    pub(crate) fn new(revision: i64) -> Self {
        let dense = VecDeque::from([DigestMark { revision, sum: 0 }]);
        Self(Mutex::new(Marks { sparse: VecDeque::new(), dense }))
    }

    /// Adds the marks of new revisions, ascending.
    pub(crate) fn extend(&self, marks: impl Iterator<Item = DigestMark>) {
        let mut trail = self.0.lock();
        let Marks { sparse, dense } = &mut *trail;
        dense.extend(marks);
        while dense.len() > DENSE_MAX {
            if let Some(old) = dense.pop_front()
                && (sparse.is_empty() || old.revision % SPARSE_STEP == 0)
            {
                sparse.push_back(old);
            }
        }
        while sparse.len() > SPARSE_MAX {
            sparse.pop_front();
        }
    }

    /// The mark of each of `revisions` that is kept, in their order.
    pub(crate) fn at(&self, revisions: &[i64]) -> Vec<DigestMark> {
        let trail = self.0.lock();
        let find = |marks: &VecDeque<DigestMark>, revision: i64| {
            let at = marks.binary_search_by_key(&revision, |mark| mark.revision).ok()?;
            marks.get(at).copied()
        };
        let mark = |revision: &i64| {
            find(&trail.dense, *revision).or_else(|| find(&trail.sparse, *revision))
        };
        revisions.iter().filter_map(mark).collect()
    }

    /// Some marks, ascending: the newest, then ever fewer of the older ones, and the oldest.
    pub(crate) fn spread(&self) -> Vec<DigestMark> {
        let trail = self.0.lock();
        let count = trail.sparse.len() + trail.dense.len();
        let get = |at: usize| match at.checked_sub(trail.sparse.len()) {
            None => trail.sparse.get(at),
            Some(at) => trail.dense.get(at),
        };
        let steps = std::iter::successors(Some(1), |step: &usize| step.checked_mul(2));
        let back = std::iter::once(0).chain(steps.take_while(|step| *step < count));
        let mut places: Vec<usize> = back.map(|back| count - 1 - back).chain([0]).collect();
        places.sort_unstable();
        places.dedup();
        places.into_iter().filter_map(get).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(revisions: impl Iterator<Item = i64>) -> impl Iterator<Item = DigestMark> {
        revisions.map(|revision| DigestMark { revision, sum: revision.cast_unsigned() * 7 })
    }

    #[test]
    fn the_newest_have_all_marks_and_the_old_a_few() {
        let trail = Trail::new(5);
        trail.extend(marks(6..100_006));
        let found = |revision| trail.at(&[revision]).len() == 1;
        assert!((100_005 - 30_000..=100_005).all(found));
        assert!(found(5), "where it began");
        assert!(found(1_024) && found(10_240) && !found(10_241) && !found(100_006));
        let spread: Vec<i64> = trail.spread().iter().map(|mark| mark.revision).collect();
        assert_eq!(spread.first(), Some(&5));
        assert!(spread.is_sorted());
        assert!(spread.ends_with(&[100_001, 100_003, 100_004, 100_005]));
        assert!(spread.len() < 20);
    }

    #[test]
    fn memory_is_bounded() {
        let trail = Trail::new(1);
        for piece in 0..70 {
            trail.extend(marks(2 + piece * 100_000..2 + (piece + 1) * 100_000));
        }
        let marks = trail.0.lock();
        assert!(marks.dense.len() <= DENSE_MAX && marks.sparse.len() <= SPARSE_MAX);
        assert!(marks.sparse.iter().chain(&marks.dense).is_sorted_by_key(|mark| mark.revision));
    }

    #[test]
    fn records_their_order_and_their_revision_all_count() {
        let digest = |records: &[(&[u8], &[u8])], revision| {
            let mut digest = RecordsDigest::default();
            records.iter().for_each(|(key, value)| digest.add(key, value));
            digest.at(revision)
        };
        let one = digest(&[(b"a", b"1"), (b"b", b"2")], 7);
        assert_eq!(one, digest(&[(b"a", b"1"), (b"b", b"2")], 7));
        assert_ne!(one, digest(&[(b"b", b"2"), (b"a", b"1")], 7));
        assert_ne!(one, digest(&[(b"a", b"1"), (b"b", b"2")], 8));
        assert_ne!(one, digest(&[(b"a", b"1"), (b"b", b"3")], 7));
    }
}
