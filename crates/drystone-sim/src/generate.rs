//! Plans from seeds.

use crate::knobs::Knobs;
use crate::plan::{
    Ask, Compare, CompareTarget, Crash, DiskOp, Fault, Keys, Misread, Moment, Op, Plan, Put, Range,
    Rev, Step, Txn, TxnOp, Watch, What, Who,
};
use crate::random::{Draw, Purpose, stream};
use rand::Rng;
use rand::rngs::StdRng;

/// Numbers of etcd's `AlarmAction`.
const GET: i32 = 0;
const ACTIVATE: i32 = 1;
const DEACTIVATE: i32 = 2;
/// How deep transactions nest here.
const TXN_DEPTH_MAX: u32 = 3;

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let knobs = Knobs::draw(seed);
        let mut steps = Workload::new(seed, &knobs).steps();
        steps.extend(faults(seed, &knobs));
        steps.extend(Operators::new(seed, &knobs).steps());
        steps.extend(crate::rights::steps(seed, &knobs));
        steps.sort_by_key(|step| step.at_ms);
        Self { seed, knobs, steps }
    }
}

/// How often a plan asks for each kind of thing.
struct Weights {
    put: u32,
    delete: u32,
    range: u32,
    txn: u32,
    compact: u32,
    lease: u32,
    watch: u32,
}

struct Workload<'a> {
    rng: StdRng,
    knobs: &'a Knobs,
    weights: Weights,
    next_value: u32,
}

impl<'a> Workload<'a> {
    fn new(seed: u64, knobs: &'a Knobs) -> Self {
        let mut rng = stream(seed, Purpose::Workload);
        let weights = Weights {
            put: rng.random_range(10..40),
            delete: rng.random_range(2..15),
            range: rng.random_range(5..30),
            txn: rng.random_range(5..30),
            compact: rng.random_range(0..6),
            lease: rng.random_range(2..25),
            watch: rng.random_range(3..20),
        };
        Self { rng, knobs, weights, next_value: 0 }
    }

    fn steps(mut self) -> Vec<Step> {
        let mut steps: Vec<Step> = (0..self.knobs.operations)
            .map(|_| Step {
                at_ms: self.rng.random_range(0..self.knobs.duration_ms),
                what: What::Ask(Ask {
                    client: self.rng.random_range(0..self.knobs.clients),
                    member: self.rng.random_range(0..self.knobs.members),
                    retries: self.rng.pick(&[0, 0, 1, 3]),
                    op: self.op(),
                }),
            })
            .collect();
        steps.sort_by_key(|step| step.at_ms);
        steps
    }

    fn op(&mut self) -> Op {
        let w = &self.weights;
        let kinds = [w.put, w.delete, w.range, w.txn, w.compact, w.lease, w.watch];
        let mut draw = self.rng.random_range(0..kinds.iter().sum());
        let kind = kinds.iter().position(|weight| {
            let hit = draw < *weight;
            draw = draw.saturating_sub(*weight);
            hit
        });
        match kind {
            Some(0) => Op::Put(self.put()),
            Some(1) => Op::Delete { keys: self.keys(), prev_kv: self.rng.percent(50) },
            Some(2) => Op::Range(self.range()),
            Some(3) => Op::Txn(self.txn(0)),
            Some(4) => {
                let revision = match self.rng.random_range(0..10) {
                    0 => Rev::Ahead(self.rng.random_range(1..20)),
                    1..=4 => Rev::Back(0),
                    _ => Rev::Back(self.rng.random_range(1..60)),
                };
                Op::Compact { revision, physical: self.rng.percent(30) }
            }
            Some(5) => self.lease(),
            _ => self.watch(),
        }
    }

    fn key(&mut self) -> u16 {
        // Half of everything meets on a few keys.
        let keys = if self.rng.percent(50) { self.knobs.keys.min(4) } else { self.knobs.keys };
        self.rng.random_range(0..keys)
    }

