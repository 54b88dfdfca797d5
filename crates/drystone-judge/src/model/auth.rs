//! Users, roles and permissions, as plainly as they can be said.

use super::Model;
use bytes::Bytes;
use drystone_api::authpb::{Permission, permission::Type};
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    InternalRaftRequest, PutRequest, RequestOp, TxnRequest, alarm_request::AlarmAction,
    request_op::Request,
};
use drystone_types::{KeyRange, RangeEnd};
use std::collections::{BTreeMap, BTreeSet};

/// The user, and the role, that may do everything.
const ROOT: &str = "root";

/// Who there is, and who may do what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Auth {
    /// Permissions are asked for.
    pub enabled: bool,
    /// The auth revision.
    pub revision: u64,
    /// Roles by user.
    pub users: BTreeMap<String, BTreeSet<String>>,
    /// The kind of permission by a range's key and end, by role.
    pub roles: BTreeMap<String, BTreeMap<(Bytes, Bytes), i32>>,
}

impl Default for Auth {
    fn default() -> Self {
        Self { enabled: false, revision: 1, users: BTreeMap::new(), roles: BTreeMap::new() }
    }
}

/// What a command takes.
#[derive(Debug)]
enum Need {
    User,
    Root,
    SelfOrRoot(String),
    RoleOrRoot(String),
    Read(KeyRange),
    Write(KeyRange),
}

impl Model {
    /// Whether the user in a command's header may have it applied now.
    pub(super) fn permit(&self, command: &InternalRaftRequest) -> Result<(), EtcdError> {
        if !self.auth.enabled {
            return Ok(());
        }
        let header = command.header.as_ref();
        let (user, revision) =
            header.map_or(("", 0), |header| (header.username.as_str(), header.auth_revision));
        for need in self.needs(command) {
            self.auth.meets(user, revision, &need)?;
        }
        Ok(())
    }

    fn needs(&self, command: &InternalRaftRequest) -> Vec<Need> {
        let mut needs = Vec::new();
        if let Some(put) = &command.put {
            self.needs_of(&[Request::RequestPut(put.clone())], &mut needs);
        } else if let Some(txn) = &command.txn {
            self.needs_of(&[Request::RequestTxn(txn.clone())], &mut needs);
        } else if let Some(delete) = &command.delete_range {
            self.needs_of(&[Request::RequestDeleteRange(delete.clone())], &mut needs);
        } else if let Some(range) = &command.range {
            self.needs_of(&[Request::RequestRange(range.clone())], &mut needs);
        } else if let Some(revoke) = &command.lease_revoke {
            needs.push(Need::User);
            needs.extend(self.writes_of(revoke.id));
        } else if command.lease_grant.is_some() {
            needs.push(Need::User);
        } else if let Some(alarm) = &command.alarm {
            let asks = alarm.action == AlarmAction::Get as i32;
            needs.push(if asks { Need::User } else { Need::Root });
        } else if let Some(user) = &command.auth_user_get {
            needs.push(Need::SelfOrRoot(user.name.clone()));
        } else if let Some(role) = &command.auth_role_get {
            needs.push(Need::RoleOrRoot(role.role.clone()));
        } else if !is_open(command) {
            needs.push(Need::Root);
        }
        needs
    }

    /// What it takes to write every key that hangs on a lease.
    fn writes_of(&self, lease: i64) -> Vec<Need> {
        let keys = if lease == 0 { Vec::new() } else { self.attached(lease) };
        keys.into_iter().map(|key| Need::Write(KeyRange::key(key))).collect()
    }

    fn needs_of(&self, ops: &[Request], needs: &mut Vec<Need>) {
        let range = |key: &Bytes, end: &Bytes| KeyRange::from_fields(key.clone(), end.clone());
        for op in ops {
            match op {
                Request::RequestRange(read) => {
                    needs.push(Need::Read(range(&read.key, &read.range_end)));
                }
                Request::RequestPut(PutRequest { key, lease, prev_kv, .. }) => {
                    needs.push(Need::Write(KeyRange::key(key.clone())));
                    needs.extend(self.writes_of(*lease));
                    needs.extend(prev_kv.then(|| Need::Read(KeyRange::key(key.clone()))));
                }
                Request::RequestDeleteRange(delete) => {
                    let keys = range(&delete.key, &delete.range_end);
                    needs.push(Need::Write(keys.clone()));
                    needs.extend(delete.prev_kv.then_some(Need::Read(keys)));
                }
                Request::RequestTxn(TxnRequest { compare, success, failure }) => {
                    let compared = compare.iter();
                    needs.extend(compared.map(|one| Need::Read(range(&one.key, &one.range_end))));
                    for RequestOp { request } in success.iter().chain(failure) {
                        self.needs_of(request.as_slice(), needs);
                    }
                }
            }
        }
    }
}

