//! One `"Name" : value` a line.

use std::fmt::Display;

use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::response_op::Response;
use drystone_api::mvccpb::KeyValue;

use super::{Answer, Health, alarm_name, downgrade, lease_hex};
use crate::go;

pub(crate) fn render(answer: Answer<'_>, hex: bool) -> Vec<u8> {
    let mut fields = Fields { out: String::new(), hex };
    fields.answer(answer);
    fields.out.into_bytes()
}

struct Fields {
    out: String,
    hex: bool,
}

impl Fields {
    fn field(&mut self, name: &str, value: impl Display) {
        self.out.push_str(&format!("\"{name}\" : {value}\n"));
    }

    fn quoted(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.field(name, go::quote(value.as_ref()));
    }

    fn id(&mut self, name: &str, id: u64) {
        if self.hex { self.field(name, format!("{id:x}")) } else { self.field(name, id) }
    }

    fn lease(&mut self, name: &str, id: i64) {
        if self.hex { self.field(name, lease_hex(id)) } else { self.field(name, id) }
    }

    fn header(&mut self, header: &Option<pb::ResponseHeader>) {
        let header = header.unwrap_or_default();
        self.id("ClusterID", header.cluster_id);
        self.id("MemberID", header.member_id);
        // Calls that touch no key have no revision to tell.
        if header.revision != 0 {
            self.field("Revision", header.revision);
        }
        self.field("RaftTerm", header.raft_term);
    }

    fn pair(&mut self, prefix: &str, kv: &KeyValue) {
        self.quoted(&format!("{prefix}Key"), &kv.key);
        self.field(&format!("{prefix}CreateRevision"), kv.create_revision);
        self.field(&format!("{prefix}ModRevision"), kv.mod_revision);
        self.field(&format!("{prefix}Version"), kv.version);
        self.quoted(&format!("{prefix}Value"), &kv.value);
        self.lease(&format!("{prefix}Lease"), kv.lease);
    }

