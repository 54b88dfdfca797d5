//! What calls take, against a second statement of the same table.

use bytes::Bytes;
use drystone_api::etcdserverpb::{self as etcd, RequestOp, TxnRequest, request_op::Request};
use drystone_api::membershippb;
use drystone_auth::testing::{
    Change, Naive, ROLES, USERS, draw_change, draw_fields, draw_identity, draw_key, founding,
};
use drystone_auth::{Auth, Need, Permission};
use drystone_backend::Batch;
use drystone_machine::{Attachments, Call, needs};
use drystone_types::{KeyRange, LeaseId};
use rand::prelude::*;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, BTreeSet};

/// How many decisions are compared unless `DRYSTONE_AUTH_DECISIONS` says otherwise.
const DECISIONS: u64 = 200_000;
/// Decisions between changes.
const DECISIONS_OF_ROUND: u64 = 1_000;
/// Changes before the first decision.
const CHANGES_FIRST: usize = 60;
/// Leases have these ids.
const LEASES: std::ops::Range<i64> = 1..4;
/// Transactions nest at most so deep here.
const DEPTH: usize = 3;
/// How many kinds of calls there are.
const KINDS: usize = 48;

/// Keys by the lease they hang on.
#[derive(Debug, Default)]
pub(crate) struct Attached(pub(crate) BTreeMap<i64, Vec<Bytes>>);

impl Attachments for Attached {
    fn attached(&self, id: LeaseId) -> Vec<Bytes> {
        self.0.get(&id.0).cloned().unwrap_or_default()
    }

    fn all_attached(&self) -> Vec<Bytes> {
        self.0.values().flatten().cloned().collect()
    }
}

#[test]
fn decisions_about_calls_are_those_of_a_second_table_and_a_naive_model() {
    let wanted = std::env::var("DRYSTONE_AUTH_DECISIONS")
        .map_or(DECISIONS, |text| text.parse().expect("a number of decisions"));
    let mut random = SmallRng::seed_from_u64(12);
    let (mut made, mut granted) = (0, 0);
    let mut kinds = BTreeSet::new();
    while made < wanted {
        let (auth, naive) = draw_state(&mut random);
        let attached = draw_attached(&mut random);
        for _ in 0..DECISIONS_OF_ROUND {
            let who = draw_identity(&mut random, auth.revision());
            with_call(&mut random, &mut |call| {
                let decided = auth.decide(who.as_ref(), &needs(&call, &attached));
                let expected = naive.decide(who.as_ref(), &takes(&call, &attached));
                assert_eq!(decided, expected, "{who:?} {call:?} {attached:?} {naive:?}");
                let open = auth.is_open_to(who.as_ref());
                assert!(!open || decided.is_ok(), "{who:?} may do everything");
                granted += u64::from(decided.is_ok());
                let printed = format!("{call:?}");
                let (kind, _) = printed.split_once('(').expect("a call has a request");
                if !kinds.contains(kind) {
                    kinds.insert(kind.to_owned());
                }
            });
            made += 1;
        }
    }
    println!("{made} decisions, {granted} granted");
    assert!(granted > made / 10 && granted < made * 9 / 10, "both answers are common");
    assert_eq!(kinds.len(), KINDS, "every kind of call was asked: {kinds:?}");
}

/// Random users and roles, in both forms; permissions are asked for most of the time.
fn draw_state(random: &mut SmallRng) -> (Auth, Naive) {
    let (mut auth, mut naive, mut out) = (Auth::default(), Naive::default(), Batch::new());
    let drawn: Vec<Change> = (0..CHANGES_FIRST).map(|_| draw_change(random)).collect();
    for change in drawn.into_iter().chain(founding()) {
        let refused = naive.apply(&change);
        assert_eq!(make(&mut auth, &mut out, &change), refused, "{change:?}");
    }
    (auth, naive)
}