    fn keys(&mut self) -> Keys {
        match self.rng.random_range(0..10) {
            0..=5 => Keys::One(self.key()),
            6 | 7 => {
                let from = self.key();
                Keys::Span(from, from.saturating_add(self.rng.random_range(0..8)))
            }
            8 => Keys::From(self.key()),
            _ => Keys::All,
        }
    }

    fn lease_id(&mut self) -> i64 {
        i64::from(self.rng.random_range(1..=self.knobs.leases))
    }

    fn put(&mut self) -> Put {
        self.next_value += 1;
        let reused = self.rng.percent(15) && self.next_value > 4;
        let value =
            if reused { self.rng.random_range(1..self.next_value) } else { self.next_value };
        Put {
            key: self.key(),
            value,
            value_bytes: if self.rng.percent(10) { 700 } else { 0 },
            lease: if self.rng.percent(30) { self.lease_id() } else { 0 },
            prev_kv: self.rng.percent(30),
            ignore_value: self.rng.percent(6),
            ignore_lease: self.rng.percent(6),
        }
    }

    fn range(&mut self) -> Range {
        let old = self.rng.percent(35);
        let mut bound =
            |percent| self.rng.percent(percent).then(|| Rev::Back(self.rng.random_range(0..60)));
        let [min_mod, max_mod, min_create, max_create] = [bound(8), bound(8), bound(8), bound(8)];
        Range {
            keys: if self.rng.percent(30) { Keys::All } else { self.keys() },
            revision: if old { self.old_revision() } else { Rev::Now },
            limit: if self.rng.percent(30) { self.rng.random_range(1..8) } else { 0 },
            sort_order: self.rng.pick(&[0, 0, 0, 1, 2]),
            sort_target: self.rng.pick(&[0, 0, 0, 1, 2, 3, 4]),
            serializable: self.rng.percent(30),
            keys_only: self.rng.percent(10),
            count_only: self.rng.percent(10),
            min_mod,
            max_mod,
            min_create,
            max_create,
        }
    }

    fn old_revision(&mut self) -> Rev {
        match self.rng.random_range(0..12) {
            10 => Rev::At(self.rng.random_range(-3..2)),
            0 => Rev::Ahead(self.rng.random_range(1..5)),
            1 => Rev::Compacted(self.rng.random_range(-2..3)),
            2 => Rev::Back(0),
            _ => Rev::Back(self.rng.random_range(0..80)),
        }
    }

    fn txn(&mut self, depth: u32) -> Txn {
        let compares = self.rng.random_range(0..3);
        let compare = (0..compares).map(|_| self.compare()).collect();
        let mut used = Vec::new();
        let success = self.txn_ops(depth, &mut used);
        used.clear();
        Txn { compare, success, failure: self.txn_ops(depth, &mut used) }
    }

    /// Operations of one branch; no key is put twice, which etcd refuses.
    fn txn_ops(&mut self, depth: u32, used: &mut Vec<u16>) -> Vec<TxnOp> {
        let count = self.rng.random_range(0..4);
        let mut ops = Vec::new();
        for _ in 0..count {
            let op = match self.rng.random_range(0..10) {
                0..=3 => TxnOp::Put(self.put()),
                4 if self.rng.percent(40) => {
                    let keys = Keys::From(self.key());
                    TxnOp::Delete { keys, prev_kv: self.rng.percent(50) }
                }
                4 | 5 => {
                    TxnOp::Delete { keys: Keys::One(self.key()), prev_kv: self.rng.percent(50) }
                }
                6..=8 => TxnOp::Range(self.range()),
                _ if depth + 1 < TXN_DEPTH_MAX => TxnOp::Txn(self.txn(depth + 1)),
                _ => continue,
            };
            let key = match &op {
                TxnOp::Put(put) => Some(put.key),
                TxnOp::Delete { keys: Keys::One(key), .. } => Some(*key),
                _ => None,
            };
            // Now and then the same key is touched twice, to be refused.
            if key.is_some_and(|key| used.contains(&key)) && !self.rng.percent(5) {
                continue;
            }
            used.extend(key);
            ops.push(op);
        }
        ops
    }

