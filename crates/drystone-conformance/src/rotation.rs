//! Every certificate of a cluster and the authority behind them are replaced under load.

use crate::harness::Program;
use crate::secure::SecureCluster;
use anyhow::{Context as _, ensure};
use drystone_api::etcdserverpb::{PutRequest, RangeRequest};
use drystone_client::{Client, Config as ClientConfig, Pair};
use drystone_tls::testing::{Authority, Order, write};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Members of the cluster.
const MEMBERS: usize = 3;
/// How often it is looked whether clients have gone round.
const POLL: Duration = Duration::from_millis(5);

/// What is done.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How often everything is replaced.
    pub rounds: u64,
    /// Requests that each client makes, on a connection that stands and on new ones, between
    /// two steps.
    pub requests: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config { rounds: 5, requests: 20 }
    }
}

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// How often everything was replaced.
    pub rounds: u64,
    /// Requests that were answered; none failed.
    pub requests: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| figure | value |\n| --- | --- |")?;
        writeln!(f, "| certificates and authority replaced | {} times |", self.rounds)?;
        writeln!(f, "| requests meanwhile | {} |", self.requests)?;
        writeln!(f, "| requests that failed | 0 |")
    }
}

/// Replaces papers under load. Each client puts on a connection that stands and reads on a new
/// one, with the papers of the moment. In the end a member starts again, which must meet the
/// others with the last papers, and the first papers open no door any more.
///
/// # Errors
/// A request that failed, or a member that does not come back.
pub async fn run(program: &Program, config: &Config) -> anyhow::Result<Outcome> {
    let mut authority = Authority::new("authority 0");
    let mut cluster = SecureCluster::start(program, MEMBERS, &authority, &[]).await?;
    let order = Order { common_name: "client", ..Order::default() };
    cluster.issue(&authority, "client-0", &order);
    let first = cluster.client(0, "client-0")?;
    let load = Load::start(&cluster)?;
    for round in 1..=config.rounds {
        let next = Authority::new(&format!("authority {round}"));
        write(&cluster.path("ca.crt"), format!("{}{}", authority.pem, next.pem).as_bytes());
        load.go_round(config.requests).await;
        let order = Order { serial: round, ..order.clone() };
        cluster.issue(&next, "member", &order);
        cluster.issue(&next, &format!("client-{round}"), &order);
        load.generation.store(round, Ordering::Relaxed);
        load.go_round(config.requests).await;
        write(&cluster.path("ca.crt"), next.pem.as_bytes());
        load.go_round(config.requests).await;
        authority = next;
        eprintln!("rotate: round {round}: {} requests", load.count());
    }
    let requests = load.stop().await?;
    let name = format!("client-{}", config.rounds);
    for n in 0..MEMBERS {
        cluster.kill(n);
        cluster.spawn(n)?;
        cluster.ready(n, &name).await.context("after the last round")?;
    }
    let stranger = Client::new(first)?;
    let read = RangeRequest { key: "a".into(), ..Default::default() };
    ensure!(stranger.range(read).await.is_err(), "the first papers still open the door");
    Ok(Outcome { rounds: config.rounds, requests })
}

/// Clients at work, one a member.
struct Load {
    stop: Arc<AtomicBool>,
    /// Which papers new connections show.
    generation: Arc<AtomicU64>,
    counts: Vec<Arc<AtomicU64>>,
    tasks: Vec<JoinHandle<anyhow::Result<()>>>,
}

impl Load {
    fn start(cluster: &SecureCluster) -> anyhow::Result<Load> {
        let mut load = Load {
            stop: Arc::default(),
            generation: Arc::default(),
            counts: (0..MEMBERS).map(|_| Arc::default()).collect(),
            tasks: Vec::new(),
        };
        for n in 0..MEMBERS {
            let worker = Worker {
                config: cluster.client(n, "client-0")?,
                folder: cluster.folder().to_owned(),
                stop: load.stop.clone(),
                generation: load.generation.clone(),
                count: load.counts[n].clone(),
            };
            load.tasks.push(tokio::spawn(worker.work()));
        }
        Ok(load)
    }

    fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Waits until every client has made so many requests more: what it read of papers before,
    /// it has forgotten. Returns too when one has failed.
    async fn go_round(&self, requests: u64) {
        for (count, task) in self.counts.iter().zip(&self.tasks) {
            let goal = count.load(Ordering::Relaxed) + requests;
            while count.load(Ordering::Relaxed) < goal && !task.is_finished() {
                tokio::time::sleep(POLL).await;
            }
        }
    }

    async fn stop(self) -> anyhow::Result<u64> {
        let count = self.count();
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.context("a client ended badly")??;
        }
        Ok(count)
    }
}

struct Worker {
    config: ClientConfig,
    folder: PathBuf,
    stop: Arc<AtomicBool>,
    generation: Arc<AtomicU64>,
    count: Arc<AtomicU64>,
}

impl Worker {
    async fn work(self) -> anyhow::Result<()> {
        let standing = Client::new(self.config.clone())?;
        while !self.stop.load(Ordering::Relaxed) {
            let put = PutRequest { key: "a".into(), value: "1".into(), ..Default::default() };
            standing.put(put).await.context("on a connection that stands")?;
            let generation = self.generation.load(Ordering::Relaxed);
            let mut config = self.config.clone();
            if let Some(tls) = &mut config.tls {
                tls.client_pair = Some(Pair {
                    cert: self.folder.join(format!("client-{generation}.crt")),
                    key: self.folder.join(format!("client-{generation}.key")),
                });
            }
            let read = RangeRequest { key: "a".into(), ..Default::default() };
            let fresh = Client::new(config)?.range(read).await;
            fresh.with_context(|| format!("on a new connection, generation {generation}"))?;
            self.count.fetch_add(2, Ordering::Relaxed);
        }
        Ok(())
    }
}
