//! Raw and plain messages are one message on the wire.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;

use crate::etcdserverpb::response_op::Response;
use crate::{etcdserverpb, mvccpb, raw};

fn header() -> impl Strategy<Value = Option<etcdserverpb::ResponseHeader>> {
    option::of((any::<u64>(), any::<u64>(), any::<i64>(), any::<u64>()).prop_map(
        |(cluster_id, member_id, revision, raft_term)| etcdserverpb::ResponseHeader {
            cluster_id,
            member_id,
            revision,
            raft_term,
        },
    ))
}

fn key_value() -> impl Strategy<Value = mvccpb::KeyValue> {
    let bytes = || vec(any::<u8>(), 0..12);
    let number = || prop_oneof![Just(0), any::<i64>()];
    (bytes(), bytes(), number(), number(), number(), number()).prop_map(
        |(key, value, create_revision, mod_revision, version, lease)| mvccpb::KeyValue {
            key: key.into(),
            value: value.into(),
            create_revision,
            mod_revision,
            version,
            lease,
        },
    )
}

fn event() -> impl Strategy<Value = mvccpb::Event> {
    (0..3i32, option::of(key_value()), option::of(key_value()))
        .prop_map(|(r#type, kv, prev_kv)| mvccpb::Event { r#type, kv, prev_kv })
}

fn range() -> impl Strategy<Value = etcdserverpb::RangeResponse> {
    (header(), vec(key_value(), 0..4), any::<bool>(), any::<i64>()).prop_map(
        |(header, kvs, more, count)| etcdserverpb::RangeResponse { header, kvs, more, count },
    )
}

fn put() -> impl Strategy<Value = etcdserverpb::PutResponse> {
    (header(), option::of(key_value()))
        .prop_map(|(header, prev_kv)| etcdserverpb::PutResponse { header, prev_kv })
}

fn deletion() -> impl Strategy<Value = etcdserverpb::DeleteRangeResponse> {
    (header(), any::<i64>(), vec(key_value(), 0..4)).prop_map(|(header, deleted, prev_kvs)| {
        etcdserverpb::DeleteRangeResponse { header, deleted, prev_kvs }
    })
}

fn txn() -> impl Strategy<Value = etcdserverpb::TxnResponse> {
    let leaf = Just(etcdserverpb::TxnResponse::default());
    leaf.prop_recursive(3, 12, 4, |inner| {
        let op = option::of(prop_oneof![
            range().prop_map(Response::ResponseRange),
            put().prop_map(Response::ResponsePut),
            deletion().prop_map(Response::ResponseDeleteRange),
            inner.prop_map(Response::ResponseTxn),
        ])
        .prop_map(|response| etcdserverpb::ResponseOp { response });
        (header(), any::<bool>(), vec(op, 0..4)).prop_map(|(header, succeeded, responses)| {
            etcdserverpb::TxnResponse { header, succeeded, responses }
        })
    })
}

fn watch() -> impl Strategy<Value = etcdserverpb::WatchResponse> {
    (header(), any::<i64>(), any::<[bool; 3]>(), any::<i64>(), ".{0,8}", vec(event(), 0..4))
        .prop_map(|(header, watch_id, flags, compact_revision, cancel_reason, events)| {
            let [created, canceled, fragment] = flags;
            etcdserverpb::WatchResponse {
                header,
                watch_id,
                created,
                canceled,
                compact_revision,
                cancel_reason,
                fragment,
                events,
            }
        })
}

/// The raw message reads what the plain one wrote and writes the same bytes again, so that it
/// knows every field; and the plain one reads those.
fn check<Plain, Raw>(plain: &Plain)
where
    Plain:
        Message + Default + PartialEq + std::fmt::Debug + TryFrom<Raw, Error = prost::DecodeError>,
    Raw: Message + Default,
{
    let wire = plain.encode_to_vec();
    let raw = Raw::decode(wire.as_slice()).unwrap();
    assert_eq!(raw.encoded_len(), wire.len());
    assert_eq!(raw.encode_to_vec(), wire);
    assert_eq!(&Plain::try_from(raw).unwrap(), plain);
}

fn encoded<M: Message>(messages: &[M]) -> Vec<bytes::Bytes> {
    messages.iter().map(|message| message.encode_to_vec().into()).collect()
}

proptest! {
    #[test]
    fn events_agree(plain in event()) {
        check::<_, raw::Event>(&plain);
    }

    #[test]
    fn ranges_agree(plain in range()) {
        check::<_, raw::RangeResponse>(&plain);
        let built = raw::RangeResponse {
            header: plain.header,
            kvs: encoded(&plain.kvs),
            more: plain.more,
            count: plain.count,
        };
        assert_eq!(built.encode_to_vec(), plain.encode_to_vec());
        let piece = etcdserverpb::RangeStreamResponse { range_response: Some(plain) };
        check::<_, raw::RangeStreamResponse>(&piece);
    }

    #[test]
    fn puts_agree(plain in put()) {
        check::<_, raw::PutResponse>(&plain);
    }

    #[test]
    fn deletions_agree(plain in deletion()) {
        check::<_, raw::DeleteRangeResponse>(&plain);
    }

    #[test]
    fn transactions_agree(plain in txn()) {
        check::<_, raw::TxnResponse>(&plain);
    }

    #[test]
    fn watch_responses_agree(plain in watch()) {
        check::<_, raw::WatchResponse>(&plain);
        let read = raw::WatchResponse::decode(plain.encode_to_vec().as_slice()).unwrap();
        assert_eq!(read.events, encoded(&plain.events));
    }
}

#[test]
fn an_empty_pair_is_not_an_absent_one() {
    let present = etcdserverpb::PutResponse { prev_kv: Some(Default::default()), header: None };
    assert_eq!(present.encode_to_vec(), [0x12, 0]);
    check::<_, raw::PutResponse>(&present);
    check::<_, raw::PutResponse>(&etcdserverpb::PutResponse::default());
}

#[test]
fn what_is_no_pair_is_refused_when_it_is_looked_at() {
    let broken = raw::RangeResponse { kvs: vec![b"\xff"[..].into()], ..Default::default() };
    let wire = broken.encode_to_vec();
    assert!(raw::RangeResponse::decode(wire.as_slice()).is_ok());
    assert!(etcdserverpb::RangeResponse::decode(wire.as_slice()).is_err());
    assert!(etcdserverpb::RangeResponse::try_from(broken).is_err());
}