    fn compare(&mut self) -> Compare {
        let target = match self.rng.random_range(0..5) {
            0 => CompareTarget::Version(self.rng.random_range(0..4)),
            1 => CompareTarget::Create(Rev::Back(self.rng.random_range(0..60))),
            2 => CompareTarget::Mod(Rev::Back(self.rng.random_range(0..60))),
            3 => CompareTarget::Value {
                value: self.rng.random_range(0..=self.next_value),
                value_bytes: 0,
            },
            _ => CompareTarget::Lease(self.lease_id()),
        };
        let keys = if self.rng.percent(80) { Keys::One(self.key()) } else { self.keys() };
        Compare { keys, result: self.rng.random_range(0..4), target }
    }

    fn lease(&mut self) -> Op {
        let id = self.lease_id();
        match self.rng.random_range(0..20) {
            0..=6 => Op::Grant { id, ttl: self.rng.pick(&[1, 2, 3, 3, 5, 8]) },
            7 | 8 => Op::Revoke { id },
            9..=15 => Op::KeepAlive { id },
            16..=18 => Op::TimeToLive { id, keys: self.rng.percent(70) },
            _ => Op::Leases,
        }
    }

    fn watch(&mut self) -> Op {
        let stream = self.rng.random_range(0..3);
        match self.rng.random_range(0..20) {
            0..=10 => Op::Watch { stream, watch: self.watch_create() },
            11 | 12 => Op::CancelWatch { stream, watch_id: self.rng.random_range(0..4) },
            13 | 14 => Op::RequestProgress { stream },
            15 => Op::CloseStream { stream },
            _ => Op::StallStream { stream, ms: self.rng.magnitude(10, 5_000) },
        }
    }

    fn watch_create(&mut self) -> Watch {
        let start = match self.rng.random_range(0..20) {
            0..=6 => Rev::Now,
            7..=10 => Rev::Resume,
            11 | 12 => Rev::Back(0),
            13 => Rev::Ahead(self.rng.random_range(1..30)),
            14 | 15 => Rev::Compacted(self.rng.random_range(-1..3)),
            _ => Rev::Back(self.rng.random_range(0..100)),
        };
        Watch {
            keys: if self.rng.percent(40) { Keys::All } else { self.keys() },
            start,
            watch_id: if self.rng.percent(80) { 0 } else { self.rng.random_range(1..6) },
            prev_kv: self.rng.percent(50),
            progress_notify: self.rng.percent(40),
            fragment: self.rng.percent(30),
            no_put: self.rng.percent(10),
            no_delete: self.rng.percent(10),
        }
    }
}

/// Those who change the membership of a seed's cluster, and look after its alarms.
struct Operators<'a> {
    rng: StdRng,
    knobs: &'a Knobs,
    /// Addresses from here on were given to nobody.
    next_address: u16,
}

impl<'a> Operators<'a> {
    fn new(seed: u64, knobs: &'a Knobs) -> Self {
        let rng = stream(seed, Purpose::Members);
        Self { rng, knobs, next_address: u16::from(knobs.members) }
    }

    fn steps(mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for number in 0..self.knobs.changes + self.knobs.alarms {
            let mut at_ms = self.rng.random_range(0..self.knobs.duration_ms);
            let client = self.rng.random_range(0..self.knobs.clients);
            let changes = number < self.knobs.changes;
            for what in if changes { self.change() } else { self.alarm() } {
                let what = match what {
                    Change::Ask(op) => What::Ask(Ask {
                        client,
                        member: self.rng.random(),
                        retries: self.rng.pick(&[0, 1, 3, 6]),
                        op,
                    }),
                    Change::Fault(fault) => What::Fault(fault),
                };
                steps.push(Step { at_ms, what });
                at_ms += self.rng.magnitude(1, 3_000);
            }
        }
        steps
    }

    fn address(&mut self) -> u16 {
        self.rng.random_range(0..self.next_address)
    }

