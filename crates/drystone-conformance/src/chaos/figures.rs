//! What a run counted.

use super::schedule::Kind;
use drystone_judge::{History, Outcome, Request, StreamHeard};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Figures of one run; [`fmt::Display`] prints them as tables.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Which server.
    pub program: String,
    /// Seed of the faults and of what clients chose.
    pub seed: u64,
    /// From the start of the load to the judgement.
    pub took: Duration,
    /// Time that the judges took.
    pub judged: Duration,
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
    /// Calls by what was asked.
    pub calls: BTreeMap<&'static str, Ended>,
    /// Why calls had no answer, by what was asked, with how many had none.
    pub silences: BTreeMap<(&'static str, String), u64>,
    /// Watch streams, and events they were told.
    pub streams: (u64, u64),
    /// The last revision.
    pub revisions: i64,
    /// Committed entries of the log.
    pub entries: usize,
    /// Leases that ran out.
    pub expiries: usize,
    /// Hashes at the last revision, with how many members had each.
    pub hashes: Vec<(u32, usize)>,
}

/// How calls of one kind ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// With an answer.
    pub answered: u64,
    /// With the state's refusal, or turned away.
    pub refused: u64,
    /// Nobody knows how.
    pub unknown: u64,
}

impl Figures {
    /// Kinds that never came.
    pub fn missing(&self) -> Vec<Kind> {
        Kind::ALL.into_iter().filter(|kind| !self.faults.contains_key(kind)).collect()
    }

    /// Counts what a history holds.
    pub(super) fn count(&mut self, history: &History) {
        for operation in &history.operations {
            let ended = self.calls.entry(name(&operation.request)).or_default();
            match operation.outcome {
                Outcome::Answered(_) => ended.answered += 1,
                Outcome::Refused(_) | Outcome::TurnedAway(_) => ended.refused += 1,
                Outcome::Unknown => ended.unknown += 1,
            }
        }
        self.streams.0 = history.streams.len() as u64;
        for event in history.streams.iter().flat_map(|stream| &stream.events) {
            if let StreamHeard::Response { response, .. } = &event.what {
                self.streams.1 += response.events.len() as u64;
            }
        }
        self.entries = history.log.len();
        let revoked = |entry: &&drystone_judge::Committed| {
            entry.command.as_ref().is_some_and(|command| command.lease_revoke.is_some())
        };
        let asked = self.calls.get(REVOKES).map_or(0, |ended| ended.answered);
        let all = history.log.iter().filter(revoked).count();
        self.expiries = all.saturating_sub(usize::try_from(asked).unwrap_or(0));
    }
}

const REVOKES: &str = "leases ended";

/// What a request is called in tables.
pub(super) fn name(request: &Request) -> &'static str {
    match request {
        Request::Put(_) => "puts",
        Request::DeleteRange(_) => "deletions",
        Request::Txn(_) => "guarded transactions",
        Request::Range(range) if range.serializable => "serializable reads",
        Request::Range(_) => "linearizable reads",
        Request::Compaction(_) => "compactions",
        Request::LeaseGrant(_) => "leases granted",
        Request::LeaseRevoke(_) => REVOKES,
        Request::LeaseKeepAlive(_) => "leases renewed",
        Request::LeaseTimeToLive(_) => "times of leases read",
        Request::LeaseLeases => "lists of leases read",
        Request::Alarm(_) => "alarms",
        Request::Members(_) => "members",
        Request::Auth(_) => "rights",
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
        writeln!(f, "\n| calls | answered | refused | unknown |")?;
        writeln!(f, "| --- | --- | --- | --- |")?;
        for (name, Ended { answered, refused, unknown }) in &self.calls {
            writeln!(f, "| {name} | {answered} | {refused} | {unknown} |")?;
        }
        writeln!(f, "\n| calls | why there was no answer | times |")?;
        writeln!(f, "| --- | --- | --- |")?;
        for ((name, why), times) in &self.silences {
            writeln!(f, "| {name} | {why} | {times} |")?;
        }
        writeln!(f)?;
        let mut line = |name: &str, value: String| writeln!(f, "| {name} | {value} |");
        line("figure", "value".into())?;
        line("---", "---".into())?;
        line("server", self.program.clone())?;
        line("seed", self.seed.to_string())?;
        line("time", format!("{:.1?}, and {:.1?} to judge", self.took, self.judged))?;
        line("faults", self.faults.values().sum::<u64>().to_string())?;
        line("rounds", self.rounds.to_string())?;
        line("until all serve again, after a round", spread(&self.recoveries))?;
        line("no write acknowledged, in a round", spread(&self.gaps))?;
        line("journals recovered after power cuts", self.journals.to_string())?;
        line("syncs failed, syncs made slow", {
            format!("{}, {}", self.syncs_failed, self.syncs_slowed)
        })?;
        line("watch streams", self.streams.0.to_string())?;
        line("events told", self.streams.1.to_string())?;
        line("leases that ran out", self.expiries.to_string())?;
        line("entries of the log", self.entries.to_string())?;
        line("revisions", self.revisions.to_string())?;
        for (hash, members) in &self.hashes {
            line("hash at the last revision", format!("{hash} on {members} member(s)"))?;
        }
        Ok(())
    }
}
