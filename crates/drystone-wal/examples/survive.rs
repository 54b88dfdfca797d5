//! A log that loses power: what was synced is there afterwards, what was not may be gone.
//!
//! Run with `cargo run -p drystone-wal --features testing --example survive [SEED]`.

use drystone_types::{ClusterId, Entry, HardState, LogIndex, MemberId, Term};
use drystone_wal::testing::{CrashMode, SimDisk};
use drystone_wal::{Config, Identity, Wal};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

fn entry(index: u64) -> Entry {
    let data = format!("command {index}").into();
    Entry { term: Term(1), index: LogIndex(index), data, ..Entry::default() }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(1), |seed| seed.parse())?;
    let mut out = std::io::stdout();
    let disk = SimDisk::new(seed);
    let (dir, config) = (Path::new("/log"), Config { segment_bytes: 4096, ..Config::default() });
    let owner = Identity { cluster: ClusterId(0xc1), member: MemberId(1) };

    let mut wal = Wal::create(Arc::new(disk.clone()), dir, config.clone(), owner)?;
    let voted = HardState { term: Term(1), vote: MemberId(1), commit: LogIndex(0) };
    wal.append(&(1..=5).map(entry).collect::<Vec<_>>(), Some(voted))?;
    let durable = wal.sync()?;
    writeln!(out, "synced up to index {} at {:?}", durable.last.index, durable.position)?;

    // These are written, but the power goes while they are being synced.
    wal.append(&(6..=40).map(entry).collect::<Vec<_>>(), None)?;
    disk.fail_nth(drystone_wal::testing::Op::SyncData, 1);
    if let Err(error) = wal.sync() {
        writeln!(out, "the disk failed: {error}")?;
    }
    if let Err(error) = wal.sync() {
        writeln!(out, "and from now on: {error}")?;
    }
    drop(wal);
    disk.crash(CrashMode::Any);

    let (mut wal, found) = Wal::open(Arc::new(disk), dir, config, owner, LogIndex(0))?;
    writeln!(out, "after the crash the log ends at index {}", found.last.index)?;
    if let Some(torn) = &found.torn {
        writeln!(out, "a torn write was cut off at byte {}", torn.offset)?;
    }
    assert!(found.last.index >= LogIndex(5), "what was synced stays");
    assert_eq!(found.hard_state, voted);

    let next = entry(found.last.index.0 + 1);
    let durable = wal.append_and_sync(&[next], None)?;
    writeln!(out, "and goes on: synced up to index {}", durable.last.index)?;
    wal.close()?;
    Ok(())
}
