//! Draws requests. The seed decides all of them, together with what the servers answered: a
//! stream that got equal answers is the same stream again.

mod auth;
mod kv;
mod lease;
mod txn;
mod watch;

use super::call::{Call, Reply};
use super::excused::Version;
use super::rights::Rights;
use bytes::Bytes;
use drystone_api::errors::EtcdError;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::VecDeque;

/// What comes next.
#[derive(Debug)]
pub(super) enum Step {
    /// Calls that change nothing that another of them sees: they may run at once.
    Together(Vec<Call>),
    /// A call by itself.
    One(Call),
    /// A call that only Drystone is asked, and the error that it must answer.
    Alone(Call, EtcdError),
    /// A new watch, on one of the streams.
    Watch(drystone_api::etcdserverpb::WatchCreateRequest),
}

/// Calls that may run at once.
const TOGETHER_MIN: usize = 4;
const TOGETHER_MAX: usize = 28;
/// Out of a thousand steps, so many are batches of calls that change nothing, so many begin a
/// watch, and so many are about users and roles. The rest changes something.
const BATCHES: u32 = 80;
const WATCHES: u32 = 12;
const AUTH: u32 = 50;
/// Keys of the usual form. There are a few unusual ones beside them.
const KEYS: u32 = 60;
/// Keys whose bytes lie at the edges: of the alphabet, of prefixes, of range ends.
const ODD_KEYS: &[&[u8]] = &[
    b"\0",
    b"\0\0",
    b"k",
    b"k0",
    b"k00\0",
    b"k3\xff",
    b"k59\0\xff",
    b"l",
    b"\xff",
    b"\xff\xff",
    b"\xff\0",
    "\u{e9}".as_bytes(),
];
/// More hashes of compactions than any server keeps.
const CUTS_MAX: usize = 32;
/// No key, and the end of all keys.
const OPEN_END: &[u8] = b"\0";

/// The state of the draw: what it needs to know of the store, and its luck.
#[derive(Debug)]
pub(super) struct Draw {
    rng: StdRng,
    etcd: Version,
    /// The last revision.
    pub(super) revision: i64,
    /// The compacted revision; 0 before the first compaction.
    pub(super) compacted: i64,
    /// The last compacted revisions, whose hashes may be kept.
    cuts: VecDeque<i64>,
    /// Whether something was deleted at the compacted revision.
    pub(super) cut_deletion: bool,
    written: u64,
    pub(super) rights: Rights,
}

impl Draw {
    pub(super) fn new(seed: u64, etcd: Version) -> Draw {
        Draw {
            rng: StdRng::seed_from_u64(seed),
            etcd,
            revision: 1,
            compacted: 0,
            cuts: VecDeque::new(),
            cut_deletion: false,
            written: 0,
            rights: Rights::default(),
        }
    }

    /// Takes notice of an answer that both gave.
    ///
    /// # Errors
    /// That the model of users and roles knows better.
    pub(super) fn learn(&mut self, call: &Call, reply: &Reply) -> Result<(), String> {
        self.revision = self.revision.max(reply.revision());
        let call = call.bare();
        if let Call::Auth(call) = call {
            return self.rights.learn(call, reply);
        }
        if let (Call::Compact(request), Reply::Compact(_)) = (call, reply) {
            self.compacted = request.revision;
            self.cuts.push_back(request.revision);
            if self.cuts.len() > CUTS_MAX {
                self.cuts.pop_front();
            }
        }
        Ok(())
    }

    /// The next step.
    pub(super) fn step(&mut self) -> Step {
        match self.rng.random_range(0..1000) {
            n if n < BATCHES => {
                let count = self.rng.random_range(TOGETHER_MIN..=TOGETHER_MAX);
                let mut look = |_| {
                    let call = self.look();
                    self.by_somebody(call)
                };
                Step::Together((0..count).map(&mut look).collect())
            }
            n if n < BATCHES + WATCHES => Step::Watch(self.watch()),
            n if n < BATCHES + WATCHES + AUTH => Step::One(self.auth_call()),
            n if n < BATCHES + WATCHES + AUTH + 4 => self.alone(),
            _ => {
                let call = self.change();
                Step::One(self.by_somebody(call))
            }
        }
    }

