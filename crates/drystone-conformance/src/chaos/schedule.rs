//! Which faults come when: drawn from a seed, before anything runs.

use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use std::fmt;
use std::time::Duration;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// SIGKILL to one member.
    KillOne,
    /// SIGKILL to all members at once.
    KillAll,
    /// SIGSTOP to the leader.
    PauseLeader,
    /// SIGSTOP to a follower.
    PauseFollower,
    /// SIGSTOP to a majority.
    PauseMajority,
    /// One member and all others hear nothing of each other; clients reach all.
    Isolate,
    /// A member hears nothing of the others, who hear it.
    DeafIn,
    /// The others hear nothing of a member, who hears them.
    MuteOut,
    /// Two members hear nothing of each other; the third hears both.
    PartialCut,
    /// A member loses a share of all packets that come to it.
    Lossy,
    /// Clients and one member hear nothing of each other.
    ClientsCut,
    /// The power of one member fails.
    PowerCutOne,
    /// The power of all members fails at the same instant.
    PowerCutAll,
    /// A sync of one member's fails.
    SyncError,
    /// A follower's file system has no room.
    FullFollower,
    /// The leader's file system has no room.
    FullLeader,
    /// No file system has room.
    FullAll,
    /// Every sync of one member takes long.
    SlowDisk,
    /// A member's file system takes no writes.
    ReadOnly,
    /// A member's file system stands still.
    FrozenDisk,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 20] = [
        Kind::KillOne,
        Kind::KillAll,
        Kind::PauseLeader,
        Kind::PauseFollower,
        Kind::PauseMajority,
        Kind::Isolate,
        Kind::DeafIn,
        Kind::MuteOut,
        Kind::PartialCut,
        Kind::Lossy,
        Kind::ClientsCut,
        Kind::PowerCutOne,
        Kind::PowerCutAll,
        Kind::SyncError,
        Kind::FullFollower,
        Kind::FullLeader,
        Kind::FullAll,
        Kind::SlowDisk,
        Kind::ReadOnly,
        Kind::FrozenDisk,
    ];

    /// Whether it is made in the network alone, so that it may meet any other fault. Faults of
    /// process and disk do not meet on one member.
    pub fn is_of_network(self) -> bool {
        matches!(
            self,
            Kind::Isolate
                | Kind::DeafIn
                | Kind::MuteOut
                | Kind::PartialCut
                | Kind::Lossy
                | Kind::ClientsCut
        )
    }

    /// How long it lasts, in milliseconds.
    fn lasts(self) -> (u64, u64) {
        match self {
            Kind::KillOne | Kind::KillAll | Kind::PowerCutOne | Kind::PowerCutAll => (50, 3_000),
            Kind::PauseLeader | Kind::PauseFollower => (500, 10_000),
            Kind::PauseMajority => (500, 6_000),
            Kind::Isolate | Kind::DeafIn | Kind::MuteOut | Kind::PartialCut => (1_000, 8_000),
            Kind::Lossy | Kind::ClientsCut => (2_000, 8_000),
            // A bound: it ends with the member.
            Kind::SyncError => (6_000, 6_000),
            Kind::FullFollower | Kind::FullLeader | Kind::FullAll => (3_000, 12_000),
            Kind::SlowDisk => (3_000, 8_000),
            Kind::ReadOnly => (1_000, 4_000),
            Kind::FrozenDisk => (500, 10_000),
        }
    }

    fn whom(self, random: &mut SmallRng) -> Whom {
        match self {
            Kind::KillAll | Kind::PowerCutAll | Kind::FullAll => Whom::All,
            Kind::PauseMajority => Whom::Majority { with_leader: random.random_ratio(1, 2) },
            Kind::PauseLeader | Kind::FullLeader => Whom::Leader,
            Kind::PauseFollower | Kind::FullFollower => Whom::Follower,
            _ if random.random_ratio(1, 2) => Whom::Leader,
            _ => Whom::Follower,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::KillOne => "kill -9 of one member",
            Kind::KillAll => "kill -9 of all members",
            Kind::PauseLeader => "the leader stopped for a while",
            Kind::PauseFollower => "a follower stopped for a while",
            Kind::PauseMajority => "a majority stopped for a while",
            Kind::Isolate => "a member isolated",
            Kind::DeafIn => "a member that hears nobody",
            Kind::MuteOut => "a member that nobody hears",
            Kind::PartialCut => "a cut between two members",
            Kind::Lossy => "a member that loses packets",
            Kind::ClientsCut => "clients cut from a member",
            Kind::PowerCutOne => "power cut of one member",
            Kind::PowerCutAll => "power cut of all members",
            Kind::SyncError => "a sync that fails",
            Kind::FullFollower => "a follower's disk full",
            Kind::FullLeader => "the leader's disk full",
            Kind::FullAll => "all disks full",
            Kind::SlowDisk => "a slow disk",
            Kind::ReadOnly => "a disk that is read-only",
            Kind::FrozenDisk => "a disk that stands still",
        })
    }
}

