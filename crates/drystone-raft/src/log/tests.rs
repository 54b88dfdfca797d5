use super::*;
use bytes::Bytes;
use drystone_types::Term;
use proptest::prelude::*;
use raft::Storage;

fn entry(index: u64, term: u64, kind: EntryKind, len: usize) -> Entry {
    Entry { term: Term(term), index: LogIndex(index), kind, data: Bytes::from(vec![7; len]) }
}

fn empty() -> Log {
    Log::new(Applied::default(), Vec::new(), LogIndex(0), <_>::default())
}

fn indexes(log: &Log, low: u64, high: u64, max: Option<u64>) -> Vec<u64> {
    let entries = log.entries(low, high, max, GetEntriesContext::empty(false)).unwrap();
    entries.iter().map(|entry| entry.index).collect()
}

#[test]
fn campaigning_loads_only_configuration_changes() {
    let mut log = empty();
    let kind = |index| if index % 40_000 == 0 { EntryKind::ConfChange } else { EntryKind::Normal };
    log.append((1..=100_000).map(|index| entry(index, 1, kind(index), 10)).collect());
    assert_eq!(indexes(&log, 1, 100_001, None), [40_000, 80_000]);
    assert_eq!(indexes(&log, 40_001, 80_000, None), []);
    assert_eq!(log.conf_change_in(1, 39_999), None);
    assert_eq!(log.conf_change_in(40_001, 100_000), Some(80_000));
}

#[test]
fn a_bound_on_the_size_lets_at_least_one_entry_through() {
    let mut log = empty();
    log.append((1..=5).map(|index| entry(index, 1, EntryKind::Normal, 1000)).collect());
    assert_eq!(indexes(&log, 2, 6, Some(0)), [2]);
    assert_eq!(indexes(&log, 2, 6, Some(2 * (1000 + ENTRY_OVERHEAD_BYTES))), [2, 3]);
    assert_eq!(indexes(&log, 2, 6, Some(u64::MAX)), [2, 3, 4, 5]);
}

#[test]
fn a_snapshot_is_asked_for_until_it_is_offered_and_lost_by_compaction() {
    let mut log = empty();
    log.append((1..=5).map(|index| entry(index, 1, EntryKind::Normal, 1)).collect());
    log.applied_to(5);
    assert!(log.snapshot(0, 9).is_err());
    assert!(log.snapshot(0, 3).is_err());
    assert_eq!(log.take_wanted(), [3, 9]);
    assert_eq!(log.take_wanted(), []);
    let conf_state = ConfState { voters: vec![MemberId(9)], learners: Vec::new() };
    let (index, term) = (LogIndex(3), Term(1));
    log.offer(Some(SnapshotMeta { index, term, conf_state, data: Bytes::new() }));
    assert!(log.snapshot(0, 3).is_err(), "a snapshot from before the peer joined");
    assert_eq!(log.take_wanted(), [3]);
    assert_eq!(log.snapshot(0, 9).unwrap().get_metadata().index, 3);
    log.compact(3);
    assert!(log.snapshot(0, 9).is_ok());
    log.compact(4);
    assert!(log.snapshot(0, 9).is_err());
}

#[derive(Clone, Debug)]
enum Op {
    Append { back: u64, count: u64, conf: bool },
    Applied(u64),
    Compact(u64),
    Restore(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..4_u64, 0..6_u64, any::<bool>())
            .prop_map(|(back, count, conf)| Op::Append { back, count, conf }),
        2 => (0..40_u64).prop_map(Op::Applied),
        2 => (0..40_u64).prop_map(Op::Compact),
        1 => (1..5_u64).prop_map(Op::Restore),
    ]
}

proptest! {
    #[test]
    fn agrees_with_a_plain_list(ops in prop::collection::vec(op(), 1..40)) {
        let mut log = empty();
        let (mut all, mut start, mut applied) = (Vec::<Entry>::new(), 0_u64, 0_u64);
        let mut term = 1;
        for op in ops {
            let last = start + all.len() as u64;
            match op {
                Op::Append { back, count, conf } => {
                    term += 1;
                    let first = (last + 1).saturating_sub(back).max(start + 1).max(applied + 1);
                    let kind = if conf { EntryKind::ConfChange } else { EntryKind::Normal };
                    let new: Vec<_> = (first..first + count)
                        .map(|index| entry(index, term, kind, (index % 7) as usize))
                        .collect();
                    if !new.is_empty() {
                        all.retain(|entry| entry.index.0 < first);
                    }
                    all.extend(new.clone());
                    log.append(new);
                }
                Op::Applied(to) => {
                    applied = applied.max(to.min(last));
                    log.applied_to(to.min(last));
                }
                Op::Compact(to) => {
                    let to = to.min(applied);
                    log.compact(to);
                    start = start.max(to);
                    all.retain(|entry| entry.index.0 > start);
                }
                Op::Restore(ahead) => {
                    start = last + ahead;
                    applied = applied.max(start);
                    all.clear();
                    log.restore(Applied { index: LogIndex(start), term: Term(term) });
                }
            }
            let last = start + all.len() as u64;
            prop_assert_eq!((log.start().index.0, log.last()), (start, last));
            prop_assert_eq!(log.bytes(), all.iter().map(entry_bytes).sum::<u64>());
            let unapplied = all.iter().filter(|entry| entry.index.0 > applied);
            prop_assert_eq!(log.unapplied_bytes(), unapplied.map(entry_bytes).sum::<u64>());
            for entry in &all {
                prop_assert_eq!(log.term_of(entry.index.0), Some(entry.term.0));
            }
            prop_assert_eq!(log.term_of(last + 1), None);
            let changes: Vec<_> = all
                .iter()
                .filter(|entry| entry.kind != EntryKind::Normal)
                .map(|entry| entry.index.0)
                .collect();
            prop_assert_eq!(indexes(&log, start + 1, last + 1, None), changes);
        }
    }
}
