//! A few replicas with their disks and stores, and everything that can go wrong between them.

use crate::checks::{Checks, Store};
use bytes::Bytes;
use drystone_raft::{
    ApplyConfChangeError, ConfChange, ConfChangeKind, Config, Message, MessageKind, Ready,
    Recovered, Replica, Role, SnapshotMeta,
};
use drystone_types::{Applied, Entry, EntryKind, HardState, LogIndex, MemberId, Term};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash};

/// Steps of the network between two ticks of a replica.
pub(crate) const STEPS_PER_TICK: u64 = 10;

const BOOTSTRAP: &str = "bootstrap";

/// How bad the world is. Chances are per thousand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Knobs {
    pub(crate) loss: u32,
    pub(crate) duplication: u32,
    pub(crate) delay_steps_max: u64,
    pub(crate) disk_steps_max: u64,
    pub(crate) apply_steps_max: u64,
    /// Chances a step.
    pub(crate) crash: u32,
    pub(crate) cut: u32,
    pub(crate) heal: u32,
    pub(crate) propose: u32,
    pub(crate) read: u32,
    pub(crate) meddle: u32,
    pub(crate) members: u32,
    /// Entries kept behind the flushed one; few make snapshots needed.
    pub(crate) keep: u64,
}

impl Knobs {
    /// Each seed has a world of its own: some faults are left out, some are wild.
    pub(crate) fn swarm(rng: &mut SmallRng) -> Self {
        let mut some = |max: u32| if rng.random_bool(0.4) { 0 } else { rng.random_range(0..=max) };
        Self {
            loss: some(200),
            duplication: some(200),
            delay_steps_max: u64::from(some(60)),
            disk_steps_max: u64::from(some(60)),
            apply_steps_max: u64::from(some(60)),
            crash: some(8),
            cut: some(15),
            heal: 1 + some(15),
            propose: 30 + some(300),
            read: 30 + some(300),
            meddle: some(10),
            members: some(10),
            keep: u64::from(some(30)),
        }
    }
}

/// What survives a crash.
#[derive(Clone, Debug, Default)]
struct Disk {
    hard_state: HardState,
    start: Applied,
    entries: Vec<Entry>,
    /// The store as last flushed.
    store: Store,
}

impl Disk {
    fn write(&mut self, ready: &Ready, checks: &Checks) {
        if let Some(snapshot) = &ready.snapshot {
            self.start = Applied { index: snapshot.index, term: snapshot.term };
            self.entries.clear();
            self.store = checks.store_at(snapshot.index);
        }
        if let Some(first) = ready.entries.first() {
            self.entries.retain(|entry| entry.index < first.index);
            let end = self.entries.last().map_or(self.start.index, |entry| entry.index);
            assert_eq!(first.index, end.next(), "the log has no gaps");
            self.entries.extend(ready.entries.iter().cloned());
        }
        if let Some(hard_state) = ready.hard_state {
            Checks::hard_state(self.hard_state, hard_state);
            self.hard_state = hard_state;
        }
    }

    fn compact(&mut self, to: LogIndex) {
        if let Some(at) = self.entries.iter().position(|entry| entry.index == to) {
            self.start = Applied { index: to, term: self.entries[at].term };
            self.entries.drain(..=at);
        }
    }
}

pub(crate) struct Node {
    pub(crate) replica: Option<Replica>,
    pub(crate) store: Store,
    disk: Disk,
    writing: VecDeque<(u64, Ready)>,
    applying: VecDeque<(u64, Option<SnapshotMeta>, Vec<Entry>)>,
    /// The last committed entry handed out.
    handed: LogIndex,
    /// Reads without an answer, with what had been acknowledged when they began.
    reads: BTreeMap<Bytes, u64>,
}

pub(crate) struct Net {
    pub(crate) now: u64,
    pub(crate) nodes: BTreeMap<u64, Node>,
    pub(crate) knobs: Knobs,
    pub(crate) checks: Checks,
    pub(crate) rng: SmallRng,
    /// Directed pairs between which nothing passes.
    pub(crate) cut: BTreeSet<(u64, u64)>,
    /// Hash of everything that any replica said.
    pub(crate) trace: Option<DefaultHasher>,
    pub(crate) config: Config,
    wire: BTreeMap<(u64, u64), Message>,
    sent: u64,
    proposed: u64,
}

