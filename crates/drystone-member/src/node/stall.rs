//! Whether the log and the apply side of this member move, and what follows when they do not.
//!
//! Heartbeats need neither, so without this a leader whose disk hangs would keep its followers
//! quiet and commit nothing for its own clients, for as long as the disk hangs (etcd issue 15247
//! began that way). Time is counted in ticks, so that a process that was stopped does not take
//! its own absence for a disk that hangs.

use super::Node;
use drystone_probe::{mark, planted};
use drystone_raft::Role;
use drystone_types::LogIndex;
use std::fmt;

/// Which side of a member it is that has work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Log,
    Apply,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Log => "log",
            Self::Apply => "apply",
        })
    }
}

/// Work that was given and came back, by numbers that only grow.
#[derive(Debug, Default)]
pub(super) struct Progress {
    given: u64,
    done: u64,
    /// Ticks since there is work and none of it came back.
    still_ticks: usize,
}

impl Progress {
    pub(super) fn given(&mut self, number: u64) {
        self.given = self.given.max(number);
    }

    /// Slow is not still: any part of the work that comes back is progress.
    pub(super) fn done(&mut self, number: u64) {
        if number > self.done {
            self.done = number;
            self.still_ticks = 0;
        }
    }

    fn tick(&mut self) {
        self.still_ticks = if self.given > self.done { self.still_ticks + 1 } else { 0 };
    }
}

/// Both sides, and what was said of them.
#[derive(Debug)]
pub(super) struct Stall {
    pub(super) log: Progress,
    pub(super) apply: Progress,
    /// The side that stands still, once that was reported.
    reported: Option<Side>,
}

impl Stall {
    pub(super) fn new(applied: LogIndex) -> Self {
        let apply = Progress { given: applied.0, done: applied.0, still_ticks: 0 };
        Self { log: Progress::default(), apply, reported: None }
    }

    /// Counts one tick: the side that has stood still for more than `election_ticks`, and for
    /// how many.
    fn tick(&mut self, election_ticks: usize) -> Option<(Side, usize)> {
        self.log.tick();
        self.apply.tick();
        [(Side::Log, self.log.still_ticks), (Side::Apply, self.apply.still_ticks)]
            .into_iter()
            .filter(|(_, still_ticks)| *still_ticks > election_ticks)
            .max_by_key(|(_, still_ticks)| *still_ticks)
    }
}

impl<R> Node<R> {
    /// Counts one tick for both sides and draws the consequences.
    pub(super) fn mind_stalls(&mut self) {
        let election_ticks = self.replica.election_ticks();
        let still = self.stall.tick(election_ticks);
        let side = still.map(|(side, _)| side);
        self.replica.hold_back(still.is_some() && !planted!("member.campaigns_while_stalled"));
        if side != self.stall.reported {
            self.stall.reported = side;
            let leads = self.leadership.is_leader;
            match side {
                Some(side) => tracing::warn!(
                    %side, leads, "nothing came back for an election timeout: is the disk stuck?"
                ),
                None => tracing::info!("log and apply move again"),
            }
        }
        if let Some((_, still_ticks)) = still
            && self.replica.role() == Role::Leader
            && !planted!("member.stalled_leader_stays")
        {
            self.give_up_leadership(still_ticks - election_ticks);
        }
    }

    /// A follower that takes over at once spares clients an election timeout. One that does not
    /// within half of one may hang itself: then the others are left to find a leader.
    fn give_up_leadership(&mut self, overdue_ticks: usize) {
        if self.is_alone() {
            mark!("member.stalled_alone");
            return;
        }
        if overdue_ticks > self.replica.election_ticks() / 2 {
            mark!("member.stalled_leader_stepped_down");
            self.replica.step_down();
        } else if self.replica.status().transferee.is_none() && self.hand_over().is_some() {
            mark!("member.stalled_leader_handed_over");
        }
    }
}
