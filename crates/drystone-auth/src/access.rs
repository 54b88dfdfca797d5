//! Who asks, what that takes, and whether it is granted.

use crate::auth::{Auth, ROOT};
use crate::record::{Role, User};
use crate::spans::{self, Spans};
use drystone_types::KeyRange;

/// Who asks, as an entry of the log says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user's name.
    pub user: String,
    /// The auth revision under which the user was recognised. A decision about keys at a later
    /// one is refused, so that a right that was taken away meanwhile is not used.
    pub revision: u64,
}

impl Identity {
    /// The server itself, for what it proposes on its own account: the end of a lease that ran
    /// out, an alarm, a compaction. It is the user `root`, which exists with its role as long as
    /// permissions are asked for, at a revision that is never too old: the right of the cluster
    /// to do its work is not taken away between a proposal and its turn.
    #[must_use]
    pub fn server() -> Self {
        Self { user: ROOT.to_owned(), revision: u64::MAX }
    }
}

/// What one step of a request takes. A request is allowed when all its needs are met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Anybody whom the cluster knows.
    User,
    /// The role `root`.
    Root,
    /// To be this user, or to have the role `root`.
    SelfOrRoot(String),
    /// To have this role, or the role `root`.
    RoleOrRoot(String),
    /// To read every key of the range.
    Read(KeyRange),
    /// To write every key of the range.
    Write(KeyRange),
}

/// Why a request is refused. It says nothing about keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody said who asks.
    #[error("nobody said who asks")]
    UserEmpty,
    /// The one who asks is no user any more.
    #[error("the user does not exist any more")]
    UserNotFound,
    /// The user may not do this.
    #[error("the user may not do this")]
    PermissionDenied,
    /// Users, roles or permissions changed since the user was recognised; ask again.
    #[error("users or permissions changed meanwhile; ask again")]
    OldRevision,
}

impl Auth {
    /// Says whether `who` may do what takes all of `needs`. While permissions are not asked for,
    /// everybody may do everything; what needs nothing is open to all at any time.
    ///
    /// A need of keys asks for an auth revision that is not old, the others do not, as in etcd:
    /// whoever manages users must be able to go on after each change. A range without keys
    /// (its end is not above its start) is granted to whoever may use the key it starts with.
    ///
    /// # Errors
    /// Why not, by the first need that is not met.
    pub fn decide(&self, who: Option<&Identity>, needs: &[Need]) -> Result<(), Denied> {
        if !self.is_enabled() || needs.is_empty() {
            return Ok(());
        }
        let who = who.filter(|who| !who.user.is_empty()).ok_or(Denied::UserEmpty)?;
        let user = self.user(&who.user);
        needs.iter().try_for_each(|need| self.meets(who, user, need))
    }

    /// True when `who` may do everything, so that nobody need work out what a request takes:
    /// permissions are not asked for, or `who` has the role `root` at a revision not too old.
    #[must_use]
    pub fn is_open_to(&self, who: Option<&Identity>) -> bool {
        !self.is_enabled()
            || who.is_some_and(|who| {
                who.revision >= self.revision()
                    && self.user(&who.user).is_some_and(|user| user.has_role(ROOT))
            })
    }

    fn meets(&self, who: &Identity, user: Option<&User>, need: &Need) -> Result<(), Denied> {
        match need {
            Need::User => user.map(|_| ()).ok_or(Denied::PermissionDenied),
            Need::Root => is_root(user),
            Need::SelfOrRoot(name) if *name == who.user => Ok(()),
            Need::SelfOrRoot(_) => is_root(user),
            Need::RoleOrRoot(role) if user.is_some_and(|user| user.has_role(role)) => Ok(()),
            Need::RoleOrRoot(_) => is_root(user),
            Need::Read(range) => self.may_use(who, user, range, Role::readable),
            Need::Write(range) => self.may_use(who, user, range, Role::writable),
        }
    }

    fn may_use(
        &self,
        who: &Identity,
        user: Option<&User>,
        range: &KeyRange,
        kind: fn(&Role) -> &Spans,
    ) -> Result<(), Denied> {
        if who.revision == 0 {
            return Err(Denied::UserEmpty);
        }
        if who.revision < self.revision() {
            return Err(Denied::OldRevision);
        }
        let user = user.ok_or(Denied::PermissionDenied)?;
        if user.has_role(ROOT) {
            return Ok(());
        }
        let roles = || user.roles().iter().filter_map(|role| self.role(role)).map(kind);
        if spans::cover(roles, range) { Ok(()) } else { Err(Denied::PermissionDenied) }
    }
}

fn is_root(user: Option<&User>) -> Result<(), Denied> {
    match user {
        None => Err(Denied::UserNotFound),
        Some(user) if user.has_role(ROOT) => Ok(()),
        Some(_) => Err(Denied::PermissionDenied),
    }
}
