//! The load: clients that write, read, hold leases and compact, each one call after another.
//! No two requests that change anything are alike, so that each can be found in the log.

pub(crate) mod leases;
mod words;

use super::notebook::{Caller, Notebook, revision};
use drystone_api::etcdserverpb as pb;
use drystone_judge::{Request, Response};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
pub(crate) use words::{PREFIX, PREFIX_END, key};
use words::{delete, guard, put, range};

/// Keys that are written; each has a shadow that transactions write with it.
pub(crate) const KEYS: u16 = 64;
const WRITERS: u16 = 8;
/// Readers of a member: one linearizable, one serializable.
const READERS_PER_MEMBER: u16 = 2;
/// How often the prober writes, whether or not it was answered.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// Pause of a client after a call without an answer.
const FAILURE_PAUSE: Duration = Duration::from_millis(50);
/// How often history is dropped, and how many revisions of it stay.
const COMPACT_INTERVAL: Duration = Duration::from_secs(15);
const REVISIONS_KEPT: i64 = 2_000;
/// How far back reads of the past go; some go behind what is kept.
const REVISIONS_BACK_MAX: i64 = 3_000;
/// How long the last writes may take together.
const CLOSE_MAX: Duration = Duration::from_secs(60);

/// Starts all clients.
pub(crate) fn start(
    notebook: &Arc<Notebook>,
    seed: u64,
    (writes_per_second, reads_per_second): (u32, u32),
) -> JoinSet<()> {
    let members = u16::try_from(notebook.shared.endpoints.len()).unwrap_or(u16::MAX);
    let mut tasks = JoinSet::new();
    let random = |number: u16| SmallRng::seed_from_u64(seed ^ (u64::from(number) << 32));
    let writes = (writes_per_second / u32::from(WRITERS)).max(1);
    for number in 0..WRITERS {
        // Each member has writers of its own, and some go to whoever is there.
        let member = usize::from(number % (members + 1));
        let caller = notebook.caller((member < usize::from(members)).then_some(member));
        tasks.spawn(write(caller, random(number), writes));
    }
    let readers = members * READERS_PER_MEMBER + 1;
    let reads = (reads_per_second / u32::from(readers)).max(1);
    for reader in 0..readers {
        let member = reader / READERS_PER_MEMBER;
        let serializable = member < members && reader % READERS_PER_MEMBER == 1;
        let caller = notebook.caller((member < members).then_some(usize::from(member)));
        tasks.spawn(read(caller, serializable, random(WRITERS + reader), reads));
    }
    for member in 0..=members {
        let caller = notebook.caller((member < members).then_some(usize::from(member)));
        tasks.spawn(leases::hold(caller, member, random(1_000 + member)));
    }
    tasks.spawn(probe(notebook.clone()));
    tasks.spawn(compact(notebook.caller(None)));
    tasks
}

async fn write(mut caller: Caller, mut random: SmallRng, per_second: u32) {
    let mut seen: BTreeMap<u16, i64> = BTreeMap::new();
    let mut turns = tokio::time::interval(Duration::from_secs(1) / per_second);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !caller.notebook.shared.is_stopped() {
        turns.tick().await;
        let number = random.random_range(0..KEYS);
        let serial = caller.notebook.serial();
        let prev = random.random_ratio(1, 4);
        let request = match random.random_range(0..10) {
            0 => delete(number, serial, prev),
            1..=3 => guard(number, seen.get(&number).copied().unwrap_or(0), serial),
            _ => put(key(number), serial, (0, prev)),
        };
        match caller.call(request).await {
            Some(answer) => {
                seen.insert(number, modified(&answer));
            }
            None => tokio::time::sleep(FAILURE_PAUSE).await,
        }
    }
}

/// What an answer says of the key's last change; 0 if it is not there.
fn modified(answer: &Response) -> i64 {
    match answer {
        Response::DeleteRange(_) => 0,
        Response::Txn(txn) if !txn.succeeded => words::found(txn),
        answer => revision(answer),
    }
}

async fn read(mut caller: Caller, serializable: bool, mut random: SmallRng, per_second: u32) {
    let mut turns = tokio::time::interval(Duration::from_secs(1) / per_second);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !caller.notebook.shared.is_stopped() {
        turns.tick().await;
        let request = match random.random_range(0..100) {
            0 => Request::LeaseLeases,
            1..6 => {
                let floor = caller.notebook.shared.floor();
                let back = random.random_range(0..REVISIONS_BACK_MAX);
                range(&mut random, serializable, (floor - back).max(1))
            }
            _ => range(&mut random, serializable, 0),
        };
        if caller.call(request).await.is_none() {
            tokio::time::sleep(FAILURE_PAUSE).await;
        }
    }
}

/// Writes at a fixed pace, whether or not earlier writes have been answered: so that the time
/// without an answer is the cluster's and not that of clients that wait.
async fn probe(notebook: Arc<Notebook>) {
    let mut probes = JoinSet::new();
    let mut turns = tokio::time::interval(PROBE_INTERVAL);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // One client for all, which knows who is there; each call counts as another's.
    let all = notebook.caller(None);
    while !notebook.shared.is_stopped() {
        turns.tick().await;
        let serial = notebook.serial();
        let number = u16::try_from(serial % u64::from(KEYS)).unwrap_or(0);
        let mut caller = all.another();
        probes.spawn(async move { caller.call(put(key(number), serial, (0, false))).await });
        while probes.try_join_next().is_some() {}
    }
    while probes.join_next().await.is_some() {}
}

async fn compact(mut caller: Caller) {
    let mut last = 0;
    let mut turns = tokio::time::interval(COMPACT_INTERVAL);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !caller.notebook.shared.is_stopped() {
        let stopped = caller.notebook.clone();
        tokio::select! {
            _ = turns.tick() => {}
            () = stopped.shared.stopped() => return,
        }
        let revision = caller.notebook.shared.floor() - REVISIONS_KEPT;
        if revision > last {
            // Never the same again, whatever comes of it.
            last = revision;
            let physical = false;
            caller.call(Request::Compaction(pb::CompactionRequest { revision, physical })).await;
        }
    }
}

/// Writes every key once more, so that all watches have an event to end with; the revision of
/// each.
pub(crate) async fn close(notebook: &Arc<Notebook>) -> Result<Vec<i64>, String> {
    let mut caller = notebook.caller(None);
    let until = Instant::now() + CLOSE_MAX;
    let mut revisions = Vec::new();
    for number in 0..KEYS {
        loop {
            let serial = notebook.serial();
            if let Some(answer) = caller.call(put(key(number), serial, (0, true))).await {
                revisions.push(revision(&answer));
                break;
            }
            if Instant::now() > until {
                return Err(format!("the last writes were not done within {CLOSE_MAX:?}"));
            }
            tokio::time::sleep(FAILURE_PAUSE).await;
        }
    }
    Ok(revisions)
}
