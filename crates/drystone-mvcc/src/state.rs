//! What the writer and the readers of a store share.

use crate::cache::Cache;
use crate::config::Config;
use crate::deltas::{Delta, DeltaLog};
use crate::digest::Trail;
use crate::hash::HashRing;
use crate::index::Tree;
use crate::view::{Values, View};
use arc_swap::ArcSwap;
use bytes::Bytes;
use drystone_backend::Backend;
use drystone_types::Revision;
use parking_lot::Mutex;
use std::sync::Arc;

/// A published state. Never changed; the writer publishes another one.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) tree: Tree,
    pub(crate) revision: i64,
    pub(crate) compacted: i64,
    /// Held by every state between two compactions. As long as one from before a compaction is
    /// alive, what that compaction lets go stays in the store.
    #[expect(dead_code, reason = "holding it is what it is for")]
    pub(crate) pin: Arc<Pin>,
}

/// The time between two compactions.
#[derive(Debug)]
pub(crate) struct Pin;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) published: ArcSwap<State>,
    pub(crate) cache: Cache,
    pub(crate) deltas: DeltaLog,
    pub(crate) hashes: Mutex<HashRing>,
    pub(crate) trail: Trail,
}

impl Shared {
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        state: State,
        cache: Cache,
        config: Config,
    ) -> Self {
        Self {
            backend,
            trail: Trail::new(state.revision),
            deltas: DeltaLog::new(state.revision, config.count_log_bytes),
            published: ArcSwap::from_pointee(state),
            cache,
            hashes: Mutex::default(),
        }
    }

    /// A view of a state, with what is not written yet.
    pub(crate) fn view<'a>(
        &'a self,
        tree: &'a Tree,
        (revision, compacted): (i64, i64),
        staged: &'a [(Revision, Bytes)],
        staged_deltas: &'a [Delta],
    ) -> View<'a> {
        let values = Values { staged, cache: &self.cache, backend: &*self.backend };
        View { tree, revision, compacted, values, deltas: &self.deltas, staged_deltas }
    }
}
