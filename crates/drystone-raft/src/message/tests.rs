use super::*;
use proptest::prelude::*;

const HERE: MemberId = MemberId(1);

fn message(kind: MessageKind) -> Message {
    let term = if kind.is_termless() { 0 } else { 5 };
    Message::new(kind, MemberId(2), HERE, Term(term))
}

fn entry(index: u64, term: u64) -> Entry {
    Entry { index: LogIndex(index), term: Term(term), ..Entry::default() }
}

fn append(index: u64, log_term: u64, entries: Vec<Entry>) -> Message {
    let mut out = message(MessageKind::Append);
    (out.index, out.log_term, out.entries) = (LogIndex(index), Term(log_term), entries);
    out
}

#[test]
fn kinds_that_a_member_sends_itself_do_not_travel() {
    for kind in MessageKind::ALL {
        let refused = message(kind).check(HERE) == Err(MessageError::LocalKind(kind));
        assert_eq!(refused, [0, 1, 10, 11, 12].contains(&(kind as u8)), "{kind:?}");
    }
}

#[test]
fn sender_and_recipient_must_be_right() {
    let mut heartbeat = message(MessageKind::Heartbeat);
    assert_eq!(heartbeat.check(HERE), Ok(()));
    assert_eq!(heartbeat.check(MemberId(3)), Err(MessageError::Recipient(HERE)));
    heartbeat.from = MemberId(0);
    assert_eq!(heartbeat.check(HERE), Err(MessageError::Sender(MemberId(0))));
    heartbeat.from = HERE;
    assert_eq!(heartbeat.check(HERE), Err(MessageError::Sender(HERE)));
}

#[test]
fn only_forwarded_requests_have_no_term() {
    for kind in MessageKind::ALL.into_iter().filter(|kind| !kind.is_local()) {
        let mut message = message(kind);
        message.term = Term(if kind.is_termless() { 5 } else { 0 });
        assert!(matches!(message.check(HERE), Err(MessageError::Term { .. })), "{kind:?}");
        message.term = Term(u64::MAX);
        assert!(matches!(message.check(HERE), Err(MessageError::Term { .. })), "{kind:?}");
    }
}

#[test]
fn an_index_without_a_term_matches_nothing() {
    assert_eq!(append(0, 0, vec![entry(1, 1)]).check(HERE), Ok(()));
    for (index, log_term) in [(7, 0), (0, 3), (7, 6)] {
        let refused = append(index, log_term, Vec::new()).check(HERE);
        assert!(matches!(refused, Err(MessageError::LogTerm { .. })), "{index} {log_term}");
    }
    let mut response = message(MessageKind::AppendResponse);
    response.reject_hint = LogIndex(u64::MAX);
    assert_eq!(response.check(HERE), Err(MessageError::Index(LogIndex(u64::MAX))));
}

#[test]
fn entries_follow_on_in_rising_terms() {
    assert_eq!(append(3, 2, vec![entry(4, 2), entry(5, 5)]).check(HERE), Ok(()));
    for entries in [
        vec![entry(5, 2)],
        vec![entry(3, 2)],
        vec![entry(4, 1)],
        vec![entry(4, 6)],
        vec![entry(4, 4), entry(5, 3)],
        vec![entry(4, 4), entry(6, 4)],
    ] {
        let refused = append(3, 2, entries.clone()).check(HERE);
        assert!(matches!(refused, Err(MessageError::EntryOrder { .. })), "{entries:?}");
    }
    let refused = append(0, 0, vec![entry(1, 0)]).check(HERE);
    assert!(matches!(refused, Err(MessageError::EntryOrder { .. })));
}

#[test]
fn reads_carry_one_entry_and_proposals_at_least_one() {
    for (kind, counts) in [
        (MessageKind::ReadIndex, [false, true, false]),
        (MessageKind::ReadIndexResponse, [false, true, false]),
        (MessageKind::Propose, [false, true, true]),
        (MessageKind::Heartbeat, [true, false, false]),
    ] {
        for (count, allowed) in counts.into_iter().enumerate() {
            let mut message = message(kind);
            message.entries = vec![Entry::default(); count];
            let error = Err(MessageError::EntryCount { kind, count });
            assert_eq!(message.check(HERE), if allowed { Ok(()) } else { error });
        }
    }
    let mut read = message(MessageKind::ReadIndex);
    read.entries = vec![Entry { data: vec![0; 1025].into(), ..Entry::default() }];
    assert_eq!(read.check(HERE), Err(MessageError::ReadContext(1025)));
}

