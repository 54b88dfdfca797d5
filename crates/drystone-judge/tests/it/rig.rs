//! Histories made by hand: correct until a test breaks them.

use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, InternalRaftRequest, LeaseGrantRequest,
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesResponse, LeaseRevokeRequest,
    LeaseStatus, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, PutRequest, RangeRequest,
    RequestHeader, RequestOp, ResponseHeader, TxnRequest, request_op,
};
use drystone_api::mvccpb::Event;
use drystone_judge::{Committed, History, Model, Operation, Outcome, Request, Response};
use drystone_types::{LogIndex, MemberId, Term};
use std::time::Duration;

pub(crate) const MEMBER: MemberId = MemberId(1);

/// The header of an answer at this revision.
pub(crate) fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { cluster_id: 7, member_id: 1, revision, raft_term: 1 })
}

pub(crate) fn put(key: &str, value: &str) -> PutRequest {
    let (key, value) = (key.to_owned().into(), value.to_owned().into());
    PutRequest { key, value, ..PutRequest::default() }
}

pub(crate) fn leased(key: &str, lease: i64) -> Request {
    Request::Put(PutRequest { lease, ..put(key, "v") })
}

pub(crate) fn range(key: &str) -> RangeRequest {
    RangeRequest { key: key.to_owned().into(), ..RangeRequest::default() }
}

pub(crate) fn delete(key: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: key.to_owned().into(), ..DeleteRangeRequest::default() }
}

pub(crate) fn txn_of(puts: &[(&str, &str)]) -> TxnRequest {
    let op = |(key, value): &(&str, &str)| RequestOp {
        request: Some(request_op::Request::RequestPut(put(key, value))),
    };
    TxnRequest { success: puts.iter().map(op).collect(), ..TxnRequest::default() }
}

pub(crate) fn grant(id: i64, ttl: i64) -> Request {
    Request::LeaseGrant(LeaseGrantRequest { id, ttl })
}

pub(crate) fn revoke(id: i64) -> Request {
    Request::LeaseRevoke(LeaseRevokeRequest { id })
}

pub(crate) fn keep_alive(id: i64) -> Request {
    Request::LeaseKeepAlive(LeaseKeepAliveRequest { id })
}

pub(crate) fn time_to_live(id: i64) -> Request {
    Request::LeaseTimeToLive(LeaseTimeToLiveRequest { id, keys: true })
}

pub(crate) fn compact(revision: i64) -> Request {
    Request::Compaction(CompactionRequest { revision, physical: false })
}

/// The command that the log holds of a request, if it holds any.
pub(crate) fn command_of(request: &Request) -> Option<InternalRaftRequest> {
    let mut command = InternalRaftRequest::default();
    match request.clone() {
        Request::Put(put) => command.put = Some(put),
        Request::DeleteRange(delete) => command.delete_range = Some(delete),
        Request::Txn(txn) => {
            let mut ops = txn.success.iter().chain(&txn.failure);
            let read =
                |op: &RequestOp| matches!(op.request, Some(request_op::Request::RequestRange(_)));
            if ops.all(read) {
                return None;
            }
            command.txn = Some(txn);
        }
        Request::Compaction(compaction) => command.compaction = Some(compaction),
        Request::LeaseGrant(grant) => command.lease_grant = Some(grant),
        Request::LeaseRevoke(revoke) => command.lease_revoke = Some(revoke),
        _ => return None,
    }
    Some(command)
}

