use super::*;
use crate::random::call::Call;
use std::collections::BTreeSet;

fn draw(seed: u64) -> Draw {
    let mut draw = Draw::new(seed, Version::new([3, 5, 1]));
    draw.revision = 500;
    draw.compacted = 100;
    draw
}

#[test]
fn the_seed_decides() {
    let steps = |seed| {
        let mut draw = draw(seed);
        (0..300).map(|_| format!("{:?}", draw.step())).collect::<Vec<_>>()
    };
    assert_eq!(steps(1), steps(1));
    assert_ne!(steps(1), steps(2));
}

#[test]
fn every_kind_of_call_is_drawn() {
    let mut draw = draw(1);
    let mut kinds = BTreeSet::new();
    let mut watches = 0;
    let mut alone = 0;
    for _ in 0..5_000 {
        match draw.step() {
            Step::Together(calls) => kinds.extend(calls.iter().map(Call::kind)),
            Step::One(call) => drop(kinds.insert(call.kind())),
            Step::Alone(..) => alone += 1,
            Step::Watch(_) => watches += 1,
        }
    }
    assert_eq!(kinds.len(), 13, "{kinds:?}");
    assert!(watches > 20 && alone > 2, "{watches} {alone}");
}
