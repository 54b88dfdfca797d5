//! `cargo xtask sim`: builds the simulator with its marks and planted faults, then hands over to
//! it.

use crate::process::Step;
use std::path::{Path, PathBuf};

/// What switches marks and planted faults on (`drystone-probe`).
const CFG: &str = "--cfg drystone_sim";

/// Arguments of `cargo xtask sim`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// What the simulator is asked for; `--help` tells.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, num_args = 0..)]
    words: Vec<String>,
}

/// Runs `cargo xtask sim`.
pub(crate) fn run(args: &Args, root: &Path) -> anyhow::Result<()> {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    call(root, &words)
}

/// A share of what the simulator can do, for every run of the tests.
pub(crate) fn share(root: &Path) -> anyhow::Result<()> {
    call(root, &["--runs", "1500"])?;
    call(root, &["--repeat", "20"])?;
    call(root, &["mutants"])
}

fn call(root: &Path, words: &[&str]) -> anyhow::Result<()> {
    let flags = match std::env::var("RUSTFLAGS") {
        Ok(flags) if !flags.trim().is_empty() => format!("{flags} {CFG}"),
        _ => CFG.to_owned(),
    };
    // A directory of its own: other flags would have everything built anew, again and again.
    let target = target(root).join("sim-cfg");
    Step::cargo(root)
        .words("build --quiet --profile sim --package drystone-sim --bin drystone-sim")
        .env("RUSTFLAGS", &flags)
        .env("CARGO_TARGET_DIR", &target.to_string_lossy())
        .run()?;
    let program = target.join("sim").join("drystone-sim");
    let step = Step::new(root, &program.to_string_lossy());
    words.iter().fold(step, Step::word).run()
}

fn target(root: &Path) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    root.join(target)
}
