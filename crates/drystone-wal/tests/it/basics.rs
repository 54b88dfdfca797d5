//! What the log promises while nothing goes wrong.

use crate::world::{World, create, entry, identity, mark, open, open_from, small};
use drystone_types::{HardState, LogIndex, MemberId, Term};
use drystone_wal::testing::{CrashMode, Op, SimDisk};
use drystone_wal::{Config, Error, FsDisk, SnapshotMark, Wal};
use std::sync::Arc;

#[test]
fn a_second_holder_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let config = small(4096);
    let again = || Wal::open(Arc::new(FsDisk), dir.path(), config.clone(), identity(), LogIndex(0));
    assert!(matches!(again(), Err(Error::Missing { .. })));
    let wal = Wal::create(Arc::new(FsDisk), dir.path(), config.clone(), identity()).unwrap();
    let refused = again().unwrap_err();
    assert!(matches!(&refused, Error::Locked { dir: named } if named == dir.path()));
    assert!(refused.to_string().contains(dir.path().to_str().unwrap()), "{refused}");
    let created = Wal::create(Arc::new(FsDisk), dir.path(), config.clone(), identity());
    assert!(matches!(created, Err(Error::Locked { .. })));
    drop(wal);
    let created = Wal::create(Arc::new(FsDisk), dir.path(), config.clone(), identity());
    assert!(matches!(created, Err(Error::Exists { .. })));
    again().unwrap();
}

#[test]
fn real_files_hold_a_life() {
    let dir = tempfile::tempdir().unwrap();
    let config = small(4096);
    let disk = Arc::new(FsDisk);
    let mut wal = Wal::create(disk, dir.path(), config.clone(), identity()).unwrap();
    for index in 1..=100 {
        wal.append(&[entry(index, 1, vec![1; 150])], None).unwrap();
        wal.sync().unwrap();
        if index % 10 == 0 {
            wal.compact(LogIndex(index - 5)).unwrap();
            wal.tend(1 << 20).unwrap();
        }
    }
    assert!(wal.segments() <= 3, "{}", wal.segments());
    assert!((1..=2).contains(&wal.segments_spare()));
    wal.close().unwrap();
    let disk = Arc::new(FsDisk);
    let (wal, found) = Wal::open(disk, dir.path(), config, identity(), LogIndex(0)).unwrap();
    assert_eq!(found.start, mark(95, 1));
    assert_eq!(found.last, mark(100, 1));
    assert_eq!(found.entries.len(), 5);
    assert!(found.entries.iter().all(|e| e.data == vec![1; 150]));
    assert_eq!(wal.term(LogIndex(95)), Some(Term(1)));
    assert_eq!(wal.term(LogIndex(94)), None);
}

#[test]
fn a_batch_is_one_write_and_one_sync() {
    let mut world = World::new(1, small(1 << 16));
    let (writes, syncs) = (world.disk.count(Op::Write), world.disk.count(Op::SyncData));
    world.append(50, 0, 100, true).unwrap();
    world.append(50, 3, 100, true).unwrap();
    world.sync().unwrap();
    world.sync().unwrap();
    assert_eq!(world.disk.count(Op::Write), writes + 1);
    assert_eq!(world.disk.count(Op::SyncData), syncs + 1);
}

#[test]
fn entries_may_be_asked_for_from_an_index_on() {
    let mut world = World::new(1, small(1000));
    world.append(10, 0, 50, true).unwrap();
    world.append(10, 4, 50, true).unwrap();
    world.sync().unwrap();
    world.compact(1).unwrap();
    world.sync().unwrap();
    world.kill();
    let all = world.twin.durable.entries.clone();
    for from in 0..20 {
        let (wal, found) = open_from(&world.disk, &world.config, from).unwrap();
        let expected: Vec<_> = all.iter().filter(|e| e.index.0 >= from).cloned().collect();
        assert_eq!(found.entries, expected);
        let before = match expected.first() {
            Some(first) => first.index.0 - 1,
            None => found.last.index.0,
        };
        assert_eq!(found.before.index.0, before);
        assert_eq!(Some(found.before.term), wal.term(found.before.index));
        drop(wal);
    }
}

