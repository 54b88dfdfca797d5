//! What this store promises beyond the contract.

use drystone_backend::{Backend, BackendError, Batch, Read, Table};
use drystone_rocks::{Config, RocksBackend};
use drystone_types::{Applied, LogIndex, Revision, Term};
use std::ops::{Bound, ControlFlow};

fn batch(index: u64, value_bytes: usize) -> Batch {
    let mut batch = Batch::new();
    let revision = Revision { main: i64::try_from(index).unwrap(), sub: 0 };
    batch.put(Table::Key, revision.to_key(false).to_vec(), vec![b'v'; value_bytes]);
    batch.set_applied(Applied { index: LogIndex(index), term: Term(1) });
    batch
}

#[test]
fn a_directory_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksBackend::open(dir.path(), Config::default()).unwrap();
    store.write(&batch(1, 10)).unwrap();
    match RocksBackend::open(dir.path(), Config::default()) {
        Err(BackendError::InUse { place }) => {
            assert_eq!(place, dir.path().display().to_string());
        }
        other => panic!("a second opening gave {other:?}"),
    }
    store.write(&batch(2, 10)).unwrap();
    // A view keeps the directory open, too.
    let view = store.view().unwrap();
    drop(store);
    let second = RocksBackend::open(dir.path(), Config::default());
    assert!(matches!(second, Err(BackendError::InUse { .. })));
    drop(view);
    RocksBackend::open(dir.path(), Config::default()).unwrap();
}

#[test]
fn full_buffers_flush_by_themselves_and_move_the_durable_mark() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { write_buffer_bytes: 1 << 20, ..Config::default() };
    let store = RocksBackend::open(dir.path(), config).unwrap();
    let mut most_bytes = 0;
    for index in 1..=1500 {
        store.write(&batch(index, 8 << 10)).unwrap();
        most_bytes = most_bytes.max(store.metrics().memory_table_bytes);
    }
    // Twelve times the buffers went through, and writers wait when the buffers are full.
    let durable = store.durable();
    assert!(durable.index >= LogIndex(1000), "durable is {durable:?}");
    assert!(most_bytes <= 2 << 20, "{most_bytes} bytes in memory tables");
    drop(store);
    let store = RocksBackend::open(dir.path(), config).unwrap();
    let kept = store.applied();
    assert!(kept >= durable, "kept {kept:?}, was durable {durable:?}");
    let mut seen = 0_u64;
    let count = &mut |_: &[u8], _: &[u8]| {
        seen += 1;
        ControlFlow::Continue(())
    };
    store.scan(Table::Key, (Bound::Unbounded, Bound::Unbounded), count).unwrap();
    assert_eq!(seen, kept.index.0);
}

#[test]
fn a_close_without_a_flush_is_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksBackend::open(dir.path(), Config::default()).unwrap();
    store.write(&batch(1, 10)).unwrap();
    store.flush().unwrap();
    store.write(&batch(2, 10)).unwrap();
    drop(store);
    let store = RocksBackend::open(dir.path(), Config::default()).unwrap();
    assert_eq!(store.applied().index, LogIndex(1));
}

#[test]
fn a_flush_that_fails_in_the_background_stops_the_writer() {
    let scratch = tempfile::tempdir().unwrap();
    let (dir, hidden) = (scratch.path().join("store"), scratch.path().join("hidden"));
    let config = Config { write_buffer_bytes: 1 << 20, ..Config::default() };
    let store = RocksBackend::open(&dir, config).unwrap();
    store.write(&batch(1, 10)).unwrap();
    store.flush().unwrap();
    // The engine's next flush has nowhere to put its files.
    std::fs::rename(&dir, &hidden).unwrap();
    let failure = (2..2000).find_map(|index| store.write(&batch(index, 8 << 10)).err());
    match failure {
        Some(BackendError::Io { reason, .. }) => assert!(!reason.is_empty()),
        other => panic!("writing sixteen times the buffers to a broken disk gave {other:?}"),
    }
    assert!(matches!(store.write(&batch(5000, 1)), Err(BackendError::Poisoned)));
    assert!(matches!(store.flush(), Err(BackendError::Poisoned)));
    assert_eq!(store.durable().index, LogIndex(1));
    // Repairing the disk does not make the store trust it again.
    std::fs::rename(&hidden, &dir).unwrap();
    assert!(matches!(store.write(&batch(5000, 1)), Err(BackendError::Poisoned)));
    drop(store);
    let store = RocksBackend::open(&dir, config).unwrap();
    assert_eq!(store.applied().index, LogIndex(1));
    store.write(&batch(2, 10)).unwrap();
    store.flush().unwrap();
}

#[test]
fn metrics_follow_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksBackend::open(dir.path(), Config::default()).unwrap();
    for index in 1..=100 {
        store.write(&batch(index, 10 << 10)).unwrap();
    }
    let view = store.view().unwrap();
    let before = store.metrics();
    assert!(before.memory_table_bytes >= 1_000_000, "{before:?}");
    assert_eq!((before.file_bytes, before.views), (0, 1), "{before:?}");
    drop(view);
    store.flush().unwrap();
    let after = store.metrics();
    assert!(after.memory_table_bytes < before.memory_table_bytes, "{after:?}");
    assert!(after.file_bytes > 0, "{after:?}");
    assert_eq!((after.views, after.background_errors, after.writes_stopped), (0, 0, false));
}
