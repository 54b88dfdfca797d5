//! Auth as plainly as it can be said: every permission is asked about every key.

use super::{BYTES, Change};
use crate::{Denied, Error, Identity, Need, PermissionKind, ROOT};
use drystone_types::KeyRange;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// All strings of at most three bytes, without the empty one.
static KEYS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut keys = vec![Vec::new()];
    let mut from = 0;
    for _ in 0..3 {
        let to = keys.len();
        for place in from..to {
            for byte in BYTES {
                keys.push([&keys[place][..], &[byte]].concat());
            }
        }
        from = to;
    }
    keys.remove(0);
    keys
});

/// A range's key and end, as requests have them.
type Fields = (Vec<u8>, Vec<u8>);

/// Users, roles and permissions in plain maps.
#[derive(Clone, Debug)]
pub struct Naive {
    /// Permissions are asked for.
    pub enabled: bool,
    /// The auth revision.
    pub revision: u64,
    users: BTreeMap<&'static str, BTreeSet<&'static str>>,
    roles: BTreeMap<&'static str, BTreeMap<Fields, PermissionKind>>,
}

impl Default for Naive {
    fn default() -> Self {
        Self { enabled: false, revision: 1, users: BTreeMap::new(), roles: BTreeMap::new() }
    }
}

impl Naive {
    /// Makes a change.
    ///
    /// # Errors
    /// As [`crate::Auth`] refuses it.
    pub fn apply(&mut self, change: &Change) -> Result<(), Error> {
        let protected = self.enabled;
        match change {
            Change::Enable => {
                let root = self.users.get(ROOT).ok_or(Error::RootUserNotExist);
                if !self.enabled && !root?.contains(ROOT) {
                    return Err(Error::RootRoleNotExist);
                }
                self.enabled = true;
                return Ok(());
            }
            Change::Disable if !self.enabled => return Ok(()),
            Change::Disable => self.enabled = false,
            Change::AddUser(user) if self.users.contains_key(user) => {
                return Err(Error::UserAlreadyExist);
            }
            Change::AddUser(user) => {
                self.users.insert(user, BTreeSet::new());
            }
            Change::DeleteUser(ROOT) if protected => return Err(Error::InvalidManagement),
            Change::DeleteUser(user) => {
                self.users.remove(user).ok_or(Error::UserNotFound)?;
            }
            Change::Password(user) => {
                self.users.get(user).ok_or(Error::UserNotFound)?;
            }
            Change::GrantRole(user, role) => {
                let exists = *role == ROOT || self.roles.contains_key(role);
                let user = self.users.get_mut(user).ok_or(Error::UserNotFound)?;
                if !exists {
                    return Err(Error::RoleNotFound);
                }
                if !user.insert(role) {
                    return Ok(());
                }
            }
            Change::RevokeRole(ROOT, ROOT) if protected => return Err(Error::InvalidManagement),
            Change::RevokeRole(user, role) => {
                let user = self.users.get_mut(user).ok_or(Error::UserNotFound)?;
                if !user.remove(role) {
                    return Err(Error::RoleNotGranted);
                }
            }
            Change::AddRole(role) if self.roles.contains_key(role) => {
                return Err(Error::RoleAlreadyExist);
            }
            Change::AddRole(role) => {
                self.roles.insert(role, BTreeMap::new());
            }
            Change::DeleteRole(ROOT) if protected => return Err(Error::InvalidManagement),
            Change::DeleteRole(role) => {
                self.roles.remove(role).ok_or(Error::RoleNotFound)?;
                self.users.values_mut().for_each(|roles| {
                    roles.remove(role);
                });
            }
            Change::Grant(role, permission) => {
                let (key, end) = (permission.key.to_vec(), permission.range_end.to_vec());
                if key.is_empty() || (!end.is_empty() && end != [0] && end <= key) {
                    return Err(Error::InvalidManagement);
                }
                let role = self.roles.get_mut(role).ok_or(Error::RoleNotFound)?;
                role.insert((key, end), permission.kind);
            }
            Change::Revoke(role, key, end) => {
                let role = self.roles.get_mut(role).ok_or(Error::RoleNotFound)?;
                let pair = (key.clone(), end.clone());
                role.remove(&pair).ok_or(Error::PermissionNotGranted)?;
            }
        }
        self.revision += 1;
        Ok(())
    }

    /// Decides as [`crate::Auth::decide`] does.
    ///
    /// # Errors
    /// As there.
    pub fn decide(&self, who: Option<&Identity>, needs: &[Need]) -> Result<(), Denied> {
        if !self.enabled {
            return Ok(());
        }
        for need in needs {
            let Some(who) = who.filter(|who| !who.user.is_empty()) else {
                return Err(Denied::UserEmpty);
            };
            let roles = self.users.get(who.user.as_str());
            let root = match roles {
                None => Err(Denied::UserNotFound),
                Some(roles) if roles.contains(ROOT) => Ok(()),
                Some(_) => Err(Denied::PermissionDenied),
            };
            match need {
                Need::User => roles.map(|_| ()).ok_or(Denied::PermissionDenied)?,
                Need::Root => root?,
                Need::SelfOrRoot(name) if *name == who.user => {}
                Need::SelfOrRoot(_) => root?,
                Need::RoleOrRoot(role)
                    if roles.is_some_and(|roles| roles.contains(role.as_str())) => {}
                Need::RoleOrRoot(_) => root?,
                Need::Read(range) | Need::Write(range) => {
                    if who.revision == 0 {
                        return Err(Denied::UserEmpty);
                    }
                    if who.revision < self.revision {
                        return Err(Denied::OldRevision);
                    }
                    let writes = matches!(need, Need::Write(_));
                    let allowed = self.may_use_all(roles, range, writes);
                    if root.is_err() && !allowed {
                        return Err(Denied::PermissionDenied);
                    }
                }
            }
        }
        Ok(())
    }

    /// Looks at every key of the range; at the start of one that has none.
    fn may_use_all(
        &self,
        roles: Option<&BTreeSet<&'static str>>,
        range: &KeyRange,
        writes: bool,
    ) -> bool {
        let may = |key: &[u8]| self.may_use(roles, key, writes);
        if range.is_empty() || range.is_single() {
            return may(&range.start);
        }
        let begins_with_no_key = range.start.is_empty();
        !begins_with_no_key && KEYS.iter().filter(|key| range.contains(key)).all(|key| may(key))
    }

    fn may_use(&self, roles: Option<&BTreeSet<&'static str>>, key: &[u8], writes: bool) -> bool {
        let granted = |role: &&'static str| {
            self.roles.get(role).is_some_and(|permissions| {
                permissions.iter().any(|((from, to), kind)| {
                    let fits = match kind {
                        PermissionKind::Read => !writes,
                        PermissionKind::Write => writes,
                        PermissionKind::ReadWrite => true,
                        PermissionKind::Other(_) => false,
                    };
                    fits && match to.as_slice() {
                        [] => key == from,
                        [0] => key >= from.as_slice(),
                        to => key >= from.as_slice() && key < to,
                    }
                })
            })
        };
        roles.is_some_and(|roles| roles.iter().any(granted))
    }
}
