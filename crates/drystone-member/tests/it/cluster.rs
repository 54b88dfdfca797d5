//! Members in one thread, over simulated disks and a network that loses messages.

use bytes::Bytes;
use drystone_api::etcdserverpb::{
    InternalRaftRequest, LeaseGrantRequest, PutRequest, RequestHeader,
};
use drystone_backend::{Backend, MemBackend};
use drystone_machine::{Answer, Machine, MachineConfig};
use drystone_member::{
    Applier, ApplierConfig, ForcedFrom, Founding, LogWriter, Node, NodeConfig, Work, force_alone,
};
use drystone_raft::{Config, Message, Recovered, Replica};
use drystone_types::{Applied, LogIndex, MemberId};
use drystone_wal::testing::{CrashMode, SimDisk};
use drystone_wal::{Identity, Wal};
use prost::Message as _;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const DIR: &str = "/wal";

/// One member with its disks. A crash drops everything but the disks.
struct Member {
    id: MemberId,
    disk: SimDisk,
    store: MemBackend,
    node: Node<u64>,
    log: LogWriter,
    applier: Applier<u64>,
    snapshots: BTreeMap<LogIndex, MemBackend>,
}

pub(crate) struct Cluster {
    founding: Founding,
    members: BTreeMap<MemberId, Option<Member>>,
    down: BTreeMap<MemberId, (SimDisk, MemBackend)>,
    network: VecDeque<Message>,
    /// Stores offered as snapshots, as a shared file system would hold them.
    offered: BTreeMap<(MemberId, LogIndex), MemBackend>,
    pub(crate) answers: BTreeMap<u64, i64>,
    pub(crate) reads: BTreeMap<u64, i64>,
    rng: StdRng,
    now: Duration,
    pub(crate) loss: f64,
    catchup_entries: u64,
}

fn wal_config() -> drystone_wal::Config {
    drystone_wal::Config { segment_bytes: 8 << 10, ..drystone_wal::Config::default() }
}

impl Cluster {
    pub(crate) fn new(count: u16, seed: u64, catchup_entries: u64) -> Self {
        let names: Vec<_> =
            (0..count).map(|n| (format!("m{n}"), vec![format!("http://m{n}:1")])).collect();
        let founding = Founding::new(&names, "test").unwrap();
        let mut cluster = Self {
            members: BTreeMap::new(),
            down: BTreeMap::new(),
            network: VecDeque::new(),
            offered: BTreeMap::new(),
            answers: BTreeMap::new(),
            reads: BTreeMap::new(),
            rng: StdRng::seed_from_u64(seed),
            now: Duration::ZERO,
            loss: 0.0,
            catchup_entries,
            founding,
        };
        for member in cluster.founding.members.clone() {
            let disk = SimDisk::new(cluster.rng.random());
            let identity = cluster.identity(member.member_id());
            let (entries, hard_state) = cluster.founding.log();
            let mut wal =
                Wal::create(Arc::new(disk.clone()), Path::new(DIR), wal_config(), identity)
                    .unwrap();
            wal.append_and_sync(&entries, Some(hard_state)).unwrap();
            drop(wal);
            cluster.down.insert(member.member_id(), (disk, MemBackend::new()));
            cluster.start(member.member_id());
        }
        cluster
    }

    fn identity(&self, member: MemberId) -> Identity {
        Identity { cluster: self.founding.cluster, member }
    }

    pub(crate) fn ids(&self) -> Vec<MemberId> {
        self.members.keys().copied().collect()
    }

    pub(crate) fn start(&mut self, id: MemberId) {
        let (disk, store) = self.down.remove(&id).unwrap();
        let (wal, recovered) = Wal::open(
            Arc::new(disk.clone()),
            Path::new(DIR),
            wal_config(),
            self.identity(id),
            LogIndex(0),
        )
        .unwrap();
        let config = ApplierConfig {
            machine: MachineConfig::default(),
            flush_entries: 20,
            lease_extend: Duration::from_secs(1),
            expiries_max: 100,
            checkpoints_max: 100,
        };
        let applier = Applier::open(Arc::new(store.clone()), config).unwrap();
        let applied = applier.machine().applied().index;
        let replica = Replica::new(
            Config::new(id),
            Recovered {
                hard_state: recovered.hard_state,
                conf_state: applier.machine().membership().conf_state(),
                start: Applied { index: recovered.before.index, term: recovered.before.term },
                entries: recovered.entries,
                applied,
            },
            Box::new(StdRng::seed_from_u64(self.rng.random())),
        )
        .unwrap();
        let node_config = NodeConfig {
            catchup_entries: self.catchup_entries,
            snapshot_hold_ticks: 20,
            first_read_context: self.rng.random(),
            ..NodeConfig::default()
        };
        let node = Node::new(node_config, replica, applied, applied);
        let log = LogWriter::new(wal);
        let member = Member { id, disk, store, node, log, applier, snapshots: BTreeMap::new() };
        self.members.insert(id, Some(member));
    }

