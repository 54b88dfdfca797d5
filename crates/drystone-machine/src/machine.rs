//! The machine: committed entries change the store, leases, membership, alarms and auth together.

mod auth;

use crate::alarm::{Alarm, Alarms, RaisedBy};
use crate::auth_reader::AuthReader;
use crate::call::{Call, identity};
use crate::convert;
use crate::membership::{Change, ChangeError, Membership};
use crate::outcome::{Answer, Outcome, Output};
use crate::quota;
use bytes::Bytes;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    self, AlarmMember, AlarmResponse, CompactionResponse, InternalRaftRequest,
    LeaseCheckpointResponse, LeaseGrantResponse, LeaseRevokeResponse, alarm_request::AlarmAction,
};
use drystone_api::limits::QUOTA_LEASE_BYTES;
use drystone_api::raw;
use drystone_auth::Auth;
use drystone_backend::{Backend, BackendError, Batch, Table};
use drystone_lease::{Lessor, Renewed, TimeToLive};
use drystone_mvcc::{LeaseChange, Leases, OpError, Reader, Store};
use drystone_probe::{mark, planted};
use drystone_types::{Applied, Entry, EntryKind, LeaseId, LogIndex, MemberId};
use prost::Message;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::time::Duration;

/// Settings of a [`Machine`]. Those that decide outcomes must be equal on all members.
#[derive(Clone, Debug)]
pub struct MachineConfig {
    /// Settings of the key-value store.
    pub store: drystone_mvcc::Config,
    /// Settings of the leases. The least TTL decides outcomes.
    pub lease: drystone_lease::Config,
    /// Learners the cluster may have. Decides outcomes.
    pub learners_max: usize,
}

impl Default for MachineConfig {
    fn default() -> Self {
        Self {
            store: drystone_mvcc::Config::default(),
            lease: drystone_lease::Config::default(),
            learners_max: 1,
        }
    }
}

/// Why a member cannot go on. Whatever it is, applying more would make it differ from others.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The key-value store failed.
    #[error(transparent)]
    Store(#[from] drystone_mvcc::Error),
    /// The store's bytes could not be read or written.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A stored lease cannot be read.
    #[error("the store's leases cannot be read")]
    Lease(#[source] drystone_lease::Error),
    /// An entry does not follow the one applied last.
    #[error("entry {found} came where entry {expected} was due")]
    Gap {
        /// The index that was due.
        expected: LogIndex,
        /// The index that came.
        found: LogIndex,
    },
    /// An entry cannot be understood. Skipping it would make this member differ from others
    /// that do understand it.
    #[error("entry {index} cannot be understood: {reason}; run a version that knows it")]
    Unknown {
        /// The entry.
        index: LogIndex,
        /// What is wrong with it.
        reason: String,
    },
}

/// This member does not time leases: it does not lead, or its first entry is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a primary lessor")]
pub struct NotPrimary;

/// The leases as the store asks for them.
struct LeaseBook<'a>(&'a Lessor);

impl Leases for LeaseBook<'_> {
    fn exists(&self, id: LeaseId) -> bool {
        self.0.exists(id)
    }
}

/// The replicated state machine of one member.
#[derive(Debug)]
pub struct Machine {
    config: MachineConfig,
    backend: Arc<dyn Backend>,
    store: Store,
    lessor: Lessor,
    membership: Membership,
    alarms: Alarms,
    auth: Auth,
    auth_reader: AuthReader,
    applied: Applied,
    batch: Batch,
}

