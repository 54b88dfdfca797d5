//! When a learner has caught up.

use drystone_types::{LogIndex, MemberId};

/// How far a learner must be for a promotion, in tenths of what the leader holds
/// (etcd's `readyPercent`).
const READY_TENTHS: u64 = 9;

/// Whether a learner that holds entries up to `learner` has caught up with a leader that holds
/// them up to `leader`, as etcd judges it.
pub(crate) fn is_ready(learner: LogIndex, leader: LogIndex) -> bool {
    u128::from(learner.0) * 10 >= u128::from(leader.0) * u128::from(READY_TENTHS)
}

/// Why a learner is not promoted (yet).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotReady {
    /// Only the leader knows how far a learner is.
    #[error("this member does not lead")]
    NotLeader,
    /// Nobody has this id.
    #[error("there is no member {0}")]
    Unknown(MemberId),
    /// It votes already.
    #[error("member {0} is no learner")]
    NotLearner(MemberId),
    /// It lacks more than a tenth of the log.
    #[error("member {0} has not caught up")]
    Behind(MemberId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_tenths_are_enough() {
        let ready = |learner, leader| is_ready(LogIndex(learner), LogIndex(leader));
        assert!(ready(90, 100) && ready(0, 0) && ready(100, 100) && ready(u64::MAX, u64::MAX));
        assert!(!ready(89, 100) && !ready(0, 1));
    }
}
