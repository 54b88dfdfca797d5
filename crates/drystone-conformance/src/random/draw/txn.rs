//! Transactions of every shape.

use super::{Draw, OPEN_END};
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::compare::TargetUnion;
use drystone_api::etcdserverpb::request_op::Request;
use rand::Rng as _;

/// How deep transactions nest.
const DEPTH_MAX: u32 = 3;
/// Operations that a list may hold, by default.
const OPS_MAX: usize = 128;
/// The deepest chain of transactions, below what Drystone's decoder bears.
const CHAIN_MAX: usize = 40;

impl Draw {
    pub(super) fn txn(&mut self) -> pb::TxnRequest {
        let mut request = self.nested_txn(0);
        if deletes_to_the_end(&request) {
            keep_nothing(&mut request);
        }
        request
    }

    fn nested_txn(&mut self, depth: u32) -> pb::TxnRequest {
        pb::TxnRequest {
            compare: self.compares(),
            success: self.branch(depth),
            failure: self.branch(depth),
        }
    }

    /// A transaction that only reads, in both branches.
    pub(super) fn reading_txn(&mut self) -> pb::TxnRequest {
        let branch = |draw: &mut Draw| {
            let count = draw.rng.random_range(0..3);
            (0..count).map(|_| op(Request::RequestRange(draw.range(true)))).collect()
        };
        pb::TxnRequest { compare: self.compares(), success: branch(self), failure: branch(self) }
    }

    /// A transaction at or beyond a limit, or of parts that do not exist.
    pub(super) fn wrong_txn(&mut self) -> pb::TxnRequest {
        let put = |key: String| {
            op(Request::RequestPut(pb::PutRequest { key: key.into(), ..Default::default() }))
        };
        let ops = |count: usize| (0..count).map(|n| put(format!("many{n:03}"))).collect();
        let mut request = pb::TxnRequest::default();
        match self.rng.random_range(0..12) {
            0 => request.success = ops(OPS_MAX),
            1 => request.success = ops(OPS_MAX + 1),
            2 => request.failure = ops(OPS_MAX + 1),
            3 => request.compare = (0..=OPS_MAX).map(|_| self.compare()).collect(),
            4 => request.success = vec![pb::RequestOp { request: None }],
            5 => {
                let key = self.key();
                let twice = pb::PutRequest { key, ..Default::default() };
                request.success = vec![op(Request::RequestPut(twice)); 2];
            }
            6 => {
                let inner = pb::TxnRequest { success: ops(OPS_MAX - 1), ..Default::default() };
                let count = self.rng.random_range(1..3);
                request.success = vec![op(Request::RequestTxn(inner)); count];
            }
            7 => {
                let depth = self.rng.random_range(2..CHAIN_MAX);
                request.success = ops(1);
                for _ in 0..depth {
                    let inner = std::mem::take(&mut request);
                    request.success = vec![op(Request::RequestTxn(inner))];
                }
            }
            8 => request.success = ops(self.rng.random_range(10..OPS_MAX)),
            9 => {}
            _ => {
                request = self.nested_txn(DEPTH_MAX);
                if let Some(compare) = request.compare.first_mut() {
                    compare.result = self.rng.random_range(0..6);
                    compare.target = self.rng.random_range(0..7);
                }
                keep_nothing(&mut request);
            }
        }
        request
    }

    fn compares(&mut self) -> Vec<pb::Compare> {
        let count = self.rng.random_range(0..3);
        (0..count).map(|_| self.compare()).collect()
    }

    fn branch(&mut self, depth: u32) -> Vec<pb::RequestOp> {
        let count = self.rng.random_range(0..4);
        let ops = (0..count).map(|_| match self.rng.random_range(0..24) {
            0..10 => op(Request::RequestPut(self.small_put())),
            10..14 => op(Request::RequestDeleteRange(self.delete())),
            14..20 => op(Request::RequestRange(self.range(true))),
            _ if depth < DEPTH_MAX => op(Request::RequestTxn(self.nested_txn(depth + 1))),
            _ => op(Request::RequestRange(self.range(true))),
        });
        ops.collect()
    }

    fn compare(&mut self) -> pb::Compare {
        let (key, range_end) = self.keys();
        let near = self.revision - self.rng.random_range(0..self.revision.min(300));
        let union = match self.rng.random_range(0..40) {
            0 => None,
            1..10 => Some(TargetUnion::Version(self.rng.random_range(0..5))),
            10..16 => Some(TargetUnion::CreateRevision(if self.chance(40) { 0 } else { near })),
            16..22 => Some(TargetUnion::ModRevision(if self.chance(30) { 0 } else { near })),
            22..32 => Some(TargetUnion::Value(self.likely_value())),
            _ => Some(TargetUnion::Lease(self.lease_id())),
        };
        let fitting = match &union {
            None | Some(TargetUnion::Version(_)) => 0,
            Some(TargetUnion::CreateRevision(_)) => 1,
            Some(TargetUnion::ModRevision(_)) => 2,
            Some(TargetUnion::Value(_)) => 3,
            Some(TargetUnion::Lease(_)) => 4,
        };
        let target = if self.chance(3) { self.rng.random_range(0..5) } else { fitting };
        let key = if self.rng.random_ratio(1, 200) { bytes::Bytes::new() } else { key };
        let result = self.rng.random_range(0..4);
        pb::Compare { result, target, key, range_end, target_union: union }
    }
}

fn op(request: Request) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

/// Whether it deletes to the end of all keys, anywhere in it.
fn deletes_to_the_end(request: &pb::TxnRequest) -> bool {
    request.success.iter().chain(&request.failure).any(|op| match &op.request {
        Some(Request::RequestDeleteRange(delete)) => delete.range_end == OPEN_END,
        Some(Request::RequestTxn(inner)) => deletes_to_the_end(inner),
        _ => false,
    })
}

/// Makes every write in it bring its own value and lease.
fn keep_nothing(request: &mut pb::TxnRequest) {
    for op in request.success.iter_mut().chain(&mut request.failure) {
        match &mut op.request {
            Some(Request::RequestPut(put)) => {
                put.ignore_value = false;
                put.ignore_lease = false;
            }
            Some(Request::RequestTxn(inner)) => keep_nothing(inner),
            _ => {}
        }
    }
}
