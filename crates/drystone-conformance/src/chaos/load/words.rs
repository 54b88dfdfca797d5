//! The requests of the load.

use bytes::Bytes;
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use drystone_api::etcdserverpb::range_request::{SortOrder, SortTarget};
use drystone_api::etcdserverpb::request_op::Request as OpRequest;
use drystone_api::etcdserverpb::response_op::Response as OpResponse;
use drystone_judge::Request;
use rand::Rng as _;
use rand::rngs::SmallRng;

/// What all keys of the load begin with.
pub(crate) const PREFIX: &str = "chaos/";
/// The end of the range of all keys with [`PREFIX`].
pub(crate) const PREFIX_END: &str = "chaos0";
/// Keys of one ranged read.
const RANGE_KEYS: u16 = 16;
/// Lengths of values go up to about this, in bytes.
const VALUE_BYTES_MAX: u64 = 120;

/// The key of that number.
pub(crate) fn key(number: u16) -> Bytes {
    format!("{PREFIX}k{number:04}").into()
}

/// The key that transactions write together with that of the same number.
fn shadow(number: u16) -> Bytes {
    format!("{PREFIX}s{number:04}").into()
}

/// The key that a holder of leases puts under them.
pub(super) fn leased(holder: u16) -> Bytes {
    format!("{PREFIX}l{holder:04}").into()
}

fn value(serial: u64) -> Bytes {
    let filler = usize::try_from(serial % VALUE_BYTES_MAX).unwrap_or(0);
    format!("{serial}{}", ".".repeat(filler)).into()
}

fn put_of(key: Bytes, serial: u64, (lease, prev_kv): (i64, bool)) -> pb::PutRequest {
    pb::PutRequest { key, value: value(serial), lease, prev_kv, ..Default::default() }
}

/// Writes a key, under a lease if that is not 0.
pub(super) fn put(key: Bytes, serial: u64, how: (i64, bool)) -> Request {
    Request::Put(put_of(key, serial, how))
}

/// Deletes one key, as a range whose end is unlike all others.
pub(super) fn delete(number: u16, serial: u64, prev_kv: bool) -> Request {
    let key = key(number);
    let mut end = key.to_vec();
    end.push(0);
    end.extend(format!("{serial:016x}").bytes());
    Request::DeleteRange(pb::DeleteRangeRequest { key, range_end: end.into(), prev_kv })
}

/// If the key was last changed at `seen` (0: is not there), writes it and its shadow and reads
/// both; otherwise reads it.
pub(super) fn guard(number: u16, seen: i64, serial: u64) -> Request {
    let op = |request| pb::RequestOp { request: Some(request) };
    let put = |key| op(OpRequest::RequestPut(put_of(key, serial, (0, false))));
    let get = |key| op(OpRequest::RequestRange(pb::RangeRequest { key, ..Default::default() }));
    let compare = pb::Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key(number),
        target_union: Some(TargetUnion::ModRevision(seen)),
        ..Default::default()
    };
    Request::Txn(pb::TxnRequest {
        compare: vec![compare],
        success: vec![put(key(number)), put(shadow(number)), get(shadow(number))],
        failure: vec![get(key(number))],
    })
}

/// What a transaction of [`guard`] that did not hold found: the revision of the key's last
/// change, 0 if it is not there.
pub(super) fn found(txn: &pb::TxnResponse) -> i64 {
    let op = txn.responses.first().and_then(|op| op.response.as_ref());
    let Some(OpResponse::ResponseRange(range)) = op else { return 0 };
    range.kvs.first().map_or(0, |kv| kv.mod_revision)
}

/// Reads a key or a range of keys in some form, at a revision (0: the newest).
pub(super) fn range(random: &mut SmallRng, serializable: bool, revision: i64) -> Request {
    let mut range = pb::RangeRequest { key: key(0), serializable, revision, ..Default::default() };
    match random.random_range(0..16) {
        0 => {
            let first = random.random_range(0..super::KEYS - RANGE_KEYS);
            (range.key, range.range_end) = (key(first), key(first + RANGE_KEYS));
        }
        1 => {
            (range.key, range.range_end) = (PREFIX.into(), PREFIX_END.into());
            range.limit = random.random_range(1..10);
            range.keys_only = random.random_ratio(1, 2);
            range.sort_target = SortTarget::Mod.into();
            range.sort_order = SortOrder::Descend.into();
        }
        2 => {
            (range.key, range.range_end) = (PREFIX.into(), PREFIX_END.into());
            range.count_only = true;
        }
        _ => range.key = key(random.random_range(0..super::KEYS)),
    }
    Request::Range(range)
}
