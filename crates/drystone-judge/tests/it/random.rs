//! Random histories: right ones are accepted by everyone, and what is broken in them is found.

use crate::rig::{header, read};
use crate::world::{Size, World, world};
use drystone_judge::{
    History, Outcome, Request, Response, Searched, StreamHeard, judge, search, watches, witness,
};
use proptest::prelude::*;

const LARGE: Size =
    Size { operations: 150, clients: 5, keys: 6, everything: true, proposals: true };
const SMALL: Size =
    Size { operations: 14, clients: 3, keys: 2, everything: false, proposals: true };
const STEPS_MAX: usize = 200_000;

/// Numbers of the operations whose answer is of this kind.
fn answered(history: &History, kind: fn(&Request, &Response) -> bool) -> Vec<usize> {
    let numbers = history.operations.iter().enumerate().filter(|(_, operation)| {
        matches!(&operation.outcome, Outcome::Answered(answer) if kind(&operation.request, answer))
    });
    numbers.map(|(number, _)| number).collect()
}

fn is_put(_: &Request, answer: &Response) -> bool {
    matches!(answer, Response::Put(_))
}

fn is_linear_range(request: &Request, answer: &Response) -> bool {
    matches!(request, Request::Range(range) if !range.serializable)
        && matches!(answer, Response::Range(_))
}

fn set_revision(history: &mut History, number: usize, change: i64) {
    if let Outcome::Answered(Response::Put(answer)) = &mut history.operations[number].outcome {
        answer.header = header(answer.header.map_or(0, |header| header.revision) + change);
    }
}

/// Gives a read an answer from before something that had returned when it was called; false
/// when there is no such answer.
fn make_stale(world: &mut World, number: usize) -> bool {
    let called_at = world.history.operations[number].called_at;
    let told = |operation: &drystone_judge::Operation| match &operation.outcome {
        Outcome::Answered(Response::Put(answer)) if operation.returned_at < called_at => {
            answer.header.map(|header| header.revision)
        }
        _ => None,
    };
    let floor = world.history.operations.iter().filter_map(told).max();
    let Some(floor) = floor else { return false };
    let old = world.states.iter().rfind(|state| state.revision() < floor);
    let answer = old.map(|old| read(old, &world.history.operations[number].request));
    let Some(Ok(answer)) = answer else { return false };
    world.history.operations[number].outcome = Outcome::Answered(answer);
    true
}

