//! Reads that the store and its views share.

use crate::error::from_engine;
use bytes::Bytes;
use drystone_backend::{BackendError, KeyBounds, Table, Visit, bounds_are_empty};
use rocksdb::{ColumnFamily, DB, ReadOptions};
use std::ops::Bound;

pub(crate) fn column_family(db: &DB, table: Table) -> &ColumnFamily {
    db.cf_handle(table.name()).expect("every table's column family was opened with the database")
}

pub(crate) fn get(
    db: &DB,
    options: &ReadOptions,
    table: Table,
    key: &[u8],
) -> Result<Option<Bytes>, BackendError> {
    // The pinned slice borrows from the engine, so one copy out of it is the least there is.
    let value = db
        .get_pinned_cf_opt(column_family(db, table), key, options)
        .map_err(|error| from_engine("read", db.path(), &error))?;
    Ok(value.map(|value| Bytes::copy_from_slice(&value)))
}

pub(crate) fn get_many(
    db: &DB,
    options: &ReadOptions,
    table: Table,
    keys: &[Bytes],
) -> Result<Vec<Option<Bytes>>, BackendError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let sorted = keys.is_sorted();
    db.batched_multi_get_cf_opt(column_family(db, table), keys, sorted, options)
        .into_iter()
        .map(|value| match value {
            Ok(value) => Ok(value.map(|value| Bytes::copy_from_slice(&value))),
            Err(error) => Err(from_engine("read", db.path(), &error)),
        })
        .collect()
}

/// Scans with `options`, which are fresh but for a snapshot.
pub(crate) fn scan(
    db: &DB,
    mut options: ReadOptions,
    table: Table,
    bounds: KeyBounds<'_>,
    visit: &mut Visit<'_>,
) -> Result<(), BackendError> {
    if bounds_are_empty(bounds) {
        return Ok(());
    }
    let (from, to) = bounds;
    match to {
        Bound::Unbounded => {}
        Bound::Excluded(to) => options.set_iterate_upper_bound(to),
        Bound::Included(to) => options.set_iterate_upper_bound(after(to)),
    }
    let mut pairs = db.raw_iterator_cf_opt(column_family(db, table), options);
    match from {
        Bound::Unbounded => pairs.seek_to_first(),
        Bound::Included(from) => pairs.seek(from),
        Bound::Excluded(from) => pairs.seek(after(from)),
    }
    while let Some((key, value)) = pairs.item() {
        if visit(key, value).is_break() {
            return Ok(());
        }
        pairs.next();
    }
    pairs.status().map_err(|error| from_engine("scan", db.path(), &error))
}

/// The smallest key above `key`.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}
