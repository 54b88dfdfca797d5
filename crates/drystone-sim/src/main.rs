//! The simulator's command: runs of seeds and of kept plans, campaigns, and planted faults.

mod program;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use program::campaign::{self, Campaign};
use program::{mutants, one, repeat};
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs whole clusters in simulation, each from one seed, and judges everything they do.
#[derive(Parser)]
#[command(
    name = "cargo xtask sim",
    bin_name = "cargo xtask sim",
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    what: What,
    /// List the steps of the run's plan.
    #[arg(long)]
    steps: bool,
    /// Print everything that happens in the run.
    #[arg(long)]
    trace: bool,
    /// Print the hash of what happens in the run, and nothing else.
    #[arg(long)]
    hash: bool,
    /// Plant a fault in the run, by its name in `src/faults.rs`.
    #[arg(long, value_name = "NAME")]
    plant: Option<String>,
    /// Make the failing plan small, and keep it as a file.
    #[arg(long)]
    shrink: bool,
    /// The first seed of a campaign.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// End a campaign after so many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
#[group(multiple = false)]
struct What {
    /// Run one seed.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Run a kept plan.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// A campaign of so many seeds.
    #[arg(long, value_name = "N")]
    runs: Option<u64>,
    /// Run so many seeds here and in a second process, and compare what happened.
    #[arg(long, value_name = "K")]
    repeat: Option<u64>,
}

#[derive(Args)]
struct Common {
    /// Threads; as many as there are cores if not given.
    #[arg(long, global = true)]
    jobs: Option<usize>,
    /// Where failing plans are kept.
    #[arg(long, value_name = "DIR", global = true, default_value = "crates/drystone-sim/regress")]
    keep: PathBuf,
}

#[derive(Subcommand)]
enum Verb {
    /// Plant each fault in turn, and require that it is found.
    Mutants(mutants::Options),
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    drystone_sim::hear_panics();
    let jobs = match arguments.common.jobs {
        Some(jobs) => jobs.max(1),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let is_clean = match (&arguments.verb, &arguments.what) {
        (Some(Verb::Mutants(options)), _) => mutants::run(options, jobs)?,
        (None, What { repeat: Some(count), .. }) => repeat::run(arguments.from, *count, jobs)?,
        (None, What { seed, plan, .. }) if seed.is_some() || plan.is_some() => {
            let planted = arguments.plant.as_deref().map(program::fault).transpose()?;
            let subject = match (seed, plan) {
                (Some(seed), _) => one::Subject::seed(*seed, planted),
                (_, Some(path)) => one::Subject::file(path)?,
                (None, None) => anyhow::bail!("neither a seed nor a plan"),
            };
            let show =
                one::Show { steps: arguments.steps, trace: arguments.trace, hash: arguments.hash };
            let keep = arguments.shrink.then_some(arguments.common.keep.as_path());
            one::run(&subject, show, keep)?
        }
        (None, What { runs, .. }) => {
            let runs = runs.or(arguments.minutes.map(|_| u64::MAX - arguments.from));
            let campaign = Campaign {
                from: arguments.from,
                runs: runs.context("say --seed, --plan, --runs, --minutes, --repeat or mutants")?,
                minutes: arguments.minutes,
                jobs,
                keep: arguments.common.keep,
            };
            campaign::run(&campaign)?
        }
    };
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
