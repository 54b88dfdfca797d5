//! The contract of disks, and what the simulated one does beyond it.

use drystone_wal::testing::{CrashMode, Injected, Misread, Op, Sector, SimDisk, suite};
use drystone_wal::{Disk, DiskFile, FsDisk};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn the_real_disk_passes_the_suite() {
    let dir = tempfile::tempdir().unwrap();
    suite(&FsDisk, &dir.path().join("some/where"));
}

#[test]
fn the_simulated_disk_passes_the_suite() {
    suite(&SimDisk::new(1), Path::new("/some/where"));
}

/// Set for the process that is to be killed: the directory that it locks.
const LOCKED: &str = "DRYSTONE_WAL_LOCKED_DIR";

/// Runs in the process that is to be killed; does nothing when the suite runs it.
#[test]
fn the_holder_of_a_lock_that_is_killed() {
    let Some(dir) = std::env::var_os(LOCKED) else { return };
    let _held = FsDisk.lock(Path::new(&dir)).unwrap();
    writeln!(std::io::stdout(), "\nlocked").unwrap();
    // Until the parent is done with it.
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn a_lock_ends_with_its_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "disks::the_holder_of_a_lock_that_is_killed", "--nocapture"])
        .env(LOCKED, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "locked"));
    let blocked = FsDisk.lock(dir.path()).unwrap_err();
    assert_eq!(blocked.kind(), std::io::ErrorKind::WouldBlock);
    holder.kill().unwrap();
    holder.wait().unwrap();
    FsDisk.lock(dir.path()).unwrap();

    let (disk, dir) = (SimDisk::new(1), Path::new("/d"));
    disk.create_dir_all(dir).unwrap();
    let held = disk.lock(dir).unwrap();
    disk.kill();
    let next = disk.lock(dir).unwrap();
    drop(held);
    assert!(disk.lock(dir).is_err(), "a guard of the dead process ends nobody else's lock");
    drop(next);
    disk.lock(dir).unwrap();
}

fn disk_with_file(seed: u64) -> (SimDisk, Box<dyn DiskFile>) {
    let disk = SimDisk::new(seed);
    disk.create_dir_all(Path::new("/d")).unwrap();
    let mut file = disk.create(Path::new("/d/f")).unwrap();
    file.write_at(0, &[1; 2048]).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    (disk, file)
}

#[test]
fn a_crash_treats_unsynced_sectors_as_its_mode_says() {
    let after = |seed, mode| {
        let (disk, mut file) = disk_with_file(seed);
        file.write_at(0, &[2; 2048]).unwrap();
        file.write_at(0, &[3; 1024]).unwrap();
        disk.crash(mode);
        assert!(file.len().is_err(), "a handle does not survive");
        let bytes = disk.contents(Path::new("/d/f")).unwrap();
        let sectors: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        assert!(bytes.chunks(512).all(|s| s.iter().all(|b| *b == s[0])), "sectors are whole");
        sectors
    };
    assert_eq!(after(1, CrashMode::Keep), [3, 3, 2, 2]);
    assert_eq!(after(1, CrashMode::Lose), [1, 1, 1, 1]);
    let prefixes: BTreeSet<Vec<u8>> = (0..200).map(|n| after(n, CrashMode::Prefix)).collect();
    assert!(prefixes.contains(&vec![2, 2, 1, 1]), "the first write is torn");
    assert!(prefixes.contains(&vec![3, 2, 2, 2]), "the second write is torn");
    assert!(!prefixes.contains(&vec![1, 1, 2, 2]), "nothing is reordered");
    let scattered: BTreeSet<Vec<u8>> = (0..400).map(|n| after(n, CrashMode::Scatter)).collect();
    assert!(scattered.contains(&vec![3, 1, 1, 2]), "later sectors without earlier ones");
    assert!(scattered.len() > prefixes.len());
}

#[test]
fn names_that_were_not_synced_may_go() {
    let (disk, _file) = disk_with_file(3);
    disk.rename(Path::new("/d/f"), Path::new("/d/g")).unwrap();
    let mut new = disk.create(Path::new("/d/new")).unwrap();
    new.write_at(0, b"synced").unwrap();
    new.sync_data().unwrap();
    let lost = disk.fork(4);
    lost.crash(CrashMode::Lose);
    assert_eq!(lost.list(Path::new("/d")).unwrap(), ["f"], "bytes were synced, names were not");
    disk.sync_dir(Path::new("/d")).unwrap();
    disk.crash(CrashMode::Lose);
    assert_eq!(disk.list(Path::new("/d")).unwrap(), ["g", "new"]);
    assert_eq!(disk.contents(Path::new("/d/new")).unwrap(), b"synced");
}

