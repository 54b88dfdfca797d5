use super::*;
use crate::format::{Kind, RECORD_HEADER, RecordHeader, SEGMENT_HEADER, padded, record_bytes};
use crate::testing::{CrashMode, SimDisk};
use crate::{Config, RECORD_BYTES_MAX, Wal};
use drystone_types::ClusterId;
use proptest::prelude::*;
use std::sync::Arc;

/// A record with valid checksums whose fields an attacker of the disk chose.
#[derive(Clone, Debug)]
struct Forged {
    kind: u8,
    flag: u8,
    index: u64,
    term: u64,
    synced: u32,
    raise: u32,
    payload: Vec<u8>,
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0u64..6, 1 => Just(u64::MAX), 1 => Just(u64::MAX >> 1), 1 => any::<u64>()]
}

fn forged() -> impl Strategy<Value = Forged> {
    let payload = prop_oneof![
        2 => Just(Vec::new()),
        2 => prop::collection::vec(any::<u8>(), 8),
        1 => prop::collection::vec(0u8..2, 40..60),
    ];
    let synced = prop_oneof![4 => Just(0u32), 1 => 0u32..4000, 1 => any::<u32>()];
    let raise = prop_oneof![6 => Just(0u32), 1 => 0u32..3];
    let kind = prop_oneof![3 => Just(1u8), 2 => 2u8..5, 1 => 0u8..9];
    (kind, 0u8..4, number(), number(), synced, raise, payload).prop_map(
        |(kind, flag, index, term, synced, raise, payload)| Forged {
            kind,
            flag,
            index,
            term,
            synced,
            raise,
            payload,
        },
    )
}

/// The bytes of a segment, and the chain value at its end.
fn forge(header: &SegmentHeader, records: &[Forged]) -> (Vec<u8>, u32) {
    let mut bytes = header.encode().to_vec();
    let (mut chain, mut generation) = (header.chain(), header.generation);
    for forged in records {
        let mut stored = forged.payload.clone();
        stored.resize(padded(forged.payload.len()), 0);
        generation = generation.saturating_add(forged.raise);
        let record = RecordHeader {
            payload_crc: crc32c::crc32c(&stored),
            length: u32::try_from(forged.payload.len()).unwrap(),
            kind: forged.kind,
            flag: forged.flag,
            segment: header.segment,
            generation,
            chain,
            offset: u32::try_from(bytes.len()).unwrap(),
            synced: forged.synced,
            index: forged.index,
            term: forged.term,
        };
        let mut out = [0; RECORD_HEADER];
        chain = record.encode(header.salt, &mut out);
        bytes.extend_from_slice(&out);
        bytes.extend_from_slice(&stored);
    }
    (bytes, chain)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Bytes from the disk are refused or make a log that opens again with the same content.
    #[test]
    fn forged_records_never_panic(
        base in forged(),
        records in prop::collection::vec(forged(), 0..12),
        generation in prop_oneof![8 => 0u32..3, 1 => Just(u32::MAX)],
        segment in prop_oneof![8 => Just(1u64), 1 => Just(u64::MAX >> 1), 1 => any::<u64>()],
        plain_base in prop::bool::weighted(0.9),
    ) {
        let identity = Identity { cluster: ClusterId(1), member: MemberId(1) };
        let header = SegmentHeader {
            version: VERSION,
            identity,
            segment,
            first_index: 1,
            salt: 7,
            generation,
            previous_end: 0,
            previous_chain: 0,
        };
        let base = Forged {
            kind: Kind::Base as u8,
            payload: if plain_base { vec![0; 40] } else { base.payload.clone() },
            ..base
        };
        let all: Vec<Forged> = std::iter::once(base).chain(records).collect();
        let dir = Path::new("/log");
        let disk = SimDisk::new(1);
        disk.create_dir_all(dir).unwrap();
        let path = dir.join(segment_name(header.segment, header.first_index));
        disk.set_contents(&path, &forge(&header, &all).0);

        let config = Config { segment_bytes: 4096, ..Config::default() };
        let opened = Wal::open(Arc::new(disk.clone()), dir, config.clone(), identity, LogIndex(0));
        if let Ok((mut wal, found)) = opened {
            wal.append(&[], Some(found.hard_state)).unwrap();
            wal.compact(found.last.index).unwrap();
            wal.close().unwrap();
            disk.crash(CrashMode::Lose);
            let (_, again) =
                Wal::open(Arc::new(disk), dir, config, identity, LogIndex(0)).unwrap();
            prop_assert_eq!(again.last, found.last);
            prop_assert_eq!(again.hard_state, found.hard_state);
        }
    }
}

#[test]
fn a_base_that_contradicts_the_segment_before_is_refused() {
    let identity = Identity { cluster: ClusterId(1), member: MemberId(1) };
    let dir = Path::new("/log");
    let open = |vote: u8| {
        let plain = |kind, index, payload| Forged {
            kind,
            flag: 0,
            index,
            term: u64::from(index > 0),
            synced: 0,
            raise: 0,
            payload,
        };
        let first = SegmentHeader {
            version: VERSION,
            identity,
            segment: 1,
            first_index: 1,
            salt: 7,
            generation: 1,
            previous_end: 0,
            previous_chain: 0,
        };
        let (bytes, chain) =
            forge(&first, &[plain(5, 0, vec![0; 40]), plain(1, 1, b"entry".to_vec())]);
        let second = SegmentHeader {
            segment: 2,
            first_index: 2,
            previous_end: u32::try_from(bytes.len()).unwrap(),
            previous_chain: chain,
            ..first
        };
        let mut base = vec![0; 40];
        base[8] = vote;
        let disk = SimDisk::new(1);
        disk.create_dir_all(dir).unwrap();
        disk.set_contents(&dir.join(segment_name(1, 1)), &bytes);
        disk.set_contents(&dir.join(segment_name(2, 2)), &forge(&second, &[plain(5, 1, base)]).0);
        Wal::open(Arc::new(disk), dir, Config::default(), identity, LogIndex(0))
    };
    assert_eq!(open(0).unwrap().1.last.index, LogIndex(1));
    let error = open(3).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { offset: 72, .. }), "{error:?}");
}

