//! What may differ between etcd at hand and the reference, etcd 3.7, or between any two
//! servers: a table, each line as narrow as it can be and with its reason; and the code that
//! applies it.

use super::call::{Call, Reply};
use crate::harness::Program;
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::range_request::SortTarget;
use drystone_api::etcdserverpb::request_op::Request;
use drystone_api::etcdserverpb::response_op::Response;
use drystone_api::mvccpb::KeyValue;

/// What is done about a difference that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It is taken out of the answers before they are compared.
    Masked,
    /// Both are asked again until they agree.
    Awaited,
    /// Only Drystone is asked, and held to what the reference answers.
    Alone,
    /// The random stream does not hold it; rows, sequences or the simulator do.
    KeptOut,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Excuse {
    /// What differs.
    pub what: &'static str,
    /// What is done about it.
    pub treatment: Treatment,
    /// Only against an etcd before this version; otherwise against every one.
    pub before: Option<[u32; 3]>,
    /// Why it may differ.
    pub reason: &'static str,
}

/// The whole table.
pub const EXCUSED: &[Excuse] = &[
    CHOICES,
    TIME_LEFT,
    NO_ORDER,
    TIES,
    KEYS_ONLY_LEASE,
    HASH_REVISION,
    SORT_ENUMS,
    NEGATIVE_START,
    CUT_DELETION,
    CUT_HASH,
    EARLY_PROGRESS,
    OVERTAKEN,
    FROM_KEY_DELETE,
    NEGATIVE_IN_TXN,
    COMPACT_NOTHING,
    UNSWEPT,
    NEGATIVE_HASH,
    GROUPING,
    ERROR_ORDER,
];

const CHOICES: Excuse = Excuse {
    what: "ids of cluster and member, the term, ids of leases asked for with id 0",
    treatment: Treatment::Masked,
    before: None,
    reason: "servers choose them; that they are there, or not, is compared",
};
const TIME_LEFT: Excuse = Excuse {
    what: "seconds left of a lease",
    treatment: Treatment::Masked,
    before: None,
    reason: "clocks run; it must lie between nothing and what was granted",
};
const NO_ORDER: Excuse = Excuse {
    what: "the order of leases in a list, and of keys of a lease",
    treatment: Treatment::Masked,
    before: None,
    reason: "leases are listed by time left, keys of a lease in no order",
};
const TIES: Excuse = Excuse {
    what: "the order of pairs that are equal in what is sorted by, and which of them a limit cuts",
    treatment: Treatment::Masked,
    before: None,
    reason: "etcd's sort is not stable and changes with its compiler",
};
const KEYS_ONLY_LEASE: Excuse = Excuse {
    what: "the lease of a pair read with keys_only",
    treatment: Treatment::Masked,
    before: Some([3, 7, 0]),
    reason: "0 since 3.7, unless sorted by value; Drystone must give 0",
};
const HASH_REVISION: Excuse = Excuse {
    what: "hash_revision of a HashKV",
    treatment: Treatment::Masked,
    before: Some([3, 6, 0]),
    reason: "there since 3.6; Drystone must give the revision that was hashed",
};
const SORT_ENUMS: Excuse = Excuse {
    what: "orders and targets of a range that do not exist",
    treatment: Treatment::Alone,
    before: Some([3, 6, 0]),
    reason: "older versions sort somehow, or end",
};
const NEGATIVE_START: Excuse = Excuse {
    what: "a watch from a negative revision",
    treatment: Treatment::Alone,
    before: Some([3, 6, 6]),
    reason: "refused since 3.5.24 and 3.6.6",
};
const CUT_DELETION: Excuse = Excuse {
    what: "a watch from exactly the compacted revision, if that one deleted",
    treatment: Treatment::KeptOut,
    before: Some([3, 6, 0]),
    reason: "the deletion there is told since 3.4.34 and 3.5.16",
};
const CUT_HASH: Excuse = Excuse {
    what: "HashKV at exactly a compacted revision, the last one or one before",
    treatment: Treatment::KeptOut,
    before: Some([3, 6, 0]),
    reason: "the hashes of compactions are kept since 3.6 and some versions before",
};
const EARLY_PROGRESS: Excuse = Excuse {
    what: "a progress request while a watch of the stream is behind or starts in the future",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "whether a watch is behind is a matter of moments; and before 3.5.8 nobody looked",
};
const OVERTAKEN: Excuse = Excuse {
    what: "a compaction that overtakes a watch which is behind",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "whether a watch is behind is a matter of moments; those that may be are ended first",
};
const FROM_KEY_DELETE: Excuse = Excuse {
    what: "a transaction with a deletion to the end of keys and a put that keeps value or lease",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "every etcd ends when the deletion takes the key (\"Where etcd falls\")",
};
const NEGATIVE_IN_TXN: Excuse = Excuse {
    what: "a range at revision -1 in a transaction",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "etcd reads the present until the first compaction, and calls it compacted after",
};
const UNSWEPT: Excuse = Excuse {
    what: "HashKV at a revision where no key lived, until a compaction has removed what it may",
    treatment: Treatment::Awaited,
    before: None,
    reason: "then etcd's hash takes in whatever is still stored below the compacted revision",
};
const COMPACT_NOTHING: Excuse = Excuse {
    what: "a compaction at revision 0 before any other",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "it succeeds once, and hashes afterwards differ among versions",
};
const NEGATIVE_HASH: Excuse = Excuse {
    what: "HashKV at a negative revision",
    treatment: Treatment::KeptOut,
    before: None,
    reason: "etcd hashes nothing and answers so",
};
const GROUPING: Excuse = Excuse {
    what: "how many revisions one response of a watch holds, and the revision in its header",
    treatment: Treatment::Masked,
    before: None,
    reason: "a watch that is behind gets many at once; a revision must still come whole, in \
             order, and no later than its header says",
};