#[test]
fn a_failed_sync_loses_what_it_was_to_sync_and_the_next_one_says_nothing() {
    let (disk, mut file) = disk_with_file(5);
    file.write_at(0, &[2; 2048]).unwrap();
    disk.fail_nth(Op::SyncData, 1);
    assert!(file.sync_data().is_err());
    file.sync_data().expect("the pages count as clean");
    assert_eq!(disk.contents(Path::new("/d/f")).unwrap(), [2; 2048], "still in the cache");
    disk.drop_caches();
    assert!(disk.contents(Path::new("/d/f")).unwrap().contains(&1), "not on the disk");
}

#[test]
fn the_same_seed_gives_the_same_crash() {
    let run = |seed| {
        let (disk, mut file) = disk_with_file(seed);
        for n in 2..20 {
            file.write_at(u64::from(n) * 100, &[n; 900]).unwrap();
        }
        disk.crash(CrashMode::Scatter);
        disk.contents(Path::new("/d/f")).unwrap()
    };
    assert_eq!(run(9), run(9));
    assert_ne!(run(9), run(10));
}

#[test]
fn a_full_disk_says_so() {
    let (disk, mut file) = disk_with_file(6);
    disk.set_capacity_bytes(Some(3000));
    let full = file.write_at(2048, &[1; 1000]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(file.lay_out(9000).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    assert!(disk.used_bytes() <= 3000);
}

#[test]
fn sectors_may_be_larger() {
    let after = |seed, mode| {
        let disk = SimDisk::with_sector(seed, Sector::Bytes4096);
        disk.create_dir_all(Path::new("/d")).unwrap();
        let mut file = disk.create(Path::new("/d/f")).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.lay_out(3 * 4096).unwrap();
        file.sync_data().unwrap();
        file.write_at(1000, &[7; 8000]).unwrap();
        disk.crash(mode);
        let bytes = disk.contents(Path::new("/d/f")).unwrap();
        [1000..4096, 4096..8192, 8192..9000].map(|sector| {
            let first = bytes[sector.start];
            assert!(bytes[sector].iter().all(|byte| *byte == first), "a sector is whole");
            first
        })
    };
    let torn: BTreeSet<_> = (0..200).map(|seed| after(seed, CrashMode::Scatter)).collect();
    assert_eq!(torn.len(), 8, "any of three sectors, and no part of one: {torn:?}");
}

#[test]
fn the_tail_of_a_file_may_read_as_zeros_and_what_was_synced_may_not() {
    let after = |seed| {
        let (disk, mut file) = disk_with_file(seed);
        file.write_at(1024, &[2; 1024]).unwrap();
        file.write_at(2048, &[3; 1024]).unwrap();
        disk.crash(CrashMode::Zeros);
        let bytes = disk.contents(Path::new("/d/f")).unwrap();
        assert_eq!(bytes.len(), 3072, "the length has reached the disk");
        let zeroed = disk.injected().contains_key(&Injected::ZeroedTail);
        assert_eq!(zeroed, bytes.ends_with(&[0; 512]));
        bytes.chunks(512).map(|sector| sector[0]).collect::<Vec<u8>>()
    };
    let seen: BTreeSet<Vec<u8>> = (0..200).map(after).collect();
    assert!(seen.contains(&vec![1, 1, 1, 1, 0, 0]), "nothing was written: {seen:?}");
    assert!(seen.contains(&vec![1, 1, 2, 2, 0, 0]), "a part was written: {seen:?}");
    assert!(seen.contains(&vec![1, 1, 2, 2, 3, 0]), "the last write is torn: {seen:?}");
    assert!(seen.iter().all(|sectors| sectors[..2] == [1, 1]), "{seen:?}");
    assert!(seen.iter().all(|sectors| !sectors[..4].contains(&0)), "{seen:?}");
}

/// Reads the file of `disk_with_file` after a second sync over its first half.
fn misread(seed: u64, how: Misread) -> Vec<u8> {
    let (disk, mut file) = disk_with_file(seed);
    file.write_at(0, &[2; 1024]).unwrap();
    file.sync_data().unwrap();
    let good = disk.contents(Path::new("/d/f")).unwrap();
    let mut bytes = vec![0; 2048];
    disk.misread_nth(how, 2);
    file.read_at(0, &mut bytes).unwrap();
    assert_eq!(bytes, good, "the first read is right");
    file.read_at(0, &mut bytes).unwrap();
    assert_ne!(bytes, good, "the second is not");
    let mut again = vec![0; 2048];
    file.read_at(0, &mut again).unwrap();
    assert_eq!(again, good, "the disk itself is");
    assert_eq!(disk.injected(), [(Injected::Misread(how), 1)].into());
    bytes
}

#[test]
fn a_read_may_flip_a_bit_once() {
    for seed in 0..50 {
        let bytes = misread(seed, Misread::Flip);
        let good = [[2; 1024], [1; 1024]].concat();
        let bits = bytes.iter().zip(&good).map(|(a, b)| (a ^ b).count_ones());
        assert_eq!(bits.sum::<u32>(), 1);
    }
}

#[test]
fn a_read_may_return_a_sector_as_it_was_before_or_that_of_another_place() {
    let sectors = |bytes: Vec<u8>| bytes.chunks(512).map(|s| s[0]).collect::<Vec<u8>>();
    let seen =
        |how| -> BTreeSet<Vec<u8>> { (0..100).map(|seed| sectors(misread(seed, how))).collect() };
    let stale = seen(Misread::Stale);
    // The other two sectors were written once: before that they were blank.
    let blank = [vec![2, 2, 0, 1], vec![2, 2, 1, 0]];
    assert_eq!(stale, [vec![1, 2, 1, 1], vec![2, 1, 1, 1]].into_iter().chain(blank).collect());
    let other = [vec![1, 2, 1, 1], vec![2, 1, 1, 1], vec![2, 2, 2, 1], vec![2, 2, 1, 2]];
    assert_eq!(seen(Misread::Misdirected), other.into_iter().collect());
}

#[test]
fn a_misread_waits_for_a_read_that_it_can_spoil() {
    let (disk, file) = disk_with_file(1);
    disk.misread_nth(Misread::Flip, 1);
    assert_eq!(file.read_at(9000, &mut [0; 10]).unwrap(), 0);
    assert_eq!(disk.injected(), [].into());
    let mut byte = [1];
    file.read_at(0, &mut byte).unwrap();
    assert_ne!(byte, [1]);
    assert_eq!(disk.injected(), [(Injected::Misread(Misread::Flip), 1)].into());
}

#[test]
fn what_was_done_to_a_disk_is_counted() {
    let (disk, mut file) = disk_with_file(1);
    disk.fail_nth(Op::SyncData, 1);
    file.sync_data().unwrap_err();
    disk.fail_nth(Op::AnyChange, 1);
    file.truncate(1).unwrap_err();
    disk.set_capacity_bytes(Some(0));
    file.write_at(2048, &[1]).unwrap_err();
    disk.set_capacity_bytes(None);
    disk.kill();
    let mut file = disk.open(Path::new("/d/f")).unwrap();
    file.write_at(0, &[1; 100]).unwrap();
    drop(disk.create(Path::new("/d/g")).unwrap());
    disk.crash(CrashMode::Lose);
    let counted = [
        (Injected::Crash(CrashMode::Lose), 1),
        (Injected::Kill, 1),
        (Injected::LostWrite, 1),
        (Injected::LostName, 1),
        (Injected::Failed(Op::Resize), 1),
        (Injected::Failed(Op::SyncData), 1),
        (Injected::Full, 1),
    ];
    assert_eq!(disk.injected(), counted.into());
    let (disk, mut file) = disk_with_file(1);
    file.write_at(0, &[2; 2048]).unwrap();
    let torn = (0..50).filter(|seed| {
        let fork = disk.fork(*seed);
        fork.crash(CrashMode::Prefix);
        fork.injected().contains_key(&Injected::TornWrite)
    });
    assert!(torn.count() > 10);
    assert_eq!(disk.injected(), [].into(), "a fork counts for itself");
}

#[test]
fn an_old_image_of_a_disk_is_as_the_disk_was() {
    let (disk, mut file) = disk_with_file(1);
    file.write_at(0, &[2; 512]).unwrap();
    let old = disk.fork(2);
    file.write_at(0, &[3; 2048]).unwrap();
    file.sync_data().unwrap();
    disk.remove(Path::new("/d/f")).unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    old.crash(CrashMode::Keep);
    let bytes = old.contents(Path::new("/d/f")).unwrap();
    assert_eq!((bytes[0], bytes[512]), (2, 1), "with what was on its way then");
}
