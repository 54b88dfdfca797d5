use super::*;
use std::collections::BTreeMap;

#[test]
fn a_seed_gives_one_schedule_and_another_seed_another() {
    let rounds = |seed| Schedule::new(seed).take(50).collect::<Vec<_>>();
    assert_eq!(rounds(7), rounds(7));
    assert_ne!(rounds(7), rounds(8));
}

#[test]
fn no_kind_comes_twice_before_every_kind_came() {
    for seed in 0..20 {
        let kinds: Vec<Kind> = Schedule::new(seed)
            .take(60)
            .flat_map(|round| round.faults.into_iter().map(|fault| fault.kind))
            .collect();
        // A round sorts its faults by time, so that two neighbours may have changed places.
        let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
        for kind in kinds {
            *counts.entry(kind).or_default() += 1;
        }
        let (least, most) = (counts.values().min(), counts.values().max());
        assert_eq!(counts.len(), Kind::ALL.len(), "seed {seed}");
        assert!(most.unwrap() - least.unwrap() <= 1, "seed {seed}: {counts:?}");
    }
}

#[test]
fn faults_are_within_their_bounds_and_some_overlap() {
    let mut overlaps = 0;
    for round in Schedule::new(3).take(400) {
        assert!((1..=FAULTS_MAX).contains(&round.faults.len()));
        assert!(round.faults.is_sorted_by_key(|fault| fault.at));
        assert_eq!(round.faults[0].at, Duration::ZERO);
        for fault in &round.faults {
            let (shortest, longest) = fault.kind.lasts();
            let lasts = u64::try_from(fault.lasts.as_millis()).unwrap();
            assert!((shortest..=longest).contains(&lasts), "{fault:?}");
            assert_eq!(fault.strength != 0, matches!(fault.kind, Kind::Lossy | Kind::SlowDisk));
        }
        overlaps += usize::from(
            round.faults.windows(2).any(|pair| pair[1].at < pair[0].at + pair[0].lasts),
        );
    }
    assert!(overlaps > 50, "{overlaps}");
}
