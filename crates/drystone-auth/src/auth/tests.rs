//! The rules of etcd's auth store, one by one.

use super::*;
use crate::{Denied, Identity, Need, PermissionKind};
use drystone_backend::{Backend, MemBackend};
use drystone_types::KeyRange;

/// A state whose records go into a store at once.
struct Bench {
    auth: Auth,
    out: Batch,
    store: MemBackend,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self { auth: Auth::default(), out: Batch::new(), store: MemBackend::new() };
        for user in ["root", "ada"] {
            bench.auth.add_user(&mut bench.out, user, Some("h".into()), false).unwrap();
        }
        bench.auth.grant_role(&mut bench.out, "root", "root").unwrap();
        bench.auth.add_role(&mut bench.out, "r").unwrap();
        bench.auth.grant_role(&mut bench.out, "ada", "r").unwrap();
        bench
    }

    fn grant(&mut self, kind: PermissionKind, key: &'static str, end: &'static str) {
        let permission = Permission::new(kind, key, end);
        self.auth.grant_permission(&mut self.out, "r", permission).unwrap();
    }

    fn ada(&self) -> Identity {
        Identity { user: "ada".to_owned(), revision: self.auth.revision() }
    }

    fn reads(&self, key: &'static str, end: &'static str) -> Result<(), Denied> {
        let range = KeyRange::from_fields(key, end);
        self.auth.decide(Some(&self.ada()), &[Need::Read(range)])
    }
}

#[test]
fn the_revision_counts_changes_only() {
    let mut bench = Bench::new();
    let (auth, out) = (&mut bench.auth, &mut bench.out);
    assert_eq!((Auth::default().revision(), auth.revision()), (1, 6));
    auth.grant_role(out, "ada", "r").unwrap();
    assert_eq!(auth.revision(), 6, "a role that the user has");
    auth.enable(out).unwrap();
    auth.enable(out).unwrap();
    assert_eq!(auth.revision(), 6, "enabling");
    assert!(auth.disable(out));
    assert!(!auth.disable(out));
    assert_eq!(auth.revision(), 7, "disabling, once");
    auth.change_password(out, "ada", Some(Bytes::new())).unwrap();
    assert_eq!(auth.revision(), 8);
    assert_eq!(auth.add_role(out, "r"), Err(Error::RoleAlreadyExist));
    assert_eq!(auth.revision(), 8, "a refusal");
}

#[test]
fn a_refusal_changes_nothing() {
    let mut bench = Bench::new();
    bench.auth.enable(&mut bench.out).unwrap();
    bench.out.clear();
    let before = bench.auth.clone();
    let (auth, out) = (&mut bench.auth, &mut bench.out);
    let permission = |key: &'static str, end| Permission::new(PermissionKind::Read, key, end);
    let refused = [
        (auth.add_user(out, "", None, true), Error::UserEmpty),
        (auth.add_user(out, "ada", None, true), Error::UserAlreadyExist),
        (auth.add_user(out, "bob", None, false), Error::NoPasswordUser),
        (auth.delete_user(out, "root"), Error::InvalidManagement),
        (auth.delete_user(out, "bob"), Error::UserNotFound),
        (auth.change_password(out, "bob", Some("h".into())), Error::UserNotFound),
        (auth.change_password(out, "ada", None), Error::NoPasswordUser),
        (auth.grant_role(out, "bob", "r"), Error::UserNotFound),
        (auth.grant_role(out, "ada", "s"), Error::RoleNotFound),
        (auth.revoke_role(out, "root", "root"), Error::InvalidManagement),
        (auth.revoke_role(out, "bob", "r"), Error::UserNotFound),
        (auth.revoke_role(out, "root", "r"), Error::RoleNotGranted),
        (auth.add_role(out, ""), Error::RoleEmpty),
        (auth.add_role(out, "r"), Error::RoleAlreadyExist),
        (auth.delete_role(out, "root"), Error::InvalidManagement),
        (auth.delete_role(out, "s"), Error::RoleNotFound),
        (auth.grant_permission(out, "s", permission("a", "")), Error::RoleNotFound),
        (auth.grant_permission(out, "r", permission("", "")), Error::InvalidManagement),
        (auth.grant_permission(out, "r", permission("b", "a")), Error::InvalidManagement),
        (auth.grant_permission(out, "r", permission("b", "b")), Error::InvalidManagement),
        (auth.revoke_permission(out, "s", b"a", b""), Error::RoleNotFound),
        (auth.revoke_permission(out, "r", b"a", b""), Error::PermissionNotGranted),
    ];
    for (place, (result, error)) in refused.into_iter().enumerate() {
        assert_eq!(result, Err(error), "{place}");
    }
    assert_eq!(*auth, before);
    assert!(out.is_empty());
}

