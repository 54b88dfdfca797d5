//! Permission, asked for when entries are applied; and the ledger of what went wrong elsewhere.

use super::calls::{self, Attached, takes};
use super::{Bench, NOW, alarm, compact, delete, grant, open, put, revoke};
use bytes::Bytes;
use drystone_api::authpb::{Permission, UserAddOptions, permission::Type};
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    self as etcd, Compare, DeleteRangeRequest, InternalRaftRequest, PutRequest, RangeRequest,
    RequestOp, TxnRequest, alarm_request::AlarmAction, request_op::Request,
};
use drystone_auth::testing::{Change, Naive, draw_change, draw_identity, founding};
use drystone_backend::{Backend, MemBackend, Read, Table};
use drystone_machine::{
    Answer, AuthReply, Call, Identity, Machine, Output, TokenChange, convert, header, identity,
};
use drystone_types::LeaseId;
use prost::Message;
use rand::prelude::*;
use rand::rngs::SmallRng;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

/// `bcrypt`'s bytes do not matter here, their base64 does: `hash`.
const HASHED: &str = "aGFzaA==";

type Refused = Result<Answer, EtcdError>;

impl Bench {
    fn output_by(&mut self, who: Option<&Identity>, mut request: InternalRaftRequest) -> Output {
        request.header = Some(header(7, who));
        let entry = self.entry(drystone_types::EntryKind::Normal, request.encode_to_vec());
        self.machine.apply(&[entry], NOW).unwrap()
    }

    fn by(&mut self, who: Option<&Identity>, request: InternalRaftRequest) -> Refused {
        self.output_by(who, request).outcomes.remove(0).answer
    }

    /// As this user, recognised just now.
    fn as_user(&mut self, user: &str, request: InternalRaftRequest) -> Refused {
        let who = self.user(user);
        self.by(Some(&who), request)
    }

    fn user(&self, user: &str) -> Identity {
        Identity { user: user.to_owned(), revision: self.machine.auth().revision() }
    }

    /// Users `root` and `ada`, who may read and write `[a, c)` and read `[c, e)`; permissions
    /// are asked for.
    fn guarded() -> Self {
        let mut bench = Self::new();
        for user in ["root", "ada"] {
            bench.answer(add_user(user)).unwrap();
        }
        bench.answer(grant_role("root", "root")).unwrap();
        bench.answer(add_role("r")).unwrap();
        bench.answer(grant_range("r", Type::Readwrite, "a", "c")).unwrap();
        bench.answer(grant_range("r", Type::Read, "c", "e")).unwrap();
        bench.answer(grant_role("ada", "r")).unwrap();
        bench.answer(enable()).unwrap();
        bench
    }
}

fn enable() -> InternalRaftRequest {
    let auth_enable = Some(etcd::AuthEnableRequest {});
    InternalRaftRequest { auth_enable, ..Default::default() }
}

fn disable() -> InternalRaftRequest {
    let auth_disable = Some(etcd::AuthDisableRequest {});
    InternalRaftRequest { auth_disable, ..Default::default() }
}

fn add_user(name: &str) -> InternalRaftRequest {
    let add = etcd::AuthUserAddRequest {
        name: name.to_owned(),
        hashed_password: HASHED.to_owned(),
        ..Default::default()
    };
    InternalRaftRequest { auth_user_add: Some(add), ..Default::default() }
}

fn delete_user(name: &str) -> InternalRaftRequest {
    let auth_user_delete = Some(etcd::AuthUserDeleteRequest { name: name.to_owned() });
    InternalRaftRequest { auth_user_delete, ..Default::default() }
}

fn change_password(name: &str, password: &str, hashed: &str) -> InternalRaftRequest {
    let change = etcd::AuthUserChangePasswordRequest {
        name: name.to_owned(),
        password: password.to_owned(),
        hashed_password: hashed.to_owned(),
    };
    InternalRaftRequest { auth_user_change_password: Some(change), ..Default::default() }
}

fn grant_role(user: &str, role: &str) -> InternalRaftRequest {
    let grant = etcd::AuthUserGrantRoleRequest { user: user.to_owned(), role: role.to_owned() };
    InternalRaftRequest { auth_user_grant_role: Some(grant), ..Default::default() }
}

