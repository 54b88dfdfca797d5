//! What is asked of a cluster, and what asking it takes: the one place that knows.

use bytes::Bytes;
use drystone_api::etcdserverpb::{
    AlarmRequest, AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthRoleDeleteRequest,
    AuthRoleGetRequest, AuthRoleGrantPermissionRequest, AuthRoleListRequest,
    AuthRoleRevokePermissionRequest, AuthStatusRequest, AuthUserAddRequest,
    AuthUserChangePasswordRequest, AuthUserDeleteRequest, AuthUserGetRequest,
    AuthUserGrantRoleRequest, AuthUserListRequest, AuthUserRevokeRoleRequest, AuthenticateRequest,
    CompactionRequest, DefragmentRequest, DeleteRangeRequest, DowngradeRequest,
    DowngradeVersionTestRequest, HashKvRequest, HashRequest, InternalAuthenticateRequest,
    InternalRaftRequest, LeaseCheckpointRequest, LeaseGrantRequest, LeaseKeepAliveRequest,
    LeaseLeasesRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, MemberAddRequest,
    MemberListRequest, MemberPromoteRequest, MemberRemoveRequest, MemberUpdateRequest,
    MoveLeaderRequest, PutRequest, RangeRequest, RequestHeader, RequestOp, SnapshotRequest,
    StatusRequest, TxnRequest, WatchCreateRequest, alarm_request::AlarmAction, request_op::Request,
};
use drystone_api::membershippb::{
    ClusterMemberAttrSetRequest, ClusterVersionSetRequest, DowngradeInfoSetRequest,
};
use drystone_auth::{Identity, Need};
use drystone_lease::Lessor;
use drystone_probe::planted;
use drystone_types::{KeyRange, LeaseId};
use std::collections::BTreeSet;

