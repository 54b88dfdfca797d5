//! Everything goes wrong at once, in another way for each seed; then all is healed, and the
//! group must come to rest in one state.
//!
//! `DRYSTONE_RAFT_SEEDS=1000..9000` runs other seeds than the usual few.

use crate::net::{Knobs, Net};
use drystone_raft::{ConfChangeKind, Role};
use drystone_types::{LogIndex, MemberId};
use rand::Rng;

fn seeds(few: u64) -> std::ops::Range<u64> {
    let Ok(range) = std::env::var("DRYSTONE_RAFT_SEEDS") else { return 0..few };
    let (from, to) = range.split_once("..").expect("a range like 10..20");
    from.parse().unwrap()..to.parse().unwrap()
}

fn pick(net: &mut Net) -> u64 {
    let at = net.rng.random_range(0..net.nodes.len());
    *net.nodes.keys().nth(at).unwrap()
}

/// One round of mischief and work.
fn trouble(net: &mut Net, knobs: &Knobs) {
    let mut hit = |chance: u32| net.rng.random_range(0..1000) < chance;
    let (propose, read) = (hit(knobs.propose), hit(knobs.read));
    let (crash, cut, heal) = (hit(knobs.crash), hit(knobs.cut), hit(knobs.heal));
    let (meddle, members) = (hit(knobs.meddle), hit(knobs.members));
    let (one, other) = (pick(net), pick(net));
    if propose {
        net.propose(one);
    }
    if read {
        net.read(other);
    }
    if crash {
        if net.nodes[&one].replica.is_some() {
            net.crash(one);
        }
    } else if heal && net.nodes[&one].replica.is_none() && !net.removed().contains(&one) {
        net.start(one);
    }
    if cut {
        net.cut.insert((one, other));
        if net.rng.random_bool(0.7) {
            net.cut.insert((other, one));
        }
        if net.rng.random_bool(0.2) {
            // Cut one off from everybody.
            let ids: Vec<_> = net.nodes.keys().copied().collect();
            net.cut.extend(ids.iter().flat_map(|id| [(one, *id), (*id, one)]));
        }
    }
    if heal {
        net.cut.clear();
    }
    if meddle {
        self::meddle(net, one);
    }
    if members {
        change_members(net, one);
    }
}

fn meddle(net: &mut Net, one: u64) {
    let (other, what) = (pick(net), net.rng.random_range(0..4));
    let leader = net.leader();
    match what {
        0 => {
            if let Some(replica) = leader.and_then(|leader| net.replica(leader)) {
                let _ = replica.transfer_leader(MemberId(other));
            }
        }
        1 => {
            if let Some(replica) = net.replica(one) {
                let _ = replica.campaign();
            }
        }
        2 => {
            if let Some(replica) = leader.and_then(|leader| net.replica(leader)) {
                replica.step_down();
            }
        }
        _ => {
            if let Some(replica) = net.replica(one) {
                replica.report_unreachable(MemberId(other));
            }
        }
    }
}

fn change_members(net: &mut Net, one: u64) {
    let newest = net.nodes.values().max_by_key(|node| node.store.index).unwrap();
    let conf = newest.store.conf.clone();
    let id = net.nodes.keys().next_back().unwrap() + 1;
    if let Some(learner) = conf.learners.first() {
        net.change(ConfChangeKind::AddNode, learner.0);
    } else if conf.voters.len() > 3 && net.rng.random_bool(0.5) {
        net.change(ConfChangeKind::RemoveNode, one);
    } else if net.rng.random_bool(0.2) {
        net.change(ConfChangeKind::UpdateNode, one);
    } else if net.nodes.len() < 9 && net.change(ConfChangeKind::AddLearnerNode, id) {
        net.add(id);
    }
}

/// Members that count in the newest configuration.
fn members(net: &Net) -> Vec<u64> {
    let newest = net.nodes.values().max_by_key(|node| node.store.index).unwrap();
    let conf = &newest.store.conf;
    conf.voters.iter().chain(&conf.learners).map(|id| id.0).collect()
}

fn run(seed: u64, count: u64, steps: u64) -> Net {
    let mut net = Net::new(count, seed);
    let knobs = Knobs::swarm(&mut net.rng);
    net.knobs = knobs.clone();
    for _ in 0..steps {
        trouble(&mut net, &knobs);
        net.step();
    }
    net.heal();
    rest(&mut net);
    net
}

/// After the faults: a leader, everybody with the same log, reads answered.
fn rest(net: &mut Net) {
    net.run_until("a leader after all is well", |net| net.leader().is_some());
    // A removed member must not hold up the others.
    let mut before = net.checks.newest_commit();
    for _ in 0..20 {
        if net.leader().is_some_and(|leader| net.propose(leader)) {
            break;
        }
        net.run(200);
    }
    net.run_until("a new commit", |net| net.checks.newest_commit() > before);
    before = net.checks.newest_commit();
    net.run_until("everybody caught up", |net| {
        members(net).iter().all(|id| net.nodes[id].store.index >= LogIndex(before))
    });
    let reads = net.checks.reads_confirmed;
    for _ in 0..20 {
        let confirmed = net.checks.reads_confirmed > reads;
        if confirmed || net.leader().is_some_and(|leader| net.read(leader)) {
            break;
        }
        net.run(200);
    }
    net.run_until("a read", |net| net.checks.reads_confirmed > reads);
    let leaders = net.nodes.values().filter_map(|node| node.replica.as_ref());
    assert!(leaders.filter(|replica| replica.role() == Role::Leader).count() >= 1);
}

fn swarm(count: u64, few: u64) {
    let mut totals = (0, 0, 0, 0);
    for seed in seeds(few) {
        let guard = SeedOnPanic(seed);
        let net = run(seed, count, 2500);
        std::mem::forget(guard);
        totals.0 += net.checks.elections;
        totals.1 += net.checks.snapshots;
        totals.2 += net.checks.reads_confirmed;
        totals.3 += net.checks.newest_commit();
    }
    eprintln!("elections, snapshots, reads, commits: {totals:?}");
    assert!(totals.0 > few && totals.1 > 0 && totals.2 > few && totals.3 > few);
}

/// Says which seed failed.
struct SeedOnPanic(u64);

impl Drop for SeedOnPanic {
    fn drop(&mut self) {
        let seed = self.0;
        eprintln!("failed: DRYSTONE_RAFT_SEEDS={seed}..{} replays it", seed + 1);
    }
}

#[test]
fn three_replicas_in_trouble() {
    swarm(3, 40);
}

#[test]
fn five_replicas_in_trouble() {
    swarm(5, 25);
}

#[test]
fn one_replica_in_trouble_grows() {
    swarm(1, 25);
}
