//! One random history, done by two servers in step: every answer must be the same, and so must
//! the hashes, before and after compactions.
//!
//! Revisions to compact at and to hash at are those of plain puts. At the revision of a deletion
//! versions of etcd differ: until 3.4.34 and 3.5.16 a compaction drops a tombstone that lies
//! exactly at its revision, later ones keep it. Hashes are asked for above the compacted
//! revision, because 3.4 refuses the compacted one itself.

mod listen;

use self::listen::Listener;
use crate::rows::render_txn;
use crate::rows::{render_delete, render_put, render_range, render_revision};
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use drystone_api::etcdserverpb::request_op::Request;
use drystone_client::{Client, Error};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How a history is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryConfig {
    /// Decides everything.
    pub seed: u64,
    /// How many operations.
    pub operations: usize,
    /// How many keys there are.
    pub keys: u32,
    /// Operations between two compactions, each followed by a comparison of hashes.
    pub compaction_every: usize,
}

impl Default for HistoryConfig {
    fn default() -> HistoryConfig {
        HistoryConfig { seed: 1, operations: 10_000, keys: 60, compaction_every: 1_000 }
    }
}

/// What a history showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Operations done.
    pub operations: usize,
    /// Compactions done.
    pub compactions: usize,
    /// Pairs of hashes that were equal.
    pub hashes: usize,
    /// Watches that told the same events.
    pub watches: usize,
    /// The last revision.
    pub revision: i64,
    /// The first thing that differed, with both answers.
    pub difference: Option<String>,
}

/// When a history stops for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before a hash, which a member takes of its own data: all must have come as far.
    Hash,
    /// After a compaction and its hashes; how many there were.
    Compacted(usize),
}

/// One request of a history.
#[derive(Clone, Debug)]
enum Operation {
    Range(pb::RangeRequest),
    Put(pb::PutRequest),
    Delete(pb::DeleteRangeRequest),
    Txn(pb::TxnRequest),
    Grant(pb::LeaseGrantRequest),
    Revoke(pb::LeaseRevokeRequest),
    Compact(pb::CompactionRequest),
    Hash(pb::HashKvRequest),
}

/// An answer as text, and the revision in its header.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    text: String,
    revision: i64,
}

/// Plain puts remembered as places to compact or hash at.
const PLAIN_MAX: usize = 500;
/// Leases that can be alive at once.
const LEASES: i64 = 6;
/// Nothing runs out during a history.
const TTL_SECONDS: i64 = 100_000;
/// How deep transactions nest.
const DEPTH_MAX: u32 = 3;

struct Generator {
    rng: StdRng,
    config: HistoryConfig,
    revision: i64,
    compacted: i64,
    plain: Vec<i64>,
    written: u64,
}

/// Does one history on both servers. That a server fails is a difference, unless both fail
/// alike.
///
/// At each [`Moment`] `pause` may do something to the first server, which must not be noticed;
/// it gives the client to go on with.
///
/// # Errors
/// Those of `pause`.
pub async fn compare<E>(
    first: Client,
    second: &Client,
    config: HistoryConfig,
    mut pause: impl AsyncFnMut(Moment, Client) -> Result<Client, E>,
) -> Result<Outcome, E> {
    let mut first = first;
    let mut generator = Generator::new(config);
    let mut outcome = Outcome::default();
    let mut live = pairs(&first, second, listen::live());
    for n in 1..=config.operations {
        let mut operations = vec![generator.operation()];
        if n % config.compaction_every == 0 || n == config.operations {
            let compacts = generator.compaction(&mut operations);
            outcome.compactions += usize::from(compacts);
        }
        for operation in operations {
            if matches!(operation, Operation::Hash(_)) {
                first = pause(Moment::Hash, first).await?;
            }
            let (a, b) = tokio::join!(answer(&first, &operation), answer(second, &operation));
            if a != b {
                outcome.difference = Some(format!(
                    "operation {n} of seed {}, {operation:?}:\n  {}\n  {}",
                    config.seed, a.text, b.text
                ));
                return Ok(outcome);
            }
            outcome.hashes += usize::from(matches!(operation, Operation::Hash(_)));
            generator.learn(&operation, &a);
        }
        outcome.operations = n;
        outcome.revision = generator.revision;
        if n % config.compaction_every == 0 {
            // A watch that is behind when its server stops could find its place compacted.
            for (listener, _) in &mut live {
                listener.reached(generator.revision).await;
            }
            first = pause(Moment::Compacted(outcome.compactions), first).await?;
        }
    }
    listened(&first, second, &mut generator, live, &mut outcome).await;
    Ok(outcome)
}

