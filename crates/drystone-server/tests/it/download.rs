//! Maintenance.Snapshot in Drystone's own format.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::{config_with, put, start, start_as};
use bytes::Bytes;

use drystone_api::etcdserverpb::kv_client::KvClient;
use drystone_api::etcdserverpb::maintenance_client::MaintenanceClient;
use drystone_api::etcdserverpb::{SnapshotRequest, StatusRequest};
use drystone_backend::{Backend, Read as _, Table};
use drystone_rocks::RocksBackend;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use tonic::Code;
use tonic::transport::Channel;

/// Takes a snapshot, and checks what every message promises.
async fn take(client: &mut MaintenanceClient<Channel>) -> Vec<u8> {
    let mut stream = client.snapshot(SnapshotRequest {}).await.unwrap().into_inner();
    let mut archive = Vec::new();
    let mut remaining = None;
    while let Some(message) = stream.message().await.unwrap() {
        assert!(message.blob.len() <= 32 << 10);
        assert_eq!(message.version, "3.7.0");
        if remaining == Some(0) {
            assert_eq!(message.blob, Bytes::copy_from_slice(&Sha256::digest(&archive)));
            assert_eq!(message.remaining_bytes, 0);
            assert!(stream.message().await.unwrap().is_none(), "the digest comes last");
            assert_eq!(archive.len() % 512, 0, "etcdctl wants 512 to divide it");
            return archive;
        }
        archive.extend_from_slice(&message.blob);
        if let Some(before) = remaining {
            assert_eq!(message.remaining_bytes + message.blob.len() as u64, before);
        }
        remaining = Some(message.remaining_bytes);
    }
    panic!("the stream ended without a digest");
}

fn keys(store: &RocksBackend) -> usize {
    let mut found = 0;
    let all = (Bound::Unbounded, Bound::Unbounded);
    let count = &mut |_: &[u8], _: &[u8]| {
        found += 1;
        ControlFlow::Continue(())
    };
    store.scan(Table::Key, all, count).unwrap();
    found
}

fn leftovers(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("member/snapshots")).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_an_archive_of_a_store_that_opens() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start_as(config_with(folder.path(), &["--native-snapshot"])).await;
    let mut kv = KvClient::new(channel.clone());
    let value = "v".repeat(10_000);
    for key in 0..50 {
        kv.put(put(&format!("key-{key}"), &value)).await.unwrap();
    }
    let mut client = MaintenanceClient::new(channel);
    // The cluster decides on its version soon after it has a leader.
    while client.status(StatusRequest {}).await.unwrap().into_inner().storage_version.is_empty() {
        tokio::task::yield_now().await;
    }
    let archive = take(&mut client).await;
    // What comes later is not in it.
    kv.put(put("late", "1")).await.unwrap();

    let unpacked = tempfile::tempdir().unwrap();
    let mut manifest = String::new();
    for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        if name == "drystone-checkpoint.json" {
            entry.read_to_string(&mut manifest).unwrap();
        } else {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            std::fs::write(unpacked.path().join(name), content).unwrap();
        }
    }
    let store = RocksBackend::open(unpacked.path(), drystone_rocks::Config::default()).unwrap();
    assert_eq!(keys(&store), 50);
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["format"], 1);
    assert_eq!(manifest["applied_index"], store.applied().index.0);

    // One that is given up is cleaned away, and makes room for the next.
    for _ in 0..4 {
        let given_up = client.snapshot(SnapshotRequest {}).await;
        drop(given_up);
        tokio::time::timeout(super::READY_MAX, async {
            while leftovers(folder.path()) > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_flag_there_is_no_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    let refused = MaintenanceClient::new(channel).snapshot(SnapshotRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(refused.message().contains("--native-snapshot"), "{}", refused.message());
    server.stop().await;
}
