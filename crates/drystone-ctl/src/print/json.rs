//! JSON as Go's `encoding/json` writes etcd's structs: compact, in the order of their fields,
//! without what is zero, numbers as numbers, bytes in base64.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::response_op::Response;
use drystone_api::mvccpb::{Event, KeyValue};

use super::{Answer, Health};
use crate::go;

pub(crate) fn render(answer: Answer<'_>, hex: bool) -> String {
    let mut out = String::new();
    write_answer(&mut out, answer, hex);
    out.push('\n');
    out
}

/// An object being written. Methods that begin with `all_` write zeros too.
struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

fn object(out: &mut String, fill: impl FnOnce(&mut Object<'_>)) {
    out.push('{');
    fill(&mut Object { out, empty: true });
    out.push('}');
}

fn array<T>(out: &mut String, items: impl IntoIterator<Item = T>, each: impl Fn(&mut String, T)) {
    out.push('[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        each(out, item);
    }
    out.push(']');
}

impl Object<'_> {
    fn name(&mut self, name: &str) -> &mut String {
        if !std::mem::take(&mut self.empty) {
            self.out.push(',');
        }
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str("\":");
        self.out
    }

    fn all_num(&mut self, name: &str, value: impl Into<i128>) {
        let value = value.into();
        // Writing to a string cannot fail.
        let _ = write!(self.name(name), "{value}");
    }

    fn num(&mut self, name: &str, value: impl Into<i128>) {
        let value = value.into();
        if value != 0 {
            self.all_num(name, value);
        }
    }

    fn all_bool(&mut self, name: &str, value: bool) {
        self.name(name).push_str(if value { "true" } else { "false" });
    }

    fn bool(&mut self, name: &str, value: bool) {
        if value {
            self.all_bool(name, value);
        }
    }

    fn all_text(&mut self, name: &str, value: &str) {
        text(self.name(name), value);
    }

    fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.all_text(name, value);
        }
    }

    fn bytes(&mut self, name: &str, value: &[u8]) {
        if !value.is_empty() {
            base64(self.name(name), value);
        }
    }

    fn texts(&mut self, name: &str, values: &[String]) {
        self.list(name, values, |out, value| text(out, value));
    }

    fn list<'v, T>(&mut self, name: &str, values: &'v [T], each: impl Fn(&mut String, &'v T)) {
        if !values.is_empty() {
            array(self.name(name), values, each);
        }
    }

    fn some<T>(&mut self, name: &str, value: &Option<T>, write: impl FnOnce(&mut String, &T)) {
        if let Some(value) = value {
            write(self.name(name), value);
        }
    }
}

/// A string with what Go escapes for the sake of HTML escaped too.
fn text(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{0}'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            '\u{fffd}' => out.push_str("\\ufffd"),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn base64(out: &mut String, value: &[u8]) {
    out.push('"');
    STANDARD.encode_string(value, out);
    out.push('"');
}

fn header_fields(o: &mut Object<'_>, header: &pb::ResponseHeader) {
    o.num("cluster_id", header.cluster_id);
    o.num("member_id", header.member_id);
    o.num("revision", header.revision);
    o.num("raft_term", header.raft_term);
}

fn header(out: &mut String, header: &pb::ResponseHeader) {
    object(out, |o| header_fields(o, header));
}

fn pair(out: &mut String, kv: &KeyValue) {
    object(out, |o| {
        o.bytes("key", &kv.key);
        o.num("create_revision", kv.create_revision);
        o.num("mod_revision", kv.mod_revision);
        o.num("version", kv.version);
        o.bytes("value", &kv.value);
        o.num("lease", kv.lease);
    });
}

