//! What many runs came to.

use crate::attempt::{Attempt, Finding};
use crate::marks::{MARKS, OUT_OF_REACH};
use crate::report::Counts;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often a mark was passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// In all.
    pub times: u64,
    /// In how many runs at least once.
    pub runs: u64,
}

/// Sums over runs.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many runs.
    pub runs: u64,
    /// Time that passed in them.
    pub simulated: Duration,
    /// Lines of all traces.
    pub events: u64,
    /// How much of everything there was.
    pub counts: Counts,
    /// Marks, each with how often it was passed.
    pub marks: BTreeMap<&'static str, Passed>,
    /// Seeds that did not run clean, with the first finding of each.
    pub failures: BTreeMap<u64, Finding>,
    /// Runs that were made twice.
    pub twice: u64,
    /// Seeds of those that differed from themselves.
    pub differing: Vec<u64>,
}

impl Tally {
    /// Adds a run.
    pub fn add(&mut self, attempt: &Attempt) {
        self.runs += 1;
        if let Some(finding) = &attempt.finding {
            self.failures.insert(attempt.seed, finding.clone());
        }
        let Some(report) = &attempt.report else { return };
        self.simulated += report.simulated;
        self.events += report.events;
        self.counts.add(&report.counts);
        for (name, times) in &report.marks {
            let passed = self.marks.entry(name).or_default();
            passed.times += times;
            passed.runs += 1;
        }
    }

    /// Adds a second run of the same plan, to be compared with the first.
    pub fn compare(&mut self, first: &Attempt, second: &Attempt) {
        self.twice += 1;
        if first.trace_hash() != second.trace_hash() || first.finding != second.finding {
            self.differing.push(first.seed);
        }
    }

    /// Adds the sums over other runs.
    pub fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.simulated += other.simulated;
        self.events += other.events;
        self.counts.add(&other.counts);
        for (name, theirs) in other.marks {
            let mine = self.marks.entry(name).or_default();
            mine.times += theirs.times;
            mine.runs += theirs.runs;
        }
        self.failures.extend(other.failures);
        self.twice += other.twice;
        self.differing.extend(other.differing);
    }

    /// The first seed of each judge and rule, and how many more are like it.
    #[must_use]
    pub fn kinds(&self) -> Vec<(u64, &Finding, usize)> {
        let mut kinds: Vec<(u64, &Finding, usize)> = Vec::new();
        for (seed, finding) in &self.failures {
            match kinds.iter_mut().find(|(_, other, _)| other.is_like(finding)) {
                Some((_, _, more)) => *more += 1,
                None => kinds.push((*seed, finding, 0)),
            }
        }
        kinds
    }

    /// Marks that no run passed, of those that are in reach.
    #[must_use]
    pub fn blind_spots(&self) -> Vec<&'static str> {
        let in_reach = |mark: &&str| OUT_OF_REACH.iter().all(|(out, _)| out != mark);
        let is_blind = |mark: &&str| !self.marks.contains_key(mark);
        MARKS.iter().copied().filter(in_reach).filter(is_blind).collect()
    }
}
