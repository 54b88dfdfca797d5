use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn lessor() -> Lessor {
    Lessor::new(Config::default())
}

/// What a store holds after the batches were written to it.
fn write(store: &mut BTreeMap<Bytes, Bytes>, batch: &Batch) {
    for change in batch.changes() {
        match change {
            drystone_backend::Change::Put { key, value, .. } => {
                store.insert(key.clone(), value.clone());
            }
            drystone_backend::Change::Delete { key, .. } => {
                store.remove(key);
            }
        }
    }
}

#[test]
fn grants_are_checked_in_etcds_order() {
    let (mut lessor, mut out) = (lessor(), Batch::new());
    assert_eq!(lessor.grant(&mut out, LeaseId(0), 5, SECOND), Err(Error::NoId));
    let too_large = Error::TtlTooLarge { ttl_seconds: TTL_SECONDS_MAX + 1 };
    assert_eq!(lessor.grant(&mut out, LeaseId(1), TTL_SECONDS_MAX + 1, SECOND), Err(too_large));
    for (id, asked, granted) in
        [(1, 0, 2), (2, -5, 2), (3, 3, 3), (-4, TTL_SECONDS_MAX, TTL_SECONDS_MAX)]
    {
        let answer = lessor.grant(&mut out, LeaseId(id), asked, SECOND);
        assert_eq!(answer, Ok(Granted { id: LeaseId(id), ttl_seconds: granted }));
    }
    assert_eq!(lessor.grant(&mut out, LeaseId(1), 9, SECOND), Err(Error::Exists(LeaseId(1))));
    assert_eq!(out.changes().len(), 4);
}

#[test]
fn revoke_names_the_keys_in_order_and_removes_the_record() {
    let (mut lessor, mut out) = (lessor(), Batch::new());
    lessor.grant(&mut out, LeaseId(5), 9, SECOND).unwrap();
    lessor.grant(&mut out, LeaseId(6), 9, SECOND).unwrap();
    for key in ["c", "a", "b", "d"] {
        lessor.attach(&Bytes::from(key), LeaseId(0), LeaseId(5)).unwrap();
    }
    lessor.attach(&Bytes::from("b"), LeaseId(5), LeaseId(6)).unwrap();
    lessor.attach(&Bytes::from("c"), LeaseId(5), LeaseId(5)).unwrap();
    lessor.attach(&Bytes::from("d"), LeaseId(5), LeaseId(0)).unwrap();
    let unknown = lessor.attach(&Bytes::from("z"), LeaseId(0), LeaseId(9));
    assert_eq!(unknown, Err(Error::NotFound(LeaseId(9))));

    let mut store = BTreeMap::new();
    write(&mut store, &out);
    assert_eq!(store.len(), 2);
    let mut out = Batch::new();
    assert_eq!(lessor.revoke(&mut out, LeaseId(5)).unwrap(), ["a", "c"]);
    write(&mut store, &out);
    assert_eq!(store.keys().map(|key| key[7]).collect::<Vec<_>>(), [6]);
    assert_eq!(lessor.revoke(&mut out, LeaseId(5)), Err(Error::NotFound(LeaseId(5))));
    assert_eq!(lessor.keys(LeaseId(6)).unwrap(), ["b"]);
}

#[test]
fn a_checkpoint_stops_at_the_first_unknown_lease() {
    let (mut lessor, mut out) = (lessor(), Batch::new());
    for id in 1..=2 {
        lessor.grant(&mut out, LeaseId(id), 900, SECOND).unwrap();
    }
    let list = [(LeaseId(1), 500), (LeaseId(7), 5), (LeaseId(2), 400)];
    assert_eq!(lessor.checkpoint(&mut out, &list), Err(Error::NotFound(LeaseId(7))));
    let mut store = BTreeMap::new();
    write(&mut store, &out);
    let mut lessor = Lessor::open(&store, Config::default()).unwrap();
    lessor.promote(at(100), SECOND);
    let left = |id| lessor.time_to_live(LeaseId(id), at(100), false).unwrap().remaining_seconds;
    assert_eq!((left(1), left(2)), (501, 901));
}

