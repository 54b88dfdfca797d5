//! Users, roles, permissions, and what they allow.

use super::session::{delete, put, range, range_to};
use super::{Row, Session, render, rows};
use drystone_api::authpb::permission::Type;
use drystone_api::authpb::{Permission, UserAddOptions};
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::auth_client::AuthClient;
use drystone_api::etcdserverpb::kv_client::KvClient;
use tonic::{Request, Response, Status};

/// The hash of `secret` by bcrypt at cost 4, in base64.
const HASH_OF_SECRET: &str =
    "JDJhJDA0JGFiY2RlZmdoaWprbG1ub3BxcnN0dXUycjlPZkpuZkNzZG5lQVhBR0huUzRVcEZGUDhXSXJX";

/// A request with a token, if there is one.
fn with<T>(token: &str, request: T) -> Request<T> {
    let mut request = Request::new(request);
    if !token.is_empty()
        && let Ok(token) = token.parse()
    {
        request.metadata_mut().insert("token", token);
    }
    request
}

/// Keeps an answer: its revision, and what `show` finds in it.
fn note<T>(
    session: &mut Session,
    what: &str,
    answer: Result<Response<T>, Status>,
    header: fn(&T) -> Option<&pb::ResponseHeader>,
    show: fn(&T) -> String,
) -> Option<T> {
    match answer {
        Ok(answer) => {
            let answer = answer.into_inner();
            let revision = render::revision(header(&answer));
            session.say(format!("{what}: {revision}{}", show(&answer)));
            Some(answer)
        }
        Err(status) => {
            session.say(format!("{what}: {:?}: {}", status.code(), status.message()));
            None
        }
    }
}

/// Makes a call of the service Auth with a token.
macro_rules! auth {
    ($s:ident, $token:expr, $method:ident, $request:expr) => {
        auth!($s, $token, $method, $request, |_| String::new())
    };
    ($s:ident, $token:expr, $method:ident, $request:expr, $show:expr) => {{
        let mut client = AuthClient::new($s.client.transport());
        let answer = client.$method(with($token, $request)).await;
        note($s, stringify!($method), answer, |answer| answer.header.as_ref(), $show)
    }};
}

/// Makes a call of the service KV with a token.
macro_rules! kv {
    ($s:ident, $token:expr, $method:ident, $request:expr) => {{
        let mut client = KvClient::new($s.client.transport());
        let answer = client.$method(with($token, $request)).await;
        note($s, stringify!($method), answer, |answer| answer.header.as_ref(), |_| String::new())
    }};
}

fn user(name: &str, password: &str) -> pb::AuthUserAddRequest {
    pb::AuthUserAddRequest {
        name: name.into(),
        password: password.into(),
        options: Some(UserAddOptions { no_password: false }),
        ..Default::default()
    }
}

fn permission(perm_type: Type, key: &str, range_end: &str) -> Permission {
    Permission {
        perm_type: perm_type.into(),
        key: key.to_owned().into(),
        range_end: range_end.to_owned().into(),
    }
}

async fn allow(s: &mut Session, role: &str, perm: Permission) {
    let request = pb::AuthRoleGrantPermissionRequest { name: role.into(), perm: Some(perm) };
    auth!(s, "", role_grant_permission, request);
}

fn shown(perm: &Permission) -> String {
    let (key, end) = (perm.key.escape_ascii(), perm.range_end.escape_ascii());
    format!("{} [{key}, {end})", perm.perm_type().as_str_name())
}

/// The token of a user, or nothing.
async fn token(s: &mut Session, name: &str, password: &str) -> String {
    let request = pb::AuthenticateRequest { name: name.into(), password: password.into() };
    let answer = auth!(s, "", authenticate, request, |answer| {
        if answer.token.is_empty() { ", no token" } else { ", a token" }.to_owned()
    });
    answer.map(|answer| answer.token).unwrap_or_default()
}

/// Makes a root, and puts authentication into force; its token.
async fn enable(s: &mut Session) -> String {
    let quiet = pb::AuthUserGrantRoleRequest { user: "root".into(), role: "root".into() };
    let mut client = AuthClient::new(s.client.transport());
    // What fails here shows in the lines that follow.
    let _ = client.user_add(user("root", "rootpw")).await;
    let _ = client.user_grant_role(quiet).await;
    auth!(s, "", auth_enable, pb::AuthEnableRequest {});
    token(s, "root", "rootpw").await
}

