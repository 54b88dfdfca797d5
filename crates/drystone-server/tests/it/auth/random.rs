//! Whatever is asked by somebody without the right, no answer holds a key or a value of others.

use super::*;
use lease_client::LeaseClient;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fmt::Debug;

/// Requests of one run.
const REQUESTS: usize = 600;
/// What the keys and values that alice may not see have in common.
const MARK: &str = "secret";

/// Ends of ranges that she may use, may not use, and that reach into both.
const PLACES: [&str; 12] = [
    "", "\0", "open/", "open/1", "open/2", "open/3", "open0", "oz", "secret/", "secret/1",
    "secret0", "z",
];

fn place(random: &mut StdRng) -> &'static str {
    PLACES[random.random_range(0..PLACES.len())]
}

fn a_put(random: &mut StdRng) -> PutRequest {
    PutRequest {
        prev_kv: random.random(),
        ignore_value: random.random_ratio(1, 5),
        ..put(place(random), "", [0, 0, 7, 8][random.random_range(0..4)])
    }
}

fn a_range(random: &mut StdRng) -> RangeRequest {
    RangeRequest {
        limit: random.random_range(0..3),
        revision: random.random_range(0..20),
        keys_only: random.random(),
        serializable: random.random(),
        sort_order: random.random_range(0..3),
        sort_target: random.random_range(0..5),
        ..range(place(random), place(random))
    }
}

fn a_delete(random: &mut StdRng) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: place(random).into(),
        range_end: place(random).into(),
        prev_kv: random.random(),
    }
}

fn a_txn(random: &mut StdRng, depth: usize) -> TxnRequest {
    let ops = |random: &mut StdRng| {
        let count = random.random_range(0..3);
        let ops = (0..count).map(|_| {
            let request = match random.random_range(0..4) {
                0 => request_op::Request::RequestPut(a_put(random)),
                1 => request_op::Request::RequestDeleteRange(a_delete(random)),
                2 if depth > 0 => request_op::Request::RequestTxn(a_txn(random, depth - 1)),
                _ => request_op::Request::RequestRange(a_range(random)),
            };
            RequestOp { request: Some(request) }
        });
        ops.collect::<Vec<_>>()
    };
    let compare = Compare {
        key: place(random).into(),
        range_end: place(random).into(),
        ..Default::default()
    };
    let compare = if random.random() { vec![compare] } else { Vec::new() };
    TxnRequest { compare, success: ops(random), failure: ops(random) }
}

#[track_caller]
fn silent(asked: &dyn Debug, answer: &dyn Debug) {
    let answer = format!("{answer:?}");
    assert!(!answer.contains(MARK), "{asked:?} was answered {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_shows_what_may_not_be_read() {
    let guarded = Guarded::start(&[]).await;
    let seed: u64 = std::env::var("DRYSTONE_AUTH_SEED").map_or(7, |seed| seed.parse().unwrap());
    let mut random = StdRng::seed_from_u64(seed);
    let channel = guarded.channel.clone();
    let (mut kv, mut leases) = (guarded.kv(), LeaseClient::new(channel.clone()));
    let root = Some(guarded.root.as_str());
    let users = [Some(guarded.alice.as_str()), Some(guarded.nobody.as_str()), None];
    leases.lease_grant(by(root, LeaseGrantRequest { ttl: 600, id: 8 })).await.unwrap();
    for request in 0..REQUESTS {
        let who = users[random.random_range(0..users.len())];
        match random.random_range(0..7) {
            0 => {
                let asked = a_range(&mut random);
                silent(&asked, &kv.range(by(who, asked.clone())).await);
                match kv.range_stream(by(who, asked.clone())).await {
                    Err(status) => silent(&asked, &status),
                    Ok(answers) => {
                        let mut answers = answers.into_inner();
                        while let Ok(Some(answer)) = answers.message().await {
                            silent(&asked, &answer);
                        }
                    }
                }
            }
            1 => {
                let asked = a_put(&mut random);
                silent(&asked, &kv.put(by(who, asked.clone())).await);
            }
            2 => {
                let asked = a_delete(&mut random);
                silent(&asked, &kv.delete_range(by(who, asked.clone())).await);
            }
            3 => {
                let asked = a_txn(&mut random, 2);
                silent(&asked, &kv.txn(by(who, asked.clone())).await);
            }
            4 => {
                let id = [7, 8][random.random_range(0..2)];
                let asked = LeaseTimeToLiveRequest { id, keys: true };
                silent(&asked, &leases.lease_time_to_live(by(who, asked)).await);
            }
            5 => {
                let (key, end) = (place(&mut random), place(&mut random));
                silent(&(key, end), &watch_all(&channel, who, key, end).await);
            }
            _ => {
                // What there is to see changes.
                let key = ["secret/1", "secret/2", "secret/3"][random.random_range(0..3)];
                let hidden = put(key, &format!("secret {request}"), 7);
                kv.put(by(root, hidden)).await.unwrap();
                kv.put(by(root, put("open/1", "seen", 0))).await.unwrap();
            }
        }
    }
    // None of it touched what it must not touch.
    let left = kv.range(by(root, range("secret/", "secret0"))).await.unwrap().into_inner();
    assert!(left.kvs.iter().all(|kv| kv.value.starts_with(b"secret") || kv.value == "hidden"));
    assert!(left.count > 0);
    guarded.server.stop().await;
}

/// What a watcher of all history hears at first.
async fn watch_all(
    channel: &Channel,
    who: Option<&str>,
    key: &'static str,
    end: &'static str,
) -> Result<Vec<WatchResponse>, Status> {
    use watch_request::RequestUnion::{CreateRequest, ProgressRequest};
    let create = WatchCreateRequest {
        key: key.into(),
        range_end: end.into(),
        start_revision: 1,
        prev_kv: true,
        ..Default::default()
    };
    let requests = [CreateRequest(create), ProgressRequest(WatchProgressRequest {})]
        .map(|union| WatchRequest { request_union: Some(union) });
    let open =
        tokio_stream::StreamExt::chain(tokio_stream::iter(requests), tokio_stream::pending());
    let mut client = watch_client::WatchClient::new(channel.clone());
    let mut answers = client.watch(by(who, open)).await?.into_inner();
    let mut heard = vec![answers.message().await?.unwrap()];
    if !heard[0].canceled {
        // There is history behind every open key, and the notice of progress for the others.
        heard.push(answers.message().await?.unwrap());
    }
    Ok(heard)
}
