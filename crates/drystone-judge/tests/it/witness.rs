//! One wrong history for each rule of the witness, beside a right one.

use crate::rig::{
    Run, command_of, compact, delete, grant, header, keep_alive, leased, put, range, revoke,
    time_to_live, txn_of,
};
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    InternalRaftRequest, LeaseKeepAliveResponse, LeaseLeasesResponse, LeaseStatus, RangeRequest,
};
use drystone_judge::{Outcome, Request, Response, witness};
use drystone_types::{MemberId, Term};
use std::time::Duration;

/// Some of everything.
fn run() -> Run {
    let mut run = Run::new();
    run.put("a", "1");
    run.range("a");
    run.ask(grant(5, 60));
    run.ask(leased("l", 5));
    run.ask(keep_alive(5));
    run.ask(time_to_live(5));
    run.ask(Request::LeaseLeases);
    run.ask(Request::DeleteRange(delete("none")));
    run.ask(Request::Txn(txn_of(&[("b", "1"), ("c", "1")])));
    run.ask(leased("l", 6));
    run.ask(compact(3));
    run.ask(Request::Range(RangeRequest { revision: 2, ..range("a") }));
    run.ask(Request::Range(RangeRequest { revision: 99, ..range("a") }));
    run.ask(Request::Range(RangeRequest { serializable: true, ..range("a") }));
    run.ask(revoke(5));
    run.ask(keep_alive(5));
    run.ask(time_to_live(5));
    run.put("a", "2");
    run
}

fn assert_clean(run: &Run) {
    let verdict = witness(&run.history);
    assert!(verdict.is_clean(), "{verdict}");
}

/// Asserts that the rule is broken.
#[track_caller]
fn assert_breaks(run: &Run, rule: &str) {
    let verdict = witness(&run.history);
    assert!(verdict.breaks(rule), "{rule}: {verdict}");
}

/// The header's revision of a read's answer.
fn set_revision(run: &mut Run, number: usize, revision: i64) {
    match &mut run.operation(number).outcome {
        Outcome::Answered(Response::Range(answer)) => answer.header = header(revision),
        Outcome::Answered(Response::Put(answer)) => answer.header = header(revision),
        other => panic!("no answer of keys: {other:?}"),
    }
}

#[test]
fn right_histories_are_clean_with_and_without_proposals() {
    let mut run = run();
    assert_clean(&run);
    run.forget_proposals();
    assert_clean(&run);
    run.history.log.iter_mut().for_each(|entry| entry.applied_at = None);
    assert_clean(&run);
}

#[test]
fn operations_at_the_same_time_may_stand_in_either_order() {
    let mut run = run();
    let first = run.put("a", "3");
    let read = run.range("a");
    run.operation(read).called_at = run.history.operations[first].returned_at;
    let old = run.history.operations[1].outcome.clone();
    run.put("z", "");
    assert_clean(&run);
    run.operation(read).outcome = old;
    assert_breaks(&run, "stale-read");
}

#[test]
fn rule_log_order() {
    let mut run = run();
    run.history.log[3].term = Term(2);
    assert_breaks(&run, "log-order");
    let mut run = self::run();
    run.history.log.remove(1);
    assert_breaks(&run, "log-order");
}

#[test]
fn rule_applied_twice() {
    let mut run = run();
    let command = run.history.log[0].command.clone().unwrap();
    run.log(command);
    assert_breaks(&run, "applied-twice");
}

#[test]
fn rule_shared_entry() {
    let mut run = run();
    let number = run.put("a", "2");
    run.history.log.pop();
    run.operation(number).proposal = run.history.operations[number - 1].proposal;
    assert_breaks(&run, "shared-entry");
}

#[test]
fn rule_command() {
    let mut run = run();
    run.operation(0).request = Request::Put(put("a", "other"));
    assert_breaks(&run, "command");
}

#[test]
fn rule_lost() {
    let mut run = run();
    run.put("a", "3");
    run.history.log.pop();
    assert_breaks(&run, "lost");
    run.forget_proposals();
    assert_breaks(&run, "lost");
}

