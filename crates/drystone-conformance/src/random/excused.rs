//! What may differ between etcd at hand and the reference, etcd 3.7, or between any two
//! servers: a table, each line as narrow as it can be and with its reason; and the code that
//! applies it.

mod table;

pub use table::EXCUSED;
pub(super) use table::{
    ANY_STATUS, FROM_KEY_WATCH, LEASE_KEYS_OPEN, LEASES_OPEN, NESTED_OPEN, NO_STATUS, TXN_PUTS_OPEN,
};

use self::table::{
    CUT_DELETION, CUT_HASH, ERROR_ORDER, HASH_REVISION, IDLE_TOKENS, KEYS_ONLY_LEASE,
    NEGATIVE_START, ODD_GRANTS, ONE_REFUSAL, RAW_REFUSAL, ROOT_ROLE, SILENCED, SORT_ENUMS,
};
use super::call::{AuthCall, Call, Reply, Told};
use super::rights::ROOT;
use crate::harness::Program;
use drystone_api::authpb::Permission;
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

/// The version of an etcd, as far as the table asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version([u32; 3]);

impl Version {
    pub(super) const fn new(numbers: [u32; 3]) -> Version {
        Version(numbers)
    }

    pub(super) fn of(program: &Program) -> Version {
        let mut numbers = program.version().split(['.', '-', '+']);
        let mut next = || numbers.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        Version([next(), next(), next()])
    }

    /// Whether this etcd is one to which an excuse applies.
    pub(super) fn has(self, excuse: &Excuse) -> bool {
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

    /// Whether only Drystone may be asked to grant what is no permission.
    pub(super) fn grants_anything(self) -> bool {
        self.has(&ODD_GRANTS)
    }

    /// Whether tokens are looked at while authentication is off.
    pub(super) fn minds_tokens(self) -> bool {
        self.has(&IDLE_TOKENS)
    }

    /// Whether every refusal of a watch for want of rights has the same reason.
    pub(super) fn tells_one_refusal(self) -> bool {
        self.has(&ONE_REFUSAL)
    }

    /// Whether a refusal ends the telling of a watch that has its id.
    pub(super) fn silences(self) -> bool {
        self.has(&SILENCED)
    }

    /// Whether compacted revisions themselves can be hashed.
    pub(super) fn hashes_cut(self) -> bool {
        !self.has(&CUT_HASH)
    }
}

/// Whether Drystone found fault with a range, and an old etcd with a put of the same transaction;
/// or both refused a hash, in the words of their time.
pub(super) fn is_other_fault(call: &Call, ours: &Reply, theirs: &Reply, etcd: Version) -> bool {
    let (Reply::Refused(_, ours), Reply::Refused(_, theirs)) = (ours, theirs) else { return false };
    if matches!(call.bare(), Call::HashKv(_)) && etcd.has(&RAW_REFUSAL) {
        let raw = theirs.strip_prefix("auth: ");
        return raw.is_some() && raw == ours.strip_prefix("etcdserver: ");
    }
    matches!(call.bare(), Call::Txn(_))
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
    match (call.bare(), &mut reply) {
        (Call::Range(request), Reply::Range(answer)) => plain_range(request, answer, theirs),
        (Call::Txn(request), Reply::Txn(answer)) => plain_txn(request, answer, theirs),
        (Call::TimeToLive(_), Reply::TimeToLive(answer)) => plain_left(answer)?,
        (Call::GrantAny(_) | Call::Lock(_) | Call::Elect(..), Reply::All(replies)) => {
            for reply in replies {
                if let Reply::TimeToLive(answer) = reply {
                    plain_left(answer)?;
                }
                plain_reply(reply);
            }
        }
        (
            Call::Auth(AuthCall::RoleGet(request)),
            Reply::Auth(_, Told::Permissions(permissions)),
        ) => {
            let is_old = theirs.is_some_and(|version| version.has(&ROOT_ROLE));
            if is_old && request.role == ROOT {
                let range_end = b"\0"[..].into();
                *permissions = vec![Permission { perm_type: 2, range_end, ..Default::default() }];
            }
            permissions.sort_by(|a, b| (&a.key, &a.range_end).cmp(&(&b.key, &b.range_end)));
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
        Reply::Lock(answer) => &mut answer.header,
        Reply::Unlock(answer) => &mut answer.header,
        Reply::Leader(answer) => &mut answer.header,
        Reply::Campaign(answer) => &mut answer.header,
        Reply::Proclaim(answer) => &mut answer.header,
        Reply::Resign(answer) => &mut answer.header,
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
        Reply::Auth(header, _) => header,
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
