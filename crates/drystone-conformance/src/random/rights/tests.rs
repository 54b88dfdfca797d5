use super::*;
use drystone_api::authpb::Permission;

const OLD: Version = Version::new([3, 5, 1]);
const NEW: Version = Version::new([3, 7, 1]);

/// Authentication is on; `u` may read and write `a` to `c`, and is signed in.
fn rights() -> Rights {
    let mut rights = Rights::default();
    let auth = &mut rights.auth;
    auth.users.insert("u".into(), ["r".to_owned()].into());
    let granted = Permission { perm_type: 2, key: "a".into(), range_end: "c".into() };
    let role = auth.roles.entry("r".into()).or_default();
    role.insert((granted.key, granted.range_end), granted.perm_type);
    auth.enabled = true;
    rights.tokens.insert("u".into());
    rights
}

fn by(who: &str, call: Call) -> Call {
    let who = if who.is_empty() { Who::Nobody } else { Who::User(who.into()) };
    Call::As(who, Box::new(call))
}

fn put(key: &'static str) -> pb::PutRequest {
    pb::PutRequest { key: key.into(), ..Default::default() }
}

fn txn(op: Request) -> pb::TxnRequest {
    let success = vec![pb::RequestOp { request: Some(op) }];
    pb::TxnRequest { success, ..Default::default() }
}

#[test]
fn an_old_etcd_is_not_asked_for_what_it_lets_pass() {
    let rights = rights();
    let attached = Attached::from([(7, vec!["z".into()])]);
    let denied = Some(EtcdError::PermissionDenied);
    let nested = |key| txn(Request::RequestTxn(txn(Request::RequestPut(put(key)))));
    let renewal = pb::LeaseKeepAliveRequest { id: 7 };
    for (who, call, error) in [
        ("u", Call::Txn(nested("a")), None),
        ("u", Call::Txn(nested("z")), denied),
        ("u", Call::KeepAlive(renewal), denied),
        ("", Call::Grant(pb::LeaseGrantRequest { id: 1, ttl: 9 }), Some(EtcdError::UserEmpty)),
        ("w", Call::Leases, Some(EtcdError::InvalidAuthToken)),
    ] {
        let call = by(who, call);
        assert_eq!(rights.alone(&call, &attached, OLD), error, "{call:?}");
        assert_eq!(rights.alone(&call, &attached, NEW), None, "{call:?}");
    }
}

#[test]
fn both_are_asked_for_what_every_version_refuses() {
    let rights = rights();
    let attached = Attached::from([(7, vec!["z".into()])]);
    for call in [
        Call::Put(put("z")),
        Call::Put(pb::PutRequest { lease: 7, ..put("a") }),
        Call::Revoke(pb::LeaseRevokeRequest { id: 7 }),
        Call::Txn(txn(Request::RequestPut(put("z")))),
        Call::HashKv(pb::HashKvRequest { revision: 0 }),
    ] {
        assert_eq!(rights.alone(&by("u", call.clone()), &attached, OLD), None, "{call:?}");
    }
}

#[test]
fn a_watch_to_the_end_of_keys_takes_more_than_its_first_key() {
    let rights = rights();
    let who = Who::User("u".into());
    let watch = |range_end: &'static [u8]| pb::WatchCreateRequest {
        key: "a".into(),
        range_end: range_end.into(),
        ..Default::default()
    };
    let alone = |range_end, etcd| rights.watch_alone(&who, &watch(range_end), etcd);
    assert_eq!(alone(b"\0", OLD), Some(EtcdError::PermissionDenied));
    assert_eq!(alone(b"\0", NEW), None);
    assert_eq!(alone(b"d", OLD), None);
}
