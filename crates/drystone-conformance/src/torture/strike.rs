//! The hand that kills.

use super::load::{Shared, client};
use super::{Config, Figures};
use crate::harness::{Cluster, Member, Stop};
use drystone_api::etcdserverpb as pb;
use rustix::process::Signal;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// From a restart until there is a leader, and writes are acknowledged again.
const RECOVERY_MAX: Duration = Duration::from_secs(60);
/// One question who leads.
const STATUS_MAX: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(25);

/// Who leads, and in which term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) member: usize,
    pub(crate) term: u64,
}

/// Asks every member; the answer of the highest term counts.
pub(crate) async fn leader(endpoints: &[String]) -> Option<Leader> {
    let mut found: Option<Leader> = None;
    for member in 0..endpoints.len() {
        let asked = client(&endpoints[member..=member], STATUS_MAX);
        let Ok(status) = asked.status(pb::StatusRequest {}).await else { continue };
        let own = status.header.as_ref().map_or(0, |header| header.member_id);
        let leads = own != 0 && status.leader == own;
        if leads && found.is_none_or(|found| found.term < status.raft_term) {
            found = Some(Leader { member, term: status.raft_term });
        }
    }
    found
}

/// Kills members, and waits for the cluster to come back each time.
pub(crate) struct Strikes<'a> {
    pub(crate) cluster: &'a mut Cluster,
    pub(crate) shared: &'a Shared,
    pub(crate) config: &'a Config,
    pub(crate) figures: &'a mut Figures,
}

impl Strikes<'_> {
    /// All kills. An error says how the cluster did not come back.
    pub(crate) async fn all(&mut self) -> Result<(), String> {
        let first = self.leader().await?;
        self.acknowledged(0).await?;
        for round in 1..=self.config.leader_kills {
            self.calm().await?;
            let leader = self.leader().await?.member;
            let gap = self.kill(&[leader]).await?;
            self.figures.leader_gaps.push(gap);
            self.tell(&format!("leader {round} of {}", self.config.leader_kills), gap);
        }
        let everyone: Vec<usize> = (0..self.cluster.members().len()).collect();
        for round in 1..=self.config.all_kills {
            self.calm().await?;
            let gap = self.kill(&everyone).await?;
            self.figures.all_gaps.push(gap);
            self.tell(&format!("all {round} of {}", self.config.all_kills), gap);
        }
        self.calm().await?;
        let last = self.leader().await?;
        self.figures.terms = (first.term, last.term);
        Ok(())
    }

    fn tell(&self, what: &str, gap: Duration) {
        let acks = self.shared.acks.load(Ordering::Relaxed);
        eprintln!("torture: killed {what}: no write for {gap:.2?}; {acks} acknowledged so far");
    }

    /// Lets the load run for a while; nobody may die by itself meanwhile.
    async fn calm(&mut self) -> Result<(), String> {
        let until = Instant::now() + self.config.calm;
        while Instant::now() < until {
            tokio::time::sleep(POLL).await;
            for n in 0..self.cluster.members().len() {
                let member = self.cluster.member_mut(n);
                if let Some(status) = member.ended() {
                    let (name, log) = (member.name().to_owned(), member.log_tail());
                    return Err(format!("{name} ended by itself: {status}\n{log}"));
                }
            }
        }
        Ok(())
    }

    async fn leader(&self) -> Result<Leader, String> {
        let until = Instant::now() + RECOVERY_MAX;
        while Instant::now() < until {
            if let Some(leader) = leader(&self.shared.endpoints).await {
                return Ok(leader);
            }
            tokio::time::sleep(POLL).await;
        }
        Err(format!("no leader within {RECOVERY_MAX:?}\n{}", self.cluster.logs()))
    }

    /// Waits for a write that is acknowledged after the first `acks`.
    async fn acknowledged(&self, acks: u64) -> Result<(), String> {
        let until = Instant::now() + RECOVERY_MAX;
        while self.shared.acks.load(Ordering::Relaxed) <= acks {
            if Instant::now() > until {
                let logs = self.cluster.logs();
                return Err(format!("no write acknowledged within {RECOVERY_MAX:?}\n{logs}"));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Kills these members at once, starts them again, and waits until they answer and writes
    /// are acknowledged. The longest time without an acknowledged write.
    async fn kill(&mut self, members: &[usize]) -> Result<Duration, String> {
        self.shared.take_gap();
        for n in members {
            let member = self.cluster.member_mut(*n);
            member.signal(Signal::KILL).map_err(|error| error.to_string())?;
        }
        for n in members {
            let member = self.cluster.member_mut(*n);
            member.stop(Stop::Kill).await.map_err(|error| error.to_string())?;
            self.shared.runs[*n].fetch_add(1, Ordering::AcqRel);
        }
        self.figures.kills += members.len();
        tokio::time::sleep(self.config.pause).await;
        for n in members {
            self.cluster.member_mut(*n).spawn().map_err(|error| error.to_string())?;
        }
        for n in members {
            let member: &mut Member = self.cluster.member_mut(*n);
            member.ready().await.map_err(|error| error.to_string())?;
        }
        let acks = self.shared.acks.load(Ordering::Relaxed);
        self.acknowledged(acks).await?;
        Ok(self.shared.take_gap())
    }
}
