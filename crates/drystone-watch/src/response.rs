//! What streams receive.

use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;

/// The number that a stream's client knows a watcher by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub i64);

impl WatchId {
    /// In a request: the hub shall pick one.
    pub const AUTO: Self = Self(0);
    /// In a response: no watcher (it was refused), or all of the stream (progress).
    pub const NONE: Self = Self(-1);
}

impl fmt::Display for WatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One message to a stream's client, as etcd's `WatchResponse` without the parts of the header
/// that the hub does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The watcher that it speaks of, or [`WatchId::NONE`].
    pub watch_id: WatchId,
    /// The header's revision; 0 when compaction cancelled the watcher, as in etcd.
    pub header_revision: i64,
    /// What it says.
    pub kind: ResponseKind,
    /// The events, each an encoded `mvccpb.Event`, in the order of their revisions. Empty
    /// unless the kind is [`ResponseKind::Events`].
    pub events: Vec<Bytes>,
    /// More events of the same response follow in the next one.
    pub fragment: bool,
}

/// What a [`Response`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// The watcher was accepted: `created`.
    Created,
    /// The watcher was not accepted: `created` and `canceled`, with
    /// [`WatchId::NONE`].
    Refused {
        /// The `cancel_reason`.
        reason: Cow<'static, str>,
    },
    /// The watcher is no more, by no wish of the client: `canceled`.
    Revoked {
        /// The `cancel_reason`.
        reason: Cow<'static, str>,
    },
    /// The watcher is no more: `canceled`.
    Canceled {
        /// The first revision that can be watched, when the watcher fell behind it; otherwise
        /// 0: the client asked for it.
        compact_revision: i64,
    },
    /// Events.
    Events,
    /// All events up to the header's revision have been sent.
    Progress,
}

/// Texts that etcd's clients know.
pub(crate) mod reason {
    pub(crate) const NEGATIVE_START: &str =
        "etcdserver: mvcc: required revision has been compacted";
    pub(crate) const EMPTY_RANGE: &str = "mvcc: watcher range is empty";
    pub(crate) const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
}

/// Bytes that a message is charged besides its events: header, ids, framing.
const RESPONSE_BYTES: usize = 64;
/// Bytes that an event is charged besides its own: tag and length.
const EVENT_BYTES: usize = 6;

impl Response {
    pub(crate) fn control(watch_id: WatchId, header_revision: i64, kind: ResponseKind) -> Self {
        Self { watch_id, header_revision, kind, events: Vec::new(), fragment: false }
    }

    /// Bytes of the message on the wire, slightly overestimated.
    #[must_use]
    pub fn bytes(&self) -> usize {
        RESPONSE_BYTES + events_bytes(&self.events)
    }
}

pub(crate) fn events_bytes(events: &[Bytes]) -> usize {
    events.iter().map(event_bytes).sum()
}

/// Cuts the events of one response into those of several, each below `bytes_max` unless it is
/// a single event (`sendFragments` of etcd's `server/etcdserver/api/v3rpc/watch.go`).
pub(crate) fn fragments(events: Vec<Bytes>, bytes_max: usize) -> Vec<Vec<Bytes>> {
    let mut pieces: Vec<Vec<Bytes>> = Vec::new();
    let mut bytes = 0;
    for event in events {
        let size = event_bytes(&event);
        match pieces.last_mut() {
            Some(piece) if bytes + size < bytes_max => {
                bytes += size;
                piece.push(event);
            }
            _ => {
                bytes = RESPONSE_BYTES + size;
                pieces.push(vec![event]);
            }
        }
    }
    pieces
}

fn event_bytes(event: &Bytes) -> usize {
    EVENT_BYTES + event.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(lengths: &[usize], bytes_max: usize) -> Vec<usize> {
        let events = lengths.iter().map(|length| Bytes::from(vec![0; *length])).collect();
        fragments(events, bytes_max).iter().map(Vec::len).collect()
    }

    #[test]
    fn fragments_stay_below_the_size_and_never_cut_an_event() {
        assert_eq!(sizes(&[900_000; 5], 2 << 20), [2, 2, 1]);
        assert_eq!(sizes(&[10, 3 << 20, 10, 10], 2 << 20), [1, 1, 2]);
        assert_eq!(sizes(&[10], 1), [1]);
    }
}
