//! The leader's file system stands still under load, and comes back.
//!
//! Three members on loopback, each with its data on a file system of its own. The leader's is
//! frozen (`fsfreeze`): every write and sync on it waits, as on a disk that hangs. Within two
//! election timeouts it must have lost the leadership, the others must go on serving, no lease
//! may die early, and once its disk moves again it must come back level.

use super::tool;
use super::volume::Volume;
use crate::harness::{Cluster, Launch, Place, Program, free_ports};
use anyhow::{Context as _, bail, ensure};
use drystone_api::etcdserverpb as pb;
use drystone_client::{Client, Config as ClientConfig};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What the kernel and the system must have for it.
const NEEDED: [&str; 6] = ["timeout", "mount", "umount", "mkfs.ext4", "dumpe2fs", "fsfreeze"];
/// Members' election timeout: etcd's default.
const ELECTION: Duration = Duration::from_millis(1_000);
/// Bound on one call of a client.
const CALL_MAX: Duration = Duration::from_millis(1_500);
/// Bound on coming back level.
const RETURN_MAX: Duration = Duration::from_secs(60);
/// Writers at once.
const WRITERS: usize = 8;
/// Seconds of the leases that are renewed: less than the disk stands still.
const RENEWED_TTL: i64 = 5;
/// Seconds of the leases that run out by themselves, some of them while the disk stands still.
const LEFT_TTLS: [i64; 6] = [6, 8, 10, 14, 20, 30];
const POLL: Duration = Duration::from_millis(10);
/// The load alone, before the disk stands still.
const CALM: Duration = Duration::from_secs(2);

/// What was seen; [`fmt::Display`] prints it as a table.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    program: String,
    frozen: Duration,
    /// From the freeze until the leader says itself that it does not lead.
    lost: Option<Duration>,
    /// From the freeze until another member names another leader.
    taken: Option<Duration>,
    /// The longest time without an acknowledged write while the disk stood still.
    gap: Duration,
    writes: u64,
    returned: Duration,
    hashes: Vec<u32>,
    leases: usize,
    early: Vec<String>,
}

impl Outcome {
    /// What is wrong, if anything.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.early.clone();
        for (what, after) in [("lost its leadership", self.lost), ("was replaced", self.taken)] {
            match after {
                None => faults.push(format!("the leader never {what}")),
                Some(after) if what.starts_with("lost") && after > 2 * ELECTION => {
                    faults.push(format!("the leader {what} only after {after:.2?}"));
                }
                Some(_) => {}
            }
        }
        if self.writes == 0 {
            faults.push("no write was acknowledged while the disk stood still".to_owned());
        }
        if self.hashes.iter().any(|hash| *hash != self.hashes[0]) {
            faults.push(format!("hashes differ: {:?}", self.hashes));
        }
        faults
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = |after: Option<Duration>| after.map_or("never".into(), |a| format!("{a:.2?}"));
        for (name, value) in [
            ("figure", "value".to_owned()),
            ("---", "---".to_owned()),
            ("server", self.program.clone()),
            ("election timeout", format!("{ELECTION:.2?}")),
            ("the disk stood still", format!("{:.1?}", self.frozen)),
            ("its member did not lead any more after", after(self.lost)),
            ("another led after", after(self.taken)),
            ("longest time without an acknowledged write", format!("{:.2?}", self.gap)),
            ("writes acknowledged meanwhile", self.writes.to_string()),
            ("back and level after", format!("{:.2?}", self.returned)),
            ("leases watched, ended early", format!("{}, {}", self.leases, self.early.len())),
            ("hashes", format!("{:?}", self.hashes)),
        ] {
            writeln!(f, "| {name} | {value} |")?;
        }
        for fault in self.faults() {
            writeln!(f, "| FAULT | {fault} |")?;
        }
        Ok(())
    }
}

