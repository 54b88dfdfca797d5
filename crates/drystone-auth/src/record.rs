//! Users, roles and permissions, and their stored form: `authpb.User` and `authpb.Role` under
//! their names, byte for byte as etcd writes them.

mod wire;

use crate::spans::Spans;
use bytes::Bytes;
use drystone_types::KeyRange;
use std::fmt;
use wire::{Reader, Value, Writer};

/// A user. Its password's hash does not show when it is printed.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    pub(crate) password: Bytes,
    /// Ascending, each once.
    pub(crate) roles: Vec<String>,
    /// `None` where the record has no options, as those of old etcd.
    pub(crate) no_password: Option<bool>,
}

impl fmt::Debug for User {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("User")
            .field("roles", &self.roles)
            .field("no_password", &self.no_password)
            .finish_non_exhaustive()
    }
}

impl User {
    /// The hash of the password; empty when the user has none and can log in by a certificate
    /// at most.
    #[must_use]
    pub fn password_hash(&self) -> &[u8] {
        &self.password
    }

    /// True when the user was made without a password.
    #[must_use]
    pub fn has_no_password(&self) -> bool {
        self.no_password.unwrap_or_default()
    }

    /// The names of the user's roles, ascending.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// True when the user has the role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.binary_search_by(|has| has.as_str().cmp(role)).is_ok()
    }

    const NAME: u64 = 1;
    const PASSWORD: u64 = 2;
    const ROLES: u64 = 3;
    const OPTIONS: u64 = 4;
    const NO_PASSWORD: u64 = 1;

    pub(crate) fn encode(&self, name: &str) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes(Self::NAME, name.as_bytes());
        out.bytes(Self::PASSWORD, &self.password);
        for role in &self.roles {
            out.element(Self::ROLES, role.as_bytes());
        }
        if let Some(no_password) = self.no_password {
            let mut options = Writer::default();
            options.number(Self::NO_PASSWORD, u64::from(no_password));
            out.element(Self::OPTIONS, &options.0);
        }
        out.0
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<(String, Self), &'static str> {
        let name = read_name(key)?;
        let mut user = Self { password: Bytes::new(), roles: Vec::new(), no_password: None };
        let mut fields = Reader::new(value);
        let mut named: &[u8] = b"";
        while let Some((number, value)) = fields.next_field()? {
            match (number, value) {
                (Self::NAME, Value::Bytes(bytes)) => named = bytes,
                (Self::PASSWORD, Value::Bytes(bytes)) => {
                    user.password = Bytes::copy_from_slice(bytes);
                }
                (Self::ROLES, Value::Bytes(bytes)) => user.roles.push(read_name(bytes)?),
                (Self::OPTIONS, Value::Bytes(bytes)) => {
                    let mut options = Reader::new(bytes);
                    let no_password = user.no_password.get_or_insert_default();
                    while let Some((number, value)) = options.next_field()? {
                        if let (Self::NO_PASSWORD, Value::Number(number)) = (number, value) {
                            *no_password = number != 0;
                        }
                    }
                }
                _ => {}
            }
        }
        if named != key {
            return Err("the user's name is not the record's key");
        }
        user.roles.sort();
        user.roles.dedup();
        Ok((name, user))
    }
}

/// What a permission lets do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermissionKind {
    /// Read keys.
    Read,
    /// Write and delete keys.
    Write,
    /// Both.
    ReadWrite,
    /// A number that etcd's `Permission.Type` does not have; it lets nothing.
    Other(i32),
}

impl PermissionKind {
    /// The kind with this number of etcd's `Permission.Type`.
    #[must_use]
    pub fn from_number(number: i32) -> Self {
        match number {
            0 => Self::Read,
            1 => Self::Write,
            2 => Self::ReadWrite,
            other => Self::Other(other),
        }
    }

