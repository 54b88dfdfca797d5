//! The load: clients that write, read and probe, each sequential, each keeping its records.

use super::journal::{Op, Outcome, Record, Reply};
use super::words::{Change, Key, Pair, Value};
use bytes::Bytes;
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use drystone_api::etcdserverpb::request_op::Request;
use drystone_api::etcdserverpb::response_op::Response;
use drystone_api::mvccpb;
use drystone_client::{Client, Config, Error};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// Opening a connection to a member that may be dead.
const CONNECT_MAX: Duration = Duration::from_millis(500);
/// Pause of a client after an operation that failed.
const FAILURE_PAUSE: Duration = Duration::from_millis(50);
/// How often the prober writes.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);
/// How long one probe may take; with [`PROBE_INTERVAL`] it bounds the probes under way.
const PROBE_MAX: Duration = Duration::from_secs(2);
/// How often those that wait look whether the load is over.
const STOP_POLL: Duration = Duration::from_millis(50);
/// Keys of one ranged read.
const RANGE_KEYS: u16 = 16;
/// The prober's number among clients.
pub(crate) const PROBER: u16 = u16::MAX;
/// The number of the one that writes last.
pub(crate) const CLOSER: u16 = u16::MAX - 1;

/// What all tasks of the load share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) endpoints: Vec<String>,
    pub(crate) keys: u16,
    pub(crate) call_max: Duration,
    pub(crate) epoch: Instant,
    /// The highest revision of all linearizable answers that have come.
    pub(crate) floor: AtomicI64,
    /// How often each member's process was started.
    pub(crate) runs: Vec<AtomicU64>,
    /// Writes that were acknowledged.
    pub(crate) acks: AtomicU64,
    pulse: Mutex<Pulse>,
    stopped: AtomicBool,
}

/// When writes were last acknowledged.
#[derive(Clone, Copy, Debug)]
struct Pulse {
    last: Instant,
    gap: Duration,
}

impl Shared {
    pub(crate) fn new(endpoints: Vec<String>, keys: u16, call_max: Duration) -> Shared {
        let now = Instant::now();
        Shared {
            runs: endpoints.iter().map(|_| AtomicU64::new(0)).collect(),
            endpoints,
            keys,
            call_max,
            epoch: now,
            floor: AtomicI64::new(1),
            acks: AtomicU64::new(0),
            pulse: Mutex::new(Pulse { last: now, gap: Duration::ZERO }),
            stopped: AtomicBool::new(false),
        }
    }

    /// A client of one member, or of all, that tries every call once.
    pub(crate) fn client(&self, member: Option<usize>) -> Client {
        let endpoints = match member {
            Some(member) => &self.endpoints[member..=member],
            None => &self.endpoints[..],
        };
        client(endpoints, self.call_max)
    }

    /// Tells the tasks to end after what they are doing.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Returns once the tasks are told to end.
    pub(crate) async fn stopped(&self) {
        while !self.is_stopped() {
            tokio::time::sleep(STOP_POLL).await;
        }
    }

    fn pulse(&self) -> MutexGuard<'_, Pulse> {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a write was acknowledged.
    pub(crate) fn beat(&self) {
        self.acks.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let mut pulse = self.pulse();
        pulse.gap = pulse.gap.max(now - pulse.last);
        pulse.last = now;
    }

    /// The longest time without an acknowledged write since this was last asked.
    pub(crate) fn take_gap(&self) -> Duration {
        let mut pulse = self.pulse();
        let gap = pulse.gap.max(pulse.last.elapsed());
        pulse.gap = Duration::ZERO;
        gap
    }

    /// Does one operation and makes its record.
    pub(crate) async fn perform(&self, client: u16, with: &Client, op: Op, floor: i64) -> Record {
        let began = self.epoch.elapsed();
        let outcome = perform(with, &op).await;
        if let Outcome::Done(reply) = &outcome
            && !matches!(op, Op::Read { serializable: true, .. })
        {
            self.floor.fetch_max(reply.revision(), Ordering::AcqRel);
            if reply.changed() {
                self.beat();
            }
        }
        Record { client, began, ended: self.epoch.elapsed(), floor, op, outcome }
    }

    /// The revision that a linearizable answer must not go behind from now on.
    pub(crate) fn floor(&self) -> i64 {
        self.floor.load(Ordering::Acquire)
    }
}

/// A client that tries every call once.
pub(crate) fn client(endpoints: &[String], call_max: Duration) -> Client {
    let mut config = Config::parse(endpoints).expect("the harness makes valid endpoints");
    config.timeouts.call = Some(call_max);
    config.timeouts.connect = CONNECT_MAX;
    config.retries.attempts_max = 1;
    Client::new(config).expect("a config with endpoints and without a token is valid")
}

