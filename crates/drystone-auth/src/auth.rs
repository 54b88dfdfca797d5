//! The replicated state and its changes.

#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;

use crate::Error;
use crate::record::{Permission, Role, User};
use bytes::Bytes;
use drystone_backend::{BackendError, Batch, Read, Table};
use rpds::RedBlackTreeMapSync;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

/// The name of the user, and of the role, that may do everything.
pub const ROOT: &str = "root";

/// Keys of [`Table::Auth`], which are etcd's.
const ENABLED_KEY: &[u8] = b"authEnabled";
const REVISION_KEY: &[u8] = b"authRevision";
/// The auth revision of a store in which nothing was changed yet.
const FIRST_REVISION: u64 = 1;

/// Users, roles, whether permissions are asked for, and the auth revision.
///
/// A clone is cheap and does not change with the original.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    enabled: bool,
    revision: u64,
    users: RedBlackTreeMapSync<String, Arc<User>>,
    roles: RedBlackTreeMapSync<String, Arc<Role>>,
}

impl Default for Auth {
    /// No users, no roles, permissions not asked for.
    fn default() -> Self {
        Self {
            enabled: false,
            revision: FIRST_REVISION,
            users: RedBlackTreeMapSync::new_sync(),
            roles: RedBlackTreeMapSync::new_sync(),
        }
    }
}

impl Auth {
    /// Reads what a store holds.
    ///
    /// # Errors
    /// [`BackendError::Corrupt`] names the first record that is not one.
    pub fn open(store: &dyn Read) -> Result<Self, BackendError> {
        let mut auth = Self::default();
        if let Some(flag) = store.get(Table::Auth, ENABLED_KEY)? {
            auth.enabled = match flag.as_ref() {
                [flag @ (0 | 1)] => *flag == 1,
                _ => return Err(corrupt(Table::Auth, ENABLED_KEY, "not one byte 0 or 1")),
            };
        }
        if let Some(revision) = store.get(Table::Auth, REVISION_KEY)? {
            let bytes = revision.as_ref().try_into();
            auth.revision = u64::from_be_bytes(
                bytes.map_err(|_| corrupt(Table::Auth, REVISION_KEY, "not eight bytes"))?,
            );
        }
        for (name, user) in load(store, Table::AuthUsers, User::decode)? {
            auth.users.insert_mut(name, Arc::new(user));
        }
        for (name, role) in load(store, Table::AuthRoles, Role::decode)? {
            auth.roles.insert_mut(name, Arc::new(role));
        }
        Ok(auth)
    }

