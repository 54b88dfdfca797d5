//! Damaged files are reported as such, by name.

use drystone_backend::{Backend, BackendError, Batch, Read, Table};
use drystone_rocks::{Config, RocksBackend};
use drystone_types::{Applied, LogIndex, Term};
use std::fs;
use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};

fn filled(dir: &Path) {
    let store = RocksBackend::open(dir, Config::default()).unwrap();
    let mut batch = Batch::new();
    for number in 0..100 {
        batch.put(Table::Key, format!("k{number:03}"), format!("value {number}"));
    }
    batch.set_applied(Applied { index: LogIndex(1), term: Term(1) });
    store.write(&batch).unwrap();
    store.flush().unwrap();
}

fn largest_sst(dir: &Path) -> PathBuf {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sst"))
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap()
}

#[test]
fn a_flipped_bit_in_a_file_is_found_when_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let file = largest_sst(dir.path());
    let mut content = fs::read(&file).unwrap();
    // The first block holds pairs.
    content[20] ^= 1;
    fs::write(&file, content).unwrap();

    let store = RocksBackend::open(dir.path(), Config::default()).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    let check = |outcome: Result<(), BackendError>| match outcome {
        Err(BackendError::Corrupt { place, reason }) => {
            assert!(place.ends_with(name), "{place}: {reason}");
        }
        other => panic!("reading a damaged block gave {other:?}"),
    };
    check(store.get(Table::Key, b"k000").map(drop));
    check(store.get_many(Table::Key, &["k000".into(), "k001".into()]).map(drop));
    let all = (Bound::Unbounded, Bound::Unbounded);
    check(store.scan(Table::Key, all, &mut |_, _| ControlFlow::Continue(())));
    check(store.view().unwrap().get(Table::Key, b"k000").map(drop));
}

#[test]
fn a_missing_or_cut_file_is_found_at_opening() {
    for cut in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let file = largest_sst(dir.path());
        if cut {
            let content = fs::read(&file).unwrap();
            fs::write(&file, &content[..content.len() / 2]).unwrap();
        } else {
            fs::remove_file(&file).unwrap();
        }
        let opened = RocksBackend::open(dir.path(), Config::default());
        match opened {
            Err(BackendError::Corrupt { place, .. }) => {
                assert!(place.ends_with(file.file_name().unwrap().to_str().unwrap()), "{place}");
            }
            other => panic!("opening with a damaged file gave {other:?}"),
        }
    }
}
