//! The same watches on both servers, held against each other and against all that happened.

use super::call::{Side, Who};
use super::draw::Draw;
use super::ear::{Ear, PATIENCE, is_progress};
use super::past::Past;
use super::rights::ROOT;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::watch_request::RequestUnion;
use drystone_api::mvccpb::Event;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Streams that are open at the same time, beside the one that hears everything.
const STREAMS: usize = 4;
/// Watches of one stream.
const WATCHES_MAX: usize = 12;
/// Out of a hundred: how often, when all is compared, a watch is ended, a stream is closed, and
/// progress is asked for.
const CANCEL_PERCENT: usize = 25;
const CLOSE_PERCENT: usize = 12;
const PROGRESS_PERCENT: usize = 50;
/// How long until progress is asked for again: while a watch is behind, nothing comes of it.
const PROGRESS_AGAIN: Duration = Duration::from_millis(150);

/// How the reason begins why a watch is refused for want of rights.
pub(super) const DENIED: &str = "rpc error: ";

/// What was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Watches begun, refused and compacted ones too.
    pub watches: u64,
    /// Watches ended on request.
    pub canceled: u64,
    /// Events that both told, over all watches.
    pub events: u64,
    /// Answers to progress requests.
    pub progress: u64,
}

/// All watches.
pub(super) struct Watches {
    everything: Pair,
    id: i64,
    streams: Vec<Stream>,
    past: Past,
    pub(super) heard: Heard,
    /// Watches that only Drystone was asked for, since somebody asked how many.
    pub(super) alone: u64,
}

/// A stream on each server.
struct Pair {
    ours: Ear,
    theirs: Ear,
}

struct Stream {
    pair: Pair,
    who: Who,
    watches: BTreeMap<i64, Watch>,
}

struct Watch {
    request: pb::WatchCreateRequest,
    /// The first revision of which nothing has been compared.
    next: i64,
    /// Whether it began in the past and has told nothing yet: it may not have come to the
    /// present.
    behind: bool,
}

impl Pair {
    fn open(ours: &Side, theirs: &Side, who: &Who) -> Pair {
        Pair { ours: Ear::open(ours, who), theirs: Ear::open(theirs, who) }
    }

    async fn send(&self, request: RequestUnion) {
        tokio::join!(self.ours.send(request.clone()), self.theirs.send(request));
    }

    /// The next answer of both, if it is the same.
    async fn answer(&self, about: &dyn std::fmt::Debug) -> Result<pb::WatchResponse, String> {
        let (ours, theirs) = tokio::join!(self.ours.answer(), self.theirs.answer());
        equal(about, ours, theirs)
    }

    /// The same, where an old etcd may tell another reason why it does not let somebody watch.
    async fn creation(
        &self,
        about: &dyn std::fmt::Debug,
        draw: &Draw,
    ) -> Result<pb::WatchResponse, String> {
        let (ours, theirs) = tokio::join!(self.ours.answer(), self.theirs.answer());
        let theirs = match (&ours, theirs) {
            (Ok(ours), Ok(theirs)) => Ok(draw.refusal(ours, theirs)),
            (_, theirs) => theirs,
        };
        equal(about, ours, theirs)
    }

    /// The events of both, if they are the same.
    async fn events(
        &self,
        id: i64,
        count: usize,
        about: &dyn std::fmt::Debug,
    ) -> Result<Vec<Event>, String> {
        let (ours, theirs) =
            tokio::join!(self.ours.events(id, count), self.theirs.events(id, count));
        equal(about, ours, theirs)
    }

    fn forget(&self, id: i64) {
        self.ours.forget(id);
        self.theirs.forget(id);
    }
}

/// What both said, if it is the same.
fn equal<T: PartialEq + std::fmt::Debug>(
    about: &dyn std::fmt::Debug,
    ours: Result<T, String>,
    theirs: Result<T, String>,
) -> Result<T, String> {
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) if ours == theirs => Ok(ours),
        (ours, theirs) => Err(format!("{about:?}:\n  Drystone {ours:?}\n  etcd     {theirs:?}")),
    }
}

impl Watches {
    /// Begins to listen to everything, from the revision after `revision` on.
    pub(super) async fn begin(draw: &Draw, ours: &Side, theirs: &Side) -> Result<Watches, String> {
        let revision = draw.revision;
        let who = if draw.is_guarded() { Who::User(ROOT.into()) } else { Who::Nobody };
        let everything = Pair::open(ours, theirs, &who);
        let request = pb::WatchCreateRequest {
            key: b"\0"[..].into(),
            range_end: b"\0"[..].into(),
            prev_kv: true,
            start_revision: revision + 1,
            ..Default::default()
        };
        everything.send(RequestUnion::CreateRequest(request.clone())).await;
        let id = everything.answer(&request).await?.watch_id;
        let streams = (0..STREAMS).map(|_| Stream::open(ours, theirs, &who)).collect();
        let past = Past::new(revision + 1);
        Ok(Watches { everything, id, streams, past, heard: Heard::default(), alone: 0 })
    }

