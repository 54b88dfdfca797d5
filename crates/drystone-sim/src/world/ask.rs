//! Requests at a member: checked, proposed or read, passed on, answered. It follows the server's
//! services.

use super::node::START;
use super::{Event, World};
use crate::clock::MILLISECOND;
use crate::host::{ApplyInput, Ask, Input, Origin, Stage, Token};
use crate::random::Draw;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    self as etcd, InternalRaftRequest, LeaseCheckpoint, LeaseCheckpointRequest, ResponseHeader,
};
use drystone_api::limits::{TXN_DEPTH_MAX, TXN_OPS_MAX, txn_depth};
use drystone_judge::{Outcome, Request, Response};
use drystone_lease::{Renewed, TimeToLive};
use drystone_machine::{Answer, NotPrimary, convert, header};
use drystone_mvcc::{OpError, Snapshot, validate};
use drystone_types::LeaseId;
use prost::Message as _;
use rand::Rng;

/// How long a member waits before it asks for the leader again, as the server's lease service.
const FORWARD_PAUSE: u64 = 50 * MILLISECOND;
/// How long a long read takes at most.
const LONG_READ_MAX: u64 = 1_000 * MILLISECOND;
/// Entries that applying may lag behind before commands are refused.
const APPLY_LAG_ENTRIES_MAX: u64 = drystone_api::limits::APPLY_LAG_ENTRIES_MAX;

impl World {
    /// Serves a request at a member.
    pub(super) fn serve(&mut self, m: usize, id: u64, ask: Ask) {
        let request = ask.request.clone();
        let Some(process) = &mut self.hosts[m].process else { return };
        process.asks.insert(id, ask);
        let local = matches!(&request, Request::Range(range) if range.serializable);
        if !local && self.is_learner(m) {
            drystone_probe::mark!("sim.learner_refused");
            return self.turn_away(m, id, EtcdError::NotSupportedForLearner);
        }
        if let Err(error) = check(&request) {
            return self.turn_away(m, id, error);
        }
        match request {
            Request::Range(range) if range.serializable => self.read_now(m, id),
            Request::Range(_) => self.confirm(m, id),
            Request::Txn(txn) if convert::txn(txn.clone()).is_read_only() => {
                if all_serializable(&txn) { self.read_now(m, id) } else { self.confirm(m, id) }
            }
            Request::LeaseKeepAlive(_) | Request::LeaseTimeToLive(_) => self.lease_ask(m, id),
            Request::LeaseLeases => self.apply_input(m, ApplyInput::Leases(id)),
            Request::Put(_)
            | Request::DeleteRange(_)
            | Request::Txn(_)
            | Request::Compaction(_)
            | Request::LeaseGrant(_)
            | Request::LeaseRevoke(_)
            | Request::Alarm(_)
            | Request::Auth(_) => self.propose_ask(m, id, command(request)),
            Request::Members(request) => self.serve_members(m, id, &request),
        }
    }

    /// Proposes what an ask stands for, under the ask's number and the name of who asks.
    fn propose_ask(&mut self, m: usize, id: u64, mut command: InternalRaftRequest) {
        command.header = Some(header(id, self.who_asks(m, id).as_ref()));
        let Some(process) = &self.hosts[m].process else { return };
        let lag = process.node.committed().0.saturating_sub(process.applied);
        // Clients have half of the inbox.
        if lag > APPLY_LAG_ENTRIES_MAX || process.inbox.len() >= self.knobs.inbox_max / 2 {
            return self.turn_away(m, id, EtcdError::RequestTooManyRequests);
        }
        if let Some(Ask { origin: Origin::Client, .. }) = process.asks.get(&id) {
            self.proposed(id);
        }
        self.input(m, Input::Propose { id, data: command.encode_to_vec().into() });
    }

    pub(super) fn confirm(&mut self, m: usize, id: u64) {
        let Some(process) = &self.hosts[m].process else { return };
        if process.inbox.len() >= self.knobs.inbox_max / 2 {
            return self.turn_away(m, id, EtcdError::RequestTooManyRequests);
        }
        self.input(m, Input::Read(id));
    }