    fn fresh(&mut self) -> u16 {
        self.next_address += 1;
        self.next_address - 1
    }

    fn add(&mut self, address: u16, learner: bool) -> Change {
        let start_ms = self.rng.magnitude(1, 4_000);
        Change::Ask(Op::MemberAdd { address, learner, start_ms })
    }

    fn who(&mut self) -> Who {
        match self.rng.random_range(0..16) {
            0..=4 => Who::At(self.address()),
            5 | 6 => Who::Leader,
            7 | 8 => Who::Asked,
            9..=11 => Who::Down,
            12 | 13 => Who::Learner,
            14 => Who::Removed,
            _ => Who::Nobody,
        }
    }

    /// An alarm that is raised, looked at and cleared, if whoever clears it names it.
    fn alarm(&mut self) -> Vec<Change> {
        let who = self.rng.pick(&[Who::At(0), Who::At(1), Who::Asked, Who::Nobody]);
        let alarm = self.rng.pick(&[1, 1, 1, 2, 0]);
        let op = |action, who, alarm| Change::Ask(Op::Alarm { action, who, alarm });
        let kind = self.rng.pick(&[0, 1, 2]);
        let mut steps = vec![op(ACTIVATE, who, alarm)];
        if self.rng.percent(50) {
            steps.push(op(GET, Who::Nobody, kind));
        }
        if self.rng.percent(10) {
            steps.push(op(DEACTIVATE, Who::Nobody, kind));
        }
        if self.rng.percent(80) {
            steps.push(op(DEACTIVATE, who, alarm));
        }
        steps
    }

    /// What belongs to one change, in order, with time between.
    fn change(&mut self) -> Vec<Change> {
        let ask = Change::Ask;
        match self.rng.random_range(0..20) {
            0..=3 => {
                let address = self.fresh();
                vec![self.add(address, false)]
            }
            4..=6 => {
                // A learner that is to vote, early or late, more than once when in doubt.
                let address = self.fresh();
                let promote = || ask(Op::MemberPromote { who: Who::At(address) });
                vec![self.add(address, true), promote(), promote()]
            }
            7 => {
                // Taken, or that of a member that was removed.
                let (address, learner) = (self.address(), self.rng.percent(30));
                vec![self.add(address, learner)]
            }
            8 => vec![ask(Op::MemberPromote { who: self.who() })],
            9..=12 => vec![ask(Op::MemberRemove { who: self.who() })],
            13 => {
                let fresh = self.rng.percent(60);
                let address = if fresh { self.fresh() } else { self.address() };
                vec![ask(Op::MemberUpdate { who: self.who(), address })]
            }
            14 | 15 => {
                // One whose disk is gone is replaced at its address.
                let member = self.rng.random();
                let lost = Change::Fault(Fault::LoseDisk { member });
                let address = self.rng.random_range(0..u16::from(self.knobs.members));
                vec![
                    lost,
                    ask(Op::MemberRemove { who: Who::Down }),
                    self.add(address, self.knobs.learners_max > 1),
                    ask(Op::MemberPromote { who: Who::At(address) }),
                ]
            }
            16 | 17 => vec![ask(Op::MemberList { linearizable: self.rng.percent(60) })],
            _ => vec![Change::Fault(Fault::MoveLeader { member: self.rng.random() })],
        }
    }
}

/// One part of a change of membership.
enum Change {
    Ask(Op),
    Fault(Fault),
}

/// The faults of a seed. Each seed may have all kinds of them or only a few.
fn faults(seed: u64, knobs: &Knobs) -> Vec<Step> {
    let rng = &mut stream(seed, Purpose::Faults);
    let kinds: Vec<u32> = (0..FAULT_KINDS).filter(|_| rng.percent(45)).collect();
    let all: Vec<u32> = (0..FAULT_KINDS).collect();
    let kinds = if kinds.is_empty() { all } else { kinds };
    let mut lost = 0;
    let mut steps: Vec<Step> = (0..knobs.faults)
        .map(|_| {
            let kind = rng.pick(&kinds);
            let mut fault = draw_fault(rng, knobs, kind);
            if let Fault::LoseDisk { member } = fault {
                // A minority may be lost for good, and not again and again.
                lost += 1;
                if lost * 2 >= knobs.members {
                    fault = Fault::Crash {
                        member,
                        crash: Crash::PowerLose,
                        moment: Moment::Now,
                        ms: 1_000,
                    };
                }
            }
            Step { at_ms: rng.random_range(0..knobs.duration_ms), what: What::Fault(fault) }
        })
        .collect();
    steps.sort_by_key(|step| step.at_ms);
    steps
}

