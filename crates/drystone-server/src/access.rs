//! Who calls, and what that caller may do: the one way from a request to the store.
//!
//! A handler that a client reaches gets nowhere without an [`Authority`]: proposals, snapshots,
//! questions to the apply thread and watchers all ask for one. Nobody can make one but
//! [`Shared::authorize`], which looks at the caller and at what the request takes, and
//! [`Authority::of_this_member`], for what the member does on its own account.
//!
//! The look here spares the log what would be refused, and guards what never enters it. The
//! last word on a proposal is the machine's, when it is applied.

use crate::calls::Record;
use crate::connection::OfConnection;
use crate::shared::Shared;
use crate::tokens::Spoken;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb as pb;
use drystone_auth::{Auth, Identity, token_index};
use drystone_machine::{Attachments, Call, NoAttachments, convert, needs};
use drystone_peer::PassedOn;
use drystone_types::LeaseId;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request};

/// What precedes a token in the way of HTTP.
const BEARER: &str = "Bearer ";

/// What the gateway marks its calls with. Whoever is at the other end of its connection is not
/// who calls.
const OF_GATEWAY: &str = "grpcgateway-accept";

/// What a call says of its caller.
#[derive(Clone, Default)]
pub(crate) struct Caller {
    token: Option<Arc<str>>,
    /// The name in the certificate of its connection, where that is a user's.
    common_name: Option<Arc<str>>,
    /// What is kept of the call.
    record: Option<Arc<Record>>,
}

/// Says whether there is a token, not which.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("has_token", &self.token.is_some())
            .field("common_name", &self.common_name)
            .finish()
    }
}

impl Caller {
    /// Reads `token`, else `authorization`, of which the first value counts. One that is no
    /// text is a bad token, not none. Without any, the name in the connection's certificate
    /// counts, unless the call comes through the gateway.
    pub(crate) fn of(metadata: &MetadataMap, extensions: &Extensions) -> Self {
        let value = metadata.get("token").or_else(|| metadata.get("authorization"));
        let token = value.map(|value| strip(value.to_str().unwrap_or_default()));
        let of_connection = extensions.get::<OfConnection>();
        let common_name = of_connection.and_then(|known| known.far_end.common_name.clone());
        let by_gateway = metadata.contains_key(OF_GATEWAY);
        if let Some(common_name) = common_name.as_ref().filter(|_| by_gateway && token.is_none()) {
            tracing::warn!(
                "common-name" = %common_name,
                "ignoring common name in gRPC-gateway proxy request"
            );
        }
        Self {
            token,
            common_name: common_name.filter(|_| !by_gateway),
            record: extensions.get::<Arc<Record>>().cloned(),
        }
    }

    /// The caller for whom another member passes a call on.
    pub(crate) fn passed_on(told: PassedOn) -> Self {
        let PassedOn { token, common_name } = told;
        let common_name = common_name.map(Into::into);
        Self { token: token.as_deref().map(strip), common_name, record: None }
    }

    /// What is kept of the call, where it came from a client.
    pub(crate) fn record(&self) -> Option<&Arc<Record>> {
        self.record.as_ref()
    }

    /// What the member is told that a call is passed on to. With a token nothing else counts,
    /// there or here.
    pub(crate) fn to_pass_on(&self) -> PassedOn {
        let owned = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        let token = owned(&self.token);
        let common_name = if token.is_some() { None } else { owned(&self.common_name) };
        PassedOn { token, common_name }
    }
}

/// Who calls, and what is asked.
pub(crate) fn split<T>(request: Request<T>) -> (Caller, T) {
    (Caller::of(request.metadata(), request.extensions()), request.into_inner())
}

fn strip(token: &str) -> Arc<str> {
    token.strip_prefix(BEARER).unwrap_or(token).into()
}

/// A request that says what is asked: what it takes follows from that alone.
pub(crate) trait Asks {
    /// The same request, among all that can be asked.
    fn call(&self) -> Call<'_>;
}

macro_rules! asks {
    ($($message:ident as $call:ident),* $(,)?) => {
        $(impl Asks for pb::$message {
            fn call(&self) -> Call<'_> {
                Call::$call(self)
            }
        })*
    };
}

