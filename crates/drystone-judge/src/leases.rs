//! The time of leases: never too short, and not for ever.
//!
//! Whoever leads times a lease by a clock of its own, so a history can only bound that clock.
//! It starts over no earlier than the first member applied the grant, and no earlier than a
//! keep-alive was called that was answered with a time. From there it needs the granted time,
//! which passes at most [`LeaseClock::fastest`](crate::LeaseClock::fastest) times as fast as
//! the run's.
//!
//! A new leader gives every lease its time again, and nobody can end a lease while nobody
//! leads; so a lease is overdue only when its time has passed since the last keep-alive and
//! since the last term began, and the faults are over. That it goes together with its keys is
//! the witness's to say.

use crate::history::{History, Operation, Outcome, Request, Response};
use crate::replay::{Life, Replay};
use crate::verdict::Verdict;
use crate::witness::id_of;
use std::collections::BTreeMap;
use std::time::Duration;

const JUDGE: &str = "leases";

/// Judges the times of all leases of a history by its log. Without a log nothing can be said,
/// and nothing is.
#[must_use]
pub fn leases(history: &History) -> Verdict {
    judge(history, &Replay::new(history))
}

pub(crate) fn judge(history: &History, replay: &Replay<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let book = Book::new(history, replay);
    for (id, life) in replay.all_lives() {
        book.early(id, life, &mut verdict);
        book.overdue(id, life, &mut verdict);
        book.denied(id, life, &mut verdict);
    }
    verdict
}

/// What clients did about leases.
struct Book<'h> {
    history: &'h History,
    replay: &'h Replay<'h>,
    /// Keep-alives by lease.
    keep_alives: BTreeMap<i64, Vec<&'h Operation>>,
    /// When the run was last heard of.
    end: Duration,
    /// When the first entry of the last term was applied.
    term_began: Option<Duration>,
}