pub(super) const ROWS: &[Row] = rows! {
    "Auth: users", &[], "
        user_add: rev 1
        user_add: FailedPrecondition: etcdserver: user name already exists
        user_add: InvalidArgument: etcdserver: user name is empty
        user_add: rev 1
        user_list: rev 1, [u1, u2]
        user_get: rev 1, []
        user_get: FailedPrecondition: etcdserver: user name not found
        user_change_password: rev 1
        user_change_password: FailedPrecondition: etcdserver: user name not found
        user_delete: rev 1
        user_delete: FailedPrecondition: etcdserver: user name not found
        user_list: rev 1, [u1]
    ", |s| {
        auth!(s, "", user_add, user("u1", "p1"));
        auth!(s, "", user_add, user("u1", "p2"));
        auth!(s, "", user_add, user("", "p1"));
        let options = Some(UserAddOptions { no_password: true });
        auth!(s, "", user_add, pb::AuthUserAddRequest { options, ..user("u2", "") });
        let list = |answer: &pb::AuthUserListResponse| format!(", [{}]", answer.users.join(", "));
        auth!(s, "", user_list, pb::AuthUserListRequest {}, list);
        for name in ["u1", "none"] {
            let request = pb::AuthUserGetRequest { name: name.into() };
            auth!(s, "", user_get, request, |answer| format!(", [{}]", answer.roles.join(", ")));
        }
        for name in ["u1", "none"] {
            let request = pb::AuthUserChangePasswordRequest {
                name: name.into(), password: "p3".into(), ..Default::default() };
            auth!(s, "", user_change_password, request);
        }
        for _ in 0..2 {
            auth!(s, "", user_delete, pb::AuthUserDeleteRequest { name: "u2".into() });
        }
        auth!(s, "", user_list, pb::AuthUserListRequest {}, list);
    }

    "Auth: a hashed password that a client sends counts for nothing beside a password", &[], "
        user_add: rev 1
        auth_enable: rev 1
        authenticate: rev 1, a token
        authenticate: rev 1, a token
    ", |s| {
        let hashed_password = "JDJhJDA0JDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA=".into();
        auth!(s, "", user_add, pb::AuthUserAddRequest { hashed_password, ..user("u1", "p1") });
        enable(s).await;
        token(s, "u1", "p1").await;
    }

    "Auth: a password that comes as a hash", &[
        ("3.4", "there is no such field before 3.5"),
    ], "
        user_change_password: rev 1
        auth_enable: rev 1
        authenticate: rev 1, a token
        authenticate: rev 1, a token
    ", |s| {
        let mut client = AuthClient::new(s.client.transport());
        let _ = client.user_add(user("u1", "p1")).await;
        let request = pb::AuthUserChangePasswordRequest {
            name: "u1".into(),
            hashed_password: HASH_OF_SECRET.into(),
            ..Default::default()
        };
        auth!(s, "", user_change_password, request);
        enable(s).await;
        token(s, "u1", "secret").await;
    }

    "Auth: roles and their permissions", &[], "
        role_add: rev 1
        role_add: FailedPrecondition: etcdserver: role name already exists
        role_grant_permission: rev 1
        role_grant_permission: rev 1
        role_grant_permission: rev 1
        role_grant_permission: FailedPrecondition: etcdserver: role name not found
        role_get: rev 1, READWRITE [a, ), READ [b, c)
        role_get: FailedPrecondition: etcdserver: role name not found
        role_revoke_permission: rev 1
        role_revoke_permission: FailedPrecondition: etcdserver: permission is not granted to the role
        role_get: rev 1, READWRITE [a, )
        role_list: rev 1, [r1]
        role_delete: rev 1
        role_delete: FailedPrecondition: etcdserver: role name not found
        role_list: rev 1, []
    ", |s| {
        for _ in 0..2 {
            auth!(s, "", role_add, pb::AuthRoleAddRequest { name: "r1".into() });
        }
        allow(s, "r1", permission(Type::Read, "b", "c")).await;
        allow(s, "r1", permission(Type::Write, "a", "")).await;
        allow(s, "r1", permission(Type::Readwrite, "a", "")).await;
        allow(s, "none", permission(Type::Read, "a", "")).await;
        let show = |answer: &pb::AuthRoleGetResponse| {
            let perms: Vec<String> = answer.perm.iter().map(shown).collect();
            format!(", {}", perms.join(", "))
        };
        for role in ["r1", "none"] {
            auth!(s, "", role_get, pb::AuthRoleGetRequest { role: role.into() }, show);
        }
        for _ in 0..2 {
            let request = pb::AuthRoleRevokePermissionRequest {
                role: "r1".into(), key: "b".into(), range_end: "c".into() };
            auth!(s, "", role_revoke_permission, request);
        }
        auth!(s, "", role_get, pb::AuthRoleGetRequest { role: "r1".into() }, show);
        let list = |answer: &pb::AuthRoleListResponse| format!(", [{}]", answer.roles.join(", "));
        auth!(s, "", role_list, pb::AuthRoleListRequest {}, list);
        for _ in 0..2 {
            auth!(s, "", role_delete, pb::AuthRoleDeleteRequest { role: "r1".into() });
        }
        auth!(s, "", role_list, pb::AuthRoleListRequest {}, list);
    }

    "Auth: roles of users", &[], "
        user_grant_role: FailedPrecondition: etcdserver: role name not found
        user_grant_role: rev 1
        user_grant_role: rev 1
        user_get: rev 1, [r1]
        user_revoke_role: rev 1
        user_revoke_role: FailedPrecondition: etcdserver: role is not granted to the user
        user_get: rev 1, []
        user_grant_role: FailedPrecondition: etcdserver: user name not found
    ", |s| {
        let mut client = AuthClient::new(s.client.transport());
        let _ = client.user_add(user("u1", "p1")).await;
        let grant = |user: &str, role: &str| {
            pb::AuthUserGrantRoleRequest { user: user.into(), role: role.into() }
        };
        auth!(s, "", user_grant_role, grant("u1", "r1"));
        let _ = client.role_add(pb::AuthRoleAddRequest { name: "r1".into() }).await;
        let show = |answer: &pb::AuthUserGetResponse| format!(", [{}]", answer.roles.join(", "));
        for _ in 0..2 {
            auth!(s, "", user_grant_role, grant("u1", "r1"));
        }
        auth!(s, "", user_get, pb::AuthUserGetRequest { name: "u1".into() }, show);
        for _ in 0..2 {
            let request = pb::AuthUserRevokeRoleRequest { name: "u1".into(), role: "r1".into() };
            auth!(s, "", user_revoke_role, request);
        }
        auth!(s, "", user_get, pb::AuthUserGetRequest { name: "u1".into() }, show);
        auth!(s, "", user_grant_role, grant("none", "r1"));
    }

    "Auth: on and off", &[], "
        auth_enable: FailedPrecondition: etcdserver: root user does not exist
        user_add: rev 1
        auth_enable: FailedPrecondition: etcdserver: root user does not have root role
        authenticate: FailedPrecondition: etcdserver: authentication is not enabled
        auth_enable: rev 1
        authenticate: rev 1, a token
        authenticate: InvalidArgument: etcdserver: authentication failed, invalid user ID or password
        authenticate: InvalidArgument: etcdserver: authentication failed, invalid user ID or password
        put: InvalidArgument: etcdserver: user name is empty
        put: Unauthenticated: etcdserver: invalid auth token
        put: rev 2
        user_delete: InvalidArgument: etcdserver: invalid auth management
        auth_disable: InvalidArgument: etcdserver: user name is empty
        auth_disable: rev 2
        put: rev 3
    ", |s| {
        auth!(s, "", auth_enable, pb::AuthEnableRequest {});
        auth!(s, "", user_add, user("root", "rootpw"));
        auth!(s, "", auth_enable, pb::AuthEnableRequest {});
        token(s, "root", "rootpw").await;
        let root = enable(s).await;
        token(s, "root", "wrong").await;
        token(s, "none", "rootpw").await;
        kv!(s, "", put, put("a", "1"));
        kv!(s, "nonsense", put, put("a", "1"));
        kv!(s, &root, put, put("a", "1"));
        auth!(s, &root, user_delete, pb::AuthUserDeleteRequest { name: "root".into() });
        auth!(s, "", auth_disable, pb::AuthDisableRequest {});
        auth!(s, &root, auth_disable, pb::AuthDisableRequest {});
        kv!(s, "", put, put("a", "1"));
    }

    "Auth: tokens count for nothing while it is off", &[
        ("3.4", "this version looks at tokens all the time"),
        ("3.5", "this version looks at tokens all the time"),
    ], "
        put: rev 2
    ", |s| {
        kv!(s, "nonsense", put, put("a", "1"));
    }

    "Auth: whether it is on, told to everybody", &[
        ("3.4", "there is no such call before 3.5"),
        ("3.5", "root alone may ask before 3.7"),
        ("3.6", "root alone may ask before 3.7"),
    ], "
        auth_status: rev 1, on false, revision 1
        auth_enable: rev 1
        authenticate: rev 1, a token
        auth_status: rev 1, on true, revision 3
    ", |s| {
        let show = |answer: &pb::AuthStatusResponse| {
            format!(", on {}, revision {}", answer.enabled, answer.auth_revision)
        };
        auth!(s, "", auth_status, pb::AuthStatusRequest {}, show);
        enable(s).await;
        auth!(s, "", auth_status, pb::AuthStatusRequest {}, show);
    }

    "Auth: what a user may read and write", &[], "
        role_grant_permission: rev 1
        role_grant_permission: rev 1
        role_grant_permission: rev 1
        auth_enable: rev 1
        authenticate: rev 1, a token
        authenticate: rev 1, a token
        range: rev 1
        range: rev 1
        range: PermissionDenied: etcdserver: permission denied
        range: PermissionDenied: etcdserver: permission denied
        put: rev 2
        put: PermissionDenied: etcdserver: permission denied
        put: rev 3
        put: PermissionDenied: etcdserver: permission denied
        delete_range: rev 4
        delete_range: PermissionDenied: etcdserver: permission denied
        user_list: PermissionDenied: etcdserver: permission denied
        user_get: rev 4
        user_get: PermissionDenied: etcdserver: permission denied
    ", |s| {
        let mut client = AuthClient::new(s.client.transport());
        let _ = client.user_add(user("u1", "p1")).await;
        let _ = client.role_add(pb::AuthRoleAddRequest { name: "r1".into() }).await;
        let grant = pb::AuthUserGrantRoleRequest { user: "u1".into(), role: "r1".into() };
        let _ = client.user_grant_role(grant).await;
        allow(s, "r1", permission(Type::Readwrite, "a", "m")).await;
        allow(s, "r1", permission(Type::Read, "m", "p")).await;
        allow(s, "r1", permission(Type::Write, "x", "z")).await;
        enable(s).await;
        let u1 = token(s, "u1", "p1").await;
        kv!(s, &u1, range, range_to("a", "p"));
        kv!(s, &u1, range, range_to("l", "n"));
        kv!(s, &u1, range, range_to("a", "q"));
        kv!(s, &u1, range, range("x"));
        kv!(s, &u1, put, put("b", "1"));
        kv!(s, &u1, put, put("n", "1"));
        kv!(s, &u1, put, put("x", "1"));
        kv!(s, &u1, put, pb::PutRequest { prev_kv: true, ..put("x", "2") });
        kv!(s, &u1, delete_range, delete("b"));
        kv!(s, &u1, delete_range, delete("n"));
        auth!(s, &u1, user_list, pb::AuthUserListRequest {});
        for name in ["u1", "root"] {
            auth!(s, &u1, user_get, pb::AuthUserGetRequest { name: name.into() });
        }
    }

    "Auth: a grant that holds nothing", &[
        ("3.4", "permissions were not looked at before they were taken over"),
        ("3.5", "permissions were not looked at before they were taken over"),
    ], "
        role_grant_permission: InvalidArgument: etcdserver: permission not given
        role_grant_permission: InvalidArgument: etcdserver: invalid auth management
        role_grant_permission: InvalidArgument: etcdserver: invalid auth management
        role_add: InvalidArgument: etcdserver: role name is empty
    ", |s| {
        let mut client = AuthClient::new(s.client.transport());
        let _ = client.role_add(pb::AuthRoleAddRequest { name: "r1".into() }).await;
        let nothing = pb::AuthRoleGrantPermissionRequest { name: "r1".into(), perm: None };
        auth!(s, "", role_grant_permission, nothing);
        allow(s, "r1", permission(Type::Read, "", "")).await;
        allow(s, "r1", permission(Type::Read, "b", "a")).await;
        auth!(s, "", role_add, pb::AuthRoleAddRequest { name: String::new() });
    }
};