    /// True while permissions are asked for.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// The auth revision: how often users, roles or permissions changed, from 1 on.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// A user.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name).map(Arc::as_ref)
    }

    /// A role.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(name).map(Arc::as_ref)
    }

    /// The names of all users, ascending.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.users.keys().map(String::as_str)
    }

    /// The names of all roles, ascending.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.roles.keys().map(String::as_str)
    }

    /// The permissions of a role as they are shown: those of `root` are everything, whatever
    /// was granted to it.
    ///
    /// # Errors
    /// [`Error::RoleNotFound`].
    pub fn permissions_of(&self, role: &str) -> Result<Vec<Permission>, Error> {
        let found = self.role(role).ok_or(Error::RoleNotFound)?;
        Ok(if role == ROOT { vec![Permission::everything()] } else { found.permissions().to_vec() })
    }

    /// The user who may log in by a password under this name. Whoever asks compares the
    /// password with [`User::password_hash`].
    ///
    /// # Errors
    /// [`Error::NotEnabled`], [`Error::AuthFailed`] when there is none,
    /// [`Error::NoPasswordUser`].
    pub fn login(&self, name: &str) -> Result<&User, Error> {
        if !self.enabled {
            return Err(Error::NotEnabled);
        }
        match self.user(name) {
            None => Err(Error::AuthFailed),
            Some(user) if user.has_no_password() => Err(Error::NoPasswordUser),
            Some(user) => Ok(user),
        }
    }

    /// Begins to ask for permissions. The auth revision stays. Once more is no error.
    ///
    /// # Errors
    /// [`Error::RootUserNotExist`], [`Error::RootRoleNotExist`].
    pub fn enable(&mut self, out: &mut Batch) -> Result<(), Error> {
        if self.enabled {
            return Ok(());
        }
        let root = self.user(ROOT).ok_or(Error::RootUserNotExist)?;
        if !root.has_role(ROOT) {
            return Err(Error::RootRoleNotExist);
        }
        self.enabled = true;
        out.put(Table::Auth, ENABLED_KEY, &[1][..]);
        Ok(())
    }

    /// Ceases to ask for permissions, and says whether they were asked for; if not, the auth
    /// revision stays.
    pub fn disable(&mut self, out: &mut Batch) -> bool {
        if !self.enabled {
            return false;
        }
        self.enabled = false;
        out.put(Table::Auth, ENABLED_KEY, &[0][..]);
        self.changed(out);
        true
    }

    /// Adds a user with the hash of a password, or without one. `password` is `None` when the
    /// hash that came cannot be read; for a user without a password it does not matter.
    ///
    /// # Errors
    /// [`Error::UserEmpty`], [`Error::UserAlreadyExist`], [`Error::NoPasswordUser`] for an
    /// unreadable hash.
    pub fn add_user(
        &mut self,
        out: &mut Batch,
        name: &str,
        password: Option<Bytes>,
        no_password: bool,
    ) -> Result<(), Error> {
        if name.is_empty() {
            return Err(Error::UserEmpty);
        }
        if self.users.contains_key(name) {
            return Err(Error::UserAlreadyExist);
        }
        let password = chosen(password, no_password)?;
        let user = User { password, roles: Vec::new(), no_password: Some(no_password) };
        self.put_user(out, name, user);
        self.changed(out);
        Ok(())
    }

    /// Removes a user.
    ///
    /// # Errors
    /// [`Error::InvalidManagement`] for `root` while permissions are asked for,
    /// [`Error::UserNotFound`].
    pub fn delete_user(&mut self, out: &mut Batch, name: &str) -> Result<(), Error> {
        if self.enabled && name == ROOT {
            return Err(Error::InvalidManagement);
        }
        if !self.users.remove_mut(name) {
            return Err(Error::UserNotFound);
        }
        out.delete(Table::AuthUsers, name.to_owned());
        self.changed(out);
        Ok(())
    }

    /// Sets the hash of a user's password, as [`Auth::add_user`] takes it. A user without a
    /// password stays so; an empty hash lets the user log in no more.
    ///
    /// # Errors
    /// [`Error::UserNotFound`], [`Error::NoPasswordUser`] for an unreadable hash.
    pub fn change_password(
        &mut self,
        out: &mut Batch,
        name: &str,
        password: Option<Bytes>,
    ) -> Result<(), Error> {
        let mut user = self.user(name).ok_or(Error::UserNotFound)?.clone();
        user.password = chosen(password, user.has_no_password())?;
        self.put_user(out, name, user);
        self.changed(out);
        Ok(())
    }

    /// Gives a user a role, which must exist unless it is `root`. What the user has already is
    /// no change.
    ///
    /// # Errors
    /// [`Error::UserNotFound`], [`Error::RoleNotFound`].
    pub fn grant_role(&mut self, out: &mut Batch, name: &str, role: &str) -> Result<(), Error> {
        let mut user = self.user(name).ok_or(Error::UserNotFound)?.clone();
        if role != ROOT && !self.roles.contains_key(role) {
            return Err(Error::RoleNotFound);
        }
        if user.has_role(role) {
            return Ok(());
        }
        user.roles.push(role.to_owned());
        user.roles.sort();
        self.put_user(out, name, user);
        self.changed(out);
        Ok(())
    }

    /// Takes a role from a user.
    ///
    /// # Errors
    /// [`Error::InvalidManagement`] for the role `root` of the user `root` while permissions are
    /// asked for, [`Error::UserNotFound`], [`Error::RoleNotGranted`].
    pub fn revoke_role(&mut self, out: &mut Batch, name: &str, role: &str) -> Result<(), Error> {
        if self.enabled && name == ROOT && role == ROOT {
            return Err(Error::InvalidManagement);
        }
        let mut user = self.user(name).ok_or(Error::UserNotFound)?.clone();
        if !user.has_role(role) {
            return Err(Error::RoleNotGranted);
        }
        user.roles.retain(|has| has != role);
        self.put_user(out, name, user);
        self.changed(out);
        Ok(())
    }

    /// Adds a role without permissions.
    ///
    /// # Errors
    /// [`Error::RoleEmpty`], [`Error::RoleAlreadyExist`].
    pub fn add_role(&mut self, out: &mut Batch, name: &str) -> Result<(), Error> {
        if name.is_empty() {
            return Err(Error::RoleEmpty);
        }
        if self.roles.contains_key(name) {
            return Err(Error::RoleAlreadyExist);
        }
        self.put_role(out, name, Role::default());
        self.changed(out);
        Ok(())
    }

    /// Removes a role, also from the users who have it.
    ///
    /// # Errors
    /// [`Error::InvalidManagement`] for `root` while permissions are asked for,
    /// [`Error::RoleNotFound`].
    pub fn delete_role(&mut self, out: &mut Batch, name: &str) -> Result<(), Error> {
        if self.enabled && name == ROOT {
            return Err(Error::InvalidManagement);
        }
        if !self.roles.remove_mut(name) {
            return Err(Error::RoleNotFound);
        }
        out.delete(Table::AuthRoles, name.to_owned());
        let holders = self.users.iter().filter(|(_, user)| user.has_role(name));
        let holders: Vec<(String, Arc<User>)> =
            holders.map(|(name, user)| (name.clone(), user.clone())).collect();
        for (holder, user) in holders {
            let mut user = User::clone(&user);
            user.roles.retain(|has| has != name);
            self.put_user(out, &holder, user);
        }
        self.changed(out);
        Ok(())
    }

    /// Gives a role a permission. One on exactly the same range is replaced, also where etcd
    /// fails to find it because another permission of the same key stands before it: there,
    /// taking the right to write away by granting the right to read would leave both.
    ///
    /// # Errors
    /// [`Error::InvalidManagement`] when its key is empty or its range holds no key,
    /// [`Error::RoleNotFound`].
    pub fn grant_permission(
        &mut self,
        out: &mut Batch,
        role: &str,
        permission: Permission,
    ) -> Result<(), Error> {
        if permission.key.is_empty() || permission.range().is_empty() {
            return Err(Error::InvalidManagement);
        }
        let found = self.role(role).ok_or(Error::RoleNotFound)?;
        let mut permissions = found.permissions().to_vec();
        let mut replaced = false;
        for same in permissions.iter_mut().filter(|old| is_on(old, &permission)) {
            same.kind = permission.kind;
            replaced = true;
        }
        if !replaced {
            let place = permissions.partition_point(|old| old.key <= permission.key);
            permissions.insert(place, permission);
        }
        self.put_role(out, role, Role::new(permissions));
        self.changed(out);
        Ok(())
    }

    /// Takes the permission on exactly this range, in the fields of requests, from a role.
    ///
    /// # Errors
    /// [`Error::RoleNotFound`], [`Error::PermissionNotGranted`].
    pub fn revoke_permission(
        &mut self,
        out: &mut Batch,
        role: &str,
        key: &[u8],
        range_end: &[u8],
    ) -> Result<(), Error> {
        let found = self.role(role).ok_or(Error::RoleNotFound)?;
        let mut permissions = found.permissions().to_vec();
        permissions.retain(|permission| permission.key != key || permission.range_end != range_end);
        if permissions.len() == found.permissions().len() {
            return Err(Error::PermissionNotGranted);
        }
        self.put_role(out, role, Role::new(permissions));
        self.changed(out);
        Ok(())
    }

    fn put_user(&mut self, out: &mut Batch, name: &str, user: User) {
        out.put(Table::AuthUsers, name.to_owned(), user.encode(name));
        self.users.insert_mut(name.to_owned(), Arc::new(user));
    }

    fn put_role(&mut self, out: &mut Batch, name: &str, role: Role) {
        out.put(Table::AuthRoles, name.to_owned(), role.encode(name));
        self.roles.insert_mut(name.to_owned(), Arc::new(role));
    }

    fn changed(&mut self, out: &mut Batch) {
        self.revision += 1;
        out.put(Table::Auth, REVISION_KEY, self.revision.to_be_bytes().to_vec());
    }
}

/// The hash that is stored.
fn chosen(password: Option<Bytes>, no_password: bool) -> Result<Bytes, Error> {
    if no_password { Ok(Bytes::new()) } else { password.ok_or(Error::NoPasswordUser) }
}

fn is_on(one: &Permission, other: &Permission) -> bool {
    one.key == other.key && one.range_end == other.range_end
}

fn load<T>(
    store: &dyn Read,
    table: Table,
    decode: fn(&[u8], &[u8]) -> Result<T, &'static str>,
) -> Result<Vec<T>, BackendError> {
    let mut loaded = Vec::new();
    let mut broken = None;
    store.scan(table, (Bound::Unbounded, Bound::Unbounded), &mut |key, value| {
        match decode(key, value) {
            Ok(record) => loaded.push(record),
            Err(reason) => {
                broken = Some(corrupt(table, key, reason));
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    match broken {
        Some(error) => Err(error),
        None => Ok(loaded),
    }
}

fn corrupt(table: Table, key: &[u8], reason: &str) -> BackendError {
    let key = String::from_utf8_lossy(key);
    BackendError::corrupt(format_args!("table {}, key {key}", table.name()), reason)
}
