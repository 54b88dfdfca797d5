//! A world in which everything is right: clients that overlap, members that lag, answers that
//! are lost, leases that run out. What it writes down must be accepted by every judge.

use crate::rig::{command_of, header, outcome_of, read};
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use drystone_api::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, InternalRaftRequest, LeaseGrantRequest,
    LeaseKeepAliveRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest,
    RequestHeader, RequestOp, TxnRequest, WatchCreateRequest, WatchResponse, request_op,
};
use drystone_api::mvccpb::{Event, event::EventType};
use drystone_judge::{
    Committed, History, Model, Operation, Outcome, Request, Response, StreamEnd, StreamEvent,
    StreamHeard, WatchStream,
};
use drystone_types::{LogIndex, MemberId, Term};
use rand::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// How large a world is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) operations: usize,
    pub(crate) clients: usize,
    pub(crate) keys: usize,
    /// Clients use leases and compact.
    pub(crate) everything: bool,
    /// Who asked for an entry is known by its id.
    pub(crate) proposals: bool,
}

/// A call under way.
struct Call {
    number: usize,
    /// What it came to, once it has happened.
    outcome: Option<Outcome>,
}

pub(crate) struct World {
    size: Size,
    rng: StdRng,
    now: Duration,
    pub(crate) history: History,
    /// The state at each position of the log.
    pub(crate) states: Vec<Model>,
    events: Vec<Event>,
    /// How far each member has applied.
    members: BTreeMap<MemberId, usize>,
    clients: Vec<(u64, Option<Call>)>,
    /// Calls whose clients gave up, and that may happen yet.
    afloat: Vec<Call>,
    /// When leases run out.
    deadlines: BTreeMap<i64, Duration>,
}

/// What happened in a world with this seed.
pub(crate) fn world(seed: u64, size: Size) -> World {
    let mut world = World {
        size,
        rng: StdRng::seed_from_u64(seed),
        now: Duration::ZERO,
        history: History::default(),
        states: vec![Model::default()],
        events: Vec::new(),
        members: (1..=3).map(|member| (MemberId(member), 0)).collect(),
        clients: (0..size.clients as u64).map(|client| (client, None)).collect(),
        afloat: Vec::new(),
        deadlines: BTreeMap::new(),
    };
    while world.history.operations.len() < size.operations {
        world.step();
    }
    world.settle();
    world
}

impl World {
    fn state(&self) -> &Model {
        self.states.last().expect("there is a state before everything")
    }

    fn step(&mut self) {
        let millis = if self.rng.random_ratio(1, 20) { 2000 } else { 20 };
        self.now += Duration::from_millis(self.rng.random_range(0..millis));
        let member = MemberId(self.rng.random_range(1..=3));
        let applied = self.rng.random_range(self.members[&member]..self.states.len());
        self.members.insert(member, applied);
        self.expire();
        if !self.afloat.is_empty() && self.rng.random_ratio(1, 10) {
            let place = self.rng.random_range(0..self.afloat.len());
            let mut call = self.afloat.swap_remove(place);
            self.happen(&mut call);
        }
        let place = self.rng.random_range(0..self.clients.len());
        let (client, call) = &mut self.clients[place];
        let client = *client;
        match call.take() {
            None => {
                let number = self.call(client);
                self.clients[place].1 = Some(Call { number, outcome: None });
            }
            Some(call) if self.rng.random_ratio(1, 30) => {
                self.give_up(call);
                self.clients[place].0 = client + 100;
            }
            Some(Call { number, outcome: None }) if self.rng.random_ratio(1, 30) => {
                let error = EtcdError::RequestTooManyRequests;
                self.close(number, Outcome::TurnedAway(error));
            }
            Some(Call { number, outcome: Some(outcome) }) => self.close(number, outcome),
            Some(mut call) => {
                self.happen(&mut call);
                self.clients[place].1 = Some(call);
            }
        }
    }

