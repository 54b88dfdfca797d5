//! What the hub asks of the store.

use bytes::Bytes;
use drystone_types::{Revision, RevisionEvents};

/// The past, as a store tells it. Whoever joins hub and store implements it, over a view that
/// does not change while the hub uses it.
pub trait History {
    /// The changes of the main revisions `from..=to`, ascending, whole revisions only: at most
    /// `revisions_max` of them, and no further one once `bytes_max` is reached. At least one
    /// when there is one. Costs time in proportion to what it returns.
    ///
    /// # Errors
    /// [`HistoryError::Compacted`] when `from` lies before the compacted revision.
    fn changes(
        &self,
        from: i64,
        to: i64,
        revisions_max: usize,
        bytes_max: usize,
    ) -> Result<Changes, HistoryError>;

    /// The pair that was written at exactly `revision`, as an encoded `mvccpb.KeyValue`;
    /// `None` when it is no longer there.
    ///
    /// # Errors
    /// [`HistoryError::Compacted`] is taken for "no longer there".
    fn value_at(&self, revision: Revision) -> Result<Option<Bytes>, HistoryError>;

    /// The newest main revision in the view.
    fn revision(&self) -> i64;

    /// The compacted revision of the view; -1 when it never was compacted.
    fn compacted(&self) -> i64;
}

/// A piece of history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The changes, one element a main revision, ascending.
    pub batches: Vec<RevisionEvents>,
    /// Where to go on: every change of a revision below it, from the one asked for, is in
    /// `batches`. Above the last revision asked for when nothing is left.
    pub next: i64,
}

/// Why the past could not be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The revision was compacted away.
    #[error("history begins at revision {revision}")]
    Compacted {
        /// The compacted revision: the first that can be read.
        revision: i64,
    },
    /// The store failed.
    #[error("history could not be read: {reason}")]
    Failed {
        /// What the store said.
        reason: String,
    },
}
