//! Damaged bytes: what was synced is refused, what was torn is cut, nothing else is read.

use crate::world::{DIR, Model, World, create, entry, mark, open, small};
use drystone_types::{ClusterId, LogIndex, MemberId};
use drystone_wal::testing::{CrashMode, SimDisk};
use drystone_wal::{Disk, Error, Identity, Wal};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a record without payload; the last record of a closed log is one.
const BARE_RECORD: usize = 56;

pub(crate) fn segment_files(disk: &SimDisk) -> Vec<PathBuf> {
    let names = disk.list(Path::new(DIR)).unwrap();
    names.iter().filter(|n| n.ends_with(".wal")).map(|n| Path::new(DIR).join(n)).collect()
}

fn sequence(path: &Path) -> u64 {
    let name = path.file_name().unwrap().to_str().unwrap();
    u64::from_str_radix(&name[..16], 16).unwrap()
}

pub(crate) fn all_contents(disk: &SimDisk) -> Vec<Option<Vec<u8>>> {
    let names = disk.list(Path::new(DIR)).unwrap();
    names.iter().map(|name| disk.contents(&Path::new(DIR).join(name))).collect()
}

/// A closed log over several segments, some of them recycled, and where each of them ends.
fn closed_log() -> (World, BTreeMap<u64, usize>) {
    let mut world = World::new(7, small(1000));
    let mut ends = BTreeMap::new();
    for round in 0..16 {
        world.append(2, u64::from(round % 5 == 4), 120, round % 3 == 0).unwrap();
        if round == 6 {
            world.compact(3).unwrap();
        }
        if round == 9 {
            world.snapshot(1, None, false).unwrap();
        }
        world.sync().unwrap();
        let position = world.wal().durable().position;
        ends.insert(position.segment, position.offset as usize);
    }
    let position = world.wal().durable().position;
    world.wal.take().unwrap().close().unwrap();
    ends.insert(position.segment, position.offset as usize + BARE_RECORD);
    world.disk.kill();
    (world, ends)
}

#[test]
fn every_damaged_byte_that_was_synced_is_refused_with_its_file() {
    let (world, ends) = closed_log();
    let files = segment_files(&world.disk);
    assert!(files.len() >= 4, "{files:?}");
    let last = files.last().unwrap();
    for path in &files {
        let end = ends[&sequence(path)];
        let vouched = if path == last { end - BARE_RECORD } else { end };
        let mut reported_before = 0;
        for byte in 0..end {
            let disk = world.disk.fork(byte as u64);
            assert!(disk.flip_bit(path, byte, u8::try_from(byte % 8).unwrap()));
            let damaged = all_contents(&disk);
            match open(&disk, &world.config) {
                Err(Error::Corrupt { file, offset, .. }) => {
                    assert!(byte < vouched, "{path:?} {byte}");
                    assert_eq!(&file, path, "byte {byte}");
                    let offset = usize::try_from(offset).unwrap();
                    assert!(offset <= byte, "{path:?} {byte}: reported at {offset}");
                    assert!(offset >= reported_before, "{path:?} {byte}: reported at {offset}");
                    reported_before = offset;
                    assert_eq!(all_contents(&disk), damaged, "nothing is changed");
                }
                Ok((_, found)) => {
                    assert!(byte >= vouched, "{path:?} {byte} was not noticed");
                    assert_eq!(Model::found(&found), world.twin.durable);
                }
                Err(other) => panic!("{path:?} {byte}: {other:?}"),
            }
        }
        assert!(reported_before > 0 || end < 200);
    }
}

#[test]
fn bytes_behind_the_end_are_not_looked_at() {
    let (world, ends) = closed_log();
    for path in segment_files(&world.disk) {
        let disk = world.disk.fork(1);
        for byte in ends[&sequence(&path)]..disk.contents(&path).unwrap().len() {
            disk.flip_bit(&path, byte, 3);
        }
        let (_, found) = open(&disk, &world.config).unwrap();
        assert_eq!(Model::found(&found), world.twin.durable);
    }
}

