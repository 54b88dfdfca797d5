//! Which path is which method: the 51 bindings of etcd's annotations.

use prost_reflect::{DescriptorPool, MessageDescriptor};
use std::collections::HashMap;
use std::sync::LazyLock;

/// A path of the gateway and the method that it calls.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The path of HTTP, such as `/v3/kv/range`.
    pub path: &'static str,
    /// The path of gRPC, such as `/etcdserverpb.KV/Range`.
    pub method: &'static str,
    /// Whether the body is a sequence of requests.
    pub requests_stream: bool,
    /// Whether the answer is a sequence of lines.
    pub answers_stream: bool,
    pub(crate) input: MessageDescriptor,
    pub(crate) output: MessageDescriptor,
}

/// Every path, in the order of etcd's files. The three `/v3/kv/lease/` are older names.
const PATHS: [(&str, &str); 51] = [
    ("/v3/kv/range", "/etcdserverpb.KV/Range"),
    ("/v3/kv/put", "/etcdserverpb.KV/Put"),
    ("/v3/kv/deleterange", "/etcdserverpb.KV/DeleteRange"),
    ("/v3/kv/txn", "/etcdserverpb.KV/Txn"),
    ("/v3/kv/compaction", "/etcdserverpb.KV/Compact"),
    ("/v3/watch", "/etcdserverpb.Watch/Watch"),
    ("/v3/lease/grant", "/etcdserverpb.Lease/LeaseGrant"),
    ("/v3/lease/revoke", "/etcdserverpb.Lease/LeaseRevoke"),
    ("/v3/kv/lease/revoke", "/etcdserverpb.Lease/LeaseRevoke"),
    ("/v3/lease/keepalive", "/etcdserverpb.Lease/LeaseKeepAlive"),
    ("/v3/lease/timetolive", "/etcdserverpb.Lease/LeaseTimeToLive"),
    ("/v3/kv/lease/timetolive", "/etcdserverpb.Lease/LeaseTimeToLive"),
    ("/v3/lease/leases", "/etcdserverpb.Lease/LeaseLeases"),
    ("/v3/kv/lease/leases", "/etcdserverpb.Lease/LeaseLeases"),
    ("/v3/cluster/member/add", "/etcdserverpb.Cluster/MemberAdd"),
    ("/v3/cluster/member/remove", "/etcdserverpb.Cluster/MemberRemove"),
    ("/v3/cluster/member/update", "/etcdserverpb.Cluster/MemberUpdate"),
    ("/v3/cluster/member/list", "/etcdserverpb.Cluster/MemberList"),
    ("/v3/cluster/member/promote", "/etcdserverpb.Cluster/MemberPromote"),
    ("/v3/maintenance/alarm", "/etcdserverpb.Maintenance/Alarm"),
    ("/v3/maintenance/status", "/etcdserverpb.Maintenance/Status"),
    ("/v3/maintenance/defragment", "/etcdserverpb.Maintenance/Defragment"),
    ("/v3/maintenance/hash", "/etcdserverpb.Maintenance/Hash"),
    ("/v3/maintenance/hashkv", "/etcdserverpb.Maintenance/HashKV"),
    ("/v3/maintenance/snapshot", "/etcdserverpb.Maintenance/Snapshot"),
    ("/v3/maintenance/transfer-leadership", "/etcdserverpb.Maintenance/MoveLeader"),
    ("/v3/maintenance/downgrade", "/etcdserverpb.Maintenance/Downgrade"),
    ("/v3/auth/enable", "/etcdserverpb.Auth/AuthEnable"),
    ("/v3/auth/disable", "/etcdserverpb.Auth/AuthDisable"),
    ("/v3/auth/status", "/etcdserverpb.Auth/AuthStatus"),
    ("/v3/auth/authenticate", "/etcdserverpb.Auth/Authenticate"),
    ("/v3/auth/user/add", "/etcdserverpb.Auth/UserAdd"),
    ("/v3/auth/user/get", "/etcdserverpb.Auth/UserGet"),
    ("/v3/auth/user/list", "/etcdserverpb.Auth/UserList"),
    ("/v3/auth/user/delete", "/etcdserverpb.Auth/UserDelete"),
    ("/v3/auth/user/changepw", "/etcdserverpb.Auth/UserChangePassword"),
    ("/v3/auth/user/grant", "/etcdserverpb.Auth/UserGrantRole"),
    ("/v3/auth/user/revoke", "/etcdserverpb.Auth/UserRevokeRole"),
    ("/v3/auth/role/add", "/etcdserverpb.Auth/RoleAdd"),
    ("/v3/auth/role/get", "/etcdserverpb.Auth/RoleGet"),
    ("/v3/auth/role/list", "/etcdserverpb.Auth/RoleList"),
    ("/v3/auth/role/delete", "/etcdserverpb.Auth/RoleDelete"),
    ("/v3/auth/role/grant", "/etcdserverpb.Auth/RoleGrantPermission"),
    ("/v3/auth/role/revoke", "/etcdserverpb.Auth/RoleRevokePermission"),
    ("/v3/lock/lock", "/v3lockpb.Lock/Lock"),
    ("/v3/lock/unlock", "/v3lockpb.Lock/Unlock"),
    ("/v3/election/campaign", "/v3electionpb.Election/Campaign"),
    ("/v3/election/proclaim", "/v3electionpb.Election/Proclaim"),
    ("/v3/election/leader", "/v3electionpb.Election/Leader"),
    ("/v3/election/observe", "/v3electionpb.Election/Observe"),
    ("/v3/election/resign", "/v3electionpb.Election/Resign"),
];

