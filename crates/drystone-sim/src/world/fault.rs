//! Faults, as a plan asks for them.

use super::life::LOG_DIR;
use super::{Event, World};
use crate::clock::{MILLISECOND, Micros};
use crate::host::{Doom, Input};
use crate::plan::{Crash, DiskOp, Fault, Misread, Moment, What};
use drystone_types::LogIndex;
use drystone_wal::testing::{Misread as LogMisread, Op};
use drystone_wal::{Disk, Wal};
use rand::Rng;
use std::path::Path;
use std::sync::Arc;

/// Leaps of one member's clock in a run, and how far each goes: together with the drift less
/// than [`FASTEST`] says over the shortest lease, which is a second.
const LEAPS_MAX: u32 = 3;
const LEAP_MAX: Micros = 20 * MILLISECOND;
/// How fast a member's clock may seem over a second or more: drift up to 5 %, and leaps.
pub(super) const FASTEST: f64 = 1.15;

impl World {
    pub(super) fn step(&mut self, n: usize) {
        match self.plan.steps[n].what.clone() {
            What::Ask(ask) => self.enqueue(ask),
            What::Fault(fault) => {
                self.trace.say(self.now, format_args!("fault: {fault:?}"));
                self.strike(fault);
            }
        }
    }

    /// The member that a plan means by a number: of those that were not removed.
    pub(super) fn member(&self, number: u8) -> usize {
        let count = self.hosts.len();
        let wanted = usize::from(number) % count;
        let next = (0..count).map(|n| (wanted + n) % count);
        next.clone().find(|m| !self.hosts[*m].is_retired).unwrap_or(wanted)
    }

    fn until(&self, ms: u64) -> Micros {
        self.now + ms * MILLISECOND
    }

    fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::Crash { member, crash, moment, ms } => {
                self.doom(self.member(member), Doom { crash, moment, ms });
            }
            Fault::CrashAll { crash, ms } => self.crash_all(crash, ms),
            Fault::CrashLeader { crash, moment, ms } => {
                if let Some(m) = self.leader() {
                    self.counts.fault("leader's crash");
                    self.doom(m, Doom { crash, moment, ms });
                }
            }
            Fault::Pause { member, ms } => self.pause(self.member(member), ms),
            Fault::PauseLeader { ms } => {
                if let Some(m) = self.leader() {
                    self.counts.fault("leader's pause");
                    self.pause(m, ms);
                }
            }
            Fault::ClientCut { member, ms } => {
                self.counts.fault("clients cut off");
                self.network.cut_clients(self.member(member), self.until(ms));
            }
            Fault::SlowDisk { member, sync_us, ms } => {
                self.counts.fault("slow disk");
                let m = self.member(member);
                self.hosts[m].slow_disk = (sync_us, self.until(ms));
            }
            Fault::SlowApply { member, apply_us, ms } => {
                self.counts.fault("slow apply");
                let m = self.member(member);
                self.hosts[m].slow_apply = (apply_us, self.until(ms));
            }
            Fault::Drift { member, ppm } => {
                self.counts.fault("drift");
                let m = self.member(member);
                self.hosts[m].clock.drift(self.now, ppm);
            }
            Fault::Jump { member, ms } => self.jump(self.member(member), ms),
            Fault::HandOver => {
                if let Some(m) = self.leader() {
                    self.input(m, Input::HandOver);
                }
            }
            Fault::MoveLeader { member } => {
                let to = self.hosts[self.member(member)].id;
                if let Some(m) = self.leader() {
                    self.input(m, Input::Transfer(to));
                }
            }
            fault @ (Fault::FailDisk { .. }
            | Fault::Misread { .. }
            | Fault::FailStore { .. }
            | Fault::FullDisk { .. }
            | Fault::FlipBit { .. }
            | Fault::LoseDisk { .. }) => self.strike_disk(fault),
            other => self.strike_network(other),
        }
    }

    fn strike_network(&mut self, fault: Fault) {
        match fault {
            Fault::Cut { from, to, ms } => {
                self.counts.fault("one-way cut");
                self.network.cut(self.member(from), self.member(to), self.until(ms));
            }
            Fault::Isolate { member, inward, outward, ms } => {
                self.counts.fault("isolation");
                let (m, until) = (self.member(member), self.until(ms));
                for other in (0..self.hosts.len()).filter(|other| *other != m) {
                    if inward {
                        self.network.cut(other, m, until);
                    }
                    if outward {
                        self.network.cut(m, other, until);
                    }
                }
            }
            Fault::Bridge { member, ms } => {
                self.counts.fault("bridge");
                let (m, until) = (self.member(member), self.until(ms));
                for from in (0..self.hosts.len()).filter(|from| *from != m) {
                    for to in (0..self.hosts.len()).filter(|to| *to != m && *to != from) {
                        self.network.cut(from, to, until);
                    }
                }
            }
            Fault::Lossy { percent, ms } => {
                self.counts.fault("loss");
                self.network.lose(percent, self.until(ms));
            }
            Fault::Duplicating { percent, ms } => {
                self.counts.fault("duplication");
                self.network.duplicate(percent, self.until(ms));
            }
            Fault::Delaying { extra_us, ms } => {
                self.counts.fault("delay and reordering");
                self.network.delay(extra_us, self.until(ms));
            }
            Fault::Flood { from, to, ms } => {
                self.counts.fault("flood");
                self.network.hold(self.member(from), self.member(to), self.until(ms));
            }
            other => unreachable!("{other:?} is no fault of the network"),
        }
    }

    fn strike_disk(&mut self, fault: Fault) {
        match fault {
            Fault::FailDisk { member, op, nth, .. } => {
                let host = &mut self.hosts[usize::from(member) % self.knobs.members as usize];
                let Some(disks) = host.disks.as_ref().filter(|_| host.process.is_some()) else {
                    return;
                };
                host.impaired = true;
                disks.log.fail_nth(disk_op(op), nth);
                self.counts.fault("failing disk");
            }
            Fault::Misread { member, misread, nth } => {
                let m = self.member(member);
                // It comes when the log is read, and that is when the member starts.
                if self.hosts[m].process.is_some() {
                    self.crash(m, Crash::Kill);
                    self.come_back(m, 100);
                }
                let host = &mut self.hosts[m];
                let Some(disks) = &host.disks else { return };
                host.impaired = true;
                match misread {
                    Misread::Fails => disks.log.fail_nth(Op::Read, nth),
                    Misread::Flip => disks.log.misread_nth(LogMisread::Flip, nth),
                    Misread::Stale => disks.log.misread_nth(LogMisread::Stale, nth),
                    Misread::Misdirected => disks.log.misread_nth(LogMisread::Misdirected, nth),
                }
                self.counts.fault("misread");
            }
            Fault::FailStore { member, flush, .. } => {
                let m = self.member(member);
                let host = &mut self.hosts[m];
                let Some(disks) = host.disks.as_ref().filter(|_| host.process.is_some()) else {
                    return;
                };
                host.impaired = true;
                if flush {
                    disks.store.fail_flush_after(0);
                } else {
                    disks.store.fail_write_after(0);
                }
                self.counts.fault("failing store");
            }
            Fault::FullDisk { member, room_bytes, .. } => {
                let m = self.member(member);
                let host = &mut self.hosts[m];
                let Some(disks) = host.disks.as_ref().filter(|_| host.process.is_some()) else {
                    return;
                };
                host.impaired = true;
                disks.log.set_capacity_bytes(Some(disks.log.used_bytes() + room_bytes));
                self.counts.fault("full disk");
            }
            Fault::FlipBit { member, place, ms } => self.flip_bit(self.member(member), place, ms),
            Fault::LoseDisk { member } => {
                let m = self.member(member);
                if !self.can_do_without(m) {
                    self.doom(m, Doom { crash: Crash::PowerLose, moment: Moment::Now, ms: 1_000 });
                    return;
                }
                self.counts.fault("lost disk");
                self.crash(m, Crash::Kill);
                // Its identity is gone with it: another member may take its place, not itself.
                self.hosts[m].disks = None;
            }
            other => unreachable!("{other:?} is no fault of a disk"),
        }
    }

    fn crash_all(&mut self, crash: Crash, ms: u64) {
        self.counts.fault("crash of all");
        for m in 0..self.hosts.len() {
            if self.hosts[m].process.is_some() {
                self.crash(m, crash);
                let later = self.timing.random_range(0..=ms);
                self.come_back(m, ms + later);
            }
        }
    }

    fn pause(&mut self, m: usize, ms: u64) {
        self.counts.fault("pause");
        self.hosts[m].paused_until = self.hosts[m].paused_until.max(self.until(ms));
    }

    /// A clock leaps forward a little, as when a whole machine was held up while it was read.
    /// Leaps are few and short, so that the judge of leases knows how fast a clock can be.
    fn jump(&mut self, m: usize, ms: u64) {
        if self.hosts[m].leaps < LEAPS_MAX {
            self.hosts[m].leaps += 1;
            self.counts.fault("clock's leap");
            let by = (ms * MILLISECOND).min(LEAP_MAX);
            self.hosts[m].clock.jump(self.now, by);
        }
    }

    /// Damages a log while its member is down. What a damaged log may do: refuse, or be the log
    /// that it was (the bit lay in free room). A bit in the last batch may make it look torn,
    /// as long as nothing vouches for that batch; then what it held counts as damaged, and the
    /// disk is repaired.
    fn flip_bit(&mut self, m: usize, place: u64, ms: u64) {
        if self.hosts[m].process.is_none() {
            return;
        }
        self.crash(m, Crash::Kill);
        self.come_back(m, ms);
        let seed: u64 = self.disk_rng.random();
        let (config, identity) = self.log_settings(m);
        let Some(disks) = &mut self.hosts[m].disks else { return };
        let dir = Path::new(LOG_DIR);
        let Ok(names) = disks.log.list(dir) else { return };
        let files: Vec<_> = names.iter().map(|name| dir.join(name)).collect();
        let sizes: Vec<usize> =
            files.iter().map(|file| disks.log.contents(file).map_or(0, |c| c.len())).collect();
        let total: usize = sizes.iter().sum();
        if total == 0 {
            return;
        }
        let mut byte = usize::try_from(place % total as u64).unwrap_or(0);
        let file = sizes.iter().position(|size| {
            let here = byte < *size;
            byte -= if here { 0 } else { *size };
            here
        });
        let Some(file) = file else { return };
        let damaged = disks.log.fork(seed);
        damaged.flip_bit(&files[file], byte, u8::try_from(place % 8).unwrap_or(0));
        let open = |disk| Wal::open(Arc::new(disk), dir, config.clone(), identity, LogIndex(0));
        let before = open(disks.log.fork(seed)).map(|(_, recovered)| recovered);
        let after = open(damaged.fork(seed)).map(|(_, recovered)| recovered);
        self.counts.fault("flipped bit");
        match (before, after) {
            (Ok(before), Ok(after))
                if (before.last, before.hard_state) == (after.last, after.hard_state) =>
            {
                drystone_probe::mark!("sim.flip_harmless");
                disks.log = damaged;
            }
            (Ok(_), Ok(_)) => drystone_probe::mark!("sim.flip_read_as_torn"),
            (Ok(_), Err(_)) => drystone_probe::mark!("sim.flip_refused"),
            (Err(_), _) => {}
        }
    }

    /// The faults end: everything is mended and everyone is started.
    pub(super) fn heal(&mut self) {
        self.network.heal();
        for m in 0..self.hosts.len() {
            let host = &mut self.hosts[m];
            host.doom = None;
            host.paused_until = 0;
            host.slow_disk = (0, 0);
            host.slow_apply = (0, 0);
            host.clock.drift(self.now, 0);
            if let Some(disks) = &host.disks {
                disks.log.set_capacity_bytes(None);
            }
            if host.process.is_none() && host.disks.is_some() && !host.is_retired {
                self.come_back(m, 1);
            }
            if self.hosts[m].is_awaited {
                self.join(m);
            }
        }
    }

    /// Asks to be woken when the present faults may be over.
    pub(super) fn settle_in(&mut self, ms: u64) {
        self.after(ms * MILLISECOND, Event::Settle);
    }
}

fn disk_op(op: DiskOp) -> Op {
    match op {
        DiskOp::Write => Op::Write,
        DiskOp::SyncData => Op::SyncData,
        DiskOp::Create => Op::Create,
        DiskOp::Rename => Op::Rename,
        DiskOp::SyncDir => Op::SyncDir,
        DiskOp::Any => Op::AnyChange,
    }
}
