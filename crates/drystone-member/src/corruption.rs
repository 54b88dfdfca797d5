//! What members' hashes say about their stores, as etcd judges them
//! (`server/etcdserver/corrupt.go`).

use drystone_mvcc::HashKv;
use drystone_types::MemberId;
use std::collections::BTreeMap;

/// What a starting member learns from the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartVerdict {
    /// Members whose hash is this one's.
    pub agree: Vec<MemberId>,
    /// Members with another hash of the same history.
    pub differ: Vec<MemberId>,
}

impl StartVerdict {
    /// Compares `own` hash with those of the others at the same revision. Hashes that were taken
    /// under another compacted revision say nothing.
    #[must_use]
    pub fn of(own: HashKv, others: &[(MemberId, HashKv)]) -> Self {
        let mut verdict = Self::default();
        for (member, other) in others {
            if other.compact_revision != own.compact_revision {
                continue;
            }
            let side =
                if other.hash == own.hash { &mut verdict.agree } else { &mut verdict.differ };
            side.push(*member);
        }
        verdict
    }

    /// Whether the member must not serve: somebody differs, and no majority of those that
    /// answered stands with this member. etcd refuses for a single one that differs, and so
    /// keeps sound members from starting beside a damaged one.
    #[must_use]
    pub fn refuses(&self) -> bool {
        !self.differ.is_empty() && self.agree.len() < self.differ.len()
    }
}

/// What a leader learns from the hashes that members took while they compacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompactionVerdict {
    /// Every member has the leader's.
    Whole,
    /// Those that could be compared have the leader's; others did not answer.
    Part,
    /// A majority agrees; these members do not agree with it.
    Corrupt(Vec<MemberId>),
    /// Members differ, and no majority tells who is right.
    Undecided,
}

impl CompactionVerdict {
    /// Compares the hash of the leader `own` with those of all others, `None` for one that did
    /// not answer.
    #[must_use]
    pub fn of(own: (MemberId, HashKv), others: &[(MemberId, Option<HashKv>)]) -> Self {
        let (leader, hash) = own;
        let mut by_hash = BTreeMap::from([(hash.hash, vec![leader])]);
        let comparable = |other: &HashKv| other.compact_revision == hash.compact_revision;
        let mut compared = 0;
        for (member, other) in others {
            if let Some(other) = other.filter(comparable) {
                compared += 1;
                by_hash.entry(other.hash).or_default().push(*member);
            }
        }
        if by_hash.len() == 1 {
            return if compared == others.len() { Self::Whole } else { Self::Part };
        }
        let members = others.len() + 1;
        let majority = members / 2 + 1;
        let Some(right) = by_hash.iter().find(|(_, members)| members.len() >= majority) else {
            return Self::Undecided;
        };
        let right = *right.0;
        by_hash.remove(&right);
        let mut corrupt: Vec<MemberId> = by_hash.into_values().flatten().collect();
        corrupt.sort_unstable();
        Self::Corrupt(corrupt)
    }
}

/// A member's answer to the leader's periodic question for a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeriodicAnswer {
    /// Who answered.
    pub member: MemberId,
    /// Its current revision then.
    pub revision: i64,
    /// Its hash at the revision that was asked for.
    pub hash: HashKv,
}

/// What is wrong with a member, as a leader's periodic check finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The leader's own hash changed while nothing was written.
    HashChanged,
    /// The member is ahead of the leader.
    RevisionAhead,
    /// The member has compacted more than the leader.
    CompactionAhead,
    /// The member's hash of the same history is another.
    HashDiffers,
}

impl Fault {
    /// What is logged, in etcd's words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::HashChanged => "found hash mismatch",
            Self::RevisionAhead => "revision from follower must be less than or equal to leader's",
            Self::CompactionAhead => {
                "compact revision from follower must be less than or equal to leader's"
            }
            Self::HashDiffers => "same compact revision then hashes must match",
        }
    }
}