/// How many watches are begun after a history.
const LATE: usize = 24;

/// The same watches on both servers.
fn pairs(
    first: &Client,
    second: &Client,
    requests: Vec<pb::WatchCreateRequest>,
) -> Vec<(Listener, Listener)> {
    let pairs = requests
        .into_iter()
        .map(|request| (Listener::start(first, request.clone()), Listener::start(second, request)));
    pairs.collect()
}

/// Begins watches in the past, and compares what they and the live ones tell.
async fn listened(
    first: &Client,
    second: &Client,
    generator: &mut Generator,
    mut listeners: Vec<(Listener, Listener)>,
    outcome: &mut Outcome,
) {
    let (from, to) = (generator.compacted.max(1), generator.revision);
    let late = listen::late(&mut generator.rng, LATE, generator.config.keys, from, to);
    let ends: Vec<bytes::Bytes> = late.iter().map(|request| request.key.clone()).collect();
    listeners.extend(pairs(first, second, late));
    // A put and a deletion of each watch's first key: one of them ends it.
    for key in ends {
        for client in [first, second] {
            let put = pb::PutRequest { key: key.clone(), ..Default::default() };
            let delete = pb::DeleteRangeRequest { key: key.clone(), ..Default::default() };
            let _ = (client.put(put).await, client.delete_range(delete).await);
        }
    }
    for (ours, theirs) in listeners {
        let request = ours.request().clone();
        let (ours, theirs) = tokio::join!(ours.finish(to), theirs.finish(to));
        if let Some(found) = crate::transcript::difference(&ours, &theirs) {
            outcome.difference.get_or_insert(format!("{request:?}: {found:?}"));
            return;
        }
        outcome.watches += 1;
    }
}

/// Does a history on one server alone; the number of operations it answered without an error.
pub async fn perform(client: &Client, config: HistoryConfig) -> usize {
    let mut generator = Generator::new(config);
    let mut done = 0;
    for n in 1..=config.operations {
        let mut operations = vec![generator.operation()];
        if n % config.compaction_every == 0 {
            generator.compaction(&mut operations);
        }
        for operation in operations {
            let answer = answer(client, &operation).await;
            done += usize::from(answer.revision > 0);
            generator.learn(&operation, &answer);
        }
    }
    done
}

impl Generator {
    fn new(config: HistoryConfig) -> Generator {
        Generator {
            rng: StdRng::seed_from_u64(config.seed),
            config,
            revision: 1,
            compacted: 0,
            plain: Vec::new(),
            written: 0,
        }
    }

    fn learn(&mut self, operation: &Operation, answer: &Answer) {
        let before = self.revision;
        self.revision = self.revision.max(answer.revision);
        match operation {
            Operation::Put(_) if self.revision > before => {
                if self.plain.len() == PLAIN_MAX {
                    self.plain.remove(0);
                }
                self.plain.push(self.revision);
            }
            Operation::Compact(request) if answer.revision > 0 => {
                self.compacted = request.revision;
                self.plain.retain(|revision| *revision > request.revision);
            }
            _ => {}
        }
    }

