//! How changes are refused.

/// Why a change, or a question about a user or role, was refused. Nothing was changed. Each has
/// one text and one code of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Permissions cannot be asked for without the user `root`.
    #[error("there is no user root")]
    RootUserNotExist,
    /// Permissions cannot be asked for unless the user `root` has the role `root`.
    #[error("the user root does not have the role root")]
    RootRoleNotExist,
    /// A user needs a name.
    #[error("the user's name is empty")]
    UserEmpty,
    /// There is such a user already.
    #[error("the user exists already")]
    UserAlreadyExist,
    /// There is no such user.
    #[error("there is no such user")]
    UserNotFound,
    /// A role needs a name.
    #[error("the role's name is empty")]
    RoleEmpty,
    /// There is such a role already.
    #[error("the role exists already")]
    RoleAlreadyExist,
    /// There is no such role.
    #[error("there is no such role")]
    RoleNotFound,
    /// The user does not have the role.
    #[error("the user does not have the role")]
    RoleNotGranted,
    /// The role has no permission on exactly this range.
    #[error("the role has no permission on exactly this range")]
    PermissionNotGranted,
    /// The change would take the means of managing from the cluster, or the range of a
    /// permission holds no key.
    #[error("the change would lock everybody out, or its range holds no key")]
    InvalidManagement,
    /// Nobody logs in while permissions are not asked for.
    #[error("permissions are not asked for")]
    NotEnabled,
    /// No such user, or not this password.
    #[error("no such user, or not this password")]
    AuthFailed,
    /// The user was made without a password, or a hash of one cannot be read.
    #[error("the user has no password, or its hash cannot be read")]
    NoPasswordUser,
}