    fn call(&mut self, client: u64) -> usize {
        let number = self.history.operations.len();
        let request = self.request();
        let named = self.size.proposals && command_of(&request).is_some();
        self.history.operations.push(Operation {
            client,
            member: MemberId(self.rng.random_range(1..=3)),
            proposal: named.then_some(number as u64 + 1),
            called_at: self.now,
            returned_at: self.now,
            request,
            outcome: Outcome::Unknown,
        });
        number
    }

    fn close(&mut self, number: usize, outcome: Outcome) {
        self.history.operations[number].outcome = outcome;
        self.history.operations[number].returned_at = self.now;
    }

    fn give_up(&mut self, call: Call) {
        self.history.operations[call.number].returned_at = self.now;
        if call.outcome.is_none() {
            self.afloat.push(call);
        }
    }

    /// The moment at which a call has its effect, or sees what it sees.
    fn happen(&mut self, call: &mut Call) {
        let request = self.history.operations[call.number].request.clone();
        let answer = match command_of(&request) {
            Some(mut command) => {
                let id = call.number as u64 + 1;
                command.header = Some(RequestHeader { id, ..RequestHeader::default() });
                let answer = self.append(command);
                answer.map(|answer| answer.expect("requests are answered"))
            }
            None => {
                let member = self.history.operations[call.number].member;
                let local = match &request {
                    Request::Range(range) => range.serializable,
                    Request::LeaseLeases => true,
                    _ => false,
                };
                if let Request::LeaseKeepAlive(request) = &request
                    && let Some(lease) = self.state().lease(request.id)
                {
                    let ttl = Duration::from_secs(lease.ttl_seconds.unsigned_abs());
                    self.deadlines.insert(request.id, self.now + ttl);
                }
                let state = if local { &self.states[self.members[&member]] } else { self.state() };
                read(state, &request)
            }
        };
        call.outcome = Some(outcome_of(answer));
    }

    fn append(&mut self, command: InternalRaftRequest) -> Result<Option<Response>, EtcdError> {
        let mut state = self.state().clone();
        let answer = state.apply(&command);
        self.events.extend_from_slice(state.last_events());
        if let Ok(Some(Response::LeaseGrant(answer))) = &answer {
            let ttl = Duration::from_secs(answer.ttl.unsigned_abs());
            self.deadlines.insert(answer.id, self.now + ttl);
        }
        self.deadlines.retain(|id, _| state.lease(*id).is_some());
        self.states.push(state);
        self.history.log.push(Committed {
            index: LogIndex(self.states.len() as u64 - 1),
            term: Term(1),
            command: Some(command),
            applied_at: Some(self.now),
        });
        answer
    }

    fn expire(&mut self) {
        let due = self.deadlines.iter().find(|(_, deadline)| **deadline <= self.now);
        if let Some(id) = due.map(|(id, _)| *id) {
            let lease_revoke = Some(LeaseRevokeRequest { id });
            self.append(InternalRaftRequest { lease_revoke, ..Default::default() })
                .expect("a lease with a deadline is there");
        }
    }

    /// Ends what is under way, and opens a few watches that hear everything.
    fn settle(&mut self) {
        for place in 0..self.clients.len() {
            if let Some(call) = self.clients[place].1.take() {
                self.give_up(call);
            }
        }
        self.history.settled_at = Some(self.now);
        for _ in 0..3 {
            let stream = self.stream();
            self.history.streams.push(stream);
        }
    }

    fn key(&mut self) -> String {
        format!("k{:03}", self.rng.random_range(0..self.size.keys))
    }

    fn lease(&mut self) -> i64 {
        if self.size.everything { self.rng.random_range(0..4) } else { 0 }
    }

