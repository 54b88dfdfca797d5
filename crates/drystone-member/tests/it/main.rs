//! Whole members against each other.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bench;
mod cluster;
mod force;
mod leader;
mod leases;
mod log;
mod stall;
mod tokens;

use cluster::Cluster;
use drystone_wal::testing::CrashMode;

/// Long enough for an election after the last fault.
const ELECTION_TICKS: usize = 60;

#[test]
fn a_single_member_answers_and_survives_a_crash() {
    let mut cluster = Cluster::new(1, 1, 1_000);
    cluster.ticks(ELECTION_TICKS);
    let id = cluster.leader().expect("a single member elects itself");
    for request in 1..=30 {
        assert!(cluster.put(id, request, "a"));
        cluster.settle();
        assert_eq!(cluster.answers[&request], 1 + i64::try_from(request).unwrap());
    }
    let before = cluster.digest(id);
    cluster.crash(id, CrashMode::Lose);
    cluster.start(id);
    cluster.ticks(ELECTION_TICKS);
    assert_eq!(cluster.digest(id), before, "every answered write was synced");
}

#[test]
fn a_read_sees_every_answered_write_on_any_member() {
    let mut cluster = Cluster::new(3, 2, 1_000);
    cluster.ticks(ELECTION_TICKS);
    let leader = cluster.leader().expect("three members elect a leader");
    for (read, id) in (1u64..).zip(cluster.ids()) {
        assert!(cluster.put(leader, 100 + read, "a"));
        cluster.ticks(3);
        let revision = cluster.answers[&(100 + read)];
        assert!(cluster.read(id, read));
        cluster.ticks(3);
        assert!(cluster.reads[&read] >= revision, "member {id}");
    }
}

#[test]
fn a_member_that_the_log_no_longer_reaches_gets_a_snapshot() {
    let mut cluster = Cluster::new(3, 3, 10);
    cluster.ticks(ELECTION_TICKS);
    let leader = cluster.leader().expect("three members elect a leader");
    let away = cluster.ids().into_iter().find(|id| *id != leader).unwrap();
    cluster.crash(away, CrashMode::Keep);
    for request in 1..=200 {
        cluster.put(leader, request, &format!("k{}", request % 7));
        cluster.tick();
    }
    cluster.start(away);
    cluster.ticks(200);
    assert_eq!(cluster.digest(away), cluster.digest(leader));
    assert_eq!(cluster.digest(away).0, 201);
}

/// Random writes, losses and crashes of any member at any time: nothing that was answered is
/// lost, and all members end equal.
#[test]
fn answered_writes_survive_crashes_of_all_members() {
    for seed in 0..40 {
        let mut cluster = Cluster::new(3, seed, 25);
        cluster.loss = 0.05;
        let mut request = 0;
        for _ in 0..300 {
            let ids = cluster.ids();
            let at = ids[usize::try_from(cluster.random(3)).unwrap()];
            match cluster.random(20) {
                0 if cluster.is_up(at) => {
                    let mode = match cluster.random(4) {
                        0 => CrashMode::Keep,
                        1 => CrashMode::Lose,
                        2 => CrashMode::Prefix,
                        _ => CrashMode::Scatter,
                    };
                    cluster.crash(at, mode);
                }
                1 | 2 if !cluster.is_up(at) => cluster.start(at),
                _ => {
                    request += 1;
                    let key = format!("k{}", cluster.random(5));
                    cluster.put(at, request, &key);
                }
            }
            cluster.tick();
        }
        cluster.loss = 0.0;
        for id in cluster.ids() {
            if !cluster.is_up(id) {
                cluster.start(id);
            }
        }
        cluster.ticks(ELECTION_TICKS);
        let leader = cluster.leader().unwrap_or_else(|| panic!("seed {seed}: no leader"));
        cluster.put(leader, u64::MAX, "last");
        cluster.ticks(ELECTION_TICKS);
        let newest = *cluster.answers.get(&u64::MAX).unwrap_or_else(|| panic!("seed {seed}"));
        let answered = cluster.answers.values().max().copied().unwrap();
        assert_eq!(newest, answered, "seed {seed}: an answered revision was given out again");
        let mut revisions: Vec<i64> = cluster.answers.values().copied().collect();
        revisions.sort_unstable();
        assert!(revisions.windows(2).all(|pair| pair[0] != pair[1]), "seed {seed}");
        let digests: Vec<_> = cluster.ids().into_iter().map(|id| cluster.digest(id)).collect();
        assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}: {digests:?}");
        assert_eq!(digests[0].0, newest, "seed {seed}");
    }
}
