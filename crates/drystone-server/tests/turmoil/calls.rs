//! Calls that their callers give up, and answers that are read slowly or not at all.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::rig::{Outcome, Rig, connect, connect_with, prefix, put, seeds, watch};
use drystone_api::etcdserverpb::{self as pb, request_op::Request};
use drystone_client::{Client, Code, WatchOptions};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Writers, each one after the other, and what each writes.
const WRITERS: u64 = 24;
const ROUNDS: usize = 40;
/// How long a caller waits at most; a call takes about half of it.
const PATIENCE_MILLIS: u64 = 30;

/// What callers know of their writes: the revision, or nothing.
type Told = Arc<Mutex<BTreeMap<String, Option<i64>>>>;

/// Writes values of its own to a key of its own and gives up now and then.
async fn impatient(client: Client, writer: u64, seed: u64, told: Told) {
    let mut random = StdRng::seed_from_u64(seed ^ writer);
    for round in 0..ROUNDS {
        let value = format!("{writer}/{round}");
        let request = put(format!("w/{writer}"), value.clone());
        let patience = Duration::from_millis(random.random_range(0..PATIENCE_MILLIS));
        let answer = match round % 4 {
            // A read that nobody waits for lies between the writes.
            0 => {
                let read = client.range(prefix("w/"));
                let _ = tokio::time::timeout(patience, read).await;
                continue;
            }
            // The whole call has a deadline, which the server is told.
            1 => {
                let (hurried, _) = connect_with(|config| config.timeouts.call = Some(patience));
                hurried.put(request).await.ok()
            }
            // The caller drops what it waits for; the server hears of it as a reset.
            _ => {
                tokio::time::timeout(patience, client.put(request)).await.ok().and_then(Result::ok)
            }
        };
        let revision = answer.map(|answer| answer.header.unwrap().revision);
        told.lock().unwrap().insert(value, revision);
    }
}

fn cancelled_calls(seed: u64) {
    let mut rig = Rig::new(seed, &[]);
    let told = Told::default();
    for host in ["a", "b", "c"] {
        let told = told.clone();
        rig.client(host, async move {
            let (client, _) = connect();
            let first = u64::from(host.as_bytes()[0] - b'a');
            let writers: Vec<_> = (first..WRITERS)
                .step_by(3)
                .map(|writer| tokio::spawn(impatient(client.clone(), writer, seed, told.clone())))
                .collect();
            for writer in writers {
                writer.await?;
            }
            Ok(())
        });
    }
    rig.run(|_, load| assert_eq!(load.waiters, 0, "a call waits for what will never come"));
    let told = std::mem::take(&mut *told.lock().unwrap());
    let answered = told.values().flatten().count();
    assert!(answered > 100 && told.len() - answered > 100, "{answered} of {}", told.len());
    rig.client("reader", async move { compare(told).await });
    rig.run(|_, _| {});
    rig.until_idle(Duration::from_secs(5));
}

/// Holds what callers were told against what happened.
async fn compare(told: BTreeMap<String, Option<i64>>) -> Outcome {
    let (client, _) = connect();
    let now = client.range(prefix("w/")).await?;
    let until = now.header.unwrap().revision;
    let mut happened = BTreeMap::new();
    let mut watch = client.watch(watch("w/", 1), WatchOptions::default());
    let mut at = 0;
    while at < until {
        for event in watch.next().await?.unwrap().events {
            let kv = event.kv.unwrap();
            at = kv.mod_revision;
            let value = String::from_utf8(kv.value.to_vec())?;
            let before = happened.insert(value, kv.mod_revision);
            assert_eq!(before, None, "a write happened twice");
        }
    }
    for (value, revision) in &told {
        if let Some(revision) = revision {
            assert_eq!(happened.get(value), Some(revision), "{value} was answered");
        }
    }
    for value in happened.keys() {
        assert!(told.contains_key(value), "{value} was never asked for");
    }
    for kv in now.kvs {
        let value = String::from_utf8(kv.value.to_vec())?;
        assert_eq!(happened[&value], kv.mod_revision);
    }
    Ok(())
}

#[test]
fn calls_given_up_at_any_point_leave_no_waiter_and_happen_once_or_not_at_all() {
    for seed in seeds(2) {
        cancelled_calls(seed);
    }
}