fn revoke_role(name: &str, role: &str) -> InternalRaftRequest {
    let revoke = etcd::AuthUserRevokeRoleRequest { name: name.to_owned(), role: role.to_owned() };
    InternalRaftRequest { auth_user_revoke_role: Some(revoke), ..Default::default() }
}

fn add_role(name: &str) -> InternalRaftRequest {
    let auth_role_add = Some(etcd::AuthRoleAddRequest { name: name.to_owned() });
    InternalRaftRequest { auth_role_add, ..Default::default() }
}

fn delete_role(role: &str) -> InternalRaftRequest {
    let auth_role_delete = Some(etcd::AuthRoleDeleteRequest { role: role.to_owned() });
    InternalRaftRequest { auth_role_delete, ..Default::default() }
}

fn grant_permission(role: &str, perm: Option<Permission>) -> InternalRaftRequest {
    let grant = etcd::AuthRoleGrantPermissionRequest { name: role.to_owned(), perm };
    InternalRaftRequest { auth_role_grant_permission: Some(grant), ..Default::default() }
}

fn grant_range(
    role: &str,
    kind: Type,
    key: &'static str,
    end: &'static str,
) -> InternalRaftRequest {
    let perm = Permission { perm_type: kind as i32, key: key.into(), range_end: end.into() };
    grant_permission(role, Some(perm))
}

fn revoke_permission(role: &str, key: &[u8], end: &[u8]) -> InternalRaftRequest {
    let revoke = etcd::AuthRoleRevokePermissionRequest {
        role: role.to_owned(),
        key: Bytes::copy_from_slice(key),
        range_end: Bytes::copy_from_slice(end),
    };
    InternalRaftRequest { auth_role_revoke_permission: Some(revoke), ..Default::default() }
}

fn login(name: &str, simple_token: &str) -> InternalRaftRequest {
    let login = etcd::InternalAuthenticateRequest {
        name: name.to_owned(),
        simple_token: simple_token.to_owned(),
        ..Default::default()
    };
    InternalRaftRequest { authenticate: Some(login), ..Default::default() }
}

fn txn(success: Vec<Request>, failure: Vec<Request>) -> TxnRequest {
    let ops =
        |ops: Vec<Request>| ops.into_iter().map(|op| RequestOp { request: Some(op) }).collect();
    TxnRequest { success: ops(success), failure: ops(failure), ..Default::default() }
}

fn propose_txn(txn: TxnRequest) -> InternalRaftRequest {
    InternalRaftRequest { txn: Some(txn), ..Default::default() }
}

fn put_op(key: &'static str, lease: i64, prev_kv: bool) -> Request {
    Request::RequestPut(PutRequest {
        key: key.into(),
        value: "v".into(),
        lease,
        prev_kv,
        ..Default::default()
    })
}

fn reply(answer: Refused) -> AuthReply {
    match answer {
        Ok(Answer::Auth { header, reply }) => {
            assert!(header.is_some());
            reply
        }
        other => unreachable!("{other:?}"),
    }
}

