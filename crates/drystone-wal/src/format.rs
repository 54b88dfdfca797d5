//! Bytes of segments and records. `docs/formats/wal.md` is the specification; this is all of
//! the code that knows offsets inside a header.

use crate::Identity;
use drystone_types::{ClusterId, MemberId};

pub(crate) const MAGIC: [u8; 8] = *b"DRYSTWAL";
pub(crate) const VERSION: u32 = 1;
/// Bytes before the first record of a segment.
pub(crate) const SEGMENT_HEADER: usize = 72;
/// Bytes before the payload of a record.
pub(crate) const RECORD_HEADER: usize = 56;
/// Records begin at multiples of this.
pub(crate) const RECORD_ALIGN: u32 = 8;
/// Hard state and start of the log at the head of a base record's payload.
pub(crate) const BASE_FIXED: usize = 40;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// An entry of the log: everything from its index on is replaced.
    Entry = 1,
    /// The hard state.
    State = 2,
    /// Entries up to an index are not needed any more.
    Compact = 3,
    /// The log begins anew behind an installed snapshot.
    Restart = 4,
    /// The state at the head of a segment.
    Base = 5,
    /// The log was opened: a new generation begins.
    Open = 6,
    /// Says only what its header says: how much had been synced.
    Attest = 7,
}

impl Kind {
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Entry,
            2 => Self::State,
            3 => Self::Compact,
            4 => Self::Restart,
            5 => Self::Base,
            6 => Self::Open,
            7 => Self::Attest,
            _ => return None,
        })
    }
}

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) version: u32,
    pub(crate) identity: Identity,
    pub(crate) segment: u64,
    pub(crate) first_index: u64,
    pub(crate) salt: u32,
    pub(crate) generation: u32,
    /// Where the previous segment ends, 0 in the first.
    pub(crate) previous_end: u32,
    /// The chain value that the previous segment ends with.
    pub(crate) previous_chain: u32,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut out = [0; SEGMENT_HEADER];
        out[..8].copy_from_slice(&MAGIC);
        put32(&mut out, 8, self.version);
        put64(&mut out, 16, self.identity.cluster.0);
        put64(&mut out, 24, self.identity.member.0);
        put64(&mut out, 32, self.segment);
        put64(&mut out, 40, self.first_index);
        put32(&mut out, 48, self.salt);
        put32(&mut out, 52, self.generation);
        put32(&mut out, 56, self.previous_end);
        put32(&mut out, 60, self.previous_chain);
        let crc = crc32c::crc32c(&out[..SEGMENT_HEADER - 4]);
        put32(&mut out, SEGMENT_HEADER - 4, crc);
        out
    }

    /// Reads a header back; the reason when the bytes are none.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes = bytes.get(..SEGMENT_HEADER).ok_or("the segment header is cut off")?;
        if bytes[..8] != MAGIC {
            return Err("the segment header does not begin with the magic bytes");
        }
        if crc32c::crc32c(&bytes[..SEGMENT_HEADER - 4]) != get32(bytes, SEGMENT_HEADER - 4) {
            return Err("the checksum of the segment header does not match");
        }
        Ok(Self {
            version: get32(bytes, 8),
            identity: Identity {
                cluster: ClusterId(get64(bytes, 16)),
                member: MemberId(get64(bytes, 24)),
            },
            segment: get64(bytes, 32),
            first_index: get64(bytes, 40),
            salt: get32(bytes, 48),
            generation: get32(bytes, 52),
            previous_end: get32(bytes, 56),
            previous_chain: get32(bytes, 60),
        })
    }

    /// The chain value that the first record of this segment names.
    pub(crate) fn chain(&self) -> u32 {
        get32(&self.encode(), SEGMENT_HEADER - 4)
    }
}

