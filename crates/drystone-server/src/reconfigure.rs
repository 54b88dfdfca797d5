//! Changes of membership: checked here, proposed, and answered when raft has taken them over.

use crate::access::{Authority, Caller};
use crate::shared::{Input, Shared};
use crate::strict::{Contact, Standing};
use drystone_api::errors::EtcdError;
use drystone_machine::{Change, Member, Membership, member_id};
use drystone_member::NotReady;
use drystone_peer::{FetchError, PeerUrl, PromoteRefused};
use drystone_types::MemberId;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

/// How long another member must have been reachable to be counted on (etcd: 5 s).
const CONTACT_MIN: Duration = Duration::from_secs(5);
/// How long a change may take whose caller set no bound. etcd waits without end.
const CHANGE_MAX: Duration = Duration::from_secs(60);
/// How long a leader that is to be removed is given to hand over. Its removal goes on without.
const HAND_OVER_MAX: Duration = Duration::from_secs(2);
/// Pause between two looks at who leads.
const LEADER_PAUSE: Duration = Duration::from_millis(10);
/// Pause before a leader that did not answer is asked again.
const FORWARD_PAUSE: Duration = Duration::from_millis(50);

impl Shared {
    /// Adds a member under an id made from its URLs and the time.
    ///
    /// # Errors
    /// etcd's; after a timeout the change may yet be made.
    pub(crate) async fn add_member(
        &self,
        authority: &Authority,
        peer_urls: Vec<String>,
        is_learner: bool,
    ) -> Result<Member, EtcdError> {
        if self.config.strict_reconfig_check {
            self.standing(&self.membership()).may_add(is_learner)?;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = member_id(&peer_urls, "", Some(now.as_secs()));
        let member = Member { id: id.0, peer_urls, is_learner, ..Member::default() };
        self.change(authority, Change::Add(member.clone())).await?;
        Ok(member)
    }

    /// Removes a member for good; if it leads, it hands over first.
    ///
    /// # Errors
    /// As [`Shared::add_member`].
    pub(crate) async fn remove_member(
        &self,
        authority: &Authority,
        id: MemberId,
    ) -> Result<(), EtcdError> {
        if self.config.strict_reconfig_check {
            self.standing(&self.membership()).may_remove(id)?;
        }
        let is_member = self.membership().member(id).is_some();
        if is_member && self.status.leader() == Some(id) {
            self.relieve(id).await;
        }
        let removed = self.change(authority, Change::Remove(id));
        if id != self.member {
            return removed.await;
        }
        // The others need not tell a member that has gone that it was agreed on; then it hears so
        // when it calls them.
        let mut left = self.left.subscribe();
        tokio::select! {
            removed = removed => removed,
            _ = left.wait_for(|left| *left) => Ok(()),
        }
    }

    /// Gives a member other peer URLs. They are not checked, as in etcd.
    ///
    /// # Errors
    /// As [`Shared::add_member`].
    pub(crate) async fn update_member(
        &self,
        authority: &Authority,
        id: MemberId,
        peer_urls: Vec<String>,
    ) -> Result<(), EtcdError> {
        let update = Change::Update(Member { id: id.0, peer_urls, ..Member::default() });
        self.change(authority, update).await
    }

    /// Makes a learner a voter. Only the leader knows whether it has caught up, so another
    /// member asks the leader, who asks `caller` for the right anew.
    ///
    /// # Errors
    /// As [`Shared::add_member`].
    pub(crate) async fn promote_member(
        &self,
        authority: &Authority,
        id: MemberId,
        caller: &Caller,
    ) -> Result<Vec<Member>, EtcdError> {
        match self.promote_here(authority, id).await {
            Ok(()) => Ok(self.members()),
            Err(EtcdError::NotLeader) => {
                let limit = self.config.request_timeout();
                let there = self.promote_there(authority, id, caller);
                let asked = tokio::time::timeout(limit, there).await;
                asked.unwrap_or(Err(EtcdError::Timeout))
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a learner a voter, as the leader.
    ///
    /// # Errors
    /// As [`Shared::add_member`]; [`EtcdError::NotLeader`] on any other member.
    pub(crate) async fn promote_here(
        &self,
        authority: &Authority,
        id: MemberId,
    ) -> Result<(), EtcdError> {
        let outcome = self.promote_as_leader(authority, id).await;
        match outcome {
            Ok(()) => self.metrics.promoted.increment(1),
            Err(EtcdError::NotLeader) => {}
            Err(error) => self.metrics.not_promoted(error.message()),
        }
        outcome
    }

    async fn promote_as_leader(
        &self,
        authority: &Authority,
        id: MemberId,
    ) -> Result<(), EtcdError> {
        let (reply, answer) = oneshot::channel();
        self.send(Input::CheckLearner(id, reply))?;
        match answer.await.map_err(|_| EtcdError::Stopped)? {
            Ok(()) => {}
            Err(NotReady::NotLeader) => return Err(EtcdError::NotLeader),
            Err(NotReady::NotLearner(_)) => return Err(EtcdError::MemberNotLearner),
            Err(NotReady::Behind(_)) => return Err(EtcdError::LearnerNotReady),
            Err(_) => return Err(EtcdError::MemberNotFound),
        }
        if self.config.strict_reconfig_check {
            self.standing(&self.membership()).may_promote()?;
        }
        self.change(authority, Change::Promote(id)).await
    }

    /// Asks whoever leads, until one answers.
    async fn promote_there(
        &self,
        authority: &Authority,
        id: MemberId,
        caller: &Caller,
    ) -> Result<Vec<Member>, EtcdError> {
        let caller = caller.to_pass_on();
        loop {
            for url in self.leader_urls() {
                match self.fetch.promote_member(&url, id, &caller).await {
                    Ok(members) => {
                        return Ok(members.into_iter().map(crate::peers::told).collect());
                    }
                    Err(FetchError::Refused(PromoteRefused::NotFound)) => {
                        return Err(EtcdError::MemberNotFound);
                    }
                    Err(FetchError::Refused(PromoteRefused::NotLearner)) => {
                        return Err(EtcdError::MemberNotLearner);
                    }
                    Err(FetchError::Refused(PromoteRefused::NotReady)) => {
                        return Err(EtcdError::LearnerNotReady);
                    }
                    Err(error) => tracing::debug!(%error, %url, "the leader did not promote"),
                }
            }
            if self.status.is_leader.load(Ordering::Acquire) {
                return self.promote_here(authority, id).await.map(|()| self.members());
            }
            tokio::time::sleep(FORWARD_PAUSE).await;
        }
    }

    /// Hands leadership to a voter and waits until it is seen there.
    ///
    /// # Errors
    /// [`EtcdError::NotLeader`], [`EtcdError::BadLeaderTransferee`], or that it took too long.
    pub(crate) async fn move_leader(&self, _: &Authority, to: MemberId) -> Result<(), EtcdError> {
        if !self.status.is_leader.load(Ordering::Acquire) {
            return Err(EtcdError::NotLeader);
        }
        if self.membership().member(to).is_none_or(|member| member.is_learner) {
            return Err(EtcdError::BadLeaderTransferee);
        }
        if to == self.member {
            return Ok(());
        }
        let (reply, begun) = oneshot::channel();
        self.send(Input::Transfer(to, reply))?;
        begun.await.map_err(|_| EtcdError::Stopped)??;
        let limit = self.config.request_timeout();
        if self.leader_becomes(limit, |leader| leader == Some(to)).await {
            return Ok(());
        }
        Err(EtcdError::TimeoutLeaderTransfer)
    }

    /// Takes the leadership from a member that is about to be removed: the others need not wait
    /// for an election then.
    async fn relieve(&self, leader: MemberId) {
        let (done, begun) = oneshot::channel();
        let input =
            if leader == self.member { Input::HandOver(done) } else { Input::TakeOver(done) };
        if self.send(input).is_err() || begun.await.is_err() {
            return;
        }
        let moved = |now: Option<MemberId>| now.is_some() && now != Some(leader);
        if !self.leader_becomes(HAND_OVER_MAX, moved).await {
            tracing::warn!(%leader, "the leader is removed although it did not hand over");
        }
    }

    async fn leader_becomes(
        &self,
        limit: Duration,
        wanted: impl Fn(Option<MemberId>) -> bool,
    ) -> bool {
        let seen = async {
            while !wanted(self.status.leader()) {
                tokio::time::sleep(LEADER_PAUSE).await;
            }
        };
        tokio::time::timeout(limit, seen).await.is_ok()
    }

    /// Proposes a change that somebody has leave to make, and waits until raft has taken it
    /// over here. The entry does not say who asked: the machine applies it whoever did.
    ///
    /// # Errors
    /// Why the machine refused it; after a timeout it may yet be made.
    pub(crate) async fn change(&self, _: &Authority, change: Change) -> Result<(), EtcdError> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(EtcdError::Stopped);
        }
        let id = self.ids.next();
        let (_guard, answer) = self.file_waiter(id);
        self.send(Input::Change { id, change })?;
        match tokio::time::timeout(CHANGE_MAX, answer).await {
            Ok(Ok(answer)) => answer.map(|_| ()),
            Ok(Err(_)) => Err(EtcdError::Stopped),
            Err(_) => Err(EtcdError::Timeout),
        }
    }

    /// Everybody, by ascending id.
    pub(crate) fn members(&self) -> Vec<Member> {
        self.membership().members().cloned().collect()
    }

    pub(crate) fn membership(&self) -> std::sync::Arc<Membership> {
        self.view.read().membership.clone()
    }

    pub(crate) fn leader_urls(&self) -> Vec<PeerUrl> {
        let membership = self.membership();
        let leader = self.status.leader().and_then(|leader| membership.member(leader));
        let urls = leader.filter(|leader| leader.id != self.member.0).map(|l| &l.peer_urls);
        urls.into_iter().flatten().filter_map(|url| url.parse().ok()).collect()
    }

    pub(crate) fn standing<'a>(
        &self,
        membership: &'a Membership,
    ) -> Standing<'a, impl Fn(MemberId) -> Contact + use<'_, 'a>> {
        Standing { membership, contact: move |id| self.contact(id) }
    }

    /// How this member reaches another one.
    pub(crate) fn contact(&self, id: MemberId) -> Contact {
        if id == self.member {
            return Contact::Lasting;
        }
        let peer = self.transport.get().and_then(|transport| transport.peer(id));
        match peer.and_then(|peer| peer.active_since) {
            None => Contact::None,
            Some(since) if since.elapsed() >= CONTACT_MIN => Contact::Lasting,
            Some(_) => Contact::Fresh,
        }
    }
}
