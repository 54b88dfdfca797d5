//! `/metrics` of a server that does some work.

use super::{config_with, put, start_as};
use bytes::Bytes;
use drystone_api::etcdserverpb::kv_client::KvClient;
use drystone_api::etcdserverpb::lease_client::LeaseClient;
use drystone_api::etcdserverpb::watch_client::WatchClient;
use drystone_api::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, RangeRequest,
    WatchCreateRequest, WatchRequest, watch_request::RequestUnion,
};
use drystone_metrics::{Scrape, TABLE};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::transport::Channel;

/// How long a condition is waited for, and the pause between two looks.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// The answer to `GET /metrics`, head and body.
async fn get(address: SocketAddr, header: &str) -> (String, Vec<u8>) {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.unwrap();
    let ends = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..ends].to_vec()).unwrap().to_lowercase();
    (head, answer[ends + 4..].to_vec())
}

async fn scrape(address: SocketAddr) -> Scrape {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    let (_, body) = get(address, "").await;
    Scrape::parse(std::str::from_utf8(&body).unwrap()).unwrap()
}

/// One put that is watched, read and deleted, a lease that is granted and revoked, and a
/// compaction.
async fn work(channel: &Channel) {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    let mut watch = WatchClient::new(channel.clone());
    let create = WatchCreateRequest { key: Bytes::from("a"), ..Default::default() };
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    // The watch lasts for as long as somebody could say more.
    let (says, requests) = tokio::sync::mpsc::channel(1);
    says.send(create).await.unwrap();
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut events = watch.watch(requests).await.unwrap().into_inner();
    assert!(events.message().await.unwrap().unwrap().created);
    let mut kv = KvClient::new(channel.clone());
    kv.put(put("a", "1")).await.unwrap();
    assert_eq!(events.message().await.unwrap().unwrap().events.len(), 1);
    let range = RangeRequest { key: Bytes::from("a"), ..Default::default() };
    assert_eq!(kv.range(range).await.unwrap().into_inner().count, 1);
    let delete = DeleteRangeRequest { key: Bytes::from("a"), ..Default::default() };
    kv.delete_range(delete).await.unwrap();
    let compact = CompactionRequest { revision: 3, physical: true };
    kv.compact(compact).await.unwrap();
    let mut lease = LeaseClient::new(channel.clone());
    let granted = lease.lease_grant(LeaseGrantRequest { ttl: 60, id: 7 }).await.unwrap();
    assert_eq!(granted.into_inner().ttl, 60);
    lease.lease_revoke(LeaseRevokeRequest { id: 7 }).await.unwrap();
    let far = RangeRequest { key: Bytes::from("a"), revision: 99, ..Default::default() };
    kv.range(far).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_tells_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        config_with(folder.path(), &["--metrics=extensive", "--quota-backend-bytes=1000000"]);
    let (server, channel) = start_as(config).await;
    let address = server.client_addresses()[0];
    work(&channel).await;
    // The leader agrees on the cluster's version beside the work.
    let version = [("cluster_version", "3.7")];
    let agreed = async {
        loop {
            let seen = scrape(address).await;
            if seen.value("etcd_cluster_version", &version).is_some() {
                break seen;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let seen = tokio::time::timeout(PATIENCE, agreed).await.unwrap();
    for family in TABLE.iter().flat_map(|section| section.iter()) {
        let Some(found) = seen.families.get(family.name) else {
            assert!(!family.labels.is_empty(), "{} is not there", family.name);
            continue;
        };
        assert_eq!(found.kind, family.kind.word(), "{}", family.name);
        assert!(found.has_help, "{}", family.name);
    }
    let labelled = |name: &str, labels: &[(&str, &str)], expected: f64| {
        assert_eq!(seen.value(name, labels), Some(expected), "{name} {labels:?}");
    };
    for (name, expected) in [
        ("etcd_server_has_leader", 1.0),
        ("etcd_server_is_leader", 1.0),
        ("etcd_server_is_learner", 0.0),
        ("etcd_server_leader_changes_seen_total", 1.0),
        ("etcd_server_proposals_pending", 0.0),
        ("etcd_server_proposals_failed_total", 0.0),
        ("etcd_server_quota_backend_bytes", 1_000_000.0),
        ("etcd_mvcc_put_total", 1.0),
        ("etcd_mvcc_range_total", 1.0),
        ("etcd_mvcc_delete_total", 1.0),
        ("etcd_mvcc_txn_total", 0.0),
        ("etcd_debugging_mvcc_keys_total", 0.0),
        ("etcd_debugging_mvcc_current_revision", 3.0),
        ("etcd_debugging_mvcc_compact_revision", 3.0),
        ("etcd_debugging_mvcc_db_compaction_keys_total", 1.0),
        ("etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_count", 1.0),
        ("etcd_debugging_lease_granted_total", 1.0),
        ("etcd_debugging_lease_revoked_total", 1.0),
        ("etcd_debugging_server_lease_expired_total", 0.0),
        ("etcd_debugging_lease_ttl_total_sum", 60.0),
        ("drystone_value_cache_bytes_max", 134_217_728.0),
        ("drystone_apply_lag_entries", 0.0),
        ("drystone_digest_set_aside", 0.0),
    ] {
        labelled(name, &[], expected);
    }
    let applied = seen.value("etcd_server_proposals_applied_total", &[]);
    assert!(applied.is_some_and(|applied| applied > 5.0));
    assert!(seen.total("etcd_disk_wal_fsync_duration_seconds_count") >= 5.0);
    assert!(seen.total("etcd_disk_wal_write_bytes_total") > 100.0);
    assert!(seen.total("etcd_disk_backend_commit_duration_seconds_count") >= 5.0);
    assert!(seen.total("etcd_mvcc_db_total_size_in_bytes") > 0.0);
    assert!(seen.total("etcd_debugging_mvcc_events_total") >= 1.0);
    labelled(
        "etcd_server_apply_duration_seconds_count",
        &[("op", "Put"), ("success", "true")],
        1.0,
    );
    labelled("etcd_server_request_duration_seconds_count", &[("type", "Put")], 1.0);
    let failed = [("type", "Range"), ("success", "false")];
    labelled("etcd_server_request_duration_seconds_count", &failed, 1.0);
    labelled("etcd_server_feature_enabled", &[("name", "AllAlpha"), ("stage", "ALPHA")], 0.0);
    labelled("etcd_cluster_version", &version, 1.0);
    let range = [("grpc_method", "Range"), ("grpc_code", "OutOfRange")];
    labelled("grpc_server_handled_total", &range, 1.0);
    labelled("grpc_server_handling_seconds_count", &[("grpc_method", "Range")], 2.0);
    // The watch was given up by its client, which is no fault: OK or Canceled, by what came first.
    let ended = async {
        loop {
            let seen = scrape(address).await;
            let by = |code| {
                let watch = [("grpc_service", "etcdserverpb.Watch"), ("grpc_code", code)];
                seen.value("grpc_server_handled_total", &watch).unwrap_or_default()
            };
            if by("OK") + by("Canceled") == 1.0 {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(super::READY_MAX, ended).await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_has_the_type_that_prometheus_expects_and_is_compressed_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _channel) = start_as(config_with(folder.path(), &[])).await;
    let address = server.client_addresses()[0];
    let (head, plain) = get(address, "").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let kind = "content-type: text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
    assert!(head.contains(kind), "{head}");
    assert!(!head.contains("content-encoding"), "{head}");
    assert!(!String::from_utf8(plain.clone()).unwrap().contains("grpc_server_handling_seconds"));
    let (head, zipped) = get(address, "Accept-Encoding: gzip\r\n").await;
    assert!(head.contains("content-encoding: gzip"), "{head}");
    assert!(zipped.starts_with(&[0x1f, 0x8b]) && zipped.len() < plain.len() / 4);
    server.stop().await;
}
