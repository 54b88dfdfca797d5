//! What clients asked and were told, noted as it happens for the judges.

use super::figures::name;
use crate::torture::load::Shared;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb as pb;
use drystone_client::{Client, Error};
use drystone_judge::{Operation, Outcome, Request, Response};
use drystone_types::MemberId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Notes of all clients of a run.
#[derive(Debug)]
pub(crate) struct Notebook {
    pub(crate) shared: Arc<Shared>,
    /// The members' ids, in the order of the endpoints.
    members: Vec<u64>,
    operations: Mutex<Vec<Operation>>,
    /// Why calls stayed without an answer, with how many did.
    silences: Mutex<BTreeMap<(&'static str, String), u64>>,
    clients: AtomicU64,
    serials: AtomicU64,
}

impl Notebook {
    pub(crate) fn new(shared: Arc<Shared>, members: Vec<u64>) -> Notebook {
        Notebook {
            shared,
            members,
            operations: Mutex::default(),
            silences: Mutex::default(),
            clients: AtomicU64::new(1),
            serials: AtomicU64::new(1),
        }
    }

    /// A number that nobody got before: what makes requests unlike all others.
    pub(crate) fn serial(&self) -> u64 {
        self.serials.fetch_add(1, Ordering::Relaxed)
    }

    fn client(&self) -> u64 {
        self.clients.fetch_add(1, Ordering::Relaxed)
    }

    /// Who calls one member, or whoever is there.
    pub(crate) fn caller(self: &Arc<Self>, member: Option<usize>) -> Caller {
        Caller {
            client: self.shared.client(member),
            notebook: self.clone(),
            member,
            id: self.client(),
            run: 0,
        }
    }

    /// The id of a member.
    pub(crate) fn member(&self, n: usize) -> MemberId {
        MemberId(self.members[n])
    }

    fn note(&self, operation: Operation) {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
    }

    fn note_silence(&self, request: &Request, error: &Error) {
        let why = match error {
            Error::Server { message, .. } => message.clone(),
            Error::Unreachable { .. } => "not sent: no connection".into(),
            Error::Lost { .. } => "connection lost".into(),
            error => error.to_string(),
        };
        let mut silences = self.silences.lock().unwrap_or_else(PoisonError::into_inner);
        *silences.entry((name(request), why)).or_default() += 1;
    }

    /// Why calls stayed without an answer, by what was asked.
    pub(crate) fn silences(&self) -> BTreeMap<(&'static str, String), u64> {
        self.silences.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All operations, in the order of their calls.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let mut operations = std::mem::take(&mut *operations);
        operations.sort_by_key(|operation| operation.called_at);
        operations
    }
}

/// One client that makes one call after another.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) notebook: Arc<Notebook>,
    client: Client,
    member: Option<usize>,
    id: u64,
    /// Which process of its member it has spoken with: a new one may stand behind the old.
    run: u64,
}

impl Caller {
    /// Another client over the same connections.
    pub(crate) fn another(&self) -> Caller {
        Caller {
            client: self.client.clone(),
            notebook: self.notebook.clone(),
            member: self.member,
            id: self.notebook.client(),
            run: self.run,
        }
    }

    /// Makes a call and notes it. `None` without an answer.
    pub(crate) async fn call(&mut self, request: Request) -> Option<Response> {
        let shared = self.notebook.shared.clone();
        let run = self.member.map_or(0, |member| shared.runs[member].load(Ordering::Acquire));
        if run != self.run {
            (self.run, self.id) = (run, self.notebook.client());
        }
        let called_at = shared.epoch.elapsed();
        let done = send(&self.client, &request).await;
        let returned_at = shared.epoch.elapsed();
        if let Err(error) = &done {
            self.notebook.note_silence(&request, error);
        }
        let outcome = outcome(done)?;
        let member = self.member.map_or(0, |member| self.notebook.members[member]);
        let (member, answer) = match &outcome {
            Outcome::Answered(response) => {
                let header = header(response);
                self.take_in(&request, response, header.map_or(0, |header| header.revision));
                (header.map_or(member, |header| header.member_id), Some(response.clone()))
            }
            _ => (member, None),
        };
        let client = self.id;
        if outcome == Outcome::Unknown {
            self.id = self.notebook.client();
        }
        self.notebook.note(Operation {
            client,
            member: MemberId(member),
            proposal: None,
            called_at,
            returned_at,
            request,
            outcome,
        });
        answer
    }