impl Net {
    /// Voters 1 to `count` on `seed`.
    pub(crate) fn new(count: u64, seed: u64) -> Self {
        let mut net = Self {
            now: 0,
            nodes: BTreeMap::new(),
            knobs: Knobs::default(),
            checks: Checks::default(),
            rng: SmallRng::seed_from_u64(seed),
            cut: BTreeSet::new(),
            trace: None,
            config: Config::new(MemberId(1)),
            wire: BTreeMap::new(),
            sent: 0,
            proposed: 0,
        };
        // As etcd bootstraps: the members are the first entries of everybody's log.
        let entries: Vec<_> = (1..=count)
            .map(|id| {
                let member = MemberId(id);
                let change = ConfChange { member, context: BOOTSTRAP.into(), ..<_>::default() };
                let (term, index, data) = (Term(1), LogIndex(id), change.encode());
                Entry { term, index, kind: EntryKind::ConfChange, data }
            })
            .collect();
        let (term, commit) = (Term(1), LogIndex(count));
        let hard_state = HardState { term, commit, ..HardState::default() };
        for id in 1..=count {
            net.place(id, Disk { hard_state, entries: entries.clone(), ..Disk::default() });
        }
        net
    }

    /// A new member that has heard of nobody.
    pub(crate) fn add(&mut self, id: u64) {
        self.place(id, Disk::default());
    }

    fn place(&mut self, id: u64, disk: Disk) {
        let node = Node {
            replica: None,
            store: Store::default(),
            disk,
            writing: VecDeque::new(),
            applying: VecDeque::new(),
            handed: LogIndex(0),
            reads: BTreeMap::new(),
        };
        self.nodes.insert(id, node);
        self.start(id);
    }

    pub(crate) fn start(&mut self, id: u64) {
        let seed = self.rng.random();
        let node = self.nodes.get_mut(&id).unwrap();
        let Disk { hard_state, start, entries, store } = node.disk.clone();
        let applied = store.index;
        let recovered =
            Recovered { hard_state, start, entries, applied, conf_state: store.conf.clone() };
        let config = Config { id: MemberId(id), ..self.config.clone() };
        let rng = Box::new(SmallRng::seed_from_u64(seed));
        node.replica = Some(Replica::new(config, recovered, rng).unwrap());
        node.store = store;
        node.handed = applied;
    }

