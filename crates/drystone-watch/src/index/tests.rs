use super::*;
use proptest::prelude::*;

fn key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0_u8..3, 0..4)
}

fn range() -> impl Strategy<Value = KeyRange> {
    (key(), key(), 0..3).prop_map(|(start, end, kind)| match kind {
        0 => KeyRange::key(start),
        1 => KeyRange { start: start.into(), end: RangeEnd::Unbounded },
        _ => KeyRange { start: start.into(), end: RangeEnd::Before(end.into()) },
    })
}

proptest! {
    #[test]
    fn finds_what_a_look_at_every_range_finds(
        ranges in proptest::collection::vec((range(), any::<bool>()), 1..60),
        keys in proptest::collection::vec(key(), 1..20),
        seed in any::<u64>(),
    ) {
        let mut index = Index::new(Random(seed));
        for ((range, _), slot) in ranges.iter().zip(0..) {
            index.insert(range, slot);
            index.insert(range, slot);
        }
        for ((range, removed), slot) in ranges.iter().zip(0..) {
            if *removed {
                index.remove(range, slot);
                index.remove(range, slot);
            }
        }
        index.ranges.check();
        for key in keys {
            let mut found = Vec::new();
            index.visit(&key, |slot| found.push(slot));
            found.sort_unstable();
            let expected: Vec<Slot> = ranges
                .iter()
                .zip(0..)
                .filter(|((range, removed), _)| !removed && range.contains(&key))
                .map(|(_, slot)| slot)
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