    /// The number of etcd's `Permission.Type`.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Read => 0,
            Self::Write => 1,
            Self::ReadWrite => 2,
            Self::Other(number) => number,
        }
    }

    fn reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    fn writes(self) -> bool {
        matches!(self, Self::Write | Self::ReadWrite)
    }
}

/// A permission on a key or a range of keys, in the fields of etcd's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// What it lets do.
    pub kind: PermissionKind,
    /// The first key, not empty.
    pub key: Bytes,
    /// The end: empty for the single key, one zero byte for all keys from `key` on.
    pub range_end: Bytes,
}

impl Permission {
    /// A permission on `key`, or on the range from it to `range_end`.
    #[must_use]
    pub fn new(kind: PermissionKind, key: impl Into<Bytes>, range_end: impl Into<Bytes>) -> Self {
        Self { kind, key: key.into(), range_end: range_end.into() }
    }

    /// What etcd shows for the role `root`.
    pub(crate) fn everything() -> Self {
        Self::new(PermissionKind::ReadWrite, "", "\0")
    }

    /// The keys it is about.
    #[must_use]
    pub fn range(&self) -> KeyRange {
        KeyRange::from_fields(self.key.clone(), self.range_end.clone())
    }

    const KIND: u64 = 1;
    const KEY: u64 = 2;
    const RANGE_END: u64 = 3;

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        // An enum travels as the 64 bits of its sign-extended number.
        out.number(Self::KIND, i64::from(self.kind.number()).cast_unsigned());
        out.bytes(Self::KEY, &self.key);
        out.bytes(Self::RANGE_END, &self.range_end);
        out.0
    }

    fn decode(value: &[u8]) -> Result<Self, &'static str> {
        let mut permission = Self::new(PermissionKind::Read, "", "");
        let mut fields = Reader::new(value);
        while let Some((number, value)) = fields.next_field()? {
            match (number, value) {
                (Self::KIND, Value::Number(number)) => {
                    let number = i32::try_from(number.cast_signed())
                        .map_err(|_| "a permission's kind is no number of an enum")?;
                    permission.kind = PermissionKind::from_number(number);
                }
                (Self::KEY, Value::Bytes(bytes)) => permission.key = Bytes::copy_from_slice(bytes),
                (Self::RANGE_END, Value::Bytes(bytes)) => {
                    permission.range_end = Bytes::copy_from_slice(bytes);
                }
                _ => {}
            }
        }
        Ok(permission)
    }
}

/// A role: permissions, and what they come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// By ascending key; those of one key in the order they were granted.
    permissions: Vec<Permission>,
    readable: Spans,
    writable: Spans,
}

impl Role {
    pub(crate) fn new(permissions: Vec<Permission>) -> Self {
        let union = |of: fn(PermissionKind) -> bool| {
            let chosen = permissions.iter().filter(|permission| of(permission.kind));
            Spans::union(chosen.map(Permission::range))
        };
        let (readable, writable) = (union(PermissionKind::reads), union(PermissionKind::writes));
        Self { permissions, readable, writable }
    }

    /// The permissions, by ascending key. Those of the role `root` do not matter.
    #[must_use]
    pub fn permissions(&self) -> &[Permission] {
        &self.permissions
    }

    pub(crate) fn readable(&self) -> &Spans {
        &self.readable
    }

    pub(crate) fn writable(&self) -> &Spans {
        &self.writable
    }

    const NAME: u64 = 1;
    const PERMISSIONS: u64 = 2;

    pub(crate) fn encode(&self, name: &str) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes(Self::NAME, name.as_bytes());
        for permission in &self.permissions {
            out.element(Self::PERMISSIONS, &permission.encode());
        }
        out.0
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<(String, Self), &'static str> {
        let name = read_name(key)?;
        let mut permissions = Vec::new();
        let mut fields = Reader::new(value);
        let mut named: &[u8] = b"";
        while let Some((number, value)) = fields.next_field()? {
            match (number, value) {
                (Self::NAME, Value::Bytes(bytes)) => named = bytes,
                (Self::PERMISSIONS, Value::Bytes(bytes)) => {
                    permissions.push(Permission::decode(bytes)?);
                }
                _ => {}
            }
        }
        if named != key {
            return Err("the role's name is not the record's key");
        }
        permissions.sort_by(|one, other| one.key.cmp(&other.key));
        Ok((name, Self::new(permissions)))
    }
}

