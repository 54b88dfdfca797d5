//! What happened, as clients saw it, and the log that says why.

use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    AlarmRequest, AlarmResponse, CompactionRequest, CompactionResponse, DeleteRangeRequest,
    DeleteRangeResponse, InternalRaftRequest, LeaseGrantRequest, LeaseGrantResponse,
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesResponse, LeaseRevokeRequest,
    LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, MemberAddRequest,
    MemberListRequest, MemberListResponse, MemberPromoteRequest, MemberRemoveRequest,
    MemberUpdateRequest, PutRequest, PutResponse, RangeRequest, RangeResponse, ResponseHeader,
    TxnRequest, TxnResponse, WatchCancelRequest, WatchCreateRequest, WatchResponse,
};
use drystone_types::{LogIndex, MemberId, Term};
use std::time::Duration;

/// All that is known of one run. Times are since its start, by one clock that stands above all
/// members' clocks; where two things happened at one time, the order in the lists decides
/// nothing and either may have been first.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Everything that clients asked, in the order of the calls.
    pub operations: Vec<Operation>,
    /// Everything that watch streams asked and heard, in the order of their opening.
    pub streams: Vec<WatchStream>,
    /// The committed log from its first entry on, in order, without gaps: entries of every
    /// kind, so that positions are indices. Empty when nobody knows the log.
    pub log: Vec<Committed>,
    /// When the faults ended and everything was given time to settle; `None` when the run was
    /// cut short, so that nothing can be said of liveness.
    pub settled_at: Option<Duration>,
    /// How time passes on members; what leases may be held to.
    pub lease_clock: LeaseClock,
}

/// How far members' clocks may be trusted, for judging leases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeaseClock {
    /// The most seconds that a member's clock gains in a second of the run, as a factor: 1.05
    /// when the fastest clock runs five per cent fast.
    pub fastest: f64,
    /// The longest a lease without keep-alives may live beyond its time once the run has
    /// settled: an election, a scan and a round through the log.
    pub slack: Duration,
}

impl Default for LeaseClock {
    fn default() -> Self {
        Self { fastest: 1.0, slack: Duration::from_secs(10) }
    }
}

/// One entry of the committed log.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its place.
    pub index: LogIndex,
    /// The term it was written in.
    pub term: Term,
    /// The command; `None` for a leader's empty entry and for changes of membership.
    pub command: Option<InternalRaftRequest>,
    /// When the first member applied it, if that was seen.
    pub applied_at: Option<Duration>,
}

/// One call of one client. A client makes one call at a time; after an outcome that is unknown
/// whoever goes on counts as another client.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Who called.
    pub client: u64,
    /// The member that was called.
    pub member: MemberId,
    /// The id under which the member proposed it (`InternalRaftRequest.header.id`), if it did and
    /// the driver could see it. Without it operations are found in the log by their revisions.
    pub proposal: Option<u64>,
    /// When it was called.
    pub called_at: Duration,
    /// When the outcome was known to the caller; for [`Outcome::Unknown`] when it gave up.
    pub returned_at: Duration,
    /// What was asked.
    pub request: Request,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is the request it carries")]
pub enum Request {
    Put(PutRequest),
    DeleteRange(DeleteRangeRequest),
    Txn(TxnRequest),
    Range(RangeRequest),
    Compaction(CompactionRequest),
    LeaseGrant(LeaseGrantRequest),
    LeaseRevoke(LeaseRevokeRequest),
    LeaseKeepAlive(LeaseKeepAliveRequest),
    LeaseTimeToLive(LeaseTimeToLiveRequest),
    LeaseLeases,
    Alarm(AlarmRequest),
    Members(MembersRequest),
    /// A change of users, roles or permissions, as the log has it, without a header.
    Auth(Box<InternalRaftRequest>),
}

/// What is asked about the members of a cluster. A history does not say who belongs to it, so
/// these are for a driver that sees the configuration; the judges here leave them alone.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is the request it carries")]
pub enum MembersRequest {
    Add(MemberAddRequest),
    Remove(MemberRemoveRequest),
    Update(MemberUpdateRequest),
    Promote(MemberPromoteRequest),
    List(MemberListRequest),
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It was done, and this is the answer.
    Answered(Response),
    /// It was refused by the state it met (a lease that does not exist, a revision that is
    /// compacted or in the future): the error is an answer, and nothing changed.
    Refused(EtcdError),
    /// It was turned away before it could have an effect (too many requests, no leader): it is
    /// not in the log.
    TurnedAway(EtcdError),
    /// Nobody knows: a time-out, a broken connection, a member that died. It may have had its
    /// effect at any time after the call, or may have it yet.
    Unknown,
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is the answer to the request of its name")]
pub enum Response {
    Put(PutResponse),
    DeleteRange(DeleteRangeResponse),
    Txn(TxnResponse),
    Range(RangeResponse),
    Compaction(CompactionResponse),
    LeaseGrant(LeaseGrantResponse),
    LeaseRevoke(LeaseRevokeResponse),
    LeaseKeepAlive(LeaseKeepAliveResponse),
    LeaseTimeToLive(LeaseTimeToLiveResponse),
    LeaseLeases(LeaseLeasesResponse),
    Alarm(AlarmResponse),
    /// To any [`MembersRequest`]: the members as they are afterwards.
    Members(MemberListResponse),
    /// To any [`Request::Auth`]: changes answer with their header only.
    Auth(Option<ResponseHeader>),
}

/// One watch stream from its opening to its end.
#[derive(Clone, Debug)]
pub struct WatchStream {
    /// The member that serves it.
    pub member: MemberId,
    /// What was asked and heard, in the order in which this client did and saw it.
    pub events: Vec<StreamEvent>,
    /// How it ended.
    pub end: StreamEnd,
}

/// How a watch stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The member died or restarted, the link broke, or the client left: what did not arrive
    /// yet never will.
    Cut,
    /// It was open when the run settled, and all that had come was read: it must have heard
    /// everything.
    Drained,
}

/// One thing on a watch stream.
#[derive(Clone, Debug)]
pub struct StreamEvent {
    /// When.
    pub at: Duration,
    /// What.
    pub what: StreamHeard,
}

/// What the client of a watch stream asked or heard.
#[derive(Clone, Debug)]
pub enum StreamHeard {
    /// It asked for a watch.
    Create(WatchCreateRequest),
    /// It asked to end one.
    Cancel(WatchCancelRequest),
    /// It asked for a progress notice.
    Progress,
    /// It heard a response.
    Response {
        /// The response, whole.
        response: WatchResponse,
        /// The newest revision that the member had applied when the response left it, if that
        /// could be seen.
        applied_revision: Option<i64>,
        /// The compacted revision of the member then, if that could be seen; -1 for never.
        compacted_revision: Option<i64>,
    },
}
