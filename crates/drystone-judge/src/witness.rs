//! Strict serializability, witnessed by the log.
//!
//! The log is replayed through the model. Operations that went through it stand at the position
//! of their entry; reads get the earliest position that real time and their answer allow. Then
//! real time is swept once: whatever returned before a call must stand before it. Earliest
//! positions are the best choice for everyone that comes later, so nothing is searched.
//!
//! Members may answer these from what they have, so real time binds them less: serializable
//! reads must only not go back for one client at one member, and a list of leases must only not
//! come from the future.

mod leases;
mod place;

use crate::answer::{agrees, is_logged, is_serializable, revision};
use crate::history::{History, Operation, Outcome, Request, Response};
use crate::replay::Replay;
use crate::verdict::Verdict;
use drystone_api::errors::EtcdError;
use drystone_types::{LogIndex, MemberId};
pub(crate) use place::id_of;
use place::{Place, Places};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

const JUDGE: &str = "witness";

/// Judges all operations of a history by its log. Without a log nothing can be said, and
/// nothing is.
#[must_use]
pub fn witness(history: &History) -> Verdict {
    judge(history, &Replay::new(history))
}

pub(crate) fn judge(history: &History, replay: &Replay<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    if replay.log.is_empty() {
        return verdict;
    }
    log(replay, &mut verdict);
    let mut sweep = Sweep {
        replay,
        places: Places::new(history, replay),
        returned: BinaryHeap::new(),
        floor: 0,
        seen: BTreeMap::new(),
        verdict,
    };
    let mut calls: Vec<usize> = (0..history.operations.len()).collect();
    calls.sort_by_key(|number| history.operations[*number].called_at);
    for number in calls {
        sweep.operation(number, &history.operations[number]);
    }
    let Sweep { places, mut verdict, .. } = sweep;
    places.nobody_asked(history, replay, &mut verdict);
    verdict
}

/// The log itself: no gaps, terms that only rise, no proposal applied twice.
fn log(replay: &Replay<'_>, verdict: &mut Verdict) {
    for pair in replay.log.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        if after.index != before.index.next() || after.term < before.term {
            verdict.add(
                JUDGE,
                "log-order",
                format_args!(
                    "entry {} of term {} follows entry {} of term {}",
                    after.index, after.term, before.index, before.term
                ),
            );
        }
    }
    let mut ids: BTreeMap<u64, LogIndex> = BTreeMap::new();
    for entry in replay.log {
        let Some(id) = id_of(entry) else { continue };
        if let Some(first) = ids.insert(id, entry.index) {
            verdict.add(
                JUDGE,
                "applied-twice",
                format_args!("proposal {id} is entry {first} and entry {}", entry.index),
            );
        }
    }
}

/// The sweep over real time.
struct Sweep<'h> {
    replay: &'h Replay<'h>,
    places: Places,
    /// Positions of what returned and is not counted in the floor yet, earliest first.
    returned: BinaryHeap<Reverse<(Duration, usize)>>,
    /// The highest position of all that returned before the call at hand.
    floor: usize,
    /// The newest position that serializable reads of a client showed of a member.
    seen: BTreeMap<(u64, MemberId), usize>,
    verdict: Verdict,
}

