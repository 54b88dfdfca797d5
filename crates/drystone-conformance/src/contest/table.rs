//! The table that is printed.

use super::{Measure, Workload};
use std::fmt;

/// All workloads with what both servers did; [`fmt::Display`] prints markdown.
#[derive(Clone, Debug)]
pub struct Table {
    ours: String,
    theirs: String,
    quick: bool,
    rows: Vec<(Workload, Measure, Measure)>,
}

impl Table {
    pub(super) fn new(ours: String, theirs: String, quick: bool) -> Table {
        Table { ours, theirs, quick, rows: Vec::new() }
    }

    pub(super) fn add(&mut self, workload: Workload, ours: Measure, theirs: Measure) {
        self.rows.push((workload, ours, theirs));
    }

    /// Targets that were missed, in words.
    pub fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        for (workload, ours, theirs) in &self.rows {
            let mut hold = |what: &str, ratio: f64, target: f64| {
                if ratio > target {
                    missed.push(format!("{}: {what} {ratio:.2}, not {target}", workload.name));
                }
            };
            hold("processor time", ratio(ours.cpu_us, theirs.cpu_us), workload.target);
            hold("p99", ratio(ours.p99_us, theirs.p99_us), 1.0);
            if let Some(target) = workload.memory_target {
                hold("memory", ratio(ours.rss_bytes, theirs.rss_bytes), target);
            }
            if ours.errors > 0.0 {
                missed.push(format!("{}: {} errors", workload.name, ours.errors));
            }
        }
        missed
    }
}

fn ratio(ours: f64, theirs: f64) -> f64 {
    if theirs > 0.0 { ours / theirs } else { f64::INFINITY }
}

/// Microseconds as milliseconds, with as many digits as mean something.
fn ms(us: f64) -> String {
    match us / 1e3 {
        ms if ms < 10.0 => format!("{ms:.2}"),
        ms if ms < 100.0 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

fn us(us: f64) -> String {
    if us < 100.0 { format!("{us:.1}") } else { format!("{us:.0}") }
}

fn verdict(ratio: f64, target: f64) -> &'static str {
    if ratio <= target { "reached" } else { "missed" }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, theirs) = (&self.ours, &self.theirs);
        writeln!(f, "{ours} and {theirs}, each figure ours / theirs.")?;
        if self.quick {
            writeln!(f, "A quick look with small counts: no measurement.")?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "| workload | ops/s | p50 ms | p99 ms | CPU µs an operation | CPU ratio | target | |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|")?;
        for (workload, ours, theirs) in &self.rows {
            let cpu = ratio(ours.cpu_us, theirs.cpu_us);
            writeln!(
                f,
                "| {} | {:.0} / {:.0} | {} / {} | {} / {} | {} / {} | **{cpu:.3}** | {} | {} |",
                workload.name,
                ours.per_second,
                theirs.per_second,
                ms(ours.p50_us),
                ms(theirs.p50_us),
                ms(ours.p99_us),
                ms(theirs.p99_us),
                us(ours.cpu_us),
                us(theirs.cpu_us),
                workload.target,
                verdict(cpu, workload.target)
            )?;
        }
        for (workload, ours, theirs) in &self.rows {
            let Some(target) = workload.memory_target else { continue };
            let memory = ratio(ours.rss_bytes, theirs.rss_bytes);
            writeln!(
                f,
                "| memory after the {} | | | | {:.0} / {:.0} MB | **{memory:.3}** | {target} | {} |",
                workload.name,
                ours.rss_bytes / 1e6,
                theirs.rss_bytes / 1e6,
                verdict(memory, target)
            )?;
        }
        let missed = self.missed();
        if !missed.is_empty() {
            writeln!(f, "\nMissed: {}.", missed.join("; "))?;
        }
        Ok(())
    }
}
