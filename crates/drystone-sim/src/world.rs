//! The world: members, disks, links and clients under one clock.

mod apply;
mod ask;
mod client;
mod fault;
mod life;
mod log;
mod members;
mod node;
mod settle;
mod watch;

pub(crate) use ask::response;

use crate::attempt::PANIC;
use crate::clock::Micros;
use crate::host::{Actor, Host};
use crate::judges::Judges;
use crate::knobs::Knobs;
use crate::network::{Fate, Network};
use crate::panics;
use crate::plan::Plan;
use crate::random::{Draw, Purpose, stream};
use crate::report::{Counts, Report};
use crate::trace::Trace;
use client::{Call, Client};
use drystone_backend::MemBackend;
use drystone_judge::{History, LeaseClock, Outcome};
use drystone_member::Founding;
use drystone_raft::{Message, MessageKind};
use drystone_types::{LogIndex, MemberId};
use rand::Rng;
use rand::rngs::StdRng;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use watch::Stream;

/// How often the hub looks at the clock when nothing else wakes it, as the server's does.
const HUB_TICK: Micros = 50_000;
/// How often the leader looks for leases that ran out, as the server's does.
const LEASE_TICK: Micros = 100_000;
/// How long a sender waits before it learns that a snapshot did not get through.
const SNAPSHOT_LOST: Micros = 300_000;
/// Steps after which a run is given up: something goes round in circles.
const EVENTS_MAX: u64 = 3_000_000;

/// Something that is to happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// A thread of a process has something to do.
    Run(usize, u64, Actor),
    Tick(usize, u64),
    Leases(usize, u64),
    HubTick(usize, u64),
    Sweep(usize, u64),
    Synced(usize, u64),
    LogIdle(usize, u64, u64),
    /// What was applied is told.
    News(usize, u64),
    /// A long read ends.
    LongRead(usize, u64, u64),
    Flushed(usize, u64),
    /// A message of a member arrives, with the store that a snapshot brings.
    Deliver(Box<Envelope>),
    SnapshotLost(usize, u64, MemberId),
    /// A request arrives at a member.
    Request(usize, u64, u64),
    /// A member's ask is tried again.
    Again(usize, u64, u64),
    /// The leader's answer to what a member passed on to it.
    Relayed(usize, u64, u64, Box<Outcome>),
    /// An outcome reaches a client.
    Answer(u64, Box<Outcome>),
    Deadline(u64),
    Retry(usize, Box<crate::plan::Ask>),
    /// A piece of a stream arrives.
    Piece(usize, u64),
    /// A stream's client reads on.
    Read(usize),
    /// The next request on a stream arrives at its member.
    Command(usize, u64, usize),
    Step(usize),
    Start(usize, u64),
    /// A member that is served to nobody yet tells the cluster its name again.
    Announce(usize, u64),
    /// A member that was added starts for the first time.
    Join(usize),
    /// A member that was removed ends.
    Retire(usize, u64),
    Settle,
}

/// A message on its way.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) from: usize,
    pub(crate) from_incarnation: u64,
    pub(crate) to: usize,
    pub(crate) message: Message,
    pub(crate) store: Option<MemBackend>,
}