/// A writer: puts, deletions and guarded transactions, at most `per_second` of them.
pub(crate) async fn write(
    shared: Arc<Shared>,
    number: u16,
    member: Option<usize>,
    (seed, per_second): (u64, u32),
) -> Vec<Record> {
    let client = shared.client(member);
    let mut random = SmallRng::seed_from_u64(seed ^ u64::from(number));
    let mut seen: BTreeMap<Key, i64> = BTreeMap::new();
    let mut records = Vec::new();
    let mut turns = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut serial = 0;
    while !shared.is_stopped() {
        turns.tick().await;
        let key = Key::plain(random.random_range(0..shared.keys));
        serial += 1;
        let value = Value::new(number, serial);
        let want_prev = random.random_ratio(1, 4);
        let op = match random.random_range(0..10) {
            0 => Op::Delete { key, want_prev },
            1..=3 => Op::Guard { key, seen: seen.get(&key).copied().unwrap_or(0), value },
            _ => Op::Put { key, value, want_prev },
        };
        let record = shared.perform(number, &client, op, shared.floor()).await;
        match &record.outcome {
            Outcome::Done(Reply::Refuted { found, .. }) => {
                seen.insert(key, found.map_or(0, |pair| pair.modified));
            }
            Outcome::Done(Reply::Deleted { .. }) => {
                seen.insert(key, 0);
            }
            Outcome::Done(reply) => {
                seen.insert(key, reply.revision());
            }
            Outcome::Refused(_) | Outcome::Unknown(_) | Outcome::Broken(_) => {
                tokio::time::sleep(FAILURE_PAUSE).await;
            }
        }
        records.push(record);
    }
    records
}

/// A reader of single keys and of short ranges.
pub(crate) async fn read(
    shared: Arc<Shared>,
    number: u16,
    (member, serializable): (Option<usize>, bool),
    (seed, per_second): (u64, u32),
) -> Vec<Record> {
    let client = shared.client(member);
    let mut random = SmallRng::seed_from_u64(seed ^ u64::from(number));
    let mut records = Vec::new();
    let mut turns = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let run = || member.map_or(0, |member| shared.runs[member].load(Ordering::Acquire));
    // The last answer of this run of this member: a new run may begin behind it.
    let (mut last, mut last_run) = (0, 0);
    while !shared.is_stopped() {
        turns.tick().await;
        let keys = if random.random_ratio(1, 8) { RANGE_KEYS.min(shared.keys) } else { 1 };
        let first = Key::plain(random.random_range(0..=shared.keys - keys));
        let op = Op::Read { first, keys, serializable };
        let now = run();
        if now != last_run {
            (last, last_run) = (0, now);
        }
        let floor = if serializable { last } else { shared.floor() };
        let record = shared.perform(number, &client, op, floor).await;
        match &record.outcome {
            // An answer from the run before, which came late, says nothing about this one.
            Outcome::Done(reply) if run() == now => last = reply.revision(),
            Outcome::Done(_) => {}
            _ => tokio::time::sleep(FAILURE_PAUSE).await,
        }
        records.push(record);
    }
    records
}

/// Writes at a fixed pace, whether or not earlier writes have been answered: so that the time
/// without an answer is the cluster's and not that of clients that wait.
pub(crate) async fn probe(shared: Arc<Shared>) -> Vec<Record> {
    let client = client(&shared.endpoints, PROBE_MAX);
    let mut probes = JoinSet::new();
    let mut records = Vec::new();
    let mut turns = tokio::time::interval(PROBE_INTERVAL);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut serial = 0;
    while !shared.is_stopped() {
        turns.tick().await;
        serial += 1;
        let number = u16::try_from(serial % u64::from(shared.keys)).unwrap_or(0);
        let value = Value::new(PROBER, serial);
        let op = Op::Put { key: Key::plain(number), value, want_prev: false };
        let (shared, client) = (shared.clone(), client.clone());
        probes.spawn(async move {
            let floor = shared.floor();
            shared.perform(PROBER, &client, op, floor).await
        });
        while let Some(done) = probes.try_join_next() {
            records.extend(done.ok());
        }
    }
    while let Some(done) = probes.join_next().await {
        records.extend(done.ok());
    }
    records
}

