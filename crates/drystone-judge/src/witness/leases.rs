//! What is told of leases without a place in the log.

use super::{Describe, Sweep};
use crate::history::{Outcome, Request, Response};
use crate::replay::Replay;
use drystone_api::etcdserverpb::{LeaseLeasesResponse, LeaseTimeToLiveResponse};
use std::collections::BTreeSet;

impl Sweep<'_> {
    /// Keep-alives and times are told by the leader after it has confirmed that it leads, so
    /// there must be a state with that answer between call and return. A list of leases is
    /// what one member knows, which may be old.
    pub(super) fn lease_read(&mut self, describe: &Describe<'_>) {
        let operation = describe.1;
        let Outcome::Answered(answer) = &operation.outcome else { return };
        let last = self.replay.horizon(operation.returned_at).max(self.floor);
        let replay = self.replay;
        let from = self.floor;
        match (&operation.request, answer) {
            (Request::LeaseKeepAlive(request), Response::LeaseKeepAlive(answer)) => {
                if answer.id != request.id {
                    self.add("answer", format_args!("{describe} tells of another: {answer:?}"));
                }
                // None left may also mean that it has run out and waits for its end.
                let lives = |position| {
                    let life = replay.life(request.id, position);
                    life.is_some_and(|life| life.ttl_seconds == answer.ttl)
                };
                if answer.ttl > 0 && !(from..=last).any(lives) {
                    self.add(
                        "lease-renewed",
                        format_args!(
                            "{describe} was told {} s of a lease that did not live so between \
                         positions {from} and {last}",
                            answer.ttl
                        ),
                    );
                }
            }
            (Request::LeaseTimeToLive(request), Response::LeaseTimeToLive(answer)) => {
                let told = answer.id == request.id
                    && is_time_to_live(replay, (from, last), answer, request.keys);
                if !told {
                    self.add("lease-time", format_args!(
                        "{describe} was told what was true at no position from {from} to {last}: \
                         {answer:?}"
                    ));
                }
            }
            (Request::LeaseLeases, Response::LeaseLeases(answer)) => {
                if !is_list(replay, last, answer) {
                    self.add(
                        "lease-list",
                        format_args!(
                            "{describe} was told leases that no state up to position {last} had: \
                         {answer:?}"
                        ),
                    );
                }
            }
            _ => self.add("answer", format_args!("{describe} was answered by {answer:?}")),
        }
    }
}

/// True when some state from position `from` to `last` gives this answer, the seconds left
/// aside.
fn is_time_to_live(
    replay: &Replay<'_>,
    (from, last): (usize, usize),
    answer: &LeaseTimeToLiveResponse,
    keys: bool,
) -> bool {
    let told: BTreeSet<_> = answer.keys.iter().cloned().collect();
    let mut judged = None;
    (from..=last).any(|position| match replay.life(answer.id, position) {
        None => answer.ttl == -1 && answer.granted_ttl == 0 && told.is_empty(),
        Some(_) if answer.ttl < 0 => false,
        Some(life) if life.ttl_seconds != answer.granted_ttl => false,
        Some(_) if !keys => told.is_empty(),
        Some(_) => {
            // The keys change with the revision only.
            let revision = replay.point(position).revision;
            let again = judged.replace(revision) == Some(revision);
            !again && replay.view(position).attached(answer.id).into_iter().eq(told.iter().cloned())
        }
    })
}

/// True when some state up to position `last` had exactly these leases.
fn is_list(replay: &Replay<'_>, last: usize, answer: &LeaseLeasesResponse) -> bool {
    let told: BTreeSet<i64> = answer.leases.iter().map(|status| status.id).collect();
    let mut alive = BTreeSet::new();
    if told == alive {
        return true;
    }
    // Follow the leases through the log, looking only where they change.
    let mut changes: Vec<(usize, i64, bool)> = Vec::new();
    for (id, life) in replay.all_lives() {
        changes.push((life.granted, id, true));
        changes.extend(life.ended.map(|ended| (ended, id, false)));
    }
    changes.sort_unstable();
    changes.iter().take_while(|(position, ..)| *position <= last).any(|(_, id, granted)| {
        if *granted {
            alive.insert(*id);
        } else {
            alive.remove(id);
        }
        told == alive
    })
}
