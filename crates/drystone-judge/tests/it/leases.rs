//! One wrong history for each rule of leases, beside right ones.

use crate::rig::{Run, command_of, grant, header, keep_alive, revoke};
use drystone_api::etcdserverpb::LeaseKeepAliveResponse;
use drystone_judge::{Outcome, Response, judge, leases};
use drystone_types::Term;
use std::time::Duration;

/// A lease of ten seconds that is renewed after six.
fn run() -> Run {
    let mut run = Run::new();
    run.ask(grant(5, 10));
    run.wait(Duration::from_secs(6));
    run.ask(keep_alive(5));
    run
}

fn expire(run: &mut Run) {
    run.log(command_of(&revoke(5)).expect("revokes are logged"));
}

#[track_caller]
fn assert_clean(run: &Run) {
    let verdict = judge(&run.history);
    assert!(verdict.is_clean(), "{verdict}");
}

#[track_caller]
fn assert_breaks(run: &Run, rule: &str) {
    let verdict = leases(&run.history);
    assert!(verdict.breaks(rule), "{rule}: {verdict}");
}

#[test]
fn rule_lease_early() {
    let mut run = run();
    run.wait(Duration::from_secs(10));
    expire(&mut run);
    assert_clean(&run);
    let mut run = self::run();
    run.wait(Duration::from_secs(9));
    expire(&mut run);
    assert_breaks(&run, "lease-early");
    // A clock that runs fast may end it so.
    run.history.lease_clock.fastest = 1.2;
    assert_clean(&run);
    // So may a keep-alive that nobody was told of have come to nothing.
    run.history.lease_clock.fastest = 1.0;
    run.operation(1).outcome = Outcome::Unknown;
    assert_clean(&run);
}

#[test]
fn a_client_may_end_a_lease_early() {
    let mut run = run();
    run.ask(revoke(5));
    assert_clean(&run);
    let number = run.history.operations.len() - 1;
    run.operation(number).outcome = Outcome::Unknown;
    run.operation(number).proposal = None;
    assert_clean(&run);
}

#[test]
fn a_renewal_of_the_next_lease_of_an_id_does_not_count_for_the_one_before() {
    let mut run = run();
    run.wait(Duration::from_secs(5));
    let renewal = run.ask(keep_alive(5));
    run.wait(Duration::from_secs(5));
    expire(&mut run);
    run.ask(grant(5, 10));
    assert_breaks(&run, "lease-early");
    // Answered after the next grant, it may have renewed that.
    run.operation(renewal).returned_at = run.now();
    assert_clean(&run);
}

#[test]
fn rule_lease_overdue() {
    let mut run = run();
    run.history.settled_at = Some(run.now());
    run.wait(Duration::from_secs(19));
    run.put("z", "");
    assert_clean(&run);
    run.wait(Duration::from_secs(2));
    run.put("z", "");
    assert_breaks(&run, "lease-overdue");
    let settled_at = run.history.settled_at.take();
    assert_clean(&run);
    // A new leader begins to count anew.
    run.history.settled_at = settled_at;
    run.history.log.last_mut().expect("there are entries").term = Term(2);
    assert_clean(&run);
    run.history.log.last_mut().expect("there are entries").term = Term(1);
    // Somebody tried to renew it, and may have.
    run.ask_unknown(keep_alive(5));
    assert_clean(&run);
    expire(&mut run);
    run.wait(Duration::from_secs(100));
    run.put("z", "");
    assert!(!leases(&run.history).breaks("lease-overdue"));
}

#[test]
fn rule_lease_denied() {
    let mut run = run();
    run.wait(Duration::from_secs(9));
    let last = run.ask(keep_alive(5));
    let gone = LeaseKeepAliveResponse { header: header(1), id: 5, ttl: 0 };
    run.operation(last).outcome = Outcome::Answered(Response::LeaseKeepAlive(gone));
    assert_breaks(&run, "lease-denied");
    // It had run out, had the keep-alive before come to nothing.
    run.operation(1).outcome = Outcome::Unknown;
    assert_clean(&run);
    run.operation(1).outcome = run.history.operations[last].outcome.clone();
    assert_breaks(&run, "lease-denied");
}
