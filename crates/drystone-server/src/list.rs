//! `KV.RangeStream`: a list in chunks, each read when the client has taken the one before.
//!
//! Nothing is held between two chunks but a key and a revision. A chunk is read at that
//! revision from whatever state is current then, so a client that stands still holds back
//! neither writers nor compaction; when compaction has passed its revision by the time it goes
//! on, it hears so, as etcd's would.

use crate::access::Authority;
use crate::kv::read_error;
use crate::shared::Shared;
use drystone_api::errors::EtcdError;
use drystone_api::raw::{RangeResponse, RangeStreamResponse};
use drystone_mvcc::{RangeQuery, SortOrder, SortTarget};
use std::sync::Arc;
use tokio_stream::Stream;
use tonic::Status;

/// Pairs of the first chunk (etcd's).
const PAIRS_FIRST: usize = 10;
/// The most pairs of a chunk, which bounds what is known of it while it is read.
const PAIRS_MAX: usize = 16_384;

/// Refuses what a stream cannot do, in etcd's words. Another target than the key without an
/// order passes, as in etcd, and the answer is in key order.
///
/// # Errors
/// [`EtcdError::RangeStreamSort`], [`EtcdError::RangeStreamFilters`].
pub(crate) fn check(query: &RangeQuery) -> Result<(), EtcdError> {
    let plain = match query.sort_order {
        SortOrder::None => true,
        SortOrder::Ascend => query.sort_target == SortTarget::Key,
        SortOrder::Descend | SortOrder::Unknown(_) => false,
    };
    if !plain {
        return Err(EtcdError::RangeStreamSort);
    }
    if query.filters() {
        return Err(EtcdError::RangeStreamFilters);
    }
    Ok(())
}

/// Reads the first chunk and answers with the stream of all. What refuses the whole read, such
/// as a revision that is compacted, refuses here.
pub(crate) async fn stream(
    shared: Arc<Shared>,
    authority: Authority,
    query: RangeQuery,
) -> Result<impl Stream<Item = Result<RangeStreamResponse, Status>> + Send, Status> {
    let (lists, wait_max) = (shared.clone(), shared.config.request_timeout());
    let first = move || List::begin(shared, authority, query).and_then(List::next);
    let (mut rest, mut chunk) = lists.lists.read(wait_max, first).await??;
    Ok(async_stream::try_stream! {
        loop {
            yield RangeStreamResponse { range_response: Some(chunk) };
            let Some(list) = rest else { return };
            if list.shared.stopping.load(std::sync::atomic::Ordering::Acquire) {
                Err(EtcdError::Stopped)?;
            }
            (rest, chunk) = lists.lists.read(wait_max, move || list.next()).await??;
        }
    })
}

/// What is left of a list.
#[derive(Debug)]
struct List {
    shared: Arc<Shared>,
    /// Whoever may read it. A stream ends when that is asked anew and has changed.
    authority: Authority,
    /// The range from the next key on, at the revision that all chunks are read at.
    query: RangeQuery,
    /// Pairs that the limit still allows.
    left: usize,
    /// Pairs of the next chunk, if the limit allows them.
    pairs: usize,
    /// What the last chunk says of the whole.
    end: RangeResponse,
}

impl List {
    /// Counts the range, and fixes the revision.
    fn begin(
        shared: Arc<Shared>,
        authority: Authority,
        mut query: RangeQuery,
    ) -> Result<Self, Status> {
        let snapshot = shared.snapshot(&authority)?;
        let count = RangeQuery { count_only: true, ..query.clone() };
        let whole = snapshot.range(&count).map_err(read_error)?;
        if query.revision <= 0 {
            query.revision = whole.revision;
        }
        let limit = usize::try_from(query.limit).ok().filter(|limit| *limit > 0);
        let end = RangeResponse {
            header: shared.header(whole.revision),
            kvs: Vec::new(),
            more: !query.count_only && limit.is_some() && whole.count > query.limit,
            count: whole.count,
        };
        let left = limit.unwrap_or(usize::MAX);
        Ok(Self { shared, authority, query, left, pairs: PAIRS_FIRST, end })
    }

    /// Reads a chunk; the last one comes without a rest.
    fn next(mut self) -> Result<(Option<Self>, RangeResponse), Status> {
        if self.query.count_only {
            return Ok((None, self.end));
        }
        let target = self.shared.config.max_request_bytes.max(1);
        let pairs = self.pairs.min(self.left);
        let snapshot = self.shared.snapshot(&self.authority)?;
        let page = snapshot.page(&self.query, pairs, target.saturating_mul(2));
        let page = page.map_err(read_error)?;
        self.left -= page.kvs.len();
        let bytes: usize = page.kvs.iter().map(bytes::Bytes::len).sum();
        match page.next {
            Some(next) if self.left > 0 => {
                self.query.range.start = next;
                self.pairs = pairs_after(pairs, bytes, target);
                Ok((Some(self), RangeResponse { kvs: page.kvs, ..RangeResponse::default() }))
            }
            _ => Ok((None, RangeResponse { kvs: page.kvs, ..self.end })),
        }
    }
}

/// How many pairs the next chunk has, after one of `pairs` pairs and `bytes` bytes (etcd's rule).
fn pairs_after(pairs: usize, bytes: usize, target: usize) -> usize {
    if bytes < target / 2 {
        return (pairs * 2).min(PAIRS_MAX);
    }
    if bytes >= target.saturating_mul(2) { (pairs / 2).max(1) } else { pairs }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drystone_types::KeyRange;

    #[test]
    fn chunks_grow_and_shrink_towards_the_target() {
        assert_eq!(pairs_after(10, 100, 1000), 20);
        assert_eq!(pairs_after(10, 500, 1000), 10);
        assert_eq!(pairs_after(10, 1999, 1000), 10);
        assert_eq!(pairs_after(10, 2000, 1000), 5);
        assert_eq!(pairs_after(1, 9000, 1000), 1);
        assert_eq!(pairs_after(PAIRS_MAX, 0, 1000), PAIRS_MAX);
    }

    #[test]
    fn only_ascending_keys_without_filters_are_streamed() {
        let plain = RangeQuery::new(KeyRange::all());
        let sorted = |sort_order, sort_target| {
            check(&RangeQuery { sort_order, sort_target, ..plain.clone() })
        };
        assert_eq!(sorted(SortOrder::None, SortTarget::Key), Ok(()));
        assert_eq!(sorted(SortOrder::None, SortTarget::Value), Ok(()));
        assert_eq!(sorted(SortOrder::Ascend, SortTarget::Key), Ok(()));
        for (order, target) in [
            (SortOrder::Ascend, SortTarget::Mod),
            (SortOrder::Descend, SortTarget::Key),
            (SortOrder::Descend, SortTarget::Version),
        ] {
            assert_eq!(sorted(order, target), Err(EtcdError::RangeStreamSort));
        }
        for filtered in [
            RangeQuery { min_mod_revision: 1, ..plain.clone() },
            RangeQuery { max_mod_revision: 1, ..plain.clone() },
            RangeQuery { min_create_revision: 1, ..plain.clone() },
            RangeQuery { max_create_revision: -1, ..plain.clone() },
        ] {
            assert_eq!(check(&filtered), Err(EtcdError::RangeStreamFilters));
        }
    }
}
