//! Locks and elections: clients of the services among each other, and beside clients that run
//! the recipe themselves.

use crate::start;
use bytes::Bytes;
use drystone_api::etcdserverpb::compare::{CompareTarget, TargetUnion};
use drystone_api::etcdserverpb::kv_client::KvClient;
use drystone_api::etcdserverpb::lease_client::LeaseClient;
use drystone_api::etcdserverpb::range_request::{SortOrder, SortTarget};
use drystone_api::etcdserverpb::request_op::Request as Op;
use drystone_api::etcdserverpb::{
    Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseLeasesRequest, PutRequest, RangeRequest,
    RequestOp, TxnRequest,
};
use drystone_api::v3electionpb::election_client::ElectionClient;
use drystone_api::v3electionpb::{CampaignRequest, LeaderRequest};
use drystone_api::v3lockpb::lock_client::LockClient;
use drystone_api::v3lockpb::{LockRequest, LockResponse, UnlockRequest};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Response, Status};

/// Bound on what would hang if it went wrong.
const HANG_MAX: Duration = Duration::from_secs(60);
/// Pause between two looks at what is awaited.
const POLL: Duration = Duration::from_millis(5);

async fn grant(channel: &Channel, id: i64) {
    let request = LeaseGrantRequest { id, ttl: 1000 };
    LeaseClient::new(channel.clone()).lease_grant(request).await.unwrap();
}

fn lock(channel: &Channel, lease: i64) -> JoinHandle<Result<Response<LockResponse>, Status>> {
    let mut client = LockClient::new(channel.clone());
    tokio::spawn(async move { client.lock(LockRequest { name: "L".into(), lease }).await })
}

async fn unlock(channel: &Channel, key: Bytes) {
    LockClient::new(channel.clone()).unlock(UnlockRequest { key }).await.unwrap();
}

/// The keys below a name, oldest first.
async fn keys(channel: &Channel, name: &str) -> Vec<Bytes> {
    let request = RangeRequest {
        key: format!("{name}/").into(),
        range_end: format!("{name}0").into(),
        sort_order: SortOrder::Ascend.into(),
        sort_target: SortTarget::Create.into(),
        ..Default::default()
    };
    let found = KvClient::new(channel.clone()).range(request).await.unwrap().into_inner();
    found.kvs.into_iter().map(|kv| kv.key).collect()
}

async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let awaited = async {
        while !holds().await {
            tokio::time::sleep(POLL).await;
        }
    };
    assert!(tokio::time::timeout(HANG_MAX, awaited).await.is_ok(), "never: {what}");
}

/// The recipe of etcd's client library, by polling: own key, then nobody older.
async fn lock_by_recipe(channel: &Channel, lease: i64) -> Bytes {
    let key: Bytes = format!("L/{lease:x}").into();
    let new = Compare {
        key: key.clone(),
        target: CompareTarget::Create.into(),
        target_union: Some(TargetUnion::CreateRevision(0)),
        ..Default::default()
    };
    let put = PutRequest { key: key.clone(), lease, ..Default::default() };
    let put = RequestOp { request: Some(Op::RequestPut(put)) };
    let txn = TxnRequest { compare: vec![new], success: vec![put], ..Default::default() };
    assert!(KvClient::new(channel.clone()).txn(txn).await.unwrap().into_inner().succeeded);
    until("the recipe's turn", || async { keys(channel, "L").await.first() == Some(&key) }).await;
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_the_service_and_of_the_recipe_exclude_each_other() {
    const EACH: i64 = 4;
    const TURNS: usize = 5;
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    let (inside, entered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    for lease in 1..=2 * EACH {
        grant(&channel, lease).await;
        let (channel, inside, entered) = (channel.clone(), inside.clone(), entered.clone());
        clients.spawn(async move {
            for _ in 0..TURNS {
                let key = if lease <= EACH {
                    lock(&channel, lease).await.unwrap().unwrap().into_inner().key
                } else {
                    lock_by_recipe(&channel, lease).await
                };
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold the lock");
                assert_eq!(keys(&channel, "L").await.first(), Some(&key));
                entered.fetch_add(1, Ordering::SeqCst);
                inside.fetch_sub(1, Ordering::SeqCst);
                unlock(&channel, key).await;
            }
        });
    }
    let done = async {
        while let Some(ended) = clients.join_next().await {
            ended.unwrap()
        }
    };
    tokio::time::timeout(HANG_MAX, done).await.unwrap();
    assert_eq!(entered.load(Ordering::SeqCst), 2 * usize::try_from(EACH).unwrap() * TURNS);
    assert!(keys(&channel, "L").await.is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_while_he_waits_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    grant(&channel, 1).await;
    grant(&channel, 2).await;
    let holder = lock(&channel, 1).await.unwrap().unwrap().into_inner().key;
    // One with a lease of his own, and one with a lease that is made for him.
    let waiting = [lock(&channel, 2), lock(&channel, 0)];
    until("both wait", || async { keys(&channel, "L").await.len() == 3 }).await;
    for caller in waiting {
        assert!(!caller.is_finished());
        caller.abort();
    }
    until("both left", || async { keys(&channel, "L").await == [holder.clone()] }).await;
    let leases = || async {
        let leases = LeaseClient::new(channel.clone()).lease_leases(LeaseLeasesRequest {}).await;
        leases.unwrap().into_inner().leases.len() == 2
    };
    until("the lease made for him is gone", leases).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_beside_those_who_wait_and_observe_takes_no_turn_away() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    let mut kv = KvClient::new(channel.clone());
    for lease in 1..=3 {
        grant(&channel, lease).await;
    }
    let holder = lock(&channel, 1).await.unwrap().unwrap().into_inner().key;
    let waiting = lock(&channel, 2);
    until("he waits", || async { keys(&channel, "L").await.len() == 2 }).await;
    let mut election = ElectionClient::new(channel.clone());
    let observed =
        ElectionClient::new(channel.clone()).observe(LeaderRequest { name: "E".into() }).await;
    let mut leaders = observed.unwrap().into_inner();
    for round in 0..20 {
        let put = PutRequest { key: "other".into(), ..Default::default() };
        let revision = kv.put(put).await.unwrap().into_inner().header.unwrap().revision;
        let compaction =
            drystone_api::etcdserverpb::CompactionRequest { revision, physical: round % 2 == 0 };
        kv.compact(compaction).await.unwrap();
    }
    unlock(&channel, holder).await;
    let taken = tokio::time::timeout(HANG_MAX, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(taken.into_inner().key, "L/2");
    let stand = CampaignRequest { name: "E".into(), lease: 3, value: "me".into() };
    election.campaign(stand).await.unwrap();
    let leader = tokio::time::timeout(HANG_MAX, leaders.message()).await.unwrap().unwrap();
    assert_eq!(leader.unwrap().kv.unwrap().value, "me");
    let gone = DeleteRangeRequest { key: "E/3".into(), ..Default::default() };
    kv.delete_range(gone).await.unwrap();
    let refused = election.leader(LeaderRequest { name: "E".into() }).await.unwrap_err();
    assert_eq!(refused.message(), "election: no leader");
    server.stop().await;
}