#[test]
fn a_sealed_segment_that_was_cut_short_or_lost_is_refused() {
    let (world, ends) = closed_log();
    let files = segment_files(&world.disk);
    for (n, path) in files.iter().enumerate().take(files.len() - 1) {
        let whole = world.disk.contents(path).unwrap();
        for keep in (0..ends[&sequence(path)]).step_by(8) {
            let disk = world.disk.fork(1);
            disk.set_contents(path, &whole[..keep]);
            let error = open(&disk, &world.config).unwrap_err();
            assert!(
                matches!(&error, Error::Corrupt { file, .. } if file == path),
                "{path:?} {keep}: {error:?}"
            );
        }
        let disk = world.disk.fork(1);
        disk.remove(path).unwrap();
        let error = open(&disk, &world.config).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{n} lost: {error:?}");
    }
}

#[test]
fn a_segment_from_another_history_is_refused() {
    // Two logs with the same indexes, terms and lengths, but not the same data.
    let build = |counter| {
        let mut world = World::new(1, small(700));
        world.counter = counter;
        for _ in 0..9 {
            world.append(2, 0, 100, false).unwrap();
            world.sync().unwrap();
        }
        world.kill();
        world
    };
    let (ours, theirs) = (build(100), build(500));
    let files = segment_files(&ours.disk);
    assert_eq!(files, segment_files(&theirs.disk));
    for path in &files[..files.len() - 1] {
        let disk = ours.disk.fork(1);
        disk.set_contents(path, &theirs.disk.contents(path).unwrap());
        let error = open(&disk, &ours.config).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{path:?}: {error:?}");
    }
}

/// Tears the last batch at every byte in three ways; what was synced before is always there.
#[test]
fn a_tail_torn_at_any_byte_is_cut() {
    let mut world = World::new(11, small(4096));
    for round in 0..3 {
        world.append(2, 0, 60, round == 1).unwrap();
        world.sync().unwrap();
    }
    let synced = world.twin.clone();
    let from = world.wal().durable().position.offset as usize;
    world.append(4, 2, 150, true).unwrap();
    let pending = world.twin.pending.clone();
    world.sync().unwrap();
    let to = world.wal().durable().position.offset as usize;
    world.kill();
    let path = segment_files(&world.disk).pop().unwrap();
    let whole = world.disk.contents(&path).unwrap();

    for at in from..=to {
        for way in 0..3 {
            let mut torn = whole.clone();
            match way {
                0 => torn[at..].fill(0),
                1 => torn[at..to].fill(0xa5),
                _ => torn.truncate(at),
            }
            let disk = world.disk.fork(1);
            disk.set_contents(&path, &torn);
            let (mut wal, found) =
                open(&disk, &world.config).unwrap_or_else(|error| panic!("{at} {way}: {error:?}"));
            let mut twin = synced.clone();
            twin.pending.clone_from(&pending);
            twin.check(&found).unwrap_or_else(|wrong| panic!("{at} {way}: {wrong}"));
            if at == to {
                assert_eq!(Model::found(&found), world.twin.durable);
            }

            let next = entry(found.last.index.0 + 1, 99, "behind the cut");
            wal.append_and_sync(std::slice::from_ref(&next), None).unwrap();
            drop(wal);
            disk.crash(CrashMode::Lose);
            let (_, again) = open(&disk, &world.config).unwrap();
            assert_eq!(again.entries.last(), Some(&next));
            assert_eq!(again.entries.len(), found.entries.len() + 1);
        }
    }
}

#[test]
fn what_follows_a_torn_record_does_not_come_back() {
    let config = small(4096);
    let disk = SimDisk::new(1);
    let mut wal = create(&disk, &config).unwrap();
    let at = wal.durable().position.offset as usize;
    let lost = entry(1, 1, vec![b'r'; 2 * BARE_RECORD]);
    let stale = entry(2, 1, "stale");
    wal.append(&[lost.clone(), stale], None).unwrap();
    wal.sync().unwrap();
    drop(wal);
    let path = segment_files(&disk).pop().unwrap();
    let mut bytes = disk.contents(&path).unwrap();
    bytes[at..at + BARE_RECORD].fill(0);
    disk.set_contents(&path, &bytes);

    let (mut wal, found) = open(&disk, &config).unwrap();
    assert_eq!(found.entries, []);
    assert_eq!(found.torn.as_ref().map(|torn| torn.offset), Some(at as u64));
    // The opening left a record of its own. An entry that is shorter by just that much ends
    // where the stale one begins.
    let short = entry(1, 1, vec![b'r'; BARE_RECORD]);
    wal.append_and_sync(std::slice::from_ref(&short), None).unwrap();
    let end = wal.durable().position.offset as usize;
    drop(wal);
    assert!(disk.contents(&path).unwrap()[end..].starts_with(&bytes[end..end + 40]));
    let (_, found) = open(&disk, &config).unwrap();
    assert_eq!(found.entries, [short]);
}

