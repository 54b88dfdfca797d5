//! The one entry to the chores of this repository: `cargo xtask VERB`.
//!
//! Verbs are thin: each lives in a module of its own and says what it does before it does it.

mod codegen;

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
}

fn main() -> anyhow::Result<()> {
    match Args::parse().verb {
        Verb::Codegen(args) => codegen::run(&args, &repository_root()),
    }
}

/// The directory that holds the workspace's manifest.
fn repository_root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("xtask lies one level below the root").to_path_buf()
}
