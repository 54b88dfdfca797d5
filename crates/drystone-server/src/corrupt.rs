//! Corruption checks as etcd does them: hashes compared at the start, every now and then, and
//! after compactions (`server/etcdserver/corrupt.go`, with its messages).

use crate::access::Authority;
use crate::shared::Shared;
use anyhow::Context;
use drystone_api::etcdserverpb::{AlarmRequest, InternalRaftRequest, alarm_request::AlarmAction};
use drystone_machine::Alarm;
use drystone_member::{CompactionVerdict, PeriodicAnswer, StartVerdict, judge_periodic};
use drystone_mvcc::{HashKv, Snapshot};
use drystone_peer::PeerUrl;
use drystone_types::MemberId;
use futures::future::join_all;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// How long a member may take for a hash. It reads its whole store for one.
const HASH_TIMEOUT: Duration = Duration::from_secs(10);

/// A member's hash, or why there is none.
type PeerHash = Result<drystone_peer::HashKv, String>;

/// Asks every other member for its hash at `revision`, all at once.
async fn ask(shared: &Shared, revision: i64) -> Vec<(MemberId, PeerHash)> {
    let membership = shared.view.read().membership.clone();
    let fetch = &shared.fetch.with_timeout(HASH_TIMEOUT);
    let others = membership.members().filter(|member| member.member_id() != shared.member);
    join_all(others.map(|member| async move {
        let mut answer = Err("it has no peer URL".to_owned());
        for url in member.peer_urls.iter().filter_map(|url| url.parse::<PeerUrl>().ok()) {
            match fetch.hash_kv(&url, shared.cluster, revision).await {
                Ok(hash) => return (member.member_id(), Ok(hash)),
                Err(error) => answer = Err(error.to_string()),
            }
        }
        (member.member_id(), answer)
    }))
    .await
}

fn as_kv(hash: &drystone_peer::HashKv) -> HashKv {
    HashKv {
        hash: hash.hash,
        compact_revision: hash.compact_revision,
        revision: hash.hash_revision,
    }
}

/// The hash of a frozen state; reads the whole store, on the pool.
async fn hash(snapshot: Snapshot) -> anyhow::Result<HashKv> {
    tokio::task::spawn_blocking(move || snapshot.hash_kv(0))
        .await
        .context("hashing was cut short")?
        .context("cannot hash the store")
}

/// Compares `found`, what the member held when it started, with the others, before it serves
/// clients.
///
/// The member answers other members meanwhile: when all of them start at once, each waits for
/// the others' hashes.
///
/// # Errors
/// Others hold something else, and no majority stands with this member; or its own store cannot
/// be read.
pub(crate) async fn check_at_start(shared: &Shared, found: Snapshot) -> anyhow::Result<()> {
    let alone = shared.view.read().membership.members().count() < 2;
    if !shared.config.initial_corrupt_check || alone {
        return Ok(());
    }
    tracing::info!("starting initial corruption check");
    let own = hash(found).await?;
    let mut others = Vec::new();
    for (member, answer) in ask(shared, own.revision).await {
        match answer {
            Ok(hash) => others.push((member, as_kv(&hash))),
            Err(error) => {
                let revision = own.revision;
                tracing::warn!(%member, revision, %error, "cannot compare with a remote peer");
            }
        }
    }
    let verdict = StartVerdict::of(own, &others);
    for member in &verdict.differ {
        let (hash, revision) = (own.hash, own.revision);
        tracing::error!(%member, hash, revision, "found different hash values from remote peer");
    }
    if verdict.refuses() {
        anyhow::bail!(
            "{} found data inconsistency with peers: its store differs at revision {} from {} of \
             {} members that could be asked; stop it, remove it from the cluster, and let it join \
             again with an empty data directory",
            shared.member,
            own.revision,
            verdict.differ.len(),
            others.len()
        );
    }
    let agree = verdict.agree.len();
    tracing::info!(agree, "initial corruption checking passed; no corruption");
    Ok(())
}

/// Waits for the next check; false when the server stops.
async fn pause(interval: Duration, stop: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        () = tokio::time::sleep(interval) => true,
        _ = stop.changed() => false,
    }
}

