//! One member is away for more writes than the log keeps, comes back while writes go on, and
//! must catch up by a checkpoint.

use crate::harness::{Cluster, Launch, Limits, Program, Stop};
use crate::process::{self, Memory};
use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use drystone_api::etcdserverpb as pb;
use drystone_client::{Client, Config as ClientConfig};
use rand::rngs::SmallRng;
use rand::{RngCore as _, SeedableRng as _};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How a member is kept away.
#[derive(Clone, Debug)]
pub struct Config {
    /// Writes while it is away.
    pub writes: u64,
    /// Entries of the log that members keep for those that are slow.
    pub catchup_entries: u64,
    /// Clients that write at once.
    pub clients: u64,
    /// Keys that are written over and over.
    pub keys: u64,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Writes a second that go on while it comes back.
    pub writes_per_second: u32,
    /// Bound on the writes while it is away.
    pub away_max: Duration,
    /// Bound on coming back.
    pub return_max: Duration,
    /// More flags for every member.
    pub flags: Vec<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            writes: 200_000,
            catchup_entries: 5_000,
            clients: 128,
            keys: 50_000,
            value_bytes: 256,
            writes_per_second: 300,
            away_max: Duration::from_secs(15 * 60),
            return_max: Duration::from_secs(180),
            flags: Vec::new(),
        }
    }
}

/// What was seen; [`fmt::Display`] prints it as a table.
#[derive(Clone, Debug)]
pub struct Outcome {
    program: String,
    writes: u64,
    away: Duration,
    writes_on: u64,
    returned: Duration,
    bytes: Option<u64>,
    data_bytes: u64,
    sender: (Memory, Memory),
    receiver: Memory,
    hashes: Vec<u32>,
    revision: i64,
    line: Option<String>,
    kept: Option<PathBuf>,
}

/// Bound on one call; generous, as two members share a machine with a third that catches up.
const CALL_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Writes go on for this long after the member is back.
const AFTER: Duration = Duration::from_secs(2);
/// Clients of the writes that go on.
const CLIENTS_ON: u64 = 4;
/// What a log says when a snapshot has been taken in: Drystone's and etcd's words.
const RECEIVED: [&str; 3] =
    ["installed a snapshot", "received and saved a snapshot", "applied snapshot"];
const SENT: &str = "sent database snapshot";

impl Outcome {
    /// What is wrong, if anything.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.line.is_none() {
            faults.push("its log does not say that it took in a snapshot".to_owned());
        }
        if self.hashes.iter().any(|hash| *hash != self.hashes[0]) {
            faults.push(format!("hashes at revision {}: {:?}", self.revision, self.hashes));
        }
        if self.writes_on == 0 {
            faults.push("no write was acknowledged while it came back".to_owned());
        }
        faults
    }

    /// Where data and logs are kept, if anything was wrong.
    pub fn kept(&self) -> Option<&Path> {
        self.kept.as_deref()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        let (before, after) = self.sender;
        let sent = self.bytes.map_or("not told".to_owned(), mib);
        for (name, value) in [
            ("figure", "value".to_owned()),
            ("---", "---".to_owned()),
            ("server", self.program.clone()),
            ("writes while away", format!("{} in {:.1?}", self.writes, self.away)),
            ("back and level with the leader", format!("{:.2?}", self.returned)),
            ("writes acknowledged meanwhile", self.writes_on.to_string()),
            ("snapshot sent", sent),
            ("its data directory", mib(self.data_bytes)),
            ("sender's memory before", mib(before.now)),
            ("sender's peak while sending", mib(after.peak)),
            ("receiver's peak", mib(self.receiver.peak)),
            ("hashes", format!("{:?} at revision {}", self.hashes, self.revision)),
            ("its log says", self.line.clone().unwrap_or_else(|| "nothing of it".into())),
        ] {
            writeln!(f, "| {name} | {value} |")?;
        }
        for fault in self.faults() {
            writeln!(f, "| FAULT | {fault} |")?;
        }
        Ok(())
    }
}

