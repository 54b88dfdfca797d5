//! Reading the model: the state when a given revision was the current one.

use super::{Keys, Version, count, header};
use bytes::Bytes;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    Compare, RangeRequest, RangeResponse, RequestOp, ResponseOp, TxnRequest, TxnResponse,
    compare::{CompareResult, CompareTarget, TargetUnion},
    range_request::{SortOrder, SortTarget},
    request_op, response_op,
};
use drystone_api::mvccpb::KeyValue;
use drystone_types::KeyRange;
use std::cmp::Ordering;

/// One state: whatever came after its revision is not seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) keys: &'a Keys,
    /// The revision that is current.
    pub(crate) revision: i64,
    /// The compacted revision, -1 for never.
    pub(crate) compacted: i64,
}

/// The pair that `versions` hold at `main`.
fn pair_at(versions: &[Version], main: i64) -> Option<&KeyValue> {
    versions.iter().rev().find(|version| version.main <= main)?.pair.as_ref()
}

impl<'a> View<'a> {
    /// The pair of `key`, if it lives.
    pub(crate) fn pair(&self, key: &[u8]) -> Option<&'a KeyValue> {
        pair_at(self.keys.get(key)?, self.revision)
    }

    /// The live pairs of `range`, by ascending key.
    pub(crate) fn live(&self, range: &KeyRange) -> impl Iterator<Item = &'a KeyValue> + use<'a> {
        let revision = self.revision;
        let keys = self.keys.range::<[u8], _>(range.bounds());
        keys.filter_map(move |(_, versions)| pair_at(versions, revision))
    }

    /// The keys that hang on a lease, ascending.
    pub(crate) fn attached(&self, lease: i64) -> Vec<Bytes> {
        let pairs = self.live(&KeyRange::all()).filter(|pair| pair.lease == lease);
        pairs.map(|pair| pair.key.clone()).collect()
    }

    /// The revision that a read of `requested` sees.
    pub(crate) fn resolve(&self, requested: i64) -> Result<i64, EtcdError> {
        if requested > self.revision {
            return Err(EtcdError::FutureRev);
        }
        let at = if requested <= 0 { self.revision } else { requested };
        if at < self.compacted { Err(EtcdError::Compacted) } else { Ok(at) }
    }

    /// Answers a read. Pairs that sort alike stay in key order.
    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, EtcdError> {
        let at = View { revision: self.resolve(request.revision)?, ..*self };
        let range = KeyRange::from_fields(request.key.clone(), request.range_end.clone());
        let mut pairs: Vec<&KeyValue> = at.live(&range).collect();
        let mut answer = RangeResponse {
            header: header(self.revision),
            count: count(pairs.len()),
            ..RangeResponse::default()
        };
        if request.count_only {
            return Ok(answer);
        }
        let limit = usize::try_from(request.limit.max(0)).unwrap_or(usize::MAX);
        let bounds = [
            request.min_mod_revision,
            request.max_mod_revision,
            request.min_create_revision,
            request.max_create_revision,
        ];
        let unsorted = request.sort_order == SortOrder::None as i32;
        if limit > 0 && unsorted && bounds == [0; 4] {
            pairs.truncate(limit.saturating_add(1));
        }
        let [min_mod, max_mod, min_create, max_create] = bounds;
        pairs.retain(|pair| {
            (min_mod == 0 || pair.mod_revision >= min_mod)
                && (max_mod == 0 || pair.mod_revision <= max_mod)
                && (min_create == 0 || pair.create_revision >= min_create)
                && (max_create == 0 || pair.create_revision <= max_create)
        });
        pairs.sort_by(|left, right| by_target(request, left, right));
        if limit > 0 && pairs.len() > limit {
            pairs.truncate(limit);
            answer.more = true;
        }
        answer.kvs = pairs.into_iter().map(|pair| as_asked(request, pair)).collect();
        Ok(answer)
    }

    /// Answers a transaction that only reads.
    pub(crate) fn read_txn(&self, txn: &TxnRequest) -> Result<TxnResponse, EtcdError> {
        let (succeeded, ops) = self.taken(txn);
        let mut responses = Vec::new();
        for RequestOp { request } in ops {
            let Some(request_op::Request::RequestRange(range)) = request else {
                return Err(EtcdError::KeyNotFound);
            };
            let answer = self.txn_range(range, self)?;
            let response = Some(response_op::Response::ResponseRange(answer));
            responses.push(ResponseOp { response });
        }
        Ok(TxnResponse { header: header(self.revision), succeeded, responses })
    }

    /// A read inside a transaction: it may name what was there `before` the transaction, and
    /// nothing below zero stands for the current revision.
    pub(crate) fn txn_range(
        &self,
        request: &RangeRequest,
        before: &View<'_>,
    ) -> Result<RangeResponse, EtcdError> {
        if request.revision < 0 {
            return Err(EtcdError::Compacted);
        }
        before.resolve(request.revision)?;
        self.range(request)
    }

    /// Whether all conditions hold, and the operations that therefore happen.
    pub(crate) fn taken<'t>(&self, txn: &'t TxnRequest) -> (bool, &'t [RequestOp]) {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        (succeeded, if succeeded { &txn.success } else { &txn.failure })
    }

    /// True when every pair of the range satisfies the condition. A range without pairs counts
    /// as a pair of zeros, and satisfies nothing that is asked of its value.
    pub(crate) fn holds(&self, compare: &Compare) -> bool {
        let range = KeyRange::from_fields(compare.key.clone(), compare.range_end.clone());
        let absent = KeyValue::default();
        let mut pairs: Vec<&KeyValue> = self.live(&range).collect();
        if pairs.is_empty() {
            if compare.target == CompareTarget::Value as i32 {
                return false;
            }
            pairs.push(&absent);
        }
        pairs.into_iter().all(|pair| satisfies(compare, pair))
    }
}

