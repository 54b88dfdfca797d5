//! What went wrong in etcd, one test for each advisory: by nobody named, by a user without the
//! right, and by one who has it.

use super::*;
use cluster_client::ClusterClient;
use lease_client::LeaseClient;
use maintenance_client::MaintenanceClient;
use request_op::Request as Op;

fn ops(ops: Vec<Op>) -> TxnRequest {
    let success = ops.into_iter().map(|op| RequestOp { request: Some(op) }).collect();
    TxnRequest { success, ..Default::default() }
}

/// The transaction inside `depth` others, in a branch that is not taken.
fn nested(mut txn: TxnRequest, depth: usize) -> TxnRequest {
    for _ in 0..depth {
        let inner = RequestOp { request: Some(Op::RequestTxn(txn)) };
        txn = TxnRequest { failure: vec![inner], ..Default::default() };
    }
    txn
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_33413_members_alarms_leases_and_compaction_ask_who_calls() {
    let guarded = Guarded::start(&[]).await;
    let mut members = ClusterClient::new(guarded.channel.clone());
    let mut upkeep = MaintenanceClient::new(guarded.channel.clone());
    let mut leases = LeaseClient::new(guarded.channel.clone());
    let mut kv = guarded.kv();
    let list = MemberListRequest::default;
    let alarms = AlarmRequest::default;
    let raise = || AlarmRequest {
        action: alarm_request::AlarmAction::Activate as i32,
        member_id: 1,
        alarm: AlarmType::Nospace as i32,
    };
    let compact = || CompactionRequest { revision: 2, ..Default::default() };
    let lease = || LeaseGrantRequest { ttl: 60, id: 0 };
    let revoke = || LeaseRevokeRequest { id: 7 };

    unnamed(members.member_list(list()).await);
    unnamed(upkeep.alarm(alarms()).await);
    unnamed(upkeep.alarm(raise()).await);
    unnamed(leases.lease_grant(lease()).await);
    unnamed(leases.lease_revoke(revoke()).await);
    unnamed(leases.lease_leases(LeaseLeasesRequest {}).await);
    unnamed(kv.compact(compact()).await);

    let alice = Some(guarded.alice.as_str());
    members.member_list(by(alice, list())).await.unwrap();
    upkeep.alarm(by(alice, alarms())).await.unwrap();
    denied(upkeep.alarm(by(alice, raise())).await);
    leases.lease_grant(by(alice, lease())).await.unwrap();
    denied(leases.lease_revoke(by(alice, revoke())).await);
    denied(leases.lease_leases(by(alice, LeaseLeasesRequest {})).await);
    denied(kv.compact(by(alice, compact())).await);

    let root = Some(guarded.root.as_str());
    leases.lease_leases(by(root, LeaseLeasesRequest {})).await.unwrap();
    leases.lease_revoke(by(root, revoke())).await.unwrap();
    kv.compact(by(root, compact())).await.unwrap();
    guarded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_33343_a_nested_transaction_does_not_escape_permissions() {
    let guarded = Guarded::start(&[]).await;
    let mut kv = guarded.kv();
    let delete = || DeleteRangeRequest { key: "secret/1".into(), ..Default::default() };
    let hidden = || {
        vec![
            ops(vec![Op::RequestRange(range("secret/1", ""))]),
            ops(vec![Op::RequestPut(put("secret/1", "x", 0))]),
            ops(vec![Op::RequestDeleteRange(delete())]),
            TxnRequest {
                compare: vec![Compare { key: "secret/1".into(), ..Default::default() }],
                ..Default::default()
            },
        ]
    };
    for depth in [0, 1, 2, 5] {
        for txn in hidden() {
            unnamed(kv.txn(nested(txn.clone(), depth)).await);
            denied(kv.txn(by(Some(&guarded.alice), nested(txn.clone(), depth))).await);
            kv.txn(by(Some(&guarded.root), nested(txn, depth))).await.unwrap();
        }
        let open = ops(vec![Op::RequestPut(put("open/1", "x", 0))]);
        kv.txn(by(Some(&guarded.alice), nested(open, depth))).await.unwrap();
    }
    guarded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_44283_a_put_in_a_transaction_reads_nothing_and_joins_no_lease_unasked() {
    let guarded = Guarded::start(&[]).await;
    let mut auth = guarded.auth();
    let root = Some(guarded.root.as_str());
    // A role that writes where it must not read.
    let mut blind = grant("open", "blind", "");
    blind.perm.as_mut().unwrap().perm_type = permission::Type::Write as i32;
    auth.role_grant_permission(by(root, blind)).await.unwrap();
    let alice = Some(guarded.alice.as_str());
    let mut kv = guarded.kv();

    let prev_kv = || PutRequest { prev_kv: true, ..put("blind", "x", 0) };
    // Lease 7 holds a key of root's: whoever joins it lets that key live and die with it.
    let joins = || put("open/1", "x", 7);
    let prev_kvs =
        || DeleteRangeRequest { key: "blind".into(), prev_kv: true, ..Default::default() };
    for depth in [0, 1, 3] {
        for op in
            [Op::RequestPut(prev_kv()), Op::RequestPut(joins()), Op::RequestDeleteRange(prev_kvs())]
        {
            let txn = nested(ops(vec![op]), depth);
            unnamed(kv.txn(txn.clone()).await);
            denied(kv.txn(by(alice, txn.clone())).await);
            kv.txn(by(root, txn)).await.unwrap();
        }
    }
    denied(kv.put(by(alice, prev_kv())).await);
    denied(kv.put(by(alice, joins())).await);
    denied(kv.delete_range(by(alice, prev_kvs())).await);
    kv.put(by(alice, put("blind", "x", 0))).await.unwrap();
    denied(kv.range(by(alice, range("blind", ""))).await);
    guarded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ghsa_xg4h_6gfc_h4m8_a_watch_without_end_is_more_than_its_first_key() {
    let guarded = Guarded::start(&[]).await;
    let mut auth = guarded.auth();
    let root = Some(guarded.root.as_str());
    auth.role_grant_permission(by(root, grant("open", "single", ""))).await.unwrap();
    auth.role_grant_permission(by(root, grant("open", "\0", ""))).await.unwrap();
    let alice = Some(guarded.alice.as_str());
    let channel = &guarded.channel;

    for (key, end) in [("single", "\0"), ("open/", "\0"), ("", "\0"), ("\0", "\0")] {
        unnamed(watch(channel, None, key, end).await);
        denied(watch(channel, alice, key, end).await);
        watch(channel, root, key, end).await.unwrap();
    }
    watch(channel, alice, "single", "").await.unwrap();
    watch(channel, alice, "open/", "open0").await.unwrap();
    // No key is the first key there can be, not all.
    watch(channel, alice, "", "").await.unwrap();
    denied(watch(channel, alice, "open/", "open1").await);
    guarded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2023_32082_what_hangs_on_a_lease_is_told_to_its_readers_only() {
    let guarded = Guarded::start(&[]).await;
    let mut leases = LeaseClient::new(guarded.channel.clone());
    let about = |id, keys| LeaseTimeToLiveRequest { id, keys };
    unnamed(leases.lease_time_to_live(about(7, true)).await);
    unnamed(leases.lease_time_to_live(about(7, false)).await);
    let alice = Some(guarded.alice.as_str());
    denied(leases.lease_time_to_live(by(alice, about(7, true))).await);
    let bare = leases.lease_time_to_live(by(alice, about(7, false))).await.unwrap().into_inner();
    assert_eq!((bare.granted_ttl, bare.keys.len()), (600, 0));
    let root = Some(guarded.root.as_str());
    let full = leases.lease_time_to_live(by(root, about(7, true))).await.unwrap().into_inner();
    assert_eq!(full.keys, ["secret/1"]);

    leases.lease_grant(by(alice, LeaseGrantRequest { ttl: 60, id: 9 })).await.unwrap();
    guarded.kv().put(by(alice, put("open/9", "x", 9))).await.unwrap();
    let own = leases.lease_time_to_live(by(alice, about(9, true))).await.unwrap().into_inner();
    assert_eq!(own.keys, ["open/9"]);
    guarded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_22386_an_alarm_does_not_lift_permissions() {
    let guarded = Guarded::start(&[]).await;
    let mut upkeep = MaintenanceClient::new(guarded.channel.clone());
    let mut kv = guarded.kv();
    let (root, alice) = (Some(guarded.root.as_str()), Some(guarded.alice.as_str()));
    let alarm = |action: alarm_request::AlarmAction| AlarmRequest {
        action: action as i32,
        member_id: 99,
        alarm: AlarmType::Nospace as i32,
    };
    let raise = alarm(alarm_request::AlarmAction::Activate);
    upkeep.alarm(by(root, raise)).await.unwrap();

    let delete = |key: &'static str| DeleteRangeRequest { key: key.into(), ..Default::default() };
    unnamed(kv.put(put("open/1", "x", 0)).await);
    denied(kv.put(by(alice, put("secret/1", "x", 0))).await);
    denied(kv.delete_range(by(alice, delete("secret/1"))).await);
    denied(kv.range(by(alice, range("secret/1", ""))).await);
    denied(kv.compact(by(alice, CompactionRequest { revision: 2, physical: false })).await);
    denied(upkeep.alarm(by(alice, alarm(alarm_request::AlarmAction::Deactivate))).await);
    let full = kv.put(by(alice, put("open/1", "x", 0))).await.unwrap_err();
    assert_eq!(full.message(), "etcdserver: mvcc: database space exceeded");
    kv.delete_range(by(alice, delete("open/1"))).await.unwrap();

    upkeep.alarm(by(root, alarm(alarm_request::AlarmAction::Deactivate))).await.unwrap();
    denied(kv.put(by(alice, put("secret/1", "x", 0))).await);
    kv.put(by(alice, put("open/1", "x", 0))).await.unwrap();
    guarded.server.stop().await;
}

/// CVE-2026-33186 of Go's gRPC: a path without its slash went past what looked at paths. Nothing
/// looks at paths here; a call is guarded where it is carried out.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_33186_a_path_that_is_written_otherwise_leads_nowhere() {
    let guarded = Guarded::start(&[]).await;
    for path in ["/etcdserverpb.KV//Range", "//etcdserverpb.KV/Range", "/etcdserverpb.KV/range"] {
        let uri = http::uri::PathAndQuery::from_static(path);
        let mut grpc = tonic::client::Grpc::new(guarded.channel.clone());
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<RangeRequest, RangeResponse>::default();
        let refused = grpc.unary(Request::new(range("secret/1", "")), uri, codec).await;
        assert_eq!(refused.unwrap_err().code(), tonic::Code::Unimplemented, "{path}");
    }
    guarded.server.stop().await;
}
