//! What looks for findings: attempts, sums over them, and the files that keep them.

use drystone_sim::{Finding, Kept, PANIC, Plan, Tally, attempt};

fn finding(rule: &str) -> Finding {
    Finding { judge: "witness".to_owned(), rule: rule.to_owned(), text: "seen".to_owned() }
}

/// A plan whose first request divides by its number of clients, which is none.
fn panicking() -> Plan {
    let mut plan = Plan::draw(1);
    plan.knobs.clients = 0;
    plan
}

#[test]
fn a_panic_is_a_finding_and_leaves_the_trace_that_led_to_it() {
    let attempt = attempt(panicking(), None, true);
    let found = attempt.finding.expect("no client can ask");
    assert_eq!(found.judge, PANIC);
    assert!(found.text.contains("zero"), "{found}");
    let report = attempt.report.expect("the judges went on");
    assert!(!report.trace.is_empty(), "what led to it must be there");
}

#[test]
fn a_kept_plan_is_read_as_it_was_written() {
    for seed in 0..50 {
        let kept = Kept { seed, found: finding("answer"), planted: None, plan: Plan::draw(seed) };
        let text = kept.to_json().expect("every plan can be written");
        assert_eq!(Kept::from_json(&text).expect("it was just written"), kept, "seed {seed}");
    }
}

#[test]
fn a_kept_plan_is_named_by_judge_rule_and_seed_in_plain_letters() {
    let found = finding("a majority holds durably what is applied, always and everywhere");
    let kept = Kept { seed: 7, found, planted: None, plan: Plan::draw(8) };
    assert_eq!(kept.file_name(), "witness-a-majority-holds-durably-what-is-applied-7.json");
    let found = finding("drystone-wal/src/wal.rs");
    let kept = Kept { seed: 7, found, planted: None, plan: Plan::draw(8) };
    assert_eq!(kept.file_name(), "witness-drystone-wal-src-wal-rs-7.json");
}

#[test]
fn sums_do_not_depend_on_which_thread_made_which_run() {
    let attempts: Vec<_> = (0..4).map(|seed| attempt(Plan::draw(seed), None, false)).collect();
    let mut whole = Tally::default();
    attempts.iter().for_each(|attempt| whole.add(attempt));
    let mut parts = [Tally::default(), Tally::default()];
    for (number, attempt) in attempts.iter().enumerate() {
        parts[number % 2].add(attempt);
    }
    let [mut sum, other] = parts;
    sum.merge(other);
    assert_eq!((sum.runs, sum.events, sum.simulated), (4, whole.events, whole.simulated));
    assert_eq!(sum.counts.numbers(), whole.counts.numbers());
    assert_eq!(sum.marks, whole.marks);
}

#[test]
fn failures_are_sorted_by_what_was_found() {
    let mut tally = Tally::default();
    for (seed, rule) in [(5, "answer"), (3, "lost"), (4, "answer")] {
        tally.failures.insert(seed, finding(rule));
    }
    let kinds: Vec<_> =
        tally.kinds().into_iter().map(|(seed, found, more)| (seed, &*found.rule, more)).collect();
    assert_eq!(kinds, [(3, "lost", 0), (4, "answer", 1)]);
}

#[test]
fn a_run_that_differs_from_itself_is_told() {
    let (one, other) = (Plan::draw(1), Plan::draw(2));
    let [first, second, third] = [one.clone(), one, other].map(|plan| attempt(plan, None, false));
    let mut tally = Tally::default();
    tally.compare(&first, &second);
    assert_eq!((tally.twice, tally.differing.len()), (1, 0));
    tally.compare(&first, &third);
    assert_eq!((tally.twice, tally.differing), (2, vec![first.seed]));
}
