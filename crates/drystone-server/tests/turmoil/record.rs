//! What clients do and are told, written down as a history for the judges.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{self as pb, InternalRaftRequest};
use drystone_client::{Client, Error};
use drystone_judge::{
    Committed, History, Operation, Outcome, Request, Response, StreamEnd, StreamEvent, StreamHeard,
    WatchStream,
};
use drystone_types::{ClusterId, EntryKind, LogIndex, MemberId};
use drystone_wal::{FsDisk, Identity, Wal};
use prost::Message;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// A history that is being written, by all clients of a run.
#[derive(Clone, Default)]
pub(crate) struct Record {
    history: Arc<Mutex<History>>,
    next_client: Arc<Mutex<u64>>,
}

/// Time since the start of the run.
fn now() -> Duration {
    turmoil::sim_elapsed().expect("called in a simulated client")
}

impl Record {
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }

    /// A name that no client had.
    pub(crate) fn new_client(&self) -> u64 {
        let mut next = self.next_client.lock().unwrap();
        *next += 1;
        *next
    }

    /// Makes a call and writes it down, also when it is given up after `patience`.
    pub(crate) async fn call(
        &self,
        name: &mut u64,
        client: &Client,
        patience: Duration,
        request: Request,
    ) -> Outcome {
        let place = {
            let mut history = self.history();
            history.operations.push(Operation {
                client: *name,
                member: MemberId(0),
                proposal: None,
                called_at: now(),
                returned_at: now(),
                request: request.clone(),
                outcome: Outcome::Unknown,
            });
            history.operations.len() - 1
        };
        let answer = tokio::time::timeout(patience, ask(client, request)).await;
        let outcome = answer.map_or(Outcome::Unknown, told);
        let mut history = self.history();
        let operation = &mut history.operations[place];
        operation.returned_at = now();
        operation.outcome = outcome.clone();
        drop(history);
        if outcome == Outcome::Unknown {
            *name = self.new_client();
        }
        outcome
    }

    /// Notes that a watch stream was opened, and gives its place.
    pub(crate) fn open(&self) -> usize {
        let mut history = self.history();
        history.streams.push(WatchStream {
            member: MemberId(0),
            events: Vec::new(),
            end: StreamEnd::Cut,
        });
        history.streams.len() - 1
    }

    /// Notes what a stream asked or heard.
    pub(crate) fn on_stream(&self, place: usize, what: StreamHeard) {
        self.history().streams[place].events.push(StreamEvent { at: now(), what });
    }

    /// Notes that a stream has heard all there is.
    pub(crate) fn drained(&self, place: usize) {
        self.history().streams[place].end = StreamEnd::Drained;
    }

    /// The history, completed by the log that the server left in `folder` when it stopped.
    pub(crate) fn complete(
        self,
        folder: &Path,
        header: pb::ResponseHeader,
        settled_at: Duration,
    ) -> History {
        let mut history = std::mem::take(&mut *self.history());
        let member = MemberId(header.member_id);
        history.operations.iter_mut().for_each(|operation| operation.member = member);
        history.streams.iter_mut().for_each(|stream| stream.member = member);
        history.settled_at = Some(settled_at);
        let identity = Identity { cluster: ClusterId(header.cluster_id), member };
        history.log = read_log(folder, identity);
        history
    }
}

/// The log of a server that has stopped. A lone voter's log is committed as far as it reaches.
fn read_log(folder: &Path, identity: Identity) -> Vec<Committed> {
    let dir = folder.join("member/wal");
    let config = drystone_wal::Config::default();
    let (_, recovered) = Wal::open(Arc::new(FsDisk), &dir, config, identity, LogIndex(0)).unwrap();
    assert_eq!(recovered.before.index, LogIndex(0), "the log is whole");
    let committed = recovered.entries.into_iter().map(|entry| {
        let is_command = entry.kind == EntryKind::Normal && !entry.data.is_empty();
        Committed {
            index: entry.index,
            term: entry.term,
            command: is_command.then(|| InternalRaftRequest::decode(entry.data).unwrap()),
            applied_at: None,
        }
    });
    committed.collect()
}

async fn ask(client: &Client, request: Request) -> Result<Response, Error> {
    Ok(match request {
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

/// What a caller knows after an answer.
fn told(answer: Result<Response, Error>) -> Outcome {
    let error = match answer {
        Ok(response) => return Outcome::Answered(response),
        Err(error) => error,
    };
    let Error::Server { message, .. } = &error else { return Outcome::Unknown };
    match EtcdError::from_message(message) {
        Some(
            refused @ (EtcdError::Compacted
            | EtcdError::FutureRev
            | EtcdError::LeaseNotFound
            | EtcdError::LeaseExist),
        ) => Outcome::Refused(refused),
        Some(away @ (EtcdError::RequestTooManyRequests | EtcdError::NoLeader)) => {
            Outcome::TurnedAway(away)
        }
        Some(EtcdError::Timeout | EtcdError::Stopped | EtcdError::ContextDeadlineExceeded) => {
            Outcome::Unknown
        }
        // A server that ends may break an answer off in gRPC's own words.
        None => Outcome::Unknown,
        Some(other) => panic!("nothing here should be refused by {other:?}"),
    }
}
