//! The hub against a twin that looks at everything: random clients, writes, compactions,
//! failures; every response is judged against the whole log.

use super::*;
use crate::{Changes, History, HistoryError, MemoryHistory, Op};
use bytes::Bytes;
use drystone_types::{EventKind, KeyRange, Revision, RevisionEvents};
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};

impl Hub {
    /// Every invariant between the parts of the hub, for tests.
    pub(super) fn check(&self) {
        let mut unsynced = 0;
        for slot in self.watchers.slots() {
            let watcher = &self.watchers[slot];
            let stream = &self.streams[watcher.stream];
            assert!(watcher.pending.events.is_empty() && !watcher.catching_up);
            assert_eq!(stream.watchers.get(&watcher.id), Some(&slot));
            if let State::Unsynced { next } = watcher.state {
                unsynced += 1;
                assert!(next <= self.revision && next >= self.compacted);
                assert!(self.positions.unsynced.contains(&(next, slot)));
                assert!(stream.unsynced.contains(&slot));
                let runnable = self.positions.runnable.contains(&(next, slot));
                assert_eq!(runnable, !stream.stalled);
            }
        }
        assert_eq!(unsynced, self.positions.unsynced.len());
        let bytes: usize = self.streams.slots().map(|slot| self.streams[slot].queue.bytes()).sum();
        assert_eq!(bytes, self.queued_bytes);
        assert_eq!(self.ticks.len(), self.streams.len());
        for slot in self.streams.slots() {
            let stream = &self.streams[slot];
            assert!(!stream.stalled || !stream.queue.is_empty(), "stalled for ever");
            assert!(stream.announced || stream.queue.is_empty(), "never woken");
            assert!(stream.queue.is_empty() || stream.queue.bytes() > 0);
        }
    }
}

/// The store, which can be told to fail, and counts what it is asked.
struct Store {
    memory: MemoryHistory,
    failing: Cell<bool>,
    lookups: Cell<usize>,
}

impl Store {
    fn answer<T>(&self, answer: Result<T, HistoryError>) -> Result<T, HistoryError> {
        if self.failing.get() {
            return Err(HistoryError::Failed { reason: "told to".to_owned() });
        }
        answer
    }
}

impl History for Store {
    fn changes(
        &self,
        from: i64,
        to: i64,
        revisions_max: usize,
        bytes_max: usize,
    ) -> Result<Changes, HistoryError> {
        assert!(from <= to);
        self.answer(self.memory.changes(from, to, revisions_max, bytes_max))
    }
    fn value_at(&self, revision: Revision) -> Result<Option<Bytes>, HistoryError> {
        self.lookups.set(self.lookups.get() + 1);
        self.answer(self.memory.value_at(revision))
    }
    fn revision(&self) -> i64 {
        self.memory.revision()
    }
    fn compacted(&self) -> i64 {
        self.memory.compacted()
    }
}

#[derive(Clone, Debug)]
enum Action {
    Open,
    Close(usize),
    Create { stream: usize, create: Create, start: Start },
    Cancel { stream: usize, id: i64 },
    Revoke { stream: usize, key: u8 },
    Refuse(usize),
    Progress(usize),
    Drain { stream: usize, bytes_max: usize },
    Write(Vec<(u8, bool)>),
    Publish,
    Restore,
    Compact { back: i64, tell: bool },
    CatchUp(usize),
    Tick(u64),
    Fail(bool),
}

/// Where a watcher starts, seen from the store.
#[derive(Clone, Copy, Debug)]
enum Start {
    Now,
    At(i64),
    FromCompacted(i64),
    FromCurrent(i64),
}

fn range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        3 => (0_u8..4).prop_map(|key| KeyRange::key(vec![b'a' + key])),
        2 => (0_u8..4, 0_u8..5)
            .prop_map(|(from, to)| KeyRange::from_fields(vec![b'a' + from], vec![b'a' + to])),
        2 => (0_u8..4).prop_map(|from| KeyRange::from_fields(vec![b'a' + from], "\0")),
    ]
}

