//! Connections that come to nothing, and a server that ends while calls are under way.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::rig::{KEEPALIVE, Outcome, Rig, connect, connect_with, prefix, put, seeds, watch};
use drystone_api::etcdserverpb as pb;
use drystone_client::{Client, Code, Error, WatchOptions};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use turmoil::net::TcpStream;

/// HTTP/2's preface, and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Connections that come to nothing.
const CHURN: usize = 300;
/// Connections that stay open and never say anything.
const SILENT: usize = 20;

/// How long the server waits for a preface, as gRPC's Go library does.
const PREFACE_MAX: Duration = Duration::from_secs(120);

/// Opens a connection and breaks off at some point of its beginning.
async fn break_off(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let patience = Duration::from_millis(random.random_range(0..60));
    let attempt = async {
        let mut stream = TcpStream::connect("server:2379").await.unwrap();
        let end = random.random_range(0..=PREFACE.len());
        let _ = match random.random_range(0..4) {
            0 => stream.write_all(&PREFACE[..end]).await,
            1 => stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await,
            2 => {
                let garbage: Vec<u8> = (0..200).map(|_| random.random()).collect();
                stream.write_all(&garbage).await
            }
            _ => {
                let _ = stream.write_all(PREFACE).await;
                let garbage: Vec<u8> = (0..200).map(|_| random.random()).collect();
                stream.write_all(&garbage).await
            }
        };
        tokio::time::sleep(Duration::from_millis(random.random_range(0..30))).await;
    };
    let _ = tokio::time::timeout(patience, attempt).await;
}

#[test]
fn connections_that_come_to_nothing_leave_the_server_serving_and_are_let_go() {
    let mut rig = Rig::new(6, KEEPALIVE);
    rig.client("churn", async {
        let tasks: Vec<_> = (0..CHURN as u64)
            .map(|number| {
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(number * 7)).await;
                    break_off(number).await;
                })
            })
            .collect();
        for task in tasks {
            task.await?;
        }
        Ok(())
    });
    rig.client("silent", async {
        let mut held = Vec::new();
        for number in 0..SILENT {
            let mut stream = TcpStream::connect("server:2379").await?;
            stream.write_all(&PREFACE[..number]).await?;
            held.push(stream);
        }
        tokio::time::sleep(2 * PREFACE_MAX).await;
        Ok(())
    });
    rig.client("good", async {
        for number in 0..100 {
            let (client, _) = connect();
            client.put(put("a", number.to_string())).await?;
            let read = client.range(prefix("a")).await?;
            assert_eq!(read.kvs[0].value, number.to_string());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    });
    while rig.sim.is_host_running("good") || rig.sim.is_host_running("churn") {
        rig.step();
    }
    rig.pass(Duration::from_secs(10));
    assert_eq!(rig.traffic.open().len(), SILENT, "what broke off is gone, what is silent is not");
    rig.pass(PREFACE_MAX - rig.sim.elapsed() + Duration::from_secs(2));
    assert!(rig.sim.is_host_running("silent"));
    assert!(rig.traffic.open().is_empty(), "who never speaks is not kept for ever");
    rig.run(|_, _| {});
}

/// What was answered, by key.
type Answered = Arc<Mutex<BTreeMap<String, i64>>>;

/// Makes calls of one kind until one fails, and gives that failure.
async fn use_until_it_fails(client: Client, kind: usize, answered: Answered) -> Error {
    match kind % 5 {
        0 => loop {
            if let Err(error) = client.range(prefix("big/")).await {
                return error;
            }
        },
        1 => {
            let mut watch = client.watch(watch("w/", 1), WatchOptions::default());
            loop {
                if let Err(error) = watch.next().await {
                    return error;
                }
            }
        }
        2 => {
            let lease = pb::LeaseGrantRequest { ttl: 60, id: 0 };
            let lease = match client.lease_grant(lease).await {
                Ok(granted) => granted.id,
                Err(error) => return error,
            };
            loop {
                if let Err(error) = client.keep_alive_once(lease).await {
                    return error;
                }
            }
        }
        _ => {
            for number in 0.. {
                let key = format!("w/{kind}/{number}");
                match client.put(put(key.clone(), "v")).await {
                    Ok(answer) => {
                        let revision = answer.header.unwrap().revision;
                        answered.lock().unwrap().insert(key, revision);
                    }
                    Err(error) => return error,
                }
            }
            unreachable!("it ends by a failure")
        }
    }
}

/// One process with clients of every kind; none asks a second time.
async fn users(first: usize, answered: Answered) -> Outcome {
    let once = |config: &mut drystone_client::Config| config.retries.attempts_max = 1;
    let mut tasks = Vec::new();
    for kind in first..first + 15 {
        let (client, _) = connect_with(once);
        tasks.push(tokio::spawn(use_until_it_fails(client, kind, answered.clone())));
    }
    for (number, task) in tasks.into_iter().enumerate() {
        let error = task.await?;
        let kind = (first + number) % 5;
        assert_eq!(error.code(), Code::Unavailable, "kind {kind}: {error:?}");
    }
    Ok(())
}

fn shutdown(seed: u64) {
    let mut rig = Rig::new(seed, &[]);
    rig.client("filler", async {
        for number in 0..8 {
            let (client, _) = connect();
            client.put(put(format!("big/{number}"), vec![b'b'; 1 << 20])).await?;
        }
        Ok(())
    });
    rig.run(|_, _| {});
    let answered = Answered::default();
    for (name, first) in [("u1", 0), ("u2", 15)] {
        rig.client(name, users(first, answered.clone()));
    }
    let when = StdRng::seed_from_u64(seed).random_range(300..900);
    rig.pass(Duration::from_millis(when));
    rig.tell_to_stop();
    let told_at = rig.sim.elapsed();
    while !rig.has_stopped() {
        rig.step();
    }
    let took = rig.sim.elapsed() - told_at;
    assert!(took < Duration::from_secs(10), "stopping took {took:?} of simulated time");
    rig.run(|_, _| {});
    let answered = std::mem::take(&mut *answered.lock().unwrap());
    assert!(answered.len() > 50, "{} answers before the end", answered.len());

    rig.restart();
    rig.client("reader", async move {
        let (client, _) = connect();
        let found = client.range(prefix("w/")).await?.kvs.into_iter();
        let found: BTreeMap<_, _> = found.map(|kv| (kv.key, kv.mod_revision)).collect();
        for (key, revision) in answered {
            assert_eq!(found.get(key.as_bytes()), Some(&revision), "{key} was answered");
        }
        Ok(())
    });
    rig.run(|_, _| {});
}

#[test]
fn a_server_that_ends_under_load_answers_every_call_and_keeps_what_it_answered() {
    for seed in seeds(3) {
        shutdown(seed);
    }
}
