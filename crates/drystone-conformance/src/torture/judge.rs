//! Whether what clients were told can be true, given all that happened.
//!
//! The history is the witness: every answer is held against the state at the answer's own
//! revision, and the revisions against real time. That is exact and takes one pass, where a
//! search for a linearization would not end on a history of this size.

use super::history::History;
use super::journal::{Op, Outcome, Record, Reply};
use super::words::{Change, Key, Pair, Value};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What is wrong, in words; the first few of each kind.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    texts: Vec<String>,
    by_kind: BTreeMap<&'static str, u64>,
}

/// Texts of one kind of fault that are kept.
const TEXTS_PER_KIND_MAX: u64 = 20;

impl Faults {
    pub(crate) fn add(&mut self, kind: &'static str, text: impl Into<String>) {
        let count = self.by_kind.entry(kind).or_default();
        *count += 1;
        if *count <= TEXTS_PER_KIND_MAX {
            self.texts.push(format!("{kind}: {}", text.into()));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_kind.is_empty()
    }

    /// Kinds of faults with how often each was seen.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.by_kind.iter().map(|(kind, count)| (*kind, *count))
    }

    pub(crate) fn texts(&self) -> &[String] {
        &self.texts
    }
}

pub(crate) const LOST: &str = "an acknowledged write is lost";
pub(crate) const BACKWARDS: &str = "time went backwards";
pub(crate) const WRONG_READ: &str = "a read that was never true";
pub(crate) const WRONG_GUARD: &str = "a guard that did not guard";
pub(crate) const WRONG_PREVIOUS: &str = "a previous value that was never there";
pub(crate) const ONCE: &str = "a write did not take effect once and whole";
pub(crate) const REFUSED_DONE: &str = "a refused write took effect";
pub(crate) const NOBODY: &str = "a change that nobody asked for";
pub(crate) const BROKEN: &str = "an answer that no server may give";
pub(crate) const WATCH: &str = "a watch told something else than what happened";
pub(crate) const MEMBERS: &str = "members do not agree";
pub(crate) const DOWN: &str = "the cluster did not come back";

/// Holds every record against the history, and every change of the history against the records.
pub(crate) fn records(history: &History, records: &[Record], faults: &mut Faults) {
    let judge = Judge::new(history);
    for record in records {
        judge.record(record, faults);
    }
    judge.origins(records, faults);
}

struct Judge<'a> {
    history: &'a History,
    /// Where each value was put.
    puts: BTreeMap<Value, Vec<&'a Change>>,
}