/// Anything that can be asked: every call of every service, and what members propose to each
/// other. The calls of Lock and Election are made of these, health asks for nothing.
///
/// [`needs`] answers for each of them, so whoever adds a kind of request must say there what it
/// takes before anything compiles.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// `KV.Range`.
    Range(&'a RangeRequest),
    /// `KV.RangeStream`.
    RangeStream(&'a RangeRequest),
    /// `KV.Put`.
    Put(&'a PutRequest),
    /// `KV.DeleteRange`.
    DeleteRange(&'a DeleteRangeRequest),
    /// `KV.Txn`.
    Txn(&'a TxnRequest),
    /// `KV.Compact`.
    Compact(&'a CompactionRequest),
    /// A new watcher on a stream of `Watch.Watch`. The rest of a stream asks for nothing.
    WatchCreate(&'a WatchCreateRequest),
    /// `Lease.LeaseGrant`.
    LeaseGrant(&'a LeaseGrantRequest),
    /// `Lease.LeaseRevoke`.
    LeaseRevoke(&'a LeaseRevokeRequest),
    /// One request on a stream of `Lease.LeaseKeepAlive`.
    LeaseKeepAlive(&'a LeaseKeepAliveRequest),
    /// `Lease.LeaseTimeToLive`.
    LeaseTimeToLive(&'a LeaseTimeToLiveRequest),
    /// `Lease.LeaseLeases`.
    LeaseLeases(&'a LeaseLeasesRequest),
    /// `Cluster.MemberAdd`.
    MemberAdd(&'a MemberAddRequest),
    /// `Cluster.MemberRemove`.
    MemberRemove(&'a MemberRemoveRequest),
    /// `Cluster.MemberUpdate`.
    MemberUpdate(&'a MemberUpdateRequest),
    /// `Cluster.MemberList`.
    MemberList(&'a MemberListRequest),
    /// `Cluster.MemberPromote`.
    MemberPromote(&'a MemberPromoteRequest),
    /// `Maintenance.Alarm`.
    Alarm(&'a AlarmRequest),
    /// `Maintenance.Status`.
    Status(&'a StatusRequest),
    /// `Maintenance.Defragment`.
    Defragment(&'a DefragmentRequest),
    /// `Maintenance.Hash`.
    Hash(&'a HashRequest),
    /// `Maintenance.HashKV`.
    HashKv(&'a HashKvRequest),
    /// `Maintenance.Snapshot`.
    Snapshot(&'a SnapshotRequest),
    /// `Maintenance.MoveLeader`.
    MoveLeader(&'a MoveLeaderRequest),
    /// `Maintenance.Downgrade`.
    Downgrade(&'a DowngradeRequest),
    /// `Auth.AuthEnable`.
    AuthEnable(&'a AuthEnableRequest),
    /// `Auth.AuthDisable`.
    AuthDisable(&'a AuthDisableRequest),
    /// `Auth.AuthStatus`.
    AuthStatus(&'a AuthStatusRequest),
    /// `Auth.Authenticate`.
    Authenticate(&'a AuthenticateRequest),
    /// `Auth.UserAdd`.
    UserAdd(&'a AuthUserAddRequest),
    /// `Auth.UserGet`.
    UserGet(&'a AuthUserGetRequest),
    /// `Auth.UserList`.
    UserList(&'a AuthUserListRequest),
    /// `Auth.UserDelete`.
    UserDelete(&'a AuthUserDeleteRequest),
    /// `Auth.UserChangePassword`.
    UserChangePassword(&'a AuthUserChangePasswordRequest),
    /// `Auth.UserGrantRole`.
    UserGrantRole(&'a AuthUserGrantRoleRequest),
    /// `Auth.UserRevokeRole`.
    UserRevokeRole(&'a AuthUserRevokeRoleRequest),
    /// `Auth.RoleAdd`.
    RoleAdd(&'a AuthRoleAddRequest),
    /// `Auth.RoleGet`.
    RoleGet(&'a AuthRoleGetRequest),
    /// `Auth.RoleList`.
    RoleList(&'a AuthRoleListRequest),
    /// `Auth.RoleDelete`.
    RoleDelete(&'a AuthRoleDeleteRequest),
    /// `Auth.RoleGrantPermission`.
    RoleGrantPermission(&'a AuthRoleGrantPermissionRequest),
    /// `Auth.RoleRevokePermission`.
    RoleRevokePermission(&'a AuthRoleRevokePermissionRequest),

    /// A login whose password was found right. No client proposes it.
    Login(&'a InternalAuthenticateRequest),
    /// What is left of leases, by the leader. No client proposes it.
    LeaseCheckpoint(&'a LeaseCheckpointRequest),
    /// The cluster's version, by the leader. No client proposes it.
    ClusterVersionSet(&'a ClusterVersionSetRequest),
    /// A member's name and client URLs, by itself. No client proposes it.
    ClusterMemberAttrSet(&'a ClusterMemberAttrSetRequest),
    /// Whether a downgrade is under way: by the member that was asked `Maintenance.Downgrade`
    /// and found it allowed, or the leader when it is done. No client proposes it.
    DowngradeInfoSet(&'a DowngradeInfoSetRequest),
    /// A test's entry that changes nothing. No client proposes it.
    DowngradeVersionTest(&'a DowngradeVersionTestRequest),
}

impl<'a> Call<'a> {
    /// What an entry of the log asks for; `None` when it asks for nothing that is known.
    #[must_use]
    pub fn of(request: &'a InternalRaftRequest) -> Option<Self> {
        // Without `..`: a kind of entry that is added to the message is missed here at once.
        let InternalRaftRequest {
            header: _,
            id: _,
            range,
            put,
            delete_range,
            txn,
            compaction,
            lease_grant,
            lease_revoke,
            alarm,
            lease_checkpoint,
            auth_enable,
            auth_disable,
            auth_status,
            authenticate,
            auth_user_add,
            auth_user_delete,
            auth_user_get,
            auth_user_change_password,
            auth_user_grant_role,
            auth_user_revoke_role,
            auth_user_list,
            auth_role_list,
            auth_role_add,
            auth_role_delete,
            auth_role_get,
            auth_role_grant_permission,
            auth_role_revoke_permission,
            cluster_version_set,
            cluster_member_attr_set,
            downgrade_info_set,
            downgrade_version_test,
        } = request;
        // Nearly all entries are one of these.
        if let Some(put) = put {
            return Some(Self::Put(put));
        }
        if let Some(txn) = txn {
            return Some(Self::Txn(txn));
        }
        let calls = [
            delete_range.as_ref().map(Self::DeleteRange),
            range.as_ref().map(Self::Range),
            compaction.as_ref().map(Self::Compact),
            lease_grant.as_ref().map(Self::LeaseGrant),
            lease_revoke.as_ref().map(Self::LeaseRevoke),
            lease_checkpoint.as_ref().map(Self::LeaseCheckpoint),
            alarm.as_ref().map(Self::Alarm),
            cluster_version_set.as_ref().map(Self::ClusterVersionSet),
            cluster_member_attr_set.as_ref().map(Self::ClusterMemberAttrSet),
            downgrade_info_set.as_ref().map(Self::DowngradeInfoSet),
            downgrade_version_test.as_ref().map(Self::DowngradeVersionTest),
            auth_enable.as_ref().map(Self::AuthEnable),
            auth_disable.as_ref().map(Self::AuthDisable),
            auth_status.as_ref().map(Self::AuthStatus),
            authenticate.as_ref().map(Self::Login),
            auth_user_add.as_ref().map(Self::UserAdd),
            auth_user_delete.as_ref().map(Self::UserDelete),
            auth_user_get.as_ref().map(Self::UserGet),
            auth_user_change_password.as_ref().map(Self::UserChangePassword),
            auth_user_grant_role.as_ref().map(Self::UserGrantRole),
            auth_user_revoke_role.as_ref().map(Self::UserRevokeRole),
            auth_user_list.as_ref().map(Self::UserList),
            auth_role_list.as_ref().map(Self::RoleList),
            auth_role_add.as_ref().map(Self::RoleAdd),
            auth_role_delete.as_ref().map(Self::RoleDelete),
            auth_role_get.as_ref().map(Self::RoleGet),
            auth_role_grant_permission.as_ref().map(Self::RoleGrantPermission),
            auth_role_revoke_permission.as_ref().map(Self::RoleRevokePermission),
        ];
        calls.into_iter().flatten().next()
    }
}

/// The header of a proposal with request id `id` by `who`; [`Identity::server`] for what a
/// member proposes on its own account. Clients have no part in it: a member puts in whom it has
/// recognised.
#[must_use]
pub fn header(id: u64, who: Option<&Identity>) -> RequestHeader {
    let (username, auth_revision) =
        who.map_or_else(Default::default, |who| (who.user.clone(), who.revision));
    RequestHeader { id, username, auth_revision }
}

/// Who asks, as the header of a proposal says it.
#[must_use]
pub fn identity(header: Option<&RequestHeader>) -> Option<Identity> {
    let header = header.filter(|header| !header.username.is_empty())?;
    Some(Identity { user: header.username.clone(), revision: header.auth_revision })
}

/// Which keys hang on leases: what a permission to end or ask about a lease is about.
pub trait Attachments {
    /// The keys of lease `id`; none when there is no such lease.
    fn attached(&self, id: LeaseId) -> Vec<Bytes>;

    /// The keys that hang on any lease.
    fn all_attached(&self) -> Vec<Bytes>;
}

impl Attachments for Lessor {
    fn attached(&self, id: LeaseId) -> Vec<Bytes> {
        self.keys(id).unwrap_or_default()
    }

    fn all_attached(&self) -> Vec<Bytes> {
        self.list().into_iter().flat_map(|id| self.attached(id)).collect()
    }
}

/// Stands in where the keys of leases are not at hand, for a first look at a request that is
/// asked about again, with them, when it is applied. It lets more pass, never less.
#[derive(Clone, Copy, Debug)]
pub struct NoAttachments;

impl Attachments for NoAttachments {
    fn attached(&self, _: LeaseId) -> Vec<Bytes> {
        Vec::new()
    }

    fn all_attached(&self) -> Vec<Bytes> {
        Vec::new()
    }
}

/// Everything that `call` takes, in the order in which etcd asks for it.
///
/// Transactions count with all their comparisons, both branches and whatever is nested in them,
/// taken or not. A put onto a lease takes the right to write all keys of that lease, for they
/// will live and go together.
#[must_use]
pub fn needs(call: &Call<'_>, attachments: &dyn Attachments) -> Vec<Need> {
    let mut needs = Vec::new();
    match call {
        Call::Range(range) | Call::RangeStream(range) => needs_of_range(range, &mut needs),
        Call::Put(put) => needs_of_put(put, &mut Leases::new(attachments), &mut needs),
        Call::DeleteRange(delete) => needs_of_delete(delete, &mut needs),
        Call::Txn(txn) => needs_of_txn(txn, &mut Leases::new(attachments), &mut needs),
        Call::WatchCreate(watch) => needs.push(Need::Read(watched(watch))),
        Call::LeaseGrant(_) => needs.push(Need::User),
        Call::LeaseRevoke(LeaseRevokeRequest { id })
        | Call::LeaseKeepAlive(LeaseKeepAliveRequest { id }) => {
            needs.push(Need::User);
            needs.extend(attachments.attached(LeaseId(*id)).into_iter().map(write_key));
        }
        Call::LeaseTimeToLive(LeaseTimeToLiveRequest { id, keys }) => {
            needs.push(Need::User);
            if *keys {
                needs.extend(attachments.attached(LeaseId(*id)).into_iter().map(read_key));
            }
        }
        Call::LeaseLeases(LeaseLeasesRequest {}) => {
            needs.push(Need::User);
            needs.extend(attachments.all_attached().into_iter().map(read_key));
        }
        Call::Alarm(alarm) => {
            let asks_only = AlarmAction::try_from(alarm.action) == Ok(AlarmAction::Get);
            needs.push(if asks_only { Need::User } else { Need::Root });
        }
        Call::MemberList(_) | Call::Status(_) => needs.push(Need::User),
        Call::UserGet(AuthUserGetRequest { name }) => needs.push(Need::SelfOrRoot(name.clone())),
        Call::RoleGet(AuthRoleGetRequest { role }) => needs.push(Need::RoleOrRoot(role.clone())),
        Call::Compact(_)
        | Call::MemberAdd(_)
        | Call::MemberRemove(_)
        | Call::MemberUpdate(_)
        | Call::MemberPromote(_)
        | Call::Defragment(_)
        | Call::Hash(_)
        | Call::HashKv(_)
        | Call::Snapshot(_)
        | Call::MoveLeader(_)
        | Call::Downgrade(_)
        | Call::AuthEnable(_)
        | Call::AuthDisable(_)
        | Call::UserAdd(_)
        | Call::UserList(_)
        | Call::UserDelete(_)
        | Call::UserChangePassword(_)
        | Call::UserGrantRole(_)
        | Call::UserRevokeRole(_)
        | Call::RoleAdd(_)
        | Call::RoleList(_)
        | Call::RoleDelete(_)
        | Call::RoleGrantPermission(_)
        | Call::RoleRevokePermission(_) => needs.push(Need::Root),
        // Open to all by their nature, or never asked by a client.
        Call::Authenticate(_)
        | Call::AuthStatus(_)
        | Call::Login(_)
        | Call::LeaseCheckpoint(_)
        | Call::ClusterVersionSet(_)
        | Call::ClusterMemberAttrSet(_)
        | Call::DowngradeInfoSet(_)
        | Call::DowngradeVersionTest(_) => {}
    }
    needs
}

fn needs_of_range(range: &RangeRequest, needs: &mut Vec<Need>) {
    needs.push(Need::Read(KeyRange::from_fields(range.key.clone(), range.range_end.clone())));
}

/// The leases that one request names, each of them once: a transaction may put a thousand keys
/// onto a lease that has a thousand.
struct Leases<'a> {
    attachments: &'a dyn Attachments,
    named: BTreeSet<LeaseId>,
}

impl<'a> Leases<'a> {
    fn new(attachments: &'a dyn Attachments) -> Self {
        Self { attachments, named: BTreeSet::new() }
    }

    /// The keys of a lease, when it is named for the first time.
    fn first_named(&mut self, id: LeaseId) -> Vec<Bytes> {
        let is_first = !id.is_none() && self.named.insert(id);
        if is_first { self.attachments.attached(id) } else { Vec::new() }
    }
}

fn needs_of_put(put: &PutRequest, leases: &mut Leases<'_>, needs: &mut Vec<Need>) {
    needs.push(write_key(put.key.clone()));
    needs.extend(leases.first_named(LeaseId(put.lease)).into_iter().map(write_key));
    if put.prev_kv {
        needs.push(read_key(put.key.clone()));
    }
}

fn needs_of_delete(delete: &DeleteRangeRequest, needs: &mut Vec<Need>) {
    let range = KeyRange::from_fields(delete.key.clone(), delete.range_end.clone());
    needs.push(Need::Write(range.clone()));
    if delete.prev_kv {
        needs.push(Need::Read(range));
    }
}

/// Recurses as deep as the request is nested, which decoding bounds.
fn needs_of_txn(txn: &TxnRequest, leases: &mut Leases<'_>, needs: &mut Vec<Need>) {
    for compare in &txn.compare {
        let range = KeyRange::from_fields(compare.key.clone(), compare.range_end.clone());
        needs.push(Need::Read(range));
    }
    let failure = match planted!("machine.permission_asked_of_one_branch") {
        true => &[][..],
        false => &txn.failure,
    };
    for RequestOp { request } in txn.success.iter().chain(failure) {
        match request {
            Some(Request::RequestRange(range)) => needs_of_range(range, needs),
            Some(Request::RequestPut(put)) => needs_of_put(put, leases, needs),
            Some(Request::RequestDeleteRange(delete)) => needs_of_delete(delete, needs),
            Some(Request::RequestTxn(txn)) => needs_of_txn(txn, leases, needs),
            None => {}
        }
    }
}

/// The keys that a watcher hears of. No key stands for the first there can be.
fn watched(watch: &WatchCreateRequest) -> KeyRange {
    let first = Bytes::from_static(b"\0");
    let key = if watch.key.is_empty() { first } else { watch.key.clone() };
    KeyRange::from_fields(key, watch.range_end.clone())
}

fn read_key(key: Bytes) -> Need {
    Need::Read(KeyRange::key(key))
}

fn write_key(key: Bytes) -> Need {
    Need::Write(KeyRange::key(key))
}
