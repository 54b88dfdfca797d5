//! The hand that makes faults and takes them back.

use super::figures::Figures;
use super::rules::Cut;
use super::schedule::{Fault, Kind, Round, Whom};
use super::stage::Stage;
use super::trace::{Syncs, Tracer};
use super::volume::Freeze;
use crate::harness::HarnessError;
use crate::torture::load::Shared;
use crate::torture::strike::leader;
use anyhow::{Context as _, bail, ensure};
use indicatif::ProgressBar;
use rustix::process::Signal;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// From the end of a round's faults until every member answers and writes are acknowledged.
pub(crate) const RECOVERY_MAX: Duration = Duration::from_secs(60);
/// How long a member may go on after one of its syncs has failed.
const EXIT_MAX: Duration = Duration::from_secs(10);
/// How long after the end of a fault of its disk a member may still stop for it.
const AFTERMATH_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// A fault in force.
#[derive(Debug)]
struct Active {
    fault: Fault,
    until: Instant,
    /// Members whose process or disk it has; no other fault may have them.
    held: Vec<usize>,
    effect: Effect,
}

/// What has to be taken back.
#[derive(Debug)]
enum Effect {
    Killed,
    Stopped,
    Unpowered,
    Cut(Cut),
    Failing(Tracer),
    Slowed(Tracer),
    Full,
    ReadOnly,
    Frozen(Freeze),
}

impl Effect {
    /// Whether a member may stop for it.
    fn excuses(&self) -> bool {
        matches!(self, Effect::Failing(_) | Effect::Full | Effect::ReadOnly)
    }
}

/// Makes the faults of rounds, and sees to it that the cluster comes back.
pub(crate) struct Hand<'a> {
    pub(crate) stage: &'a mut Stage,
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) figures: &'a mut Figures,
    pub(crate) bar: &'a ProgressBar,
    active: Vec<Active>,
    /// Members that went through a fault of their disk, with its kind and when it was over.
    excused: BTreeMap<usize, (Kind, Instant)>,
}

