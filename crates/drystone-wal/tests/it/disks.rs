//! The contract of disks, and what the simulated one does beyond it.

use drystone_wal::testing::{CrashMode, Op, SimDisk, suite};
use drystone_wal::{Disk, DiskFile, FsDisk};
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn the_real_disk_passes_the_suite() {
    let dir = tempfile::tempdir().unwrap();
    suite(&FsDisk, &dir.path().join("some/where"));
}

#[test]
fn the_simulated_disk_passes_the_suite() {
    suite(&SimDisk::new(1), Path::new("/some/where"));
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
