//! Watches: readers that do not read, and connections that break.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::rig::{KEEPALIVE, Outcome, Rig, connect, put, seeds, watch};
use crate::socket::Switch;
use drystone_api::etcdserverpb::{self as pb, request_op::Request};
use drystone_api::mvccpb;
use drystone_client::{Client, Watch, WatchOptions};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Revisions that a writer makes, events in each, bytes in each event's value.
const REVISIONS: usize = 1_000;
const EVENTS: usize = 10;
const VALUE_BYTES: usize = 4 << 10;
/// The first revision that a client makes: a new cluster stands at 1.
const FIRST: i64 = 2;

/// Writes all revisions, a few at a time.
async fn write_all(client: Client) -> Outcome {
    let mut writers = Vec::new();
    for writer in 0..8 {
        let client = client.clone();
        writers.push(tokio::spawn(async move {
            for number in (writer..REVISIONS).step_by(8) {
                let ops = (0..EVENTS).map(|event| {
                    let request = put(format!("w/{number}/{event}"), vec![b'v'; VALUE_BYTES]);
                    pb::RequestOp { request: Some(Request::RequestPut(request)) }
                });
                let txn = pb::TxnRequest { success: ops.collect(), ..Default::default() };
                client.txn(txn).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await?;
    }
    Ok(())
}

/// Reads a watch to the last revision and checks that nothing is missing or double.
async fn hear_all(mut watch: Watch) -> Outcome {
    let mut next = FIRST;
    let mut events = 0;
    while next < FIRST + REVISIONS as i64 {
        let response = watch.next().await?.unwrap();
        assert!(!response.canceled, "{response:?}");
        for event in response.events {
            let revision = event.kv.unwrap().mod_revision;
            assert_eq!(revision, next, "event {events}");
            events += 1;
            next += i64::from(events % EVENTS == 0);
        }
    }
    assert_eq!(events, REVISIONS * EVENTS);
    Ok(())
}

/// How often a link breaks.
const BREAKS: usize = 12;
/// How long the server may hold what a silent client had open: a ping and its time-out, twice.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How a reader stops reading.
#[derive(Clone, Copy, Debug)]
enum Silence {
    /// The program does not ask for the next response; its connection lives.
    Stream,
    /// The whole process stands still.
    Process,
}

fn slow_reader(silence: Silence) {
    let mut rig = Rig::new(1, &[]);
    let go_on = Arc::new(Notify::new());
    let told = go_on.clone();
    let ready = Arc::new(AtomicUsize::new(0));
    for name in ["other1", "other2"] {
        let ready = ready.clone();
        rig.client(name, async move {
            let (client, _) = connect();
            let options = WatchOptions { created_notify: true, ..Default::default() };
            let mut watch = client.watch(watch("w/", 0), options);
            watch.next().await?;
            ready.fetch_add(1, Ordering::SeqCst);
            hear_all(watch).await
        });
    }
    let for_slow = ready.clone();
    rig.client("slow", async move {
        let (client, switch) = connect();
        let options = WatchOptions { created_notify: true, ..Default::default() };
        let mut watch = client.watch(watch("w/", 0), options);
        watch.next().await?;
        switch.freeze(matches!(silence, Silence::Process));
        for_slow.fetch_add(1, Ordering::SeqCst);
        told.notified().await;
        switch.freeze(false);
        hear_all(watch).await
    });
    while ready.load(Ordering::SeqCst) < 3 {
        rig.step();
    }
    rig.client("writer", async move { write_all(connect().0).await });
    let mut queued_max = 0;
    while ["writer", "other1", "other2"].iter().any(|name| rig.sim.is_host_running(*name)) {
        queued_max = rig.step().1.queued_bytes.max(queued_max);
    }
    let all = REVISIONS * EVENTS * VALUE_BYTES;
    let config = drystone_watch::Config::default();
    assert!(queued_max <= config.queue_bytes_max + config.response_bytes_max, "{queued_max}");
    assert!(queued_max < all / 2, "the test is too small to say anything: {queued_max} of {all}");
    assert_eq!(rig.step().1.unsynced, 1, "the slow one holds nothing but its place");
    go_on.notify_one();
    rig.run(|_, _| {});
    rig.until_idle(Duration::from_secs(30));
}

#[test]
fn a_watcher_that_does_not_read_costs_a_bounded_queue_and_misses_nothing() {
    slow_reader(Silence::Stream);
}

#[test]
fn a_watching_process_that_stands_still_costs_a_bounded_queue_and_misses_nothing() {
    slow_reader(Silence::Process);
}

/// What a link may do to a connection.
fn break_link(rig: &mut Rig, random: &mut StdRng, client: &'static str, switch: &Switch) {
    let time = Duration::from_millis(random.random_range(50..6_000));
    match random.random_range(0..5) {
        0 => {
            rig.sim.partition(client, "server");
            rig.pass(time);
            rig.sim.repair(client, "server");
        }
        1 => {
            rig.sim.partition_oneway(client, "server");
            rig.pass(time);
            rig.sim.repair_oneway(client, "server");
        }
        2 => {
            rig.sim.partition_oneway("server", client);
            rig.pass(time);
            rig.sim.repair_oneway("server", client);
        }
        3 => {
            rig.sim.hold(client, "server");
            rig.pass(time);
            rig.sim.release(client, "server");
        }
        _ => switch.cut(),
    }
}

/// The events of a watch, one by one.
struct Events {
    watch: Watch,
    heard: std::collections::VecDeque<mvccpb::Event>,
}

impl Events {
    async fn next(&mut self) -> Result<mvccpb::KeyValue, drystone_client::Error> {
        loop {
            if let Some(event) = self.heard.pop_front() {
                return Ok(event.kv.unwrap());
            }
            let response = self.watch.next().await?.unwrap();
            assert!(!response.canceled, "{response:?}");
            self.heard.extend(response.events);
        }
    }
}

fn broken_watch(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut rig = Rig::new(seed, KEEPALIVE);
    let over = Arc::new(AtomicBool::new(false));
    let told = over.clone();
    rig.client("writer", async move {
        let (client, _) = connect();
        let mut number = 0_u64;
        while !told.load(Ordering::SeqCst) {
            client.put(put(format!("w/{}", number % 7), number.to_string())).await?;
            number += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        client.put(put("w/last", number.to_string())).await?;
        Ok(())
    });
    let (client, switch) = connect();
    let heard = Arc::new(AtomicUsize::new(0));
    let count = heard.clone();
    rig.client("watcher", async move {
        let watch = client.watch(watch("w/", FIRST), WatchOptions::default());
        let mut events = Events { watch, heard: Default::default() };
        for number in 0_i64.. {
            let kv = events.next().await?;
            assert_eq!(kv.mod_revision, FIRST + number);
            assert_eq!(kv.value, number.to_string());
            count.fetch_add(1, Ordering::SeqCst);
            if kv.key == "w/last" {
                return Ok(());
            }
        }
        Ok(())
    });
    for _ in 0..BREAKS {
        rig.pass(Duration::from_millis(random.random_range(50..1_500)));
        break_link(&mut rig, &mut random, "watcher", &switch);
    }
    over.store(true, Ordering::SeqCst);
    rig.run(|_, _| {});
    assert!(heard.load(Ordering::SeqCst) > BREAKS, "hardly anything happened");
    assert!(switch.opened() > 1, "no connection was lost");
    rig.until_idle(SILENCE_MAX);
}

#[test]
fn a_watch_over_a_link_that_breaks_hears_every_event_once_in_order() {
    for seed in seeds(3) {
        broken_watch(seed);
    }
}

#[test]
fn what_a_vanished_client_had_open_is_closed() {
    let mut rig = Rig::new(1, KEEPALIVE);
    rig.client("vanishing", async {
        let (client, _) = connect();
        let mut watches = Vec::new();
        for number in 0..20 {
            let options = WatchOptions { created_notify: true, ..Default::default() };
            let mut watch = client.watch(watch("w/", number % 3), options);
            watch.next().await?;
            watches.push(watch);
        }
        let granted = client.lease_grant(pb::LeaseGrantRequest { ttl: 600, id: 0 }).await?;
        let mut keeper = client.keep_alive(granted.id);
        keeper.next().await?;
        // Nothing of it runs any more from here on, and nothing is closed.
        std::mem::forget((client, watches, keeper));
        Ok(())
    });
    let mut streams_max = 0;
    rig.run(|_, load| streams_max = streams_max.max(load.streams));
    assert_eq!(streams_max, 20);
    rig.sim.partition("vanishing", "server");
    rig.until_idle(SILENCE_MAX);
}
