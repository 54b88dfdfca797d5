//! Whether a change of membership endangers the quorum (etcd's `--strict-reconfig-check`).

use drystone_api::errors::EtcdError;
use drystone_machine::{Member, Membership};
use drystone_types::MemberId;

/// How this member and another one are in contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contact {
    /// Calls to it fail.
    None,
    /// Calls to it have worked for a moment.
    Fresh,
    /// Calls to it have worked for as long as it takes to be counted on, or it is this member.
    Lasting,
}

/// What the checks go by: the members, and how this one reaches the others.
pub(crate) struct Standing<'a, F> {
    pub(crate) membership: &'a Membership,
    pub(crate) contact: F,
}

impl<F: Fn(MemberId) -> Contact> Standing<'_, F> {
    fn voters(&self) -> impl Iterator<Item = &Member> {
        self.membership.members().filter(|member| !member.is_learner)
    }

    fn connected(&self) -> usize {
        self.voters().filter(|v| (self.contact)(v.member_id()) == Contact::Lasting).count()
    }

    /// May a member be added?
    pub(crate) fn may_add(&self, is_learner: bool) -> Result<(), EtcdError> {
        let voters = self.voters().count();
        let started = self.voters().filter(|voter| is_started(voter)).count();
        // One that stands alone may grow: it is how a restored member gets its cluster back.
        let alone = voters == 1;
        if !is_learner && started < quorum(voters + 1) && !(alone && started == 1) {
            return Err(EtcdError::MemberNotEnoughStarted);
        }
        if !alone && self.connected() < quorum(voters + 1) {
            return Err(EtcdError::Unhealthy);
        }
        Ok(())
    }

    /// May the member be removed?
    pub(crate) fn may_remove(&self, id: MemberId) -> Result<(), EtcdError> {
        if self.membership.member(id).is_some_and(|member| member.is_learner) {
            return Ok(());
        }
        let rest = || self.voters().filter(|voter| voter.member_id() != id);
        let started = rest().filter(|voter| is_started(voter)).count();
        if started < quorum(rest().count()) {
            return Err(EtcdError::MemberNotEnoughStarted);
        }
        // One that is down is not part of what makes the quorum now.
        if (self.contact)(id) == Contact::None {
            return Ok(());
        }
        let needed = 1 + self.voters().count().saturating_sub(1) / 2;
        if self.connected().saturating_sub(1) < needed {
            return Err(EtcdError::Unhealthy);
        }
        Ok(())
    }

    /// Can the cluster go on without this voter, which is away, by those who can be reached now?
    pub(crate) fn may_lose(&self, id: MemberId) -> Result<(), EtcdError> {
        let reached = self.voters().filter(|voter| {
            voter.member_id() != id && (self.contact)(voter.member_id()) != Contact::None
        });
        match reached.count() >= quorum(self.voters().count()) {
            true => Ok(()),
            false => Err(EtcdError::Unhealthy),
        }
    }

    /// May the learner begin to vote?
    pub(crate) fn may_promote(&self) -> Result<(), EtcdError> {
        let voters = self.voters().count();
        let started = self.voters().filter(|voter| is_started(voter)).count();
        if started + 1 < quorum(voters + 1) {
            return Err(EtcdError::MemberNotEnoughStarted);
        }
        Ok(())
    }
}

fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

/// A member has a name once it has started for the first time.
fn is_started(member: &Member) -> bool {
    !member.name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use drystone_backend::Batch;
    use drystone_machine::Change;

    /// Voters with ids from 1 on, of which the first `started` have a name, and one learner with
    /// id 99.
    fn members(voters: u64, started: u64) -> Membership {
        let mut membership = Membership::default();
        let mut out = Batch::new();
        for id in 1..=voters {
            let name = if id <= started { format!("m{id}") } else { String::new() };
            let member = Member { id, name, ..Member::default() };
            membership.apply(Change::Add(member), &mut out);
        }
        let learner = Member { id: 99, is_learner: true, ..Member::default() };
        membership.apply(Change::Add(learner), &mut out);
        membership
    }

    /// What is said when the voters up to `connected` are reached.
    fn standing(
        membership: &Membership,
        connected: u64,
    ) -> Standing<'_, impl Fn(MemberId) -> Contact> {
        let contact =
            move |id: MemberId| if id.0 <= connected { Contact::Lasting } else { Contact::None };
        Standing { membership, contact }
    }

    #[test]
    fn a_voter_needs_a_started_and_connected_quorum_of_one_more() {
        use EtcdError::{MemberNotEnoughStarted, Unhealthy};
        for (voters, started, connected, verdict) in [
            (1, 1, 1, Ok(())),
            (1, 0, 1, Err(MemberNotEnoughStarted)),
            (2, 2, 2, Ok(())),
            (2, 1, 2, Err(MemberNotEnoughStarted)),
            (2, 2, 1, Err(Unhealthy)),
            (3, 3, 3, Ok(())),
            (3, 2, 3, Err(MemberNotEnoughStarted)),
            (3, 3, 2, Err(Unhealthy)),
            (4, 3, 3, Ok(())),
        ] {
            let members = members(voters, started);
            let standing = standing(&members, connected);
            assert_eq!(standing.may_add(false), verdict, "{voters} {started} {connected}");
        }
    }

    #[test]
    fn a_learner_needs_contact_only() {
        let members = members(3, 1);
        assert_eq!(standing(&members, 3).may_add(true), Ok(()));
        assert_eq!(standing(&members, 2).may_add(true), Err(EtcdError::Unhealthy));
    }

    #[test]
    fn what_remains_must_have_a_quorum_of_its_own() {
        use EtcdError::{MemberNotEnoughStarted, Unhealthy};
        for (voters, started, connected, id, verdict) in [
            (1, 1, 1, 1, Err(MemberNotEnoughStarted)),
            (1, 1, 1, 99, Ok(())),
            (2, 2, 2, 2, Ok(())),
            (2, 1, 2, 1, Err(MemberNotEnoughStarted)),
            (3, 3, 3, 1, Ok(())),
            (3, 3, 2, 3, Ok(())),
            (3, 3, 2, 1, Err(Unhealthy)),
            (5, 5, 3, 1, Err(Unhealthy)),
            (5, 5, 4, 1, Ok(())),
            (3, 3, 3, 77, Ok(())),
        ] {
            let members = members(voters, started);
            let standing = standing(&members, connected);
            let remove = standing.may_remove(MemberId(id));
            assert_eq!(remove, verdict, "{voters} {started} {connected} {id}");
        }
    }

    #[test]
    fn a_member_is_given_up_only_by_a_quorum_without_it() {
        assert_eq!(standing(&members(3, 3), 2).may_lose(MemberId(3)), Ok(()));
        let few = members(3, 3);
        assert_eq!(standing(&few, 1).may_lose(MemberId(3)), Err(EtcdError::Unhealthy));
        let two = members(2, 2);
        assert_eq!(standing(&two, 2).may_lose(MemberId(2)), Err(EtcdError::Unhealthy));
    }

    #[test]
    fn a_promotion_counts_the_learner_as_started() {
        assert_eq!(standing(&members(3, 3), 3).may_promote(), Ok(()));
        assert_eq!(standing(&members(3, 2), 3).may_promote(), Ok(()));
        let few = members(3, 1);
        assert_eq!(standing(&few, 3).may_promote(), Err(EtcdError::MemberNotEnoughStarted));
    }
}
