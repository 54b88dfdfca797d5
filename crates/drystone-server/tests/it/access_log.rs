//! The access log of a server that is called in every way.

use crate::READY_MAX;
use crate::auth::{ROOT, by, server};
use drystone_api::authpb::{Permission, permission};
use drystone_api::etcdserverpb::auth_client::AuthClient;
use drystone_api::etcdserverpb::cluster_client::ClusterClient;
use drystone_api::etcdserverpb::kv_client::KvClient;
use drystone_api::etcdserverpb::lease_client::LeaseClient;
use drystone_api::etcdserverpb::maintenance_client::MaintenanceClient;
use drystone_api::etcdserverpb::watch_client::WatchClient;
use drystone_api::etcdserverpb::watch_request::RequestUnion;
use drystone_api::etcdserverpb::*;
use drystone_api::v3electionpb::CampaignRequest;
use drystone_api::v3electionpb::election_client::ElectionClient;
use drystone_api::v3lockpb::LockRequest;
use drystone_api::v3lockpb::lock_client::LockClient;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tonic::transport::Channel;

/// What no line may hold.
const VALUE: &str = "planted-value";
const PASSWORD: &str = "planted-password";
const KEY: &str = "/folder/planted-key";

/// Calls of all services, keys and streams among them. Returns the methods that were called.
async fn call_everything(channel: &Channel) -> Vec<&'static str> {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    let mut kv = KvClient::new(channel.clone());
    let mut lease = LeaseClient::new(channel.clone());
    let put = PutRequest { key: KEY.into(), value: VALUE.into(), ..Default::default() };
    kv.put(put.clone()).await.unwrap();
    let range = RangeRequest { key: KEY.into(), ..Default::default() };
    kv.range(range.clone()).await.unwrap();
    let mut chunks = kv.range_stream(range).await.unwrap().into_inner();
    while chunks.message().await.unwrap().is_some() {}
    let success = RequestOp { request: Some(request_op::Request::RequestPut(put)) };
    kv.txn(TxnRequest { success: vec![success], ..Default::default() }).await.unwrap();
    let delete = DeleteRangeRequest { key: KEY.into(), ..Default::default() };
    kv.delete_range(delete).await.unwrap();
    kv.compact(CompactionRequest { revision: 2, physical: true }).await.unwrap();
    lease.lease_grant(LeaseGrantRequest { ttl: 600, id: 7 }).await.unwrap();
    let renew = tokio_stream::once(LeaseKeepAliveRequest { id: 7 });
    let mut renewed = lease.lease_keep_alive(renew).await.unwrap().into_inner();
    while renewed.message().await.unwrap().is_some() {}
    lease.lease_time_to_live(LeaseTimeToLiveRequest { id: 7, keys: true }).await.unwrap();
    let create = WatchCreateRequest { key: KEY.into(), ..Default::default() };
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    // A watch that is given up.
    let (more, requests) = tokio::sync::mpsc::channel(1);
    more.send(create).await.unwrap();
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut events = WatchClient::new(channel.clone()).watch(requests).await.unwrap().into_inner();
    assert!(events.message().await.unwrap().unwrap().created);
    drop((events, more));
    LockClient::new(channel.clone())
        .lock(LockRequest { name: KEY.into(), lease: 7 })
        .await
        .unwrap();
    let name = format!("{KEY}-of-an-election");
    let campaign = CampaignRequest { name: name.into(), lease: 7, value: VALUE.into() };
    ElectionClient::new(channel.clone()).campaign(campaign).await.unwrap();
    ClusterClient::new(channel.clone()).member_list(MemberListRequest::default()).await.unwrap();
    let mut maintenance = MaintenanceClient::new(channel.clone());
    maintenance.status(StatusRequest::default()).await.unwrap();
    maintenance.hash_kv(HashKvRequest::default()).await.unwrap();
    // Refused or not, it has a line.
    let _ = maintenance.snapshot(SnapshotRequest {}).await;
    vec![
        "/etcdserverpb.KV/Put",
        "/etcdserverpb.KV/Range",
        "/etcdserverpb.KV/RangeStream",
        "/etcdserverpb.KV/Txn",
        "/etcdserverpb.KV/DeleteRange",
        "/etcdserverpb.KV/Compact",
        "/etcdserverpb.Lease/LeaseGrant",
        "/etcdserverpb.Lease/LeaseKeepAlive",
        "/etcdserverpb.Lease/LeaseTimeToLive",
        "/etcdserverpb.Watch/Watch",
        "/v3lockpb.Lock/Lock",
        "/v3electionpb.Election/Campaign",
        "/etcdserverpb.Cluster/MemberList",
        "/etcdserverpb.Maintenance/Status",
        "/etcdserverpb.Maintenance/HashKV",
        "/etcdserverpb.Maintenance/Snapshot",
    ]
}

