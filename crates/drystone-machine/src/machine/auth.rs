//! Who may do what an entry asks for, and entries that change users and roles.

use super::Machine;
use crate::call::{Call, needs};
use crate::convert;
use crate::outcome::{Answer, AuthReply, Output, TokenChange};
use bytes::Bytes;
use drystone_api::errors::EtcdError;
use drystone_auth::{Error, Identity, decode_hash};
use drystone_probe::mark;
use drystone_types::LogIndex;

impl Machine {
    /// Says whether `who` may do `call` now, by the users, roles, permissions and keys of
    /// leases that were applied.
    ///
    /// # Errors
    /// What to answer when not. Nothing was changed.
    pub fn permit(&self, who: Option<&Identity>, call: &Call<'_>) -> Result<(), EtcdError> {
        // The keys of a lease may be many: they are not listed for whom they do not matter.
        if self.auth.is_open_to(who) {
            return Ok(());
        }
        self.auth.decide(who, &needs(call, &self.lessor)).map_err(convert::denial)
    }

    /// Applies an entry of the Auth service; `None` when it is another's.
    pub(super) fn apply_auth(
        &mut self,
        call: &Call<'_>,
        output: &mut Output,
    ) -> Option<Result<Answer, EtcdError>> {
        let before = (self.auth.is_enabled(), self.auth.revision());
        let asked = match call {
            Call::AuthStatus(_) => Ok(AuthReply::Status { enabled: before.0, revision: before.1 }),
            Call::UserGet(user) => self.user_get(&user.name),
            Call::UserList(_) => Ok(names(self.auth.users())),
            Call::RoleGet(role) => self.role_get(&role.role),
            Call::RoleList(_) => Ok(names(self.auth.roles())),
            Call::Login(login) => self.login(&login.name, &login.simple_token, output),
            _ => self.change_auth(call, output)?.map(|()| AuthReply::Done),
        };
        if before != (self.auth.is_enabled(), self.auth.revision()) {
            mark!("machine.auth_changed");
            output.auth_changed = true;
        }
        let header = convert::header(self.store.revision());
        Some(asked.map(|reply| Answer::Auth { header, reply }).map_err(|error| match error {
            Refusal::Auth(error) => convert::auth_refusal(error),
            Refusal::PermissionNotGiven => EtcdError::PermissionNotGiven,
        }))
    }

    fn change_auth(&mut self, call: &Call<'_>, output: &mut Output) -> Option<Result<(), Refusal>> {
        let (auth, out) = (&mut self.auth, &mut self.batch);
        let changed = match call {
            Call::AuthEnable(_) => auth.enable(out),
            Call::AuthDisable(_) => {
                if auth.disable(out) {
                    output.tokens.push(TokenChange::AllDropped);
                }
                Ok(())
            }
            Call::UserAdd(add) => {
                let password = hash(&add.password, &add.hashed_password);
                let no_password = add.options.is_some_and(|options| options.no_password);
                auth.add_user(out, &add.name, password, no_password)
            }
            Call::UserDelete(user) => {
                let deleted = auth.delete_user(out, &user.name);
                deleted.map(|()| output.tokens.push(TokenChange::UserDropped(user.name.clone())))
            }
            Call::UserChangePassword(change) => {
                let password = hash(&change.password, &change.hashed_password);
                let changed = auth.change_password(out, &change.name, password);
                changed.map(|()| output.tokens.push(TokenChange::UserDropped(change.name.clone())))
            }
            Call::UserGrantRole(grant) => auth.grant_role(out, &grant.user, &grant.role),
            Call::UserRevokeRole(revoke) => auth.revoke_role(out, &revoke.name, &revoke.role),
            Call::RoleAdd(role) => auth.add_role(out, &role.name),
            Call::RoleDelete(role) => auth.delete_role(out, &role.role),
            Call::RoleGrantPermission(grant) => match grant.perm.clone() {
                None => return Some(Err(Refusal::PermissionNotGiven)),
                Some(given) => auth.grant_permission(out, &grant.name, convert::permission(given)),
            },
            Call::RoleRevokePermission(revoke) => {
                auth.revoke_permission(out, &revoke.role, &revoke.key, &revoke.range_end)
            }
            _ => return None,
        };
        Some(changed.map_err(Refusal::Auth))
    }

    fn user_get(&self, name: &str) -> Result<AuthReply, Refusal> {
        let user = self.auth.user(name).ok_or(Refusal::Auth(Error::UserNotFound))?;
        Ok(AuthReply::Names(user.roles().to_vec()))
    }

    fn role_get(&self, name: &str) -> Result<AuthReply, Refusal> {
        let permissions = self.auth.permissions_of(name).map_err(Refusal::Auth)?;
        let messages = permissions.into_iter().map(convert::permission_message);
        Ok(AuthReply::Permissions(messages.collect()))
    }

    /// A login whose password was found right before it was proposed. Its simple token is what
    /// the proposer made up and the index of the entry before this one, as etcd's members have
    /// it since 3.5, so that it counts on all of them.
    fn login(&self, user: &str, made_up: &str, output: &mut Output) -> Result<AuthReply, Refusal> {
        self.auth.login(user).map_err(Refusal::Auth)?;
        let LogIndex(before) = self.applied.index;
        let token = format!("{made_up}.{before}");
        if !made_up.is_empty() {
            let (user, token) = (user.to_owned(), token.clone());
            output.tokens.push(TokenChange::Issued { user, token });
        }
        Ok(AuthReply::Token(token))
    }
}

/// Why an entry of the Auth service is refused.
enum Refusal {
    Auth(Error),
    PermissionNotGiven,
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> AuthReply {
    AuthReply::Names(names.map(str::to_owned).collect())
}

/// The hash that a request carries; `None` when it cannot be read. Passwords are hashed before
/// they are proposed. A log of an old etcd may hold one in clear: hashing it here would give
/// another hash on every member, so it counts as unreadable.
fn hash(password: &str, hashed: &str) -> Option<Bytes> {
    if !password.is_empty() && hashed.is_empty() {
        return None;
    }
    decode_hash(hashed).map(Bytes::from)
}
