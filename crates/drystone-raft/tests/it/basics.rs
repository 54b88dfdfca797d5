//! What a user sees when nothing goes wrong, or one thing does.

use crate::net::{Net, STEPS_PER_TICK};
use drystone_raft::{LeadError, Role};
use drystone_types::MemberId;

fn led(count: u64, seed: u64) -> (Net, u64) {
    let mut net = Net::new(count, seed);
    net.run_until("a leader", |net| net.leader().is_some());
    net.run(50);
    let leader = net.leader().unwrap();
    (net, leader)
}

/// Everybody has this many entries beside those of the bootstrap.
fn all_applied(net: &Net, count: u64) -> bool {
    let bootstrap = net.nodes.len() as u64;
    net.nodes.values().all(|node| node.store.index.0 >= bootstrap + count)
}

#[test]
fn three_replicas_elect_and_commit() {
    let (mut net, leader) = led(3, 1);
    for _ in 0..10 {
        assert!(net.propose(leader));
    }
    net.run_until("eleven entries everywhere", |net| all_applied(net, 11));
    assert_eq!(net.checks.elections, 1);
}

#[test]
fn a_follower_passes_proposals_and_reads_on() {
    let (mut net, leader) = led(5, 2);
    let follower = net.nodes.keys().copied().find(|id| *id != leader).unwrap();
    assert!(net.propose(follower));
    assert!(net.read(follower));
    net.run_until("the command", |net| all_applied(net, 2));
    net.run_until("the read", |net| net.checks.reads_confirmed == 1);
}

#[test]
fn a_leader_that_is_cut_off_steps_down_and_a_new_one_goes_on() {
    let (mut net, old) = led(3, 3);
    for other in 1..=3 {
        net.cut.extend([(old, other), (other, old)]);
    }
    net.run_until("a new leader", |net| net.leader().is_some_and(|leader| leader != old));
    net.run(30 * STEPS_PER_TICK);
    assert_ne!(net.replica(old).unwrap().role(), Role::Leader);
    let new = net.leader().unwrap();
    assert!(net.propose(new));
    net.cut.clear();
    net.run_until("the old leader catches up", |net| all_applied(net, 3));
    assert_eq!(net.checks.elections, 2);
}

#[test]
fn a_quiet_follower_does_not_disturb_when_it_comes_back() {
    let (mut net, leader) = led(3, 4);
    let term = net.replica(leader).unwrap().term();
    let follower = net.nodes.keys().copied().find(|id| *id != leader).unwrap();
    for other in 1..=3 {
        net.cut.extend([(follower, other), (other, follower)]);
    }
    net.run(100 * STEPS_PER_TICK);
    net.cut.clear();
    net.run(100 * STEPS_PER_TICK);
    assert_eq!(net.leader(), Some(leader));
    assert_eq!(net.replica(follower).unwrap().term(), term);
}

#[test]
fn leadership_is_handed_over() {
    let (mut net, old) = led(3, 5);
    let new = net.nodes.keys().copied().find(|id| *id != old).unwrap();
    let replica = net.replica(old).unwrap();
    assert_eq!(replica.transfer_leader(MemberId(9)), Err(LeadError::NotVoter(MemberId(9))));
    replica.transfer_leader(MemberId(new)).unwrap();
    assert_eq!(net.replica(new).unwrap().transfer_leader(MemberId(old)), Err(LeadError::NotLeader));
    net.run_until("the new leader", |net| net.leader() == Some(new));
    assert!(net.now < 80 * STEPS_PER_TICK, "a transfer does not wait for a timeout");
}

#[test]
fn a_leader_with_a_hung_disk_can_step_down() {
    let (mut net, old) = led(3, 6);
    net.replica(old).unwrap().step_down();
    assert_eq!(net.replica(old).unwrap().role(), Role::Follower);
    net.run_until("somebody leads again", |net| net.leader().is_some());
    assert!(net.checks.elections >= 2);
}

#[test]
fn a_slow_disk_does_not_cost_the_leader_its_followers() {
    let (mut net, leader) = led(3, 7);
    // A write takes longer than an election.
    net.knobs.disk_steps_max = 40 * STEPS_PER_TICK;
    for _ in 0..60 {
        net.propose(leader);
        net.run(5 * STEPS_PER_TICK);
    }
    assert_eq!(net.leader(), Some(leader));
    assert_eq!(net.checks.elections, 1);
}

#[test]
fn a_replica_comes_back_with_what_it_had() {
    let (mut net, leader) = led(3, 8);
    for _ in 0..20 {
        net.propose(leader);
        net.run(5);
    }
    net.run_until("all applied", |net| all_applied(net, 21));
    for id in 1..=3 {
        net.crash(id);
    }
    for id in 1..=3 {
        net.start(id);
    }
    net.run_until("all applied again", |net| all_applied(net, 22));
}

#[test]
fn a_follower_behind_the_log_gets_a_snapshot() {
    let (mut net, leader) = led(3, 9);
    let slow = net.nodes.keys().copied().find(|id| *id != leader).unwrap();
    net.crash(slow);
    for _ in 0..50 {
        net.propose(leader);
        net.run(STEPS_PER_TICK);
    }
    net.run(500);
    assert!(net.replica(leader).unwrap().status().first.0 > 20);
    net.start(slow);
    net.run_until("the slow one catches up", |net| all_applied(net, 51));
    assert!(net.checks.snapshots > 0);
}
