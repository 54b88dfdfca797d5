//! Keep-alives over links that come and go.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::rig::{KEEPALIVE, Rig, connect, put, seeds};
use crate::socket::Switch;
use drystone_api::etcdserverpb as pb;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// What the lease is granted.
const TTL: Duration = Duration::from_secs(60);
const LEASE: i64 = 7;
/// How long the link comes and goes.
const RUN: Duration = Duration::from_secs(200);
/// How long after its time a lease may still be there: a scan each half second, and the log.
const LATE_MAX: Duration = Duration::from_secs(3);

/// Breaks a link in one of several ways and mends it; never for so long that no keep-alive could
/// get through within a lease's time.
fn flap(rig: &mut Rig, random: &mut StdRng, switch: &Switch) {
    let time = Duration::from_millis(random.random_range(10..2_000));
    match random.random_range(0..4) {
        0 => {
            rig.sim.partition("keeper", "server");
            rig.pass(time);
            rig.sim.repair("keeper", "server");
        }
        1 => {
            rig.sim.hold("keeper", "server");
            rig.pass(time);
            rig.sim.release("keeper", "server");
        }
        _ => switch.cut(),
    }
    rig.pass(Duration::from_millis(random.random_range(500..8_000)));
}

fn flapping(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut rig = Rig::new(seed, KEEPALIVE);
    let (client, switch) = connect();
    let over = Arc::new(AtomicBool::new(false));
    let renewals = Arc::new(AtomicUsize::new(0));
    let (told, count) = (over.clone(), renewals.clone());
    rig.client("keeper", async move {
        let ttl = i64::try_from(TTL.as_secs())?;
        client.lease_grant(pb::LeaseGrantRequest { ttl, id: LEASE }).await?;
        client.put(pb::PutRequest { lease: LEASE, ..put("leased", "v") }).await?;
        let mut keeper = client.keep_alive(LEASE);
        while !told.load(Ordering::SeqCst) {
            let renewed = keeper.next().await?.unwrap();
            assert_eq!(renewed.ttl, ttl, "the lease was lost");
            count.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    });
    while renewals.load(Ordering::SeqCst) == 0 {
        rig.step();
    }
    while rig.sim.elapsed() < RUN {
        flap(&mut rig, &mut random, &switch);
    }
    assert!(renewals.load(Ordering::SeqCst) >= 6, "{renewals:?} renewals");
    assert!(switch.opened() > 3, "{} connections", switch.opened());
    over.store(true, Ordering::SeqCst);
    rig.run(|_, _| {});
    let last_renewed = rig.sim.elapsed();

    // Nobody renews it any more: it lives for its time and not for much longer.
    rig.client("reader", async move {
        let (client, _) = connect();
        let ask = pb::LeaseTimeToLiveRequest { id: LEASE, keys: true };
        loop {
            let left = client.lease_time_to_live(ask).await?;
            let at = turmoil::sim_elapsed().unwrap() - last_renewed;
            if left.ttl == -1 {
                assert!(at + LATE_MAX > TTL, "it ended {at:?} after its last renewal");
                break;
            }
            assert_eq!(left.keys, ["leased"]);
            assert!(at < TTL + LATE_MAX, "it is still there after {at:?}");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        let gone = client.range(crate::rig::prefix("leased")).await?;
        assert_eq!(gone.kvs.len(), 0, "its key went with it");
        Ok(())
    });
    rig.run(|_, _| {});
    rig.until_idle(Duration::from_secs(10));
}

#[test]
fn a_lease_that_is_renewed_over_a_flapping_link_lives_until_it_is_renewed_no_more() {
    for seed in seeds(2) {
        flapping(seed);
    }
}
