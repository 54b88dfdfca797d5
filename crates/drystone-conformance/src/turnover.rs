//! Members come and go while clients write: a fourth joins as a learner and is promoted, the
//! leader is removed, and members whose disks were wiped come back by themselves.

use crate::harness::{Cluster, Launch, Limits, Member, Program, Stop};
use crate::rejoin::{self, Load};
use anyhow::{Context as _, bail, ensure};
use drystone_api::etcdserverpb as pb;
use drystone_client::Client;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// What is done with the members.
#[derive(Clone, Debug)]
pub struct Config {
    /// Writes a second that go on all the time.
    pub writes_per_second: u32,
    /// Writes before anything happens.
    pub writes: u64,
    /// Members whose disks are wiped, one after the other; the first leads.
    pub wipes: u32,
    /// How often each of them is killed while it comes back.
    pub crashes: u32,
    /// Bound on each step.
    pub step_max: Duration,
    /// Seed of the moments at which members are killed.
    pub seed: u64,
    /// More flags for every member.
    pub flags: Vec<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            writes_per_second: 200,
            writes: 2_000,
            wipes: 2,
            crashes: 3,
            step_max: Duration::from_secs(90),
            seed: 1,
            flags: Vec::new(),
        }
    }
}

/// What was seen; [`fmt::Display`] prints it as a table.
#[derive(Debug, Default)]
pub struct Outcome {
    figures: Vec<(String, String)>,
    faults: Vec<String>,
    kept: Option<PathBuf>,
}

impl Outcome {
    /// What is wrong, if anything.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Where data and logs are kept, if anything was wrong.
    pub fn kept(&self) -> Option<&Path> {
        self.kept.as_deref()
    }

    fn figure(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        eprintln!("turnover: {name}: {value}");
        self.figures.push((name, value));
    }

