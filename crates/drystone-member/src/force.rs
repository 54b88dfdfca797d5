//! A member that goes on alone, when the others are gone for good.
//!
//! etcd's `--force-new-cluster` (`server/etcdserver/bootstrap.go`): the member appends, on its own
//! authority, the removal of everybody else to its log and takes the whole log for committed.
//! That breaks the promise of a majority, which is why a person has to ask for it.
//!
//! etcd cuts off what it does not know to be committed. Here it is kept: a member learns late how
//! far a majority had come, so the end of its log may hold acknowledged writes, and whoever has
//! to force a cluster wants them. What nobody acknowledged may take effect late, as after any
//! call without an answer.

use drystone_backend::Batch;
use drystone_machine::{Change, Member, Membership};
use drystone_types::{Entry, EntryKind, HardState, LogIndex, MemberId};

/// What to append, and to sync together, before the member starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forced {
    /// Changes of membership that follow on the log; none when the member is alone already.
    pub entries: Vec<Entry>,
    /// The hard state after them: everything is committed.
    pub hard_state: HardState,
}

/// What the log of a member holds.
#[derive(Clone, Copy, Debug)]
pub struct ForcedFrom<'a> {
    /// Membership of the store.
    pub membership: &'a Membership,
    /// The newest entry that the store holds.
    pub applied: LogIndex,
    /// The hard state of the log.
    pub hard_state: HardState,
    /// The entries of the log.
    pub entries: &'a [Entry],
    /// The newest entry of the log, or what it begins after.
    pub last: LogIndex,
    /// Learners that the cluster may have.
    pub learners_max: usize,
}

/// Why a member cannot go on alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForceError {
    /// It was removed before, and a removed member never comes back.
    #[error("member {0} was removed from the cluster; start another member of it")]
    Removed(MemberId),
    /// The log cannot be understood.
    #[error("entry {index} cannot be understood: {reason}")]
    Log {
        /// The entry.
        index: LogIndex,
        /// What is wrong with it.
        reason: String,
    },
}

/// Makes `own` the only member of its cluster. It keeps its id, the cluster's id and its data;
/// `peer_urls` are for a member that its own cluster does not know.
///
/// # Errors
/// [`ForceError`]; nothing has changed then.
pub fn force_alone(
    own: MemberId,
    peer_urls: &[String],
    from: ForcedFrom<'_>,
) -> Result<Forced, ForceError> {
    let membership = at_the_end(&from)?;
    if membership.is_removed(own) {
        return Err(ForceError::Removed(own));
    }
    let mut changes = Vec::new();
    match membership.member(own) {
        None => {
            let peer_urls = peer_urls.to_vec();
            changes.push(Change::Add(Member { id: own.0, peer_urls, ..Member::default() }));
        }
        Some(member) if member.is_learner => changes.push(Change::Promote(own)),
        Some(_) => {}
    }
    let others = membership.members().map(Member::member_id).filter(|id| *id != own);
    changes.extend(others.map(Change::Remove));
    let entries: Vec<Entry> = (from.last.0 + 1..)
        .zip(&changes)
        .map(|(index, change)| Entry {
            term: from.hard_state.term,
            index: LogIndex(index),
            kind: EntryKind::ConfChange,
            data: change.encode(0),
        })
        .collect();
    let commit = entries.last().map_or(from.last, |entry| entry.index);
    Ok(Forced { entries, hard_state: HardState { commit, ..from.hard_state } })
}

/// The membership once the whole log is applied.
fn at_the_end(from: &ForcedFrom<'_>) -> Result<Membership, ForceError> {
    let mut membership = from.membership.clone();
    let changes = from
        .entries
        .iter()
        .filter(|entry| entry.index > from.applied && entry.kind == EntryKind::ConfChange);
    for entry in changes {
        let (_, change) = Change::decode(&entry.data)
            .map_err(|reason| ForceError::Log { index: entry.index, reason })?;
        if membership.check(&change, from.learners_max).is_ok() {
            membership.apply(change, &mut Batch::new());
        }
    }
    Ok(membership)
}