impl Machine {
    /// Reads the state that `backend` holds.
    ///
    /// # Errors
    /// [`MachineError`] when it cannot be read.
    pub fn open(backend: Arc<dyn Backend>, config: MachineConfig) -> Result<Self, MachineError> {
        let store = Store::open(backend.clone(), config.store)?;
        let mut records = Vec::new();
        backend.scan(Table::Lease, (Bound::Unbounded, Bound::Unbounded), &mut |key, value| {
            mark!("machine.lease_reopened");
            if planted!("machine.leases_missing_after_reopening") {
                return ControlFlow::Break(());
            }
            records.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })?;
        let mut lessor =
            Lessor::open(records, config.lease.clone()).map_err(MachineError::Lease)?;
        let unknown = lessor.attach_all(attachments(&store));
        if unknown > 0 {
            tracing::warn!(keys = unknown, "keys name leases that do not exist");
        }
        let auth = match planted!("machine.rights_missing_after_reopening") {
            true => Auth::default(),
            false => Auth::open(backend.as_ref())?,
        };
        Ok(Self {
            membership: Membership::load(backend.as_ref())?,
            alarms: Alarms::load(backend.as_ref())?,
            auth_reader: AuthReader::new(auth.clone()),
            auth,
            applied: backend.applied(),
            batch: Batch::new(),
            config,
            backend,
            store,
            lessor,
        })
    }

    /// The newest entry that was applied.
    #[must_use]
    pub fn applied(&self) -> Applied {
        self.applied
    }