#[test]
fn a_shorter_record_is_raised_to_the_shortest_time() {
    let (mut lessor, mut out) = (lessor(), Batch::new());
    lessor.grant(&mut out, LeaseId(1), 0, SECOND).unwrap();
    lessor.grant(&mut out, LeaseId(2), 50, SECOND).unwrap();
    let mut store = BTreeMap::new();
    write(&mut store, &out);
    let longer = Config { ttl_seconds_min: 9, ..Config::default() };
    let lessor = Lessor::open(&store, longer).unwrap();
    let granted =
        |id| lessor.time_to_live(LeaseId(id), at(0), false).map(|left| left.granted_seconds);
    assert_eq!((granted(1), granted(2), granted(3)), (Some(9), Some(50), None));
}

#[test]
fn only_the_primary_times_leases() {
    let (mut lessor, mut out) = (lessor(), Batch::new());
    lessor.grant(&mut out, LeaseId(1), 5, SECOND).unwrap();
    assert!(lessor.expired(at(1000), 10).is_empty());
    assert_eq!(lessor.renew(LeaseId(1), at(1000)), Err(Error::NotPrimary));
    assert_eq!(lessor.next_due(), None);

    lessor.promote(at(1000), SECOND);
    assert_eq!(lessor.next_due(), Some(at(1006)));
    assert!(lessor.expired(at(1006) - Duration::from_nanos(1), 10).is_empty());
    assert_eq!(lessor.expired(at(1006), 10), [LeaseId(1)]);
    assert_eq!(lessor.renew(LeaseId(1), at(1006)), Err(Error::Expired(LeaseId(1))));
    assert!(lessor.expired(at(1008), 10).is_empty());
    assert_eq!(lessor.expired(at(1009), 10), [LeaseId(1)]);

    lessor.demote();
    assert!(lessor.expired(at(9999), 10).is_empty());
    lessor.promote(at(10_000), SECOND);
    assert_eq!(lessor.renew(LeaseId(1), at(10_001)).unwrap().ttl_seconds, 5);
    assert_eq!(lessor.renew(LeaseId(2), at(10_001)), Err(Error::NotFound(LeaseId(2))));
}

#[test]
fn a_renewal_after_a_checkpoint_asks_for_a_zero_until_it_is_applied() {
    let (mut lessor, mut out) = (lessor(), Batch::new());
    lessor.promote(at(0), SECOND);
    lessor.grant(&mut out, LeaseId(1), 1000, at(0)).unwrap();
    assert!(!lessor.renew(LeaseId(1), at(0)).unwrap().checkpoint_zero);
    assert!(lessor.due_checkpoints(at(299), 10).is_empty());
    assert_eq!(lessor.due_checkpoints(at(300), 10), [(LeaseId(1), 700)]);
    // Not applied yet, but it may be before the renewal's answer reaches the client.
    assert!(lessor.renew(LeaseId(1), at(310)).unwrap().checkpoint_zero);
    lessor.checkpoint(&mut out, &[(LeaseId(1), 700)]).unwrap();
    assert!(lessor.renew(LeaseId(1), at(311)).unwrap().checkpoint_zero);
    assert!(lessor.due_checkpoints(at(700), 10).is_empty(), "a remainder would undo the zero");
    lessor.checkpoint(&mut out, &[(LeaseId(1), 0)]).unwrap();
    assert!(!lessor.renew(LeaseId(1), at(701)).unwrap().checkpoint_zero);
    assert_eq!(lessor.due_checkpoints(at(1001), 10), [(LeaseId(1), 700)]);
}

#[test]
fn an_extension_does_not_let_a_checkpoint_grow() {
    let (mut lessor, mut out) = (lessor(), Batch::new());
    lessor.grant(&mut out, LeaseId(1), 1000, at(0)).unwrap();
    lessor.checkpoint(&mut out, &[(LeaseId(1), 400)]).unwrap();
    lessor.promote(at(0), at(350));
    assert!(lessor.due_checkpoints(at(300), 10).is_empty(), "450 s left, 400 s logged");
    assert_eq!(lessor.due_checkpoints(at(600), 10), [(LeaseId(1), 150)]);
    assert!(lessor.due_checkpoints(at(749), 10).is_empty());
}

#[test]
fn a_promotion_spreads_a_mass_expiry_and_keeps_its_order() {
    let (mut lessor, mut out) = (lessor(), Batch::new());
    for id in 1..=3000 {
        lessor.grant(&mut out, LeaseId(id), 10 + i64::from(id > 2900), at(0)).unwrap();
    }
    lessor.promote(at(0), SECOND);
    assert!(lessor.expired(at(10), 9999).is_empty());
    let mut seen = Vec::new();
    for second in 11..=20 {
        let due = lessor.expired(at(second), 9999);
        assert!(due.len() <= 750, "{} in second {second}", due.len());
        for id in due {
            lessor.revoke(&mut out, id).unwrap();
            seen.push(id.0);
        }
    }
    assert_eq!(seen, (1..=3000).collect::<Vec<_>>());
}

