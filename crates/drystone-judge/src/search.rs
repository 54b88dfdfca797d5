//! Linearizability without a log: is there any order that explains what clients saw?
//!
//! The search is that of Wing and Gong with the cache of Lowe: operations are taken in every
//! order that real time allows, and a set of operations that led to an equal state once is not
//! followed again. It knows operations only, so it shares nothing with the witness but the
//! model, and holds the two against each other.
//!
//! * The history must begin with an empty cluster.
//! * Serializable reads, and what is told of leases, may be old and are left out. Reads of old
//!   revisions are in: states share the versions of their keys, so that each can answer them.
//! * What nobody knows the outcome of may happen at any time after its call, or never.
//! * A lease may end by itself any time after its time has passed since the call of its grant.
//!   Nothing else happens that no client asked for: a cluster that compacts by itself, or that
//!   has alarms set by hand, is for the witness.

use crate::answer::{agrees, is_logged, is_refused_unseen, is_serializable, revision};
use crate::history::{History, Operation, Outcome, Request, Response};
use crate::model::Model;
use crate::replay::ttl_seconds_min;
use drystone_api::etcdserverpb::{InternalRaftRequest, LeaseRevokeRequest};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Searched {
    /// There is an order that explains every answer.
    Linearizable,
    /// There is none.
    NotLinearizable,
    /// The steps did not suffice.
    Undecided,
}

/// Searches for an order that explains a history, trying at most `steps_max` times what an
/// operation answers next. Memory grows with the steps.
#[must_use]
pub fn search(history: &History, steps_max: usize) -> Searched {
    let candidates = candidates(history);
    let mut list = List::new(&candidates);
    let mut state = Rc::new(Model::new(ttl_seconds_min(history)));
    let mut taken = vec![0u64; candidates.len().div_ceil(64)];
    let mut seen: HashSet<(Vec<u64>, u64)> = HashSet::new();
    let mut path: Vec<(usize, Rc<Model>)> = Vec::new();
    let mut known_left = candidates.iter().filter(|candidate| candidate.told.is_some()).count();
    let mut steps = 0;
    let mut at = list.first();
    while known_left > 0 {
        // Only returns end the list while something known is left.
        let Some(event) = at else { return Searched::NotLinearizable };
        if list.is_call(event) {
            if steps == steps_max {
                return Searched::Undecided;
            }
            steps += 1;
            let number = list.number(event);
            let candidate = &candidates[number];
            let next = candidate.step(&state).filter(|next| {
                taken[number / 64] ^= 1 << (number % 64);
                let new = seen.insert((taken.clone(), next.fingerprint()));
                if !new {
                    taken[number / 64] ^= 1 << (number % 64);
                }
                new
            });
            if let Some(next) = next {
                path.push((number, std::mem::replace(&mut state, next)));
                known_left -= usize::from(candidate.told.is_some());
                list.lift(number);
                at = list.first();
            } else {
                at = list.next(event);
            }
        } else {
            // This one must have happened by now: the last choice was wrong.
            let Some((number, before)) = path.pop() else { return Searched::NotLinearizable };
            state = before;
            taken[number / 64] ^= 1 << (number % 64);
            known_left += usize::from(candidates[number].told.is_some());
            list.unlift(number);
            at = list.next(list.call(number));
        }
    }
    Searched::Linearizable
}

/// Something that may have happened.
struct Candidate {
    called_at: Duration,
    returned_at: Duration,
    what: What,
    /// What was told; `None` when nobody knows, or nobody asked.
    told: Option<Outcome>,
}

enum What {
    Command(Box<InternalRaftRequest>),
    Read(Request),
}

impl Candidate {
    /// The state after it, if it can happen now as it was told.
    fn step(&self, state: &Rc<Model>) -> Option<Rc<Model>> {
        match &self.what {
            What::Read(request) => {
                let answer = match request {
                    Request::Range(range) => state.range(range).map(Response::Range),
                    Request::Txn(txn) => state.read_txn(txn).map(Response::Txn),
                    _ => return None,
                };
                let told = match (&self.told, &answer) {
                    (Some(Outcome::Answered(told)), Ok(answer)) => agrees(told, answer),
                    (Some(Outcome::Refused(told)), Err(error)) => told == error,
                    _ => false,
                };
                told.then(|| state.clone())
            }
            What::Command(command) => {
                if !self.is_near(state.revision()) {
                    return None;
                }
                let mut next = Model::clone(state);
                let answer = next.apply(command);
                let can_be = match (&self.told, &answer) {
                    (Some(Outcome::Answered(told)), Ok(Some(answer))) => agrees(told, answer),
                    (Some(Outcome::Refused(told)), Err(error)) => told == error,
                    // What changes nothing need not happen.
                    (None, Ok(_)) => next.fingerprint() != state.fingerprint(),
                    _ => false,
                };
                can_be.then(|| Rc::new(next))
            }
        }
    }

    /// False when the revision that was told is out of reach, which is found out more cheaply
    /// than by trying.
    fn is_near(&self, current: i64) -> bool {
        match &self.told {
            Some(Outcome::Answered(Response::Compaction(_))) => true,
            Some(Outcome::Answered(answer)) => {
                revision(answer).is_some_and(|told| told == current || told == current + 1)
            }
            _ => true,
        }
    }
}

