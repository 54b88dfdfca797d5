//! Every call there is, by nobody, by somebody without the right, and by somebody with it.
//!
//! The table is held against the list of all calls that the protocol has: a call that is added
//! fails the test until it has a row.

use super::*;
use cluster_client::ClusterClient;
use drystone_api::v3electionpb::election_client::ElectionClient;
use drystone_api::v3lockpb::lock_client::LockClient;
use drystone_api::{v3electionpb as election, v3lockpb as lock};
use futures::future::BoxFuture;
use lease_client::LeaseClient;
use maintenance_client::MaintenanceClient;
use std::collections::{BTreeMap, BTreeSet};
use tonic::Code;

/// Who may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// Anybody.
    All,
    /// Whoever is a user.
    Users,
    /// Whoever may use the key.
    Alice,
    /// Root alone.
    Root,
}

type Outcome = BoxFuture<'static, Result<(), Status>>;

struct Row {
    call: &'static str,
    open: For,
    run: Box<dyn Fn(Channel, Option<String>) -> Outcome>,
}

/// A row of the table: the call, who may make it, and one that asks for it.
macro_rules! row {
    ($call:literal, $open:ident, $client:ident.$method:ident($message:expr)) => {
        Row {
            call: $call,
            open: For::$open,
            run: Box::new(|channel, token| {
                Box::pin(async move {
                    let request = by(token.as_deref(), $message);
                    $client::new(channel).$method(request).await.map(|_| ())
                })
            }),
        }
    };
}

/// The same for a call that answers with a stream: its first message counts.
macro_rules! stream {
    ($call:literal, $open:ident, $client:ident.$method:ident($message:expr)) => {
        Row {
            call: $call,
            open: For::$open,
            run: Box::new(|channel, token| {
                Box::pin(async move {
                    let request = by(token.as_deref(), $message);
                    let mut answers = $client::new(channel).$method(request).await?.into_inner();
                    answers.message().await.map(|_| ())
                })
            }),
        }
    };
}

fn rows() -> Vec<Row> {
    let mut rows = keys();
    rows.extend(leases());
    rows.extend(cluster());
    rows.extend(users());
    rows.extend(recipes());
    rows
}

fn keys() -> Vec<Row> {
    vec![
        row!("KV/Range", Alice, KvClient.range(range("open/1", ""))),
        stream!("KV/RangeStream", Alice, KvClient.range_stream(range("open/1", ""))),
        row!("KV/Put", Alice, KvClient.put(put("open/1", "x", 0))),
        row!(
            "KV/DeleteRange",
            Alice,
            KvClient
                .delete_range(DeleteRangeRequest { key: "open/9".into(), ..Default::default() })
        ),
        row!(
            "KV/Txn",
            Alice,
            KvClient.txn(TxnRequest {
                success: vec![RequestOp {
                    request: Some(request_op::Request::RequestPut(put("open/1", "x", 0))),
                }],
                ..Default::default()
            })
        ),
        row!(
            "KV/Compact",
            Root,
            KvClient.compact(CompactionRequest { revision: 1, ..Default::default() })
        ),
        Row {
            call: "Watch/Watch",
            open: For::Alice,
            run: Box::new(|channel, token| {
                Box::pin(async move {
                    watch(&channel, token.as_deref(), "open/", "open0").await.map(|_| ())
                })
            }),
        },
    ]
}

fn leases() -> Vec<Row> {
    vec![
        row!(
            "Lease/LeaseGrant",
            Users,
            LeaseClient.lease_grant(LeaseGrantRequest { ttl: 60, id: 0 })
        ),
        row!("Lease/LeaseRevoke", Root, LeaseClient.lease_revoke(LeaseRevokeRequest { id: 8 })),
        stream!(
            "Lease/LeaseKeepAlive",
            Root,
            LeaseClient.lease_keep_alive(tokio_stream::once(LeaseKeepAliveRequest { id: 7 }))
        ),
        row!(
            "Lease/LeaseTimeToLive",
            Root,
            LeaseClient.lease_time_to_live(LeaseTimeToLiveRequest { id: 7, keys: true })
        ),
        row!("Lease/LeaseLeases", Root, LeaseClient.lease_leases(LeaseLeasesRequest {})),
    ]
}