fn write_answer(out: &mut String, answer: Answer<'_>, hex: bool) {
    match answer {
        Answer::Put(response) => put(out, response),
        Answer::Get(response, _) => range(out, response),
        Answer::Del(response) => delete_range(out, response),
        Answer::Txn(response) => txn(out, response),
        Answer::Watch(response) => watch(out, response),
        Answer::LeaseGrant(response) => object(out, |o| {
            header_fields(o, &response.header.unwrap_or_default());
            o.all_num("ID", response.id);
            o.all_num("TTL", response.ttl);
            o.all_text("Error", &response.error);
        }),
        Answer::LeaseRevoke(response, _) => {
            object(out, |o| o.some("header", &response.header, header));
        }
        Answer::LeaseTimeToLive(response, _) => object(out, |o| {
            header_fields(o, &response.header.unwrap_or_default());
            o.all_num("id", response.id);
            o.all_num("ttl", response.ttl);
            o.all_num("granted-ttl", response.granted_ttl);
            match response.keys.is_empty() {
                true => o.name("keys").push_str("null"),
                false => array(o.name("keys"), &response.keys, |out, key| base64(out, key)),
            }
        }),
        Answer::LeaseList(response) => object(out, |o| {
            header_fields(o, &response.header.unwrap_or_default());
            array(o.name("leases"), &response.leases, |out, lease| {
                object(out, |o| o.all_num("id", lease.id));
            });
        }),
        Answer::LeaseKeepAlive(response) => object(out, |o| {
            header_fields(o, &response.header.unwrap_or_default());
            o.all_num("ID", response.id);
            o.all_num("TTL", response.ttl);
        }),
        Answer::Alarm(response) => object(out, |o| {
            o.some("header", &response.header, header);
            if !response.alarms.is_empty() {
                array(o.name("alarms"), &response.alarms, |out, alarm| {
                    object(out, |o| {
                        o.num("memberID", alarm.member_id);
                        o.num("alarm", alarm.alarm);
                    });
                });
            }
        }),
        Answer::AuthStatus(response) => object(out, |o| {
            o.some("header", &response.header, header);
            o.bool("enabled", response.enabled);
            o.num("authRevision", response.auth_revision);
        }),
        Answer::Changed(head, _) => object(out, |o| o.some("header", head, header)),
        Answer::UserGet(response, _) => object(out, |o| {
            o.some("header", &response.header, header);
            o.texts("roles", &response.roles);
        }),
        Answer::UserList(response) => object(out, |o| {
            o.some("header", &response.header, header);
            o.texts("users", &response.users);
        }),
        Answer::RoleList(response) => object(out, |o| {
            o.some("header", &response.header, header);
            o.texts("roles", &response.roles);
        }),
        Answer::RoleGet(response, _) => object(out, |o| {
            o.some("header", &response.header, header);
            o.list("perm", &response.perm, |out, perm| {
                object(out, |o| {
                    o.num("permType", perm.perm_type);
                    o.bytes("key", &perm.key);
                    o.bytes("range_end", &perm.range_end);
                });
            });
        }),
        Answer::MemberList(response) if hex => {
            members_hex(out, response.header, None, &response.members);
        }
        Answer::MemberChange(change) if hex => {
            let added = change.added.map(|(member, _)| member);
            members_hex(out, change.header, added, change.members);
        }
        Answer::MemberChange(change) => object(out, |o| {
            o.some("header", &change.header, header);
            if let Some((added, _)) = change.added {
                member(o.name("member"), added, |o| o.num("ID", added.id));
            }
            o.list("members", change.members, |out, m| member(out, m, |o| o.num("ID", m.id)));
        }),
        Answer::MoveLeader { .. } => object(out, |_| {}),
        Answer::MemberList(response) => object(out, |o| {
            o.some("header", &response.header, header);
            o.list("members", &response.members, |out, m| member(out, m, |o| o.num("ID", m.id)));
        }),
        Answer::EndpointHealth(all) => array(out, all, health),
        Answer::EndpointStatus([]) | Answer::EndpointHashKv([]) => out.push_str("null"),
        Answer::EndpointStatus(all) => array(out, all, |out, (endpoint, response)| {
            object(out, |o| {
                o.all_text("Endpoint", endpoint);
                status(o.name("Status"), response);
            });
        }),
        Answer::EndpointHashKv(all) => array(out, all, |out, (endpoint, response)| {
            object(out, |o| {
                o.all_text("Endpoint", endpoint);
                hash_kv(o.name("HashKV"), response);
            });
        }),
    }
}

fn put(out: &mut String, response: &pb::PutResponse) {
    object(out, |o| {
        o.some("header", &response.header, header);
        o.some("prev_kv", &response.prev_kv, pair);
    });
}

fn range(out: &mut String, response: &pb::RangeResponse) {
    object(out, |o| {
        o.some("header", &response.header, header);
        o.list("kvs", &response.kvs, pair);
        o.bool("more", response.more);
        o.num("count", response.count);
    });
}