static BINDINGS: LazyLock<Vec<Binding>> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(drystone_api::FILE_DESCRIPTOR_SET)
        .expect("the committed descriptors are sound: a test reads them");
    PATHS.iter().map(|(path, method)| bind(&pool, path, method)).collect()
});

static BY_PATH: LazyLock<HashMap<&'static str, &'static Binding>> =
    LazyLock::new(|| BINDINGS.iter().map(|binding| (binding.path, binding)).collect());

/// Every path with its method.
pub fn bindings() -> &'static [Binding] {
    &BINDINGS
}

/// The binding of a path, which has no percent escapes any more.
pub(crate) fn find(path: &str) -> Option<&'static Binding> {
    BY_PATH.get(path).copied()
}

fn bind(pool: &DescriptorPool, path: &'static str, full: &'static str) -> Binding {
    let found = full[1..].split_once('/').and_then(|(service, name)| {
        pool.get_service_by_name(service)?.methods().find(|method| method.name() == name)
    });
    let method = found.expect("the table names methods that exist: a test walks it");
    Binding {
        path,
        method: full,
        requests_stream: method.is_client_streaming(),
        answers_stream: method.is_server_streaming(),
        input: method.input(),
        output: method.output(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_path_stands_once_and_every_method_has_one() {
        let paths: BTreeSet<_> = bindings().iter().map(|binding| binding.path).collect();
        assert_eq!(paths.len(), PATHS.len());
        let bound: BTreeSet<_> = PATHS.iter().map(|(_, method)| (*method).to_owned()).collect();
        assert_eq!(bound.len(), 48);
        let pool = DescriptorPool::decode(drystone_api::FILE_DESCRIPTOR_SET).unwrap();
        let all: BTreeSet<String> = pool
            .services()
            .filter(|service| !service.full_name().starts_with("grpc."))
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .map(|method| format!("/{}/{}", method.parent_service().full_name(), method.name()))
            .collect();
        let missing: Vec<_> = all.difference(&bound).collect();
        assert_eq!(missing, ["/etcdserverpb.KV/RangeStream"], "the only one without a path");
    }

    #[test]
    fn four_methods_are_streams() {
        let streams: BTreeSet<_> =
            bindings().iter().filter(|b| b.answers_stream).map(|b| b.path).collect();
        let known = [
            "/v3/election/observe",
            "/v3/lease/keepalive",
            "/v3/maintenance/snapshot",
            "/v3/watch",
        ];
        assert_eq!(streams, BTreeSet::from(known));
        let both: Vec<_> = bindings().iter().filter(|b| b.requests_stream).collect();
        assert!(both.iter().all(|b| b.answers_stream) && both.len() == 2);
    }

    /// Go writes fields as they are declared, we as they are numbered.
    #[test]
    fn messages_are_declared_in_the_order_of_their_numbers() {
        fn walk(message: &MessageDescriptor, seen: &mut BTreeSet<String>) {
            if !seen.insert(message.full_name().to_owned()) {
                return;
            }
            let declared: Vec<_> =
                message.descriptor_proto().field.iter().map(|field| field.number()).collect();
            assert!(declared.is_sorted(), "{}: {declared:?}", message.full_name());
            for field in message.fields() {
                if let Some(inner) = field.kind().as_message() {
                    walk(inner, seen);
                }
            }
        }
        let mut seen = BTreeSet::new();
        for binding in bindings() {
            walk(&binding.output, &mut seen);
        }
        assert!(seen.len() > 50, "{seen:?}");
    }
}
