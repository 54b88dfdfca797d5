//! The stored form: key = the id, 8 bytes big-endian; value = `leasepb.Lease`.

use crate::Error;
use drystone_types::LeaseId;

const ID: u64 = 1;
const TTL: u64 = 2;
const REMAINING_TTL: u64 = 3;

const WIRE_VARINT: u64 = 0;
const WIRE_FIXED64: u64 = 1;
const WIRE_BYTES: u64 = 2;
const WIRE_FIXED32: u64 = 5;

/// What is kept of a lease across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: LeaseId,
    pub(crate) ttl_seconds: i64,
    pub(crate) remaining_seconds: i64,
}

pub(crate) fn key(id: LeaseId) -> Vec<u8> {
    id.0.to_be_bytes().to_vec()
}

impl Record {
    /// The bytes that etcd writes: fields ascending, zero fields left out.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        let fields =
            [(ID, self.id.0), (TTL, self.ttl_seconds), (REMAINING_TTL, self.remaining_seconds)];
        for (number, value) in fields {
            if value != 0 {
                write_varint(&mut out, number << 3 | WIRE_VARINT);
                write_varint(&mut out, value.cast_unsigned());
            }
        }
        out
    }

    /// Reads a stored pair. Unknown fields are skipped, as protobuf asks.
    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, Error> {
        let corrupt = |reason| Error::Corrupt { key: key[..key.len().min(16)].to_vec(), reason };
        let id = key.try_into().map_err(|_| corrupt("the key is not eight bytes long"))?;
        let id = LeaseId(i64::from_be_bytes(id));
        let mut fields = [0_i64; 3];
        let mut rest = value;
        while !rest.is_empty() {
            let tag = read_varint(&mut rest).ok_or_else(|| corrupt("a field's tag is cut"))?;
            let (number, wire) = (tag >> 3, tag & 7);
            let number = match (number, wire) {
                (ID, WIRE_VARINT) => 0,
                (TTL, WIRE_VARINT) => 1,
                (REMAINING_TTL, WIRE_VARINT) => 2,
                _ => {
                    skip(&mut rest, wire).ok_or_else(|| corrupt("an unknown field is cut"))?;
                    continue;
                }
            };
            let value = read_varint(&mut rest).ok_or_else(|| corrupt("a number is cut"))?;
            fields[number] = value.cast_signed();
        }
        if fields[0] != id.0 || id.is_none() {
            return Err(corrupt("the id does not match the key"));
        }
        Ok(Self { id, ttl_seconds: fields[1], remaining_seconds: fields[2] })
    }
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn skip(rest: &mut &[u8], wire: u64) -> Option<()> {
    let bytes = match wire {
        WIRE_VARINT => {
            read_varint(rest)?;
            0
        }
        WIRE_FIXED64 => 8,
        WIRE_BYTES => usize::try_from(read_varint(rest)?).ok()?,
        WIRE_FIXED32 => 4,
        _ => return None,
    };
    *rest = rest.get(bytes..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_those_of_leasepb() {
        let record = Record { id: LeaseId(5), ttl_seconds: 300, remaining_seconds: 0 };
        assert_eq!(record.encode(), [0x08, 5, 0x10, 0xac, 0x02]);
        let record = Record { id: LeaseId(-1), ttl_seconds: 2, remaining_seconds: 1 };
        let mut expected = vec![0x08];
        expected.extend([0xff; 9]);
        expected.extend([0x01, 0x10, 2, 0x18, 1]);
        assert_eq!(record.encode(), expected);
    }

    #[test]
    fn unknown_fields_are_skipped_and_damage_is_named() {
        let id = key(LeaseId(5));
        let value = [0x08, 5, 0x10, 9, 0x22, 2, 1, 2, 0x29, 0, 0, 0, 0, 0, 0, 0, 0];
        let record = Record::decode(&id, &value).unwrap();
        assert_eq!(record, Record { id: LeaseId(5), ttl_seconds: 9, remaining_seconds: 0 });
        for cut in [1, 3, 5, 7, 12] {
            assert!(Record::decode(&id, &value[..cut]).is_err(), "{cut}");
        }
        assert!(Record::decode(b"short", &value).is_err());
        assert!(Record::decode(&key(LeaseId(6)), &value).is_err());
    }

    proptest! {
        #[test]
        fn records_read_back(id in any::<i64>(), ttl in any::<i64>(), left in any::<i64>()) {
            prop_assume!(id != 0);
            let record =
                Record { id: LeaseId(id), ttl_seconds: ttl, remaining_seconds: left };
            prop_assert_eq!(Record::decode(&key(record.id), &record.encode()), Ok(record));
        }

        #[test]
        fn any_bytes_are_safe(id in any::<[u8; 8]>(), value in any::<Vec<u8>>()) {
            let _ = Record::decode(&id, &value);
        }
    }
}
