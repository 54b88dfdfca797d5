//! One who watches: streams of watchers that live through changes of rights.

use super::ask::someone;
use super::*;
use rand::Rng;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use watch_client::WatchClient;
use watch_request::RequestUnion as Union;

/// How long a stream lives, at most.
const LIFE_MAX: Duration = Duration::from_millis(800);
/// Requests on one stream that may wait.
const WAITING: usize = 16;

/// Opens one stream after the other until all have asked enough.
pub(super) async fn watch(world: Arc<World>, mut random: StdRng) {
    while world.goes_on() {
        let who = someone(&mut random);
        let token = world.token(who).await;
        let session = session(&world, who, token.as_deref(), &mut random);
        tokio::time::timeout(HANG_MAX, session).await.expect("a stream that never ends");
    }
}

fn create(world: &World, random: &mut StdRng) -> WatchCreateRequest {
    let (key, range_end) = world.span(random);
    let start_revision = match random.random_range(0..4) {
        0 => 1,
        1 => world.some_revision(random),
        _ => 0,
    };
    WatchCreateRequest {
        key,
        range_end,
        start_revision,
        progress_notify: random.random(),
        filters: if random.random_ratio(1, 5) { vec![random.random_range(0..2)] } else { vec![] },
        prev_kv: random.random(),
        watch_id: 0,
        fragment: random.random(),
    }
}

async fn session(world: &World, who: Who, token: Option<&str>, random: &mut StdRng) {
    let (requests, open) = tokio::sync::mpsc::channel(WAITING);
    let since = world.rights.answered();
    let mut asked: Vec<Union> = Vec::new();
    for _ in 0..random.random_range(1..5) {
        asked.push(Union::CreateRequest(create(world, random)));
    }
    if random.random() {
        asked.push(Union::ProgressRequest(WatchProgressRequest {}));
    }
    for union in asked.clone() {
        requests.send(WatchRequest { request_union: Some(union) }).await.unwrap();
    }
    let mut client = WatchClient::new(world.channel.clone());
    let answers = client.watch(by(token, ReceiverStream::new(open))).await;
    let mut answers = match answers {
        Ok(answers) => answers.into_inner(),
        Err(status) => return world.judge_status(who, since, &asked, &status),
    };
    if random.random_ratio(1, 4) {
        // One who reads late.
        tokio::time::sleep(LIFE_MAX / 16).await;
    }
    let end = Instant::now() + LIFE_MAX.mul_f64(random.random());
    // The client may cancel the first watcher, about half-way.
    let mut cancels = random.random_ratio(1, 3);
    while let Ok(answer) = tokio::time::timeout_at(end, answers.message()).await {
        match answer {
            Ok(Some(answer)) => judge(world, who, since, &asked, answer),
            Ok(None) => return,
            Err(status) => return world.judge_status(who, since, &asked, &status),
        }
        if cancels && random.random_ratio(1, 6) {
            cancels = false;
            let cancel = Union::CancelRequest(WatchCancelRequest { watch_id: 0 });
            requests.send(WatchRequest { request_union: Some(cancel) }).await.unwrap();
        }
    }
}

/// An event counts against the rights that were in force from when it was asked for, or the
/// watcher was made.
fn judge(
    world: &World,
    who: Who,
    since: usize,
    asked: &(dyn Debug + Sync),
    mut answer: WatchResponse,
) {
    for event in std::mem::take(&mut answer.events) {
        count(&world.seen.events);
        let value = event.kv.as_ref().map_or(&[][..], |kv| &kv.value);
        let written = match world.marks.find(value).first() {
            Some(Mark::Value { serial, .. }) => world.writes.lock()[*serial].1,
            _ => 0,
        };
        world.judge(who, since.max(written), asked, &event.encode_to_vec());
    }
    if answer.canceled && !answer.created && answer.cancel_reason.contains(DENIED) {
        count(&world.seen.revoked);
    }
    world.judge(who, since, asked, &answer.encode_to_vec());
}
