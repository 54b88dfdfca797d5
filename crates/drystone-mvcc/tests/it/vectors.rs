//! The sequences of etcd's behaviour that concern the store, with what etcd 3.7 answers.

use crate::rig::*;
use bytes::Bytes;
use drystone_mvcc::{
    Compare, CompareResult, CompareTarget, KeyValue, LeaseChange, Op, OpOutcome, Put, RangeQuery,
    RangeResult, SortOrder, SortTarget, Txn,
};
use drystone_types::{KeyRange, LeaseId};

fn range(key: &'static str, end: &'static str) -> RangeQuery {
    RangeQuery::new(KeyRange::from_fields(key, end))
}

#[test]
fn an_empty_store_is_at_revision_one() {
    let rig = Rig::new();
    let found = rig.range(&range("x", "")).unwrap();
    assert_eq!(found, RangeResult { revision: 1, ..RangeResult::default() });
    let at_one = rig.range(&RangeQuery { revision: 1, ..range("x", "\0") }).unwrap();
    assert_eq!(at_one.kvs, Vec::<Bytes>::new());
}

#[test]
fn puts_answer_with_the_pair_before() {
    let mut rig = Rig::new();
    let first = rig.put("a", "1");
    assert_eq!((first.revision, first.prev), (2, None));
    let second = rig.put("a", "2");
    assert_eq!(second.revision, 3);
    let expected = KeyValue {
        key: "a".into(),
        create_revision: 2,
        mod_revision: 2,
        version: 1,
        value: "1".into(),
        lease: 0,
    };
    assert_eq!(pairs(&[second.prev.unwrap()]), [expected]);

    let value = |revision| {
        let found = rig.range(&RangeQuery { revision, ..range("a", "") })?;
        assert_eq!(found.revision, 3);
        Ok::<_, drystone_mvcc::OpError>(pairs(&found.kvs).pop().unwrap().value)
    };
    assert_eq!(value(2).unwrap(), "1");
    assert_eq!(value(-5).unwrap(), "2");
    assert_eq!(kind(&value(100).unwrap_err()), "future");
}

#[test]
fn deleting_nothing_makes_no_revision() {
    let mut rig = Rig::new();
    rig.put("a", "1");
    let outcome = rig.delete("b", "");
    assert_eq!((outcome.revision, outcome.deleted), (2, 0));
    let outcome = rig.delete("z", "a");
    assert_eq!((outcome.revision, outcome.deleted), (2, 0));
    let outcome = rig.delete("a", "");
    assert_eq!((outcome.revision, outcome.deleted, outcome.prevs.len()), (3, 1, 1));
    rig.put("a", "1");
    let again = rig.get("a").unwrap();
    assert_eq!((again.create_revision, again.version), (4, 1));
}

/// k0..k4 = 9..5, then k2 once more.
fn five_keys() -> Rig {
    let mut rig = Rig::new();
    for (key, value) in [("k0", "9"), ("k1", "8"), ("k2", "7"), ("k3", "6"), ("k4", "5")] {
        rig.put(key, value);
    }
    rig.put("k2", "7");
    rig
}

#[test]
fn limits_cut_before_a_sort_nobody_asked_for() {
    let rig = five_keys();
    let ask = |sort_order, sort_target, min_mod_revision| {
        let query =
            RangeQuery { limit: 2, sort_order, sort_target, min_mod_revision, ..range("k", "l") };
        let found = rig.range(&query).unwrap();
        assert_eq!((found.more, found.count), (true, 5));
        keys(&found)
    };
    assert_eq!(ask(SortOrder::None, SortTarget::Key, 0), "k0,k1");
    assert_eq!(ask(SortOrder::None, SortTarget::Value, 0), "k2,k1");
    assert_eq!(ask(SortOrder::Ascend, SortTarget::Value, 0), "k4,k3");
    assert_eq!(ask(SortOrder::Descend, SortTarget::Key, 0), "k4,k3");
    assert_eq!(ask(SortOrder::None, SortTarget::Key, 4), "k2,k3");
    assert_eq!(ask(SortOrder::Descend, SortTarget::Version, 0), "k2,k0");
    assert_eq!(ask(SortOrder::Ascend, SortTarget::Mod, 0), "k0,k1");
}