/// Everything that has, or may have, a place in the order.
fn candidates(history: &History) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for operation in &history.operations {
        let Operation { called_at, returned_at, request, outcome, .. } = operation;
        let (called_at, returned_at) = (*called_at, *returned_at);
        let told = match outcome {
            Outcome::TurnedAway(_) => continue,
            Outcome::Refused(error) if is_refused_unseen(request, *error) => continue,
            Outcome::Unknown => None,
            told => Some(told.clone()),
        };
        let is_read = match request {
            Request::Range(_) => true,
            Request::Txn(_) => !is_logged(request),
            _ => false,
        };
        if is_read && told.is_some() && !is_serializable(request) {
            let what = What::Read(request.clone());
            candidates.push(Candidate { called_at, returned_at, what, told });
        } else if let Some(command) = command(request, outcome) {
            candidates.extend(expiry(history, operation, &command));
            let what = What::Command(Box::new(command));
            candidates.push(Candidate { called_at, returned_at, what, told });
        }
    }
    candidates
}

/// What the log would hold of a request. A lease whose id nobody was told concerns nobody.
fn command(request: &Request, outcome: &Outcome) -> Option<InternalRaftRequest> {
    let mut command = InternalRaftRequest::default();
    match request {
        Request::Put(request) => command.put = Some(request.clone()),
        Request::DeleteRange(request) => command.delete_range = Some(request.clone()),
        Request::Txn(request) if is_logged(&Request::Txn(request.clone())) => {
            command.txn = Some(request.clone());
        }
        Request::Compaction(request) => command.compaction = Some(*request),
        Request::LeaseRevoke(request) => command.lease_revoke = Some(*request),
        Request::LeaseGrant(request) => {
            let mut request = *request;
            if let Outcome::Answered(Response::LeaseGrant(answer)) = outcome {
                request.id = answer.id;
            }
            command.lease_grant = Some(request).filter(|request| request.id != 0);
            command.lease_grant?;
        }
        _ => return None,
    }
    Some(command)
}

/// The end that a granted lease may come to by itself.
fn expiry(
    history: &History,
    operation: &Operation,
    command: &InternalRaftRequest,
) -> Option<Candidate> {
    let grant = command.lease_grant?;
    let seconds = match &operation.outcome {
        Outcome::Answered(Response::LeaseGrant(answer)) => answer.ttl,
        Outcome::Unknown => grant.ttl.max(1),
        _ => return None,
    };
    let ttl = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let revoke = LeaseRevokeRequest { id: grant.id };
    let command = InternalRaftRequest { lease_revoke: Some(revoke), ..Default::default() };
    Some(Candidate {
        called_at: operation.called_at + ttl.div_f64(history.lease_clock.fastest.max(1.0)),
        returned_at: Duration::MAX,
        what: What::Command(Box::new(command)),
        told: None,
    })
}

/// The calls and returns that are not explained yet, in the order of their times. Event `2n` is
/// the call of candidate `n`, `2n + 1` its return, and the last stands before the first.
struct List {
    next: Vec<usize>,
    before: Vec<usize>,
    head: usize,
    has_return: Vec<bool>,
}

impl List {
    fn new(candidates: &[Candidate]) -> Self {
        let head = candidates.len() * 2;
        let mut events: Vec<(Duration, bool, usize)> = Vec::new();
        for (number, candidate) in candidates.iter().enumerate() {
            events.push((candidate.called_at, false, number * 2));
            // What nobody was told of never returns.
            if candidate.told.is_some() {
                events.push((candidate.returned_at, true, number * 2 + 1));
            }
        }
        // At one time calls come first, so that either may have been first.
        events.sort_unstable();
        let mut list = Self {
            next: vec![head; head + 1],
            before: vec![head; head + 1],
            head,
            has_return: candidates.iter().map(|candidate| candidate.told.is_some()).collect(),
        };
        let mut last = head;
        for (.., event) in events {
            list.next[last] = event;
            list.before[event] = last;
            last = event;
        }
        list.next[last] = head;
        list.before[head] = last;
        list
    }

    fn first(&self) -> Option<usize> {
        self.next(self.head)
    }

    fn next(&self, event: usize) -> Option<usize> {
        Some(self.next[event]).filter(|next| *next != self.head)
    }

    fn is_call(&self, event: usize) -> bool {
        event.is_multiple_of(2)
    }

    fn number(&self, event: usize) -> usize {
        event / 2
    }

    fn call(&self, number: usize) -> usize {
        number * 2
    }

    /// Takes a candidate out.
    fn lift(&mut self, number: usize) {
        self.remove(number * 2);
        if self.has_return[number] {
            self.remove(number * 2 + 1);
        }
    }

    /// Puts the candidate that was taken out last back in.
    fn unlift(&mut self, number: usize) {
        if self.has_return[number] {
            self.restore(number * 2 + 1);
        }
        self.restore(number * 2);
    }

    fn remove(&mut self, event: usize) {
        let (before, next) = (self.before[event], self.next[event]);
        self.next[before] = next;
        self.before[next] = before;
    }

    fn restore(&mut self, event: usize) {
        let (before, next) = (self.before[event], self.next[event]);
        self.next[before] = event;
        self.before[next] = event;
    }
}
