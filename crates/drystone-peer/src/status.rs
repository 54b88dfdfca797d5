//! What is known about the far end.

use crate::PeerUrl;
use drystone_types::MemberId;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One peer as this member sees it. Counters only grow.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Who.
    pub id: MemberId,
    /// Where.
    pub urls: Vec<PeerUrl>,
    /// False for a far end that is answered though membership does not list it.
    pub is_peer: bool,
    /// Since when calls to it work; `None` while they do not.
    pub active_since: Option<Instant>,
    /// When bytes of it last arrived.
    pub last_contact: Option<Instant>,
    /// Why the last call that failed did, if none worked since.
    pub last_failure: Option<String>,
    /// Whether it listens for appends.
    pub msgapp_stream: bool,
    /// Whether it listens for other messages.
    pub message_stream: bool,
    /// Smoothed time of a small request and its answer.
    pub round_trip: Option<Duration>,
    /// Probes that came back.
    pub probes: u64,
    /// Its wall clock minus this one's at the last probe, in nanoseconds; off by up to half a
    /// round trip.
    pub clock_difference_nanos: Option<i64>,
    /// How often it went from active to inactive.
    pub disconnects: u64,
    /// Bytes of messages given to its connections.
    pub sent_bytes: u64,
    /// Calls to it that failed.
    pub sent_failures: u64,
    /// Bytes of messages from it.
    pub received_bytes: u64,
    /// Messages from it that were broken or not taken.
    pub received_failures: u64,
    /// Messages to it that a full queue refused or a lost stream took along.
    pub dropped_messages: u64,
    /// Snapshots that it took over.
    pub snapshots_sent: u64,
    /// Snapshots that it did not take over.
    pub snapshots_failed: u64,
    /// Snapshots on the way to it.
    pub snapshots_in_flight: u64,
}

/// A counter that several tasks add to.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) disconnects: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) sent_failures: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) received_failures: Counter,
    pub(crate) dropped_messages: Counter,
    pub(crate) snapshots_sent: Counter,
    pub(crate) snapshots_failed: Counter,
}

#[derive(Debug, Default)]
struct State {
    active_since: Option<Instant>,
    last_contact: Option<Instant>,
    last_failure: Option<String>,
    round_trip: Option<Duration>,
    probes: u64,
    clock_difference_nanos: Option<i64>,
}

/// Activity of one peer, judged by every call to it.
#[derive(Debug)]
pub(crate) struct Health {
    id: MemberId,
    state: Mutex<State>,
    pub(crate) counters: Counters,
}

impl Health {
    pub(crate) fn new(id: MemberId) -> Self {
        Self { id, state: Mutex::default(), counters: Counters::default() }
    }

    /// A call worked.
    pub(crate) fn activate(&self) {
        let mut state = self.state.lock();
        let now = Instant::now();
        state.last_contact = Some(now);
        state.last_failure = None;
        if state.active_since.is_none() {
            state.active_since = Some(now);
            drop(state);
            tracing::info!(peer = %self.id, "peer became active");
        }
    }

    /// A call failed.
    pub(crate) fn deactivate(&self, action: &'static str, reason: &str) {
        self.counters.sent_failures.add(1);
        let mut state = self.state.lock();
        state.last_failure = Some(format!("{action}: {reason}"));
        let was_active = state.active_since.take().is_some();
        drop(state);
        if was_active {
            self.counters.disconnects.add(1);
            tracing::warn!(
                peer = %self.id, action, error = reason,
                "peer became inactive (message send to peer failed)"
            );
        } else {
            tracing::debug!(peer = %self.id, action, error = reason, "call to peer failed");
        }
    }

    /// Bytes of a message arrived.
    pub(crate) fn received(&self, bytes: usize) {
        self.counters.received_bytes.add(bytes as u64);
        self.state.lock().last_contact = Some(Instant::now());
    }

    /// A probe came back.
    pub(crate) fn probed(&self, round_trip: Duration, clock_difference_nanos: Option<i64>) {
        let mut state = self.state.lock();
        // The smoothing of etcd's probing: an eighth of what is new.
        state.round_trip = Some(match state.round_trip {
            Some(old) => old * 7 / 8 + round_trip / 8,
            None => round_trip,
        });
        state.probes += 1;
        state.clock_difference_nanos = clock_difference_nanos;
    }

    pub(crate) fn fill(&self, id: MemberId, urls: Vec<PeerUrl>, is_peer: bool) -> PeerStatus {
        let state = self.state.lock();
        let counters = &self.counters;
        PeerStatus {
            id,
            urls,
            is_peer,
            active_since: state.active_since,
            last_contact: state.last_contact,
            last_failure: state.last_failure.clone(),
            msgapp_stream: false,
            message_stream: false,
            round_trip: state.round_trip,
            probes: state.probes,
            clock_difference_nanos: state.clock_difference_nanos,
            disconnects: counters.disconnects.get(),
            sent_bytes: counters.sent_bytes.get(),
            sent_failures: counters.sent_failures.get(),
            received_bytes: counters.received_bytes.get(),
            received_failures: counters.received_failures.get(),
            dropped_messages: counters.dropped_messages.get(),
            snapshots_sent: counters.snapshots_sent.get(),
            snapshots_failed: counters.snapshots_failed.get(),
            snapshots_in_flight: 0,
        }
    }
}
