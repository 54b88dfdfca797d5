//! The stream itself: draws, asks both, compares.

use super::call::{AuthCall, Call, Reply, Side, Who};
use super::draw::{Draw, Step};
use super::ear::PATIENCE;
use super::excused::{Version, is_other_fault, plain};
use super::rights::{self, Attached, ROOT};
use super::watches::Watches;
use super::{Config, Outcome, Stopped};
use crate::harness::{Cluster, Stop};
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb as pb;
use futures::future::join_all;
use std::fmt::Debug;
use std::time::{Duration, Instant};
use tonic::Code;

/// Operations after which watches are compared.
const COMPARE_EVERY: u64 = 400;
/// Comparisons after which history is compacted.
const COMPACT_EVERY: u64 = 2;
/// Operations after which authentication is put into force, or out of it.
const AUTH_EVERY: u64 = 1_100;
/// One in so many ranges is asked of RangeStream too.
const PIECES_EVERY: u64 = 4;
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
    /// Whether authentication was on after the last step.
    guarded: bool,
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
            guarded: false,
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
        let watches = Watches::begin(&self.draw, &self.ours, &self.theirs).await?;
        self.watches = Some(watches);
        let mut told = Instant::now();
        let mut compared = 0;
        while self.outcome.operations < self.config.operations {
            let before = self.outcome.operations;
            self.step().await?;
            self.notice_auth().await?;
            let after = self.outcome.operations;
            let passed = |every: u64| every > 0 && before / every != after / every;
            if passed(COMPARE_EVERY) {
                compared += 1;
                self.compare().await?;
                if compared % COMPACT_EVERY == 0 {
                    self.compact().await?;
                }
            }
            if passed(AUTH_EVERY) {
                self.guard().await?;
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
            let call = self.draw.as_root(Call::HashKv(pb::HashKvRequest { revision }));
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
            Step::Alone(call, error) => self.refused_alone(&call, error).await?,
            Step::Watch(request) => {
                self.outcome.operations += 1;
                if let Some(watches) = &mut self.watches {
                    watches.create(&mut self.draw, request).await?;
                    self.outcome.alone += std::mem::take(&mut watches.alone);
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, call: &Call) {
        self.outcome.operations += 1;
        *self.outcome.kinds.entry(call.kind()).or_default() += 1;
    }

    /// One call, on both, unless this etcd knows less than the reference.
    async fn ask(&mut self, call: Call) -> Result<Option<Reply>, Stopped> {
        if !self.is_for_both(&call).await? {
            return Ok(None);
        }
        if let Some(change) = call.auth().filter(|auth| auth.command().is_some()) {
            self.before(change).await?;
        }
        self.count(&call);
        let (ours, theirs) = self.both(&call).await;
        self.hold(&call, ours, theirs).await.map(Some)
    }

    /// Sees to it that no watch is open whose owner is about to lose the right to it: Drystone
    /// would end it, and etcd would not.
    async fn before(&mut self, change: &AuthCall) -> Result<(), Stopped> {
        match &mut self.watches {
            Some(watches) if self.draw.is_guarded() => Ok(watches.end_of_others().await?),
            // Nobody's watches end when authentication comes into force, and all begin anew.
            _ if matches!(change, AuthCall::Enable) => self.compare().await,
            _ => Ok(()),
        }
    }

    /// Asks Drystone alone what this etcd would answer otherwise than the reference, because it
    /// is older; false when that was done.
    async fn is_for_both(&mut self, call: &Call) -> Result<bool, Stopped> {
        if rights::is_status_closed(call, self.draw.is_guarded(), self.etcd) {
            self.status_alone(call).await?;
            return Ok(false);
        }
        let Call::As(who, bare) = call else { return Ok(true) };
        if !self.draw.is_guarded() || who.is_root() {
            return Ok(true);
        }
        let about_leases = rights::is_about_leases(bare);
        let attached = if about_leases { self.attached().await? } else { Attached::new() };
        let Some(error) = self.draw.rights.alone(call, &attached, self.etcd) else {
            return Ok(true);
        };
        self.refused_alone(call, error).await?;
        Ok(false)
    }

    /// A call that Drystone must refuse, for this reason, or before for one that lies in the
    /// request itself.
    async fn refused_alone(&mut self, call: &Call, error: EtcdError) -> Result<(), Stopped> {
        self.count(call);
        self.outcome.alone += 1;
        let reply = self.ours.call(call).await;
        match &reply {
            Reply::Refused(code, text)
                if *code == Code::from(i32::from(error.wire_code().number()))
                    && text == error.message() => {}
            // The request itself is wrong, which is seen before anybody's rights.
            Reply::Refused(Code::InvalidArgument, _) if !is_denied(&reply) => {}
            _ => {
                let text = error.message();
                let what = format!("{call:?}:\n  Drystone alone {reply:?}\n  and not {text:?}");
                return Err(what.into());
            }
        }
        Ok(())
    }

    /// Whether Drystone tells everybody what it tells root.
    async fn status_alone(&mut self, call: &Call) -> Result<(), Stopped> {
        self.count(call);
        self.outcome.alone += 1;
        let by_root = self.draw.as_root(call.bare().clone());
        let (one, root) = tokio::join!(self.ours.call(call), self.ours.call(&by_root));
        let same = one == root || self.is_dead(call, &one);
        if same { Ok(()) } else { Err(apart(call, &one, &root).into()) }
    }

    /// Whether it is right that a call was refused for its token.
    fn is_dead(&self, call: &Call, reply: &Reply) -> bool {
        let Call::As(Who::User(name), _) = call else { return false };
        let text = EtcdError::InvalidAuthToken.message();
        let refused = matches!(reply, Reply::Refused(_, why) if why == text);
        refused && !self.draw.rights.has_token(name)
    }

    /// Which keys hang on which lease, by what Drystone stores.
    async fn attached(&self) -> Result<Attached, Stopped> {
        let everything = self.draw.as_root(self.draw.everything());
        let reply = self.ours.call(&everything).await;
        let Reply::Range(stored) = reply else {
            return Err(format!("{everything:?}:\n  Drystone alone {reply:?}").into());
        };
        let mut attached = Attached::new();
        for kv in stored.kvs.into_iter().filter(|kv| kv.lease != 0) {
            attached.entry(kv.lease).or_default().push(kv.key);
        }
        Ok(attached)
    }

    async fn both(&self, call: &Call) -> (Reply, Reply) {
        tokio::join!(self.ours.call(call), self.theirs.call(call))
    }

    /// Several calls, on both.
    async fn together(&mut self, drawn: Vec<Call>) -> Result<(), Stopped> {
        let mut calls = Vec::with_capacity(drawn.len());
        for call in drawn {
            if self.is_for_both(&call).await? {
                calls.push(call);
            }
        }
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
        self.hold_pieces(call, &same).await?;
        let learnt = self.draw.learn(call, &same);
        learnt.map_err(|what| format!("{call:?}: both answer {same:?}, but {what}"))?;
        self.outcome.refused += u64::from(matches!(same, Reply::Refused(..)));
        self.outcome.denied += u64::from(is_denied(&same));
        self.outcome.hashes += u64::from(matches!(same, Reply::HashKv(_)));
        Ok(same)
    }

    /// Holds Drystone's RangeStream to a range that both answered alike, now and then.
    async fn hold_pieces(&mut self, call: &Call, same: &Reply) -> Result<(), Stopped> {
        if !self.outcome.operations.is_multiple_of(PIECES_EVERY) {
            return Ok(());
        }
        let Some(pieces) = self.ours.in_pieces(call).await else { return Ok(()) };
        let pieces = plain(call, pieces, None)?;
        self.outcome.pieces += 1;
        if pieces == *same {
            return Ok(());
        }
        let text = format!("{call:?}:\n  in pieces {pieces:?}\n  at once   {same:?}");
        Err(text.chars().take(TEXT_MAX).collect::<String>().into())
    }

    /// Hashes at a revision where nothing lived, once they are equal; others as they are.
    async fn swept(&self, call: &Call, ours: Reply, theirs: Reply) -> (Reply, Reply) {
        let (mut ours, mut theirs) = (ours, theirs);
        let (Call::HashKv(request), Reply::HashKv(_)) = (call.bare(), &ours) else {
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
            match self.ours.call(&self.draw.as_root(count)).await {
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
        let Some(call) = self.draw.compaction().map(|call| self.draw.as_root(call)) else {
            return Ok(());
        };
        if let Some(watches) = &mut self.watches {
            watches.end_behind().await?;
        }
        let reply = self.ask(call).await?;
        if let (Some(Reply::Compact(_)), Some(watches)) = (reply, &mut self.watches) {
            self.outcome.compactions += 1;
            watches.compacted(&mut self.draw);
        }
        let looks = self.draw.looks(LOOKS);
        let looks = looks.into_iter().map(|call| self.draw.as_root(call)).collect();
        self.together(looks).await
    }

    /// Puts authentication into force, or out of it.
    async fn guard(&mut self) -> Result<(), Stopped> {
        let calls = match self.draw.is_guarded() {
            true => vec![self.draw.as_root(Call::Auth(AuthCall::Disable))],
            false => self.draw.guard(),
        };
        for call in calls {
            self.ask(call).await?;
        }
        self.notice_auth().await
    }

    /// Signs everybody in when authentication has been put into force, and root when his token
    /// has ended; listens anew whenever it comes or goes, because nobody's watches and tokens count
    /// for nothing then.
    async fn notice_auth(&mut self) -> Result<(), Stopped> {
        let was = std::mem::replace(&mut self.guarded, self.draw.is_guarded());
        if self.guarded && !was {
            self.outcome.guarded += 1;
            self.sign_in().await?;
            self.listen_anew().await?;
        } else if self.guarded && !self.draw.rights.has_token(ROOT) {
            self.ask(self.draw.sign_in_of(ROOT)).await?;
        } else if was && !self.guarded {
            self.compare().await?;
            self.listen_anew().await?;
        }
        Ok(())
    }

    async fn sign_in(&mut self) -> Result<(), Stopped> {
        for call in self.draw.sign_in() {
            self.ask(call).await?;
        }
        Ok(())
    }

    async fn listen_anew(&mut self) -> Result<(), Stopped> {
        if let Some(watches) = self.watches.take() {
            self.watches = Some(watches.again(&self.draw, &self.ours, &self.theirs).await?);
        }
        Ok(())
    }

    /// Lets a lease with keys run out.
    async fn expire(&mut self) -> Result<(), Stopped> {
        let id = EXPIRING_ID;
        let grant = Call::Grant(pb::LeaseGrantRequest { id, ttl: EXPIRING_SECONDS });
        let puts = self.draw.puts(EXPIRING_KEYS, id).into_iter().map(Call::Put);
        for call in std::iter::once(grant).chain(puts) {
            let call = self.draw.as_root(call);
            self.ask(call).await?;
        }
        let Some(watches) = &self.watches else { return Ok(()) };
        // Its end is the next thing that happens.
        self.draw.revision += 1;
        watches.wait_for(self.draw.revision).await?;
        self.compare().await?;
        let left = Call::TimeToLive(pb::LeaseTimeToLiveRequest { id, keys: true });
        for call in [left, self.draw.everything()] {
            let call = self.draw.as_root(call);
            self.ask(call).await?;
        }
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
        self.draw.rights.forget_tokens();
        if self.guarded {
            self.sign_in().await?;
        }
        self.listen_anew().await?;
        self.outcome.restarts += 1;
        Ok(())
    }
}

/// Whether it was refused for want of rights.
fn is_denied(reply: &Reply) -> bool {
    let Reply::Refused(_, why) = reply else { return false };
    let known = [EtcdError::PermissionDenied, EtcdError::UserEmpty, EtcdError::InvalidAuthToken];
    known.iter().any(|error| why == error.message())
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
