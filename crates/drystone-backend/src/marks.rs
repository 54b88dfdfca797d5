//! The applied mark as it lies in a store, and a helper that every scan needs.

use crate::{BackendError, KeyBounds, Read, Table};
use drystone_types::{Applied, LogIndex, Term};
use std::ops::Bound;

/// The key of [`Table::Meta`] under which a store keeps the index of the newest entry it holds:
/// 8 bytes, big-endian, as etcd's `consistent_index` (`server/storage/schema/cindex.go`).
/// Only stores write it, from [`crate::Batch::set_applied`].
pub const APPLIED_INDEX_KEY: &[u8] = b"consistent_index";

/// The key of [`Table::Meta`] under which a store keeps that entry's term: 8 bytes, big-endian,
/// as etcd's `term`. Only stores write it.
pub const APPLIED_TERM_KEY: &[u8] = b"term";

/// The applied mark that `state` holds; all zero when there is none.
///
/// # Errors
/// [`BackendError::Corrupt`] when a mark is not 8 bytes long, and whatever reading fails with.
pub fn applied_of(state: &dyn Read) -> Result<Applied, BackendError> {
    let number = |key: &[u8]| match state.get(Table::Meta, key)? {
        None => Ok(0),
        Some(value) => match <[u8; 8]>::try_from(&value[..]) {
            Ok(bytes) => Ok(u64::from_be_bytes(bytes)),
            Err(_) => Err(BackendError::Corrupt {
                place: format!("table meta, key {}", key.escape_ascii()),
                reason: format!("{} bytes where a mark has 8", value.len()),
            }),
        },
    };
    Ok(Applied {
        index: LogIndex(number(APPLIED_INDEX_KEY)?),
        term: Term(number(APPLIED_TERM_KEY)?),
    })
}

/// True when no key can lie inside `bounds`, because they are inverted or exclude what they
/// touch. Ordered maps panic on some of these, so implementations ask first.
#[must_use]
pub fn bounds_are_empty(bounds: KeyBounds<'_>) -> bool {
    match bounds {
        (Bound::Unbounded, Bound::Excluded(end)) => end.is_empty(),
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
        | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
    }
}
