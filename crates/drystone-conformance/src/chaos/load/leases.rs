//! Clients that hold leases: renewed for a while, then left to run out, or ended.

use super::super::notebook::Caller;
use super::words::{leased, put};
use drystone_api::etcdserverpb as pb;
use drystone_judge::{Request, Response};
use rand::Rng as _;
use rand::rngs::SmallRng;
use std::time::Duration;
use tokio::time::Instant;

/// Times of leases that run out, in seconds.
const TTL_SECONDS: std::ops::RangeInclusive<i64> = 2..=4;
/// The time of a lease that its holder ends, in seconds.
pub(crate) const TTL_SECONDS_MAX: i64 = 8;
/// How often a lease is looked at while it runs out.
const LOOK_INTERVAL: Duration = Duration::from_millis(400);
/// How long a holder waits for a lease to run out before it takes the next.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// Pause after a call without an answer.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

/// Takes one lease after the other.
pub(super) async fn hold(mut caller: Caller, holder: u16, mut random: SmallRng) {
    while !caller.notebook.shared.is_stopped() {
        let ended = random.random_ratio(1, 4);
        let ttl = if ended { TTL_SECONDS_MAX } else { random.random_range(TTL_SECONDS) };
        let id = i64::try_from(caller.notebook.serial()).unwrap_or(i64::MAX);
        let grant = Request::LeaseGrant(pb::LeaseGrantRequest { ttl, id });
        if caller.call(grant).await.is_none() {
            tokio::time::sleep(FAILURE_PAUSE).await;
            continue;
        }
        let serial = caller.notebook.serial();
        caller.call(put(leased(holder), serial, (id, random.random_ratio(1, 4)))).await;
        for _ in 0..random.random_range(0..4) {
            let share = f64::from(random.random_range(1..10)) / 10.0;
            let pause = Duration::from_secs(u64::try_from(ttl).unwrap_or(1)).mul_f64(share);
            if ended || rests(&caller, pause).await {
                break;
            }
            caller.call(Request::LeaseKeepAlive(pb::LeaseKeepAliveRequest { id })).await;
        }
        if ended {
            caller.call(Request::LeaseRevoke(pb::LeaseRevokeRequest { id })).await;
        } else {
            run_out(&mut caller, id).await;
        }
    }
}

/// Pauses; true if the load is over.
async fn rests(caller: &Caller, pause: Duration) -> bool {
    let shared = &caller.notebook.shared;
    tokio::time::timeout(pause, shared.stopped()).await.is_ok()
}

/// Looks at a lease until it is gone.
async fn run_out(caller: &mut Caller, id: i64) {
    let until = Instant::now() + WAIT_MAX;
    while Instant::now() < until && !rests(caller, LOOK_INTERVAL).await {
        let look = pb::LeaseTimeToLiveRequest { id, keys: true };
        let answer = caller.call(Request::LeaseTimeToLive(look)).await;
        if matches!(answer, Some(Response::LeaseTimeToLive(answer)) if answer.ttl < 0) {
            return;
        }
    }
}