#[test]
fn configuration_changes_must_be_readable_and_simple() {
    for kind in [MessageKind::Propose, MessageKind::Append] {
        let mut message = message(kind);
        let mut entry = entry(1, 1);
        entry.kind = EntryKind::ConfChange;
        entry.data = Bytes::from_static(&[0x10, 3]);
        message.entries = vec![entry.clone()];
        assert_eq!(message.check(HERE), Ok(()));
        message.entries[0].data = Bytes::from_static(&[0x10, 9]);
        assert!(matches!(message.check(HERE), Err(MessageError::ConfChange(_))));
        message.entries[0].kind = EntryKind::ConfChangeV2;
        assert_eq!(message.check(HERE), Err(MessageError::EntryKind(EntryKind::ConfChangeV2)));
    }
}

#[test]
fn snapshots_come_in_snapshot_messages_and_make_sense() {
    let good = SnapshotMeta {
        conf_state: ConfState { voters: vec![HERE], learners: vec![MemberId(4)] },
        index: LogIndex(8),
        term: Term(4),
        data: Bytes::new(),
    };
    let mut snapshot = message(MessageKind::Snapshot);
    let mismatch = Err(MessageError::Snapshot(MessageKind::Snapshot));
    assert_eq!(snapshot.check(HERE), mismatch);
    snapshot.snapshot = Some(good.clone());
    assert_eq!(snapshot.check(HERE), Ok(()));
    snapshot.snapshot = Some(SnapshotMeta { term: Term(6), ..good.clone() });
    assert!(matches!(snapshot.check(HERE), Err(MessageError::LogTerm { .. })));
    snapshot.snapshot = Some(SnapshotMeta { conf_state: ConfState::default(), ..good.clone() });
    assert_eq!(snapshot.check(HERE), mismatch);
    let conf_state = ConfState { voters: vec![HERE], learners: vec![HERE] };
    snapshot.snapshot = Some(SnapshotMeta { conf_state, ..good.clone() });
    assert!(matches!(snapshot.check(HERE), Err(MessageError::Membership(_))));

    let mut heartbeat = message(MessageKind::Heartbeat);
    heartbeat.snapshot = Some(SnapshotMeta::default());
    assert_eq!(heartbeat.check(HERE), Ok(()), "etcd 3.5 sends empty snapshots along");
    heartbeat.snapshot = Some(good);
    assert_eq!(heartbeat.check(HERE), Err(MessageError::Snapshot(MessageKind::Heartbeat)));
}

/// Any message at all, with small numbers so that rules are met and broken in all ways.
pub(crate) fn any_message() -> impl Strategy<Value = Message> {
    let number = || prop_oneof![20 => 0..8_u64, 1 => Just(u64::MAX), 1 => Just(NUMBER_MAX)];
    let entry = (number(), number(), 0..3_u8, prop::collection::vec(0..4_u8, 0..4)).prop_map(
        |(index, term, kind, data)| Entry {
            index: LogIndex(index),
            term: Term(term),
            kind: EntryKind::from_number(kind).unwrap(),
            data: data.into(),
        },
    );
    let ids = || prop::collection::vec((0..5_u64).prop_map(MemberId), 0..4);
    let snapshot =
        (ids(), ids(), number(), number()).prop_map(|(voters, learners, index, term)| {
            SnapshotMeta {
                conf_state: ConfState { voters, learners },
                index: LogIndex(index),
                term: Term(term),
                data: Bytes::new(),
            }
        });
    (
        (0..19_u64, 0..5_u64, prop_oneof![9 => Just(1_u64), 1 => 0..5_u64], number(), number()),
        (number(), prop::collection::vec(entry, 0..3), any::<bool>(), number()),
        (prop::option::of(snapshot), any::<bool>(), number(), any::<bool>()),
    )
        .prop_map(
            |(
                (kind, from, to, term, log_term),
                (index, mut entries, in_order, commit),
                (snapshot, reject, hint, transfer),
            )| {
                let kind = MessageKind::from_number(kind).unwrap();
                if in_order {
                    for (at, entry) in entries.iter_mut().enumerate() {
                        entry.index = LogIndex(index.wrapping_add(at as u64 + 1));
                    }
                }
                Message {
                    kind,
                    to: MemberId(to),
                    from: MemberId(from),
                    term: Term(if kind.is_termless() { 0 } else { term }),
                    log_term: Term(log_term),
                    index: LogIndex(index),
                    entries,
                    commit: LogIndex(commit),
                    snapshot,
                    reject,
                    reject_hint: LogIndex(hint),
                    context: if transfer { "CampaignTransfer".into() } else { Bytes::new() },
                }
            },
        )
}

proptest! {
    #[test]
    fn no_message_panics_in_its_check(message in any_message()) {
        let _ = message.check(HERE);
    }
}