/// What a state answers to a request that leaves it alone.
pub(crate) fn read(model: &Model, request: &Request) -> Result<Response, EtcdError> {
    let header = header(model.revision());
    Ok(match request {
        Request::Range(range) => Response::Range(model.range(range)?),
        Request::Txn(txn) => Response::Txn(model.read_txn(txn)?),
        Request::LeaseKeepAlive(request) => Response::LeaseKeepAlive(LeaseKeepAliveResponse {
            header,
            id: request.id,
            ttl: model.lease(request.id).map_or(0, |lease| lease.ttl_seconds),
        }),
        Request::LeaseTimeToLive(request) => {
            let lease = model.lease(request.id);
            let ttl = lease.map_or(-1, |lease| lease.ttl_seconds);
            Response::LeaseTimeToLive(LeaseTimeToLiveResponse {
                header,
                id: request.id,
                ttl,
                granted_ttl: ttl.max(0),
                keys: if request.keys { model.attached(request.id) } else { Vec::new() },
            })
        }
        Request::LeaseLeases => {
            let leases = model.leases().map(|(id, _)| LeaseStatus { id }).collect();
            Response::LeaseLeases(LeaseLeasesResponse { header, leases })
        }
        other => panic!("{other:?} is no read"),
    })
}

pub(crate) fn outcome_of(answer: Result<Response, EtcdError>) -> Outcome {
    match answer {
        Ok(response) => Outcome::Answered(response),
        Err(error) => Outcome::Refused(error),
    }
}

/// A run in which one thing happens after another: called, applied a millisecond later, over a
/// millisecond later again, and the next call a millisecond after that.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) history: History,
    pub(crate) model: Model,
    /// Everything that changed.
    pub(crate) events: Vec<Event>,
    now: Duration,
}

impl Run {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The run's time.
    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    fn tick(&mut self) -> Duration {
        self.now += Duration::from_millis(1);
        self.now
    }

    /// Puts a command in the log that is nobody's request.
    pub(crate) fn log(&mut self, command: InternalRaftRequest) {
        let applied_at = Some(self.tick());
        let index = LogIndex(self.history.log.len() as u64 + 1);
        let _ = self.model.apply(&command);
        self.events.extend_from_slice(self.model.last_events());
        let command = Some(command);
        self.history.log.push(Committed { index, term: Term(1), command, applied_at });
    }

    /// Client 1 asks and is answered; gives the number of the operation.
    pub(crate) fn ask(&mut self, request: Request) -> usize {
        self.ask_as(1, request)
    }

    pub(crate) fn ask_as(&mut self, client: u64, request: Request) -> usize {
        let called_at = self.tick();
        let applied_at = self.tick();
        let id = self.history.operations.len() as u64 + 100;
        let (proposal, outcome) = match command_of(&request) {
            Some(mut command) => {
                command.header = Some(RequestHeader { id, ..RequestHeader::default() });
                let answer = self.model.apply(&command).map(Option::unwrap);
                self.events.extend_from_slice(self.model.last_events());
                self.history.log.push(Committed {
                    index: LogIndex(self.history.log.len() as u64 + 1),
                    term: Term(1),
                    command: Some(command),
                    applied_at: Some(applied_at),
                });
                (Some(id), outcome_of(answer))
            }
            None => (None, outcome_of(read(&self.model, &request))),
        };
        let returned_at = self.tick();
        self.history.operations.push(Operation {
            client,
            member: MEMBER,
            proposal,
            called_at,
            returned_at,
            request,
            outcome,
        });
        self.history.operations.len() - 1
    }

    /// As [`Run::ask`], and nobody knows what came of it.
    pub(crate) fn ask_unknown(&mut self, request: Request) -> usize {
        let number = self.ask(request);
        self.history.operations[number].outcome = Outcome::Unknown;
        number
    }

    pub(crate) fn put(&mut self, key: &str, value: &str) -> usize {
        self.ask(Request::Put(put(key, value)))
    }

    pub(crate) fn range(&mut self, key: &str) -> usize {
        self.ask(Request::Range(range(key)))
    }

    pub(crate) fn operation(&mut self, number: usize) -> &mut Operation {
        &mut self.history.operations[number]
    }

    /// Forgets which proposal was whose, as where nobody could see it.
    pub(crate) fn forget_proposals(&mut self) {
        for operation in &mut self.history.operations {
            operation.proposal = None;
        }
    }
}