    fn request(&mut self) -> Request {
        let kinds = if self.size.everything { 16 } else { 10 };
        let id = self.rng.random_range(1..4);
        let (low, high) = (self.state().compacted(), self.state().revision());
        let revision = self.rng.random_range(low..=(low + 10).min(high + 1));
        match self.rng.random_range(0..kinds) {
            0..3 => Request::Put(self.put()),
            3..6 => Request::Range(self.range()),
            6 => Request::DeleteRange(self.delete()),
            7..9 => Request::Txn(self.txn(2)),
            9 => {
                let ops = (0..2).map(|_| {
                    let range = RangeRequest { serializable: false, ..self.range() };
                    RequestOp { request: Some(request_op::Request::RequestRange(range)) }
                });
                Request::Txn(TxnRequest { success: ops.collect(), ..TxnRequest::default() })
            }
            10 if self.rng.random_ratio(1, 4) => {
                Request::Compaction(CompactionRequest { revision, physical: false })
            }
            11 | 12 => {
                Request::LeaseGrant(LeaseGrantRequest { id, ttl: self.rng.random_range(1..5) })
            }
            13 if self.rng.random() => Request::LeaseRevoke(LeaseRevokeRequest { id }),
            13 => Request::LeaseLeases,
            14 => Request::LeaseKeepAlive(LeaseKeepAliveRequest { id }),
            _ => Request::LeaseTimeToLive(LeaseTimeToLiveRequest { id, keys: true }),
        }
    }

    fn put(&mut self) -> PutRequest {
        let ignore_value = self.rng.random_ratio(1, 10);
        let value = self.rng.random_range(0..3).to_string();
        PutRequest {
            key: self.key().into(),
            value: if ignore_value { String::new() } else { value }.into(),
            lease: self.lease(),
            prev_kv: self.rng.random(),
            ignore_value,
            ignore_lease: false,
        }
    }

    fn range(&mut self) -> RangeRequest {
        let newest = self.state().revision();
        let historic = self.rng.random_ratio(1, 4);
        let filtered = self.rng.random_ratio(1, 6);
        RangeRequest {
            key: self.key().into(),
            range_end: if self.rng.random() { "" } else { "\0" }.into(),
            limit: self.rng.random_range(0..4),
            revision: if historic { self.rng.random_range(-1..=newest + 1) } else { 0 },
            sort_order: self.rng.random_range(0..3),
            sort_target: self.rng.random_range(0..5),
            serializable: self.rng.random_ratio(1, 4),
            keys_only: self.rng.random_ratio(1, 8),
            count_only: self.rng.random_ratio(1, 8),
            min_mod_revision: if filtered { self.rng.random_range(0..=newest) } else { 0 },
            max_create_revision: if filtered { self.rng.random_range(0..=newest) } else { 0 },
            ..RangeRequest::default()
        }
    }

    fn delete(&mut self) -> DeleteRangeRequest {
        let (key, end) = (self.key(), self.key());
        let range_end = if self.rng.random() { end } else { String::new() };
        let prev_kv = self.rng.random();
        DeleteRangeRequest { key: key.into(), range_end: range_end.into(), prev_kv }
    }

    fn txn(&mut self, depth: usize) -> TxnRequest {
        let operand = self.rng.random_range(0..6);
        let compare = Compare {
            result: self.rng.random_range(0..4),
            target: self.rng.random_range(0..5),
            key: self.key().into(),
            range_end: if self.rng.random_ratio(1, 4) { "\0" } else { "" }.into(),
            target_union: Some(match self.rng.random_range(0..4) {
                0 => TargetUnion::Version(operand),
                1 => TargetUnion::ModRevision(operand),
                2 => TargetUnion::Lease(operand),
                _ => TargetUnion::Value(operand.to_string().into()),
            }),
        };
        assert!(CompareResult::try_from(compare.result).is_ok());
        assert!(CompareTarget::try_from(compare.target).is_ok());
        let (success, failure) = (self.ops(depth), self.ops(depth));
        TxnRequest { compare: vec![compare], success, failure }
    }

    fn ops(&mut self, depth: usize) -> Vec<RequestOp> {
        let mut ops = Vec::new();
        for _ in 0..self.rng.random_range(1..4) {
            let request = match self.rng.random_range(0..6) {
                0 => {
                    let range = RangeRequest { serializable: false, ..self.range() };
                    request_op::Request::RequestRange(range)
                }
                1 => request_op::Request::RequestDeleteRange(self.delete()),
                2 if depth > 0 => request_op::Request::RequestTxn(self.txn(depth - 1)),
                _ => request_op::Request::RequestPut(self.put()),
            };
            ops.push(RequestOp { request: Some(request) });
        }
        ops
    }

