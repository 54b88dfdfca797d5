//! What a leader decides by its clock, against what its log says meanwhile.

use bytes::Bytes;
use drystone_api::etcdserverpb::{InternalRaftRequest, LeaseGrantRequest, LeaseRevokeRequest};
use drystone_member::{LeaderCommand, Node, NodeConfig, Work};
use drystone_raft::{Config, ProposeError, Recovered, Replica};
use drystone_types::{ConfState, LeaseId, LogIndex, MemberId};
use prost::Message as _;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Carries out what a lone leader has to do, on a disk that is done at once; returns the newest
/// entry that was handed out to be applied.
fn settle(node: &mut Node<u64>, apply: bool) -> LogIndex {
    let mut newest = LogIndex(0);
    loop {
        let effects = node.effects();
        if effects.append.is_empty() && effects.apply.is_empty() {
            return newest;
        }
        for append in effects.append {
            node.persisted(append.number);
        }
        for work in effects.apply {
            let Work::Entries(entries) = work else { continue };
            newest = entries.last().map_or(newest, |entry| entry.index);
            if apply {
                node.applied(newest);
            }
        }
    }
}

fn leader() -> (Node<u64>, LogIndex) {
    let me = MemberId(1);
    let conf_state = ConfState { voters: vec![me], learners: Vec::new() };
    let recovered = Recovered { conf_state, ..Recovered::default() };
    let rng = Box::new(StdRng::seed_from_u64(1));
    let replica = Replica::new(Config::new(me), recovered, rng).unwrap();
    let mut node = Node::new(NodeConfig::default(), replica, LogIndex(0), LogIndex(0));
    assert!(node.campaign_alone());
    let applied = settle(&mut node, true);
    assert!(node.leadership().is_leader);
    (node, applied)
}

fn grant(id: i64) -> Bytes {
    let lease_grant = Some(LeaseGrantRequest { ttl: 5, id });
    InternalRaftRequest { lease_grant, ..Default::default() }.encode_to_vec().into()
}

/// The end of a lease, as the leader decides it once `decided_at` is applied.
fn end(node: &Node<u64>, id: i64, decided_at: LogIndex) -> LeaderCommand {
    let lease_revoke = Some(LeaseRevokeRequest { id });
    LeaderCommand {
        data: InternalRaftRequest { lease_revoke, ..Default::default() }.encode_to_vec().into(),
        term: node.leadership().term,
        decided_at,
        ends: Some(LeaseId(id)),
    }
}

#[test]
fn the_end_of_a_lease_does_not_meet_a_lease_that_was_granted_meanwhile_under_its_id() {
    let (mut node, applied) = leader();
    node.propose(grant(7)).unwrap();
    let command = end(&node, 7, applied);
    let refused = Err(ProposeError::Dropped);
    assert_eq!(node.propose_as_leader(command.clone()), refused, "before it is handed out");
    let newest = settle(&mut node, false);
    assert_eq!(node.propose_as_leader(command.clone()), refused, "while it is not applied");
    assert_eq!(node.propose_as_leader(command), refused, "however often");
    assert_eq!(node.propose_as_leader(end(&node, 8, applied)), Ok(()), "another lease ends");
    node.applied(newest);
    assert_eq!(node.propose_as_leader(end(&node, 7, newest)), Ok(()), "it was meant");
}
