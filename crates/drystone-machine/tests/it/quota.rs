//! Quotas: what is admitted, when to warn, when there is room again.

use drystone_api::etcdserverpb::{
    InternalRaftRequest, PutRequest, RequestOp, TxnRequest, request_op::Request,
};
use drystone_api::limits::QUOTA_PUT_OVERHEAD_BYTES;
use drystone_machine::RaisedBy;
use drystone_machine::quota::{Look, Quota, RELEASE_PAUSE, Room, cost};
use proptest::prelude::*;
use std::time::Duration;

const NOW: Duration = Duration::ZERO;
const QUOTA: Quota = Quota { bytes: Some(1_000), warning_percent: 80 };

#[test]
fn what_costs_nothing_is_always_admitted() {
    assert!(QUOTA.admits(5_000, 0), "deletes, compactions, ends of leases");
    assert!(QUOTA.admits(900, 99));
    assert!(!QUOTA.admits(900, 100), "as etcd: the store must stay below its quota");
    assert!(!QUOTA.admits(u64::MAX, 1));
    let none = Quota { bytes: None, warning_percent: 80 };
    assert!(none.admits(u64::MAX, u64::MAX));
}

#[test]
fn the_soft_limit_warns_once_for_each_crossing() {
    let mut room = Room::new(QUOTA);
    let steps = [(799, false), (800, true), (1_200, false), (799, false), (800, false)];
    for (live_bytes, warn) in steps {
        assert_eq!(room.look(NOW, live_bytes, None), Look { warn, release: false });
    }
    // It fell well below the limit: the next crossing is news.
    for (live_bytes, warn) in [(749, false), (790, false), (800, true)] {
        assert_eq!(room.look(NOW, live_bytes, None), Look { warn, release: false });
    }
    let mut silent = Room::new(Quota { warning_percent: 0, ..QUOTA });
    assert_eq!(silent.look(NOW, 5_000, None), Look::default());
}

#[test]
fn a_member_with_room_again_clears_its_own_alarm_and_asks_again_after_a_pause() {
    let own = Some(RaisedBy::Itself);
    let mut room = Room::new(Quota { warning_percent: 0, ..QUOTA });
    assert!(!room.look(NOW, 1_000, own).release, "it is full");
    assert!(!room.look(NOW, 900, own).release, "it hovers at its quota");
    assert!(room.look(NOW, 899, own).release);
    assert!(!room.look(NOW, 100, own).release, "asked a moment ago");
    assert!(room.look(NOW + RELEASE_PAUSE, 100, own).release);
    assert!(!room.look(NOW + 3 * RELEASE_PAUSE, 100, None).release, "there is none");
    let operators = Some(RaisedBy::Operator);
    assert!(!room.look(NOW + 3 * RELEASE_PAUSE, 100, operators).release, "an operator's");
}

#[test]
fn a_raised_quota_gives_room_again() {
    let mut room = Room::new(Quota { bytes: None, warning_percent: 80 });
    assert!(room.look(NOW, 1 << 40, Some(RaisedBy::Itself)).release);
}

proptest! {
    /// Whatever the store does: with an alarm of its own a member asks for its end only below
    /// the line, at most once a pause, and at the next look after the pause at the latest.
    #[test]
    fn an_alarm_is_cleared_below_the_line_only_and_at_a_pace(
        sizes in prop::collection::vec((0u64..2_000, 0u64..1_500), 1..100),
    ) {
        let mut room = Room::new(QUOTA);
        let (mut now, mut last) = (NOW, None::<Duration>);
        for (live_bytes, millis) in sizes {
            now += Duration::from_millis(millis);
            let release = room.look(now, live_bytes, Some(RaisedBy::Itself)).release;
            let paused = last.is_none_or(|last| now >= last + RELEASE_PAUSE);
            prop_assert_eq!(release, live_bytes < 900 && paused);
            if release {
                last = Some(now);
            }
        }
    }
}

fn put_of(bytes: usize) -> RequestOp {
    let put = PutRequest { key: vec![b'k'; bytes].into(), ..PutRequest::default() };
    RequestOp { request: Some(Request::RequestPut(put)) }
}

