//! `--repeat`: the same seed must give the same run in another process too, with its memory
//! elsewhere and its hash maps in another order.

use super::{bar, try_seed};
use anyhow::Context;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds from `from` on, each run here and in a second process; true if all were alike.
pub(crate) fn run(from: u64, count: u64, jobs: usize) -> anyhow::Result<bool> {
    let program = std::env::current_exe().context("cannot tell which program this is")?;
    let next = AtomicU64::new(0);
    let differing = Mutex::new(Vec::new());
    let bar = bar(Some(count));
    let work = || -> anyhow::Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            let seed = from + number;
            let here = format!("{:016x}", try_seed(seed, None).trace_hash());
            let output = Command::new(&program)
                .args(["--hash", "--seed", &seed.to_string()])
                .output()
                .context("cannot start a second process")?;
            let there = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if here != there {
                let mut differing = differing.lock().expect("no thread panics while it holds it");
                differing.push((seed, here, there));
            }
            bar.inc(1);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("panics are caught"))
    })?;
    bar.finish_and_clear();
    let mut differing = differing.into_inner().expect("no thread panics while it holds it");
    differing.sort();
    println!("{} of {count} seeds ran alike in two processes", count - differing.len() as u64);
    for (seed, here, there) in &differing {
        println!("  seed {seed}: {here} here, {there} there");
    }
    Ok(differing.is_empty())
}