    /// The store below.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// A handle for reading keys, for any thread.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.store.reader()
    }

    /// Who belongs to the cluster.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The alarms that are set.
    #[must_use]
    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// Bytes that the quota is held against: those of all key-value records
    /// ([`Store::live_bytes`]), and for each lease what etcd reckons. It falls as soon as what a
    /// compaction let go is swept, however long the engine keeps the space.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.store.live_bytes() + self.lessor.len() as u64 * QUOTA_LEASE_BYTES
    }

    /// Users, roles and permissions. A clone is cheap and stays as it is.
    #[must_use]
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// A handle for reading users, roles and permissions, for any thread.
    #[must_use]
    pub fn auth_reader(&self) -> AuthReader {
        self.auth_reader.clone()
    }

    /// Applies `entries` in one atomic batch that also carries the mark of the last of them.
    /// Entries that were applied before are passed over. On return readers see everything.
    ///
    /// # Errors
    /// [`MachineError`] ends the member; the machine must not be used any more.
    pub fn apply(&mut self, entries: &[Entry], now: Duration) -> Result<Output, MachineError> {
        let mut output = Output::default();
        for entry in entries {
            if entry.index <= self.applied.index {
                continue;
            }
            if entry.index != self.applied.index.next() {
                return Err(MachineError::Gap {
                    expected: self.applied.index.next(),
                    found: entry.index,
                });
            }
            self.apply_entry(entry, now, &mut output)?;
            self.applied = Applied { index: entry.index, term: entry.term };
        }
        self.write()?;
        if output.auth_changed {
            // Before the keys: see `AuthReader`.
            self.auth_reader.publish(&self.auth);
        }
        output.events = self.store.publish();
        Ok(output)
    }

    /// Writes the batch, with the mark of the last entry whose effects it holds.
    fn write(&mut self) -> Result<(), MachineError> {
        if planted!("machine.index_before_data") {
            let mut mark = Batch::new();
            mark.set_applied(self.applied);
            self.backend.write(&mark)?;
        }
        if planted!("machine.index_after_data") {
            self.backend.write(&self.batch)?;
            self.batch.clear();
        }
        self.batch.set_applied(self.applied);
        self.backend.write(&self.batch)?;
        self.batch.clear();
        Ok(())
    }

    /// Removes a piece of what compaction let go, at most about `revisions_max` revisions.
    /// Returns false when nothing was removed: all is done, or readers hold on to the rest;
    /// [`Machine::is_sweeping`] tells which.
    ///
    /// # Errors
    /// [`MachineError`] ends the member.
    pub fn sweep(&mut self, revisions_max: usize) -> Result<bool, MachineError> {
        match self.store.sweep(revisions_max)? {
            Some(batch) => {
                self.backend.write(&batch)?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// True when compaction has let go of what [`Machine::sweep`] is to remove.
    #[must_use]
    pub fn is_sweeping(&self) -> bool {
        self.store.is_sweeping()
    }

    /// Begins to time leases, as the leader: see [`Lessor::promote`].
    pub fn promote(&mut self, now: Duration, extend: Duration) {
        self.lessor.promote(now, extend);
    }

    /// Ceases to time leases.
    pub fn demote(&mut self) {
        self.lessor.demote();
    }

    /// Leases that ran out, at most `max`: see [`Lessor::expired`].
    pub fn expired_leases(&mut self, now: Duration, max: usize) -> Vec<LeaseId> {
        self.lessor.expired(now, max)
    }

    /// Leases whose remaining time is to be logged: see [`Lessor::due_checkpoints`].
    pub fn due_checkpoints(&mut self, now: Duration, max: usize) -> Vec<(LeaseId, i64)> {
        self.lessor.due_checkpoints(now, max)
    }

    /// Resets the clock of a lease, on the leader; `None` when there is no such lease, or it
    /// has run out and waits for its end.
    ///
    /// # Errors
    /// [`NotPrimary`] when this member does not time leases.
    pub fn renew(&mut self, id: LeaseId, now: Duration) -> Result<Option<Renewed>, NotPrimary> {
        match self.lessor.renew(id, now) {
            Ok(renewed) => Ok(Some(renewed)),
            Err(drystone_lease::Error::NotFound(_) | drystone_lease::Error::Expired(_)) => Ok(None),
            Err(_) => Err(NotPrimary),
        }
    }

    /// What is left of a lease; `None` when there is none.
    #[must_use]
    pub fn time_to_live(&self, id: LeaseId, now: Duration, keys: bool) -> Option<TimeToLive> {
        self.lessor.time_to_live(id, now, keys)
    }

    /// All leases.
    #[must_use]
    pub fn leases(&self) -> Vec<LeaseId> {
        self.lessor.list()
    }

    fn apply_entry(
        &mut self,
        entry: &Entry,
        now: Duration,
        output: &mut Output,
    ) -> Result<(), MachineError> {
        match entry.kind {
            EntryKind::Normal if entry.data.is_empty() => {
                output.leader_entry = Some(entry.term);
                Ok(())
            }
            EntryKind::Normal => {
                let request = InternalRaftRequest::decode(entry.data.clone())
                    .map_err(|error| unknown(entry.index, &error.to_string()))?;
                let id = request_id(&request);
                output.cluster_changed |= request.alarm.is_some()
                    || request.cluster_version_set.is_some()
                    || request.downgrade_info_set.is_some()
                    || request.cluster_member_attr_set.is_some();
                let answer = match self.refused_by_clock(&request, now) {
                    Some(refused) => Err(refused),
                    None => self.apply_permitted(entry.index, request, now, output)?,
                };
                if answer.is_err() {
                    mark!("machine.request_refused");
                }
                output.outcomes.push(Outcome { request: id, answer });
                Ok(())
            }
            EntryKind::ConfChange => self.apply_conf_change(entry, output),
            EntryKind::ConfChangeV2 => {
                Err(unknown(entry.index, "it changes several members at once"))
            }
        }
    }

    /// Asks for permission first, then looks at alarms, then applies.
    fn apply_permitted(
        &mut self,
        index: LogIndex,
        request: InternalRaftRequest,
        now: Duration,
        output: &mut Output,
    ) -> Result<Result<Answer, EtcdError>, MachineError> {
        let call = Call::of(&request)
            .ok_or_else(|| unknown(index, "it asks for something that this version does not do"))?;
        if let Err(denied) = self.permit(identity(request.header.as_ref()).as_ref(), &call) {
            mark!("machine.permission_denied");
            return Ok(Err(denied));
        }
        if let Some(refused) = self.refused_by_alarm(&request) {
            return Ok(Err(refused));
        }
        if let Some(answer) = self.apply_auth(&call, output) {
            return Ok(answer);
        }
        self.apply_request(index, request, now)
    }

    fn apply_request(
        &mut self,
        index: LogIndex,
        request: InternalRaftRequest,
        now: Duration,
    ) -> Result<Result<Answer, EtcdError>, MachineError> {
        let by = decided_by(&request);
        if let Some(put) = request.put {
            self.put(put)
        } else if let Some(txn) = request.txn {
            self.txn(txn)
        } else if let Some(delete) = request.delete_range {
            self.delete_range(delete)
        } else if let Some(range) = request.range {
            answer(self.store.reader().snapshot().range(&convert::range(range)), |result| {
                Answer::Range(convert::range_response(result))
            })
        } else if let Some(compaction) = request.compaction {
            let compacted = self.store.compact(&mut self.batch, compaction.revision);
            let revision = self.store.revision();
            answer(compacted, |()| {
                Answer::Compaction(CompactionResponse { header: convert::header(revision) })
            })
        } else if let Some(grant) = request.lease_grant {
            Ok(self.grant(&grant, now))
        } else if let Some(revoke) = request.lease_revoke {
            self.revoke(LeaseId(revoke.id))
        } else if let Some(checkpoint) = request.lease_checkpoint {
            Ok(self.checkpoint(&checkpoint))
        } else if let Some(alarm) = request.alarm {
            Ok(self.alarm(&alarm, by))
        } else if let Some(set) = request.cluster_version_set {
            self.membership.set_version(set.ver, &mut self.batch);
            Ok(Ok(Answer::Empty))
        } else if let Some(set) = request.cluster_member_attr_set {
            let attributes = set.member_attributes.unwrap_or_default();
            self.membership.set_attributes(
                MemberId(set.member_id),
                attributes.name,
                attributes.client_urls,
                &mut self.batch,
            );
            Ok(Ok(Answer::Empty))
        } else if let Some(set) = request.downgrade_info_set {
            self.membership.set_downgrade(set.enabled.then_some(set.ver), &mut self.batch);
            Ok(Ok(Answer::Empty))
        } else if request.downgrade_version_test.is_some() {
            Ok(Ok(Answer::Empty))
        } else {
            Err(unknown(index, "it asks for something that this version does not do"))
        }
    }

    /// What etcd's alarm wrappers refuse (`formats.md` of etcd's applier chain): a corrupt
    /// cluster takes no writes, a full one none that add data.
    fn refused_by_alarm(&self, request: &InternalRaftRequest) -> Option<EtcdError> {
        let writes = request.put.is_some()
            || request.range.is_some()
            || request.delete_range.is_some()
            || request.txn.is_some()
            || request.compaction.is_some()
            || request.lease_grant.is_some()
            || request.lease_revoke.is_some();
        if writes && self.alarms.is_set(Alarm::Corrupt) {
            mark!("machine.refused_as_corrupt");
            return Some(EtcdError::Corrupt);
        }
        let adds = quota::cost(request) > 0;
        if adds && self.alarms.is_set(Alarm::NoSpace) {
            mark!("machine.refused_for_space");
            return Some(EtcdError::NoSpace);
        }
        None
    }

    /// Planted only: the member that times leases finds the lease of a put run out by its clock.
    fn refused_by_clock(&self, request: &InternalRaftRequest, now: Duration) -> Option<EtcdError> {
        if !planted!("machine.lease_judged_by_clock") || !self.lessor.is_primary() {
            return None;
        }
        let lease = LeaseId(request.put.as_ref()?.lease);
        let left = self.lessor.time_to_live(lease, now, false)?;
        (left.remaining_seconds == 0).then_some(EtcdError::LeaseNotFound)
    }

    fn put(
        &mut self,
        request: etcdserverpb::PutRequest,
    ) -> Result<Result<Answer, EtcdError>, MachineError> {
        let put = convert::put(request);
        let outcome = self.store.put(&mut self.batch, &put, &LeaseBook(&self.lessor));
        answer(outcome, |outcome| {
            follow(&mut self.lessor, &outcome.lease_changes);
            Answer::Put(raw::PutResponse {
                header: convert::header(outcome.revision),
                prev_kv: outcome.prev,
            })
        })
    }

    fn delete_range(
        &mut self,
        request: etcdserverpb::DeleteRangeRequest,
    ) -> Result<Result<Answer, EtcdError>, MachineError> {
        let delete = convert::delete_range(request);
        let outcome = self.store.delete_range(&mut self.batch, &delete);
        answer(outcome, |outcome| {
            follow(&mut self.lessor, &outcome.lease_changes);
            Answer::DeleteRange(raw::DeleteRangeResponse {
                header: convert::header(outcome.revision),
                deleted: outcome.deleted,
                prev_kvs: outcome.prevs,
            })
        })
    }

    fn txn(
        &mut self,
        request: etcdserverpb::TxnRequest,
    ) -> Result<Result<Answer, EtcdError>, MachineError> {
        let txn = convert::txn(request);
        let outcome = self.store.txn(&mut self.batch, &txn, &LeaseBook(&self.lessor));
        answer(outcome, |outcome| {
            follow(&mut self.lessor, &outcome.lease_changes);
            Answer::Txn(convert::txn_response(outcome))
        })
    }

    fn grant(
        &mut self,
        request: &etcdserverpb::LeaseGrantRequest,
        now: Duration,
    ) -> Result<Answer, EtcdError> {
        let id = LeaseId(request.id);
        let granted = self
            .lessor
            .grant(&mut self.batch, id, request.ttl, now)
            .map_err(|e| lease_refusal(&e))?;
        Ok(Answer::LeaseGrant(LeaseGrantResponse {
            header: convert::header(self.store.revision()),
            id: granted.id.0,
            ttl: granted.ttl_seconds,
            error: String::new(),
        }))
    }

    fn revoke(&mut self, id: LeaseId) -> Result<Result<Answer, EtcdError>, MachineError> {
        let keys = match self.lessor.revoke(&mut self.batch, id) {
            Ok(keys) => keys,
            Err(error) => return Ok(Err(lease_refusal(&error))),
        };
        if planted!("machine.revoke_in_many_revisions") {
            for key in keys.iter().skip(1) {
                self.store.delete_keys(&mut self.batch, std::slice::from_ref(key));
            }
        }
        let outcome = self.store.delete_keys(&mut self.batch, &keys);
        let header = convert::header(outcome.revision);
        Ok(Ok(Answer::LeaseRevoke(LeaseRevokeResponse { header })))
    }

    fn checkpoint(
        &mut self,
        request: &etcdserverpb::LeaseCheckpointRequest,
    ) -> Result<Answer, EtcdError> {
        let checkpoints: Vec<(LeaseId, i64)> = request
            .checkpoints
            .iter()
            .map(|checkpoint| (LeaseId(checkpoint.id), checkpoint.remaining_ttl))
            .collect();
        self.lessor.checkpoint(&mut self.batch, &checkpoints).map_err(|e| lease_refusal(&e))?;
        Ok(Answer::LeaseCheckpoint(LeaseCheckpointResponse {
            header: convert::header(self.store.revision()),
        }))
    }

    fn alarm(
        &mut self,
        request: &etcdserverpb::AlarmRequest,
        by: RaisedBy,
    ) -> Result<Answer, EtcdError> {
        let member = MemberId(request.member_id);
        let alarm = Alarm::from_number(request.alarm);
        let alarms: Vec<(MemberId, Alarm)> = match AlarmAction::try_from(request.action) {
            Ok(AlarmAction::Get) => self.alarms.list(alarm).collect(),
            Ok(AlarmAction::Activate) => match alarm {
                Some(alarm) => {
                    self.alarms.activate(member, alarm, by, &mut self.batch);
                    vec![(member, alarm)]
                }
                None => Vec::new(),
            },
            Ok(AlarmAction::Deactivate) => match alarm {
                Some(alarm) if self.alarms.deactivate(member, alarm, by, &mut self.batch) => {
                    vec![(member, alarm)]
                }
                _ => Vec::new(),
            },
            // Refused before it is proposed; etcd's own members would fall over it.
            Err(_) => Vec::new(),
        };
        let alarms = alarms
            .into_iter()
            .map(|(member, alarm)| AlarmMember { member_id: member.0, alarm: alarm.number() })
            .collect();
        Ok(Answer::Alarm(AlarmResponse { header: convert::header(self.store.revision()), alarms }))
    }

    fn apply_conf_change(
        &mut self,
        entry: &Entry,
        output: &mut Output,
    ) -> Result<(), MachineError> {
        let (id, change) =
            Change::decode(&entry.data).map_err(|reason| unknown(entry.index, &reason))?;
        let answer = match self.membership.check(&change, self.config.learners_max) {
            Ok(()) => {
                if let Change::Remove(gone) = &change {
                    // Who is gone cannot say that it has room again.
                    let alarm = Alarm::NoSpace;
                    self.alarms.deactivate(*gone, alarm, RaisedBy::Itself, &mut self.batch);
                }
                self.membership.apply(change, &mut self.batch);
                output.cluster_changed = true;
                output.membership.push((entry.index, true));
                Ok(Answer::Empty)
            }
            Err(refused) => {
                mark!("machine.change_refused");
                output.membership.push((entry.index, false));
                Err(change_refusal(refused))
            }
        };
        output.outcomes.push(Outcome { request: id, answer });
        Ok(())
    }
}

/// The keys that hang on leases, as the newest version of each says.
fn attachments(store: &Store) -> Vec<(LeaseId, Bytes)> {
    let mut attached = Vec::new();
    store.for_each_leased(&mut |id, key| attached.push((id, Bytes::copy_from_slice(key))));
    attached
}

/// Follows changes of attachment. A lease that is gone was checked for before the change.
fn follow(lessor: &mut Lessor, changes: &[LeaseChange]) {
    for change in changes {
        if let Err(error) = lessor.attach(&change.key, change.before, change.after) {
            tracing::warn!(%error, "a key was attached to a lease that does not exist");
        }
    }
}

/// Splits what an operation gives into an answer, a refusal, and the store's own failure.
fn answer<T>(
    outcome: Result<T, OpError>,
    accept: impl FnOnce(T) -> Answer,
) -> Result<Result<Answer, EtcdError>, MachineError> {
    match outcome {
        Ok(outcome) => Ok(Ok(accept(outcome))),
        Err(error) => Ok(Err(convert::refusal(error)?)),
    }
}

fn lease_refusal(error: &drystone_lease::Error) -> EtcdError {
    match error {
        drystone_lease::Error::Exists(_) => EtcdError::LeaseExist,
        drystone_lease::Error::TtlTooLarge { .. } => EtcdError::LeaseTTLTooLarge,
        _ => EtcdError::LeaseNotFound,
    }
}

/// What clients are told of a change of membership that is refused.
#[must_use]
pub fn change_refusal(error: ChangeError) -> EtcdError {
    match error {
        ChangeError::NotFound => EtcdError::MemberNotFound,
        ChangeError::IdExists => EtcdError::MemberExist,
        ChangeError::PeerUrlExists => EtcdError::PeerURLExist,
        ChangeError::NotLearner => EtcdError::MemberNotLearner,
        ChangeError::TooManyLearners => EtcdError::TooManyLearners,
        // What etcd's check before the proposal says of it.
        ChangeError::LastVoter => EtcdError::MemberNotEnoughStarted,
        ChangeError::TooManyMembers => EtcdError::Unhealthy,
    }
}

/// The id by which who waits for a request is found; 0 when nobody does.
fn request_id(request: &InternalRaftRequest) -> u64 {
    match &request.header {
        Some(header) if header.id != 0 => header.id,
        _ => request.id,
    }
}

/// Whose decision a request is. Somebody waits for every request that came over the API.
fn decided_by(request: &InternalRaftRequest) -> RaisedBy {
    if request_id(request) == 0 { RaisedBy::Itself } else { RaisedBy::Operator }
}

fn unknown(index: LogIndex, reason: &str) -> MachineError {
    MachineError::Unknown { index, reason: reason.to_owned() }
}
