//! The suite of the contract.

use drystone_backend::Backend;
use drystone_backend::testing::{Fixture, suite};
use drystone_rocks::{Config, RocksBackend};
use std::fs;
use std::path::{Path, PathBuf};

struct Rocks {
    dir: tempfile::TempDir,
    /// None only while the store is closed inside of `crash`.
    store: Option<RocksBackend>,
    broken: bool,
    config: Config,
}

impl Rocks {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config =
            Config { block_cache_bytes: 1 << 20, write_buffer_bytes: 1 << 20, ..Config::default() };
        let store = RocksBackend::open(&dir.path().join("store"), config).unwrap();
        Self { dir, store: Some(store), broken: false, config }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn hidden(&self) -> PathBuf {
        self.dir.path().join("hidden")
    }
}

impl Fixture for Rocks {
    fn store(&self) -> &dyn Backend {
        self.store.as_ref().unwrap()
    }

    fn crash(&mut self) {
        // A close without a flush keeps what the files hold and nothing else.
        self.store = None;
        if self.broken {
            fs::rename(self.hidden(), self.path()).unwrap();
            self.broken = false;
        }
        self.store = Some(RocksBackend::open(&self.path(), self.config).unwrap());
    }

    fn break_disk(&mut self) -> bool {
        fs::rename(self.path(), self.hidden()).unwrap();
        self.broken = true;
        true
    }

    fn scratch(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    fn open_checkpoint(&self, dir: &Path) -> Box<dyn Backend> {
        Box::new(RocksBackend::open(dir, self.config).unwrap())
    }
}

#[test]
fn passes_the_suite() {
    suite(&|| Box::new(Rocks::new()), 12);
}