fn satisfies(compare: &Compare, pair: &KeyValue) -> bool {
    // Target and operand are independent on the wire: an operand of another kind is 0 or
    // nothing.
    use TargetUnion as Operand;
    let operand = compare.target_union.as_ref();
    let order = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Version) => pair.version.cmp(&match operand {
            Some(Operand::Version(number)) => *number,
            _ => 0,
        }),
        Ok(CompareTarget::Create) => pair.create_revision.cmp(&match operand {
            Some(Operand::CreateRevision(number)) => *number,
            _ => 0,
        }),
        Ok(CompareTarget::Mod) => pair.mod_revision.cmp(&match operand {
            Some(Operand::ModRevision(number)) => *number,
            _ => 0,
        }),
        Ok(CompareTarget::Lease) => pair.lease.cmp(&match operand {
            Some(Operand::Lease(number)) => *number,
            _ => 0,
        }),
        Ok(CompareTarget::Value) => pair.value.as_ref().cmp(match operand {
            Some(Operand::Value(value)) => value.as_ref(),
            _ => b"",
        }),
        Err(_) => Ordering::Equal,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => order.is_eq(),
        Ok(CompareResult::Greater) => order.is_gt(),
        Ok(CompareResult::Less) => order.is_lt(),
        Ok(CompareResult::NotEqual) => order.is_ne(),
        Err(_) => true,
    }
}

fn by_target(request: &RangeRequest, left: &KeyValue, right: &KeyValue) -> Ordering {
    let order = match SortTarget::try_from(request.sort_target) {
        Ok(SortTarget::Version) => left.version.cmp(&right.version),
        Ok(SortTarget::Create) => left.create_revision.cmp(&right.create_revision),
        Ok(SortTarget::Mod) => left.mod_revision.cmp(&right.mod_revision),
        Ok(SortTarget::Value) => left.value.cmp(&right.value),
        Ok(SortTarget::Key) | Err(_) => left.key.cmp(&right.key),
    };
    let descend = request.sort_order == SortOrder::Descend as i32;
    if descend { order.reverse() } else { order }
}

/// Keys alone come without leases too, unless the value is what they are sorted by (etcd 3.7).
fn as_asked(request: &RangeRequest, pair: &KeyValue) -> KeyValue {
    let mut pair = pair.clone();
    if request.keys_only {
        pair.value = Bytes::new();
        if request.sort_target != SortTarget::Value as i32 {
            pair.lease = 0;
        }
    }
    pair
}