/// Makes root with a password, turns authentication on, and lists users as root. Returns the
/// token.
async fn guard(channel: &Channel) -> String {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    let mut auth = AuthClient::new(channel.clone());
    let (name, password) = (ROOT.to_owned(), PASSWORD.to_owned());
    let user =
        AuthUserAddRequest { name: name.clone(), password: password.clone(), ..Default::default() };
    auth.user_add(user).await.unwrap();
    auth.role_add(AuthRoleAddRequest { name: name.clone() }).await.unwrap();
    let perm = Permission {
        perm_type: permission::Type::Readwrite.into(),
        key: KEY.into(),
        ..Default::default()
    };
    let grant = AuthRoleGrantPermissionRequest { name: name.clone(), perm: Some(perm) };
    auth.role_grant_permission(grant).await.unwrap();
    let grant = AuthUserGrantRoleRequest { user: name.clone(), role: name.clone() };
    auth.user_grant_role(grant).await.unwrap();
    auth.auth_enable(AuthEnableRequest {}).await.unwrap();
    let wrong = AuthenticateRequest { name: name.clone(), password: format!("{PASSWORD}!") };
    auth.authenticate(wrong).await.unwrap_err();
    let login = AuthenticateRequest { name, password };
    let token = auth.authenticate(login).await.unwrap().into_inner().token;
    auth.user_list(by(Some(&token), AuthUserListRequest {})).await.unwrap();
    token
}

/// All lines, once `complete` holds for them: a server that stops does not wait long for its logs.
async fn lines(path: &Path, complete: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    let read = async {
        loop {
            let text = std::fs::read_to_string(path).unwrap();
            // What is being written ends without a newline.
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let lines: Vec<Value> =
                whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            if complete(&lines) {
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(READY_MAX, read).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_call_has_its_line_and_none_holds_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let flag = format!("--drystone-access-log={}", path.display());
    let (server, channel) = server(&folder.path().join("data"), &[&flag]).await;
    let mut called = call_everything(&channel).await;
    called.extend(["/etcdserverpb.Auth/UserAdd", "/etcdserverpb.Auth/Authenticate"]);
    let token = guard(&channel).await;
    drop(channel);
    server.stop().await;

    let lines = lines(&path, |lines| {
        called.iter().all(|method| lines.iter().any(|line| line["method"] == *method))
    });
    let lines = lines.await;
    let text = std::fs::read_to_string(&path).unwrap();
    for secret in [VALUE, PASSWORD, "planted-key", &token] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let of = |method: &str| {
        let of: Vec<&Value> = lines.iter().filter(|line| line["method"] == method).collect();
        assert!(!of.is_empty(), "{method} has no line in {text}");
        of
    };
    for method in called {
        for line in of(method) {
            assert_eq!((&line["msg"], &line["level"]), (&"access".into(), &"info".into()));
            assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
            assert!(line["took"].as_str().unwrap().ends_with('s'), "{line}");
            assert!(line["request-bytes"].is_u64() && line["response-bytes"].is_u64(), "{line}");
        }
    }
    for keyed in ["KV/Put", "KV/Range", "KV/RangeStream", "KV/Txn", "KV/DeleteRange", "Watch/Watch"]
    {
        let line = of(&format!("/etcdserverpb.{keyed}"))[0];
        assert_eq!(line["key-prefix"], "/folder/", "{line}");
        assert!(line["revision"].as_u64() >= Some(2), "{line}");
    }
    let put = of("/etcdserverpb.KV/Put")[0];
    assert_eq!((&put["code"], &put["revision"]), (&"OK".into(), &2.into()));
    assert!(put["request-bytes"].as_u64() > Some((KEY.len() + VALUE.len()) as u64), "{put}");
    let logins = of("/etcdserverpb.Auth/Authenticate");
    assert_eq!((&logins[0]["code"], &logins[1]["code"]), (&"InvalidArgument".into(), &"OK".into()));
    assert_eq!(of("/etcdserverpb.Auth/UserList")[0]["user"], ROOT);
    assert_eq!(put["user"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_calls_as_many_have_a_line_as_were_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let output = format!("--drystone-access-log={}", path.display());
    let one_in = "--drystone-access-log-one-in=10";
    let (server, channel) = server(&folder.path().join("data"), &[&output, one_in]).await;
    let mut kv = KvClient::new(channel.clone());
    for _ in 0..95 {
        kv.put(PutRequest { key: "a".into(), ..Default::default() }).await.unwrap();
    }
    drop((kv, channel));
    server.stop().await;
    assert_eq!(lines(&path, |lines| lines.len() >= 10).await.len(), 10);
}
