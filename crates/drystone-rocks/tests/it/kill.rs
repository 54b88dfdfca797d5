//! A writing process is killed again and again; what it leaves is a prefix of what it wrote.

use drystone_backend::{Backend, Batch, Change, Read, Table};
use drystone_rocks::{Config, RocksBackend};
use drystone_types::{Applied, LogIndex, Revision, Term};
use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::process::{Command, Stdio};

/// Set for the process that is to be killed: the store's directory.
const DIR: &str = "DRYSTONE_ROCKS_KILL_DIR";
const ROUNDS: u64 = 5;
const FLUSH_EVERY: u64 = 400;

fn config() -> Config {
    // Small buffers, so that the engine's own flushes come between those asked for.
    Config { write_buffer_bytes: 1 << 20, block_cache_bytes: 1 << 20, ..Config::default() }
}

/// What entry `index` does; the same in every process.
fn batch(index: u64) -> Batch {
    let mut batch = Batch::new();
    let key = |main: u64| Revision { main: i64::try_from(main).unwrap(), sub: 0 }.to_key(false);
    let mut noise = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let value: Vec<u8> = std::iter::repeat_with(|| {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise.to_le_bytes()[0]
    })
    .take(usize::try_from(index * 37 % 9000).unwrap())
    .collect();
    batch.put(Table::Key, key(index).to_vec(), value);
    if index.is_multiple_of(3) {
        batch.delete(Table::Key, key(index / 2).to_vec());
    }
    batch.put(Table::Lease, (index % 7).to_be_bytes().to_vec(), index.to_be_bytes().to_vec());
    batch.put(Table::Members, "newest", index.to_string());
    batch.set_applied(Applied { index: LogIndex(index), term: Term(1 + index / 100) });
    batch
}

type Pairs = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

fn apply(twin: &mut Pairs, batch: &Batch) {
    for change in batch.changes() {
        match change {
            Change::Put { table, key, value } => {
                twin.insert((*table, key.to_vec()), value.to_vec());
            }
            Change::Delete { table, key } => {
                twin.remove(&(*table, key.to_vec()));
            }
        }
    }
}

fn content(store: &dyn Read) -> Pairs {
    let mut found = Pairs::new();
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Meta) {
        let all = (Bound::Unbounded, Bound::Unbounded);
        store
            .scan(table, all, &mut |key, value| {
                found.insert((table, key.to_vec()), value.to_vec());
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    found
}

/// Runs in the process that is to be killed; does nothing when the suite runs it.
#[test]
fn the_writer_that_is_killed() {
    let Some(dir) = env::var_os(DIR) else { return };
    let store = RocksBackend::open(Path::new(&dir), config()).unwrap();
    let mut out = std::io::stdout();
    for index in store.applied().index.0 + 1.. {
        store.write(&batch(index)).unwrap();
        if index.is_multiple_of(FLUSH_EVERY) {
            store.flush().unwrap();
        }
        writeln!(out, "durable {}", store.durable().index).unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn a_killed_process_leaves_a_prefix() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("store");
    let mut twin = Pairs::new();
    let mut kept = 0;
    for round in 1..=ROUNDS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "kill::the_writer_that_is_killed", "--nocapture"])
            .env(DIR, &dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let durable_in =
            |line: &str| line.split("durable ").nth(1).map(|index| index.parse::<u64>().unwrap());
        // Each line is one entry. The kill falls at another distance from the flushes each time.
        let mut durable = kept;
        for line in
            lines.by_ref().map(Result::unwrap).take(usize::try_from(300 + 29 * round).unwrap())
        {
            durable = durable_in(&line).unwrap_or(durable);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            // The last line may be cut short, which makes its number smaller or none at all.
            let index = line.strip_prefix("durable ").and_then(|index| index.parse().ok());
            durable = durable.max(index.unwrap_or(0));
        }
        let store = RocksBackend::open(&dir, config()).unwrap();
        let survived = store.applied();
        assert!(survived.index.0 >= durable, "round {round}: {survived:?}, durable {durable}");
        for index in kept + 1..=survived.index.0 {
            apply(&mut twin, &batch(index));
        }
        kept = survived.index.0;
        assert_eq!(survived.term, Term(if kept == 0 { 0 } else { 1 + kept / 100 }));
        assert!(content(&store) == twin, "round {round}: content differs from entry {kept}");
    }
    // A round alone may lose all it wrote, if the kill comes before the first flush has ended.
    assert!(kept >= 400, "only {kept} entries survived {ROUNDS} rounds");
}