impl<'a> Hand<'a> {
    pub(crate) fn new(
        stage: &'a mut Stage,
        shared: &'a Arc<Shared>,
        figures: &'a mut Figures,
        bar: &'a ProgressBar,
    ) -> Hand<'a> {
        Hand { stage, shared, figures, bar, active: Vec::new(), excused: BTreeMap::new() }
    }

    /// One round: calm, faults, and everything back in order.
    ///
    /// # Errors
    /// A member that ended without a reason or did not come back, or a fault that could not be
    /// made.
    pub(crate) async fn round(&mut self, round: &Round) -> anyhow::Result<()> {
        let calm = Instant::now() + round.calm;
        while Instant::now() < calm {
            self.look()?;
            tokio::time::sleep(POLL).await;
        }
        self.shared.take_gap();
        let begun = Instant::now();
        let mut waiting: VecDeque<Fault> = round.faults.iter().copied().collect();
        while !waiting.is_empty() || !self.active.is_empty() {
            self.end_those_due().await?;
            // One whose members another fault has waits until that is over.
            for _ in 0..waiting.len() {
                let Some(fault) = waiting.pop_front() else { break };
                let due = Instant::now() >= begun + fault.at;
                if !due || !self.is_free(&fault) {
                    waiting.push_back(fault);
                } else if let Err(error) = self.begin(fault).await {
                    return Err(error.context(fault.kind.to_string()));
                }
            }
            self.look()?;
            tokio::time::sleep(POLL).await;
        }
        self.recover().await
    }

    fn tell(&self, text: &str) {
        let at = self.shared.epoch.elapsed().as_secs_f64();
        self.bar.suspend(|| eprintln!("chaos: {at:8.3} s  {text}"));
    }

    fn held(&self, member: usize) -> bool {
        self.active.iter().any(|active| active.held.contains(&member))
    }

    fn is_free(&self, fault: &Fault) -> bool {
        let mut members = 0..self.stage.members();
        match fault.whom {
            _ if fault.kind.is_of_network() => true,
            Whom::All | Whom::Majority { .. } => members.all(|member| !self.held(member)),
            Whom::Leader | Whom::Follower => members.any(|member| !self.held(member)),
        }
    }

    /// The members that a fault meets now.
    async fn choose(&self, fault: &Fault) -> Vec<usize> {
        let count = self.stage.members();
        let leader = leader(&self.shared.endpoints).await.map_or(0, |leader| leader.member);
        let mut followers: Vec<usize> = (0..count).filter(|member| *member != leader).collect();
        followers.rotate_left(fault.pick % (count - 1).max(1));
        let single = |mut members: Vec<usize>| {
            members.retain(|member| fault.kind.is_of_network() || !self.held(*member));
            members.truncate(1);
            members
        };
        match fault.whom {
            Whom::All => (0..count).collect(),
            Whom::Majority { with_leader } => {
                let first = if with_leader { Some(leader) } else { None };
                first.into_iter().chain(followers).take(count / 2 + 1).collect()
            }
            Whom::Leader => single([leader].into_iter().chain(followers).collect()),
            Whom::Follower => single(followers.into_iter().chain([leader]).collect()),
        }
    }

    async fn begin(&mut self, fault: Fault) -> anyhow::Result<()> {
        let members = self.choose(&fault).await;
        let first = *members.first().context("a fault that meets nobody")?;
        let names: Vec<&str> = members.iter().map(|member| self.stage.name(*member)).collect();
        let strength = match fault.kind {
            Kind::Lossy => format!(", {} %", fault.strength),
            Kind::SlowDisk => format!(", {} ms", fault.strength),
            _ => String::new(),
        };
        self.tell(&format!("{}{strength}: {}", fault.kind, names.join(", ")));
        let stage = &mut *self.stage;
        let effect = match fault.kind {
            Kind::KillOne | Kind::KillAll => {
                stage.kill(&members, self.shared).await?;
                Effect::Killed
            }
            Kind::PauseLeader | Kind::PauseFollower | Kind::PauseMajority => {
                stage.signal(&members, Signal::STOP)?;
                Effect::Stopped
            }
            Kind::PowerCutOne | Kind::PowerCutAll => {
                stage.power_off(&members, self.shared).await?;
                Effect::Unpowered
            }
            Kind::SyncError => Effect::Failing(self.trace(first, Syncs::Fail)?),
            Kind::SlowDisk => Effect::Slowed(self.trace(first, Syncs::Slow(fault.strength))?),
            Kind::FullFollower | Kind::FullLeader | Kind::FullAll => {
                members.iter().try_for_each(|member| stage.volume(*member).fill())?;
                Effect::Full
            }
            Kind::ReadOnly => {
                stage.volume(first).refuse_writes()?;
                Effect::ReadOnly
            }
            Kind::FrozenDisk => Effect::Frozen(stage.volume(first).freeze()?),
            _ => {
                let cut = self.cut(&fault, first);
                self.stage.cut(cut)?;
                Effect::Cut(cut)
            }
        };
        *self.figures.faults.entry(fault.kind).or_default() += 1;
        let held = if fault.kind.is_of_network() { Vec::new() } else { members };
        self.active.push(Active { fault, until: Instant::now() + fault.lasts, held, effect });
        Ok(())
    }

    fn cut(&self, fault: &Fault, first: usize) -> Cut {
        match fault.kind {
            Kind::Isolate => Cut::Isolated(first),
            Kind::DeafIn => Cut::Deaf(first),
            Kind::MuteOut => Cut::Mute(first),
            Kind::PartialCut => {
                let count = self.stage.members();
                Cut::Between(first, (first + 1 + fault.pick % (count - 1)) % count)
            }
            Kind::Lossy => Cut::Lossy(first, fault.strength),
            _ => Cut::Clients(first),
        }
    }

    fn trace(&self, member: usize, syncs: Syncs) -> anyhow::Result<Tracer> {
        let pid = self.stage.cluster.members()[member].pid().context("no process to trace")?;
        let rank: u64 = self.figures.faults.values().sum();
        let name = format!("{}-{rank}", self.stage.name(member));
        Tracer::attach(pid, syncs, (&self.stage.dir, &name))
    }

    async fn end_those_due(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        while let Some(n) = self.active.iter().position(|active| self.is_over(active, now)) {
            let active = self.active.remove(n);
            let kind = active.fault.kind;
            self.end(active).await.with_context(|| format!("after {kind}"))?;
        }
        Ok(())
    }

    fn is_over(&self, active: &Active, now: Instant) -> bool {
        match &active.effect {
            // Ends with its member; a member that goes on gets some more time.
            Effect::Failing(tracer) if self.runs(&active.held) => {
                let more = if tracer.injected() > 0 { EXIT_MAX } else { Duration::ZERO };
                now >= active.until + more
            }
            Effect::Failing(_) => true,
            _ => now >= active.until,
        }
    }

    fn runs(&self, members: &[usize]) -> bool {
        members.iter().all(|member| self.stage.cluster.members()[*member].is_running())
    }

    async fn end(&mut self, active: Active) -> anyhow::Result<()> {
        let Active { fault, held, effect, .. } = active;
        if effect.excuses() {
            let over = Instant::now();
            self.excused.extend(held.iter().map(|member| (*member, (fault.kind, over))));
        }
        self.tell(&format!("over: {}", fault.kind));
        match effect {
            Effect::Killed => self.stage.start_again(&held)?,
            Effect::Stopped => self.stage.signal(&held, Signal::CONT)?,
            Effect::Unpowered => self.figures.journals += self.stage.power_on(&held)?,
            Effect::Cut(cut) => self.stage.mend(cut)?,
            Effect::Failing(tracer) => {
                let injected = tracer.detach();
                let names: Vec<&str> = held.iter().map(|member| self.stage.name(*member)).collect();
                if injected > 0 && self.runs(&held) {
                    bail!("{names:?} went on for {EXIT_MAX:?} after a sync had failed");
                }
                self.figures.syncs_failed += u64::from(injected > 0);
                // What a failed sync leaves in memory must not be relied on: it goes, now and then.
                if fault.pick % 2 == 0 {
                    self.stage.power_off(&held, self.shared).await?;
                    self.figures.journals += self.stage.power_on(&held)?;
                } else {
                    self.stage.start_again(&held)?;
                }
            }
            Effect::Slowed(tracer) => {
                self.figures.syncs_slowed += tracer.detach() as u64;
            }
            Effect::Full => {
                held.iter().try_for_each(|member| self.stage.volume(*member).drain())?;
                self.stage.start_again(&held)?;
            }
            Effect::ReadOnly => self.stage.repair(held[0], self.shared).await?,
            Effect::Frozen(freeze) => freeze.thaw()?,
        }
        Ok(())
    }

    /// Looks for members that ended by themselves: those whose disk fails may, with an error.
    fn look(&mut self) -> anyhow::Result<()> {
        for member in 0..self.stage.members() {
            let Some((how, orderly)) = self.stage.ended(member, self.shared) else { continue };
            let name = self.stage.name(member).to_owned();
            let log = || self.stage.cluster.members()[member].log_tail();
            let Some(kind) = self.excuse(member) else {
                bail!("{name} ended by itself: {how}\n{}", log());
            };
            ensure!(orderly, "{name} broke down under {kind}: {how}\n{}", log());
            *self.figures.stops.entry(kind).or_default() += 1;
            self.tell(&format!("{name} stopped under {kind}: {how}"));
        }
        Ok(())
    }

    /// The fault for which a member may stop.
    fn excuse(&self, member: usize) -> Option<Kind> {
        let active = |active: &&Active| active.held.contains(&member) && active.effect.excuses();
        let now = self.active.iter().find(active).map(|active| active.fault.kind);
        let before = self.excused.get(&member);
        let before = before.filter(|(_, over)| over.elapsed() < AFTERMATH_MAX);
        now.or(before.map(|(kind, _)| *kind))
    }

    /// Starts whoever does not run, and waits until all answer and writes are acknowledged.
    async fn recover(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let done = tokio::time::timeout(RECOVERY_MAX, self.serve()).await;
        let late = || format!("the cluster does not serve within {RECOVERY_MAX:?}");
        let done = done.unwrap_or_else(|_| bail!("{}\n{}", late(), self.stage.cluster.logs()));
        done.context("the cluster does not come back")?;
        self.figures.rounds += 1;
        self.figures.recoveries.push(begun.elapsed());
        self.figures.gaps.push(self.shared.take_gap());
        Ok(())
    }

    async fn serve(&mut self) -> anyhow::Result<()> {
        let everyone: Vec<usize> = (0..self.stage.members()).collect();
        let acks = self.shared.acks.load(Ordering::Relaxed);
        let mut ready = 0;
        while ready < everyone.len() {
            self.look()?;
            self.stage.start_again(&everyone)?;
            match self.stage.cluster.member_mut(ready).ready().await {
                Ok(()) => ready += 1,
                // Whether it may is for the next look.
                Err(HarnessError::Ended { .. }) => ready = 0,
                Err(error) => return Err(error.into()),
            }
        }
        while self.shared.acks.load(Ordering::Relaxed) <= acks {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}
