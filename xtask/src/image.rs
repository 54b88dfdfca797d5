//! `cargo xtask image`: the steps of `packaging/Dockerfile` in bare Debian roots, so that the
//! image is known to build and to run where no container engine is.
//!
//! A stage begins in a root made by `debootstrap`, its `RUN` lines run in it by `chroot`, and the
//! last one's entry point is started as the image's user over a file system that cannot be
//! written, save for its volumes. Needs root.

mod recipe;
mod root;

use crate::prerequisites;
use anyhow::{Context, bail};
use recipe::{Instruction, Recipe, Stage};
use root::Root;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long the server may take until it answers.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Pause between two questions to it.
const ASK_PAUSE: Duration = Duration::from_millis(200);

/// Arguments of `cargo xtask image`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the roots are made; what lies there from an earlier run is removed.
    #[arg(long, default_value = "target/image")]
    into: PathBuf,
    /// Only build; do not start the server.
    #[arg(long)]
    build_only: bool,
}

/// Runs the verb.
pub(crate) fn run(args: &Args, source: &Path) -> anyhow::Result<()> {
    prerequisites::image(source)?;
    let into = source.join(&args.into);
    let text = std::fs::read_to_string(source.join("packaging/Dockerfile"))?;
    let recipe = Recipe::parse(&text)?;
    let mut roots: Vec<(Option<String>, Root)> = Vec::new();
    for (at, stage) in recipe.stages.iter().enumerate() {
        eprintln!("image: stage {} of {}, from {}", at + 1, recipe.stages.len(), stage.base);
        let root = Root::debootstrap(&into.join(format!("stage{at}")), &stage.base)?;
        build(stage, &root, source, &into, &roots)?;
        roots.push((stage.name.clone(), root));
    }
    let stage = recipe.stages.last().context("the Dockerfile has no stage")?;
    let (_, root) = roots.last().context("the Dockerfile has no stage")?;
    if args.build_only {
        return Ok(());
    }
    try_out(stage, root)
}

/// Does what a stage says to its root.
fn build(
    stage: &Stage,
    root: &Root,
    source: &Path,
    into: &Path,
    earlier: &[(Option<String>, Root)],
) -> anyhow::Result<()> {
    let mut folder = PathBuf::from("/");
    for instruction in &stage.instructions {
        match instruction {
            Instruction::Run(script) => root.run(script, &folder)?,
            Instruction::Workdir(path) => {
                folder.clone_from(path);
                std::fs::create_dir_all(root.inside(path))?;
            }
            Instruction::Copy { from: None, to, .. } => {
                root.copy_tree(
                    source,
                    &root.inside(&folder.join(to)),
                    &[&source.join("target"), &source.join(".git"), into],
                )?;
            }
            Instruction::Copy { from: Some(name), what, to } => {
                let (_, other) = earlier
                    .iter()
                    .find(|(known, _)| known.as_ref() == Some(name))
                    .with_context(|| format!("COPY --from={name}: there is no such stage"))?;
                root.copy_tree(&other.inside(what), &root.inside(&folder.join(to)), &[])?;
            }
        }
    }
    Ok(())
}

/// Starts the entry point as the image's user, over a read-only root, and writes and reads a key.
fn try_out(stage: &Stage, root: &Root) -> anyhow::Result<()> {
    let (client, peer) = (free_address()?, free_address()?);
    let words = [
        format!("--listen-client-urls=http://{client}"),
        format!("--advertise-client-urls=http://{client}"),
        format!("--listen-peer-urls=http://{peer}"),
        format!("--initial-advertise-peer-urls=http://{peer}"),
        format!("--initial-cluster=default=http://{peer}"),
    ];
    let mut server = root.start(stage, &words)?;
    let answered = wait_for_answer(root, &client, &mut server);
    // As an engine ends a container: SIGTERM, and wait.
    root::succeed(Command::new("kill").arg(server.id().to_string()))?;
    server.wait()?;
    if !answered? {
        bail!("the server did not answer within {} s", ANSWER_MAX.as_secs());
    }
    eprintln!("image: the server answered, as user {}, over a read-only root", stage.user);
    Ok(())
}

fn wait_for_answer(root: &Root, address: &str, server: &mut Child) -> anyhow::Result<bool> {
    // By the link that scripts made for etcd call.
    let ctl = "/usr/local/bin/etcdctl";
    let deadline = Instant::now() + ANSWER_MAX;
    while Instant::now() < deadline {
        if let Some(status) = server.try_wait()? {
            bail!("the server ended by itself: {status}");
        }
        if root.succeeds(ctl, &["--endpoints", address, "put", "hello", "world"])? {
            return root.succeeds(ctl, &["--endpoints", address, "get", "hello"]);
        }
        std::thread::sleep(ASK_PAUSE);
    }
    Ok(false)
}

/// A loopback address that nobody listens on at this moment.
fn free_address() -> anyhow::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