/// True for commands that members make of themselves, and what is open to all.
fn is_open(command: &InternalRaftRequest) -> bool {
    command.lease_checkpoint.is_some()
        || command.cluster_version_set.is_some()
        || command.cluster_member_attr_set.is_some()
        || command.downgrade_info_set.is_some()
        || command.downgrade_version_test.is_some()
        || command.authenticate.is_some()
        || command.auth_status.is_some()
}

impl Auth {
    fn meets(&self, user: &str, revision: u64, need: &Need) -> Result<(), EtcdError> {
        if user.is_empty() {
            return Err(EtcdError::UserEmpty);
        }
        let roles = self.users.get(user);
        let root = match roles {
            None => Err(EtcdError::UserNotFound),
            Some(roles) if roles.contains(ROOT) => Ok(()),
            Some(_) => Err(EtcdError::PermissionDenied),
        };
        let (range, kind) = match need {
            Need::User => return roles.map(|_| ()).ok_or(EtcdError::PermissionDenied),
            Need::SelfOrRoot(name) if name == user => return Ok(()),
            Need::RoleOrRoot(role) if roles.is_some_and(|roles| roles.contains(role)) => {
                return Ok(());
            }
            Need::Root | Need::SelfOrRoot(_) | Need::RoleOrRoot(_) => return root,
            Need::Read(range) => (range, Type::Read),
            Need::Write(range) => (range, Type::Write),
        };
        match revision {
            0 => Err(EtcdError::UserEmpty),
            old if old < self.revision => Err(EtcdError::AuthOldRevision),
            _ if root.is_ok() || self.may_use(user, range, kind) => Ok(()),
            _ => Err(EtcdError::PermissionDenied),
        }
    }

    /// Whether the user may use every key of the range: by the role root, or by permissions.
    #[must_use]
    pub fn allows(&self, user: &str, range: &KeyRange, kind: Type) -> bool {
        self.has_role(user, ROOT) || self.may_use(user, range, kind)
    }

    /// Whether there is such a user, with this role.
    #[must_use]
    pub fn has_role(&self, user: &str, role: &str) -> bool {
        self.users.get(user).is_some_and(|roles| roles.contains(role))
    }

    /// Looks at each key of the range at which something may begin or end.
    fn may_use(&self, user: &str, range: &KeyRange, kind: Type) -> bool {
        let roles = self.users.get(user).into_iter().flatten();
        let granted: Vec<KeyRange> = roles
            .filter_map(|role| self.roles.get(role))
            .flatten()
            .filter(|(_, granted)| [kind as i32, Type::Readwrite as i32].contains(granted))
            .map(|((key, end), _)| KeyRange::from_fields(key.clone(), end.clone()))
            .collect();
        let may = |key: &[u8]| granted.iter().any(|granted| granted.contains(key));
        let edges = granted.iter().map(|granted| match &granted.end {
            RangeEnd::Single => [&granted.start[..], b"\0"].concat(),
            RangeEnd::Before(end) => end.to_vec(),
            RangeEnd::Unbounded => granted.start.to_vec(),
        });
        may(&range.start) && edges.filter(|edge| range.contains(edge)).all(|edge| may(&edge))
    }

    /// Applies a command of the Auth service, whoever makes it; `None` when it is another's.
    pub fn apply(&mut self, command: &InternalRaftRequest) -> Option<Result<(), EtcdError>> {
        let before = self.clone();
        let result = self.change(command)?;
        let is_enabling = command.auth_enable.is_some();
        match result {
            Err(_) => *self = before,
            Ok(is_change) => self.revision += u64::from(is_change && !is_enabling),
        }
        Some(result.map(|_| ()))
    }

    /// Says whether the auth revision rises, unless it was enabled.
    fn change(&mut self, command: &InternalRaftRequest) -> Option<Result<bool, EtcdError>> {
        if command.auth_enable.is_some() {
            return Some(self.enable());
        }
        if command.auth_disable.is_some() {
            return Some(Ok(std::mem::take(&mut self.enabled)));
        }
        self.change_user(command).or_else(|| self.change_role(command))
    }

