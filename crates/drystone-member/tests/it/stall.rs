//! A member whose log or apply side stands still does not lead, and does not begin to.

use crate::bench::{Bench, ELECTION, ME, THREE, TWO, Works};
use drystone_raft::{Message, MessageKind};
use drystone_types::{LogIndex, Term};

#[test]
fn a_leader_whose_log_or_apply_side_stands_still_hands_over_after_an_election_timeout() {
    for works in [Works::NoLog, Works::NoApply] {
        let mut bench = Bench::leader(&[ME, TWO, THREE]);
        bench.works = works;
        bench.put();
        assert_eq!(bench.ticks_until_deposed(2 * ELECTION), Some(ELECTION + 1), "{works:?}");
        assert_eq!(bench.sent(MessageKind::TimeoutNow), 1, "{works:?}");
    }
}

#[test]
fn a_stalled_leader_whom_nobody_relieves_steps_down_within_two_election_timeouts() {
    for (works, acknowledge) in
        [(Works::NoLog, false), (Works::NoLog, true), (Works::NoApply, true)]
    {
        let mut bench = Bench::leader(&[ME, TWO, THREE]);
        bench.works = works;
        // Without a follower that has everything, nobody can be told to take over.
        bench.acknowledge = acknowledge;
        bench.put();
        let led = (0..2 * ELECTION).take_while(|_| {
            bench.tick();
            bench.leads()
        });
        assert!(led.count() < 2 * ELECTION, "{works:?}");
        let took_over = bench.sent(MessageKind::TimeoutNow);
        assert_eq!(took_over, usize::from(acknowledge), "{works:?}");
        // And it does not come back by itself.
        for _ in 0..10 * ELECTION {
            bench.tick();
            assert!(!bench.leads(), "{works:?}");
        }
        bench.works = Works::All;
        bench.work();
        for _ in 0..3 * ELECTION {
            bench.tick();
        }
        assert!(bench.leads(), "it may lead again once its work came back: {works:?}");
    }
}

#[test]
fn heartbeats_do_not_wait_for_the_log_nor_for_the_apply_side() {
    for works in [Works::NoLog, Works::NoApply] {
        let mut bench = Bench::leader(&[ME, TWO, THREE]);
        bench.works = works;
        bench.put();
        for _ in 0..ELECTION {
            let before = bench.sent(MessageKind::Heartbeat);
            bench.tick();
            assert_eq!(bench.sent(MessageKind::Heartbeat), before + 2, "{works:?}");
        }
    }
}

#[test]
fn a_leader_whose_disk_is_slow_but_moves_goes_on_leading() {
    let mut bench = Bench::leader(&[ME, TWO, THREE]);
    bench.works = Works::NoLog;
    for tick in 1..=30 * ELECTION {
        if tick % 3 == 0 {
            bench.put();
        }
        if tick % ELECTION == 0 {
            bench.log_moves();
        }
        bench.tick();
        assert!(bench.leads() && bench.sent(MessageKind::TimeoutNow) == 0, "at tick {tick}");
    }
}

#[test]
fn an_idle_leader_goes_on_leading() {
    let mut bench = Bench::leader(&[ME, TWO, THREE]);
    for _ in 0..10 * ELECTION {
        bench.tick();
        assert!(bench.leads());
    }
    assert_eq!(bench.sent(MessageKind::TimeoutNow), 0);
}

#[test]
fn a_lone_voter_with_a_hung_disk_goes_on_leading() {
    let mut bench = Bench::leader(&[ME]);
    bench.works = Works::NoLog;
    bench.put();
    for _ in 0..10 * ELECTION {
        bench.tick();
        assert!(bench.leads());
    }
}

#[test]
fn a_member_whose_log_or_apply_side_stands_still_neither_campaigns_nor_takes_leadership_over() {
    for works in [Works::NoLog, Works::NoApply] {
        let mut bench = Bench::follower();
        bench.works = works;
        let entry =
            drystone_types::Entry { term: Term(1), index: LogIndex(1), ..Default::default() };
        let append = Message::new(MessageKind::Append, TWO, ME, Term(1));
        let append = Message { entries: vec![entry], commit: LogIndex(1), ..append };
        bench.node.receive(append).unwrap();
        bench.settle();
        for _ in 0..=ELECTION {
            bench.tick();
            bench.hear();
        }
        let asked =
            |bench: &Bench| bench.sent(MessageKind::PreVote) + bench.sent(MessageKind::Vote);
        bench.told_to_lead();
        assert_eq!((asked(&bench), bench.node.leadership().term), (0, Term(1)), "{works:?}");
        for _ in 0..10 * ELECTION {
            bench.tick();
        }
        assert_eq!((asked(&bench), bench.leads()), (0, false), "{works:?}");
        // Its work comes back, and it is like any other.
        bench.works = Works::All;
        bench.work();
        for _ in 0..3 * ELECTION {
            bench.tick();
        }
        assert!(bench.leads(), "{works:?}");
    }
}

#[test]
fn votes_that_come_while_the_apply_side_stands_still_do_not_make_a_leader() {
    let mut bench = Bench::follower();
    bench.works = Works::NoApply;
    let entry = drystone_types::Entry { term: Term(1), index: LogIndex(1), ..Default::default() };
    let append = Message::new(MessageKind::Append, TWO, ME, Term(1));
    let append = Message { entries: vec![entry], commit: LogIndex(1), ..append };
    bench.node.receive(append).unwrap();
    bench.settle();
    for _ in 0..ELECTION {
        bench.tick();
        bench.hear();
    }
    // It stands for election just before it is known to stand still; the votes come after.
    bench.node.receive(Message::new(MessageKind::TimeoutNow, TWO, ME, Term(1))).unwrap();
    let effects = bench.node.effects();
    let asked = effects.append.iter().flat_map(|append| &append.then_send);
    let asked: Vec<_> = asked.filter(|m| m.kind == MessageKind::Vote).cloned().collect();
    assert_eq!(asked.len(), 2, "{effects:?}");
    effects.append.iter().for_each(|append| bench.node.persisted(append.number));
    bench.node.tick();
    bench.settle();
    asked.into_iter().for_each(|message| bench.answer(message));
    bench.settle();
    assert_eq!((bench.leads(), bench.node.leadership().term), (false, Term(2)));
}
