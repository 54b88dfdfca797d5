//! The committed log, read from the members' disks once they have ended, and whose each of its
//! entries is.

use anyhow::Context as _;
use drystone_api::etcdserverpb::InternalRaftRequest;
use drystone_judge::{Committed, History, Outcome, Request, StreamHeard};
use drystone_types::{ClusterId, Entry, EntryKind, LogIndex, MemberId};
use drystone_wal::{Config, FsDisk, Identity, Wal};
use prost::Message as _;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The id of the cluster's own commands, which no client's proposal has.
const NOBODY: u64 = 0;

/// One member's whole log.
pub(super) fn read(data_dir: &Path, (cluster, member): (u64, u64)) -> anyhow::Result<Vec<Entry>> {
    let dir = data_dir.join("member").join("wal");
    let identity = Identity { cluster: ClusterId(cluster), member: MemberId(member) };
    let (_, found) = Wal::open(Arc::new(FsDisk), &dir, Config::default(), identity, LogIndex(0))
        .with_context(|| format!("cannot read the log in {}", dir.display()))?;
    anyhow::ensure!(found.start.index == LogIndex(0), "the log was cut: {:?}", found.start);
    Ok(found.entries)
}

/// The entries up to `commit`, which all logs must agree on as far as they go and a majority
/// must hold. What is wrong goes to `faults`.
pub(super) fn agree(logs: &[Vec<Entry>], commit: u64, faults: &mut Vec<String>) -> Vec<Committed> {
    let count = usize::try_from(commit).unwrap_or(usize::MAX);
    let longest = logs.iter().max_by_key(|log| log.len());
    let Some(longest) = longest else { return Vec::new() };
    for log in logs {
        let mut pairs = log.iter().zip(longest).take(count);
        if let Some((one, other)) = pairs.find(|(one, other)| one != other) {
            faults.push(format!("logs do not agree: {one:?} and {other:?}"));
        }
    }
    let holders = logs.iter().filter(|log| log.len() >= count).count();
    if holders * 2 <= logs.len() {
        let lengths: Vec<usize> = logs.iter().map(Vec::len).collect();
        faults.push(format!("{commit} entries are committed, logs have {lengths:?}"));
    }
    longest.iter().take(count).map(|entry| committed(entry, faults)).collect()
}

fn committed(entry: &Entry, faults: &mut Vec<String>) -> Committed {
    let command = match entry.kind {
        EntryKind::Normal if !entry.data.is_empty() => {
            match InternalRaftRequest::decode(entry.data.clone()) {
                Ok(command) => Some(command),
                Err(error) => {
                    faults.push(format!("entry {} cannot be read: {error}", entry.index));
                    None
                }
            }
        }
        _ => None,
    };
    Committed { index: entry.index, term: entry.term, command, applied_at: None }
}

/// What a request looks like in the log, so that equal ones are the same.
fn face(request: &Request) -> Option<Vec<u8>> {
    let tagged = |tag: u8, mut bytes: Vec<u8>| {
        bytes.push(tag);
        Some(bytes)
    };
    match request {
        Request::Put(request) => tagged(0, request.encode_to_vec()),
        Request::DeleteRange(request) => tagged(1, request.encode_to_vec()),
        Request::Txn(request) => tagged(2, request.encode_to_vec()),
        Request::Compaction(request) => tagged(3, request.revision.to_le_bytes().to_vec()),
        Request::LeaseGrant(request) => tagged(4, request.id.to_le_bytes().to_vec()),
        Request::LeaseRevoke(request) => tagged(5, request.id.to_le_bytes().to_vec()),
        Request::Range(_)
        | Request::LeaseKeepAlive(_)
        | Request::LeaseTimeToLive(_)
        | Request::LeaseLeases
        | Request::Alarm(_)
        | Request::Members(_)
        | Request::Auth(_) => None,
    }
}

/// The request that a command of the log carries out.
fn request(command: &InternalRaftRequest) -> Option<Request> {
    let InternalRaftRequest { put, delete_range, txn, compaction, lease_grant, .. } = command;
    None.or(put.clone().map(Request::Put))
        .or(delete_range.clone().map(Request::DeleteRange))
        .or(txn.clone().map(Request::Txn))
        .or((*compaction).map(Request::Compaction))
        .or((*lease_grant).map(Request::LeaseGrant))
        .or(command.lease_revoke.map(Request::LeaseRevoke))
}

/// Finds each operation's entry, of which there is one at most since no two requests are
/// alike, and notes in the log that it cannot have been applied before it was called.
pub(super) fn assign(history: &mut History) {
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    for (place, entry) in history.log.iter().enumerate() {
        // The end of a lease that ran out looks like one that was asked for.
        let command = entry.command.as_ref().filter(|_| id(entry) != NOBODY);
        if let Some(face) = command.and_then(request).as_ref().and_then(face) {
            places.entry(face).or_insert(place);
        }
    }
    for operation in &mut history.operations {
        let Some(face) = face(&operation.request) else { continue };
        if let Outcome::TurnedAway(_) = operation.outcome {
            continue;
        }
        let entry = places.get(&face).map(|place| &mut history.log[*place]);
        operation.proposal = Some(entry.as_ref().map_or(NOBODY, |entry| id(entry)));
        if let Some(entry) = entry {
            entry.applied_at = Some(operation.called_at);
        }
    }
}

fn id(entry: &Committed) -> u64 {
    let command = entry.command.as_ref();
    let header = command.and_then(|command| command.header.as_ref());
    header.map_or(NOBODY, |header| header.id)
}

/// Notes when ends of leases that ran out had been applied at the latest: when
/// somebody saw the revision that they made. For the judge of leases alone; for all others it
/// would be too late.
pub(super) fn time_expiries(history: &mut History) {
    let seen = first_seen(history);
    let points = revisions(&history.log);
    for (entry, (before, after)) in history.log.iter_mut().zip(points) {
        let revoke = entry.command.as_ref().and_then(|command| command.lease_revoke);
        if revoke.is_some() && id(entry) == NOBODY && after > before {
            let after = usize::try_from(after).unwrap_or(0);
            entry.applied_at = seen.get(after).copied().flatten();
        }
    }
}

/// The revision before and after each entry.
fn revisions(log: &[Committed]) -> Vec<(i64, i64)> {
    let mut model = drystone_judge::Model::default();
    log.iter()
        .map(|entry| {
            let before = model.revision();
            if let Some(command) = &entry.command {
                // Refusals change nothing.
                let _ = model.apply(command);
            }
            (before, model.revision())
        })
        .collect()
}

/// By revision, when somebody first saw it or a later one.
fn first_seen(history: &History) -> Vec<Option<Duration>> {
    let mut seen: Vec<Option<Duration>> = Vec::new();
    let mut note = |revision: i64, at: Duration| {
        let Ok(revision) = usize::try_from(revision) else { return };
        if seen.len() <= revision {
            seen.resize(revision + 1, None);
        }
        seen[revision] = Some(seen[revision].map_or(at, |before| before.min(at)));
    };
    for operation in &history.operations {
        if let Outcome::Answered(answer) = &operation.outcome {
            note(super::notebook::revision(answer), operation.returned_at);
        }
    }
    for event in history.streams.iter().flat_map(|stream| &stream.events) {
        if let StreamHeard::Response { response, .. } = &event.what {
            note(response.header.map_or(0, |header| header.revision), event.at);
        }
    }
    let mut earliest: Option<Duration> = None;
    for at in seen.iter_mut().rev() {
        earliest = match (earliest, *at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        *at = earliest;
    }
    seen
}

#[cfg(test)]
mod tests;
