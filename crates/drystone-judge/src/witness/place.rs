//! Which entry of the log is whose.

use crate::answer::{agrees, is_command_of, is_logged};
use crate::history::{Committed, History, Operation, Outcome};
use crate::replay::Replay;
use crate::verdict::Verdict;
use std::collections::BTreeMap;

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
    /// The operation that has the entry leading to each position.
    taken: Vec<Option<usize>>,
}

/// The id under which an entry was proposed.
pub(crate) fn id_of(entry: &Committed) -> Option<u64> {
    let command = entry.command.as_ref()?;
    let id = command.header.as_ref().map_or(0, |header| header.id);
    Some(if id != 0 { id } else { command.id }).filter(|id| *id != 0)
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
        let mut taken = vec![None; replay.end() + 1];
        for (number, operation) in history.operations.iter().enumerate() {
            let position = operation.proposal.and_then(|id| by_id.get(&id));
            if let Some(position) = position {
                taken[*position].get_or_insert(number);
            }
        }
        Self { by_id, taken }
    }

    /// Finds the entry of operation `number`, if it can be told, and gives it to it.
    pub(super) fn find(
        &mut self,
        replay: &Replay<'_>,
        number: usize,
        operation: &Operation,
        floor: usize,
    ) -> Place {
        if let Some(id) = operation.proposal {
            let Some(position) = self.by_id.get(&id).copied() else { return Place::Nowhere };
            let command = replay.entry(position).command.as_ref();
            return if self.taken[position] != Some(number) {
                Place::Shared(position)
            } else if command.is_some_and(|command| is_command_of(command, &operation.request)) {
                Place::At(position)
            } else {
                Place::Other(position)
            };
        }
        let candidates: Vec<usize> = (1..=replay.end())
            .filter(|position| self.taken[*position].is_none())
            .filter(|position| {
                let command = replay.entry(*position).command.as_ref();
                command.is_some_and(|command| is_command_of(command, &operation.request))
            })
            .filter(|position| match (&operation.outcome, replay.answer(*position)) {
                (Outcome::Answered(answer), Ok(Some(expected))) => agrees(answer, expected),
                (Outcome::Refused(error), Err(expected)) => error == expected,
                (Outcome::Unknown, _) => true,
                _ => false,
            })
            .collect();
        let position = if operation.outcome == Outcome::Unknown {
            // Whose it is can only be told if there is no other.
            <[usize; 1]>::try_from(candidates).ok().map(|[position]| position)
        } else {
            let in_time = candidates.iter().find(|position| **position > floor);
            in_time.or(candidates.first()).copied()
        };
        match position {
            Some(position) if operation.outcome == Outcome::Unknown => {
                // An equal request that comes later may have a better claim.
                if position > floor { Place::At(position) } else { Place::Nowhere }
            }
            Some(position) => {
                self.taken[position] = Some(number);
                Place::At(position)
            }
            None => Place::Nowhere,
        }
    }

    /// Changes of keys in the log that nobody asked for. Can only be told when the proposals of
    /// all operations are known; the cluster's own compactions and ends of leases are its own.
    pub(super) fn nobody_asked(
        &self,
        history: &History,
        replay: &Replay<'_>,
        verdict: &mut Verdict,
    ) {
        let mut logged =
            history.operations.iter().filter(|operation| is_logged(&operation.request));
        if !logged.all(|operation| {
            operation.proposal.is_some() || matches!(operation.outcome, Outcome::TurnedAway(_))
        }) {
            return;
        }
        for position in 1..=replay.end() {
            let Some(command) = &replay.entry(position).command else { continue };
            let changes =
                command.put.is_some() || command.delete_range.is_some() || command.txn.is_some();
            if changes && self.taken[position].is_none() {
                verdict.add(
                    super::JUDGE,
                    "nobody-asked",
                    format_args!("the entry at position {position} is no operation's: {command:?}"),
                );
            }
        }
    }
}
