//! A writing process is killed again and again, by the contract's own scenario.

use drystone_backend::Backend;
use drystone_backend::testing::{Victim, kill_rounds, write_on};
use drystone_rocks::{Config, RocksBackend};
use drystone_types::{Applied, LogIndex, Term};
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Set for the process that is to be killed: the store's directory.
const DIR: &str = "DRYSTONE_ROCKS_KILL_DIR";
/// Likewise: what it writes.
const SEED: &str = "DRYSTONE_ROCKS_KILL_SEED";
/// One scenario by default; more for who has the time.
const SEEDS: &str = "DRYSTONE_ROCKS_KILL_SEEDS";
const ROUNDS: u64 = 25;
/// Turns of a loop in about a tenth of a millisecond.
const SPINS: u64 = 3000;

fn config() -> Config {
    // Small buffers, so that the engine's own flushes come between those asked for.
    Config { write_buffer_bytes: 1 << 20, block_cache_bytes: 1 << 20, ..Config::default() }
}

/// Runs in the process that is to be killed; does nothing when the suite runs it.
#[test]
fn the_writer_that_is_killed() {
    let (Some(dir), Ok(seed)) = (env::var_os(DIR), env::var(SEED)) else { return };
    let store = RocksBackend::open(Path::new(&dir), config()).unwrap();
    let mut out = std::io::stdout();
    // One call and one line a report, so that a kill tears no line in two.
    let mut report = |durable: Applied| {
        let line = format!("\ndurable {} {}\n", durable.index, durable.term);
        match out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    };
    write_on(&store, seed.parse().unwrap(), &mut report).unwrap();
}

fn reported(line: &str) -> Option<Applied> {
    let (index, term) = line.strip_prefix("durable ")?.split_once(' ')?;
    Some(Applied { index: LogIndex(index.parse().ok()?), term: Term(term.parse().ok()?) })
}

struct Process {
    dir: PathBuf,
}

impl Victim for Process {
    fn kill_writer(&mut self, seed: u64, reports: u64) -> Applied {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "kill::the_writer_that_is_killed", "--nocapture"])
            .env(DIR, &self.dir)
            .env(SEED, seed.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok).filter_map(|line| reported(&line));
        let last = lines.by_ref().take(usize::try_from(reports).unwrap()).last();
        // A flush takes a while; the kill falls into another part of it each time.
        (0..reports % 32 * SPINS).for_each(|_| std::hint::spin_loop());
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it was gone counts as well.
        lines.last().or(last).expect("the writer reported something")
    }

    fn open(&mut self) -> Box<dyn Backend> {
        Box::new(RocksBackend::open(&self.dir, config()).unwrap())
    }
}

#[test]
fn a_killed_process_leaves_a_prefix() {
    let seeds = env::var(SEEDS).map_or(1, |seeds| seeds.parse().unwrap());
    for seed in 1..=seeds {
        let scratch = tempfile::tempdir().unwrap();
        let mut victim = Process { dir: scratch.path().join("store") };
        let kept = kill_rounds(&mut victim, seed, ROUNDS);
        // A round alone may lose all it wrote, if the kill comes before its first flush ends.
        assert!(kept > 3000, "only {kept} batches survived {ROUNDS} rounds");
    }
}