#[test]
fn keys_only_and_count_only_say_less() {
    let mut rig = Rig::new();
    let leased = Put { lease: LeaseId(5), ..Put::new("a", "1") };
    rig.put_with(&leased).unwrap();
    rig.put_with(&leased).unwrap();
    for revision in [0, 2] {
        let query = RangeQuery { keys_only: true, revision, ..range("a", "") };
        let found = pairs(&rig.range(&query).unwrap().kvs).pop().unwrap();
        let version = if revision == 0 { 2 } else { 1 };
        assert_eq!((found.version, found.create_revision), (version, 2));
        assert_eq!((found.value.as_ref(), found.lease), (&b""[..], 0));
        let query = RangeQuery { sort_target: SortTarget::Value, ..query };
        assert_eq!(pairs(&rig.range(&query).unwrap().kvs).pop().unwrap().lease, 5);
        let counted = RangeQuery { count_only: true, limit: 1, revision, ..range("a", "\0") };
        let counted = rig.range(&counted).unwrap();
        assert_eq!((counted.count, counted.more, counted.kvs.len()), (1, false, 0));
    }
}

#[test]
fn a_transaction_is_one_revision() {
    let mut rig = Rig::new();
    rig.put("other", "1");
    let missing = compare("n2", CompareResult::Equal, CompareTarget::Version(0));
    let nested = Txn { compare: vec![missing], ..then(vec![put("n2", "2")]) };
    let txn = then(vec![put("n1", "1"), get("n1", 0), Op::Txn(nested), del("zzz", "")]);
    let outcome = rig.txn(&txn).unwrap();
    assert_eq!((outcome.revision, outcome.succeeded), (3, true));
    let [first, second, third, fourth] = outcome.responses.as_slice() else { panic!() };
    assert_eq!(*first, OpOutcome::Put { revision: 3, prev: None });
    let OpOutcome::Range(found) = second else { panic!() };
    assert_eq!((found.revision, found.count), (3, 1));
    let inner = OpOutcome::Put { revision: 3, prev: None };
    assert_eq!(*third, OpOutcome::Txn { succeeded: true, responses: vec![inner] });
    assert_eq!(*fourth, OpOutcome::DeleteRange { revision: 3, deleted: 0, prevs: vec![] });
}

#[test]
fn reads_in_a_transaction_see_what_came_before() {
    let mut rig = Rig::new();
    rig.put("a", "old");
    let txn = then(vec![get("a", 0), del("a", ""), get("a", 0), get("a", 2)]);
    let outcome = rig.txn(&txn).unwrap();
    let found = |at: usize| {
        let OpOutcome::Range(found) = &outcome.responses[at] else { panic!() };
        (found.revision, found.kvs.len())
    };
    assert_eq!(found(0), (2, 1));
    let OpOutcome::DeleteRange { revision, deleted, prevs } = &outcome.responses[1] else {
        panic!()
    };
    assert_eq!((*revision, *deleted, prevs.len()), (3, 1, 1));
    assert_eq!(found(2), (3, 0));
    assert_eq!(found(3), (3, 1));
}

