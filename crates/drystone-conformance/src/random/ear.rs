//! One stream of watches on one server, and everything it told.

use super::call::{Side, TOKEN, Who};
use super::excused::plain_header;
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::watch_client::WatchClient;
use drystone_api::etcdserverpb::watch_request::RequestUnion;
use drystone_api::mvccpb::Event;
use drystone_client::Transport;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;

/// How long something that must come may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Requests that wait to be sent.
const REQUESTS_MAX: usize = 64;

/// Listens to one stream.
#[derive(Debug)]
pub(super) struct Ear {
    requests: mpsc::Sender<pb::WatchRequest>,
    told: Arc<Mutex<Told>>,
    wake: Arc<Notify>,
    task: JoinHandle<()>,
}

/// What a stream told and nobody has taken yet.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Answers without events: created, canceled, progress on request.
    pub(super) answers: VecDeque<pb::WatchResponse>,
    /// Events of each watch.
    pub(super) events: HashMap<i64, Vec<Event>>,
    /// The last revision of each watch, and whether more of it may come.
    last: HashMap<i64, (i64, bool)>,
    /// What no server may do, or how the stream ended.
    fault: Option<String>,
}

impl Ear {
    /// Opens a stream, with the token of `who`.
    pub(super) fn open(side: &Side, who: &Who) -> Ear {
        let (requests, queue) = mpsc::channel(REQUESTS_MAX);
        let told = Arc::new(Mutex::new(Told::default()));
        let wake = Arc::new(Notify::new());
        let mut request = Request::new(ReceiverStream::new(queue));
        if let Some(token) = side.tokens.of(who) {
            request.metadata_mut().insert(TOKEN, token);
        }
        let task = tokio::spawn(listen(side.transport(), request, told.clone(), wake.clone()));
        Ear { requests, told, wake, task }
    }

    /// Sends a request.
    pub(super) async fn send(&self, request: RequestUnion) {
        // A stream that has ended shows in what is waited for.
        let _ = self.requests.send(pb::WatchRequest { request_union: Some(request) }).await;
    }

    /// Waits until `ready` finds what it looks for.
    ///
    /// # Errors
    /// What was wrong with the stream, or that nothing came within `limit`.
    pub(super) async fn until<T>(
        &self,
        limit: Duration,
        mut ready: impl FnMut(&mut Told) -> Option<T>,
    ) -> Result<T, String> {
        let wait = async {
            loop {
                let woken = self.wake.notified();
                {
                    let mut told = lock(&self.told);
                    if let Some(found) = ready(&mut told) {
                        return Ok(found);
                    }
                    if let Some(fault) = &told.fault {
                        return Err(fault.clone());
                    }
                }
                woken.await;
            }
        };
        let nothing = || Err(format!("nothing came within {limit:?}"));
        tokio::time::timeout(limit, wait).await.unwrap_or_else(|_| nothing())
    }

    /// The next answer to a request for a watch, or for the end of one.
    pub(super) async fn answer(&self) -> Result<pb::WatchResponse, String> {
        self.until(PATIENCE, |told| {
            // Progress that was asked for twice may be told twice.
            told.answers.retain(|answer| !is_progress(answer));
            told.answers.pop_front()
        })
        .await
    }

    /// Takes what came of events for a watch, once there are at least `count`.
    pub(super) async fn events(&self, id: i64, count: usize) -> Result<Vec<Event>, String> {
        let enough = |told: &mut Told| {
            let events = told.events.entry(id).or_default();
            (events.len() >= count).then(|| std::mem::take(events))
        };
        self.until(PATIENCE, enough).await.map_err(|error| {
            let came = lock(&self.told).events.get(&id).map_or(0, Vec::len);
            format!("{came} of {count} events came: {error}")
        })
    }

    /// Forgets a watch that has ended.
    pub(super) fn forget(&self, id: i64) {
        let mut told = lock(&self.told);
        told.events.remove(&id);
        told.last.remove(&id);
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether it tells the progress of a whole stream.
pub(super) fn is_progress(answer: &pb::WatchResponse) -> bool {
    answer.watch_id == -1 && !answer.created && !answer.canceled
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn listen(
    transport: Transport,
    request: Request<ReceiverStream<pb::WatchRequest>>,
    told: Arc<Mutex<Told>>,
    wake: Arc<Notify>,
) {
    let mut client = WatchClient::new(transport).max_decoding_message_size(usize::MAX);
    let mut responses = match client.watch(request).await {
        Ok(responses) => responses.into_inner(),
        Err(status) => return ended(&told, &wake, &status.to_string()),
    };
    loop {
        match responses.message().await {
            Ok(Some(response)) => {
                lock(&told).take(response);
                wake.notify_waiters();
            }
            Ok(None) => return ended(&told, &wake, "without a reason"),
            Err(status) => return ended(&told, &wake, &status.to_string()),
        }
    }
}

fn ended(told: &Mutex<Told>, wake: &Notify, why: &str) {
    lock(told).fault.get_or_insert(format!("the stream ended: {why}"));
    wake.notify_waiters();
}

impl Told {
    /// Keeps a response; holds it against what needs no other server to compare with.
    fn take(&mut self, response: pb::WatchResponse) {
        let mut response = response;
        let id = response.watch_id;
        let header = response.header.as_ref().map_or(0, |header| header.revision);
        if response.events.is_empty() {
            let periodic = !response.created && !response.canceled && id != -1;
            if periodic {
                // A watch's own progress: no event up to it may come any more.
                self.last.insert(id, (header, false));
                return;
            }
            if response.created && !response.canceled {
                self.last.insert(id, (0, false));
            }
            plain_header(&mut response.header);
            self.answers.push_back(response);
            return;
        }
        let fault = self.hear(id, header, &response);
        if let Some(fault) = fault {
            self.fault.get_or_insert(format!("{fault}: {response:?}"));
        }
        self.events.entry(id).or_default().append(&mut response.events);
    }

    /// A revision comes whole, in order, once, and not after its header.
    fn hear(&mut self, id: i64, header: i64, response: &pb::WatchResponse) -> Option<&'static str> {
        let Some((last, unfinished)) = self.last.get(&id).copied() else {
            return Some("events of a watch that there is not");
        };
        let revision = |event: &Event| event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
        let first = response.events.first().map_or(0, revision);
        let newest = response.events.last().map_or(0, revision);
        self.last.insert(id, (newest, response.fragment));
        if first < last || (first == last && !unfinished) {
            return Some("a revision in pieces, or again");
        }
        if !response.events.is_sorted_by_key(revision) {
            return Some("events out of order");
        }
        (newest > header).then_some("events after the header's revision")
    }
}
