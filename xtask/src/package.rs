//! `cargo xtask package`: the Debian package, with its manual pages and completions.

mod boot;

use crate::process::{Step, is_there};
use crate::{prerequisites, up};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The packager that makes the package, and its version.
const PACKAGER: &str = "cargo-deb@3.8.0";

/// Arguments of `cargo xtask package`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Then boot a bare Debian with systemd, install the package there, and hold the service to
    /// its unit, up to the purge. Needs root.
    #[arg(long)]
    boot: bool,
}

/// Runs the verb.
pub(crate) fn run(args: &Args, root: &Path) -> anyhow::Result<()> {
    prerequisites::build(root)?;
    if args.boot {
        prerequisites::boot(root)?;
    }
    let folder = root.join("target/package");
    let package = pack(root, &folder)?;
    if args.boot {
        boot::run(&package, &folder)?;
    }
    Ok(())
}

/// Builds the binary, writes what it says of itself, and packs all of it.
fn pack(root: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let binary = up::build(root, true)?;
    describe(root, &binary, folder)?;
    if !is_there("cargo-deb") {
        Step::cargo(root).words("install --locked").word(PACKAGER).run()?;
    }
    // The name carries the version. One of an earlier version must not be taken for this.
    for old in [files(folder, "deb")?, files(folder, "ddeb")?].concat() {
        std::fs::remove_file(old)?;
    }
    Step::cargo(root)
        .words("deb --no-build --dbgsym --package drystone --output target/package/")
        .run()?;
    files(folder, "deb")?.pop().context("cargo-deb left no package")
}

fn files(folder: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let paths = entries.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.extension() == Some(extension.as_ref())).collect())
}

/// Has the binary write its manual pages and completions to where the package looks for them.
fn describe(root: &Path, binary: &Path, folder: &Path) -> anyhow::Result<()> {
    let man = folder.join("man");
    // Pages of commands that are gone must not stay.
    if man.exists() {
        std::fs::remove_dir_all(&man).context("cannot remove the old manual pages")?;
    }
    std::fs::create_dir_all(&man).context("cannot make target/package/man")?;
    Step::new(root, &binary.to_string_lossy()).word("man").word(man.to_string_lossy()).run()?;
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(binary).args(["completion", shell]).output()?;
        anyhow::ensure!(output.status.success(), "drystone completion {shell}: {}", output.status);
        std::fs::write(folder.join(format!("drystone.{shell}")), output.stdout)?;
    }
    Ok(())
}