prop_compose! {
    fn create()(
        range in range(),
        watch_id in prop_oneof![3 => Just(0_i64), 1 => -2_i64..4],
        prev_kv in any::<bool>(),
        progress_notify in any::<bool>(),
        fragment in any::<bool>(),
        no_put in proptest::bool::weighted(0.2),
        no_delete in proptest::bool::weighted(0.2),
    ) -> Create {
        Create {
            range,
            start_revision: 0,
            watch_id: WatchId(watch_id),
            prev_kv,
            progress_notify,
            fragment,
            no_put,
            no_delete,
        }
    }
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        3 => Just(Start::Now),
        1 => (-1_i64..5).prop_map(Start::At),
        2 => (-1_i64..2).prop_map(Start::FromCompacted),
        3 => (-4_i64..4).prop_map(Start::FromCurrent),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let stream = 0_usize..3;
    prop_oneof![
        1 => Just(Action::Open),
        1 => stream.clone().prop_map(Action::Close),
        8 => (stream.clone(), create(), start())
            .prop_map(|(stream, create, start)| Action::Create { stream, create, start }),
        3 => (stream.clone(), -2_i64..6).prop_map(|(stream, id)| Action::Cancel { stream, id }),
        1 => (stream.clone(), 0_u8..4)
            .prop_map(|(stream, key)| Action::Revoke { stream, key: b'a' + key }),
        1 => stream.clone().prop_map(Action::Refuse),
        4 => stream.clone().prop_map(Action::Progress),
        10 => (stream, prop_oneof![0_usize..300, Just(usize::MAX)])
            .prop_map(|(stream, bytes_max)| Action::Drain { stream, bytes_max }),
        14 => proptest::collection::vec((0_u8..4, proptest::bool::weighted(0.7)), 1..4)
            .prop_map(Action::Write),
        14 => Just(Action::Publish),
        1 => Just(Action::Restore),
        3 => (0_i64..6, any::<bool>()).prop_map(|(back, tell)| Action::Compact { back, tell }),
        8 => (1_usize..10).prop_map(Action::CatchUp),
        4 => (0_u64..2000).prop_map(Action::Tick),
        1 => any::<bool>().prop_map(Action::Fail),
    ]
}

prop_compose! {
    fn config()(
        queue_responses_max in 1_usize..6,
        queue_bytes_max in 100_usize..2000,
        queues_bytes_max in 100_usize..4000,
        response_revisions_max in 1_usize..5,
        response_bytes_max in 50_usize..600,
        fragment_bytes in 80_usize..300,
        catch_up_watchers_max in prop_oneof![1_usize..4, Just(100)],
        catch_up_deliveries_max in prop_oneof![1_usize..8, Just(1_000)],
    ) -> Config {
        Config {
            queue_responses_max,
            queue_bytes_max,
            queues_bytes_max,
            response_revisions_max,
            response_bytes_max,
            fragment_bytes,
            catch_up_watchers_max,
            catch_up_deliveries_max,
            progress_interval: Duration::from_millis(500),
        }
    }
}

/// What a client knows of one watcher.
#[derive(Debug)]
struct Receiver {
    create: Create,
    start: i64,
    /// How many of its events came.
    seen: usize,
    last_revision: i64,
    progress: i64,
    /// The header of a response whose further fragments must follow.
    fragment: Option<i64>,
    ended: bool,
}

/// An answer that is due on a stream.
#[derive(Debug)]
enum Answer {
    Created { id: WatchId, header: i64, create: Create, start: i64 },
    Refused(&'static str),
    Canceled(WatchId),
    Revoked(WatchId),
}

#[derive(Debug)]
struct Client {
    stream: StreamId,
    /// Ids that the server must hold, cancelled by compaction or not.
    ids: BTreeMap<WatchId, Create>,
    next_auto_id: i64,
    answers: VecDeque<Answer>,
    receivers: BTreeMap<WatchId, Receiver>,
    broadcasts: usize,
}

struct World {
    config: Config,
    hub: Hub,
    store: Store,
    log: Vec<RevisionEvents>,
    values: BTreeMap<Revision, Bytes>,
    unpublished: VecDeque<RevisionEvents>,
    clients: Vec<Client>,
    now: Duration,
    writes: u32,
}

impl World {
    fn new(config: Config, seed: u64) -> Self {
        let memory = MemoryHistory::new();
        let hub = Hub::new(config.clone(), seed, memory.revision(), memory.compacted());
        Self {
            config,
            hub,
            store: Store { memory, failing: Cell::new(false), lookups: Cell::new(0) },
            log: Vec::new(),
            values: BTreeMap::new(),
            unpublished: VecDeque::new(),
            clients: Vec::new(),
            now: Duration::ZERO,
            writes: 0,
        }
    }

