//! One random stream of requests, done by Drystone and by etcd in step: every answer must be
//! the same, every event of every watch, and every hash.
//!
//! # The model
//! The seed decides the stream. It has every request that clients make of keys, leases, watches,
//! users and roles, right ones and wrong ones; for a part of the time authentication is on, and
//! root, users and strangers make them. Both servers are asked at once, and the next request is
//! made when both have answered: so revisions are the same, and all answers can be compared
//! field by field. Only calls that change nothing are made several at a time.
//!
//! RangeStream, which is younger than the etcd at hand may be, is held to Range on Drystone.
//! Where an old etcd lets somebody do what the reference refuses, a naive model of users and
//! roles knows before: then Drystone alone is asked, and must refuse it with the right error.
//!
//! A watch of everything tells what happened; what any other watch must have told follows from
//! that. All are compared every few hundred operations, when both have come to the present;
//! then comes a compaction, hashes, and everything that is stored.
//!
//! What may differ is written down in [`EXCUSED`], and nothing else may.

mod call;
mod draw;
mod ear;
mod excused;
mod past;
mod rights;
mod stream;
mod watches;

pub use excused::{EXCUSED, Excuse, Treatment};
pub use watches::Heard;

use self::call::Side;
use self::draw::{Draw, Step};
use self::excused::Version;
use self::stream::Stream;
use crate::harness::{Cluster, HarnessError, Launch, Program};
use drystone_client::Client;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Decides every request.
    pub seed: u64,
    /// How many operations: requests, and watches begun.
    pub operations: u64,
    /// Members of Drystone. All calls go to one of them, after a restart to the next one.
    pub members: usize,
    /// Operations after which a member of Drystone is stopped or killed, and started, which
    /// nobody must notice; 0 for never.
    pub restart_every: u64,
    /// Operations after which a lease is left to run out; 0 for never.
    pub expiry_every: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            seed: 1,
            operations: 1_000_000,
            members: 1,
            restart_every: 100_000,
            expiry_every: 50_000,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Operations done.
    pub operations: u64,
    /// The same by what they were.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Requests that both refused, with the same error.
    pub refused: u64,
    /// Requests that only Drystone was asked, because this etcd is older than the reference.
    pub alone: u64,
    /// Ranges that RangeStream answered as Range did, on Drystone.
    pub pieces: u64,
    /// Hashes that were equal.
    pub hashes: u64,
    /// Compactions done.
    pub compactions: u64,
    /// Leases that ran out.
    pub expiries: u64,
    /// Restarts of Drystone.
    pub restarts: u64,
    /// How often authentication was put into force.
    pub guarded: u64,
    /// Requests and watches that both refused for want of rights.
    pub denied: u64,
    /// What watches told.
    pub heard: Heard,
    /// The last revision.
    pub revision: i64,
    /// The first thing that differed, with both answers.
    pub difference: Option<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "operations       {}", self.operations)?;
        for (kind, count) in &self.kinds {
            writeln!(f, "  {kind:<18} {count}")?;
        }
        writeln!(f, "refused alike    {}", self.refused)?;
        writeln!(f, "Drystone alone   {}", self.alone)?;
        writeln!(f, "equal in pieces  {}", self.pieces)?;
        writeln!(f, "equal hashes     {}", self.hashes)?;
        writeln!(f, "compactions      {}", self.compactions)?;
        writeln!(f, "leases run out   {}", self.expiries)?;
        writeln!(f, "restarts         {}", self.restarts)?;
        writeln!(f, "times with auth  {}", self.guarded)?;
        writeln!(f, "  denied alike       {}", self.denied)?;
        writeln!(f, "watches          {}", self.heard.watches)?;
        writeln!(f, "  canceled           {}", self.heard.canceled)?;
        writeln!(f, "  equal events       {}", self.heard.events)?;
        writeln!(f, "  progress           {}", self.heard.progress)?;
        writeln!(f, "revision         {}", self.revision)
    }
}

