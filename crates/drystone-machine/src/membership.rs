//! Who belongs to the cluster: members, removed members, the cluster's version and a downgrade.
//!
//! Part of the replicated state: it changes only by applied entries, and it is stored in the
//! form etcd stores it (`server/etcdserver/api/membership`), so that a store can be handed
//! over either way.

use bytes::Bytes;
use drystone_backend::{BackendError, Batch, Read, Table};
use drystone_probe::planted;
use drystone_types::{ClusterId, ConfState, MemberId};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};

/// Members that a cluster has at most: as many as consensus takes, far above what is wise.
pub const MEMBERS_MAX: usize = 1024;
/// What is stored for a removed member.
const REMOVED: &[u8] = b"removed";
/// Key of the cluster's version in [`Table::Cluster`].
const CLUSTER_VERSION: &[u8] = b"clusterVersion";
/// Key of the running downgrade in [`Table::Cluster`].
const DOWNGRADE: &[u8] = b"downgrade";

/// A downgrade of the cluster, as etcd stores it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downgrade {
    /// The version to go down to, such as `3.6.0`; empty while none is under way.
    #[serde(rename = "target-version", default)]
    pub target: String,
    /// True while one is under way.
    #[serde(default)]
    pub enabled: bool,
}

/// One member as etcd's peers and stores write it in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The member's id.
    pub id: u64,
    /// Where other members reach it, sorted.
    #[serde(
        rename = "peerURLs",
        default,
        serialize_with = "empty_as_null",
        deserialize_with = "null_as_default"
    )]
    pub peer_urls: Vec<String>,
    /// True when it receives the log without a vote.
    #[serde(rename = "isLearner", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_learner: bool,
    /// Its name; empty until it has started.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where clients reach it; empty until it has started.
    #[serde(
        rename = "clientURLs",
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub client_urls: Vec<String>,
}

/// Reads Go's `null` list as an empty one.
fn null_as_default<'de, D>(deserializer: D) -> Result<Vec<String>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    Ok(Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default())
}

/// Writes an empty list as Go's `null`.
fn empty_as_null<S: serde::Serializer>(urls: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    (!urls.is_empty()).then_some(urls).serialize(serializer)
}

impl Member {
    /// The member's id as a newtype.
    #[must_use]
    pub fn member_id(&self) -> MemberId {
        MemberId(self.id)
    }
}

/// The context of a membership entry: a member, and whether it is a promotion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeContext {
    /// The member.
    #[serde(flatten)]
    pub member: Member,
    /// True when a learner becomes a voter.
    #[serde(rename = "isPromote", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_promote: bool,
}

/// One change of membership, as its entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new member, voting or learning.
    Add(Member),
    /// A learner that becomes a voter.
    Promote(MemberId),
    /// A member that leaves for good.
    Remove(MemberId),
    /// New peer URLs of a member.
    Update(Member),
}

/// Why a change of membership is refused. Nothing is changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The id belongs to a member that left, or to nobody.
    #[error("the member does not exist or was removed")]
    NotFound,
    /// The id is taken.
    #[error("a member with this id exists")]
    IdExists,
    /// Another member has one of the peer URLs.
    #[error("another member has one of the peer URLs")]
    PeerUrlExists,
    /// The member to promote is a voter already.
    #[error("the member is not a learner")]
    NotLearner,
    /// The cluster has as many learners as it may.
    #[error("the cluster has as many learners as it may have")]
    TooManyLearners,
    /// Nobody would be left to vote. etcd's members end in a panic over such an entry.
    #[error("the last voter cannot be removed")]
    LastVoter,
    /// The cluster has [`MEMBERS_MAX`] members.
    #[error("the cluster has {MEMBERS_MAX} members, the most there can be")]
    TooManyMembers,
}

/// The cluster's membership.
#[derive(Clone, Debug, Default)]
pub struct Membership {
    members: BTreeMap<MemberId, Member>,
    removed: BTreeSet<MemberId>,
    version: Option<String>,
    downgrade: Downgrade,
}

impl Membership {
    /// Reads the membership that a store holds.
    ///
    /// # Errors
    /// [`BackendError::Corrupt`] when a record cannot be read.
    pub fn load(store: &dyn Read) -> Result<Self, BackendError> {
        let mut loaded = Self::default();
        let mut broken = None;
        let everything = (Bound::Unbounded, Bound::Unbounded);
        store.scan(
            Table::Members,
            everything,
            &mut |key, value| match serde_json::from_slice::<Member>(value) {
                Ok(member) => {
                    loaded.members.insert(member.member_id(), member);
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    broken = Some(corrupt(Table::Members, key, &error.to_string()));
                    ControlFlow::Break(())
                }
            },
        )?;
        store.scan(
            Table::MembersRemoved,
            everything,
            &mut |key, _| match std::str::from_utf8(key)
                .ok()
                .and_then(|hex| u64::from_str_radix(hex, 16).ok())
            {
                Some(_) if planted!("machine.removed_forgotten_after_reopening") => {
                    ControlFlow::Break(())
                }
                Some(id) => {
                    loaded.removed.insert(MemberId(id));
                    ControlFlow::Continue(())
                }
                None => {
                    broken = Some(corrupt(Table::MembersRemoved, key, "not a member id"));
                    ControlFlow::Break(())
                }
            },
        )?;
        if let Some(error) = broken {
            return Err(error);
        }
        if let Some(version) = store.get(Table::Cluster, CLUSTER_VERSION)? {
            loaded.version = Some(String::from_utf8_lossy(&version).into_owned());
        }
        if let Some(downgrade) = store.get(Table::Cluster, DOWNGRADE)? {
            loaded.downgrade = serde_json::from_slice(&downgrade)
                .map_err(|error| corrupt(Table::Cluster, DOWNGRADE, &error.to_string()))?;
        }
        Ok(loaded)
    }