#[test]
fn a_missing_value_satisfies_nothing_and_missing_numbers_are_zero() {
    let mut rig = Rig::new();
    rig.put("ra", "1");
    rig.put("rb", "2");
    let mut holds = |compare: Compare| {
        rig.txn(&Txn { compare: vec![compare], ..Txn::default() }).unwrap().succeeded
    };
    let empty = || CompareTarget::Value(Bytes::new());
    assert!(!holds(compare("x", CompareResult::Equal, empty())));
    assert!(!holds(compare("x", CompareResult::NotEqual, CompareTarget::Value("x".into()))));
    assert!(!holds(compare("x", CompareResult::Unknown, empty())));
    assert!(holds(compare("x", CompareResult::Equal, CompareTarget::Create(0))));
    assert!(holds(compare("x", CompareResult::Less, CompareTarget::Mod(1))));
    assert!(holds(compare("x", CompareResult::Equal, CompareTarget::Lease(LeaseId(0)))));
    assert!(holds(compare("ra", CompareResult::Unknown, CompareTarget::Mod(77))));
    assert!(holds(compare("ra", CompareResult::Equal, CompareTarget::Unknown)));
    let over = |end: &'static str, result, target| Compare {
        range: KeyRange::from_fields("r", end),
        result,
        target,
    };
    assert!(holds(over("s", CompareResult::Greater, CompareTarget::Value("0".into()))));
    assert!(!holds(over("s", CompareResult::Greater, CompareTarget::Value("1".into()))));
    assert!(holds(over("\0", CompareResult::Equal, CompareTarget::Version(1))));
    assert!(holds(over("a", CompareResult::Equal, CompareTarget::Version(0))));
    assert!(!holds(over("a", CompareResult::NotEqual, empty())));
}

#[test]
fn nested_conditions_are_judged_on_the_state_before() {
    let mut rig = Rig::new();
    let absent = compare("a", CompareResult::Equal, CompareTarget::Version(0));
    let nested = Txn { compare: vec![absent], ..then(vec![put("b", "1")]) };
    let outcome = rig.txn(&then(vec![put("a", "1"), Op::Txn(nested)])).unwrap();
    assert!(matches!(outcome.responses[1], OpOutcome::Txn { succeeded: true, .. }));
    assert!(rig.get("b").is_some());
}

#[test]
fn reads_in_a_transaction_cannot_name_its_own_revision() {
    let mut rig = Rig::new();
    rig.put("a", "1");
    let mut fails = |revision| {
        let txn = then(vec![put("a", "2"), get("a", revision)]);
        kind(&rig.txn(&txn).unwrap_err())
    };
    assert_eq!(fails(3), "future");
    assert_eq!(fails(-1), "compacted");
    assert_eq!(rig.store.revision(), 2);
    rig.compact(2).unwrap();
    let txn = then(vec![get("a", 1)]);
    assert_eq!(kind(&rig.txn(&txn).unwrap_err()), "compacted");
    assert_eq!(kind(&rig.snapshot().txn_read_only(&txn).unwrap_err()), "compacted");
    let fine = rig.snapshot().txn_read_only(&then(vec![get("a", 2)])).unwrap();
    assert_eq!((fine.revision, fine.succeeded), (2, true));
    let writes = rig.snapshot().txn_read_only(&then(vec![put("a", "2")]));
    assert!(matches!(writes, Err(drystone_mvcc::OpError::NotReadOnly)));
}

#[test]
fn leases_are_attached_kept_and_dropped() {
    let mut rig = Rig::new();
    let change = |before, after| LeaseChange {
        key: "k".into(),
        before: LeaseId(before),
        after: LeaseId(after),
    };
    let leased = |lease| Put { lease: LeaseId(lease), ..Put::new("k", "v") };
    assert_eq!(rig.put_with(&leased(5)).unwrap().lease_changes, [change(0, 5)]);
    assert_eq!(rig.put_with(&leased(5)).unwrap().lease_changes, []);
    let kept = Put { ignore_lease: true, ..Put::new("k", "w") };
    assert_eq!(rig.put_with(&kept).unwrap().lease_changes, []);
    assert_eq!(rig.get("k").unwrap().lease, 5);
    let valued = Put { ignore_value: true, ..Put::new("k", "") };
    assert_eq!(rig.put_with(&valued).unwrap().lease_changes, [change(5, 0)]);
    let pair = rig.get("k").unwrap();
    assert_eq!((pair.value.as_ref(), pair.lease, pair.version), (&b"w"[..], 0, 4));
    let unknown = rig.put_with(&leased(6)).unwrap_err();
    assert_eq!(kind(&unknown), "lease not found");
    let absent = Put { ignore_value: true, ..Put::new("none", "") };
    assert_eq!(kind(&rig.put_with(&absent).unwrap_err()), "key not found");
    rig.put_with(&leased(4)).unwrap();
    let mut leased = Vec::new();
    rig.store.for_each_leased(&mut |lease, key| leased.push((lease, key.to_vec())));
    assert_eq!(leased, [(LeaseId(4), b"k".to_vec())]);
    assert_eq!(rig.delete("k", "").lease_changes, [change(4, 0)]);
}

