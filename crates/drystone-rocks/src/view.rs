//! A frozen state of the store.

use crate::read;
use bytes::Bytes;
use drystone_backend::{BackendError, KeyBounds, Read, Table, Visit};
use rocksdb::{DB, ReadOptions, Snapshot};
use self_cell::self_cell;
use std::fmt;
use std::sync::Arc;

struct Frozen<'db> {
    db: &'db DB,
    snapshot: Snapshot<'db>,
    /// Read options that name `snapshot`.
    options: ReadOptions,
}

self_cell!(
    /// A snapshot together with the database it belongs to, which it keeps open.
    pub(crate) struct View {
        owner: Arc<DB>,
        #[covariant]
        dependent: Frozen,
    }
);

impl View {
    pub(crate) fn of(db: &Arc<DB>) -> Self {
        Self::new(Arc::clone(db), |db| {
            let snapshot = db.snapshot();
            let mut options = ReadOptions::default();
            options.set_snapshot(&snapshot);
            Frozen { db, snapshot, options }
        })
    }
}

impl Read for View {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        let frozen = self.borrow_dependent();
        read::get(frozen.db, &frozen.options, table, key)
    }

    fn get_many(&self, table: Table, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, BackendError> {
        let frozen = self.borrow_dependent();
        read::get_many(frozen.db, &frozen.options, table, keys)
    }

    fn scan(
        &self,
        table: Table,
        bounds: KeyBounds<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<(), BackendError> {
        let frozen = self.borrow_dependent();
        let mut options = ReadOptions::default();
        options.set_snapshot(&frozen.snapshot);
        read::scan(frozen.db, options, table, bounds, visit)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("dir", &self.borrow_owner().path()).finish_non_exhaustive()
    }
}
