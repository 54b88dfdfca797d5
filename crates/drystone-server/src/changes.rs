//! Changes of membership on the member's thread.

use crate::shared::{ReadToken, Shared};
use drystone_api::errors::EtcdError;
use drystone_machine::Change;
use drystone_member::Node;
use drystone_raft::ProposeError;

/// Changes that wait for a leader, or for an earlier change.
const WAITING_MAX: usize = 64;

/// The changes that did not enter the log yet, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    waiting: Vec<(u64, Change)>,
}

impl Changes {
    /// Takes a change; [`Changes::propose`] proposes it.
    pub(crate) fn take(&mut self, shared: &Shared, id: u64, change: Change) {
        if self.waiting.len() >= WAITING_MAX {
            return shared.answer(id, Err(EtcdError::RequestTooManyRequests));
        }
        self.waiting.push((id, change));
    }

    /// Proposes what waits, as far as raft takes it. What certainly did not enter the log is
    /// tried again at the next call, for as long as somebody waits for it.
    pub(crate) fn propose(&mut self, shared: &Shared, node: &mut Node<ReadToken>) {
        self.waiting.retain(|(id, change)| {
            if !shared.waiters.contains_key(id) {
                return false;
            }
            match node.propose_conf_change(*id, change) {
                Ok(()) => false,
                Err(ProposeError::TooLarge { .. } | ProposeError::Empty) => {
                    shared.answer(*id, Err(EtcdError::RequestTooLarge));
                    false
                }
                Err(error) => {
                    tracing::trace!(%error, "a change of membership waits");
                    true
                }
            }
        });
    }
}
