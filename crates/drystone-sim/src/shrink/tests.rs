//! What shrinking leaves.

use super::shrink;
use crate::plan::{Fault, Op, Plan, What};

/// Fails like a bug that needs a compaction and a lost disk, in any order.
fn needs_two_steps(plan: &Plan) -> bool {
    let compacts = |what: &What| matches!(what, What::Ask(ask) if matches!(ask.op, Op::Put(_)));
    let hands_over = |what: &What| matches!(what, What::Fault(Fault::Crash { .. }));
    plan.steps.iter().any(|step| compacts(&step.what))
        && plan.steps.iter().any(|step| hands_over(&step.what))
}

fn failing() -> Plan {
    (0..).map(Plan::draw).find(needs_two_steps).expect("most plans put and crash")
}

#[test]
fn a_failure_of_two_steps_is_left_with_two_steps_in_the_smallest_cluster() {
    let small = shrink(failing(), 10_000, needs_two_steps).plan;
    assert_eq!(small.steps.len(), 2, "{small:#?}");
    assert_eq!((small.knobs.members, small.knobs.clients), (1, 1));
    assert_eq!(small.knobs.loss_percent, 0);
    assert!(needs_two_steps(&small), "what is left must fail");
}

#[test]
fn shrinking_stops_when_its_runs_are_spent() {
    let mut asked = 0;
    let shrunk = shrink(failing(), 7, |plan| {
        asked += 1;
        needs_two_steps(plan)
    });
    assert!(asked <= 7, "{asked}");
    assert_eq!(shrunk.runs, asked);
    assert!(needs_two_steps(&shrunk.plan), "what is left must fail");
}

#[test]
fn a_plan_that_nothing_smaller_fails_like_comes_back_as_it_was() {
    let plan = failing();
    let whole = plan.clone();
    let shrunk =
        shrink(plan.clone(), 10_000, |tried| tried.steps == whole.steps && *tried == whole);
    assert_eq!(shrunk.plan, plan);
}
