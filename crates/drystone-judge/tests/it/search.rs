//! The search accepts what some order explains, and nothing else.

use crate::rig::{Run, command_of, compact, grant, leased, put, range, revoke};
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{LeaseGrantRequest, RangeRequest};
use drystone_judge::{Outcome, Request, Response, Searched, search};
use std::time::Duration;

const STEPS_MAX: usize = 100_000;

fn run() -> Run {
    let mut run = Run::new();
    run.put("a", "1");
    run.range("a");
    run.put("a", "2");
    run.range("a");
    run
}

#[track_caller]
fn assert_found(run: &Run, found: Searched) {
    // The log is the witness's: take it away.
    let mut history = run.history.clone();
    history.log.clear();
    history.operations.iter_mut().for_each(|operation| operation.proposal = None);
    assert_eq!(search(&history, STEPS_MAX), found);
}

#[test]
fn a_right_history_is_linearizable_within_the_steps() {
    let mut run = run();
    run.ask(grant(5, 60));
    run.ask(leased("l", 5));
    run.ask(leased("l", 6));
    run.ask(compact(3));
    run.ask(Request::Range(RangeRequest { revision: 2, ..range("a") }));
    run.ask(Request::Range(RangeRequest { revision: 3, ..range("a") }));
    run.ask(revoke(5));
    run.range("l");
    assert_found(&run, Searched::Linearizable);
    assert_eq!(search(&run.history, 3), Searched::Undecided);
}

#[test]
fn a_stale_read_is_not() {
    let mut run = run();
    run.operation(3).outcome = run.history.operations[1].outcome.clone();
    assert_found(&run, Searched::NotLinearizable);
    // At the time of the write it is.
    run.operation(3).called_at = run.history.operations[2].returned_at;
    assert_found(&run, Searched::Linearizable);
}

#[test]
fn a_lost_write_is_not() {
    let mut run = run();
    run.put("z", "");
    let last = run.range("z");
    run.operation(last).outcome = {
        let mut empty = Run::new();
        empty.put("a", "1");
        empty.put("a", "2");
        empty.put("b", "");
        let read = empty.range("z");
        empty.history.operations[read].outcome.clone()
    };
    assert_found(&run, Searched::NotLinearizable);
}

#[test]
fn a_wrong_refusal_is_not() {
    let mut run = run();
    run.ask(leased("l", 5));
    assert_found(&run, Searched::Linearizable);
    run.ask(grant(5, 60));
    let number = run.ask(leased("l", 5));
    assert_found(&run, Searched::Linearizable);
    run.operation(number).outcome = Outcome::Refused(EtcdError::LeaseNotFound);
    assert_found(&run, Searched::NotLinearizable);
    run.operation(number).outcome = Outcome::Refused(EtcdError::NoSpace);
    assert_found(&run, Searched::Linearizable);
}

#[test]
fn the_unknown_may_happen_late_or_never() {
    let mut run = run();
    let unknown = run.ask_unknown(Request::Put(put("a", "3")));
    assert_found(&run, Searched::Linearizable);
    run.range("a");
    assert_found(&run, Searched::Linearizable);
    // It was seen, so it must have been called before.
    let now = run.now() + Duration::from_secs(1);
    run.operation(unknown).called_at = now;
    assert_found(&run, Searched::NotLinearizable);
}

#[test]
fn a_lease_may_end_by_itself_when_its_time_has_passed() {
    for (wait, found) in [(61, Searched::Linearizable), (59, Searched::NotLinearizable)] {
        let mut run = run();
        run.ask(grant(5, 60));
        run.ask(leased("l", 5));
        run.wait(Duration::from_secs(wait));
        run.log(command_of(&revoke(5)).expect("revokes are logged"));
        run.range("l");
        assert_found(&run, found);
    }
}

#[test]
fn a_lease_whose_id_the_cluster_picked_is_the_one_it_told() {
    let mut run = run();
    let number = run.ask(grant(5, 60));
    run.ask(leased("l", 5));
    run.operation(number).request = Request::LeaseGrant(LeaseGrantRequest { id: 0, ttl: 60 });
    assert_found(&run, Searched::Linearizable);
    let Outcome::Answered(Response::LeaseGrant(answer)) = &mut run.operation(number).outcome else {
        panic!("the grant was answered")
    };
    answer.id = 6;
    assert_found(&run, Searched::NotLinearizable);
}