fn cluster() -> Vec<Row> {
    vec![
        // Nobody is a member under these, so that root's own calls change nothing.
        row!(
            "Cluster/MemberAdd",
            Root,
            ClusterClient.member_add(MemberAddRequest {
                peer_ur_ls: vec!["not a url".into()],
                is_learner: true,
            })
        ),
        row!(
            "Cluster/MemberRemove",
            Root,
            ClusterClient.member_remove(MemberRemoveRequest { id: 1 })
        ),
        row!(
            "Cluster/MemberUpdate",
            Root,
            ClusterClient.member_update(MemberUpdateRequest {
                id: 1,
                peer_ur_ls: vec!["http://127.0.0.1:1".into()],
            })
        ),
        row!(
            "Cluster/MemberPromote",
            Root,
            ClusterClient.member_promote(MemberPromoteRequest { id: 1 })
        ),
        row!("Cluster/MemberList", Users, ClusterClient.member_list(MemberListRequest::default())),
        row!(
            "Maintenance/Alarm",
            Root,
            MaintenanceClient.alarm(AlarmRequest {
                action: alarm_request::AlarmAction::Deactivate as i32,
                member_id: 1,
                alarm: AlarmType::Nospace as i32,
            })
        ),
        row!("Maintenance/Status", Users, MaintenanceClient.status(StatusRequest {})),
        row!("Maintenance/Defragment", Root, MaintenanceClient.defragment(DefragmentRequest {})),
        row!("Maintenance/Hash", Root, MaintenanceClient.hash(HashRequest {})),
        row!("Maintenance/HashKV", Root, MaintenanceClient.hash_kv(HashKvRequest::default())),
        stream!("Maintenance/Snapshot", Root, MaintenanceClient.snapshot(SnapshotRequest {})),
        row!(
            "Maintenance/MoveLeader",
            Root,
            MaintenanceClient.move_leader(MoveLeaderRequest { target_id: 1 })
        ),
        row!(
            "Maintenance/Downgrade",
            Root,
            MaintenanceClient.downgrade(DowngradeRequest {
                action: downgrade_request::DowngradeAction::Cancel as i32,
                version: String::new(),
            })
        ),
    ]
}

fn users() -> Vec<Row> {
    vec![
        row!("Auth/AuthEnable", Root, AuthClient.auth_enable(AuthEnableRequest {})),
        row!("Auth/AuthStatus", All, AuthClient.auth_status(AuthStatusRequest {})),
        row!(
            "Auth/Authenticate",
            All,
            AuthClient
                .authenticate(AuthenticateRequest { name: ALICE.into(), password: ALICE.into() })
        ),
        row!(
            "Auth/UserAdd",
            Root,
            AuthClient.user_add(AuthUserAddRequest {
                name: "it".into(),
                password: "p".into(),
                ..Default::default()
            })
        ),
        row!("Auth/UserGet", Root, AuthClient.user_get(AuthUserGetRequest { name: "it".into() })),
        row!("Auth/UserList", Root, AuthClient.user_list(AuthUserListRequest {})),
        row!(
            "Auth/UserChangePassword",
            Root,
            AuthClient.user_change_password(AuthUserChangePasswordRequest {
                name: "it".into(),
                password: "q".into(),
                ..Default::default()
            })
        ),
        row!("Auth/RoleAdd", Root, AuthClient.role_add(AuthRoleAddRequest { name: "it".into() })),
        row!("Auth/RoleGet", Root, AuthClient.role_get(AuthRoleGetRequest { role: "it".into() })),
        row!("Auth/RoleList", Root, AuthClient.role_list(AuthRoleListRequest {})),
        row!(
            "Auth/UserGrantRole",
            Root,
            AuthClient
                .user_grant_role(AuthUserGrantRoleRequest { user: "it".into(), role: "it".into() })
        ),
        row!(
            "Auth/UserRevokeRole",
            Root,
            AuthClient.user_revoke_role(AuthUserRevokeRoleRequest {
                name: "it".into(),
                role: "it".into()
            })
        ),
        row!(
            "Auth/RoleGrantPermission",
            Root,
            AuthClient.role_grant_permission(grant("it", "k", ""))
        ),
        row!(
            "Auth/RoleRevokePermission",
            Root,
            AuthClient.role_revoke_permission(AuthRoleRevokePermissionRequest {
                role: "it".into(),
                key: "k".into(),
                ..Default::default()
            })
        ),
        row!(
            "Auth/RoleDelete",
            Root,
            AuthClient.role_delete(AuthRoleDeleteRequest { role: "it".into() })
        ),
        row!(
            "Auth/UserDelete",
            Root,
            AuthClient.user_delete(AuthUserDeleteRequest { name: "it".into() })
        ),
        // The last one: after root's there is nothing left to ask for.
        row!("Auth/AuthDisable", Root, AuthClient.auth_disable(AuthDisableRequest {})),
    ]
}

/// Lock and Election are made of the calls above, for keys under a name.
fn recipes() -> Vec<Row> {
    vec![
        row!(
            "Lock/Lock",
            Root,
            LockClient.lock(lock::LockRequest { name: "secret".into(), lease: 7 })
        ),
        row!(
            "Lock/Unlock",
            Root,
            LockClient.unlock(lock::UnlockRequest { key: "secret/9".into() })
        ),
        row!(
            "Election/Campaign",
            Root,
            ElectionClient.campaign(election::CampaignRequest {
                name: "secret2".into(),
                lease: 7,
                value: "v".into(),
            })
        ),
        row!(
            "Election/Proclaim",
            Root,
            ElectionClient
                .proclaim(election::ProclaimRequest { leader: secret_leader(), value: "v".into() })
        ),
        row!(
            "Election/Leader",
            Root,
            ElectionClient.leader(election::LeaderRequest { name: "secret".into() })
        ),
        stream!(
            "Election/Observe",
            Root,
            ElectionClient.observe(election::LeaderRequest { name: "secret".into() })
        ),
        row!(
            "Election/Resign",
            Root,
            ElectionClient.resign(election::ResignRequest { leader: secret_leader() })
        ),
    ]
}

