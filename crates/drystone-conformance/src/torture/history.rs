//! All that happened, in order, as one watch from the first revision told it.

use super::words::{Change, Key, Pair};
use std::collections::BTreeMap;

/// Every change of the store, replayed as it is taken in, so that an event that cannot follow
/// those before it is noticed.
#[derive(Debug, Default)]
pub(crate) struct History {
    changes: Vec<Change>,
    /// Places in `changes`, by key.
    by_key: BTreeMap<Key, Vec<usize>>,
}

/// The revision of an empty store.
const REVISION_EMPTY: i64 = 1;

impl History {
    /// Takes in the next change.
    ///
    /// # Errors
    /// A revision left out or told again, a key changed twice at one revision, a version or
    /// create revision that does not follow, a deletion of what was not there.
    pub(crate) fn push(&mut self, change: Change) -> Result<(), String> {
        let last = self.last();
        let begins = change.revision == last + 1;
        if !begins && (change.revision != last || self.changes.is_empty()) {
            return Err(format!("{change} comes after revision {last}"));
        }
        if !begins && self.of(last).iter().any(|other| other.key == change.key) {
            return Err(format!("{change} is the second change of its key at its revision"));
        }
        let before = self.at(change.key, last);
        match (change.put, before) {
            (None, None) => return Err(format!("{change}, but the key was not there")),
            (Some(pair), before) => {
                let created = before.map_or(change.revision, |before| before.created);
                let version = before.map_or(0, |before| before.version) + 1;
                let expected = Pair { created, version, modified: change.revision, ..pair };
                if pair != expected {
                    return Err(format!("{change}, but it should be {expected}"));
                }
            }
            (None, Some(_)) => {}
        }
        self.by_key.entry(change.key).or_default().push(self.changes.len());
        self.changes.push(change);
        Ok(())
    }

    /// The last revision; that of an empty store if nothing happened.
    pub(crate) fn last(&self) -> i64 {
        self.changes.last().map_or(REVISION_EMPTY, |change| change.revision)
    }

    /// All changes.
    pub(crate) fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The changes of one revision, in order.
    pub(crate) fn of(&self, revision: i64) -> &[Change] {
        self.between(revision, revision)
    }

    /// The changes of revisions `from` to `to`, both included.
    pub(crate) fn between(&self, from: i64, to: i64) -> &[Change] {
        let start = self.changes.partition_point(|change| change.revision < from);
        let end = self.changes.partition_point(|change| change.revision <= to);
        self.changes.get(start..end).unwrap_or_default()
    }

    /// What `key` holds at `revision`.
    pub(crate) fn at(&self, key: Key, revision: i64) -> Option<Pair> {
        let places = self.by_key.get(&key)?;
        let after = places.partition_point(|place| self.changes[*place].revision <= revision);
        let place = *places.get(after.checked_sub(1)?)?;
        self.changes[place].put
    }

    /// The keys of `[from, to)` at `revision`, in order.
    pub(crate) fn range(&self, from: Key, to: Key, revision: i64) -> Vec<Pair> {
        let keys = self.by_key.range(from..to).map(|(key, _)| *key);
        keys.filter_map(|key| self.at(key, revision)).collect()
    }

    /// Every key at `revision`, in order.
    pub(crate) fn all(&self, revision: i64) -> Vec<Pair> {
        self.by_key.keys().filter_map(|key| self.at(*key, revision)).collect()
    }
}

#[cfg(test)]
mod tests;
