//! `cargo xtask up`: from a fresh clone to a server that answers.

use crate::prerequisites;
use crate::process::Step;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// First client port of a local cluster; etcd's own.
const CLIENT_PORT: u16 = 2379;
/// Distance between the ports of two members.
const PORT_STEP: u16 = 10_000;

/// Arguments of `cargo xtask up`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many members to start, on loopback.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=5))]
    members: u16,
    /// Build without optimisation, which is quicker to build and slower to run.
    #[arg(long)]
    debug: bool,
    /// Where the members keep their data.
    #[arg(long, default_value = "target/up")]
    data_dir: PathBuf,
}

/// Runs the verb: ends when a member ends, or at Ctrl-C, which reaches the members too.
pub(crate) fn run(args: &Args, root: &Path) -> anyhow::Result<()> {
    prerequisites::build(root)?;
    let binary = build(root, !args.debug)?;
    let members: Vec<Local> = (0..args.members).map(Local::new).collect();
    let cluster: Vec<String> =
        members.iter().map(|member| format!("{}={}", member.name, member.peer_url)).collect();
    let mut children = Vec::new();
    for member in &members {
        let data_dir = root.join(&args.data_dir).join(&member.name);
        children.push(member.start(&binary, &data_dir, &cluster.join(","))?);
    }
    let endpoints: Vec<&str> = members.iter().map(|member| member.client_url.as_str()).collect();
    eprintln!(
        "up: {} member(s); try: {} ctl --endpoints {} put hello world",
        members.len(),
        binary.display(),
        endpoints.join(",")
    );
    wait_for_any(&mut children)
}

/// Builds the binary and returns its path.
pub(crate) fn build(root: &Path, release: bool) -> anyhow::Result<PathBuf> {
    let step = Step::cargo(root).words("build --package drystone");
    if release { step.word("--release") } else { step }.run()?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let profile = if release { "release" } else { "debug" };
    Ok(root.join(target).join(profile).join("drystone"))
}

/// One member of a cluster on loopback.
struct Local {
    name: String,
    client_url: String,
    peer_url: String,
}

impl Local {
    fn new(number: u16) -> Self {
        let client = CLIENT_PORT + number * PORT_STEP;
        Self {
            name: format!("m{}", number + 1),
            client_url: format!("http://127.0.0.1:{client}"),
            peer_url: format!("http://127.0.0.1:{}", client + 1),
        }
    }

    fn start(&self, binary: &Path, data_dir: &Path, cluster: &str) -> anyhow::Result<Child> {
        std::fs::create_dir_all(data_dir)
            .with_context(|| format!("cannot create {}", data_dir.display()))?;
        Command::new(binary)
            .args(["--name", &self.name])
            .arg("--data-dir")
            .arg(data_dir)
            .args(["--listen-client-urls", &self.client_url])
            .args(["--advertise-client-urls", &self.client_url])
            .args(["--listen-peer-urls", &self.peer_url])
            .args(["--initial-advertise-peer-urls", &self.peer_url])
            .args(["--initial-cluster", cluster])
            .args(["--log-format", "console"])
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))
    }
}

/// Waits until a member ends, then ends the others.
fn wait_for_any(children: &mut [Child]) -> anyhow::Result<()> {
    loop {
        let ended = children.iter_mut().find_map(|child| child.try_wait().ok().flatten());
        if let Some(status) = ended {
            for child in children.iter_mut() {
                // Already ended ones refuse; there is nothing to do about that.
                let _ = child.kill();
                let _ = child.wait();
            }
            if status.success() {
                return Ok(());
            }
            bail!("a member ended: {status}");
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}
