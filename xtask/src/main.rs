//! The one entry to the chores of this repository: `cargo xtask VERB`.
//!
//! Verbs are thin: each lives in a module of its own and says what it does before it does it.

mod checks;
mod cluster;
mod codegen;
mod conform;
mod image;
mod layers;
mod package;
mod prerequisites;
mod process;
mod sim;
mod up;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development chores of the Drystone repository")]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Regenerate the Rust code of `drystone-api` from `proto/`.
    Codegen(codegen::Args),
    /// Check prerequisites, build, and start a server, or a local cluster with --members 3.
    Up(up::Args),
    /// Torture a local cluster, bring a member back after a long absence, or list a large store.
    Cluster(cluster::Args),
    /// Fail processes, disks and networks of a real cluster under load, and judge what clients
    /// were told. Needs root.
    Chaos(cluster::ChaosArgs),
    /// Measure Drystone and etcd under the same loads, side by side.
    Bench(cluster::BenchArgs),
    /// Compare Drystone with etcd: all tables, or one random stream of requests.
    Conform(conform::Args),
    /// Run whole clusters in simulation, each from one seed, and judge them.
    Sim(sim::Args),
    /// Make the Debian package, with manual pages and completions.
    Package(package::Args),
    /// Run the Dockerfile's steps in bare Debian roots and start what they made. Needs root.
    Image(image::Args),
    /// Check prerequisites, then run every test.
    Test,
    /// Everything CI holds: formatting, lints, layers, generated code, docs and tests.
    Ci(checks::CiArgs),
    /// Mend what can be mended without thought: generated code, lints, formatting.
    Fix,
    /// Hold the crates' dependencies against the table of layers.
    Layers,
}

fn main() -> anyhow::Result<()> {
    let root = repository_root();
    match Args::parse().verb {
        Verb::Codegen(args) => codegen::run(&args, &root),
        Verb::Up(args) => up::run(&args, &root),
        Verb::Cluster(args) => cluster::run(&args, &root),
        Verb::Chaos(args) => cluster::chaos(&args, &root),
        Verb::Bench(args) => cluster::bench(&args, &root),
        Verb::Conform(args) => conform::run(&args, &root),
        Verb::Sim(args) => sim::run(&args, &root),
        Verb::Package(args) => package::run(&args, &root),
        Verb::Image(args) => image::run(&args, &root),
        Verb::Test => checks::test(&root),
        Verb::Ci(args) => checks::ci(&args, &root),
        Verb::Fix => checks::fix(&root),
        Verb::Layers => layers::run(&root),
    }
}

/// The directory that holds the workspace's manifest.
fn repository_root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("xtask lies one level below the root").to_path_buf()
}
