//! The end of a run: faults are over, and everything must come to rest.

use super::World;
use crate::clock::{Micros, SECOND};
use crate::plan::{Ask, Op, Put, Range};
use crate::report::Report;
use drystone_judge::{Outcome, Request};
use std::collections::BTreeSet;

/// How long a healed cluster may take until it serves writes at every member. Elections take
/// one or two timeouts; a receiver of a snapshot, or a log that was held up, takes longer.
const SERVE_MAX: Micros = 60 * SECOND;
/// How long leases are given to end by themselves: the longest, twice an election timeout, and
/// a few looks at the clock.
const LEASES_END: Micros = 20 * SECOND;
/// How long members and watchers may take to become equal after that.
const EVEN_MAX: Micros = 30 * SECOND;
/// How long members are given to find a majority before it is said that there is none.
const QUORUM_GRACE: Micros = 10 * SECOND;
const PAUSE_MS: u64 = 250;

/// Which part of the end has been reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Faults,
    /// Waiting until each member has served a write since the faults ended.
    Serving,
    /// Waiting for leases to end.
    Leases,
    /// Waiting until all members and watchers have heard everything.
    Even,
}

/// How far the end of a run is.
#[derive(Debug, Default)]
pub(super) struct Settle {
    phase: Phase,
    since: Micros,
    /// Members that have answered a write since the faults ended, learners a read.
    served: BTreeSet<usize>,
    /// Values of the last writes are numbered from here.
    writes: u32,
}

/// Numbers of the values of these writes; the plan's are far below.
const VALUES_FROM: u32 = 3_000_000_000;

impl Settle {
    pub(super) fn has_begun(&self) -> bool {
        self.phase != Phase::Faults
    }
}

impl World {
    pub(super) fn settle(&mut self) {
        let waited = self.now - self.settle.since;
        match self.settle.phase {
            Phase::Faults => {
                self.trace.say(self.now, format_args!("the faults end"));
                self.heal();
                self.clients.iter_mut().for_each(super::Client::let_be);
                self.enter(Phase::Serving);
            }
            Phase::Serving => {
                // Stalled streams are read again, so that watchers are heard out too.
                self.unstall_streams();
                if (0..self.hosts.len()).all(|m| self.settle.served.contains(&m) || !self.serves(m))
                {
                    self.enter(Phase::Leases);
                } else if waited > QUORUM_GRACE && !self.can_recover() {
                    return self.without_majority();
                } else if waited > SERVE_MAX {
                    let text = format!("served: {:?}", self.settle.served);
                    return self.stuck("every member serves writes again", text);
                } else {
                    self.disarm();
                    self.write_everywhere();
                }
            }
            Phase::Leases if waited > LEASES_END => self.enter(Phase::Even),
            Phase::Leases => self.disarm(),
            Phase::Even => {
                if self.is_even() {
                    return self.finish_run();
                }
                if waited > EVEN_MAX && !self.can_recover() {
                    return self.without_majority();
                }
                if waited > EVEN_MAX {
                    let applied: Vec<_> = self
                        .hosts
                        .iter()
                        .map(|host| host.process.as_ref().map(|process| process.applied))
                        .collect();
                    let text = format!("applied: {applied:?}; watches: {}", self.watches_open());
                    return self.stuck("members and watchers become equal", text);
                }
            }
        }
        self.settle_in(PAUSE_MS);
    }

    fn enter(&mut self, phase: Phase) {
        self.settle.phase = phase;
        self.settle.since = self.now;
    }

    /// Whether a member is to serve at the end: those whose disks are lost cannot.
    fn serves(&self, m: usize) -> bool {
        self.belongs(m) && self.hosts[m].disks.is_some()
    }

    /// Operators have removed, and faults destroyed, so much that nobody can go on: what was
    /// promised until then is judged, and that it goes on is not.
    fn without_majority(&mut self) {
        self.trace.say(self.now, format_args!("there is no majority any more"));
        self.counts.without_majority += 1;
        self.finished = true;
    }

