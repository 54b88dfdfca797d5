//! The book of leases.

mod primary;
#[cfg(test)]
mod tests;

use crate::keys::Keys;
use crate::record::{self, Record};
use crate::{Config, Error};
use bytes::Bytes;
use drystone_backend::{Batch, Table};
use drystone_probe::{mark, planted};
use drystone_types::LeaseId;
use primary::{Primary, Timing};
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest lease that is granted, in seconds (etcd's `server/lease/lessor.go`).
pub const TTL_SECONDS_MAX: i64 = 9_000_000_000;

/// What a grant came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The lease.
    pub id: LeaseId,
    /// Its time in seconds: what was asked for, or the shortest time there is.
    pub ttl_seconds: i64,
}

/// What a renewal came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The granted time in seconds, all of which is left now.
    pub ttl_seconds: i64,
    /// A shorter remainder is in the log, or on its way there. Before the client hears of the
    /// renewal, a checkpoint of this lease with remainder 0 must be applied; otherwise the
    /// next primary would let the lease run out before the time that the client was promised.
    pub checkpoint_zero: bool,
}

/// What is known of a lease's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeToLive {
    /// Whole seconds left, rounded down; 0 for a lease that ran out and waits to be revoked.
    /// On a member that is not primary: what a new primary would start with.
    pub remaining_seconds: i64,
    /// The granted time in seconds.
    pub granted_seconds: i64,
    /// The attached keys, ascending; empty unless asked for.
    pub keys: Vec<Bytes>,
}

#[derive(Clone, Debug)]
struct Lease {
    ttl_seconds: i64,
    /// What the last checkpoint left; 0 without one.
    remaining_seconds: i64,
    keys: Keys,
    /// Meaningful on the primary alone.
    timing: Timing,
}

impl Lease {
    /// What a primary that starts now gives the lease, in seconds.
    fn base_seconds(&self) -> i64 {
        if self.remaining_seconds > 0 { self.remaining_seconds } else { self.ttl_seconds }
    }

    fn record(&self, id: LeaseId) -> Record {
        Record { id, ttl_seconds: self.ttl_seconds, remaining_seconds: self.remaining_seconds }
    }
}

/// The leases of one member. See the crate's documentation.
#[derive(Clone, Debug)]
pub struct Lessor {
    config: Config,
    leases: BTreeMap<LeaseId, Lease>,
    primary: Option<Primary>,
}

