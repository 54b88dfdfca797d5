//! `cargo xtask package`: the Debian package, with its manual pages and completions.

use crate::process::{Step, is_there};
use crate::{prerequisites, up};
use anyhow::Context;
use std::path::Path;
use std::process::Command;

/// The packager that makes the package, and its version.
const PACKAGER: &str = "cargo-deb@3.8.0";

/// Builds the binary, writes what it says of itself, and packs all of it.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    prerequisites::build(root)?;
    let binary = up::build(root, true)?;
    describe(root, &binary)?;
    if !is_there("cargo-deb") {
        Step::cargo(root).words("install --locked").word(PACKAGER).run()?;
    }
    Step::cargo(root)
        .words("deb --no-build --no-strip --package drystone --output target/package/")
        .run()
}

/// Has the binary write its manual pages and completions to where the package looks for them.
fn describe(root: &Path, binary: &Path) -> anyhow::Result<()> {
    let folder = root.join("target/package");
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
