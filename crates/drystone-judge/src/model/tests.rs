//! The model against what etcd was seen to answer.

use super::*;
use drystone_api::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use drystone_api::etcdserverpb::range_request::{SortOrder, SortTarget};
use drystone_api::etcdserverpb::{Compare, LeaseCheckpoint, response_op};

fn put(key: &'static str, value: &'static str) -> PutRequest {
    PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() }
}

fn range(key: &'static str, end: &'static str) -> RangeRequest {
    RangeRequest { key: key.into(), range_end: end.into(), ..RangeRequest::default() }
}

fn delete(key: &'static str, end: &'static str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: key.into(), range_end: end.into(), prev_kv: true }
}

fn op(request: request_op::Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn op_put(put: PutRequest) -> RequestOp {
    op(request_op::Request::RequestPut(put))
}

fn op_range(range: RangeRequest) -> RequestOp {
    op(request_op::Request::RequestRange(range))
}

fn op_delete(delete: DeleteRangeRequest) -> RequestOp {
    op(request_op::Request::RequestDeleteRange(delete))
}

fn txn(success: Vec<RequestOp>) -> TxnRequest {
    TxnRequest { success, ..TxnRequest::default() }
}

fn pair(key: &'static str, value: &'static str, numbers: [i64; 3]) -> KeyValue {
    let [create_revision, mod_revision, version] = numbers;
    let (key, value) = (key.into(), value.into());
    KeyValue { key, value, create_revision, mod_revision, version, lease: 0 }
}

fn run(model: &mut Model, command: InternalRaftRequest) -> Result<Option<Response>, EtcdError> {
    model.apply(&command)
}

fn do_put(model: &mut Model, put: PutRequest) -> Result<PutResponse, EtcdError> {
    match run(model, InternalRaftRequest { put: Some(put), ..Default::default() })? {
        Some(Response::Put(answer)) => Ok(answer),
        other => panic!("a put was answered by {other:?}"),
    }
}

fn do_delete(model: &mut Model, delete: DeleteRangeRequest) -> DeleteRangeResponse {
    match run(model, InternalRaftRequest { delete_range: Some(delete), ..Default::default() }) {
        Ok(Some(Response::DeleteRange(answer))) => answer,
        other => panic!("a delete was answered by {other:?}"),
    }
}

fn do_txn(model: &mut Model, txn: TxnRequest) -> Result<TxnResponse, EtcdError> {
    match run(model, InternalRaftRequest { txn: Some(txn), ..Default::default() })? {
        Some(Response::Txn(answer)) => Ok(answer),
        other => panic!("a transaction was answered by {other:?}"),
    }
}

fn compact(model: &mut Model, revision: i64) -> Result<(), EtcdError> {
    let compaction = Some(CompactionRequest { revision, physical: false });
    run(model, InternalRaftRequest { compaction, ..Default::default() }).map(drop)
}

fn grant(model: &mut Model, id: i64, ttl: i64) -> Result<i64, EtcdError> {
    let lease_grant = Some(LeaseGrantRequest { id, ttl });
    match run(model, InternalRaftRequest { lease_grant, ..Default::default() })? {
        Some(Response::LeaseGrant(answer)) => Ok(answer.ttl),
        other => panic!("a grant was answered by {other:?}"),
    }
}

fn revoke(model: &mut Model, id: i64) -> Result<(), EtcdError> {
    let lease_revoke = Some(LeaseRevokeRequest { id });
    run(model, InternalRaftRequest { lease_revoke, ..Default::default() }).map(drop)
}

/// Keys of an answer, joined.
fn keys(answer: &RangeResponse) -> String {
    let keys = answer.kvs.iter().map(|pair| String::from_utf8_lossy(&pair.key).into_owned());
    keys.collect::<Vec<_>>().join(",")
}

/// k0 to k4 with values 9 to 5, k2 once more: revisions 2 to 7.
fn five() -> Model {
    let mut model = Model::default();
    for (key, value) in [("k0", "9"), ("k1", "8"), ("k2", "7"), ("k3", "6"), ("k4", "5")] {
        do_put(&mut model, put(key, value)).unwrap();
    }
    do_put(&mut model, put("k2", "7")).unwrap();
    model
}

#[test]
fn puts_and_reads_of_revisions_answer_as_etcd_does() {
    let mut model = Model::default();
    let empty = model.range(&range("x", "")).unwrap();
    assert_eq!((empty.header, empty.count), (header(1), 0));
    assert_eq!(do_put(&mut model, put("a", "1")).unwrap().header, header(2));
    let again = do_put(&mut model, PutRequest { prev_kv: true, ..put("a", "2") }).unwrap();
    assert_eq!((again.header, again.prev_kv), (header(3), Some(pair("a", "1", [2, 2, 1]))));
    let at = |revision| model.range(&RangeRequest { revision, ..range("a", "") });
    assert_eq!(at(2).unwrap().kvs, [pair("a", "1", [2, 2, 1])]);
    assert_eq!(at(2).unwrap().header, header(3));
    assert_eq!(at(-5).unwrap().kvs, [pair("a", "2", [2, 3, 2])]);
    assert_eq!(at(100), Err(EtcdError::FutureRev));
    assert_eq!(at(1).unwrap().kvs, []);
}

#[test]
fn limits_sorts_and_filters_come_in_etcds_order() {
    let model = five();
    let all = RangeRequest { limit: 2, ..range("k", "l") };
    let read = |request: RangeRequest| model.range(&request).unwrap();
    let first = read(all.clone());
    assert_eq!((keys(&first).as_str(), first.more, first.count), ("k0,k1", true, 5));
    let by_value = RangeRequest { sort_target: SortTarget::Value as i32, ..all.clone() };
    assert_eq!(keys(&read(by_value.clone())), "k2,k1");
    let ascend = RangeRequest { sort_order: SortOrder::Ascend as i32, ..by_value };
    assert_eq!(keys(&read(ascend)), "k4,k3");
    let descend = RangeRequest { sort_order: SortOrder::Descend as i32, ..all.clone() };
    assert_eq!(keys(&read(descend)), "k4,k3");
    let filtered = read(RangeRequest { min_mod_revision: 4, ..all.clone() });
    assert_eq!((keys(&filtered).as_str(), filtered.more, filtered.count), ("k2,k3", true, 5));
    let counted = read(RangeRequest { count_only: true, ..all });
    assert_eq!((counted.kvs.len(), counted.more, counted.count), (0, false, 5));
}

#[test]
fn a_delete_makes_one_revision_for_all_its_keys_and_none_for_no_key() {
    let mut model = five();
    assert_eq!(do_delete(&mut model, delete("x", "")).header, header(7));
    assert_eq!(model.last_events(), []);
    let deleted = do_delete(&mut model, delete("k1", "k3"));
    assert_eq!((deleted.header, deleted.deleted), (header(8), 2));
    assert_eq!(deleted.prev_kvs, [pair("k1", "8", [3, 3, 1]), pair("k2", "7", [4, 7, 2])]);
    let [first, second] = model.last_events() else { panic!("two keys, two events") };
    let tombstone = |key| KeyValue { mod_revision: 8, ..pair(key, "", [0; 3]) };
    assert_eq!(first.kv, Some(tombstone("k1")));
    assert_eq!(second.kv, Some(tombstone("k2")));
    assert_eq!(second.prev_kv, Some(pair("k2", "7", [4, 7, 2])));
    assert_eq!(do_put(&mut model, put("k1", "")).unwrap().header, header(9));
    assert_eq!(model.range(&range("k1", "")).unwrap().kvs, [pair("k1", "", [9, 9, 1])]);
}

#[test]
fn operations_of_a_transaction_see_those_before_them() {
    let mut model = Model::default();
    do_put(&mut model, put("a", "1")).unwrap();
    let at_base = RangeRequest { revision: 2, ..range("a", "") };
    let ops = vec![
        op_range(range("a", "")),
        op_delete(delete("a", "")),
        op_range(range("a", "")),
        op_range(at_base),
    ];
    let answer = do_txn(&mut model, txn(ops)).unwrap();
    assert_eq!(answer.header, header(3));
    let seen: Vec<_> = answer
        .responses
        .iter()
        .map(|response| match &response.response {
            Some(response_op::Response::ResponseRange(range)) => (range.header, range.count),
            Some(response_op::Response::ResponseDeleteRange(delete)) => {
                (delete.header, delete.deleted)
            }
            other => panic!("unexpected {other:?}"),
        })
        .collect();
    assert_eq!(seen, [(header(2), 1), (header(3), 1), (header(3), 0), (header(3), 1)]);
    let own = op_range(RangeRequest { revision: 4, ..range("a", "") });
    let before = model.fingerprint();
    let refused = do_txn(&mut model, txn(vec![op_put(put("b", "")), own]));
    assert_eq!(refused, Err(EtcdError::FutureRev));
    assert_eq!((model.revision(), model.pairs().count()), (3, 0), "nothing of it stays");
    assert_eq!(model.fingerprint(), before);
}

#[test]
fn nested_transactions_are_decided_before_anything_happens() {
    let mut model = Model::default();
    let absent = Compare {
        key: "n1".into(),
        target: CompareTarget::Version as i32,
        target_union: Some(TargetUnion::Version(0)),
        ..Compare::default()
    };
    let nested = TxnRequest { compare: vec![absent], ..txn(vec![op_put(put("n2", ""))]) };
    let ops = vec![
        op_put(put("n1", "")),
        op(request_op::Request::RequestTxn(nested)),
        op_delete(delete("zzz", "")),
    ];
    let answer = do_txn(&mut model, txn(ops)).unwrap();
    let Some(response_op::Response::ResponseTxn(nested)) = &answer.responses[1].response else {
        panic!("a transaction answers a transaction")
    };
    assert!(nested.succeeded);
    assert_eq!(nested.header, Some(ResponseHeader::default()));
    assert_eq!(model.pairs().count(), 2);
}

#[test]
fn every_compare_looks_at_what_it_names() {
    let mut model = five();
    grant(&mut model, 5, 10).unwrap();
    do_put(&mut model, PutRequest { lease: 5, ..put("m", "v") }).unwrap();
    let holds = |key: &'static str, end: &'static str, target, result, operand| {
        let compare = Compare {
            key: key.into(),
            range_end: end.into(),
            target: target as i32,
            result: result as i32,
            target_union: operand,
        };
        model.view().holds(&compare)
    };
    use CompareResult::{Equal, Greater, Less, NotEqual};
    use CompareTarget::{Create, Lease, Mod, Value, Version};
    use TargetUnion as Is;
    assert!(holds("m", "", Lease, Equal, Some(Is::Lease(5))));
    assert!(holds("m", "", Value, NotEqual, Some(Is::Value("w".into()))));
    assert!(holds("m", "", Value, Greater, None), "no operand is an empty value");
    assert!(holds("k2", "", Version, Equal, Some(Is::Version(2))));
    assert!(holds("k2", "", Create, Less, Some(Is::CreateRevision(5))));
    assert!(holds("k", "l", Mod, Greater, Some(Is::ModRevision(1))), "all of a range");
    assert!(!holds("k", "l", Mod, Less, Some(Is::ModRevision(7))), "not all of a range");
    assert!(holds("x", "", Create, Equal, None), "an absent key compares 0");
    assert!(!holds("x", "", Value, Equal, None), "an absent key has no value");
    assert!(!holds("x", "", Value, NotEqual, Some(Is::Value("x".into()))));
    assert!(!holds("k2", "", Version, Equal, Some(Is::Lease(2))), "another operand is 0");
}

#[test]
fn compaction_bounds_what_can_be_asked() {
    let mut model = five();
    assert_eq!(compact(&mut model, 8), Err(EtcdError::FutureRev));
    assert_eq!(compact(&mut model, 0), Ok(()), "once");
    assert_eq!(compact(&mut model, 0), Err(EtcdError::Compacted));
    assert_eq!(compact(&mut model, 5), Ok(()));
    let at = |revision| model.range(&RangeRequest { revision, ..range("k", "l") });
    assert_eq!(at(4), Err(EtcdError::Compacted));
    assert_eq!(keys(&at(5).unwrap()), "k0,k1,k2,k3");
    let read = |revision| {
        let read = RangeRequest { revision, ..range("k0", "") };
        model.read_txn(&txn(vec![op_range(read)])).map(drop)
    };
    assert_eq!(read(-1), Err(EtcdError::Compacted));
    assert_eq!(read(5), Ok(()));
    assert_eq!(read(8), Err(EtcdError::FutureRev));
}

#[test]
fn leases_hold_keys_and_take_them_along() {
    let mut model = Model::default();
    assert_eq!(grant(&mut model, 5, -5), Ok(2));
    assert_eq!(grant(&mut model, 5, 10), Err(EtcdError::LeaseExist));
    assert_eq!(grant(&mut model, 6, 9_000_000_001), Err(EtcdError::LeaseTTLTooLarge));
    let leased = |key, lease| PutRequest { lease, ..put(key, "v") };
    assert_eq!(do_put(&mut model, leased("a", 6)), Err(EtcdError::LeaseNotFound));
    for key in ["c", "a", "b"] {
        do_put(&mut model, leased(key, 5)).unwrap();
    }
    do_put(&mut model, PutRequest { ignore_value: true, ..put("b", "") }).unwrap();
    assert_eq!(model.attached(5), ["a", "c"], "a put without a lease detaches");
    assert_eq!(model.range(&range("b", "")).unwrap().kvs, [pair("b", "v", [4, 5, 2])]);
    do_put(&mut model, PutRequest { ignore_lease: true, ..put("c", "w") }).unwrap();
    let checkpoints = vec![LeaseCheckpoint { id: 5, remaining_ttl: 1 }];
    let lease_checkpoint = Some(LeaseCheckpointRequest { checkpoints });
    assert_eq!(
        run(&mut model, InternalRaftRequest { lease_checkpoint, ..Default::default() }),
        Ok(None)
    );
    assert_eq!(model.lease(5), Some(Lease { ttl_seconds: 2, remaining_seconds: 1 }));
    assert_eq!(revoke(&mut model, 5), Ok(()));
    let gone: Vec<_> = model.last_events().iter().filter_map(|event| event.kv.clone()).collect();
    let gone: Vec<_> = gone.iter().map(|pair| (pair.key.as_ref(), pair.mod_revision)).collect();
    assert_eq!(gone, [(b"a".as_slice(), 7), (b"c", 7)]);
    assert_eq!(revoke(&mut model, 5), Err(EtcdError::LeaseNotFound));
    assert_eq!((model.revision(), model.leases().count()), (7, 0));
}

#[test]
fn what_is_to_be_kept_must_exist_before_and_during_a_transaction() {
    let mut model = Model::default();
    do_put(&mut model, put("a", "1")).unwrap();
    let keep = |key| PutRequest { ignore_value: true, ..put(key, "") };
    assert_eq!(do_put(&mut model, keep("b")), Err(EtcdError::KeyNotFound));
    let gone = txn(vec![op_delete(delete("a", "\0")), op_put(keep("a"))]);
    assert_eq!(do_txn(&mut model, gone), Err(EtcdError::KeyNotFound));
    let new = txn(vec![op_put(put("b", "")), op_put(keep("b"))]);
    assert_eq!(do_txn(&mut model, new), Err(EtcdError::KeyNotFound));
    assert_eq!((model.revision(), model.pairs().count()), (2, 1));
}

#[test]
fn a_key_deleted_and_put_in_one_transaction_is_born_again() {
    let mut model = Model::default();
    do_put(&mut model, put("a", "1")).unwrap();
    let again = txn(vec![op_delete(delete("a", "\0")), op_put(put("a", "2"))]);
    assert_eq!(do_txn(&mut model, again).unwrap().header, header(3));
    compact(&mut model, 3).unwrap();
    assert_eq!(model.range(&range("a", "")).unwrap().kvs, [pair("a", "2", [3, 3, 1])]);
    let at = RangeRequest { revision: 3, ..range("a", "") };
    assert_eq!(model.range(&at).unwrap().count, 1);
}

#[test]
fn alarms_refuse_what_they_are_for() {
    let mut model = Model::default();
    let alarm = |action: AlarmAction, alarm: AlarmType| InternalRaftRequest {
        alarm: Some(AlarmRequest { action: action as i32, member_id: 9, alarm: alarm as i32 }),
        ..Default::default()
    };
    run(&mut model, alarm(AlarmAction::Activate, AlarmType::Nospace)).unwrap();
    assert_eq!(do_put(&mut model, put("a", "")), Err(EtcdError::NoSpace));
    assert_eq!(grant(&mut model, 5, 5), Err(EtcdError::NoSpace));
    let nested = txn(vec![op(request_op::Request::RequestTxn(txn(vec![op_put(put("a", ""))])))]);
    assert_eq!(do_txn(&mut model, nested), Err(EtcdError::NoSpace));
    assert_eq!(do_delete(&mut model, delete("a", "")).deleted, 0);
    run(&mut model, alarm(AlarmAction::Deactivate, AlarmType::Nospace)).unwrap();
    run(&mut model, alarm(AlarmAction::Activate, AlarmType::Corrupt)).unwrap();
    assert_eq!(compact(&mut model, 1), Err(EtcdError::Corrupt));
}

#[test]
fn equal_states_have_equal_fingerprints_however_they_came_about() {
    let (mut left, mut right) = (Model::default(), Model::default());
    for id in [5, 6] {
        grant(&mut left, id, 10).unwrap();
        grant(&mut right, 11 - id, 10).unwrap();
    }
    assert_eq!(left.fingerprint(), right.fingerprint());
    revoke(&mut left, 5).unwrap();
    assert_ne!(left.fingerprint(), right.fingerprint());
    do_put(&mut right, put("a", "")).unwrap();
    let one = right.fingerprint();
    do_put(&mut right, put("a", "")).unwrap();
    assert_ne!(one, right.fingerprint());
}

#[test]
fn alarms_are_answered_with_those_concerned() {
    let mut model = Model::default();
    let mut ask = |action: AlarmAction, member_id, alarm: AlarmType| {
        let request = AlarmRequest { action: action as i32, member_id, alarm: alarm as i32 };
        let command = InternalRaftRequest { alarm: Some(request), ..Default::default() };
        match model.apply(&command) {
            Ok(Some(Response::Alarm(answer))) => {
                answer.alarms.iter().map(|set| (set.member_id, set.alarm)).collect::<Vec<_>>()
            }
            other => panic!("{other:?} is no answer to a question about alarms"),
        }
    };
    use AlarmAction::{Activate, Deactivate, Get};
    use AlarmType::{Corrupt, None as Any, Nospace};
    assert_eq!(ask(Activate, 9, Nospace), [(9, 1)]);
    assert_eq!(ask(Activate, 9, Nospace), [(9, 1)], "once more is the same");
    assert_eq!(ask(Activate, 9, Any), []);
    assert_eq!(ask(Activate, 8, Corrupt), [(8, 2)]);
    assert_eq!(ask(Get, 0, Any), [(8, 2), (9, 1)]);
    assert_eq!(ask(Get, 0, Nospace), [(9, 1)]);
    assert_eq!(ask(Deactivate, 0, Nospace), [], "no member is a wildcard");
    assert_eq!(ask(Deactivate, 9, Any), [], "no kind is a wildcard");
    assert_eq!(ask(Deactivate, 9, Nospace), [(9, 1)]);
    assert_eq!(ask(Get, 0, Any), [(8, 2)]);
}

/// A command with the name of who asks, recognised under this auth revision.
fn by(user: &str, auth_revision: u64, command: InternalRaftRequest) -> InternalRaftRequest {
    let username = user.to_owned();
    let header = Some(drystone_api::etcdserverpb::RequestHeader { id: 1, username, auth_revision });
    InternalRaftRequest { header, ..command }
}

#[test]
fn permission_is_asked_for_at_its_place_in_the_log() {
    use drystone_api::etcdserverpb as etcd;
    let mut model = Model::default();
    let name = |name: &str| name.to_owned();
    let user = |user| InternalRaftRequest {
        auth_user_add: Some(etcd::AuthUserAddRequest { name: name(user), ..Default::default() }),
        ..Default::default()
    };
    let grant = |user, role| InternalRaftRequest {
        auth_user_grant_role: Some(etcd::AuthUserGrantRoleRequest {
            user: name(user),
            role: name(role),
        }),
        ..Default::default()
    };
    let enable =
        InternalRaftRequest { auth_enable: Some(Default::default()), ..Default::default() };
    let role = InternalRaftRequest {
        auth_role_add: Some(etcd::AuthRoleAddRequest { name: name("r") }),
        ..Default::default()
    };
    let permission =
        drystone_api::authpb::Permission { perm_type: 1, key: "a".into(), range_end: "c".into() };
    let write = InternalRaftRequest {
        auth_role_grant_permission: Some(etcd::AuthRoleGrantPermissionRequest {
            name: name("r"),
            perm: Some(permission),
        }),
        ..Default::default()
    };
    assert_eq!(run(&mut model, enable.clone()), Err(EtcdError::RootUserNotExist));
    let founding =
        [user("root"), grant("root", "root"), user("ada"), role, write, grant("ada", "r"), enable];
    for command in founding {
        run(&mut model, command).unwrap();
    }
    let now = model.auth().revision;
    assert_eq!(now, 7, "six changes, and enabling is none");
    let put =
        |key: &'static str| InternalRaftRequest { put: Some(put(key, "1")), ..Default::default() };
    assert_eq!(run(&mut model, put("a")), Err(EtcdError::UserEmpty));
    assert_eq!(run(&mut model, by("ada", now, put("c"))), Err(EtcdError::PermissionDenied));
    assert_eq!(run(&mut model, by("ada", now - 1, put("a"))), Err(EtcdError::AuthOldRevision));
    run(&mut model, by("ada", now, put("b"))).unwrap();
    let nested = op(request_op::Request::RequestTxn(txn(vec![op_range(range("a", "c"))])));
    let reads = InternalRaftRequest { txn: Some(txn(vec![nested])), ..Default::default() };
    let refused = run(&mut model, by("ada", now, reads.clone()));
    assert_eq!(refused, Err(EtcdError::PermissionDenied), "it may only write");
    run(&mut model, by("root", now, reads)).unwrap();
    assert_eq!(model.revision(), 2);
}