/// Runs it, with the disk standing still for `frozen`, telling its progress on standard error.
///
/// # Errors
/// What it needs and is not there (root, loop devices, programs), or what kept it from coming to
/// an end; the members' logs are in the message.
pub async fn run(program: &Program, frozen: Duration) -> anyhow::Result<Outcome> {
    tool::check_for(&NEEDED)?;
    let dir = tempfile::Builder::new().prefix("drystone-frozen-").tempdir();
    let dir = dir.context("cannot make a temporary directory")?;
    let (volumes, places) = ground(&dir)?;
    let launch = Launch { members: places.len(), ..Launch::default() };
    let mut cluster = Cluster::start_on(program, &launch, places, None).await?;
    let done = freeze(program, &mut cluster, &volumes, frozen).await;
    done.with_context(|| cluster.logs())
}

/// Three file systems and a place on each.
fn ground(dir: &TempDir) -> anyhow::Result<(Vec<Volume>, Vec<Place>)> {
    let ports = free_ports(6).context("cannot find free loopback ports")?;
    let (mut volumes, mut places) = (Vec::new(), Vec::new());
    for (n, ports) in ports.chunks(2).enumerate() {
        let volume = Volume::make(dir.path(), &format!("disk{n}"))?;
        places.push(Place {
            launcher: Vec::new(),
            client_address: format!("127.0.0.1:{}", ports[0]),
            peer_address: format!("127.0.0.1:{}", ports[1]),
            data_dir: volume.root().join("data"),
            log_path: dir.path().join(format!("member{n}.log")),
        });
        volumes.push(volume);
    }
    Ok((volumes, places))
}

async fn freeze(
    program: &Program,
    cluster: &mut Cluster,
    volumes: &[Volume],
    frozen: Duration,
) -> anyhow::Result<Outcome> {
    let endpoints = cluster.endpoints();
    let ids: Vec<u64> = cluster.members().iter().map(|member| member.id()).collect();
    let leader = leader(&endpoints, &ids).await.context("nobody leads")?;
    let volume = volumes
        .iter()
        .find(|volume| cluster.members()[leader].data_dir().starts_with(volume.root()));
    let volume = volume.context("the leader stands on no volume")?;
    let others: Vec<String> =
        endpoints.iter().filter(|other| **other != endpoints[leader]).cloned().collect();
    let load = Load::start(&endpoints, &others).await?;
    tokio::time::sleep(CALM).await;

    let held = volume.freeze()?;
    let begun = Instant::now();
    eprintln!("frozen: {}'s disk stands still", cluster.members()[leader].name());
    load.shared.begin();
    let (lost, taken) = watch_leader(&endpoints, ids[leader], leader, begun, frozen).await;
    tokio::time::sleep_until(begun + frozen).await;
    let (writes, gap) = load.shared.end();
    let frozen = begun.elapsed();
    let goal = applied(&others[0]).await?;
    held.thaw()?;
    let thawed = Instant::now();
    eprintln!("frozen: it moves again after {frozen:.1?}");
    level(cluster, leader, goal).await?;
    let returned = thawed.elapsed();
    let (leases, early) = load.finish().await?;
    Ok(Outcome {
        program: program.title(),
        frozen,
        lost,
        taken,
        gap,
        writes,
        returned,
        hashes: hashes(&endpoints).await?,
        leases,
        early,
    })
}

/// Asks all members who leads until the old leader has lost it and another one leads: how long
/// each took, from `begun`.
async fn watch_leader(
    endpoints: &[String],
    old: u64,
    seat: usize,
    begun: Instant,
    max: Duration,
) -> (Option<Duration>, Option<Duration>) {
    let clients: Vec<Client> = endpoints.iter().map(|each| client([each])).collect();
    let (mut lost, mut taken) = (None, None);
    while (lost.is_none() || taken.is_none()) && begun.elapsed() < max {
        for (n, client) in clients.iter().enumerate() {
            let status = tokio::time::timeout(CALL_MAX, client.status(pb::StatusRequest {})).await;
            let Ok(Ok(status)) = status else { continue };
            let after = begun.elapsed();
            if n == seat && status.leader != old {
                lost.get_or_insert(after);
            }
            if n != seat && status.leader != old && status.leader != 0 {
                taken.get_or_insert(after);
            }
        }
        tokio::time::sleep(POLL).await;
    }
    (lost, taken)
}