    fn act(&mut self, action: Action) -> Result<(), TestCaseError> {
        match action {
            Action::Open => self.open(),
            Action::Close(client) if client < self.clients.len() => {
                let client = self.clients.remove(client);
                self.hub.close_stream(client.stream);
                prop_assert!(!self.hub.has_output(client.stream));
                prop_assert!(
                    self.hub.create(client.stream, Create::new(KeyRange::all())).is_none()
                );
            }
            Action::Create { stream, create, start } if stream < self.clients.len() => {
                self.create(stream, create, start)?;
            }
            Action::Cancel { stream, id } if stream < self.clients.len() => {
                let client = &mut self.clients[stream];
                let known = client.ids.remove(&WatchId(id)).is_some();
                prop_assert_eq!(self.hub.cancel(client.stream, WatchId(id)), known);
                if known {
                    client.answers.push_back(Answer::Canceled(WatchId(id)));
                }
            }
            Action::Revoke { stream, key } if stream < self.clients.len() => {
                let client = &mut self.clients[stream];
                let lost = |range: &KeyRange| range.contains(&[key]);
                let ids = client.ids.iter().filter(|(_, create)| lost(&create.range));
                let ids: Vec<WatchId> = ids.map(|(id, _)| *id).collect();
                prop_assert_eq!(self.hub.revoke(client.stream, "lost", lost), ids.len());
                for id in ids {
                    client.ids.remove(&id);
                    client.answers.push_back(Answer::Revoked(id));
                }
            }
            Action::Refuse(client) if client < self.clients.len() => {
                self.hub.refuse(self.clients[client].stream, "no");
                self.clients[client].answers.push_back(Answer::Refused("no"));
            }
            Action::Progress(client) if client < self.clients.len() => {
                self.hub.request_progress(self.clients[client].stream);
            }
            Action::Drain { stream, bytes_max } if stream < self.clients.len() => {
                self.drain(stream, bytes_max)?;
            }
            Action::Write(keys) => self.write(&keys),
            Action::Publish => self.publish()?,
            Action::Restore => {
                self.unpublished.clear();
                self.hub.restored(self.store.revision());
                self.hub.compacted(self.store.compacted());
            }
            Action::Compact { back, tell } => {
                self.store.memory.compact(self.store.revision() - back);
                if tell {
                    self.hub.compacted(self.store.compacted());
                }
            }
            Action::CatchUp(budget) => {
                let answer = self.hub.catch_up(&self.store, budget);
                prop_assert!(answer.is_ok() || self.store.failing.get());
            }
            Action::Tick(milliseconds) => {
                self.now += Duration::from_millis(milliseconds);
                self.hub.tick(self.now);
                prop_assert!(self.hub.next_tick().is_none_or(|at| at > self.now));
            }
            Action::Fail(failing) => self.store.failing.set(failing),
            _ => {}
        }
        self.hub.check();
        Ok(())
    }

    fn open(&mut self) {
        if self.clients.len() < 3 {
            self.clients.push(Client {
                stream: self.hub.open_stream(self.now),
                ids: BTreeMap::new(),
                next_auto_id: 0,
                answers: VecDeque::new(),
                receivers: BTreeMap::new(),
                broadcasts: 0,
            });
        }
    }

