//! `--runs` and `--minutes`: many seeds.

use super::{bar, brief, processor_time, shrink_and_keep, try_seed};
use drystone_sim::{Counts, Plan, Tally};
use indicatif::ProgressBar;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Of so many runs one is made twice and compared with itself.
const TWICE_EVERY: u64 = 100;
/// Runs from which on every mark must have been passed.
const RUNS_FOR_ALL_MARKS: u64 = 20_000;
/// Failing seeds that are listed for each judge and rule.
const SEEDS_LISTED_MAX: usize = 20;
/// Judges and rules of which a plan is made small and kept.
const KEPT_MAX: usize = 8;

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Campaign {
    pub(crate) from: u64,
    pub(crate) runs: u64,
    pub(crate) minutes: Option<u64>,
    pub(crate) jobs: usize,
    pub(crate) keep: PathBuf,
}

/// Runs it and prints what came of it; true if nothing is wrong.
pub(crate) fn run(campaign: &Campaign) -> anyhow::Result<bool> {
    let (began, used) = (Instant::now(), processor_time());
    let bar = bar((campaign.minutes.is_none()).then_some(campaign.runs));
    let tally = all(campaign, &bar);
    bar.finish_and_clear();
    print_rates(&tally, began.elapsed(), processor_time().saturating_sub(used));
    print_counts(&tally.counts);
    let sees_all = print_marks(&tally);
    println!("{} of {} runs made twice were alike", tally.twice - differing(&tally), tally.twice);
    for seed in &tally.differing {
        println!("FOUND seed {seed} differs from itself");
    }
    print_failures(campaign, &tally)?;
    Ok(sees_all && tally.differing.is_empty() && tally.failures.is_empty())
}

fn differing(tally: &Tally) -> u64 {
    tally.differing.len() as u64
}

/// Runs all seeds on as many threads as there are jobs.
fn all(campaign: &Campaign, bar: &ProgressBar) -> Tally {
    let next = AtomicU64::new(0);
    let end = campaign.minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let work = || {
        let mut tally = Tally::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= campaign.runs || end.is_some_and(|end| Instant::now() >= end) {
                return tally;
            }
            let seed = campaign.from + number;
            let first = try_seed(seed, None);
            if let Some(finding) = &first.finding {
                bar.suspend(|| println!("FOUND seed {seed}: {}", brief(finding)));
            }
            tally.add(&first);
            if seed.is_multiple_of(TWICE_EVERY) {
                tally.compare(&first, &try_seed(seed, None));
            }
            bar.inc(1);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..campaign.jobs).map(|_| scope.spawn(work)).collect();
        let mut tally = Tally::default();
        for thread in threads {
            tally.merge(thread.join().expect("panics of runs are caught"));
        }
        tally
    })
}

fn print_rates(tally: &Tally, took: Duration, used: Duration) {
    let a_minute = |time: Duration| tally.runs as f64 * 60.0 / time.as_secs_f64().max(1e-9);
    println!(
        "{} runs in {:.1} s: {:.0} a minute, {:.0} a minute of one core",
        tally.runs,
        took.as_secs_f64(),
        a_minute(took),
        a_minute(used),
    );
    println!(
        "{:.1} hours simulated, {:.0} seconds for each second of one core, {} lines of traces",
        tally.simulated.as_secs_f64() / 3_600.0,
        tally.simulated.as_secs_f64() / used.as_secs_f64().max(1e-9),
        tally.events,
    );
}

/// Prints all counts, and the faults by kind.
pub(crate) fn print_counts(counts: &Counts) {
    for (name, count) in counts.numbers() {
        println!("  {name}: {count}");
    }
    println!("  faults: {}", counts.faults_in_all());
    for (kind, count) in &counts.faults {
        println!("    {kind}: {count}");
    }
}

/// Prints the marks by how rare they are; false if some should have been passed and were not.
fn print_marks(tally: &Tally) -> bool {
    if !drystone_probe::ACTIVE {
        println!("marks are counted with --cfg drystone_sim only");
        return true;
    }
    let mut marks: Vec<_> = tally.marks.iter().collect();
    marks.sort_by_key(|(name, passed)| (passed.runs, passed.times, **name));
    for (name, passed) in marks {
        println!("  mark {name}: {} times in {} runs", passed.times, passed.runs);
    }
    let blind = tally.blind_spots();
    let must = tally.runs >= RUNS_FOR_ALL_MARKS;
    for mark in &blind {
        let what = if must { "FOUND a blind spot" } else { "not passed in so few runs" };
        println!("  {what}: mark {mark}");
    }
    blind.is_empty() || !must
}

fn print_failures(campaign: &Campaign, tally: &Tally) -> anyhow::Result<()> {
    println!("{} of {} runs were not clean", tally.failures.len(), tally.runs);
    for (number, (seed, finding, more)) in tally.kinds().into_iter().enumerate() {
        println!("{} runs: {}", more + 1, brief(finding));
        let like = tally.failures.iter().filter(|(_, other)| other.is_like(finding));
        let seeds: Vec<String> =
            like.take(SEEDS_LISTED_MAX).map(|(seed, _)| seed.to_string()).collect();
        println!("  seeds {}", seeds.join(", "));
        println!("  replay: cargo xtask sim --seed {seed} --trace");
        if number < KEPT_MAX {
            shrink_and_keep(Plan::draw(seed), None, finding, &campaign.keep)?;
        }
    }
    Ok(())
}
