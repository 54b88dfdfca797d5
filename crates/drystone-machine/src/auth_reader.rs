//! Users, roles and permissions as those see them who check a call before it is proposed.

use arc_swap::ArcSwap;
use drystone_auth::Auth;
use std::sync::Arc;

/// A handle for reading what was applied of users, roles and permissions, from any thread. It
/// never waits for the writer.
///
/// They are published *before* the keys that were applied with them. Whoever freezes the keys
/// first and then looks here never judges keys by permissions that are older than they: a value
/// that was written after a right was taken away is not shown to whom had it.
#[derive(Clone, Debug)]
pub struct AuthReader {
    published: Arc<ArcSwap<Auth>>,
}

impl AuthReader {
    pub(crate) fn new(auth: Auth) -> Self {
        Self { published: Arc::new(ArcSwap::from_pointee(auth)) }
    }

    /// What is published now, frozen. Costs a reference count.
    #[must_use]
    pub fn latest(&self) -> Arc<Auth> {
        self.published.load_full()
    }

    pub(crate) fn publish(&self, auth: &Auth) {
        self.published.store(Arc::new(auth.clone()));
    }
}