async fn perform(client: &Client, op: &Op) -> Outcome {
    let answer = match op {
        Op::Put { key, value, want_prev } => {
            let (key, value) = (key.name(), value.render());
            let put = pb::PutRequest { key, value, prev_kv: *want_prev, ..Default::default() };
            client.put(put).await.map(put_reply)
        }
        Op::Delete { key, want_prev } => {
            let range_end = Bytes::new();
            let delete = pb::DeleteRangeRequest { key: key.name(), range_end, prev_kv: *want_prev };
            client.delete_range(delete).await.map(deleted_reply)
        }
        Op::Guard { key, seen, value } => {
            client.txn(guard(*key, *seen, *value)).await.map(guarded_reply)
        }
        Op::Read { first, keys, serializable } => {
            let range_end = if *keys == 1 { Bytes::new() } else { first.plus(*keys).name() };
            let range = pb::RangeRequest {
                key: first.name(),
                range_end,
                serializable: *serializable,
                ..Default::default()
            };
            client.range(range).await.map(read_reply)
        }
    };
    match answer {
        Ok(Ok(reply)) => Outcome::Done(reply),
        Ok(Err(why)) => Outcome::Broken(why),
        Err(error) => failure(op, &error),
    }
}

/// What an error says about the operation's effect.
fn failure(op: &Op, error: &Error) -> Outcome {
    let certain = match error {
        Error::Server { message, .. } => message == "etcdserver: too many requests",
        Error::Unreachable { .. } | Error::RequestTooLarge { .. } => true,
        _ => false,
    };
    let text = error.to_string();
    if certain || op.reads() { Outcome::Refused(text) } else { Outcome::Unknown(text) }
}

fn guard(key: Key, seen: i64, value: Value) -> pb::TxnRequest {
    let op = |request| pb::RequestOp { request: Some(request) };
    let put = |key: Key| {
        let (key, value) = (key.name(), value.render());
        op(Request::RequestPut(pb::PutRequest { key, value, ..Default::default() }))
    };
    let compare = pb::Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key.name(),
        target_union: Some(TargetUnion::ModRevision(seen)),
        ..Default::default()
    };
    let get = pb::RangeRequest { key: key.name(), ..Default::default() };
    pb::TxnRequest {
        compare: vec![compare],
        success: vec![put(key), put(key.shadow())],
        failure: vec![op(Request::RequestRange(get))],
    }
}

fn revision(header: Option<&pb::ResponseHeader>) -> Result<i64, String> {
    match header {
        Some(header) if header.revision > 0 => Ok(header.revision),
        Some(header) => Err(format!("revision {}", header.revision)),
        None => Err("no header".into()),
    }
}

fn put_reply(response: pb::PutResponse) -> Result<Reply, String> {
    let prev = response.prev_kv.as_ref().map(Pair::read).transpose()?;
    Ok(Reply::Put { revision: revision(response.header.as_ref())?, prev })
}

fn deleted_reply(response: pb::DeleteRangeResponse) -> Result<Reply, String> {
    let prev = match response.prev_kvs.as_slice() {
        [] => None,
        [kv] => Some(Pair::read(kv)?),
        more => return Err(format!("{} previous values of one key", more.len())),
    };
    let revision = revision(response.header.as_ref())?;
    if !(0..=1).contains(&response.deleted) {
        return Err(format!("{} deletions of one key", response.deleted));
    }
    Ok(Reply::Deleted { revision, count: response.deleted, prev })
}

fn guarded_reply(response: pb::TxnResponse) -> Result<Reply, String> {
    let revision = revision(response.header.as_ref())?;
    let responses: Vec<&Response> =
        response.responses.iter().filter_map(|op| op.response.as_ref()).collect();
    match (response.succeeded, responses.as_slice()) {
        (true, [Response::ResponsePut(_), Response::ResponsePut(_)]) => {
            Ok(Reply::Guarded { revision })
        }
        (false, [Response::ResponseRange(range)]) => {
            let found = match range.kvs.as_slice() {
                [] => None,
                [kv] => Some(Pair::read(kv)?),
                more => return Err(format!("{} values of one key", more.len())),
            };
            Ok(Reply::Refuted { revision, found })
        }
        (succeeded, _) => Err(format!("succeeded: {succeeded}, with {responses:?}")),
    }
}

fn read_reply(response: pb::RangeResponse) -> Result<Reply, String> {
    let pairs: Result<Vec<Pair>, String> = response.kvs.iter().map(Pair::read).collect();
    let revision = revision(response.header.as_ref())?;
    if response.more {
        return Err("more, where no limit was asked for".into());
    }
    Ok(Reply::Read { revision, pairs: pairs?, count: response.count })
}

/// Reads an event, and what its key held before if it says so.
pub(crate) fn event(event: &mvccpb::Event) -> Result<(Change, Option<Pair>), String> {
    let before = event.prev_kv.as_ref().map(Pair::read).transpose()?;
    Ok((Change::read(event)?, before))
}