    /// A compaction and hashes after it, if there is a revision for them.
    fn compaction(&mut self, operations: &mut Vec<Operation>) -> bool {
        let Some(revision) = self.plain_revision() else { return false };
        let physical = self.rng.random_bool(0.5);
        operations.push(Operation::Compact(pb::CompactionRequest { revision, physical }));
        let above: Vec<i64> = self.plain.iter().copied().filter(|at| *at > revision).collect();
        for _ in 0..3 {
            if !above.is_empty() {
                let revision = above[self.rng.random_range(0..above.len())];
                operations.push(Operation::Hash(pb::HashKvRequest { revision }));
            }
        }
        // The operation just before may have raised the revision; 0 names whatever it is now.
        operations.push(Operation::Hash(pb::HashKvRequest { revision: 0 }));
        true
    }

    fn plain_revision(&mut self) -> Option<i64> {
        // Not the newest ones, so that something is left to hash.
        let count = self.plain.len().checked_sub(10).filter(|count| *count > 0)?;
        Some(self.plain[self.rng.random_range(0..count)])
    }

    fn operation(&mut self) -> Operation {
        match self.rng.random_range(0..100) {
            0..45 => Operation::Put(self.put()),
            45..57 => Operation::Delete(self.delete()),
            57..77 => Operation::Txn(self.txn(0)),
            77..89 => Operation::Range(self.range()),
            89..96 => Operation::Grant(pb::LeaseGrantRequest {
                id: self.rng.random_range(1..=LEASES),
                ttl: TTL_SECONDS,
            }),
            _ => {
                Operation::Revoke(pb::LeaseRevokeRequest { id: self.rng.random_range(1..=LEASES) })
            }
        }
    }

    fn key(&mut self) -> bytes::Bytes {
        format!("k{:02}", self.rng.random_range(0..self.config.keys)).into()
    }

    /// Mostly single keys; ranges of a few keys, and seldom everything. Never an open end: with
    /// one, transactions can be written that end every etcd.
    fn range_of_keys(&mut self) -> (bytes::Bytes, bytes::Bytes) {
        let from = self.rng.random_range(0..self.config.keys);
        match self.rng.random_range(0..40) {
            0 => ("k".into(), "l".into()),
            1..12 => {
                let to = from + self.rng.random_range(0..6);
                (format!("k{from:02}").into(), format!("k{to:02}").into())
            }
            _ => (format!("k{from:02}").into(), bytes::Bytes::new()),
        }
    }

    fn put(&mut self) -> pb::PutRequest {
        self.written += 1;
        let kind = self.rng.random_range(0..20);
        let mut request = pb::PutRequest {
            key: self.key(),
            value: format!("v{}", self.written).into(),
            prev_kv: self.rng.random_bool(0.3),
            ..Default::default()
        };
        match kind {
            0..6 => request.lease = self.rng.random_range(1..=LEASES),
            6 => {
                request.ignore_value = true;
                request.value = bytes::Bytes::new();
            }
            7 => request.ignore_lease = true,
            8 => request.value = vec![b'x'; self.rng.random_range(0..2000)].into(),
            _ => {}
        }
        request
    }

    fn delete(&mut self) -> pb::DeleteRangeRequest {
        let (key, range_end) = self.range_of_keys();
        pb::DeleteRangeRequest { key, range_end, prev_kv: self.rng.random_bool(0.3) }
    }

    fn range(&mut self) -> pb::RangeRequest {
        let (key, range_end) = self.range_of_keys();
        let past = self.rng.random_bool(0.3);
        let revision = if past { self.plain_revision().unwrap_or(0) } else { 0 };
        let limit = if self.rng.random_bool(0.3) { self.rng.random_range(0..5) } else { 0 };
        let count_only = self.rng.random_bool(0.1);
        pb::RangeRequest { key, range_end, revision, limit, count_only, ..Default::default() }
    }

    fn txn(&mut self, depth: u32) -> pb::TxnRequest {
        let compares = self.rng.random_range(0..3);
        let compare = (0..compares).map(|_| self.compare()).collect();
        let success = self.branch(depth);
        let failure = self.branch(depth);
        pb::TxnRequest { compare, success, failure }
    }

