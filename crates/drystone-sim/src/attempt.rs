//! One run for whoever looks for findings: panics are caught, and a fault may be planted.

use crate::panics;
use crate::plan::Plan;
use crate::report::Report;
use drystone_judge::Violation;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The judge of panics.
pub const PANIC: &str = "panic";

/// What was found wrong in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Who found it; [`PANIC`] if somebody panicked.
    pub judge: String,
    /// Which rule was broken; of a panic the file that it came from.
    pub rule: String,
    /// What was seen, and what should have been.
    pub text: String,
}

impl Finding {
    /// A panic, by its last words, which begin with the file that it came from.
    fn panic(text: String) -> Self {
        let rule = text.split(':').next().unwrap_or_default().to_owned();
        Self { judge: PANIC.to_owned(), rule, text }
    }

    /// True when both are of the same judge and rule.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        (&self.judge, &self.rule) == (&other.judge, &other.rule)
    }
}

impl From<&Violation> for Finding {
    fn from(violation: &Violation) -> Self {
        if violation.judge == PANIC {
            return Self::panic(violation.text.clone());
        }
        let (judge, rule) = (violation.judge.to_owned(), violation.rule.to_owned());
        Self { judge, rule, text: violation.text.clone() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.judge, self.rule, self.text)
    }
}

/// What came of an attempt.
#[derive(Debug)]
pub struct Attempt {
    /// The plan's seed.
    pub seed: u64,
    /// The first thing that was wrong.
    pub finding: Option<Finding>,
    /// What the run reported; nothing if a judge panicked.
    pub report: Option<Report>,
}

impl Attempt {
    /// The hash of what happened; 0 if a judge panicked.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.report.as_ref().map_or(0, |report| report.trace_hash)
    }
}

/// Runs a plan with a fault planted, or none, and catches panics.
///
/// Marks and planted faults are the thread's own: attempts in several threads do not meet.
#[must_use]
pub fn attempt(plan: Plan, planted: Option<&'static str>, keep_trace: bool) -> Attempt {
    let seed = plan.seed;
    let _ = drystone_probe::take_marks();
    drystone_probe::plant(planted);
    let outcome = catch_unwind(AssertUnwindSafe(|| crate::run(plan, keep_trace)));
    drystone_probe::plant(None);
    match outcome {
        Ok(report) => {
            let finding = report.violations.first().map(Finding::from);
            Attempt { seed, finding, report: Some(report) }
        }
        Err(payload) => {
            let finding = Finding::panic(panics::caught(payload.as_ref()));
            Attempt { seed, finding: Some(finding), report: None }
        }
    }
}