#[test]
fn a_crowd_of_renewed_leases_does_not_make_one_call_long() {
    let (mut lessor, mut out) = (lessor(), Batch::new());
    lessor.promote(at(0), SECOND);
    for id in 1..=5000 {
        lessor.grant(&mut out, LeaseId(id), 10, at(0)).unwrap();
        lessor.renew(LeaseId(id), at(5)).unwrap();
    }
    lessor.grant(&mut out, LeaseId(6000), 10, at(0)).unwrap();
    let mut calls = 0;
    while lessor.expired(at(12), 10).is_empty() {
        calls += 1;
        assert!(calls < 10);
    }
    assert!(calls >= 4, "{calls} calls for 5000 moved leases");
}

#[derive(Clone, Debug)]
enum Op {
    Grant { id: i64, ttl: i64 },
    Revoke { id: i64 },
    Attach { key: u8, to: i64 },
    Checkpoint { list: Vec<(i64, i64)> },
    Renew { id: i64 },
    Promote { extend: u64 },
    Demote,
    Reopen,
    Wait { milliseconds: u64 },
    Expired { max: usize },
    DueCheckpoints { apply: bool },
}

fn op() -> impl Strategy<Value = Op> {
    let id = 0_i64..8;
    prop_oneof![
        4 => (id.clone(), -1_i64..30).prop_map(|(id, ttl)| Op::Grant { id, ttl }),
        1 => id.clone().prop_map(|id| Op::Revoke { id }),
        4 => (0_u8..12, id.clone()).prop_map(|(key, to)| Op::Attach { key, to }),
        1 => proptest::collection::vec((id.clone(), 0_i64..20), 0..3)
            .prop_map(|list| Op::Checkpoint { list }),
        4 => id.prop_map(|id| Op::Renew { id }),
        2 => (0_u64..3).prop_map(|extend| Op::Promote { extend }),
        1 => Just(Op::Demote),
        1 => Just(Op::Reopen),
        6 => (0_u64..6000).prop_map(|milliseconds| Op::Wait { milliseconds }),
        4 => (0_usize..10).prop_map(|max| Op::Expired { max }),
        3 => any::<bool>().prop_map(|apply| Op::DueCheckpoints { apply }),
    ]
}

/// One lease as the twin sees it: everything spelled out, looked through from end to end.
#[derive(Clone, Debug)]
struct TwinLease {
    ttl: i64,
    left: i64,
    deadline: Option<Duration>,
    quiet_until: Duration,
}

#[derive(Debug)]
struct Twin {
    config: Config,
    lessor: Lessor,
    store: BTreeMap<Bytes, Bytes>,
    leases: BTreeMap<i64, TwinLease>,
    keys: BTreeMap<Bytes, i64>,
    primary: bool,
    now: Duration,
}

impl Twin {
    fn new() -> Self {
        let config = Config {
            checkpoint_interval: Some(at(4)),
            spread_leases_min: 5,
            spread_expiries_per_second_max: 2,
            ..Config::default()
        };
        let lessor = Lessor::new(config.clone());
        let (store, leases, keys) = Default::default();
        Self { config, lessor, store, leases, keys, primary: false, now: at(0) }
    }

    fn step(&mut self, op: Op) -> Result<(), TestCaseError> {
        let mut out = Batch::new();
        match op {
            Op::Grant { id, ttl } => self.grant(&mut out, id, ttl)?,
            Op::Revoke { id } => self.revoke(&mut out, id)?,
            Op::Attach { key, to } => self.attach(Bytes::copy_from_slice(&[key]), to)?,
            Op::Checkpoint { list } => self.checkpoint(&mut out, &list)?,
            Op::Renew { id } => self.renew(&mut out, id)?,
            Op::Promote { extend } => self.promote(at(extend)),
            Op::Demote => {
                self.lessor.demote();
                self.primary = false;
            }
            Op::Reopen => self.reopen()?,
            Op::Wait { milliseconds } => self.now += Duration::from_millis(milliseconds),
            Op::Expired { max } => self.expired(max)?,
            Op::DueCheckpoints { apply } => self.due_checkpoints(&mut out, apply)?,
        }
        write(&mut self.store, &out);
        self.agree()
    }

