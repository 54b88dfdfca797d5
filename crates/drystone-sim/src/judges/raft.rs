//! Raft's safety properties, held on what is durable and on what leaves a member (Raft thesis,
//! figure 3.2).
//!
//! The judge keeps for each member the log that it was told is durable, and what was handed to
//! the log and is not yet. A crash may keep any prefix of the latter. Who counts is decided by the
//! log itself ([`Roll`]), not by what members believe.

use crate::clock::Micros;
use crate::host::Promise;
use crate::judges::members::Roll;
use drystone_judge::Verdict;
use drystone_member::Leadership;
use drystone_raft::{Message, MessageKind};
use drystone_types::{ConfState, Entry, HardState, LogIndex, MemberId, Term};
use std::collections::{BTreeMap, VecDeque};

const JUDGE: &str = "raft";

/// What one member holds.
#[derive(Clone, Debug, Default)]
struct Image {
    /// Everything up to here was replaced by a snapshot, or cut.
    start: u64,
    entries: BTreeMap<u64, Term>,
    hard_state: HardState,
    /// Handed to the log, not known to be durable.
    pending: VecDeque<Promise>,
    commit: u64,
}

impl Image {
    fn last(&self) -> u64 {
        self.entries.last_key_value().map_or(self.start, |(index, _)| *index)
    }

    fn take(&mut self, promise: &Promise) {
        if let Some((index, _)) = promise.snapshot {
            self.start = index.0;
            self.entries = BTreeMap::new();
        }
        if let Some((first, _)) = promise.entries.first() {
            let _ = self.entries.split_off(&first.0);
            self.entries.extend(promise.entries.iter().map(|(index, term)| (index.0, *term)));
        }
        if let Some(state) = promise.hard_state.filter(|_| promise.must_sync) {
            self.hard_state = state;
        }
    }

    fn holds(&self, index: u64, term: Term) -> bool {
        index <= self.start || self.entries.get(&index) == Some(&term)
    }
}

/// The judge.
#[derive(Debug)]
pub(crate) struct Raft {
    pub(crate) verdict: Verdict,
    members: Vec<Image>,
    /// The id of each.
    ids: Vec<MemberId>,
    /// Who belongs to the cluster, and when.
    pub(crate) roll: Roll,
    /// Who led in a term.
    leaders: BTreeMap<Term, usize>,
    /// Who got a member's vote in a term.
    votes: BTreeMap<(usize, Term), MemberId>,
    /// Entries that some member was told to apply.
    chosen: BTreeMap<u64, Term>,
}

impl Raft {
    pub(crate) fn new(learners_max: usize) -> Self {
        Self {
            verdict: Verdict::default(),
            members: Vec::new(),
            ids: Vec::new(),
            roll: Roll::new(learners_max),
            leaders: BTreeMap::new(),
            votes: BTreeMap::new(),
            chosen: BTreeMap::new(),
        }
    }

    fn blame(&mut self, rule: &'static str, text: std::fmt::Arguments<'_>) {
        self.verdict.add(JUDGE, rule, text);
    }

    /// There is a machine more.
    pub(crate) fn joined(&mut self, id: MemberId) {
        self.ids.push(id);
        self.members.push(Image::default());
    }

    pub(crate) fn founded(&mut self, m: usize, entries: &[Entry], hard_state: HardState) {
        let image = &mut self.members[m];
        image.entries = entries.iter().map(|entry| (entry.index.0, entry.term)).collect();
        image.hard_state = hard_state;
    }

    /// Something was handed to a member's log.
    pub(crate) fn promised(&mut self, m: usize, promise: Promise) {
        self.members[m].pending.push_back(promise);
    }

    /// The log said that everything up to `number` is durable.
    pub(crate) fn durable(&mut self, m: usize, number: u64) {
        let image = &mut self.members[m];
        while image.pending.front().is_some_and(|promise| promise.number <= number) {
            if let Some(promise) = image.pending.pop_front() {
                image.take(&promise);
            }
        }
    }

