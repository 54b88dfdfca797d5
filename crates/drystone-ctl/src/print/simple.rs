//! The format for people, and for scripts that count lines.

use std::io::Write as _;

use drystone_api::authpb::{Permission, permission};
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::response_op::Response;
use drystone_api::mvccpb::{Event, KeyValue};

use super::{Answer, GetStyle, Health, KeysAsked, MemberChange, alarm_name, lease_hex, rows};
use crate::commands::prefix_end;
use crate::go;

pub(crate) fn render(answer: Answer<'_>, hex: bool) -> Vec<u8> {
    let mut out = Simple { out: Vec::new(), hex };
    out.answer(answer);
    out.out
}

struct Simple {
    out: Vec<u8>,
    hex: bool,
}

impl Simple {
    fn line(&mut self, text: impl AsRef<[u8]>) {
        self.out.extend_from_slice(text.as_ref());
        self.out.push(b'\n');
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if self.hex {
            for byte in bytes {
                // Writing to a vector cannot fail.
                let _ = write!(self.out, "\\x{byte:02x}");
            }
            self.out.push(b'\n');
        } else {
            self.line(bytes);
        }
    }

    fn pair(&mut self, kv: &KeyValue, style: GetStyle) {
        if !style.value_only {
            self.bytes(&kv.key);
        }
        self.bytes(&kv.value);
    }