    /// Reads may go on.
    pub(super) fn release(&mut self, m: usize, tokens: Vec<Token>) {
        for id in tokens {
            let Some(process) = &mut self.hosts[m].process else { return };
            if id == START {
                process.serving = true;
                continue;
            }
            let Some(ask) = process.asks.get(&id) else { continue };
            match &ask.request {
                Request::LeaseKeepAlive(request) => {
                    let lease = LeaseId(request.id);
                    self.apply_input(m, ApplyInput::Renew(lease, id));
                }
                Request::LeaseTimeToLive(request) => {
                    let (lease, keys) = (LeaseId(request.id), request.keys);
                    self.apply_input(m, ApplyInput::TimeToLive(lease, keys, id));
                }
                Request::Members(_) => self.list_members(m, id),
                _ => self.read_now(m, id),
            }
        }
    }

    /// Answers a read from what is published. A long one holds on to that for a while, and
    /// what it lets go of must wait.
    fn read_now(&mut self, m: usize, id: u64) {
        let long = self.timing.percent(self.knobs.long_reads_percent);
        let span = self.timing.random_range(0..=LONG_READ_MAX);
        let Some(process) = &mut self.hosts[m].process else { return };
        let snapshot = process.applier.machine().reader().snapshot();
        if long {
            process.long_reads.insert(id, snapshot);
            let incarnation = self.hosts[m].incarnation;
            self.after(span, Event::LongRead(m, incarnation, id));
            return;
        }
        self.answer_read(m, id, &snapshot);
    }

    pub(super) fn long_read_ends(&mut self, m: usize, id: u64) {
        let Some(process) = &mut self.hosts[m].process else { return };
        if let Some(snapshot) = process.long_reads.remove(&id) {
            self.answer_read(m, id, &snapshot);
        }
    }

    fn answer_read(&mut self, m: usize, id: u64, snapshot: &Snapshot) {
        let Some(process) = &self.hosts[m].process else { return };
        let Some(ask) = process.asks.get(&id) else { return };
        let result: Result<Response, OpError> = match &ask.request {
            Request::Range(range) => snapshot
                .range(&convert::range(range.clone()))
                .map(|result| Response::Range(plain(&convert::range_response(result)))),
            Request::Txn(txn) => snapshot
                .txn_read_only(&convert::txn(txn.clone()))
                .map(|outcome| Response::Txn(plain(&convert::txn_response(outcome)))),
            other => unreachable!("{other:?} is not read"),
        };
        let outcome = match result {
            Ok(response) => Outcome::Answered(response),
            Err(error) => match convert::refusal(error) {
                Ok(refusal) => Outcome::Refused(refusal),
                Err(failure) => return self.give_up(m, &format!("a read: {failure}")),
            },
        };
        self.finish_ask(m, id, outcome);
    }

    /// A command of this member was applied.
    pub(super) fn command_applied(&mut self, m: usize, id: u64, answer: Result<Answer, EtcdError>) {
        let Some(process) = &mut self.hosts[m].process else { return };
        if process.announcement == Some(id) {
            process.serving = true;
        }
        let Some(ask) = process.asks.get(&id) else { return };
        if let (Request::Members(_), Ok(_)) = (&ask.request, &answer) {
            return self.list_members(m, id);
        }
        if let Stage::Checkpoint(ttl) = ask.stage {
            return match answer {
                Ok(_) => self.renewal_done(m, id, Some(ttl)),
                Err(_) => self.renewal_done(m, id, None),
            };
        }
        let physical = matches!(&ask.request, Request::Compaction(request) if request.physical);
        let outcome = match answer {
            Ok(answer) => match response(answer) {
                Some(response) => Outcome::Answered(response),
                None => return self.give_up(m, "a client's command has an answer of its own"),
            },
            Err(error) => Outcome::Refused(error),
        };
        if physical && let Outcome::Answered(_) = &outcome {
            return self.apply_input(m, ApplyInput::Swept(id));
        }
        self.finish_ask(m, id, outcome);
    }

