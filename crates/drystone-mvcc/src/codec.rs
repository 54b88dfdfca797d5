//! The stored form of a key-value pair: `mvccpb.KeyValue`, encoded canonically.
//!
//! Hashes cover these bytes, so they must be what etcd writes: fields in ascending order, empty
//! and zero ones left out. Reading takes any legal protobuf encoding, because a store may have
//! been written by something else.

use bytes::Bytes;
use std::ops::Range;

#[cfg(test)]
mod tests;

const TAG_KEY: u8 = 0x0a;
const TAG_CREATE: u8 = 0x10;
const TAG_MOD: u8 = 0x18;
const TAG_VERSION: u8 = 0x20;
const TAG_VALUE: u8 = 0x2a;
const TAG_LEASE: u8 = 0x30;
/// The most bytes a varint of 64 bits takes.
const VARINT_BYTES_MAX: usize = 10;

/// Bytes that are no encoded `mvccpb.KeyValue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an encoded mvccpb.KeyValue")]
#[non_exhaustive]
pub struct DecodeError;

/// A decoded `mvccpb.KeyValue`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// Main revision of the put that began the key's current life.
    pub create_revision: i64,
    /// Main revision of the put that wrote this version.
    pub mod_revision: i64,
    /// Puts in the key's current life, this one included.
    pub version: i64,
    /// The value; may be empty.
    pub value: Bytes,
    /// The lease the key is attached to, or 0.
    pub lease: i64,
}

impl KeyValue {
    /// Decodes `encoded`; key and value share its memory.
    ///
    /// # Errors
    /// When the bytes are not such a message. Unknown fields are skipped.
    pub fn decode(encoded: &Bytes) -> Result<Self, DecodeError> {
        let fields = Fields::read(encoded)?;
        Ok(Self {
            key: encoded.slice(fields.key),
            create_revision: fields.create_revision,
            mod_revision: fields.mod_revision,
            version: fields.version,
            value: encoded.slice(fields.value),
            lease: fields.lease,
        })
    }

    /// The canonical encoding, which is what the store holds.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let numbers = Numbers {
            create_revision: self.create_revision,
            mod_revision: self.mod_revision,
            version: self.version,
            lease: self.lease,
        };
        encode(&self.key, numbers, &self.value)
    }
}

/// The numbers of a pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) create_revision: i64,
    pub(crate) mod_revision: i64,
    pub(crate) version: i64,
    pub(crate) lease: i64,
}

/// Where the parts of an encoded pair lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) key: Range<usize>,
    pub(crate) value: Range<usize>,
    pub(crate) create_revision: i64,
    pub(crate) mod_revision: i64,
    pub(crate) version: i64,
    pub(crate) lease: i64,
}

impl Fields {
    /// Reads the parts of `bytes`. A field given twice counts as it was given last.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Self::default();
        let mut at = 0;
        while at < bytes.len() {
            let tag = varint(bytes, &mut at)?;
            let (number, wire) = (tag >> 3, tag & 7);
            match (number, wire) {
                (1, 2) => fields.key = chunk(bytes, &mut at)?,
                (2, 0) => fields.create_revision = varint(bytes, &mut at)?.cast_signed(),
                (3, 0) => fields.mod_revision = varint(bytes, &mut at)?.cast_signed(),
                (4, 0) => fields.version = varint(bytes, &mut at)?.cast_signed(),
                (5, 2) => fields.value = chunk(bytes, &mut at)?,
                (6, 0) => fields.lease = varint(bytes, &mut at)?.cast_signed(),
                (1..=6, _) | (0, _) => return Err(DecodeError),
                (_, wire) => skip(bytes, &mut at, wire)?,
            }
        }
        Ok(fields)
    }
}

/// The canonical encoding of a pair.
pub(crate) fn encode(key: &[u8], numbers: Numbers, value: &[u8]) -> Bytes {
    let Numbers { create_revision, mod_revision, version, lease } = numbers;
    let mut length = chunk_length(key) + chunk_length(value);
    for number in [create_revision, mod_revision, version, lease] {
        if number != 0 {
            length += 1 + varint_length(number.cast_unsigned());
        }
    }
    let mut out = Vec::with_capacity(length);
    put_chunk(&mut out, TAG_KEY, key);
    put_number(&mut out, TAG_CREATE, create_revision);
    put_number(&mut out, TAG_MOD, mod_revision);
    put_number(&mut out, TAG_VERSION, version);
    put_chunk(&mut out, TAG_VALUE, value);
    put_number(&mut out, TAG_LEASE, lease);
    debug_assert_eq!(out.len(), length);
    out.into()
}

/// What a tombstone's record holds: the key alone.
pub(crate) fn encode_tombstone(key: &[u8]) -> Bytes {
    encode(key, Numbers::default(), b"")
}

/// What a delete's event carries: the key and the delete's revision.
pub(crate) fn encode_deleted(key: &[u8], mod_revision: i64) -> Bytes {
    encode(key, Numbers { mod_revision, ..Numbers::default() }, b"")
}

/// The key of a pair that was encoded here, sharing its memory. `key` must be that key.
pub(crate) fn shared_key(pair: &Bytes, key: &[u8]) -> Bytes {
    let start = chunk_length(key) - key.len();
    let shared = pair.slice(start..start + key.len());
    debug_assert_eq!(shared, key);
    shared
}

fn chunk_length(chunk: &[u8]) -> usize {
    match chunk.len() {
        0 => 0,
        length => 1 + varint_length(length as u64) + length,
    }
}

fn varint_length(number: u64) -> usize {
    let bits = (u64::BITS - (number | 1).leading_zeros()) as usize;
    bits.div_ceil(7)
}

fn put_chunk(out: &mut Vec<u8>, tag: u8, chunk: &[u8]) {
    if !chunk.is_empty() {
        out.push(tag);
        put_varint(out, chunk.len() as u64);
        out.extend_from_slice(chunk);
    }
}

fn put_number(out: &mut Vec<u8>, tag: u8, number: i64) {
    if number != 0 {
        out.push(tag);
        put_varint(out, number.cast_unsigned());
    }
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7f) as u8);
}

fn varint(bytes: &[u8], at: &mut usize) -> Result<u64, DecodeError> {
    let mut number = 0u64;
    for (place, byte) in bytes[*at..].iter().take(VARINT_BYTES_MAX).enumerate() {
        if place == VARINT_BYTES_MAX - 1 && *byte > 1 {
            return Err(DecodeError);
        }
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            *at += place + 1;
            return Ok(number);
        }
    }
    Err(DecodeError)
}

fn chunk(bytes: &[u8], at: &mut usize) -> Result<Range<usize>, DecodeError> {
    let length = usize::try_from(varint(bytes, at)?).map_err(|_| DecodeError)?;
    let start = *at;
    take(bytes, at, length)?;
    Ok(start..*at)
}

fn take(bytes: &[u8], at: &mut usize, length: usize) -> Result<(), DecodeError> {
    if length > bytes.len() - *at {
        return Err(DecodeError);
    }
    *at += length;
    Ok(())
}

fn skip(bytes: &[u8], at: &mut usize, wire: u64) -> Result<(), DecodeError> {
    match wire {
        0 => varint(bytes, at).map(drop),
        1 => take(bytes, at, 8),
        2 => chunk(bytes, at).map(drop),
        5 => take(bytes, at, 4),
        _ => Err(DecodeError),
    }
}