    /// A watch that was opened and has heard all that was due.
    fn stream(&mut self) -> WatchStream {
        let (newest, compacted) = (self.state().revision(), self.state().compacted());
        let create = WatchCreateRequest {
            key: if self.rng.random() { "\0".to_owned() } else { self.key() }.into(),
            range_end: "\0".into(),
            start_revision: self.rng.random_range(0..=newest + 2),
            filters: if self.rng.random_ratio(1, 4) { vec![0] } else { Vec::new() },
            prev_kv: self.rng.random(),
            fragment: self.rng.random(),
            watch_id: 7,
            ..WatchCreateRequest::default()
        };
        let seen = self.rng.random_range(1..=newest);
        let mut responses = vec![WatchResponse { created: true, ..response(seen) }];
        let start = if create.start_revision > 0 { create.start_revision } else { seen + 1 };
        if start < compacted {
            let ended =
                WatchResponse { canceled: true, compact_revision: compacted, ..response(0) };
            responses.push(ended);
        } else {
            let pieces = self.pieces(&create, start, compacted);
            self.send(&create, pieces, &mut responses);
        }
        let at = self.now;
        let mut events = vec![StreamEvent { at, what: StreamHeard::Create(create) }];
        for response in responses {
            let known = self.rng.random::<bool>();
            let applied_revision = known.then_some(newest);
            let compacted_revision = known.then_some(compacted);
            let what = StreamHeard::Response { response, applied_revision, compacted_revision };
            events.push(StreamEvent { at, what });
        }
        WatchStream { member: MemberId(1), events, end: StreamEnd::Drained }
    }

    /// What a watch is to hear, in pieces of whole revisions.
    fn pieces(&mut self, create: &WatchCreateRequest, start: i64, gone: i64) -> Vec<Vec<Event>> {
        let mut pieces: Vec<Vec<Event>> = Vec::new();
        for event in &self.events {
            let kv = event.kv.as_ref().expect("events have pairs");
            let filtered = event.r#type == EventType::Put as i32 && !create.filters.is_empty();
            if kv.mod_revision < start || kv.key < create.key || filtered {
                continue;
            }
            let mut event = event.clone();
            if !create.prev_kv || (kv.mod_revision <= gone && self.rng.random()) {
                event.prev_kv = None;
            }
            let same = pieces.last().is_some_and(|piece| {
                piece.last().is_some_and(|last| revision_of(last) == kv.mod_revision)
            });
            match pieces.last_mut() {
                Some(piece) if same || self.rng.random_ratio(1, 3) => piece.push(event),
                _ => pieces.push(vec![event]),
            }
        }
        pieces
    }

    fn send(
        &mut self,
        create: &WatchCreateRequest,
        pieces: Vec<Vec<Event>>,
        responses: &mut Vec<WatchResponse>,
    ) {
        let newest = self.state().revision();
        let lasts: Vec<i64> = pieces.iter().map(|piece| revision_of(&piece[0])).collect();
        for (place, mut events) in pieces.into_iter().enumerate() {
            let last = events.last().map_or(0, revision_of);
            let revision = if self.rng.random() { last } else { newest };
            if create.fragment && events.len() > 1 {
                let rest = events.split_off(self.rng.random_range(1..events.len()));
                responses.push(WatchResponse { events, fragment: true, ..response(revision) });
                events = rest;
            }
            responses.push(WatchResponse { events, ..response(revision) });
            if self.rng.random_ratio(1, 3) {
                let next = lasts.get(place + 1).map_or(newest, |next| next - 1);
                let watch_id = if self.rng.random() { 7 } else { -1 };
                responses.push(WatchResponse { watch_id, ..response(next) });
            }
        }
    }
}

fn revision_of(event: &Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

fn response(revision: i64) -> WatchResponse {
    WatchResponse { header: header(revision), watch_id: 7, ..WatchResponse::default() }
}