    /// Ends a member at once; its disk keeps, loses or tears what was not synced.
    pub(crate) fn crash(&mut self, id: MemberId, mode: CrashMode) {
        let Some(member) = self.members.insert(id, None).flatten() else { return };
        let Member { disk, store, .. } = member;
        let keep = self.rng.random_range(0..=store.unflushed());
        let store = store.crash(keep);
        disk.crash(mode);
        self.down.insert(id, (disk, store));
    }

    /// Which of the members that are down has the most of the log.
    pub(crate) fn furthest(&self) -> MemberId {
        let end = |id: MemberId| {
            let disk = Arc::new(self.down[&id].0.clone());
            let (_, log) =
                Wal::open(disk, Path::new(DIR), wal_config(), self.identity(id), LogIndex(0))
                    .unwrap();
            (log.last.term, log.last.index)
        };
        self.down.keys().copied().max_by_key(|id| end(*id)).unwrap()
    }

    /// Makes a member that is down the only one, and forgets the others.
    pub(crate) fn force(&mut self, id: MemberId) {
        let (disk, store) = self.down.remove(&id).unwrap();
        let machine = Machine::open(Arc::new(store.clone()), MachineConfig::default()).unwrap();
        let (mut wal, log) = Wal::open(
            Arc::new(disk.clone()),
            Path::new(DIR),
            wal_config(),
            self.identity(id),
            LogIndex(0),
        )
        .unwrap();
        let from = ForcedFrom {
            membership: machine.membership(),
            applied: machine.applied().index,
            hard_state: log.hard_state,
            entries: &log.entries,
            last: log.last.index,
            learners_max: 1,
        };
        let forced = force_alone(id, &[], from).unwrap();
        wal.append_and_sync(&forced.entries, Some(forced.hard_state)).unwrap();
        drop(wal);
        self.members.clear();
        self.down.clear();
        self.network.clear();
        self.down.insert(id, (disk, store));
    }

    pub(crate) fn members_of(&self, id: MemberId) -> Vec<MemberId> {
        let member = self.members[&id].as_ref().unwrap();
        member.applier.machine().membership().conf_state().voters
    }

    pub(crate) fn is_up(&self, id: MemberId) -> bool {
        self.members[&id].is_some()
    }

    pub(crate) fn leader(&self) -> Option<MemberId> {
        self.members
            .values()
            .flatten()
            .filter(|member| member.node.leadership().is_leader)
            .max_by_key(|member| member.node.leadership().term)
            .map(|member| member.id)
    }