/// Whom a fault meets. Who leads is known when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The leader.
    Leader,
    /// One of the others: [`Fault::pick`] says which.
    Follower,
    /// The smallest majority.
    Majority {
        /// Whether the leader is in it.
        with_leader: bool,
    },
    /// Everybody.
    All,
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its kind.
    pub kind: Kind,
    /// Whom it meets.
    pub whom: Whom,
    /// Chooses where there is a choice: the follower, the other end of a cut.
    pub pick: usize,
    /// When it begins, from the beginning of its round.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// Its strength: packets lost in a hundred, or milliseconds a sync takes.
    pub strength: u32,
}

/// Faults that may meet each other, after a time of calm. After a round everything is mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// How long the load runs undisturbed before it.
    pub calm: Duration,
    /// Its faults, in the order in which they begin.
    pub faults: Vec<Fault>,
}

/// All rounds of a run, without end: the same for the same seed.
#[derive(Debug)]
pub struct Schedule {
    random: SmallRng,
    /// Kinds yet to come before any comes again.
    deck: Vec<Kind>,
}

/// Most faults of one round.
const FAULTS_MAX: usize = 3;
/// Within this time the faults of a round begin, in milliseconds.
const BEGIN_MAX: u64 = 4_000;

impl Schedule {
    /// The schedule of a seed.
    pub fn new(seed: u64) -> Schedule {
        Schedule { random: SmallRng::seed_from_u64(seed), deck: Vec::new() }
    }

    /// The next kind: each comes once before any comes again.
    fn draw(&mut self) -> Kind {
        if self.deck.is_empty() {
            self.deck = Kind::ALL.to_vec();
            self.deck.shuffle(&mut self.random);
        }
        self.deck.pop().expect("a deck that was just filled")
    }

    fn fault(&mut self, kind: Kind, first: bool) -> Fault {
        let random = &mut self.random;
        let (shortest, longest) = kind.lasts();
        let strength = match kind {
            Kind::Lossy => random.random_range(5..=50),
            Kind::SlowDisk => random.random_range(200..=2_000),
            _ => 0,
        };
        let at = if first { 0 } else { random.random_range(0..=BEGIN_MAX) };
        Fault {
            kind,
            whom: kind.whom(random),
            pick: random.random_range(0..1_000),
            at: Duration::from_millis(at),
            lasts: Duration::from_millis(random.random_range(shortest..=longest)),
            strength,
        }
    }
}

impl Iterator for Schedule {
    type Item = Round;

    fn next(&mut self) -> Option<Round> {
        let calm = Duration::from_millis(self.random.random_range(500..=2_500));
        // One, two and three faults, in 4, 4 and 2 of ten rounds.
        let count = match self.random.random_range(0..10) {
            0..4 => 1,
            4..8 => 2,
            _ => FAULTS_MAX,
        };
        let mut faults: Vec<Fault> = Vec::with_capacity(count);
        for n in 0..count {
            let kind = self.draw();
            faults.push(self.fault(kind, n == 0));
        }
        faults.sort_by_key(|fault| fault.at);
        Some(Round { calm, faults })
    }
}

#[cfg(test)]
mod tests;