    /// A call that changes nothing.
    fn look(&mut self) -> Call {
        match self.rng.random_range(0..100) {
            0..70 => Call::Range(self.range(false)),
            70..80 => Call::Txn(self.reading_txn()),
            80..98 => self.lease_look(),
            _ => Call::HashKv(self.hash()),
        }
    }

    /// A call that may change something, or is refused.
    fn change(&mut self) -> Call {
        match self.rng.random_range(0..100) {
            0..44 => Call::Put(self.put()),
            44..56 => Call::Delete(self.delete()),
            56..86 => Call::Txn(self.txn()),
            86..97 => self.lease_change(),
            97 => self.recipe(),
            98 => Call::Txn(self.wrong_txn()),
            _ => self.wrong_compaction(),
        }
    }

    /// Only Drystone knows what to answer here.
    fn alone(&mut self) -> Step {
        if self.chance(20) {
            let (call, error) = self.odd_grant();
            let alone = self.etcd.grants_anything();
            return if alone { Step::Alone(call, error) } else { Step::One(call) };
        }
        let mut request = self.range(false);
        request.key = self.key();
        let wrong = 3 + 40 * self.rng.random_range(0..3);
        if self.chance(50) {
            request.sort_order = wrong;
        } else {
            request.sort_target = 5 + wrong;
        }
        let call = self.as_root(Call::Range(request));
        if self.etcd.sorts_anything() {
            Step::Alone(call, EtcdError::InvalidSortOption)
        } else {
            Step::One(call)
        }
    }

    /// True in so many of a hundred cases.
    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_ratio(percent, 100)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..end)
    }

    fn key(&mut self) -> Bytes {
        if self.chance(12) {
            return ODD_KEYS[self.rng.random_range(0..ODD_KEYS.len())].into();
        }
        usual(self.rng.random_range(0..KEYS))
    }

    /// A key and a range end: mostly a single key; also a few keys, a prefix, everything from
    /// a key on, nothing, and what is turned around.
    fn keys(&mut self) -> (Bytes, Bytes) {
        let from = self.rng.random_range(0..KEYS);
        match self.rng.random_range(0..100) {
            0..60 => (self.key(), Bytes::new()),
            60..85 => (usual(from), usual(from + self.rng.random_range(0..7))),
            85..88 => ("k3".into(), "k4".into()),
            88..91 => (self.key(), self.key()),
            91..93 => (usual(from), OPEN_END.into()),
            93 => (OPEN_END.into(), OPEN_END.into()),
            94..96 => ("k".into(), "l".into()),
            96 => (usual(from), usual(from / 2)),
            97 => {
                let key = self.key();
                (key.clone(), key)
            }
            98 => (b"\xff"[..].into(), OPEN_END.into()),
            _ => ("none".into(), "nonf".into()),
        }
    }

    /// A revision to look at: mostly the present.
    fn past(&mut self) -> i64 {
        let lowest = self.compacted.max(1);
        match self.rng.random_range(0..100) {
            0..70 => 0,
            70..92 => self.rng.random_range(lowest..=self.revision),
            92 => lowest,
            93 => self.revision,
            94 | 95 => self.rng.random_range(1..=lowest),
            96 | 97 => self.revision + self.rng.random_range(1..50),
            98 => i64::MAX,
            _ => -2 - self.rng.random_range(0..5),
        }
    }

    /// A compaction, and where: anywhere above the last one.
    pub(super) fn compaction(&mut self) -> Option<Call> {
        let lowest = self.compacted + 1;
        // Mostly not at the very end, so that something is left to look at.
        let room = if self.chance(10) { 0 } else { (self.revision - lowest) / 4 };
        let highest = self.revision - room;
        if highest < lowest {
            return None;
        }
        let revision = self.rng.random_range(lowest..=highest);
        let physical = self.chance(50);
        Some(Call::Compact(drystone_api::etcdserverpb::CompactionRequest { revision, physical }))
    }
}

fn usual(n: u32) -> Bytes {
    format!("k{n:02}").into()
}

#[cfg(test)]
mod tests;