const ERROR_ORDER: Excuse = Excuse {
    what: "which error a transaction gives that holds a put and a range that cannot be done",
    treatment: Treatment::Masked,
    before: Some([3, 6, 0]),
    reason: "operations are looked at in order since 3.6; before, all puts came before all ranges",
};

/// The version of an etcd, as far as the table asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version([u32; 3]);

impl Version {
    pub(super) fn new(numbers: [u32; 3]) -> Version {
        Version(numbers)
    }

    pub(super) fn of(program: &Program) -> Version {
        let mut numbers = program.version().split(['.', '-', '+']);
        let mut next = || numbers.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        Version([next(), next(), next()])
    }

    fn has(self, excuse: &Excuse) -> bool {
        excuse.before.is_none_or(|before| self.0 < before)
    }

    /// Whether only Drystone may be asked to sort by what does not exist.
    pub(super) fn sorts_anything(self) -> bool {
        self.has(&SORT_ENUMS)
    }

    /// Whether only Drystone may be asked to watch from a negative revision.
    pub(super) fn watches_from_negative(self) -> bool {
        self.has(&NEGATIVE_START)
    }

    /// Whether a deletion at the compacted revision is not told.
    pub(super) fn cuts_deletions(self) -> bool {
        self.has(&CUT_DELETION)
    }

    /// Whether compacted revisions themselves can be hashed.
    pub(super) fn hashes_cut(self) -> bool {
        !self.has(&CUT_HASH)
    }
}

/// Whether Drystone found fault with a range, and an old etcd with a put of the same transaction.
pub(super) fn is_other_fault(call: &Call, ours: &Reply, theirs: &Reply, etcd: Version) -> bool {
    let (Reply::Refused(_, ours), Reply::Refused(_, theirs)) = (ours, theirs) else { return false };
    matches!(call, Call::Txn(_))
        && etcd.has(&ERROR_ORDER)
        && RANGE_FAULTS.contains(&ours.as_str())
        && PUT_FAULTS.contains(&theirs.as_str())
}

/// What a transaction's ranges and puts can be refused for when it is their turn.
const RANGE_FAULTS: [&str; 2] = [
    "etcdserver: mvcc: required revision has been compacted",
    "etcdserver: mvcc: required revision is a future revision",
];
const PUT_FAULTS: [&str; 2] =
    ["etcdserver: requested lease not found", "etcdserver: key not found"];

/// An answer without what may differ. `theirs`: the version of the etcd that gave it, or none
/// for Drystone's.
pub(super) fn plain(call: &Call, reply: Reply, theirs: Option<Version>) -> Result<Reply, String> {
    let mut reply = reply;
    match (call, &mut reply) {
        (Call::Range(request), Reply::Range(answer)) => plain_range(request, answer, theirs),
        (Call::Txn(request), Reply::Txn(answer)) => plain_txn(request, answer, theirs),
        (Call::TimeToLive(_), Reply::TimeToLive(answer)) => plain_left(answer)?,
        (Call::GrantAny(_), Reply::All(replies)) => {
            for reply in replies {
                if let Reply::TimeToLive(answer) = reply {
                    plain_left(answer)?;
                }
                plain_reply(reply);
            }
        }
        (Call::Leases, Reply::Leases(answer)) => answer.leases.sort_by_key(|lease| lease.id),
        (Call::HashKv(request), Reply::HashKv(answer)) => {
            plain_hash(request, answer, theirs)?;
        }
        _ => {}
    }
    plain_reply(&mut reply);
    Ok(reply)
}

