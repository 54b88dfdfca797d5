//! What an etcd server says when it refuses, as data.
//!
//! Clients of etcd recognise an error by its exact text and then take the code they have on
//! file for it (`api/v3rpc/rpctypes/error.go`), so the texts here are a contract to the byte,
//! odd capitals included. A status carries the code and the text, no details.
//!
//! For a few errors etcd's server sends a code that differs from its own catalogue, because it
//! returns the client-side object of the error: [`EtcdError::code`] is the catalogue's,
//! [`EtcdError::wire_code`] is what a server sends. Every error that passes through the lock or
//! the election service arrives as [`Code::Unknown`] with the same text.
//!
//! ```
//! use drystone_api::errors::{Code, EtcdError};
//!
//! let error = EtcdError::Compacted;
//! assert_eq!(error.message(), "etcdserver: mvcc: required revision has been compacted");
//! assert_eq!(error.wire_code(), Code::OutOfRange);
//! assert_eq!(EtcdError::from_message(error.message()), Some(error));
//! ```

#[cfg(test)]
mod tests;

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal $text:literal;)*) => {
        /// A gRPC status code. It is here so that those who only sort errors need no gRPC.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Code {
            $($(#[$doc])* $name = $number,)*
        }

        impl Code {
            /// All codes, by number.
            pub const ALL: &[Code] = &[$(Code::$name),*];

            /// The number in the trailer `grpc-status`, and in the gateway's JSON.
            #[must_use]
            pub const fn number(self) -> u8 {
                self as u8
            }

            /// The name in the gRPC specification, as in `INVALID_ARGUMENT`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Code::$name => $text,)*
                }
            }
        }

        #[cfg(feature = "grpc")]
        impl From<Code> for tonic::Code {
            fn from(code: Code) -> Self {
                match code {
                    $(Code::$name => tonic::Code::$name,)*
                }
            }
        }

        #[cfg(feature = "grpc")]
        impl From<tonic::Code> for Code {
            fn from(code: tonic::Code) -> Self {
                match code {
                    $(tonic::Code::$name => Code::$name,)*
                }
            }
        }
    };
}

codes! {
    /// Not an error.
    Ok = 0 "OK";
    /// The caller went away.
    Cancelled = 1 "CANCELLED";
    /// Anything that etcd did not classify.
    Unknown = 2 "UNKNOWN";
    /// Wrong in itself, whatever the state.
    InvalidArgument = 3 "INVALID_ARGUMENT";
    /// Not done in time; it may have happened all the same.
    DeadlineExceeded = 4 "DEADLINE_EXCEEDED";
    /// What was named does not exist.
    NotFound = 5 "NOT_FOUND";
    /// What was to be made exists.
    AlreadyExists = 6 "ALREADY_EXISTS";
    /// The caller is known and not allowed to.
    PermissionDenied = 7 "PERMISSION_DENIED";
    /// A bound is reached.
    ResourceExhausted = 8 "RESOURCE_EXHAUSTED";
    /// Not in this state.
    FailedPrecondition = 9 "FAILED_PRECONDITION";
    /// Lost against another.
    Aborted = 10 "ABORTED";
    /// Outside of what exists now.
    OutOfRange = 11 "OUT_OF_RANGE";
    /// Not offered here.
    Unimplemented = 12 "UNIMPLEMENTED";
    /// An invariant is broken.
    Internal = 13 "INTERNAL";
    /// Try again, or elsewhere.
    Unavailable = 14 "UNAVAILABLE";
    /// Data is lost or corrupt.
    DataLoss = 15 "DATA_LOSS";
    /// The caller is not known.
    Unauthenticated = 16 "UNAUTHENTICATED";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Declares [`EtcdError`]: name, code, `=> code on the wire` where that differs, text.
macro_rules! errors {
    ($(
        $(#[$doc:meta])*
        $name:ident: $code:ident $(=> $wire:ident)?, $message:literal;
    )*) => {
        /// Everything that etcd's server says with a text of its own. Names are etcd's
        /// constants without their prefix `ErrGRPC`, for as far as it has constants.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum EtcdError {
            $($(#[$doc])* $name,)*
        }

        impl EtcdError {
            /// All errors, in the order of the catalogue.
            pub const ALL: &[EtcdError] = &[$(EtcdError::$name),*];

            /// The name, as in `EmptyKey`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(EtcdError::$name => stringify!($name),)*
                }
            }

            /// The exact text.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self {
                    $(EtcdError::$name => $message,)*
                }
            }

            /// The code that clients have on file for the text.
            #[must_use]
            pub const fn code(self) -> Code {
                match self {
                    $(EtcdError::$name => Code::$code,)*
                }
            }

            /// The code that a server sends.
            #[must_use]
            pub const fn wire_code(self) -> Code {
                match self {
                    $($(EtcdError::$name => Code::$wire,)?)*
                    _ => self.code(),
                }
            }

            /// The error with exactly this text, if there is one.
            #[must_use]
            pub fn from_message(message: &str) -> Option<EtcdError> {
                match message {
                    $($message => Some(EtcdError::$name),)*
                    _ => None,
                }
            }
        }
    };
}