    fn branch(&mut self, depth: u32) -> Vec<pb::RequestOp> {
        let count = self.rng.random_range(0..4);
        let ops = (0..count).map(|_| {
            let request = match self.rng.random_range(0..12) {
                0..5 => Request::RequestPut(self.put()),
                5..7 => Request::RequestDeleteRange(self.delete()),
                7..10 => Request::RequestRange(self.range()),
                _ if depth < DEPTH_MAX => Request::RequestTxn(self.txn(depth + 1)),
                _ => Request::RequestRange(self.range()),
            };
            pb::RequestOp { request: Some(request) }
        });
        ops.collect()
    }

    fn compare(&mut self) -> pb::Compare {
        let (key, range_end) = self.range_of_keys();
        let result = [
            CompareResult::Equal,
            CompareResult::Greater,
            CompareResult::Less,
            CompareResult::NotEqual,
        ][self.rng.random_range(0..4)];
        let near = self.rng.random_range(0..=self.revision);
        let (target, union) = match self.rng.random_range(0..5) {
            0 => (CompareTarget::Version, TargetUnion::Version(self.rng.random_range(0..4))),
            1 => (CompareTarget::Create, TargetUnion::CreateRevision(near)),
            2 => (CompareTarget::Mod, TargetUnion::ModRevision(near)),
            3 => {
                let value = format!("v{}", self.rng.random_range(0..=self.written));
                (CompareTarget::Value, TargetUnion::Value(value.into()))
            }
            _ => (CompareTarget::Lease, TargetUnion::Lease(self.rng.random_range(0..=LEASES))),
        };
        pb::Compare {
            result: result.into(),
            target: target.into(),
            key,
            range_end,
            target_union: Some(union),
        }
    }
}

fn said<T>(
    answer: Result<T, Error>,
    header: fn(&T) -> Option<&pb::ResponseHeader>,
    show: fn(&T) -> String,
) -> Answer {
    match answer {
        Ok(answer) => Answer {
            text: show(&answer),
            revision: header(&answer).map_or(0, |header| header.revision),
        },
        Err(error) => Answer { text: format!("{:?}: {error}", error.code()), revision: 0 },
    }
}

async fn answer(client: &Client, operation: &Operation) -> Answer {
    match operation.clone() {
        Operation::Range(request) => {
            said(client.range(request).await, |answer| answer.header.as_ref(), render_range)
        }
        Operation::Put(request) => {
            said(client.put(request).await, |answer| answer.header.as_ref(), render_put)
        }
        Operation::Delete(request) => {
            let answer = client.delete_range(request).await;
            said(answer, |answer| answer.header.as_ref(), render_delete)
        }
        Operation::Txn(request) => {
            said(client.txn(request).await, |answer| answer.header.as_ref(), render_txn)
        }
        Operation::Grant(request) => {
            let answer = client.lease_grant(request).await;
            said(
                answer,
                |answer| answer.header.as_ref(),
                |answer| {
                    let header = render_revision(answer.header.as_ref());
                    format!("grant: {header}, id {}, ttl {}", answer.id, answer.ttl)
                },
            )
        }
        Operation::Revoke(request) => {
            let answer = client.lease_revoke(request).await;
            said(
                answer,
                |answer| answer.header.as_ref(),
                |answer| format!("revoke: {}", render_revision(answer.header.as_ref())),
            )
        }
        Operation::Compact(request) => {
            let answer = client.compact(request).await;
            said(
                answer,
                |answer| answer.header.as_ref(),
                |answer| format!("compact: {}", render_revision(answer.header.as_ref())),
            )
        }
        Operation::Hash(request) => {
            let answer = client.hash_kv(request).await;
            said(
                answer,
                |answer| answer.header.as_ref(),
                |answer| {
                    let header = render_revision(answer.header.as_ref());
                    format!(
                        "hash: {header}, {}, compacted {}",
                        answer.hash, answer.compact_revision
                    )
                },
            )
        }
    }
}