#[test]
fn a_deadline_that_fires_at_the_server_is_answered_as_etcd_answers_it() {
    let mut rig = Rig::new(5, &[]);
    rig.client("a", async {
        let (client, _) = connect();
        let mut kv = pb::kv_client::KvClient::new(client.transport());
        let mut fired = 0;
        for _ in 0..50 {
            let mut request = tonic::Request::new(put("a", "b"));
            request.set_timeout(Duration::from_micros(500));
            if let Err(status) = kv.put(request).await {
                assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
                fired += 1;
            }
        }
        assert!(fired > 0, "no deadline fired");
        Ok(())
    });
    rig.run(|_, load| assert_eq!(load.waiters, 0));
    rig.until_idle(Duration::from_secs(5));
}

/// Pairs of a large answer: many small ones, which are copied, and a few that are shared.
const SMALL: usize = 1_500;
const SMALL_BYTES: usize = 4 << 10;
const LARGE: usize = 24;
const LARGE_BYTES: usize = 256 << 10;
const ALL_BYTES: u64 = (SMALL * SMALL_BYTES + LARGE * LARGE_BYTES) as u64;

/// Fills the store with what makes a large answer.
async fn fill(client: &Client) -> Outcome {
    for first in (0..SMALL).step_by(100) {
        let ops = (first..first + 100).map(|number| {
            let request = put(format!("r/small/{number}"), vec![b's'; SMALL_BYTES]);
            pb::RequestOp { request: Some(Request::RequestPut(request)) }
        });
        client.txn(pb::TxnRequest { success: ops.collect(), ..Default::default() }).await?;
    }
    for number in 0..LARGE {
        client.put(put(format!("r/large/{number}"), vec![b'l'; LARGE_BYTES])).await?;
    }
    Ok(())
}

#[test]
fn large_answers_dropped_in_the_middle_hold_nothing() {
    let mut rig = Rig::new(3, &["--max-concurrent-streams=4"]);
    rig.client("a", async {
        let (client, switch) = connect();
        fill(&client).await?;
        let mut random = StdRng::seed_from_u64(3);
        let mut dropped = 0;
        // Each takes windows and a stream of the one connection. What is not given back is
        // missing soon.
        for _ in 0..60 {
            let patience = Duration::from_millis(random.random_range(0..150));
            let read = client.range(prefix("r/"));
            dropped += u32::from(tokio::time::timeout(patience, read).await.is_err());
        }
        assert!(dropped > 20, "{dropped} answers were dropped");
        let whole = client.range(prefix("r/")).await?;
        assert_eq!(whole.kvs.len(), SMALL + LARGE);
        assert_eq!(switch.opened(), 1, "all of it was one connection");
        // A compaction to the end waits for every reader that still holds old state.
        let last = client.put(put("r/small/0", "new")).await?.header.unwrap().revision;
        client.compact(pb::CompactionRequest { revision: last, physical: true }).await?;
        Ok(())
    });
    rig.run(|_, load| assert_eq!(load.waiters, 0));
    rig.until_idle(Duration::from_secs(5));
}

#[test]
fn a_reader_that_stands_still_is_sent_its_window_and_holds_nobody_up() {
    let mut rig = Rig::new(4, &[]);
    let (client, switch) = connect_with(|config| config.timeouts.call = None);
    let done = Arc::new(AtomicUsize::new(0));
    let read = done.clone();
    let frozen = switch.clone();
    rig.client("reader", async move {
        fill(&client).await?;
        let answer = client.range(prefix("r/"));
        tokio::pin!(answer);
        // The request leaves, and pieces of the answer come, before the process stands still.
        let _ = tokio::time::timeout(Duration::from_millis(30), &mut answer).await;
        frozen.freeze(true);
        let whole = answer.await?;
        assert_eq!(whole.kvs.len(), SMALL + LARGE);
        let bytes: usize = whole.kvs.iter().map(|kv| kv.value.len()).sum();
        assert_eq!(bytes as u64, ALL_BYTES);
        read.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    while !switch.is_frozen() {
        rig.step();
    }
    let before = rig.traffic.written();
    let puts = Arc::new(AtomicUsize::new(0));
    let count = puts.clone();
    rig.client("writer", async move {
        let (client, _) = connect();
        for number in 0..300 {
            client.put(put("w", number.to_string())).await?;
            count.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    });
    while rig.sim.is_host_running("writer") {
        rig.step();
    }
    assert_eq!((puts.load(Ordering::SeqCst), done.load(Ordering::SeqCst)), (300, 0));
    let written = rig.traffic.written() - before;
    assert!(written < ALL_BYTES / 3, "{written} bytes went to one that does not read");
    switch.freeze(false);
    rig.run(|_, _| {});
    rig.until_idle(Duration::from_secs(5));
}
