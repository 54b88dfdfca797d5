//! The Auth service: users, roles, permissions, and logging in.
//!
//! Passwords go no further than this file and [`crate::passwords`]: what is proposed carries
//! their hashes, and nothing that is logged carries either.

use crate::access::{Authority, split};
use crate::shared::Shared;
use crate::tokens::Tokens;
use bytes::Bytes;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::auth_server::Auth;
use drystone_api::etcdserverpb::*;
use drystone_auth::JwtError;
use drystone_machine::{Answer, AuthReply, convert};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// How often a login is tried anew because users or roles changed while its password was
/// compared.
const LOGIN_TRIES_MAX: usize = 16;

/// Serves `etcdserverpb.Auth`.
#[derive(Clone, Debug)]
pub(crate) struct AuthService {
    shared: Arc<Shared>,
}

impl AuthService {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn header(&self) -> Option<ResponseHeader> {
        self.shared.header(self.shared.revision())
    }

    /// Proposes a change of users, roles or permissions.
    async fn change(
        &self,
        authority: &Authority,
        change: InternalRaftRequest,
    ) -> Result<Option<ResponseHeader>, Status> {
        match self.shared.propose(authority, change).await? {
            Answer::Auth { mut header, reply: AuthReply::Done } => {
                self.shared.complete(&mut header);
                Ok(header)
            }
            _ => Err(Status::internal("the log gave a change of users another answer")),
        }
    }

    /// Compares the password and makes a token, under one and the same auth revision.
    async fn login(&self, name: &str, password: String) -> Result<String, EtcdError> {
        self.shared.confirm_read().await?;
        for _ in 0..LOGIN_TRIES_MAX {
            let auth = self.shared.auth();
            let hash = match auth.login(name) {
                Ok(user) => Some(Bytes::copy_from_slice(user.password_hash())),
                // Nobody's password is compared all the same: the time tells nothing.
                Err(drystone_auth::Error::AuthFailed) => None,
                Err(error) => return Err(convert::auth_refusal(error)),
            };
            if !self.shared.passwords.matches(password.clone(), hash).await? {
                return Err(EtcdError::AuthFailed);
            }
            let token = self.token(name, auth.revision()).await?;
            if self.shared.auth().revision() == auth.revision() {
                return Ok(token);
            }
        }
        Err(EtcdError::RequestTooManyRequests)
    }

    /// A token for a user whose password was right. A simple one is made known to all members.
    async fn token(&self, name: &str, revision: u64) -> Result<String, EtcdError> {
        if let Some(signed) = self.shared.tokens.sign(name, revision) {
            return signed.map_err(|error| match error {
                JwtError::VerifyOnly => EtcdError::VerifyOnlyKey,
                error => {
                    tracing::error!(%error, "no token could be made");
                    EtcdError::AuthFailed
                }
            });
        }
        if !matches!(*self.shared.tokens, Tokens::Simple(_)) {
            return Err(EtcdError::AuthFailed);
        }
        let login = InternalAuthenticateRequest {
            name: name.to_owned(),
            password: String::new(),
            simple_token: Tokens::word(),
        };
        let login = InternalRaftRequest { authenticate: Some(login), ..Default::default() };
        match self.shared.propose(&Authority::of_this_member(), login).await? {
            Answer::Auth { reply: AuthReply::Token(token), .. } => Ok(token),
            _ => Err(EtcdError::AuthFailed),
        }
    }
}

/// A change that goes into the log as it came.
macro_rules! change {
    ($self:ident, $request:ident, $field:ident, $response:ident) => {{
        let (caller, request) = split($request);
        let authorized = $self.shared.authorize_change(&caller, request).await?;
        let (request, authority) = authorized.into_parts();
        let change = InternalRaftRequest { $field: Some(request), ..Default::default() };
        let header = $self.change(&authority, change).await?;
        Ok(Response::new($response { header }))
    }};
}

#[tonic::async_trait]
impl Auth for AuthService {
    async fn auth_enable(
        &self,
        request: Request<AuthEnableRequest>,
    ) -> Result<Response<AuthEnableResponse>, Status> {
        change!(self, request, auth_enable, AuthEnableResponse)
    }

    async fn auth_disable(
        &self,
        request: Request<AuthDisableRequest>,
    ) -> Result<Response<AuthDisableResponse>, Status> {
        change!(self, request, auth_disable, AuthDisableResponse)
    }

