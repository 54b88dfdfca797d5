//! The first log of a new cluster.
//!
//! Every founding member writes the same entries on its own: one change of membership per
//! member, ids ascending, term 1, all of them committed. From there on they agree by raft
//! (etcd's `raft.StartNode` and `server/etcdserver/bootstrap.go`).

use drystone_machine::{Change, Member, cluster_id, member_id};
use drystone_types::{ClusterId, Entry, EntryKind, HardState, LogIndex, MemberId, Term};

/// The term in which a founding member's entries stand.
const FOUNDING_TERM: Term = Term(1);

/// The members that found a cluster, and the ids that follow from their URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founding {
    /// The cluster's id.
    pub cluster: ClusterId,
    /// The members, by ascending id; names set, client URLs not.
    pub members: Vec<Member>,
}

/// Why a list of members cannot found a cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FoundingError {
    /// The list is empty.
    #[error("a cluster needs at least one member")]
    Empty,
    /// Two members have the same peer URLs and so the same id.
    #[error("member exists with identical ID {0}")]
    SameId(MemberId),
}

impl Founding {
    /// Derives ids from names, peer URLs and the cluster's token.
    ///
    /// # Errors
    /// [`FoundingError`] when the ids would not tell the members apart.
    pub fn new(members: &[(String, Vec<String>)], token: &str) -> Result<Self, FoundingError> {
        let mut founding: Vec<Member> = members
            .iter()
            .map(|(name, urls)| Member {
                id: member_id(urls, token, None).0,
                peer_urls: urls.clone(),
                name: name.clone(),
                ..Member::default()
            })
            .collect();
        founding.sort_by_key(|member| member.id);
        if founding.is_empty() {
            return Err(FoundingError::Empty);
        }
        if let Some(pair) = founding.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(FoundingError::SameId(pair[0].member_id()));
        }
        let cluster = cluster_id(founding.iter().map(Member::member_id));
        Ok(Self { cluster, members: founding })
    }

    /// The id of the member with this name.
    #[must_use]
    pub fn id_of(&self, name: &str) -> Option<MemberId> {
        self.members.iter().find(|member| member.name == name).map(Member::member_id)
    }

    /// The same without names, for members that do not know each other's: so their logs are
    /// equal. Each tells its own when it starts.
    #[must_use]
    pub fn without_names(mut self) -> Self {
        for member in &mut self.members {
            member.name.clear();
        }
        self
    }

    /// The entries and the hard state that a founding member's log begins with.
    #[must_use]
    pub fn log(&self) -> (Vec<Entry>, HardState) {
        let entries: Vec<Entry> = (1..)
            .zip(&self.members)
            .map(|(index, member)| Entry {
                term: FOUNDING_TERM,
                index: LogIndex(index),
                kind: EntryKind::ConfChange,
                data: Change::Add(member.clone()).encode(0),
            })
            .collect();
        let commit = entries.last().map_or(LogIndex(0), |entry| entry.index);
        (entries, HardState { term: FOUNDING_TERM, vote: MemberId(0), commit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drystone_api::raftpb;
    use prost::Message;

    fn members(ports: &[u16]) -> Vec<(String, Vec<String>)> {
        ports
            .iter()
            .map(|port| (format!("m{port}"), vec![format!("http://127.0.0.1:{port}")]))
            .collect()
    }

    #[test]
    fn ids_and_entries_are_those_of_a_real_bootstrap() {
        let founding = Founding::new(&members(&[53411, 53421, 53431]), "etcd-cluster").unwrap();
        assert_eq!(founding.cluster.to_string(), "6316a80935d7df3a");
        assert_eq!(founding.id_of("m53411").unwrap().to_string(), "f4eb5dfc3628103a");
        let (entries, hard) = founding.log();
        assert_eq!(entries.len(), 3);
        assert_eq!(hard.commit, LogIndex(3));
        let first = raftpb::ConfChange::decode(entries[0].data.clone()).unwrap();
        assert_eq!(first.node_id, 0x4120_b371_fca2_29fa);
        assert_eq!(
            first.context,
            r#"{"id":4692948113871219194,"peerURLs":["http://127.0.0.1:53431"],"name":"m53431"}"#
        );
    }

    #[test]
    fn members_that_call_each_other_names_begin_with_equal_logs() {
        let founded = |names: [&str; 2]| {
            let members = names.iter().zip(members(&[1, 2]));
            let members: Vec<_> =
                members.map(|(name, (_, urls))| ((*name).to_owned(), urls)).collect();
            Founding::new(&members, "t").unwrap()
        };
        let (a, b) = (founded(["a", "0"]), founded(["0", "b"]));
        assert_ne!(a.log(), b.log());
        assert_eq!(a.without_names().log(), b.without_names().log());
    }

    #[test]
    fn members_that_cannot_be_told_apart_are_refused() {
        let same = Founding::new(&members(&[1, 1]), "t");
        assert!(matches!(same, Err(FoundingError::SameId(_))));
        assert_eq!(Founding::new(&[], "t"), Err(FoundingError::Empty));
    }
}
