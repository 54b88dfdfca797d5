//! Who belongs to the cluster, as the log says it: a naive model of the membership at every
//! index. Other judges count their majorities by it, and members' own membership is held
//! against it.

use bytes::Bytes;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{InternalRaftRequest, MemberListResponse};
use drystone_api::raftpb::{ConfChange, ConfChangeType};
use drystone_machine::Membership;
use drystone_types::{Entry, EntryKind, MemberId};
use prost::Message as _;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// What a change of membership says of the member, in etcd's JSON.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Context {
    #[serde(rename = "peerURLs")]
    peer_urls: Option<Vec<String>>,
    name: String,
    #[serde(rename = "isPromote")]
    is_promote: bool,
}

/// One member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) urls: Vec<String>,
    pub(crate) learner: bool,
    pub(crate) name: String,
    pub(crate) client_urls: Vec<String>,
}

/// All members at one index, and all that were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Members {
    pub(crate) members: BTreeMap<MemberId, Member>,
    pub(crate) removed: BTreeSet<MemberId>,
}

/// What a change did, for those who run the machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Added(MemberId, Vec<String>),
    Promoted(MemberId),
    Removed(MemberId),
}

impl Members {
    /// Those who vote.
    pub(crate) fn voters(&self) -> impl Iterator<Item = MemberId> {
        self.members.iter().filter(|(_, member)| !member.learner).map(|(id, _)| *id)
    }

    /// Those who only listen.
    pub(crate) fn learners(&self) -> impl Iterator<Item = MemberId> {
        self.members.iter().filter(|(_, member)| member.learner).map(|(id, _)| *id)
    }

    /// True when more than half of those who vote are among `who`.
    pub(crate) fn majority(&self, who: impl Fn(MemberId) -> bool) -> bool {
        let voters = self.voters().count();
        self.voters().filter(|id| who(*id)).count() * 2 > voters
    }

    fn is_taken(&self, urls: &[String], by_others_than: MemberId) -> bool {
        let others = self.members.iter().filter(|(id, _)| **id != by_others_than);
        let mut taken = others.flat_map(|(_, member)| &member.urls);
        taken.any(|url| urls.contains(url))
    }

    fn add(&mut self, id: MemberId, new: Member, learners_max: usize) -> Result<News, EtcdError> {
        if self.removed.contains(&id) {
            return Err(EtcdError::MemberNotFound);
        }
        if self.members.contains_key(&id) {
            return Err(EtcdError::MemberExist);
        }
        if self.is_taken(&new.urls, id) {
            return Err(EtcdError::PeerURLExist);
        }
        if new.learner && self.learners().count() >= learners_max {
            return Err(EtcdError::TooManyLearners);
        }
        let urls = new.urls.clone();
        self.members.insert(id, new);
        Ok(News::Added(id, urls))
    }

    fn change(
        &mut self,
        change: &ConfChange,
        learners_max: usize,
    ) -> Result<Option<News>, EtcdError> {
        let id = MemberId(change.node_id);
        let context: Context = serde_json::from_slice(&change.context).unwrap_or_default();
        let urls = context.peer_urls.unwrap_or_default();
        let kind = ConfChangeType::try_from(change.r#type);
        let adds = kind == Ok(ConfChangeType::ConfChangeAddNode) && !context.is_promote;
        let learner = kind == Ok(ConfChangeType::ConfChangeAddLearnerNode);
        if adds || learner {
            let name = context.name;
            let new = Member { urls, learner, name, client_urls: Vec::new() };
            return self.add(id, new, learners_max).map(Some);
        }
        let voters = self.voters().count();
        let taken = self.is_taken(&urls, id);
        let member = self.members.get_mut(&id).ok_or(EtcdError::MemberNotFound)?;
        Ok(match kind {
            Ok(ConfChangeType::ConfChangeRemoveNode) => {
                // A cluster without voters could never do anything again.
                if !member.learner && voters == 1 {
                    return Err(EtcdError::MemberNotEnoughStarted);
                }
                self.members.remove(&id);
                self.removed.insert(id);
                Some(News::Removed(id))
            }
            Ok(ConfChangeType::ConfChangeUpdateNode) => {
                if taken {
                    return Err(EtcdError::PeerURLExist);
                }
                member.urls = urls;
                None
            }
            _ => {
                if !member.learner {
                    return Err(EtcdError::MemberNotLearner);
                }
                member.learner = false;
                Some(News::Promoted(id))
            }
        })
    }

    fn describe_itself(&mut self, data: &Bytes) -> bool {
        let command = InternalRaftRequest::decode(data.clone()).unwrap_or_default();
        let Some(set) = command.cluster_member_attr_set else { return false };
        let Some(member) = self.members.get_mut(&MemberId(set.member_id)) else { return false };
        let attributes = set.member_attributes.unwrap_or_default();
        (member.name, member.client_urls) = (attributes.name, attributes.client_urls);
        true
    }

    /// Where a member's own membership differs, in words.
    pub(crate) fn differs(&self, found: &Membership) -> Option<String> {
        let listed: BTreeMap<MemberId, Member> = found
            .members()
            .map(|member| {
                let plain = Member {
                    urls: member.peer_urls.clone(),
                    learner: member.is_learner,
                    name: member.name.clone(),
                    client_urls: member.client_urls.clone(),
                };
                (member.member_id(), plain)
            })
            .collect();
        if listed != self.members {
            return Some(format!("{listed:?}, not {:?}", self.members));
        }
        let forgotten = self.removed.iter().find(|id| !found.is_removed(**id))?;
        Some(format!("it does not know that {forgotten} was removed"))
    }
}

/// The membership at every index that anybody has reached.
#[derive(Debug)]
pub(crate) struct Roll {
    learners_max: usize,
    /// Entries up to here were seen.
    upto: u64,
    /// The membership after each entry that changed it; before the first there is none.
    after: BTreeMap<u64, Members>,
    /// What each change of membership was answered.
    answers: BTreeMap<u64, Option<EtcdError>>,
    news: Vec<News>,
}

impl Roll {
    pub(crate) fn new(learners_max: usize) -> Self {
        Self {
            learners_max,
            upto: 0,
            after: BTreeMap::from([(0, Members::default())]),
            answers: BTreeMap::new(),
            news: Vec::new(),
        }
    }