    /// Power loss: of what was being written, any part may have reached the disk.
    pub(crate) fn crash(&mut self, id: u64) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.replica = None;
        node.applying.clear();
        node.reads.clear();
        let survived = self.rng.random_range(0..=node.writing.len());
        for (_, ready) in std::mem::take(&mut node.writing).into_iter().take(survived) {
            node.disk.write(&ready, &self.checks);
        }
    }

    fn chance(&mut self, per_thousand: u32) -> bool {
        self.rng.random_range(0..1000) < per_thousand
    }

    fn after(&mut self, steps_max: u64) -> u64 {
        self.now + self.rng.random_range(0..=steps_max)
    }

    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            let lost =
                self.cut.contains(&(message.from.0, message.to.0)) || self.chance(self.knobs.loss);
            let copies = if lost { 0 } else { 1 + u32::from(self.chance(self.knobs.duplication)) };
            if copies == 0 {
                self.lost(&message);
            }
            for _ in 0..copies {
                let at = 1 + self.after(self.knobs.delay_steps_max);
                self.sent += 1;
                self.wire.insert((at, self.sent), message.clone());
            }
        }
    }

    fn lost(&mut self, message: &Message) {
        if message.kind == MessageKind::Snapshot {
            self.report_snapshot(message, false);
        } else if self.chance(200)
            && let Some(replica) = self.replica(message.from.0)
        {
            replica.report_unreachable(message.to);
        }
    }

    fn report_snapshot(&mut self, message: &Message, arrived: bool) {
        if let Some(replica) = self.replica(message.from.0) {
            replica.report_snapshot(message.to, arrived);
        }
    }

    pub(crate) fn replica(&mut self, id: u64) -> Option<&mut Replica> {
        self.nodes.get_mut(&id)?.replica.as_mut()
    }

    pub(crate) fn leader(&self) -> Option<u64> {
        let leads = |node: &Node| {
            let replica = node.replica.as_ref()?;
            (replica.role() == Role::Leader).then(|| replica.term())
        };
        let leaders = self.nodes.iter().filter_map(|(id, node)| Some((leads(node)?, *id)));
        leaders.max().map(|(_, id)| id)
    }

    /// One step of the world.
    pub(crate) fn step(&mut self) {
        self.now += 1;
        self.deliver();
        let ids: Vec<_> = self.nodes.keys().copied().collect();
        for id in &ids {
            if (self.now + id).is_multiple_of(STEPS_PER_TICK)
                && let Some(replica) = self.replica(*id)
            {
                replica.tick();
            }
            self.finish_writes(*id);
            self.finish_applying(*id);
        }
        for id in ids {
            self.drain(id);
        }
    }

    pub(crate) fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            self.step();
        }
    }

    /// Runs until `done`; fails when that takes too long.
    pub(crate) fn run_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..20_000 {
            if done(self) {
                return;
            }
            self.step();
        }
        let states: Vec<_> = self.nodes.values().map(|node| &node.replica).collect();
        panic!("not within 20000 steps: {what}; {states:#?}");
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.wire.first_entry()
            && entry.key().0 <= self.now
        {
            let message = entry.remove();
            let cut = self.cut.contains(&(message.from.0, message.to.0));
            let snapshot = (message.kind == MessageKind::Snapshot).then(|| message.clone());
            let arrived = match self.replica(message.to.0) {
                Some(replica) if !cut => {
                    // Forwarded proposals may be refused; all else is from correct peers.
                    let outcome = replica.step(message);
                    assert!(
                        matches!(
                            outcome,
                            Ok(())
                                | Err(drystone_raft::StepError::Propose(_)
                                    | drystone_raft::StepError::UnknownPeer(_))
                        ),
                        "{outcome:?}"
                    );
                    true
                }
                _ => false,
            };
            if let Some(snapshot) = snapshot {
                self.checks.snapshots += u64::from(arrived);
                self.report_snapshot(&snapshot, arrived);
            }
        }
    }

    fn finish_writes(&mut self, id: u64) {
        let (now, checks) = (self.now, &self.checks);
        let node = self.nodes.get_mut(&id).unwrap();
        let mut messages = Vec::new();
        while node.writing.front().is_some_and(|(at, _)| *at <= now)
            && let Some((_, mut ready)) = node.writing.pop_front()
        {
            node.disk.write(&ready, checks);
            node.replica.as_mut().unwrap().log_persisted(ready.number);
            messages.append(&mut ready.messages_after_persist);
        }
        self.send(messages);
    }

    fn finish_applying(&mut self, id: u64) {
        let (now, checks) = (self.now, &mut self.checks);
        let node = self.nodes.get_mut(&id).unwrap();
        while node.applying.front().is_some_and(|(at, ..)| *at <= now)
            && let Some((_, snapshot, entries)) = node.applying.pop_front()
        {
            if let Some(snapshot) = snapshot {
                node.store = checks.store_at(snapshot.index);
                assert_eq!(node.store.conf, snapshot.conf_state);
            }
            let replica = node.replica.as_mut().unwrap();
            'entries: for entry in entries {
                if entry.kind == EntryKind::ConfChange {
                    let change = ConfChange::decode(&entry.data).unwrap();
                    let change = admit_change(&node.store, change);
                    match replica.apply_conf_change(entry.index, &change) {
                        Ok(conf) => node.store.conf = conf,
                        Err(ApplyConfChangeError::Superseded { .. }) => {
                            node.applying.clear();
                            break 'entries;
                        }
                        Err(error) => panic!("{error}"),
                    }
                    if change.kind == ConfChangeKind::RemoveNode && !change.member.is_none() {
                        node.store.removed.push(change.member.0);
                    }
                }
                node.store.apply(&entry);
                checks.store(&node.store);
            }
            replica.applied_to(node.store.index);
        }
        let flush = self.rng.random_range(0..50) == 0;
        let node = self.nodes.get_mut(&id).unwrap();
        if flush && let Some(replica) = &mut node.replica {
            // A store is flushed only as far as the log is durable.
            let durable = node.disk.entries.last().map_or(node.disk.start.index, |e| e.index);
            if node.store.index <= durable && node.store.index >= node.disk.start.index {
                node.disk.store = node.store.clone();
                let to = LogIndex(node.store.index.0.saturating_sub(self.knobs.keep));
                node.disk.compact(to);
                replica.compact_log(to);
            }
        }
    }

    fn drain(&mut self, id: u64) {
        while let Some(ready) = self.replica(id).and_then(Replica::ready) {
            self.handle(id, ready);
        }
    }

    fn handle(&mut self, id: u64, mut ready: Ready) {
        if let Some(trace) = &mut self.trace {
            (id, format!("{ready:?}")).hash(trace);
        }
        let node = self.nodes.get_mut(&id).unwrap();
        self.checks.ready(id, node.replica.as_ref().unwrap(), &ready);
        for read in std::mem::take(&mut ready.read_states) {
            let floor = node.reads.remove(&read.context).expect("an answer to a read that waits");
            self.checks.read(floor, read.index);
        }
        for context in &ready.reads_dropped {
            node.reads.remove(context).expect("a dropped read was one that waits");
        }
        if let Some(snapshot) = &ready.snapshot {
            assert!(snapshot.index > node.handed);
            node.handed = snapshot.index;
            node.applying.clear();
        }
        for entry in &ready.committed {
            assert_eq!(entry.index, node.handed.next(), "committed entries come in order");
            node.handed = entry.index;
        }
        let committed = std::mem::take(&mut ready.committed);
        let snapshot = ready.snapshot.clone();
        let wanted = std::mem::take(&mut ready.snapshots_wanted);
        let messages = std::mem::take(&mut ready.messages);
        self.send(messages);
        let written = self.after(self.knobs.disk_steps_max);
        let applied = self.after(self.knobs.apply_steps_max);
        let node = self.nodes.get_mut(&id).unwrap();
        // Disks write in order.
        let written = node.writing.back().map_or(written, |(at, _)| written.max(*at));
        if snapshot.is_some() || !committed.is_empty() {
            let applied = node.applying.back().map_or(applied, |(at, ..)| applied.max(*at));
            node.applying.push_back((applied, snapshot, committed));
        }
        node.writing.push_back((written, ready));
        if !wanted.is_empty() {
            self.offer_snapshot(id, &wanted);
        }
    }

    fn offer_snapshot(&mut self, id: u64, to: &[MemberId]) {
        let node = self.nodes.get_mut(&id).unwrap();
        let replica = node.replica.as_mut().unwrap();
        let snapshot = SnapshotMeta {
            conf_state: node.store.conf.clone(),
            index: node.store.index,
            term: node.store.term,
            data: Bytes::new(),
        };
        // Consensus may not have heard yet of all that the store holds.
        if replica.status().applied == node.store.index {
            replica.offer_snapshot(snapshot, to).unwrap();
        }
    }

    /// Proposes something new at `id`.
    pub(crate) fn propose(&mut self, id: u64) -> bool {
        self.proposed += 1;
        let data = Bytes::from(format!("command {}", self.proposed));
        self.replica(id).is_some_and(|replica| replica.propose(data).is_ok())
    }

    /// Begins a read at `id`, under a name that may have been used before.
    pub(crate) fn read(&mut self, id: u64) -> bool {
        let context = Bytes::from(format!("read {}", self.rng.random_range(0..4)));
        let floor = self.checks.newest_commit();
        let Some(node) = self.nodes.get_mut(&id) else { return false };
        let Some(replica) = &mut node.replica else { return false };
        let begun =
            !node.reads.contains_key(&context) && replica.read_index(context.clone()).is_ok();
        if begun {
            node.reads.insert(context, floor);
        }
        begun
    }

    /// Proposes a change of the membership at the leader.
    pub(crate) fn change(&mut self, kind: ConfChangeKind, member: u64) -> bool {
        let change =
            ConfChange { id: self.now, kind, member: MemberId(member), context: "{}".into() };
        let Some(leader) = self.leader() else { return false };
        self.replica(leader).is_some_and(|replica| replica.propose_conf_change(&change).is_ok())
    }

    /// All is well from now on: everybody runs, and everything arrives.
    pub(crate) fn heal(&mut self) {
        let Knobs { keep, .. } = self.knobs;
        self.knobs = Knobs { keep, delay_steps_max: 2, disk_steps_max: 2, ..Knobs::default() };
        self.cut.clear();
        let removed = self.removed();
        let down = self.nodes.iter().filter(|(_, node)| node.replica.is_none());
        let down: Vec<_> = down.map(|(id, _)| *id).collect();
        for id in down {
            if !removed.contains(&id) {
                self.start(id);
            }
        }
    }

    /// Members that were removed, as far as anybody has applied it.
    pub(crate) fn removed(&self) -> Vec<u64> {
        let newest = self.nodes.values().max_by_key(|node| node.store.index).unwrap();
        newest.store.removed.clone()
    }
}

/// What the state machine lets through; all replicas decide alike.
fn admit_change(store: &Store, change: ConfChange) -> ConfChange {
    let voter = store.conf.voters.contains(&change.member);
    let learner = store.conf.learners.contains(&change.member);
    let allowed = match change.kind {
        ConfChangeKind::AddLearnerNode => {
            !voter && !learner && !store.removed.contains(&change.member.0)
        }
        ConfChangeKind::AddNode => learner || change.context == BOOTSTRAP,
        ConfChangeKind::RemoveNode => learner || voter && store.conf.voters.len() > 1,
        ConfChangeKind::UpdateNode => true,
    };
    if allowed { change } else { ConfChange::nothing() }
}
