//! Requests and answers in a form that can be compared.

use crate::history::{Request, Response};
use crate::model::header;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    InternalRaftRequest, RequestOp, ResponseHeader, TxnRequest, TxnResponse,
    request_op::Request as OpRequest, response_op::Response as OpResponse,
};

/// True when `command` is what the log would hold of `request`. A lease id that the member
/// picked is any.
pub(crate) fn is_command_of(command: &InternalRaftRequest, request: &Request) -> bool {
    match request {
        Request::Put(request) => command.put.as_ref() == Some(request),
        Request::DeleteRange(request) => command.delete_range.as_ref() == Some(request),
        Request::Txn(request) => command.txn.as_ref() == Some(request),
        Request::Compaction(request) => {
            command.compaction.is_some_and(|logged| logged.revision == request.revision)
        }
        Request::LeaseGrant(request) => command.lease_grant.is_some_and(|logged| {
            logged.ttl == request.ttl && (request.id == 0 || logged.id == request.id)
        }),
        Request::LeaseRevoke(request) => {
            command.lease_revoke.is_some_and(|logged| logged.id == request.id)
        }
        Request::Alarm(request) => command.alarm.as_ref() == Some(request),
        Request::Auth(request) => {
            let (header, id) = (command.header.clone(), command.id);
            *command == InternalRaftRequest { header, id, ..(**request).clone() }
        }
        Request::Range(_)
        | Request::LeaseKeepAlive(_)
        | Request::LeaseTimeToLive(_)
        | Request::LeaseLeases
        | Request::Members(_) => false,
    }
}

/// True for requests that go through the log.
pub(crate) fn is_logged(request: &Request) -> bool {
    match request {
        Request::Txn(txn) => !is_read_only(txn),
        Request::Put(_)
        | Request::DeleteRange(_)
        | Request::Compaction(_)
        | Request::LeaseGrant(_)
        | Request::LeaseRevoke(_)
        | Request::Alarm(_)
        | Request::Auth(_) => true,
        Request::Range(_)
        | Request::LeaseKeepAlive(_)
        | Request::LeaseTimeToLive(_)
        | Request::LeaseLeases
        | Request::Members(_) => false,
    }
}

fn is_read_only(txn: &TxnRequest) -> bool {
    let mut ops = txn.success.iter().chain(&txn.failure);
    ops.all(|op| matches!(op.request, Some(OpRequest::RequestRange(_))))
}

/// True for reads that a member may answer from what it has. A transaction is one when it has
/// reads and all of them are.
pub(crate) fn is_serializable(request: &Request) -> bool {
    match request {
        Request::Range(range) => range.serializable,
        Request::Txn(txn) if is_read_only(txn) => {
            let mut ops = txn.success.iter().chain(&txn.failure).peekable();
            ops.peek().is_some()
                && ops.all(|RequestOp { request }| match request {
                    Some(OpRequest::RequestRange(range)) => range.serializable,
                    _ => false,
                })
        }
        _ => false,
    }
}

/// True for refusals that need no state: they may come before the log.
pub(crate) fn is_refused_unseen(request: &Request, error: EtcdError) -> bool {
    match error {
        EtcdError::LeaseNotFound
        | EtcdError::LeaseExist
        | EtcdError::Compacted
        | EtcdError::FutureRev
        | EtcdError::UserEmpty
        | EtcdError::UserNotFound
        | EtcdError::UserAlreadyExist
        | EtcdError::RoleNotFound
        | EtcdError::RoleAlreadyExist
        | EtcdError::RoleNotGranted
        | EtcdError::PermissionNotGranted
        | EtcdError::PermissionDenied
        | EtcdError::AuthOldRevision
        | EtcdError::RootUserNotExist
        | EtcdError::RootRoleNotExist
        | EtcdError::InvalidAuthMgmt => false,
        EtcdError::KeyNotFound => match request {
            Request::Txn(txn) => has_missing_op(txn),
            _ => false,
        },
        _ => true,
    }
}

fn has_missing_op(txn: &TxnRequest) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match &op.request {
        None => true,
        Some(OpRequest::RequestTxn(nested)) => has_missing_op(nested),
        Some(_) => false,
    })
}

/// The revision in an answer's header; `None` without a header.
pub(crate) fn revision(response: &Response) -> Option<i64> {
    let header: &Option<ResponseHeader> = match response {
        Response::Put(answer) => &answer.header,
        Response::DeleteRange(answer) => &answer.header,
        Response::Txn(answer) => &answer.header,
        Response::Range(answer) => &answer.header,
        Response::Compaction(answer) => &answer.header,
        Response::LeaseGrant(answer) => &answer.header,
        Response::LeaseRevoke(answer) => &answer.header,
        Response::LeaseKeepAlive(answer) => &answer.header,
        Response::LeaseTimeToLive(answer) => &answer.header,
        Response::LeaseLeases(answer) => &answer.header,
        Response::Alarm(answer) => &answer.header,
        Response::Members(answer) => &answer.header,
        Response::Auth(header) => header,
    };
    header.map(|header| header.revision)
}

/// True when an answer says what the model says. Of headers only the revision counts: who
/// answers, and in which term, the model does not know.
pub(crate) fn agrees(response: &Response, expected: &Response) -> bool {
    let bare = |header: &Option<ResponseHeader>| {
        header.map(|ResponseHeader { revision, .. }| revision).and_then(self::header)
    };
    let plain = match response {
        Response::Put(answer) => {
            let mut answer = answer.clone();
            answer.header = bare(&answer.header);
            Response::Put(answer)
        }
        Response::DeleteRange(answer) => {
            let mut answer = answer.clone();
            answer.header = bare(&answer.header);
            Response::DeleteRange(answer)
        }
        Response::Range(answer) => {
            let mut answer = answer.clone();
            answer.header = bare(&answer.header);
            Response::Range(answer)
        }
        Response::Txn(answer) => {
            let mut answer = plain_txn(answer.clone());
            answer.header = bare(&answer.header);
            Response::Txn(answer)
        }
        // The compaction may be waited for, and the revision of the answer is that of its end.
        Response::Compaction(_) => {
            let own = revision(response) >= revision(expected);
            return own && matches!(expected, Response::Compaction(_));
        }
        Response::LeaseGrant(answer) => {
            let mut answer = answer.clone();
            answer.header = bare(&answer.header);
            Response::LeaseGrant(answer)
        }
        Response::LeaseRevoke(answer) => {
            let mut answer = *answer;
            answer.header = bare(&answer.header);
            Response::LeaseRevoke(answer)
        }
        Response::Alarm(answer) => {
            let mut answer = answer.clone();
            answer.header = bare(&answer.header);
            Response::Alarm(answer)
        }
        Response::Auth(header) => Response::Auth(bare(header)),
        other => other.clone(),
    };
    plain == *expected
}

/// Strips the headers of what a transaction answers down to their revisions.
fn plain_txn(mut answer: TxnResponse) -> TxnResponse {
    let bare = |header: &mut Option<ResponseHeader>| {
        *header = self::header(header.map_or(0, |header| header.revision));
    };
    for response in &mut answer.responses {
        match &mut response.response {
            Some(OpResponse::ResponseRange(answer)) => bare(&mut answer.header),
            Some(OpResponse::ResponsePut(answer)) => bare(&mut answer.header),
            Some(OpResponse::ResponseDeleteRange(answer)) => bare(&mut answer.header),
            Some(OpResponse::ResponseTxn(nested)) => {
                bare(&mut nested.header);
                *nested = plain_txn(std::mem::take(nested));
            }
            None => {}
        }
    }
    answer
}