/// Compares whole stores every `--corrupt-check-time`, while this member leads.
pub(crate) async fn check_periodically(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let interval = shared.config.corrupt_check_interval;
    if interval.is_zero() {
        return;
    }
    while pause(interval, &mut stop).await {
        if !shared.status.is_leader.load(Ordering::Acquire) {
            continue;
        }
        if let Err(error) = check_peers(&shared).await {
            tracing::warn!(error = format!("{error:#}"), "failed to check hashes of peers");
        }
    }
}

async fn check_peers(shared: &Shared) -> anyhow::Result<()> {
    let first = hash(frozen(shared)).await?;
    let answers = ask(shared, first.revision).await;
    // Whatever the others had applied when they answered is applied here after this.
    shared.confirm_read().await.context("cannot catch up with the cluster")?;
    let second = hash(frozen(shared)).await?;
    let answer = |(member, answer): &(MemberId, PeerHash)| {
        let answer = answer.as_ref().ok()?;
        let (revision, hash) = (answer.revision, as_kv(answer));
        Some(PeriodicAnswer { member: *member, revision, hash })
    };
    let answers: Vec<PeriodicAnswer> = answers.iter().filter_map(answer).collect();
    if let Some((member, fault)) = judge_periodic(shared.member, first, second, &answers) {
        let revision = first.revision;
        tracing::error!(%member, revision, "{}", fault.text());
        raise(shared, member).await;
    }
    let number_of_peers_checked = answers.len();
    tracing::info!(number_of_peers_checked, "finished peer corruption check");
    Ok(())
}

/// Compares what compactions left, every `--compact-hash-check-time`, while this member leads.
pub(crate) async fn check_compactions(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    if !shared.config.compact_hash_check {
        return;
    }
    let mut checked = 0;
    while pause(shared.config.compact_hash_check_interval, &mut stop).await {
        if shared.status.is_leader.load(Ordering::Acquire) {
            check_newest_compaction(&shared, &mut checked).await;
        }
    }
}

/// Looks for the newest compaction that all members have a hash of, and compares that.
async fn check_newest_compaction(shared: &Shared, checked: &mut i64) {
    let hashes = shared.view.read().reader(&Authority::of_this_member()).compaction_hashes();
    let unchecked = hashes.into_iter().take_while(|hash| hash.revision > *checked);
    for hash in unchecked.collect::<Vec<_>>() {
        let answers = ask(shared, hash.revision).await;
        if answers.is_empty() {
            return;
        }
        let answers: Vec<(MemberId, Option<HashKv>)> = answers
            .into_iter()
            .map(|(member, answer)| (member, answer.ok().map(|answer| as_kv(&answer))))
            .collect();
        let revision = hash.revision;
        match CompactionVerdict::of((shared.member, hash), &answers) {
            CompactionVerdict::Whole => {
                tracing::info!(revision, "successfully checked hash on whole cluster");
                *checked = revision;
                return;
            }
            CompactionVerdict::Part => {
                tracing::debug!(revision, "successfully checked hash in part of cluster");
            }
            CompactionVerdict::Corrupt(members) => {
                for member in members {
                    tracing::error!(%member, revision, "Detected compaction hash mismatch");
                    raise(shared, member).await;
                }
                return;
            }
            CompactionVerdict::Undecided => {
                tracing::error!(
                    revision,
                    "Detected compaction hash mismatch but cannot identify the corrupted members, \
                     so intentionally set the memberID as 0"
                );
                raise(shared, MemberId(0)).await;
                return;
            }
        }
    }
}

/// The keys as they are now.
fn frozen(shared: &Shared) -> Snapshot {
    shared.view.read().reader(&Authority::of_this_member()).snapshot()
}

/// Raises the alarm that stops writes until an operator has looked. It is set as an operator's:
/// no member clears it.
async fn raise(shared: &Shared, member: MemberId) {
    if shared.view.read().alarms.raised_by(member, Alarm::Corrupt).is_some() {
        return;
    }
    let alarm = AlarmRequest {
        action: AlarmAction::Activate as i32,
        member_id: member.0,
        alarm: Alarm::Corrupt.number(),
    };
    let request = InternalRaftRequest { alarm: Some(alarm), ..Default::default() };
    if let Err(error) = shared.propose(&Authority::of_this_member(), request).await {
        tracing::warn!(%member, %error, "the CORRUPT alarm could not be raised yet");
    }
}
