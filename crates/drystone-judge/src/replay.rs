//! The log, replayed: what was true at each of its positions.
//!
//! Position 0 is before the first entry, position `p` is after the `p`-th.

use crate::history::{Committed, History, Outcome, Request, Response};
use crate::model::{Model, TTL_SECONDS_MIN, View};
use drystone_api::errors::EtcdError;
use drystone_api::mvccpb::Event;
use std::collections::BTreeMap;
use std::time::Duration;

/// What the model answered to an entry.
pub(crate) type Answer = Result<Option<Response>, EtcdError>;

/// How far the store was at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) revision: i64,
    pub(crate) compacted: i64,
}

/// A lease from its grant to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// The position after its grant.
    pub(crate) granted: usize,
    /// The position after its end, if it came to one.
    pub(crate) ended: Option<usize>,
    pub(crate) ttl_seconds: i64,
}

impl Life {
    pub(crate) fn covers(&self, position: usize) -> bool {
        self.granted <= position && self.ended.is_none_or(|ended| position < ended)
    }
}

/// All that the log says.
#[derive(Debug)]
pub(crate) struct Replay<'h> {
    pub(crate) log: &'h [Committed],
    /// The state after the whole log. It forgets nothing, so it can show all earlier ones.
    pub(crate) model: Model,
    points: Vec<Point>,
    answers: Vec<Answer>,
    events: Vec<Event>,
    /// Where the events of each revision begin, from revision 2 on.
    starts: Vec<usize>,
    /// The lives of each lease id, in order.
    lives: BTreeMap<i64, Vec<Life>>,
    /// For each entry, when it had been applied at the earliest.
    applied_from: Vec<Duration>,
}

impl<'h> Replay<'h> {
    pub(crate) fn new(history: &'h History) -> Self {
        let mut model = Model::new(ttl_seconds_min(history));
        let point =
            |model: &Model| Point { revision: model.revision(), compacted: model.compacted() };
        let mut replay = Self {
            log: &history.log,
            points: vec![point(&model)],
            model: model.clone(),
            answers: Vec::new(),
            events: Vec::new(),
            starts: Vec::new(),
            lives: BTreeMap::new(),
            applied_from: Vec::new(),
        };
        for entry in &history.log {
            let before = model.revision();
            let answer = match &entry.command {
                Some(command) => model.apply(command),
                None => Ok(None),
            };
            if model.revision() > before {
                replay.starts.push(replay.events.len());
                replay.events.extend_from_slice(model.last_events());
            }
            replay.points.push(point(&model));
            replay.note_lease(entry, &answer);
            replay.answers.push(answer);
            let latest = replay.applied_from.last().copied().unwrap_or_default();
            replay.applied_from.push(entry.applied_at.map_or(latest, |at| at.max(latest)));
        }
        replay.model = model;
        replay
    }

    fn note_lease(&mut self, entry: &Committed, answer: &Answer) {
        let position = self.points.len() - 1;
        match (&entry.command, answer) {
            (_, Ok(Some(Response::LeaseGrant(grant)))) => {
                let life = Life { granted: position, ended: None, ttl_seconds: grant.ttl };
                self.lives.entry(grant.id).or_default().push(life);
            }
            (Some(command), Ok(Some(Response::LeaseRevoke(_)))) => {
                let id = command.lease_revoke.map_or(0, |revoke| revoke.id);
                if let Some(life) = self.lives.get_mut(&id).and_then(|lives| lives.last_mut()) {
                    life.ended = Some(position);
                }
            }
            _ => {}
        }
    }

    /// The position after the whole log.
    pub(crate) fn end(&self) -> usize {
        self.log.len()
    }

    pub(crate) fn point(&self, position: usize) -> Point {
        self.points[position]
    }

    /// The answer to the entry that leads to `position`, which is above 0.
    pub(crate) fn answer(&self, position: usize) -> &Answer {
        &self.answers[position - 1]
    }

    /// The entry that leads to `position`, which is above 0.
    pub(crate) fn entry(&self, position: usize) -> &'h Committed {
        &self.log[position - 1]
    }

    /// The state at a position.
    pub(crate) fn view(&self, position: usize) -> View<'_> {
        let Point { revision, compacted } = self.point(position);
        self.model.view_at(revision, compacted)
    }

    /// The first position at which `revision` was reached; beyond the log if it never was.
    pub(crate) fn reached(&self, revision: i64) -> usize {
        self.points.partition_point(|point| point.revision < revision)
    }

    /// The last position that anybody can have seen at `time`.
    pub(crate) fn horizon(&self, time: Duration) -> usize {
        self.applied_from.partition_point(|applied| *applied <= time)
    }

    /// The events of the revisions from `from` to `to`, both counted in, in order.
    pub(crate) fn events(&self, from: i64, to: i64) -> &[Event] {
        let start = |revision: i64| {
            let place = usize::try_from(revision - 2).unwrap_or(0);
            self.starts.get(place).copied().unwrap_or(self.events.len())
        };
        let (start, end) = (start(from), start(to.saturating_add(1)));
        self.events.get(start..end).unwrap_or_default()
    }

    /// The life of lease `id` at `position`.
    pub(crate) fn life(&self, id: i64, position: usize) -> Option<Life> {
        self.lives(id).iter().copied().find(|life| life.covers(position))
    }

    /// All lives of a lease id, in order.
    pub(crate) fn lives(&self, id: i64) -> &[Life] {
        self.lives.get(&id).map_or(&[], Vec::as_slice)
    }

    /// All lives of all leases, by id.
    pub(crate) fn all_lives(&self) -> impl Iterator<Item = (i64, Life)> {
        self.lives.iter().flat_map(|(id, lives)| lives.iter().map(|life| (*id, *life)))
    }
}

/// The shortest lease of the cluster, which only its answers tell: a grant that was raised says
/// it outright, any other bounds it.
pub(crate) fn ttl_seconds_min(history: &History) -> i64 {
    let mut bound = TTL_SECONDS_MIN;
    for operation in &history.operations {
        let Request::LeaseGrant(request) = &operation.request else { continue };
        let Outcome::Answered(Response::LeaseGrant(answer)) = &operation.outcome else { continue };
        if answer.ttl > request.ttl {
            return answer.ttl;
        }
        bound = bound.min(answer.ttl);
    }
    bound
}
