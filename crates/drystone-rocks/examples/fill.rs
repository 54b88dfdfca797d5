//! Writes entries into a store, closes it without a flush, and shows where it comes back.
//!
//! `cargo run -p drystone-rocks --example fill [DIR]`; without a directory it takes a temporary
//! one. Run it again on the same directory and it goes on where the files ended.

use drystone_backend::{Backend, Batch, Table};
use drystone_rocks::{Config, RocksBackend};
use drystone_types::{Applied, LogIndex, Revision, Term};
use std::io::{self, Write};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let dir = std::env::args_os().nth(1).map_or(scratch.path().join("store"), PathBuf::from);
    let config = Config { write_buffer_bytes: 4 << 20, ..Config::default() };
    let mut out = io::stdout().lock();

    let store = RocksBackend::open(&dir, config)?;
    let first = store.applied().index.next().0;
    for index in first..first + 10_000 {
        let mut batch = Batch::new();
        let revision = Revision { main: i64::try_from(index)?, sub: 0 };
        batch.put(Table::Key, revision.to_key(false).to_vec(), format!("{index:>1000}"));
        batch.set_applied(Applied { index: LogIndex(index), term: Term(1) });
        store.write(&batch)?;
    }
    let size = store.size();
    writeln!(out, "{} entries written from {first} on", 10_000)?;
    writeln!(out, "applied {}, durable {}", store.applied().index, store.durable().index)?;
    writeln!(out, "{} bytes, {} of them live", size.allocated_bytes, size.in_use_bytes)?;
    writeln!(out, "{:#?}", store.metrics())?;
    drop(store);

    let store = RocksBackend::open(&dir, config)?;
    writeln!(out, "closed without a flush; reopened at {}", store.applied().index)?;
    Ok(())
}