/// Runs it, telling its progress on standard error.
///
/// # Errors
/// What kept it from coming to an end; data and logs are kept then too.
pub async fn run(program: &Program, config: &Config) -> anyhow::Result<Outcome> {
    let launch = Launch {
        members: 3,
        flags: flags(program, config),
        limits: Limits { start: config.return_max, ..Limits::default() },
        ..Launch::default()
    };
    let mut cluster = Cluster::start(program, &launch).await?;
    let done = rejoin(program, config, &mut cluster).await;
    match done {
        Ok(outcome) if outcome.faults().is_empty() => Ok(outcome),
        Ok(outcome) => Ok(Outcome { kept: cluster.keep(), ..outcome }),
        Err(error) => {
            let kept = cluster.keep().unwrap_or_default();
            Err(error.context(format!("data and logs are kept in {}", kept.display())))
        }
    }
}

fn flags(program: &Program, config: &Config) -> Vec<String> {
    // etcd 3.5 and older have it as an experiment.
    let old = program.kind() == "etcd" && program.version() < "3.6";
    let name =
        if old { "--experimental-snapshot-catchup-entries" } else { "--snapshot-catchup-entries" };
    let mut flags = vec![name.to_owned(), config.catchup_entries.to_string()];
    if old {
        // Its log is cut when it makes a snapshot, which is every 100,000 entries by default.
        flags.extend(["--snapshot-count".to_owned(), "10000".to_owned()]);
    }
    flags.extend(config.flags.iter().cloned());
    flags
}

async fn rejoin(
    program: &Program,
    config: &Config,
    cluster: &mut Cluster,
) -> anyhow::Result<Outcome> {
    let endpoints = cluster.endpoints();
    let leader = leader(&endpoints).await.context("no leader")?;
    let away = (leader + 1) % endpoints.len();
    let others: Vec<String> =
        endpoints.iter().filter(|other| **other != endpoints[away]).cloned().collect();
    cluster.member_mut(away).stop(Stop::Kill).await?;
    eprintln!("rejoin: {} is away, {} writes begin", endpoints[away], config.writes);

    let begun = Instant::now();
    let load = Load::new(config, &others);
    tokio::time::timeout(config.away_max, load.write_all(config.writes, config.clients))
        .await
        .with_context(|| format!("{} writes took over {:?}", config.writes, config.away_max))??;
    let took_away = begun.elapsed();

    let sender_pid = cluster.members()[leader].pid().context("the leader has no process")?;
    let before = process::memory(sender_pid);
    process::forget_peak(sender_pid).context("cannot reset the peak of the leader's memory")?;
    let goal = applied(&endpoints[leader]).await?;
    eprintln!("rejoin: {took_away:.1?}; it comes back, to index {goal}, while writes go on");
    let mut on = load.go_on(config.writes_per_second);
    let acks = load.acks.load(Ordering::Relaxed);
    let begun = Instant::now();
    cluster.member_mut(away).spawn()?;
    level(cluster, away, goal, config.return_max).await?;
    let returned = begun.elapsed();
    let writes_on = load.acks.load(Ordering::Relaxed) - acks;
    eprintln!("rejoin: it is level after {returned:.2?}");
    tokio::time::sleep(AFTER).await;
    load.stopped.store(true, Ordering::Release);
    while let Some(done) = on.join_next().await {
        done.context("a writer died")??;
    }

    let member = &cluster.members()[away];
    let receiver = process::memory(member.pid().context("it has no process")?);
    let (revision, hashes) = hashes(&endpoints).await?;
    let sent: Vec<String> =
        cluster.members().iter().filter_map(|m| last_line(m.log_path(), &[SENT])).collect();
    Ok(Outcome {
        program: program.title(),
        writes: config.writes,
        away: took_away,
        writes_on,
        returned,
        bytes: sent.iter().find_map(|line| number_after(line, "bytes")),
        data_bytes: process::bytes_below(member.data_dir()),
        sender: (before, process::memory(sender_pid)),
        receiver,
        hashes,
        revision,
        line: last_line(member.log_path(), &RECEIVED),
        kept: None,
    })
}

