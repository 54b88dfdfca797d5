//! Members killed under load, and whether anybody was told a thing that is not so.
//!
//! # The model
//! A cluster of real processes; clients that write, read and watch on every member; a hand
//! that kills the leader again and again, and then all members at once. Every answer is kept.
//! At the end one watch from the first revision tells the whole history, and every answer and
//! every event of every other watch is held against it: exact, and in one pass. The history
//! itself must be one that can be (each revision once, versions that count), the same by every
//! member, and end in the state and the hash that every member has.
//!
//! # What it cannot see
//! Power that fails: SIGKILL leaves the kernel's buffers, so a missing sync passes here. That
//! is the work of the log's own tests on a disk that forgets.

mod figures;
pub(crate) mod finale;
mod history;
mod journal;
mod judge;
mod listen;
pub(crate) mod load;
pub(crate) mod strike;
mod words;

pub use figures::Figures;

use crate::harness::{Cluster, Launch, Program};
use anyhow::Context as _;
use judge::{Faults, Scope, Watched};
use listen::Ears;
use load::Shared;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use strike::Strikes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use words::{KEYS_MAX, Key};

/// How a torture is done.
#[derive(Clone, Debug)]
pub struct Config {
    /// How often the leader is killed.
    pub leader_kills: u32,
    /// How often all members are killed at once, after that.
    pub all_kills: u32,
    /// Members of the cluster.
    pub members: usize,
    /// Time after which to give up, from the start of the load.
    pub time_max: Duration,
    /// Clients that write.
    pub writers: u16,
    /// Writes a second, over all writers.
    pub writes_per_second: u32,
    /// Reads a second, over all readers.
    pub reads_per_second: u32,
    /// Keys that are written; half as many again when shadows are counted.
    pub keys: u16,
    /// Bound on one call of a client.
    pub call_max: Duration,
    /// From a kill until the member is started again.
    pub pause: Duration,
    /// From a recovery until the next kill.
    pub calm: Duration,
    /// Seed of all that clients choose.
    pub seed: u64,
    /// More flags for every member.
    pub flags: Vec<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            leader_kills: 20,
            all_kills: 5,
            members: 3,
            time_max: Duration::from_secs(15 * 60),
            writers: 8,
            writes_per_second: 800,
            reads_per_second: 600,
            keys: 64,
            call_max: Duration::from_secs(5),
            pause: Duration::from_millis(500),
            calm: Duration::from_millis(1500),
            seed: 1,
            flags: Vec::new(),
        }
    }
}

/// How a torture ended.
#[derive(Debug)]
pub struct Outcome {
    /// What was counted and measured.
    pub figures: Figures,
    /// What was wrong, the first few of each kind in full; empty if nothing was.
    pub faults: Vec<String>,
    /// Data, logs and the journal, kept if anything was wrong.
    pub kept: Option<PathBuf>,
}

/// Readers a member: one linearizable, one serializable.
const READERS_PER_MEMBER: u16 = 2;

