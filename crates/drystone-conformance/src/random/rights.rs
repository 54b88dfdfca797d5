//! Who may make which call, by the judge's naive model of users and roles: what the reference
//! asks for, and what of that an older etcd does not ask for yet.

use super::call::{AuthCall, Call, Reply, Told, Who};
use super::excused::{
    ANY_STATUS, Excuse, FROM_KEY_WATCH, LEASE_KEYS_OPEN, LEASES_OPEN, NESTED_OPEN, NO_STATUS,
    TXN_PUTS_OPEN, Version,
};
use bytes::Bytes;
use drystone_api::authpb::permission::Type;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::request_op::Request;
use drystone_judge::Auth;
use drystone_types::KeyRange;
use std::collections::{BTreeMap, BTreeSet};

/// The user who may do everything, and his role.
pub(super) const ROOT: &str = "root";

/// The keys that hang on each lease.
pub(super) type Attached = BTreeMap<i64, Vec<Bytes>>;

/// Who there is, with which password, and whose token is good.
#[derive(Debug, Default)]
pub(super) struct Rights {
    pub(super) auth: Auth,
    /// Passwords of users who have one.
    pub(super) passwords: BTreeMap<String, String>,
    /// Users whose last token is good.
    tokens: BTreeSet<String>,
}

/// One thing that a call takes.
struct Need {
    kind: Kind,
    /// Where it is not asked for yet.
    open: Option<&'static Excuse>,
}

enum Kind {
    /// A token, if one is given, that is good.
    Token,
    /// Any user.
    User,
    Root,
    Read(KeyRange),
    Write(KeyRange),
}

