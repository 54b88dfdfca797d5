//! The applied mark as it lies in a store, and a helper that every scan needs.

use crate::{BackendError, KeyBounds, Read, Table};
use bytes::Bytes;
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
    // One call for both: on a store that is being written, two could see different batches.
    let keys = [APPLIED_INDEX_KEY, APPLIED_TERM_KEY].map(Bytes::from_static);
    let values = state.get_many(Table::Meta, &keys)?;
    let number = |position: usize| match values.get(position) {
        None | Some(None) => Ok(0),
        Some(Some(value)) => match <[u8; 8]>::try_from(&value[..]) {
            Ok(bytes) => Ok(u64::from_be_bytes(bytes)),
            Err(_) => Err(BackendError::corrupt(
                format_args!("table meta, key {}", keys[position].escape_ascii()),
                format_args!("{} bytes where a mark has 8", value.len()),
            )),
        },
    };
    Ok(Applied { index: LogIndex(number(0)?), term: Term(number(1)?) })
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