    fn create(
        &mut self,
        client: usize,
        mut create: Create,
        start: Start,
    ) -> Result<(), TestCaseError> {
        create.start_revision = match start {
            Start::Now => 0,
            Start::At(revision) => revision,
            Start::FromCompacted(more) => self.store.compacted() + more,
            Start::FromCurrent(more) => self.hub.revision() + more,
        };
        let header = self.hub.revision();
        let client = &mut self.clients[client];
        let answered = self.hub.create(client.stream, create.clone());
        let refused = if create.start_revision < 0 {
            Some(reason::NEGATIVE_START)
        } else if create.range.is_empty() {
            Some(reason::EMPTY_RANGE)
        } else if create.watch_id.0 != 0 && client.ids.contains_key(&create.watch_id) {
            Some(reason::DUPLICATE_ID)
        } else {
            None
        };
        if let Some(reason) = refused {
            client.answers.push_back(Answer::Refused(reason));
            prop_assert_eq!(answered, None);
            return Ok(());
        }
        let mut id = create.watch_id;
        if id.0 == 0 {
            while client.ids.contains_key(&WatchId(client.next_auto_id)) {
                client.next_auto_id += 1;
            }
            id = WatchId(client.next_auto_id);
            client.next_auto_id += 1;
        }
        prop_assert_eq!(answered, Some(id));
        client.ids.insert(id, create.clone());
        let start = if create.start_revision == 0 { header + 1 } else { create.start_revision };
        client.answers.push_back(Answer::Created { id, header, create, start });
        Ok(())
    }

    fn write(&mut self, keys: &[(u8, bool)]) {
        self.writes += 1;
        let value = Bytes::from(vec![b'v'; self.writes as usize % 40]);
        let ops = keys.iter().map(|(key, put)| {
            let key = Bytes::from(vec![b'a' + key]);
            if *put { Op::Put { key, value: value.clone() } } else { Op::Delete { key } }
        });
        let Some(batch) = self.store.memory.apply(ops.collect::<Vec<_>>()) else { return };
        for event in &batch.events {
            if event.kind == EventKind::Put {
                self.values.insert(event.revision, event.kv.clone());
            }
        }
        self.log.push(batch.clone());
        self.unpublished.push_back(batch);
    }

    fn publish(&mut self) -> Result<(), TestCaseError> {
        let Some(batch) = self.unpublished.pop_front() else { return Ok(()) };
        let lookups = self.store.lookups.get();
        self.hub.publish(std::slice::from_ref(&batch), &self.store);
        let lookups = self.store.lookups.get() - lookups;
        let wanted = |create: &Create| {
            let hears = batch.events.iter().any(|event| create.range.contains(&event.key));
            create.prev_kv && hears
        };
        let anyone = self.clients.iter().any(|client| client.ids.values().any(wanted));
        prop_assert!(lookups <= batch.events.len());
        prop_assert!(anyone || lookups == 0, "nobody wanted {lookups} look-ups");
        prop_assert_eq!(self.hub.revision(), batch.revision);
        Ok(())
    }

    fn drain(&mut self, client: usize, bytes_max: usize) -> Result<(), TestCaseError> {
        let stream = self.clients[client].stream;
        let output = self.hub.has_output(stream);
        let responses = self.hub.drain(stream, bytes_max);
        prop_assert_eq!(output, !responses.is_empty());
        let bytes: usize = responses.iter().map(Response::bytes).sum();
        prop_assert!(responses.len() <= 1 || bytes <= bytes_max);
        for response in responses {
            self.judge(client, &response)
                .map_err(|error| TestCaseError::fail(format!("{error}: {response:?}")))?;
        }
        Ok(())
    }

