//! Watches that outlive their member's deaths, and note what they are told.

use super::judge::{Scope, Told, Watched};
use super::load::{Shared, event};
use super::words::{Key, PREFIX, PREFIX_END};
use drystone_api::etcdserverpb as pb;
use drystone_client::{Watch, WatchOptions};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

/// Pause before a lost watch begins anew.
const RESUME_PAUSE: Duration = Duration::from_millis(50);
/// Pause of a wandering watch between two walks.
const WANDER_PAUSE: Duration = Duration::from_millis(500);
/// Revisions that a wandering watch goes back at most.
const WANDER_REVISIONS_MAX: i64 = 4_000;
/// Events that one member's wandering watch notes over its life; then it rests.
const WANDER_EVENTS_MAX: usize = 2_000_000;
/// How long a watch may take to tell what happened before the load ended.
pub(crate) const CATCH_UP_MAX: Duration = Duration::from_secs(60);

/// Where the load ended: told to watches once it has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Goal {
    /// The last revision.
    pub(crate) last: i64,
    /// The revision of each key's last change.
    pub(crate) keys: BTreeMap<Key, i64>,
}

impl Goal {
    /// The last revision that a watch of `scope` tells.
    fn of(&self, scope: Scope) -> i64 {
        match scope {
            Scope::Everything | Scope::Prefix => self.last,
            Scope::One(key) => self.keys.get(&key).copied().unwrap_or(0),
        }
    }
}

/// What all watches share.
#[derive(Clone, Debug)]
pub(crate) struct Ears {
    pub(crate) shared: Arc<Shared>,
    pub(crate) goal: Receiver<Option<Goal>>,
    /// Events told so far, over all watches.
    pub(crate) events: Arc<AtomicU64>,
}

/// One watch in progress.
struct Listener<'a> {
    ears: &'a Ears,
    member: usize,
    watched: Watched,
    /// The revision after the last one that was told whole.
    next: i64,
}

impl Ears {
    /// Watches `scope` on one member from revision `from` until the goal is told.
    pub(crate) async fn follow(
        self,
        member: usize,
        (scope, with_previous): (Scope, bool),
        from: i64,
    ) -> Vec<Watched> {
        let mut listener = Listener::new(&self, member, (scope, with_previous), from);
        let mut goal = self.goal.clone();
        let mut deadline = None;
        loop {
            let reached = goal.borrow_and_update().as_ref().map(|goal| goal.of(scope));
            if let Some(last) = reached {
                listener.watched.to = last;
                if listener.next > last {
                    break;
                }
                let until = *deadline.get_or_insert_with(|| Instant::now() + CATCH_UP_MAX);
                let all = listener.listen(|next| next > last);
                if tokio::time::timeout_at(until, all).await.is_err() {
                    let next = listener.next;
                    listener.fault(format!("revision {next} did not come in {CATCH_UP_MAX:?}"));
                    break;
                }
                break;
            }
            // The goal's sender lives as long as the load; its end ends the watch too.
            tokio::select! {
                changed = goal.changed() => if changed.is_err() { break },
                () = listener.listen(|_| false) => break,
            }
        }
        vec![listener.watched]
    }

    /// Watches everything on one member, over and over: from some way back up to where the
    /// load stood when the watch began.
    pub(crate) async fn wander(self, member: usize, seed: u64) -> Vec<Watched> {
        let mut random = SmallRng::seed_from_u64(seed ^ 0x57a7 ^ member as u64);
        let mut walks = Vec::new();
        let mut noted = 0;
        while !self.shared.is_stopped() && noted < WANDER_EVENTS_MAX {
            let last = self.shared.floor();
            let back = random.random_range(0..WANDER_REVISIONS_MAX);
            let from = (last - back).max(2);
            let scope = (Scope::Everything, random.random_ratio(1, 2));
            let mut listener = Listener::new(&self, member, scope, from);
            // Ends with the load too: a member that stays down must not hold it up.
            let stopped = async {
                while !self.shared.is_stopped() {
                    tokio::time::sleep(WANDER_PAUSE).await;
                }
            };
            tokio::select! {
                () = listener.listen(|next| next > last) => {}
                () = stopped => {}
            }
            listener.watched.to = listener.next - 1;
            noted += listener.watched.events.len();
            walks.push(listener.watched);
            tokio::time::sleep(WANDER_PAUSE).await;
        }
        walks
    }
}

impl<'a> Listener<'a> {
    fn new(ears: &'a Ears, member: usize, (scope, prev): (Scope, bool), from: i64) -> Self {
        let with = if prev { " with previous values" } else { "" };
        let name = format!("{scope:?}{with} from {from} on {}", ears.shared.endpoints[member]);
        let watched = Watched {
            name,
            scope,
            with_previous: prev,
            from,
            to: 0,
            events: Vec::new(),
            resumes: 0,
            faults: Vec::new(),
        };
        Listener { ears, member, watched, next: from }
    }

    fn fault(&mut self, text: String) {
        self.watched.faults.push(text);
    }

    /// Listens, over as many connections as it takes, until `enough` of the next revision.
    /// Ends early after a fault. May be dropped and called again at any time.
    async fn listen(&mut self, enough: impl Fn(i64) -> bool) {
        let mut first = true;
        while !enough(self.next) && self.watched.faults.is_empty() {
            if !std::mem::take(&mut first) {
                self.watched.resumes += 1;
                tokio::time::sleep(RESUME_PAUSE).await;
            }
            // A client of its own each time: it remembers nothing about dead members.
            let client = self.ears.shared.client(Some(self.member));
            let mut watch = client.watch(self.request(), WatchOptions::default());
            self.hear(&mut watch, &enough).await;
        }
    }

    /// Takes in responses of one connection until it is lost or enough was told.
    async fn hear(&mut self, watch: &mut Watch, enough: &impl Fn(i64) -> bool) {
        while !enough(self.next) && self.watched.faults.is_empty() {
            match watch.next().await {
                Ok(Some(response)) => {
                    if let Err(why) = self.take_in(&response) {
                        self.fault(why);
                    }
                }
                // Lost: the next connection goes on where this one was.
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn request(&self) -> pb::WatchCreateRequest {
        let (key, range_end) = match self.watched.scope {
            Scope::Everything => (vec![0].into(), vec![0].into()),
            Scope::Prefix => (PREFIX.into(), PREFIX_END.into()),
            Scope::One(key) => (key.name(), Vec::new().into()),
        };
        pb::WatchCreateRequest {
            key,
            range_end,
            start_revision: self.next,
            prev_kv: self.watched.with_previous,
            ..Default::default()
        }
    }

    fn take_in(&mut self, response: &pb::WatchResponse) -> Result<(), String> {
        if response.canceled {
            let (why, compacted) = (&response.cancel_reason, response.compact_revision);
            return Err(format!("cancelled ({why:?}, compacted {compacted})"));
        }
        let header = response.header.as_ref().ok_or("a response without a header")?;
        let mut next = self.next;
        for told in &response.events {
            let (change, before) = event(told)?;
            if change.revision < self.next {
                return Err(format!("{change} came when {} was next", self.next));
            }
            if change.revision > header.revision {
                return Err(format!("{change} came under revision {}", header.revision));
            }
            if before.is_some() && !self.watched.with_previous {
                return Err(format!("{change} came with {before:?}, which nobody asked for"));
            }
            next = next.max(change.revision + 1);
            self.watched.events.push(Told::new(&change, before));
        }
        // A revision comes whole, in one response.
        self.next = next;
        self.ears.events.fetch_add(response.events.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}
