//! How a store fails.

use drystone_types::Applied;
use std::fmt::Display;

/// Why a store could not do what it was asked.
///
/// None of these can be repaired by trying again: after a write or flush failed, the store
/// refuses everything that changes it ([`BackendError::Poisoned`]), because what reached the
/// disk is unknown. The member stops and starts again from what is durable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The engine or the operating system reported a failure.
    #[error("the store failed while it was to {action}: {reason}")]
    Io {
        /// What was being done, as a verb phrase.
        action: &'static str,
        /// What the engine said.
        reason: String,
    },
    /// Stored bytes are not what was once written.
    #[error("the store is damaged at {place}: {reason}")]
    Corrupt {
        /// Where: a file, or a table and key.
        place: String,
        /// What does not fit.
        reason: String,
    },
    /// An earlier write or flush failed; nothing is accepted any more.
    #[error("the store failed earlier and takes no more changes; restart the member")]
    Poisoned,
    /// Another process, or another part of this one, has the store open.
    #[error("the store at {place} is open elsewhere; a directory serves one member at a time")]
    InUse {
        /// The store's directory.
        place: String,
    },
    /// A batch would have moved the applied mark backwards.
    #[error("a batch at index {} came after index {}", batch.index, store.index)]
    AppliedBackwards {
        /// The store's mark.
        store: Applied,
        /// The batch's mark.
        batch: Applied,
    },
}

impl BackendError {
    /// A failure of `action` (a verb phrase) for which the engine or the system gave `reason`.
    pub fn io(action: &'static str, reason: impl Display) -> Self {
        Self::Io { action, reason: reason.to_string() }
    }

    /// Damage at `place`.
    pub fn corrupt(place: impl Display, reason: impl Display) -> Self {
        Self::Corrupt { place: place.to_string(), reason: reason.to_string() }
    }
}