    /// The members, by ascending id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// One member.
    #[must_use]
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// True when the member once belonged to the cluster and was removed.
    #[must_use]
    pub fn is_removed(&self, id: MemberId) -> bool {
        self.removed.contains(&id)
    }

    /// The cluster's version, such as `3.7.0`, once the leader has set it.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The downgrade that is under way, if one is.
    #[must_use]
    pub fn downgrade(&self) -> &Downgrade {
        &self.downgrade
    }

    /// The membership as raft counts it.
    #[must_use]
    pub fn conf_state(&self) -> ConfState {
        let mut conf = ConfState::default();
        for (id, member) in &self.members {
            if member.is_learner { &mut conf.learners } else { &mut conf.voters }.push(*id);
        }
        conf
    }

    /// Says whether `change` may happen, given how many learners the cluster may have.
    ///
    /// # Errors
    /// The reason why not, as etcd decides it when it applies the entry.
    pub fn check(&self, change: &Change, learners_max: usize) -> Result<(), ChangeError> {
        match change {
            Change::Add(member) => {
                let id = member.member_id();
                if self.is_removed(id) && !planted!("machine.removed_id_taken_back") {
                    return Err(ChangeError::NotFound);
                }
                if self.members.contains_key(&id) {
                    return Err(ChangeError::IdExists);
                }
                if self.members.len() >= MEMBERS_MAX {
                    return Err(ChangeError::TooManyMembers);
                }
                self.check_urls_free(member)?;
                let learners = self.members.values().filter(|member| member.is_learner).count();
                if member.is_learner && learners >= learners_max {
                    return Err(ChangeError::TooManyLearners);
                }
                Ok(())
            }
            Change::Promote(id) => match self.existing(*id)? {
                member if member.is_learner => Ok(()),
                _ => Err(ChangeError::NotLearner),
            },
            Change::Remove(id) => {
                let voters = self.members.values().filter(|member| !member.is_learner).count();
                match self.existing(*id)? {
                    member if !member.is_learner && voters == 1 => Err(ChangeError::LastVoter),
                    _ => Ok(()),
                }
            }
            Change::Update(member) => {
                self.existing(member.member_id())?;
                self.check_urls_free(member)
            }
        }
    }

    /// Carries out a change that [`Membership::check`] let pass.
    pub fn apply(&mut self, change: Change, out: &mut Batch) {
        match change {
            Change::Add(member) => self.store(member, out),
            Change::Promote(id) => self.edit(id, out, |member| member.is_learner = false),
            Change::Remove(id) => {
                self.members.remove(&id);
                self.removed.insert(id);
                out.delete(Table::Members, id.to_string());
                out.put(Table::MembersRemoved, id.to_string(), REMOVED);
            }
            Change::Update(new) => {
                self.edit(new.member_id(), out, |member| member.peer_urls = new.peer_urls);
            }
        }
    }

    /// Sets what a member says of itself when it has started. Ignored for a removed member.
    pub fn set_attributes(
        &mut self,
        id: MemberId,
        name: String,
        client_urls: Vec<String>,
        out: &mut Batch,
    ) {
        self.edit(id, out, |member| {
            member.name = name;
            member.client_urls = client_urls;
        });
    }

    /// Sets the cluster's version.
    pub fn set_version(&mut self, version: String, out: &mut Batch) {
        out.put(Table::Cluster, CLUSTER_VERSION, Bytes::from(version.clone()));
        self.version = Some(version);
    }

    /// Begins a downgrade to `target`, or ends the one that is under way.
    pub fn set_downgrade(&mut self, target: Option<String>, out: &mut Batch) {
        let enabled = target.is_some();
        self.downgrade = Downgrade { target: target.unwrap_or_default(), enabled };
        let json = serde_json::to_vec(&self.downgrade).expect("a text and a flag are JSON");
        out.put(Table::Cluster, DOWNGRADE, json);
    }

    fn existing(&self, id: MemberId) -> Result<&Member, ChangeError> {
        self.members.get(&id).ok_or(ChangeError::NotFound)
    }

    fn check_urls_free(&self, new: &Member) -> Result<(), ChangeError> {
        let taken = self
            .members
            .values()
            .filter(|member| member.id != new.id)
            .flat_map(|member| &member.peer_urls)
            .any(|url| new.peer_urls.contains(url));
        if taken { Err(ChangeError::PeerUrlExists) } else { Ok(()) }
    }

