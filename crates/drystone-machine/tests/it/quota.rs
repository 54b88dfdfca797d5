//! Quotas: what is admitted, when to warn, when there is room again.

use drystone_machine::RaisedBy;
use drystone_machine::quota::{Look, Quota, RELEASE_PAUSE, Room};
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