fn client<T: AsRef<str>>(endpoints: impl IntoIterator<Item = T>) -> Client {
    let mut config = ClientConfig::parse(endpoints).expect("the harness makes valid endpoints");
    config.timeouts.call = Some(CALL_MAX);
    Client::new(config).expect("a config with endpoints and without a token is valid")
}

async fn leader(endpoints: &[String], ids: &[u64]) -> Option<usize> {
    for endpoint in endpoints {
        let status = client([endpoint]).status(pb::StatusRequest {}).await;
        let found = status.ok().and_then(|status| ids.iter().position(|id| *id == status.leader));
        if found.is_some() {
            return found;
        }
    }
    None
}

async fn applied(endpoint: &str) -> anyhow::Result<u64> {
    Ok(client([endpoint]).status(pb::StatusRequest {}).await?.raft_applied_index)
}

/// Waits until the member has applied `goal` and answers a linearizable read.
async fn level(cluster: &mut Cluster, member: usize, goal: u64) -> anyhow::Result<()> {
    let until = Instant::now() + RETURN_MAX;
    let address = cluster.members()[member].client_address().to_owned();
    while applied(&address).await.unwrap_or(0) < goal {
        if let Some(status) = cluster.member_mut(member).ended() {
            bail!("it ended: {status}");
        }
        ensure!(Instant::now() < until, "it is not level within {RETURN_MAX:?}");
        tokio::time::sleep(POLL).await;
    }
    cluster.member_mut(member).ready().await?;
    Ok(())
}

/// Every member's hash at the same revision.
async fn hashes(endpoints: &[String]) -> anyhow::Result<Vec<u32>> {
    let mut revision = 0;
    for endpoint in endpoints {
        let read = pb::RangeRequest { key: "settle".into(), ..Default::default() };
        let response = client([endpoint]).range(read).await?;
        revision = response.header.map_or(0, |header| header.revision);
    }
    let mut hashes = Vec::new();
    for endpoint in endpoints {
        let response = client([endpoint]).hash_kv(pb::HashKvRequest { revision }).await;
        hashes.push(response.with_context(|| format!("no hash by {endpoint}"))?.hash);
    }
    Ok(hashes)
}

/// What the load's tasks share.
#[derive(Debug)]
struct Shared {
    stopped: AtomicBool,
    acks: AtomicU64,
    /// When a write was acknowledged last, and the longest time between two.
    pace: Mutex<(Instant, Duration)>,
    early: Mutex<Vec<String>>,
}

impl Shared {
    fn acknowledged(&self) {
        self.acks.fetch_add(1, Ordering::Relaxed);
        let mut pace = self.pace.lock().expect("nobody panics with it");
        *pace = (Instant::now(), pace.1.max(pace.0.elapsed()));
    }

    /// Counts anew.
    fn begin(&self) {
        self.acks.store(0, Ordering::Relaxed);
        *self.pace.lock().expect("nobody panics with it") = (Instant::now(), Duration::ZERO);
    }

    /// Writes since the beginning, and the longest time without one.
    fn end(&self) -> (u64, Duration) {
        let (last, longest) = *self.pace.lock().expect("nobody panics with it");
        (self.acks.load(Ordering::Relaxed), longest.max(last.elapsed()))
    }

    fn goes_on(&self) -> bool {
        !self.stopped.load(Ordering::Acquire)
    }
}

/// Writers, leases that are renewed, and leases that are left to run out.
struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    leases: usize,
}

