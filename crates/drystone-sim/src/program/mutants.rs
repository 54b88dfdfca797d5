//! `mutants`: every planted fault must be found, by runs in which nothing else is wrong.

use super::{bar, brief, shrink_and_keep, thread_time, try_seed};
use anyhow::Context;
use drystone_sim::faults::{FAULTS, PlantedFault};
use drystone_sim::{Finding, Plan};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Letters of a finding in the table.
const TOLD_CHARS_MAX: usize = 60;

/// How far to look.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Plant only faults whose names hold this.
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
    /// Runs after which a fault counts as not found.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    runs_max: u64,
    /// Minutes of processor time after which a fault counts as not found.
    #[arg(long, value_name = "M", default_value_t = 3)]
    minutes_max: u64,
    /// The first seed.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// Write the table into this page.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Make the plan that finds each fault small, and keep it in this directory.
    #[arg(long, value_name = "DIR")]
    keep_plans: Option<PathBuf>,
}

/// What came of one fault.
struct Hunt {
    fault: &'static PlantedFault,
    found: Option<(u64, Finding)>,
    runs: u64,
    used: Duration,
}

/// Plants each fault in turn; true if all are found and nothing is found without.
pub(crate) fn run(options: &Options, jobs: usize) -> anyhow::Result<bool> {
    anyhow::ensure!(drystone_probe::ACTIVE, "faults are planted with --cfg drystone_sim only");
    let faults: Vec<&'static PlantedFault> =
        FAULTS.iter().filter(|fault| fault.name.contains(&options.only)).collect();
    anyhow::ensure!(!faults.is_empty(), "no planted fault is called {}", options.only);
    let hunts = hunt_all(options, &faults, jobs);
    let farthest = hunts.iter().map(|hunt| hunt.runs).max().unwrap_or(0);
    let dirty = control(options.from, farthest, jobs);
    let page = table(&hunts);
    println!("{page}");
    print_sum(&hunts, farthest, &dirty);
    if let Some(path) = &options.write {
        std::fs::write(path, wrap(options, &page, &hunts))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(keep) = &options.keep_plans {
        for hunt in &hunts {
            if let Some((seed, finding)) = &hunt.found {
                println!("{}", hunt.fault.name);
                shrink_and_keep(Plan::draw(*seed), Some(hunt.fault.name), finding, keep)?;
            }
        }
    }
    Ok(dirty.is_empty() && hunts.iter().all(|hunt| hunt.found.is_some()))
}

fn hunt_all(options: &Options, faults: &[&'static PlantedFault], jobs: usize) -> Vec<Hunt> {
    let next = AtomicUsize::new(0);
    let bar = bar(Some(faults.len() as u64));
    let work = || {
        let mut hunts = Vec::new();
        while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
            let hunt = hunt(options, fault);
            if hunt.found.is_none() {
                bar.suspend(|| println!("NOT FOUND {} in {} runs", fault.name, hunt.runs));
            }
            hunts.push(hunt);
            bar.inc(1);
        }
        hunts
    };
    let mut hunts: Vec<Hunt> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("panics are caught")).collect()
    });
    bar.finish_and_clear();
    hunts.sort_by_key(|hunt| hunt.fault.name);
    hunts
}

/// Runs seeds with one fault planted until it is found. What the same seed finds without the
/// fault does not count.
fn hunt(options: &Options, fault: &'static PlantedFault) -> Hunt {
    let began = thread_time();
    let used = || thread_time().saturating_sub(began);
    let mut runs = 0;
    let found = loop {
        let is_over = used() >= Duration::from_secs(60 * options.minutes_max);
        if runs >= options.runs_max || is_over {
            break None;
        }
        let seed = options.from + runs;
        runs += 1;
        if let Some(finding) = try_seed(seed, Some(fault.name)).finding
            && try_seed(seed, None).finding.is_none()
        {
            break Some((seed, finding));
        }
    };
    Hunt { fault, found, runs, used: used() }
}

/// The same seeds without a fault: what is found in them.
fn control(from: u64, count: u64, jobs: usize) -> BTreeMap<u64, Finding> {
    let next = AtomicU64::new(0);
    let found = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let seed = from + number;
                    if let Some(finding) = try_seed(seed, None).finding {
                        let mut found = found.lock().expect("no thread panics while it holds it");
                        found.insert(seed, finding);
                    }
                }
            });
        }
    });
    found.into_inner().expect("no thread panics while it holds it")
}

fn print_sum(hunts: &[Hunt], farthest: u64, dirty: &BTreeMap<u64, Finding>) {
    let missing: Vec<&Hunt> = hunts.iter().filter(|hunt| hunt.found.is_none()).collect();
    println!("{} of {} planted faults found", hunts.len() - missing.len(), hunts.len());
    for hunt in missing {
        println!(
            "NOT FOUND {} in {} runs; expected of {}",
            hunt.fault.name, hunt.runs, hunt.fault.judges,
        );
    }
    println!("{farthest} seeds without a fault: {} not clean", dirty.len());
    for (seed, finding) in dirty {
        println!("FOUND without a fault, seed {seed}: {}", brief(finding));
    }
}

fn table(hunts: &[Hunt]) -> String {
    let mut table = "| fault | what it breaks | like etcd's | found by | first seed | runs | \
                     processor seconds |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for hunt in hunts {
        let (judge, seed) = match &hunt.found {
            Some((seed, finding)) => {
                let rule: String = finding.rule.chars().take(TOLD_CHARS_MAX).collect();
                (format!("{}: {rule}", finding.judge), seed.to_string())
            }
            None => ("**not found**".to_owned(), String::new()),
        };
        let like = hunt.fault.like.map(|number| format!("#{number}")).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| `{}` | {} | {like} | {judge} | {seed} | {} | {:.1} |",
            hunt.fault.name,
            hunt.fault.what,
            hunt.runs,
            hunt.used.as_secs_f64(),
        );
    }
    table
}

fn wrap(options: &Options, table: &str, hunts: &[Hunt]) -> String {
    let found = hunts.iter().filter(|hunt| hunt.found.is_some()).count();
    format!(
        "# Planted faults, and what finds them\n\n\
         <!-- Written by `cargo xtask sim mutants --write docs/simulation-faults.md`. -->\n\n\
         Each fault below is broken code that a build of the simulator can switch on \
         (`drystone_probe::planted!`).\n\
         The simulator must find each one, by the runs that find real bugs; \
         [simulation.md](simulation.md) says how.\n\
         This page is written by `cargo xtask sim mutants --write docs/simulation-faults.md`, \
         not by hand.\n\n\
         Found: {found} of {}, each within {} runs from seed {}.\n\n{table}",
        hunts.len(),
        options.runs_max,
        options.from,
    )
}