    /// A message leaves a member.
    pub(crate) fn sent(&mut self, now: Micros, m: usize, message: &Message) {
        match message.kind {
            MessageKind::VoteResponse if !message.reject => {
                let vote = *self.votes.entry((m, message.term)).or_insert(message.to);
                if vote != message.to {
                    self.blame(
                        "one vote a term",
                        format_args!(
                            "at {now} us m{m} votes for {} in term {}, after {vote}",
                            message.to, message.term
                        ),
                    );
                }
                let state = self.members[m].hard_state;
                // A vote of a term that is over was durable when that term began to end.
                let over = state.term > message.term;
                if !over && (state.term, state.vote) != (message.term, message.to) {
                    self.blame(
                        "a vote is durable before it is told",
                        format_args!(
                            "at {now} us m{m} votes for {} in term {}; durable is {state:?}",
                            message.to, message.term
                        ),
                    );
                }
            }
            MessageKind::AppendResponse if !message.reject => {
                let image = &self.members[m];
                // Once a later term is durable, its leader may have overruled in the same sync
                // what is acknowledged here. Such an acknowledgement is as one that travelled for
                // long: who held the entry in the old term did not elect a leader without it.
                let over = image.hard_state.term > message.term;
                let short = message.index.0 > image.last();
                if !over && (short || message.term > image.hard_state.term) {
                    let (last, state) = (image.last(), image.hard_state);
                    self.blame(
                        "entries are durable before they are acknowledged",
                        format_args!(
                            "at {now} us m{m} acknowledges {} in term {}; durable is {last}, \
                             {state:?}",
                            message.index, message.term
                        ),
                    );
                }
            }
            _ => {}
        }
    }

    /// A member learned who leads.
    pub(crate) fn leadership(&mut self, now: Micros, m: usize, leadership: Leadership) {
        if !leadership.is_leader {
            return;
        }
        let leader = *self.leaders.entry(leadership.term).or_insert(m);
        if leader != m {
            self.blame(
                "one leader a term",
                format_args!(
                    "at {now} us m{m} leads in term {}, as m{leader} did",
                    leadership.term
                ),
            );
        }
        let mut memory = self.members[m].clone();
        for promise in std::mem::take(&mut memory.pending) {
            memory.take(&promise);
        }
        self.elected(now, m, leadership.term);
        let missing = self
            .chosen
            .iter()
            .filter(|(_, term)| **term < leadership.term)
            .find(|(index, term)| !memory.holds(**index, **term));
        if let Some((index, term)) = missing {
            let text = format!(
                "at {now} us m{m} leads in term {} without entry {index} of term {term}",
                leadership.term
            );
            self.blame("leader completeness", format_args!("{text}"));
        }
    }

    /// A member that leads was elected by a majority of those who vote, as of what it knows to be
    /// committed: it does not stand for election before it has applied what changed that.
    fn elected(&mut self, now: Micros, m: usize, term: Term) {
        let (id, commit) = (self.ids[m], self.members[m].commit);
        let members = self.roll.at(commit);
        let voted = |voter: MemberId| {
            let number = self.ids.iter().position(|id| *id == voter);
            voter == id || number.is_some_and(|n| self.votes.get(&(n, term)) == Some(&id))
        };
        let (may_lead, has_votes) = (members.voters().any(|v| v == id), members.majority(voted));
        let voters: Vec<_> = members.voters().filter(|voter| voted(*voter)).collect();
        if !may_lead {
            let text =
                format!("at {now} us m{m} ({id}) leads in term {term} at {commit}: {members:?}");
            self.blame("only a voter leads", format_args!("{text}"));
        } else if !has_votes {
            let text = format!("at {now} us m{m} leads in term {term} at {commit} by {voters:?}");
            self.blame("a majority of the voters elects", format_args!("{text}"));
        }
    }

    /// Raft carried out the change of membership at an index, and counts these from now on.
    pub(crate) fn changed(&mut self, now: Micros, m: usize, index: LogIndex, counts: &ConfState) {
        let members = self.roll.at(index.0);
        let sorted = |ids: &[MemberId]| {
            let mut sorted = ids.to_vec();
            sorted.sort_unstable();
            sorted
        };
        let found = (sorted(&counts.voters), sorted(&counts.learners));
        let expected: (Vec<_>, Vec<_>) = (members.voters().collect(), members.learners().collect());
        if found != expected {
            self.blame(
                "raft counts those who belong to the cluster",
                format_args!("at {now} us m{m} at {index}: {found:?}, not {expected:?}"),
            );
        }
    }