/// The first bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// Checksum of the payload with its padding.
    pub(crate) payload_crc: u32,
    /// Length of the payload without its padding.
    pub(crate) length: u32,
    pub(crate) kind: u8,
    /// For an entry its raft kind; for [`Kind::Compact`] 1 when the payload is a configuration.
    pub(crate) flag: u8,
    pub(crate) segment: u64,
    pub(crate) generation: u32,
    /// Header checksum of the record before, of the segment header for the first.
    pub(crate) chain: u32,
    /// Where in its file this record begins.
    pub(crate) offset: u32,
    /// How many bytes of the segment had been synced when this record was written.
    pub(crate) synced: u32,
    pub(crate) index: u64,
    pub(crate) term: u64,
}

impl RecordHeader {
    /// Writes the header and returns its checksum, the chain value for the next record.
    pub(crate) fn encode(&self, salt: u32, out: &mut [u8]) -> u32 {
        put32(out, 4, self.payload_crc);
        put32(out, 8, self.length);
        out[12] = self.kind;
        out[13] = self.flag;
        out[14..16].fill(0);
        put64(out, 16, self.segment);
        put32(out, 24, self.generation);
        put32(out, 28, self.chain);
        put32(out, 32, self.offset);
        put32(out, 36, self.synced);
        put64(out, 40, self.index);
        put64(out, 48, self.term);
        let crc = crc32c::crc32c_append(salt, &out[4..RECORD_HEADER]);
        put32(out, 0, crc);
        crc
    }

    /// Reads the header at `offset` back with its checksum; `None` when the bytes there are
    /// no header of this segment.
    pub(crate) fn decode(
        bytes: &[u8],
        offset: u32,
        segment: u64,
        salt: u32,
    ) -> Option<(Self, u32)> {
        let bytes = bytes.get(offset as usize..)?.get(..RECORD_HEADER)?;
        // The two cheap tests come first because a scan for proofs makes them at every place.
        if get64(bytes, 16) != segment || get32(bytes, 32) != offset {
            return None;
        }
        let crc = get32(bytes, 0);
        if crc32c::crc32c_append(salt, &bytes[4..]) != crc {
            return None;
        }
        let header = Self {
            payload_crc: get32(bytes, 4),
            length: get32(bytes, 8),
            kind: bytes[12],
            flag: bytes[13],
            segment,
            generation: get32(bytes, 24),
            chain: get32(bytes, 28),
            offset,
            synced: get32(bytes, 36),
            index: get64(bytes, 40),
            term: get64(bytes, 48),
        };
        Some((header, crc))
    }
}

/// Length of a payload with its padding.
pub(crate) fn padded(length: usize) -> usize {
    length.next_multiple_of(RECORD_ALIGN as usize)
}

/// Length of a whole record.
pub(crate) fn record_bytes(payload: usize) -> usize {
    RECORD_HEADER + padded(payload)
}

/// Larger numbers in file names are not ours, so that counting on from one cannot overflow.
const NUMBER_MAX: u64 = u64::MAX >> 1;

/// Name of a segment's file.
pub(crate) fn segment_name(segment: u64, first_index: u64) -> String {
    format!("{segment:016x}-{first_index:016x}.wal")
}

/// Name of a file that waits to become a segment.
pub(crate) fn free_name(number: u64) -> String {
    format!("{number:016x}.free")
}

/// Reads a segment's name back: its sequence and first index.
pub(crate) fn parse_segment_name(name: &str) -> Option<(u64, u64)> {
    let (segment, first) = name.strip_suffix(".wal")?.split_once('-')?;
    let parsed = (hex(segment)?, hex(first)?);
    let ours = parsed.0 <= NUMBER_MAX && segment_name(parsed.0, parsed.1) == name;
    ours.then_some(parsed)
}

/// Reads the number in the name of a waiting file back.
pub(crate) fn parse_free_name(name: &str) -> Option<u64> {
    let number = hex(name.strip_suffix(".free")?)?;
    (number <= NUMBER_MAX && free_name(number) == name).then_some(number)
}

fn hex(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

fn put32(out: &mut [u8], at: usize, value: u32) {
    out[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put64(out: &mut [u8], at: usize, value: u64) {
    out[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

pub(crate) fn get32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were taken"))
}

pub(crate) fn get64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were taken"))
}
