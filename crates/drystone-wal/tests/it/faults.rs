//! Each operation of a fixed life fails once, each way of going down follows it.

use crate::world::{DIR, Twin, World, create, small};
use drystone_wal::testing::{CrashMode, Op, SimDisk};
use drystone_wal::{Error, Wal};
use std::io::ErrorKind;
use std::path::Path;

const WAYS_DOWN: [Option<CrashMode>; 6] = [
    None,
    Some(CrashMode::Keep),
    Some(CrashMode::Lose),
    Some(CrashMode::Prefix),
    Some(CrashMode::Scatter),
    Some(CrashMode::Zeros),
];

/// Appends, replaces, marks, compacts, rolls and recycles.
fn life(world: &mut World) -> Result<(), Error> {
    for round in 0..12 {
        world.append(3, round % 3, 90, round % 2 == 0)?;
        world.sync()?;
        match round % 4 {
            1 => world.compact(3)?,
            2 => world.wal().attest()?,
            3 => drop(world.wal().tend(600)?),
            _ => {}
        }
        if round == 7 {
            world.snapshot(0, Some(4), false)?;
        }
    }
    world.sync()
}

#[test]
fn every_operation_of_a_life_may_fail() {
    let mut calm = World::new(1, small(700));
    let before = calm.disk.count(Op::AnyChange);
    life(&mut calm).unwrap();
    let operations = calm.disk.count(Op::AnyChange) - before;
    assert!(operations > 60, "the life is worth failing in: {operations}");
    for n in 1..=operations {
        for (way, mode) in WAYS_DOWN.into_iter().enumerate() {
            let mut world = World::new(n * 10 + way as u64, small(700));
            world.disk.fail_nth(Op::AnyChange, n);
            let error = life(&mut world).expect_err("an operation failed");
            assert!(matches!(error, Error::Io { .. }), "{n}: {error:?}");
            match mode {
                Some(mode) => world.crash(mode),
                None => world.kill(),
            }
            world.reopen().unwrap_or_else(|error| panic!("{n} {mode:?}: {error:?}"));
            // What an opening returned must stay, whatever the cache had held.
            world.crash(CrashMode::Lose);
            world.reopen().unwrap_or_else(|error| panic!("{n} {mode:?} again: {error:?}"));
            world.append(2, 0, 50, true).unwrap();
            world.sync().unwrap();
        }
    }
}

#[test]
fn every_sync_of_a_life_may_fail_and_poisons() {
    let mut calm = World::new(1, small(700));
    let before = calm.disk.count(Op::SyncData);
    life(&mut calm).unwrap();
    for n in 1..=calm.disk.count(Op::SyncData) - before {
        let mut world = World::new(n, small(700));
        world.disk.fail_nth(Op::SyncData, n);
        life(&mut world).expect_err("a sync failed");
        if !world.wal().is_poisoned() {
            // The sync of a file that was only being laid out.
            continue;
        }
        let syncs = world.disk.count(Op::SyncData);
        assert!(matches!(world.wal().sync(), Err(Error::Poisoned)));
        assert!(matches!(world.wal().append_and_sync(&[], None), Err(Error::Poisoned)));
        assert_eq!(world.disk.count(Op::SyncData), syncs, "no sync is tried again");
        world.kill();
        world.reopen().unwrap();
        world.crash(CrashMode::Lose);
        world.reopen().unwrap();
    }
}

#[test]
fn every_operation_of_an_opening_may_fail() {
    let mut base = World::new(3, small(700));
    life(&mut base).unwrap();
    base.append(3, 1, 70, true).unwrap();
    base.kill();
    let calm = base.disk.fork(1);
    let before = calm.count(Op::AnyChange);
    drop(crate::world::open(&calm, &base.config).unwrap());
    let operations = calm.count(Op::AnyChange) - before;
    assert!(operations >= 5, "{operations}");
    for n in 1..=operations {
        for (way, mode) in WAYS_DOWN.into_iter().enumerate() {
            let disk = base.disk.fork(n * 10 + way as u64);
            let twin: Twin = base.twin.clone();
            let mut world = World::new(0, small(700));
            (world.disk, world.twin) = (disk, twin);
            world.disk.fail_nth(Op::AnyChange, n);
            let failed = world.reopen();
            assert!(matches!(failed, Err(Error::Io { .. })), "{n}: {failed:?}");
            match mode {
                Some(mode) => world.crash(mode),
                None => world.kill(),
            }
            world.reopen().unwrap_or_else(|error| panic!("{n} {mode:?}: {error:?}"));
        }
    }
}

#[test]
fn creating_may_fail_anywhere_and_be_done_again() {
    let config = small(700);
    let calm = SimDisk::new(1);
    drop(create(&calm, &config).unwrap());
    for n in 1..=calm.count(Op::AnyChange) {
        for (way, mode) in WAYS_DOWN.into_iter().enumerate() {
            let disk = SimDisk::new(n * 10 + way as u64);
            disk.fail_nth(Op::AnyChange, n);
            assert!(matches!(create(&disk, &config), Err(Error::Io { .. })), "{n}");
            match mode {
                Some(mode) => disk.crash(mode),
                None => disk.kill(),
            }
            if Wal::exists(&disk, Path::new(DIR)).unwrap() {
                let (_, found) = crate::world::open(&disk, &config).unwrap();
                assert_eq!(found.entries, []);
            } else {
                drop(create(&disk, &config).unwrap());
            }
        }
    }
}

#[test]
fn a_full_disk_stops_the_log_and_takes_nothing() {
    for spare in (0..3000).step_by(100) {
        let mut world = World::new(spare, small(700));
        world.disk.set_capacity_bytes(Some(world.disk.used_bytes() + spare));
        let error = loop {
            world.append(2, 0, 100, true).unwrap();
            if let Err(error) = world.sync() {
                break error;
            }
        };
        let Error::Io { source, .. } = &error else { panic!("{error:?}") };
        assert_eq!(source.kind(), ErrorKind::StorageFull);
        assert!(world.wal().is_poisoned());
        world.disk.set_capacity_bytes(None);
        world.crash(CrashMode::Any);
        world.reopen().unwrap();
        world.append(9, 0, 100, true).unwrap();
        world.sync().unwrap();
    }
}

#[test]
fn readying_a_segment_on_a_full_disk_does_not_stop_the_log() {
    let mut world = World::new(1, small(2000));
    world.disk.set_capacity_bytes(Some(world.disk.used_bytes() + 100));
    let error = world.wal().tend(1 << 20).unwrap_err();
    assert!(matches!(error, Error::Io { action: "lay out", .. }), "{error:?}");
    world.append(2, 0, 100, true).unwrap();
    world.sync().unwrap();
    world.disk.set_capacity_bytes(None);
    assert!(!world.wal().tend(1000).unwrap(), "a part of it");
    assert!(world.wal().tend(1000).unwrap(), "the rest of it");
    assert_eq!(world.wal().segments_spare(), 1);
}