/// etcd counted the outermost transaction only, before 3.7.1: what was nested filled the store
/// past its quota.
#[test]
fn etcd_3_7_1_puts_in_a_nested_transaction_count_against_the_quota() {
    let mut txn = TxnRequest { success: vec![put_of(10)], ..TxnRequest::default() };
    let mut expected = QUOTA_PUT_OVERHEAD_BYTES + 10;
    for depth in 1..20 {
        let inner = RequestOp { request: Some(Request::RequestTxn(txn)) };
        // The larger branch counts, whichever it is.
        let (more, less) = (vec![inner, put_of(depth)], vec![put_of(1)]);
        let (success, failure) = if depth % 2 == 0 { (more, less) } else { (less, more) };
        txn = TxnRequest { success, failure, ..TxnRequest::default() };
        expected += QUOTA_PUT_OVERHEAD_BYTES + depth as u64;
        let request = InternalRaftRequest { txn: Some(txn.clone()), ..Default::default() };
        assert_eq!(cost(&request), expected, "{depth} deep");
    }
}

/// What [`Room`] should say, without its states: by all that was seen before.
#[derive(Default)]
struct Twin {
    seen: Vec<u64>,
    released: Option<Duration>,
}

impl Twin {
    fn look(&mut self, now: Duration, live_bytes: u64, alarm: Option<RaisedBy>) -> Look {
        let above = live_bytes >= 800;
        // It was told already when the store has not been below 75 % since it was above 80 %.
        let told = self.seen.iter().rev().take_while(|bytes| **bytes >= 750).any(|b| *b >= 800);
        self.seen.push(live_bytes);
        let paused = self.released.is_none_or(|last| now >= last + RELEASE_PAUSE);
        let release = alarm == Some(RaisedBy::Itself) && live_bytes < 900 && paused;
        if release {
            self.released = Some(now);
        }
        Look { warn: above && !told, release }
    }
}

fn alarm() -> impl Strategy<Value = Option<RaisedBy>> {
    prop_oneof![
        1 => Just(None),
        3 => Just(Some(RaisedBy::Itself)),
        1 => Just(Some(RaisedBy::Operator)),
    ]
}

proptest! {
    /// Whatever the store does and whoever raises alarms: warnings and requests are those of a
    /// twin that looks at all that was seen.
    #[test]
    fn a_members_room_is_that_of_a_twin_that_remembers_everything(
        steps in prop::collection::vec((600u64..1_100, 0u64..1_500, alarm()), 1..120),
    ) {
        let (mut room, mut twin, mut now) = (Room::new(QUOTA), Twin::default(), NOW);
        for (live_bytes, millis, alarm) in steps {
            now += Duration::from_millis(millis);
            let look = room.look(now, live_bytes, alarm);
            prop_assert_eq!(look, twin.look(now, live_bytes, alarm), "{} at {:?}", live_bytes, now);
        }
    }

    /// However many requests are lost with their leaders, an alarm of the member's own ends once
    /// the store is below the line and one request gets through; and a store that hovers around
    /// its quota does not raise and clear in turns.
    #[test]
    fn an_alarm_ends_though_requests_are_lost_and_does_not_flap(
        lost in prop::collection::vec(any::<bool>(), 0..20),
        hovering in prop::collection::vec(901u64..1_200, 0..50),
    ) {
        let (mut room, mut now) = (Room::new(QUOTA), NOW);
        let mut alarm = Some(RaisedBy::Itself);
        for live_bytes in hovering {
            now += RELEASE_PAUSE;
            prop_assert!(!room.look(now, live_bytes, alarm).release);
        }
        let mut fates = lost.iter().copied().chain(std::iter::once(false));
        let mut looks = 0;
        while alarm.is_some() {
            now += RELEASE_PAUSE / 2;
            looks += 1;
            prop_assert!(looks <= 2 * (lost.len() + 1), "it is not asked for often enough");
            if room.look(now, 899, alarm).release && !fates.next().unwrap() {
                alarm = None;
            }
        }
        prop_assert!(!room.look(now + RELEASE_PAUSE, 0, alarm).release, "there is none any more");
    }
}