#[test]
fn enabling_needs_root_with_its_role() {
    let (mut auth, mut out) = (Auth::default(), Batch::new());
    assert_eq!(auth.enable(&mut out), Err(Error::RootUserNotExist));
    auth.add_user(&mut out, "root", None, true).unwrap();
    assert_eq!(auth.enable(&mut out), Err(Error::RootRoleNotExist));
    auth.grant_role(&mut out, "root", "root").unwrap();
    auth.enable(&mut out).unwrap();
    assert_eq!(auth.role("root"), None, "the role object need not exist");
    assert_eq!(auth.permissions_of("root"), Err(Error::RoleNotFound));
    auth.add_role(&mut out, "root").unwrap();
    let shown = auth.permissions_of("root").unwrap();
    assert_eq!((shown[0].key.as_ref(), shown[0].range_end.as_ref()), (&b""[..], &b"\0"[..]));
}

#[test]
fn who_may_log_in() {
    let mut bench = Bench::new();
    assert_eq!(bench.auth.login("ada"), Err(Error::NotEnabled));
    bench.auth.add_user(&mut bench.out, "cert", None, true).unwrap();
    bench.auth.change_password(&mut bench.out, "cert", Some("h".into())).unwrap();
    bench.auth.enable(&mut bench.out).unwrap();
    assert_eq!(bench.auth.login("ada").unwrap().password_hash(), b"h");
    assert_eq!(bench.auth.login("bob"), Err(Error::AuthFailed));
    assert_eq!(bench.auth.login("cert"), Err(Error::NoPasswordUser));
    assert_eq!(bench.auth.user("cert").unwrap().password_hash(), b"", "it stays without one");
}

#[test]
fn granting_the_same_range_again_replaces_the_right() {
    let mut bench = Bench::new();
    bench.grant(PermissionKind::Read, "a", "b");
    bench.grant(PermissionKind::ReadWrite, "a", "c");
    bench.grant(PermissionKind::Read, "a", "c");
    bench.grant(PermissionKind::Write, "0", "");
    let ends: Vec<_> = bench.auth.role("r").unwrap().permissions().iter().collect();
    let ends: Vec<_> = ends.iter().map(|held| (&held.range_end[..], held.kind.number())).collect();
    assert_eq!(ends, [(&b""[..], 1), (b"b", 0), (b"c", 0)], "by key, then as granted");
    bench.auth.enable(&mut bench.out).unwrap();
    let write = [Need::Write(KeyRange::key("a"))];
    let denied = bench.auth.decide(Some(&bench.ada()), &write);
    assert_eq!(denied, Err(Denied::PermissionDenied), "the right to write is gone");
}

#[test]
fn a_role_that_goes_leaves_its_holders() {
    let mut bench = Bench::new();
    bench.grant(PermissionKind::Read, "a", "");
    bench.auth.enable(&mut bench.out).unwrap();
    assert_eq!(bench.reads("a", ""), Ok(()));
    let before = bench.auth.revision();
    bench.auth.delete_role(&mut bench.out, "r").unwrap();
    assert_eq!(bench.auth.revision(), before + 1);
    assert_eq!(bench.auth.user("ada").unwrap().roles(), [""; 0]);
    assert_eq!(bench.reads("a", ""), Err(Denied::PermissionDenied));
    bench.auth.add_role(&mut bench.out, "r").unwrap();
    assert_eq!(bench.reads("a", ""), Err(Denied::PermissionDenied), "a new role of that name");
}

