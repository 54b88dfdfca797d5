//! What applying entries gives.

use drystone_api::errors::EtcdError;
use drystone_api::{etcdserverpb, raw};
use drystone_types::{LogIndex, RevisionEvents, Term};

/// The answer to one proposal. Headers say the revision only.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To a range in the log, which only old logs hold.
    Range(raw::RangeResponse),
    /// To a put.
    Put(raw::PutResponse),
    /// To a delete.
    DeleteRange(raw::DeleteRangeResponse),
    /// To a transaction.
    Txn(raw::TxnResponse),
    /// To a compaction.
    Compaction(etcdserverpb::CompactionResponse),
    /// To the grant of a lease.
    LeaseGrant(etcdserverpb::LeaseGrantResponse),
    /// To the end of a lease.
    LeaseRevoke(etcdserverpb::LeaseRevokeResponse),
    /// To a checkpoint of leases.
    LeaseCheckpoint(etcdserverpb::LeaseCheckpointResponse),
    /// To a question about alarms, or a change of them.
    Alarm(etcdserverpb::AlarmResponse),
    /// To what has no answer of its own: a member's attributes, the cluster's version.
    Empty,
}

/// One proposal that was applied, and its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The request's id, by which the member that proposed it finds who waits; 0 for nobody.
    pub request: u64,
    /// The answer.
    pub answer: Result<Answer, EtcdError>,
}

/// What applying a batch of entries gives.
#[derive(Debug, Default)]
pub struct Output {
    /// The answers, in the order of the entries.
    pub outcomes: Vec<Outcome>,
    /// The changes of keys, by revision.
    pub events: Vec<RevisionEvents>,
    /// Entries that change the membership, in order, and whether the change was found valid.
    pub membership: Vec<(LogIndex, bool)>,
    /// Membership, the cluster's version or alarms changed.
    pub cluster_changed: bool,
    /// The term of the newest leader whose first entry was among them.
    pub leader_entry: Option<Term>,
}