/// The first member found at fault, if any: the leader `own` hashed `first`, asked the others at
/// that revision, made sure that it has applied all they had, and hashed `second`.
#[must_use]
pub fn judge_periodic(
    own: MemberId,
    first: HashKv,
    second: HashKv,
    others: &[PeriodicAnswer],
) -> Option<(MemberId, Fault)> {
    let unmoved =
        first.revision == second.revision && first.compact_revision == second.compact_revision;
    if unmoved && first.hash != second.hash {
        return Some((own, Fault::HashChanged));
    }
    others.iter().find_map(|answer| {
        let hash = answer.hash;
        let fault = if answer.revision > second.revision {
            Fault::RevisionAhead
        } else if hash.compact_revision > second.compact_revision {
            Fault::CompactionAhead
        } else if hash.compact_revision == first.compact_revision && hash.hash != first.hash {
            Fault::HashDiffers
        } else {
            return None;
        };
        Some((answer.member, fault))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MemberId = MemberId(1);
    const B: MemberId = MemberId(2);
    const C: MemberId = MemberId(3);

    fn hash(hash: u32, compact_revision: i64) -> HashKv {
        HashKv { hash, compact_revision, revision: 9 }
    }

    #[test]
    fn a_start_is_refused_when_no_majority_of_answers_stands_with_the_member() {
        let refuses =
            |others: &[(MemberId, HashKv)]| StartVerdict::of(hash(7, 3), others).refuses();
        assert!(!refuses(&[]), "nobody answered");
        assert!(!refuses(&[(B, hash(7, 3)), (C, hash(7, 3))]));
        assert!(!refuses(&[(B, hash(8, 2))]), "another compacted revision says nothing");
        assert!(refuses(&[(B, hash(8, 3))]), "nobody knows who is right");
        assert!(refuses(&[(B, hash(8, 3)), (C, hash(8, 3))]));
        assert!(!refuses(&[(B, hash(8, 3)), (C, hash(7, 3))]), "the other one is damaged");
    }

    #[test]
    fn the_minority_is_named_after_a_compaction() {
        let verdict = |b: Option<HashKv>, c: Option<HashKv>| {
            CompactionVerdict::of((A, hash(7, 3)), &[(B, b), (C, c)])
        };
        let (same, other) = (Some(hash(7, 3)), Some(hash(8, 3)));
        assert_eq!(verdict(same, same), CompactionVerdict::Whole);
        assert_eq!(verdict(same, None), CompactionVerdict::Part);
        assert_eq!(verdict(same, Some(hash(8, 2))), CompactionVerdict::Part);
        assert_eq!(verdict(same, other), CompactionVerdict::Corrupt(vec![C]));
        assert_eq!(verdict(other, other), CompactionVerdict::Corrupt(vec![A]));
        assert_eq!(verdict(other, None), CompactionVerdict::Undecided);
        assert_eq!(verdict(other, Some(hash(9, 3))), CompactionVerdict::Undecided);
        let two = CompactionVerdict::of((A, hash(7, 3)), &[(B, other)]);
        assert_eq!(two, CompactionVerdict::Undecided, "one against one");
        let four =
            CompactionVerdict::of((A, hash(7, 3)), &[(B, same), (C, other), (MemberId(4), other)]);
        assert_eq!(four, CompactionVerdict::Undecided, "two against two");
    }

    #[test]
    fn the_first_member_at_fault_is_named_by_the_periodic_check() {
        let first = hash(7, 3);
        let answer = |revision, hash| PeriodicAnswer { member: B, revision, hash };
        let judge = |second, answers: &[PeriodicAnswer]| judge_periodic(A, first, second, answers);
        assert_eq!(judge(first, &[answer(9, first)]), None);
        assert_eq!(judge(hash(8, 3), &[]), Some((A, Fault::HashChanged)));
        assert_eq!(judge(hash(8, 4), &[]), None, "compacted meanwhile");
        assert_eq!(judge(first, &[answer(10, first)]), Some((B, Fault::RevisionAhead)));
        assert_eq!(judge(first, &[answer(9, hash(7, 4))]), Some((B, Fault::CompactionAhead)));
        assert_eq!(judge(first, &[answer(9, hash(8, 3))]), Some((B, Fault::HashDiffers)));
        assert_eq!(judge(first, &[answer(9, hash(8, 2))]), None, "compacts later than the leader");
    }
}
