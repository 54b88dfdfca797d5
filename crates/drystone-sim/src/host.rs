//! A machine with its disks, and the member that runs on it, if it runs.

use crate::clock::{Clock, Micros};
use crate::plan::{Crash, Moment};
use bytes::Bytes;
use drystone_api::etcdserverpb::WatchCreateRequest;
use drystone_backend::MemBackend;
use drystone_judge::Request;
use drystone_machine::Change;
use drystone_member::{
    Append, Applier, Done, Feed, LeaderCommand, Leadership, LogWriter, Node, Work,
};
use drystone_mvcc::Snapshot;
use drystone_raft::{ConfChange, Message, SnapshotMeta};
use drystone_types::{HardState, LeaseId, LogIndex, MemberId, Term};
use drystone_wal::testing::SimDisk;
use drystone_watch::{Hub, StreamId, WatchId};
use std::collections::{BTreeMap, VecDeque};

/// Stands for a linearizable read: the ask that waits for it.
pub(crate) type Token = u64;

/// What survives a process.
#[derive(Debug)]
pub(crate) struct Disks {
    pub(crate) log: SimDisk,
    pub(crate) store: MemBackend,
    /// Snapshots that were received whole, by their index.
    pub(crate) received: BTreeMap<LogIndex, MemBackend>,
}

/// A machine.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) id: MemberId,
    /// Which address it has.
    pub(crate) address: u16,
    /// Nothing before it has started for the first time, and once the disk is lost.
    pub(crate) disks: Option<Disks>,
    /// It was added and has not started yet.
    pub(crate) is_awaited: bool,
    /// Somebody knows that it was removed.
    pub(crate) is_removed: bool,
    /// It was removed, and it has ended for good.
    pub(crate) is_retired: bool,
    /// When its process started.
    pub(crate) up_since: Micros,
    pub(crate) process: Option<Process>,
    /// Raised at each start and end: what was meant for an earlier process reaches nobody.
    pub(crate) incarnation: u64,
    pub(crate) clock: Clock,
    pub(crate) leaps: u32,
    pub(crate) paused_until: Micros,
    /// Until when syncs take longer, and by how much.
    pub(crate) slow_disk: (Micros, Micros),
    pub(crate) slow_apply: (Micros, Micros),
    /// A crash that waits for its moment.
    pub(crate) doom: Option<Doom>,
    /// A fault of a disk may end the process at any time.
    pub(crate) impaired: bool,
}

/// A crash to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doom {
    pub(crate) crash: Crash,
    pub(crate) moment: Moment,
    pub(crate) ms: u64,
}

/// The threads of a process, each an actor here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    Node,
    Log,
    Apply,
    Hub,
}

/// What the node takes in: as the server's member thread does.
#[derive(Debug)]
pub(crate) enum Input {
    Propose {
        id: u64,
        data: Bytes,
    },
    Change {
        id: u64,
        change: Change,
    },
    /// Looks whether a learner has caught up, on behalf of an ask.
    CheckLearner(MemberId, u64),
    Lead(LeaderCommand),
    Read(Token),
    Peer(Message),
    Unreachable(MemberId),
    SnapshotSent(MemberId, bool),
    SnapshotReady(MemberId, SnapshotMeta),
    Membership(LogIndex, ConfChange),
    HandOver,
    Transfer(MemberId),
}

#[derive(Debug)]
pub(crate) enum LogInput {
    Append(Append),
    Compact(LogIndex),
}

#[derive(Debug)]
pub(crate) enum ApplyInput {
    Work(VecDeque<Work>),
    Reads(LogIndex, Vec<Token>),
    Lead(Leadership),
    Renew(LeaseId, u64),
    TimeToLive(LeaseId, bool, u64),
    Leases(u64),
    Swept(u64),
    Snapshot(MemberId),
}

#[derive(Debug)]
pub(crate) enum HubCommand {
    Open(usize),
    Close(usize),
    Create(usize, WatchCreateRequest),
    Cancel(usize, WatchId),
    Progress(usize),
    Drained(usize),
}

/// Who waits for the answer to an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A client's call, by its number.
    Client,
    /// Another member that passed it on, and its own ask.
    Member(usize, u64),
}

/// A request that is being served.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) origin: Origin,
    pub(crate) request: Request,
    pub(crate) until: Micros,
    pub(crate) stage: Stage,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A read waits for its index, or a command for its application.
    Waiting,
    /// A renewal waits for the log to forget a shorter remainder; then the lease lives so many
    /// seconds.
    Checkpoint(i64),
    /// A renewal waits for the leader's answer, or for the next try; then the header was taken
    /// at this revision.
    Forwarded,
}

/// One stream's way out.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) id: StreamId,
    /// Pieces on their way or not read yet.
    pub(crate) pieces: usize,
}

/// What was given to the log and is not known to be durable.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    pub(crate) number: u64,
    pub(crate) snapshot: Option<(LogIndex, Term)>,
    pub(crate) entries: Vec<(LogIndex, Term)>,
    pub(crate) hard_state: Option<HardState>,
    pub(crate) must_sync: bool,
}

/// A running member.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) awake: [bool; 4],
    // The member's thread.
    pub(crate) node: Node<Token>,
    pub(crate) inbox: VecDeque<Input>,
    pub(crate) parked: VecDeque<(u64, Bytes)>,
    /// Changes of membership that did not enter the log yet, oldest first.
    pub(crate) changes: Vec<(u64, Change)>,
    /// The proposal that tells the cluster its name.
    pub(crate) announcement: Option<u64>,
    pub(crate) started: bool,
    /// Clients are served: since the start one read was confirmed.
    pub(crate) serving: bool,
    pub(crate) tick_due: bool,
    pub(crate) told_persisted: u64,
    pub(crate) told_applied: u64,
    // The log's.
    pub(crate) log: LogWriter,
    pub(crate) log_inputs: VecDeque<LogInput>,
    pub(crate) syncing: bool,
    pub(crate) cut_log: Option<LogIndex>,
    pub(crate) log_rounds: u64,
    // The apply thread.
    pub(crate) applier: Applier<Token>,
    pub(crate) apply_inputs: VecDeque<ApplyInput>,
    pub(crate) apply_busy_until: Micros,
    /// What came of the batch that was applied last and that nobody was told of yet.
    pub(crate) news: Option<Done<Token>>,
    /// Reads that hold on to the state that they began with.
    pub(crate) long_reads: BTreeMap<u64, Snapshot>,
    pub(crate) sweeping: bool,
    pub(crate) sweep_due: bool,
    pub(crate) leases_due: bool,
    pub(crate) swept_waiters: Vec<u64>,
    // The flusher's.
    pub(crate) flushing: bool,
    pub(crate) flush_again: bool,
    // The hub's.
    pub(crate) hub: Hub,
    pub(crate) feed: Feed,
    pub(crate) commands: VecDeque<HubCommand>,
    pub(crate) outlets: BTreeMap<usize, Outlet>,
    /// Streams whose clients have read everything.
    pub(crate) drained: Vec<usize>,
    // What all share.
    pub(crate) asks: BTreeMap<u64, Ask>,
    pub(crate) leadership: Leadership,
    pub(crate) persisted: u64,
    pub(crate) applied: u64,
    pub(crate) applied_term: u64,
    pub(crate) flushed: u64,
}