    /// Lets the others know how far the store is, and that writes are acknowledged.
    fn take_in(&self, request: &Request, response: &Response, revision: i64) {
        let shared = &self.notebook.shared;
        if !matches!(request, Request::Range(range) if range.serializable) {
            shared.floor.fetch_max(revision, Ordering::AcqRel);
        }
        if matches!(response, Response::Put(_)) {
            shared.beat();
        }
    }
}

async fn send(client: &Client, request: &Request) -> Result<Response, Error> {
    Ok(match request.clone() {
        Request::Put(request) => Response::Put(client.put(request).await?),
        Request::DeleteRange(request) => Response::DeleteRange(client.delete_range(request).await?),
        Request::Txn(request) => Response::Txn(client.txn(request).await?),
        Request::Range(request) => Response::Range(client.range(request).await?),
        Request::Compaction(request) => Response::Compaction(client.compact(request).await?),
        Request::LeaseGrant(request) => Response::LeaseGrant(client.lease_grant(request).await?),
        Request::LeaseRevoke(request) => Response::LeaseRevoke(client.lease_revoke(request).await?),
        Request::LeaseKeepAlive(request) => {
            Response::LeaseKeepAlive(client.keep_alive_once(request.id).await?)
        }
        Request::LeaseTimeToLive(request) => {
            Response::LeaseTimeToLive(client.lease_time_to_live(request).await?)
        }
        Request::LeaseLeases => {
            Response::LeaseLeases(client.lease_leases(pb::LeaseLeasesRequest {}).await?)
        }
        Request::Alarm(request) => Response::Alarm(client.alarm(request).await?),
        Request::Members(request) => unreachable!("the load changes no members: {request:?}"),
        Request::Auth(request) => unreachable!("the load changes no rights: {request:?}"),
    })
}

/// What came of a call; `None` if it was never sent.
fn outcome(done: Result<Response, Error>) -> Option<Outcome> {
    let error = match done {
        Ok(response) => return Some(Outcome::Answered(response)),
        Err(error) => error,
    };
    let known = match &error {
        Error::Unreachable { .. } | Error::NoEndpoints | Error::RequestTooLarge { .. } => {
            return None;
        }
        Error::Server { message, .. } => EtcdError::from_message(message),
        _ => None,
    };
    Some(match known {
        Some(error @ EtcdError::RequestTooManyRequests) => Outcome::TurnedAway(error),
        Some(
            error @ (EtcdError::LeaseNotFound
            | EtcdError::LeaseExist
            | EtcdError::Compacted
            | EtcdError::FutureRev),
        ) => Outcome::Refused(error),
        _ => Outcome::Unknown,
    })
}

fn header(response: &Response) -> Option<&pb::ResponseHeader> {
    match response {
        Response::Put(response) => response.header.as_ref(),
        Response::DeleteRange(response) => response.header.as_ref(),
        Response::Txn(response) => response.header.as_ref(),
        Response::Range(response) => response.header.as_ref(),
        Response::Compaction(response) => response.header.as_ref(),
        Response::LeaseGrant(response) => response.header.as_ref(),
        Response::LeaseRevoke(response) => response.header.as_ref(),
        Response::LeaseKeepAlive(response) => response.header.as_ref(),
        Response::LeaseTimeToLive(response) => response.header.as_ref(),
        Response::LeaseLeases(response) => response.header.as_ref(),
        Response::Alarm(response) => response.header.as_ref(),
        Response::Members(response) => response.header.as_ref(),
        Response::Auth(header) => header.as_ref(),
    }
}

/// The revision in an answer's header, 0 without one.
pub(crate) fn revision(response: &Response) -> i64 {
    header(response).map_or(0, |header| header.revision)
}