    /// Listens anew, to servers that may be others; what was heard stays.
    pub(super) async fn again(
        self,
        draw: &Draw,
        ours: &Side,
        theirs: &Side,
    ) -> Result<Watches, String> {
        let mut new = Watches::begin(draw, ours, theirs).await?;
        new.heard = self.heard;
        new.past = self.past;
        Ok(new)
    }

    /// Begins a watch on both, and compares the answers to it.
    pub(super) async fn create(
        &mut self,
        draw: &mut Draw,
        request: pb::WatchCreateRequest,
    ) -> Result<(), String> {
        let n = draw.below(STREAMS);
        let stream = &mut self.streams[n];
        let request = draw.permitted(request, &stream.who);
        if stream.watches.len() >= WATCHES_MAX {
            return Ok(());
        }
        self.heard.watches += 1;
        if let Some(reason) = draw.watch_alone(&request, &stream.who) {
            self.alone += 1;
            return stream.refused_alone(request, reason).await;
        }
        stream.pair.send(RequestUnion::CreateRequest(request.clone())).await;
        let created = stream.pair.creation(&request, draw).await?;
        if !created.created {
            return Err(format!("{request:?}: answered by {created:?}"));
        }
        if created.canceled {
            let is_denied = created.cancel_reason.starts_with(DENIED);
            return match is_denied && draw.is_silenced() {
                true => stream.end(request.watch_id).await,
                false => Ok(()),
            };
        }
        let start = request.start_revision;
        if start > 0 && start < draw.compacted {
            stream.pair.answer(&request).await?;
            return stream.cancel(created.watch_id).await;
        }
        let next = if start > 0 { start } else { draw.revision + 1 };
        let behind = next <= draw.revision;
        stream.watches.insert(created.watch_id, Watch { request, next, behind });
        Ok(())
    }

    /// Waits until every watch has told everything up to the present, and compares it.
    pub(super) async fn compare(&mut self, revision: i64, compacted: i64) -> Result<(), String> {
        if self.past.next() <= revision {
            let everything = &self.everything;
            let (ours, theirs) = tokio::join!(
                up_to(&everything.ours, self.id, revision),
                up_to(&everything.theirs, self.id, revision)
            );
            let events = equal(&"a watch of everything", ours, theirs)?;
            self.heard.events += events.len() as u64;
            self.past.append(events)?;
        }
        for stream in &mut self.streams {
            for (id, watch) in &mut stream.watches {
                let due = self.past.told(&watch.request, watch.next, compacted);
                let about = (&stream.who, id, &watch.request);
                let events = stream.pair.events(*id, due.len(), &about).await?;
                if events != due {
                    let what = "both told other events than a watch of everything";
                    return Err(format!("{:?}: {what}:\n  {events:?}\n  {due:?}", watch.request));
                }
                self.heard.events += events.len() as u64;
                watch.next = watch.next.max(revision + 1);
                watch.behind &= events.is_empty();
            }
        }
        Ok(())
    }

    /// Ends some watches and closes some streams, after everything was compared.
    pub(super) async fn thin(
        &mut self,
        draw: &mut Draw,
        ours: &Side,
        theirs: &Side,
    ) -> Result<(), String> {
        for stream in &mut self.streams {
            if stream.watches.len() == WATCHES_MAX || draw.below(100) < CANCEL_PERCENT {
                let ids: Vec<i64> = stream.watches.keys().copied().collect();
                let unknown = 1_000 + draw.below(9) as i64;
                for id in ids.iter().skip(draw.below(3)).step_by(2).chain([&unknown]) {
                    if stream.watches.remove(id).is_some() {
                        stream.cancel(*id).await?;
                        self.heard.canceled += 1;
                    } else {
                        // Nothing comes of it: the next answer is another's.
                        let cancel = pb::WatchCancelRequest { watch_id: *id };
                        stream.pair.send(RequestUnion::CancelRequest(cancel)).await;
                    }
                }
            }
            if draw.below(100) < CLOSE_PERCENT {
                *stream = Stream::open(ours, theirs, &draw.listener());
            }
            if draw.below(100) < PROGRESS_PERCENT && stream.is_present(draw.revision) {
                let (ours, theirs) = tokio::join!(
                    progress(&stream.pair.ours, draw.revision),
                    progress(&stream.pair.theirs, draw.revision)
                );
                equal(&"progress", ours, theirs)?;
                self.heard.progress += 1;
            }
        }
        Ok(())
    }

