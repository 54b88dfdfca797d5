//! Transactions.

use super::session::{delete, delete_to, op, put, range, txn};
use super::{Row, rows};
use drystone_api::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use drystone_api::etcdserverpb::{Compare, PutRequest, RangeRequest, RequestOp, TxnRequest};

fn compare(key: &str, result: CompareResult, target: TargetUnion) -> Compare {
    let kind = match target {
        TargetUnion::Version(_) => CompareTarget::Version,
        TargetUnion::CreateRevision(_) => CompareTarget::Create,
        TargetUnion::ModRevision(_) => CompareTarget::Mod,
        TargetUnion::Value(_) => CompareTarget::Value,
        TargetUnion::Lease(_) => CompareTarget::Lease,
    };
    Compare {
        result: result.into(),
        target: kind.into(),
        key: key.to_owned().into(),
        target_union: Some(target),
        ..Default::default()
    }
}

fn puts(prefix: &str, count: usize) -> Vec<RequestOp> {
    (0..count).map(|n| op(put(&format!("{prefix}{n}"), "x"))).collect()
}

fn nested(count: usize, ops: usize) -> TxnRequest {
    txn((0..count).map(|n| op(txn(puts(&format!("{n}/"), ops)))).collect())
}

pub(super) const ROWS: &[Row] = rows! {
    "Txn: revisions inside, and a transaction in a transaction", &[], "
        txn: rev 2, true {put: rev 2; range: rev 2, count 1 [n1=1 c2 m2 v1]; txn: rev 0, true {put: rev 2}; delete: rev 2, 0}
    ", |s| {
        let inner = TxnRequest {
            compare: vec![compare("n1", CompareResult::Equal, TargetUnion::Version(0))],
            ..txn(vec![op(put("n2", "2"))])
        };
        s.txn(txn(vec![op(put("n1", "1")), op(range("n1")), op(inner), op(delete("zzz"))])).await;
    }

    "Txn: the same key twice", &[], "
        InvalidArgument: etcdserver: duplicate key given in txn request
        InvalidArgument: etcdserver: duplicate key given in txn request
        InvalidArgument: etcdserver: duplicate key given in txn request
        range: rev 1, count 0 []
    ", |s| {
        s.txn(txn(vec![op(put("a", "1")), op(put("a", "2"))])).await;
        s.txn(txn(vec![op(delete_to("a", "b")), op(put("a", "1"))])).await;
        let inner = |request: RequestOp| op(txn(vec![request]));
        s.txn(txn(vec![inner(op(delete("o"))), inner(op(put("o", "1")))])).await;
        s.range(range("a")).await;
    }

    "Txn: the same key twice where it is allowed", &[], "
        txn: rev 2, true {txn: rev 0, true {put: rev 2}; txn: rev 0, true {delete: rev 2, 1}}
        txn: rev 3, true {delete: rev 2, 0; put: rev 3}
        txn: rev 4, true {delete: rev 4, 1; delete: rev 4, 0}
    ", |s| {
        let inner = |request: RequestOp| op(txn(vec![request]));
        s.txn(txn(vec![inner(op(put("o", "1"))), inner(op(delete("o")))])).await;
        s.txn(txn(vec![op(delete_to("zy", "\0")), op(put("zz", "1"))])).await;
        s.txn(txn(vec![op(delete("zz")), op(delete("zz"))])).await;
    }

    "Txn: too many operations", &[], "
        InvalidArgument: etcdserver: too many operations in txn request
        InvalidArgument: etcdserver: too many operations in txn request
        range: rev 1, count 0 []
    ", |s| {
        s.txn(txn(puts("k", 129))).await;
        s.txn(nested(9, 120)).await;
        s.range(range("k0")).await;
    }

    "Txn: as many operations as are allowed", &[], "
        128 answers
        8 answers
        range: rev 3, count 1088 []
    ", |s| {
        for request in [txn(puts("k", 128)), nested(8, 120)] {
            let line = match s.client.txn(request).await {
                Ok(answer) => format!("{} answers", answer.responses.len()),
                Err(error) => error.to_string(),
            };
            s.say(line);
        }
        let all = RangeRequest {
            range_end: "\0".into(),
            count_only: true,
            ..range("\0")
        };
        s.range(all).await;
    }

    "Txn: values of a key that is not there compare false", &[], "
        txn: rev 1, false {}
        txn: rev 1, false {}
        txn: rev 1, true {}
        txn: rev 1, true {}
    ", |s| {
        for compare in [
            compare("no", CompareResult::Equal, TargetUnion::Value("".into())),
            compare("no", CompareResult::NotEqual, TargetUnion::Value("x".into())),
            compare("no", CompareResult::Equal, TargetUnion::ModRevision(0)),
            compare("no", CompareResult::Less, TargetUnion::CreateRevision(1)),
        ] {
            s.txn(TxnRequest { compare: vec![compare], ..Default::default() }).await;
        }
    }

    "Txn: leases compared", &[], "
        txn: rev 2, true {}
        txn: rev 2, false {}
        txn: rev 2, true {}
        txn: rev 2, true {}
    ", |s| {
        let grant = drystone_api::etcdserverpb::LeaseGrantRequest { id: 5, ttl: 1000 };
        let _ = s.client.lease_grant(grant).await;
        let _ = s.client.put(PutRequest { lease: 5, ..put("a", "1") }).await;
        for compare in [
            compare("a", CompareResult::Equal, TargetUnion::Lease(5)),
            compare("a", CompareResult::Greater, TargetUnion::Lease(5)),
            compare("no", CompareResult::Equal, TargetUnion::Lease(0)),
            compare("no", CompareResult::NotEqual, TargetUnion::Lease(5)),
        ] {
            s.txn(TxnRequest { compare: vec![compare], ..Default::default() }).await;
        }
    }

    "Txn: compares whose target and value do not fit, or do not exist", &[], "
        txn: rev 2, true {}
        txn: rev 2, false {}
        txn: rev 2, true {}
        txn: rev 2, true {}
        txn: rev 2, true {}
        InvalidArgument: etcdserver: key is not provided
    ", |s| {
        let _ = s.client.put(put("a", "1")).await;
        let base = compare("a", CompareResult::Equal, TargetUnion::Value("1".into()));
        let version = CompareTarget::Version.into();
        for compare in [
            // Compared with the number 0, and then with an empty value.
            Compare { target: version, result: CompareResult::Greater.into(), ..base.clone() },
            Compare { target_union: None, ..base.clone() },
            Compare { target_union: None, result: CompareResult::Greater.into(), ..base.clone() },
            Compare { result: 77, ..base.clone() },
            Compare { target: 77, ..base.clone() },
            Compare { key: "".into(), ..base.clone() },
        ] {
            s.txn(TxnRequest { compare: vec![compare], ..Default::default() }).await;
        }
    }

    "Txn: revisions of ranges inside", &[], "
        txn: rev 3, true {range: rev 3, count 1 [a=1 c2 m2 v1]}
        txn: rev 3, true {range: rev 3, count 1 [a=2 c2 m3 v2]}
        OutOfRange: etcdserver: mvcc: required revision is a future revision
        compact: rev 3
        OutOfRange: etcdserver: mvcc: required revision has been compacted
        txn: rev 4, true {put: rev 4; range: rev 4, count 1 [a=2 c2 m3 v2]; range: rev 4, count 1 [a=3 c2 m4 v3]}
    ", |s| {
        let _ = s.client.put(put("a", "1")).await;
        let _ = s.client.put(put("a", "2")).await;
        let at = |revision| op(RangeRequest { revision, ..range("a") });
        for revision in [2, 3, 4] {
            s.txn(txn(vec![at(revision)])).await;
        }
        s.compact(3, true).await;
        s.txn(txn(vec![at(2)])).await;
        s.txn(txn(vec![op(put("a", "3")), at(3), at(0)])).await;
    }

    "Txn: nested three deep, with both branches", &[], "
        txn: rev 2, true {txn: rev 0, false {txn: rev 0, true {put: rev 2; put: rev 2}; delete: rev 2, 0}; range: rev 2, count 2 [x=1 c2 m2 v1, y=2 c2 m2 v1]}
    ", |s| {
        let innermost = txn(vec![op(put("x", "1")), op(put("y", "2"))]);
        let middle = TxnRequest {
            compare: vec![compare("x", CompareResult::Greater, TargetUnion::Version(0))],
            success: vec![op(put("never", "1"))],
            failure: vec![op(innermost), op(delete("z"))],
        };
        let all = RangeRequest { range_end: "z".into(), ..range("x") };
        s.txn(txn(vec![op(middle), op(all)])).await;
    }

    "Txn: compares over a range", &[], "
        txn: rev 3, true {}
        txn: rev 3, false {}
        txn: rev 3, true {}
        txn: rev 3, false {}
    ", |s| {
        let _ = s.client.put(put("a", "1")).await;
        let _ = s.client.put(put("b", "2")).await;
        let over = |end: &str, result, target| Compare {
            range_end: end.to_owned().into(),
            ..compare("a", result, target)
        };
        for compare in [
            over("c", CompareResult::Greater, TargetUnion::ModRevision(1)),
            over("c", CompareResult::Greater, TargetUnion::ModRevision(2)),
            over("\0", CompareResult::NotEqual, TargetUnion::Value("3".into())),
            over("\0", CompareResult::Equal, TargetUnion::Value("1".into())),
        ] {
            s.txn(TxnRequest { compare: vec![compare], ..Default::default() }).await;
        }
    }

    "Txn: reads before, between and after changes", &[], "
        txn: rev 3, true {range: rev 2, count 1 [a=1 c2 m2 v1]; delete: rev 3, 1; range: rev 3, count 0 []; range: rev 3, count 1 [a=1 c2 m2 v1]}
    ", |s| {
        let _ = s.client.put(put("a", "1")).await;
        let past = RangeRequest { revision: 2, ..range("a") };
        s.txn(txn(vec![op(range("a")), op(delete("a")), op(range("a")), op(past)])).await;
    }

    "Txn: its own revision is in the future", &[], "
        OutOfRange: etcdserver: mvcc: required revision is a future revision
        range: rev 1, count 0 []
    ", |s| {
        let own = RangeRequest { revision: 2, ..range("a") };
        s.txn(txn(vec![op(put("a", "1")), op(own)])).await;
        s.range(range("a")).await;
    }

    "Txn: compares look at the state before it", &[], "
        txn: rev 2, true {put: rev 2; txn: rev 0, false {range: rev 2, count 1 [a=1 c2 m2 v1]}}
    ", |s| {
        let inner = TxnRequest {
            compare: vec![compare("a", CompareResult::Greater, TargetUnion::Version(0))],
            failure: vec![op(range("a"))],
            ..Default::default()
        };
        s.txn(txn(vec![op(put("a", "1")), op(inner)])).await;
    }

    "Txn: what can fail is decided before anything is applied", &[], "
        InvalidArgument: etcdserver: key not found
        NotFound: etcdserver: requested lease not found
        InvalidArgument: etcdserver: key not found
        range: rev 1, count 0 []
    ", |s| {
        let keep = PutRequest { ignore_value: true, ..put("b", "") };
        s.txn(txn(vec![op(put("a", "1")), op(keep)])).await;
        let leased = PutRequest { lease: 9, ..put("b", "") };
        s.txn(txn(vec![op(put("a", "1")), op(txn(vec![op(leased)]))])).await;
        s.txn(txn(vec![RequestOp { request: None }])).await;
        s.range(range("a")).await;
    }

    "Txn: a refused branch that is not taken", &[], "
        txn: rev 2, true {put: rev 2}
        InvalidArgument: etcdserver: key is not provided
    ", |s| {
        let missing = PutRequest { ignore_value: true, ..put("b", "") };
        s.txn(TxnRequest { failure: vec![op(missing)], ..txn(vec![op(put("a", "1"))]) }).await;
        s.txn(TxnRequest { failure: vec![op(range(""))], ..txn(vec![op(put("a", "1"))]) }).await;
    }

    "Txn: without anything", &[], "txn: rev 1, true {}", |s| {
        s.txn(TxnRequest::default()).await;
    }
};
