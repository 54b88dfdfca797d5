//! From a plan's operations to etcd's requests.

use crate::plan::{Compare, CompareTarget, Keys, Op, Put, Range, Rev, Txn, TxnOp, Watch};
use bytes::Bytes;
use drystone_api::etcdserverpb::{
    self as etcd, compare::TargetUnion, request_op::Request as OpRequest,
    watch_create_request::FilterType,
};
use drystone_judge::Request;

/// What a client has seen, on which its relative revisions stand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// The newest revision in any header.
    pub(crate) revision: i64,
    /// The newest revision that it asked to compact at.
    pub(crate) compacted: i64,
    /// The newest event on the stream that is asked.
    pub(crate) heard: i64,
}

impl Seen {
    fn resolve(&self, rev: Rev) -> i64 {
        match rev {
            Rev::Now => 0,
            Rev::Back(n) => (self.revision - n).max(1),
            Rev::Ahead(n) => self.revision + n,
            Rev::Compacted(n) => (self.compacted + n).max(1),
            Rev::At(n) => n,
            Rev::Resume => self.heard + 1,
        }
    }
}

/// The bytes of a key's name.
pub(crate) fn key(number: u16) -> Bytes {
    format!("k/{number:03}").into()
}

pub(crate) fn bounds(keys: &Keys) -> (Bytes, Bytes) {
    match keys {
        Keys::One(one) => (key(*one), Bytes::new()),
        Keys::Span(from, to) => (key(*from), key(*to)),
        Keys::From(from) => (key(*from), Bytes::from_static(b"\0")),
        Keys::All => (Bytes::from_static(b"\0"), Bytes::from_static(b"\0")),
    }
}

fn value(number: u32, bytes: u16) -> Bytes {
    let mut text = format!("v{number}.").into_bytes();
    text.resize(text.len().max(usize::from(bytes)), b'x');
    text.into()
}

/// The request on the KV or lease service that an operation is; `None` for those of a watch
/// stream, and for those that name members, which the world makes.
pub(crate) fn request(op: &Op, seen: &Seen) -> Option<Request> {
    Some(match op {
        Op::Put(op) => Request::Put(put(op)),
        Op::Delete { keys, prev_kv } => Request::DeleteRange(delete(keys, *prev_kv)),
        Op::Range(op) => Request::Range(range(op, seen)),
        Op::Txn(op) => Request::Txn(txn(op, seen)),
        Op::Compact { revision, physical } => Request::Compaction(etcd::CompactionRequest {
            revision: seen.resolve(*revision),
            physical: *physical,
        }),
        Op::Grant { id, ttl } => {
            Request::LeaseGrant(etcd::LeaseGrantRequest { ttl: *ttl, id: *id })
        }
        Op::Revoke { id } => Request::LeaseRevoke(etcd::LeaseRevokeRequest { id: *id }),
        Op::KeepAlive { id } => Request::LeaseKeepAlive(etcd::LeaseKeepAliveRequest { id: *id }),
        Op::TimeToLive { id, keys } => {
            Request::LeaseTimeToLive(etcd::LeaseTimeToLiveRequest { id: *id, keys: *keys })
        }
        Op::Leases => Request::LeaseLeases,
        Op::Auth(op) => crate::rights::request(op),
        Op::Watch { .. }
        | Op::CancelWatch { .. }
        | Op::RequestProgress { .. }
        | Op::CloseStream { .. }
        | Op::StallStream { .. }
        | Op::MemberAdd { .. }
        | Op::MemberRemove { .. }
        | Op::MemberUpdate { .. }
        | Op::MemberPromote { .. }
        | Op::MemberList { .. }
        | Op::Alarm { .. } => return None,
    })
}

fn put(op: &Put) -> etcd::PutRequest {
    etcd::PutRequest {
        key: key(op.key),
        value: if op.ignore_value { Bytes::new() } else { value(op.value, op.value_bytes) },
        lease: if op.ignore_lease { 0 } else { op.lease },
        prev_kv: op.prev_kv,
        ignore_value: op.ignore_value,
        ignore_lease: op.ignore_lease,
    }
}

fn delete(keys: &Keys, prev_kv: bool) -> etcd::DeleteRangeRequest {
    let (key, range_end) = bounds(keys);
    etcd::DeleteRangeRequest { key, range_end, prev_kv }
}

fn range(op: &Range, seen: &Seen) -> etcd::RangeRequest {
    let (key, range_end) = bounds(&op.keys);
    let bound = |rev: Option<Rev>| rev.map_or(0, |rev| seen.resolve(rev));
    etcd::RangeRequest {
        key,
        range_end,
        limit: op.limit,
        revision: seen.resolve(op.revision),
        sort_order: op.sort_order,
        sort_target: op.sort_target,
        serializable: op.serializable,
        keys_only: op.keys_only,
        count_only: op.count_only,
        min_mod_revision: bound(op.min_mod),
        max_mod_revision: bound(op.max_mod),
        min_create_revision: bound(op.min_create),
        max_create_revision: bound(op.max_create),
    }
}

fn txn(op: &Txn, seen: &Seen) -> etcd::TxnRequest {
    let ops = |ops: &[TxnOp]| ops.iter().map(|op| txn_op(op, seen)).collect();
    etcd::TxnRequest {
        compare: op.compare.iter().map(|compared| compare(compared, seen)).collect(),
        success: ops(&op.success),
        failure: ops(&op.failure),
    }
}

fn txn_op(op: &TxnOp, seen: &Seen) -> etcd::RequestOp {
    let request = match op {
        TxnOp::Put(op) => OpRequest::RequestPut(put(op)),
        TxnOp::Delete { keys, prev_kv } => OpRequest::RequestDeleteRange(delete(keys, *prev_kv)),
        TxnOp::Range(op) => OpRequest::RequestRange(range(op, seen)),
        TxnOp::Txn(op) => OpRequest::RequestTxn(txn(op, seen)),
    };
    etcd::RequestOp { request: Some(request) }
}

fn compare(op: &Compare, seen: &Seen) -> etcd::Compare {
    use etcd::compare::CompareTarget as Target;
    let (key, range_end) = bounds(&op.keys);
    let (target, operand) = match &op.target {
        CompareTarget::Version(version) => (Target::Version, TargetUnion::Version(*version)),
        CompareTarget::Create(rev) => {
            (Target::Create, TargetUnion::CreateRevision(seen.resolve(*rev)))
        }
        CompareTarget::Mod(rev) => (Target::Mod, TargetUnion::ModRevision(seen.resolve(*rev))),
        CompareTarget::Value { value: number, value_bytes } => {
            (Target::Value, TargetUnion::Value(value(*number, *value_bytes)))
        }
        CompareTarget::Lease(id) => (Target::Lease, TargetUnion::Lease(*id)),
    };
    etcd::Compare {
        result: op.result,
        target: target as i32,
        key,
        range_end,
        target_union: Some(operand),
    }
}

/// The message that asks for a watch.
pub(crate) fn watch(op: &Watch, seen: &Seen) -> etcd::WatchCreateRequest {
    let (key, range_end) = bounds(&op.keys);
    let mut filters = Vec::new();
    if op.no_put {
        filters.push(FilterType::Noput as i32);
    }
    if op.no_delete {
        filters.push(FilterType::Nodelete as i32);
    }
    etcd::WatchCreateRequest {
        key,
        range_end,
        start_revision: seen.resolve(op.start),
        progress_notify: op.progress_notify,
        filters,
        prev_kv: op.prev_kv,
        watch_id: op.watch_id,
        fragment: op.fragment,
    }
}