fn make(auth: &mut Auth, out: &mut Batch, change: &Change) -> Result<(), drystone_auth::Error> {
    match change {
        Change::Enable => auth.enable(out),
        Change::Disable => {
            auth.disable(out);
            Ok(())
        }
        Change::AddUser(user) => auth.add_user(out, user, None, true),
        Change::DeleteUser(user) => auth.delete_user(out, user),
        Change::Password(user) => auth.change_password(out, user, None),
        Change::GrantRole(user, role) => auth.grant_role(out, user, role),
        Change::RevokeRole(user, role) => auth.revoke_role(out, user, role),
        Change::AddRole(role) => auth.add_role(out, role),
        Change::DeleteRole(role) => auth.delete_role(out, role),
        Change::Grant(role, permission) => {
            let Permission { kind, key, range_end } = permission.clone();
            auth.grant_permission(out, role, Permission { kind, key, range_end })
        }
        Change::Revoke(role, key, end) => auth.revoke_permission(out, role, key, end),
    }
}

fn draw_attached(random: &mut SmallRng) -> Attached {
    let leases = LEASES.map(|id| {
        let count = random.random_range(0..4);
        (id, (0..count).map(|_| some_key(random)).collect())
    });
    Attached(leases.collect())
}

/// The table of etcd's rules (what a call needs while permissions are asked for), said anew.
pub(crate) fn takes(call: &Call<'_>, attached: &Attached) -> Vec<Need> {
    let read =
        |key: &Bytes, end: &Bytes| Need::Read(KeyRange::from_fields(key.clone(), end.clone()));
    let write_all = |id: i64| {
        let keys = attached.0.get(&id).into_iter().flatten();
        keys.map(|key| Need::Write(KeyRange::key(key.clone())))
    };
    let read_key = |key: &Bytes| Need::Read(KeyRange::key(key.clone()));
    match call {
        Call::Range(range) | Call::RangeStream(range) => vec![read(&range.key, &range.range_end)],
        Call::WatchCreate(watch) if watch.key.is_empty() => {
            vec![read(&Bytes::from_static(b"\0"), &watch.range_end)]
        }
        Call::WatchCreate(watch) => vec![read(&watch.key, &watch.range_end)],
        Call::Put(put) => {
            let alone = Request::RequestPut((*put).clone());
            takes_ops(&[RequestOp { request: Some(alone) }], attached)
        }
        Call::DeleteRange(delete) => {
            let alone = Request::RequestDeleteRange((*delete).clone());
            takes_ops(&[RequestOp { request: Some(alone) }], attached)
        }
        Call::Txn(txn) => {
            let alone = Request::RequestTxn((*txn).clone());
            takes_ops(&[RequestOp { request: Some(alone) }], attached)
        }
        Call::LeaseRevoke(request) => {
            [Need::User].into_iter().chain(write_all(request.id)).collect()
        }
        Call::LeaseKeepAlive(request) => {
            [Need::User].into_iter().chain(write_all(request.id)).collect()
        }
        Call::LeaseTimeToLive(request) => {
            let keys = attached.0.get(&request.id).into_iter().flatten();
            let keys = keys.filter(|_| request.keys).map(read_key);
            [Need::User].into_iter().chain(keys).collect()
        }
        Call::LeaseLeases(_) => {
            let keys = attached.0.values().flatten().map(read_key);
            [Need::User].into_iter().chain(keys).collect()
        }
        Call::LeaseGrant(_) | Call::MemberList(_) | Call::Status(_) => vec![Need::User],
        Call::Alarm(alarm) => vec![if alarm.action == 0 { Need::User } else { Need::Root }],
        Call::UserGet(user) => vec![Need::SelfOrRoot(user.name.clone())],
        Call::RoleGet(role) => vec![Need::RoleOrRoot(role.role.clone())],
        Call::Authenticate(_)
        | Call::AuthStatus(_)
        | Call::Login(_)
        | Call::LeaseCheckpoint(_)
        | Call::ClusterVersionSet(_)
        | Call::ClusterMemberAttrSet(_)
        | Call::DowngradeInfoSet(_)
        | Call::DowngradeVersionTest(_) => Vec::new(),
        _ => vec![Need::Root],
    }
}