    /// Waits until both told of `revision`, which nothing but time brings.
    pub(super) async fn wait_for(&self, revision: i64) -> Result<(), String> {
        for ear in [&self.everything.ours, &self.everything.theirs] {
            ear.until(PATIENCE, |told| {
                let events = told.events.get(&self.id)?;
                (newest(events) >= revision).then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// What happened at a revision that is not compacted.
    pub(super) fn happened(&self, revision: i64) -> &[Event] {
        self.past.at(revision)
    }

    /// Ends the watches that a compaction might overtake.
    pub(super) async fn end_behind(&mut self) -> Result<(), String> {
        self.end_where(|_, watch| watch.behind).await
    }

    /// Ends the watches of those who can lose the right to them.
    pub(super) async fn end_of_others(&mut self) -> Result<(), String> {
        self.end_where(|who, _| !who.is_root()).await
    }

    async fn end_where(&mut self, is_due: impl Fn(&Who, &Watch) -> bool) -> Result<(), String> {
        for stream in &mut self.streams {
            let due = stream.watches.iter().filter(|(_, watch)| is_due(&stream.who, watch));
            for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
                stream.watches.remove(&id);
                stream.cancel(id).await?;
                self.heard.canceled += 1;
            }
        }
        Ok(())
    }

    /// Takes notice of a compaction.
    pub(super) fn compacted(&mut self, draw: &mut Draw) {
        draw.cut_deletion = self.past.deletes_at(draw.compacted);
        self.past.forget_before(draw.compacted);
    }
}

impl Stream {
    fn open(ours: &Side, theirs: &Side, who: &Who) -> Stream {
        let pair = Pair::open(ours, theirs, who);
        Stream { pair, who: who.clone(), watches: BTreeMap::new() }
    }

    /// Whether every watch has begun: then there is progress to tell.
    fn is_present(&self, revision: i64) -> bool {
        let mut watches = self.watches.values();
        !self.watches.is_empty() && watches.all(|watch| watch.request.start_revision <= revision)
    }

    async fn cancel(&mut self, id: i64) -> Result<(), String> {
        let request = pb::WatchCancelRequest { watch_id: id };
        self.pair.send(RequestUnion::CancelRequest(request)).await;
        self.pair.answer(&request).await?;
        self.pair.forget(id);
        Ok(())
    }

    /// Ends a watch, if there is one of this id.
    async fn end(&mut self, id: i64) -> Result<(), String> {
        match self.watches.remove(&id) {
            Some(_) => self.cancel(id).await,
            None => Ok(()),
        }
    }

    /// What the reference refuses and this etcd does not.
    async fn refused_alone(
        &mut self,
        request: pb::WatchCreateRequest,
        reason: EtcdError,
    ) -> Result<(), String> {
        self.pair.ours.send(RequestUnion::CreateRequest(request.clone())).await;
        let answer = self.pair.ours.answer().await?;
        let refused = answer.created && answer.canceled && answer.watch_id == -1;
        if refused && answer.cancel_reason.ends_with(reason.message()) {
            return Ok(());
        }
        Err(format!("{request:?}: Drystone alone answers {answer:?}"))
    }
}

/// The last revision of events in order.
fn newest(events: &[Event]) -> i64 {
    let kv = events.last().and_then(|event| event.kv.as_ref());
    kv.map_or(0, |kv| kv.mod_revision)
}

/// Takes all events of a watch of everything, once those of `revision` have come.
async fn up_to(ear: &Ear, id: i64, revision: i64) -> Result<Vec<Event>, String> {
    ear.until(PATIENCE, |told| {
        let events = told.events.entry(id).or_default();
        (newest(events) >= revision).then(|| std::mem::take(events))
    })
    .await
}

/// Asks for progress until it is told up to `revision`.
async fn progress(ear: &Ear, revision: i64) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    loop {
        ear.send(RequestUnion::ProgressRequest(pb::WatchProgressRequest {})).await;
        let told = ear.until(PROGRESS_AGAIN, |told| {
            while let Some(answer) = told.answers.pop_front() {
                // An answer that was late the last time tells of less.
                if !is_progress(&answer) || header_of(&answer) >= revision {
                    return Some(answer);
                }
            }
            None
        });
        match told.await {
            Ok(answer) if is_progress(&answer) && header_of(&answer) == revision => return Ok(()),
            Ok(answer) => return Err(format!("answered {answer:?}, not {revision}")),
            Err(why) if Instant::now() > until => return Err(why),
            Err(_) => {}
        }
    }
}

fn header_of(answer: &pb::WatchResponse) -> i64 {
    answer.header.as_ref().map_or(0, |header| header.revision)
}