#[test]
fn the_log_is_the_run_that_ends_with_the_newest_segment() {
    let disk = SimDisk::new(1);
    let dir = Path::new("/log");
    disk.create_dir_all(dir).unwrap();
    for (segment, first) in [(1, 1), (3, 9), (4, 12), (6, 30), (7, 20)] {
        disk.set_contents(&dir.join(segment_name(segment, first)), b"");
    }
    for name in ["0000000000000003.free", "LOCK", "7.wal", "x-y.wal", "0-0.wal", "8.free"] {
        disk.set_contents(&dir.join(name), b"");
    }
    let listing = Listing::read(&disk, dir).unwrap();
    let sequences = |named: &[Named]| named.iter().map(|n| n.segment).collect::<Vec<_>>();
    assert_eq!(sequences(&listing.segments), [6, 7]);
    assert_eq!(sequences(&listing.leftovers), [1, 3, 4]);
    assert_eq!(listing.free, [3], "other names are not ours");
}

/// A record whose header is as it should be.
fn sound(kind: Kind, index: u64, payload: &[u8]) -> Forged {
    Forged {
        kind: kind as u8,
        flag: 0,
        index,
        term: u64::from(index > 0),
        synced: 0,
        raise: 0,
        payload: payload.to_vec(),
    }
}

/// Opens a log of one segment with these records, of which the one at `liar` says that it is
/// `length` bytes long; the checksum of its header is right all the same.
fn open_with_length(records: &[Forged], liar: usize, length: u32) -> Result<Recovered, Error> {
    let identity = Identity { cluster: ClusterId(1), member: MemberId(1) };
    let header = SegmentHeader {
        version: VERSION,
        identity,
        segment: 1,
        first_index: 1,
        salt: 7,
        generation: 1,
        previous_end: 0,
        previous_chain: 0,
    };
    let mut bytes = forge(&header, records).0;
    let before: usize = records[..liar].iter().map(|one| record_bytes(one.payload.len())).sum();
    let at = SEGMENT_HEADER + before;
    let offset = u32::try_from(at).unwrap();
    let (record, _) = RecordHeader::decode(&bytes, offset, 1, header.salt).unwrap();
    RecordHeader { length, ..record }.encode(header.salt, &mut bytes[at..at + RECORD_HEADER]);
    let dir = Path::new("/log");
    let disk = SimDisk::new(1);
    disk.create_dir_all(dir).unwrap();
    disk.set_contents(&dir.join(segment_name(1, 1)), &bytes);
    let opened = Wal::open(Arc::new(disk), dir, Config::default(), identity, LogIndex(0));
    opened.map(|(_, recovered)| recovered)
}

/// CVE-2020-15106: etcd made a buffer of whatever length stood there, and panicked.
#[test]
fn cve_2020_15106_a_record_that_says_it_is_longer_than_its_file_is_not_read() {
    let mut records = vec![
        sound(Kind::Base, 0, &[0; 40]),
        sound(Kind::Entry, 1, b"one"),
        sound(Kind::Entry, 2, b"two"),
    ];
    let end =
        SEGMENT_HEADER + records.iter().map(|one| record_bytes(one.payload.len())).sum::<usize>();
    let at = u32::try_from(end - record_bytes(3)).unwrap();
    let lengths = [9, 4096, RECORD_BYTES_MAX, RECORD_BYTES_MAX + 1, u32::MAX - 7, u32::MAX];
    for length in lengths {
        // Nothing says that it was ever synced: it is the torn end of the log.
        let found = open_with_length(&records, 2, length).unwrap();
        assert_eq!(found.last.index, LogIndex(1), "{length}");
        assert_eq!(found.torn.unwrap().offset, u64::from(at), "{length}");
    }
    // What comes behind it vouches for it, so it is damage, and nothing may be cut.
    let vouching = u32::try_from(end).unwrap();
    records.push(Forged { synced: vouching, ..sound(Kind::Attest, 0, b"") });
    for length in lengths {
        let refused = open_with_length(&records, 2, length).unwrap_err();
        let Error::Corrupt { offset, .. } = refused else { panic!("{length}: {refused:?}") };
        assert_eq!(offset, u64::from(at), "{length}");
    }
    assert_eq!(open_with_length(&records, 2, 3).unwrap().last.index, LogIndex(2), "the truth");
}

/// CVE-2020-15112: etcd put an entry at the place that its index said, beyond the end of a slice.
#[test]
fn cve_2020_15112_an_entry_whose_index_is_not_the_next_is_refused() {
    for index in [0, 3, 1 << 32, u64::MAX >> 1, u64::MAX - 1, u64::MAX] {
        let records = [
            sound(Kind::Base, 0, &[0; 40]),
            sound(Kind::Entry, 1, b"one"),
            Forged { term: 1, ..sound(Kind::Entry, index, b"two") },
        ];
        let refused = open_with_length(&records, 2, 3).unwrap_err();
        assert!(matches!(refused, Error::Corrupt { .. }), "{index}: {refused:?}");
    }
}