errors! {
    /// Zero-length `key` in Range, RangeStream, Put, DeleteRange, any op or compare of a Txn
    /// (both branches, any depth). Not for Watch (empty key = `\0`).
    EmptyKey: InvalidArgument,
        "etcdserver: key is not provided";
    /// A put with `ignore_value` or `ignore_lease` on a key that does not exist, decided when
    /// it is applied and in a Txn only on the path that runs; also an operation of a Txn with
    /// no member set.
    KeyNotFound: InvalidArgument,
        "etcdserver: key not found";
    /// `ignore_value` with non-empty `value`.
    ValueProvided: InvalidArgument,
        "etcdserver: value is provided";
    /// `ignore_lease` with `lease` ≠ 0.
    LeaseProvided: InvalidArgument,
        "etcdserver: lease is provided";
    /// A Txn over the bound on operations, see [`crate::limits::TXN_OPS_MAX`].
    TooManyOps: InvalidArgument,
        "etcdserver: too many operations in txn request";
    /// Two puts, or a put and a deletion, of one key in one branch of a Txn.
    DuplicateKey: InvalidArgument,
        "etcdserver: duplicate key given in txn request";
    /// Metadata `client-api-version` not UTF-8.
    InvalidClientAPIVersion: InvalidArgument,
        "etcdserver: invalid client api version";
    /// `sort_order` or `sort_target` outside the enum (Range, RangeStream, Txn ranges).
    InvalidSortOption: InvalidArgument,
        "etcdserver: invalid sort option";
    /// Range/RangeStream/Txn range below the compaction revision; Compact at or below it;
    /// HashKV below it.
    Compacted: OutOfRange,
        "etcdserver: mvcc: required revision has been compacted";
    /// The same calls above the current revision; a watch may start there.
    FutureRev: OutOfRange,
        "etcdserver: mvcc: required revision is a future revision";
    /// Put, LeaseGrant, or Txn containing a put while a NOSPACE alarm is set or the quota would
    /// be crossed.
    NoSpace: ResourceExhausted,
        "etcdserver: mvcc: database space exceeded";
    /// LeaseRevoke of, or Put with, an unknown lease. TimeToLive and KeepAlive do not use it.
    LeaseNotFound: NotFound,
        "etcdserver: requested lease not found";
    /// LeaseGrant with a live id.
    LeaseExist: FailedPrecondition,
        "etcdserver: lease already exists";
    /// LeaseGrant TTL > 9 000 000 000.
    LeaseTTLTooLarge: OutOfRange,
        "etcdserver: too large lease TTL";
    /// End status of a Watch stream whose context was cancelled.
    WatchCanceled: Cancelled,
        "etcdserver: watch canceled";
    /// MemberAdd whose computed id is already a member.
    MemberExist: FailedPrecondition,
        "etcdserver: member ID already exist";
    /// MemberAdd/MemberUpdate with a peer URL another member has.
    PeerURLExist: FailedPrecondition,
        "etcdserver: Peer URLs already exists";
    /// Strict reconfig check: add voter, remove voter or promote would leave fewer started
    /// voters than the new quorum.
    MemberNotEnoughStarted: FailedPrecondition => Unknown,
        "etcdserver: re-configuration failed due to not enough started members";
    /// MemberAdd: no URL, scheme not http/https/unix/unixs, no `host:port`, or a path.
    /// MemberUpdate does not check.
    MemberBadURLs: InvalidArgument,
        "etcdserver: given member URLs are invalid";
    /// Remove, update, promote of an unknown or already removed id.
    MemberNotFound: NotFound,
        "etcdserver: member not found";
    /// MemberPromote of a voter.
    MemberNotLearner: FailedPrecondition,
        "etcdserver: can only promote a learner member";
    /// Learner's match index below 90 % of the leader's.
    LearnerNotReady: FailedPrecondition,
        "etcdserver: can only promote a learner member which is in sync with leader";
    /// MemberAdd learner beyond `--max-learners`.
    TooManyLearners: FailedPrecondition,
        "etcdserver: too many learner members in cluster";
    /// Peer hash-KV exchange with a foreign cluster; not from client RPCs.
    ClusterIDMismatch: FailedPrecondition,
        "etcdserver: cluster ID mismatch";
    /// Marshalled raft request > `--max-request-bytes` (any call that is proposed).
    RequestTooLarge: InvalidArgument,
        "etcdserver: request is too large";
    /// Committed index more than 5000 ahead of applied index (any proposal).
    RequestTooManyRequests: ResourceExhausted => Unknown,
        "etcdserver: too many requests";
    /// AuthEnable without user `root`.
    RootUserNotExist: FailedPrecondition,
        "etcdserver: root user does not exist";
    /// AuthEnable when `root` lacks role `root`.
    RootRoleNotExist: FailedPrecondition,
        "etcdserver: root user does not have root role";
    /// UserAdd with a name that is taken.
    UserAlreadyExist: FailedPrecondition,
        "etcdserver: user name already exists";
    /// UserAdd with empty name; and any call needing identity while auth is on and none was
    /// given.
    UserEmpty: InvalidArgument,
        "etcdserver: user name is empty";
    /// UserGet/Delete/ChangePassword/GrantRole/RevokeRole; admin check for a token whose user
    /// is gone.
    UserNotFound: FailedPrecondition,
        "etcdserver: user name not found";
    /// RoleAdd with a name that is taken.
    RoleAlreadyExist: FailedPrecondition,
        "etcdserver: role name already exists";
    /// RoleGet/Delete/GrantPermission/RevokePermission, UserGrantRole (role `root` exempt).
    RoleNotFound: FailedPrecondition,
        "etcdserver: role name not found";
    /// RoleAdd with empty name.
    RoleEmpty: InvalidArgument,
        "etcdserver: role name is empty";
    /// Authenticate: unknown user or wrong password.
    AuthFailed: InvalidArgument,
        "etcdserver: authentication failed, invalid user ID or password";
    /// RoleGrantPermission without `perm`.
    PermissionNotGiven: InvalidArgument,
        "etcdserver: permission not given";
    /// Key permission missing, or admin operation by a non-root.
    PermissionDenied: PermissionDenied,
        "etcdserver: permission denied";
    /// UserRevokeRole of a role the user lacks.
    RoleNotGranted: FailedPrecondition,
        "etcdserver: role is not granted to the user";
    /// RoleRevokePermission with no exactly equal (key, range_end).
    PermissionNotGranted: FailedPrecondition,
        "etcdserver: permission is not granted to the role";
    /// Authenticate while auth is off.
    AuthNotEnabled: FailedPrecondition,
        "etcdserver: authentication is not enabled";
    /// Token given but unknown, expired or malformed (auth on).
    InvalidAuthToken: Unauthenticated,
        "etcdserver: invalid auth token";
    /// While auth is on: UserDelete `root`, RoleDelete `root`, revoke role `root` from `root`;
    /// any time: RoleGrantPermission with empty key or range_end ≤ key (and not `\0`).
    InvalidAuthMgmt: InvalidArgument,
        "etcdserver: invalid auth management";
    /// Auth data changed between token issue (JWT) or proposal and the check.
    AuthOldRevision: InvalidArgument,
        "etcdserver: revision of auth store is old";
    /// `hasleader` call without leader; lease forwarding without leader until timeout.
    NoLeader: Unavailable,
        "etcdserver: no leader";
    /// MoveLeader sent to a non-leader.
    NotLeader: FailedPrecondition,
        "etcdserver: not leader";
    /// Linearizable read or lease lookup interrupted by a leader change.
    LeaderChanged: Unavailable,
        "etcdserver: leader changed";
    /// Capability gate.
    NotCapable: FailedPrecondition,
        "etcdserver: not capable";
    /// Member is shutting down.
    Stopped: Unavailable,
        "etcdserver: server stopped";
    /// Proposal, read index or forwarded call not done within the request timeout (5 s + 2 ×
    /// election timeout = 7 s).
    Timeout: Unavailable,
        "etcdserver: request timed out";
    /// Proposal timed out and began within 2 election timeouts before the current leader was
    /// elected.
    TimeoutDueToLeaderFail: Unavailable,
        "etcdserver: request timed out, possibly due to previous leader failure";
    /// Proposal timed out and: local member is leader without continuous quorum contact since
    /// the request began, or follower without contact to the leader.
    TimeoutDueToConnectionLost: Unavailable,
        "etcdserver: request timed out, possibly due to connection lost";
    /// LeaseKeepAlive, LeaseTimeToLive, MemberPromote on the leader: applied index did not
    /// reach the commit index within 1 s (3.6).
    TimeoutWaitAppliedIndex: Unavailable,
        "etcdserver: request timed out, waiting for the applied index took too long";
    /// Strict reconfig check: MemberAdd/MemberRemove without enough connected voters for at
    /// least 5 s.
    Unhealthy: Unavailable,
        "etcdserver: unhealthy cluster";
    /// Any proposed KV or lease write, Compact, and Txn while a CORRUPT alarm is set (not local
    /// reads).
    Corrupt: DataLoss,
        "etcdserver: corrupt cluster";
    /// A learner was asked for more than Status, a serializable Range or Snapshot.
    NotSupportedForLearner: FailedPrecondition,
        "etcdserver: rpc not supported for learner";
    /// MoveLeader to an unknown member or a learner.
    BadLeaderTransferee: FailedPrecondition,
        "etcdserver: bad leader transferee";
    /// Downgrade VALIDATE/ENABLE: version is neither `X.Y` nor `X.Y.Z`.
    WrongDowngradeVersionFormat: InvalidArgument,
        "etcdserver: wrong downgrade target version format";
    /// Target is not exactly one minor below the cluster version.
    InvalidDowngradeTargetVersion: InvalidArgument,
        "etcdserver: invalid downgrade target version";
    /// VALIDATE before a cluster version is decided.
    ClusterVersionUnavailable: FailedPrecondition,
        "etcdserver: cluster version not found during downgrade";
    /// VALIDATE/ENABLE while one is enabled.
    DowngradeInProcess: FailedPrecondition,
        "etcdserver: cluster has a downgrade job in progress";
    /// Defined by etcd, but never sent: cancelling without a downgrade succeeds.
    NoInflightDowngrade: FailedPrecondition,
        "etcdserver: no inflight downgrade job";
    /// The wait for a proposal ended by cancellation.
    Canceled: Cancelled,
        "etcdserver: request canceled";
    /// Defined by etcd; in practice [`EtcdError::ContextDeadlineExceeded`] is sent.
    DeadlineExceeded: DeadlineExceeded,
        "etcdserver: context deadline exceeded";

    // From here on: texts that are not in etcd's catalogue, so that clients have no code on
    // file for them and keep the one that was sent.

    /// Authenticate with a password for a user that was made without one.
    PasswordForNoPasswordUser: Unknown,
        "auth: authentication failed, password was given for no password user";
    /// UserAdd or UserChangePassword with more than bcrypt can hash.
    PasswordTooLong: Unknown,
        "bcrypt: password length exceeds 72 bytes";
    /// Authenticate on a member whose JWT provider has only a public key.
    VerifyOnlyKey: Unknown,
        "auth: token signing attempted with verify-only key";
    /// MoveLeader was not done within its time.
    TimeoutLeaderTransfer: Unknown,
        "etcdserver: request timed out, leader transfer took too long";
    /// Downgrade with an action outside the enum.
    UnknownMethod: Unknown,
        "etcdserver: unknown method";
    /// LeaseKeepAlive on a leader that cannot confirm that it still leads.
    NotPrimaryLessor: Unknown,
        "not a primary lessor";
    /// A proposal met a leader transfer, or no leader inside raft. Some clients retry on it.
    ProposalDropped: Unknown,
        "raft proposal dropped";
    /// RangeStream with an order other than ascending keys.
    RangeStreamSort: Unimplemented,
        "RangeStream does not support custom sort orders";
    /// RangeStream with a bound on revisions.
    RangeStreamFilters: Unimplemented,
        "RangeStream does not support revision filters";
    /// Leader of an election that nobody has won.
    ElectionNoLeader: Unknown,
        "election: no leader";
    /// Proclaim by one who has lost the leadership.
    ElectionNotLeader: Unknown,
        "election: not leader";
    /// Proclaim or Resign without a leader key.
    ElectionLeaderMissing: Unknown,
        "\"leader\" field must be provided";
    /// Lock waited, but its own key vanished meanwhile.
    SessionExpired: Unknown,
        "mutex: session is expired";
    /// Lock or Campaign lost the watch on the one before it.
    LostWatcher: Unknown,
        "lost watcher waiting for delete";
    /// The caller went away.
    ContextCanceled: Cancelled,
        "context canceled";
    /// The caller's deadline passed, or no leader was known for the whole request timeout.
    ContextDeadlineExceeded: DeadlineExceeded,
        "context deadline exceeded";
    /// A health check of a name the server does not know.
    UnknownService: NotFound,
        "unknown service";
    /// Only in `WatchResponse.cancel_reason`: `range_end` not after `key`.
    WatchRangeEmpty: Unknown,
        "mvcc: watcher range is empty";
    /// Only in `WatchResponse.cancel_reason`: the id is in use on the stream.
    WatchIdDuplicate: Unknown,
        "mvcc: duplicate watch ID provided on the WatchStream";
}

impl fmt::Display for EtcdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for EtcdError {}

#[cfg(feature = "grpc")]
impl From<EtcdError> for tonic::Status {
    /// The status that a server sends; see [`EtcdError::wire_code`].
    fn from(error: EtcdError) -> Self {
        tonic::Status::new(error.wire_code().into(), error.message())
    }
}
