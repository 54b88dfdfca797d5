//! What a leader decides by its clock, against what its log says meanwhile.

use bytes::Bytes;
use drystone_api::etcdserverpb::{
    InternalRaftRequest, LeaseCheckpoint, LeaseGrantRequest, LeaseRevokeRequest,
};
use drystone_member::{Decision, LeaderCommand, Node, NodeConfig, Work};
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

fn revoke(id: i64) -> Bytes {
    let lease_revoke = Some(LeaseRevokeRequest { id });
    InternalRaftRequest { lease_revoke, ..Default::default() }.encode_to_vec().into()
}

/// The end of a lease, as the leader decides it once `decided_at` is applied.
fn end(node: &Node<u64>, id: i64, decided_at: LogIndex) -> LeaderCommand {
    LeaderCommand {
        decision: Decision::Revoke(LeaseId(id)),
        term: node.leadership().term,
        decided_at,
    }
}

#[test]
fn the_end_of_a_lease_does_not_meet_a_lease_that_was_granted_meanwhile_under_its_id() {
    let (mut node, applied) = leader();
    node.propose(revoke(7)).unwrap();
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

#[test]
fn a_remainder_does_not_shorten_a_lease_that_was_granted_meanwhile_under_its_id() {
    let (mut node, applied) = leader();
    node.propose(revoke(7)).unwrap();
    node.propose(grant(7)).unwrap();
    let remainders = |due: &[(i64, i64)], decided_at| LeaderCommand {
        decision: Decision::Checkpoint(
            due.iter().map(|(id, left)| (LeaseId(*id), *left)).collect(),
        ),
        term: node.leadership().term,
        decided_at,
    };
    let (alone, both) = (remainders(&[(7, 3)], applied), remainders(&[(7, 3), (8, 4)], applied));
    assert_eq!(node.propose_as_leader(alone), Err(ProposeError::Dropped));
    assert_eq!(node.propose_as_leader(both), Ok(()), "lease 8 is as it was");
    let entries = node.effects().append.into_iter().flat_map(|append| append.entries);
    let newest = InternalRaftRequest::decode(entries.last().unwrap().data).unwrap();
    let logged = newest.lease_checkpoint.unwrap().checkpoints;
    assert_eq!(logged, [LeaseCheckpoint { id: 8, remaining_ttl: 4 }]);
}

#[test]
fn grants_that_will_be_refused_do_not_keep_a_lease_alive() {
    let (mut node, applied) = leader();
    node.propose(grant(7)).unwrap();
    assert_eq!(node.propose_as_leader(end(&node, 7, applied)), Ok(()));
}