    pub(super) fn swept(&mut self, m: usize, id: u64) {
        let header = self.header(m);
        let response = Response::Compaction(etcd::CompactionResponse { header });
        self.finish_ask(m, id, Outcome::Answered(response));
    }

    /// What a member says at the head of its own answers.
    pub(super) fn header(&self, m: usize) -> Option<ResponseHeader> {
        let process = self.hosts[m].process.as_ref()?;
        let revision = process.applier.machine().reader().revision();
        Some(ResponseHeader { revision, ..ResponseHeader::default() })
    }

    /// Renewals, questions for what is left, and promotions go to the leader.
    pub(super) fn lease_ask(&mut self, m: usize, id: u64) {
        let Some(process) = &self.hosts[m].process else { return };
        let Some(ask) = process.asks.get(&id) else { return };
        if process.leadership.is_leader {
            return match ask.request {
                Request::Members(_) => self.check_learner(m, id),
                _ => self.confirm(m, id),
            };
        }
        let (leader, passed_on) = (process.leadership.leader, ask.origin != Origin::Client);
        let Some(&to) = self.numbers.get(&leader).filter(|_| !passed_on) else {
            return self.try_later(m, id);
        };
        let now = self.now;
        let request = ask.request.clone();
        let until = ask.until;
        let Some(process) = &mut self.hosts[m].process else { return };
        if let Some(ask) = process.asks.get_mut(&id) {
            ask.stage = Stage::Forwarded;
        }
        // What gets lost is noticed when the next try is due.
        self.try_later(m, id);
        if let crate::network::Fate::Arrives(times) = self.network.fate(m, to, now, true) {
            let call = self.fresh_id();
            let origin = Origin::Member(m, id);
            let ask = Ask { origin, request, until, stage: Stage::Waiting };
            self.relays.insert(call, ask);
            let incarnation = self.hosts[to].incarnation;
            self.at(times[0], Event::Request(to, incarnation, call));
        }
    }

    pub(super) fn try_later(&mut self, m: usize, id: u64) {
        let incarnation = self.hosts[m].incarnation;
        let pause = FORWARD_PAUSE.max(self.knobs.link_us.1 * 4);
        self.after(pause, Event::Again(m, incarnation, id));
    }

    pub(super) fn ask_again(&mut self, m: usize, id: u64) {
        let now = self.now;
        let Some(process) = &mut self.hosts[m].process else { return };
        let Some(ask) = process.asks.get_mut(&id) else { return };
        if now >= ask.until {
            process.asks.remove(&id);
            return;
        }
        ask.stage = Stage::Waiting;
        self.lease_ask(m, id);
    }

    /// The leader answered what was passed on to it.
    pub(super) fn relayed(&mut self, m: usize, id: u64, outcome: Outcome) {
        let Some(process) = &self.hosts[m].process else { return };
        let Some(ask) = process.asks.get(&id) else { return };
        let is_final = match &outcome {
            Outcome::Answered(_) => true,
            Outcome::Refused(_) => matches!(ask.request, Request::Members(_)),
            _ => false,
        };
        if is_final {
            self.finish_ask(m, id, outcome);
        }
        // Anything else is tried again when the next try is due.
    }

    pub(super) fn renewed(
        &mut self,
        m: usize,
        id: u64,
        lease: LeaseId,
        renewed: Result<Option<Renewed>, NotPrimary>,
    ) {
        let Some(process) = &mut self.hosts[m].process else { return };
        let Some(ask) = process.asks.get_mut(&id) else { return };
        match renewed {
            Err(NotPrimary) => self.not_primary(m, id),
            Ok(None) => self.renewal_done(m, id, None),
            Ok(Some(renewed)) if renewed.checkpoint_zero => {
                ask.stage = Stage::Checkpoint(renewed.ttl_seconds);
                let checkpoints = vec![LeaseCheckpoint { id: lease.0, remaining_ttl: 0 }];
                let request = LeaseCheckpointRequest { checkpoints };
                self.propose_ask(
                    m,
                    id,
                    InternalRaftRequest { lease_checkpoint: Some(request), ..Default::default() },
                );
            }
            Ok(Some(renewed)) => self.renewal_done(m, id, Some(renewed.ttl_seconds)),
        }
    }

