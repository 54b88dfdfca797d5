//! Between etcd's messages and the store's own requests and answers.

use bytes::Bytes;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    self, RequestOp, ResponseHeader, compare::TargetUnion, request_op::Request,
};
use drystone_api::{authpb, raw};
use drystone_auth::{Denied, Permission, PermissionKind};
use drystone_mvcc::{
    Compare, CompareResult, CompareTarget, DeleteRange, Op, OpError, OpOutcome, Put, RangeQuery,
    RangeResult, Txn, TxnOutcome,
};
use drystone_types::{KeyRange, LeaseId};

/// The put that a message asks for.
#[must_use]
pub fn put(request: etcdserverpb::PutRequest) -> Put {
    Put {
        key: request.key,
        value: request.value,
        lease: LeaseId(request.lease),
        prev_kv: request.prev_kv,
        ignore_value: request.ignore_value,
        ignore_lease: request.ignore_lease,
    }
}

/// The read that a message asks for.
#[must_use]
pub fn range(request: etcdserverpb::RangeRequest) -> RangeQuery {
    RangeQuery {
        range: KeyRange::from_fields(request.key, request.range_end),
        revision: request.revision,
        limit: request.limit,
        sort_order: request.sort_order.into(),
        sort_target: request.sort_target.into(),
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod_revision: request.min_mod_revision,
        max_mod_revision: request.max_mod_revision,
        min_create_revision: request.min_create_revision,
        max_create_revision: request.max_create_revision,
    }
}

/// The delete that a message asks for.
#[must_use]
pub fn delete_range(request: etcdserverpb::DeleteRangeRequest) -> DeleteRange {
    DeleteRange {
        range: KeyRange::from_fields(request.key, request.range_end),
        prev_kv: request.prev_kv,
    }
}

/// The transaction that a message asks for. Messages nest no deeper than decoding let them.
#[must_use]
pub fn txn(request: etcdserverpb::TxnRequest) -> Txn {
    Txn {
        compare: request.compare.into_iter().map(compare).collect(),
        success: request.success.into_iter().map(op).collect(),
        failure: request.failure.into_iter().map(op).collect(),
    }
}

fn op(request: RequestOp) -> Op {
    match request.request {
        Some(Request::RequestRange(request)) => Op::Range(range(request)),
        Some(Request::RequestPut(request)) => Op::Put(put(request)),
        Some(Request::RequestDeleteRange(request)) => Op::DeleteRange(delete_range(request)),
        Some(Request::RequestTxn(request)) => Op::Txn(txn(request)),
        None => Op::Empty,
    }
}

/// The target and the operand are independent on the wire: an operand of another kind counts
/// as 0 or as nothing.
fn compare(request: etcdserverpb::Compare) -> Compare {
    let operand = request.target_union;
    let number = |wanted: fn(&TargetUnion) -> Option<i64>| {
        operand.as_ref().and_then(wanted).unwrap_or_default()
    };
    use etcdserverpb::compare::CompareTarget as Wire;
    let target = match Wire::try_from(request.target) {
        Ok(Wire::Version) => CompareTarget::Version(number(|operand| match operand {
            TargetUnion::Version(number) => Some(*number),
            _ => None,
        })),
        Ok(Wire::Create) => CompareTarget::Create(number(|operand| match operand {
            TargetUnion::CreateRevision(number) => Some(*number),
            _ => None,
        })),
        Ok(Wire::Mod) => CompareTarget::Mod(number(|operand| match operand {
            TargetUnion::ModRevision(number) => Some(*number),
            _ => None,
        })),
        Ok(Wire::Lease) => CompareTarget::Lease(LeaseId(number(|operand| match operand {
            TargetUnion::Lease(number) => Some(*number),
            _ => None,
        }))),
        Ok(Wire::Value) => CompareTarget::Value(match operand {
            Some(TargetUnion::Value(value)) => value,
            _ => Bytes::new(),
        }),
        Err(_) => CompareTarget::Unknown,
    };
    Compare {
        range: KeyRange::from_fields(request.key, request.range_end),
        result: CompareResult::from(request.result),
        target,
    }
}

/// A header that says only the revision; who serves the answer fills in the rest.
#[must_use]
pub fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..ResponseHeader::default() })
}

