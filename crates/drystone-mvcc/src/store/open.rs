//! Building the key index from what the store below holds.

use super::{Staged, Store, record_bytes};
use crate::cache::Cache;
use crate::codec::{Fields, Numbers};
use crate::config::Config;
use crate::error::Error;
use crate::index::{Entry, Tree, Version};
use crate::state::{Pin, Shared, State};
use crate::sweep::Sweeper;
use crate::view::fields;
use bytes::Bytes;
use drystone_backend::{Backend, Table};
use drystone_probe::planted;
use drystone_types::Revision;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

pub(super) fn open(backend: Arc<dyn Backend>, config: Config) -> Result<Store, Error> {
    let finished = compact_mark(&*backend, crate::FINISHED_COMPACT)?;
    let scheduled = compact_mark(&*backend, crate::SCHEDULED_COMPACT)?;
    let mut rebuild = Rebuild {
        tree: Tree::default(),
        cache: Cache::new(config.value_cache_bytes),
        last: Revision::default(),
        live_bytes: 0,
    };
    let mut failure = None;
    backend.scan(
        Table::Key,
        (Bound::Unbounded, Bound::Unbounded),
        &mut |key, value| match rebuild.record(key, value) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        },
    )?;
    if let Some(error) = failure {
        return Err(error);
    }
    let compacted = finished.unwrap_or(-1).max(scheduled.unwrap_or(-1));
    let Rebuild { tree, cache, last, live_bytes } = rebuild;
    let revision = last.main.max(compacted).max(1);
    let pin = Arc::new(Pin);
    let state = State { tree: tree.clone(), revision, compacted, pin: pin.clone() };
    Ok(Store {
        shared: Arc::new(Shared::new(backend, state, cache, config)),
        tree,
        revision,
        compacted,
        pin,
        staged: Staged::default(),
        sweeper: Sweeper::resume(finished.unwrap_or(-1), scheduled.unwrap_or(-1)),
        live_bytes,
        digest: 0,
    })
}

/// The main revision of a mark, if it was ever set.
fn compact_mark(backend: &dyn Backend, name: &'static str) -> Result<Option<i64>, Error> {
    let Some(bytes) = backend.get(Table::Meta, name.as_bytes())? else { return Ok(None) };
    match Revision::from_key(&bytes) {
        Some((revision, _)) if revision.main >= 0 => Ok(Some(revision.main)),
        _ => Err(Error::corrupt(Table::Meta, name.as_bytes(), "not a revision")),
    }
}

struct Rebuild {
    tree: Tree,
    cache: Cache,
    last: Revision,
    live_bytes: u64,
}

impl Rebuild {
    /// Takes in the next record, in the order of revisions.
    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.live_bytes += record_bytes(key, value);
        let damaged = |reason| Error::corrupt(Table::Key, key, reason);
        let (revision, tombstone) =
            Revision::from_key(key).ok_or_else(|| damaged("not a revision"))?;
        let sub = u32::try_from(revision.sub).map_err(|_| damaged("the sub revision is absurd"))?;
        if revision.main < 1 || revision.main == i64::MAX {
            return Err(damaged("the main revision is absurd"));
        }
        if !(tombstone && planted!("mvcc.revision_falls_at_restart")) {
            self.last = revision;
        }
        // A record of no bytes has the empty key. A restore that raises the revision leaves one;
        // etcd indexes it like any other, which decides what its compaction keeps and hashes.
        let Fields { key, create_revision, version, lease, .. } = fields(revision, value)?;
        let key = &value[key];
        let version = Numbers { create_revision, mod_revision: revision.main, version, lease };
        let newest = Version { main: revision.main, sub, tombstone };
        let cache = &self.cache;
        self.tree.set(key, |before| {
            if let Some(before) = &before {
                cache.forget(before.newest().revision());
            }
            if tombstone {
                Entry::delete(before, newest.main, newest.sub)
            } else {
                Entry::put(before, newest, version, value.len())
            }
        });
        if !tombstone {
            self.cache.insert(revision, Bytes::copy_from_slice(value));
        }
        Ok(())
    }
}