#[test]
fn what_does_not_continue_the_log_is_refused_and_changes_nothing() {
    let disk = SimDisk::new(1);
    let config = small(4096);
    let mut wal = create(&disk, &config).unwrap();
    wal.append_and_sync(&[entry(1, 2, "a"), entry(2, 2, "b")], None).unwrap();
    let order =
        |result: Result<(), Error>| assert!(matches!(result, Err(Error::OutOfOrder { .. })));
    order(wal.append(&[entry(4, 2, "gap")], None));
    order(wal.append(&[entry(0, 2, "zero")], None));
    order(wal.append(&[entry(3, 1, "older term")], None));
    order(wal.append(&[entry(3, 2, "c"), entry(5, 2, "gap inside")], None));
    order(wal.append(&[entry(3, 3, "c"), entry(4, 2, "falling term")], None));
    order(wal.append(&[entry(u64::MAX, 3, "far")], None));
    order(wal.compact(LogIndex(3)));
    let far = SnapshotMark { at: mark(u64::MAX, 9), ..SnapshotMark::default() };
    order(wal.mark_snapshot(&far));
    wal.compact(LogIndex(1)).unwrap();
    order(wal.append(&[entry(1, 2, "compacted")], None));
    let other = SnapshotMark { at: mark(1, 9), ..SnapshotMark::default() };
    order(wal.mark_snapshot(&other));
    let older = SnapshotMark { at: mark(0, 0), ..SnapshotMark::default() };
    order(wal.mark_snapshot(&older));
    wal.sync().unwrap();
    drop(wal);
    let (_, found) = open(&disk, &config).unwrap();
    assert_eq!(found.entries, [entry(2, 2, "b")]);
}

#[test]
fn the_buffer_is_bounded() {
    let disk = SimDisk::new(1);
    let config = Config { buffer_bytes_max: 1000, record_bytes_max: 5000, ..small(4096) };
    let mut wal = create(&disk, &config).unwrap();
    wal.append(&[entry(1, 1, vec![1; 700])], None).unwrap();
    let full = wal.append(&[entry(2, 1, vec![2; 300])], None);
    assert!(
        matches!(full, Err(Error::BufferFull { buffered_bytes: 760, asked_bytes: 360, .. })),
        "{full:?}"
    );
    let large = wal.append(&[entry(2, 1, vec![2; 5001])], None);
    assert!(matches!(large, Err(Error::RecordTooLarge { bytes: 5001, .. })), "{large:?}");
    assert_eq!(wal.last(), mark(1, 1));
    wal.sync().unwrap();
    assert_eq!(wal.buffered_bytes(), 0);
    // One record alone may be larger than the bound, and larger than a segment.
    wal.append(&[entry(2, 1, vec![2; 5000])], None).unwrap();
    let vote = HardState { term: Term(1), vote: MemberId(9), commit: LogIndex(1) };
    let many: Vec<_> =
        (3..40u8).map(|n| entry(u64::from(n), 1, vec![3; 11 * usize::from(n)])).collect();
    assert!(matches!(wal.append(&many, None), Err(Error::BufferFull { .. })));
    let durable = wal.append_and_sync(&many, Some(vote)).unwrap();
    assert_eq!((durable.last, durable.hard_state), (mark(39, 1), vote));
    drop(wal);
    disk.crash(CrashMode::Lose);
    let (_, found) = open(&disk, &config).unwrap();
    assert_eq!(found.entries.len(), 39);
    assert_eq!(found.entries[2..], many);
    assert_eq!(found.hard_state, vote);
}

#[test]
fn an_installed_snapshot_frees_all_that_was_before() {
    let mut world = World::new(1, small(1000));
    world.append(40, 0, 50, true).unwrap();
    world.sync().unwrap();
    world.append(5, 0, 50, true).unwrap();
    world.sync().unwrap();
    assert!(world.wal().segments() > 1);
    world.snapshot(0, Some(10), false).unwrap();
    world.append(1, 0, 950, true).unwrap();
    world.sync().unwrap();
    assert_eq!(world.wal().segments(), 1, "no older segment is needed");
    world.crash(CrashMode::Lose);
    world.reopen().unwrap();
    assert_eq!(world.twin.durable.start.index, LogIndex(55));
    assert_eq!(world.twin.durable.entries.len(), 1);
}

#[test]
fn a_snapshot_that_contradicts_the_log_frees_entries_beyond_it_too() {
    for interrupted in [false, true] {
        let mut world = World::new(1, small(1000));
        for _ in 0..10 {
            world.append(3, 0, 50, true).unwrap();
            world.sync().unwrap();
        }
        assert!(world.wal().segments() > 3);
        world.snapshot(2, None, true).unwrap();
        world.append(1, 0, 950, true).unwrap();
        if interrupted {
            // The rename that begins a segment works, the first that drops one does not.
            world.disk.fail_nth(Op::Rename, 2);
            world.sync().unwrap_err();
            world.kill();
            world.reopen().unwrap();
        } else {
            world.sync().unwrap();
        }
        assert_eq!(world.wal().start().index, LogIndex(15));
        assert_eq!(world.wal().last().index, LogIndex(16));
        assert_eq!(world.wal().segments(), 1, "entries up to 30 are as good as gone");
    }
}

