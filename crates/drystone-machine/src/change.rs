//! Changes of membership as entries carry them: raftpb's `ConfChange` with etcd's JSON inside.

use crate::membership::{Change, ChangeContext, Member};
use bytes::Bytes;
use drystone_api::raftpb::{self, ConfChangeType as Kind};
use drystone_types::MemberId;
use prost::Message;

impl Change {
    /// The bytes of an entry that asks for this change, on behalf of `request` (0 for nobody).
    #[must_use]
    pub fn encode(&self, request: u64) -> Bytes {
        let (kind, id, context) = match self {
            Self::Remove(id) => (Kind::ConfChangeRemoveNode, *id, None),
            Self::Promote(id) => {
                let member = Member { id: id.0, ..Member::default() };
                (Kind::ConfChangeAddNode, *id, Some(ChangeContext { member, is_promote: true }))
            }
            Self::Update(member) => (Kind::ConfChangeUpdateNode, member.member_id(), of(member)),
            Self::Add(member) if member.is_learner => {
                (Kind::ConfChangeAddLearnerNode, member.member_id(), of(member))
            }
            Self::Add(member) => (Kind::ConfChangeAddNode, member.member_id(), of(member)),
        };
        let context = context.map_or_else(Vec::new, |context| {
            serde_json::to_vec(&context).expect("a member of strings and numbers is JSON")
        });
        let change = raftpb::ConfChange {
            id: request,
            r#type: kind as i32,
            node_id: id.0,
            context: context.into(),
        };
        change.encode_to_vec().into()
    }

    /// Reads an entry's bytes: the request that it stands for, and the change.
    ///
    /// # Errors
    /// What is wrong with them. No member understands them then.
    pub fn decode(data: &Bytes) -> Result<(u64, Self), String> {
        let change = raftpb::ConfChange::decode(data.clone()).map_err(|error| error.to_string())?;
        let kind = Kind::try_from(change.r#type)
            .map_err(|error| format!("change of membership: {error}"))?;
        let node = MemberId(change.node_id);
        if kind == Kind::ConfChangeRemoveNode {
            return Ok((change.id, Self::Remove(node)));
        }
        let mut context: ChangeContext = serde_json::from_slice(&change.context)
            .map_err(|error| format!("change of membership: {error}"))?;
        if context.member.member_id() != node {
            return Err("the member it adds is not the one it describes".to_owned());
        }
        let read = match kind {
            Kind::ConfChangeUpdateNode => Self::Update(context.member),
            Kind::ConfChangeAddLearnerNode => {
                context.member.is_learner = true;
                Self::Add(context.member)
            }
            _ if context.is_promote => Self::Promote(node),
            _ => Self::Add(context.member),
        };
        Ok((change.id, read))
    }
}

fn of(member: &Member) -> Option<ChangeContext> {
    Some(ChangeContext { member: member.clone(), is_promote: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_read_as_it_was_written() {
        let voter = Member { id: 7, peer_urls: vec!["http://a:1".to_owned()], ..Member::default() };
        let learner = Member { is_learner: true, ..voter.clone() };
        let changes = [
            Change::Add(voter.clone()),
            Change::Add(learner),
            Change::Promote(MemberId(7)),
            Change::Remove(MemberId(7)),
            Change::Update(voter),
        ];
        for change in changes {
            assert_eq!(Change::decode(&change.encode(9)), Ok((9, change)));
        }
    }

    #[test]
    fn a_promotion_has_etcds_json() {
        let change = raftpb::ConfChange::decode(Change::Promote(MemberId(7)).encode(0)).unwrap();
        assert_eq!(&change.context[..], br#"{"id":7,"peerURLs":null,"isPromote":true}"#);
    }
}