impl Lessor {
    /// A book without leases, not primary.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, leases: BTreeMap::new(), primary: None }
    }

    /// Reads the records of [`Table::Lease`], in any order. The keys that hang on the leases
    /// are not recorded there: report them with [`Lessor::attach_all`]. Not primary.
    ///
    /// # Errors
    /// [`Error::Corrupt`] names the first record that is not one.
    pub fn open<K, V>(
        records: impl IntoIterator<Item = (K, V)>,
        config: Config,
    ) -> Result<Self, Error>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut lessor = Self::new(config);
        for (key, value) in records {
            let record = Record::decode(key.as_ref(), value.as_ref())?;
            let lease = Lease {
                ttl_seconds: record.ttl_seconds.max(lessor.config.ttl_seconds_min),
                remaining_seconds: record.remaining_seconds,
                keys: Keys::default(),
                timing: Timing::default(),
            };
            lessor.leases.insert(record.id, lease);
        }
        Ok(lessor)
    }

    /// Attaches the keys that a rebuild found, the newest version of each with its lease.
    /// Returns how many named a lease that does not exist; those are skipped, as in etcd.
    pub fn attach_all(&mut self, keys: impl IntoIterator<Item = (LeaseId, Bytes)>) -> usize {
        let mut unknown = 0;
        for (id, key) in keys {
            match self.leases.get_mut(&id) {
                Some(lease) => lease.keys.insert(key),
                None => unknown += 1,
            }
        }
        unknown
    }

    /// Grants lease `id` for `ttl_seconds`, raised to the shortest time there is, and records
    /// it. `now` matters on the primary alone.
    ///
    /// # Errors
    /// [`Error::NoId`], [`Error::TtlTooLarge`], [`Error::Exists`].
    pub fn grant(
        &mut self,
        out: &mut Batch,
        id: LeaseId,
        ttl_seconds: i64,
        now: Duration,
    ) -> Result<Granted, Error> {
        if id.is_none() {
            return Err(Error::NoId);
        }
        if ttl_seconds > TTL_SECONDS_MAX {
            return Err(Error::TtlTooLarge { ttl_seconds });
        }
        if self.leases.contains_key(&id) {
            return Err(Error::Exists(id));
        }
        let ttl_seconds = ttl_seconds.max(self.config.ttl_seconds_min);
        let mut lease = Lease {
            ttl_seconds,
            remaining_seconds: 0,
            keys: Keys::default(),
            timing: Timing::default(),
        };
        if !planted!("lease.grant_not_recorded") {
            out.put(Table::Lease, record::key(id), lease.record(id).encode());
        }
        if let Some(primary) = &mut self.primary {
            primary.start(&self.config, id, &mut lease, now);
        }
        self.leases.insert(id, lease);
        Ok(Granted { id, ttl_seconds })
    }

    /// Ends lease `id`, removes its record, and returns the keys that hung on it, ascending:
    /// the store deletes them in one revision, in the same batch.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn revoke(&mut self, out: &mut Batch, id: LeaseId) -> Result<Vec<Bytes>, Error> {
        let lease = self.leases.remove(&id).ok_or(Error::NotFound(id))?;
        if let Some(primary) = &mut self.primary {
            primary.forget(id, &lease.timing);
        }
        if !planted!("lease.revoke_not_recorded") {
            out.delete(Table::Lease, record::key(id));
        }
        let mut keys = lease.keys.to_vec();
        if !keys.is_empty() {
            mark!("lease.revoked_with_keys");
        }
        if keys.len() > 1 && planted!("lease.revoke_leaves_a_key") {
            keys.pop();
        }
        Ok(keys)
    }

    /// Follows a change of a key: it hung on `before` and hangs on `after` from now on; zero
    /// stands for no lease. The key's bytes are shared, not copied. A `before` that is gone is
    /// no error: its revoke deletes the key.
    ///
    /// # Errors
    /// [`Error::NotFound`] when `after` does not exist; the key is detached all the same.
    pub fn attach(&mut self, key: &Bytes, before: LeaseId, after: LeaseId) -> Result<(), Error> {
        if before == after && self.exists(after) {
            self.leases.entry(after).and_modify(|lease| lease.keys.insert(key.clone()));
            return Ok(());
        }
        if let Some(lease) = self.leases.get_mut(&before)
            && !(!after.is_none() && planted!("lease.overwrite_keeps_the_old_lease"))
        {
            lease.keys.remove(key);
        }
        if after.is_none() {
            return Ok(());
        }
        if !before.is_none() {
            mark!("lease.key_changed_its_lease");
        }
        let lease = self.leases.get_mut(&after).ok_or(Error::NotFound(after))?;
        lease.keys.insert(key.clone());
        Ok(())
    }

    /// Applies a logged checkpoint: what is left of each lease in seconds, 0 for all of it.
    /// In the order given; a primary's running deadlines stay.
    ///
    /// # Errors
    /// [`Error::NotFound`] at the first unknown lease; those before it keep their checkpoint.
    pub fn checkpoint(
        &mut self,
        out: &mut Batch,
        checkpoints: &[(LeaseId, i64)],
    ) -> Result<(), Error> {
        for &(id, remaining_seconds) in checkpoints {
            let lease = self.leases.get_mut(&id).ok_or(Error::NotFound(id))?;
            mark!("lease.checkpoint_applied");
            if planted!("lease.checkpoint_grows_the_ttl") {
                lease.ttl_seconds = lease.ttl_seconds.saturating_add(remaining_seconds);
            }
            lease.remaining_seconds = remaining_seconds;
            lease.timing.settle(remaining_seconds);
            out.put(Table::Lease, record::key(id), lease.record(id).encode());
        }
        Ok(())
    }

    /// True when lease `id` lives, run out or not.
    #[must_use]
    pub fn exists(&self, id: LeaseId) -> bool {
        self.leases.contains_key(&id)
    }

    /// How many leases live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// True when no lease lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// The keys attached to lease `id`, ascending; `None` when it does not exist. Permission
    /// checks of revokes and renewals ask for them.
    #[must_use]
    pub fn keys(&self, id: LeaseId) -> Option<Vec<Bytes>> {
        self.leases.get(&id).map(|lease| lease.keys.to_vec())
    }

    /// How many keys are attached to lease `id`; `None` when it does not exist.
    #[must_use]
    pub fn key_count(&self, id: LeaseId) -> Option<usize> {
        self.leases.get(&id).map(|lease| lease.keys.len())
    }
}
