//! A member that goes on alone after the others were lost.

use crate::ELECTION_TICKS;
use crate::cluster::Cluster;
use drystone_wal::testing::CrashMode;

/// Whatever was answered is on the member with the most of the log, however late it learned that
/// it was committed.
#[test]
fn the_furthest_member_goes_on_alone_with_every_answered_write() {
    for seed in 0..60 {
        let mut cluster = Cluster::new(3, seed, 25);
        cluster.loss = 0.02;
        cluster.ticks(ELECTION_TICKS);
        for request in 1..=60 {
            let ids = cluster.ids();
            let at = ids[usize::try_from(cluster.random(3)).unwrap()];
            cluster.put(at, request, &format!("k{}", request % 5));
            match cluster.random(3) {
                0 => cluster.tick(),
                _ => cluster.settle(),
            }
        }
        for id in cluster.ids() {
            cluster.crash(id, CrashMode::Lose);
        }
        let last = cluster.answers.values().copied().max().unwrap_or(1);
        let survivor = cluster.furthest();
        cluster.force(survivor);
        cluster.loss = 0.0;
        cluster.start(survivor);
        cluster.ticks(ELECTION_TICKS);
        assert_eq!(cluster.members_of(survivor), [survivor], "seed {seed}");
        assert!(cluster.digest(survivor).0 >= last, "seed {seed}: an answered write is lost");
        assert!(cluster.put(survivor, 1_000, "after"), "seed {seed}");
        cluster.ticks(3);
        assert!(cluster.answers.contains_key(&1_000), "seed {seed}: it takes writes");
    }
}

#[test]
fn a_forced_member_that_is_forced_again_stays_as_it_is() {
    let mut cluster = Cluster::new(3, 7, 1_000);
    cluster.ticks(ELECTION_TICKS);
    let own = cluster.leader().expect("three members elect a leader");
    cluster.put(own, 1, "a");
    cluster.ticks(3);
    for id in cluster.ids() {
        cluster.crash(id, CrashMode::Lose);
    }
    let mut before = None;
    for _ in 0..2 {
        cluster.force(own);
        cluster.start(own);
        cluster.ticks(ELECTION_TICKS);
        let now = cluster.digest(own);
        assert!(before.is_none_or(|before| before == now));
        before = Some(now);
        cluster.crash(own, CrashMode::Lose);
    }
}