pub(crate) fn client(endpoints: &[String]) -> Client {
    let mut config = ClientConfig::parse(endpoints).expect("the harness makes valid endpoints");
    config.timeouts.call = Some(CALL_MAX);
    Client::new(config).expect("a config with endpoints and without a token is valid")
}

pub(crate) async fn leader(endpoints: &[String]) -> Option<usize> {
    for (n, endpoint) in endpoints.iter().enumerate() {
        let status = client(std::slice::from_ref(endpoint)).status(pb::StatusRequest {}).await;
        let Ok(status) = status else { continue };
        if status.header.is_some_and(|header| header.member_id == status.leader) {
            return Some(n);
        }
    }
    None
}

async fn applied(endpoint: &str) -> anyhow::Result<u64> {
    let status = client(&[endpoint.to_owned()]).status(pb::StatusRequest {}).await?;
    Ok(status.raft_applied_index)
}

/// Waits until the member has applied `goal` and answers a linearizable read.
async fn level(
    cluster: &mut Cluster,
    member: usize,
    goal: u64,
    max: Duration,
) -> anyhow::Result<()> {
    let until = Instant::now() + max;
    let address = cluster.members()[member].client_address().to_owned();
    loop {
        let reached = applied(&address).await.unwrap_or(0);
        if reached >= goal {
            cluster.member_mut(member).ready().await?;
            return Ok(());
        }
        if let Some(status) = cluster.member_mut(member).ended() {
            bail!("it ended: {status}\n{}", cluster.members()[member].log_tail());
        }
        ensure!(
            Instant::now() < until,
            "it has applied {reached} of {goal} within {max:?}\n{}",
            cluster.members()[member].log_tail()
        );
        tokio::time::sleep(POLL).await;
    }
}

/// Every member's hash at the same revision, the last.
pub(crate) async fn hashes(endpoints: &[String]) -> anyhow::Result<(i64, Vec<u32>)> {
    let mut revision = 0;
    for endpoint in endpoints {
        // A linearizable read on each, so that each has applied all.
        let read = pb::RangeRequest { key: "settle".into(), ..Default::default() };
        let response = client(std::slice::from_ref(endpoint)).range(read).await?;
        revision = response.header.map_or(0, |header| header.revision);
    }
    let mut hashes = Vec::new();
    for endpoint in endpoints {
        let request = pb::HashKvRequest { revision };
        let response = client(std::slice::from_ref(endpoint)).hash_kv(request).await;
        hashes.push(response.with_context(|| format!("no hash by {endpoint}"))?.hash);
    }
    Ok((revision, hashes))
}

/// The last line of a log that holds one of these words.
fn last_line(log: &Path, words: &[&str]) -> Option<String> {
    let bytes = std::fs::read(log).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().find(|line| words.iter().any(|word| line.contains(word)))?;
    Some(line.to_owned())
}

/// The number that a log line gives a field: `bytes=7`, `"bytes":7`, `"bytes":"7"`.
fn number_after(line: &str, field: &str) -> Option<u64> {
    line.match_indices(field).find_map(|(at, _)| {
        let rest = line[at + field.len()..].trim_start_matches(['"', ':', '=', ' ']);
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok()
    })
}

/// Puts of keys that are written over and over.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    client: Client,
    keys: u64,
    value_bytes: usize,
    next: Arc<AtomicU64>,
    pub(crate) acks: Arc<AtomicU64>,
    pub(crate) stopped: Arc<AtomicBool>,
}

impl Load {
    pub(crate) fn new(config: &Config, endpoints: &[String]) -> Load {
        Load {
            client: client(endpoints),
            keys: config.keys.max(1),
            value_bytes: config.value_bytes,
            next: Arc::new(AtomicU64::new(0)),
            acks: Arc::new(AtomicU64::new(0)),
            stopped: Arc::new(AtomicBool::new(false)),
        }
    }