impl Rights {
    /// Takes notice of a call that both did.
    ///
    /// # Errors
    /// That the model would have refused it.
    pub(super) fn learn(&mut self, call: &AuthCall, reply: &Reply) -> Result<(), String> {
        let Reply::Auth(_, told) = reply else { return Ok(()) };
        match call {
            AuthCall::Authenticate(request) => {
                self.tokens.insert(request.name.clone());
            }
            AuthCall::Disable => self.tokens.clear(),
            AuthCall::UserAdd(request)
                if !request.options.as_ref().is_some_and(|options| options.no_password) =>
            {
                self.passwords.insert(request.name.clone(), request.password.clone());
            }
            AuthCall::UserDelete(pb::AuthUserDeleteRequest { name }) => {
                self.passwords.remove(name);
                self.tokens.remove(name);
            }
            AuthCall::UserChangePassword(request) => {
                self.tokens.remove(&request.name);
                if let Some(password) = self.passwords.get_mut(&request.name) {
                    password.clone_from(&request.password);
                }
            }
            _ => {}
        }
        if let Some(Err(error)) = call.command().and_then(|command| self.auth.apply(&command)) {
            return Err(format!("the model refuses it: {error:?}"));
        }
        let known = (self.auth.enabled, self.auth.revision);
        match told {
            Told::Status(on, revision) if (*on, *revision) != known => {
                Err(format!("the model is at {known:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Takes notice that the servers, or one of them, have forgotten all tokens.
    pub(super) fn forget_tokens(&mut self) {
        self.tokens.clear();
    }

    /// Whether this user's last token is good.
    pub(super) fn has_token(&self, user: &str) -> bool {
        self.tokens.contains(user)
    }

    /// Why the reference must refuse a call that the etcd at hand would do.
    pub(super) fn alone(
        &self,
        call: &Call,
        attached: &Attached,
        etcd: Version,
    ) -> Option<EtcdError> {
        let Call::As(who, call) = call else { return None };
        self.gap(who, &needs(call, attached), etcd)
    }

    /// The same of a watch.
    pub(super) fn watch_alone(
        &self,
        who: &Who,
        request: &pb::WatchCreateRequest,
        etcd: Version,
    ) -> Option<EtcdError> {
        let key = if request.key.is_empty() { b"\0"[..].into() } else { request.key.clone() };
        let mut needs = Needs::new(None);
        if request.range_end == b"\0"[..] {
            needs.read(&key, &Bytes::new());
            needs.open = Some(&FROM_KEY_WATCH);
        }
        needs.read(&key, &request.range_end);
        self.gap(who, &needs.list, etcd)
    }

    fn gap(&self, who: &Who, needs: &[Need], etcd: Version) -> Option<EtcdError> {
        let asked = |need: &&Need| !need.open.is_some_and(|open| etcd.has(open));
        self.decide(who, needs.iter().filter(asked)).ok()?;
        self.decide(who, needs.iter()).err()
    }

    fn decide<'a>(
        &self,
        who: &Who,
        needs: impl Iterator<Item = &'a Need>,
    ) -> Result<(), EtcdError> {
        if !self.auth.enabled {
            return Ok(());
        }
        for Need { kind, .. } in needs {
            let user = match who {
                Who::Nobody if matches!(kind, Kind::Token) => continue,
                Who::Nobody => return Err(EtcdError::UserEmpty),
                Who::User(name) if self.has_token(name) => name,
                Who::User(_) | Who::Stranger => return Err(EtcdError::InvalidAuthToken),
            };
            let granted = match kind {
                Kind::Token | Kind::User => true,
                Kind::Root => self.auth.has_role(user, ROOT),
                Kind::Read(range) => self.auth.allows(user, range, Type::Read),
                Kind::Write(range) => self.auth.allows(user, range, Type::Write),
            };
            if !granted {
                return Err(EtcdError::PermissionDenied);
            }
        }
        Ok(())
    }
}

/// Whether what a call takes depends on the keys of leases.
pub(super) fn is_about_leases(call: &Call) -> bool {
    match call {
        Call::Put(request) => request.lease != 0,
        Call::Txn(_) | Call::Revoke(_) | Call::KeepAlive(_) | Call::Leases => true,
        Call::TimeToLive(request) => request.keys,
        _ => false,
    }
}

/// Whether a call is about a range that can hold no key, anywhere in it.
pub(super) fn is_turned_around(call: &Call) -> bool {
    needs(call, &Attached::new()).iter().any(|need| match &need.kind {
        Kind::Read(range) | Kind::Write(range) => range.is_empty(),
        Kind::Token | Kind::User | Kind::Root => false,
    })
}

/// Whether the etcd at hand does not know a question that everybody may ask of the reference, or
/// refuses it.
pub(super) fn is_status_closed(call: &Call, is_guarded: bool, etcd: Version) -> bool {
    if call.auth() == Some(&AuthCall::Status) && etcd.has(&NO_STATUS) {
        return true;
    }
    let Call::As(who, call) = call else { return false };
    is_guarded
        && !who.is_root()
        && *who != Who::Stranger
        && **call == Call::Auth(AuthCall::Status)
        && etcd.has(&ANY_STATUS)
}

/// Collects what a call takes.
struct Needs<'a> {
    attached: Option<&'a Attached>,
    /// Of what is collected now: where it is not asked for yet.
    open: Option<&'static Excuse>,
    list: Vec<Need>,
}

fn needs(call: &Call, attached: &Attached) -> Vec<Need> {
    let mut needs = Needs::new(Some(attached));
    match call {
        Call::Range(request) => needs.read(&request.key, &request.range_end),
        Call::Put(request) => needs.put(request),
        Call::Delete(request) => needs.delete(request),
        Call::Txn(request) => needs.txn(request),
        Call::HashKv(_) => needs.push(Kind::Root),
        Call::Compact(_) => needs.since(&LEASES_OPEN).push(Kind::Root),
        Call::Grant(_) | Call::GrantAny(_) => needs.since(&LEASES_OPEN).push(Kind::User),
        Call::Revoke(request) => {
            needs.writes_of(request.id);
            needs.since(&LEASES_OPEN).push(Kind::User);
        }
        Call::KeepAlive(request) => {
            needs.list.clear();
            needs.since(&LEASES_OPEN).push(Kind::User);
            needs.writes_of(request.id);
        }
        Call::TimeToLive(request) => {
            needs.list.clear();
            needs.since(&LEASES_OPEN).push(Kind::User);
            if request.keys {
                needs.since(&LEASE_KEYS_OPEN).reads_of(request.id);
            }
        }
        Call::Leases => {
            needs.list.clear();
            needs.since(&LEASES_OPEN).push(Kind::User);
            for id in attached.keys() {
                needs.reads_of(*id);
            }
        }
        // What these take, every version asks for; locks and elections are root's.
        Call::Auth(_) | Call::As(..) | Call::Lock(_) | Call::Elect(..) => {}
    }
    needs.list
}

impl<'a> Needs<'a> {
    fn new(attached: Option<&'a Attached>) -> Needs<'a> {
        let token = Need { kind: Kind::Token, open: None };
        Needs { attached, open: None, list: vec![token] }
    }

    /// What follows is asked for since some version only.
    fn since(&mut self, open: &'static Excuse) -> &mut Self {
        self.open = Some(open);
        self
    }

    fn push(&mut self, kind: Kind) {
        self.list.push(Need { kind, open: self.open });
    }

    fn read(&mut self, key: &Bytes, range_end: &Bytes) {
        self.push(Kind::Read(KeyRange::from_fields(key.clone(), range_end.clone())));
    }

    fn write(&mut self, key: &Bytes, range_end: &Bytes) {
        self.push(Kind::Write(KeyRange::from_fields(key.clone(), range_end.clone())));
    }

    fn keys_of(&self, lease: i64) -> &'a [Bytes] {
        self.attached.and_then(|attached| attached.get(&lease)).map_or(&[], Vec::as_slice)
    }

    fn writes_of(&mut self, lease: i64) {
        for key in self.keys_of(lease) {
            self.write(key, &Bytes::new());
        }
    }

    fn reads_of(&mut self, lease: i64) {
        for key in self.keys_of(lease) {
            self.read(key, &Bytes::new());
        }
    }

    fn put(&mut self, request: &pb::PutRequest) {
        self.write(&request.key, &Bytes::new());
        self.put_more(request);
    }

    /// What a put takes beside the right to write.
    fn put_more(&mut self, request: &pb::PutRequest) {
        if request.lease != 0 {
            self.writes_of(request.lease);
        }
        if request.prev_kv {
            self.read(&request.key, &Bytes::new());
        }
    }

    fn delete(&mut self, request: &pb::DeleteRangeRequest) {
        self.write(&request.key, &request.range_end);
        if request.prev_kv {
            self.read(&request.key, &request.range_end);
        }
    }

    fn txn(&mut self, request: &pb::TxnRequest) {
        for compare in &request.compare {
            self.read(&compare.key, &compare.range_end);
        }
        let outside = self.open;
        for op in request.success.iter().chain(&request.failure) {
            self.open = outside;
            match &op.request {
                Some(Request::RequestRange(range)) => self.read(&range.key, &range.range_end),
                Some(Request::RequestPut(put)) => {
                    self.write(&put.key, &Bytes::new());
                    self.since(outside.unwrap_or(&TXN_PUTS_OPEN)).put_more(put);
                }
                Some(Request::RequestDeleteRange(delete)) => self.delete(delete),
                Some(Request::RequestTxn(inner)) => self.since(&NESTED_OPEN).txn(inner),
                None => {}
            }
        }
        self.open = outside;
    }
}

#[cfg(test)]
mod tests;
