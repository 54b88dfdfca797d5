//! Watches that outlive their members' deaths, each connection noted as a stream of its own.

use super::load::{KEYS, PREFIX, PREFIX_END, key};
use super::notebook::Notebook;
use crate::torture::load::Shared;
use drystone_api::etcdserverpb as pb;
use drystone_api::etcdserverpb::watch_client::WatchClient;
use drystone_api::etcdserverpb::watch_create_request::FilterType;
use drystone_api::etcdserverpb::watch_request::RequestUnion;
use drystone_judge::{StreamEnd, StreamEvent, StreamHeard, WatchStream};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

/// Pause before a lost watch begins anew.
const RESUME_PAUSE: Duration = Duration::from_millis(250);
/// Opening a stream and hearing that the watch was made.
const OPEN_MAX: Duration = Duration::from_secs(10);
/// Silence after which a watch asks for progress, and then begins anew.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// How long a watch may take to tell what happened before the load ended.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);
/// Pause of a wandering watch between two walks.
const WANDER_PAUSE: Duration = Duration::from_secs(3);
/// Revisions that a wandering watch goes back at most; behind what is kept now and then.
const WANDER_REVISIONS_MAX: i64 = 2_500;
/// Revisions that a watch of the future starts ahead.
const AHEAD_REVISIONS: i64 = 300;

/// The revision of each key's last change, once the load has ended.
pub(crate) type Goal = Option<Vec<i64>>;

/// What all watches share.
#[derive(Clone, Debug)]
pub(crate) struct Ears {
    pub(crate) notebook: Arc<Notebook>,
    pub(crate) goal: watch::Receiver<Goal>,
}

/// One watch over all its connections.
struct Listener {
    ears: Ears,
    member: usize,
    /// What is asked for; its start is set anew each time.
    create: pb::WatchCreateRequest,
    /// The revision after the last one that was told whole.
    next: i64,
    streams: Vec<WatchStream>,
}

/// Starts the watches of every member.
pub(crate) fn start(ears: &Ears, seed: u64) -> JoinSet<Vec<WatchStream>> {
    let mut tasks = JoinSet::new();
    let everything = pb::WatchCreateRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        ..Default::default()
    };
    let prefix = pb::WatchCreateRequest {
        key: PREFIX.into(),
        range_end: PREFIX_END.into(),
        prev_kv: true,
        fragment: true,
        ..Default::default()
    };
    for member in 0..ears.notebook.shared.endpoints.len() {
        let one = u16::try_from(member).unwrap_or(0) % KEYS;
        let one = pb::WatchCreateRequest {
            key: key(one),
            prev_kv: true,
            filters: vec![FilterType::Nodelete.into()],
            ..Default::default()
        };
        for create in [everything.clone(), prefix.clone(), one] {
            tasks.spawn(Listener::new(ears, member, create).follow());
        }
        let random = SmallRng::seed_from_u64(seed ^ 0x57a7 ^ member as u64);
        tasks.spawn(Listener::new(ears, member, everything.clone()).wander(random));
    }
    tasks
}

impl Listener {
    fn new(ears: &Ears, member: usize, create: pb::WatchCreateRequest) -> Listener {
        Listener { ears: ears.clone(), member, create, next: 1, streams: Vec::new() }
    }

    fn shared(&self) -> &Shared {
        &self.ears.notebook.shared
    }

    /// The last revision that it must hear, once that is known.
    fn goal(&self) -> Option<i64> {
        let goal = self.ears.goal.borrow();
        let goal = goal.as_ref()?;
        let one = (0..KEYS).position(|number| key(number) == self.create.key);
        match one {
            Some(one) => goal.get(one).copied(),
            None => goal.last().copied(),
        }
    }