/// Vector 26 of the reference of etcd's answers.
#[test]
fn ranges_of_several_permissions_add_up() {
    let mut bench = Bench::new();
    bench.grant(PermissionKind::ReadWrite, "a", "m");
    bench.grant(PermissionKind::Read, "m", "p");
    bench.grant(PermissionKind::Write, "x", "\0");
    bench.grant(PermissionKind::ReadWrite, "q", "");
    bench.auth.enable(&mut bench.out).unwrap();
    assert_eq!([bench.reads("a", "p"), bench.reads("l", "n"), bench.reads("q", "")], [Ok(()); 3]);
    assert_eq!(bench.reads("x", ""), Err(Denied::PermissionDenied));
    assert_eq!(bench.reads("q", "\0"), Err(Denied::PermissionDenied), "from a single key on");
    let write = [Need::Write(KeyRange::from_fields("a", "p"))];
    let denied = bench.auth.decide(Some(&bench.ada()), &write);
    assert_eq!(denied, Err(Denied::PermissionDenied));
}

#[test]
fn only_key_rights_age() {
    let mut bench = Bench::new();
    bench.auth.enable(&mut bench.out).unwrap();
    let auth = &bench.auth;
    let key = || KeyRange::key("a");
    let root = |revision| Identity { user: "root".to_owned(), revision };
    let now = auth.revision();
    assert_eq!(auth.decide(Some(&root(now)), &[Need::Read(key()), Need::Root]), Ok(()));
    assert_eq!(auth.decide(Some(&root(now - 1)), &[Need::Root, Need::User]), Ok(()));
    assert_eq!(auth.decide(Some(&root(now - 1)), &[Need::Write(key())]), Err(Denied::OldRevision));
    assert_eq!(auth.decide(Some(&root(0)), &[Need::Read(key())]), Err(Denied::UserEmpty));
    assert_eq!(auth.decide(Some(&Identity::server()), &[Need::Write(key())]), Ok(()));
    assert!(auth.is_open_to(Some(&root(now))) && auth.is_open_to(Some(&Identity::server())));
    assert!(!auth.is_open_to(Some(&root(now - 1))) && !auth.is_open_to(None));
    assert!(!auth.is_open_to(Some(&bench.ada())) && Auth::default().is_open_to(None));
}

#[test]
fn who_may_manage() {
    let mut bench = Bench::new();
    bench.auth.enable(&mut bench.out).unwrap();
    let auth = &bench.auth;
    let decide = |name: &str, need| {
        let who = Identity { user: name.to_owned(), revision: auth.revision() };
        auth.decide(Some(&who), &[need])
    };
    assert_eq!(decide("ada", Need::Root), Err(Denied::PermissionDenied));
    assert_eq!(decide("bob", Need::Root), Err(Denied::UserNotFound));
    assert_eq!(decide("", Need::Root), Err(Denied::UserEmpty));
    assert_eq!(decide("bob", Need::User), Err(Denied::PermissionDenied));
    assert_eq!(decide("ada", Need::User), Ok(()));
    assert_eq!(decide("ada", Need::SelfOrRoot("ada".to_owned())), Ok(()));
    assert_eq!(decide("root", Need::SelfOrRoot("ada".to_owned())), Ok(()));
    let other = decide("ada", Need::SelfOrRoot("root".to_owned()));
    assert_eq!(other, Err(Denied::PermissionDenied));
    assert_eq!(decide("ada", Need::RoleOrRoot("r".to_owned())), Ok(()));
    let other = decide("ada", Need::RoleOrRoot("s".to_owned()));
    assert_eq!(other, Err(Denied::PermissionDenied));
    assert_eq!(auth.decide(None, &[Need::User]), Err(Denied::UserEmpty));
    assert_eq!(auth.decide(None, &[]), Ok(()));
}

#[test]
fn damaged_records_are_named() {
    let bench = Bench::new();
    for (table, key) in [
        (Table::Auth, ENABLED_KEY),
        (Table::Auth, REVISION_KEY),
        (Table::AuthUsers, b"ada"),
        (Table::AuthRoles, b"r"),
    ] {
        let store = bench.store.clone().crash(0);
        let mut damaged = Batch::new();
        damaged.put(table, key, "\x03");
        store.write(&damaged).unwrap();
        let error = Auth::open(&store).unwrap_err().to_string();
        assert!(error.contains(table.name()), "{error}");
    }
}
