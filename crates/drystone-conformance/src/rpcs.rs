//! Every call of etcd's API, and whether a server has it: found out by calling.

use bytes::Bytes;
use drystone_client::Client;
use std::time::Duration;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

/// How long a call may take to say that it does not exist.
const ANSWER: Duration = Duration::from_secs(1);

/// Package and service, and its methods. Those that could cost a member its quorum come last.
const METHODS: &[(&str, &[&str])] = &[
    ("etcdserverpb.KV", &["Range", "RangeStream", "Put", "DeleteRange", "Txn", "Compact"]),
    ("etcdserverpb.Watch", &["Watch"]),
    (
        "etcdserverpb.Lease",
        &["LeaseGrant", "LeaseRevoke", "LeaseKeepAlive", "LeaseTimeToLive", "LeaseLeases"],
    ),
    (
        "etcdserverpb.Maintenance",
        &["Alarm", "Status", "Defragment", "Hash", "HashKV", "Snapshot", "MoveLeader", "Downgrade"],
    ),
    (
        "etcdserverpb.Auth",
        &[
            "AuthEnable",
            "AuthDisable",
            "AuthStatus",
            "Authenticate",
            "UserAdd",
            "UserGet",
            "UserList",
            "UserDelete",
            "UserChangePassword",
            "UserGrantRole",
            "UserRevokeRole",
            "RoleAdd",
            "RoleGet",
            "RoleList",
            "RoleDelete",
            "RoleGrantPermission",
            "RoleRevokePermission",
        ],
    ),
    ("v3lockpb.Lock", &["Lock", "Unlock"]),
    ("v3electionpb.Election", &["Campaign", "Proclaim", "Leader", "Observe", "Resign"]),
    ("grpc.health.v1.Health", &["Check", "Watch", "List"]),
    (
        "etcdserverpb.Cluster",
        &["MemberList", "MemberRemove", "MemberUpdate", "MemberPromote", "MemberAdd"],
    ),
];

/// Whether a server has a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It answered, refused the empty request, or waits for more of it.
    There,
    /// It answered `UNIMPLEMENTED`.
    Absent,
    /// It could not be asked.
    Silent,
}

/// `package.Service/Method` of every call.
pub fn names() -> Vec<String> {
    let names = METHODS.iter().flat_map(|(service, methods)| {
        methods.iter().map(move |method| format!("{service}/{method}"))
    });
    names.collect()
}

/// Makes every call with an empty request, on a member that may be thrown away afterwards.
pub async fn presence(client: &Client) -> Vec<(String, Presence)> {
    let mut found = Vec::new();
    for name in names() {
        let presence = call(client, &name).await;
        found.push((name, presence));
    }
    found
}

async fn call(client: &Client, name: &str) -> Presence {
    let Ok(path) = PathAndQuery::try_from(format!("/{name}")) else { return Presence::Silent };
    let call = async {
        let mut grpc = tonic::client::Grpc::new(client.transport());
        // Any message will do for an empty request; the answer is not looked at.
        let codec = ProstCodec::<drystone_api::etcdserverpb::StatusRequest, Blank>::default();
        let request = Request::new(drystone_api::etcdserverpb::StatusRequest::default());
        let mut answers = match grpc.server_streaming(request, path, codec).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => return status.code(),
        };
        match answers.message().await {
            Ok(_) => Code::Ok,
            Err(status) => status.code(),
        }
    };
    match tokio::time::timeout(ANSWER, call).await {
        Ok(Code::Unimplemented) => Presence::Absent,
        Ok(Code::Unavailable) => Presence::Silent,
        Ok(_) | Err(_) => Presence::There,
    }
}

/// A message that takes whatever comes.
#[derive(Clone, PartialEq, prost::Message)]
struct Blank {
    #[prost(bytes = "bytes", optional, tag = "536870911")]
    never: Option<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    #[test]
    fn a_blank_takes_any_message() {
        let put = drystone_api::etcdserverpb::PutRequest { key: "a".into(), ..Default::default() };
        assert_eq!(Blank::decode(put.encode_to_vec().as_slice()).unwrap(), Blank::default());
    }

    #[test]
    fn every_method_of_the_api_is_named_once() {
        let mut names = names();
        assert_eq!(names.len(), 52);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 52);
    }
}
