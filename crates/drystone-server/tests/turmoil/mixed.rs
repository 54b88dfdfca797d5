//! Everything at once, from a seed, and then the judges.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::record::Record;
use crate::rig::{KEEPALIVE, Outcome, Rig, connect, connect_with, prefix, put, seeds, watch};
use crate::socket::Switch;
use drystone_api::etcdserverpb::{self as pb, request_op, watch_request::RequestUnion};
use drystone_client::Client;
use drystone_judge::{Outcome as Told, Request, Response, StreamEnd, StreamHeard, judge};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_stream::wrappers::ReceiverStream;

/// Processes of clients, and callers in each.
const PROCESSES: &[&str] = &["p0", "p1", "p2"];
const CALLERS: u64 = 3;
/// How long things go wrong.
const TROUBLE: Duration = Duration::from_secs(10);
/// How long everything then has to come right: a client notices after 16 s that its connection
/// is dead.
const SETTLING: Duration = Duration::from_secs(20);
/// How long a stream may take to say that it has told everything.
const PROGRESS_MAX: Duration = Duration::from_secs(5);
/// Keys and leases.
const KEYS: u32 = 6;
const LEASES: i64 = 4;

/// How far a run is.
#[derive(Clone, Default)]
struct Phase {
    /// No further calls are made.
    calls_over: Arc<AtomicBool>,
    /// Streams tell what is left and end.
    closing: Arc<AtomicBool>,
}

fn key(random: &mut StdRng) -> String {
    format!("k/{}", random.random_range(0..KEYS))
}

fn any_request(random: &mut StdRng, revision: i64) -> Request {
    let lease = random.random_range(1..=LEASES);
    match random.random_range(0..100) {
        0..35 => {
            let value = random.random::<u32>().to_string();
            let lease = if random.random_ratio(1, 5) { lease } else { 0 };
            let prev_kv = random.random();
            Request::Put(pb::PutRequest { lease, prev_kv, ..put(key(random), value) })
        }
        35..42 => Request::DeleteRange(pb::DeleteRangeRequest {
            key: key(random).into(),
            prev_kv: random.random(),
            ..Default::default()
        }),
        42..52 => Request::Txn(any_txn(random)),
        52..75 => Request::Range(pb::RangeRequest {
            serializable: random.random_ratio(1, 4),
            revision: if random.random_ratio(1, 4) { revision.max(0) } else { 0 },
            ..prefix("k/")
        }),
        75..77 => {
            let revision = random.random_range(1..=revision.max(1));
            Request::Compaction(pb::CompactionRequest { revision, physical: false })
        }
        77..83 => {
            let ttl = random.random_range(2..10);
            Request::LeaseGrant(pb::LeaseGrantRequest { ttl, id: lease })
        }
        83..85 => Request::LeaseRevoke(pb::LeaseRevokeRequest { id: lease }),
        85..93 => Request::LeaseKeepAlive(pb::LeaseKeepAliveRequest { id: lease }),
        93..97 => Request::LeaseTimeToLive(pb::LeaseTimeToLiveRequest { id: lease, keys: true }),
        _ => Request::LeaseLeases,
    }
}

/// Swaps a value if its key has not changed too often, else reads.
fn any_txn(random: &mut StdRng) -> pb::TxnRequest {
    let key = key(random);
    let compare = pb::Compare {
        result: pb::compare::CompareResult::Less as i32,
        target: pb::compare::CompareTarget::Version as i32,
        key: key.clone().into(),
        target_union: Some(pb::compare::TargetUnion::Version(random.random_range(0..20))),
        ..Default::default()
    };
    let op = |request| pb::RequestOp { request: Some(request) };
    let other = self::key(random);
    let mut success = vec![op(request_op::Request::RequestPut(put(key.clone(), "swapped")))];
    if other != key {
        let delete = pb::DeleteRangeRequest { key: other.into(), ..Default::default() };
        success.push(op(request_op::Request::RequestDeleteRange(delete)));
    }
    let failure = vec![op(request_op::Request::RequestRange(prefix("k/")))];
    pb::TxnRequest { compare: vec![compare], success, failure }
}

