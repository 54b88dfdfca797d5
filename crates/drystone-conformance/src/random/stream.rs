//! The stream itself: draws, asks both, compares.

use super::call::{Call, Reply, Side};
use super::draw::{Draw, Step};
use super::ear::PATIENCE;
use super::excused::{Version, is_other_fault, plain};
use super::watches::Watches;
use super::{Config, Outcome, Stopped};
use crate::harness::{Cluster, Stop};
use drystone_api::etcdserverpb as pb;
use futures::future::join_all;
use std::fmt::Debug;
use std::time::{Duration, Instant};
use tonic::Code;

/// Operations after which watches are compared.
const COMPARE_EVERY: u64 = 400;
/// Comparisons after which history is compacted.
const COMPACT_EVERY: u64 = 2;
/// Hashes and old revisions that are looked at after a compaction.
const LOOKS: usize = 4;
/// A lease that runs out: its id, the seconds it is given, and its keys.
const EXPIRING_ID: i64 = 5_000;
const EXPIRING_SECONDS: i64 = 4;
const EXPIRING_KEYS: usize = 5;
/// How often a hash is asked for again that waits for a compaction.
const SWEEP_POLL: Duration = Duration::from_millis(20);
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Stream<'a, T> {
    config: &'a Config,
    etcd: Version,
    ours: Side,
    theirs: Side,
    draw: Draw,
    watches: Option<Watches>,
    pub(super) outcome: Outcome,
    tell: T,
}

impl<'a, T: FnMut(&Outcome)> Stream<'a, T> {
    pub(super) fn new(
        config: &'a Config,
        etcd: Version,
        ours: &Cluster,
        theirs: &Cluster,
        tell: T,
    ) -> Self {
        Stream {
            config,
            etcd,
            ours: Side::new(&ours.members()[0].client()),
            theirs: Side::new(&theirs.members()[0].client()),
            draw: Draw::new(config.seed, etcd),
            watches: None,
            outcome: Outcome::default(),
            tell,
        }
    }

    /// All of it.
    pub(super) async fn run(&mut self, ours: &mut Cluster) -> Result<(), Stopped> {
        match self.steps(ours).await {
            Ok(()) => Ok(()),
            Err(stopped) => Err(self.explained(stopped).await),
        }
    }

    async fn steps(&mut self, ours: &mut Cluster) -> Result<(), Stopped> {
        let watches = Watches::begin(&self.ours, &self.theirs, self.draw.revision).await?;
        self.watches = Some(watches);
        let mut told = Instant::now();
        let mut compared = 0;
        while self.outcome.operations < self.config.operations {
            let before = self.outcome.operations;
            self.step().await?;
            let after = self.outcome.operations;
            let passed = |every: u64| every > 0 && before / every != after / every;
            if passed(COMPARE_EVERY) {
                compared += 1;
                self.compare().await?;
                if compared % COMPACT_EVERY == 0 {
                    self.compact().await?;
                }
            }
            if passed(self.config.expiry_every) {
                self.expire().await?;
            }
            if passed(self.config.restart_every) {
                self.compare().await?;
                self.restart(ours).await?;
            }
            if told.elapsed() > TELL_EVERY {
                told = Instant::now();
                (self.tell)(&self.outcome);
            }
        }
        self.compare().await?;
        self.outcome.revision = self.draw.revision;
        Ok(())
    }

    /// Says at which revisions hashes differ, and what happened there, when something differs.
    async fn explained(&mut self, stopped: Stopped) -> Stopped {
        let Stopped::Different(what) = stopped else { return stopped };
        let mut apart = Vec::new();
        for revision in self.draw.compacted + 1..=self.draw.revision {
            let call = Call::HashKv(pb::HashKvRequest { revision });
            let (ours, theirs) = self.both(&call).await;
            if let (Reply::HashKv(ours), Reply::HashKv(theirs)) = (ours, theirs)
                && ours.hash != theirs.hash
            {
                apart.push(revision);
            }
        }
        if apart.is_empty() {
            return Stopped::Different(what);
        }
        // What it tells of is in the text; that it cannot compare any more is known.
        let _ = self.compare().await;
        let compacted = self.draw.compacted;
        let mut text = format!("{what}\nhashes since {compacted} differ at {apart:?}");
        if let Some(watches) = &self.watches {
            for revision in [compacted].iter().chain(apart.iter().take(2)) {
                text.push_str(&format!("\nat {revision}: {:?}", watches.happened(*revision)));
            }
        }
        Stopped::Different(text)
    }