/// Gives a read a value that never was; false when it has none.
fn make_false(history: &mut History, number: usize) -> bool {
    let outcome = &mut history.operations[number].outcome;
    let Outcome::Answered(Response::Range(answer)) = outcome else { return false };
    let Some(pair) = answer.kvs.first_mut() else { return false };
    pair.value = "never".into();
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn right_histories_are_clean(seed: u64, proposals: bool) {
        let history = world(seed, Size { proposals, ..LARGE }).history;
        let verdict = judge(&history);
        prop_assert!(verdict.is_clean(), "{verdict}");
        let mut unseen = history;
        unseen.log.iter_mut().for_each(|entry| entry.applied_at = None);
        let verdict = judge(&unseen);
        prop_assert!(verdict.is_clean(), "{verdict}");
    }

    #[test]
    fn right_histories_are_found_linearizable(seed: u64, everything: bool) {
        let history = world(seed, Size { everything, ..SMALL }).history;
        prop_assert_eq!(search(&history, STEPS_MAX), Searched::Linearizable);
    }

    #[test]
    fn a_changed_revision_is_found(seed: u64, place: usize, up: bool) {
        let mut history = world(seed, LARGE).history;
        let puts = answered(&history, is_put);
        prop_assume!(!puts.is_empty());
        set_revision(&mut history, puts[place % puts.len()], if up { 1 } else { -1 });
        prop_assert!(witness(&history).breaks("answer"));
    }

    #[test]
    fn a_stale_read_is_found(seed: u64, place: usize) {
        let mut world = world(seed, LARGE);
        let reads = answered(&world.history, is_linear_range);
        prop_assume!(!reads.is_empty());
        prop_assume!(make_stale(&mut world, reads[place % reads.len()]));
        prop_assert!(!witness(&world.history).is_clean());
    }

    #[test]
    fn an_answer_that_never_was_is_found(seed: u64, place: usize) {
        let mut history = world(seed, LARGE).history;
        let reads = answered(&history, is_linear_range);
        prop_assume!(!reads.is_empty());
        prop_assume!(make_false(&mut history, reads[place % reads.len()]));
        prop_assert!(witness(&history).breaks("answer"));
    }

    #[test]
    fn a_lost_and_a_repeated_entry_are_found(seed: u64, place: usize, lose: bool) {
        let mut history = world(seed, LARGE).history;
        let puts = answered(&history, is_put);
        prop_assume!(!puts.is_empty());
        let id = history.operations[puts[place % puts.len()]].proposal;
        let entry = history.log.iter().position(|entry| {
            let header = entry.command.as_ref().and_then(|command| command.header.as_ref());
            header.map(|header| header.id) == id
        });
        let entry = entry.expect("what was answered is in the log");
        if lose {
            history.log[entry].command = None;
        } else {
            let again = history.log[entry].clone();
            history.log.push(again);
        }
        let rule = if lose { "lost" } else { "applied-twice" };
        prop_assert!(witness(&history).breaks(rule));
    }

    #[test]
    fn a_dropped_and_a_repeated_event_are_found(seed: u64, place: usize, lose: bool) {
        let mut history = world(seed, LARGE).history;
        let mut heard: Vec<_> = history
            .streams
            .iter_mut()
            .flat_map(|stream| &mut stream.events)
            .filter_map(|event| match &mut event.what {
                StreamHeard::Response { response, .. } if !response.events.is_empty() => {
                    Some(response)
                }
                _ => None,
            })
            .collect();
        prop_assume!(!heard.is_empty());
        let place = place % heard.len();
        if lose {
            heard[place].events.pop();
        } else {
            let again = heard[place].events[0].clone();
            heard[place].events.push(again);
        }
        prop_assert!(!watches(&history).is_clean());
    }

    #[test]
    fn swapped_events_are_found(seed: u64, place: usize) {
        let mut history = world(seed, LARGE).history;
        let mut heard: Vec<_> = history
            .streams
            .iter_mut()
            .flat_map(|stream| &mut stream.events)
            .filter_map(|event| match &mut event.what {
                StreamHeard::Response { response, .. } if response.events.len() > 1 => {
                    Some(&mut response.events)
                }
                _ => None,
            })
            .collect();
        prop_assume!(!heard.is_empty());
        let place = place % heard.len();
        prop_assume!(heard[place][0] != heard[place][1]);
        heard[place].swap(0, 1);
        prop_assert!(!watches(&history).is_clean());
    }

    #[test]
    fn witness_and_search_agree_on_what_is_broken(seed: u64, place: usize, kind in 0..3) {
        let mut world = world(seed, SMALL);
        let wanted = if kind == 2 { is_put } else { is_linear_range };
        let numbers = answered(&world.history, wanted);
        prop_assume!(!numbers.is_empty());
        let number = numbers[place % numbers.len()];
        let broken = match kind {
            0 => make_stale(&mut world, number),
            1 => make_false(&mut world.history, number),
            _ => {
                set_revision(&mut world.history, number, 50);
                true
            }
        };
        prop_assume!(broken);
        prop_assert!(!witness(&world.history).is_clean());
        prop_assert_eq!(search(&world.history, STEPS_MAX), Searched::NotLinearizable);
    }

    #[test]
    fn the_witness_accepts_nothing_that_the_search_refuses(
        seed: u64, left: usize, right: usize, proposals: bool
    ) {
        let mut history = world(seed, Size { proposals, ..SMALL }).history;
        // What one was told, the other was told too; often that can be.
        let told = history.operations.len();
        let outcome = history.operations[left % told].outcome.clone();
        let same = std::mem::discriminant(&history.operations[left % told].request)
            == std::mem::discriminant(&history.operations[right % told].request);
        prop_assume!(same && !history.log.is_empty());
        // Who was turned away and is in the log all the same can only be told by proposals.
        prop_assume!(proposals || !matches!(outcome, Outcome::TurnedAway(_)));
        history.operations[right % told].outcome = outcome;
        if search(&history, STEPS_MAX) == Searched::NotLinearizable {
            prop_assert!(!witness(&history).is_clean());
        }
    }
}