fn secret_leader() -> Option<election::LeaderKey> {
    Some(election::LeaderKey { name: "secret".into(), key: "secret/9".into(), rev: 2, lease: 7 })
}

/// Who may make each call.
pub(super) fn rights() -> BTreeMap<&'static str, For> {
    rows().into_iter().map(|row| (row.call, row.open)).collect()
}

/// The calls that the protocol has, but for health, which is nobody's secret.
fn all_calls() -> BTreeSet<&'static str> {
    let facts = include_str!("../../../../drystone-api/testdata/facts.txt");
    let calls = facts.lines().filter_map(|line| line.strip_prefix("rpc "));
    calls
        .filter_map(|call| call.split(' ').next())
        .filter(|call| !call.starts_with("Health/"))
        .collect()
}

pub(super) fn has_no_right(status: &Status) -> bool {
    // What a later version serves must be guarded by then: the row is here already.
    status.code() == Code::Unimplemented
        || [DENIED, NO_USER].iter().any(|text| status.message().contains(text))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_denied_to_whom_it_is_not_open() {
    let guarded = Guarded::start(&[]).await;
    let mut rows = rows();
    rows.sort_by_key(|row| row.call == "Auth/AuthDisable");
    let named: BTreeSet<_> = rows.iter().map(|row| row.call).collect();
    assert_eq!(named, all_calls(), "each call there is has a row");
    // A lease for root to end.
    let second = LeaseGrantRequest { ttl: 600, id: 8 };
    let mut leases = LeaseClient::new(guarded.channel.clone());
    leases.lease_grant(by(Some(&guarded.root), second)).await.unwrap();
    let hidden = by(Some(&guarded.root), put("secret/8", "hidden", 8));
    guarded.kv().put(hidden).await.unwrap();

    let callers = [
        ("nobody named", None, [For::All].as_slice()),
        ("a user without a role", Some(&guarded.nobody), &[For::All, For::Users]),
        ("a user", Some(&guarded.alice), &[For::All, For::Users, For::Alice]),
        ("root", Some(&guarded.root), &[For::All, For::Users, For::Alice, For::Root]),
    ];
    for row in &rows {
        let forged = (row.run)(guarded.channel.clone(), Some("hsuEZDJyIutCAcuV.1".into())).await;
        match forged {
            Ok(()) => assert_eq!(row.call, "Auth/Authenticate", "a bad token is good for nothing"),
            Err(status) => assert!(
                status.message().contains(BAD_TOKEN) || status.code() == Code::Unimplemented,
                "{}: {status:?}",
                row.call
            ),
        }
        for (caller, token, may) in &callers {
            let outcome = (row.run)(guarded.channel.clone(), token.cloned());
            let outcome = tokio::time::timeout(Duration::from_secs(20), outcome).await;
            let what = format!("{} by {caller}: {outcome:?}", row.call);
            match outcome {
                // Whoever may wait for a lock may wait long.
                Err(_) => assert!(row.call.starts_with("L") || row.call.starts_with("E"), "{what}"),
                Ok(outcome) if may.contains(&row.open) => {
                    let refused = outcome.is_err_and(|status| {
                        status.code() != Code::Unimplemented && has_no_right(&status)
                    });
                    assert!(!refused, "{what}");
                }
                Ok(Ok(())) => panic!("{what}"),
                Ok(Err(status)) => assert!(has_no_right(&status), "{what}"),
            }
        }
    }
    guarded.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_see_themselves_and_their_roles() {
    let guarded = Guarded::start(&[]).await;
    let mut auth = guarded.auth();
    let user = |name: &str| AuthUserGetRequest { name: name.to_owned() };
    let found = auth.user_get(by(Some(&guarded.alice), user(ALICE))).await.unwrap().into_inner();
    assert_eq!(found.roles, ["open"]);
    denied(auth.user_get(by(Some(&guarded.alice), user(ROOT))).await);
    denied(auth.user_get(by(Some(&guarded.alice), user("missing"))).await);
    let role = |role: &str| AuthRoleGetRequest { role: role.to_owned() };
    let found = auth.role_get(by(Some(&guarded.alice), role("open"))).await.unwrap().into_inner();
    assert_eq!(found.perm[0].key, "open/");
    denied(auth.role_get(by(Some(&guarded.nobody), role("open"))).await);
    let own = AuthUserChangePasswordRequest {
        name: ALICE.into(),
        password: "new".into(),
        ..Default::default()
    };
    denied(auth.user_change_password(by(Some(&guarded.alice), own)).await);
    guarded.server.stop().await;
}