/// The seconds that a keep-alive was told; `None` when nobody knows.
fn told(operation: &Operation) -> Option<i64> {
    match &operation.outcome {
        Outcome::Answered(Response::LeaseKeepAlive(answer)) => Some(answer.ttl),
        _ => None,
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

impl<'h> Book<'h> {
    fn new(history: &'h History, replay: &'h Replay<'h>) -> Self {
        let mut keep_alives: BTreeMap<i64, Vec<&Operation>> = BTreeMap::new();
        for operation in &history.operations {
            if let Request::LeaseKeepAlive(request) = &operation.request {
                keep_alives.entry(request.id).or_default().push(operation);
            }
        }
        let returned = history.operations.iter().map(|operation| operation.returned_at);
        let applied = history.log.iter().filter_map(|entry| entry.applied_at);
        let heard = history.streams.iter().flat_map(|stream| &stream.events).map(|event| event.at);
        let end = returned.chain(applied).chain(heard).chain(history.settled_at).max();
        let last_term = history.log.last().map(|entry| entry.term);
        let first = history.log.iter().find(|entry| Some(entry.term) == last_term);
        Self {
            history,
            replay,
            keep_alives,
            end: end.unwrap_or_default(),
            term_began: first.and_then(|entry| entry.applied_at),
        }
    }

    fn keep_alives(&self, id: i64) -> &[&'h Operation] {
        self.keep_alives.get(&id).map_or(&[], Vec::as_slice)
    }

    /// The earliest time at which anybody can take the lease for run out, if its clock was last
    /// started at `started`.
    fn runs_out(&self, life: Life, started: Duration) -> Duration {
        let fastest = self.history.lease_clock.fastest.max(1.0);
        started + seconds(life.ttl_seconds).div_f64(fastest)
    }

    fn applied_at(&self, position: usize) -> Option<Duration> {
        self.replay.entry(position).applied_at
    }

    /// True when the end of a life is the cluster's own doing. Whatever a client may have asked
    /// for is not.
    fn is_expiry(&self, id: i64, ended: usize) -> bool {
        let Some(proposal) = id_of(self.replay.entry(ended)) else { return true };
        !self.history.operations.iter().any(|operation| {
            let asked = matches!(&operation.request, Request::LeaseRevoke(r) if r.id == id);
            asked && operation.proposal.is_none_or(|own| own == proposal)
        })
    }

    /// A lease that ended by itself must have had its time since it was last renewed.
    fn early(&self, id: i64, life: Life, verdict: &mut Verdict) {
        let Some(ended) = life.ended.filter(|ended| self.is_expiry(id, *ended)) else { return };
        let (Some(ended_at), Some(granted_at)) =
            (self.applied_at(ended), self.applied_at(life.granted))
        else {
            return;
        };
        let next = self.replay.lives(id).iter().find(|next| next.granted > ended);
        let next_at = next.map(|next| self.applied_at(next.granted).unwrap_or(ended_at));
        let mut started = granted_at;
        for renewal in self.keep_alives(id) {
            // One that was over late may have renewed the next lease of this id.
            let of_this = renewal.called_at <= ended_at
                && next_at.is_none_or(|next_at| renewal.returned_at < next_at);
            if of_this && told(renewal).is_some_and(|ttl| ttl > 0) {
                started = started.max(renewal.called_at);
            }
        }
        let due = self.runs_out(life, started);
        if ended_at < due {
            verdict.add(
                JUDGE,
                "lease-early",
                format_args!(
                    "lease {id} of {} s was renewed at {started:?} or later and ended by itself at \
                 {ended_at:?}, before {due:?}",
                    life.ttl_seconds
                ),
            );
        }
    }

    /// Once all has settled, a lease that nobody renews must end.
    fn overdue(&self, id: i64, life: Life, verdict: &mut Verdict) {
        let Some(settled_at) = self.history.settled_at.filter(|_| life.ended.is_none()) else {
            return;
        };
        let granted_at = self.applied_at(life.granted).unwrap_or(settled_at);
        let began = self.term_began.unwrap_or(settled_at);
        let renewed = self.keep_alives(id).iter().map(|renewal| renewal.returned_at);
        let started = renewed.max().unwrap_or_default().max(granted_at).max(began);
        let due = (started + seconds(life.ttl_seconds)).max(settled_at);
        let due = due + self.history.lease_clock.slack;
        if due < self.end {
            verdict.add(
                JUDGE,
                "lease-overdue",
                format_args!(
                    "lease {id} of {} s was last renewed at {started:?}, due at {due:?} at the \
                 latest, and lives at {:?}",
                    life.ttl_seconds, self.end
                ),
            );
        }
    }

    /// A keep-alive must not be told that a lease is gone which is there and has time left.
    fn denied(&self, id: i64, life: Life, verdict: &mut Verdict) {
        let Some(granted_at) = self.applied_at(life.granted) else { return };
        let ended_at = match life.ended.map(|ended| self.applied_at(ended)) {
            None => Duration::MAX,
            Some(Some(ended_at)) => ended_at,
            Some(None) => return,
        };
        let granted = self.history.operations.iter().find(|operation| {
            let of_it = |answer: &Response| {
                matches!(answer, Response::LeaseGrant(answer) if answer.id == id)
            };
            matches!(&operation.outcome, Outcome::Answered(answer) if of_it(answer))
                && operation.called_at <= granted_at
                && granted_at <= operation.returned_at
        });
        let Some(granted) = granted else { return };
        let mut started = granted_at;
        let mut renewals: Vec<_> = self.keep_alives(id).to_vec();
        renewals.sort_by_key(|renewal| renewal.returned_at);
        for denied in &renewals {
            let within = denied.called_at > granted.returned_at && denied.returned_at < ended_at;
            if !within || told(denied) != Some(0) {
                continue;
            }
            for before in renewals.iter().filter(|one| one.returned_at < denied.called_at) {
                if told(before).is_some_and(|ttl| ttl > 0) {
                    started = started.max(before.called_at);
                }
            }
            let due = self.runs_out(life, started);
            if denied.returned_at < due {
                verdict.add(JUDGE, "lease-denied", format_args!(
                    "a keep-alive called at {:?} was told at {:?} that lease {id} is gone, which \
                     had time until {due:?}", denied.called_at, denied.returned_at
                ));
            }
        }
    }
}