fn read_name(bytes: &[u8]) -> Result<String, &'static str> {
    match std::str::from_utf8(bytes) {
        Ok("") => Err("a name is empty"),
        Ok(name) => Ok(name.to_owned()),
        Err(_) => Err("a name is not UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user(roles: &[&str], no_password: Option<bool>) -> User {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        User { password: Bytes::from_static(b"h"), roles, no_password }
    }

    #[test]
    fn bytes_are_those_of_authpb() {
        let bytes = b"\x0a\x01u\x12\x01h\x1a\x01a\x1a\x01b\x22\x00";
        assert_eq!(user(&["a", "b"], Some(false)).encode("u"), bytes);
        let bytes = b"\x0a\x01u\x12\x01h\x22\x02\x08\x01";
        assert_eq!(user(&[], Some(true)).encode("u"), bytes);
        assert_eq!(user(&[], None).encode("u"), b"\x0a\x01u\x12\x01h");
        let role = Role::new(vec![
            Permission::new(PermissionKind::Read, "a", ""),
            Permission::new(PermissionKind::ReadWrite, "b", "\0"),
        ]);
        let bytes = b"\x0a\x01r\x12\x03\x12\x01a\x12\x08\x08\x02\x12\x01b\x1a\x01\x00";
        assert_eq!(role.encode("r"), bytes);
    }

    #[test]
    fn damage_is_named_and_strange_fields_are_skipped() {
        let bytes = user(&["a"], Some(true)).encode("u");
        for cut in 1..bytes.len() {
            let cut_off = User::decode(b"u", &bytes[..cut]);
            let whole_field = [3, 6, 9].contains(&cut);
            assert_eq!(cut_off.is_ok(), whole_field, "{cut}");
        }
        assert!(User::decode(b"v", &bytes).is_err());
        assert!(User::decode(b"\xff", b"\x0a\x01\xff").is_err());
        assert!(Role::decode(b"", b"").is_err());
        let longer = [&bytes[..], b"\x28\x07\x32\x01z\x39\0\0\0\0\0\0\0\0\x45\0\0\0\0"].concat();
        assert_eq!(User::decode(b"u", &longer), User::decode(b"u", &bytes));
        let shown = format!("{:?}", user(&["a"], None));
        assert!(!shown.contains("password: b"), "{shown}");
    }

    fn permission() -> impl Strategy<Value = Permission> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..4);
        (any::<i32>(), bytes(), bytes()).prop_map(|(kind, key, end)| {
            Permission::new(PermissionKind::from_number(kind % 4), key, end)
        })
    }

    proptest! {
        #[test]
        fn records_read_back(
            name in "[a-z]{1,4}",
            password in any::<Vec<u8>>(),
            roles in prop::collection::btree_set("[a-z]{1,3}", 0..4),
            no_password in any::<Option<bool>>(),
            mut permissions in prop::collection::vec(permission(), 0..5),
        ) {
            let roles = roles.into_iter().collect();
            let user = User { password: password.into(), roles, no_password };
            let read = User::decode(name.as_bytes(), &user.encode(&name));
            prop_assert_eq!(read, Ok((name.clone(), user)));
            permissions.sort_by(|one, other| one.key.cmp(&other.key));
            let role = Role::new(permissions);
            let read = Role::decode(name.as_bytes(), &role.encode(&name));
            prop_assert_eq!(read, Ok((name, role)));
        }

        #[test]
        fn any_bytes_are_safe(key in any::<Vec<u8>>(), value in any::<Vec<u8>>()) {
            let _ = User::decode(&key, &value);
            let _ = Role::decode(&key, &value);
        }
    }
}
