use super::*;
use crate::Identity;
use crate::format::VERSION;
use drystone_types::{ClusterId, MemberId};

const SALT: u32 = 0xabcd;
const SEGMENT: u64 = 5;

fn segment_header() -> SegmentHeader {
    SegmentHeader {
        version: VERSION,
        identity: Identity { cluster: ClusterId(1), member: MemberId(2) },
        segment: SEGMENT,
        first_index: 1,
        salt: SALT,
        generation: 3,
        previous_end: 0,
        previous_chain: 0,
    }
}

/// A segment written record by record, each as it should be until `change` spoils its header.
struct Writer {
    bytes: Vec<u8>,
    chain: u32,
}

impl Writer {
    fn new() -> Self {
        let header = segment_header();
        Self { bytes: header.encode().to_vec(), chain: header.chain() }
    }

    fn record(&mut self, payload: &[u8], change: impl FnOnce(&mut RecordHeader)) -> u32 {
        let offset = u32::try_from(self.bytes.len()).unwrap();
        let mut stored = payload.to_vec();
        stored.resize(padded(payload.len()), 0);
        let mut header = RecordHeader {
            payload_crc: crc32c::crc32c(&stored),
            length: u32::try_from(payload.len()).unwrap(),
            kind: Kind::Attest as u8,
            flag: 0,
            segment: SEGMENT,
            generation: 3,
            chain: self.chain,
            offset,
            synced: 0,
            index: 0,
            term: 0,
        };
        change(&mut header);
        let mut out = [0; RECORD_HEADER];
        self.chain = header.encode(SALT, &mut out);
        self.bytes.extend_from_slice(&out);
        self.bytes.extend_from_slice(&stored);
        offset
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(Bytes::from(self.bytes.clone()), segment_header())
    }
}

fn refused(change: impl FnOnce(&mut RecordHeader)) -> &'static str {
    let mut writer = Writer::new();
    writer.record(b"before", |_| {});
    let at = writer.record(b"spoiled", change);
    let mut cursor = writer.cursor();
    assert_eq!(cursor.next().unwrap().payload, b"before".as_slice());
    let reason = cursor.next().expect_err("the record is spoiled");
    assert_eq!(cursor.at, at, "the cursor stays before it");
    reason
}

#[test]
fn each_part_of_a_header_is_checked_by_itself() {
    assert!(refused(|header| header.segment = SEGMENT - 1).contains("no valid record header"));
    assert!(refused(|header| header.offset += 8).contains("no valid record header"));
    assert!(refused(|header| header.generation = 2).contains("was cut off"));
    assert!(refused(|header| header.generation = 4).contains("was cut off"));
    assert!(refused(|header| header.chain ^= 1).contains("does not follow"));
    assert!(refused(|header| header.synced = header.offset + 8).contains("vouches"));
    assert!(refused(|header| header.length = RECORD_BYTES_MAX + 1).contains("longer than any"));
    assert!(refused(|header| header.length = RECORD_BYTES_MAX).contains("beyond the end"));
    assert!(refused(|header| header.payload_crc ^= 1).contains("checksum"));
    assert!(refused(|header| header.kind = 0).contains("unknown kind"));
    assert!(refused(|header| header.kind = 8).contains("unknown kind"));
}

#[test]
fn an_open_record_alone_raises_the_generation() {
    let mut writer = Writer::new();
    writer.record(b"", |header| (header.kind, header.generation) = (Kind::Open as u8, 9));
    writer.record(b"", |header| header.generation = 9);
    let stale = writer.record(b"", |header| header.generation = 3);
    let mut cursor = writer.cursor();
    assert!(cursor.next().is_ok() && cursor.next().is_ok());
    assert!(cursor.next().is_err());
    assert_eq!((cursor.at, cursor.generation), (stale, 9));
}

#[test]
fn only_a_record_of_this_generation_that_vouches_for_the_end_is_proof() {
    let behind = |change: fn(&mut RecordHeader)| {
        let mut writer = Writer::new();
        let bad = writer.record(b"bad", |header| header.payload_crc ^= 1);
        let at = writer.record(b"behind", |header| {
            header.synced = bad + 8;
            change(header);
        });
        let mut cursor = writer.cursor();
        assert!(cursor.next().is_err());
        (cursor.behind(), at)
    };
    let (found, at) = behind(|_| {});
    assert_eq!(found, Behind::Proof(at));
    // Its payload, chain and kind need not hold: the header says it all.
    let (found, at) = behind(|header| {
        (header.payload_crc, header.chain, header.kind) = (0, 0, 99);
    });
    assert_eq!(found, Behind::Proof(at));
    assert_eq!(behind(|header| header.generation = 4).0, Behind::Proof(at));
    // The bad record's own header is of this generation: something was torn.
    assert_eq!(behind(|header| header.generation = 2).0, Behind::Torn);
    assert_eq!(behind(|header| header.synced -= 8).0, Behind::Torn);
    assert_eq!(behind(|header| header.offset -= 8).0, Behind::Torn);
    assert_eq!(behind(|header| header.segment = 4).0, Behind::Torn);
}

#[test]
fn an_untouched_rest_is_no_torn_write() {
    let mut writer = Writer::new();
    writer.record(b"last", |_| {});
    writer.bytes.resize(4096, 0);
    let mut cursor = writer.cursor();
    assert!(cursor.next().is_ok() && cursor.next().is_err());
    assert_eq!(cursor.behind(), Behind::Nothing);
}
