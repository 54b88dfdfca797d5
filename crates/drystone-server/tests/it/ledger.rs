//! What went wrong in etcd where clients meet it, a test for each.

use super::*;
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::cluster_client::ClusterClient;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_stream::StreamExt as _;
use tonic::Streaming;

/// Bound on every wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A watch that was created, and the answers that follow.
async fn open(channel: &Channel, create: WatchCreateRequest) -> Streaming<pb::WatchResponse> {
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let open = tokio_stream::once(create).chain(tokio_stream::pending());
    let mut responses = WatchClient::new(channel.clone()).watch(open).await.unwrap().into_inner();
    let created = responses.message().await.unwrap().unwrap();
    assert!(created.created && !created.canceled, "{created:?}");
    responses
}

async fn next(responses: &mut Streaming<pb::WatchResponse>) -> pb::WatchResponse {
    let response = tokio::time::timeout(PATIENCE, responses.message()).await;
    response.unwrap().unwrap().unwrap()
}

/// Compacting at a delete dropped its event (18089), and a watch that was opened at the compacted
/// revision missed it (19179).
#[tokio::test(flavor = "multi_thread")]
async fn etcd_18089_and_19179_a_watch_from_the_compacted_revision_hears_the_delete_there() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    let mut kv = KvClient::new(channel.clone());
    kv.put(put("a", "1")).await.unwrap();
    kv.put(put("b", "1")).await.unwrap();
    let delete = pb::DeleteRangeRequest { key: "a".into(), ..Default::default() };
    let deleted = kv.delete_range(delete).await.unwrap().into_inner().header.unwrap().revision;
    // Physical: answered when what is not needed is gone.
    let compaction = pb::CompactionRequest { revision: deleted, physical: true };
    kv.compact(compaction).await.unwrap();
    kv.put(put("c", "1")).await.unwrap();
    let from = |start_revision| WatchCreateRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        start_revision,
        ..Default::default()
    };
    for _ in 0..2 {
        let mut responses = open(&channel, from(deleted)).await;
        let mut events = Vec::new();
        while events.len() < 2 {
            events.extend(next(&mut responses).await.events);
        }
        let heard: Vec<_> = events
            .iter()
            .map(|event| (event.r#type, event.kv.as_ref().unwrap()))
            .map(|(kind, kv)| (kind, kv.key.clone(), kv.mod_revision))
            .collect();
        let (put, delete) = (0, 1);
        let expected = [(delete, "a".into(), deleted), (put, "c".into(), deleted + 1)];
        assert_eq!(heard, expected);
        // And one from before it is told that it is too late.
        let mut late = open(&channel, from(deleted - 1)).await;
        let canceled = next(&mut late).await;
        assert!(canceled.canceled && canceled.compact_revision == deleted, "{canceled:?}");
    }
    server.stop().await;
}

/// A watch from a revision to come was told of progress before it, and then of old events.
#[tokio::test(flavor = "multi_thread")]
async fn etcd_20221_a_watch_from_the_future_hears_nothing_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--watch-progress-notify-interval=100ms"];
    let (server, channel) = start_as(config_with(folder.path(), &flags)).await;
    let mut kv = KvClient::new(channel.clone());
    let now = kv.put(put("a", "0")).await.unwrap().into_inner().header.unwrap().revision;
    let create = |start_revision| WatchCreateRequest {
        key: "a".into(),
        progress_notify: true,
        start_revision,
        ..Default::default()
    };
    let mut future = open(&channel, create(now + 10)).await;
    // Another watch on a stream of its own shows that notices go out meanwhile.
    let mut present = open(&channel, create(0)).await;
    let notice = next(&mut present).await;
    assert!(notice.events.is_empty() && notice.header.unwrap().revision == now);
    for value in 1..=12 {
        kv.put(put("a", &value.to_string())).await.unwrap();
    }
    let mut heard = Vec::new();
    while heard.len() < 3 {
        let response = next(&mut future).await;
        assert!(response.header.unwrap().revision >= now + 10, "{response:?}");
        heard.extend(response.events);
    }
    let heard: Vec<_> = heard.iter().map(|event| event.kv.as_ref().unwrap().mod_revision).collect();
    assert_eq!(heard, [now + 10, now + 11, now + 12]);
    server.stop().await;
}