fn plain_reply(reply: &mut Reply) {
    let header = match reply {
        Reply::Range(answer) => &mut answer.header,
        Reply::Put(answer) => &mut answer.header,
        Reply::Delete(answer) => &mut answer.header,
        Reply::Txn(answer) => &mut answer.header,
        Reply::Compact(answer) => &mut answer.header,
        Reply::Grant(answer) => &mut answer.header,
        Reply::Revoke(answer) => &mut answer.header,
        Reply::TimeToLive(answer) => &mut answer.header,
        Reply::KeepAlive(answer) => &mut answer.header,
        Reply::Leases(answer) => &mut answer.header,
        Reply::HashKv(answer) => &mut answer.header,
        Reply::All(_) | Reply::Refused(..) | Reply::Silent => return,
    };
    plain_header(header);
}

/// Of ids and term it is left whether they are there.
pub(super) fn plain_header(header: &mut Option<pb::ResponseHeader>) {
    if let Some(header) = header {
        header.cluster_id = header.cluster_id.min(1);
        header.member_id = header.member_id.min(1);
        header.raft_term = header.raft_term.min(1);
    }
}

fn plain_left(answer: &mut pb::LeaseTimeToLiveResponse) -> Result<(), String> {
    answer.keys.sort();
    if answer.ttl > answer.granted_ttl {
        return Err(format!("more time is left than was granted: {answer:?}"));
    }
    answer.ttl = answer.ttl.signum();
    Ok(())
}

fn plain_hash(
    request: &pb::HashKvRequest,
    answer: &mut pb::HashKvResponse,
    theirs: Option<Version>,
) -> Result<(), String> {
    let now = answer.header.as_ref().map_or(0, |header| header.revision);
    let hashed = if request.revision == 0 { now } else { request.revision };
    let told = theirs.is_none_or(|version| !version.has(&HASH_REVISION));
    if told && answer.hash_revision != hashed {
        return Err(format!("hashed {hashed}, and says {}", answer.hash_revision));
    }
    answer.hash_revision = hashed;
    Ok(())
}

fn plain_txn(request: &pb::TxnRequest, answer: &mut pb::TxnResponse, theirs: Option<Version>) {
    let taken = if answer.succeeded { &request.success } else { &request.failure };
    for (op, response) in taken.iter().zip(&mut answer.responses) {
        match (&op.request, &mut response.response) {
            (Some(Request::RequestRange(request)), Some(Response::ResponseRange(answer))) => {
                plain_range(request, answer, theirs);
            }
            (Some(Request::RequestTxn(request)), Some(Response::ResponseTxn(answer))) => {
                plain_txn(request, answer, theirs);
            }
            _ => {}
        }
    }
}

fn plain_range(
    request: &pb::RangeRequest,
    answer: &mut pb::RangeResponse,
    theirs: Option<Version>,
) {
    let target = request.sort_target;
    let old = theirs.is_some_and(|version| version.has(&KEYS_ONLY_LEASE));
    if old && request.keys_only && target != SortTarget::Value as i32 {
        for kv in &mut answer.kvs {
            kv.lease = 0;
        }
    }
    if target != SortTarget::Key as i32 {
        plain_ties(answer, target);
    }
}

/// What a pair is sorted by, and nothing else of it. Sorted by value and read without values,
/// nothing is left.
fn sorted_by(target: i32, kv: &KeyValue) -> KeyValue {
    let mut only = KeyValue::default();
    match SortTarget::try_from(target) {
        Ok(SortTarget::Version) => only.version = kv.version,
        Ok(SortTarget::Create) => only.create_revision = kv.create_revision,
        Ok(SortTarget::Mod) => only.mod_revision = kv.mod_revision,
        Ok(SortTarget::Value) => only.value = kv.value.clone(),
        Ok(SortTarget::Key) | Err(_) => only.key = kv.key.clone(),
    }
    only
}

/// Brings each run of equals in the order of keys. Of the last run of an answer that was cut,
/// only what is equal is kept: which of them came is not compared.
fn plain_ties(answer: &mut pb::RangeResponse, target: i32) {
    let kvs = &mut answer.kvs;
    let mut begin = 0;
    while begin < kvs.len() {
        let by = sorted_by(target, &kvs[begin]);
        let same = kvs[begin..].iter().take_while(|kv| sorted_by(target, kv) == by).count();
        let end = begin + same;
        if answer.more && end == kvs.len() {
            kvs[begin..].fill(by);
        } else {
            kvs[begin..end].sort_by(|a, b| a.key.cmp(&b.key));
        }
        begin = end;
    }
}

#[cfg(test)]
mod tests;