    /// Proposes a put at a member; whether it was taken is not an answer yet.
    pub(crate) fn put(&mut self, at: MemberId, request: u64, key: &str) -> bool {
        let command = InternalRaftRequest {
            header: Some(RequestHeader { id: request, ..Default::default() }),
            put: Some(PutRequest {
                key: Bytes::copy_from_slice(key.as_bytes()),
                value: request.to_string().into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let Some(member) = self.members.get_mut(&at).and_then(Option::as_mut) else {
            return false;
        };
        member.node.propose(command.encode_to_vec().into()).is_ok()
    }

    /// Proposes the grant of a lease at a member; whether it was taken is not an answer yet.
    pub(crate) fn grant(&mut self, at: MemberId, id: i64, ttl: i64) -> bool {
        let command = InternalRaftRequest {
            header: Some(RequestHeader::default()),
            lease_grant: Some(LeaseGrantRequest { id, ttl }),
            ..Default::default()
        };
        let member = self.members.get_mut(&at).and_then(Option::as_mut);
        member.is_some_and(|member| member.node.propose(command.encode_to_vec().into()).is_ok())
    }

    /// The seconds that are left of a lease, as a member knows it.
    pub(crate) fn remaining(&self, at: MemberId, id: i64) -> Option<i64> {
        let machine = self.members[&at].as_ref().unwrap().applier.machine();
        let left = machine.time_to_live(drystone_types::LeaseId(id), self.now, false)?;
        Some(left.remaining_seconds)
    }

    pub(crate) fn read(&mut self, at: MemberId, read: u64) -> bool {
        self.members
            .get_mut(&at)
            .and_then(Option::as_mut)
            .is_some_and(|member| member.node.read(read).is_ok())
    }

    /// One tick of every clock, and everything that follows from it.
    pub(crate) fn tick(&mut self) {
        self.now += Duration::from_millis(100);
        for id in self.ids() {
            if let Some(member) = self.members.get_mut(&id).and_then(Option::as_mut) {
                member.node.tick();
                for command in member.applier.lease_commands(self.now) {
                    // What is refused is decided again.
                    let _ = member.node.propose_as_leader(command);
                }
            }
        }
        self.settle();
    }

    pub(crate) fn ticks(&mut self, count: usize) {
        for _ in 0..count {
            self.tick();
        }
    }

    /// Carries out effects and delivers messages until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut busy = false;
            for id in self.ids() {
                busy |= self.work(id);
            }
            if let Some(message) = self.network.pop_front() {
                busy = true;
                self.deliver(message);
            }
            if !busy {
                return;
            }
        }
    }

    fn deliver(&mut self, message: Message) {
        let lost = self.rng.random_bool(self.loss);
        let offered = message
            .snapshot
            .as_ref()
            .map(|snapshot| self.offered.get(&(message.from, snapshot.index)).cloned());
        let (from, to) = (message.from, message.to);
        let receiver = self.members.get_mut(&to).and_then(Option::as_mut);
        let delivered = !lost && receiver.is_some();
        if let (true, Some(member)) = (delivered, receiver) {
            if let (Some(Some(store)), Some(snapshot)) = (&offered, &message.snapshot) {
                member.snapshots.insert(snapshot.index, store.fork());
            }
            // What a receiver refuses, it refuses for good reason.
            let _ = member.node.receive(message);
        }
        if offered.is_some()
            && let Some(sender) = self.members.get_mut(&from).and_then(Option::as_mut)
        {
            sender.node.snapshot_sent(to, delivered);
        }
    }

    fn work(&mut self, id: MemberId) -> bool {
        let now = self.now;
        let Some(member) = self.members.get_mut(&id).and_then(Option::as_mut) else {
            return false;
        };
        let effects = member.node.effects();
        let mut busy = false;
        if let Some(leadership) = effects.leadership {
            member.applier.lead(leadership);
            busy = true;
        }
        self.network.extend(effects.send);
        for append in effects.append {
            busy = true;
            member.log.append(append).unwrap();
        }
        let persisted = member.log.sync().unwrap();
        if let Some(number) = persisted.number {
            member.node.persisted(number);
        }
        self.network.extend(persisted.send);
        if let Some(upto) = effects.compact_log {
            member.log.compact(upto).unwrap();
        }
        for (index, reads) in effects.reads {
            busy = true;
            let revision = member.applier.machine().reader().revision();
            for read in member.applier.read(index, reads) {
                self.reads.insert(read, revision);
            }
        }
        for work in effects.apply {
            busy = true;
            let done = match work {
                Work::Entries(entries) => member.applier.apply(&entries, now).unwrap(),
                Work::Install { snapshot, .. } => {
                    let store = member.snapshots.remove(&snapshot.index).unwrap();
                    store.flush().unwrap();
                    member.store = store;
                    member.applier.install(Arc::new(member.store.clone())).unwrap()
                }
            };
            for (index, change) in done.membership {
                let _ = member.node.membership_changed(index, &change);
            }
            let revision = member.applier.machine().reader().revision();
            for read in done.reads {
                self.reads.insert(read, revision);
            }
            for outcome in done.outcomes {
                if let Ok(Answer::Put(put)) = outcome.answer {
                    self.answers.insert(outcome.request, put.header.unwrap().revision);
                }
            }
            member.node.applied(done.applied.index);
            if done.flush_wanted {
                let durable = member.store.flush().unwrap();
                member.node.flushed(durable.index);
            }
        }
        for to in effects.snapshots_wanted {
            busy = true;
            let machine = member.applier.machine();
            let applied = machine.applied();
            let meta = drystone_raft::SnapshotMeta {
                conf_state: machine.membership().conf_state(),
                index: applied.index,
                term: applied.term,
                data: Bytes::new(),
            };
            self.offered.insert((id, applied.index), member.store.fork());
            let _ = member.node.snapshot_ready(to, meta);
        }
        busy
    }

    /// What a member holds, as a digest and the revision it was taken at.
    pub(crate) fn digest(&self, id: MemberId) -> (i64, u32) {
        let member = self.members[&id].as_ref().unwrap();
        let snapshot = member.applier.machine().reader().snapshot();
        (snapshot.revision(), snapshot.hash_kv(0).unwrap().hash)
    }

    pub(crate) fn random(&mut self, below: u64) -> u64 {
        self.rng.random_range(0..below)
    }
}