    fn judge(&mut self, client: usize, response: &Response) -> Result<(), TestCaseError> {
        let id = response.watch_id;
        prop_assert!(response.header_revision <= self.hub.revision());
        prop_assert!(response.events.is_empty() || response.kind == ResponseKind::Events);
        match &response.kind {
            ResponseKind::Created => {
                let client = &mut self.clients[client];
                let Some(Answer::Created { id: due, header, create, start }) =
                    client.answers.pop_front()
                else {
                    return Err(TestCaseError::fail("another answer was due"));
                };
                prop_assert_eq!((id, response.header_revision), (due, header));
                let receiver = Receiver {
                    create,
                    start,
                    seen: 0,
                    last_revision: 0,
                    progress: 0,
                    fragment: None,
                    ended: false,
                };
                prop_assert!(client.receivers.insert(id, receiver).is_none());
            }
            ResponseKind::Refused { reason } => {
                prop_assert_eq!(id, WatchId::NONE);
                let due = self.clients[client].answers.pop_front();
                prop_assert!(matches!(due, Some(Answer::Refused(due)) if due == reason));
            }
            ResponseKind::Revoked { reason } => {
                prop_assert_eq!(reason, "lost");
                let client = &mut self.clients[client];
                let due = client.answers.pop_front();
                prop_assert!(matches!(due, Some(Answer::Revoked(due)) if due == id));
                prop_assert!(client.receivers.remove(&id).is_some());
            }
            ResponseKind::Canceled { compact_revision: 0 } => {
                let client = &mut self.clients[client];
                let due = client.answers.pop_front();
                prop_assert!(matches!(due, Some(Answer::Canceled(due)) if due == id));
                prop_assert!(client.receivers.remove(&id).is_some());
            }
            ResponseKind::Canceled { compact_revision } => {
                prop_assert_eq!(response.header_revision, 0);
                prop_assert!(*compact_revision <= self.store.compacted());
                let receiver = self.clients[client].receivers.get_mut(&id).unwrap();
                prop_assert!(!receiver.ended && receiver.fragment.is_none());
                prop_assert!(receiver.start < *compact_revision);
                prop_assert!(receiver.last_revision < *compact_revision);
                receiver.ended = true;
            }
            ResponseKind::Events => self.judge_events(client, response)?,
            ResponseKind::Progress => self.judge_progress(client, response)?,
        }
        Ok(())
    }

    fn judge_events(&mut self, client: usize, response: &Response) -> Result<(), TestCaseError> {
        let compacted = self.store.compacted();
        let receiver = self.clients[client].receivers.get_mut(&response.watch_id).unwrap();
        prop_assert!(!receiver.ended && !response.events.is_empty());
        let expected = expected(&self.log, &self.values, &receiver.create, receiver.start);
        let mut revisions = Vec::new();
        for (place, event) in response.events.iter().enumerate() {
            let (revision, plain, with_prev) = &expected[receiver.seen];
            receiver.seen += 1;
            let allowed = event == with_prev || (revision - 1 < compacted && event == plain);
            prop_assert!(allowed, "at {revision}");
            prop_assert!(*revision > receiver.progress);
            if place == 0 && receiver.fragment.is_none() {
                prop_assert!(*revision > receiver.last_revision, "a revision was cut");
            }
            receiver.last_revision = *revision;
            revisions.push(*revision);
        }
        revisions.dedup();
        prop_assert!(revisions.len() <= self.config.response_revisions_max);
        prop_assert!(receiver.last_revision <= response.header_revision);
        if let Some(header) = receiver.fragment {
            prop_assert_eq!(header, response.header_revision);
        }
        let fragments = receiver.create.fragment;
        prop_assert!(fragments || !response.fragment);
        let small = response.bytes() < self.config.fragment_bytes || response.events.len() == 1;
        prop_assert!(small || !fragments);
        receiver.fragment = response.fragment.then_some(response.header_revision);
        Ok(())
    }

    fn judge_progress(&mut self, client: usize, response: &Response) -> Result<(), TestCaseError> {
        let client = &mut self.clients[client];
        let header = response.header_revision;
        // An id of -1 is a client's to choose; then one cannot tell the two apart.
        let own = response.watch_id != WatchId::NONE;
        if !own {
            client.broadcasts += 1;
            prop_assert!(!client.receivers.is_empty());
        }
        let ambiguous = !own && client.receivers.contains_key(&WatchId::NONE);
        for (id, receiver) in &mut client.receivers {
            if ambiguous || (own && *id != response.watch_id) {
                continue;
            }
            prop_assert!(!own || receiver.create.progress_notify);
            prop_assert!(!receiver.ended && receiver.fragment.is_none());
            let now = receiver.create.start_revision == 0;
            prop_assert!(now || receiver.start <= header, "progress of the future");
            prop_assert!(receiver.last_revision <= header && receiver.progress <= header);
            let expected = expected(&self.log, &self.values, &receiver.create, receiver.start);
            let due = expected.iter().take_while(|(revision, ..)| *revision <= header).count();
            prop_assert_eq!(receiver.seen, due, "progress ahead of events");
            receiver.progress = header;
        }
        Ok(())
    }