#[test]
fn rule_answer_of_writes() {
    let mut run = run();
    set_revision(&mut run, 0, 3);
    assert_breaks(&run, "answer");
    let mut run = self::run();
    let Outcome::Answered(Response::DeleteRange(answer)) = &mut run.operation(7).outcome else {
        panic!("the delete was answered")
    };
    answer.deleted = 1;
    assert_breaks(&run, "answer");
}

#[test]
fn rule_answer_of_reads() {
    let mut run = run();
    let Outcome::Answered(Response::Range(answer)) = &mut run.operation(1).outcome else {
        panic!("the read was answered")
    };
    answer.kvs[0].value = "other".into();
    assert_breaks(&run, "answer");
}

#[test]
fn rule_refusal() {
    for (number, error) in [(9, EtcdError::KeyNotFound), (12, EtcdError::Compacted)] {
        let mut run = run();
        run.operation(number).outcome = Outcome::Refused(error);
        assert_breaks(&run, "refusal");
    }
    let mut run = run();
    run.operation(0).outcome = Outcome::Refused(EtcdError::LeaseNotFound);
    assert_breaks(&run, "refusal");
    let mut run = self::run();
    run.put("z", "");
    run.history.log.pop();
    let number = run.history.operations.len() - 1;
    run.operation(number).outcome = Outcome::Refused(EtcdError::EmptyKey);
    assert_clean(&run);
    run.operation(number).outcome = Outcome::Refused(EtcdError::LeaseNotFound);
    assert_breaks(&run, "refusal");
}

#[test]
fn rule_turned_away() {
    let mut run = run();
    run.put("z", "");
    let number = run.history.operations.len() - 1;
    run.operation(number).outcome = Outcome::TurnedAway(EtcdError::NoLeader);
    assert_breaks(&run, "turned-away");
    run.history.log.pop();
    assert_clean(&run);
}

#[test]
fn rule_real_time() {
    let mut run = run();
    let (first, second) = (run.put("x", "1"), run.put("y", "1"));
    assert_clean(&run);
    for entry in &mut run.history.log {
        entry.applied_at = None;
    }
    // Another run applied them the other way round, and both callers were told so.
    let end = run.history.log.len();
    let (left, right) = (end - 2, end - 1);
    let command = run.history.log[left].command.take();
    run.history.log[left].command = run.history.log[right].command.take();
    run.history.log[right].command = command;
    let outcome = run.history.operations[first].outcome.clone();
    run.operation(first).outcome = run.history.operations[second].outcome.clone();
    run.operation(second).outcome = outcome;
    assert_breaks(&run, "real-time");
    // Had they been at the same time, that would be right.
    run.operation(second).called_at = run.history.operations[first].returned_at;
    assert_clean(&run);
}

#[test]
fn rule_effect_before_call() {
    let mut run = run();
    run.history.log[0].applied_at = Some(Duration::ZERO);
    assert_breaks(&run, "effect-before-call");
    run.operation(0).outcome = Outcome::Unknown;
    assert_breaks(&run, "effect-before-call");
}

#[test]
fn rule_answer_before_effect() {
    let mut run = run();
    let late = run.now() + Duration::from_secs(1);
    let number = run.history.operations.len() - 1;
    run.history.log.last_mut().unwrap().applied_at = Some(late);
    assert_breaks(&run, "answer-before-effect");
    run.operation(number).outcome = Outcome::Unknown;
    assert_clean(&run);
}

#[test]
fn rule_nobody_asked() {
    let mut run = run();
    run.log(command_of(&Request::Put(put("z", ""))).unwrap());
    assert_breaks(&run, "nobody-asked");
    // One that was refused before it was proposed hides nothing.
    let number = run.range("a");
    run.operation(number).request = Request::Put(put("", ""));
    run.operation(number).outcome = Outcome::Refused(EtcdError::EmptyKey);
    assert_breaks(&run, "nobody-asked");
    run.history.operations[0].proposal = None;
    assert_clean(&run);
}

