//! The methods that there are, and the names of codes.

/// Names of gRPC's codes in Go, in their order.
pub(crate) const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// Which sides of a call are streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Unary,
    ServerStream,
    BidiStream,
}

impl Form {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ServerStream => "server_stream",
            Self::BidiStream => "bidi_stream",
        }
    }

    pub(crate) fn is_unary(self) -> bool {
        self == Self::Unary
    }
}

/// One method.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    /// Whether its series are there before the first call.
    pub(super) at_start: bool,
}

const fn unary(service: &'static str, name: &'static str) -> Method {
    Method { service, name, form: Form::Unary, at_start: true }
}

const fn stream(service: &'static str, name: &'static str, form: Form) -> Method {
    Method { service, name, form, at_start: true }
}

/// One that shows with its first call, as in etcd.
const fn later(service: &'static str, name: &'static str, form: Form) -> Method {
    Method { service, name, form, at_start: false }
}

const KV: &str = "etcdserverpb.KV";
const LEASE: &str = "etcdserverpb.Lease";
const CLUSTER: &str = "etcdserverpb.Cluster";
const AUTH: &str = "etcdserverpb.Auth";
const MAINTENANCE: &str = "etcdserverpb.Maintenance";
const HEALTH: &str = "grpc.health.v1.Health";
const LOCK: &str = "v3lockpb.Lock";
const ELECTION: &str = "v3electionpb.Election";

pub(super) const METHODS: &[Method] = &[
    unary(KV, "Range"),
    stream(KV, "RangeStream", Form::ServerStream),
    unary(KV, "Put"),
    unary(KV, "DeleteRange"),
    unary(KV, "Txn"),
    unary(KV, "Compact"),
    stream("etcdserverpb.Watch", "Watch", Form::BidiStream),
    unary(LEASE, "LeaseGrant"),
    unary(LEASE, "LeaseRevoke"),
    stream(LEASE, "LeaseKeepAlive", Form::BidiStream),
    unary(LEASE, "LeaseTimeToLive"),
    unary(LEASE, "LeaseLeases"),
    unary(CLUSTER, "MemberAdd"),
    unary(CLUSTER, "MemberRemove"),
    unary(CLUSTER, "MemberUpdate"),
    unary(CLUSTER, "MemberList"),
    unary(CLUSTER, "MemberPromote"),
    unary(AUTH, "AuthEnable"),
    unary(AUTH, "AuthDisable"),
    unary(AUTH, "AuthStatus"),
    unary(AUTH, "Authenticate"),
    unary(AUTH, "UserAdd"),
    unary(AUTH, "UserGet"),
    unary(AUTH, "UserList"),
    unary(AUTH, "UserDelete"),
    unary(AUTH, "UserChangePassword"),
    unary(AUTH, "UserGrantRole"),
    unary(AUTH, "UserRevokeRole"),
    unary(AUTH, "RoleAdd"),
    unary(AUTH, "RoleGet"),
    unary(AUTH, "RoleList"),
    unary(AUTH, "RoleDelete"),
    unary(AUTH, "RoleGrantPermission"),
    unary(AUTH, "RoleRevokePermission"),
    unary(MAINTENANCE, "Alarm"),
    unary(MAINTENANCE, "Status"),
    unary(MAINTENANCE, "Defragment"),
    unary(MAINTENANCE, "Hash"),
    unary(MAINTENANCE, "HashKV"),
    stream(MAINTENANCE, "Snapshot", Form::ServerStream),
    unary(MAINTENANCE, "MoveLeader"),
    unary(MAINTENANCE, "Downgrade"),
    unary(HEALTH, "Check"),
    unary(HEALTH, "List"),
    stream(HEALTH, "Watch", Form::ServerStream),
    later(LOCK, "Lock", Form::Unary),
    later(LOCK, "Unlock", Form::Unary),
    later(ELECTION, "Campaign", Form::Unary),
    later(ELECTION, "Proclaim", Form::Unary),
    later(ELECTION, "Leader", Form::Unary),
    later(ELECTION, "Observe", Form::ServerStream),
    later(ELECTION, "Resign", Form::Unary),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_methods_as_etcd_has_are_there_from_the_start() {
        assert_eq!(METHODS.iter().filter(|method| method.at_start).count(), 45);
        assert_eq!(METHODS.len(), 52);
    }
}