#[derive(Debug)]
struct Due {
    at: Micros,
    number: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Everything there is in one run.
pub(crate) struct World {
    pub(crate) now: Micros,
    pub(crate) seed: u64,
    pub(crate) knobs: Knobs,
    plan: Plan,
    queue: BinaryHeap<Reverse<Due>>,
    next_event: u64,
    pub(crate) hosts: Vec<Host>,
    numbers: BTreeMap<MemberId, usize>,
    founding: Founding,
    pub(crate) network: Network,
    timing: StdRng,
    disk_rng: StdRng,
    elections: StdRng,
    clients: Vec<Client>,
    calls: BTreeMap<u64, Call>,
    /// How long after it was added a member starts, for those that a plan added.
    join_ms: BTreeMap<MemberId, u64>,
    /// The newest membership that an operator was told, by the entry it stands after.
    members_told: u64,
    /// Requests on their way to a member.
    relays: BTreeMap<u64, crate::host::Ask>,
    streams: Vec<Stream>,
    next_id: u64,
    next_client: u64,
    /// Stores that are on their way as snapshots, by sender and index.
    offered: BTreeMap<(usize, LogIndex), MemBackend>,
    pub(crate) history: History,
    pub(crate) judges: Judges,
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
    settle: settle::Settle,
    finished: bool,
}

impl World {
    pub(crate) fn new(plan: Plan, keep_trace: bool) -> Self {
        let (seed, knobs) = (plan.seed, plan.knobs.clone());
        let names: Vec<_> = (0..knobs.members)
            .map(|n| (format!("m{n}"), vec![format!("http://m{n}:2380")]))
            .collect();
        let founding = Founding::new(&names, "sim").expect("names and URLs differ");
        let mut world = Self {
            now: 0,
            seed,
            network: Network::new(seed, &knobs),
            timing: stream(seed, Purpose::Timing),
            disk_rng: stream(seed, Purpose::Disk),
            elections: stream(seed, Purpose::Elections),
            clients: (0..usize::from(knobs.clients)).map(Client::new).collect(),
            judges: Judges::new(&knobs),
            knobs,
            plan,
            queue: BinaryHeap::new(),
            next_event: 0,
            hosts: Vec::new(),
            numbers: BTreeMap::new(),
            founding,
            calls: BTreeMap::new(),
            join_ms: BTreeMap::new(),
            members_told: 0,
            relays: BTreeMap::new(),
            streams: Vec::new(),
            next_id: 1,
            next_client: 1_000,
            offered: BTreeMap::new(),
            history: History {
                lease_clock: LeaseClock { fastest: fault::FASTEST, ..LeaseClock::default() },
                ..History::default()
            },
            trace: Trace::new(keep_trace),
            counts: Counts::default(),
            settle: settle::Settle::default(),
            finished: false,
        };
        world.found();
        world
    }