    fn edit(&mut self, id: MemberId, out: &mut Batch, edit: impl FnOnce(&mut Member)) {
        if let Some(mut member) = self.members.get(&id).cloned() {
            edit(&mut member);
            self.store(member, out);
        }
    }

    fn store(&mut self, member: Member, out: &mut Batch) {
        let id = member.member_id();
        let json = serde_json::to_vec(&member).expect("a member of strings and numbers is JSON");
        out.put(Table::Members, id.to_string(), json);
        self.members.insert(id, member);
    }
}

fn corrupt(table: Table, key: &[u8], reason: &str) -> BackendError {
    BackendError::Corrupt {
        place: format!("table {}, key {}", table.name(), String::from_utf8_lossy(key)),
        reason: reason.to_owned(),
    }
}

/// The id of a member: the first eight bytes of the SHA-1 over its sorted peer URLs, the
/// cluster's token and, for a member added to a running cluster, the seconds since 1970 in
/// decimal (etcd's `membership.NewMember`).
#[must_use]
pub fn member_id(peer_urls: &[String], token: &str, added_at_seconds: Option<u64>) -> MemberId {
    let mut urls: Vec<&String> = peer_urls.iter().collect();
    urls.sort();
    let mut hash = Sha1::new();
    for url in urls {
        hash.update(url.as_bytes());
    }
    hash.update(token.as_bytes());
    if let Some(seconds) = added_at_seconds {
        hash.update(seconds.to_string().as_bytes());
    }
    MemberId(first_eight(&hash.finalize()))
}

/// The id of a cluster: the first eight bytes of the SHA-1 over its first members' ids in
/// ascending order, eight bytes big-endian each.
#[must_use]
pub fn cluster_id(members: impl IntoIterator<Item = MemberId>) -> ClusterId {
    let ordered: BTreeSet<MemberId> = members.into_iter().collect();
    let mut hash = Sha1::new();
    for id in ordered {
        hash.update(id.0.to_be_bytes());
    }
    ClusterId(first_eight(&hash.finalize()))
}

fn first_eight(digest: &[u8]) -> u64 {
    u64::from_be_bytes(digest[..8].try_into().expect("a SHA-1 digest has twenty bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(urls: &[&str], token: &str, seconds: Option<u64>) -> MemberId {
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        member_id(&urls, token, seconds)
    }

    #[test]
    fn ids_are_etcds() {
        let default = id_of(&["http://localhost:2380"], "etcd-cluster", None);
        assert_eq!(default.to_string(), "8e9e05c52164694d");
        assert_eq!(cluster_id([default]).to_string(), "cdf818194e3a8c32");

        let three = ["10", "11", "12"]
            .map(|host| id_of(&[&format!("http://10.0.1.{host}:2380")], "etcd-cluster-1", None));
        let names = three.map(|id| id.to_string());
        assert_eq!(names, ["140fedbeeb74765d", "d5dc5f8d75d04e29", "8a0a11c6194fc77"]);
        assert_eq!(cluster_id(three).to_string(), "acccc8912db0cd57");

        let added = id_of(&["http://10.0.1.10:2380"], "", Some(1_700_000_000));
        assert_eq!(added.to_string(), "af18fb9ef008dc91");
        let two_urls = id_of(&["http://b:2380", "http://a:2380"], "tkn", None);
        assert_eq!(two_urls.to_string(), "9627641b585a835f");
    }

    #[test]
    fn the_last_voter_stays() {
        let mut membership = Membership::default();
        let mut out = Batch::new();
        for id in 1..=3 {
            let member = Member { id, is_learner: id == 3, ..Member::default() };
            membership.apply(Change::Add(member), &mut out);
        }
        let remove = |id| Change::Remove(MemberId(id));
        assert_eq!(membership.check(&remove(1), 1), Ok(()));
        membership.apply(remove(1), &mut out);
        assert_eq!(membership.check(&remove(2), 1), Err(ChangeError::LastVoter));
        assert_eq!(membership.check(&remove(3), 1), Ok(()));
    }

    #[test]
    fn members_are_written_as_etcd_writes_them() {
        let context: ChangeContext = serde_json::from_str(
            r#"{"id":4692948113871219194,"peerURLs":["http://127.0.0.1:53431"],"name":"m3"}"#,
        )
        .unwrap();
        assert_eq!(context.member.id, 4_692_948_113_871_219_194);
        assert_eq!(
            serde_json::to_string(&context.member).unwrap(),
            r#"{"id":4692948113871219194,"peerURLs":["http://127.0.0.1:53431"],"name":"m3"}"#
        );
        let promote: ChangeContext =
            serde_json::from_str(r#"{"id":7,"peerURLs":null,"isPromote":true}"#).unwrap();
        assert!(promote.is_promote);
        let written = serde_json::to_string(&promote).unwrap();
        assert_eq!(written, r#"{"id":7,"peerURLs":null,"isPromote":true}"#);
        assert_eq!(promote.member.peer_urls, Vec::<String>::new());
    }
}
