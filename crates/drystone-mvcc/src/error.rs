//! How the store fails.

use drystone_backend::BackendError;
use drystone_types::LeaseId;

/// Why an operation was refused, or could not be done.
///
/// All but [`OpError::Store`] are answers: the store is as it was, and every member gives the
/// same one. [`OpError::Store`] is the end: what the operation had staged is unknown, so the
/// [`Store`](crate::Store) must not be used any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpError {
    /// `ignore_value` or `ignore_lease` of a key that does not exist at that point.
    #[error("the key does not exist")]
    KeyNotFound,
    /// A put names a lease that does not exist.
    #[error("lease {0} does not exist")]
    LeaseNotFound(LeaseId),
    /// The revision asked for is below the compacted one, or is compacted already.
    #[error("the revision is compacted; the oldest that can be read is {compacted}")]
    Compacted {
        /// The compacted revision, -1 if there is none.
        compacted: i64,
    },
    /// The revision asked for has not happened yet.
    #[error("revision {requested} is above the current one, {current}")]
    FutureRevision {
        /// The revision asked for.
        requested: i64,
        /// The store's.
        current: i64,
    },
    /// A transaction with writes was given to [`Snapshot::txn_read_only`][ro].
    ///
    /// [ro]: crate::Snapshot::txn_read_only
    #[error("a transaction that is only to read has writes")]
    NotReadOnly,
    /// Transactions are nested deeper than [`TXN_DEPTH_MAX`](crate::validate::TXN_DEPTH_MAX).
    #[error("transactions are nested too deeply")]
    TooDeep,
    /// The store below failed, or what it holds is damaged.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Why a store cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store below failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A record is not what was once written.
    #[error("the record {record} of table {table} is damaged: {reason}")]
    Corrupt {
        /// The table's name.
        table: &'static str,
        /// The record's key, printed.
        record: String,
        /// What does not fit.
        reason: &'static str,
    },
}

impl Error {
    pub(crate) fn corrupt(
        table: drystone_backend::Table,
        key: &[u8],
        reason: &'static str,
    ) -> Self {
        Self::Corrupt { table: table.name(), record: key.escape_ascii().to_string(), reason }
    }
}

impl From<BackendError> for OpError {
    fn from(error: BackendError) -> Self {
        Self::Store(Error::Backend(error))
    }
}
