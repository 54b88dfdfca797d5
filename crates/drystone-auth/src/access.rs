//! Who asks, and what that takes.

use drystone_types::KeyRange;

/// Who asks, as an entry of the log says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user's name.
    pub user: String,
    /// The auth revision under which the user was recognised. A decision at a later one is
    /// refused, so that a right that was taken away meanwhile is not used.
    pub revision: u64,
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
