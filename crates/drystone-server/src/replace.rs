//! A member that lost its data is replaced by a new one, as the leader does it.
//!
//! The old id must not be used again: what the member had acknowledged and whom it had voted for
//! is lost. So the old entry is removed, and a learner with a new id and the same peer URLs is
//! added, which begins with an empty log. It is promoted like any learner when it has caught up.

use crate::access::Authority;
use crate::resolve::same_text;
use crate::shared::Shared;
use crate::strict::Contact;
use drystone_api::errors::EtcdError;
use drystone_machine::{Change, Member, Membership};
use drystone_peer::{ReplaceRefused, Replacement};
use std::sync::atomic::Ordering;

/// What is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// An earlier try has done all of it.
    Nothing,
    /// An earlier try removed the old entry.
    Add,
    /// All of it.
    RemoveAndAdd,
}

impl Shared {
    /// Replaces a member that lost its data, as far as an earlier try has not done so already.
    /// Any number of tries does it once.
    ///
    /// # Errors
    /// [`ReplaceRefused`] says whether another try may help. Nothing was changed then, unless
    /// this member lost the leadership half-way: another try goes on from there.
    pub(crate) async fn replace_member(
        &self,
        replacement: Replacement,
    ) -> Result<Vec<Member>, ReplaceRefused> {
        if !self.status.is_leader.load(Ordering::Acquire) {
            return Err(ReplaceRefused::NotLeader);
        }
        let _alone = self.replacing.try_lock().map_err(|_| later("another one is under way"))?;
        // So that what is judged is not older than what an earlier leader did.
        self.confirm_read().await.map_err(refused)?;
        let membership = self.membership();
        let left = judge(&membership, &replacement, self.config.learners_max)?;
        if left == Left::RemoveAndAdd {
            let old = replacement.old;
            if self.contact(old) != Contact::None {
                return Err(later(&format!(
                    "member {old} is in contact with the cluster; if it runs somewhere else, one \
                     of the two must be stopped"
                )));
            }
            let standing = self.standing(&membership);
            standing.may_remove(old).and_then(|()| standing.may_lose(old)).map_err(refused)?;
            tracing::warn!(member = %old, name = replacement.name, "removing a member that says it lost its data");
            let own = Authority::of_this_member();
            self.change(&own, Change::Remove(old)).await.map_err(refused)?;
        }
        if left != Left::Nothing {
            let Replacement { new, peer_urls, .. } = replacement;
            let learner = Member { id: new.0, peer_urls, is_learner: true, ..Member::default() };
            tracing::info!(member = %new, "adding a learner in its place");
            let own = Authority::of_this_member();
            self.change(&own, Change::Add(learner)).await.map_err(refused)?;
        }
        Ok(self.members())
    }

    /// Promotes a learner that took such a place, once it has caught up. The strict checks hold,
    /// whatever the flag says.
    ///
    /// # Errors
    /// As [`Shared::replace_member`].
    pub(crate) async fn promote_replacement(
        &self,
        id: drystone_types::MemberId,
    ) -> Result<Vec<Member>, ReplaceRefused> {
        let membership = self.membership();
        if membership.is_removed(id) {
            return Err(ReplaceRefused::Never(format!("member {id} was removed")));
        }
        if membership.member(id).is_some_and(|member| !member.is_learner) {
            return Ok(self.members());
        }
        self.standing(&membership).may_promote().map_err(refused)?;
        self.promote_here(&Authority::of_this_member(), id).await.map_err(refused)?;
        Ok(self.members())
    }
}

fn later(reason: &str) -> ReplaceRefused {
    ReplaceRefused::Later(reason.to_owned())
}

fn refused(error: EtcdError) -> ReplaceRefused {
    match error {
        EtcdError::NotLeader => ReplaceRefused::NotLeader,
        other => later(other.message()),
    }
}

