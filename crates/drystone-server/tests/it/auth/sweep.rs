//! Many users ask for everything in every way while their rights change. No answer, no event and
//! no error holds a mark of what its asker may not read at that time, and no line of the log a
//! mark of any key, value or password at all.
//!
//! `DRYSTONE_DENIED_REQUESTS` asks for more, `DRYSTONE_AUTH_SEED` for others.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod ask;
mod changes;
mod draw;
mod marks;
mod rights;
mod watches;

use super::log::log;
use super::*;
use marks::{Mark, Marks};
use parking_lot::Mutex;
use prost::Message;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rights::{Rights, USERS, Who};
use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use tonic::metadata::{KeyAndValueRef, MetadataMap};

/// Requests when nobody asks for more.
const REQUESTS: usize = 3_000;
/// Those who ask, of every kind alike, and those who watch.
const ASKERS: usize = 7;
const WATCHERS: usize = 4;
/// The leases that there are, most of the time.
const LEASES: std::ops::Range<i64> = 1..7;
/// Bound on what would hang if it went wrong.
const HANG_MAX: Duration = Duration::from_secs(60);
/// Findings that are kept.
const FOUND_MAX: usize = 20;

/// What came, so that a run that shows nothing is no success.
#[derive(Debug, Default)]
struct Seen {
    /// Marks that their asker may read.
    marks: AtomicUsize,
    answers: AtomicUsize,
    denied: AtomicUsize,
    events: AtomicUsize,
    /// Watchers that ended because a right was taken away.
    revoked: AtomicUsize,
    changes: AtomicUsize,
}

/// The server under test and all that is known of it.
struct World {
    channel: Channel,
    marks: Marks,
    rights: Rights,
    /// The password of each user.
    passwords: Mutex<Vec<String>>,
    /// All tokens that were given out.
    tokens: Mutex<HashSet<String>>,
    /// Who asked for each marked write, and the state of rights that was in force then.
    writes: Mutex<Vec<(Who, usize)>>,
    /// A revision that was reached.
    revision: AtomicI64,
    asked: AtomicUsize,
    requests: usize,
    seen: Seen,
    found: Mutex<Vec<String>>,
}

fn count(counter: &AtomicUsize) -> usize {
    counter.fetch_add(1, Ordering::Relaxed)
}

impl World {
    /// Counts a request; false when there were enough.
    fn goes_on(&self) -> bool {
        count(&self.asked) < self.requests && self.found.lock().len() < FOUND_MAX
    }

    fn report(&self, what: String) {
        self.found.lock().push(what);
    }

    /// A new value for a key, whose write `who` is about to ask for.
    fn value(&self, who: Who, key: usize) -> String {
        let mut writes = self.writes.lock();
        writes.push((who, self.rights.answered()));
        self.marks.value(key, writes.len() - 1)
    }

    /// Holds bytes that `who` was told against what he had the right to since then; and what was
    /// written against the right of its writer.
    fn judge(&self, who: Who, since: usize, asked: &(dyn Debug + Sync), told: &[u8]) {
        self.judge_as(who, since, asked, told, false);
    }

    /// [`World::judge`]; who is told of his own role hears of keys that he may only write, too.
    fn judge_as(
        &self,
        who: Who,
        since: usize,
        asked: &(dyn Debug + Sync),
        told: &[u8],
        own_role: bool,
    ) {
        for mark in self.marks.find(told) {
            let may = match mark {
                Mark::Key(key) => {
                    self.rights.could_read(who, key, since)
                        || own_role && self.rights.could_write(who, key, since)
                }
                Mark::Value { key, serial } => {
                    let (writer, asked) = self.writes.lock()[serial];
                    self.rights.could_read(who, key, since)
                        && self.rights.could_write(writer, key, asked)
                }
                Mark::Other => false,
            };
            if may {
                count(&self.seen.marks);
            } else {
                let told = String::from_utf8_lossy(told).into_owned();
                self.report(format!("{who:?} asked {asked:?} and was told {mark:?} in {told:?}"));
            }
        }
    }

    /// Holds an error against the same, and against all tokens.
    fn judge_status(&self, who: Who, since: usize, asked: &(dyn Debug + Sync), status: &Status) {
        let mut told = status.message().as_bytes().to_vec();
        told.extend_from_slice(status.details());
        told.extend(metadata(status.metadata()));
        self.judge(who, since, asked, &told);
        let tokens = self.tokens.lock();
        if marks::tokens(&told).iter().any(|word| tokens.contains(word)) {
            self.report(format!("{who:?} asked {asked:?} and was told a token: {status:?}"));
        }
        if status.message().contains("permission denied") || status.message() == NO_USER {
            count(&self.seen.denied);
        }
    }

    fn judge_answer<A: Message>(
        &self,
        who: Who,
        since: usize,
        asked: &(dyn Debug + Sync),
        answer: &tonic::Response<A>,
    ) {
        let mut told = answer.get_ref().encode_to_vec();
        told.extend(metadata(answer.metadata()));
        self.judge(who, since, asked, &told);
        count(&self.seen.answers);
    }