    /// Runs the plan to its end and judges what happened.
    pub(crate) fn run(mut self) -> Report {
        for n in 0..self.plan.steps.len() {
            self.at(self.plan.steps[n].at_ms * 1_000, Event::Step(n));
        }
        self.at(self.knobs.duration_ms * 1_000, Event::Settle);
        while let Some(Reverse(due)) = self.queue.pop() {
            self.now = due.at;
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.happen(due.event))) {
                self.judges.blame(PANIC, "nobody panics", panics::caught(panic.as_ref()));
                break;
            }
            if self.finished || self.judges.is_full() {
                break;
            }
            if self.next_event > EVENTS_MAX {
                self.judges.blame("liveness", "the run ends", "nothing comes to rest".to_owned());
                break;
            }
        }
        self.report()
    }

    pub(crate) fn at(&mut self, at: Micros, event: Event) {
        self.next_event += 1;
        let due = Due { at: at.max(self.now), number: self.next_event, event };
        self.queue.push(Reverse(due));
    }

    pub(crate) fn after(&mut self, micros: Micros, event: Event) {
        self.at(self.now + micros, event);
    }

    fn between(&mut self, span: (u64, u64)) -> Micros {
        self.timing.random_range(span.0..=span.1)
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// The member that an event is for, with the incarnation that it is for.
    fn addressee(event: &Event) -> Option<(usize, u64)> {
        match event {
            Event::Run(m, incarnation, _)
            | Event::Tick(m, incarnation)
            | Event::Leases(m, incarnation)
            | Event::HubTick(m, incarnation)
            | Event::Sweep(m, incarnation)
            | Event::Synced(m, incarnation)
            | Event::LogIdle(m, incarnation, _)
            | Event::News(m, incarnation)
            | Event::LongRead(m, incarnation, _)
            | Event::Flushed(m, incarnation)
            | Event::SnapshotLost(m, incarnation, _)
            | Event::Request(m, incarnation, _)
            | Event::Again(m, incarnation, _)
            | Event::Relayed(m, incarnation, _, _)
            | Event::Announce(m, incarnation)
            | Event::Retire(m, incarnation)
            | Event::Command(m, incarnation, _) => Some((*m, *incarnation)),
            Event::Deliver(_)
            | Event::Answer(..)
            | Event::Deadline(_)
            | Event::Retry(..)
            | Event::Piece(..)
            | Event::Read(_)
            | Event::Step(_)
            | Event::Start(..)
            | Event::Join(_)
            | Event::Settle => None,
        }
    }

    fn happen(&mut self, event: Event) {
        if let Some((m, incarnation)) = Self::addressee(&event) {
            let host = &self.hosts[m];
            if host.incarnation != incarnation || host.process.is_none() {
                return;
            }
            if self.now < host.paused_until {
                // The disk goes on without the process; it hears of it later.
                self.at(host.paused_until, event);
                return;
            }
        }
        match event {
            Event::Run(m, _, actor) => self.run_actor(m, actor),
            Event::Tick(m, _) => self.tick(m),
            Event::Leases(m, _) => self.leases_due(m),
            Event::HubTick(m, _) => self.hub_tick(m),
            Event::Sweep(m, _) => self.sweep_due(m),
            Event::Synced(m, _) => self.synced(m),
            Event::LogIdle(m, _, round) => self.log_idle(m, round),
            Event::News(m, _) => self.news(m),
            Event::LongRead(m, _, ask) => self.long_read_ends(m, ask),
            Event::Flushed(m, _) => self.store_flushed(m),
            Event::Deliver(envelope) => self.deliver(*envelope),
            Event::SnapshotLost(m, _, to) => self.snapshot_lost(m, to),
            Event::Request(m, _, call) => self.request_arrives(m, call),
            Event::Again(m, _, ask) => self.ask_again(m, ask),
            Event::Relayed(m, _, ask, outcome) => self.relayed(m, ask, *outcome),
            Event::Answer(call, outcome) => self.answer_arrives(call, *outcome),
            Event::Deadline(call) => self.deadline(call),
            Event::Retry(client, ask) => self.retry(client, *ask),
            Event::Piece(stream, at) => self.piece_arrives(stream, at),
            Event::Read(stream) => self.read_stream(stream),
            Event::Command(m, _, stream) => self.hub_command(m, stream),
            Event::Step(n) => self.step(n),
            Event::Start(m, incarnation) => self.start_again(m, incarnation),
            Event::Announce(m, _) => self.confirm_start(m),
            Event::Join(m) => self.join(m),
            Event::Retire(m, _) => self.retire(m),
            Event::Settle => self.settle(),
        }
    }

    fn run_actor(&mut self, m: usize, actor: Actor) {
        if let Some(process) = &mut self.hosts[m].process {
            process.awake[actor as usize] = false;
        }
        match actor {
            Actor::Node => self.run_node(m),
            Actor::Log => self.run_log(m),
            Actor::Apply => self.run_apply(m),
            Actor::Hub => self.run_hub(m),
        }
    }

    /// Lets an actor run soon, once, however often it is woken.
    fn wake(&mut self, m: usize, actor: Actor) {
        let delay = self.between(self.knobs.thread_us);
        let Some(process) = &mut self.hosts[m].process else { return };
        if !std::mem::replace(&mut process.awake[actor as usize], true) {
            let incarnation = self.hosts[m].incarnation;
            self.after(delay, Event::Run(m, incarnation, actor));
        }
    }

    /// Sends messages of a member.
    fn send(&mut self, m: usize, messages: Vec<Message>) {
        let in_send = self.hosts[m]
            .doom
            .is_some_and(|doom| doom.moment == crate::plan::Moment::InSend && messages.len() > 1);
        let keep = if in_send { messages.len() / 2 } else { messages.len() };
        for message in messages.into_iter().take(keep) {
            self.send_one(m, message);
        }
        if in_send {
            self.meet_doom(m);
        }
    }

    fn send_one(&mut self, m: usize, message: Message) {
        let Some(&to) = self.numbers.get(&message.to) else { return };
        self.judges.raft.sent(self.now, m, &message);
        self.counts.messages += 1;
        let snapshot = message.snapshot.as_ref().map(|snapshot| snapshot.index);
        let store = snapshot.and_then(|index| self.offered.get(&(m, index)).cloned());
        let fate = self.network.fate(m, to, self.now, message.kind == MessageKind::Propose);
        self.trace.say(
            self.now,
            format_args!(
                "m{m} to m{to} {:?} term {} index {} entries {} commit {}{} {fate:?}",
                message.kind,
                message.term,
                message.index,
                message.entries.len(),
                message.commit,
                if message.reject { " reject" } else { "" },
            ),
        );
        let from_incarnation = self.hosts[m].incarnation;
        match fate {
            Fate::Lost => {
                self.counts.messages_lost += 1;
                if snapshot.is_some() {
                    let lost = Event::SnapshotLost(m, from_incarnation, self.hosts[to].id);
                    self.after(SNAPSHOT_LOST, lost);
                } else if self.timing.percent(20) {
                    self.unreachable(m, to);
                }
            }
            Fate::Arrives(times) => {
                self.counts.messages_doubled += times.len() as u64 - 1;
                for at in times {
                    let store = store.as_ref().map(MemBackend::fork);
                    let message = message.clone();
                    let envelope = Envelope { from: m, from_incarnation, to, message, store };
                    self.at(at, Event::Deliver(Box::new(envelope)));
                }
            }
        }
    }

    fn unreachable(&mut self, m: usize, to: usize) {
        let id = self.hosts[to].id;
        self.input(m, crate::host::Input::Unreachable(id));
    }

    fn deliver(&mut self, envelope: Envelope) {
        let Envelope { from, from_incarnation, to, message, store } = envelope;
        let host = &self.hosts[to];
        if host.process.is_some() && self.now < host.paused_until {
            let until = host.paused_until;
            let envelope = Envelope { from, from_incarnation, to, message, store };
            self.at(until, Event::Deliver(Box::new(envelope)));
            return;
        }
        if self.refuses_removed(to, from) {
            return self.tell_removed(from, from_incarnation, to);
        }
        let snapshot = message.snapshot.as_ref().map(|snapshot| snapshot.index);
        let arrived = self.receive(to, message, store);
        let sender_lives = self.hosts[from].incarnation == from_incarnation;
        if snapshot.is_some() && sender_lives {
            let id = self.hosts[to].id;
            self.input(from, crate::host::Input::SnapshotSent(id, arrived));
        }
    }

    fn receive(&mut self, to: usize, message: Message, store: Option<MemBackend>) -> bool {
        let Host { process: Some(process), disks: Some(disks), .. } = &mut self.hosts[to] else {
            return false;
        };
        if process.inbox.len() >= self.knobs.inbox_max {
            self.counts.messages_lost += 1;
            return false;
        }
        if let Some(snapshot) = &message.snapshot {
            let Some(store) = store else { return false };
            disks.received.insert(snapshot.index, store);
        }
        self.input(to, crate::host::Input::Peer(message));
        true
    }

    fn snapshot_lost(&mut self, m: usize, to: MemberId) {
        self.input(m, crate::host::Input::SnapshotSent(to, false));
    }

    /// Puts something into a member's inbox and wakes it.
    fn input(&mut self, m: usize, input: crate::host::Input) {
        if let Some(process) = &mut self.hosts[m].process {
            process.inbox.push_back(input);
            self.wake(m, Actor::Node);
        }
    }

    /// The member that leads in the highest term, if it still thinks so.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.hosts
            .iter()
            .enumerate()
            .filter_map(|(m, host)| Some((m, host.process.as_ref()?.leadership)))
            .filter(|(_, leadership)| leadership.is_leader)
            .max_by_key(|(_, leadership)| leadership.term)
            .map(|(m, _)| m)
    }
}
