//! Reads that fail or give wrong bytes while a log is opened: nothing that was synced goes.

use crate::damage::{all_contents, segment_files};
use crate::world::{DIR, Model, World, open, small};
use drystone_wal::testing::{CrashMode, Injected, Misread, Op, SimDisk};
use drystone_wal::{Disk as _, Error};
use std::path::Path;

const MISREADS: [Misread; 3] = [Misread::Flip, Misread::Stale, Misread::Misdirected];

/// How a log may have been left.
#[derive(Clone, Copy, Debug)]
enum Left {
    /// The last batch is one record.
    OneRecord,
    /// The last batch is many records and longer than a sector.
    LongBatch,
    /// A record vouches for the last batch.
    Attested,
    /// The log was closed.
    Closed,
    /// A batch behind the last synced one was torn.
    Torn,
    /// It was opened once and not written to.
    Opened,
}

const ALL_LEFT: [Left; 6] =
    [Left::OneRecord, Left::LongBatch, Left::Attested, Left::Closed, Left::Torn, Left::Opened];

/// A log over several segments, some of them recycled.
fn log(left: Left) -> World {
    let mut world = World::new(7, small(2000));
    for round in 0..14 {
        world.append(2, u64::from(round % 5 == 4), 150, round % 3 == 0).unwrap();
        if round == 8 {
            world.compact(3).unwrap();
        }
        world.sync().unwrap();
    }
    match left {
        Left::LongBatch => world.append(6, 1, 200, true).unwrap(),
        _ => world.append(1, 0, 100, false).unwrap(),
    }
    world.sync().unwrap();
    match left {
        Left::OneRecord | Left::LongBatch => {}
        Left::Attested => world.wal().attest().unwrap(),
        Left::Closed => world.wal.take().unwrap().close().unwrap(),
        Left::Torn => {
            world.append(3, 0, 400, true).unwrap();
            world.disk.fail_nth(Op::Write, 1);
            world.sync().unwrap_err();
            // Of what was never acknowledged, what was found once is what counts.
            world.crash(CrashMode::Keep);
            let (_, found) = open(&world.disk.fork(1), &world.config).unwrap();
            world.twin.durable = Model::found(&found);
        }
        Left::Opened => {
            world.kill();
            world.reopen().unwrap();
        }
    }
    world.crash(CrashMode::Keep);
    assert!(segment_files(&world.disk).len() > 2);
    world
}

fn reads_of_an_opening(world: &World) -> u64 {
    let disk = world.disk.fork(1);
    drop(open(&disk, &world.config).unwrap());
    disk.count(Op::Read)
}

/// What is opened must be all that was synced, now and after a power cut.
fn assert_whole(world: &World, disk: &SimDisk, what: &str) {
    let (wal, found) = open(disk, &world.config).unwrap_or_else(|e| panic!("{what}: {e:?}"));
    assert_eq!(Model::found(&found), world.twin.durable, "{what}");
    drop(wal);
    disk.crash(CrashMode::Lose);
    let (_, again) = open(disk, &world.config).unwrap_or_else(|e| panic!("{what}: {e:?}"));
    assert_eq!(Model::found(&again), world.twin.durable, "{what}, opened again");
}

#[test]
fn a_bad_read_of_the_last_batch_is_not_taken_for_a_torn_write() {
    let mut done = 0;
    for left in ALL_LEFT {
        let world = log(left);
        for n in 1..=reads_of_an_opening(&world) {
            for how in MISREADS {
                for seed in 0..80 {
                    let disk = world.disk.fork(seed);
                    disk.misread_nth(how, n);
                    assert_whole(&world, &disk, &format!("{left:?} {n} {how:?} {seed}"));
                    done += disk.injected().get(&Injected::Misread(how)).copied().unwrap_or(0);
                }
            }
        }
    }
    assert!(done > 5000, "{done} reads were bad");
}

