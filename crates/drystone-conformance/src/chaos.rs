//! Members on disks and networks that fail, under load, and whether anybody was told a thing
//! that is not so.
//!
//! # The model
//! Every member is a real process in a network namespace of its own, with its data on a file
//! system of its own. Clients stand in another namespace and reach members over a bridge. A
//! [`Schedule`] drawn from a seed says which faults come when, some of them at the same time;
//! after each round everything is mended and the cluster must serve again within a bound. All
//! answers and events are kept and judged at the end.
//!
//! # What it touches
//! Namespaces, mounts and processes of its own, all removed when it ends, in whatever way,
//! unless it is killed itself. The namespace it is started in gets no link and no address.

mod figures;
mod hand;
mod network;
mod rules;
mod schedule;
mod stage;
mod tool;
mod trace;
mod volume;

pub use figures::Figures;
pub use schedule::{Fault, Kind, Round, Schedule, Whom};

use crate::harness::{Launch, Program};
use crate::torture::judge::{self, Faults, Watched};
use crate::torture::listen::Ears;
use crate::torture::load::Shared;
use crate::torture::{self, finale, journal};
use anyhow::{Context as _, bail};
use hand::Hand;
use indicatif::{ProgressBar, ProgressStyle};
use stage::{Ground, Stage};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

/// Rounds begin no later than this before the end of a run: one takes about this long.
const ROUND_USUAL: Duration = Duration::from_secs(10);
/// Threads of the clients' runtime.
const CLIENT_THREADS: usize = 2;

/// How a run is done.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long faults are made.
    pub time: Duration,
    /// Members of the cluster, three or more.
    pub members: usize,
    /// Seed of the faults and of all that clients choose.
    pub seed: u64,
    /// Writes a second, over all clients.
    pub writes_per_second: u32,
    /// Reads a second, over all clients.
    pub reads_per_second: u32,
    /// More flags for every member.
    pub flags: Vec<String>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// The faults.
    pub figures: Figures,
    /// The load.
    pub load: torture::Figures,
    /// What was wrong; empty if nothing was.
    pub faults: Vec<String>,
    /// Logs, file systems and the journal, kept if anything was wrong.
    pub kept: Option<PathBuf>,
}

/// Runs, telling its progress on standard error. Blocks its thread; must not be called on a
/// runtime's own.
///
/// # Errors
/// What kept it from being done; what it found is in the [`Outcome`].
pub fn run(program: &Program, config: &Config) -> anyhow::Result<Outcome> {
    tool::check()?;
    let dir = tempfile::Builder::new().prefix("drystone-chaos-").tempdir();
    let dir = dir.context("cannot make a temporary directory")?;
    let prefix = format!("drystone-chaos-{}", std::process::id());
    let ground = Ground::make(&prefix, config.members, dir.path())?;
    let clients = ground.network.clients();
    // The clients' threads live in the clients' namespace, this thread among them.
    let (program, config) = (program.clone(), config.clone());
    let inside = std::thread::spawn(move || -> anyhow::Result<Outcome> {
        clients.enter()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CLIENT_THREADS)
            .enable_all()
            .build()
            .context("cannot make a runtime")?;
        runtime.block_on(until_asked(perform(&program, &config, ground, dir)))
    });
    inside.join().map_err(|_| anyhow::anyhow!("the run died"))?
}

/// Waits for the end, or until this process is asked to end.
async fn until_asked(
    run: impl Future<Output = anyhow::Result<Outcome>>,
) -> anyhow::Result<Outcome> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    tokio::select! {
        done = run => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("asked to end"),
    }
}

async fn perform(
    program: &Program,
    config: &Config,
    ground: Ground,
    dir: TempDir,
) -> anyhow::Result<Outcome> {
    let mut flags = config.flags.clone();
    // Flushes of the store in every round.
    flags.extend(["--snapshot-count", "500"].map(str::to_owned));
    let launch = Launch { members: config.members, flags, ..Launch::default() };
    let mut stage = Stage::start(ground, program, &launch, dir.path()).await?;
    eprintln!("chaos: {} with seed {}", program.title(), config.seed);
    let load = load_config(config);
    let shared = Arc::new(Shared::new(stage.cluster.endpoints(), load.keys, load.call_max));
    let (goal, goal_told) = watch::channel(None);
    let events = Arc::new(AtomicU64::new(0));
    let ears = Ears { shared: shared.clone(), goal: goal_told, events: events.clone() };
    let mut clients = torture::clients(&shared, &load);
    let mut watches = torture::watches(&ears, &load);
    let mut faults = Faults::default();
    let mut figures = Figures::default();
    let mut load_figures = torture::Figures { program: program.title(), ..Default::default() };

    let struck = strike(&mut stage, &shared, &mut figures, config).await;
    if let Err(why) = &struck {
        faults.add(judge::DOWN, format!("{why:#}"));
    }
    shared.stop();
    let mut records = Vec::new();
    while let Some(done) = clients.join_next().await {
        records.extend(done.context("a client of the load died")?);
    }
    let mut watched: Vec<Watched> = Vec::new();
    if struck.is_ok() {
        match finale::write_last(&shared, &mut records).await {
            Ok(last) => {
                let _ = goal.send(Some(last.clone()));
                while let Some(done) = watches.join_next().await {
                    watched.extend(done.context("a watch of the load died")?);
                }
                let cluster = &stage.cluster;
                finale::judge(cluster, &last, &records, &watched, &mut faults, &mut load_figures)
                    .await;
            }
            Err(why) => faults.add(judge::DOWN, why),
        }
    }
    watches.shutdown().await;
    load_figures.count(&records, &watched);
    load_figures.events = events.load(Ordering::Relaxed);
    load_figures.took = shared.epoch.elapsed();
    drop(stage);
    let kept = if faults.is_empty() { None } else { Some(keep(dir, &records, &faults)?) };
    Ok(Outcome { figures, load: load_figures, faults: faults.texts().to_vec(), kept })
}

fn load_config(config: &Config) -> torture::Config {
    torture::Config {
        members: config.members,
        writes_per_second: config.writes_per_second,
        reads_per_second: config.reads_per_second,
        seed: config.seed,
        ..torture::Config::default()
    }
}

/// Makes faults until the time is over.
async fn strike(
    stage: &mut Stage,
    shared: &Arc<Shared>,
    figures: &mut Figures,
    config: &Config,
) -> anyhow::Result<()> {
    let seconds = config.time.as_secs();
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} s, {msg}")
        .context("a template that cannot be read")?;
    let bar = ProgressBar::new(seconds).with_style(style);
    let begun = Instant::now();
    let mut hand = Hand::new(stage, shared, figures, &bar);
    for round in Schedule::new(config.seed) {
        let gone = begun.elapsed();
        if gone + ROUND_USUAL > config.time {
            break;
        }
        bar.set_position(gone.as_secs());
        let acks = shared.acks.load(Ordering::Relaxed);
        let made: u64 = hand.figures.faults.values().sum();
        bar.set_message(format!("{made} faults, {acks} writes acknowledged"));
        hand.round(&round).await?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// Keeps everything, and writes beside it what was asked and what was wrong.
fn keep(dir: TempDir, records: &[journal::Record], faults: &Faults) -> anyhow::Result<PathBuf> {
    let dir = dir.keep();
    let write = |name: &str, text: String| -> anyhow::Result<()> {
        let path: &Path = &dir.join(name);
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("faults.txt", faults.texts().join("\n"))?;
    let lines: Vec<String> = records.iter().map(ToString::to_string).collect();
    write("journal.txt", lines.join("\n"))?;
    Ok(dir)
}