/// What is left to do of a replacement, and whether it may be done, as far as the membership
/// tells.
fn judge(
    membership: &Membership,
    replacement: &Replacement,
    learners_max: usize,
) -> Result<Left, ReplaceRefused> {
    let Replacement { name, peer_urls, old, new } = replacement;
    let never = |reason: String| Err(ReplaceRefused::Never(reason));
    if new.is_none() || new == old || peer_urls.is_empty() {
        return never("a replacement needs an id of its own, and peer URLs".to_owned());
    }
    if membership.is_removed(*new) {
        return never(format!("the id {new} belonged to a member that was removed"));
    }
    let same = |member: &Member| same_text(&member.peer_urls, peer_urls);
    if let Some(member) = membership.member(*new) {
        return match same(member) {
            true => Ok(Left::Nothing),
            false => never(format!("the id {new} belongs to another member")),
        };
    }
    let left = match membership.member(*old) {
        Some(member) if !same(member) => {
            return never(format!("member {old} has other peer URLs"));
        }
        // One that never started has no name.
        Some(member) if !member.name.is_empty() && member.name != *name => {
            return never(format!("member {old} is {:?}, not {name:?}", member.name));
        }
        Some(_) => Left::RemoveAndAdd,
        None if membership.is_removed(*old) => Left::Add,
        None => return never(format!("there is no member {old}")),
    };
    let others = || membership.members().filter(|member| member.member_id() != *old);
    if others().any(|other| other.peer_urls.iter().any(|url| peer_urls.contains(url))) {
        return never("another member has one of the peer URLs".to_owned());
    }
    // Before anything is removed: what cannot be added afterwards would be lost.
    if others().filter(|other| other.is_learner).count() >= learners_max {
        return Err(later(EtcdError::TooManyLearners.message()));
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use drystone_backend::Batch;
    use drystone_types::MemberId;

    fn url(id: u64) -> Vec<String> {
        vec![format!("http://m{id}:1")]
    }

    /// Three voters with ids 1 to 3.
    fn three() -> Membership {
        let mut membership = Membership::default();
        for id in 1..=3 {
            let name = format!("m{id}");
            let member = Member { id, name, peer_urls: url(id), ..Member::default() };
            membership.apply(Change::Add(member), &mut Batch::new());
        }
        membership
    }

    fn replacement() -> Replacement {
        let (old, new) = (MemberId(3), MemberId(30));
        Replacement { name: "m3".to_owned(), peer_urls: url(3), old, new }
    }

    fn learner(id: u64, url: Vec<String>) -> Change {
        Change::Add(Member { id, peer_urls: url, is_learner: true, ..Member::default() })
    }

    #[test]
    fn a_replacement_goes_on_wherever_it_was_interrupted() {
        let mut membership = three();
        let left = |membership: &Membership| judge(membership, &replacement(), 1);
        assert_eq!(left(&membership), Ok(Left::RemoveAndAdd));
        membership.apply(Change::Remove(MemberId(3)), &mut Batch::new());
        assert_eq!(left(&membership), Ok(Left::Add));
        membership.apply(learner(30, url(3)), &mut Batch::new());
        assert_eq!(left(&membership), Ok(Left::Nothing));
        membership.apply(Change::Promote(MemberId(30)), &mut Batch::new());
        assert_eq!(left(&membership), Ok(Left::Nothing));
        membership.apply(Change::Remove(MemberId(30)), &mut Batch::new());
        assert!(matches!(left(&membership), Err(ReplaceRefused::Never(_))));
    }

    #[test]
    fn nobody_takes_the_place_of_another() {
        let membership = three();
        let refused = |change: &dyn Fn(&mut Replacement)| {
            let mut replacement = replacement();
            change(&mut replacement);
            matches!(judge(&membership, &replacement, 1), Err(ReplaceRefused::Never(_)))
        };
        assert!(refused(&|r| r.name = "other".to_owned()));
        assert!(refused(&|r| r.peer_urls = url(2)));
        assert!(refused(&|r| r.old = MemberId(2)));
        assert!(refused(&|r| r.old = MemberId(77)));
        assert!(refused(&|r| r.new = MemberId(3)));
        assert!(refused(&|r| r.new = MemberId(1)));
        assert!(refused(&|r| r.new = MemberId(0)));
        assert!(refused(&|r| r.peer_urls.clear()));
        assert!(!refused(&|_| {}));
    }

    #[test]
    fn nothing_is_removed_that_has_no_room_to_come_back() {
        let mut membership = three();
        membership.apply(learner(9, url(9)), &mut Batch::new());
        let judged = judge(&membership, &replacement(), 1);
        assert!(matches!(judged, Err(ReplaceRefused::Later(_))));
        assert_eq!(judge(&membership, &replacement(), 2), Ok(Left::RemoveAndAdd));
    }
}
