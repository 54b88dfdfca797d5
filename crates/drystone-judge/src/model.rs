//! The naive twin of a cluster's state: what every command answers, at every point of the log.

mod auth;
mod txn;
mod view;

#[cfg(test)]
mod tests;

pub use auth::Auth;
pub(crate) use view::View;

use crate::history::Response;
use bytes::Bytes;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, CompactionRequest, CompactionResponse,
    DeleteRangeRequest, DeleteRangeResponse, InternalRaftRequest, LeaseCheckpointRequest,
    LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest, LeaseRevokeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, RequestOp, ResponseHeader, TxnRequest, TxnResponse,
    alarm_request::AlarmAction, request_op,
};
use drystone_api::limits::LEASE_TTL_SECONDS_MAX;
use drystone_api::mvccpb::{Event, KeyValue, event::EventType};
use drystone_types::KeyRange;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// The shortest lease of a cluster with etcd's election timeout, in seconds.
pub const TTL_SECONDS_MIN: i64 = 2;

/// All versions of all keys, oldest first.
pub(crate) type Keys = BTreeMap<Bytes, Arc<Vec<Version>>>;

/// What one change left of a key.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// The main revision of the change.
    pub(crate) main: i64,
    /// Nothing for a tombstone.
    pub(crate) pair: Option<KeyValue>,
}

/// A lease, as the log knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The granted time in seconds.
    pub ttl_seconds: i64,
    /// What the last checkpoint left of it, in seconds; 0 without one.
    pub remaining_seconds: i64,
}

/// The state that a log of commands leads to, and the answers on the way.
///
/// It is written to be obviously right, not fast: every version of every key is kept, and
/// compaction only moves the line below which nothing may be asked. Clones share the versions,
/// so that a search can hold many states.
#[derive(Clone, Debug)]
pub struct Model {
    keys: Keys,
    revision: i64,
    compacted: i64,
    leases: BTreeMap<i64, Lease>,
    alarms: BTreeSet<(u64, i32)>,
    auth: Auth,
    ttl_seconds_min: i64,
    /// What the newest command changed.
    events: Vec<Event>,
    /// Equal for equal contents, however they came about.
    fingerprint: u64,
}

impl Default for Model {
    fn default() -> Self {
        Self::new(TTL_SECONDS_MIN)
    }
}

impl Model {
    /// An empty cluster at revision 1, that grants no lease shorter than `ttl_seconds_min`.
    #[must_use]
    pub fn new(ttl_seconds_min: i64) -> Self {
        Self {
            keys: Keys::new(),
            revision: 1,
            compacted: -1,
            leases: BTreeMap::new(),
            alarms: BTreeSet::new(),
            auth: Auth::default(),
            ttl_seconds_min,
            events: Vec::new(),
            fingerprint: 0,
        }
    }

    /// The current revision.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The compacted revision, -1 before the first compaction.
    #[must_use]
    pub fn compacted(&self) -> i64 {
        self.compacted
    }

    /// All live pairs, by ascending key.
    pub fn pairs(&self) -> impl Iterator<Item = &KeyValue> {
        self.keys.values().filter_map(|versions| versions.last()?.pair.as_ref())
    }

    /// All leases, by ascending id.
    pub fn leases(&self) -> impl Iterator<Item = (i64, Lease)> {
        self.leases.iter().map(|(id, lease)| (*id, *lease))
    }

    /// The lease of this id, if it lives.
    #[must_use]
    pub fn lease(&self, id: i64) -> Option<Lease> {
        self.leases.get(&id).copied()
    }

    /// The keys attached to a lease, ascending: those whose newest version says so.
    #[must_use]
    pub fn attached(&self, lease: i64) -> Vec<Bytes> {
        self.view().attached(lease)
    }

    /// What the command applied last changed, in order, each event with the pair before its
    /// revision as a watcher with `prev_kv` hears it.
    #[must_use]
    pub fn last_events(&self) -> &[Event] {
        &self.events
    }