/// Everything a store holds but its marks.
fn dump(store: &MemBackend) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    let mut pairs = Vec::new();
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Meta) {
        let all = (Bound::Unbounded, Bound::Unbounded);
        store
            .scan(table, all, &mut |key, value| {
                pairs.push((table, key.to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    pairs
}

/// etcd's 14571: enabling auth was applied differently on members. Which entries count is
/// decided by the log alone, however it is cut and wherever a member starts again.
#[test]
fn enabling_auth_applies_alike_on_every_member() {
    let mut first = Bench::guarded();
    let outdated = first.user("ada");
    first.by(None, put("a", 0)).unwrap_err();
    first.as_user("ada", put("a", 0)).unwrap();
    first.by(Some(&Identity::server()), grant_role("ada", "root")).unwrap();
    let refused = first.by(Some(&outdated), put("b", 0));
    assert_eq!(refused, Err(EtcdError::AuthOldRevision));
    first.as_user("root", disable()).unwrap();
    first.by(None, put("z", 0)).unwrap();
    first.by(None, enable()).unwrap();
    first.by(None, put("z", 0)).unwrap_err();
    for length in 1..first.log.len() {
        let store = MemBackend::new();
        let mut machine = open(&store);
        let mut outcomes = Vec::new();
        for piece in first.log.chunks(length) {
            outcomes.extend(machine.apply(piece, NOW).unwrap().outcomes);
            store.flush().unwrap();
            machine = open(&store);
        }
        assert_eq!(dump(&store), dump(&first.store), "in pieces of {length}");
        assert_eq!(machine.auth(), first.machine.auth());
        let refused = outcomes.iter().filter(|outcome| outcome.answer.is_err()).count();
        assert_eq!(refused, 3, "in pieces of {length}");
    }
}

/// CVE-2026-33343: what was nested in a transaction was not asked about.
#[test]
fn a_nested_transaction_asks_for_permission_like_any_other() {
    let mut bench = Bench::guarded();
    let z = Bytes::from_static(b"z");
    let range = Request::RequestRange(RangeRequest { key: z.clone(), ..Default::default() });
    let delete =
        Request::RequestDeleteRange(DeleteRangeRequest { key: z.clone(), ..Default::default() });
    let compare = TxnRequest {
        compare: vec![Compare { key: z, ..Default::default() }],
        ..TxnRequest::default()
    };
    let forbidden = [range, delete, put_op("z", 0, false), Request::RequestTxn(compare)];
    let before = dump(&bench.store);
    for op in forbidden {
        for depth in 0..4 {
            // In the branch that is taken, and in the one that is not.
            for taken in [true, false] {
                let mut nested = op.clone();
                for _ in 0..depth {
                    nested = Request::RequestTxn(txn(vec![nested], Vec::new()));
                }
                let own = put_op("a", 0, false);
                let (success, failure) =
                    if taken { (vec![own, nested], vec![]) } else { (vec![own], vec![nested]) };
                let refused = bench.as_user("ada", propose_txn(txn(success, failure)));
                assert_eq!(refused, Err(EtcdError::PermissionDenied), "{op:?} {depth} {taken}");
            }
        }
    }
    assert_eq!(dump(&bench.store), before);
    let own = Request::RequestTxn(txn(vec![put_op("a", 0, true)], Vec::new()));
    bench.as_user("ada", propose_txn(txn(vec![own], Vec::new()))).unwrap();
    bench.by(None, propose_txn(TxnRequest::default())).unwrap();
}

/// CVE-2026-44283: `prev_kv` and `lease` of a put inside a transaction were not asked about.
#[test]
fn a_put_in_a_transaction_asks_for_what_prev_kv_and_its_lease_take() {
    let mut bench = Bench::guarded();
    bench.as_user("root", grant_range("r", Type::Write, "w", "")).unwrap();
    bench.as_user("root", grant(5)).unwrap();
    bench.as_user("root", put("z", 5)).unwrap();
    let before = dump(&bench.store);
    for (op, allowed) in [
        (put_op("w", 0, false), true),
        (put_op("w", 0, true), false),
        (put_op("a", 0, true), true),
        (put_op("a", 5, false), false),
    ] {
        let alone = InternalRaftRequest {
            put: match &op {
                Request::RequestPut(put) => Some(put.clone()),
                _ => None,
            },
            ..Default::default()
        };
        let nested = Request::RequestTxn(txn(vec![op.clone()], Vec::new()));
        let ways = [
            alone,
            propose_txn(txn(vec![op.clone()], vec![])),
            propose_txn(txn(vec![], vec![nested])),
        ];
        for way in ways {
            let answer = bench.as_user("ada", way);
            assert_eq!(answer.is_ok(), allowed, "{op:?} {answer:?}");
            assert!(allowed || answer == Err(EtcdError::PermissionDenied));
        }
        if !allowed {
            assert_eq!(bench.machine.time_to_live(LeaseId(5), NOW, true).unwrap().keys, ["z"]);
        }
    }
    assert_ne!(dump(&bench.store), before);
}

/// CVE-2023-32082: asking what is left of a lease gave away the names of its keys.
#[test]
fn asking_for_the_keys_of_a_lease_takes_the_right_to_read_them() {
    let mut bench = Bench::guarded();
    for (id, key) in [(5, "z"), (6, "c")] {
        bench.as_user("root", grant(id)).unwrap();
        bench.as_user("root", put(key, id)).unwrap();
    }
    let ask = |id, keys| etcd::LeaseTimeToLiveRequest { id, keys };
    let ada = bench.user("ada");
    let permit = |who: Option<&Identity>, request| {
        bench.machine.permit(who, &Call::LeaseTimeToLive(&request))
    };
    assert_eq!(permit(Some(&ada), ask(5, true)), Err(EtcdError::PermissionDenied));
    assert_eq!(permit(Some(&ada), ask(5, false)), Ok(()));
    assert_eq!(permit(Some(&ada), ask(6, true)), Ok(()));
    assert_eq!(permit(None, ask(6, false)), Err(EtcdError::UserEmpty));
    assert_eq!(permit(Some(&bench.user("root")), ask(5, true)), Ok(()));
    let leases = etcd::LeaseLeasesRequest {};
    let listed = bench.machine.permit(Some(&ada), &Call::LeaseLeases(&leases));
    assert_eq!(listed, Err(EtcdError::PermissionDenied), "one of them has a key of others");
    let renew = |id| {
        let request = etcd::LeaseKeepAliveRequest { id };
        bench.machine.permit(Some(&ada), &Call::LeaseKeepAlive(&request))
    };
    assert_eq!(renew(6), Err(EtcdError::PermissionDenied), "reading is not enough");
    assert_eq!(renew(7), Ok(()), "there is no such lease");
}

/// GHSA-xg4h-6gfc-h4m8: a watch from a key on was allowed to whoever may read that key.
#[test]
fn a_watch_from_a_key_on_takes_more_than_that_key() {
    let mut bench = Bench::guarded();
    bench.as_user("root", grant_range("r", Type::Read, "q", "")).unwrap();
    let ada = bench.user("ada");
    let watch = |key: &'static str, end: &'static str| {
        let (key, range_end) = (key.into(), end.into());
        let request = etcd::WatchCreateRequest { key, range_end, ..Default::default() };
        bench.machine.permit(Some(&ada), &Call::WatchCreate(&request))
    };
    assert_eq!([watch("q", ""), watch("a", "e")], [Ok(()), Ok(())]);
    for (key, end) in [("q", "\0"), ("a", "\0"), ("", "\0"), ("", ""), ("", "c"), ("q", "r")] {
        assert_eq!(watch(key, end), Err(EtcdError::PermissionDenied), "{key:?} {end:?}");
    }
}

/// etcd's #22386: raising the alarm of a full store took the question of permission away.
#[test]
fn a_full_store_asks_for_permission_all_the_same() {
    let mut bench = Bench::guarded();
    bench.as_user("root", put("z", 0)).unwrap();
    let raised = bench.by(None, alarm(AlarmAction::Activate));
    assert_eq!(raised, Err(EtcdError::UserEmpty), "nobody raises alarms");
    bench.by(Some(&Identity::server()), alarm(AlarmAction::Activate)).unwrap();
    let before = dump(&bench.store);
    for request in [put("z", 0), delete("z")] {
        assert_eq!(bench.by(None, request.clone()), Err(EtcdError::UserEmpty));
        assert_eq!(bench.as_user("ada", request), Err(EtcdError::PermissionDenied));
    }
    assert_eq!(bench.as_user("ada", compact(2)), Err(EtcdError::PermissionDenied));
    assert_eq!(bench.as_user("ada", add_user("eve")), Err(EtcdError::PermissionDenied));
    assert_eq!(
        bench.as_user("ada", alarm(AlarmAction::Deactivate)),
        Err(EtcdError::PermissionDenied)
    );
    bench.store.flush().unwrap();
    bench.machine = open(&bench.store);
    assert_eq!(bench.as_user("ada", delete("z")), Err(EtcdError::PermissionDenied), "reopened");
    assert_eq!(bench.as_user("ada", put("a", 0)), Err(EtcdError::NoSpace));
    assert_eq!(dump(&bench.store), before);
    bench.as_user("ada", delete("a")).unwrap();
    bench.as_user("root", alarm(AlarmAction::Deactivate)).unwrap();
    bench.as_user("ada", put("a", 0)).unwrap();
}

/// CVE-2026-33413: calls that nobody thought of as secret asked nobody who they are.
#[test]
fn what_asks_about_the_cluster_wants_to_know_who_asks() {
    let bench = Bench::guarded();
    let (ada, root) = (bench.user("ada"), bench.user("root"));
    let permit = |call: &Call<'_>| {
        [None, Some(&ada), Some(&root)].map(|who| bench.machine.permit(who, call))
    };
    let anybody = [Err(EtcdError::UserEmpty), Ok(()), Ok(())];
    let root_only = [Err(EtcdError::UserEmpty), Err(EtcdError::PermissionDenied), Ok(())];
    let activate = etcd::AlarmRequest { action: 1, ..Default::default() };
    assert_eq!(permit(&Call::MemberList(&Default::default())), anybody);
    assert_eq!(permit(&Call::Status(&Default::default())), anybody);
    assert_eq!(permit(&Call::Alarm(&Default::default())), anybody);
    assert_eq!(permit(&Call::LeaseGrant(&Default::default())), anybody);
    assert_eq!(permit(&Call::LeaseTimeToLive(&Default::default())), anybody);
    assert_eq!(permit(&Call::LeaseLeases(&Default::default())), anybody);
    assert_eq!(permit(&Call::Alarm(&activate)), root_only);
    assert_eq!(permit(&Call::Compact(&Default::default())), root_only);
    assert_eq!(permit(&Call::MemberAdd(&Default::default())), root_only);
    assert_eq!(permit(&Call::MoveLeader(&Default::default())), root_only);
    assert_eq!(permit(&Call::HashKv(&Default::default())), root_only);
    assert_eq!(permit(&Call::AuthStatus(&Default::default())), [Ok(()), Ok(()), Ok(())]);
    assert_eq!(permit(&Call::Authenticate(&Default::default())), [Ok(()), Ok(()), Ok(())]);
}

#[test]
fn a_lease_that_ran_out_ends_whoever_may_write_its_keys() {
    let mut bench = Bench::guarded();
    for id in [5, 6, 7] {
        bench.as_user("root", grant(id)).unwrap();
        bench.as_user("root", put("z", id)).unwrap();
    }
    bench.as_user("root", put("a", 6)).unwrap();
    assert_eq!(bench.by(None, revoke(7)), Err(EtcdError::UserEmpty));
    assert_eq!(bench.as_user("ada", revoke(7)), Err(EtcdError::PermissionDenied));
    assert!(bench.machine.time_to_live(LeaseId(7), NOW, false).is_some());
    bench.as_user("ada", revoke(6)).unwrap();
    bench.as_user("root", add_user("eve")).unwrap();
    let output = bench.output_by(Some(&Identity::server()), revoke(7));
    assert!(output.outcomes[0].answer.is_ok());
    assert_eq!(output.events[0].events[0].key, "z");
    let names_root = header(0, Some(&Identity::server()));
    assert_eq!(identity(Some(&names_root)), Some(Identity::server()));
    assert_eq!(identity(Some(&header(7, None))), None);
}

#[test]
fn a_login_gets_the_token_that_every_member_knows() {
    let mut bench = Bench::new();
    assert_eq!(bench.by(None, login("ada", "word")), Err(EtcdError::AuthNotEnabled));
    let mut bench = Bench::guarded();
    let cert = etcd::AuthUserAddRequest {
        name: "cert".to_owned(),
        options: Some(UserAddOptions { no_password: true }),
        ..Default::default()
    };
    let cert = InternalRaftRequest { auth_user_add: Some(cert), ..Default::default() };
    bench.as_user("root", cert).unwrap();
    assert_eq!(bench.by(None, login("eve", "word")), Err(EtcdError::AuthFailed));
    let refused = bench.by(None, login("cert", "word"));
    assert_eq!(refused, Err(EtcdError::PasswordForNoPasswordUser));
    let token = format!("word.{}", bench.log.len());
    let output = bench.output_by(None, login("ada", "word"));
    let issued = TokenChange::Issued { user: "ada".to_owned(), token: token.clone() };
    assert_eq!((output.tokens, output.auth_changed), (vec![issued], false));
    assert_eq!(reply(output.outcomes[0].answer.clone()), AuthReply::Token(token));
    let signed = bench.output_by(None, login("ada", ""));
    assert_eq!(signed.tokens, [], "a token that carries its own proof is not kept");

    let gone = TokenChange::UserDropped("ada".to_owned());
    let root = bench.user("root");
    for (request, tokens) in [
        (change_password("ada", "", HASHED), vec![gone.clone()]),
        (change_password("eve", "", HASHED), vec![]),
        (revoke_role("ada", "r"), vec![]),
        (delete_user("ada"), vec![gone]),
        (disable(), vec![TokenChange::AllDropped]),
        (disable(), vec![]),
    ] {
        let output = bench.output_by(Some(&root), request.clone());
        assert_eq!(output.tokens, tokens, "{request:?}");
        let changed = !output.tokens.is_empty() || request.auth_user_revoke_role.is_some();
        assert_eq!(output.auth_changed, changed, "{request:?}");
    }
}

#[test]
fn questions_about_users_and_roles_are_answered() {
    let mut bench = Bench::guarded();
    let status =
        InternalRaftRequest { auth_status: Some(etcd::AuthStatusRequest {}), ..Default::default() };
    let revision = bench.machine.auth().revision();
    assert_eq!(reply(bench.by(None, status)), AuthReply::Status { enabled: true, revision });
    let get = |name: &str| InternalRaftRequest {
        auth_user_get: Some(etcd::AuthUserGetRequest { name: name.to_owned() }),
        ..Default::default()
    };
    assert_eq!(reply(bench.as_user("ada", get("ada"))), AuthReply::Names(vec!["r".to_owned()]));
    assert_eq!(bench.as_user("ada", get("root")), Err(EtcdError::PermissionDenied));
    assert_eq!(bench.as_user("root", get("eve")), Err(EtcdError::UserNotFound));
    let users = InternalRaftRequest {
        auth_user_list: Some(etcd::AuthUserListRequest {}),
        ..Default::default()
    };
    let names = ["ada", "root"].map(str::to_owned).to_vec();
    assert_eq!(reply(bench.as_user("root", users)), AuthReply::Names(names));
    let roles = InternalRaftRequest {
        auth_role_list: Some(etcd::AuthRoleListRequest {}),
        ..Default::default()
    };
    assert_eq!(bench.as_user("ada", roles), Err(EtcdError::PermissionDenied));
    let role = |role: &str| InternalRaftRequest {
        auth_role_get: Some(etcd::AuthRoleGetRequest { role: role.to_owned() }),
        ..Default::default()
    };
    let AuthReply::Permissions(held) = reply(bench.as_user("ada", role("r"))) else {
        unreachable!("a role's permissions were asked for")
    };
    let kinds: Vec<i32> = held.iter().map(|permission| permission.perm_type).collect();
    assert_eq!(kinds, [Type::Readwrite as i32, Type::Read as i32]);
    assert_eq!(bench.as_user("ada", role("s")), Err(EtcdError::PermissionDenied));
    assert_eq!(bench.as_user("root", role("s")), Err(EtcdError::RoleNotFound));
}

#[test]
fn passwords_are_taken_as_hashes_only() {
    let mut bench = Bench::guarded();
    let mut clear = add_user("eve");
    clear.auth_user_add.as_mut().unwrap().hashed_password = String::new();
    bench.as_user("root", clear.clone()).unwrap();
    assert_eq!(bench.machine.auth().user("eve").unwrap().password_hash(), b"");
    clear.auth_user_add.as_mut().unwrap().name = "bob".to_owned();
    clear.auth_user_add.as_mut().unwrap().password = "clear".to_owned();
    let refused = bench.as_user("root", clear);
    assert_eq!(refused, Err(EtcdError::PasswordForNoPasswordUser), "no two members hash alike");
    let refused = bench.as_user("root", change_password("ada", "", "not base64"));
    assert_eq!(refused, Err(EtcdError::PasswordForNoPasswordUser));
    bench.as_user("root", change_password("ada", "clear", "bmV3")).unwrap();
    assert_eq!(bench.machine.auth().user("ada").unwrap().password_hash(), b"new");
    let none = bench.as_user("root", grant_permission("r", None));
    assert_eq!(none, Err(EtcdError::PermissionNotGiven));
}

/// The entry that makes a change of the naive model.
fn entry_of(change: &Change) -> InternalRaftRequest {
    match change {
        Change::Enable => enable(),
        Change::Disable => disable(),
        Change::AddUser(user) => add_user(user),
        Change::DeleteUser(user) => delete_user(user),
        Change::Password(user) => change_password(user, "", HASHED),
        Change::GrantRole(user, role) => grant_role(user, role),
        Change::RevokeRole(user, role) => revoke_role(user, role),
        Change::AddRole(role) => add_role(role),
        Change::DeleteRole(role) => delete_role(role),
        Change::Grant(role, permission) => {
            grant_permission(role, Some(convert::permission_message(permission.clone())))
        }
        Change::Revoke(role, key, end) => revoke_permission(role, key, end),
    }
}

fn draw_request(random: &mut SmallRng) -> InternalRaftRequest {
    let mut request = InternalRaftRequest::default();
    match random.random_range(0..12) {
        0..4 => request.put = Some(calls::put(random)),
        4 => request.range = Some(calls::range(random)),
        5 => request.delete_range = Some(calls::delete(random)),
        6..9 => request.txn = Some(calls::txn(random, 2)),
        9 => return grant(random.random_range(1..4)),
        10 => return revoke(random.random_range(1..4)),
        _ => return compact(random.random_range(1..20)),
    }
    request
}

fn attached(machine: &Machine) -> Attached {
    let keys = |id| Some((id, machine.time_to_live(LeaseId(id), NOW, true)?.keys));
    Attached((1..4).filter_map(keys).collect::<BTreeMap<_, _>>())
}

/// Random entries by random users: what the naive model refuses is refused with its error and
/// changes nothing, what it allows is not refused for want of permission; and the log gives the
/// same store to whoever reads it later.
#[test]
fn random_logs_are_applied_as_far_as_the_naive_model_permits() {
    let mut random = SmallRng::seed_from_u64(33);
    let (mut refused, mut permitted) = (0, 0);
    for _ in 0..30 {
        let (mut bench, mut naive) = (Bench::new(), Naive::default());
        let mut founding = founding().into_iter();
        for step in 0..200 {
            let change = match step {
                0..40 => Some(draw_change(&mut random)),
                40..43 => founding.next(),
                _ => random.random_ratio(1, 8).then(|| draw_change(&mut random)),
            };
            let request = change.as_ref().map_or_else(|| draw_request(&mut random), entry_of);
            let now = bench.machine.auth().revision();
            let who = match change {
                Some(_) if random.random_ratio(3, 4) => Some(Identity::server()),
                _ => draw_identity(&mut random, now),
            };
            let call = Call::of(&request).unwrap();
            let expected = naive.decide(who.as_ref(), &takes(&call, &attached(&bench.machine)));
            let before = dump(&bench.store);
            let answer = bench.by(who.as_ref(), request.clone());
            match (expected, &change) {
                (Err(denied), _) => {
                    refused += 1;
                    assert_eq!(answer, Err(convert::denial(denied)), "{who:?} {request:?}");
                    assert_eq!(dump(&bench.store), before, "{request:?}");
                }
                (Ok(()), Some(change)) => {
                    let changed = naive.apply(change).map_err(convert::auth_refusal);
                    assert_eq!(answer.map(drop), changed, "{change:?}");
                }
                (Ok(()), None) => {
                    permitted += 1;
                    let denials = [
                        EtcdError::PermissionDenied,
                        EtcdError::AuthOldRevision,
                        EtcdError::UserEmpty,
                    ];
                    let denied = answer.is_err_and(|error| denials.contains(&error));
                    assert!(!denied, "{who:?} {request:?}");
                }
            }
        }
        let store = MemBackend::new();
        let mut machine = open(&store);
        machine.apply(&bench.log, NOW).unwrap();
        assert_eq!(dump(&store), dump(&bench.store), "the log in one piece");
    }
    assert!(refused > 500 && permitted > 500, "{refused} refused, {permitted} permitted");
}
