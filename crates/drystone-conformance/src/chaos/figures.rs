//! What a run counted.

use super::schedule::Kind;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Figures of the faults of one run; [`fmt::Display`] prints them as a table.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Faults made, of each kind.
    pub faults: BTreeMap<Kind, u64>,
    /// Members that stopped with an error under a fault, of each kind.
    pub stops: BTreeMap<Kind, u64>,
    /// Rounds of faults after which the cluster served again.
    pub rounds: u64,
    /// From the end of a round's faults until every member answered and writes were
    /// acknowledged.
    pub recoveries: Vec<Duration>,
    /// The longest time without an acknowledged write, for each round.
    pub gaps: Vec<Duration>,
    /// File systems that recovered their journal after a power cut.
    pub journals: usize,
    /// Faults in which a sync did fail.
    pub syncs_failed: u64,
    /// Syncs that were made slow.
    pub syncs_slowed: u64,
}

impl Figures {
    /// Kinds that never came.
    pub fn missing(&self) -> Vec<Kind> {
        Kind::ALL.into_iter().filter(|kind| !self.faults.contains_key(kind)).collect()
    }
}

/// Median and worst.
fn spread(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort();
    match (sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(median), Some(worst)) => format!("median {median:.2?}, worst {worst:.2?}"),
        _ => "none".into(),
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| fault | times | members that stopped with an error |")?;
        writeln!(f, "| --- | --- | --- |")?;
        for kind in Kind::ALL {
            let of = |counts: &BTreeMap<Kind, u64>| counts.get(&kind).copied().unwrap_or(0);
            writeln!(f, "| {kind} | {} | {} |", of(&self.faults), of(&self.stops))?;
        }
        writeln!(f)?;
        let mut line = |name: &str, value: String| writeln!(f, "| {name} | {value} |");
        line("figure", "value".into())?;
        line("---", "---".into())?;
        line("rounds of faults", self.rounds.to_string())?;
        line("faults", self.faults.values().sum::<u64>().to_string())?;
        line("until all serve again, after a round", spread(&self.recoveries))?;
        line("no write acknowledged, in a round", spread(&self.gaps))?;
        line("journals recovered after power cuts", self.journals.to_string())?;
        line("failed syncs that happened", self.syncs_failed.to_string())?;
        line("syncs made slow", self.syncs_slowed.to_string())
    }
}