    fn grant(&mut self, out: &mut Batch, id: i64, ttl: i64) -> Result<(), TestCaseError> {
        let answer = self.lessor.grant(out, LeaseId(id), ttl, self.now);
        if id == 0 {
            prop_assert_eq!(answer, Err(Error::NoId));
        } else if self.leases.contains_key(&id) {
            prop_assert_eq!(answer, Err(Error::Exists(LeaseId(id))));
        } else {
            let ttl = ttl.max(2);
            prop_assert_eq!(answer, Ok(Granted { id: LeaseId(id), ttl_seconds: ttl }));
            let deadline = self.primary.then(|| self.now + at(ttl.unsigned_abs()));
            let lease = TwinLease { ttl, left: 0, deadline, quiet_until: at(0) };
            self.leases.insert(id, lease);
        }
        Ok(())
    }

    fn revoke(&mut self, out: &mut Batch, id: i64) -> Result<(), TestCaseError> {
        let answer = self.lessor.revoke(out, LeaseId(id));
        if self.leases.remove(&id).is_none() {
            prop_assert_eq!(answer, Err(Error::NotFound(LeaseId(id))));
            return Ok(());
        }
        let mut keys = Vec::new();
        self.keys.retain(|key, lease| {
            if *lease == id {
                keys.push(key.clone());
            }
            *lease != id
        });
        prop_assert_eq!(answer, Ok(keys));
        Ok(())
    }

    fn attach(&mut self, key: Bytes, to: i64) -> Result<(), TestCaseError> {
        let before = self.keys.get(&key).copied().unwrap_or(0);
        if to != 0 && !self.leases.contains_key(&to) {
            return Ok(());
        }
        self.lessor.attach(&key, LeaseId(before), LeaseId(to)).unwrap();
        self.keys.remove(&key);
        if to != 0 {
            self.keys.insert(key, to);
        }
        Ok(())
    }

    fn checkpoint(&mut self, out: &mut Batch, list: &[(i64, i64)]) -> Result<(), TestCaseError> {
        let ids: Vec<_> = list.iter().map(|&(id, left)| (LeaseId(id), left)).collect();
        let answer = self.lessor.checkpoint(out, &ids);
        let mut expected = Ok(());
        for (id, left) in list {
            let Some(lease) = self.leases.get_mut(id) else {
                expected = Err(Error::NotFound(LeaseId(*id)));
                break;
            };
            lease.left = *left;
        }
        prop_assert_eq!(answer, expected);
        Ok(())
    }

    fn renew(&mut self, out: &mut Batch, id: i64) -> Result<(), TestCaseError> {
        let answer = self.lessor.renew(LeaseId(id), self.now);
        if !self.primary {
            prop_assert_eq!(answer, Err(Error::NotPrimary));
            return Ok(());
        }
        let Some(lease) = self.leases.get_mut(&id) else {
            prop_assert_eq!(answer, Err(Error::NotFound(LeaseId(id))));
            return Ok(());
        };
        if lease.deadline.unwrap() <= self.now {
            prop_assert_eq!(answer, Err(Error::Expired(LeaseId(id))));
            return Ok(());
        }
        let renewed = answer.unwrap();
        prop_assert_eq!(renewed.ttl_seconds, lease.ttl);
        prop_assert!(renewed.checkpoint_zero || lease.left == 0);
        lease.deadline = Some(self.now + at(lease.ttl.unsigned_abs()));
        if renewed.checkpoint_zero {
            self.lessor.checkpoint(out, &[(LeaseId(id), 0)]).unwrap();
            lease.left = 0;
        }
        Ok(())
    }

    fn promote(&mut self, extend: Duration) {
        self.lessor.promote(self.now, extend);
        self.primary = true;
        let mut by_deadline = Vec::new();
        for (id, lease) in &mut self.leases {
            let base = if lease.left > 0 { lease.left } else { lease.ttl };
            lease.quiet_until = at(0);
            by_deadline.push((self.now + at(base.unsigned_abs()) + extend, *id));
        }
        by_deadline.sort();
        let spread = by_deadline.len() > self.config.spread_leases_min;
        let mut given: Vec<Duration> = Vec::new();
        for (mut deadline, id) in by_deadline {
            // Never more than the limit within any window that a first expiry opens.
            if spread {
                deadline = deadline.max(given.last().copied().unwrap_or_default());
                let window = self.lessor_deadline(id);
                assert!(window >= deadline, "moved forward");
                deadline = window;
            }
            given.push(deadline);
            self.leases.get_mut(&id).unwrap().deadline = Some(deadline);
        }
        if spread {
            for (position, deadline) in given.iter().enumerate() {
                let close = given[position..].iter().filter(|at| **at < *deadline + SECOND);
                assert!(close.count() <= 2 * self.config.spread_expiries_per_second_max);
            }
        }
    }