/// Calls one thing after the other, with more or less patience.
async fn caller(client: Client, seed: u64, record: Record, phase: Phase) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut name = record.new_client();
    let mut revision = 1;
    while !phase.calls_over.load(Ordering::SeqCst) {
        let request = any_request(&mut random, revision);
        let patience = match random.random_range(0..4) {
            0 => Duration::from_millis(random.random_range(0..40)),
            _ => Duration::from_secs(3),
        };
        let told = record.call(&mut name, &client, patience, request).await;
        if let Told::Answered(Response::Put(answer)) = told {
            revision = answer.header.unwrap().revision;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await;
    }
}

/// Watches on one stream after the other, until the run closes.
async fn watcher(client: Client, seed: u64, record: Record, phase: Phase) -> Outcome {
    let mut random = StdRng::seed_from_u64(seed);
    let mut revision = 0;
    while !phase.closing.load(Ordering::SeqCst) {
        let mut patience = Duration::from_millis(random.random_range(500..30_000));
        let mut starts = any_starts(&mut random, revision);
        if phase.calls_over.load(Ordering::SeqCst) {
            // The last stream stays, and does not wait for what will not come.
            (patience, starts) = (SETTLING * 2, vec![0, revision.max(1)]);
        }
        let stream = one_stream(&client, &starts, &record, &phase, &mut revision);
        // Dropping it in the middle is a client that leaves.
        let _ = tokio::time::timeout(patience, stream).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Starts of watches: now, in the past, in the future.
fn any_starts(random: &mut StdRng, revision: i64) -> Vec<i64> {
    let count = random.random_range(1..4);
    let start = |_| match random.random_range(0..3) {
        0 => 0,
        1 => (revision - random.random_range(0..50)).max(1),
        _ => revision + random.random_range(1..20),
    };
    (0..count).map(start).collect()
}

/// One stream until it breaks or one of its watches does, or has told all when the run closes.
async fn one_stream(
    client: &Client,
    starts: &[i64],
    record: &Record,
    phase: &Phase,
    revision: &mut i64,
) -> Result<(), tonic::Status> {
    let place = record.open();
    let (requests, queue) = tokio::sync::mpsc::channel(8);
    let mut service = pb::watch_client::WatchClient::new(client.transport());
    for (number, start) in starts.iter().enumerate() {
        let create = pb::WatchCreateRequest { prev_kv: number == 1, ..watch("k/", *start) };
        record.on_stream(place, StreamHeard::Create(create.clone()));
        let union = Some(RequestUnion::CreateRequest(create));
        let _ = requests.try_send(pb::WatchRequest { request_union: union });
    }
    let mut responses = service.watch(ReceiverStream::new(queue)).await?.into_inner();
    let mut asked = false;
    loop {
        let pause = tokio::time::sleep(Duration::from_millis(200));
        let response = tokio::select! {
            response = responses.message() => response?,
            () = pause => {
                if phase.closing.load(Ordering::SeqCst) && !asked {
                    asked = true;
                    record.on_stream(place, StreamHeard::Progress);
                    let union = Some(RequestUnion::ProgressRequest(pb::WatchProgressRequest {}));
                    let _ = requests.try_send(pb::WatchRequest { request_union: union });
                }
                continue;
            }
        };
        let Some(response) = response else { return Ok(()) };
        *revision = response.header.as_ref().map_or(*revision, |header| header.revision);
        let is_over = response.canceled;
        let is_progress = response.watch_id == -1 && !response.created && !response.canceled;
        let (applied_revision, compacted_revision) = (None, None);
        record.on_stream(
            place,
            StreamHeard::Response { response, applied_revision, compacted_revision },
        );
        if asked && is_progress {
            record.drained(place);
        }
        if is_over || (asked && is_progress) {
            return Ok(());
        }
    }
}

/// Something that goes wrong between a process and the server, for a while.
fn trouble(rig: &mut Rig, random: &mut StdRng, switches: &[Arc<Switch>]) {
    let which = random.random_range(0..PROCESSES.len());
    let process = PROCESSES[which];
    let time = Duration::from_millis(random.random_range(10..3_000));
    match random.random_range(0..7) {
        0 => {
            rig.sim.partition(process, "server");
            rig.pass(time);
            rig.sim.repair(process, "server");
        }
        1 => {
            rig.sim.partition_oneway("server", process);
            rig.pass(time);
            rig.sim.repair_oneway("server", process);
        }
        2 => {
            rig.sim.partition_oneway(process, "server");
            rig.pass(time);
            rig.sim.repair_oneway(process, "server");
        }
        3 => {
            rig.sim.hold(process, "server");
            rig.pass(time);
            rig.sim.release(process, "server");
        }
        4 => {
            switches[which].freeze(true);
            rig.pass(time);
            switches[which].freeze(false);
        }
        5 => switches[which].cut(),
        _ if random.random_ratio(1, 4) => {
            rig.tell_to_stop();
            while !rig.has_stopped() {
                rig.step();
            }
            rig.restart();
        }
        _ => {}
    }
    rig.pass(Duration::from_millis(random.random_range(100..1_500)));
}

/// Adds the processes, and gives their switches.
fn add_processes(rig: &mut Rig, seed: u64, record: &Record, phase: &Phase) -> Vec<Arc<Switch>> {
    let mut switches = Vec::new();
    for (number, process) in (0_u64..).zip(PROCESSES) {
        let (client, switch) = connect_with(|config| config.retries.attempts_max = 1);
        switches.push(switch);
        let (record, phase) = (record.clone(), phase.clone());
        rig.client(process, async move {
            let mut tasks = Vec::new();
            for task in 0..CALLERS {
                let seed = seed << 16 | number << 8 | task;
                let (client, record, phase) = (client.clone(), record.clone(), phase.clone());
                tasks.push(tokio::spawn(caller(client, seed, record, phase)));
            }
            watcher(client, seed << 16 | number << 8 | 255, record, phase).await?;
            for task in tasks {
                task.await?;
            }
            Ok(())
        });
    }
    switches
}

fn mixed(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut rig = Rig::new(seed, KEEPALIVE);
    let (record, phase) = (Record::default(), Phase::default());
    let switches = add_processes(&mut rig, seed, &record, &phase);
    while rig.sim.elapsed() < TROUBLE {
        trouble(&mut rig, &mut random, &switches);
    }
    phase.calls_over.store(true, Ordering::SeqCst);
    rig.pass(SETTLING);
    let settled_at = rig.sim.elapsed();
    phase.closing.store(true, Ordering::SeqCst);
    rig.pass(PROGRESS_MAX);
    rig.run(|_, _| {});

    let header = Arc::new(Mutex::new(None));
    let found = header.clone();
    rig.client("last", async move {
        let (client, _) = connect();
        *found.lock().unwrap() = client.range(prefix("k/")).await?.header;
        Ok(())
    });
    rig.run(|_, _| {});
    rig.until_idle(Duration::from_secs(10));
    let folder = rig.stop();
    let header = header.lock().unwrap().take().unwrap();
    let history = record.complete(folder.path(), header, settled_at);
    let answered = |told: &Told| matches!(told, Told::Answered(_));
    let count = history.operations.iter().filter(|operation| answered(&operation.outcome)).count();
    assert!(count > 100, "seed {seed}: {count} of {} calls answered", history.operations.len());
    let drained = history.streams.iter().filter(|stream| stream.end == StreamEnd::Drained).count();
    assert!(drained > 0, "seed {seed}: no stream was there at the end");
    let verdict = judge(&history);
    assert!(verdict.is_clean(), "seed {seed}:\n{verdict}");
}

#[test]
fn what_clients_saw_through_every_kind_of_trouble_can_be_true() {
    for seed in seeds(3) {
        mixed(seed);
    }
}
