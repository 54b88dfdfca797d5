//! The queue in front of the member's thread, and who still gets in when it is crowded.

use crate::shared::Input;
use crossbeam_channel::{Sender, TrySendError};
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::InternalRaftRequest;
use drystone_api::limits::{APPLY_LAG_ENTRIES_MAX, APPLY_LAG_ENTRIES_MAX_URGENT};

/// Inputs that may wait for the member's thread.
pub(crate) const INBOX_MAX: usize = 32_768;

/// Whose an input is. Other members are bound by nothing but the queue's end: without them
/// nothing would ever leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Lives of leases: when they come too late, keys are lost that should not be.
    Lease,
    /// Everything else that clients ask.
    Client,
}

impl Class {
    /// Of a command that is to be proposed.
    pub(crate) fn of(request: &InternalRaftRequest) -> Self {
        if request.lease_revoke.is_some() || request.lease_checkpoint.is_some() {
            Self::Lease
        } else {
            Self::Client
        }
    }

    /// How many inputs may wait when one of this class comes in.
    fn waiting_max(self) -> usize {
        match self {
            Self::Lease => INBOX_MAX / 4 * 3,
            Self::Client => INBOX_MAX / 2,
        }
    }

    /// How far applying may be behind when a command of this class is proposed, in entries
    /// (etcd's, with its gate for requests that go first).
    pub(crate) fn lag_max(self) -> u64 {
        match self {
            Self::Lease => APPLY_LAG_ENTRIES_MAX_URGENT,
            Self::Client => APPLY_LAG_ENTRIES_MAX,
        }
    }
}

/// Hands an input to the member's thread, if its class still gets in.
///
/// # Errors
/// [`EtcdError::RequestTooManyRequests`]; [`EtcdError::Stopped`].
pub(crate) fn offer(inbox: &Sender<Input>, class: Class, input: Input) -> Result<(), EtcdError> {
    if inbox.len() >= class.waiting_max() {
        return Err(EtcdError::RequestTooManyRequests);
    }
    inbox.try_send(input).map_err(|error| match error {
        TrySendError::Full(_) => EtcdError::RequestTooManyRequests,
        TrySendError::Disconnected(_) => EtcdError::Stopped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use drystone_api::etcdserverpb::{LeaseCheckpointRequest, LeaseRevokeRequest, PutRequest};

    /// Offers inputs of a class until they are refused; how many wait then.
    fn fill(inbox: &Sender<Input>, class: Class) -> usize {
        while offer(inbox, class, Input::Wake).is_ok() {}
        inbox.len()
    }

    #[test]
    fn leases_get_in_when_other_clients_do_not_and_members_when_no_client_does() {
        let (inbox, thread) = crossbeam_channel::bounded(INBOX_MAX);
        assert_eq!(fill(&inbox, Class::Client), INBOX_MAX / 2);
        assert_eq!(fill(&inbox, Class::Lease), INBOX_MAX / 4 * 3);
        let refused = offer(&inbox, Class::Client, Input::Wake);
        assert_eq!(refused, Err(EtcdError::RequestTooManyRequests));
        for _ in 0..INBOX_MAX / 4 {
            inbox.try_send(Input::Wake).unwrap();
        }
        // As it empties, leases get in again first.
        for _ in 0..=INBOX_MAX / 4 {
            thread.recv().unwrap();
        }
        assert!(offer(&inbox, Class::Client, Input::Wake).is_err());
        assert!(offer(&inbox, Class::Lease, Input::Wake).is_ok());
        drop(thread);
        while inbox.try_send(Input::Wake).is_ok() {}
        let (inbox, thread) = crossbeam_channel::bounded(1);
        drop(thread);
        assert_eq!(offer(&inbox, Class::Client, Input::Wake), Err(EtcdError::Stopped));
    }

    #[test]
    fn revokes_and_remainders_are_about_the_lives_of_leases() {
        let put = Some(PutRequest::default());
        let put = InternalRaftRequest { put, ..InternalRaftRequest::default() };
        let lease_revoke = Some(LeaseRevokeRequest::default());
        let revoke = InternalRaftRequest { lease_revoke, ..InternalRaftRequest::default() };
        let lease_checkpoint = Some(LeaseCheckpointRequest::default());
        let left = InternalRaftRequest { lease_checkpoint, ..InternalRaftRequest::default() };
        assert_eq!(
            [&put, &revoke, &left].map(Class::of),
            [Class::Client, Class::Lease, Class::Lease]
        );
        assert!(Class::Lease.lag_max() > Class::Client.lag_max());
    }
}