    async fn step(&mut self) -> Result<(), Stopped> {
        match self.draw.step() {
            Step::Together(calls) => self.together(calls).await?,
            Step::One(call) => {
                self.ask(call).await?;
            }
            Step::Alone(call, text) => {
                self.count(&call);
                self.outcome.alone += 1;
                let reply = self.ours.call(&call).await;
                if reply != Reply::Refused(Code::InvalidArgument, text.to_owned()) {
                    return Err(format!("{call:?}:\n  Drystone alone {reply:?}").into());
                }
            }
            Step::Watch(request) => {
                self.outcome.operations += 1;
                if let Some(watches) = &mut self.watches {
                    watches.create(&mut self.draw, request).await?;
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, call: &Call) {
        self.outcome.operations += 1;
        *self.outcome.kinds.entry(call.kind()).or_default() += 1;
    }

    /// One call, on both.
    async fn ask(&mut self, call: Call) -> Result<Reply, Stopped> {
        self.count(&call);
        let (ours, theirs) = self.both(&call).await;
        self.hold(&call, ours, theirs).await
    }

    async fn both(&self, call: &Call) -> (Reply, Reply) {
        tokio::join!(self.ours.call(call), self.theirs.call(call))
    }

    /// Several calls, on both.
    async fn together(&mut self, calls: Vec<Call>) -> Result<(), Stopped> {
        let (ours, theirs) = tokio::join!(
            join_all(calls.iter().map(|call| self.ours.call(call))),
            join_all(calls.iter().map(|call| self.theirs.call(call)))
        );
        for (call, (ours, theirs)) in calls.iter().zip(ours.into_iter().zip(theirs)) {
            self.count(call);
            self.hold(call, ours, theirs).await?;
        }
        Ok(())
    }

    /// Compares two answers, and takes notice of them.
    async fn hold(&mut self, call: &Call, ours: Reply, theirs: Reply) -> Result<Reply, Stopped> {
        let (ours, theirs) = self.swept(call, ours, theirs).await;
        let ours = plain(call, ours, None);
        let theirs = plain(call, theirs, Some(self.etcd));
        let same = match (ours, theirs) {
            (Ok(ours), Ok(theirs)) if ours == theirs && !ours.is_lost() => ours,
            (Ok(ours), Ok(theirs)) if is_other_fault(call, &ours, &theirs, self.etcd) => ours,
            (ours, theirs) => return Err(apart(call, &ours, &theirs).into()),
        };
        self.draw.learn(call, &same);
        self.outcome.refused += u64::from(matches!(same, Reply::Refused(..)));
        self.outcome.hashes += u64::from(matches!(same, Reply::HashKv(_)));
        Ok(same)
    }

    /// Hashes at a revision where nothing lived, once they are equal; others as they are.
    async fn swept(&self, call: &Call, ours: Reply, theirs: Reply) -> (Reply, Reply) {
        let (mut ours, mut theirs) = (ours, theirs);
        let (Call::HashKv(request), Reply::HashKv(_)) = (call, &ours) else {
            return (ours, theirs);
        };
        let until = Instant::now() + PATIENCE;
        while hash_of(&ours) != hash_of(&theirs) && Instant::now() < until {
            let count = Call::Range(pb::RangeRequest {
                key: b"\0"[..].into(),
                range_end: b"\0"[..].into(),
                revision: request.revision,
                count_only: true,
                ..Default::default()
            });
            match self.ours.call(&count).await {
                Reply::Range(answer) if answer.count == 0 => {}
                _ => break,
            }
            tokio::time::sleep(SWEEP_POLL).await;
            (ours, theirs) = self.both(call).await;
        }
        (ours, theirs)
    }

    /// Lets every watch come to the present, and compares what they told.
    async fn compare(&mut self) -> Result<(), Stopped> {
        let Some(watches) = &mut self.watches else { return Ok(()) };
        watches.compare(self.draw.revision, self.draw.compacted).await?;
        watches.thin(&mut self.draw, &self.ours, &self.theirs).await?;
        self.outcome.heard = watches.heard;
        Ok(())
    }

    /// Compacts, and looks at what is left.
    async fn compact(&mut self) -> Result<(), Stopped> {
        let Some(call) = self.draw.compaction() else { return Ok(()) };
        if let Some(watches) = &mut self.watches {
            watches.end_behind().await?;
        }
        let reply = self.ask(call).await?;
        if let (Reply::Compact(_), Some(watches)) = (reply, &mut self.watches) {
            self.outcome.compactions += 1;
            watches.compacted(&mut self.draw);
        }
        let looks = self.draw.looks(LOOKS);
        self.together(looks).await
    }

    /// Lets a lease with keys run out.
    async fn expire(&mut self) -> Result<(), Stopped> {
        let id = EXPIRING_ID;
        self.ask(Call::Grant(pb::LeaseGrantRequest { id, ttl: EXPIRING_SECONDS })).await?;
        for put in self.draw.puts(EXPIRING_KEYS, id) {
            self.ask(Call::Put(put)).await?;
        }
        let Some(watches) = &self.watches else { return Ok(()) };
        // Its end is the next thing that happens.
        self.draw.revision += 1;
        watches.wait_for(self.draw.revision).await?;
        self.compare().await?;
        self.ask(Call::TimeToLive(pb::LeaseTimeToLiveRequest { id, keys: true })).await?;
        let everything = self.draw.everything();
        self.ask(everything).await?;
        self.outcome.expiries += 1;
        Ok(())
    }

    /// Ends and starts the member that is asked, and goes on with the next one.
    async fn restart(&mut self, cluster: &mut Cluster) -> Result<(), Stopped> {
        let members = cluster.members().len() as u64;
        let member = |n: u64| usize::try_from(n % members).unwrap_or(0);
        let n = self.outcome.restarts;
        let how = if n.is_multiple_of(2) { Stop::Kill } else { Stop::Terminate };
        cluster.member_mut(member(n)).restart(how).await?;
        cluster.settle().await?;
        self.ours = Side::new(&cluster.members()[member(n + 1)].client());
        if let Some(watches) = self.watches.take() {
            let again = watches.again(&self.ours, &self.theirs, self.draw.revision);
            self.watches = Some(again.await?);
        }
        self.outcome.restarts += 1;
        Ok(())
    }
}

fn hash_of(reply: &Reply) -> Option<u32> {
    match reply {
        Reply::HashKv(answer) => Some(answer.hash),
        _ => None,
    }
}

/// Long answers are told by their beginnings.
const TEXT_MAX: usize = 6_000;

fn apart(call: &Call, ours: &impl Debug, theirs: &impl Debug) -> String {
    let short = |text: String| match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    };
    let (call, ours) = (short(format!("{call:?}")), short(format!("{ours:?}")));
    let theirs = short(format!("{theirs:?}"));
    format!("{call}:\n  Drystone {ours}\n  etcd     {theirs}")
}
