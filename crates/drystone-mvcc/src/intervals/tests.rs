use super::*;
use proptest::prelude::*;

fn key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0u8..4, 1..4)
}

fn range() -> impl Strategy<Value = KeyRange> {
    let end = prop_oneof![Just(Vec::new()), Just(vec![0]), key(), key(), key()];
    (key(), end).prop_map(|(key, end)| KeyRange::from_fields(key, end))
}

proptest! {
    #[test]
    fn a_union_holds_what_any_of_its_ranges_holds(
        left in proptest::collection::vec(range(), 0..8),
        right in proptest::collection::vec(range(), 0..8),
        keys in proptest::collection::vec(key(), 30),
    ) {
        let (mut union, mut other) = (Intervals::default(), Intervals::default());
        left.iter().for_each(|range| union.insert(range));
        right.iter().for_each(|range| other.insert(range));
        union.extend(other);
        for key in &keys {
            let held = left.iter().chain(&right).any(|range| range.contains(key));
            prop_assert_eq!(union.contains(key), held, "{:?}", key);
        }
    }
}