    /// In the end everybody who was not cancelled has everything.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        self.store.failing.set(false);
        while !self.unpublished.is_empty() {
            self.publish()?;
        }
        self.hub.compacted(self.store.compacted());
        for round in 0.. {
            prop_assert!(round < 10_000, "never settles");
            let more = self.hub.catch_up(&self.store, 3).unwrap();
            self.hub.check();
            let ready = self.hub.ready_streams();
            for client in 0..self.clients.len() {
                self.drain(client, 200)?;
            }
            let waits = self.clients.iter().any(|client| self.hub.has_output(client.stream));
            if !more && !waits && ready.is_empty() && !self.hub.wants_catch_up() {
                break;
            }
        }
        prop_assert_eq!(self.hub.stats().unsynced, 0);
        prop_assert_eq!(self.hub.stats().queued_bytes, 0);
        for client in 0..self.clients.len() {
            self.settle_client(client)?;
        }
        Ok(())
    }

    fn settle_client(&mut self, place: usize) -> Result<(), TestCaseError> {
        let revision = self.hub.revision();
        let client = &self.clients[place];
        prop_assert!(client.answers.is_empty());
        prop_assert!(client.receivers.keys().eq(client.ids.keys()));
        let mut answers = !client.receivers.is_empty();
        for receiver in client.receivers.values() {
            let expected = expected(&self.log, &self.values, &receiver.create, receiver.start);
            prop_assert!(receiver.ended || receiver.seen == expected.len());
            let future = receiver.create.start_revision > revision;
            answers &= !receiver.ended && !future;
        }
        let (stream, before) = (client.stream, client.broadcasts);
        let own = client.ids.contains_key(&WatchId::NONE);
        self.hub.request_progress(stream);
        self.drain(place, usize::MAX)?;
        let broadcasts = self.clients[place].broadcasts - before;
        prop_assert!(own || broadcasts == usize::from(answers));
        Ok(())
    }
}

/// All events of a watcher that starts at `start`: revision, without and with the pair before.
fn expected(
    log: &[RevisionEvents],
    values: &BTreeMap<Revision, Bytes>,
    create: &Create,
    start: i64,
) -> Vec<(i64, Bytes, Bytes)> {
    let mut events = Vec::new();
    let mut newest: BTreeMap<Bytes, Option<Revision>> = BTreeMap::new();
    for batch in log {
        for event in &batch.events {
            let passes = match event.kind {
                EventKind::Put => !create.no_put,
                EventKind::Delete => !create.no_delete,
            };
            if batch.revision < start || !passes || !create.range.contains(&event.key) {
                continue;
            }
            // The pair before the whole revision; none for a put that begins a generation.
            let prev = newest.get(&event.key).copied().flatten();
            let prev = prev.filter(|_| event.prev.is_some());
            let field = |tag: u8, bytes: &Bytes| {
                assert!(bytes.len() < 128, "one byte of length");
                [&[tag, bytes.len().to_le_bytes()[0]], bytes.as_ref()].concat()
            };
            let kind: &[u8] = if event.kind == EventKind::Delete { &[8, 1] } else { &[] };
            let plain = [kind, &field(0x12, &event.kv)].concat();
            let mut with_prev = plain.clone();
            if let Some(prev) = prev.filter(|_| create.prev_kv) {
                with_prev.extend(field(0x1a, &values[&prev]));
            }
            events.push((batch.revision, plain.into(), with_prev.into()));
        }
        for event in &batch.events {
            let put = event.kind == EventKind::Put;
            newest.insert(event.key.clone(), put.then_some(event.revision));
        }
    }
    events
}

proptest! {
    #[test]
    fn every_client_hears_all_of_its_own_and_nothing_else(
        config in config(),
        seed in any::<u64>(),
        actions in proptest::collection::vec(action(), 1..150),
    ) {
        let mut world = World::new(config, seed);
        world.open();
        world.open();
        for action in actions {
            world.act(action)?;
        }
        world.settle()?;
    }
}
