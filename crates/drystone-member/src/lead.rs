//! What a leader decides by its clock.

use bytes::Bytes;
use drystone_api::etcdserverpb::{
    InternalRaftRequest, LeaseCheckpoint, LeaseCheckpointRequest, LeaseRevokeRequest,
};
use drystone_machine::{Identity, header};
use drystone_types::{LeaseId, LogIndex, Term};
use prost::Message;

/// A command that only the leader of `term` may propose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderCommand {
    /// What is to be done.
    pub decision: Decision,
    /// The term it was decided in.
    pub term: Term,
    /// The newest entry that was applied when it was decided.
    pub decided_at: LogIndex,
}

/// What the leader's clock asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// End a lease that ran out.
    Revoke(LeaseId),
    /// Log what is left of leases, in seconds.
    Checkpoint(Vec<(LeaseId, i64)>),
}

impl Decision {
    /// The encoded `InternalRaftRequest`. Nobody waits for it: its request id is 0. It is the
    /// server's own, so that leases end whoever may write their keys.
    pub(crate) fn encode(self) -> Bytes {
        let mut request = InternalRaftRequest {
            header: Some(header(0, Some(&Identity::server()))),
            ..InternalRaftRequest::default()
        };
        match self {
            Self::Revoke(id) => request.lease_revoke = Some(LeaseRevokeRequest { id: id.0 }),
            Self::Checkpoint(due) => {
                let checkpoints = due
                    .into_iter()
                    .map(|(id, remaining_ttl)| LeaseCheckpoint { id: id.0, remaining_ttl });
                let checkpoints = checkpoints.collect();
                request.lease_checkpoint = Some(LeaseCheckpointRequest { checkpoints });
            }
        }
        request.encode_to_vec().into()
    }
}
