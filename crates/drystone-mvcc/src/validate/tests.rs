use super::*;
use crate::request::{Compare, CompareResult, CompareTarget};
use InvalidRequest::{DuplicateKey, EmptyKey, MissingOp, TooManyOps};
use drystone_types::{KeyRange, LeaseId};

fn p(key: &'static str) -> Op {
    Op::Put(Put::new(key, ""))
}

fn d(key: &'static str, end: &'static str) -> Op {
    Op::DeleteRange(DeleteRange { range: KeyRange::from_fields(key, end), prev_kv: false })
}

fn t(success: Vec<Op>, failure: Vec<Op>) -> Op {
    Op::Txn(Txn { compare: Vec::new(), success, failure })
}

fn check(success: Vec<Op>) -> Result<(), InvalidRequest> {
    let then = Txn { success: success.clone(), ..Txn::default() };
    let or_else = Txn { failure: success, ..Txn::default() };
    let answer = txn(&then, 128);
    assert_eq!(txn(&or_else, 128), answer);
    answer
}

#[test]
fn keys_written_twice_are_refused() {
    assert_eq!(check(vec![p("a"), p("a")]), Err(DuplicateKey));
    assert_eq!(check(vec![d("a", "b"), p("a")]), Err(DuplicateKey));
    assert_eq!(check(vec![p("a"), d("a", "")]), Err(DuplicateKey));
    assert_eq!(
        check(vec![t(vec![d("o", "")], vec![]), t(vec![p("o")], vec![])]),
        Err(DuplicateKey)
    );
    assert_eq!(check(vec![t(vec![p("o")], vec![]), t(vec![], vec![p("o")])]), Err(DuplicateKey));
    assert_eq!(check(vec![t(vec![p("o")], vec![]), p("o")]), Err(DuplicateKey));
    assert_eq!(check(vec![d("n", "p"), t(vec![], vec![p("o")])]), Err(DuplicateKey));
    assert_eq!(check(vec![p("o"), t(vec![], vec![d("n", "p")])]), Err(DuplicateKey));
    assert_eq!(check(vec![t(vec![t(vec![p("o")], vec![])], vec![]), p("o")]), Err(DuplicateKey));
}

#[test]
fn what_etcd_lets_through_passes() {
    assert_eq!(check(vec![p("a"), p("b"), d("c", ""), d("c", "d")]), Ok(()));
    assert_eq!(check(vec![t(vec![p("o")], vec![p("o")])]), Ok(()));
    assert_eq!(check(vec![t(vec![p("o")], vec![d("o", "")])]), Ok(()));
    assert_eq!(check(vec![t(vec![p("o")], vec![]), t(vec![d("o", "")], vec![])]), Ok(()));
    assert_eq!(check(vec![d("zy", "\0"), p("zz")]), Ok(()));
    assert_eq!(check(vec![d("b", "a"), p("a"), p("b")]), Ok(()));
    let both = Txn { success: vec![p("a")], failure: vec![p("a")], ..Txn::default() };
    assert_eq!(txn(&both, 128), Ok(()));
}

#[test]
fn the_budget_shrinks_with_each_level() {
    let puts = |from: usize, count: usize| -> Vec<Op> {
        (from..from + count).map(|n| Op::Put(Put::new(format!("{n}"), ""))).collect()
    };
    let nested = |count: usize, ops: usize| -> Vec<Op> {
        (0..count).map(|n| t(puts(n * 1000, ops), vec![])).collect()
    };
    assert_eq!(check(puts(0, 128)), Ok(()));
    assert_eq!(check(puts(0, 129)), Err(TooManyOps));
    assert_eq!(check(nested(8, 120)), Ok(()));
    assert_eq!(check(nested(9, 120)), Err(TooManyOps));
    assert_eq!(check(nested(9, 119)), Ok(()));
    let compare = Compare {
        range: KeyRange::key("k"),
        result: CompareResult::Equal,
        target: CompareTarget::Version(0),
    };
    let compares = Txn { compare: vec![compare; 129], ..Txn::default() };
    assert_eq!(txn(&compares, 128), Err(TooManyOps));
}

#[test]
fn depth_is_bounded_whatever_the_budget() {
    let nest = |depth: usize| {
        (1..depth).fold(Txn::default(), |inner, _| Txn {
            success: vec![Op::Txn(inner)],
            ..Txn::default()
        })
    };
    assert_eq!(txn(&nest(TXN_DEPTH_MAX), usize::MAX), Ok(()));
    assert!(is_shallow(&nest(TXN_DEPTH_MAX)));
    assert_eq!(txn(&nest(TXN_DEPTH_MAX + 1), usize::MAX), Err(TooManyOps));
    assert!(!is_shallow(&nest(TXN_DEPTH_MAX + 1)));
}

#[test]
fn single_requests_are_checked_wherever_they_stand() {
    let valued = Put { ignore_value: true, ..Put::new("a", "1") };
    let leased = Put { ignore_lease: true, lease: LeaseId(5), ..Put::new("a", "") };
    let sorted = RangeQuery { sort_order: 7.into(), ..RangeQuery::new(KeyRange::key("a")) };
    let target = RangeQuery { sort_target: 5.into(), ..RangeQuery::new(KeyRange::key("a")) };
    let cases = [
        (Op::Put(valued), InvalidRequest::ValueProvided),
        (Op::Put(leased), InvalidRequest::LeaseProvided),
        (Op::Range(sorted), InvalidRequest::InvalidSort),
        (Op::Range(target), InvalidRequest::InvalidSort),
        (Op::Range(RangeQuery::new(KeyRange::key(""))), EmptyKey),
        (p(""), EmptyKey),
        (d("", "\0"), EmptyKey),
        (Op::Empty, MissingOp),
    ];
    for (op, error) in cases {
        assert_eq!(check(vec![op.clone()]), Err(error), "{op:?}");
        assert_eq!(check(vec![t(vec![], vec![op])]), Err(error));
    }
}

#[test]
fn a_large_transaction_is_checked_in_little_time() {
    // Quadratic work would be ten thousand million steps.
    let ops: Vec<Op> = (0..100_000).map(|n| Op::Put(Put::new(format!("{n}"), ""))).collect();
    let ends = (0..100_000).map(|n| KeyRange::from_fields(format!("x{n}"), format!("x{n}~")));
    let deletes = ends.map(|range| Op::DeleteRange(DeleteRange { range, prev_kv: false }));
    let all = Txn { success: ops.into_iter().chain(deletes).collect(), ..Txn::default() };
    assert_eq!(txn(&all, usize::MAX), Ok(()));
}