#[test]
fn two_different_bad_reads_in_one_opening_may_refuse_it_and_take_nothing() {
    let world = log(Left::LongBatch);
    let (mut opened, mut refused) = (0, 0);
    for n in 1..=reads_of_an_opening(&world) {
        for seed in 0..300 {
            // A flipped bit and a stale sector are never the same bytes.
            let disk = world.disk.fork(seed);
            disk.misread_nth(Misread::Flip, n);
            disk.misread_nth(Misread::Stale, n + 1 + seed % 7);
            let before = all_contents(&disk);
            match open(&disk, &world.config) {
                Ok((_, found)) => {
                    assert_eq!(Model::found(&found), world.twin.durable, "{n} {seed}");
                    opened += 1;
                }
                Err(Error::Unsteady { .. } | Error::Corrupt { .. }) => {
                    assert_eq!(all_contents(&disk), before, "nothing is changed");
                    refused += 1;
                }
                Err(other) => panic!("{n} {seed}: {other:?}"),
            }
            disk.kill();
            assert_whole(&world, &disk, &format!("{n} {seed}"));
        }
    }
    assert!(opened > 20 * refused && refused > 0, "{opened} opened, {refused} refused");
}

#[test]
fn a_disk_that_never_reads_the_same_twice_is_refused_and_not_written_to() {
    let world = log(Left::LongBatch);
    let mut refused = 0;
    for seed in 0..200 {
        let disk = world.disk.fork(seed);
        (1..200).for_each(|n| disk.misread_nth(Misread::Flip, n));
        let before = all_contents(&disk);
        match open(&disk, &world.config) {
            Err(Error::Unsteady { file, .. } | Error::Corrupt { file, .. }) => {
                assert!(segment_files(&disk).contains(&file));
                refused += 1;
            }
            Ok((_, found)) => panic!("{seed}: {found:?}"),
            Err(other) => panic!("{seed}: {other:?}"),
        }
        assert_eq!(all_contents(&disk), before, "nothing is changed");
        disk.kill();
        assert_whole(&world, &disk, &format!("{seed}, with a sound disk"));
    }
    assert_eq!(refused, 200);
}

#[test]
fn a_read_that_fails_while_opening_is_refused_with_its_file_and_changes_nothing() {
    for left in ALL_LEFT {
        let world = log(left);
        for n in 1..=reads_of_an_opening(&world) {
            let disk = world.disk.fork(n);
            disk.fail_nth(Op::Read, n);
            let before = all_contents(&disk);
            match open(&disk, &world.config) {
                Err(Error::Io { action: "read", path, .. }) => {
                    assert!(segment_files(&disk).contains(&path), "{path:?}");
                }
                other => panic!("{left:?} {n}: {other:?}"),
            }
            assert_eq!(all_contents(&disk), before, "nothing is changed");
            disk.kill();
            assert_whole(&world, &disk, &format!("{left:?} {n}"));
        }
    }
}

/// What is left open: two readings in one opening that are wrong in the same way, in the last
/// batch, while nothing vouches for it. A bad sector that reads the same each time is one.
#[test]
fn a_batch_that_reads_wrong_each_time_is_seen_once_something_vouches_for_it() {
    let outcome = |left| {
        let world = log(left);
        let path = segment_files(&world.disk).pop().unwrap();
        let whole = world.disk.contents(&path).unwrap();
        let needle = format!("<{}>", world.counter);
        let at = whole.windows(needle.len()).position(|bytes| bytes == needle.as_bytes());
        assert!(world.disk.flip_bit(&path, at.unwrap(), 0));
        open(&world.disk, &world.config).map(|(_, found)| found.last == world.twin.durable.last())
    };
    assert!(matches!(outcome(Left::OneRecord), Ok(false)), "the window");
    assert!(matches!(outcome(Left::Attested), Err(Error::Corrupt { .. })));
    assert!(matches!(outcome(Left::Closed), Err(Error::Corrupt { .. })));
    assert!(matches!(outcome(Left::Opened), Err(Error::Corrupt { .. })));
}

#[test]
fn an_old_image_of_the_disk_opens_as_the_log_was() {
    let mut world = log(Left::OneRecord);
    world.reopen().unwrap();
    let old = (world.disk.fork(9), world.twin.clone());
    for _ in 0..20 {
        world.append(3, 0, 150, true).unwrap();
        world.sync().unwrap();
        world.compact(4).unwrap();
    }
    (world.disk, world.twin) = old;
    world.wal = None;
    world.disk.crash(CrashMode::Any);
    world.reopen().unwrap();
    assert!(!world.disk.list(Path::new(DIR)).unwrap().is_empty());
}
