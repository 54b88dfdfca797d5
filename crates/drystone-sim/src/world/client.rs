//! Clients: one call at a time each, and what they remember.

use super::ask::revision;
use super::{Event, World};
use crate::clock::MILLISECOND;
use crate::host::{Ask as Asked, Origin, Stage};
use crate::plan::{Ask, Op, Rev};
use crate::random::Draw;
use crate::requests::{self, Seen};
use crate::rights;
use drystone_api::errors::EtcdError;
use drystone_judge::{Operation, Outcome, Request, Response};
use drystone_machine::Identity;
use std::collections::VecDeque;
use std::time::Duration;

/// Streams that a client may have open.
pub(super) const STREAMS: usize = 3;

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    /// Its name in the history; a new one after each outcome that is unknown.
    name: u64,
    queue: VecDeque<Ask>,
    busy: bool,
    pub(super) seen: Seen,
    /// Its streams, by place in the world's list.
    pub(super) streams: [Option<usize>; STREAMS],
    pub(super) heard: [i64; STREAMS],
}

impl Client {
    pub(super) fn new(number: usize) -> Self {
        Self {
            name: number as u64,
            queue: VecDeque::new(),
            busy: false,
            seen: Seen { revision: 1, ..Seen::default() },
            streams: [None; STREAMS],
            heard: [0; STREAMS],
        }
    }

    /// Forgets what it has not begun.
    pub(super) fn let_be(&mut self) {
        self.queue.clear();
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.busy && self.queue.is_empty()
    }
}

/// A call under way.
#[derive(Debug)]
pub(super) struct Call {
    client: usize,
    member: usize,
    /// Its place in the history.
    operation: usize,
    ask: Ask,
    /// The newest membership that anybody was told of before.
    told_before: u64,
}

impl World {
    pub(super) fn duration(&self) -> Duration {
        Duration::from_micros(self.now)
    }

    /// Gives a client something to do.
    pub(super) fn enqueue(&mut self, ask: Ask) {
        let client = usize::from(ask.client) % self.clients.len();
        self.clients[client].queue.push_back(ask);
        self.next_call(client);
    }

    fn next_call(&mut self, client: usize) {
        while !self.clients[client].busy {
            let Some(ask) = self.clients[client].queue.pop_front() else { return };
            self.begin(client, ask);
        }
    }

    pub(super) fn retry(&mut self, client: usize, ask: Ask) {
        self.clients[client].busy = false;
        self.clients[client].queue.push_front(ask);
        self.next_call(client);
    }

    fn begin(&mut self, client: usize, ask: Ask) {
        let m = self.somebody(self.member(ask.member), &ask.op);
        let seen = self.clients[client].seen;
        let request =
            requests::request(&ask.op, &seen).or_else(|| self.members_request(m, &ask.op));
        let Some(request) = request else {
            return self.stream_op(client, m, &ask.op);
        };
        if let Request::Compaction(request) = &request
            && request.revision <= seen.revision
        {
            let compacted = &mut self.clients[client].seen.compacted;
            *compacted = (*compacted).max(request.revision);
        }
        let id = self.fresh_id();
        self.clients[client].busy = true;
        let member = self.hosts[m].id;
        self.history.operations.push(Operation {
            client: self.clients[client].name,
            member,
            proposal: None,
            called_at: self.duration(),
            returned_at: self.duration(),
            request: request.clone(),
            outcome: Outcome::Unknown,
        });
        self.counts.operations += 1;
        let operation = self.history.operations.len() - 1;
        self.trace.say(self.now, format_args!("c{client} asks m{m} ({id}): {request:?}"));
        let told_before = self.members_told;
        self.calls.insert(id, Call { client, member: m, operation, ask, told_before });
        let timeout = self.knobs.request_timeout_ms * MILLISECOND;
        self.after(timeout, Event::Deadline(id));
        let reachable = self.hosts[m].process.as_ref().is_some_and(|process| process.serving);
        match self.network.client(m, self.now).filter(|_| reachable) {
            Some(at) => {
                let incarnation = self.hosts[m].incarnation;
                let until = self.now + timeout;
                let stage = Stage::Waiting;
                let asked = Asked { origin: Origin::Client, request, until, stage };
                self.relays.insert(id, asked);
                self.at(at, Event::Request(m, incarnation, id));
            }
            None => {
                // The connection is refused: nothing was sent.
                let refused = Outcome::TurnedAway(EtcdError::Stopped);
                self.after(MILLISECOND, Event::Answer(id, Box::new(refused)));
            }
        }
    }