    fn not_primary(&mut self, m: usize, id: u64) {
        let Some(process) = &mut self.hosts[m].process else { return };
        match process.asks.get(&id).map(|ask| ask.origin) {
            Some(Origin::Client) => self.try_later(m, id),
            _ => self.turn_away(m, id, EtcdError::NotPrimaryLessor),
        }
    }

    fn renewal_done(&mut self, m: usize, id: u64, ttl: Option<i64>) {
        let header = self.header(m);
        let Some(process) = &self.hosts[m].process else { return };
        let Some(Ask { request: Request::LeaseKeepAlive(request), .. }) = process.asks.get(&id)
        else {
            return;
        };
        let response =
            etcd::LeaseKeepAliveResponse { header, id: request.id, ttl: ttl.unwrap_or(0) };
        self.finish_ask(m, id, Outcome::Answered(Response::LeaseKeepAlive(response)));
    }

    pub(super) fn time_to_live_found(&mut self, m: usize, id: u64, found: Option<TimeToLive>) {
        let header = self.header(m);
        let Some(process) = &self.hosts[m].process else { return };
        let Some(Ask { request: Request::LeaseTimeToLive(request), .. }) = process.asks.get(&id)
        else {
            return;
        };
        let response = match found {
            Some(found) => etcd::LeaseTimeToLiveResponse {
                header,
                id: request.id,
                ttl: found.remaining_seconds,
                granted_ttl: found.granted_seconds,
                keys: found.keys,
            },
            None => etcd::LeaseTimeToLiveResponse {
                header,
                id: request.id,
                ttl: -1,
                ..Default::default()
            },
        };
        self.finish_ask(m, id, Outcome::Answered(Response::LeaseTimeToLive(response)));
    }

    pub(super) fn leases_listed(&mut self, m: usize, id: u64, leases: Vec<LeaseId>) {
        let header = self.header(m);
        let leases = leases.into_iter().map(|lease| etcd::LeaseStatus { id: lease.0 }).collect();
        let response = etcd::LeaseLeasesResponse { header, leases };
        self.finish_ask(m, id, Outcome::Answered(Response::LeaseLeases(response)));
    }

    /// Sends an outcome to whoever asked.
    pub(super) fn finish_ask(&mut self, m: usize, id: u64, mut outcome: Outcome) {
        let member = self.hosts[m].id.0;
        let Some(process) = &mut self.hosts[m].process else { return };
        let Some(ask) = process.asks.remove(&id) else { return };
        let term = process.applied_term;
        if let Outcome::Answered(response) = &mut outcome {
            complete(response, member, term);
        }
        match ask.origin {
            Origin::Client => {
                if let Some(at) = self.network.client(m, self.now) {
                    self.at(at, Event::Answer(id, Box::new(outcome)));
                }
            }
            Origin::Member(to, theirs) => {
                let fate = self.network.fate(m, to, self.now, true);
                if let crate::network::Fate::Arrives(times) = fate {
                    let incarnation = self.hosts[to].incarnation;
                    let event = Event::Relayed(to, incarnation, theirs, Box::new(outcome));
                    self.at(times[0], event);
                }
            }
        }
    }
}

/// Refuses what the server's services refuse before they ask the log.
fn check(request: &Request) -> Result<(), EtcdError> {
    let checked = match request {
        Request::Range(range) => validate::range(&convert::range(range.clone())),
        Request::Put(put) => validate::put(&convert::put(put.clone())),
        Request::DeleteRange(delete) => {
            validate::delete_range(&convert::delete_range(delete.clone()))
        }
        Request::Txn(txn) if txn_depth(txn) > TXN_DEPTH_MAX => return Err(EtcdError::TooManyOps),
        Request::Txn(txn) => validate::txn(&convert::txn(txn.clone()), TXN_OPS_MAX),
        _ => Ok(()),
    };
    // Which of etcd's texts it is does not matter here: it never reaches the log.
    checked.map_err(|_| EtcdError::InvalidAuthMgmt)
}