    /// Answers a read of the current state, or of any revision that is not compacted.
    ///
    /// # Errors
    /// [`EtcdError::Compacted`], [`EtcdError::FutureRev`].
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, EtcdError> {
        self.view().range(request)
    }

    /// Answers a transaction that only reads.
    ///
    /// # Errors
    /// As [`Model::range`]; [`EtcdError::KeyNotFound`] for one with an operation left out.
    pub fn read_txn(&self, txn: &TxnRequest) -> Result<TxnResponse, EtcdError> {
        self.view().read_txn(txn)
    }

    /// Applies one command of the log. `None` is the answer to commands that nobody waits for:
    /// checkpoints, and what concerns members and versions.
    ///
    /// # Errors
    /// What the cluster refuses the command with; nothing was changed then, except by a
    /// checkpoint, which keeps what came before the unknown lease.
    pub fn apply(&mut self, command: &InternalRaftRequest) -> Result<Option<Response>, EtcdError> {
        self.events.clear();
        self.permit(command)?;
        self.refused_by_alarm(command)?;
        let answer = if let Some(changed) = self.auth.apply(command) {
            changed.map(|()| Some(Response::Auth(header(self.revision))))
        } else if let Some(put) = &command.put {
            self.put(put).map(|answer| Some(Response::Put(answer)))
        } else if let Some(txn) = &command.txn {
            self.txn(txn).map(|answer| Some(Response::Txn(answer)))
        } else if let Some(delete) = &command.delete_range {
            Ok(Some(Response::DeleteRange(self.delete_range(delete))))
        } else if let Some(range) = &command.range {
            self.range(range).map(|answer| Some(Response::Range(answer)))
        } else if let Some(compaction) = &command.compaction {
            self.compact(compaction).map(|answer| Some(Response::Compaction(answer)))
        } else if let Some(grant) = &command.lease_grant {
            self.grant(grant).map(|answer| Some(Response::LeaseGrant(answer)))
        } else if let Some(revoke) = &command.lease_revoke {
            self.revoke(revoke).map(|answer| Some(Response::LeaseRevoke(answer)))
        } else if let Some(checkpoint) = &command.lease_checkpoint {
            self.checkpoint(checkpoint).map(|()| None)
        } else if let Some(alarm) = &command.alarm {
            Ok(Some(Response::Alarm(self.alarm(alarm))))
        } else {
            Ok(None)
        };
        match &answer {
            Ok(_) if !self.events.is_empty() => self.revision += 1,
            Ok(_) => {}
            Err(_) => self.undo(),
        }
        answer
    }

