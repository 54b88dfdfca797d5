//! What a test of permissions needs: a naive model, and random changes, users and ranges.
//!
//! All bounds of ranges have at most two bytes of a small alphabet with zero in it. Between any
//! two bounds there lies one of the strings of at most three bytes, or no key at all, so looking
//! at those, as [`Naive`] does, decides about all keys there are.

mod naive;

use crate::{Identity, Need, Permission, PermissionKind};
use drystone_types::KeyRange;
pub use naive::Naive;
use rand::prelude::*;
use rand::rngs::SmallRng;

/// The users there may be.
pub const USERS: [&str; 4] = ["root", "ada", "bob", "eve"];
/// The roles there may be.
pub const ROLES: [&str; 4] = ["root", "r", "s", "t"];

/// The bytes of drawn keys.
const ALPHABET: [u8; 4] = [0, b'a', b'b', 0xff];
/// These, and those that ends of prefixes have besides.
const BYTES: [u8; 6] = [0, 1, b'a', b'b', b'c', 0xff];

/// A change, as plain data.
#[derive(Clone, Debug)]
pub enum Change {
    /// Permissions are asked for from now on.
    Enable,
    /// They are not any more.
    Disable,
    /// A user with a password.
    AddUser(&'static str),
    /// A user goes.
    DeleteUser(&'static str),
    /// A user gets another password.
    Password(&'static str),
    /// A user gets a role.
    GrantRole(&'static str, &'static str),
    /// A user loses a role.
    RevokeRole(&'static str, &'static str),
    /// A role without permissions.
    AddRole(&'static str),
    /// A role goes.
    DeleteRole(&'static str),
    /// A role gets a permission.
    Grant(&'static str, Permission),
    /// A role loses the permission on a range.
    Revoke(&'static str, Vec<u8>, Vec<u8>),
}

/// What lets permissions be asked for: a user `root` with the role `root`.
#[must_use]
pub fn founding() -> [Change; 3] {
    [Change::AddUser("root"), Change::GrantRole("root", "root"), Change::Enable]
}

/// A random change. Most of them build up.
pub fn draw_change(random: &mut SmallRng) -> Change {
    let user = pick(random, &USERS);
    let role = pick(random, &ROLES);
    match random.random_range(0..40) {
        0..3 => Change::Enable,
        3 if random.random_ratio(1, 4) => Change::Disable,
        3..7 => Change::AddUser(user),
        7 => Change::DeleteUser(user),
        8 => Change::Password(user),
        9..18 => Change::GrantRole(user, role),
        18..20 => Change::RevokeRole(user, role),
        20..24 => Change::AddRole(role),
        24 if random.random_ratio(1, 2) => Change::DeleteRole(role),
        24..37 => {
            let (key, end) = draw_fields(random);
            let kind = PermissionKind::from_number(random.random_range(0..4));
            Change::Grant(role, Permission::new(kind, key, end))
        }
        _ => {
            let (key, end) = draw_fields(random);
            Change::Revoke(role, key, end)
        }
    }
}

/// Who asks, at auth revision `now`, a little earlier or later; sometimes nobody.
pub fn draw_identity(random: &mut SmallRng, now: u64) -> Option<Identity> {
    let user = match random.random_range(0..20) {
        0 => return None,
        1 => return Some(Identity::server()),
        2 => "",
        3..6 => "root",
        6 => "nobody",
        _ => pick(random, &USERS[1..]),
    };
    let revision = match random.random_range(0..20) {
        0 => 0,
        1 => now - 1,
        2 => now + 1,
        _ => now,
    };
    Some(Identity { user: user.to_owned(), revision })
}

/// A few random needs.
pub fn draw_needs(random: &mut SmallRng) -> Vec<Need> {
    let count = pick(random, &[0, 1, 1, 1, 1, 1, 1, 1, 2, 3]);
    (0..count).map(|_| draw_need(random)).collect()
}

/// One random need.
pub fn draw_need(random: &mut SmallRng) -> Need {
    let (key, end) = draw_fields(random);
    let range = KeyRange::from_fields(key, end);
    match random.random_range(0..20) {
        0 => Need::User,
        1 => Need::Root,
        2 => Need::SelfOrRoot(pick(random, &USERS).to_owned()),
        3 => Need::RoleOrRoot(pick(random, &ROLES).to_owned()),
        4..13 => Need::Read(range),
        _ => Need::Write(range),
    }
}

/// The fields of a range: a point, an interval (often a prefix, sometimes without keys), or
/// everything from a key on.
pub fn draw_fields(random: &mut SmallRng) -> (Vec<u8>, Vec<u8>) {
    let key = draw_key(random);
    let end = match random.random_range(0..10) {
        0..3 => Vec::new(),
        3 => b"\0".to_vec(),
        4..7 => drystone_types::prefix_end(&key).unwrap_or_else(|| b"\0".to_vec()),
        _ => draw_key(random),
    };
    (key, end)
}

/// At most two bytes; rarely none.
pub fn draw_key(random: &mut SmallRng) -> Vec<u8> {
    let length = pick(random, &[0, 1, 1, 1, 1, 1, 2, 2, 2, 2]);
    (0..length).map(|_| pick(random, &ALPHABET)).collect()
}

fn pick<T: Copy>(random: &mut SmallRng, list: &[T]) -> T {
    *list.choose(random).expect("no list here is empty")
}
