//! A plain list that is too large to hold: measured first, since a message says its length
//! before its bytes, then read page by page as the client takes it.

use crate::access::Authority;
use crate::kv::read_error;
use crate::shared::Shared;
use bytes::Bytes;
use drystone_api::etcdserverpb::ResponseHeader;
use drystone_api::raw::RangeResponse;
use drystone_mvcc::{OpError, RangeQuery, Snapshot, SortOrder, SortTarget};
use parking_lot::Mutex;
use prost::encoding::encoded_len_varint;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tonic::Status;

/// Bytes of pairs up to which an answer is held as a whole.
const HELD_BYTES_MAX: usize = 4 << 20;
/// The most pairs of such an answer, and of a page.
const PAGE_PAIRS_MAX: usize = 4_096;
/// Bytes of a page, about.
const PAGE_BYTES: usize = 1 << 20;
/// How long a list holds the state it began with, which holds back what compaction removes.
/// After that it reads what is current, at its own revision, and breaks off when compaction
/// has passed that.
const HOLD_MAX: Duration = Duration::from_secs(10);

/// The answer to a read.
#[derive(Debug)]
pub(crate) enum Listed {
    /// As a whole.
    Whole(RangeResponse),
    /// With the pairs still to come.
    Long(Box<Long>),
}

impl Listed {
    /// How many pairs there are, also beyond a limit.
    pub(crate) fn count(&self) -> i64 {
        match self {
            Self::Whole(response) => response.count,
            Self::Long(long) => long.count,
        }
    }
}

/// What is known of a long list before its pairs are read.
#[derive(Debug)]
pub(crate) struct Long {
    pub(crate) header: Option<ResponseHeader>,
    pub(crate) more: bool,
    pub(crate) count: i64,
    /// Bytes that the pairs take in the message.
    pub(crate) pairs_bytes: usize,
    /// The first page.
    pub(crate) first: Vec<Bytes>,
    pub(crate) rest: Rest,
}

/// The pages of a long list that are not read yet.
#[derive(Debug)]
pub(crate) struct Rest {
    shared: Arc<Shared>,
    /// Whoever may read it.
    authority: Authority,
    held: Held,
    /// From the next key on, at the list's revision.
    query: RangeQuery,
    /// Pairs that the limit still allows.
    left: usize,
}

/// True for a read whose answer may be long and is made in key order, pair for pair as stored.
pub(crate) fn may_be_long(query: &RangeQuery) -> bool {
    let in_key_order =
        query.sort_order != SortOrder::Descend && query.sort_target == SortTarget::Key;
    let whole = query.range.is_single() || query.count_only || query.keys_only;
    in_key_order && !whole && !query.filters()
}

/// Bytes of a pair in `RangeResponse.kvs`: its tag, its length, itself.
pub(crate) fn framed_bytes(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

/// Reads the first page of a list that [`may_be_long`], and measures the others. Blocks.
pub(crate) fn begin(
    shared: Arc<Shared>,
    authority: Authority,
    query: RangeQuery,
) -> Result<Listed, Status> {
    let snapshot = shared.snapshot(&authority)?;
    measured(shared, authority, snapshot, query).map_err(read_error)
}

fn measured(
    shared: Arc<Shared>,
    authority: Authority,
    snapshot: Snapshot,
    mut query: RangeQuery,
) -> Result<Listed, OpError> {
    let limit = usize::try_from(query.limit).ok().filter(|limit| *limit > 0);
    let limit = limit.unwrap_or(usize::MAX);
    let pairs_max = limit.min(PAGE_PAIRS_MAX);
    let page = snapshot.page(&query, pairs_max, HELD_BYTES_MAX)?;
    let whole = snapshot.range(&RangeQuery { count_only: true, ..query.clone() })?;
    let count = usize::try_from(whole.count).unwrap_or(usize::MAX);
    let (more, header) = (count > limit, shared.header(whole.revision));
    let left = limit - page.kvs.len();
    let (Some(next), 1..) = (page.next, left) else {
        let response = RangeResponse { header, kvs: page.kvs, more, count: whole.count };
        return Ok(Listed::Whole(response));
    };
    query.range.start = next;
    if query.revision <= 0 {
        query.revision = whole.revision;
    }
    let first: usize = page.kvs.iter().map(|pair| framed_bytes(pair.len())).sum();
    let pairs_bytes = first.saturating_add(snapshot.measure(&query, left, framed_bytes)?);
    let rest = Rest { held: Held::new(snapshot), shared, authority, query, left };
    let (count, first) = (whole.count, page.kvs);
    Ok(Listed::Long(Box::new(Long { header, more, count, pairs_bytes, first, rest })))
}

impl Rest {
    /// Reads the next page; the last one comes without a rest.
    ///
    /// # Errors
    /// The list cannot be completed: compaction has passed it, or the store failed.
    pub(crate) async fn next(self) -> Result<(Option<Self>, Vec<Bytes>), Status> {
        let shared = self.shared.clone();
        let page = shared.lists.read(shared.config.request_timeout(), move || self.read()).await?;
        page.map_err(read_error)
    }

    fn read(mut self) -> Result<(Option<Self>, Vec<Bytes>), OpError> {
        // At its own revision the list holds nothing newer than what it began with, and leave to
        // read that was given: it needs no other look.
        let now = || self.shared.view.read().reader(&self.authority).snapshot();
        let snapshot = self.held.get().unwrap_or_else(now);
        let page = snapshot.page(&self.query, self.left.min(PAGE_PAIRS_MAX), PAGE_BYTES)?;
        self.left -= page.kvs.len();
        match page.next {
            Some(next) if self.left > 0 => {
                self.query.range.start = next;
                Ok((Some(self), page.kvs))
            }
            _ => Ok((None, page.kvs)),
        }
    }
}

/// A state of the store, held for a bounded time also when nobody looks.
#[derive(Debug)]
struct Held {
    state: Arc<Mutex<Option<Snapshot>>>,
    timer: AbortHandle,
}

impl Held {
    fn new(snapshot: Snapshot) -> Self {
        let state = Arc::new(Mutex::new(Some(snapshot)));
        let held = state.clone();
        let timer = tokio::spawn(async move {
            tokio::time::sleep(HOLD_MAX).await;
            held.lock().take();
        });
        Self { state, timer: timer.abort_handle() }
    }

    fn get(&self) -> Option<Snapshot> {
        self.state.lock().clone()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.timer.abort();
    }
}
