use super::*;

const OLD: Version = Version([3, 5, 1]);

fn kv(key: &'static str, version: i64) -> KeyValue {
    KeyValue { key: key.into(), version, lease: 7, ..Default::default() }
}

fn by_version(kvs: Vec<KeyValue>, more: bool) -> (Call, Reply) {
    let request = pb::RangeRequest { sort_target: 1, sort_order: 1, ..Default::default() };
    let answer = pb::RangeResponse { kvs, more, ..Default::default() };
    (Call::Range(request), Reply::Range(answer))
}

#[test]
fn equals_may_come_in_any_order_and_nothing_else() {
    let same = |a: Vec<KeyValue>, b: Vec<KeyValue>, more| {
        let (call, a) = by_version(a, more);
        plain(&call, a, None).unwrap() == plain(&call, by_version(b, more).1, None).unwrap()
    };
    assert!(same(vec![kv("a", 1), kv("b", 1)], vec![kv("b", 1), kv("a", 1)], false));
    assert!(!same(vec![kv("a", 1), kv("b", 1)], vec![kv("a", 1), kv("c", 1)], false));
    assert!(!same(vec![kv("a", 1), kv("b", 2)], vec![kv("b", 2), kv("a", 1)], false));
    // The limit may have cut any of the equals.
    assert!(same(vec![kv("a", 1), kv("b", 2)], vec![kv("a", 1), kv("c", 2)], true));
    assert!(!same(vec![kv("a", 1), kv("b", 2)], vec![kv("c", 1), kv("b", 2)], true));
    assert!(!same(vec![kv("a", 1), kv("b", 2)], vec![kv("a", 1), kv("b", 3)], true));
}

#[test]
fn only_an_old_etcd_may_give_leases_with_keys_alone() {
    let request = pb::RangeRequest { keys_only: true, ..Default::default() };
    let call = Call::Range(request);
    let answer = || Reply::Range(pb::RangeResponse { kvs: vec![kv("a", 1)], ..Default::default() });
    let lease = |reply: Reply| match reply {
        Reply::Range(answer) => answer.kvs[0].lease,
        _ => -1,
    };
    assert_eq!(lease(plain(&call, answer(), Some(OLD)).unwrap()), 0);
    assert_eq!(lease(plain(&call, answer(), Some(Version([3, 7, 0]))).unwrap()), 7);
    assert_eq!(lease(plain(&call, answer(), None).unwrap()), 7);
}

#[test]
fn more_time_than_was_granted_is_wrong() {
    let call = Call::TimeToLive(pb::LeaseTimeToLiveRequest::default());
    let left = |ttl| {
        let answer = pb::LeaseTimeToLiveResponse { ttl, granted_ttl: 10, ..Default::default() };
        plain(&call, Reply::TimeToLive(answer), None)
    };
    assert!(left(11).is_err());
    assert_eq!(left(10), left(3));
    assert_ne!(left(-1), left(3));
}

#[test]
fn every_excuse_has_a_reason() {
    assert!(EXCUSED.iter().all(|excuse| !excuse.what.is_empty() && !excuse.reason.is_empty()));
}