/// Walks operations without recursion; the order of needs does not matter among keys.
fn takes_ops(ops: &[RequestOp], attached: &Attached) -> Vec<Need> {
    let range = |key: &Bytes, end: &Bytes| KeyRange::from_fields(key.clone(), end.clone());
    let (mut takes, mut todo) = (Vec::new(), ops.to_vec());
    while let Some(op) = todo.pop() {
        match op.request {
            None => {}
            Some(Request::RequestRange(read)) => {
                takes.push(Need::Read(range(&read.key, &read.range_end)));
            }
            Some(Request::RequestPut(put)) => {
                takes.push(Need::Write(KeyRange::key(put.key.clone())));
                if put.prev_kv {
                    takes.push(Need::Read(KeyRange::key(put.key)));
                }
                if put.lease != 0 {
                    let keys = attached.0.get(&put.lease).into_iter().flatten();
                    takes.extend(keys.map(|key| Need::Write(KeyRange::key(key.clone()))));
                }
            }
            Some(Request::RequestDeleteRange(delete)) => {
                takes.push(Need::Write(range(&delete.key, &delete.range_end)));
                if delete.prev_kv {
                    takes.push(Need::Read(range(&delete.key, &delete.range_end)));
                }
            }
            Some(Request::RequestTxn(txn)) => {
                let compares = txn.compare.iter();
                takes.extend(
                    compares.map(|compare| Need::Read(range(&compare.key, &compare.range_end))),
                );
                todo.extend(txn.success);
                todo.extend(txn.failure);
            }
        }
    }
    takes
}

pub(crate) fn some_key(random: &mut SmallRng) -> Bytes {
    let key = draw_key(random);
    if key.is_empty() { Bytes::from_static(b"a") } else { key.into() }
}

fn some_fields(random: &mut SmallRng) -> (Bytes, Bytes) {
    let (_, end) = draw_fields(random);
    (some_key(random), end.into())
}

fn lease(random: &mut SmallRng) -> i64 {
    random.random_range(LEASES)
}

pub(crate) fn put(random: &mut SmallRng) -> etcd::PutRequest {
    etcd::PutRequest {
        key: some_key(random),
        value: "v".into(),
        lease: if random.random_ratio(1, 3) { lease(random) } else { 0 },
        prev_kv: random.random_ratio(1, 3),
        ..Default::default()
    }
}

pub(crate) fn range(random: &mut SmallRng) -> etcd::RangeRequest {
    let (key, range_end) = some_fields(random);
    etcd::RangeRequest { key, range_end, ..Default::default() }
}

pub(crate) fn delete(random: &mut SmallRng) -> etcd::DeleteRangeRequest {
    let (key, range_end) = some_fields(random);
    etcd::DeleteRangeRequest { key, range_end, prev_kv: random.random_ratio(1, 3) }
}

/// A transaction that nests at most `depth` deep more.
pub(crate) fn txn(random: &mut SmallRng, depth: usize) -> TxnRequest {
    let compare = |random: &mut SmallRng| {
        let (key, range_end) = some_fields(random);
        let target = etcd::compare::CompareTarget::Create as i32;
        etcd::Compare { key, range_end, target, ..Default::default() }
    };
    let op = |random: &mut SmallRng| {
        let request = match random.random_range(0..8) {
            0..3 => Request::RequestPut(put(random)),
            3 | 4 => Request::RequestRange(range(random)),
            5 => Request::RequestDeleteRange(delete(random)),
            _ if depth > 0 => Request::RequestTxn(txn(random, depth - 1)),
            _ => return RequestOp { request: None },
        };
        RequestOp { request: Some(request) }
    };
    let few = |random: &mut SmallRng| random.random_range(0..3);
    let compares = random.random_range(0..2);
    let (success, failure) = (few(random), few(random));
    TxnRequest {
        compare: (0..compares).map(|_| compare(random)).collect(),
        success: (0..success).map(|_| op(random)).collect(),
        failure: (0..failure).map(|_| op(random)).collect(),
    }
}

fn name(random: &mut SmallRng, names: &[&str]) -> String {
    (*names.choose(random).unwrap()).to_owned()
}

