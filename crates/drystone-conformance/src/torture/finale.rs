//! The end of a torture: the last writes, the whole history, and the judgement.

use super::Figures;
use super::history::History;
use super::journal::{Op, Outcome, Record};
use super::judge::{self, Faults, Watched};
use super::listen::{CATCH_UP_MAX, Goal};
use super::load::{CLOSER, Shared, client, event};
use super::words::{Key, PREFIX, PREFIX_END, Pair, Value};
use crate::harness::Cluster;
use drystone_api::etcdserverpb as pb;
use drystone_client::WatchOptions;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long the last writes may take together.
const LAST_WRITES_MAX: Duration = Duration::from_secs(60);
/// One question to one member: a list of all keys, or a hash.
const QUESTION_MAX: Duration = Duration::from_secs(30);
/// How long a member may take to apply what the others have applied.
const SETTLE_MAX: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// Writes every key once more, until each write is acknowledged: then all watches have an
/// event to end with.
pub(super) async fn write_last(shared: &Shared, records: &mut Vec<Record>) -> Result<Goal, String> {
    let client = shared.client(None);
    let until = Instant::now() + LAST_WRITES_MAX;
    let mut goal = Goal::default();
    let mut serial = 0;
    for number in 0..shared.keys {
        let key = Key::plain(number);
        loop {
            serial += 1;
            let op = Op::Put { key, value: Value::new(CLOSER, serial), want_prev: true };
            let record = shared.perform(CLOSER, &client, op, shared.floor()).await;
            records.push(record.clone());
            match record.outcome {
                Outcome::Done(reply) => {
                    goal.last = reply.revision();
                    goal.keys.insert(key, goal.last);
                    break;
                }
                outcome if Instant::now() > until => {
                    return Err(format!("the last writes failed: {outcome:?}"));
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }
    Ok(goal)
}

/// Reads the history and holds everything against it.
pub(super) async fn judge(
    cluster: &Cluster,
    goal: &Goal,
    records: &[Record],
    watched: &[Watched],
    faults: &mut Faults,
    figures: &mut Figures,
) {
    let endpoints = cluster.endpoints();
    eprintln!("torture: reading the history, {} revisions", goal.last);
    let Some(history) = history(&endpoints, goal.last, faults).await else { return };
    figures.revisions = history.last();
    judge::records(&history, records, faults);
    for watched in watched {
        judge::watch(&history, watched, faults);
    }
    members(&endpoints, &history, faults, figures).await;
}

/// The history as a fresh watch of each member tells it. The first member's is returned; the
/// others must tell the same.
async fn history(endpoints: &[String], last: i64, faults: &mut Faults) -> Option<History> {
    let mut first: Option<History> = None;
    for endpoint in endpoints {
        let told = tokio::time::timeout(CATCH_UP_MAX, read_history(endpoint, last)).await;
        let told = told.unwrap_or_else(|_| Err(format!("not read within {CATCH_UP_MAX:?}")));
        match (told, &first) {
            (Err(why), _) => faults.add(judge::WATCH, format!("history by {endpoint}: {why}")),
            (Ok(told), None) => first = Some(told),
            (Ok(told), Some(first)) => {
                let mut pairs = told.changes().iter().zip(first.changes());
                if let Some((one, other)) = pairs.find(|(one, other)| one != other) {
                    let text = format!("{endpoint} tells {one}, {} {other}", endpoints[0]);
                    faults.add(judge::MEMBERS, text);
                } else if told.changes().len() != first.changes().len() {
                    faults.add(judge::MEMBERS, format!("{endpoint} tells another length"));
                }
            }
        }
    }
    first
}

async fn read_history(endpoint: &str, last: i64) -> Result<History, String> {
    let client = client(&[endpoint.to_owned()], QUESTION_MAX);
    let everything = pb::WatchCreateRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        start_revision: 1,
        prev_kv: true,
        ..Default::default()
    };
    let mut watch = client.watch(everything, WatchOptions::default());
    let mut history = History::default();
    while history.last() < last {
        let response = watch.next().await.map_err(|error| error.to_string())?;
        let response = response.filter(|response| !response.canceled).ok_or("cancelled")?;
        for told in &response.events {
            let (change, before) = event(told)?;
            // Before it is taken in: at its own revision, its key still holds what it held.
            if before != history.at(change.key, change.revision) {
                return Err(format!("{change}, and before it {before:?}"));
            }
            history.push(change)?;
        }
    }
    Ok(history)
}

/// Every member lists the same keys, members and hashes.
async fn members(
    endpoints: &[String],
    history: &History,
    faults: &mut Faults,
    figures: &mut Figures,
) {
    let last = history.last();
    let expected = history.all(last);
    let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut hashes: BTreeMap<(i64, u32), Vec<String>> = BTreeMap::new();
    for endpoint in endpoints {
        match state(endpoint, last).await {
            Ok(pairs) if pairs == expected => {}
            Ok(pairs) => {
                let differs = pairs.iter().zip(&expected).find(|(one, other)| one != other);
                let text = format!(
                    "{endpoint} lists {} keys of {}; the first other one: {differs:?}",
                    pairs.len(),
                    expected.len()
                );
                faults.add(judge::MEMBERS, text);
            }
            Err(why) => faults.add(judge::MEMBERS, format!("{endpoint}: {why}")),
        }
        for revision in [last / 3, last / 3 * 2, last] {
            match hash(endpoint, revision).await {
                Ok(hash) => {
                    hashes.entry((revision, hash)).or_default().push(endpoint.clone());
                }
                Err(why) => faults.add(judge::MEMBERS, format!("{endpoint}: {why}")),
            }
        }
        match member_list(endpoint).await {
            Ok(list) => lists.entry(list).or_default().push(endpoint.clone()),
            Err(why) => faults.add(judge::MEMBERS, format!("{endpoint}: {why}")),
        }
    }
    for ((revision, hash), by) in &hashes {
        figures.hashes.push((*revision, *hash, by.len()));
        if by.len() != endpoints.len() {
            let text = format!("hash {hash} at revision {revision} only on {by:?}");
            faults.add(judge::MEMBERS, text);
        }
    }
    if lists.len() > 1 {
        faults.add(judge::MEMBERS, format!("lists of members differ: {lists:?}"));
    }
}

/// All keys by a linearizable read of one member, at exactly the last revision.
async fn state(endpoint: &str, last: i64) -> Result<Vec<Pair>, String> {
    let client = client(&[endpoint.to_owned()], QUESTION_MAX);
    let all =
        pb::RangeRequest { key: PREFIX.into(), range_end: PREFIX_END.into(), ..Default::default() };
    let response = client.range(all).await.map_err(|error| error.to_string())?;
    let revision = response.header.map_or(0, |header| header.revision);
    if revision != last {
        return Err(format!("stands at revision {revision}, not {last}"));
    }
    response.kvs.iter().map(Pair::read).collect()
}

/// The hash of one member at a revision, once it is that far.
pub(crate) async fn hash(endpoint: &str, revision: i64) -> Result<u32, String> {
    let client = client(&[endpoint.to_owned()], QUESTION_MAX);
    let until = Instant::now() + SETTLE_MAX;
    loop {
        match client.hash_kv(pb::HashKvRequest { revision }).await {
            Ok(response) => return Ok(response.hash),
            Err(error) if Instant::now() > until => {
                return Err(format!("no hash at revision {revision}: {error}"));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Ids, names and URLs of all members, as this one tells them.
async fn member_list(endpoint: &str) -> Result<String, String> {
    let client = client(&[endpoint.to_owned()], QUESTION_MAX);
    let request = pb::MemberListRequest { linearizable: true };
    let mut list = client.member_list(request).await.map_err(|error| error.to_string())?;
    list.members.sort_by_key(|member| member.id);
    let one = |member: &pb::Member| {
        let pb::Member { id, name, peer_ur_ls, client_ur_ls, is_learner } = member;
        format!("{id:x} {name} {peer_ur_ls:?} {client_ur_ls:?} {is_learner}")
    };
    Ok(list.members.iter().map(one).collect::<Vec<_>>().join("; "))
}
