//! Who hears which event: watchers, streams, catch-up, progress and slow readers.
//!
//! # What it is
//! [`Hub`] is the watch side of one member, without I/O. Clients open streams and create
//! watchers on them; the apply side publishes changes; responses wait on each stream until the
//! shell drains them. The rules are those of etcd's watch (`server/storage/mvcc` and
//! `server/etcdserver/api/v3rpc/watch.go` there).
//!
//! # What it is not
//! It has no socket, no thread, no clock and no store. It does not check permissions and fills
//! in no cluster or member ids. What is past it asks of a [`History`].
//!
//! # The model
//! A watcher is *synced* or *unsynced*. Each [`Hub::publish`] finds the synced watchers that a
//! key concerns (by a map of keys and a tree of ranges, so the cost grows with those found) and
//! queues events on their streams; an event is encoded once and its bytes are shared. A watcher
//! that starts in the past is unsynced: [`Hub::catch_up`] reads history for it, piece by piece,
//! and pieces are shared by watchers that stand close together. A stream has a bounded queue.
//! When it is full, a watcher that would hear an event becomes unsynced instead and holds
//! nothing; when the stream has been drained it catches up. So a slow reader never slows the
//! publisher, never grows, and misses nothing, unless compaction passes it: then it is told so.
//!
//! # Example
//! ```
//! use drystone_types::KeyRange;
//! use drystone_watch::{Config, Create, History, Hub, MemoryHistory, ResponseKind};
//! use std::time::Duration;
//!
//! let mut store = MemoryHistory::new();
//! store.put_one("a/1", "old");
//! let mut hub = Hub::new(Config::default(), 7, store.revision(), store.compacted());
//!
//! let stream = hub.open_stream(Duration::ZERO);
//! hub.create(stream, Create { start_revision: 2, ..Create::new(KeyRange::prefix(b"a/")) });
//! while hub.catch_up(&store, 1000)? {}
//! let change = store.put_one("a/2", "new");
//! hub.publish(&[change], &store);
//!
//! assert_eq!(hub.ready_streams(), [stream]);
//! let responses = hub.drain(stream, 1 << 20);
//! assert_eq!(responses[0].kind, ResponseKind::Created);
//! let events: usize = responses.iter().map(|response| response.events.len()).sum();
//! assert_eq!(events, 2);
//! # Ok::<(), drystone_watch::HistoryError>(())
//! ```
//!
//! # Invariants
//! * A watcher hears each event of its range, filters and revisions exactly once, in order;
//!   the events of one revision come in one response, unless it asked for fragments.
//! * `created` comes before anything else of an id, nothing of it after `canceled`.
//! * A progress response comes after every event up to its revision and before every later one.
//! * Events wait on streams only; a queue is at most one response above its bound, apart from
//!   answers to requests (see [`Hub::accepts`]).
//! * [`Hub::publish`] never waits and never fails, whatever readers and history do.

mod config;
mod encode;
mod history;
mod hub;
mod index;
mod intervals;
mod memory;
mod random;
mod response;
mod slab;
mod stream;
mod watcher;

pub use config::Config;
pub use history::{Changes, History, HistoryError};
pub use hub::{Hub, Stats};
pub use memory::{MemoryHistory, Op};
pub use response::{Response, ResponseKind, WatchId};
pub use stream::StreamId;
pub use watcher::Create;
