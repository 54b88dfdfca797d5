//! The way of events from the apply side to the watch hub, and between etcd's watch messages and
//! the hub's.
//!
//! The apply side leaves events in a [`Feed`] and goes on; it never waits for watchers. When the
//! feed overflows, the hub reads what it missed from the store, as a slow watcher would.

use bytes::Bytes;
use drystone_api::etcdserverpb::{
    ResponseHeader, WatchCreateRequest, watch_create_request::FilterType,
};
use drystone_api::raw::WatchResponse;
use drystone_mvcc::{OpError, Snapshot};
use drystone_types::{KeyRange, Revision, RevisionEvents};
use drystone_watch::{
    Changes, Create, History, HistoryError, Hub, Response, ResponseKind, WatchId,
};
use std::cell::OnceCell;
use std::collections::VecDeque;

/// Events on their way to the hub, bounded in bytes.
#[derive(Debug)]
pub struct Feed {
    batches: VecDeque<RevisionEvents>,
    bytes: usize,
    bytes_max: usize,
    /// The newest revision that was applied, whether or not its events are still here.
    revision: i64,
    compacted: i64,
}

/// What a [`Feed`] held.
#[derive(Debug)]
pub struct Fed {
    batches: Vec<RevisionEvents>,
    revision: i64,
    compacted: i64,
}

impl Feed {
    /// An empty feed over a store that stands at `revision` and was compacted at `compacted`
    /// (-1: never). It holds about `bytes_max` bytes of events.
    #[must_use]
    pub fn new(revision: i64, compacted: i64, bytes_max: usize) -> Self {
        Self { batches: VecDeque::new(), bytes: 0, bytes_max, revision, compacted }
    }

    /// The newest revision and the compaction that it was told of.
    #[must_use]
    pub fn position(&self) -> (i64, i64) {
        (self.revision, self.compacted)
    }

    /// Bytes of events that wait; after an overflow 0.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Leaves events for the hub; `revision` and `compacted` are the store's now. Returns false
    /// when there was nothing to say. Too many events are dropped, all of them: the hub then
    /// finds them in the store.
    pub fn publish(&mut self, events: Vec<RevisionEvents>, revision: i64, compacted: i64) -> bool {
        if events.is_empty() && compacted == self.compacted {
            return false;
        }
        self.revision = revision;
        self.compacted = compacted;
        for batch in events {
            self.bytes += batch_bytes(&batch);
            self.batches.push_back(batch);
        }
        if self.bytes > self.bytes_max {
            self.batches.clear();
            self.bytes = 0;
        }
        true
    }

    /// Says that the store was replaced by a snapshot, which stands at `revision`.
    pub fn replaced(&mut self, revision: i64, compacted: i64) {
        self.batches.clear();
        self.bytes = 0;
        self.revision = revision;
        self.compacted = compacted;
    }

    /// Takes everything that waits.
    pub fn take(&mut self) -> Fed {
        self.bytes = 0;
        Fed {
            batches: std::mem::take(&mut self.batches).into(),
            revision: self.revision,
            compacted: self.compacted,
        }
    }
}

impl Fed {
    /// Tells the hub. A gap in what was fed is filled from `history`, which must not be older
    /// than what was fed.
    pub fn publish(self, hub: &mut Hub, history: &dyn History) {
        hub.publish(&self.batches, history);
        // Whatever overflowed, or came as a snapshot, watchers read from the store.
        hub.restored(self.revision);
        if self.compacted > hub.compacted_revision() {
            hub.compacted(self.compacted);
        }
    }
}

fn batch_bytes(batch: &RevisionEvents) -> usize {
    batch.events.iter().map(|event| 64 + event.key.len() + event.kv.len()).sum()
}

/// History over the store, its snapshot taken only when something is asked of it.
#[derive(Debug)]
pub struct LazyHistory<F> {
    take: F,
    snapshot: OnceCell<Snapshot>,
}

impl<F: Fn() -> Snapshot> LazyHistory<F> {
    /// History over the snapshot that `take` gives, once.
    pub fn new(take: F) -> Self {
        Self { take, snapshot: OnceCell::new() }
    }

    fn snapshot(&self) -> &Snapshot {
        self.snapshot.get_or_init(&self.take)
    }
}

fn history_error(error: OpError) -> HistoryError {
    match error {
        OpError::Compacted { compacted } => HistoryError::Compacted { revision: compacted },
        other => HistoryError::Failed { reason: other.to_string() },
    }
}

impl<F: Fn() -> Snapshot> History for LazyHistory<F> {
    fn changes(
        &self,
        from: i64,
        to: i64,
        revisions_max: usize,
        bytes_max: usize,
    ) -> Result<Changes, HistoryError> {
        self.snapshot()
            .changes(from, to, revisions_max, bytes_max)
            .map(|changes| Changes { batches: changes.revisions, next: changes.next })
            .map_err(history_error)
    }

    fn value_at(&self, revision: Revision) -> Result<Option<Bytes>, HistoryError> {
        self.snapshot().value_at(revision).map_err(history_error)
    }

    fn revision(&self) -> i64 {
        self.snapshot().revision()
    }

    fn compacted(&self) -> i64 {
        self.snapshot().compacted()
    }
}

/// The watcher that a message asks for.
#[must_use]
pub fn watch_create(request: WatchCreateRequest) -> Create {
    // An empty key stands for the first key there can be.
    let key = if request.key.is_empty() { Bytes::from_static(b"\0") } else { request.key };
    let filters = |filter: FilterType| request.filters.contains(&(filter as i32));
    Create {
        start_revision: request.start_revision,
        watch_id: WatchId(request.watch_id),
        prev_kv: request.prev_kv,
        progress_notify: request.progress_notify,
        fragment: request.fragment,
        no_put: filters(FilterType::Noput),
        no_delete: filters(FilterType::Nodelete),
        range: KeyRange::from_fields(key, request.range_end),
    }
}

/// The message that carries a response, under `header`, which says its revision.
#[must_use]
pub fn watch_response(response: Response, header: Option<ResponseHeader>) -> WatchResponse {
    let mut message = WatchResponse {
        header,
        watch_id: response.watch_id.0,
        fragment: response.fragment,
        events: response.events,
        ..WatchResponse::default()
    };
    match response.kind {
        ResponseKind::Created => message.created = true,
        ResponseKind::Refused { reason } => {
            message.created = true;
            message.canceled = true;
            message.cancel_reason = reason.into_owned();
        }
        ResponseKind::Revoked { reason } => {
            message.canceled = true;
            message.cancel_reason = reason.into_owned();
        }
        ResponseKind::Canceled { compact_revision } => {
            message.canceled = true;
            // What tells a compacted start from a wish of the client: etcd gives no reason text.
            message.compact_revision = compact_revision;
        }
        ResponseKind::Events | ResponseKind::Progress => {}
    }
    message
}
