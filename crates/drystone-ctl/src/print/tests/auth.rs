//! Users and roles, as a real etcdctl prints them.

use super::*;
use drystone_api::authpb::{Permission, permission::Type};

fn permission(kind: Type, key: &'static str, range_end: &'static str) -> Permission {
    Permission { perm_type: kind.into(), key: key.into(), range_end: range_end.into() }
}

#[test]
fn what_a_role_may() {
    let response = pb::AuthRoleGetResponse {
        header: header(9),
        perm: vec![
            permission(Type::Readwrite, "/p/", "/p0"),
            permission(Type::Read, "foo", ""),
            permission(Type::Read, "z", "\0"),
            permission(Type::Write, "w", "y"),
        ],
    };
    assert_eq!(
        simple(Answer::RoleGet(&response, "r")),
        "Role r\nKV Read:\n\t[/p/, /p0) (prefix /p/)\n\tfoo\n\t[z, <open ended>\n\
         KV Write:\n\t[/p/, /p0) (prefix /p/)\n\t[w, y)\n"
    );
    let root = pb::AuthRoleGetResponse::default();
    assert_eq!(
        simple(Answer::RoleGet(&root, "root")),
        "Role root\nKV Read:\n\t[, <open ended>\nKV Write:\n\t[, <open ended>\n"
    );
    let one = pb::AuthRoleGetResponse {
        header: header(9),
        perm: vec![permission(Type::Readwrite, "a", "b")],
    };
    assert_eq!(
        json(Answer::RoleGet(&one, "r")),
        golden(
            r#"{"header":{H,"revision":9,"raft_term":2},"perm":[{"permType":2,"key":"YQ==","range_end":"Yg=="}]}"#
        )
    );
    assert!(
        fields(Answer::RoleGet(&one, "r"))
            .ends_with("\"PermType\" :  READWRITE\n\"Key\" : \"a\"\n\"RangeEnd\" : \"b\"\n")
    );
}

#[test]
fn users_and_whether_permissions_are_asked_for() {
    let roles = vec!["r1".to_owned(), "r2".to_owned()];
    let user = pb::AuthUserGetResponse { header: header(9), roles: roles.clone() };
    assert_eq!(simple(Answer::UserGet(&user, "u")), "User: u\nRoles: r1 r2\n");
    let bare = pb::AuthUserGetResponse::default();
    assert_eq!(simple(Answer::UserGet(&bare, "u")), "User: u\nRoles:\n");
    let all = pb::AuthRoleListResponse { header: header(9), roles };
    assert_eq!(simple(Answer::RoleList(&all)), "r1\nr2\n");
    assert!(fields(Answer::RoleList(&all)).ends_with("\"Roles\" : \"r1\" \"r2\"\n"));
    let status = pb::AuthStatusResponse { header: header(9), enabled: true, auth_revision: 24 };
    let said = "Authentication Status: true\nAuthRevision: 24\n";
    assert_eq!(simple(Answer::AuthStatus(&status)), said);
    let off = pb::AuthStatusResponse { header: header(9), enabled: false, auth_revision: 1 };
    assert_eq!(
        json(Answer::AuthStatus(&off)),
        golden(r#"{"header":{H,"revision":9,"raft_term":2},"authRevision":1}"#)
    );
    assert_eq!(simple(Answer::Changed(&header(9), "User u created")), "User u created\n");
    assert_eq!(
        json(Answer::Changed(&header(9), "User u created")),
        golden(r#"{"header":{H,"revision":9,"raft_term":2}}"#)
    );
}