#[test]
fn a_revoked_lease_takes_its_keys_in_one_revision_in_key_order() {
    let mut rig = Rig::new();
    for key in ["c", "a", "b"] {
        rig.put_with(&Put { lease: LeaseId(5), ..Put::new(key, "") }).unwrap();
    }
    let keys: Vec<Bytes> = ["b", "c", "missing", "a", "b"].map(Bytes::from).to_vec();
    let outcome = rig.delete_keys(&keys);
    assert_eq!((outcome.revision, outcome.deleted), (5, 3));
    let changes = rig.snapshot().changes(5, 5, 10, 1000).unwrap();
    let deleted: Vec<_> = changes.revisions[0].events.iter().map(|e| e.key.clone()).collect();
    assert_eq!(deleted, ["a", "b", "c"]);
    let nothing = rig.delete_keys(&keys);
    assert_eq!((nothing.revision, nothing.deleted), (5, 0));
}

#[test]
fn records_are_those_of_etcd() {
    let mut rig = Rig::new();
    rig.put("foo", "bar");
    rig.delete("foo", "");
    rig.put("foo", "baz");
    let records: Vec<_> =
        rig.records().into_iter().map(|(key, value)| (key, hex(&value))).collect();
    let expected = [
        ("00000000000000025f0000000000000000", "0a03666f6f1002180220012a03626172"),
        ("00000000000000035f000000000000000074", "0a03666f6f"),
        ("00000000000000045f0000000000000000", "0a03666f6f1004180420012a0362617a"),
    ];
    assert_eq!(records, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

/// etcd loses the cluster over this one (its issue 22445).
#[test]
fn a_put_that_keeps_what_its_transaction_deleted_fails_whole() {
    let keep = [
        Put { ignore_value: true, ..Put::new("a", "") },
        Put { ignore_lease: true, ..Put::new("a", "2") },
    ];
    for put_op in keep {
        let mut rig = Rig::new();
        rig.put("a", "1");
        rig.put("b", "1");
        let txn = then(vec![put("c", "1"), del("a", "\0"), Op::Put(put_op.clone())]);
        assert_eq!(kind(&rig.txn(&txn).unwrap_err()), "key not found");
        let nested = then(vec![del("a", "\0"), Op::Txn(then(vec![Op::Put(put_op.clone())]))]);
        assert_eq!(kind(&rig.txn(&nested).unwrap_err()), "key not found");
        assert_eq!((rig.store.revision(), rig.get("a").unwrap().version), (3, 1));
        // Written again in between, it exists.
        let again = then(vec![del("a", "\0"), put("a", "2"), Op::Put(put_op)]);
        assert_eq!(rig.txn(&again).unwrap().revision, 4);
        assert_eq!(rig.get("a").unwrap().version, 2);
    }
    let mut rig = Rig::new();
    rig.put("a", "1");
    assert_eq!(rig.txn(&then(vec![del("a", "\0"), put("a", "2")])).unwrap().revision, 3);
    assert_eq!(rig.get("a").unwrap().create_revision, 3);
}

#[test]
fn transactions_nested_without_end_are_refused() {
    let deep = (0..200).fold(Txn::default(), |inner, _| then(vec![Op::Txn(inner)]));
    let mut rig = Rig::new();
    assert!(matches!(rig.txn(&deep), Err(drystone_mvcc::OpError::TooDeep)));
    assert!(matches!(rig.snapshot().txn_read_only(&deep), Err(drystone_mvcc::OpError::TooDeep)));
}