impl<'a> Judge<'a> {
    fn new(history: &'a History) -> Judge<'a> {
        let mut puts: BTreeMap<Value, Vec<&Change>> = BTreeMap::new();
        for change in history.changes() {
            if let Some(pair) = change.put {
                puts.entry(pair.value).or_default().push(change);
            }
        }
        Judge { history, puts }
    }

    fn puts_of(&self, op: &Op) -> &[&'a Change] {
        op.value().and_then(|value| self.puts.get(&value)).map_or(&[], Vec::as_slice)
    }

    fn record(&self, record: &Record, faults: &mut Faults) {
        let changes = self.puts_of(&record.op);
        self.effects(record, changes, faults);
        match &record.outcome {
            Outcome::Done(reply) => {
                let revision = reply.revision();
                let early = revision < record.floor;
                if early || (reply.changed() && revision == record.floor) {
                    faults.add(BACKWARDS, record.to_string());
                }
                if revision > self.history.last() {
                    faults.add(LOST, format!("nothing has revision {revision}; {record}"));
                } else {
                    self.reply(record, reply, faults);
                }
            }
            Outcome::Refused(_) if !changes.is_empty() => {
                faults.add(REFUSED_DONE, format!("{}; {record}", changes[0]));
            }
            Outcome::Broken(_) => faults.add(BROKEN, record.to_string()),
            Outcome::Refused(_) | Outcome::Unknown(_) => {}
        }
    }

    /// What must hold of a write's changes whatever the client was told: none of it or all,
    /// once, after what had been answered before it began, and under its guard.
    fn effects(&self, record: &Record, changes: &[&Change], faults: &mut Faults) {
        let (Some(first), Some(value)) = (changes.first(), record.op.value()) else { return };
        let keys: &[Key] = match record.op {
            Op::Guard { key, .. } => &[key, key.shadow()],
            Op::Put { key, .. } => &[key],
            Op::Delete { .. } | Op::Read { .. } => &[],
        };
        let at_once: Vec<Key> = self.history.of(first.revision).iter().map(|c| c.key).collect();
        if changes.iter().any(|change| change.revision != first.revision) {
            faults.add(ONCE, format!("{value} at {:?}; {record}", revisions(changes)));
        } else if at_once != keys {
            let revision = first.revision;
            faults.add(ONCE, format!("revision {revision} changed {at_once:?}; {record}"));
        }
        if first.revision <= record.floor {
            faults.add(BACKWARDS, format!("{first}; {record}"));
        }
        if let Op::Guard { key, seen, .. } = record.op {
            let before = self.modified(key, first.revision - 1);
            if before != seen {
                faults.add(WRONG_GUARD, format!("the key was changed at {before}; {record}"));
            }
        }
    }

    fn modified(&self, key: Key, revision: i64) -> i64 {
        self.history.at(key, revision).map_or(0, |pair| pair.modified)
    }

    fn reply(&self, record: &Record, reply: &Reply, faults: &mut Faults) {
        let revision = reply.revision();
        match (&record.op, reply) {
            (Op::Put { key, want_prev, .. }, Reply::Put { prev, .. }) => {
                self.acknowledged(record, revision, faults);
                self.previous(record, *key, revision, prev.filter(|_| *want_prev), faults);
            }
            (Op::Guard { .. }, Reply::Guarded { .. }) => {
                self.acknowledged(record, revision, faults);
            }
            (Op::Guard { key, seen, .. }, Reply::Refuted { found, .. }) => {
                let actual = self.history.at(*key, revision);
                if *found != actual {
                    faults.add(WRONG_READ, told(actual.as_slice(), record));
                }
                if self.modified(*key, revision) == *seen {
                    faults.add(WRONG_GUARD, format!("the guard held; {record}"));
                }
                if !self.puts_of(&record.op).is_empty() {
                    faults.add(REFUSED_DONE, record.to_string());
                }
            }
            (Op::Delete { key, .. }, Reply::Deleted { count, prev, .. }) => {
                self.deleted(record, *key, revision, (*count, *prev), faults);
            }
            (Op::Read { first, keys, .. }, Reply::Read { pairs, count, .. }) => {
                let actual = self.history.range(*first, first.plus(*keys), revision);
                let counted = i64::try_from(actual.len()).unwrap_or(i64::MAX);
                if *pairs != actual || *count != counted {
                    faults.add(WRONG_READ, told(&actual, record));
                }
            }
            _ => faults.add(BROKEN, record.to_string()),
        }
    }

    /// The changes that were acknowledged at `revision` are there.
    fn acknowledged(&self, record: &Record, revision: i64, faults: &mut Faults) {
        let changes = self.puts_of(&record.op);
        if changes.is_empty() {
            faults.add(LOST, record.to_string());
        } else if changes[0].revision != revision {
            faults.add(LOST, format!("it is at {:?}; {record}", revisions(changes)));
        }
    }

    fn deleted(
        &self,
        record: &Record,
        key: Key,
        revision: i64,
        (count, prev): (i64, Option<Pair>),
        faults: &mut Faults,
    ) {
        if count == 0 {
            if let Some(pair) = self.history.at(key, revision) {
                faults.add(WRONG_READ, told(&[pair], record));
            }
            return;
        }
        let changes = self.history.of(revision);
        if !matches!(changes, [change] if change.key == key && change.put.is_none()) {
            faults.add(LOST, format!("revision {revision} has {changes:?}; {record}"));
        }
        let wanted = matches!(record.op, Op::Delete { want_prev: true, .. });
        self.previous(record, key, revision, prev.filter(|_| wanted), faults);
    }

    /// The value before is told if it was asked for, and is the right one.
    fn previous(
        &self,
        record: &Record,
        key: Key,
        revision: i64,
        prev: Option<Pair>,
        faults: &mut Faults,
    ) {
        let wanted = match record.op {
            Op::Put { want_prev, .. } | Op::Delete { want_prev, .. } => want_prev,
            Op::Guard { .. } | Op::Read { .. } => false,
        };
        let actual = self.history.at(key, revision - 1);
        if wanted && prev != actual {
            faults.add(WRONG_PREVIOUS, told(actual.as_slice(), record));
        }
    }

    /// Every change has somebody who asked for it.
    fn origins(&self, records: &[Record], faults: &mut Faults) {
        let asked: BTreeMap<Value, &Op> =
            records.iter().filter_map(|r| r.op.value().map(|value| (value, &r.op))).collect();
        let mut may_delete: BTreeMap<Key, u64> = BTreeMap::new();
        let mut did_delete: BTreeMap<i64, Key> = BTreeMap::new();
        for record in records {
            match (&record.op, &record.outcome) {
                (Op::Delete { key, .. }, Outcome::Unknown(_)) => {
                    *may_delete.entry(*key).or_default() += 1;
                }
                (Op::Delete { key, .. }, Outcome::Done(reply)) if reply.changed() => {
                    let other = did_delete.insert(reply.revision(), *key);
                    if let Some(other) = other {
                        faults.add(ONCE, format!("so was {other} at this revision; {record}"));
                    }
                }
                _ => {}
            }
        }
        for change in self.history.changes() {
            let known = match change.put {
                Some(pair) => asked.get(&pair.value).is_some_and(|op| match op {
                    Op::Put { key, .. } => *key == change.key,
                    Op::Guard { key, .. } => *key == change.key || key.shadow() == change.key,
                    Op::Delete { .. } | Op::Read { .. } => false,
                }),
                None if did_delete.get(&change.revision) == Some(&change.key) => true,
                None => may_delete.get_mut(&change.key).is_some_and(|left| {
                    let some = *left > 0;
                    *left = left.saturating_sub(1);
                    some
                }),
            };
            if !known {
                faults.add(NOBODY, change.to_string());
            }
        }
    }
}

fn revisions(changes: &[&Change]) -> Vec<i64> {
    changes.iter().map(|change| change.revision).collect()
}

fn told(actual: &[Pair], record: &Record) -> String {
    let actual: Vec<String> = actual.iter().map(Pair::to_string).collect();
    format!("it was [{}]; {record}", actual.join(", "))
}

/// What a watch listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The whole store.
    Everything,
    /// All keys of the load.
    Prefix,
    /// One key.
    One(Key),
}