/// A directory in memory, where there is one: the disk is not what is compared.
const MEMORY: &str = "/dev/shm";
/// Passwords that are hashed quickly, and tokens that live as long as the stream does.
const AUTH_FLAGS: [&str; 2] = ["--bcrypt-cost=4", "--auth-token-ttl=1000000"];
/// The first etcd that can be told not to wait for its disk.
const NO_FSYNC_SINCE: [u32; 3] = [3, 5, 0];

/// Starts both servers, and drives them until something differs or all is done; tells of the
/// progress now and then.
///
/// # Errors
/// A server that does not start.
pub async fn run(
    drystone: &Program,
    etcd: &Program,
    config: &Config,
    tell: impl FnMut(&Outcome),
) -> Result<Outcome, HarnessError> {
    let version = Version::of(etcd);
    let memory = Path::new(MEMORY);
    let dir = memory.is_dir().then(|| memory.to_owned());
    let mut ours = Launch { dir: dir.clone(), ..Launch::of(config.members) };
    // One member: old versions let members differ after what a stream may hold.
    let mut theirs = Launch { dir, ..Launch::of(1) };
    for launch in [&mut ours, &mut theirs] {
        launch.flags = AUTH_FLAGS.map(str::to_owned).to_vec();
    }
    if version >= Version::new(NO_FSYNC_SINCE) {
        theirs.flags.push("--unsafe-no-fsync".to_owned());
    }
    let (ours, theirs) =
        tokio::join!(Cluster::start(drystone, &ours), Cluster::start(etcd, &theirs));
    let (mut ours, mut theirs) = (ours?, theirs?);
    let mut stream = Stream::new(config, version, &ours, &theirs, tell);
    let done = stream.run(&mut ours).await;
    let mut outcome = stream.outcome;
    match done {
        Ok(()) => {}
        Err(Stopped::Harness(error)) => return Err(error),
        Err(Stopped::Different(what)) => {
            let (seed, operations) = (config.seed, outcome.operations);
            let ended = gone(&mut ours) + &gone(&mut theirs);
            outcome.difference = Some(format!(
                "operation {operations}: {what}\n{ended}again: cargo xtask conform --random \
                 --seed {seed} --operations {operations}"
            ));
        }
    }
    Ok(outcome)
}

/// How members ended that should not have, and the ends of their logs.
fn gone(cluster: &mut Cluster) -> String {
    let mut text = String::new();
    for n in 0..cluster.members().len() {
        if let Some(status) = cluster.member_mut(n).ended() {
            let log = cluster.members()[n].log_tail();
            text.push_str(&format!("a member ended: {status}\n{log}\n"));
        }
    }
    text
}

/// Why a stream ended before its end.
#[derive(Debug)]
enum Stopped {
    Different(String),
    Harness(HarnessError),
}

impl From<String> for Stopped {
    fn from(what: String) -> Stopped {
        Stopped::Different(what)
    }
}

impl From<HarnessError> for Stopped {
    fn from(error: HarnessError) -> Stopped {
        Stopped::Harness(error)
    }
}

/// Operations between two compactions when one server does a stream alone.
const ALONE_COMPACTION_EVERY: u64 = 90;

/// Does a stream on one server, without watches; how many answers were no errors.
pub async fn perform(client: &Client, seed: u64, operations: u64) -> u64 {
    let side = Side::new(client);
    // As against the oldest: what ends an etcd is not asked.
    let mut draw = Draw::new(seed, Version::new([0, 0, 0]));
    let mut answered = 0;
    for n in 1..=operations {
        let calls = match draw.step() {
            Step::Together(calls) => calls,
            Step::One(call) => vec![call],
            Step::Alone(..) | Step::Watch(_) => Vec::new(),
        };
        let compaction = (n % ALONE_COMPACTION_EVERY == 0).then(|| draw.compaction()).flatten();
        for call in calls.into_iter().chain(compaction) {
            let reply = side.call(&call).await;
            answered += u64::from(reply.revision() > 0);
            // One server's answer is as good as any here.
            let _ = draw.learn(&call, &reply);
        }
    }
    answered
}
