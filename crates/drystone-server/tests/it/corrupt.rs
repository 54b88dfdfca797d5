//! Members whose stores differ are found: at the start, and after a compaction.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::{READY_MAX, find, put, three_with};
use drystone_api::etcdserverpb::compare::{CompareTarget, TargetUnion};
use drystone_api::etcdserverpb::kv_client::KvClient;
use drystone_api::etcdserverpb::maintenance_client::MaintenanceClient;
use drystone_api::etcdserverpb::request_op::Request;
use drystone_api::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmType, CompactionRequest, Compare, RangeRequest, RequestOp,
    StatusRequest, TxnRequest,
};
use drystone_backend::{Backend, Batch, Read as _, Table};
use drystone_rocks::RocksBackend;
use drystone_server::{Config, Server};
use std::future::Future;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tonic::transport::Channel;

/// Tries again until it gives something.
async fn eventually<T, F: Future<Output = Option<T>>>(attempt: impl Fn() -> F) -> T {
    let tries = async {
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(READY_MAX, tries).await.unwrap()
}

async fn start(configs: &[Config; 3]) -> [Server; 3] {
    let (a, b, c) = tokio::join!(
        Server::start(configs[0].clone()),
        Server::start(configs[1].clone()),
        Server::start(configs[2].clone()),
    );
    [a.unwrap(), b.unwrap(), c.unwrap()]
}

async fn stop(servers: impl IntoIterator<Item = Server>) {
    for server in servers {
        server.stop().await;
    }
}

async fn connect(server: &Server) -> Channel {
    let endpoint = format!("http://{}", server.client_addresses()[0]);
    eventually(|| async { Channel::from_shared(endpoint.clone()).unwrap().connect().await.ok() })
        .await
}

async fn write(channel: &Channel, key: &str, value: &str) {
    eventually(|| async { KvClient::new(channel.clone()).put(put(key, value)).await.ok() }).await;
}

/// Changes a byte of the value `from` on the disk of a member that does not run.
fn damage(folder: &Path, from: &str) {
    let stores = folder.join("member/store");
    let current = std::fs::read_to_string(stores.join("CURRENT")).unwrap();
    let dir = stores.join(current.trim());
    let store = RocksBackend::open(&dir, drystone_rocks::Config::default()).unwrap();
    let mut batch = Batch::new();
    let all = (Bound::Unbounded, Bound::Unbounded);
    let change = &mut |key: &[u8], value: &[u8]| {
        if let Some(at) = find(value, from.as_bytes()) {
            let mut value = value.to_vec();
            value[at] ^= 1;
            batch.put(Table::Key, key.to_vec(), value);
        }
        ControlFlow::Continue(())
    };
    store.scan(Table::Key, all, change).unwrap();
    assert!(!batch.is_empty(), "nothing was damaged");
    store.write(&batch).unwrap();
    store.flush().unwrap();
}

fn folders() -> [TempDir; 3] {
    [(); 3].map(|()| tempfile::tempdir().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_store_was_altered_on_disk_does_not_start() {
    let folders = folders();
    let configs = three_with(&folders, &[]);
    let [a, b, c] = start(&configs).await;
    let channel = connect(&c).await;
    write(&channel, "a", "what-was-written").await;
    c.stop().await;
    damage(folders[2].path(), "what-was-written");
    let refused = Server::start(configs[2].clone()).await.unwrap_err().to_string();
    assert!(refused.contains("found data inconsistency with peers"), "{refused}");
    // The others are the majority: they start beside it, and serve.
    b.stop().await;
    let b = Server::start(configs[1].clone()).await.unwrap();
    write(&connect(&b).await, "a", "again").await;
    stop([a, b]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_shows_which_member_differs_and_writes_stop() {
    let folders = folders();
    let flags = ["--feature-gates=InitialCorruptCheck=false", "--compact-hash-check-time=100ms"];
    let configs = three_with(&folders, &flags);
    let [a, b, c] = start(&configs).await;
    write(&connect(&c).await, "a", "what-was-written").await;
    c.stop().await;
    damage(folders[2].path(), "what-was-written");
    let c = Server::start(configs[2].clone()).await.unwrap();
    let channel = connect(&c).await;
    write(&channel, "b", "1").await;
    let mut kv = KvClient::new(channel.clone());
    let written = kv.put(put("b", "2")).await.unwrap().into_inner().header.unwrap();
    let compaction = CompactionRequest { revision: written.revision, physical: true };
    kv.compact(compaction).await.unwrap();
    let alarms = eventually(|| async {
        let mut maintenance = MaintenanceClient::new(channel.clone());
        let alarms = maintenance.alarm(AlarmRequest::default()).await.unwrap().into_inner().alarms;
        (!alarms.is_empty()).then_some(alarms)
    })
    .await;
    let member_id = written.member_id;
    assert_eq!(alarms, [AlarmMember { member_id, alarm: AlarmType::Corrupt.into() }]);
    let refused = kv.put(put("b", "3")).await.unwrap_err();
    assert_eq!(refused.message(), "etcdserver: corrupt cluster");
    stop([a, b, c]).await;
}

/// A store that was altered makes the member decide a transaction otherwise than the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_writes_something_else_is_set_aside_and_the_others_go_on() {
    let folders = folders();
    let configs = three_with(&folders, &["--feature-gates=InitialCorruptCheck=false"]);
    let [a, b, c] = start(&configs).await;
    write(&connect(&c).await, "a", "what-was-written").await;
    c.stop().await;
    damage(folders[2].path(), "what-was-written");
    let c = Server::start(configs[2].clone()).await.unwrap();
    let (sound, differs) = (connect(&a).await, connect(&c).await);
    write(&differs, "b", "1").await;
    let compare = Compare {
        key: "a".into(),
        target: CompareTarget::Value.into(),
        target_union: Some(TargetUnion::Value("what-was-written".into())),
        ..Default::default()
    };
    let op = |value: &str| RequestOp { request: Some(Request::RequestPut(put("c", value))) };
    let (success, failure) = (vec![op("yes")], vec![op("no")]);
    let txn = TxnRequest { compare: vec![compare], success, failure };
    let answer = KvClient::new(sound.clone()).txn(txn).await.unwrap().into_inner();
    let revision = answer.header.unwrap().revision;
    let errors = eventually(|| async {
        let mut maintenance = MaintenanceClient::new(differs.clone());
        let status = maintenance.status(StatusRequest {}).await.unwrap().into_inner();
        let aside = |error: &String| error.starts_with("set aside");
        status.errors.iter().any(aside).then_some(status.errors)
    })
    .await;
    let expected = format!("set aside: differs from the majority from revision {revision} on");
    assert!(errors.contains(&expected), "{errors:?}");
    for refused in [
        KvClient::new(differs.clone()).put(put("d", "1")).await.map(drop),
        KvClient::new(differs.clone())
            .range(RangeRequest { key: "c".into(), serializable: true, ..Default::default() })
            .await
            .map(drop),
    ] {
        assert_eq!(refused.unwrap_err().message(), "etcdserver: corrupt cluster");
    }
    write(&sound, "d", "1").await;
    let member = answer.header.unwrap().member_id;
    let status = MaintenanceClient::new(sound).status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.header.unwrap().member_id, member);
    assert!(status.errors.iter().all(|error| !error.starts_with("set aside")));
    stop([a, b, c]).await;
}