    fn pairs<'a>(&mut self, kvs: impl IntoIterator<Item = &'a KeyValue>) {
        for kv in kvs {
            self.pair(kv, GetStyle::default());
        }
    }

    fn answer(&mut self, answer: Answer<'_>) {
        match answer {
            Answer::Put(response) => {
                self.line("OK");
                self.pairs(&response.prev_kv);
            }
            Answer::Get(response, style) => {
                for kv in &response.kvs {
                    self.pair(kv, style);
                }
            }
            Answer::Del(response) => {
                self.line(response.deleted.to_string());
                self.pairs(&response.prev_kvs);
            }
            Answer::Txn(response) => self.txn(response),
            Answer::Watch(response) => {
                for event in &response.events {
                    self.event(event);
                }
            }
            Answer::LeaseGrant(response) => {
                let id = lease_hex(response.id);
                self.line(format!("lease {id} granted with TTL({}s)", response.ttl));
            }
            Answer::LeaseRevoke(_, id) => self.line(format!("lease {} revoked", lease_hex(id))),
            Answer::LeaseTimeToLive(response, asked) => self.time_to_live(response, asked),
            Answer::LeaseList(response) => {
                self.line(format!("found {} leases", response.leases.len()));
                for lease in &response.leases {
                    self.line(lease_hex(lease.id));
                }
            }
            Answer::LeaseKeepAlive(response) => {
                let id = lease_hex(response.id);
                self.line(format!("lease {id} keepalived with TTL({})", response.ttl));
            }
            Answer::Alarm(response) => {
                for alarm in &response.alarms {
                    let (member, name) = (alarm.member_id, alarm_name(alarm));
                    self.line(format!("memberID:{member} alarm:{name}"));
                }
            }
            Answer::AuthStatus(response) => {
                self.line(format!("Authentication Status: {}", response.enabled));
                self.line(format!("AuthRevision: {}", response.auth_revision));
            }
            Answer::Changed(_, said) => self.line(said),
            Answer::UserGet(response, name) => {
                self.line(format!("User: {name}"));
                let roles = response.roles.iter().map(|role| format!(" {role}"));
                self.line(format!("Roles:{}", roles.collect::<String>()));
            }
            Answer::UserList(response) => {
                for user in &response.users {
                    self.line(user);
                }
            }
            Answer::RoleList(response) => {
                for role in &response.roles {
                    self.line(role);
                }
            }
            Answer::RoleGet(response, role) => self.role(response, role),
            Answer::EndpointHealth(all) => {
                for health in all {
                    self.line(health_line(health));
                }
            }
            Answer::MemberChange(change) => self.member_change(change),
            Answer::MoveLeader { from, to } => {
                self.line(format!("Leadership transferred from {from:x} to {to:x}"));
            }
            Answer::MemberList(_) | Answer::EndpointStatus(_) | Answer::EndpointHashKv(_) => {
                for row in rows(answer).1 {
                    self.line(row.join(", "));
                }
            }
        }
    }

    fn role(&mut self, response: &pb::AuthRoleGetResponse, role: &str) {
        use permission::Type;
        self.line(format!("Role {role}"));
        for (title, kind) in [("KV Read:", Type::Read), ("KV Write:", Type::Write)] {
            self.line(title);
            if role == "root" && response.perm.is_empty() {
                self.line("\t[, <open ended>");
            }
            for perm in &response.perm {
                if [kind, Type::Readwrite].contains(&perm.perm_type()) {
                    self.permission(perm);
                }
            }
        }
    }

    /// The missing bracket of an open end is etcdctl's.
    fn permission(&mut self, perm: &Permission) {
        let (key, end) = (perm.key.as_ref(), perm.range_end.as_ref());
        let line = match end {
            b"" => [b"\t", key].concat(),
            b"\0" => [b"\t[", key, b", <open ended>"].concat(),
            end => {
                let whole = prefix_end(key) == end;
                let prefix: &[u8] = if whole { &[b" (prefix ", key, b")"].concat() } else { b"" };
                [b"\t[", key, b", ", end, b")", prefix].concat()
            }
        };
        self.line(line);
    }

    fn member_change(&mut self, change: MemberChange<'_>) {
        let cluster = change.header.map_or(0, |header| header.cluster_id);
        self.line(format!("Member {:x} {} cluster {cluster:x}", change.id, change.done));
        let Some((member, name)) = change.added else { return };
        let of = |other: &pb::Member| {
            let name = if other.id == member.id { name } else { other.name.as_str() };
            let urls = other.peer_ur_ls.iter().map(|url| format!("{name}={url}"));
            urls.collect::<Vec<_>>()
        };
        let initial: Vec<String> = change.members.iter().flat_map(of).collect();
        self.line("");
        for (variable, value) in [
            ("ETCD_NAME", name),
            ("ETCD_INITIAL_CLUSTER", initial.join(",").as_str()),
            ("ETCD_INITIAL_ADVERTISE_PEER_URLS", member.peer_ur_ls.join(",").as_str()),
            ("ETCD_INITIAL_CLUSTER_STATE", "existing"),
        ] {
            self.line(format!("{variable}={}", go::quote(value.as_bytes())));
        }
    }

    fn txn(&mut self, txn: &pb::TxnResponse) {
        self.line(if txn.succeeded { "SUCCESS" } else { "FAILURE" });
        for response in &txn.responses {
            self.line("");
            match &response.response {
                Some(Response::ResponsePut(put)) => self.answer(Answer::Put(put)),
                Some(Response::ResponseRange(range)) => {
                    self.answer(Answer::Get(range, GetStyle::default()));
                }
                Some(Response::ResponseDeleteRange(del)) => self.answer(Answer::Del(del)),
                Some(Response::ResponseTxn(txn)) => self.txn(txn),
                None => {}
            }
        }
    }

    fn event(&mut self, event: &Event) {
        self.line(event.r#type().as_str_name());
        self.pairs(&event.prev_kv);
        self.pairs(&event.kv);
    }

    fn time_to_live(&mut self, response: &pb::LeaseTimeToLiveResponse, asked: KeysAsked) {
        let id = lease_hex(response.id);
        if response.granted_ttl == 0 && response.ttl == -1 {
            return self.line(format!("lease {id} already expired"));
        }
        let mut line = format!(
            "lease {id} granted with TTL({}s), remaining({}s)",
            response.granted_ttl, response.ttl
        )
        .into_bytes();
        if asked.0 {
            line.extend_from_slice(b", attached keys([");
            line.extend_from_slice(&response.keys.join(&b' '));
            line.extend_from_slice(b"])");
        }
        self.line(line);
    }
}

/// What `endpoint health` says about one server; for unhealthy ones it goes to standard error.
pub(crate) fn health_line(health: &Health) -> String {
    let Health { endpoint, healthy, took, error } = health;
    match healthy {
        true => {
            let took = go::format_duration(took.unwrap_or_default());
            format!("{endpoint} is healthy: successfully committed proposal: took = {took}")
        }
        false => format!("{endpoint} is unhealthy: failed to commit proposal: {error}"),
    }
}