/// A renewal that met the end of its lease succeeded (etcd before 3.6.5).
#[tokio::test(flavor = "multi_thread")]
async fn etcd_3_6_5_a_lease_that_was_revoked_is_not_renewed() {
    const RENEWERS: usize = 4;
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    let mut leases = LeaseClient::new(channel.clone());
    for id in 1..=30 {
        leases.lease_grant(LeaseGrantRequest { ttl: 600, id }).await.unwrap();
        let revoked = Arc::new(AtomicBool::new(false));
        let renewers: Vec<_> = (0..RENEWERS)
            .map(|_| {
                let (channel, revoked) = (channel.clone(), revoked.clone());
                tokio::spawn(async move {
                    let (ask, asked) = tokio::sync::mpsc::channel(1);
                    let asked = tokio_stream::wrappers::ReceiverStream::new(asked);
                    let mut client = LeaseClient::new(channel);
                    let mut answers = client.lease_keep_alive(asked).await.unwrap().into_inner();
                    loop {
                        // What is asked from here on is asked after the answer to the revoke.
                        let late = revoked.load(Ordering::Acquire);
                        ask.send(pb::LeaseKeepAliveRequest { id }).await.unwrap();
                        let ttl = answers.message().await.unwrap().unwrap().ttl;
                        assert!(ttl == 600 || ttl == 0, "{ttl}");
                        assert!(!late || ttl == 0, "lease {id} is gone and was renewed");
                        if ttl == 0 {
                            return;
                        }
                    }
                })
            })
            .collect();
        leases.lease_revoke(pb::LeaseRevokeRequest { id }).await.unwrap();
        revoked.store(true, Ordering::Release);
        for renewer in renewers {
            tokio::time::timeout(PATIENCE, renewer).await.unwrap().unwrap();
        }
        let asked = LeaseTimeToLiveRequest { id, keys: true };
        let left = leases.lease_time_to_live(asked).await.unwrap().into_inner();
        assert_eq!(left.ttl, -1);
    }
    server.stop().await;
}

/// An update of a learner's URLs promoted it (etcd before 3.6.12).
#[tokio::test(flavor = "multi_thread")]
async fn etcd_3_6_12_member_update_leaves_a_learner_a_learner() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    let mut cluster = ClusterClient::new(channel.clone());
    let add = pb::MemberAddRequest {
        peer_ur_ls: vec!["http://127.0.0.1:1".to_owned()],
        is_learner: true,
    };
    let added = cluster.member_add(add).await.unwrap().into_inner().member.unwrap();
    assert!(added.is_learner);
    let urls = vec!["http://127.0.0.1:2".to_owned()];
    let update = pb::MemberUpdateRequest { id: added.id, peer_ur_ls: urls.clone() };
    let after = cluster.member_update(update).await.unwrap().into_inner().members;
    let list = pb::MemberListRequest { linearizable: true };
    for members in [after, cluster.member_list(list).await.unwrap().into_inner().members] {
        let learner = members.into_iter().find(|member| member.id == added.id).unwrap();
        assert!(learner.is_learner && learner.peer_ur_ls == urls, "{learner:?}");
    }
    // As a voter that is not there it would take the majority along.
    KvClient::new(channel).put(put("a", "1")).await.unwrap();
    server.stop().await;
}

/// Defragmenting rewrote the store, and a crash meanwhile left members with different revisions.
/// Here it is answered and does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn etcd_14685_defragmenting_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    let mut kv = KvClient::new(channel.clone());
    for value in 0..20 {
        kv.put(put("a", &value.to_string())).await.unwrap();
    }
    let mut upkeep = pb::maintenance_client::MaintenanceClient::new(channel);
    let hash = upkeep.hash_kv(pb::HashKvRequest::default()).await.unwrap().into_inner();
    for _ in 0..3 {
        upkeep.defragment(pb::DefragmentRequest {}).await.unwrap();
    }
    let after = upkeep.hash_kv(pb::HashKvRequest::default()).await.unwrap().into_inner();
    assert_eq!((after.hash, after.hash_revision), (hash.hash, hash.hash_revision));
    server.stop().await;
}