    /// The current state.
    pub(crate) fn view(&self) -> View<'_> {
        self.view_at(self.revision, self.compacted)
    }

    /// The state when these were the current and the compacted revision.
    pub(crate) fn view_at(&self, revision: i64, compacted: i64) -> View<'_> {
        View { keys: &self.keys, revision, compacted }
    }

    /// A number that is equal for equal states with equal pasts of their keys, and different
    /// for others but by accident.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint ^ hash(&(self.revision, self.compacted, &self.auth))
    }

    /// The revision as of now: that of the command in progress as soon as it changed something.
    fn now(&self) -> i64 {
        self.revision + i64::from(!self.events.is_empty())
    }

    /// A corrupt cluster takes no writes, a full one none that add data.
    fn refused_by_alarm(&self, command: &InternalRaftRequest) -> Result<(), EtcdError> {
        let set = |alarm: AlarmType| self.alarms.iter().any(|(_, set)| *set == alarm as i32);
        let adds = command.put.is_some()
            || command.lease_grant.is_some()
            || command.txn.as_ref().is_some_and(has_put);
        let writes = adds
            || command.range.is_some()
            || command.delete_range.is_some()
            || command.txn.is_some()
            || command.compaction.is_some()
            || command.lease_revoke.is_some();
        if writes && set(AlarmType::Corrupt) {
            return Err(EtcdError::Corrupt);
        }
        if adds && set(AlarmType::Nospace) {
            return Err(EtcdError::NoSpace);
        }
        Ok(())
    }

    fn put(&mut self, put: &PutRequest) -> Result<PutResponse, EtcdError> {
        if put.lease != 0 && !self.leases.contains_key(&put.lease) {
            return Err(EtcdError::LeaseNotFound);
        }
        if (put.ignore_value || put.ignore_lease) && self.view().pair(&put.key).is_none() {
            return Err(EtcdError::KeyNotFound);
        }
        let prev_kv = self.write(put);
        Ok(PutResponse { header: header(self.now()), prev_kv })
    }

    /// Writes a key whose preconditions hold; gives back the pair it replaced if that is wanted.
    fn write(&mut self, put: &PutRequest) -> Option<KeyValue> {
        let main = self.revision + 1;
        let old = self.view_at(main, self.compacted).pair(&put.key).cloned();
        let mut pair = old.clone().unwrap_or_else(|| KeyValue {
            key: put.key.clone(),
            create_revision: main,
            ..KeyValue::default()
        });
        pair.mod_revision = main;
        pair.version += 1;
        if !put.ignore_value {
            pair.value = put.value.clone();
        }
        if !put.ignore_lease {
            pair.lease = put.lease;
        }
        self.change(put.key.clone(), Some(pair));
        old.filter(|_| put.prev_kv)
    }

    fn delete_range(&mut self, delete: &DeleteRangeRequest) -> DeleteRangeResponse {
        let range = KeyRange::from_fields(delete.key.clone(), delete.range_end.clone());
        let view = self.view_at(self.now(), self.compacted);
        let pairs: Vec<KeyValue> = view.live(&range).cloned().collect();
        for pair in &pairs {
            self.change(pair.key.clone(), None);
        }
        DeleteRangeResponse {
            header: header(self.now()),
            deleted: count(pairs.len()),
            prev_kvs: if delete.prev_kv { pairs } else { Vec::new() },
        }
    }

    fn compact(&mut self, request: &CompactionRequest) -> Result<CompactionResponse, EtcdError> {
        if request.revision <= self.compacted {
            return Err(EtcdError::Compacted);
        }
        if request.revision > self.revision {
            return Err(EtcdError::FutureRev);
        }
        self.compacted = request.revision;
        Ok(CompactionResponse { header: header(self.revision) })
    }

    fn grant(&mut self, request: &LeaseGrantRequest) -> Result<LeaseGrantResponse, EtcdError> {
        if request.id == 0 {
            return Err(EtcdError::LeaseNotFound);
        }
        if request.ttl > LEASE_TTL_SECONDS_MAX {
            return Err(EtcdError::LeaseTTLTooLarge);
        }
        if self.leases.contains_key(&request.id) {
            return Err(EtcdError::LeaseExist);
        }
        let ttl_seconds = request.ttl.max(self.ttl_seconds_min);
        self.set_lease(request.id, Some(Lease { ttl_seconds, remaining_seconds: 0 }));
        Ok(LeaseGrantResponse {
            header: header(self.revision),
            id: request.id,
            ttl: ttl_seconds,
            error: String::new(),
        })
    }

    fn revoke(&mut self, request: &LeaseRevokeRequest) -> Result<LeaseRevokeResponse, EtcdError> {
        if !self.leases.contains_key(&request.id) {
            return Err(EtcdError::LeaseNotFound);
        }
        self.set_lease(request.id, None);
        for key in self.attached(request.id) {
            self.change(key, None);
        }
        Ok(LeaseRevokeResponse { header: header(self.now()) })
    }

    fn checkpoint(&mut self, request: &LeaseCheckpointRequest) -> Result<(), EtcdError> {
        for checkpoint in &request.checkpoints {
            let lease = self.lease(checkpoint.id).ok_or(EtcdError::LeaseNotFound)?;
            let remaining_seconds = checkpoint.remaining_ttl;
            self.set_lease(checkpoint.id, Some(Lease { remaining_seconds, ..lease }));
        }
        Ok(())
    }

    /// Changes alarms, and answers those concerned: all of the kind that is asked for, the one
    /// that is set now, or the one that was cleared. No kind is a wildcard for changes.
    fn alarm(&mut self, request: &AlarmRequest) -> AlarmResponse {
        let alarm = (request.member_id, request.alarm);
        let is_alarm = request.alarm == AlarmType::Nospace as i32
            || request.alarm == AlarmType::Corrupt as i32;
        let concerned: Vec<(u64, i32)> = if request.action == AlarmAction::Get as i32 {
            let asked = |set: &&(u64, i32)| !is_alarm || set.1 == request.alarm;
            self.alarms.iter().filter(asked).copied().collect()
        } else if is_alarm && request.action == AlarmAction::Activate as i32 {
            if self.alarms.insert(alarm) {
                self.fingerprint ^= hash(&alarm);
            }
            vec![alarm]
        } else if is_alarm && self.alarms.remove(&alarm) {
            self.fingerprint ^= hash(&alarm);
            vec![alarm]
        } else {
            Vec::new()
        };
        let alarms = concerned.into_iter();
        let alarms = alarms.map(|(member_id, alarm)| AlarmMember { member_id, alarm }).collect();
        AlarmResponse { header: header(self.revision), alarms }
    }

    /// Users, roles and permissions.
    #[must_use]
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// The alarms that are set: each a member's id and the number of its kind, ascending.
    pub fn alarms(&self) -> impl Iterator<Item = (u64, i32)> {
        self.alarms.iter().copied()
    }

    fn set_lease(&mut self, id: i64, lease: Option<Lease>) {
        let before = match lease {
            Some(lease) => self.leases.insert(id, lease),
            None => self.leases.remove(&id),
        };
        for lease in [before, lease].into_iter().flatten() {
            self.fingerprint ^= hash(&(id, lease));
        }
    }

    /// Adds one change of one key to the command in progress; no pair deletes the key.
    fn change(&mut self, key: Bytes, pair: Option<KeyValue>) {
        let main = self.revision + 1;
        let prev_kv = self.view().pair(&key).cloned();
        let born = pair.as_ref().is_some_and(|pair| pair.create_revision == main);
        let kind = if pair.is_some() { EventType::Put } else { EventType::Delete };
        let kv = pair.clone().unwrap_or_else(|| KeyValue {
            key: key.clone(),
            mod_revision: main,
            ..KeyValue::default()
        });
        self.fingerprint ^= hash(&(kind as i32, &kv, self.events.len()));
        let prev_kv = prev_kv.filter(|_| !born);
        self.events.push(Event { r#type: kind as i32, kv: Some(kv), prev_kv });
        let versions = self.keys.entry(key).or_default();
        Arc::make_mut(versions).push(Version { main, pair });
    }

    /// Takes back what a command changed before it was refused.
    fn undo(&mut self) {
        while let Some(event) = self.events.pop() {
            let Some(kv) = event.kv else { continue };
            self.fingerprint ^= hash(&(event.r#type, &kv, self.events.len()));
            if let Some(versions) = self.keys.get_mut(&kv.key) {
                Arc::make_mut(versions).pop();
                if versions.is_empty() {
                    self.keys.remove(&kv.key);
                }
            }
        }
    }
}

/// True when a transaction has a put anywhere, on either branch.
fn has_put(txn: &TxnRequest) -> bool {
    txn.success.iter().chain(&txn.failure).any(|RequestOp { request }| match request {
        Some(request_op::Request::RequestPut(_)) => true,
        Some(request_op::Request::RequestTxn(nested)) => has_put(nested),
        _ => false,
    })
}

/// A header that says only the revision: all that a model knows of one.
pub(crate) fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..ResponseHeader::default() })
}

fn count(keys: usize) -> i64 {
    i64::try_from(keys).unwrap_or(i64::MAX)
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
