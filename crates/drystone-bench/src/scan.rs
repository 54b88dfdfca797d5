//! Reading just enough of a response: which numbers it carries and how much, without building
//! its keys and values. A generator that decodes what it asks for measures itself.

use bytes::Bytes;

/// A response of which only some things matter.
pub(crate) trait Scan: Sized + Send + Sync + 'static {
    /// Reads one message; `None` if it is not one.
    fn scan(message: &[u8]) -> Option<Self>;
}

/// Any response: its header's revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Revision(pub(crate) i64);

/// A range response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) revision: i64,
    /// Pairs in the response.
    pub(crate) kvs: u64,
    pub(crate) more: bool,
    /// Pairs in the range.
    pub(crate) count: u64,
    /// Bytes of the whole message.
    pub(crate) bytes: u64,
    /// The last pair's key.
    pub(crate) last_key: Bytes,
    /// The last pair's modification revision.
    pub(crate) last_modified: i64,
}

/// A transaction's response: what the guarded update needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Txn {
    pub(crate) revision: i64,
    pub(crate) succeeded: bool,
    /// The modification revision that the reading branch saw; 0 for no key.
    pub(crate) seen: i64,
}

/// A watch response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Watch {
    pub(crate) created: bool,
    pub(crate) canceled: bool,
    /// The number that each event's value begins with, or 0.
    pub(crate) stamps: Vec<u64>,
}

impl Scan for Revision {
    fn scan(message: &[u8]) -> Option<Revision> {
        let mut revision = 0;
        for field in Fields(message) {
            if let (1, Value::Bytes(header)) = field? {
                revision = header_revision(header)?;
            }
        }
        Some(Revision(revision))
    }
}

impl Scan for Range {
    fn scan(message: &[u8]) -> Option<Range> {
        let mut range = Range { bytes: message.len() as u64, ..Range::default() };
        let mut last = None;
        for field in Fields(message) {
            match field? {
                (1, Value::Bytes(header)) => range.revision = header_revision(header)?,
                (2, Value::Bytes(kv)) => {
                    range.kvs += 1;
                    last = Some(kv);
                }
                (3, Value::Number(more)) => range.more = more != 0,
                (4, Value::Number(count)) => range.count = count,
                _ => {}
            }
        }
        if let Some(kv) = last {
            for field in Fields(kv) {
                match field? {
                    (1, Value::Bytes(key)) => range.last_key = Bytes::copy_from_slice(key),
                    (3, Value::Number(modified)) => range.last_modified = modified.cast_signed(),
                    _ => {}
                }
            }
        }
        Some(range)
    }
}

impl Scan for Txn {
    fn scan(message: &[u8]) -> Option<Txn> {
        let mut txn = Txn::default();
        for field in Fields(message) {
            match field? {
                (1, Value::Bytes(header)) => txn.revision = header_revision(header)?,
                (2, Value::Number(succeeded)) => txn.succeeded = succeeded != 0,
                (3, Value::Bytes(operation)) => {
                    for field in Fields(operation) {
                        if let (1, Value::Bytes(range)) = field? {
                            txn.seen = Range::scan(range)?.last_modified;
                        }
                    }
                }
                _ => {}
            }
        }
        Some(txn)
    }
}

impl Scan for Watch {
    fn scan(message: &[u8]) -> Option<Watch> {
        let mut watch = Watch::default();
        for field in Fields(message) {
            match field? {
                (3, Value::Number(created)) => watch.created = created != 0,
                (4, Value::Number(canceled)) => watch.canceled = canceled != 0,
                (11, Value::Bytes(event)) => watch.stamps.push(stamp(event)?),
                _ => {}
            }
        }
        Some(watch)
    }
}

/// The first eight bytes of an event's value.
fn stamp(event: &[u8]) -> Option<u64> {
    let mut stamp = 0;
    for field in Fields(event) {
        if let (2, Value::Bytes(kv)) = field? {
            for field in Fields(kv) {
                if let (5, Value::Bytes(value)) = field? {
                    stamp = value.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                }
            }
        }
    }
    Some(stamp)
}

fn header_revision(header: &[u8]) -> Option<i64> {
    let mut revision = 0;
    for field in Fields(header) {
        if let (3, Value::Number(number)) = field? {
            revision = number.cast_signed();
        }
    }
    Some(revision)
}

/// The fields of a protobuf message in order; `None` once for what is not one.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some((key >> 3, value))
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drystone_api::etcdserverpb::response_op::Response;
    use drystone_api::{etcdserverpb as pb, mvccpb};
    use proptest::prelude::*;
    use prost::Message as _;

    fn kv(key: &str, mod_revision: i64, value: Vec<u8>) -> mvccpb::KeyValue {
        mvccpb::KeyValue {
            key: key.to_owned().into(),
            mod_revision,
            value: value.into(),
            lease: -1,
            ..Default::default()
        }
    }

    fn header(revision: i64) -> Option<pb::ResponseHeader> {
        Some(pb::ResponseHeader { cluster_id: u64::MAX, revision, ..Default::default() })
    }

    #[test]
    fn what_matters_is_found() {
        let range = pb::RangeResponse {
            header: header(7),
            kvs: vec![kv("a", 3, vec![1]), kv("b", 5, vec![2; 300])],
            more: true,
            count: 9,
        };
        let bytes = range.encode_to_vec();
        let scanned = Range::scan(&bytes).unwrap();
        assert_eq!((scanned.revision, scanned.kvs, scanned.count), (7, 2, 9));
        assert_eq!((scanned.more, scanned.bytes), (true, bytes.len() as u64));
        assert_eq!((&scanned.last_key[..], scanned.last_modified), (&b"b"[..], 5));
        assert_eq!(Revision::scan(&bytes), Some(Revision(7)));
        assert_eq!(Revision::scan(&bytes[..bytes.len() - 1]), None);

        let op = pb::ResponseOp { response: Some(Response::ResponseRange(range)) };
        let txn = pb::TxnResponse { header: header(8), succeeded: false, responses: vec![op] };
        let expected = Txn { revision: 8, succeeded: false, seen: 5 };
        assert_eq!(Txn::scan(&txn.encode_to_vec()), Some(expected));

        let event = |value| mvccpb::Event { kv: Some(kv("a", 1, value)), ..Default::default() };
        let stamped = 77_u64.to_be_bytes().to_vec();
        let watch = pb::WatchResponse {
            created: true,
            events: vec![event(stamped), event(vec![1])],
            ..Default::default()
        };
        let expected = Watch { created: true, canceled: false, stamps: vec![77, 0] };
        assert_eq!(Watch::scan(&watch.encode_to_vec()), Some(expected));
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            let _ = (Range::scan(&bytes), Txn::scan(&bytes), Watch::scan(&bytes));
        }

        #[test]
        fn agrees_with_the_decoder(
            keys in proptest::collection::vec("[a-z]{1,9}", 0..9),
            revision: i64,
            count: i64,
        ) {
            let response = pb::RangeResponse {
                header: header(revision),
                kvs: keys.iter().map(|key| kv(key, revision, Vec::new())).collect(),
                more: false,
                count,
            };
            let scanned = Range::scan(&response.encode_to_vec()).unwrap();
            prop_assert_eq!(scanned.revision, revision);
            prop_assert_eq!(scanned.kvs, keys.len() as u64);
            prop_assert_eq!(scanned.count.cast_signed(), count);
            prop_assert_eq!(scanned.last_key, keys.last().cloned().unwrap_or_default());
        }
    }
}