fn delete_range(out: &mut String, response: &pb::DeleteRangeResponse) {
    object(out, |o| {
        o.some("header", &response.header, header);
        o.num("deleted", response.deleted);
        o.list("prev_kvs", &response.prev_kvs, pair);
    });
}

fn txn(out: &mut String, response: &pb::TxnResponse) {
    object(out, |o| {
        o.some("header", &response.header, header);
        o.bool("succeeded", response.succeeded);
        o.list("responses", &response.responses, |out, op| {
            object(out, |o| o.some("Response", &op.response, operation));
        });
    });
}

fn operation(out: &mut String, response: &Response) {
    object(out, |o| match response {
        Response::ResponseRange(response) => range(o.name("response_range"), response),
        Response::ResponsePut(response) => put(o.name("response_put"), response),
        Response::ResponseDeleteRange(response) => {
            delete_range(o.name("response_delete_range"), response);
        }
        Response::ResponseTxn(response) => txn(o.name("response_txn"), response),
    });
}

/// The client's own struct, of which Go leaves nothing out.
fn watch(out: &mut String, response: &pb::WatchResponse) {
    object(out, |o| {
        header(o.name("Header"), &response.header.unwrap_or_default());
        match response.events.is_empty() {
            true => o.name("Events").push_str("null"),
            false => array(o.name("Events"), &response.events, event),
        }
        o.all_num("CompactRevision", response.compact_revision);
        o.all_bool("Canceled", response.canceled);
        o.all_bool("Created", response.created);
        o.all_text("CancelReason", &response.cancel_reason);
    });
}

fn event(out: &mut String, event: &Event) {
    object(out, |o| {
        o.num("type", event.r#type);
        o.some("kv", &event.kv, pair);
        o.some("prev_kv", &event.prev_kv, pair);
    });
}

fn member(out: &mut String, member: &pb::Member, id: impl FnOnce(&mut Object<'_>)) {
    object(out, |o| {
        id(o);
        o.text("name", &member.name);
        o.texts("peerURLs", &member.peer_ur_ls);
        o.texts("clientURLs", &member.client_ur_ls);
        o.bool("isLearner", member.is_learner);
    });
}

/// With ids as strings, so that tools whose numbers are floats do not round them.
fn members_hex(
    out: &mut String,
    header: Option<pb::ResponseHeader>,
    added: Option<&pb::Member>,
    members: &[pb::Member],
) {
    object(out, |o| {
        let header = header.unwrap_or_default();
        object(o.name("header"), |o| {
            o.all_text("cluster_id", &format!("{:x}", header.cluster_id));
            o.all_text("member_id", &format!("{:x}", header.member_id));
            o.num("revision", header.revision);
            o.num("raft_term", header.raft_term);
        });
        if let Some(added) = added {
            let id = format!("{:x}", added.id);
            member(o.name("member"), added, |o| o.all_text("ID", &id));
        }
        array(o.name("members"), members, |out, m| {
            member(out, m, |o| o.all_text("ID", &format!("{:x}", m.id)));
        });
    });
}

fn health(out: &mut String, health: &Health) {
    object(out, |o| {
        o.all_text("endpoint", &health.endpoint);
        o.all_bool("health", health.healthy);
        o.all_text("took", &health.took.map_or(String::new(), go::format_duration));
        o.text("error", &health.error);
    });
}

fn status(out: &mut String, status: &pb::StatusResponse) {
    object(out, |o| {
        o.some("header", &status.header, header);
        o.text("version", &status.version);
        o.num("dbSize", status.db_size);
        o.num("leader", status.leader);
        o.num("raftIndex", status.raft_index);
        o.num("raftTerm", status.raft_term);
        o.num("raftAppliedIndex", status.raft_applied_index);
        o.texts("errors", &status.errors);
        o.num("dbSizeInUse", status.db_size_in_use);
        o.bool("isLearner", status.is_learner);
        o.text("storageVersion", &status.storage_version);
        o.num("dbSizeQuota", status.db_size_quota);
        o.some("downgradeInfo", &status.downgrade_info, |out, info| {
            object(out, |o| {
                o.bool("enabled", info.enabled);
                o.text("targetVersion", &info.target_version);
            });
        });
    });
}

fn hash_kv(out: &mut String, response: &pb::HashKvResponse) {
    object(out, |o| {
        o.some("header", &response.header, header);
        o.num("hash", response.hash);
        o.num("compact_revision", response.compact_revision);
        o.num("hash_revision", response.hash_revision);
    });
}
