//! Who leads has a log and an apply side that move.
//!
//! The judge counts a member's own ticks, so that neither a clock that drifts nor a process that
//! was stopped matters: while something is with the log, or with the apply side, and none of it
//! comes back.

use crate::clock::Micros;
use crate::host::Process;
use crate::judges::members::Roll;
use drystone_judge::Verdict;
use drystone_member::Effects;
use drystone_raft::{Message, MessageKind};

const JUDGE: &str = "stall";

/// Work that a member gave away, by numbers that grow.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    given: u64,
    done: u64,
    still_ticks: usize,
}

impl Side {
    fn done(&mut self, number: u64) {
        if number > self.done {
            *self = Self { done: number, still_ticks: 0, ..*self };
        }
    }

    fn tick(&mut self) {
        self.still_ticks = if self.given > self.done { self.still_ticks + 1 } else { 0 };
    }
}

/// One member's log and apply side.
#[derive(Clone, Copy, Debug, Default)]
struct Sides {
    log: Side,
    apply: Side,
}

impl Sides {
    fn still_ticks(self) -> usize {
        self.log.still_ticks.max(self.apply.still_ticks)
    }
}

/// The judge.
#[derive(Debug)]
pub(crate) struct Stall {
    pub(crate) verdict: Verdict,
    members: Vec<Sides>,
    election_ticks: usize,
}

impl Stall {
    pub(crate) fn new(election_ticks: usize) -> Self {
        Self { verdict: Verdict::default(), members: Vec::new(), election_ticks }
    }

    /// There is a machine more.
    pub(crate) fn joined(&mut self) {
        self.members.push(Sides::default());
    }

    /// A member started: nothing is under way.
    pub(crate) fn started(&mut self, m: usize) {
        self.members[m] = Sides::default();
    }

    /// A member's node had a round; `ticked` when time passed in it.
    pub(crate) fn round<R>(
        &mut self,
        now: Micros,
        m: usize,
        (process, roll): (&Process, &Roll),
        effects: &Effects<R>,
        ticked: bool,
    ) {
        // Whoever votes alone, or did before the newest change, has nobody to give it to.
        let by = roll.before(process.told_applied + 1);
        let alone = by.iter().any(|members| members.voters().count() <= 1);
        let sides = &mut self.members[m];
        // What the node was told, not what has happened behind its back.
        sides.log.done(process.told_persisted);
        sides.apply.done(process.told_applied);
        if ticked {
            sides.log.tick();
            sides.apply.tick();
        }
        let still_ticks = sides.still_ticks();
        if let Some(append) = effects.append.last() {
            sides.log.given = append.number;
        }
        sides.apply.given = process.node.committed().0;
        let leads = process.node.leadership().is_leader;
        if leads && !alone && still_ticks > 2 * self.election_ticks {
            self.verdict.add(
                JUDGE,
                "a stalled leader gives up within two election timeouts",
                format_args!("at {now} us m{m} leads after {still_ticks} ticks: {:?}", *sides),
            );
        }
        let later = effects.append.iter().flat_map(|append| &append.then_send);
        let asks =
            |message: &Message| matches!(message.kind, MessageKind::PreVote | MessageKind::Vote);
        if still_ticks > self.election_ticks && effects.send.iter().chain(later).any(asks) {
            self.verdict.add(
                JUDGE,
                "who stands still does not stand for election",
                format_args!("at {now} us m{m} asks for votes: {:?}", self.members[m]),
            );
        }
    }
}
