//! What the command does, a file for each way to use it.
#![expect(clippy::print_stdout, reason = "a command answers on standard output")]

pub(crate) mod campaign;
pub(crate) mod mutants;
pub(crate) mod one;
pub(crate) mod repeat;

use anyhow::Context;
use drystone_sim::faults::FAULTS;
use drystone_sim::{Attempt, Finding, Kept, Plan, attempt, shrink};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;
use std::time::Duration;

/// Runs that making one plan small may take.
const SHRINK_RUNS_MAX: usize = 3_000;
/// Letters of a finding that are printed.
const FINDING_CHARS_MAX: usize = 1_000;

/// A planted fault's name, as the table has it.
pub(crate) fn fault(name: &str) -> anyhow::Result<&'static str> {
    let fault = FAULTS.iter().find(|fault| fault.name == name);
    anyhow::ensure!(drystone_probe::ACTIVE, "faults are planted with --cfg drystone_sim only");
    Ok(fault.with_context(|| format!("there is no planted fault {name}"))?.name)
}

/// Runs a seed with a fault or without.
pub(crate) fn try_seed(seed: u64, planted: Option<&'static str>) -> Attempt {
    attempt(Plan::draw(seed), planted, false)
}

/// The processor time that this process has used.
pub(crate) fn processor_time() -> Duration {
    clock(rustix::time::ClockId::ProcessCPUTime)
}

/// The processor time that this thread has used.
pub(crate) fn thread_time() -> Duration {
    clock(rustix::time::ClockId::ThreadCPUTime)
}

fn clock(id: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(id);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// A bar for so many things, or only their number when there is no end.
pub(crate) fn bar(things: Option<u64>) -> ProgressBar {
    let (bar, template) = match things {
        Some(things) => (
            ProgressBar::new(things),
            "{bar:30} {human_pos} of {human_len}, {per_sec}, {eta} to go {msg}",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {human_pos}, {per_sec} {msg}"),
    };
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    bar.with_style(style)
}

/// A finding for a line of a terminal.
pub(crate) fn brief(finding: &Finding) -> String {
    finding.to_string().chars().take(FINDING_CHARS_MAX).collect()
}

/// Makes a failing plan small, keeps it in `keep`, and says where.
pub(crate) fn shrink_and_keep(
    plan: Plan,
    planted: Option<&'static str>,
    found: &Finding,
    keep: &Path,
) -> anyhow::Result<()> {
    let (seed, steps) = (plan.seed, plan.steps.len());
    let small = shrink(plan, SHRINK_RUNS_MAX, |plan| {
        attempt(plan.clone(), planted, false).finding.is_some_and(|other| other.is_like(found))
    });
    // Its words are those of the small plan.
    let last = attempt(small.plan.clone(), planted, false).finding;
    let found = last.unwrap_or_else(|| found.clone());
    let kept = Kept { seed, found, planted: planted.map(str::to_owned), plan: small.plan };
    std::fs::create_dir_all(keep).with_context(|| format!("cannot make {}", keep.display()))?;
    let path = keep.join(kept.file_name());
    std::fs::write(&path, kept.to_json()?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!(
        "  shrunk from {steps} to {} steps in {} runs: {}\n  replay: cargo xtask sim --plan {}",
        kept.plan.steps.len(),
        small.runs,
        path.display(),
        path.display(),
    );
    Ok(())
}
