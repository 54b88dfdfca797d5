//! The suite on [`MemBackend`], and what only it can do.

use crate::testing::{Fixture, Victim, kill_rounds, suite, write_on};
use crate::{Backend, BackendError, Batch, MemBackend, MemConfig, Read, Table};
use drystone_types::{Applied, LogIndex, Term};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

struct Mem {
    store: MemBackend,
    /// Decides how much each crash keeps.
    crashes: usize,
    dir: tempfile::TempDir,
}

impl Mem {
    fn new(config: MemConfig) -> Self {
        let store = MemBackend::with_config(config);
        Self { store, crashes: 0, dir: tempfile::tempdir().unwrap() }
    }
}

impl Fixture for Mem {
    fn store(&self) -> &dyn Backend {
        &self.store
    }

    fn crash(&mut self) {
        self.crashes += 1;
        let keep = (self.store.unflushed() * (self.crashes % 4)).div_ceil(3);
        self.store = self.store.crash(keep);
    }

    fn break_disk(&mut self) -> bool {
        self.store.fail_flush_after(0);
        true
    }

    fn scratch(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    fn open_checkpoint(&self, dir: &Path) -> Box<dyn Backend> {
        Box::new(MemBackend::open_checkpoint(dir).unwrap())
    }
}

#[test]
fn passes_the_suite() {
    suite(&|| Box::new(Mem::new(MemConfig::default())), 128);
}

#[test]
fn passes_the_suite_when_it_flushes_by_itself() {
    suite(&|| Box::new(Mem::new(MemConfig { unflushed_batches_max: 3 })), 64);
}

impl Victim for Mem {
    fn kill_writer(&mut self, seed: u64, reports: u64) -> Applied {
        let (mut left, mut durable) = (reports, Applied::default());
        let mut report = |now| {
            (left, durable) = (left - 1, now);
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        write_on(&self.store, seed, &mut report).unwrap();
        self.crash();
        durable
    }

    fn open(&mut self) -> Box<dyn Backend> {
        Box::new(self.store.clone())
    }
}

#[test]
fn a_killed_writer_leaves_a_prefix() {
    for seed in 0..8 {
        let by_itself = MemConfig { unflushed_batches_max: 1 + 40 * (seed % 3) };
        let config = if seed < 4 { MemConfig::default() } else { by_itself };
        let kept = kill_rounds(&mut Mem::new(config), seed as u64, 25);
        assert!(kept > 4000, "only {kept} batches survived 25 rounds");
    }
}

fn write(store: &MemBackend, index: u64) -> Result<(), BackendError> {
    let mut batch = Batch::new();
    batch.put(Table::Key, "k", index.to_string());
    batch.set_applied(Applied { index: LogIndex(index), term: Term(1) });
    store.write(&batch)
}

fn value(store: &dyn Read) -> Option<String> {
    let value = store.get(Table::Key, b"k").unwrap()?;
    Some(String::from_utf8(value.to_vec()).unwrap())
}

#[test]
fn the_caller_decides_how_much_a_crash_keeps() {
    for (keep, expected) in [(0, "2"), (1, "3"), (2, "4"), (3, "5"), (9, "5")] {
        let store = MemBackend::new();
        for index in 1..=5 {
            write(&store, index).unwrap();
            if index == 2 {
                store.flush().unwrap();
            }
        }
        assert_eq!(store.unflushed(), 3);
        let view = store.view().unwrap();
        let survivor = store.crash(keep);
        assert_eq!(value(&survivor).as_deref(), Some(expected));
        assert_eq!(survivor.unflushed(), 0);
        assert_eq!(survivor.durable(), survivor.applied());
        assert_eq!(value(&*view).as_deref(), Some("5"), "views outlive the crash");
        assert!(matches!(write(&store, 6), Err(BackendError::Poisoned)));
        write(&survivor, 6).unwrap();
    }
}

#[test]
fn the_nth_write_fails_and_nothing_of_it_shows() {
    let store = MemBackend::new();
    store.fail_write_after(2);
    write(&store, 1).unwrap();
    write(&store, 2).unwrap();
    assert!(matches!(write(&store, 3), Err(BackendError::Io { .. })));
    assert_eq!(value(&store).as_deref(), Some("2"));
    assert!(matches!(write(&store, 3), Err(BackendError::Poisoned)));
    assert!(matches!(store.flush(), Err(BackendError::Poisoned)));
}

#[test]
fn the_nth_flush_fails_and_what_it_covered_is_up_to_the_crash() {
    let store = MemBackend::new();
    store.fail_flush_after(1);
    write(&store, 1).unwrap();
    store.flush().unwrap();
    write(&store, 2).unwrap();
    assert!(matches!(store.flush(), Err(BackendError::Io { .. })));
    assert_eq!(store.durable().index, LogIndex(1));
    assert_eq!(value(&store.crash(0)).as_deref(), Some("1"));
    assert_eq!(value(&store.crash(1)).as_deref(), Some("2"));
}

#[test]
fn unflushed_batches_are_bounded() {
    let store = MemBackend::with_config(MemConfig { unflushed_batches_max: 4 });
    for index in 1..=5 {
        write(&store, index).unwrap();
    }
    assert_eq!(store.unflushed(), 1);
    assert_eq!(store.durable().index, LogIndex(4));
}

#[test]
fn a_fork_goes_its_own_way() {
    let store = MemBackend::new();
    write(&store, 1).unwrap();
    let fork = store.fork();
    write(&store, 2).unwrap();
    assert_eq!(value(&fork).as_deref(), Some("1"));
    assert_eq!(fork.durable().index, LogIndex(1));
    write(&fork, 7).unwrap();
    assert_eq!(value(&store).as_deref(), Some("2"));
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("copy");
    let store = MemBackend::new();
    write(&store, 1).unwrap();
    store.checkpoint(&dir).unwrap();
    let path = dir.join("store");
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&path, &bad).unwrap();
        let opened = MemBackend::open_checkpoint(&dir);
        assert!(matches!(opened, Err(BackendError::Corrupt { .. })), "flipped byte {at}");
        fs::write(&path, &good[..at]).unwrap();
        let opened = MemBackend::open_checkpoint(&dir);
        assert!(matches!(opened, Err(BackendError::Corrupt { .. })), "cut at {at}");
    }
    // Damage under a checksum that fits: lengths that reach beyond the file, unknown tables.
    for at in 8..good.len() - 4 {
        let mut bad = good[..good.len() - 4].to_vec();
        bad[at] = 0xfe;
        let sum = crc32c::crc32c(&bad);
        bad.extend_from_slice(&sum.to_le_bytes());
        fs::write(&path, &bad).unwrap();
        // Some of these are legal stores with other content; none may panic.
        drop(MemBackend::open_checkpoint(&dir));
    }
}