    fn check(&mut self, holds: bool, otherwise: impl Into<String>) {
        if !holds {
            self.faults.push(otherwise.into());
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| figure | value |\n| --- | --- |")?;
        for (name, value) in &self.figures {
            writeln!(f, "| {name} | {value} |")?;
        }
        for fault in &self.faults {
            writeln!(f, "| FAULT | {fault} |")?;
        }
        Ok(())
    }
}

const POLL: Duration = Duration::from_millis(20);
/// A member that is killed while it comes back lives for at most so long.
const LIFE_MAX: Duration = Duration::from_millis(1500);
/// What a member says that finds its data gone and may not come back by itself.
const REFUSAL: &str = "etcdctl member remove";

/// Runs it, telling its progress on standard error.
///
/// # Errors
/// What kept it from coming to an end; data and logs are kept then too.
pub async fn run(program: &Program, config: &Config) -> anyhow::Result<Outcome> {
    let launch = Launch {
        members: 3,
        flags: config.flags.clone(),
        limits: Limits { start: config.step_max, ..Limits::default() },
        ..Launch::default()
    };
    let mut cluster = Cluster::start(program, &launch).await?;
    match turn_over(program, &launch, config, &mut cluster).await {
        Ok(outcome) if outcome.faults.is_empty() => Ok(outcome),
        Ok(outcome) => Ok(Outcome { kept: cluster.keep(), ..outcome }),
        Err(error) => {
            let logs = cluster.logs();
            let kept = cluster.keep().unwrap_or_default();
            Err(error.context(format!("{logs}\ndata and logs are kept in {}", kept.display())))
        }
    }
}

async fn turn_over(
    program: &Program,
    launch: &Launch,
    config: &Config,
    cluster: &mut Cluster,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut random = SmallRng::seed_from_u64(config.seed);
    let fourth = cluster.prepare(program, launch)?;
    let mut endpoints = cluster.endpoints();
    endpoints.push(fourth.client_address().to_owned());
    let load = Load::new(&rejoin::Config { keys: 1_000, ..rejoin::Config::default() }, &endpoints);
    load.write_all(config.writes, 32).await?;
    let mut writers = load.go_on(config.writes_per_second);
    let acks = || load.acks.load(Ordering::Relaxed);

    let (begun, before) = (Instant::now(), acks());
    grow(cluster, fourth, config).await?;
    let took = format!("{:.1?}, {} writes meanwhile", begun.elapsed(), acks() - before);
    outcome.figure("a fourth member joined and votes", took);
    go_on(&load, before, config.step_max).await?;

    let (begun, before) = (Instant::now(), acks());
    let ended = remove_leader(cluster, config).await?;
    let took = format!("{:.1?}, {} writes meanwhile", begun.elapsed(), acks() - before);
    outcome.figure("the leader was removed and ended", took);
    outcome.check(ended.success(), format!("the removed leader ended with {ended}"));
    go_on(&load, before, config.step_max).await?;

    for wipe in 0..config.wipes {
        let (begun, before) = (Instant::now(), acks());
        let leads = wipe == 0;
        wipe_one(cluster, leads, config, &mut random).await?;
        let who = if leads { "the leader" } else { "a follower" };
        let took = format!("{:.1?}, {} writes meanwhile", begun.elapsed(), acks() - before);
        outcome.figure(format!("{who} was wiped, came back and votes"), took);
        go_on(&load, before, config.step_max).await?;
    }

    load.stopped.store(true, Ordering::Release);
    while let Some(done) = writers.join_next().await {
        done.context("a writer died")??;
    }
    let (revision, hashes) = rejoin::hashes(&cluster.endpoints()).await?;
    outcome.figure("writes acknowledged in all", acks().to_string());
    outcome.figure("hashes", format!("{hashes:?} at revision {revision}"));
    let equal = hashes.iter().all(|hash| *hash == hashes[0]);
    outcome.check(equal, format!("hashes at revision {revision}: {hashes:?}"));
    // Each acknowledged write is one revision, and one that failed may be one too.
    let written = u64::try_from(revision).unwrap_or(0).saturating_sub(1);
    outcome.check(written >= acks(), format!("{} writes, but revision {revision}", acks()));
    let listed = list(&cluster.client()).await?;
    let voters = listed.iter().filter(|member| !member.is_learner).count();
    outcome.check(
        listed.len() == 3 && voters == 3,
        format!("{voters} voters of {} members at the end", listed.len()),
    );
    Ok(outcome)
}

/// Waits until a write has been acknowledged since there were `before`. Those that were on their
/// way to a leader that died are only given up after seconds.
async fn go_on(load: &Load, before: u64, max: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + max;
    while load.acks.load(Ordering::Relaxed) <= before {
        ensure!(Instant::now() < until, "no write was acknowledged within {max:?}");
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

async fn list(client: &Client) -> anyhow::Result<Vec<pb::Member>> {
    let request = pb::MemberListRequest { linearizable: true };
    Ok(client.member_list(request).await.context("cannot list the members")?.members)
}

/// Repeats what is refused because members have not been in contact for long enough, or have
/// not caught up.
async fn in_time<T, F: Future<Output = Result<T, drystone_client::Error>>>(
    what: &str,
    max: Duration,
    mut change: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let until = Instant::now() + max;
    loop {
        match change().await {
            Ok(done) => return Ok(done),
            Err(error) if Instant::now() > until => return Err(error).context(what.to_owned()),
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

/// Adds `fourth` as a learner, and promotes it when it has caught up.
async fn grow(cluster: &mut Cluster, mut fourth: Member, config: &Config) -> anyhow::Result<()> {
    let client = cluster.client();
    let request = pb::MemberAddRequest { peer_ur_ls: vec![fourth.peer_url()], is_learner: true };
    let added =
        in_time("a learner is not added", config.step_max, || client.member_add(request.clone()));
    let id = added.await?.member.context("the answer names no member")?.id;
    fourth.set_flags(&["--initial-cluster-state=existing"]);
    fourth.spawn()?;
    let promote = pb::MemberPromoteRequest { id };
    in_time("the learner is not promoted", config.step_max, || client.member_promote(promote))
        .await?;
    fourth.ready().await?;
    cluster.take_in(fourth, id);
    Ok(())
}

/// Removes the leader by another member's leave; how its process ended.
async fn remove_leader(cluster: &mut Cluster, config: &Config) -> anyhow::Result<ExitStatus> {
    let leader = rejoin::leader(&cluster.endpoints()).await.context("no leader")?;
    let id = cluster.members()[leader].id();
    let other = cluster.members()[(leader + 1) % cluster.members().len()].client();
    let request = pb::MemberRemoveRequest { id };
    in_time("the leader is not removed", config.step_max, || other.member_remove(request)).await?;
    let ended = end_of(cluster.member_mut(leader), config.step_max).await?;
    cluster.let_go(leader);
    Ok(ended)
}

/// Waits until a process has ended by itself.
async fn end_of(member: &mut Member, max: Duration) -> anyhow::Result<ExitStatus> {
    let until = Instant::now() + max;
    loop {
        if let Some(status) = member.reap() {
            return Ok(status);
        }
        ensure!(Instant::now() < until, "{} does not end\n{}", member.name(), member.log_tail());
        tokio::time::sleep(POLL).await;
    }
}

/// Wipes a member's disk: it is refused, then comes back by itself, though it is killed on its
/// way again and again.
async fn wipe_one(
    cluster: &mut Cluster,
    leads: bool,
    config: &Config,
    random: &mut SmallRng,
) -> anyhow::Result<()> {
    let endpoints = cluster.endpoints();
    let leader = rejoin::leader(&endpoints).await.context("no leader")?;
    let wiped = if leads { leader } else { (leader + 1) % endpoints.len() };
    let others: Vec<String> =
        endpoints.iter().filter(|other| **other != endpoints[wiped]).cloned().collect();
    let initial: Vec<String> = cluster.members().iter().map(Member::entry).collect();
    let initial = initial.join(",");
    let client = rejoin::client(&others);
    let member = cluster.member_mut(wiped);
    let (old, peer_url) = (member.id(), member.peer_url());
    member.stop(Stop::Kill).await?;
    std::fs::remove_dir_all(member.data_dir()).context("cannot wipe a member's disk")?;

    // The members that there are now, as an operator's manifest would name them.
    member.expect_cluster(&initial);
    member.set_flags(&[]);
    member.spawn()?;
    let refused = end_of(member, config.step_max).await?;
    if refused.success() || !member.log_tail().contains(REFUSAL) {
        bail!("a wiped member was not refused with what helps: {refused}\n{}", member.log_tail());
    }

    member.set_flags(&["--auto-join"]);
    for _ in 0..config.crashes {
        member.spawn()?;
        let life = random.random_range(Duration::ZERO..LIFE_MAX);
        tokio::time::sleep(life).await;
        member.stop(Stop::Kill).await?;
    }
    member.spawn()?;
    let until = Instant::now() + config.step_max;
    let id = loop {
        let listed = list(&client).await.unwrap_or_default();
        let own = listed.iter().find(|listed| listed.peer_ur_ls.contains(&peer_url));
        if let Some(own) = own.filter(|own| !own.is_learner && own.id != old) {
            break own.id;
        }
        let member = cluster.member_mut(wiped);
        if let Some(status) = member.ended() {
            bail!("{} ended: {status}\n{}", member.name(), member.log_tail());
        }
        if Instant::now() > until {
            bail!("{} does not vote: {listed:?}\n{}", member.name(), member.log_tail());
        }
        tokio::time::sleep(POLL).await;
    };
    cluster.member_mut(wiped).ready().await?;
    let member = cluster.let_go(wiped);
    cluster.take_in(member, id);
    Ok(())
}