asks! {
    RangeRequest as Range,
    PutRequest as Put,
    DeleteRangeRequest as DeleteRange,
    TxnRequest as Txn,
    CompactionRequest as Compact,
    WatchCreateRequest as WatchCreate,
    LeaseGrantRequest as LeaseGrant,
    LeaseRevokeRequest as LeaseRevoke,
    LeaseKeepAliveRequest as LeaseKeepAlive,
    LeaseTimeToLiveRequest as LeaseTimeToLive,
    LeaseLeasesRequest as LeaseLeases,
    MemberAddRequest as MemberAdd,
    MemberRemoveRequest as MemberRemove,
    MemberUpdateRequest as MemberUpdate,
    MemberListRequest as MemberList,
    MemberPromoteRequest as MemberPromote,
    AlarmRequest as Alarm,
    StatusRequest as Status,
    DefragmentRequest as Defragment,
    HashRequest as Hash,
    HashKvRequest as HashKv,
    SnapshotRequest as Snapshot,
    MoveLeaderRequest as MoveLeader,
    DowngradeRequest as Downgrade,
    AuthEnableRequest as AuthEnable,
    AuthDisableRequest as AuthDisable,
    AuthStatusRequest as AuthStatus,
    AuthenticateRequest as Authenticate,
    AuthUserAddRequest as UserAdd,
    AuthUserGetRequest as UserGet,
    AuthUserListRequest as UserList,
    AuthUserDeleteRequest as UserDelete,
    AuthUserChangePasswordRequest as UserChangePassword,
    AuthUserGrantRoleRequest as UserGrantRole,
    AuthUserRevokeRoleRequest as UserRevokeRole,
    AuthRoleAddRequest as RoleAdd,
    AuthRoleGetRequest as RoleGet,
    AuthRoleListRequest as RoleList,
    AuthRoleDeleteRequest as RoleDelete,
    AuthRoleGrantPermissionRequest as RoleGrantPermission,
    AuthRoleRevokePermissionRequest as RoleRevokePermission,
}

/// Leave to act, for somebody who was recognised, or for the member itself.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    who: Option<Identity>,
    /// Whether permissions were asked for when it was given, and at which auth revision.
    given: Given,
    /// What is kept of the call that it was given for.
    record: Option<Arc<Record>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    ToThisMember,
    WhileOff,
    At(u64),
}

impl Authority {
    /// For what no client asked for: alarms, the end of leases, the member's own name,
    /// automatic compaction, questions of other members. Never for a client's request.
    pub(crate) fn of_this_member() -> Self {
        Self { who: Some(Identity::server()), given: Given::ToThisMember, record: None }
    }

    /// What is kept of the call that it was given for, if it was for one.
    pub(crate) fn record(&self) -> Option<&Arc<Record>> {
        self.record.as_ref()
    }

    /// Who acts, as an entry of the log says it.
    pub(crate) fn who(&self) -> Option<&Identity> {
        self.who.as_ref()
    }

    /// Whether nothing has changed since it was given. State that was frozen before this look
    /// holds nothing that a right was taken away for.
    ///
    /// # Errors
    /// [`EtcdError::AuthOldRevision`] when users, roles or permissions have changed.
    fn holds(&self, auth: &Auth) -> Result<(), EtcdError> {
        let holds = match self.given {
            Given::ToThisMember => true,
            Given::WhileOff => !auth.is_enabled(),
            Given::At(revision) => !auth.is_enabled() || auth.revision() == revision,
        };
        if holds { Ok(()) } else { Err(EtcdError::AuthOldRevision) }
    }
}

/// A request, and the leave to carry it out.
#[derive(Debug)]
pub(crate) struct Authorized<T> {
    request: T,
    authority: Authority,
}

impl<T> Authorized<T> {
    /// The request and the leave.
    pub(crate) fn into_parts(self) -> (T, Authority) {
        (self.request, self.authority)
    }
}

/// Keys of leases that are part of an answer, which so needs leave to read them.
pub(crate) struct Answered<'a>(pub(crate) &'a [bytes::Bytes]);

impl Attachments for Answered<'_> {
    fn attached(&self, _: LeaseId) -> Vec<bytes::Bytes> {
        self.0.to_vec()
    }

    fn all_attached(&self) -> Vec<bytes::Bytes> {
        self.0.to_vec()
    }
}

/// Whether `who` may do what `call` takes.
pub(crate) fn decide(
    auth: &Auth,
    who: Option<&Identity>,
    call: &Call<'_>,
    attachments: &dyn Attachments,
) -> Result<(), EtcdError> {
    if auth.is_open_to(who) {
        return Ok(());
    }
    auth.decide(who, &needs(call, attachments)).map_err(convert::denial)
}

