//! Which members write something else, and from which revision on.

use drystone_mvcc::DigestMark;
use drystone_types::MemberId;

/// What the marks of two members say about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// They have too few revisions in common.
    Unknown,
    /// They wrote the same, as far as the marks reach.
    Same,
    /// They wrote the same up to `after`, as far as the marks reach, and something else in at
    /// least one revision behind it, up to `upto`.
    Differs {
        /// The last revision before they parted that both have a mark of.
        after: i64,
        /// The first revision after that.
        upto: i64,
    },
}

/// Compares the marks of two members; each has its own base. Both ascend.
#[must_use]
pub fn compare(own: &[DigestMark], other: &[DigestMark]) -> Comparison {
    let mut other = other.iter().peekable();
    let mut last: Option<(i64, u64)> = None;
    let mut verdict = Comparison::Unknown;
    for own in own {
        while other.next_if(|mark| mark.revision < own.revision).is_some() {}
        let Some(found) = other.next_if(|mark| mark.revision == own.revision) else { continue };
        // Equal as long as both added the same since the mark before.
        let apart = own.sum.wrapping_sub(found.sum);
        match last {
            Some((after, before)) if before != apart => {
                return Comparison::Differs { after, upto: own.revision };
            }
            Some(_) => verdict = Comparison::Same,
            None => {}
        }
        last = Some((own.revision, apart));
    }
    verdict
}

/// Where a member stands among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody is known to write something else.
    Sound,
    /// A majority writes what this member writes; these others do not.
    Majority(Vec<MemberId>),
    /// A majority agrees on something else. This member must not serve.
    Minority(Vec<MemberId>),
    /// Members differ, and no majority tells who is right; these differ from this one.
    Undecided(Vec<MemberId>),
}

impl Standing {
    /// Judges a member with the marks `own` by those of the others that answered, in a cluster
    /// of `members`, itself included.
    #[must_use]
    pub fn of(own: &[DigestMark], others: &[(MemberId, Vec<DigestMark>)], members: usize) -> Self {
        let majority = members / 2 + 1;
        let with = |wanted: fn(Comparison) -> bool| -> Vec<&(MemberId, Vec<DigestMark>)> {
            others.iter().filter(|(_, marks)| wanted(compare(own, marks))).collect()
        };
        let same = with(|comparison| comparison == Comparison::Same);
        let differ = with(|comparison| matches!(comparison, Comparison::Differs { .. }));
        if differ.is_empty() {
            return Self::Sound;
        }
        let names = differ.iter().map(|(member, _)| *member).collect();
        if same.len() + 1 >= majority {
            return Self::Majority(names);
        }
        let agrees = |one: &[DigestMark]| {
            differ.iter().filter(|(_, other)| compare(one, other) == Comparison::Same).count()
        };
        let right = differ.iter().filter(|(_, marks)| agrees(marks) >= majority);
        let right: Vec<MemberId> = right.map(|(member, _)| *member).collect();
        if right.is_empty() { Self::Undecided(names) } else { Self::Minority(right) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: MemberId = MemberId(2);
    const C: MemberId = MemberId(3);

    /// The marks of a member that started at `base` and writes `digest(revision)`.
    fn marks(base: i64, upto: i64, digest: impl Fn(i64) -> u64) -> Vec<DigestMark> {
        let mut sum = 0u64;
        let mut marks = vec![DigestMark { revision: base, sum }];
        for revision in base + 1..=upto {
            sum = sum.wrapping_add(digest(revision));
            marks.push(DigestMark { revision, sum });
        }
        marks
    }

    fn sound(revision: i64) -> u64 {
        revision.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn from_7_on(revision: i64) -> u64 {
        sound(revision) + u64::from(revision == 7)
    }

    #[test]
    fn members_that_started_at_different_times_compare_what_both_wrote() {
        let old = marks(1, 20, sound);
        assert_eq!(compare(&old, &marks(9, 15, sound)), Comparison::Same);
        assert_eq!(compare(&marks(20, 30, sound), &old), Comparison::Unknown, "one in common");
        assert_eq!(compare(&old, &[]), Comparison::Unknown);
        let differs = Comparison::Differs { after: 6, upto: 7 };
        assert_eq!(compare(&old, &marks(3, 18, from_7_on)), differs, "the first revision");
        let few: Vec<_> = old.iter().filter(|m| m.revision % 4 == 0).copied().collect();
        let differs = Comparison::Differs { after: 4, upto: 8 };
        assert_eq!(compare(&few, &marks(3, 18, from_7_on)), differs);
        assert_eq!(compare(&old, &marks(8, 18, from_7_on)), Comparison::Same, "before it began");
    }

    #[test]
    fn the_minority_knows_itself_and_the_majority_names_it() {
        let (good, bad) = (marks(1, 20, sound), marks(3, 19, from_7_on));
        let of = |own: &[DigestMark], b: &[DigestMark], c: &[DigestMark]| {
            Standing::of(own, &[(B, b.to_vec()), (C, c.to_vec())], 3)
        };
        assert_eq!(of(&good, &good, &good), Standing::Sound);
        assert_eq!(of(&good, &good, &bad), Standing::Majority(vec![C]));
        assert_eq!(of(&bad, &good, &good), Standing::Minority(vec![B, C]));
        assert_eq!(of(&bad, &good, &[]), Standing::Undecided(vec![B]), "one did not answer");
        assert_eq!(of(&good, &[], &[]), Standing::Sound);
        let third = marks(1, 20, |revision| sound(revision) + 5 * u64::from(revision == 9));
        assert_eq!(of(&good, &bad, &third), Standing::Undecided(vec![B, C]), "all differ");
        let two = Standing::of(&good, &[(B, bad)], 2);
        assert_eq!(two, Standing::Undecided(vec![B]), "one against one");
    }
}
