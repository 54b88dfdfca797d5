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
//!   Nothing else happens that no client asked for: a cluster that compacts or raises alarms by
//!   itself, or asks its users for permission, is for the witness.

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
    /// The steps did not suffice; or permissions were asked for, and a history does not say as
    /// whom its clients ask.
    Undecided,
}

/// Searches for an order that explains a history, trying at most `steps_max` times what an
/// operation answers next. Memory grows with the steps.
#[must_use]
pub fn search(history: &History, steps_max: usize) -> Searched {
    let asks = |operation: &Operation| matches!(operation.request, Request::Auth(_));
    if history.operations.iter().any(asks) {
        return Searched::Undecided;
    }
    let candidates = candidates(history);
    let mut unknown: Vec<usize> = (0..candidates.len()).collect();
    unknown.retain(|number| candidates[*number].told.is_none());
    unknown.sort_by_key(|number| candidates[*number].called_at);
    let mut search = Search {
        list: List::new(&candidates),
        state: Rc::new(Model::new(ttl_seconds_min(history))),
        taken: vec![0; candidates.len().div_ceil(64)],
        seen: HashSet::new(),
        path: Vec::new(),
        known_left: candidates.len() - unknown.len(),
        unknown,
        candidates: &candidates,
    };
    search.run(steps_max)
}

/// Where the search looks for what happened next.
#[derive(Clone, Copy)]
enum At {
    /// At a call or a return of what was told.
    Told(usize),
    /// Among the unknown, in the order of their calls: they are tried when nothing else will
    /// do, because what was told tells which of them happened.
    Unknown(usize),
}

struct Search<'c> {
    candidates: &'c [Candidate],
    /// Candidates of which nothing was told, in the order of their calls.
    unknown: Vec<usize>,
    list: List,
    state: Rc<Model>,
    /// A bit for each candidate that has happened.
    taken: Vec<u64>,
    /// What had happened and what it had led to, where that was followed before.
    seen: HashSet<(Vec<u64>, u64)>,
    /// What has happened in order, each with the state before and where it was found.
    path: Vec<(usize, Rc<Model>, At)>,
    /// How many candidates that were told have not happened.
    known_left: usize,
}

impl Search<'_> {
    fn run(&mut self, steps_max: usize) -> Searched {
        let mut steps = 0;
        let mut at = At::Told(self.list.first());
        while self.known_left > 0 {
            let number = match at {
                At::Told(event) if self.list.is_call(event) => Some(event / 2),
                At::Told(_) => {
                    // This one must have happened by now, with something unknown before it.
                    at = At::Unknown(0);
                    continue;
                }
                At::Unknown(place) => self
                    .unknown
                    .get(place)
                    .copied()
                    .filter(|number| self.candidates[*number].called_at <= self.first_return()),
            };
            let Some(number) = number else {
                // The last choice was wrong.
                let Some(found) = self.take_back() else { return Searched::NotLinearizable };
                at = self.after(found);
                continue;
            };
            if steps == steps_max {
                return Searched::Undecided;
            }
            steps += 1;
            at = if self.take(number, at) { At::Told(self.list.first()) } else { self.after(at) };
        }
        Searched::Linearizable
    }

    fn after(&self, at: At) -> At {
        match at {
            At::Told(event) => At::Told(self.list.next[event]),
            At::Unknown(place) => At::Unknown(place + 1),
        }
    }

    /// When the first of those returned that have not happened. There is one while there is
    /// anything left that was told.
    fn first_return(&self) -> Duration {
        let mut event = self.list.first();
        while self.list.is_call(event) {
            event = self.list.next[event];
        }
        self.candidates[event / 2].returned_at
    }

    fn flip(&mut self, number: usize) {
        self.taken[number / 64] ^= 1 << (number % 64);
    }

    /// Lets a candidate happen, if it can and leads to something new.
    fn take(&mut self, number: usize, at: At) -> bool {
        if self.taken[number / 64] >> (number % 64) & 1 == 1 {
            return false;
        }
        let candidate = &self.candidates[number];
        let Some(next) = candidate.step(&self.state) else { return false };
        self.flip(number);
        if !self.seen.insert((self.taken.clone(), next.fingerprint())) {
            self.flip(number);
            return false;
        }
        self.path.push((number, std::mem::replace(&mut self.state, next), at));
        if candidate.told.is_some() {
            self.known_left -= 1;
            self.list.lift(number);
        }
        true
    }

    /// Takes back what happened last, and says where it was found.
    fn take_back(&mut self) -> Option<At> {
        let (number, before, at) = self.path.pop()?;
        self.state = before;
        self.flip(number);
        if self.candidates[number].told.is_some() {
            self.known_left += 1;
            self.list.unlift(number);
        }
        Some(at)
    }
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
        Request::Alarm(request) => command.alarm = Some(*request),
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

/// The calls and returns of what was told and is not explained yet, in the order of their times.
/// Event `2n` is the call of candidate `n`, `2n + 1` its return, and the head stands before the
/// first and after the last.
struct List {
    next: Vec<usize>,
    before: Vec<usize>,
    head: usize,
}

impl List {
    fn new(candidates: &[Candidate]) -> Self {
        let head = candidates.len() * 2;
        let mut events: Vec<(Duration, bool, usize)> = Vec::new();
        for (number, candidate) in candidates.iter().enumerate() {
            if candidate.told.is_some() {
                events.push((candidate.called_at, false, number * 2));
                events.push((candidate.returned_at, true, number * 2 + 1));
            }
        }
        // At one time calls come first, so that either may have been first.
        events.sort_unstable();
        let mut list = Self { next: vec![head; head + 1], before: vec![head; head + 1], head };
        for (.., event) in events {
            let last = list.before[head];
            (list.next[last], list.before[event]) = (event, last);
            (list.next[event], list.before[head]) = (head, event);
        }
        list
    }

    fn first(&self) -> usize {
        self.next[self.head]
    }

    /// The head is none: it comes when nothing is left.
    fn is_call(&self, event: usize) -> bool {
        event != self.head && event.is_multiple_of(2)
    }

    /// Takes a candidate out.
    fn lift(&mut self, number: usize) {
        for event in [number * 2, number * 2 + 1] {
            let (before, next) = (self.before[event], self.next[event]);
            (self.next[before], self.before[next]) = (next, before);
        }
    }

    /// Puts the candidate that was taken out last back in.
    fn unlift(&mut self, number: usize) {
        for event in [number * 2 + 1, number * 2] {
            let (before, next) = (self.before[event], self.next[event]);
            (self.next[before], self.before[next]) = (event, event);
        }
    }
}
