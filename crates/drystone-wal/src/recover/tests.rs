use super::*;
use crate::format::{RECORD_HEADER, RecordHeader, padded};
use crate::testing::{CrashMode, SimDisk};
use crate::{Config, Wal};
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
