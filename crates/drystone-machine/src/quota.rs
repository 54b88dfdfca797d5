//! What a request would add to the store, by etcd's reckoning (`server/storage/quota.go`).

use drystone_api::etcdserverpb::{
    InternalRaftRequest, PutRequest, RequestOp, TxnRequest, request_op::Request,
};
use drystone_api::limits::{QUOTA_LEASE_BYTES, QUOTA_PUT_OVERHEAD_BYTES};

/// Bytes that a request may add: 0 for whatever only reads or frees space.
#[must_use]
pub fn cost(request: &InternalRaftRequest) -> u64 {
    if let Some(put) = &request.put {
        put_cost(put)
    } else if let Some(txn) = &request.txn {
        txn_cost(txn)
    } else if request.lease_grant.is_some() {
        QUOTA_LEASE_BYTES
    } else {
        0
    }
}

fn put_cost(put: &PutRequest) -> u64 {
    QUOTA_PUT_OVERHEAD_BYTES + put.key.len() as u64 + put.value.len() as u64
}

/// The larger branch counts; nested transactions count too (since etcd 3.7.1).
fn txn_cost(txn: &TxnRequest) -> u64 {
    ops_cost(&txn.success).max(ops_cost(&txn.failure))
}

fn ops_cost(ops: &[RequestOp]) -> u64 {
    ops.iter()
        .map(|op| match &op.request {
            Some(Request::RequestPut(put)) => put_cost(put),
            Some(Request::RequestTxn(txn)) => txn_cost(txn),
            _ => 0,
        })
        .sum()
}
