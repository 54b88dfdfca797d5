//! Watch streams, counted on the hub's thread and where responses leave for their clients.

use drystone_metrics::{Counter, Gauge, Histogram, Registry};
use drystone_watch::{Response, ResponseKind, Stats};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Handles of the hub and of its streams.
#[derive(Debug)]
pub(crate) struct WatchMetrics {
    streams: Gauge,
    watchers: Gauge,
    unsynced: Gauge,
    queued_bytes: Gauge,
    pending: Gauge,
    events: Counter,
    event_seconds: Histogram,
    per_event_seconds: Histogram,
    control_seconds: Histogram,
    progress_seconds: Histogram,
    /// Bytes that wait for streams' tasks.
    waiting_bytes: Arc<AtomicUsize>,
}

/// Responses with events that wait for a stream's task, until it has taken them or is gone.
#[derive(Debug)]
pub(crate) struct Held {
    pending: Gauge,
    responses: f64,
    bytes: usize,
    waiting_bytes: Arc<AtomicUsize>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pending.decrement(self.responses);
        self.waiting_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// What a response is, with the events in it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sent {
    Events(usize),
    Control,
    Progress,
}

impl Sent {
    pub(crate) fn of(response: &Response) -> Self {
        match response.kind {
            ResponseKind::Events => Self::Events(response.events.len()),
            ResponseKind::Progress => Self::Progress,
            _ => Self::Control,
        }
    }
}

impl WatchMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let gauge = |name| registry.gauge(name, &[]);
        let histogram = |name| registry.histogram(name, &[]);
        Self {
            streams: gauge("etcd_debugging_mvcc_watch_stream_total"),
            watchers: gauge("etcd_debugging_mvcc_watcher_total"),
            unsynced: gauge("etcd_debugging_mvcc_slow_watcher_total"),
            queued_bytes: gauge("drystone_watch_queued_bytes"),
            pending: gauge("etcd_debugging_mvcc_pending_events_total"),
            events: registry.counter("etcd_debugging_mvcc_events_total", &[]),
            event_seconds: histogram(
                "etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds",
            ),
            per_event_seconds: histogram(
                "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds",
            ),
            control_seconds: histogram(
                "etcd_debugging_server_watch_send_loop_control_stream_duration_seconds",
            ),
            progress_seconds: histogram(
                "etcd_debugging_server_watch_send_loop_progress_duration_seconds",
            ),
            waiting_bytes: Arc::default(),
        }
    }

    /// What the hub holds.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub(crate) fn hub(&self, stats: Stats) {
        self.streams.set(stats.streams as f64);
        self.watchers.set(stats.watchers as f64);
        self.unsynced.set(stats.unsynced as f64);
        self.queued_bytes.set(stats.queued_bytes as f64);
    }

    /// Bytes that wait for streams' tasks.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes.load(Ordering::Acquire)
    }

    /// The hub leaves these for a stream's task; they took so many bytes of its queue.
    pub(crate) fn held(&self, responses: &[Response], bytes: usize) -> Held {
        let with_events = responses.iter().filter(|response| !response.events.is_empty());
        let responses = f64::from(u32::try_from(with_events.count()).unwrap_or(u32::MAX));
        self.pending.increment(responses);
        self.waiting_bytes.fetch_add(bytes, Ordering::AcqRel);
        let waiting_bytes = self.waiting_bytes.clone();
        Held { pending: self.pending.clone(), responses, bytes, waiting_bytes }
    }

    /// A response was taken by the client's stream, which was offered it at `began`.
    pub(crate) fn sent(&self, sent: Sent, began: Instant) {
        let took = began.elapsed();
        match sent {
            Sent::Events(events) => {
                self.events.increment(events as u64);
                self.event_seconds.record(took);
                let events = u32::try_from(events).unwrap_or(u32::MAX).max(1);
                self.per_event_seconds.record(took / events);
            }
            Sent::Control => self.control_seconds.record(took),
            Sent::Progress => self.progress_seconds.record(took),
        }
    }
}
