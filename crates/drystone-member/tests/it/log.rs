//! The log side by itself.

use drystone_member::{Append, LogWriter};
use drystone_raft::SnapshotMeta;
use drystone_types::{ClusterId, ConfState, Entry, LogIndex, MemberId, Term};
use drystone_wal::testing::SimDisk;
use drystone_wal::{Config, Identity, Wal};
use std::path::Path;
use std::sync::Arc;

const DIR: &str = "/wal";

fn identity() -> Identity {
    Identity { cluster: ClusterId(1), member: MemberId(1) }
}

fn append(number: u64, snapshot: Option<SnapshotMeta>, entries: Vec<Entry>) -> Append {
    Append { number, snapshot, entries, hard_state: None, must_sync: true, then_send: Vec::new() }
}

fn entry(index: u64) -> Entry {
    Entry { term: Term(1), index: LogIndex(index), data: vec![7; 100].into(), ..Entry::default() }
}

/// A writer whose buffer has no room left, and the disk below.
fn full(entries: u64) -> (LogWriter, SimDisk) {
    let disk = SimDisk::new(1);
    let config = Config { buffer_bytes_max: 256, ..Config::default() };
    let wal = Wal::create(Arc::new(disk.clone()), Path::new(DIR), config, identity()).unwrap();
    let mut log = LogWriter::new(wal);
    for index in 1..=entries {
        log.append(append(index, None, vec![entry(index)])).unwrap();
    }
    (log, disk)
}

#[test]
fn a_snapshot_that_meets_a_full_buffer_does_not_end_the_member() {
    for entries in 1..=4 {
        let (mut log, disk) = full(entries);
        let meta = SnapshotMeta {
            conf_state: ConfState { voters: vec![MemberId(1)], learners: Vec::new() },
            index: LogIndex(50),
            term: Term(2),
            data: bytes::Bytes::new(),
        };
        log.append(append(9, Some(meta), Vec::new())).unwrap();
        assert_eq!(log.sync().unwrap().number, Some(9));
        drop(log);
        disk.kill();
        let (_, found) =
            Wal::open(Arc::new(disk), Path::new(DIR), Config::default(), identity(), LogIndex(0))
                .unwrap();
        assert_eq!(found.start.index, LogIndex(50), "after {entries} entries");
    }
}

#[test]
fn a_cut_that_meets_a_full_buffer_does_not_end_the_member() {
    for entries in 1..=4 {
        let (mut log, _) = full(entries);
        log.compact(LogIndex(1)).unwrap();
        assert_eq!(log.sync().unwrap().number, Some(entries));
    }
}