    async fn auth_status(
        &self,
        request: Request<AuthStatusRequest>,
    ) -> Result<Response<AuthStatusResponse>, Status> {
        let (caller, request) = split(request);
        self.shared.confirm_read().await?;
        self.shared.authorize(&caller, request).await?;
        let auth = self.shared.auth();
        Ok(Response::new(AuthStatusResponse {
            header: self.header(),
            enabled: auth.is_enabled(),
            auth_revision: auth.revision(),
        }))
    }

    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        // Whoever logs in needs no leave, and a token that came along says nothing.
        let AuthenticateRequest { name, password } = request.into_inner();
        let token = self.login(&name, password).await?;
        Ok(Response::new(AuthenticateResponse { header: self.header(), token }))
    }

    async fn user_add(
        &self,
        request: Request<AuthUserAddRequest>,
    ) -> Result<Response<AuthUserAddResponse>, Status> {
        let (caller, request) = split(request);
        let authorized = self.shared.authorize_change(&caller, request).await?;
        let (mut request, authority) = authorized.into_parts();
        let password = std::mem::take(&mut request.password);
        let no_password = request.options.as_ref().is_some_and(|options| options.no_password);
        // A hash that the client brought along is never taken here, as in etcd.
        request.hashed_password = match no_password {
            true => String::new(),
            false => self.shared.passwords.hash(password).await?,
        };
        let change = InternalRaftRequest { auth_user_add: Some(request), ..Default::default() };
        let header = self.change(&authority, change).await?;
        Ok(Response::new(AuthUserAddResponse { header }))
    }

    async fn user_get(
        &self,
        request: Request<AuthUserGetRequest>,
    ) -> Result<Response<AuthUserGetResponse>, Status> {
        let (caller, request) = split(request);
        self.shared.confirm_read().await?;
        let (request, _) = self.shared.authorize(&caller, request).await?.into_parts();
        let auth = self.shared.auth();
        let user = auth.user(&request.name).ok_or(EtcdError::UserNotFound)?;
        let roles = user.roles().to_vec();
        Ok(Response::new(AuthUserGetResponse { header: self.header(), roles }))
    }

    async fn user_list(
        &self,
        request: Request<AuthUserListRequest>,
    ) -> Result<Response<AuthUserListResponse>, Status> {
        let (caller, request) = split(request);
        self.shared.confirm_read().await?;
        self.shared.authorize(&caller, request).await?;
        let users = self.shared.auth().users().map(str::to_owned).collect();
        Ok(Response::new(AuthUserListResponse { header: self.header(), users }))
    }

    async fn user_delete(
        &self,
        request: Request<AuthUserDeleteRequest>,
    ) -> Result<Response<AuthUserDeleteResponse>, Status> {
        change!(self, request, auth_user_delete, AuthUserDeleteResponse)
    }

    async fn user_change_password(
        &self,
        request: Request<AuthUserChangePasswordRequest>,
    ) -> Result<Response<AuthUserChangePasswordResponse>, Status> {
        let (caller, request) = split(request);
        let authorized = self.shared.authorize_change(&caller, request).await?;
        let (mut request, authority) = authorized.into_parts();
        let password = std::mem::take(&mut request.password);
        // Without a password a hash that came along is taken as it is, as in etcd.
        if !password.is_empty() {
            request.hashed_password = self.shared.passwords.hash(password).await?;
        }
        let change =
            InternalRaftRequest { auth_user_change_password: Some(request), ..Default::default() };
        let header = self.change(&authority, change).await?;
        Ok(Response::new(AuthUserChangePasswordResponse { header }))
    }

    async fn user_grant_role(
        &self,
        request: Request<AuthUserGrantRoleRequest>,
    ) -> Result<Response<AuthUserGrantRoleResponse>, Status> {
        change!(self, request, auth_user_grant_role, AuthUserGrantRoleResponse)
    }

    async fn user_revoke_role(
        &self,
        request: Request<AuthUserRevokeRoleRequest>,
    ) -> Result<Response<AuthUserRevokeRoleResponse>, Status> {
        change!(self, request, auth_user_revoke_role, AuthUserRevokeRoleResponse)
    }

    async fn role_add(
        &self,
        request: Request<AuthRoleAddRequest>,
    ) -> Result<Response<AuthRoleAddResponse>, Status> {
        change!(self, request, auth_role_add, AuthRoleAddResponse)
    }

    async fn role_get(
        &self,
        request: Request<AuthRoleGetRequest>,
    ) -> Result<Response<AuthRoleGetResponse>, Status> {
        let (caller, request) = split(request);
        self.shared.confirm_read().await?;
        let (request, _) = self.shared.authorize(&caller, request).await?.into_parts();
        let permissions = self.shared.auth().permissions_of(&request.role);
        let permissions = permissions.map_err(convert::auth_refusal)?;
        let perm = permissions.into_iter().map(convert::permission_message).collect();
        Ok(Response::new(AuthRoleGetResponse { header: self.header(), perm }))
    }

    async fn role_list(
        &self,
        request: Request<AuthRoleListRequest>,
    ) -> Result<Response<AuthRoleListResponse>, Status> {
        let (caller, request) = split(request);
        self.shared.confirm_read().await?;
        self.shared.authorize(&caller, request).await?;
        let roles = self.shared.auth().roles().map(str::to_owned).collect();
        Ok(Response::new(AuthRoleListResponse { header: self.header(), roles }))
    }

    async fn role_delete(
        &self,
        request: Request<AuthRoleDeleteRequest>,
    ) -> Result<Response<AuthRoleDeleteResponse>, Status> {
        change!(self, request, auth_role_delete, AuthRoleDeleteResponse)
    }

    async fn role_grant_permission(
        &self,
        request: Request<AuthRoleGrantPermissionRequest>,
    ) -> Result<Response<AuthRoleGrantPermissionResponse>, Status> {
        change!(self, request, auth_role_grant_permission, AuthRoleGrantPermissionResponse)
    }

    async fn role_revoke_permission(
        &self,
        request: Request<AuthRoleRevokePermissionRequest>,
    ) -> Result<Response<AuthRoleRevokePermissionResponse>, Status> {
        change!(self, request, auth_role_revoke_permission, AuthRoleRevokePermissionResponse)
    }
}
