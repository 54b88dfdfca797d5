//! Members come and go.

use crate::net::Net;
use drystone_raft::{ConfChangeKind, Role};
use drystone_types::{ConfState, MemberId};

fn led(count: u64, seed: u64) -> (Net, u64) {
    let mut net = Net::new(count, seed);
    net.run_until("a leader", |net| net.leader().is_some());
    net.run(50);
    let leader = net.leader().unwrap();
    (net, leader)
}

fn ids(ids: &[u64]) -> Vec<MemberId> {
    ids.iter().copied().map(MemberId).collect()
}

#[test]
fn a_learner_joins_follows_and_is_promoted() {
    let (mut net, leader) = led(3, 1);
    for _ in 0..10 {
        net.propose(leader);
    }
    assert!(net.change(ConfChangeKind::AddLearnerNode, 4));
    net.add(4);
    net.run_until("the learner has it all", |net| net.nodes[&4].store.index.0 >= 15);
    let conf = ConfState { voters: ids(&[1, 2, 3]), learners: ids(&[4]) };
    assert_eq!(net.nodes[&4].store.conf, conf);
    let status = net.replica(leader).unwrap().status();
    assert!(status.peers.iter().find(|peer| peer.id.0 == 4).unwrap().learner);

    // A learner neither leads nor counts.
    for id in 1..=3 {
        net.crash(id);
    }
    net.run(1000);
    assert_eq!(net.replica(4).unwrap().role(), Role::Follower);
    for id in 1..=3 {
        net.start(id);
    }
    net.run_until("a leader", |net| net.leader().is_some());
    net.run(100);
    assert!(net.change(ConfChangeKind::AddNode, 4));
    net.run_until("four voters", |net| net.nodes[&4].store.conf.voters == ids(&[1, 2, 3, 4]));
}

#[test]
fn updating_a_voter_does_not_demote_it() {
    // The core reads etcd's number for "update" as "add a learner".
    let (mut net, _) = led(3, 2);
    assert!(net.change(ConfChangeKind::UpdateNode, 2));
    net.run_until("the change", |net| net.nodes.values().all(|node| node.store.index.0 >= 5));
    for node in net.nodes.values() {
        let conf = node.replica.as_ref().unwrap().conf_state();
        assert_eq!(conf, ConfState { voters: ids(&[1, 2, 3]), learners: Vec::new() });
    }
}

#[test]
fn a_removed_leader_steps_down_and_the_others_go_on() {
    let (mut net, leader) = led(3, 3);
    assert!(net.change(ConfChangeKind::RemoveNode, leader));
    // Entries behind the change are acknowledged when the leader is no member any more.
    for _ in 0..20 {
        net.propose(leader);
    }
    net.run_until("it has applied its removal", |net| !net.nodes[&leader].store.removed.is_empty());
    assert_eq!(net.replica(leader).unwrap().role(), Role::Follower);
    net.run_until("another leads", |net| net.leader().is_some());
    let new = net.leader().unwrap();
    assert_ne!(new, leader);
    assert!(net.propose(new));
    net.run_until("two go on", |net| {
        net.nodes.iter().filter(|(_, node)| node.store.index.0 >= 27).count() == 2
    });
}

#[test]
fn a_group_shrinks_to_one_and_grows_again() {
    let (mut net, leader) = led(3, 4);
    for id in (1..=3).filter(|id| *id != leader) {
        net.run_until("the last change is applied", |net| {
            let status = net.nodes[&leader].replica.as_ref().unwrap().status();
            status.applied == status.last
        });
        assert!(net.change(ConfChangeKind::RemoveNode, id));
        net.run_until("it is gone", |net| net.nodes[&leader].store.removed.contains(&id));
        net.crash(id);
    }
    assert!(net.propose(leader));
    assert!(net.read(leader));
    net.run_until("one goes on alone", |net| net.checks.reads_confirmed == 1);
    assert!(net.change(ConfChangeKind::AddLearnerNode, 7));
    net.add(7);
    net.run_until("the new one has it all", |net| {
        net.nodes[&7].store.index == net.nodes[&leader].store.index
    });
    assert!(net.change(ConfChangeKind::AddNode, 7));
    net.run_until("it votes", |net| net.nodes[&7].store.conf.voters.len() == 2);
}