    fn pairs<'a>(&mut self, prefix: &str, kvs: impl IntoIterator<Item = &'a KeyValue>) {
        for kv in kvs {
            self.pair(prefix, kv);
        }
    }

    fn answer(&mut self, answer: Answer<'_>) {
        match answer {
            Answer::Put(response) => {
                self.header(&response.header);
                self.pairs("Prev", &response.prev_kv);
            }
            Answer::Get(response, _) => {
                self.header(&response.header);
                self.pairs("", &response.kvs);
                self.field("More", response.more);
                self.field("Count", response.count);
            }
            Answer::Del(response) => {
                self.header(&response.header);
                self.field("Deleted", response.deleted);
                self.pairs("Prev", &response.prev_kvs);
            }
            Answer::Txn(response) => self.txn(response),
            Answer::Watch(response) => {
                self.header(&response.header);
                for event in &response.events {
                    self.field("Type", event.r#type().as_str_name());
                    self.pairs("Prev", &event.prev_kv);
                    self.pairs("", &event.kv);
                }
            }
            Answer::LeaseGrant(response) => {
                self.header(&response.header);
                self.lease("ID", response.id);
                self.field("TTL", response.ttl);
            }
            Answer::LeaseRevoke(response, _) => self.header(&response.header),
            Answer::LeaseTimeToLive(response, _) => {
                self.header(&response.header);
                self.lease("ID", response.id);
                self.field("TTL", response.ttl);
                self.field("GrantedTTL", response.granted_ttl);
                for key in &response.keys {
                    self.quoted("Key", key);
                }
            }
            Answer::LeaseList(response) => {
                self.header(&response.header);
                for lease in &response.leases {
                    self.lease("ID", lease.id);
                }
            }
            Answer::LeaseKeepAlive(response) => {
                self.header(&response.header);
                self.lease("ID", response.id);
                self.field("TTL", response.ttl);
            }
            Answer::MemberList(response) => self.members(response),
            // Refused before anything is sent.
            Answer::MemberChange(_) | Answer::MoveLeader { .. } => {}
            Answer::Alarm(response) => {
                self.header(&response.header);
                for alarm in &response.alarms {
                    self.id("MemberID", alarm.member_id);
                    self.field("AlarmType", alarm_name(alarm));
                    self.out.push('\n');
                }
            }
            Answer::Changed(header, _) => self.header(header),
            Answer::RoleList(response) => {
                self.header(&response.header);
                let roles: Vec<String> =
                    response.roles.iter().map(|role| go::quote(role.as_bytes())).collect();
                self.field("Roles", roles.join(" "));
            }
            Answer::RoleGet(response, _) => {
                self.header(&response.header);
                for perm in &response.perm {
                    // Two blanks, as etcdctl prints them.
                    self.field("PermType", format!(" {}", perm.perm_type().as_str_name()));
                    self.quoted("Key", &perm.key);
                    self.quoted("RangeEnd", &perm.range_end);
                }
            }
            // Not offered in this format.
            Answer::AuthStatus(_) | Answer::UserGet(..) | Answer::UserList(_) => {}
            Answer::EndpointHealth(all) => all.iter().for_each(|health| self.health(health)),
            Answer::EndpointStatus(all) => {
                all.iter().for_each(|(endpoint, status)| self.status(endpoint, status));
            }
            Answer::EndpointHashKv(all) => {
                for (endpoint, hash) in all {
                    self.header(&hash.header);
                    self.quoted("Endpoint", endpoint);
                    self.field("Hash", hash.hash);
                    self.field("HashRevision", hash.hash_revision);
                    self.out.push('\n');
                }
            }
        }
    }

    fn txn(&mut self, txn: &pb::TxnResponse) {
        self.header(&txn.header);
        self.field("Succeeded", txn.succeeded);
        for response in &txn.responses {
            match &response.response {
                Some(Response::ResponsePut(put)) => self.answer(Answer::Put(put)),
                Some(Response::ResponseRange(range)) => {
                    self.answer(Answer::Get(range, super::GetStyle::default()));
                }
                Some(Response::ResponseDeleteRange(del)) => self.answer(Answer::Del(del)),
                Some(Response::ResponseTxn(txn)) => self.txn(txn),
                None => {}
            }
        }
    }

    fn members(&mut self, response: &pb::MemberListResponse) {
        self.header(&response.header);
        for member in &response.members {
            self.id("ID", member.id);
            self.quoted("Name", &member.name);
            for url in &member.peer_ur_ls {
                self.quoted("PeerURL", url);
            }
            for url in &member.client_ur_ls {
                self.quoted("ClientURL", url);
            }
            self.field("IsLearner", member.is_learner);
            self.out.push('\n');
        }
    }

    fn health(&mut self, health: &Health) {
        self.quoted("Endpoint", &health.endpoint);
        self.field("Health", health.healthy);
        self.field("Took", health.took.map_or(String::new(), go::format_duration));
        self.field("Error", &health.error);
        self.out.push('\n');
    }

    fn status(&mut self, endpoint: &str, status: &pb::StatusResponse) {
        let (target, enabled) = downgrade(status);
        // The raft term stands in the header; etcdctl 3.7.1 prints it twice.
        self.header(&status.header);
        self.quoted("Version", &status.version);
        self.quoted("StorageVersion", &status.storage_version);
        self.field("DBSize", status.db_size);
        self.field("DBSizeInUse", status.db_size_in_use);
        self.field("DBSizeQuota", status.db_size_quota);
        self.field("Leader", status.leader);
        self.field("IsLearner", status.is_learner);
        self.field("RaftIndex", status.raft_index);
        self.field("RaftAppliedIndex", status.raft_applied_index);
        self.field("Errors", format!("[{}]", status.errors.join(" ")));
        self.quoted("Endpoint", endpoint);
        self.quoted("DowngradeTargetVersion", target);
        self.field("DowngradeEnabled", enabled);
        self.out.push('\n');
    }
}
