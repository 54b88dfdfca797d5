//! Users and roles, and who makes which call.

use super::{Draw, OPEN_END};
use crate::random::call::{AuthCall, Call, Who};
use crate::random::rights::{ROOT, is_turned_around};
use bytes::Bytes;
use drystone_api::authpb::{Permission, UserAddOptions};
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb as pb;
use rand::Rng as _;

/// Users and roles beside root.
const NAMES: u32 = 5;
const PASSWORDS: u32 = 3;
/// The password that root has at first.
const SECRET: &str = "secret";

impl Draw {
    /// Whether authentication is on.
    pub(in crate::random) fn is_guarded(&self) -> bool {
        self.rights.auth.enabled
    }

    /// A call that must not be refused for want of rights.
    pub(in crate::random) fn as_root(&self, call: Call) -> Call {
        if self.is_guarded() { Call::As(Who::User(ROOT.into()), Box::new(call)) } else { call }
    }

    /// Who opens a stream of watches.
    pub(in crate::random) fn listener(&mut self) -> Who {
        match self.rng.random_range(0..10) {
            _ if !self.is_guarded() => Who::Nobody,
            0..4 => Who::User(ROOT.into()),
            4..9 => self.user(),
            _ => self.outsider(),
        }
    }

    /// A call, by somebody who may be allowed to make it.
    pub(super) fn by_somebody(&mut self, call: Call) -> Call {
        let who = match self.rng.random_range(0..100) {
            0..92 if !self.is_guarded() => return call,
            _ if !self.is_guarded() && self.etcd.minds_tokens() => return call,
            0..50 => Who::User(ROOT.into()),
            _ if is_turned_around(&call) => return self.as_root(call),
            _ if matches!(call, Call::Lock(_) | Call::Elect(..)) => return self.as_root(call),
            50..92 => self.user(),
            _ => self.outsider(),
        };
        Call::As(who, Box::new(call))
    }

    fn user(&mut self) -> Who {
        Who::User(self.name('u'))
    }

    fn outsider(&mut self) -> Who {
        if self.chance(50) { Who::Nobody } else { Who::Stranger }
    }

    /// Calls that put authentication into force, whatever there was before.
    pub(in crate::random) fn guard(&self) -> Vec<Call> {
        let user = pb::AuthUserAddRequest {
            name: ROOT.into(),
            password: SECRET.into(),
            ..Default::default()
        };
        let role = pb::AuthUserGrantRoleRequest { user: ROOT.into(), role: ROOT.into() };
        let calls = [AuthCall::UserAdd(user), AuthCall::UserGrantRole(role), AuthCall::Enable];
        calls.into_iter().map(Call::Auth).collect()
    }

    /// Calls that give a new token to everybody with a password.
    pub(in crate::random) fn sign_in(&self) -> Vec<Call> {
        self.rights.passwords.keys().map(|name| self.sign_in_of(name)).collect()
    }

    /// A call that gives a new token to a user with a password.
    pub(in crate::random) fn sign_in_of(&self, name: &str) -> Call {
        let password = self.rights.passwords.get(name).cloned().unwrap_or_default();
        Call::Auth(AuthCall::Authenticate(pb::AuthenticateRequest { name: name.into(), password }))
    }

    /// A call about users and roles, by somebody.
    pub(super) fn auth_call(&mut self) -> Call {
        if self.chance(15) {
            return Call::Auth(AuthCall::Authenticate(self.authentication()));
        }
        let call = match self.rng.random_range(0..100) {
            0..3 => self.enable_or_disable(),
            3..30 => self.user_call(),
            30..50 => self.role_of_user(),
            _ => self.role_call(),
        };
        let nameless = pb::AuthUserGetRequest::default();
        let who = match self.rng.random_range(0..20) {
            _ if call == AuthCall::UserGet(nameless) => return self.as_root(Call::Auth(call)),
            0..3 if self.is_guarded() => self.user(),
            3 if self.is_guarded() => self.outsider(),
            _ => return self.as_root(Call::Auth(call)),
        };
        Call::As(who, Box::new(Call::Auth(call)))
    }

    fn enable_or_disable(&mut self) -> AuthCall {
        if self.chance(50) { AuthCall::Enable } else { AuthCall::Disable }
    }

    fn authentication(&mut self) -> pb::AuthenticateRequest {
        let name = self.user_name(true);
        let known = self.rights.passwords.get(&name).cloned();
        let password = match known {
            Some(password) if self.chance(80) => password,
            _ => self.password(),
        };
        pb::AuthenticateRequest { name, password }
    }

    fn password(&mut self) -> String {
        format!("p{}", self.rng.random_range(0..PASSWORDS))
    }

    fn name(&mut self, kind: char) -> String {
        format!("{kind}{}", self.rng.random_range(0..NAMES))
    }

    fn user_name(&mut self, with_root: bool) -> String {
        match self.rng.random_range(0..30) {
            0 if with_root => ROOT.into(),
            1 => String::new(),
            _ => self.name('u'),
        }
    }

