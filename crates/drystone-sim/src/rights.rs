//! Users, roles and permissions of a run: what is done to them, and as whom clients ask.

use crate::knobs::Knobs;
use crate::plan::{Ask, Keys, Op, Step, What};
use crate::random::{Draw, Purpose, stream};
use crate::requests::bounds;
use drystone_api::authpb::{Permission, UserAddOptions};
use drystone_api::etcdserverpb::{self as etcd, InternalRaftRequest};
use drystone_judge::Request;
use rand::Rng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// Users and roles have numbers below these; those with number 0 are `root`.
const USERS: u8 = 4;
const ROLES: u8 = 4;

/// A change of users, roles or permissions, or of whether they are asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the request of its name, with users and roles by number")]
pub enum AuthOp {
    Enable,
    Disable,
    AddUser {
        user: u8,
    },
    DeleteUser {
        user: u8,
    },
    ChangePassword {
        user: u8,
    },
    GrantRole {
        user: u8,
        role: u8,
    },
    RevokeRole {
        user: u8,
        role: u8,
    },
    AddRole {
        role: u8,
    },
    DeleteRole {
        role: u8,
    },
    /// `kind` is the number of etcd's `Permission.Type`.
    Grant {
        role: u8,
        kind: i32,
        keys: Keys,
    },
    Revoke {
        role: u8,
        keys: Keys,
    },
}

/// The name of the user or role with this number.
fn name(number: u8) -> String {
    if number == 0 { "root".to_owned() } else { format!("n{number}") }
}

/// As whom a client asks: those who look after the cluster as `root`, others as a user of theirs,
/// and some as nobody.
pub(crate) fn user_of(client: usize, request: &Request) -> Option<String> {
    if matches!(request, Request::Auth(_) | Request::Alarm(_) | Request::Compaction(_)) {
        return Some(name(0));
    }
    let number = u8::try_from(client % usize::from(USERS + 1)).ok()?;
    (number < USERS).then(|| name(number))
}

/// The request that a change is.
pub(crate) fn request(op: &AuthOp) -> Request {
    let mut command = InternalRaftRequest::default();
    match op {
        AuthOp::Enable => command.auth_enable = Some(etcd::AuthEnableRequest {}),
        AuthOp::Disable => command.auth_disable = Some(etcd::AuthDisableRequest {}),
        AuthOp::AddUser { user } => {
            let options = Some(UserAddOptions { no_password: true });
            let name = name(*user);
            command.auth_user_add =
                Some(etcd::AuthUserAddRequest { name, options, ..Default::default() });
        }
        AuthOp::DeleteUser { user } => {
            command.auth_user_delete = Some(etcd::AuthUserDeleteRequest { name: name(*user) });
        }
        AuthOp::ChangePassword { user } => {
            let name = name(*user);
            command.auth_user_change_password =
                Some(etcd::AuthUserChangePasswordRequest { name, ..Default::default() });
        }
        AuthOp::GrantRole { user, role } => {
            let (user, role) = (name(*user), name(*role));
            command.auth_user_grant_role = Some(etcd::AuthUserGrantRoleRequest { user, role });
        }
        AuthOp::RevokeRole { user, role } => {
            let (name, role) = (name(*user), name(*role));
            command.auth_user_revoke_role = Some(etcd::AuthUserRevokeRoleRequest { name, role });
        }
        AuthOp::AddRole { role } => {
            command.auth_role_add = Some(etcd::AuthRoleAddRequest { name: name(*role) });
        }
        AuthOp::DeleteRole { role } => {
            command.auth_role_delete = Some(etcd::AuthRoleDeleteRequest { role: name(*role) });
        }
        AuthOp::Grant { role, kind, keys } => {
            let (key, range_end) = bounds(keys);
            let perm = Some(Permission { perm_type: *kind, key, range_end });
            let name = name(*role);
            command.auth_role_grant_permission =
                Some(etcd::AuthRoleGrantPermissionRequest { name, perm });
        }
        AuthOp::Revoke { role, keys } => {
            let (key, range_end) = bounds(keys);
            let role = name(*role);
            command.auth_role_revoke_permission =
                Some(etcd::AuthRoleRevokePermissionRequest { role, key, range_end });
        }
    }
    Request::Auth(Box::new(command))
}

/// The changes of a seed: what lets permissions be asked for, early, and then changes at any
/// time.
pub(crate) fn steps(seed: u64, knobs: &Knobs) -> Vec<Step> {
    let rng = &mut stream(seed, Purpose::Rights);
    if knobs.rights == 0 {
        return Vec::new();
    }
    let mut ops = vec![AuthOp::AddUser { user: 0 }, AuthOp::GrantRole { user: 0, role: 0 }];
    for number in 1..USERS {
        ops.extend([
            AuthOp::AddUser { user: number },
            AuthOp::AddRole { role: number },
            AuthOp::Grant { role: number, kind: rng.random_range(0..3), keys: keys(rng, knobs) },
            AuthOp::GrantRole { user: number, role: number },
        ]);
    }
    ops.push(AuthOp::Enable);
    let mut at_ms = rng.random_range(0..=knobs.duration_ms / 4);
    let mut steps = Vec::new();
    let client = rng.random_range(0..knobs.clients);
    for op in ops {
        steps.push(step(at_ms, client, rng, op));
        at_ms += rng.magnitude(1, 200);
    }
    for _ in 0..knobs.rights {
        let at_ms = rng.random_range(0..knobs.duration_ms);
        let client = rng.random_range(0..knobs.clients);
        let op = draw(rng, knobs);
        steps.push(step(at_ms, client, rng, op));
    }
    steps
}

fn step(at_ms: u64, client: u8, rng: &mut StdRng, op: AuthOp) -> Step {
    let (member, retries) = (rng.random(), rng.pick(&[1, 3, 6]));
    Step { at_ms, what: What::Ask(Ask { client, member, retries, op: Op::Auth(op) }) }
}

fn draw(rng: &mut StdRng, knobs: &Knobs) -> AuthOp {
    let user = rng.random_range(0..USERS);
    let role = rng.random_range(0..ROLES);
    match rng.random_range(0..30) {
        0..=4 => AuthOp::Enable,
        5 => AuthOp::Disable,
        6 | 7 => AuthOp::AddUser { user },
        8 => AuthOp::DeleteUser { user },
        9 => AuthOp::ChangePassword { user },
        10..=14 => AuthOp::GrantRole { user, role },
        15 | 16 => AuthOp::RevokeRole { user, role },
        17 | 18 => AuthOp::AddRole { role },
        19 => AuthOp::DeleteRole { role },
        20..=26 => AuthOp::Grant { role, kind: rng.random_range(0..3), keys: keys(rng, knobs) },
        _ => AuthOp::Revoke { role, keys: keys(rng, knobs) },
    }
}

fn keys(rng: &mut StdRng, knobs: &Knobs) -> Keys {
    let mut key = || rng.random_range(0..knobs.keys);
    let (one, other) = (key(), key());
    match rng.random_range(0..8) {
        0 => Keys::One(one),
        1..=3 => Keys::Span(one.min(other), one.max(other)),
        4 | 5 => Keys::From(one),
        _ => Keys::All,
    }
}
