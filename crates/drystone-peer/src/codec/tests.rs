use super::*;
use bytes::{BufMut, Bytes};
use drystone_raft::{Message, MessageKind, SnapshotMeta};
use drystone_types::{ConfState, Entry, EntryKind, LogIndex, MemberId, Term};
use proptest::prelude::*;

const FROM: MemberId = MemberId(0xf4eb_5dfc_3628_103a);
const TO: MemberId = MemberId(0xd28d_95b8_b1b6_da84);

fn entry(term: u64, index: u64, data: &'static [u8]) -> Entry {
    Entry {
        term: Term(term),
        index: LogIndex(index),
        kind: EntryKind::Normal,
        data: Bytes::from_static(data),
    }
}

fn append(term: u64, log_term: u64, index: u64, entries: Vec<Entry>, commit: u64) -> Message {
    let mut message = Message::new(MessageKind::Append, FROM, TO, Term(term));
    message.log_term = Term(log_term);
    message.index = LogIndex(index);
    message.entries = entries;
    message.commit = LogIndex(commit);
    message
}

fn decode_all(
    mut decode: impl FnMut(&mut BytesMut) -> Result<Option<Item>, CodecError>,
    bytes: &[u8],
    step: usize,
) -> Result<Vec<Item>, CodecError> {
    let (mut buf, mut items) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(step.max(1)) {
        buf.extend_from_slice(piece);
        while let Some(item) = decode(&mut buf)? {
            items.push(item);
        }
    }
    Ok(items)
}

fn decode_msgapp(bytes: &[u8], step: usize) -> Result<Vec<Item>, CodecError> {
    let mut decoder = MsgAppDecoder::new(FROM, TO, 1 << 20);
    decode_all(|buf| decoder.decode(buf), bytes, step)
}

fn decode_frames(bytes: &[u8], step: usize) -> Result<Vec<Item>, CodecError> {
    let mut decoder = FrameDecoder::new(1 << 20);
    decode_all(|buf| decoder.decode(buf), bytes, step)
}

#[test]
fn link_heartbeats_have_etcds_bytes() {
    assert_eq!(MSGAPP_HEARTBEAT, [0]);
    assert_eq!(FRAME_HEARTBEAT, [0, 0, 0, 0, 0, 0, 0, 2, 8, 8]);
    assert_eq!(decode_msgapp(&MSGAPP_HEARTBEAT, 1).unwrap(), [Item::Heartbeat]);
    assert_eq!(decode_frames(&FRAME_HEARTBEAT, 1).unwrap(), [Item::Heartbeat]);
    // Etcd up to 3.6 writes every field: type 8 and zeros, with an empty snapshot in between.
    let long = [
        8, 8, 16, 0, 24, 0, 32, 0, 40, 0, 48, 0, 64, 0, 74, 8, 18, 6, 10, 0, 16, 0, 24, 0, 80, 0,
        88, 0,
    ];
    let mut framed = BytesMut::new();
    framed.put_u64(long.len() as u64);
    framed.put_slice(&long);
    assert_eq!(decode_frames(&framed, 3).unwrap(), [Item::Heartbeat]);
    // One between members is raft's.
    let beat = Message::new(MessageKind::Heartbeat, FROM, TO, Term(3));
    let mut framed = BytesMut::new();
    encode_frame(&beat, &mut framed);
    assert_eq!(decode_frames(&framed, 3).unwrap(), [Item::Message(beat)]);
}

#[test]
fn msgapp_framing_byte_by_byte() {
    let first = append(5, 4, 10, vec![entry(5, 11, b"a")], 9);
    let second = append(5, 5, 11, vec![entry(5, 12, b"bc")], 11);
    let third = append(5, 5, 12, vec![], 12);
    let mut encoder = MsgAppEncoder::new();
    let mut out = BytesMut::new();
    encoder.encode(&first, &mut out);
    let full = out.split();
    assert_eq!(full[0], 2, "the first append is a full message");
    assert_eq!(u64::from_be_bytes(full[1..9].try_into().unwrap()), full.len() as u64 - 9);

    encoder.encode(&second, &mut out);
    let short = out.split();
    let mut expected = vec![1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 8];
    // term 5 (tag 2), index 12 (tag 3), data (tag 4)
    expected.extend([0x10, 5, 0x18, 12, 0x22, 2, b'b', b'c']);
    expected.extend([0, 0, 0, 0, 0, 0, 0, 11]);
    assert_eq!(short, expected);

    encoder.encode(&third, &mut out);
    let empty = out.split();
    assert_eq!(empty, [&[1, 0, 0, 0, 0, 0, 0, 0, 0][..], &[0, 0, 0, 0, 0, 0, 0, 12]].concat());

    let all = [&full[..], &short, &[0], &empty].concat();
    let expected =
        [Item::Message(first), Item::Message(second), Item::Heartbeat, Item::Message(third)];
    for step in [1, 7, 1000] {
        assert_eq!(decode_msgapp(&all, step).unwrap(), expected);
    }
}

