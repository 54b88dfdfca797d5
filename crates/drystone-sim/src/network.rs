//! The links between members, and between clients and members.

use crate::clock::Micros;
use crate::knobs::Knobs;
use crate::random::{Draw, Purpose, stream};
use rand::Rng;
use rand::rngs::StdRng;

/// Machines that a run has at most, also those that are gone.
pub(crate) const HOSTS_MAX: usize = 24;

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives at these times, once each.
    Arrives(Vec<Micros>),
    /// It is lost.
    Lost,
}

/// Faults of the network, each until a time.
#[derive(Debug)]
pub(crate) struct Network {
    rng: StdRng,
    link_us: (u64, u64),
    client_us: (u64, u64),
    /// Until when nothing passes from one to another, by `from * HOSTS_MAX + to`.
    cut_until: Vec<Micros>,
    /// Until when what passes is held back.
    held_until: Vec<Micros>,
    clients_cut_until: Vec<Micros>,
    base_loss: u32,
    base_duplicate: u32,
    loss: (u32, Micros),
    duplicate: (u32, Micros),
    delay: (Micros, Micros),
}

impl Network {
    pub(crate) fn new(seed: u64, knobs: &Knobs) -> Self {
        Self {
            rng: stream(seed, Purpose::Network),
            link_us: knobs.link_us,
            client_us: knobs.client_us,
            cut_until: vec![0; HOSTS_MAX * HOSTS_MAX],
            held_until: vec![0; HOSTS_MAX * HOSTS_MAX],
            clients_cut_until: vec![0; HOSTS_MAX],
            base_loss: knobs.loss_percent,
            base_duplicate: knobs.duplicate_percent,
            loss: (0, 0),
            duplicate: (0, 0),
            delay: (0, 0),
        }
    }

    /// All faults end, also those that are there from the start.
    pub(crate) fn heal(&mut self) {
        self.cut_until.fill(0);
        self.held_until.fill(0);
        self.clients_cut_until.fill(0);
        (self.base_loss, self.base_duplicate) = (0, 0);
        (self.loss, self.duplicate, self.delay) = ((0, 0), (0, 0), (0, 0));
    }

    fn link(&self, from: usize, to: usize) -> usize {
        from * HOSTS_MAX + to
    }

    /// True while nothing passes from one to another.
    pub(crate) fn is_cut(&self, from: usize, to: usize, now: Micros) -> bool {
        now < self.cut_until[self.link(from, to)]
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize, until: Micros) {
        let link = self.link(from, to);
        self.cut_until[link] = self.cut_until[link].max(until);
    }

    pub(crate) fn hold(&mut self, from: usize, to: usize, until: Micros) {
        let link = self.link(from, to);
        self.held_until[link] = self.held_until[link].max(until);
    }

    pub(crate) fn cut_clients(&mut self, member: usize, until: Micros) {
        self.clients_cut_until[member] = self.clients_cut_until[member].max(until);
    }

    pub(crate) fn lose(&mut self, percent: u32, until: Micros) {
        self.loss = (percent, until);
    }

    pub(crate) fn duplicate(&mut self, percent: u32, until: Micros) {
        self.duplicate = (percent, until);
    }

    pub(crate) fn delay(&mut self, extra: Micros, until: Micros) {
        self.delay = (extra, until);
    }

    /// Decides over a message between members. `once` is for those that a connection carries
    /// once or not at all, because they are no part of what raft survives twice: a transport
    /// over TCP repeats nothing by itself.
    pub(crate) fn fate(&mut self, from: usize, to: usize, now: Micros, once: bool) -> Fate {
        let link = self.link(from, to);
        let active = |(amount, until): (u32, Micros)| if now < until { amount } else { 0 };
        let loss = self.base_loss.max(active(self.loss));
        if now < self.cut_until[link] || self.rng.percent(loss) {
            return Fate::Lost;
        }
        let duplicate = self.base_duplicate.max(active(self.duplicate));
        let copies = if !once && self.rng.percent(duplicate) { 2 } else { 1 };
        let extra = if now < self.delay.1 { self.delay.0 } else { 0 };
        let arrivals = (0..copies).map(|_| {
            let travel = self.rng.random_range(self.link_us.0..=self.link_us.1);
            let extra = if extra > 0 { self.rng.random_range(0..=extra) } else { 0 };
            let held = self.held_until[link];
            // What was held back comes in one rush, in any order.
            if now < held { held + travel / 8 } else { now + travel + extra }
        });
        Fate::Arrives(arrivals.collect())
    }

    /// When something that travels between a client and a member arrives; `None` while they
    /// are cut off.
    pub(crate) fn client(&mut self, member: usize, now: Micros) -> Option<Micros> {
        if self.is_client_cut(member, now) {
            return None;
        }
        Some(now + self.rng.random_range(self.client_us.0..=self.client_us.1))
    }

    pub(crate) fn is_client_cut(&self, member: usize, now: Micros) -> bool {
        now < self.clients_cut_until[member]
    }

    /// When clients reach the member again.
    pub(crate) fn clients_back_at(&self, member: usize) -> Micros {
        self.clients_cut_until[member]
    }
}
