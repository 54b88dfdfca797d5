//! What is kept of one call while it goes on.

use super::frames::{HEAD_BYTES, Seen};
use crate::connection::OfConnection;
use crate::metrics::Series;
use http::Extensions;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Bytes that are kept of a request's beginning.
const KEPT_BYTES_MAX: usize = 1 << 10;

/// One call. It is among its request's extensions, so that those who carry it out can add what
/// its bytes do not say.
#[derive(Debug)]
pub(crate) struct Record {
    pub(super) series: Arc<Series>,
    pub(super) began: Instant,
    /// Where it comes from.
    pub(super) peer: Option<SocketAddr>,
    kept: Mutex<Vec<u8>>,
    received_bytes: AtomicU64,
    count: AtomicI64,
    /// Whether somebody wants to know who calls.
    asks_for_user: bool,
    user: OnceLock<Box<str>>,
    /// When the leadership was confirmed for a read.
    confirmed: OnceLock<Instant>,
    /// When a change was proposed, and when its answer came.
    proposed: OnceLock<(Instant, Instant)>,
}

impl Record {
    /// The record of a call that begins now.
    pub(super) fn new(series: Arc<Series>, extensions: &Extensions, asks_for_user: bool) -> Self {
        series.began();
        Self {
            series,
            began: Instant::now(),
            peer: extensions.get::<OfConnection>().and_then(|of| of.far_end.address),
            kept: Mutex::default(),
            received_bytes: AtomicU64::new(0),
            count: AtomicI64::new(0),
            asks_for_user,
            user: OnceLock::new(),
            confirmed: OnceLock::new(),
            proposed: OnceLock::new(),
        }
    }

    /// The next piece of the request.
    pub(super) fn received(&self, seen: Seen, data: &[u8]) {
        self.series.received(seen);
        let before = self.received_bytes.fetch_add(seen.bytes, Ordering::Relaxed);
        if before < KEPT_BYTES_MAX as u64 {
            let mut kept = self.kept.lock();
            let room = KEPT_BYTES_MAX.saturating_sub(kept.len());
            kept.extend_from_slice(&data[..data.len().min(room)]);
        }
    }

    /// Bytes of the request's messages that came.
    pub(super) fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    /// Calls `look` with what is kept of the request's first message; with nothing of one that
    /// is compressed.
    pub(super) fn with_message<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        let kept = self.kept.lock();
        let message = match kept.split_at_checked(usize::from(HEAD_BYTES)) {
            Some(([0, length @ ..], rest)) => {
                let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
                &rest[..rest.len().min(length)]
            }
            _ => &[],
        };
        look(message)
    }

    /// The service found so many keys.
    pub(crate) fn counted(&self, keys: i64) {
        self.count.store(keys, Ordering::Relaxed);
    }

    /// The caller was recognised. What a call asks for first counts.
    pub(crate) fn recognised(&self, user: &str) {
        if self.asks_for_user {
            let _ = self.user.set(user.into());
        }
    }

    /// Who calls, where that is known and wanted.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.get().map(AsRef::as_ref)
    }

    /// A read may go on.
    pub(crate) fn confirmed(&self) {
        let _ = self.confirmed.set(Instant::now());
    }

    /// A change was proposed then, and its answer came then.
    pub(crate) fn proposed(&self, sent: Instant, answered: Instant) {
        let _ = self.proposed.set((sent, answered));
    }

    /// The moments on the call's way that were noted, in their order, each with what ended then.
    pub(super) fn steps(&self) -> Vec<(Instant, &'static str)> {
        let mut steps = Vec::new();
        if let Some(at) = self.confirmed.get() {
            steps.push((*at, "agreement among raft nodes before linearized reading"));
        }
        if let Some((sent, answered)) = self.proposed.get() {
            steps.push((*sent, "Send raft proposal"));
            steps.push((*answered, "Receive raft result"));
        }
        steps
    }

    /// How many keys the service found, where it told.
    pub(super) fn count(&self) -> i64 {
        self.count.load(Ordering::Relaxed)
    }
}