impl Scope {
    fn holds(self, key: Key) -> bool {
        match self {
            Scope::Everything | Scope::Prefix => true,
            Scope::One(one) => one == key,
        }
    }
}

/// One event as a watch told it, small enough to be kept by the million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) revision: i64,
    digest: u64,
}

impl Told {
    /// Notes an event. `before` is what the key held before it, if the watch asks for that.
    pub(crate) fn new(change: &Change, before: Option<Pair>) -> Told {
        let mut hasher = DefaultHasher::new();
        (change, before).hash(&mut hasher);
        Told { revision: change.revision, digest: hasher.finish() }
    }
}

/// What one watch told, over all its connections.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    /// Whose watch it was, for messages.
    pub(crate) name: String,
    pub(crate) scope: Scope,
    pub(crate) with_previous: bool,
    /// The revision it started from.
    pub(crate) from: i64,
    /// The last revision it must have told.
    pub(crate) to: i64,
    pub(crate) events: Vec<Told>,
    /// How often it began anew after a lost connection.
    pub(crate) resumes: u64,
    /// What was wrong already while it ran.
    pub(crate) faults: Vec<String>,
}

/// Holds what a watch told against what happened: each event once, none left out, in order.
pub(crate) fn watch(history: &History, watched: &Watched, faults: &mut Faults) {
    for fault in &watched.faults {
        faults.add(WATCH, format!("{}: {fault}", watched.name));
    }
    let happened = history.between(watched.from, watched.to);
    let mut expected = happened.iter().filter(|change| watched.scope.holds(change.key));
    let mut told = watched.events.iter();
    loop {
        let (change, event) = (expected.next(), told.next());
        let before = change
            .filter(|_| watched.with_previous)
            .and_then(|change| history.at(change.key, change.revision - 1));
        if change.map(|change| Told::new(change, before)) == event.copied() {
            if change.is_none() {
                return;
            }
            continue;
        }
        let happened = change.map_or("nothing".to_owned(), Change::to_string);
        let event = event.map_or("nothing".to_owned(), |e| format!("revision {}", e.revision));
        let (name, from, to) = (&watched.name, watched.from, watched.to);
        let text = format!("{name} (revisions {from} to {to}): told {event}, where {happened}");
        // All that follows differs too: one difference a watch says enough.
        faults.add(WATCH, text);
        return;
    }
}

#[cfg(test)]
mod tests;