/// Makes a call of any kind and shows it. Kinds about keys come more often.
fn with_call(random: &mut SmallRng, show: &mut dyn FnMut(Call<'_>)) {
    match random.random_range(0..72) {
        0..6 => show(Call::Range(&range(random))),
        6..8 => show(Call::RangeStream(&range(random))),
        8..14 => show(Call::Put(&put(random))),
        14..18 => show(Call::DeleteRange(&delete(random))),
        18..26 => show(Call::Txn(&txn(random, DEPTH))),
        26..29 => {
            let (key, range_end) = draw_fields(random);
            let (key, range_end) = (key.into(), range_end.into());
            show(Call::WatchCreate(&etcd::WatchCreateRequest {
                key,
                range_end,
                ..Default::default()
            }));
        }
        29 => show(Call::LeaseGrant(&Default::default())),
        30 => show(Call::LeaseRevoke(&etcd::LeaseRevokeRequest { id: lease(random) })),
        31 => show(Call::LeaseKeepAlive(&etcd::LeaseKeepAliveRequest { id: lease(random) })),
        32 => {
            let keys = random.random();
            show(Call::LeaseTimeToLive(&etcd::LeaseTimeToLiveRequest { id: lease(random), keys }));
        }
        33 => show(Call::LeaseLeases(&etcd::LeaseLeasesRequest {})),
        34 => {
            let action = random.random_range(0..4);
            show(Call::Alarm(&etcd::AlarmRequest { action, ..Default::default() }));
        }
        35 => {
            let name = name(random, &USERS);
            show(Call::UserGet(&etcd::AuthUserGetRequest { name }));
        }
        36 => {
            let role = name(random, &ROLES);
            show(Call::RoleGet(&etcd::AuthRoleGetRequest { role }));
        }
        kind => show_plain(kind - 37, show),
    }
}

/// The kinds for which the fields of the request do not matter.
fn show_plain(kind: u32, show: &mut dyn FnMut(Call<'_>)) {
    match kind {
        0 => show(Call::Compact(&Default::default())),
        1 => show(Call::MemberAdd(&Default::default())),
        2 => show(Call::MemberRemove(&Default::default())),
        3 => show(Call::MemberUpdate(&Default::default())),
        4 => show(Call::MemberList(&Default::default())),
        5 => show(Call::MemberPromote(&Default::default())),
        6 => show(Call::Status(&Default::default())),
        7 => show(Call::Defragment(&Default::default())),
        8 => show(Call::Hash(&Default::default())),
        9 => show(Call::HashKv(&Default::default())),
        10 => show(Call::Snapshot(&Default::default())),
        11 => show(Call::MoveLeader(&Default::default())),
        12 => show(Call::Downgrade(&Default::default())),
        13 => show(Call::AuthEnable(&Default::default())),
        14 => show(Call::AuthDisable(&Default::default())),
        15 => show(Call::AuthStatus(&Default::default())),
        16 => show(Call::Authenticate(&Default::default())),
        17 => show(Call::UserAdd(&Default::default())),
        18 => show(Call::UserList(&Default::default())),
        19 => show(Call::UserDelete(&Default::default())),
        20 => show(Call::UserChangePassword(&Default::default())),
        21 => show(Call::UserGrantRole(&Default::default())),
        22 => show(Call::UserRevokeRole(&Default::default())),
        23 => show(Call::RoleAdd(&Default::default())),
        24 => show(Call::RoleList(&Default::default())),
        25 => show(Call::RoleDelete(&Default::default())),
        26 => show(Call::RoleGrantPermission(&Default::default())),
        27 => show(Call::RoleRevokePermission(&Default::default())),
        28 => show(Call::Login(&Default::default())),
        29 => show(Call::LeaseCheckpoint(&Default::default())),
        30 => show(Call::ClusterVersionSet(&membershippb::ClusterVersionSetRequest::default())),
        31 => show(Call::ClusterMemberAttrSet(&Default::default())),
        32 => show(Call::DowngradeInfoSet(&Default::default())),
        33 => show(Call::DowngradeVersionTest(&Default::default())),
        _ => show(Call::Txn(&TxnRequest::default())),
    }
}
