//! Reads the records of one segment and judges the place where they end.

use crate::config::RECORD_BYTES_MAX;
use crate::format::{
    Kind, RECORD_ALIGN, RECORD_HEADER, RecordHeader, SEGMENT_HEADER, SegmentHeader, padded,
};
use bytes::Bytes;

/// A record that passed every check.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) header: RecordHeader,
    pub(crate) payload: Bytes,
}

/// Goes through a segment from record to record.
#[derive(Debug)]
pub(crate) struct Cursor {
    bytes: Bytes,
    header: SegmentHeader,
    /// Where the next record begins: behind all that was accepted.
    pub(crate) at: u32,
    /// Header checksum of the last record that was accepted.
    pub(crate) chain: u32,
    /// Generation of the last record that was accepted.
    pub(crate) generation: u32,
    /// How much of the segment some accepted record says had been synced.
    pub(crate) claimed: u32,
}

/// What lies behind the place where the valid records of the last segment end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// Nothing that this generation wrote.
    Nothing,
    /// Pieces of a batch that was never known to be synced.
    Torn,
    /// A record, at this offset, that could only be written after the bad bytes were synced.
    Proof(u32),
}

impl Cursor {
    /// Begins behind the header of a segment whose file holds at most 4 GiB.
    pub(crate) fn new(bytes: Bytes, header: SegmentHeader) -> Self {
        Self {
            bytes,
            at: u32::try_from(SEGMENT_HEADER).expect("the header is short"),
            chain: header.chain(),
            generation: header.generation,
            claimed: 0,
            header,
        }
    }

    /// The next record, or why there is none at this place.
    pub(crate) fn next(&mut self) -> Result<Record, &'static str> {
        let Some((header, crc)) =
            RecordHeader::decode(&self.bytes, self.at, self.header.segment, self.header.salt)
        else {
            return Err("there is no valid record header");
        };
        let kind = Kind::from_number(header.kind).ok_or("the record is of an unknown kind")?;
        let opens = kind == Kind::Open && header.generation > self.generation;
        if header.generation != self.generation && !opens {
            return Err("the record belongs to a part of the log that was cut off");
        }
        if header.chain != self.chain {
            return Err("the record does not follow the one before it");
        }
        if header.synced > self.at {
            return Err("the record vouches for bytes behind it");
        }
        if header.length > RECORD_BYTES_MAX {
            return Err("the record is longer than any may be");
        }
        let from = self.at as usize + RECORD_HEADER;
        let to = from + padded(header.length as usize);
        let Some(stored) = self.bytes.get(from..to) else {
            return Err("the record reaches beyond the end of the file");
        };
        if crc32c::crc32c(stored) != header.payload_crc {
            return Err("the checksum of the record's payload does not match");
        }
        let payload = self.bytes.slice(from..from + header.length as usize);
        self.at = u32::try_from(to).map_err(|_| "the file is too long")?;
        self.chain = crc;
        self.generation = header.generation;
        self.claimed = self.claimed.max(header.synced);
        Ok(Record { kind, header, payload })
    }

    /// Looks behind the end for records of this generation or a later one. Only their headers
    /// must hold: a header is summed by itself, with its own place in the file.
    pub(crate) fn behind(&self) -> Behind {
        let mut found = Behind::Nothing;
        let mut at = self.at;
        while (at as usize) + RECORD_HEADER <= self.bytes.len() {
            let (segment, salt) = (self.header.segment, self.header.salt);
            if let Some((header, _)) = RecordHeader::decode(&self.bytes, at, segment, salt)
                && header.generation >= self.generation
            {
                if header.synced > self.at {
                    return Behind::Proof(at);
                }
                found = Behind::Torn;
            }
            match at.checked_add(RECORD_ALIGN) {
                Some(next) => at = next,
                None => break,
            }
        }
        found
    }

    /// What stands where the next record would begin: its header and, if that holds by itself,
    /// its payload, as far as the file goes.
    pub(crate) fn rejected(&self) -> &[u8] {
        let (segment, salt) = (self.header.segment, self.header.salt);
        let header = RecordHeader::decode(&self.bytes, self.at, segment, salt);
        let payload = header.map_or(0, |(header, _)| padded(header.length as usize));
        let rest = self.bytes.get(self.at as usize..).unwrap_or_default();
        &rest[..rest.len().min(RECORD_HEADER + payload)]
    }

    /// The bytes that were accepted from `from` on.
    pub(crate) fn accepted(&self, from: u32) -> Bytes {
        self.bytes.slice(from as usize..self.at as usize)
    }
}

#[cfg(test)]
mod tests;
