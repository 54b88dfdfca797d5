//! `cargo xtask image`: the steps of `packaging/Dockerfile` in bare Debian roots, so that the
//! image is known to build and to run where no container engine is.
//!
//! A stage begins in a root made by `debootstrap`, its `RUN` lines run in it by `chroot`, and the
//! last one's entry point is started as the image's user over a file system that cannot be
//! written, save for its volumes. Needs root.

mod recipe;
pub(crate) mod root;

use crate::prerequisites;
use anyhow::{Context, bail};
use recipe::{Instruction, Recipe, Stage};
use root::Root;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long the server may take until it answers.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// The signal that ends a container.
const SIGTERM: i32 = 15;
/// Pause between two questions to it.
const ASK_PAUSE: Duration = Duration::from_millis(200);

/// Arguments of `cargo xtask image`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the roots are made; what lies there from an earlier run is removed.
    #[arg(long, default_value = "target/image")]
    into: PathBuf,
    /// What makes the next run quick, and no run right: packages and the recipe's cache mounts
    /// [default: `drystone/image` in the user's cache directory].
    #[arg(long)]
    cache: Option<PathBuf>,
    /// Only build; do not start the server.
    #[arg(long)]
    build_only: bool,
}

/// Runs the verb.
pub(crate) fn run(args: &Args, source: &Path) -> anyhow::Result<()> {
    prerequisites::image(source)?;
    let into = source.join(&args.into);
    let cache =
        args.cache.as_ref().map_or_else(root::user_cache, |cache| Ok(source.join(cache)))?;
    let text = std::fs::read_to_string(source.join("packaging/Dockerfile"))?;
    let recipe = Recipe::parse(&text)?;
    let mut roots: Vec<(Option<String>, Root)> = Vec::new();
    for (at, stage) in recipe.stages.iter().enumerate() {
        eprintln!("image: stage {} of {}, from {}", at + 1, recipe.stages.len(), stage.base);
        let root = Root::of_image(&into.join(format!("stage{at}")), &stage.base, &cache)?;
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
            Instruction::Run { caches, script } => root.run(script, &folder, caches)?,
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
    let tried = wait_for_answer(root, stage, &client, &mut server)
        .and_then(|()| healthy(&client))
        .and_then(|()| confined(stage, server.id()));
    // As an engine ends a container: SIGTERM, and wait.
    root::succeed(Command::new("kill").arg(server.id().to_string()))?;
    let ended = server.wait()?;
    tried?;
    let by_signal = ended.signal() == Some(SIGTERM);
    anyhow::ensure!(by_signal, "the server did not end by SIGTERM: {ended}");
    eprintln!("image: put, get and /health answered by user {}, root read-only", stage.user);
    Ok(())
}

/// Writes a key as soon as the server takes it, and reads it back.
fn wait_for_answer(
    root: &Root,
    stage: &Stage,
    address: &str,
    server: &mut Child,
) -> anyhow::Result<()> {
    // By the link that scripts made for etcd call.
    let ctl = |words: &[&str]| {
        let words = [&["/usr/local/bin/etcdctl", "--endpoints", address], words].concat();
        root.output(&stage.user, &words)
    };
    let deadline = Instant::now() + ANSWER_MAX;
    while ctl(&["put", "hello", "world"])?.is_none() {
        if let Some(status) = server.try_wait()? {
            bail!("the server ended by itself: {status}");
        }
        if Instant::now() > deadline {
            bail!("the server did not answer within {} s", ANSWER_MAX.as_secs());
        }
        std::thread::sleep(ASK_PAUSE);
    }
    let read = ctl(&["get", "hello"])?;
    anyhow::ensure!(read.as_deref() == Some("hello\nworld\n"), "get hello printed {read:?}");
    Ok(())
}

/// Asks `/health`, as a probe does.
fn healthy(address: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let good = answer.starts_with("HTTP/1.1 200") && answer.contains(r#""health":"true""#);
    anyhow::ensure!(good, "/health answered {answer}");
    Ok(())
}

/// Holds the kernel's word on a process against the recipe: whose it is, and that it cannot write
/// its root.
fn confined(stage: &Stage, process: u32) -> anyhow::Result<()> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let user = stage.user.split(':').next().unwrap_or_default();
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    let of_user = users.split_whitespace().all(|id| id == user && id != "0");
    anyhow::ensure!(of_user, "the server runs as {users}, and the image's user is {user}");
    let mounts = std::fs::read_to_string(format!("/proc/{process}/mounts"))?;
    let root = mounts.lines().map(|line| line.split(' ')).find_map(|mut fields| {
        (fields.nth(1) == Some("/")).then(|| fields.nth(1).unwrap_or_default().to_owned())
    });
    let read_only = root.as_deref().is_some_and(|options| options.split(',').any(|o| o == "ro"));
    anyhow::ensure!(read_only, "the server's root is mounted with {root:?}");
    Ok(())
}

/// A loopback address that nobody listens on at this moment.
fn free_address() -> anyhow::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
