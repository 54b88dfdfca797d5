//! What must hold before a change lands, and what mends it.

use crate::process::Step;
use crate::{codegen, layers, prerequisites, sim};
use std::path::Path;

/// Arguments of `cargo xtask ci`.
#[derive(clap::Args)]
pub(crate) struct CiArgs {
    /// Leave out the tests, for whoever runs `cargo xtask test` beside it.
    #[arg(long)]
    without_tests: bool,
}

/// Prerequisites, then every test, and a share of simulation.
pub(crate) fn test(root: &Path) -> anyhow::Result<()> {
    prerequisites::compare(root)?;
    // One build for all: RocksDB is compiled anew for every other selection of packages. The
    // comparison runs the binary, which the tests of its own package make cargo build. Benches
    // are left out: run as tests they would fill stores of a million keys.
    Step::cargo(root)
        .words("test --workspace --lib --bins --tests --examples")
        .env("DRYSTONE_PYTHON_TESTS", "1")
        .run()?;
    Step::cargo(root)
        .words("test --package drystone-conformance --features etcd-client --test etcd_client")
        .run()?;
    Step::cargo(root).words("test --workspace --doc").run()?;
    sim::share(root)
}

/// Everything CI holds: formatting, lints, layers, generated code, docs and tests. Writes
/// nothing into the tree.
pub(crate) fn ci(args: &CiArgs, root: &Path) -> anyhow::Result<()> {
    prerequisites::compare(root)?;
    Step::cargo(root).words("fmt --all -- --check").run()?;
    layers::run(root)?;
    codegen::check(root)?;
    Step::cargo(root).words("clippy --workspace --all-targets -- -D warnings").run()?;
    Step::cargo(root)
        .words("doc --workspace --no-deps --document-private-items")
        .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links")
        .run()?;
    if args.without_tests { Ok(()) } else { test(root) }
}

/// Formats, applies what clippy can mend by itself, and regenerates code.
pub(crate) fn fix(root: &Path) -> anyhow::Result<()> {
    prerequisites::build(root)?;
    codegen::write(root)?;
    Step::cargo(root)
        .words("clippy --fix --allow-dirty --allow-staged --workspace --all-targets")
        .run()?;
    Step::cargo(root).words("fmt --all").run()
}
