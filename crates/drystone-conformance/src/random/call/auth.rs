//! The calls about users and roles, and the tokens that a server gave.

use super::{Reply, Side, Who, reply};
use drystone_api::authpb::Permission;
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::auth_client::AuthClient;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tonic::metadata::{Ascii, MetadataValue};

/// A request to the service Auth.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::random) enum AuthCall {
    Enable,
    Disable,
    Status,
    Authenticate(pb::AuthenticateRequest),
    UserAdd(pb::AuthUserAddRequest),
    UserGet(pb::AuthUserGetRequest),
    UserList,
    UserDelete(pb::AuthUserDeleteRequest),
    UserChangePassword(pb::AuthUserChangePasswordRequest),
    UserGrantRole(pb::AuthUserGrantRoleRequest),
    UserRevokeRole(pb::AuthUserRevokeRoleRequest),
    RoleAdd(pb::AuthRoleAddRequest),
    RoleGet(pb::AuthRoleGetRequest),
    RoleList,
    RoleDelete(pb::AuthRoleDeleteRequest),
    RoleGrantPermission(pb::AuthRoleGrantPermissionRequest),
    RoleRevokePermission(pb::AuthRoleRevokePermissionRequest),
}

impl AuthCall {
    /// The change of users, roles or permissions that it makes, as a log has it.
    pub(in crate::random) fn command(&self) -> Option<pb::InternalRaftRequest> {
        let mut command = pb::InternalRaftRequest::default();
        match self.clone() {
            AuthCall::Enable => command.auth_enable = Some(pb::AuthEnableRequest {}),
            AuthCall::Disable => command.auth_disable = Some(pb::AuthDisableRequest {}),
            AuthCall::UserAdd(request) => command.auth_user_add = Some(request),
            AuthCall::UserDelete(request) => command.auth_user_delete = Some(request),
            AuthCall::UserChangePassword(request) => {
                command.auth_user_change_password = Some(request);
            }
            AuthCall::UserGrantRole(request) => command.auth_user_grant_role = Some(request),
            AuthCall::UserRevokeRole(request) => command.auth_user_revoke_role = Some(request),
            AuthCall::RoleAdd(request) => command.auth_role_add = Some(request),
            AuthCall::RoleDelete(request) => command.auth_role_delete = Some(request),
            AuthCall::RoleGrantPermission(request) => {
                command.auth_role_grant_permission = Some(request);
            }
            AuthCall::RoleRevokePermission(request) => {
                command.auth_role_revoke_permission = Some(request);
            }
            AuthCall::Status
            | AuthCall::Authenticate(_)
            | AuthCall::UserGet(_)
            | AuthCall::UserList
            | AuthCall::RoleGet(_)
            | AuthCall::RoleList => return None,
        }
        Some(command)
    }
}

/// What an answer tells beside its header.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::random) enum Told {
    Nothing,
    Names(Vec<String>),
    Permissions(Vec<Permission>),
    /// Whether authentication is on, and at which revision of its own.
    Status(bool, u64),
    /// That there is a token; which one, servers choose.
    Token(bool),
}

/// The last token that each user got.
#[derive(Debug, Default)]
pub(in crate::random) struct Tokens {
    of_users: Mutex<BTreeMap<String, MetadataValue<Ascii>>>,
}

/// A token that nobody gave.
const STRANGE: &str = "strange.1";

impl Tokens {
    /// The token to tell.
    pub(in crate::random) fn of(&self, who: &Who) -> Option<MetadataValue<Ascii>> {
        let name = match who {
            Who::Nobody => return None,
            Who::Stranger => return Some(MetadataValue::from_static(STRANGE)),
            Who::User(name) => name,
        };
        let held = self.of_users.lock().unwrap_or_else(PoisonError::into_inner);
        Some(held.get(name).cloned().unwrap_or(MetadataValue::from_static(STRANGE)))
    }

    fn keep(&self, name: String, token: &str) -> bool {
        let Ok(token) = token.parse() else { return false };
        self.of_users.lock().unwrap_or_else(PoisonError::into_inner).insert(name, token);
        true
    }
}

impl Side {
    pub(super) async fn auth(&self, call: AuthCall, who: &Who) -> Reply {
        let mut client = AuthClient::new(self.transport());
        match call {
            AuthCall::Authenticate(request) => self.authenticate(request, who).await,
            AuthCall::Status => {
                let request = self.by(who, pb::AuthStatusRequest {});
                reply(client.auth_status(request).await, |answer| {
                    Reply::Auth(answer.header, Told::Status(answer.enabled, answer.auth_revision))
                })
            }
            AuthCall::UserGet(request) => {
                reply(client.user_get(self.by(who, request)).await, |answer| {
                    Reply::Auth(answer.header, Told::Names(answer.roles))
                })
            }
            AuthCall::UserList => {
                let request = self.by(who, pb::AuthUserListRequest {});
                reply(client.user_list(request).await, |answer| {
                    Reply::Auth(answer.header, Told::Names(answer.users))
                })
            }
            AuthCall::RoleGet(request) => {
                reply(client.role_get(self.by(who, request)).await, |answer| {
                    Reply::Auth(answer.header, Told::Permissions(answer.perm))
                })
            }
            AuthCall::RoleList => {
                let request = self.by(who, pb::AuthRoleListRequest {});
                reply(client.role_list(request).await, |answer| {
                    Reply::Auth(answer.header, Told::Names(answer.roles))
                })
            }
            call => self.change_auth(call, who).await,
        }
    }

    /// Calls whose answers tell nothing but a header.
    async fn change_auth(&self, call: AuthCall, who: &Who) -> Reply {
        let mut client = AuthClient::new(self.transport());
        macro_rules! done {
            ($method:ident, $request:expr) => {
                reply(client.$method(self.by(who, $request)).await, |answer| {
                    Reply::Auth(answer.header, Told::Nothing)
                })
            };
        }
        match call {
            AuthCall::Enable => done!(auth_enable, pb::AuthEnableRequest {}),
            AuthCall::Disable => done!(auth_disable, pb::AuthDisableRequest {}),
            AuthCall::UserAdd(request) => done!(user_add, request),
            AuthCall::UserDelete(request) => done!(user_delete, request),
            AuthCall::UserChangePassword(request) => done!(user_change_password, request),
            AuthCall::UserGrantRole(request) => done!(user_grant_role, request),
            AuthCall::UserRevokeRole(request) => done!(user_revoke_role, request),
            AuthCall::RoleAdd(request) => done!(role_add, request),
            AuthCall::RoleDelete(request) => done!(role_delete, request),
            AuthCall::RoleGrantPermission(request) => done!(role_grant_permission, request),
            AuthCall::RoleRevokePermission(request) => done!(role_revoke_permission, request),
            // Those that tell more are made by the caller.
            AuthCall::Status
            | AuthCall::Authenticate(_)
            | AuthCall::UserGet(_)
            | AuthCall::UserList
            | AuthCall::RoleGet(_)
            | AuthCall::RoleList => Reply::Silent,
        }
    }

    async fn authenticate(&self, request: pb::AuthenticateRequest, who: &Who) -> Reply {
        let mut client = AuthClient::new(self.transport());
        let name = request.name.clone();
        match client.authenticate(self.by(who, request)).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                let kept = self.tokens.keep(name, &answer.token);
                Reply::Auth(answer.header, Told::Token(kept && !answer.token.is_empty()))
            }
            Err(status) => super::refused(&status),
        }
    }
}
