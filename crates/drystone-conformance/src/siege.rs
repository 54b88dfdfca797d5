//! Attackers at the gate: what each kind of attack on the transport costs the server in memory,
//! and an honest client in time.
//!
//! One member is started as a process, in clear and then over TLS. An honest client puts and gets
//! at a steady pace throughout, and comes from `127.0.0.1`. Each attack has a stated number of
//! connections from other loopback addresses, and runs in turns with calm: its p99 is held to
//! that of the calm after it. All connections of an attack are on one thread of the lowest
//! priority, so that the attacker takes no processor from client and server; what the server
//! does for it, it takes from the client. In calm a thread is as busy that attacks nobody.

mod attack;
mod attacker;
mod bystander;
mod floods;
mod frames;
mod honest;
mod slow;
mod stage;
mod stuck;
mod table;

use crate::harness::Program;
use crate::process;
use attack::{PLANS, Plan};
use attacker::{Attacker, Seen};
use bystander::Bystander;
use honest::{Honest, Latencies};
use stage::Stage;
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub use table::Outcome;
use table::Row;

/// Bytes that a connection may cost the server, whatever comes on it, beside what has caps of
/// its own: its task, what was read and is not understood yet, what is not written yet, the table
/// of its headers, and TLS.
const CONNECTION_BYTES_MAX: u64 = 64 << 10;
/// Bytes that may have been sent on a connection and were not read.
const UNREAD_BYTES_MAX: u64 = 2 << 20;
/// Bytes that calls may hold, over all connections: requests until they are answered, answers
/// until they were taken.
const CALLS_BYTES_MAX: u64 = 512 << 20;
/// Bytes of events that may wait for all watch streams: in the hub, and on their way from it.
const EVENTS_BYTES_MAX: u64 = 512 << 20;
/// By how much a server's memory may differ for other reasons: the honest client's own data,
/// what an allocator keeps.
const SLACK_BYTES: u64 = 48 << 20;
/// How long an attack may take until all of its connections were made.
const OPENING_MAX: Duration = Duration::from_secs(60);
/// How often it is looked whether they were.
const POLL: Duration = Duration::from_millis(20);
/// Pause after an attack, in which the server may find out that it is over.
const REST: Duration = Duration::from_secs(1);

/// What is done, and what it may cost.
#[derive(Clone, Debug)]
pub struct Config {
    /// Requests a second of the honest client.
    pub rate: u32,
    /// How long each stretch of calm and of attack is watched.
    pub watched: Duration,
    /// Stretches of each attack.
    pub rounds: u32,
    /// Only attacks whose names hold this.
    pub only: String,
    /// No attack has more connections than this.
    pub connections_max: usize,
    /// What a p99 may come to, in calm ones. Not looked at if there is none.
    pub ratio_max: Option<f64>,
    /// More flags for the server.
    pub flags: Vec<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            rate: 200,
            watched: Duration::from_secs(10),
            rounds: 2,
            only: String::new(),
            connections_max: usize::MAX,
            ratio_max: Some(2.0),
            flags: Vec::new(),
        }
    }
}

/// Runs all attacks, one after the other; says what came of each as it is known.
///
/// # Errors
/// The server cannot be started, or does not serve in calm.
pub async fn run(program: &Program, config: &Config) -> anyhow::Result<Outcome> {
    process::raise_descriptors();
    let mut outcome = Outcome::new(program.title(), config.clone());
    for secure in [false, true] {
        let plans = PLANS.iter().filter(|plan| plan.is_called(&config.only));
        let plans: Vec<Plan> =
            plans.filter(|plan| stage::is_secure(plan) == secure).copied().collect();
        if plans.is_empty() {
            continue;
        }
        let stage = Stage::start(program, secure, &config.flags).await?;
        let honest = Honest::begin(stage.client()?, config.rate).await?;
        for plan in plans {
            let row = besiege(&stage, &honest, plan, config).await?;
            eprintln!("{}", outcome.add(row));
        }
    }
    Ok(outcome)
}

/// Runs one attack in turns with calm.
async fn besiege(
    stage: &Stage,
    honest: &Honest,
    mut plan: Plan,
    config: &Config,
) -> anyhow::Result<Row> {
    plan.connections = plan.connections.min(config.connections_max);
    let (mut calm, mut attacked) = (Latencies::default(), Latencies::default());
    let mut seen = Seen::default();
    let counted = stage.counts().await?;
    let before = process::memory(stage.pid()?).now;
    process::forget_peak(stage.pid()?)?;
    let mut share = 0.0;
    for _ in 0..config.rounds {
        drop(honest.take());
        let attacker = Attacker::begin(plan, stage.address(), stage.papers())?;
        // Its beginning counts too, which is the worst of some. Where connections are to be idle,
        // that they come is another attack.
        opened(&attacker, plan).await;
        if plan.is_greeted() {
            drop(honest.take());
        }
        sleep(config.watched).await;
        attacked.add(&honest.take());
        seen = attacker.seen();
        share = tokio::task::spawn_blocking(move || attacker.end()).await?;
        sleep(REST).await;
        let bystander = Bystander::begin(share)?;
        calm.add(&honest.watch(config.watched).await);
        tokio::task::spawn_blocking(move || drop(bystander)).await?;
    }
    let peak = process::memory(stage.pid()?).peak;
    let counted = stage.counts().await?.since(&counted);
    Ok(Row {
        plan,
        calm,
        attacked,
        seen,
        before,
        peak,
        bound: bound(&plan, before),
        counted,
        share,
    })
}

/// Waits until an attack has all its connections, or is seen not to get them.
async fn opened(attacker: &Attacker, plan: Plan) {
    let until = Instant::now() + OPENING_MAX;
    let wanted = u64::try_from(plan.connections).unwrap_or(u64::MAX);
    let made = |seen: Seen| if plan.is_greeted() { seen.served } else { seen.opened };
    while made(attacker.seen()) < wanted && Instant::now() < until {
        sleep(POLL).await;
    }
}

/// What a server that held so much before an attack may hold during it.
fn bound(plan: &Plan, before: u64) -> u64 {
    let connections = u64::try_from(plan.connections).unwrap_or(u64::MAX);
    let (each, all) = if plan.calls {
        (CONNECTION_BYTES_MAX + UNREAD_BYTES_MAX, CALLS_BYTES_MAX + EVENTS_BYTES_MAX)
    } else {
        (CONNECTION_BYTES_MAX, 0)
    };
    before + connections.saturating_mul(each) + all + SLACK_BYTES
}