/// Runs a torture, telling its progress on standard error.
///
/// # Errors
/// What kept it from being done; what it found is in the [`Outcome`].
pub async fn run(program: &Program, config: &Config) -> anyhow::Result<Outcome> {
    let keys = config.keys.clamp(1, KEYS_MAX - 1);
    let launch =
        Launch { members: config.members, flags: config.flags.clone(), ..Launch::default() };
    let mut cluster = Cluster::start(program, &launch).await?;
    eprintln!("torture: {} on {:?}", program.title(), cluster.endpoints());
    let shared = Arc::new(Shared::new(cluster.endpoints(), keys, config.call_max));
    let mut figures = Figures { program: program.title(), ..Figures::default() };
    let mut faults = Faults::default();
    let begun = Instant::now();
    let (goal, goal_told) = watch::channel(None);
    let events = Arc::new(AtomicU64::new(0));
    let ears = Ears { shared: shared.clone(), goal: goal_told, events: events.clone() };
    let mut clients = clients(&shared, config);
    let mut watches = watches(&ears, config);

    let mut strikes =
        Strikes { cluster: &mut cluster, shared: &shared, config, figures: &mut figures };
    let struck = match tokio::time::timeout(config.time_max, strikes.all()).await {
        Ok(struck) => struck,
        Err(_) => Err(format!("not done within {:?}", config.time_max)),
    };
    if let Err(why) = &struck {
        faults.add(judge::DOWN, why.clone());
    }
    shared.stop();
    let mut records = Vec::new();
    while let Some(done) = clients.join_next().await {
        records.extend(done.context("a client of the load died")?);
    }
    let mut watched: Vec<Watched> = Vec::new();
    if struck.is_ok() {
        let ended = finale::write_last(&shared, &mut records).await;
        match ended {
            Ok(last) => {
                let _ = goal.send(Some(last.clone()));
                while let Some(done) = watches.join_next().await {
                    watched.extend(done.context("a watch of the load died")?);
                }
                finale::judge(&cluster, &last, &records, &watched, &mut faults, &mut figures).await;
            }
            Err(why) => faults.add(judge::DOWN, why),
        }
    }
    watches.shutdown().await;
    figures.count(&records, &watched);
    figures.events = events.load(Ordering::Relaxed);
    figures.took = begun.elapsed();
    figures.faults = faults.kinds().map(|(kind, count)| (kind.to_owned(), count)).collect();
    let kept = if faults.is_empty() { None } else { keep(&mut cluster, &records, &faults)? };
    Ok(Outcome { figures, faults: faults.texts().to_vec(), kept })
}

/// Starts writers, readers and the prober.
fn clients(shared: &Arc<Shared>, config: &Config) -> JoinSet<Vec<journal::Record>> {
    let members = u16::try_from(shared.endpoints.len()).unwrap_or(u16::MAX);
    let mut tasks = JoinSet::new();
    let writers = config.writers.max(1);
    let pace = (config.seed, config.writes_per_second / u32::from(writers));
    for writer in 0..writers {
        // Each member has writers of its own, and some go to whoever is there.
        let member = usize::from(writer % (members + 1));
        let member = (member < usize::from(members)).then_some(member);
        tasks.spawn(load::write(shared.clone(), writer, member, pace));
    }
    let readers = members * READERS_PER_MEMBER + 1;
    let pace = (config.seed, config.reads_per_second / u32::from(readers));
    for reader in 0..readers {
        let (member, serializable) = match reader / READERS_PER_MEMBER {
            member if member < members => {
                (Some(usize::from(member)), reader % READERS_PER_MEMBER == 1)
            }
            _ => (None, false),
        };
        let number = writers + reader;
        tasks.spawn(load::read(shared.clone(), number, (member, serializable), pace));
    }
    tasks.spawn(load::probe(shared.clone()));
    tasks
}

/// Starts the watches: on every member one of everything from the first revision, one of all
/// keys with previous values, one of one key, and one that starts over and over in the past.
fn watches(ears: &Ears, config: &Config) -> JoinSet<Vec<Watched>> {
    let mut tasks = JoinSet::new();
    for member in 0..ears.shared.endpoints.len() {
        let one = Scope::One(Key::plain(0));
        for (scope, from) in
            [((Scope::Everything, false), 1), ((Scope::Prefix, true), 2), ((one, true), 2)]
        {
            tasks.spawn(ears.clone().follow(member, scope, from));
        }
        tasks.spawn(ears.clone().wander(member, config.seed));
    }
    tasks
}

/// Keeps data and logs, and writes beside them what was asked and what was wrong.
fn keep(
    cluster: &mut Cluster,
    records: &[journal::Record],
    faults: &Faults,
) -> anyhow::Result<Option<PathBuf>> {
    let Some(dir) = cluster.keep() else { return Ok(None) };
    let write = |name: &str, text: String| -> anyhow::Result<()> {
        let path: &Path = &dir.join(name);
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("faults.txt", faults.texts().join("\n"))?;
    let lines: Vec<String> = records.iter().map(ToString::to_string).collect();
    write("journal.txt", lines.join("\n"))?;
    Ok(Some(dir))
}