    fn stuck(&mut self, rule: &'static str, text: String) {
        self.judges.blame("liveness", rule, format!("at {} us: {text}", self.now));
        self.finished = true;
    }

    /// Lets each idle client write once at a member that has not served yet.
    fn write_everywhere(&mut self) {
        for m in 0..self.hosts.len() {
            let client = m % self.clients.len();
            if self.settle.served.contains(&m) || !self.serves(m) {
                continue;
            }
            if !self.clients[client].is_idle() {
                continue;
            }
            self.settle.writes += 1;
            let put = Put {
                key: 0,
                value: VALUES_FROM + self.settle.writes,
                value_bytes: 0,
                lease: 0,
                prev_kv: true,
                ignore_value: false,
                ignore_lease: false,
            };
            let number = |n: usize| u8::try_from(n).unwrap_or(0);
            let read = Range { serializable: true, ..Range::default() };
            let op = if self.is_learner(m) { Op::Range(read) } else { Op::Put(put) };
            let (client, member) = (number(client), number(m));
            self.enqueue(Ask { client, member, retries: 0, op });
        }
    }

    /// Notes which member answered one of the last writes.
    pub(super) fn settle_heard(&mut self, operation: usize) {
        if !self.settle.has_begun() {
            return;
        }
        let record = &self.history.operations[operation];
        let Some(m) = self.numbers.get(&record.member) else { return };
        let counts = match &record.request {
            Request::Put(_) => true,
            Request::Range(range) => range.serializable && self.is_learner(*m),
            _ => false,
        };
        if counts && matches!(record.outcome, Outcome::Answered(_)) {
            self.settle.served.insert(*m);
        }
    }

    /// True when all members have applied the same, and no watcher has anything to come.
    fn is_even(&self) -> bool {
        let idle = self.clients.iter().all(super::Client::is_idle);
        let here = || (0..self.hosts.len()).filter(|m| self.serves(*m)).map(|m| &self.hosts[m]);
        let mut applied: Vec<u64> = here()
            .filter_map(|host| host.process.as_ref().map(|process| process.applied))
            .collect();
        applied.dedup();
        // Whoever was removed has ended.
        let gone = self.hosts.iter().all(|host| !host.is_removed || host.process.is_none());
        let up = gone && here().all(|host| host.process.is_some());
        up && applied.len() == 1 && self.unheard() == 0 && idle
    }

    /// Where members' watchers stand, in words.
    fn watches_open(&self) -> String {
        let of = |host: &crate::host::Host| {
            let process = host.process.as_ref()?;
            let pieces: usize = process.outlets.values().map(|outlet| outlet.pieces).sum();
            Some(format!(
                "{} of {}: {:?}, {pieces} pieces, {} commands",
                process.hub.revision(),
                process.feed.position().0,
                process.hub.stats(),
                process.commands.len(),
            ))
        };
        format!("{:?}", self.hosts.iter().filter_map(of).collect::<Vec<_>>())
    }

    /// Members whose watchers have not heard everything yet.
    fn unheard(&self) -> usize {
        let behind = |process: &crate::host::Process| {
            let (revision, _) = process.feed.position();
            let stats = process.hub.stats();
            process.hub.revision() < revision
                || stats.unsynced > 0
                || stats.queued_bytes > 0
                || !process.commands.is_empty()
        };
        self.hosts.iter().filter_map(|host| host.process.as_ref()).filter(|p| behind(p)).count()
            + self.events_travel()
    }

    fn finish_run(&mut self) {
        self.finished = true;
        self.drain_streams();
        self.history.settled_at = Some(self.duration());
        self.judges.hashes.finish(&self.hosts);
    }

    pub(super) fn report(mut self) -> Report {
        let searched = self.judges.history(&self.history, self.seed);
        self.counts.searched += u64::from(searched);
        let mut marks = drystone_probe::take_marks();
        marks.retain(|_, count| *count > 0);
        Report {
            seed: self.seed,
            trace_hash: self.trace.hash(),
            events: self.trace.events(),
            simulated: self.duration(),
            violations: self.judges.take(),
            counts: self.counts,
            marks,
            trace: self.trace.take_lines(),
        }
    }
}
