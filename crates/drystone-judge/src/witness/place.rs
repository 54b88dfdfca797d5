//! Which entry of the log is whose.

use crate::answer::{agrees, is_command_of, is_logged, is_refused_unseen};
use crate::history::{Committed, History, Operation, Outcome};
use crate::replay::Replay;
use crate::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};

/// Where an operation stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// After the entry that leads to this position.
    At(usize),
    /// As [`Place::At`], but another operation had it before.
    Shared(usize),
    /// The entry of its proposal says something else.
    Other(usize),
    /// Not in the log, or nobody can tell where.
    Nowhere,
}

/// Entries and who has them.
#[derive(Debug)]
pub(super) struct Places {
    /// Positions by the ids of proposals, the first of each.
    by_id: BTreeMap<u64, usize>,
    /// The operation that names the proposal of the entry leading to each position.
    named: Vec<Option<usize>>,
    /// Positions that can only be those of operations that name no proposal.
    claimed: BTreeSet<usize>,
}

/// The id under which an entry was proposed.
pub(crate) fn id_of(entry: &Committed) -> Option<u64> {
    let command = entry.command.as_ref()?;
    let id = command.header.as_ref().map_or(0, |header| header.id);
    Some(if id != 0 { id } else { command.id }).filter(|id| *id != 0)
}

/// True when the entry that leads to `position` says what the operation asks.
fn is_entry_of(replay: &Replay<'_>, position: usize, operation: &Operation) -> bool {
    let command = replay.entry(position).command.as_ref();
    command.is_some_and(|command| is_command_of(command, &operation.request))
}

impl Places {
    /// Entries whose proposal an operation names are kept for it.
    pub(super) fn new(history: &History, replay: &Replay<'_>) -> Self {
        let mut by_id = BTreeMap::new();
        for (entry, position) in replay.log.iter().zip(1..) {
            if let Some(id) = id_of(entry) {
                by_id.entry(id).or_insert(position);
            }
        }
        let mut named = vec![None; replay.end() + 1];
        for (number, operation) in history.operations.iter().enumerate() {
            let position = operation.proposal.and_then(|id| by_id.get(&id));
            if let Some(position) = position {
                named[*position].get_or_insert(number);
            }
        }
        Self { by_id, named, claimed: BTreeSet::new() }
    }

    /// Finds the entry of operation `number`, if it can be told.
    pub(super) fn find(
        &mut self,
        replay: &Replay<'_>,
        number: usize,
        operation: &Operation,
        floor: usize,
    ) -> Place {
        let Some(id) = operation.proposal else {
            return self.find_by_content(replay, operation, floor);
        };
        let Some(position) = self.by_id.get(&id).copied() else { return Place::Nowhere };
        if self.named[position] != Some(number) {
            Place::Shared(position)
        } else if is_entry_of(replay, position, operation) {
            Place::At(position)
        } else {
            Place::Other(position)
        }
    }

    /// Finds an entry with the operation's content that answers as it was answered. Where
    /// several do, equal requests met equal states, and nobody can tell whose is which: it gets
    /// the earliest that real time allows, as a read would, and others may get it too.
    fn find_by_content(
        &mut self,
        replay: &Replay<'_>,
        operation: &Operation,
        floor: usize,
    ) -> Place {
        let candidates: Vec<usize> = (1..=replay.end())
            .filter(|position| self.named[*position].is_none())
            .filter(|position| is_entry_of(replay, *position, operation))
            .filter(|position| match (&operation.outcome, replay.answer(*position)) {
                (Outcome::Answered(answer), Ok(Some(expected))) => agrees(answer, expected),
                (Outcome::Refused(error), Err(expected)) => error == expected,
                // Of an unknown outcome nobody can tell whether an entry is its.
                _ => false,
            })
            .collect();
        if let [position] = candidates[..] {
            let first = self.claimed.insert(position);
            return if first { Place::At(position) } else { Place::Shared(position) };
        }
        let in_time = |position: &&usize| {
            let applied_at = replay.entry(**position).applied_at;
            let window = operation.called_at..=operation.returned_at;
            **position > floor && applied_at.is_none_or(|at| window.contains(&at))
        };
        let position = candidates.iter().find(in_time).or(candidates.first());
        position.map_or(Place::Nowhere, |position| Place::At(*position))
    }

    /// Changes of keys in the log that nobody asked for. Can only be told when the proposals of
    /// all operations are known; the cluster's own compactions and ends of leases are its own.
    pub(super) fn nobody_asked(
        &self,
        history: &History,
        replay: &Replay<'_>,
        verdict: &mut Verdict,
    ) {
        let is_known = |operation: &Operation| match &operation.outcome {
            Outcome::TurnedAway(_) => true,
            Outcome::Refused(error) if is_refused_unseen(&operation.request, *error) => true,
            _ => operation.proposal.is_some() || !is_logged(&operation.request),
        };
        if !history.operations.iter().all(is_known) {
            return;
        }
        for position in 1..=replay.end() {
            let Some(command) = &replay.entry(position).command else { continue };
            let changes =
                command.put.is_some() || command.delete_range.is_some() || command.txn.is_some();
            if changes && self.named[position].is_none() {
                verdict.add(
                    super::JUDGE,
                    "nobody-asked",
                    format_args!("the entry at position {position} is no operation's: {command:?}"),
                );
            }
        }
    }
}
