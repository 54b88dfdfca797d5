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
mod finale;
mod frozen;
mod hand;
mod listen;
mod load;
mod log;
mod network;
mod notebook;
mod rules;
mod schedule;
mod stage;
mod tool;
mod trace;
mod volume;

pub use figures::{Ended, Figures};
pub use frozen::{Outcome as Frozen, run as freeze_leader};
pub use schedule::{Fault, Kind, Round, Schedule, Whom};

use crate::harness::{Launch, Member, Program};
use crate::torture::load::Shared;
use anyhow::{Context as _, bail};
use drystone_judge::{History, VIOLATIONS_MAX};
use finale::Remains;
use hand::Hand;
use indicatif::{ProgressBar, ProgressStyle};
use listen::Ears;
use notebook::Notebook;
use stage::{Ground, Stage};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

/// Rounds begin no later than this before the end of a run: one takes about this long.
const ROUND_USUAL: Duration = Duration::from_secs(10);
/// Threads of the clients' runtime.
const CLIENT_THREADS: usize = 2;
/// Bound on one call of a client.
const CALL_MAX: Duration = Duration::from_secs(5);
/// Flags of every member: a flush of the store every few seconds, so that disks that fail meet
/// it, and a log that keeps all entries, for the judges.
const FLAGS: [&str; 4] = ["--snapshot-count", "500", "--snapshot-catchup-entries", "1000000000"];

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
    /// What was counted and measured.
    pub figures: Figures,
    /// What was wrong; empty if nothing was.
    pub faults: Vec<String>,
    /// Logs, file systems and the history, kept if anything was wrong.
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
    let mut flags: Vec<String> = FLAGS.map(str::to_owned).to_vec();
    flags.extend_from_slice(&config.flags);
    let launch = Launch { members: config.members, flags, ..Launch::default() };
    let mut stage = Stage::start(ground, program, &launch, dir.path()).await?;
    eprintln!("chaos: {} with seed {}", program.title(), config.seed);
    let shared = Arc::new(Shared::new(stage.cluster.endpoints(), load::KEYS, CALL_MAX));
    let ids = stage.cluster.members().iter().map(Member::id).collect();
    let notebook = Arc::new(Notebook::new(shared.clone(), ids));
    let (goal, goal_told) = watch::channel(None);
    let ears = Ears { notebook: notebook.clone(), goal: goal_told };
    let paces = (config.writes_per_second, config.reads_per_second);
    let load = (load::start(&notebook, config.seed, paces), listen::start(&ears, config.seed));
    let mut figures = Figures { program: program.title(), seed: config.seed, ..Figures::default() };

    let struck = strike(&mut stage, &shared, &mut figures, config).await;
    eprintln!("chaos: the load ends, leases run out, watches catch up");
    let collected =
        finale::collect(&mut stage, &notebook, load, &goal, struck.is_ok(), &mut figures).await;
    figures.took = shared.epoch.elapsed();
    drop(stage);
    let Remains { mut history, mut faults } = match collected {
        Ok(remains) => remains,
        Err(error) => {
            let kept = dir.keep();
            return Err(error.context(format!("data and logs are kept in {}", kept.display())));
        }
    };
    if let Err(why) = struck {
        faults.push(format!("{why:#}"));
    }
    figures.count(&history);
    figures.silences = notebook.silences();
    eprintln!("chaos: judging {} calls", history.operations.len());
    let begun = Instant::now();
    let judged = tokio::task::spawn_blocking(move || {
        let verdict = finale::judge(&mut history);
        (history, verdict)
    });
    let (history, verdict) = judged.await.context("the judge died")?;
    figures.judged = begun.elapsed();
    faults.extend(verdict.violations().iter().map(ToString::to_string));
    if verdict.left_out() > 0 {
        faults.push(format!("{} more than {VIOLATIONS_MAX}", verdict.left_out()));
    }
    let kept = if faults.is_empty() { None } else { Some(keep(dir, &history, &faults)?) };
    Ok(Outcome { figures, faults, kept })
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

/// Keeps everything, and writes beside it what was asked and told, and what was wrong.
fn keep(dir: TempDir, history: &History, faults: &[String]) -> anyhow::Result<PathBuf> {
    let dir = dir.keep();
    let write = |name: &str, lines: &mut dyn Iterator<Item = String>| -> anyhow::Result<()> {
        let path: &Path = &dir.join(name);
        let file = File::create(path);
        let file = file.with_context(|| format!("cannot make {}", path.display()))?;
        let mut file = BufWriter::new(file);
        for line in lines {
            writeln!(file, "{line}").context("cannot write what was found")?;
        }
        file.flush().context("cannot write what was found")
    };
    write("faults.txt", &mut faults.iter().cloned())?;
    write("operations.txt", &mut history.operations.iter().map(|each| format!("{each:?}")))?;
    write("streams.txt", &mut history.streams.iter().map(|each| format!("{each:?}")))?;
    write("log.txt", &mut history.log.iter().map(|each| format!("{each:?}")))?;
    Ok(dir)
}