/// True when every range of both branches is serializable, as the server's service judges it.
fn all_serializable(request: &etcd::TxnRequest) -> bool {
    use etcd::request_op::Request as Op;
    let mut ops = request.success.iter().chain(&request.failure).peekable();
    ops.peek().is_some()
        && ops.all(|op| matches!(&op.request, Some(Op::RequestRange(range)) if range.serializable))
}

/// The command in the log that a request becomes.
fn command(request: Request) -> InternalRaftRequest {
    let mut command = InternalRaftRequest::default();
    match request {
        Request::Put(put) => command.put = Some(put),
        Request::DeleteRange(delete) => command.delete_range = Some(delete),
        Request::Txn(txn) => command.txn = Some(txn),
        Request::Compaction(compaction) => command.compaction = Some(compaction),
        Request::LeaseGrant(grant) => command.lease_grant = Some(grant),
        Request::LeaseRevoke(revoke) => command.lease_revoke = Some(revoke),
        Request::Alarm(alarm) => command.alarm = Some(alarm),
        Request::Auth(change) => command = *change,
        Request::Range(_)
        | Request::LeaseKeepAlive(_)
        | Request::LeaseTimeToLive(_)
        | Request::LeaseLeases
        | Request::Members(_) => {}
    }
    command
}

/// A response with encoded pairs as one with plain ones: the same bytes on the wire.
fn plain<P: prost::Message + Default>(raw: &impl prost::Message) -> P {
    P::decode(raw.encode_to_vec().as_slice()).expect("both are one message on the wire")
}

/// The machine's answer as a client reads it.
/// `None` for what no client asks for.
pub(crate) fn response(answer: Answer) -> Option<Response> {
    Some(match answer {
        Answer::Range(range) => Response::Range(plain(&range)),
        Answer::Put(put) => Response::Put(plain(&put)),
        Answer::DeleteRange(delete) => Response::DeleteRange(plain(&delete)),
        Answer::Txn(txn) => Response::Txn(plain(&txn)),
        Answer::Compaction(compaction) => Response::Compaction(compaction),
        Answer::LeaseGrant(grant) => Response::LeaseGrant(grant),
        Answer::LeaseRevoke(revoke) => Response::LeaseRevoke(revoke),
        Answer::Alarm(alarm) => Response::Alarm(alarm),
        Answer::Auth { header, .. } => Response::Auth(header),
        Answer::LeaseCheckpoint(_) | Answer::Empty => return None,
    })
}

/// Fills in what the machine leaves open in a response's header.
fn complete(response: &mut Response, member: u64, term: u64) {
    let header = match response {
        Response::Put(response) => &mut response.header,
        Response::DeleteRange(response) => &mut response.header,
        Response::Txn(response) => &mut response.header,
        Response::Range(response) => &mut response.header,
        Response::Compaction(response) => &mut response.header,
        Response::LeaseGrant(response) => &mut response.header,
        Response::LeaseRevoke(response) => &mut response.header,
        Response::LeaseKeepAlive(response) => &mut response.header,
        Response::LeaseTimeToLive(response) => &mut response.header,
        Response::LeaseLeases(response) => &mut response.header,
        Response::Alarm(response) => &mut response.header,
        Response::Members(response) => &mut response.header,
        Response::Auth(header) => header,
    };
    if let Some(header) = header {
        (header.member_id, header.raft_term) = (member, term);
    }
}

/// The revision that a response speaks of.
pub(super) fn revision(response: &Response) -> i64 {
    let header = match response {
        Response::Put(response) => &response.header,
        Response::DeleteRange(response) => &response.header,
        Response::Txn(response) => &response.header,
        Response::Range(response) => &response.header,
        Response::Compaction(response) => &response.header,
        Response::LeaseGrant(response) => &response.header,
        Response::LeaseRevoke(response) => &response.header,
        Response::LeaseKeepAlive(response) => &response.header,
        Response::LeaseTimeToLive(response) => &response.header,
        Response::LeaseLeases(response) => &response.header,
        Response::Alarm(response) => &response.header,
        Response::Members(response) => &response.header,
        Response::Auth(header) => header,
    };
    header.as_ref().map_or(0, |header| header.revision)
}
