//! Watchers that listen while keys are written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::watch_request::RequestUnion;
use tonic::Status;

use super::{Bed, Outcome};
use crate::Error;
use crate::args::{Scope, WatchArgs};
use crate::load::{Budget, Recorder, drive};
use crate::report::Load;
use crate::scan::{Revision, Watch};
use crate::wire::{Call, Watching};

/// How long to wait for the rest of the events when none comes any more.
const SILENCE_MAX: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// What the streams share.
#[derive(Debug)]
struct Ears {
    recorder: Arc<Recorder>,
    /// Stamps count from here.
    epoch: Instant,
    created: AtomicU64,
    /// When the last event came, in nanoseconds since the epoch.
    last: AtomicU64,
    broken: AtomicBool,
}

pub(crate) async fn watch(
    bed: &Arc<Bed>,
    args: WatchArgs,
    recorder: Arc<Recorder>,
) -> Result<Outcome, Error> {
    let ears = Arc::new(Ears {
        recorder: recorder.clone(),
        epoch: Instant::now(),
        created: AtomicU64::new(0),
        last: AtomicU64::new(0),
        broken: AtomicBool::new(false),
    });
    let streams = open(bed, args, &ears).await?;

    let begun = Instant::now();
    let puts = Arc::new(Recorder::new());
    let expected = write(bed, args, &ears, &puts).await;
    let written = begun.elapsed();
    let received = || ears.recorder.done.load(Ordering::Relaxed);
    let mut before = (received(), Instant::now());
    while received() < expected && !ears.broken.load(Ordering::Relaxed) {
        tokio::time::sleep(POLL).await;
        if received() > before.0 {
            before = (received(), Instant::now());
        } else if before.1.elapsed() > SILENCE_MAX {
            break;
        }
    }
    streams.iter().for_each(tokio::task::JoinHandle::abort);

    let last = ears.epoch + Duration::from_nanos(ears.last.load(Ordering::Relaxed));
    let mut outcome = Outcome::new(recorder.clone(), begun);
    outcome.load = Load::new(&recorder, last.saturating_duration_since(begun));
    outcome.puts = Some(Load::new(&puts, written));
    outcome.events_missing = Some(expected.saturating_sub(received()));
    Ok(outcome)
}

/// Opens all streams and waits until all watchers are there.
async fn open(
    bed: &Arc<Bed>,
    args: WatchArgs,
    ears: &Arc<Ears>,
) -> Result<Vec<tokio::task::JoinHandle<()>>, Error> {
    let mut streams = Vec::new();
    let number = args.streams.min(args.watchers);
    for stream in 0..number {
        let watchers = (stream..args.watchers).step_by(number as usize);
        let creates = watchers.map(|watcher| create(bed, args.scope, watcher));
        let wire = bed.wire(stream as usize);
        let responses = wire.watch(creates).await.map_err(Error::step("watching"))?;
        let ears = ears.clone();
        streams.push(tokio::spawn(async move {
            if let Err(status) = listen(&ears, stream as usize, responses).await {
                ears.recorder.error(&status);
                ears.broken.store(true, Ordering::Relaxed);
            }
        }));
    }
    let begun = Instant::now();
    while ears.created.load(Ordering::Relaxed) < u64::from(args.watchers) {
        let late = begun.elapsed() > bed.common.request_timeout;
        if late || ears.broken.load(Ordering::Relaxed) {
            let status = Status::deadline_exceeded("the watchers are not all there");
            return Err(Error::step("watching")(status));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(streams)
}

fn create(bed: &Bed, scope: Scope, watcher: u32) -> pb::WatchRequest {
    let (key, range_end) = match scope {
        Scope::Prefix => bed.keys.under_prefix(),
        Scope::Key => (bed.keys.key(u64::from(watcher) % bed.keys.number()), Default::default()),
    };
    let create = pb::WatchCreateRequest { key, range_end, ..Default::default() };
    pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }
}

/// Takes the time of every event of a stream.
async fn listen(ears: &Ears, stream: usize, mut responses: Watching) -> Result<(), Status> {
    while let Some(response) = responses.next::<Watch>().await? {
        if response.canceled {
            return Err(Status::aborted("the server cancelled a watch"));
        }
        if response.created {
            ears.created.fetch_add(1, Ordering::Relaxed);
        }
        if response.stamps.is_empty() {
            continue;
        }
        let now = nanos(ears.epoch);
        for stamp in response.stamps {
            ears.recorder.time(stream, Duration::from_nanos(now.saturating_sub(stamp)));
        }
        ears.last.fetch_max(now, Ordering::Relaxed);
    }
    Err(Status::unavailable("the server ended a watch stream"))
}

fn nanos(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Writes, and tells how many events must come of it.
async fn write(bed: &Arc<Bed>, args: WatchArgs, ears: &Arc<Ears>, puts: &Arc<Recorder>) -> u64 {
    let budget = Arc::new(Budget::new(bed.common.total(), &bed.common));
    let expected = Arc::new(AtomicU64::new(0));
    let (bed, ears, counted) = (bed.clone(), ears.clone(), expected.clone());
    let errors_max = bed.common.errors_max;
    drive(bed.clients(), &budget, puts, errors_max, move |worker, turn| {
        let bed = bed.clone();
        let place = watched_place(&bed, args, turn.request);
        let listeners = listeners(&bed, args, place);
        let value = bed.keys.stamped_value(turn.request, nanos(ears.epoch));
        let request = pb::PutRequest { key: bed.keys.key(place), value, ..Default::default() };
        let expected = counted.clone();
        async move {
            bed.wire(worker).call::<Revision>(Call::Put, &request).await?;
            expected.fetch_add(listeners, Ordering::Relaxed);
            Ok(())
        }
    })
    .await;
    expected.load(Ordering::Relaxed)
}

/// The key to write: one that somebody watches.
fn watched_place(bed: &Bed, args: WatchArgs, request: u64) -> u64 {
    let place = bed.keys.pick(request);
    match args.scope {
        Scope::Prefix => place,
        Scope::Key => place % u64::from(args.watchers).min(bed.keys.number()),
    }
}

/// How many watchers hear of a key.
fn listeners(bed: &Bed, args: WatchArgs, place: u64) -> u64 {
    let (watchers, keys) = (u64::from(args.watchers), bed.keys.number());
    match args.scope {
        Scope::Prefix => watchers,
        Scope::Key => watchers / keys + u64::from(place < watchers % keys),
    }
}