#[test]
fn rule_stale_read() {
    let mut run = run();
    let number = run.range("a");
    run.operation(number).outcome = run.history.operations[1].outcome.clone();
    assert_breaks(&run, "stale-read");
}

#[test]
fn rule_future_read() {
    let mut run = run();
    set_revision(&mut run, 1, 4);
    assert_breaks(&run, "future-read");
    set_revision(&mut run, 1, 400);
    assert_breaks(&run, "future-read");
}

#[test]
fn a_read_forbids_an_older_one_after_it_though_the_write_is_unknown() {
    let mut run = run();
    let before = run.range("a");
    run.ask_unknown(Request::Put(put("a", "3")));
    run.range("a");
    let after = run.range("a");
    assert_clean(&run);
    run.operation(after).outcome = run.history.operations[before].outcome.clone();
    assert_breaks(&run, "stale-read");
}

#[test]
fn rule_serializable_went_back() {
    let mut run = run();
    let local = || Request::Range(RangeRequest { serializable: true, ..range("a") });
    let old = run.ask(local());
    run.put("a", "3");
    run.ask(local());
    let last = run.ask(local());
    run.operation(last).outcome = run.history.operations[old].outcome.clone();
    assert_breaks(&run, "serializable-went-back");
    // Another client, and another member, may be behind.
    run.operation(last).client = 2;
    assert_clean(&run);
    run.operation(last).client = 1;
    run.operation(last).member = MemberId(2);
    assert_clean(&run);
}

#[test]
fn rule_lease_renewed() {
    let mut run = run();
    let number = run.ask(keep_alive(5));
    let revived = LeaseKeepAliveResponse { header: header(9), id: 5, ttl: 60 };
    run.operation(number).outcome = Outcome::Answered(Response::LeaseKeepAlive(revived));
    assert_breaks(&run, "lease-renewed");
    // A keep-alive at the time of the end may still be in time.
    run.operation(number).called_at = run.history.operations[14].called_at;
    assert_clean(&run);
    let Outcome::Answered(Response::LeaseKeepAlive(answer)) = &mut run.operation(4).outcome else {
        panic!("the keep-alive was answered")
    };
    answer.ttl = 61;
    assert_breaks(&run, "lease-renewed");
}

#[test]
fn rule_lease_time() {
    for (number, wrong) in [(5, 16), (16, 5)] {
        let mut run = run();
        run.operation(number).outcome = run.history.operations[wrong].outcome.clone();
        assert_breaks(&run, "lease-time");
    }
    let mut run = run();
    let Outcome::Answered(Response::LeaseTimeToLive(answer)) = &mut run.operation(5).outcome else {
        panic!("the question was answered")
    };
    answer.keys.clear();
    assert_breaks(&run, "lease-time");
}

#[test]
fn rule_lease_list() {
    let mut run = run();
    let list = |ids: &[i64]| {
        let leases = ids.iter().map(|id| LeaseStatus { id: *id }).collect();
        Outcome::Answered(Response::LeaseLeases(LeaseLeasesResponse { header: header(1), leases }))
    };
    run.operation(6).outcome = list(&[]);
    assert_clean(&run);
    run.operation(6).outcome = list(&[5, 6]);
    assert_breaks(&run, "lease-list");
    // That both live later excuses nothing: the answer came before.
    run.ask(grant(6, 60));
    run.ask(grant(5, 60));
    assert_breaks(&run, "lease-list");
}

#[test]
fn the_clusters_own_commands_change_nothing_of_the_verdict() {
    let mut run = run();
    run.log(InternalRaftRequest::default());
    run.log(command_of(&compact(4)).unwrap());
    run.ask(grant(9, 2));
    run.ask(leased("m", 9));
    run.log(command_of(&revoke(9)).unwrap());
    run.range("m");
    assert_clean(&run);
}
