//! `--seed` and `--plan`: one run, to be looked at.

use super::{brief, shrink_and_keep};
use anyhow::Context;
use drystone_sim::{Kept, Plan, attempt};
use std::path::Path;

/// What is run.
pub(crate) struct Subject {
    plan: Plan,
    planted: Option<&'static str>,
    /// What follows `cargo xtask sim` to run it again.
    again: String,
}

impl Subject {
    /// The plan of a seed.
    pub(crate) fn seed(seed: u64, planted: Option<&'static str>) -> Self {
        let mut again = format!("--seed {seed}");
        if let Some(fault) = planted {
            again += &format!(" --plant {fault}");
        }
        Self { plan: Plan::draw(seed), planted, again }
    }

    /// A kept plan.
    pub(crate) fn file(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        let kept = Kept::from_json(&text).with_context(|| format!("{name} is no kept plan"))?;
        let planted = kept.planted.as_deref().map(super::fault).transpose()?;
        Ok(Self { plan: kept.plan, planted, again: format!("--plan {name}") })
    }
}

/// What is shown of it.
#[derive(Clone, Copy)]
pub(crate) struct Show {
    pub(crate) steps: bool,
    pub(crate) trace: bool,
    pub(crate) hash: bool,
}

/// Runs it; true if it was clean. A failing plan is made small and kept in `keep`, if given.
pub(crate) fn run(subject: &Subject, show: Show, keep: Option<&Path>) -> anyhow::Result<bool> {
    if show.steps {
        println!("{:#?}", subject.plan.knobs);
        for step in &subject.plan.steps {
            println!("{:>9} ms  {:?}", step.at_ms, step.what);
        }
    }
    let attempt = attempt(subject.plan.clone(), subject.planted, show.trace);
    if show.hash {
        println!("{:016x}", attempt.trace_hash());
        return Ok(attempt.finding.is_none());
    }
    if let Some(report) = &attempt.report {
        for line in &report.trace {
            println!("{line}");
        }
        println!(
            "seed {}: trace {:016x}, {} lines, {:.1} s simulated",
            report.seed,
            report.trace_hash,
            report.events,
            report.simulated.as_secs_f64(),
        );
        super::campaign::print_counts(&report.counts);
        for (mark, times) in &report.marks {
            println!("  mark {mark}: {times}");
        }
        for violation in report.violations.iter().skip(1) {
            println!("also {}", brief(&violation.into()));
        }
    }
    let Some(finding) = attempt.finding else {
        println!("clean");
        return Ok(true);
    };
    println!("FOUND {}", brief(&finding));
    println!("  replay: cargo xtask sim {} --trace", subject.again);
    if let Some(keep) = keep {
        shrink_and_keep(subject.plan.clone(), subject.planted, &finding, keep)?;
    }
    Ok(false)
}