/// Who calls: by the token, or without one by the certificate, of which the log speaks here,
/// where it counts, and nowhere else. Nobody in particular while authentication is off.
///
/// # Errors
/// [`EtcdError::InvalidAuthToken`] for a token that `read` does not know.
fn identify(
    auth_revision: Option<u64>,
    caller: &Caller,
    read: impl FnOnce(&str) -> Option<Spoken>,
) -> Result<Option<Identity>, EtcdError> {
    let Some(auth_revision) = auth_revision else { return Ok(None) };
    if let Some(token) = &caller.token {
        let spoken = read(token).ok_or(EtcdError::InvalidAuthToken)?;
        let revision = spoken.revision.unwrap_or(auth_revision);
        return Ok(Some(Identity { user: spoken.user, revision }));
    }
    let Some(name) = caller.common_name.as_deref() else { return Ok(None) };
    tracing::debug!(
        "common-name" = name,
        "user-name" = name,
        revision = auth_revision,
        "found command name"
    );
    Ok(Some(Identity { user: name.to_owned(), revision: auth_revision }))
}

impl Shared {
    /// Recognises the caller and looks whether it may do what `request` takes, by what this
    /// member has applied. What hangs on leases is left out; whoever answers with keys of a
    /// lease, or renews one, asks again with them.
    ///
    /// # Errors
    /// [`EtcdError::InvalidAuthToken`] for a token that is none of ours, or why not.
    pub(crate) async fn authorize<T: Asks>(
        &self,
        caller: &Caller,
        request: T,
    ) -> Result<Authorized<T>, EtcdError> {
        if let Err(error) = self.look(caller, &request) {
            self.await_token(caller, error).await?;
        }
        let authority = self.look(caller, &request)?;
        Ok(Authorized { request, authority })
    }

    /// [`Shared::authorize`] for what will be proposed, or must not be refused because this
    /// member lags: before it refuses, it waits for what was acknowledged anywhere.
    ///
    /// # Errors
    /// As [`Shared::authorize`], and those of a linearizable read.
    pub(crate) async fn authorize_change<T: Asks>(
        &self,
        caller: &Caller,
        request: T,
    ) -> Result<Authorized<T>, EtcdError> {
        let authority = match self.look(caller, &request) {
            Ok(authority) => authority,
            Err(_) => {
                self.confirm_read().await?;
                self.look(caller, &request)?
            }
        };
        Ok(Authorized { request, authority })
    }

    fn look(&self, caller: &Caller, request: &impl Asks) -> Result<Authority, EtcdError> {
        let auth = self.auth();
        let who = self.recognise(&auth, caller)?;
        if let (Some(record), Some(who)) = (&caller.record, &who) {
            record.recognised(&who.user);
        }
        decide(&auth, who.as_ref(), &request.call(), &NoAttachments)?;
        let given = if auth.is_enabled() { Given::At(auth.revision()) } else { Given::WhileOff };
        Ok(Authority { who, given, record: caller.record.clone() })
    }

    /// The identity behind a caller's token, or its certificate. The revision is that of `auth`, which so must be
    /// read before the token: a change in between makes the identity too old, never too new.
    fn recognise(&self, auth: &Auth, caller: &Caller) -> Result<Option<Identity>, EtcdError> {
        let revision = auth.is_enabled().then(|| auth.revision());
        identify(revision, caller, |token| self.tokens.read(token, self.now()))
    }

    /// Waits, if `error` is that a token is not known, and the entry that makes it known may
    /// not have been applied here yet. Otherwise the error stands.
    async fn await_token(&self, caller: &Caller, error: EtcdError) -> Result<(), EtcdError> {
        let index = caller.token.as_deref().and_then(token_index);
        let applied = self.status.applied.load(Ordering::Acquire);
        if error != EtcdError::InvalidAuthToken || index.is_none_or(|index| index < applied) {
            return Err(error);
        }
        self.confirm_read().await
    }

    /// A frozen state of the keys, for whoever has leave to read in it.
    ///
    /// # Errors
    /// [`EtcdError::AuthOldRevision`] when what may be read changed since leave was given.
    pub(crate) fn snapshot(
        &self,
        authority: &Authority,
    ) -> Result<drystone_mvcc::Snapshot, EtcdError> {
        // The machine publishes permissions before keys: the look comes after the freezing.
        let snapshot = self.view.read().reader(authority).snapshot();
        authority.holds(&self.auth())?;
        Ok(snapshot)
    }

    /// Leave to answer with, or act on, the keys of a lease.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn allow_keys(
        &self,
        authority: &Authority,
        request: &impl Asks,
        keys: &[bytes::Bytes],
    ) -> Result<(), EtcdError> {
        decide(&self.auth(), authority.who(), &request.call(), &Answered(keys))
    }
}

#[cfg(test)]
mod tests;