    /// The member that a client turns to: the one it wants, or often the next that it can
    /// reach.
    fn somebody(&mut self, wanted: usize, op: &Op) -> usize {
        let local = matches!(op, Op::Range(range) if range.serializable);
        let serves = |m: &usize| {
            let process = self.hosts[*m].process.as_ref();
            process.is_some_and(|process| process.serving)
                && !self.network.is_client_cut(*m, self.now)
                && (local || !self.is_learner(*m))
        };
        let count = self.hosts.len();
        let next = (0..count).map(|n| (wanted + n) % count).find(serves).unwrap_or(wanted);
        // At the end of a run each member is to serve by itself.
        let stays = self.settle.has_begun() || self.timing.percent(10);
        if stays { wanted } else { next }
    }

    pub(super) fn request_arrives(&mut self, m: usize, id: u64) {
        if let Some(asked) = self.relays.remove(&id) {
            self.serve(m, id, asked);
        }
    }

    /// Whom a member recognises in who asks, as it has applied users so far. At the end of a run
    /// everybody may do everything, for every member is to serve again.
    pub(super) fn who_asks(&self, m: usize, id: u64) -> Option<Identity> {
        if self.settle.has_begun() {
            return Some(Identity::server());
        }
        let call = self.calls.get(&id)?;
        let request = &self.history.operations[call.operation].request;
        let revision = self.hosts[m].process.as_ref()?.applier.machine().auth().revision();
        rights::user_of(call.client, request).map(|user| Identity { user, revision })
    }

    /// A client's command is proposed under the number of its call.
    pub(super) fn proposed(&mut self, id: u64) {
        if let Some(call) = self.calls.get(&id) {
            self.history.operations[call.operation].proposal = Some(id);
        }
    }

    pub(super) fn answer_arrives(&mut self, id: u64, outcome: Outcome) {
        let Some(call) = self.calls.remove(&id) else { return };
        self.end_call(call, outcome);
    }

    pub(super) fn deadline(&mut self, id: u64) {
        let Some(call) = self.calls.remove(&id) else { return };
        self.relays.remove(&id);
        // The caller is gone; what it proposed goes on without it.
        if let Some(process) = &mut self.hosts[call.member].process {
            process.asks.remove(&id);
        }
        self.end_call(call, Outcome::Unknown);
    }

    fn end_call(&mut self, call: Call, outcome: Outcome) {
        let Call { client, member, operation, mut ask, told_before } = call;
        if let Outcome::Answered(Response::Members(list)) = &outcome {
            let request = self.history.operations[operation].request.clone();
            self.judge_members(&request, list, told_before);
        }
        let now = self.duration();
        self.trace.say(self.now, format_args!("c{client} hears from m{member}: {outcome:?}"));
        let record = &mut self.history.operations[operation];
        record.returned_at = now;
        record.outcome = outcome;
        let state = &mut self.clients[client];
        let mut again = false;
        match &record.outcome {
            Outcome::Answered(response) => {
                state.seen.revision = state.seen.revision.max(revision(response));
                self.counts.answered += 1;
            }
            Outcome::Refused(_) => self.counts.refused += 1,
            Outcome::TurnedAway(_) => {
                self.counts.turned_away += 1;
                again = true;
            }
            Outcome::Unknown => {
                self.counts.unknown += 1;
                self.next_client += 1;
                state.name = self.next_client;
                again = true;
            }
        }
        if again && ask.retries > 0 && !self.settle.has_begun() {
            ask.retries -= 1;
            ask.member = ask.member.wrapping_add(1);
            self.after(10 * MILLISECOND, Event::Retry(client, Box::new(ask)));
            return;
        }
        self.settle_heard(operation);
        self.clients[client].busy = false;
        self.next_call(client);
    }

    /// What the client knows when it asks on one of its streams.
    pub(super) fn seen_on(&self, client: usize, stream: usize) -> Seen {
        let state = &self.clients[client];
        Seen { heard: state.heard[stream], ..state.seen }
    }

    /// Whether an operation starts where the stream's last event left off.
    pub(super) fn resumes(op: &Op) -> bool {
        matches!(op, Op::Watch { watch, .. } if watch.start == Rev::Resume)
    }
}
