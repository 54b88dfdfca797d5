use super::*;
use proptest::prelude::*;

/// A key's versions: steps to the next main revision (0 stays in it), and whether it is a put.
fn versions() -> impl Strategy<Value = Vec<Version>> {
    let step = (0..4i64, prop::bool::weighted(0.7));
    prop::collection::vec(step, 1..400).prop_map(|steps| {
        let (mut main, mut sub, mut versions) = (2, 0, Vec::new());
        for (step, put) in steps {
            main += step;
            sub = if step == 0 { sub + 1 } else { 0 };
            versions.push(Version { main, sub, tombstone: !put });
        }
        versions
    })
}

fn entry(versions: &[Version]) -> Entry {
    let add = |before: Option<Entry>, version: &Version| {
        Some(if version.tombstone {
            Entry::delete(before, version.main, version.sub)
        } else {
            Entry::put(before, *version, Numbers::default(), 7)
        })
    };
    versions.iter().fold(None, add).unwrap()
}

fn check(entry: &Entry, versions: &[Version]) {
    assert!(entry.versions().eq(versions.iter().copied()));
    let last = versions.last().unwrap().main;
    for main in 0..=last + 1 {
        let naive = versions.iter().rev().find(|version| version.main <= main);
        assert_eq!(entry.at(main), naive.copied());
    }
}

#[test]
fn lengths_are_known_up_to_a_bound_and_take_no_room() {
    let version = Version { main: 2, sub: 0, tombstone: false };
    for (length, known) in [
        (0, Some(0)),
        (300, Some(300)),
        (0x12_3456, Some(0x12_3456)),
        (LENGTH_MAX - 1, Some(LENGTH_MAX - 1)),
        (LENGTH_MAX, None),
        (usize::MAX, None),
    ] {
        assert_eq!(Entry::put(None, version, Numbers::default(), length).length(), known);
    }
    assert_eq!(size_of::<Entry>(), 48);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn an_entry_is_the_list_of_its_versions(versions in versions(), cut in 0..400usize) {
        let half = &versions[..(cut % versions.len()).max(1)];
        let held = entry(half);
        let whole = versions[half.len()..].iter().fold(held.clone(), |entry, version| {
            let numbers = Numbers::default();
            if version.tombstone {
                Entry::delete(Some(entry), version.main, version.sub)
            } else {
                Entry::put(Some(entry), *version, numbers, 7)
            }
        });
        check(&held, half);
        check(&whole, &versions);
    }

    #[test]
    fn compaction_keeps_what_can_be_read(versions in versions(), compact in 0..1200i64) {
        let entry = entry(&versions);
        let mut keep = Vec::new();
        let pruned = entry.prune(compact, &mut keep);
        let left: Vec<_> = versions
            .iter()
            .enumerate()
            .filter(|(at, version)| {
                let newest = versions.get(at + 1).is_none_or(|next| next.main > compact);
                version.main > compact
                    || if version.tombstone { version.main == compact } else { newest }
            })
            .map(|(_, version)| *version)
            .collect();
        let kept = left.iter().filter(|version| version.main <= compact);
        prop_assert!(keep.into_iter().eq(kept.map(|version| version.revision())));
        match pruned {
            Pruned::Same => prop_assert_eq!(left, versions),
            Pruned::Gone => prop_assert!(left.is_empty()),
            Pruned::Less(entry) => {
                prop_assert!(left.len() < versions.len());
                check(&entry, &left);
            }
        }
    }
}