impl Sweep<'_> {
    fn operation(&mut self, number: usize, operation: &Operation) {
        while let Some(Reverse((at, position))) = self.returned.peek().copied() {
            if at >= operation.called_at {
                break;
            }
            self.floor = self.floor.max(position);
            self.returned.pop();
        }
        let position = if is_logged(&operation.request) {
            self.logged(number, operation)
        } else {
            self.read(number, operation)
        };
        let told = matches!(operation.outcome, Outcome::Answered(_) | Outcome::Refused(_));
        if let Some(position) = position.filter(|_| told) {
            self.returned.push(Reverse((operation.returned_at, position)));
        }
    }

    /// An operation that goes through the log; gives its position if it is there.
    fn logged(&mut self, number: usize, operation: &Operation) -> Option<usize> {
        let place = self.places.find(self.replay, number, operation, self.floor);
        let describe = Describe(number, operation);
        let position = match place {
            Place::At(position) => position,
            Place::Shared(position) => {
                self.add(
                    "shared-entry",
                    format_args!("{describe} has entry {position}, which is another's too"),
                );
                return None;
            }
            Place::Other(position) => {
                self.add(
                    "command",
                    format_args!(
                        "{describe} is not what its entry says: {:?}",
                        self.replay.entry(position).command
                    ),
                );
                return None;
            }
            Place::Nowhere => {
                match &operation.outcome {
                    Outcome::Answered(answer) => self.add(
                        "lost",
                        format_args!("{describe} was answered and is not in the log: {answer:?}"),
                    ),
                    Outcome::Refused(error)
                        if !crate::answer::is_refused_unseen(&operation.request, *error) =>
                    {
                        self.add(
                            "refusal",
                            format_args!(
                                "{describe} was refused by a state that it never met: {error:?}"
                            ),
                        );
                    }
                    Outcome::Refused(_) | Outcome::TurnedAway(_) | Outcome::Unknown => {}
                }
                return None;
            }
        };
        self.logged_answer(&describe, position);
        self.logged_time(&describe, position);
        Some(position)
    }

    fn logged_answer(&mut self, describe: &Describe<'_>, position: usize) {
        let expected = self.replay.answer(position);
        match (&describe.1.outcome, expected) {
            (Outcome::Answered(answer), Ok(Some(expected))) if agrees(answer, expected) => {}
            (Outcome::Answered(answer), _) => self.add(
                "answer",
                format_args!("{describe} at position {position}: {answer:?}, not {expected:?}"),
            ),
            (Outcome::Refused(error), Err(expected)) if error == expected => {}
            (Outcome::Refused(error), _) => self.add(
                "refusal",
                format_args!("{describe} at position {position}: {error:?}, not {expected:?}"),
            ),
            (Outcome::TurnedAway(error), _) => self.add(
                "turned-away",
                format_args!(
                    "{describe} was turned away with {error:?} and is at position {position}"
                ),
            ),
            (Outcome::Unknown, _) => {}
        }
    }

    fn logged_time(&mut self, describe: &Describe<'_>, position: usize) {
        let operation = describe.1;
        let floor = self.floor;
        if position <= floor {
            self.add(
                "real-time",
                format_args!(
                    "{describe} is at position {position}, but what returned before is at {floor}"
                ),
            );
        }
        let Some(applied_at) = self.replay.entry(position).applied_at else { return };
        let told = matches!(operation.outcome, Outcome::Answered(_) | Outcome::Refused(_));
        if applied_at < operation.called_at {
            self.add(
                "effect-before-call",
                format_args!("{describe} was applied at {applied_at:?}"),
            );
        } else if told && applied_at > operation.returned_at {
            self.add(
                "answer-before-effect",
                format_args!("{describe} was applied at {applied_at:?}"),
            );
        }
    }

    /// An operation that leaves the log alone; gives the earliest position it can stand at, if
    /// that binds what comes later.
    fn read(&mut self, number: usize, operation: &Operation) -> Option<usize> {
        match &operation.request {
            Request::LeaseKeepAlive(_) | Request::LeaseTimeToLive(_) | Request::LeaseLeases => {
                self.lease_read(&Describe(number, operation));
                None
            }
            Request::Members(_) => None,
            request if is_serializable(request) => {
                let key = (operation.client, operation.member);
                let floor = self.seen.get(&key).copied().unwrap_or(0);
                let position = self.place_read(&Describe(number, operation), floor);
                if let Some(position) = position {
                    self.seen.insert(key, position);
                }
                None
            }
            _ => self.place_read(&Describe(number, operation), self.floor),
        }
    }

    /// The earliest position from `floor` on that gives a read its answer.
    fn place_read(&mut self, describe: &Describe<'_>, floor: usize) -> Option<usize> {
        let operation = describe.1;
        // Nobody sees what nobody has applied, but floors are what was told.
        let last = self.replay.horizon(operation.returned_at).max(floor);
        match &operation.outcome {
            Outcome::Answered(answer) => {
                let Some(revision) = revision(answer) else {
                    self.add("answer", format_args!("{describe} has no header: {answer:?}"));
                    return None;
                };
                let from = self.replay.reached(revision);
                if revision < self.replay.point(floor).revision {
                    let rule = if is_serializable(&operation.request) {
                        "serializable-went-back"
                    } else {
                        "stale-read"
                    };
                    let least = self.replay.point(floor).revision;
                    self.add(
                        rule,
                        format_args!(
                            "{describe} saw revision {revision}, where at least {least} was due"
                        ),
                    );
                    return None;
                }
                if from > last {
                    let most = self.replay.point(last).revision;
                    self.add(
                        "future-read",
                        format_args!(
                            "{describe} saw revision {revision}, where {most} was the newest"
                        ),
                    );
                    return None;
                }
                let position = from.max(floor);
                let expected = read_at(self.replay, &operation.request, position);
                if expected.as_ref().is_ok_and(|expected| agrees(answer, expected)) {
                    return Some(position);
                }
                self.add(
                    "answer",
                    format_args!("{describe} at position {position}: {answer:?}, not {expected:?}"),
                );
                None
            }
            Outcome::Refused(error)
                if !crate::answer::is_refused_unseen(&operation.request, *error) =>
            {
                let refused = (floor..=last).find(|position| {
                    read_at(self.replay, &operation.request, *position) == Err(*error)
                });
                if refused.is_none() {
                    self.add("refusal", format_args!(
                        "{describe} was refused with {error:?} by no state from position {floor} \
                         to {last}"
                    ));
                }
                refused
            }
            Outcome::Refused(_) | Outcome::TurnedAway(_) | Outcome::Unknown => None,
        }
    }

    fn add(&mut self, rule: &'static str, text: std::fmt::Arguments<'_>) {
        self.verdict.add(JUDGE, rule, text);
    }
}

/// What a read answers at a position.
fn read_at(replay: &Replay<'_>, request: &Request, position: usize) -> Result<Response, EtcdError> {
    let view = replay.view(position);
    match request {
        Request::Range(range) => view.range(range).map(Response::Range),
        Request::Txn(txn) => view.read_txn(txn).map(Response::Txn),
        _ => unreachable!("only reads of keys are placed"),
    }
}

/// An operation in a violation's text.
struct Describe<'o>(usize, &'o Operation);

impl std::fmt::Display for Describe<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(number, Operation { client, member, called_at, returned_at, request, .. }) = self;
        write!(
            f,
            "operation {number} of client {client} at member {member}, called at {called_at:?} \
             and over at {returned_at:?}, {request:?},"
        )
    }
}