impl Load {
    async fn start(endpoints: &[String], others: &[String]) -> anyhow::Result<Load> {
        let shared = Arc::new(Shared {
            stopped: AtomicBool::new(false),
            acks: AtomicU64::new(0),
            pace: Mutex::new((Instant::now(), Duration::ZERO)),
            early: Mutex::new(Vec::new()),
        });
        let mut load = Load { shared, tasks: JoinSet::new(), leases: 0 };
        for writer in 0..WRITERS {
            // Half of the clients know the leader too, and must find their way.
            let client = client(if writer % 2 == 0 { endpoints } else { others });
            load.tasks.spawn(write(client, load.shared.clone(), writer));
        }
        let renewed = [RENEWED_TTL; 4].map(|ttl| (ttl, true));
        let left = LEFT_TTLS.map(|ttl| (ttl, false));
        for (ttl, renews) in renewed.into_iter().chain(left) {
            let client = client(others);
            // Before the grant: the lease cannot run out earlier than from here.
            let granted = Instant::now();
            let grant = client.lease_grant(pb::LeaseGrantRequest { ttl, id: 0 }).await?;
            let key = format!("frozen/lease/{:016x}", grant.id);
            let put = pb::PutRequest { key: key.into(), lease: grant.id, ..Default::default() };
            client.put(put).await?;
            let lease = Lease { id: grant.id, ttl, renews, alive_until: granted };
            load.leases += 1;
            load.tasks.spawn(lease.follow(client, load.shared.clone()));
        }
        Ok(load)
    }

    /// Ends the load: how many leases there were, and which of them ended early.
    async fn finish(mut self) -> anyhow::Result<(usize, Vec<String>)> {
        self.shared.stopped.store(true, Ordering::Release);
        while let Some(done) = self.tasks.join_next().await {
            done.context("a client died")?;
        }
        let early = std::mem::take(&mut *self.shared.early.lock().expect("nobody panics with it"));
        Ok((self.leases, early))
    }
}

async fn write(client: Client, shared: Arc<Shared>, writer: usize) {
    let mut number = 0_u64;
    while shared.goes_on() {
        number += 1;
        let put = pb::PutRequest {
            key: format!("frozen/{writer}/{}", number % 1_000).into(),
            value: vec![0; 256].into(),
            ..Default::default()
        };
        match client.put(put).await {
            Ok(_) => shared.acknowledged(),
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

/// One lease that a client follows.
struct Lease {
    id: i64,
    ttl: i64,
    renews: bool,
    /// A moment from which the lease has all of its time.
    alive_until: Instant,
}

impl Lease {
    /// Looks at the lease's key, and renews the lease, until the load ends or the lease may have
    /// run out. Its key must be there until then.
    async fn follow(mut self, client: Client, shared: Arc<Shared>) {
        let ttl = Duration::from_secs(self.ttl.unsigned_abs());
        self.alive_until += ttl;
        let key = format!("frozen/lease/{:016x}", self.id);
        let mut renewed = Instant::now();
        while shared.goes_on() {
            if self.renews && renewed.elapsed() > ttl / 5 {
                let asked = Instant::now();
                match client.keep_alive_once(self.id).await {
                    Ok(answer) if answer.ttl > 0 => {
                        (self.alive_until, renewed) = (asked + ttl, asked);
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(POLL).await,
                }
            }
            let read = pb::RangeRequest { key: key.clone().into(), ..Default::default() };
            if let Ok(found) = client.range(read).await
                && found.kvs.is_empty()
            {
                let left = self.alive_until.saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    let text = format!(
                        "a lease of {} s, renewed: {}, ended {left:.2?} too early",
                        self.ttl, self.renews
                    );
                    shared.early.lock().expect("nobody panics with it").push(text);
                }
                return;
            }
            tokio::time::sleep(POLL * 10).await;
        }
    }
}