    /// The deadline as the lessor shows it, to the millisecond.
    fn lessor_deadline(&self, id: i64) -> Duration {
        let mut low = self.now;
        let mut high = self.now + at(1000);
        let dead = |now| {
            let mut probe = self.lessor.clone();
            probe.renew(LeaseId(id), now) == Err(Error::Expired(LeaseId(id)))
        };
        if dead(low) {
            return low;
        }
        while high - low > Duration::from_millis(1) {
            let middle = low + (high - low) / 2;
            if dead(middle) { high = middle } else { low = middle }
        }
        Duration::from_millis(u64::try_from(high.as_millis()).unwrap())
    }

    fn reopen(&mut self) -> Result<(), TestCaseError> {
        self.lessor = Lessor::open(&self.store, self.config.clone()).unwrap();
        let keys = self.keys.iter().map(|(key, id)| (LeaseId(*id), key.clone()));
        prop_assert_eq!(self.lessor.attach_all(keys), 0);
        self.primary = false;
        Ok(())
    }

    fn expired(&mut self, max: usize) -> Result<(), TestCaseError> {
        let answer = self.lessor.expired(self.now, max);
        let due = |lease: &TwinLease| {
            self.primary && lease.deadline.unwrap() <= self.now && lease.quiet_until <= self.now
        };
        let count = self.leases.values().filter(|lease| due(lease)).count();
        prop_assert_eq!(answer.len(), count.min(max));
        for id in answer {
            prop_assert!(due(&self.leases[&id.0]), "{id} is not due");
            self.leases.get_mut(&id.0).unwrap().quiet_until = self.now + self.config.expiry_retry;
        }
        Ok(())
    }

    fn due_checkpoints(&mut self, out: &mut Batch, apply: bool) -> Result<(), TestCaseError> {
        let list = self.lessor.due_checkpoints(self.now, 100);
        for (id, left) in &list {
            let lease = &self.leases[&id.0];
            let logged = if lease.left > 0 { lease.left } else { lease.ttl };
            prop_assert!(*left < logged, "{left} after {logged}");
            let real = lease.deadline.unwrap() - self.now;
            let real = i64::try_from(real.as_millis().div_ceil(1000)).unwrap();
            prop_assert_eq!(*left, real.min(logged));
        }
        if apply {
            self.lessor.checkpoint(out, &list).unwrap();
            for (id, left) in list {
                self.leases.get_mut(&id.0).unwrap().left = left;
            }
        }
        Ok(())
    }

    fn agree(&self) -> Result<(), TestCaseError> {
        let mut ids: Vec<i64> = self.lessor.list().iter().map(|id| id.0).collect();
        ids.sort_unstable();
        prop_assert_eq!(ids, self.leases.keys().copied().collect::<Vec<_>>());
        for (id, lease) in &self.leases {
            let shown = self.lessor.time_to_live(LeaseId(*id), self.now, true).unwrap();
            let left = if self.primary {
                let left = lease.deadline.unwrap().saturating_sub(self.now);
                i64::try_from(left.as_secs()).unwrap()
            } else if lease.left > 0 {
                lease.left
            } else {
                lease.ttl
            };
            let keys: Vec<_> =
                self.keys.iter().filter(|(_, to)| *to == id).map(|(key, _)| key.clone()).collect();
            let expected = TimeToLive { remaining_seconds: left, granted_seconds: lease.ttl, keys };
            prop_assert_eq!(shown, expected);
        }
        if let Some(primary) = &self.lessor.primary {
            primary.check(&self.lessor.leases);
        }
        prop_assert_eq!(self.store.len(), self.leases.len());
        Ok(())
    }
}

proptest! {
    #[test]
    fn agrees_with_a_naive_twin(ops in proptest::collection::vec(op(), 1..120)) {
        let mut twin = Twin::new();
        for op in ops {
            twin.step(op)?;
        }
    }
}