    fn enable(&mut self) -> Result<bool, EtcdError> {
        let root = self.users.get(ROOT);
        if !self.enabled && !root.ok_or(EtcdError::RootUserNotExist)?.contains(ROOT) {
            return Err(EtcdError::RootRoleNotExist);
        }
        self.enabled = true;
        Ok(true)
    }

    fn change_user(&mut self, command: &InternalRaftRequest) -> Option<Result<bool, EtcdError>> {
        let user_not_found = Err(EtcdError::UserNotFound);
        Some(if let Some(user) = &command.auth_user_add {
            if user.name.is_empty() {
                Err(EtcdError::UserEmpty)
            } else if self.users.contains_key(&user.name) {
                Err(EtcdError::UserAlreadyExist)
            } else {
                self.users.insert(user.name.clone(), BTreeSet::new());
                Ok(true)
            }
        } else if let Some(user) = &command.auth_user_delete {
            if self.enabled && user.name == ROOT {
                Err(EtcdError::InvalidAuthMgmt)
            } else {
                self.users.remove(&user.name).map(|_| true).ok_or(EtcdError::UserNotFound)
            }
        } else if let Some(user) = &command.auth_user_change_password {
            self.users.get(&user.name).map(|_| true).ok_or(EtcdError::UserNotFound)
        } else if let Some(grant) = &command.auth_user_grant_role {
            let exists = grant.role == ROOT || self.roles.contains_key(&grant.role);
            match self.users.get_mut(&grant.user) {
                None => user_not_found,
                Some(_) if !exists => Err(EtcdError::RoleNotFound),
                Some(roles) => Ok(roles.insert(grant.role.clone())),
            }
        } else if let Some(revoke) = &command.auth_user_revoke_role {
            let protects = self.enabled && revoke.name == ROOT && revoke.role == ROOT;
            match self.users.get_mut(&revoke.name) {
                _ if protects => Err(EtcdError::InvalidAuthMgmt),
                None => user_not_found,
                Some(roles) => match roles.remove(&revoke.role) {
                    true => Ok(true),
                    false => Err(EtcdError::RoleNotGranted),
                },
            }
        } else {
            return None;
        })
    }

    fn change_role(&mut self, command: &InternalRaftRequest) -> Option<Result<bool, EtcdError>> {
        let role_not_found = Err(EtcdError::RoleNotFound);
        Some(if let Some(role) = &command.auth_role_add {
            if role.name.is_empty() {
                Err(EtcdError::RoleEmpty)
            } else if self.roles.contains_key(&role.name) {
                Err(EtcdError::RoleAlreadyExist)
            } else {
                self.roles.insert(role.name.clone(), BTreeMap::new());
                Ok(true)
            }
        } else if let Some(role) = &command.auth_role_delete {
            if self.enabled && role.role == ROOT {
                Err(EtcdError::InvalidAuthMgmt)
            } else if self.roles.remove(&role.role).is_none() {
                role_not_found
            } else {
                for roles in self.users.values_mut() {
                    roles.remove(&role.role);
                }
                Ok(true)
            }
        } else if let Some(grant) = &command.auth_role_grant_permission {
            match (&grant.perm, self.roles.get_mut(&grant.name)) {
                (None, _) => Err(EtcdError::PermissionNotGiven),
                (Some(granted), _) if !is_range(granted) => Err(EtcdError::InvalidAuthMgmt),
                (Some(_), None) => role_not_found,
                (Some(Permission { perm_type, key, range_end }), Some(role)) => {
                    role.insert((key.clone(), range_end.clone()), *perm_type);
                    Ok(true)
                }
            }
        } else if let Some(revoke) = &command.auth_role_revoke_permission {
            let fields = (revoke.key.clone(), revoke.range_end.clone());
            let not_granted = EtcdError::PermissionNotGranted;
            match self.roles.get_mut(&revoke.role) {
                None => role_not_found,
                Some(role) => role.remove(&fields).map(|_| true).ok_or(not_granted),
            }
        } else {
            return None;
        })
    }
}

fn is_range(granted: &Permission) -> bool {
    let range = KeyRange::from_fields(granted.key.clone(), granted.range_end.clone());
    !granted.key.is_empty() && !range.is_empty()
}
