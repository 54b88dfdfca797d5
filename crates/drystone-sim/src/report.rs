//! What came of a run.

use drystone_judge::Violation;
use std::collections::BTreeMap;
use std::time::Duration;

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// The plan's seed.
    pub seed: u64,
    /// Hash of everything that happened, in order.
    pub trace_hash: u64,
    /// Things that happened.
    pub events: u64,
    /// Time that passed in the simulation.
    pub simulated: Duration,
    /// What must not have happened; nothing in a clean run.
    pub violations: Vec<Violation>,
    /// How much of everything there was.
    pub counts: Counts,
    /// Marks that were passed, each with how often.
    pub marks: BTreeMap<&'static str, u64>,
    /// The trace, if it was asked for.
    pub trace: Vec<String>,
}

impl Report {
    /// True when no judge has anything to say.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}

/// How much of everything there was in one run, or in many.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each is a count of what its name says")]
pub struct Counts {
    pub operations: u64,
    pub answered: u64,
    pub refused: u64,
    pub turned_away: u64,
    pub unknown: u64,
    pub streams: u64,
    pub watch_requests: u64,
    pub watch_responses: u64,
    pub watch_events: u64,
    pub entries: u64,
    pub messages: u64,
    pub messages_lost: u64,
    pub messages_doubled: u64,
    pub syncs: u64,
    pub flushes: u64,
    pub leaders: u64,
    pub snapshots: u64,
    pub starts: u64,
    pub starts_refused: u64,
    pub crashes: u64,
    pub stops: u64,
    pub searched: u64,
    pub joined: u64,
    pub promoted: u64,
    pub removed: u64,
    /// Runs in which operators and faults left no majority, so that liveness was not judged.
    pub without_majority: u64,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub(crate) fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// Faults of all kinds.
    #[must_use]
    pub fn faults_in_all(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.numbers_mut().into_iter().zip(other.numbers()) {
            *mine += theirs.1;
        }
        for (kind, count) in &other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
    }

    /// All numbers but the faults, with their names.
    #[must_use]
    pub fn numbers(&self) -> [(&'static str, u64); 26] {
        [
            ("operations", self.operations),
            ("answered", self.answered),
            ("refused", self.refused),
            ("turned away", self.turned_away),
            ("outcome unknown", self.unknown),
            ("watch streams", self.streams),
            ("watch requests", self.watch_requests),
            ("watch responses", self.watch_responses),
            ("watch events", self.watch_events),
            ("entries applied", self.entries),
            ("messages", self.messages),
            ("messages lost", self.messages_lost),
            ("messages doubled", self.messages_doubled),
            ("syncs", self.syncs),
            ("flushes", self.flushes),
            ("leaders elected", self.leaders),
            ("snapshots installed", self.snapshots),
            ("starts", self.starts),
            ("starts refused", self.starts_refused),
            ("crashes", self.crashes),
            ("stops by themselves", self.stops),
            ("histories searched", self.searched),
            ("members added", self.joined),
            ("learners promoted", self.promoted),
            ("members removed", self.removed),
            ("runs left without a majority", self.without_majority),
        ]
    }

    fn numbers_mut(&mut self) -> [&mut u64; 26] {
        [
            &mut self.operations,
            &mut self.answered,
            &mut self.refused,
            &mut self.turned_away,
            &mut self.unknown,
            &mut self.streams,
            &mut self.watch_requests,
            &mut self.watch_responses,
            &mut self.watch_events,
            &mut self.entries,
            &mut self.messages,
            &mut self.messages_lost,
            &mut self.messages_doubled,
            &mut self.syncs,
            &mut self.flushes,
            &mut self.leaders,
            &mut self.snapshots,
            &mut self.starts,
            &mut self.starts_refused,
            &mut self.crashes,
            &mut self.stops,
            &mut self.searched,
            &mut self.joined,
            &mut self.promoted,
            &mut self.removed,
            &mut self.without_majority,
        ]
    }
}
