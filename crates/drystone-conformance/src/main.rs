//! `drystone-conformance`: compares Drystone with etcd and writes the compatibility page; and,
//! as verbs, tortures a cluster, brings a member back, and measures.

mod verbs;

use anyhow::Context as _;
use clap::Parser;
use drystone_conformance::commands::Runner;
use drystone_conformance::gateway;
use drystone_conformance::harness::Program;
use drystone_conformance::random;
use drystone_conformance::{Comparison, Report};
use std::path::PathBuf;
use std::process::ExitCode;

/// Compares Drystone with etcd, row by row.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    verb: Option<verbs::Verb>,
    /// Write the page to this file.
    #[arg(long)]
    write: Option<PathBuf>,
    /// The Drystone binary. Otherwise $DRYSTONE_BIN, or the one cargo built beside this.
    #[arg(long)]
    drystone: Option<PathBuf>,
    /// The etcd binary. Otherwise $ETCD_BIN, Debian's, or the first in PATH.
    #[arg(long)]
    etcd: Option<PathBuf>,
    /// Run these tables only: commands, rows, gateway, sequences, random, rpcs.
    #[arg(long, value_delimiter = ',')]
    table: Vec<String>,
    /// Run only stories and rows whose names hold this.
    #[arg(long, default_value = "")]
    only: String,
    /// Members of the clusters that commands run against.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 3])]
    members: Vec<usize>,
    /// Seed of the random stream.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Operations of the random stream.
    #[arg(long, default_value_t = 20_000)]
    operations: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(verb) = &args.verb {
        return verbs::run(verb).await;
    }
    let report = run(&args).await?;
    if let Some(path) = &args.write {
        std::fs::write(path, report.page())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let faults = report.faults();
    for fault in &faults {
        eprintln!("{fault}\n");
    }
    let rows: usize = report.commands.iter().map(|(_, findings)| findings.len()).sum();
    eprintln!(
        "{} with {}: {} command cases, {} rows, {} of JSON, {} sequences, {} fault(s)",
        report.drystone,
        report.etcd,
        rows,
        report.rows.len(),
        report.gateway.len(),
        report.sequences.len(),
        faults.len()
    );
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(args: &Args) -> anyhow::Result<Report> {
    let drystone = args.drystone.as_ref().map(|path| Program::at("Drystone", path));
    let etcd = args.etcd.as_ref().map(|path| Program::at("etcd", path));
    let comparison = Comparison::new(
        drystone.unwrap_or_else(Program::drystone)?,
        etcd.unwrap_or_else(Program::etcd)?,
    );
    let wanted = |table: &str| args.table.is_empty() || args.table.iter().any(|t| t == table);
    let mut report = Report {
        drystone: comparison.drystone.title(),
        etcd: comparison.etcd.title(),
        ..Report::default()
    };
    if wanted("rpcs") {
        report.rpcs = comparison.rpcs().await?;
    }
    if wanted("rows") {
        report.rows = comparison.rows(&args.only).await?;
    }
    if wanted("commands") {
        let runner = Runner::find()?;
        for members in &args.members {
            let findings = comparison.commands(&runner, *members, &args.only).await?;
            report.commands.push((*members, findings));
        }
    }
    if wanted("gateway") {
        let stories = gateway::stories()?;
        for story in stories.iter().filter(|story| story.name.contains(&args.only)) {
            let of_it = gateway::compare(&comparison.drystone, &comparison.etcd, story).await?;
            report.gateway.extend(of_it);
        }
    }
    if wanted("sequences") {
        report.sequences = comparison.sequences(3).await?;
    }
    if wanted("random") {
        let config = random::Config {
            seed: args.seed,
            operations: args.operations,
            restart_every: 2_000,
            expiry_every: 10_000,
            ..random::Config::default()
        };
        report.random = Some((config, comparison.random(&config).await?));
    }
    Ok(report)
}
