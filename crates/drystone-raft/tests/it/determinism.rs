//! The same seed twice gives the same run.

use crate::net::{Knobs, Net};
use rand::Rng;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};

fn trace(seed: u64) -> u64 {
    let mut net = Net::new(3, seed);
    net.trace = Some(DefaultHasher::new());
    net.knobs = Knobs { loss: 100, delay_steps_max: 20, disk_steps_max: 10, ..Knobs::default() };
    for _ in 0..600 {
        if net.rng.random_bool(0.1) {
            let id = net.rng.random_range(1..=3);
            net.propose(id);
            net.read(id);
        }
        if net.rng.random_bool(0.005) {
            let id = net.rng.random_range(1..=3);
            net.crash(id);
            net.start(id);
        }
        net.step();
    }
    net.trace.unwrap().finish()
}

#[test]
fn two_hundred_seeds_replay() {
    let traces: BTreeSet<_> = (0..200)
        .map(|seed| {
            let first = trace(seed);
            assert_eq!(first, trace(seed), "seed {seed} ran differently the second time");
            first
        })
        .collect();
    assert_eq!(traces.len(), 200, "different seeds give different runs");
}