    /// Listens until everything was heard that happened before the load ended.
    async fn follow(mut self) -> Vec<WatchStream> {
        let mut deadline = None;
        loop {
            if self.goal().is_some_and(|goal| self.next > goal) {
                break;
            }
            self.connect(&mut deadline, None).await;
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                break;
            }
            tokio::time::sleep(RESUME_PAUSE).await;
        }
        // Whatever it still misses is for the judge.
        if let Some(stream) = self.streams.last_mut() {
            stream.end = StreamEnd::Drained;
        }
        self.streams
    }

    /// Listens over and over: from some way back, or ahead, to where the load then stood.
    async fn wander(mut self, mut random: SmallRng) -> Vec<WatchStream> {
        while !self.shared().is_stopped() {
            let floor = self.shared().floor();
            self.next = match random.random_range(0..4) {
                0 => floor + random.random_range(1..AHEAD_REVISIONS),
                _ => (floor - random.random_range(0..WANDER_REVISIONS_MAX)).max(1),
            };
            self.create.prev_kv = random.random_ratio(1, 2);
            let enough = floor.max(self.next);
            self.connect(&mut None, Some(enough)).await;
            let pause = tokio::time::timeout(WANDER_PAUSE, self.shared().stopped());
            let _ = pause.await;
        }
        self.streams
    }

    /// One connection, until it is lost or falls silent, the goal is reached, or `enough`.
    async fn connect(&mut self, deadline: &mut Option<Instant>, enough: Option<i64>) {
        let create = pb::WatchCreateRequest { start_revision: self.next, ..self.create.clone() };
        let epoch = self.shared().epoch;
        let asked = StreamEvent { at: epoch.elapsed(), what: StreamHeard::Create(create.clone()) };
        let member = self.ears.notebook.member(self.member);
        self.streams.push(WatchStream { member, events: vec![asked], end: StreamEnd::Cut });
        let (requests, queue) = mpsc::channel(2);
        let request = |union| pb::WatchRequest { request_union: Some(union) };
        // There is room for the first.
        let _ = requests.try_send(request(RequestUnion::CreateRequest(create)));
        let transport = self.shared().client(Some(self.member)).transport();
        let mut client = WatchClient::new(transport).max_decoding_message_size(usize::MAX);
        let opened = client.watch(ReceiverStream::new(queue));
        let Ok(Ok(opened)) = tokio::time::timeout(OPEN_MAX, opened).await else { return };
        let mut responses = opened.into_inner();
        let mut silent = false;
        loop {
            let goal = self.goal();
            if goal.is_some() && deadline.is_none() {
                *deadline = Some(Instant::now() + CATCH_UP_MAX);
            }
            let stopped = enough.is_some() && self.shared().is_stopped();
            let reached = goal.or(enough).is_some_and(|last| self.next > last);
            if reached || stopped || deadline.is_some_and(|until| Instant::now() > until) {
                return;
            }
            let mut goal_told = self.ears.goal.clone();
            let known = goal.is_some();
            let heard = tokio::select! {
                heard = tokio::time::timeout(SILENCE_MAX, responses.message()) => heard,
                _ = goal_told.wait_for(Option::is_some), if !known => continue,
            };
            match heard {
                Ok(Ok(Some(response))) => {
                    silent = false;
                    if !self.take_in(response) {
                        return;
                    }
                }
                Ok(_) => return,
                Err(_) if silent => return,
                Err(_) => {
                    silent = true;
                    self.note(StreamHeard::Progress);
                    let progress = pb::WatchProgressRequest {};
                    let _ = requests.try_send(request(RequestUnion::ProgressRequest(progress)));
                }
            }
        }
    }

    /// Notes a response; false if the watch is over.
    fn take_in(&mut self, response: pb::WatchResponse) -> bool {
        let last = response.events.last().and_then(|event| event.kv.as_ref());
        if let Some(last) = last.filter(|_| !response.fragment) {
            self.next = self.next.max(last.mod_revision + 1);
        }
        let over = response.canceled;
        if over {
            self.next = self.next.max(response.compact_revision);
        }
        self.note(StreamHeard::Response {
            response,
            applied_revision: None,
            compacted_revision: None,
        });
        !over
    }

    fn note(&mut self, what: StreamHeard) {
        let at = self.shared().epoch.elapsed();
        if let Some(stream) = self.streams.last_mut() {
            stream.events.push(StreamEvent { at, what });
        }
    }
}
