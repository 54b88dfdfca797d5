//! Responses as text, in each of etcdctl's formats. Everything here is a function from a
//! response to bytes.

mod fields;
mod json;
mod simple;
mod table;
mod units;

pub(crate) use simple::health_line;

#[cfg(test)]
mod tests;

use std::time::Duration;

use drystone_api::etcdserverpb as pb;
use prost::Message as _;

use crate::exit::Failure;

/// How responses are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Simple,
    Json,
    Fields,
    Table,
    Protobuf,
}

impl Format {
    pub(crate) fn parse(text: &str) -> Result<Format, Failure> {
        match text {
            "simple" => Ok(Format::Simple),
            "json" => Ok(Format::Json),
            "fields" => Ok(Format::Fields),
            "table" => Ok(Format::Table),
            "protobuf" => Ok(Format::Protobuf),
            _ => Err(Failure::feature("unsupported output format")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Format::Simple => "simple",
            Format::Json => "json",
            Format::Fields => "fields",
            Format::Table => "table",
            Format::Protobuf => "protobuf",
        }
    }
}

/// A response with what its printing depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer<'a> {
    Put(&'a pb::PutResponse),
    Get(&'a pb::RangeResponse, GetStyle),
    Del(&'a pb::DeleteRangeResponse),
    Txn(&'a pb::TxnResponse),
    Watch(&'a pb::WatchResponse),
    LeaseGrant(&'a pb::LeaseGrantResponse),
    LeaseRevoke(&'a pb::LeaseRevokeResponse, i64),
    LeaseTimeToLive(&'a pb::LeaseTimeToLiveResponse, KeysAsked),
    LeaseList(&'a pb::LeaseLeasesResponse),
    LeaseKeepAlive(&'a pb::LeaseKeepAliveResponse),
    MemberList(&'a pb::MemberListResponse),
    MemberChange(MemberChange<'a>),
    MoveLeader {
        from: u64,
        to: u64,
    },
    Alarm(&'a pb::AlarmResponse),
    AuthStatus(&'a pb::AuthStatusResponse),
    /// A change of users or roles, and the line that says what was done.
    Changed(&'a Option<pb::ResponseHeader>, &'a str),
    UserGet(&'a pb::AuthUserGetResponse, &'a str),
    UserList(&'a pb::AuthUserListResponse),
    RoleGet(&'a pb::AuthRoleGetResponse, &'a str),
    RoleList(&'a pb::AuthRoleListResponse),
    EndpointStatus(&'a [(String, pb::StatusResponse)]),
    EndpointHashKv(&'a [(String, pb::HashKvResponse)]),
    EndpointHealth(&'a [Health]),
}

/// A change of membership that was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemberChange<'a> {
    pub(crate) header: Option<pb::ResponseHeader>,
    /// Whom it is about.
    pub(crate) id: u64,
    /// What was done, with the preposition that `cluster` needs.
    pub(crate) done: &'static str,
    /// The member that was added, and what its operator calls it.
    pub(crate) added: Option<(&'a pb::Member, &'a str)>,
    /// Everybody, afterwards.
    pub(crate) members: &'a [pb::Member],
}

/// What of a pair is printed in the simple format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GetStyle {
    pub(crate) value_only: bool,
}

/// Whether `--keys` was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeysAsked(pub(crate) bool);

/// How one server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) endpoint: String,
    pub(crate) healthy: bool,
    /// `None` if no client could be made.
    pub(crate) took: Option<Duration>,
    pub(crate) error: String,
}

/// A format, and whether ids and bytes are shown in hexadecimal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    pub(crate) format: Format,
    pub(crate) hex: bool,
}

impl Printer {
    /// Refuses formats outside `offered`, before anything is sent.
    pub(crate) fn check(self, offered: &[Format]) -> Result<(), Failure> {
        if offered.contains(&self.format) {
            return Ok(());
        }
        Err(Failure::feature(format!("{} not supported as output format", self.format.name())))
    }

    /// The bytes to print.
    pub(crate) fn render(self, answer: Answer<'_>) -> Vec<u8> {
        match self.format {
            Format::Simple => simple::render(answer, self.hex),
            Format::Json => json::render(answer, self.hex).into_bytes(),
            Format::Fields => fields::render(answer, self.hex),
            Format::Table => table::render(answer).into_bytes(),
            Format::Protobuf => protobuf(answer),
        }
    }
}

/// Formats of commands that answer with one message of the wire.
pub(crate) const RPC: &[Format] = &[Format::Simple, Format::Json, Format::Fields, Format::Protobuf];
/// Formats of changes of membership.
pub(crate) const CHANGES: &[Format] = &[Format::Simple, Format::Json, Format::Protobuf];
/// Formats of `auth status`.
pub(crate) const STATUS: &[Format] = CHANGES;
/// Formats of `user get` and `user list`.
pub(crate) const NAMES: &[Format] = STATUS;
/// Formats of `member list`.
pub(crate) const MEMBERS: &[Format] =
    &[Format::Simple, Format::Json, Format::Fields, Format::Table, Format::Protobuf];
/// Formats of commands that ask each server.
pub(crate) const ENDPOINTS: &[Format] =
    &[Format::Simple, Format::Json, Format::Fields, Format::Table];
/// Formats of commands that print the same text whatever is asked for.
pub(crate) const ANY: &[Format] = MEMBERS;

/// The message as it was on the wire: no length before it, no newline after it.
fn protobuf(answer: Answer<'_>) -> Vec<u8> {
    match answer {
        Answer::Put(response) => response.encode_to_vec(),
        Answer::Get(response, _) => response.encode_to_vec(),
        Answer::Del(response) => response.encode_to_vec(),
        Answer::Txn(response) => response.encode_to_vec(),
        Answer::Watch(response) => response.encode_to_vec(),
        Answer::LeaseGrant(response) => response.encode_to_vec(),
        Answer::LeaseRevoke(response, _) => response.encode_to_vec(),
        Answer::LeaseTimeToLive(response, _) => response.encode_to_vec(),
        Answer::LeaseList(response) => response.encode_to_vec(),
        Answer::LeaseKeepAlive(response) => response.encode_to_vec(),
        Answer::MemberList(response) => response.encode_to_vec(),
        Answer::MemberChange(MemberChange { header, added, members, .. }) => {
            let members = members.to_vec();
            match added {
                Some((member, _)) => {
                    let member = Some(member.clone());
                    pb::MemberAddResponse { header, member, members }.encode_to_vec()
                }
                None => pb::MemberRemoveResponse { header, members }.encode_to_vec(),
            }
        }
        Answer::MoveLeader { .. } => pb::MoveLeaderResponse::default().encode_to_vec(),
        Answer::Alarm(response) => response.encode_to_vec(),
        Answer::AuthStatus(response) => response.encode_to_vec(),
        // All these responses have a header only, under the same number.
        Answer::Changed(header, _) => pb::AuthUserAddResponse { header: *header }.encode_to_vec(),
        Answer::UserGet(response, _) => response.encode_to_vec(),
        Answer::UserList(response) => response.encode_to_vec(),
        Answer::RoleGet(response, _) => response.encode_to_vec(),
        Answer::RoleList(response) => response.encode_to_vec(),
        Answer::EndpointStatus(_) | Answer::EndpointHashKv(_) | Answer::EndpointHealth(_) => {
            Vec::new()
        }
    }
}

/// A lease id as Go's `%016x` prints it: the sign counts towards the width.
fn lease_hex(id: i64) -> String {
    if id < 0 { format!("-{:015x}", id.unsigned_abs()) } else { format!("{id:016x}") }
}

/// The column `errors` and others of `endpoint status`.
fn downgrade(status: &pb::StatusResponse) -> (&str, bool) {
    status
        .downgrade_info
        .as_ref()
        .map_or(("", false), |info| (info.target_version.as_str(), info.enabled))
}

/// The kind of an alarm as etcdctl prints it.
pub(crate) fn alarm_name(alarm: &pb::AlarmMember) -> &'static str {
    match alarm.alarm() {
        pb::AlarmType::Nospace => "NOSPACE",
        pb::AlarmType::Corrupt => "CORRUPT",
        pb::AlarmType::None => "UNKNOWN",
    }
}

fn member_started(member: &pb::Member) -> &'static str {
    if member.name.is_empty() { "unstarted" } else { "started" }
}

/// Titles and rows of the tables, which the simple format prints without titles.
fn rows(answer: Answer<'_>) -> (Vec<&'static str>, Vec<Vec<String>>) {
    match answer {
        Answer::MemberList(response) => {
            let row = |member: &pb::Member| {
                vec![
                    format!("{:x}", member.id),
                    member_started(member).to_owned(),
                    member.name.clone(),
                    member.peer_ur_ls.join(","),
                    member.client_ur_ls.join(","),
                    member.is_learner.to_string(),
                ]
            };
            let titles = ["ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner"];
            (titles.to_vec(), response.members.iter().map(row).collect())
        }
        Answer::EndpointHealth(all) => {
            let row = |health: &Health| {
                vec![
                    health.endpoint.clone(),
                    health.healthy.to_string(),
                    health.took.map_or(String::new(), crate::go::format_duration),
                    health.error.clone(),
                ]
            };
            (["endpoint", "health", "took", "error"].to_vec(), all.iter().map(row).collect())
        }
        Answer::EndpointStatus(all) => {
            (STATUS_TITLES.to_vec(), all.iter().map(status_row).collect())
        }
        Answer::EndpointHashKv(all) => {
            let row = |(endpoint, hash): &(String, pb::HashKvResponse)| {
                vec![endpoint.clone(), hash.hash.to_string(), hash.hash_revision.to_string()]
            };
            (["endpoint", "hash", "hash_revision"].to_vec(), all.iter().map(row).collect())
        }
        _ => (Vec::new(), Vec::new()),
    }
}

const STATUS_TITLES: [&str; 16] = [
    "endpoint",
    "ID",
    "version",
    "storage version",
    "db size",
    "in use",
    "percentage not in use",
    "quota",
    "is leader",
    "is learner",
    "raft term",
    "raft index",
    "raft applied index",
    "errors",
    "downgrade target version",
    "downgrade enabled",
];

fn status_row((endpoint, status): &(String, pb::StatusResponse)) -> Vec<String> {
    let member = status.header.as_ref().map_or(0, |header| header.member_id);
    let (target, enabled) = downgrade(status);
    vec![
        endpoint.clone(),
        format!("{member:x}"),
        status.version.clone(),
        status.storage_version.clone(),
        units::bytes(status.db_size),
        units::bytes(status.db_size_in_use),
        format!("{}%", units::percent_free(status.db_size, status.db_size_in_use)),
        units::bytes(status.db_size_quota),
        (status.leader == member).to_string(),
        status.is_learner.to_string(),
        status.raft_term.to_string(),
        status.raft_index.to_string(),
        status.raft_applied_index.to_string(),
        status.errors.join(", "),
        target.to_owned(),
        enabled.to_string(),
    ]
}