#[test]
fn an_empty_configuration_replaces_one_and_compaction_keeps_it() {
    let disk = SimDisk::new(1);
    let config = small(4096);
    let mut wal = create(&disk, &config).unwrap();
    let entries: Vec<_> = (1..=4).map(|index| entry(index, 1, "x")).collect();
    wal.append(&entries, None).unwrap();
    let own = |index, conf: &'static str| SnapshotMark { at: mark(index, 1), conf: conf.into() };
    wal.mark_snapshot(&own(1, "three voters")).unwrap();
    wal.compact(LogIndex(2)).unwrap();
    wal.sync().unwrap();
    drop(wal);
    let (mut wal, found) = open(&disk, &config).unwrap();
    assert_eq!((found.conf.as_ref(), found.start), (b"three voters".as_slice(), mark(2, 1)));
    wal.mark_snapshot(&own(3, "")).unwrap();
    wal.sync().unwrap();
    drop(wal);
    let (_, found) = open(&disk, &config).unwrap();
    assert_eq!((found.conf.as_ref(), found.entries.len()), (b"".as_slice(), 1));
}

#[test]
fn a_smaller_bound_on_waiting_files_holds_from_the_next_opening_on() {
    let mut world = World::new(1, small(700));
    while world.wal().segments_spare() < 2 {
        world.append(1, 0, 600, true).unwrap();
        world.sync().unwrap();
        if world.wal().segments() > 3 {
            world.compact(4).unwrap();
            world.append(1, 0, 10, true).unwrap();
            world.sync().unwrap();
        }
    }
    world.kill();
    world.config.recycle_segments_max = 1;
    world.reopen().unwrap();
    assert_eq!(world.wal().segments_spare(), 1);
}

#[test]
fn a_segment_that_one_batch_made_long_is_recycled_at_its_usual_length() {
    let mut world = World::new(1, small(1000));
    world.append(1, 0, 5000, false).unwrap();
    world.sync().unwrap();
    for _ in 0..3 {
        world.append(1, 0, 500, false).unwrap();
        world.sync().unwrap();
        world.compact(4).unwrap();
        world.sync().unwrap();
    }
    let dir = std::path::Path::new(crate::world::DIR);
    for name in drystone_wal::Disk::list(&world.disk, dir).unwrap() {
        let len = world.disk.contents(&dir.join(&name)).unwrap().len();
        assert!(len <= 1000 || name.ends_with(".free"), "{name} has {len} bytes");
    }
    assert!(world.wal().durable().position.segment > 2, "the long file was used again");
}

#[test]
fn nobody_else_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("member/wal");
    drop(Wal::create(Arc::new(FsDisk), &dir, small(4096), identity()).unwrap());
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for file in std::fs::read_dir(&dir).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[test]
fn settings_are_checked() {
    let disk = SimDisk::new(1);
    for config in [
        Config { segment_bytes: 0, ..small(4096) },
        Config { segment_bytes: u32::MAX, ..small(4096) },
        Config { buffer_bytes_max: 0, ..small(4096) },
        Config { record_bytes_max: u32::MAX, ..small(4096) },
    ] {
        assert!(matches!(create(&disk, &config), Err(Error::Config { .. })));
    }
}

#[test]
fn a_log_in_the_place_of_an_old_one_starts_clean() {
    let mut world = World::new(1, small(700));
    while world.wal().segments_spare() == 0 {
        world.append(1, 0, 90, true).unwrap();
        world.sync().unwrap();
        world.compact(4).unwrap();
    }
    world.kill();
    let dir = std::path::Path::new(crate::world::DIR);
    let names = drystone_wal::Disk::list(&world.disk, dir).unwrap();
    let (segments, free): (Vec<_>, Vec<_>) = names.iter().partition(|n| n.ends_with(".wal"));
    assert_eq!(free.len(), 1, "the first segment waits to be written over");
    for name in segments {
        drystone_wal::Disk::remove(&world.disk, &dir.join(name)).unwrap();
    }
    // A new log with the same owner and seed: its first segment is the old one's twin.
    drop(create(&world.disk, &world.config).unwrap());
    let (_, found) = open(&world.disk, &world.config).unwrap();
    assert_eq!((found.entries.len(), found.hard_state), (0, HardState::default()));
}