    /// A token for `who`. Passwords change meanwhile, so it may take a few tries.
    async fn token(&self, who: Who) -> Option<String> {
        let logged_in = async {
            loop {
                let (name, password) = match who {
                    Who::Root => (ROOT.to_owned(), ROOT.to_owned()),
                    Who::User(user) => (user_name(user), self.passwords.lock()[user].clone()),
                    Who::Nobody => return None,
                };
                match authenticate(&self.channel, &name, &password).await {
                    Ok(token) => {
                        self.tokens.lock().insert(token.clone());
                        return Some(token);
                    }
                    Err(status) => {
                        self.judge_status(who, self.rights.answered(), &"a login", &status);
                    }
                }
            }
        };
        tokio::time::timeout(HANG_MAX, logged_in).await.unwrap()
    }
}

fn user_name(user: usize) -> String {
    format!("user-{user}")
}

fn metadata(metadata: &MetadataMap) -> Vec<u8> {
    let mut all = Vec::new();
    for pair in metadata.iter() {
        let (key, value) = match &pair {
            KeyAndValueRef::Ascii(key, value) => (key.as_str(), value.as_encoded_bytes()),
            KeyAndValueRef::Binary(key, value) => (key.as_str(), value.as_encoded_bytes()),
        };
        all.extend_from_slice(key.as_bytes());
        all.extend_from_slice(value);
        all.push(b'\n');
    }
    all
}

fn from_environment<T: std::str::FromStr<Err: Debug>>(name: &str, otherwise: T) -> T {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

/// The world with root, and users and roles that have nothing yet.
async fn world(channel: Channel, seed: u64) -> World {
    let marks = Marks::new(&mut StdRng::seed_from_u64(seed));
    let passwords: Vec<String> = (0..USERS).map(|user| marks.password(user, 0)).collect();
    let mut auth = AuthClient::new(channel.clone());
    let all = (0..USERS).map(|user| (user_name(user), passwords[user].clone()));
    for (name, password) in all.chain([(ROOT.to_owned(), ROOT.to_owned())]) {
        auth.user_add(AuthUserAddRequest { name, password, ..Default::default() }).await.unwrap();
    }
    for role in 0..rights::ROLES {
        auth.role_add(AuthRoleAddRequest { name: changes::role_name(role) }).await.unwrap();
    }
    let (user, role) = (ROOT.to_owned(), ROOT.to_owned());
    auth.user_grant_role(AuthUserGrantRoleRequest { user, role }).await.unwrap();
    let mut leases = lease_client::LeaseClient::new(channel.clone());
    for id in LEASES {
        leases.lease_grant(LeaseGrantRequest { ttl: 60_000, id }).await.unwrap();
    }
    auth.auth_enable(AuthEnableRequest {}).await.unwrap();
    World {
        channel,
        marks,
        rights: Rights::new(),
        passwords: Mutex::new(passwords),
        tokens: Mutex::default(),
        writes: Mutex::default(),
        revision: AtomicI64::new(1),
        asked: AtomicUsize::new(0),
        requests: from_environment("DRYSTONE_DENIED_REQUESTS", REQUESTS),
        seen: Seen::default(),
        found: Mutex::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hears_of_a_key_without_the_right_to_it() {
    let log = log();
    let seed = from_environment("DRYSTONE_AUTH_SEED", rand::random());
    println!("DRYSTONE_AUTH_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    // Small enough that events of one response come in fragments now and then.
    let (server, channel) = server(folder.path(), &["--max-request-bytes=40000"]).await;
    let world = Arc::new(world(channel, seed).await);
    let randomness = |task: usize| StdRng::seed_from_u64(seed.wrapping_add(1 + task as u64));
    let mut tasks = tokio::task::JoinSet::new();
    let mut random = randomness(0);
    let root = changes::begin(world.clone(), &mut random).await;
    tasks.spawn(changes::change(root, random));
    for task in 0..ASKERS {
        tasks.spawn(ask::ask(world.clone(), randomness(1 + task)));
    }
    for task in 0..WATCHERS {
        tasks.spawn(watches::watch(world.clone(), randomness(1 + ASKERS + task)));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    server.stop().await;

    let seen = &world.seen;
    println!("{} requests: {seen:?}", world.asked.load(Ordering::Relaxed).min(world.requests));
    let found = world.found.lock();
    assert!(found.is_empty(), "DRYSTONE_AUTH_SEED={seed}\n{}", found.join("\n"));
    let marks = world.marks.shown();
    let needles: Vec<&str> = marks.iter().map(String::as_str).collect();
    let lines = log.lines_with(&needles);
    assert!(lines.is_empty(), "{} lines of the log, first {:?}", lines.len(), lines.first());
    let tokens = world.tokens.lock();
    log.read(|piece| {
        let logged = marks::tokens(piece);
        assert!(logged.is_disjoint(&tokens), "tokens in the log: {logged:?}");
    });
    // Too few watchers live through a change for a short run to be sure of one that ends.
    for counter in [&seen.marks, &seen.answers, &seen.denied, &seen.events, &seen.changes] {
        assert!(counter.load(Ordering::Relaxed) > 0, "a run that shows too little: {seen:?}");
    }
}