    /// A member knows that everything up to `index` is committed.
    pub(crate) fn committed(&mut self, now: Micros, m: usize, index: LogIndex) {
        let commit = std::mem::replace(&mut self.members[m].commit, index.0);
        if commit > index.0 {
            self.blame(
                "commit never falls",
                format_args!("at {now} us m{m} from {commit} to {index}"),
            );
        }
    }

    /// A member hands entries to its store.
    pub(crate) fn handed_out(&mut self, now: Micros, m: usize, entries: &[Entry]) {
        for entry in entries {
            let (index, term) = (entry.index.0, entry.term);
            self.roll.learn(entry);
            let chosen = *self.chosen.entry(index).or_insert(term);
            if chosen != term {
                self.blame(
                    "one entry an index",
                    format_args!("at {now} us m{m} applies {index} of term {term}, not {chosen}"),
                );
            }
            let holds = |id: MemberId| {
                let number = self.ids.iter().position(|other| *other == id);
                number.is_some_and(|n| self.members[n].holds(index, term))
            };
            let by = self.roll.before(index);
            // The founding entries are there before anybody counts.
            let founding = by[0].voters().next().is_none();
            if !founding && !by.iter().any(|members| members.majority(holds)) {
                let holders: Vec<_> = self.ids.iter().filter(|id| holds(**id)).collect();
                let text =
                    format!("at {now} us m{m} applies {index} of term {term}: {holders:?} hold it");
                self.blame("a majority holds durably what is applied", format_args!("{text}"));
            }
        }
    }

    /// A member's log lets go of everything up to `upto`; its store holds `flushed` durably.
    pub(crate) fn log_cut(&mut self, now: Micros, m: usize, upto: LogIndex, flushed: LogIndex) {
        if upto > flushed {
            self.blame(
                "the log is kept until the store holds it",
                format_args!("at {now} us m{m} cuts up to {upto}, flushed is {flushed}"),
            );
        }
    }

    /// What a member found in its log when it started.
    pub(crate) fn recovered(&mut self, now: Micros, m: usize, found: &drystone_wal::Recovered) {
        let image = std::mem::take(&mut self.members[m]);
        // From here on something was on its way to the disk that replaces what was there.
        let loose = image
            .pending
            .iter()
            .flat_map(|promise| {
                let snapshot = promise.snapshot.map(|_| 0);
                snapshot.into_iter().chain(promise.entries.first().map(|(index, _)| index.0))
            })
            .min()
            .unwrap_or(u64::MAX);
        let before = found.before.index.0;
        let terms: BTreeMap<u64, Term> =
            found.entries.iter().map(|entry| (entry.index.0, entry.term)).collect();
        let lost = image
            .entries
            .iter()
            .filter(|(index, _)| **index < loose && **index > before)
            .find(|(index, term)| terms.get(index) != Some(term));
        if let Some((index, term)) = lost {
            self.blame(
                "what was durable is there after a crash",
                format_args!(
                    "at {now} us m{m} finds {:?} where entry {index} of term {term} was",
                    terms.get(index)
                ),
            );
        }
        let (was, mut is) = (image.hard_state, found.hard_state);
        // The hard state of a new term may be torn off from its entries: no vote was given then.
        let newest = terms.last_key_value().map_or(found.before.term, |(_, term)| *term);
        if newest > is.term {
            is = HardState { term: newest, vote: MemberId(0), ..is };
        }
        if is.term < was.term || (is.term == was.term && !was.vote.is_none() && is.vote != was.vote)
        {
            self.blame(
                "a durable vote is there after a crash",
                format_args!("at {now} us m{m} finds {is:?}, not {was:?}"),
            );
        }
        self.members[m] = Image {
            start: before,
            entries: terms,
            hard_state: is,
            pending: VecDeque::new(),
            commit: 0,
        };
    }

    /// A member took over a snapshot, or started with a store that holds so much: it is committed.
    pub(crate) fn installed(&mut self, m: usize, index: LogIndex) {
        let image = &mut self.members[m];
        image.commit = image.commit.max(index.0);
    }
}