    /// Takes in an entry that is to be applied. Each counts once, and nobody applies one before
    /// somebody has applied all before it.
    pub(crate) fn learn(&mut self, entry: &Entry) {
        if entry.index.0 != self.upto + 1 {
            return;
        }
        self.upto = entry.index.0;
        let mut members = self.newest().clone();
        match entry.kind {
            EntryKind::Normal if entry.data.is_empty() => return,
            EntryKind::Normal => {
                if !members.describe_itself(&entry.data) {
                    return;
                }
            }
            _ => {
                let change = ConfChange::decode(entry.data.clone()).unwrap_or_default();
                match members.change(&change, self.learners_max) {
                    Ok(news) => {
                        self.news.extend(news);
                        self.answers.insert(self.upto, None);
                    }
                    Err(error) => {
                        self.answers.insert(self.upto, Some(error));
                    }
                }
            }
        }
        self.after.insert(self.upto, members);
    }

    /// What happened since the last call.
    pub(crate) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// The membership after the newest entry that was seen.
    pub(crate) fn newest(&self) -> &Members {
        self.after.last_key_value().expect("it begins with one").1
    }

    /// The membership after an entry.
    pub(crate) fn at(&self, index: u64) -> &Members {
        self.after.range(..=index).next_back().expect("it begins with one at 0").1
    }

    /// The memberships by which an entry may have been committed: that after the entry before
    /// it, and the one before the newest change that came before, which its leader may not have
    /// applied yet. There is never more than one such.
    pub(crate) fn before(&self, index: u64) -> [&Members; 2] {
        let change = self.answers.range(..index).next_back().map_or(0, |(index, _)| *index);
        [self.at(index.saturating_sub(1)), self.at(change.saturating_sub(1))]
    }

    /// The first entry from an index on after which a list of members holds.
    pub(crate) fn find(&self, from: u64, list: &MemberListResponse) -> Option<u64> {
        let listed: BTreeMap<MemberId, Member> = list
            .members
            .iter()
            .map(|member| {
                let plain = Member {
                    urls: member.peer_ur_ls.clone(),
                    learner: member.is_learner,
                    name: member.name.clone(),
                    client_urls: member.client_ur_ls.clone(),
                };
                (MemberId(member.id), plain)
            })
            .collect();
        let from = self.after.range(..=from).next_back().map_or(0, |(index, _)| *index);
        let mut after = self.after.range(from..);
        after.find(|(_, members)| members.members == listed).map(|(index, _)| *index)
    }

    /// All memberships from that at an index on.
    pub(crate) fn since(&self, index: u64) -> impl Iterator<Item = &Members> {
        let from = self.after.range(..=index).next_back().map_or(0, |(index, _)| *index);
        self.after.range(from..).map(|(_, members)| members)
    }

    /// How the change of membership at an index was to be answered.
    pub(crate) fn answer(&self, index: u64) -> Option<EtcdError> {
        self.answers.get(&index).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drystone_machine::{Change, Member as Told};
    use drystone_types::{LogIndex, Term};

    fn told(id: u64, is_learner: bool) -> Told {
        let peer_urls = vec![format!("http://m{id}:2380")];
        Told { id, peer_urls, is_learner, ..Told::default() }
    }

    fn roll(changes: &[Change]) -> Roll {
        let mut roll = Roll::new(1);
        for (index, change) in (1..).zip(changes) {
            let data = change.encode(0);
            let kind = EntryKind::ConfChange;
            roll.learn(&Entry { term: Term(1), index: LogIndex(index), kind, data });
        }
        roll
    }

    #[test]
    fn an_id_that_was_removed_never_comes_back() {
        let add = |id| Change::Add(told(id, false));
        let roll = roll(&[add(1), add(2), Change::Remove(MemberId(2)), add(2)]);
        assert_eq!(roll.newest().voters().collect::<Vec<_>>(), [MemberId(1)]);
        assert_eq!(roll.answer(4), Some(EtcdError::MemberNotFound));
    }

    #[test]
    fn an_entry_is_committed_by_the_newest_membership_before_it_or_the_one_before_that() {
        let add = |id, learner| Change::Add(told(id, learner));
        let roll = roll(&[add(1, false), add(2, true), Change::Promote(MemberId(2))]);
        let voters = |index| roll.before(index).map(|members| members.voters().count());
        assert_eq!(voters(3), [1, 1], "a learner does not vote");
        assert_eq!(voters(4), [2, 1]);
        assert!(roll.newest().majority(|_| true));
        assert!(!roll.newest().majority(|id| id == MemberId(1)));
    }
}