const FAULT_KINDS: u32 = 23;

fn draw_fault(rng: &mut StdRng, knobs: &Knobs, kind: u32) -> Fault {
    let member = rng.random_range(0..knobs.members);
    let other = rng.random_range(0..knobs.members);
    let ms = rng.magnitude(10, 6_000);
    match kind {
        0 => Fault::Crash { member, crash: crash(rng), moment: Moment::Now, ms },
        1 => Fault::Crash { member, crash: crash(rng), moment: moment(rng), ms },
        2 => Fault::CrashAll { crash: crash(rng), ms },
        3 => Fault::Pause { member, ms },
        4 => Fault::PauseLeader { ms },
        5 => Fault::CrashLeader { crash: crash(rng), moment: moment(rng), ms },
        6 => Fault::Cut { from: member, to: other, ms },
        7 => {
            let inward = rng.percent(70);
            Fault::Isolate { member, inward, outward: !inward || rng.percent(60), ms }
        }
        8 => Fault::Bridge { member, ms },
        9 => Fault::Lossy { percent: rng.pick(&[5, 20, 50]), ms },
        10 => Fault::Duplicating { percent: rng.pick(&[10, 50, 90]), ms },
        11 => Fault::Delaying { extra_us: rng.magnitude(1_000, 2_000_000), ms },
        12 => Fault::Flood { from: member, to: other, ms },
        13 => Fault::ClientCut { member, ms },
        14 => Fault::SlowDisk { member, sync_us: rng.magnitude(10_000, 5_000_000), ms },
        15 => Fault::SlowApply { member, apply_us: rng.magnitude(10_000, 1_000_000), ms },
        16 => {
            let op = rng.pick(&[
                DiskOp::Write,
                DiskOp::SyncData,
                DiskOp::Create,
                DiskOp::Rename,
                DiskOp::SyncDir,
                DiskOp::Any,
            ]);
            Fault::FailDisk { member, op, nth: rng.magnitude(1, 20) }
        }
        17 => Fault::FailStore { member, flush: rng.percent(50) },
        18 => Fault::FullDisk { member, room_bytes: rng.magnitude(1, 8 << 10) - 1 },
        19 => match rng.random_range(0..4) {
            0 => Fault::LoseDisk { member },
            _ => Fault::FlipBit { member, place: rng.random(), ms },
        },
        20 => {
            let most = knobs.drift_ppm_max.max(1_000);
            match rng.random_range(0..3) {
                0 => Fault::Jump { member, ms },
                _ => Fault::Drift { member, ppm: rng.random_range(-most..=most) },
            }
        }
        21 => {
            let misread =
                rng.pick(&[Misread::Fails, Misread::Flip, Misread::Stale, Misread::Misdirected]);
            Fault::Misread { member, misread, nth: rng.magnitude(1, 40) }
        }
        _ => Fault::HandOver,
    }
}

fn crash(rng: &mut StdRng) -> Crash {
    rng.pick(&[
        Crash::Kill,
        Crash::PowerKeep,
        Crash::PowerLose,
        Crash::PowerPrefix,
        Crash::PowerScatter,
        Crash::PowerZeros,
    ])
}

fn moment(rng: &mut StdRng) -> Moment {
    rng.pick(&[
        Moment::InSync,
        Moment::AfterSync,
        Moment::AfterApply,
        Moment::AfterInstall,
        Moment::InFlush,
        Moment::InSend,
    ])
}
