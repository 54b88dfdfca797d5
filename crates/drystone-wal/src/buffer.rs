//! Records that wait for a sync, encoded one behind the other.

use crate::format::{Kind, RECORD_HEADER, RecordHeader, padded};
use crate::state::Marker;

/// Where sealed records will lie and what their headers say of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) salt: u32,
    pub(crate) generation: u32,
    pub(crate) offset: u32,
    pub(crate) synced: u32,
    pub(crate) chain: u32,
}

/// Payloads are copied and summed when they come; what depends on the place is filled in when
/// they go, because only then it is known which segment they go to and how far it is synced.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    headers: Vec<(usize, RecordHeader)>,
    /// The highest index of an entry since the last restart of the log in this buffer.
    pub(crate) index_max: u64,
    /// True when the log begins anew in this buffer.
    pub(crate) restarted: bool,
}

impl Buffer {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a record whose payload is the `parts` put together.
    pub(crate) fn push(&mut self, kind: Kind, flag: u8, at: Marker, parts: &[&[u8]]) {
        let header_at = self.bytes.len();
        let payload_at = header_at + RECORD_HEADER;
        self.bytes.resize(payload_at, 0);
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        let length = self.bytes.len() - payload_at;
        self.bytes.resize(payload_at + padded(length), 0);
        match kind {
            Kind::Entry => self.index_max = self.index_max.max(at.index.0),
            Kind::Restart => (self.index_max, self.restarted) = (0, true),
            _ => {}
        }
        let header = RecordHeader {
            payload_crc: crc32c::crc32c(&self.bytes[payload_at..]),
            length: u32::try_from(length).expect("the caller holds payloads below 512 MiB"),
            kind: kind as u8,
            flag,
            segment: 0,
            generation: 0,
            chain: 0,
            offset: 0,
            synced: 0,
            index: at.index.0,
            term: at.term.0,
        };
        self.headers.push((header_at, header));
    }

    /// Completes all headers for `place` and returns the chain value behind the last record.
    pub(crate) fn seal(&mut self, place: Place) -> u32 {
        let mut chain = place.chain;
        for (at, header) in &mut self.headers {
            header.segment = place.segment;
            header.generation = place.generation;
            header.chain = chain;
            header.offset = place.offset
                + u32::try_from(*at).expect("a segment with a whole buffer is below 4 GiB");
            header.synced = place.synced;
            chain = header.encode(place.salt, &mut self.bytes[*at..*at + RECORD_HEADER]);
        }
        chain
    }

    /// Empties the buffer and gives back memory beyond `keep_bytes`.
    pub(crate) fn clear(&mut self, keep_bytes: usize) {
        self.bytes.clear();
        self.headers.clear();
        if self.bytes.capacity() > keep_bytes {
            self.bytes.shrink_to(keep_bytes);
            self.headers.shrink_to(keep_bytes / RECORD_HEADER);
        }
        self.index_max = 0;
        self.restarted = false;
    }
}
