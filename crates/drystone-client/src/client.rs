//! The unary calls, and the rules by which they are repeated.

use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::auth_client::AuthClient;
use drystone_api::etcdserverpb::cluster_client::ClusterClient;
use drystone_api::etcdserverpb::kv_client::KvClient;
use drystone_api::etcdserverpb::lease_client::LeaseClient;
use drystone_api::etcdserverpb::maintenance_client::MaintenanceClient;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Code, Status};

use crate::dial::SecureDialer;
use crate::{Config, Credentials, Dial, Error, Transport};

/// A client of one cluster. Cloning is cheap and shares connections and token.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    transport: Transport,
    token: RwLock<Option<MetadataValue<Ascii>>>,
}

/// Whether a call may be sent again after an answer or a lost connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Reads and calls of the same effect when done twice: on `UNAVAILABLE`.
    Read,
    /// Writes: only when nothing was sent.
    Unsent,
}

const TEXT_LEARNER: &str = "etcdserver: rpc not supported for learner";
const TEXT_USER_EMPTY: &str = "etcdserver: user name is empty";
const TEXT_TOKEN_INVALID: &str = "etcdserver: invalid auth token";
const TEXT_AUTH_OLD: &str = "etcdserver: revision of auth store is old";

macro_rules! unary {
    ($($(#[$doc:meta])* $repeat:ident $service:ident
        fn $name:ident($request:ident) -> $response:ident;)*) => {
        impl Client {
            $(
                $(#[$doc])*
                pub async fn $name(&self, request: pb::$request) -> Result<pb::$response, Error> {
                    let bytes_max = self.inner.config.response_bytes_max;
                    self.call(Repeat::$repeat, request, move |transport, request| async move {
                        $service::new(transport)
                            .max_decoding_message_size(bytes_max)
                            .max_encoding_message_size(usize::MAX)
                            .$name(request)
                            .await
                    })
                    .await
                }
            )*
        }
    };
}

unary! {
    /// Reads keys.
    Read KvClient fn range(RangeRequest) -> RangeResponse;
    /// Writes one key.
    Unsent KvClient fn put(PutRequest) -> PutResponse;
    /// Deletes keys.
    Unsent KvClient fn delete_range(DeleteRangeRequest) -> DeleteRangeResponse;
    /// Compares, then does one of two lists of operations, at one revision.
    Unsent KvClient fn txn(TxnRequest) -> TxnResponse;
    /// Drops history before a revision.
    Unsent KvClient fn compact(CompactionRequest) -> CompactionResponse;
    /// Makes a lease.
    Read LeaseClient fn lease_grant(LeaseGrantRequest) -> LeaseGrantResponse;
    /// Ends a lease and deletes its keys.
    Read LeaseClient fn lease_revoke(LeaseRevokeRequest) -> LeaseRevokeResponse;
    /// What is left of a lease.
    Read LeaseClient fn lease_time_to_live(LeaseTimeToLiveRequest) -> LeaseTimeToLiveResponse;
    /// All leases.
    Read LeaseClient fn lease_leases(LeaseLeasesRequest) -> LeaseLeasesResponse;
    /// The members of the cluster.
    Read ClusterClient fn member_list(MemberListRequest) -> MemberListResponse;
    /// Adds a member.
    Unsent ClusterClient fn member_add(MemberAddRequest) -> MemberAddResponse;
    /// Removes a member.
    Unsent ClusterClient fn member_remove(MemberRemoveRequest) -> MemberRemoveResponse;
    /// Changes a member's peer URLs.
    Unsent ClusterClient fn member_update(MemberUpdateRequest) -> MemberUpdateResponse;
    /// Makes a learner a voter.
    Unsent ClusterClient fn member_promote(MemberPromoteRequest) -> MemberPromoteResponse;
    /// The state of the member that answers.
    Read MaintenanceClient fn status(StatusRequest) -> StatusResponse;
    /// The hash of the answering member's key-value pairs at a revision.
    Read MaintenanceClient fn hash_kv(HashKvRequest) -> HashKvResponse;
    /// Lists, raises or ends alarms.
    Read MaintenanceClient fn alarm(AlarmRequest) -> AlarmResponse;
    /// Asks for permissions from now on.
    Unsent AuthClient fn auth_enable(AuthEnableRequest) -> AuthEnableResponse;
    /// Asks for permissions no more.
    Unsent AuthClient fn auth_disable(AuthDisableRequest) -> AuthDisableResponse;
    /// Whether permissions are asked for.
    Read AuthClient fn auth_status(AuthStatusRequest) -> AuthStatusResponse;
    /// Makes a user.
    Unsent AuthClient fn user_add(AuthUserAddRequest) -> AuthUserAddResponse;
    /// The roles of a user.
    Read AuthClient fn user_get(AuthUserGetRequest) -> AuthUserGetResponse;
    /// All users.
    Read AuthClient fn user_list(AuthUserListRequest) -> AuthUserListResponse;
    /// Removes a user.
    Unsent AuthClient fn user_delete(AuthUserDeleteRequest) -> AuthUserDeleteResponse;
    /// Gives a user another password.
    Unsent AuthClient fn user_change_password(AuthUserChangePasswordRequest)
        -> AuthUserChangePasswordResponse;
    /// Gives a user a role.
    Unsent AuthClient fn user_grant_role(AuthUserGrantRoleRequest) -> AuthUserGrantRoleResponse;
    /// Takes a role from a user.
    Unsent AuthClient fn user_revoke_role(AuthUserRevokeRoleRequest) -> AuthUserRevokeRoleResponse;
    /// Makes a role.
    Unsent AuthClient fn role_add(AuthRoleAddRequest) -> AuthRoleAddResponse;
    /// What a role may.
    Read AuthClient fn role_get(AuthRoleGetRequest) -> AuthRoleGetResponse;
    /// All roles.
    Read AuthClient fn role_list(AuthRoleListRequest) -> AuthRoleListResponse;
    /// Removes a role.
    Unsent AuthClient fn role_delete(AuthRoleDeleteRequest) -> AuthRoleDeleteResponse;
    /// Gives a role a permission.
    Unsent AuthClient fn role_grant_permission(AuthRoleGrantPermissionRequest)
        -> AuthRoleGrantPermissionResponse;
    /// Takes a permission from a role.
    Unsent AuthClient fn role_revoke_permission(AuthRoleRevokePermissionRequest)
        -> AuthRoleRevokePermissionResponse;
    /// Asks the answering member to give free space back.
    Unsent MaintenanceClient fn defragment(DefragmentRequest) -> DefragmentResponse;
    /// Hands leadership from the answering member, which must lead, to another.
    Read MaintenanceClient fn move_leader(MoveLeaderRequest) -> MoveLeaderResponse;
}

impl Client {
    /// Makes a client; connects when the first call is made.
    ///
    /// # Errors
    /// [`Error::NoEndpoints`]; files of [`Config::tls`] that cannot be used; a token that cannot
    /// stand in metadata.
    pub fn new(config: Config) -> Result<Client, Error> {
        let dial = Arc::new(SecureDialer::new(&config)?);
        Client::over(config, dial)
    }

    /// [`Client::new`] over connections that `dial` makes.
    ///
    /// # Errors
    /// Those of [`Client::new`].
    pub fn over(config: Config, dial: Arc<dyn Dial>) -> Result<Client, Error> {
        let token = match &config.credentials {
            Credentials::Token(token) => Some(metadata(token)?),
            Credentials::None | Credentials::Password { .. } => None,
        };
        let transport = Transport::over(&config, dial)?;
        Ok(Client { inner: Arc::new(Inner { config, transport, token: RwLock::new(token) }) })
    }

    /// [`Client::new`], then opens a connection and, with a password, fetches a token.
    /// That authentication is off is no error.
    pub async fn connect(config: Config) -> Result<Client, Error> {
        let client = Client::new(config)?;
        match client.authenticate().await {
            Err(error) if error.is_server("etcdserver: authentication is not enabled") => {}
            Err(error) => return Err(error),
            Ok(()) => client.transport().connect().await?,
        }
        Ok(client)
    }

    /// The settings this client was made with.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The connections, for calls that this type has no method for. They carry neither
    /// token nor deadline, and are not repeated.
    pub fn transport(&self) -> Transport {
        self.inner.transport.clone()
    }

    /// Fetches a token for the password of the configuration; nothing without one.
    async fn authenticate(&self) -> Result<(), Error> {
        let Credentials::Password { user, password } = &self.inner.config.credentials else {
            return Ok(());
        };
        let request = pb::AuthenticateRequest { name: user.clone(), password: password.clone() };
        let response =
            Box::pin(self.repeat(Repeat::Read, request, |transport, request| async move {
                AuthClient::new(transport).authenticate(request).await
            }))
            .await?;
        let token = metadata(&response.token)?;
        *self.inner.token.write().unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(())
    }

    /// Writes what every call says about itself: token, and whether a leader is required.
    pub(crate) fn describe(&self, metadata: &mut MetadataMap, require_leader: bool) {
        let token = self.inner.token.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = token.as_ref() {
            metadata.insert("token", token.clone());
        }
        if require_leader || self.inner.config.require_leader {
            metadata.insert("hasleader", MetadataValue::from_static("true"));
        }
    }

    /// One call as the user sees it: repeated as allowed, and with a new token if the old
    /// one is refused (once).
    pub(crate) async fn call<Q, R, F, A>(
        &self,
        repeat: Repeat,
        request: Q,
        attempt: F,
    ) -> Result<R, Error>
    where
        Q: prost::Message + Clone,
        F: Fn(Transport, tonic::Request<Q>) -> A,
        A: Future<Output = Result<tonic::Response<R>, Status>>,
    {
        let bytes_max = self.inner.config.request_bytes_max;
        let bytes = request.encoded_len();
        if bytes > bytes_max {
            return Err(Error::RequestTooLarge { bytes, bytes_max });
        }
        let whole = async {
            match self.repeat(repeat, request.clone(), &attempt).await {
                Err(error) if self.wants_new_token(&error) => {
                    self.authenticate().await?;
                    self.repeat(repeat, request, &attempt).await
                }
                done => done,
            }
        };
        match self.inner.config.timeouts.call {
            Some(limit) => tokio::time::timeout(limit, whole).await.unwrap_or(Err(Error::Deadline)),
            None => whole.await,
        }
    }

    async fn repeat<Q, R, F, A>(&self, repeat: Repeat, request: Q, attempt: F) -> Result<R, Error>
    where
        Q: Clone,
        F: Fn(Transport, tonic::Request<Q>) -> A,
        A: Future<Output = Result<tonic::Response<R>, Status>>,
    {
        let limit = self.inner.config.timeouts.call.map(|limit| Instant::now() + limit);
        let mut backoff = Backoff::new(&self.inner.config);
        loop {
            let mut request = tonic::Request::new(request.clone());
            if let Some(limit) = limit {
                request.set_timeout(limit.saturating_duration_since(Instant::now()));
            }
            self.describe(request.metadata_mut(), false);
            let error = match attempt(self.transport(), request).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => Error::from_status(&status),
            };
            if !self.may_repeat(repeat, &error) || !backoff.another(&error).await {
                return Err(error);
            }
        }
    }

    fn may_repeat(&self, repeat: Repeat, error: &Error) -> bool {
        if matches!(error, Error::Unreachable { .. }) {
            return true;
        }
        if error.is_server(TEXT_LEARNER) {
            return self.inner.transport.endpoints() > 1;
        }
        repeat == Repeat::Read && error.code() == Code::Unavailable
    }

    fn wants_new_token(&self, error: &Error) -> bool {
        matches!(self.inner.config.credentials, Credentials::Password { .. })
            && [TEXT_USER_EMPTY, TEXT_TOKEN_INVALID, TEXT_AUTH_OLD]
                .iter()
                .any(|text| error.is_server(text))
    }
}

fn metadata(token: &str) -> Result<MetadataValue<Ascii>, Error> {
    let mut value: MetadataValue<Ascii> = token.parse().map_err(|_| Error::Token)?;
    // Keeps it out of `Debug` output.
    value.set_sensitive(true);
    Ok(value)
}

/// Counts attempts and waits between rounds over the endpoints.
#[derive(Debug)]
pub(crate) struct Backoff {
    attempts_left: u32,
    round: u32,
    in_round: u32,
    pause: Duration,
    pause_max: Duration,
}

impl Backoff {
    pub(crate) fn new(config: &Config) -> Backoff {
        Backoff {
            attempts_left: config.retries.attempts_max.saturating_sub(1),
            round: u32::try_from(config.endpoints.len()).unwrap_or(u32::MAX),
            in_round: 0,
            pause: config.retries.pause,
            pause_max: config.retries.pause_max,
        }
    }

    /// Waits if it is time to; `false` when the attempts are used up.
    pub(crate) async fn another(&mut self, error: &Error) -> bool {
        if self.attempts_left == 0 {
            return false;
        }
        self.attempts_left -= 1;
        self.in_round += 1;
        // `Unreachable` means that the transport went round all endpoints by itself.
        if self.in_round >= self.round || matches!(error, Error::Unreachable { .. }) {
            self.in_round = 0;
            tokio::time::sleep(self.pause).await;
            self.pause = self.pause.saturating_mul(2).min(self.pause_max);
        }
        true
    }
}
