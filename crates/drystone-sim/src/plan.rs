//! What is done to a cluster, and when: operations of clients and faults, as data.
//!
//! A plan is drawn from a seed and then does not need its generator any more: a failing run is
//! kept as its plan, which goes on meaning the same when generators change. It is kept as JSON
//! ([`crate::Kept`]): fields that are new since then are their type's default in it, so a new
//! field's default must mean what was done before there was one, and a new field of a variant
//! needs its own `#[serde(default)]`. Fields that went are passed over.

use crate::knobs::Knobs;
use crate::rights::AuthOp;
use serde::{Deserialize, Serialize};

/// A run, as it is to happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Decides everything that the steps do not say: delays, losses, elections, torn sectors.
    pub seed: u64,
    /// How the cluster is set.
    pub knobs: Knobs,
    /// What happens, by time.
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When, since the start. A client that is still busy begins when it is done.
    pub at_ms: u64,
    /// What.
    pub what: What,
}

/// What happens in a [`Step`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum What {
    /// A client asks for something.
    Ask(Ask),
    /// Something goes wrong.
    Fault(Fault),
}

/// A client's request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// Which client.
    pub client: u8,
    /// Which member it turns to first.
    pub member: u8,
    /// How often it tries again, at the next member each time, when it was turned away or does
    /// not know what came of it.
    pub retries: u8,
    /// What it asks.
    pub op: Op,
}

/// Which keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Keys {
    /// One key.
    One(u16),
    /// From the first up to, not including, the second.
    Span(u16, u16),
    /// From this one on.
    From(u16),
    /// All of them.
    #[default]
    All,
}

/// A revision, as the client sees it when it asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Rev {
    /// Zero: the newest, or from now on.
    #[default]
    Now,
    /// So many before the newest that the client has seen.
    Back(i64),
    /// So many after it.
    Ahead(i64),
    /// So many after the newest compaction that the client asked for; 0 is the compacted
    /// revision itself.
    Compacted(i64),
    /// This number itself, also one that cannot be.
    At(i64),
    /// Just after the last event that was heard on the same stream.
    Resume,
}

/// What a client asks. The fields are those of etcd's request of the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is a request of etcd's API or one on a watch stream")]
pub enum Op {
    Put(Put),
    Delete {
        keys: Keys,
        prev_kv: bool,
    },
    Range(Range),
    Txn(Txn),
    Compact {
        revision: Rev,
        physical: bool,
    },
    Grant {
        id: i64,
        ttl: i64,
    },
    Revoke {
        id: i64,
    },
    KeepAlive {
        id: i64,
    },
    TimeToLive {
        id: i64,
        keys: bool,
    },
    Leases,
    Watch {
        stream: u8,
        watch: Watch,
    },
    CancelWatch {
        stream: u8,
        watch_id: i64,
    },
    RequestProgress {
        stream: u8,
    },
    CloseStream {
        stream: u8,
    },
    /// Reads nothing from the stream for a while.
    StallStream {
        stream: u8,
        ms: u64,
    },
    /// Adds a member at an address. Its process starts on an empty disk so long after the first
    /// member applied that.
    MemberAdd {
        address: u16,
        learner: bool,
        start_ms: u64,
    },
    MemberRemove {
        who: Who,
    },
    /// Gives a member the URL of another address.
    MemberUpdate {
        who: Who,
        address: u16,
    },
    MemberPromote {
        who: Who,
    },
    MemberList {
        linearizable: bool,
    },
    /// Changes users, roles or permissions.
    Auth(AuthOp),
    /// `action` and `alarm` are the numbers of etcd's enumerations.
    Alarm {
        action: i32,
        who: Who,
        alarm: i32,
    },
}

/// A member, as an operator sees the cluster when it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    /// The newest member at an address; the founding ones are at those from 0 on.
    At(u16),
    /// Whoever leads.
    Leader,
    /// The member that is asked.
    Asked,
    /// A member whose process does not run, one that lost its disk before others.
    Down,
    /// A learner.
    Learner,
    /// One that was removed.
    Removed,
    /// An id that no member ever had.
    Nobody,
    /// The member with this id.
    Id(u64),
}

/// A put. The value is made from a number that no other put of the plan has, unless it is to
/// meet another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "fields of etcd's PutRequest")]
pub struct Put {
    pub key: u16,
    pub value: u32,
    pub value_bytes: u16,
    pub lease: i64,
    pub prev_kv: bool,
    pub ignore_value: bool,
    pub ignore_lease: bool,
}

/// A range.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "fields of etcd's RangeRequest")]
pub struct Range {
    pub keys: Keys,
    pub revision: Rev,
    pub limit: i64,
    pub sort_order: i32,
    pub sort_target: i32,
    pub serializable: bool,
    pub keys_only: bool,
    pub count_only: bool,
    pub min_mod: Option<Rev>,
    pub max_mod: Option<Rev>,
    pub min_create: Option<Rev>,
    pub max_create: Option<Rev>,
}

/// A transaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "fields of etcd's TxnRequest")]
pub struct Txn {
    pub compare: Vec<Compare>,
    pub success: Vec<TxnOp>,
    pub failure: Vec<TxnOp>,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "fields of etcd's Compare")]