    /// One put, repeated until it is acknowledged.
    async fn write(&self, number: u64) -> anyhow::Result<()> {
        let mut left: u32 = 20;
        let key = format!("rejoin/{:08}", number % self.keys);
        // Bytes that do not compress, so that a snapshot is as large as what it holds.
        let mut value = vec![0; self.value_bytes];
        SmallRng::seed_from_u64(number).fill_bytes(&mut value);
        let value = Bytes::from(value);
        loop {
            let (key, value) = (key.clone().into(), value.clone());
            let put = pb::PutRequest { key, value, ..Default::default() };
            match self.client.put(put).await {
                Ok(_) => {
                    self.acks.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error) if left == 0 => return Err(error).context("a write fails for good"),
                Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
            }
            left -= 1;
        }
    }

    pub(crate) async fn write_all(&self, total: u64, clients: u64) -> anyhow::Result<()> {
        let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
        for _ in 0..clients.max(1) {
            let load = self.clone();
            tasks.spawn(async move {
                loop {
                    let number = load.next.fetch_add(1, Ordering::Relaxed);
                    if number >= total {
                        return Ok(());
                    }
                    load.write(number).await?;
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.context("a writer died")??;
        }
        Ok(())
    }

    /// Writes at a pace until it is told to stop.
    pub(crate) fn go_on(&self, per_second: u32) -> JoinSet<anyhow::Result<()>> {
        let mut tasks = JoinSet::new();
        let each = per_second.max(1).div_ceil(u32::try_from(CLIENTS_ON).unwrap_or(1));
        for _ in 0..CLIENTS_ON {
            let load = self.clone();
            tasks.spawn(async move {
                let mut turns = tokio::time::interval(Duration::from_secs(1) / each);
                turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                while !load.stopped.load(Ordering::Acquire) {
                    turns.tick().await;
                    let number = load.next.fetch_add(1, Ordering::Relaxed);
                    load.write(number).await?;
                }
                Ok(())
            });
        }
        tasks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_log_lines() {
        for line in [
            r#"{"msg":"sent database snapshot","bytes":4096,"took":"1s"}"#,
            "INFO sent database snapshot bytes=4096 took=1s",
            r#"{"bytes-size":"12","bytes":"4096"}"#,
        ] {
            assert_eq!(number_after(line, "bytes"), Some(4096), "{line}");
        }
        assert_eq!(number_after("sent database snapshot", "bytes"), None);
        assert_eq!(number_after("bytes=", "bytes"), None);
    }

    #[test]
    fn lines_of_logs() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::write(&log, "a\nb installed a snapshot 1\nc\nd installed a snapshot 2\ne")
            .unwrap();
        assert_eq!(last_line(&log, &RECEIVED).as_deref(), Some("d installed a snapshot 2"));
        assert_eq!(last_line(&log, &[SENT]), None);
        assert_eq!(last_line(&dir.path().join("none"), &RECEIVED), None);
    }

    #[test]
    fn what_counts_as_wrong() {
        let right = Outcome {
            program: "x".into(),
            writes: 1,
            away: Duration::ZERO,
            writes_on: 1,
            returned: Duration::ZERO,
            bytes: None,
            data_bytes: 0,
            sender: Default::default(),
            receiver: Memory::default(),
            hashes: vec![7, 7, 7],
            revision: 2,
            line: Some("installed a snapshot".into()),
            kept: None,
        };
        assert_eq!(right.faults(), [] as [&str; 0]);
        for wrong in [
            Outcome { hashes: vec![7, 7, 8], ..right.clone() },
            Outcome { writes_on: 0, ..right.clone() },
            Outcome { line: None, ..right.clone() },
        ] {
            assert_eq!(wrong.faults().len(), 1);
            assert!(wrong.to_string().contains("FAULT"));
        }
    }
}