    fn role_name(&mut self) -> String {
        match self.rng.random_range(0..30) {
            0 => ROOT.into(),
            1 => String::new(),
            _ => self.name('r'),
        }
    }

    fn user_call(&mut self) -> AuthCall {
        match self.rng.random_range(0..10) {
            0..4 => AuthCall::UserAdd(self.new_user()),
            4 => AuthCall::UserDelete(pb::AuthUserDeleteRequest { name: self.user_name(true) }),
            5 | 6 => AuthCall::UserGet(pb::AuthUserGetRequest { name: self.user_name(true) }),
            7 => AuthCall::UserList,
            8 => AuthCall::UserChangePassword(pb::AuthUserChangePasswordRequest {
                name: self.user_name(true),
                password: self.password(),
                hashed_password: String::new(),
            }),
            _ => AuthCall::Status,
        }
    }

    /// Never root, whose password is known.
    fn new_user(&mut self) -> pb::AuthUserAddRequest {
        let options = match self.rng.random_range(0..8) {
            0 => Some(UserAddOptions { no_password: true }),
            1..4 => Some(UserAddOptions { no_password: false }),
            _ => None,
        };
        let has_none = options.as_ref().is_some_and(|options| options.no_password);
        let password = if has_none || self.chance(3) { String::new() } else { self.password() };
        let name = self.user_name(false);
        pb::AuthUserAddRequest { name, password, options, hashed_password: String::new() }
    }

    fn role_of_user(&mut self) -> AuthCall {
        let role = self.role_name();
        if self.chance(70) {
            let user = self.user_name(true);
            AuthCall::UserGrantRole(pb::AuthUserGrantRoleRequest { user, role })
        } else {
            let name = self.user_name(true);
            AuthCall::UserRevokeRole(pb::AuthUserRevokeRoleRequest { name, role })
        }
    }

    fn role_call(&mut self) -> AuthCall {
        match self.rng.random_range(0..20) {
            0..4 => AuthCall::RoleAdd(pb::AuthRoleAddRequest { name: self.role_name() }),
            4 => AuthCall::RoleDelete(pb::AuthRoleDeleteRequest { role: self.role_name() }),
            5..8 => AuthCall::RoleGet(pb::AuthRoleGetRequest { role: self.role_name() }),
            8 => AuthCall::RoleList,
            9..17 => self.grant(),
            _ => AuthCall::RoleRevokePermission(self.revocation()),
        }
    }

    fn grant(&mut self) -> AuthCall {
        let (key, range_end) = self.proper_keys();
        let perm_type = self.rng.random_range(0..3);
        let name = self.role_name();
        let role = self.rights.auth.roles.get(&name);
        let of_key = role.into_iter().flat_map(|role| role.keys()).filter(|pair| pair.0 == key);
        let pairs: Vec<&Bytes> = of_key.map(|pair| &pair.1).collect();
        if pairs.len() > 1 && pairs.contains(&&range_end) {
            // TWICE_GRANTED
            return AuthCall::RoleGet(pb::AuthRoleGetRequest { role: name });
        }
        let perm = Some(Permission { perm_type, key, range_end });
        AuthCall::RoleGrantPermission(pb::AuthRoleGrantPermissionRequest { name, perm })
    }

    /// Mostly of a permission that there is.
    fn revocation(&mut self) -> pb::AuthRoleRevokePermissionRequest {
        let role = self.role_name();
        let count = self.rights.auth.roles.get(&role).map_or(0, |role| role.len());
        let (key, range_end) = if count > 0 && self.chance(70) {
            let n = self.below(count);
            let pair = self.rights.auth.roles.get(&role).and_then(|role| role.keys().nth(n));
            pair.cloned().unwrap_or_default()
        } else {
            self.keys()
        };
        pb::AuthRoleRevokePermissionRequest { role, key, range_end }
    }

    /// A key, or a range that is not turned around.
    fn proper_keys(&mut self) -> (Bytes, Bytes) {
        let (key, range_end) = self.keys();
        let is_proper = range_end.is_empty() || range_end == OPEN_END || range_end > key;
        (key, if is_proper { range_end } else { Bytes::new() })
    }

    /// A grant that holds nothing, or is none; and what the reference answers.
    pub(super) fn odd_grant(&mut self) -> (Call, EtcdError) {
        let (perm, error) = match self.rng.random_range(0..3) {
            0 => (None, EtcdError::PermissionNotGiven),
            1 => (Some(Permission::default()), EtcdError::InvalidAuthMgmt),
            _ => {
                let (key, range_end) = ("k3".into(), "k2".into());
                let perm = Permission { perm_type: 2, key, range_end };
                (Some(perm), EtcdError::InvalidAuthMgmt)
            }
        };
        let request = pb::AuthRoleGrantPermissionRequest { name: self.role_name(), perm };
        (self.as_root(Call::Auth(AuthCall::RoleGrantPermission(request))), error)
    }
}