/// The message that answers a read.
#[must_use]
pub fn range_response(result: RangeResult) -> raw::RangeResponse {
    raw::RangeResponse {
        header: header(result.revision),
        kvs: result.kvs,
        more: result.more,
        count: result.count,
    }
}

/// The message that answers a transaction. The header of a nested one stays empty, as in etcd.
#[must_use]
pub fn txn_response(outcome: TxnOutcome) -> raw::TxnResponse {
    raw::TxnResponse {
        header: header(outcome.revision),
        succeeded: outcome.succeeded,
        responses: outcome.responses.into_iter().map(op_response).collect(),
    }
}

fn op_response(outcome: OpOutcome) -> raw::ResponseOp {
    use raw::response_op::Response;
    let response = match outcome {
        OpOutcome::Range(result) => Response::ResponseRange(range_response(result)),
        OpOutcome::Put { revision, prev } => {
            Response::ResponsePut(raw::PutResponse { header: header(revision), prev_kv: prev })
        }
        OpOutcome::DeleteRange { revision, deleted, prevs } => {
            Response::ResponseDeleteRange(raw::DeleteRangeResponse {
                header: header(revision),
                deleted,
                prev_kvs: prevs,
            })
        }
        OpOutcome::Txn { succeeded, responses } => Response::ResponseTxn(raw::TxnResponse {
            header: Some(ResponseHeader::default()),
            succeeded,
            responses: responses.into_iter().map(op_response).collect(),
        }),
    };
    raw::ResponseOp { response: Some(response) }
}

/// What etcd says where the store refuses; the store's own failure is given back.
///
/// # Errors
/// The failure, when the store itself failed.
pub fn refusal(error: OpError) -> Result<EtcdError, drystone_mvcc::Error> {
    match error {
        OpError::KeyNotFound => Ok(EtcdError::KeyNotFound),
        OpError::LeaseNotFound(_) => Ok(EtcdError::LeaseNotFound),
        OpError::Compacted { .. } => Ok(EtcdError::Compacted),
        OpError::FutureRevision { .. } => Ok(EtcdError::FutureRev),
        OpError::Store(error) => Err(error),
        // Nothing else can pass the checks before a proposal; a log written by another
        // program may hold it all the same, and then every member refuses it alike.
        _ => Ok(EtcdError::TooManyOps),
    }
}

/// What etcd says to who may not do something.
#[must_use]
pub fn denial(denied: Denied) -> EtcdError {
    match denied {
        Denied::UserEmpty => EtcdError::UserEmpty,
        Denied::UserNotFound => EtcdError::UserNotFound,
        Denied::PermissionDenied => EtcdError::PermissionDenied,
        Denied::OldRevision => EtcdError::AuthOldRevision,
    }
}

/// What etcd says where a change of users or roles is refused.
#[must_use]
pub fn auth_refusal(error: drystone_auth::Error) -> EtcdError {
    use drystone_auth::Error;
    match error {
        Error::RootUserNotExist => EtcdError::RootUserNotExist,
        Error::RootRoleNotExist => EtcdError::RootRoleNotExist,
        Error::UserEmpty => EtcdError::UserEmpty,
        Error::UserAlreadyExist => EtcdError::UserAlreadyExist,
        Error::UserNotFound => EtcdError::UserNotFound,
        Error::RoleEmpty => EtcdError::RoleEmpty,
        Error::RoleAlreadyExist => EtcdError::RoleAlreadyExist,
        Error::RoleNotFound => EtcdError::RoleNotFound,
        Error::RoleNotGranted => EtcdError::RoleNotGranted,
        Error::PermissionNotGranted => EtcdError::PermissionNotGranted,
        Error::InvalidManagement => EtcdError::InvalidAuthMgmt,
        Error::NotEnabled => EtcdError::AuthNotEnabled,
        Error::AuthFailed => EtcdError::AuthFailed,
        Error::NoPasswordUser => EtcdError::PasswordForNoPasswordUser,
    }
}

/// The permission that a message grants.
#[must_use]
pub fn permission(message: authpb::Permission) -> Permission {
    let kind = PermissionKind::from_number(message.perm_type);
    Permission { kind, key: message.key, range_end: message.range_end }
}

/// The message that shows a permission.
#[must_use]
pub fn permission_message(permission: Permission) -> authpb::Permission {
    let Permission { kind, key, range_end } = permission;
    authpb::Permission { perm_type: kind.number(), key, range_end }
}