#[test]
fn recycled_segments_bring_nothing_back() {
    // Entries of one size, so that old records lie just where new ones would follow.
    let mut world = World::new(5, small(1000));
    let mut recycled = 0;
    for _ in 0..40 {
        world.append(1, 0, 100, false).unwrap();
        world.sync().unwrap();
        world.compact(2).unwrap();
        world.sync().unwrap();
        let position = world.wal().durable().position;
        let path = segment_files(&world.disk).pop().unwrap();
        assert_eq!(sequence(&path), position.segment);
        let behind = world.disk.contents(&path).unwrap().split_off(position.offset as usize);
        if behind.windows(3).any(|bytes| bytes == b"...") {
            recycled += 1;
        }
        world.crash(CrashMode::Lose);
        world.reopen().unwrap();
    }
    assert!(recycled > 10, "old entries lay behind the end {recycled} times");
}

#[test]
fn values_that_look_like_records_are_not_taken_for_records() {
    let config = small(1 << 16);
    let disk = SimDisk::new(1);
    let mut wal = create(&disk, &config).unwrap();
    for index in 1..20 {
        wal.append_and_sync(&[entry(index, 1, vec![7; 33])], None).unwrap();
    }
    let path = segment_files(&disk).pop().unwrap();
    let used = wal.durable().position.offset as usize;
    // The log's own bytes as a value: every record in them is valid but for its place.
    let copy = disk.contents(&path).unwrap()[..used].to_vec();
    wal.append_and_sync(&[entry(20, 1, copy)], None).unwrap();
    drop(wal);
    disk.flip_bit(&path, used + 3, 1);
    let (_, found) = open(&disk, &config).unwrap();
    assert_eq!(found.last, mark(19, 1), "the torn value is cut, not taken for proof");
}

#[test]
fn damage_to_the_last_batch_is_seen_once_something_vouches_for_it() {
    let build = |attest: bool| {
        let mut world = World::new(2, small(4096));
        world.append(3, 0, 40, true).unwrap();
        world.sync().unwrap();
        if attest {
            world.wal().attest().unwrap();
            let writes = world.disk.count(drystone_wal::testing::Op::Write);
            world.wal().attest().unwrap();
            assert_eq!(world.disk.count(drystone_wal::testing::Op::Write), writes, "said once");
        }
        world.kill();
        let path = segment_files(&world.disk).pop().unwrap();
        world.disk.flip_bit(&path, 300, 0);
        open(&world.disk, &world.config).map(|(_, found)| found)
    };
    assert!(matches!(build(true), Err(Error::Corrupt { .. })));
    // The window that the format leaves open and the documentation names.
    assert!(build(false).unwrap().entries.len() < 3);
}

#[test]
fn foreign_and_later_logs_are_refused() {
    let (world, _) = closed_log();
    for other in [
        Identity { cluster: ClusterId(1), member: MemberId(0x3e) },
        Identity { cluster: ClusterId(0xc1), member: MemberId(2) },
    ] {
        let disk = Arc::new(world.disk.clone());
        let opened = Wal::open(disk, Path::new(DIR), world.config.clone(), other, LogIndex(0));
        let Err(Error::Foreign { found, expected, .. }) = opened else { panic!("{opened:?}") };
        assert_eq!(found, crate::world::identity());
        assert_eq!(expected, other);
    }
    let path = segment_files(&world.disk).pop().unwrap();
    let mut bytes = world.disk.contents(&path).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..68]);
    bytes[68..72].copy_from_slice(&crc.to_le_bytes());
    world.disk.set_contents(&path, &bytes);
    let opened = open(&world.disk, &world.config);
    assert!(matches!(opened, Err(Error::Version { found: 2, supported: 1, .. })), "{opened:?}");
}