#[test]
fn etcds_field_presence_does_not_matter() {
    // An entry as gogo writes it: type, term and index always, data last.
    let mut short = vec![2];
    let message = append(5, 5, 11, vec![], 9);
    let mut body = BytesMut::new();
    let length = encode_message(&message, &mut body) as u64;
    short.extend(length.to_be_bytes());
    short.extend(&body);
    short.extend([1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9]);
    short.extend([0x08, 0, 0x10, 5, 0x18, 12, 0x22, 1, b'x']);
    short.extend([0, 0, 0, 0, 0, 0, 0, 9]);
    let items = decode_msgapp(&short, 5).unwrap();
    let expected = append(5, 5, 11, vec![entry(5, 12, b"x")], 9);
    assert_eq!(items, [Item::Message(message), Item::Message(expected)]);
}

#[test]
fn broken_streams_end() {
    let short = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(matches!(decode_msgapp(&short, 1), Err(CodecError::NoContext)));
    assert!(matches!(decode_msgapp(&[3], 1), Err(CodecError::UnknownItem(3))));
    let huge = [2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert!(matches!(decode_msgapp(&huge, 1), Err(CodecError::TooLong { .. })));
    assert!(matches!(decode_frames(&huge[1..], 1), Err(CodecError::TooLong { .. })));

    let mut vote = BytesMut::new();
    let message = Message::new(MessageKind::Vote, FROM, TO, Term(3));
    encode_frame(&message, &mut vote);
    let in_msgapp = [&[2][..], &vote].concat();
    assert!(matches!(
        decode_msgapp(&in_msgapp, 1),
        Err(CodecError::Message(MessageError::Kind(5)))
    ));
}

#[test]
fn a_count_allocates_nothing() {
    let mut encoder = MsgAppEncoder::new();
    let mut out = BytesMut::new();
    encoder.encode(&append(5, 4, 10, vec![], 9), &mut out);
    out.put_u8(1);
    out.put_u64(u64::MAX);
    assert_eq!(decode_msgapp(&out, 9).unwrap().len(), 1, "it waits for entries");
    // Entries that add up to more than the bound are refused as they come.
    for _ in 0..300_000 {
        out.put_u64(0);
    }
    assert!(matches!(decode_msgapp(&out, 4096), Err(CodecError::TooLong { .. })));
}

#[test]
fn messages_that_do_not_travel() {
    let decode = |bytes: &'static [u8]| decode_message(Bytes::from_static(bytes));
    assert_eq!(decode(&[8, 0]), Err(MessageError::Kind(0)));
    assert_eq!(decode(&[8, 10]), Err(MessageError::Kind(10)));
    assert_eq!(decode(&[8, 19]), Err(MessageError::Kind(19)));
    assert_eq!(decode(&[8, 3, 0x3a, 2, 8, 9]), Err(MessageError::EntryKind(9)));
    assert_eq!(decode(&[8]), Err(MessageError::BrokenField));
    assert_eq!(decode(&[0x3b]), Err(MessageError::BrokenField));
    // A snapshot whose configuration is joint: voters_outgoing (tag 3) is not empty.
    assert_eq!(decode(&[8, 7, 74, 6, 18, 4, 10, 2, 24, 1]), Err(MessageError::Joint));
    let many = [0x3a, 0].repeat(1000);
    assert_eq!(decode_message(many.into()), Err(MessageError::Entries(1000, 2000)));
}

#[test]
fn packed_member_lists_are_read() {
    // raft-rs writes lists packed, etcd does not.
    let unpacked = [8, 7, 74, 8, 18, 6, 10, 4, 8, 2, 8, 1];
    let packed = [8, 7, 74, 8, 18, 6, 10, 4, 10, 2, 2, 1];
    for bytes in [unpacked, packed] {
        let message = decode_message(Bytes::copy_from_slice(&bytes)).unwrap();
        let voters = message.snapshot.unwrap().conf_state.voters;
        assert_eq!(voters, [MemberId(1), MemberId(2)]);
    }
}

#[test]
fn entry_data_is_shared_with_the_buffer() {
    let message = append(5, 4, 10, vec![entry(5, 11, b"not copied")], 9);
    let mut out = BytesMut::new();
    encode_message(&message, &mut out);
    let bytes = out.freeze();
    let decoded = decode_message(bytes.clone()).unwrap();
    let data = decoded.entries[0].data.as_ptr();
    assert!(bytes.as_ptr_range().contains(&data));
}

prop_compose! {
    fn any_entry()(
        term in any::<u64>(),
        index in any::<u64>(),
        kind in 0u8..3,
        data in prop::collection::vec(any::<u8>(), 0..40),
    ) -> Entry {
        let kind = EntryKind::from_number(kind).unwrap();
        Entry { term: Term(term), index: LogIndex(index), kind, data: data.into() }
    }
}

prop_compose! {
    fn any_snapshot()(
        mut voters in prop::collection::vec(any::<u64>(), 0..5),
        mut learners in prop::collection::vec(any::<u64>(), 0..3),
        index in any::<u64>(),
        term in any::<u64>(),
        data in prop::collection::vec(any::<u8>(), 0..20),
    ) -> SnapshotMeta {
        voters.sort_unstable();
        learners.sort_unstable();
        let ids = |ids: Vec<u64>| ids.into_iter().map(MemberId).collect();
        SnapshotMeta {
            conf_state: ConfState { voters: ids(voters), learners: ids(learners) },
            index: LogIndex(index),
            term: Term(term),
            data: data.into(),
        }
    }
}

prop_compose! {
    fn any_message()(
        kind in prop::sample::select(&MessageKind::ALL[..])
            .prop_filter("travels", |kind| !kind.is_local()),
        ids in any::<[u64; 2]>(),
        numbers in any::<[u64; 5]>(),
        entries in prop::collection::vec(any_entry(), 0..5),
        snapshot in any_snapshot(),
        reject in any::<bool>(),
        context in prop::collection::vec(any::<u8>(), 0..20),
    ) -> Message {
        let mut message = Message::new(kind, MemberId(ids[0]), MemberId(ids[1]), Term(numbers[0]));
        message.log_term = Term(numbers[1]);
        message.index = LogIndex(numbers[2]);
        message.commit = LogIndex(numbers[3]);
        message.reject_hint = LogIndex(numbers[4]);
        message.entries = entries;
        message.snapshot = (kind == MessageKind::Snapshot).then_some(snapshot);
        message.reject = reject;
        message.context = context.into();
        message
    }
}

/// A leader's appends: mostly following on, now and then jumping back or to a new term.
fn any_appends() -> impl Strategy<Value = Vec<Message>> {
    let step = (0u64..3, 0u64..3, 0usize..4, prop::collection::vec(any::<u8>(), 0..30));
    prop::collection::vec(step, 1..12).prop_map(|steps| {
        let (mut term, mut log_term, mut index) = (1_u64, 1_u64, 5_u64);
        let mut appends = Vec::new();
        for (newer, back, count, data) in steps {
            if newer == 2 {
                term += 1;
            }
            if back == 2 {
                index = index.saturating_sub(2);
            }
            let entries: Vec<_> = (1..=count as u64)
                .map(|n| Entry {
                    term: Term(term),
                    index: LogIndex(index + n),
                    kind: EntryKind::Normal,
                    data: Bytes::from(data.clone()),
                })
                .collect();
            appends.push(append(term, log_term, index, entries, index));
            if count > 0 {
                log_term = term;
            }
            index += count as u64;
        }
        appends
    })
}

proptest! {
    #[test]
    fn messages_round_trip(message in any_message()) {
        let mut out = BytesMut::new();
        let length = encode_message(&message, &mut out);
        prop_assert_eq!(length, out.len());
        prop_assert_eq!(decode_message(out.freeze()).unwrap(), message);
    }

    #[test]
    fn frames_round_trip(
        messages in prop::collection::vec(any_message(), 0..6),
        step in 1usize..60,
    ) {
        let mut out = BytesMut::new();
        let link = |m: &Message| m.kind == MessageKind::Heartbeat && m.from.is_none() && m.to.is_none();
        let messages: Vec<_> = messages.into_iter().filter(|m| !link(m)).collect();
        for message in &messages {
            encode_frame(message, &mut out);
        }
        let items = decode_frames(&out, step).unwrap();
        prop_assert_eq!(items, messages.into_iter().map(Item::Message).collect::<Vec<_>>());
    }

    #[test]
    fn appends_round_trip(appends in any_appends(), step in 1usize..60) {
        let (mut encoder, mut out) = (MsgAppEncoder::new(), BytesMut::new());
        for message in &appends {
            encoder.encode(message, &mut out);
        }
        let items = decode_msgapp(&out, step).unwrap();
        prop_assert_eq!(items, appends.into_iter().map(Item::Message).collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_are_survived(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        step in 1usize..60,
    ) {
        let _ = decode_message(Bytes::from(bytes.clone()));
        let _ = decode_frames(&bytes, step);
        let _ = decode_msgapp(&bytes, step);
        let framed = [&(bytes.len() as u64).to_be_bytes()[..], &bytes].concat();
        let _ = decode_frames(&framed, step);
        let _ = decode_msgapp(&[&[2][..], &framed].concat(), step);
    }

    #[test]
    fn changed_bytes_are_survived(
        appends in any_appends(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        step in 1usize..60,
    ) {
        let (mut encoder, mut out) = (MsgAppEncoder::new(), BytesMut::new());
        for message in &appends {
            encoder.encode(message, &mut out);
        }
        let at = at.index(out.len());
        out[at] = byte;
        let _ = decode_msgapp(&out, step);
    }
}
