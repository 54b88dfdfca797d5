//! What a torture counted and measured.

use super::journal::{Outcome, Record};
use super::judge::Watched;
use std::fmt;
use std::time::Duration;

/// Figures of one torture; [`fmt::Display`] prints them as a table.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Which server.
    pub program: String,
    /// From the start of the load to the judgement.
    pub took: Duration,
    /// Writes that were acknowledged, unknown and refused.
    pub writes: Ended,
    /// Linearizable reads that were answered and that failed.
    pub reads: Ended,
    /// Serializable reads that were answered and that failed.
    pub serializable: Ended,
    /// Processes killed.
    pub kills: usize,
    /// Raft's term before the first kill and after the last.
    pub terms: (u64, u64),
    /// Longest time without an acknowledged write, for each kill of the leader.
    pub leader_gaps: Vec<Duration>,
    /// The same for each kill of all members.
    pub all_gaps: Vec<Duration>,
    /// Watches, each walk of a wandering one counted.
    pub watches: usize,
    /// Events they were told.
    pub events: u64,
    /// How often a watch went on after a lost connection.
    pub resumes: u64,
    /// The last revision.
    pub revisions: i64,
    /// Revision, hash, and how many members had it.
    pub hashes: Vec<(i64, u32, usize)>,
    /// Kinds of faults, and how many of each.
    pub faults: Vec<(String, u64)>,
}

/// How operations of one kind ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// With an answer.
    pub done: u64,
    /// Nobody knows how.
    pub unknown: u64,
    /// Without effect, or, for reads, without an answer.
    pub refused: u64,
}

impl Figures {
    pub(super) fn count(&mut self, records: &[Record], watched: &[Watched]) {
        for record in records {
            let ended = match &record.op {
                super::journal::Op::Read { serializable: true, .. } => &mut self.serializable,
                super::journal::Op::Read { .. } => &mut self.reads,
                _ => &mut self.writes,
            };
            match &record.outcome {
                Outcome::Done(_) => ended.done += 1,
                Outcome::Unknown(_) | Outcome::Broken(_) => ended.unknown += 1,
                Outcome::Refused(_) => ended.refused += 1,
            }
        }
        self.watches = watched.len();
        self.resumes = watched.iter().map(|watched| watched.resumes).sum();
    }
}

fn gaps(gaps: &[Duration]) -> String {
    let mut sorted = gaps.to_vec();
    sorted.sort();
    match (sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(median), Some(worst)) => format!("median {median:.2?}, worst {worst:.2?}"),
        _ => "none".into(),
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: String| writeln!(f, "| {name} | {value} |");
        line("figure", "value".into())?;
        line("---", "---".into())?;
        line("server", self.program.clone())?;
        line("time", format!("{:.1?}", self.took))?;
        let Ended { done, unknown, refused } = self.writes;
        line("writes acknowledged", done.to_string())?;
        line("writes of unknown outcome", unknown.to_string())?;
        line("writes refused", refused.to_string())?;
        let answered = |ended: Ended| format!("{}, {} failed", ended.done, ended.refused);
        line("linearizable reads", answered(self.reads))?;
        line("serializable reads", answered(self.serializable))?;
        line("kills of the leader", self.leader_gaps.len().to_string())?;
        line("kills of all members", self.all_gaps.len().to_string())?;
        let (first, last) = self.terms;
        line("processes killed", self.kills.to_string())?;
        line("elections (terms)", format!("{} ({first} to {last})", last.saturating_sub(first)))?;
        line("no write acknowledged, leader killed", gaps(&self.leader_gaps))?;
        line("no write acknowledged, all killed", gaps(&self.all_gaps))?;
        line("watches", format!("{}, gone on {} times", self.watches, self.resumes))?;
        line("events told", self.events.to_string())?;
        line("revisions", self.revisions.to_string())?;
        for (revision, hash, members) in &self.hashes {
            let value = format!("{hash} on {members} member(s)");
            line(&format!("hash at revision {revision}"), value)?;
        }
        match self.faults.as_slice() {
            [] => line("faults", "none".into())?,
            faults => {
                for (kind, count) in faults {
                    line(&format!("FAULT: {kind}"), count.to_string())?;
                }
            }
        }
        Ok(())
    }
}