pub struct Compare {
    pub keys: Keys,
    pub result: i32,
    pub target: CompareTarget,
}

/// What is compared with what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "targets of etcd's Compare")]
pub enum CompareTarget {
    Version(i64),
    Create(Rev),
    Mod(Rev),
    Value { value: u32, value_bytes: u16 },
    Lease(i64),
}

/// An operation of a transaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "alternatives of etcd's RequestOp")]
pub enum TxnOp {
    Put(Put),
    Delete { keys: Keys, prev_kv: bool },
    Range(Range),
    Txn(Txn),
}

/// A watch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "fields of etcd's WatchCreateRequest")]
pub struct Watch {
    pub keys: Keys,
    pub start: Rev,
    pub watch_id: i64,
    pub prev_kv: bool,
    pub progress_notify: bool,
    pub fragment: bool,
    pub no_put: bool,
    pub no_delete: bool,
}

/// What a crash leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Crash {
    /// The process dies; the operating system still writes everything.
    Kill,
    /// The power fails and everything had been written by chance.
    PowerKeep,
    /// The power fails and nothing had.
    PowerLose,
    /// The power fails and the first part had.
    PowerPrefix,
    /// The power fails and any sectors had, in any order.
    PowerScatter,
    /// The power fails; where data had not been written there are zeros.
    PowerZeros,
}

/// Where a crash comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Moment {
    /// At once.
    Now,
    /// In the middle of the next sync of the log.
    InSync,
    /// After the next sync of the log, before anybody hears of it.
    AfterSync,
    /// After the next batch was applied, before anybody hears of it.
    AfterApply,
    /// Soon after the next snapshot was taken over.
    AfterInstall,
    /// In the middle of the next flush of the store.
    InFlush,
    /// Between two messages of the next bunch.
    InSend,
}

/// Something that goes wrong. `ms` is for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "members are numbered from 0 by ascending id; see each variant")]
pub enum Fault {
    /// One member dies and comes back.
    Crash { member: u8, crash: Crash, moment: Moment, ms: u64 },
    /// All die at the same moment and come back.
    CrashAll { crash: Crash, ms: u64 },
    /// A process is stopped (SIGSTOP); what is sent to it waits.
    Pause { member: u8, ms: u64 },
    /// Whoever leads is stopped.
    PauseLeader { ms: u64 },
    /// Whoever leads dies.
    CrashLeader { crash: Crash, moment: Moment, ms: u64 },
    /// Nothing gets through from one member to another.
    Cut { from: u8, to: u8, ms: u64 },
    /// A member hears nobody, is heard by nobody, or both.
    Isolate { member: u8, inward: bool, outward: bool, ms: u64 },
    /// The others reach this member and not each other.
    Bridge { member: u8, ms: u64 },
    /// So many messages in a hundred are lost.
    Lossy { percent: u32, ms: u64 },
    /// So many messages in a hundred come twice.
    Duplicating { percent: u32, ms: u64 },
    /// Messages take up to so much longer, each by itself, so that they overtake each other.
    Delaying { extra_us: u64, ms: u64 },
    /// What is sent from one member to another is held back and then comes all at once.
    Flood { from: u8, to: u8, ms: u64 },
    /// Clients do not reach a member.
    ClientCut { member: u8, ms: u64 },
    /// Syncs of the log take so much longer.
    SlowDisk { member: u8, sync_us: u64, ms: u64 },
    /// Applying takes so much longer.
    SlowApply { member: u8, apply_us: u64, ms: u64 },
    /// The `nth` operation on the log's disk from now on fails; the process must end. It is
    /// mended when the member starts again, as after the two that follow.
    FailDisk { member: u8, op: DiskOp, nth: u64 },
    /// The `nth` read of the log's disk from now on goes wrong once, though the disk is sound:
    /// it matters when the log is opened.
    Misread { member: u8, misread: Misread, nth: u64 },
    /// The store's next write or flush fails; the process must end.
    FailStore { member: u8, flush: bool },
    /// The log's disk has so little room left.
    FullDisk { member: u8, room_bytes: u64 },
    /// A member dies, and a bit of its log flips while it is down.
    FlipBit { member: u8, place: u64, ms: u64 },
    /// The disk is lost for good. The member must not come back on an empty one.
    LoseDisk { member: u8 },
    /// A clock begins to gain or lose.
    Drift { member: u8, ppm: i64 },
    /// A clock leaps forward.
    Jump { member: u8, ms: u64 },
    /// The leader is asked to hand over, to whoever is furthest along.
    HandOver,
    /// The leader is asked to hand over to this member, whether it votes or not.
    MoveLeader { member: u8 },
}

/// How a read goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Misread {
    /// It fails.
    Fails,
    /// A bit of it is wrong.
    Flip,
    /// A sector is what it was before.
    Stale,
    /// A sector is another one.
    Misdirected,
}

/// Operations on a disk that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "operations of the log's Disk")]
pub enum DiskOp {
    Write,
    SyncData,
    Create,
    Rename,
    SyncDir,
    Any,
}
