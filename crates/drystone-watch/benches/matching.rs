//! What one published revision costs with many watchers.

#![expect(missing_docs, reason = "criterion generates a public function")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use drystone_types::{KeyRange, RevisionEvents};
use drystone_watch::{Config, Create, Hub, MemoryHistory, StreamId};
use std::hint::black_box;
use std::time::Duration;

/// A hub with one stream for each range, and what they were told drained.
fn hub(ranges: impl Iterator<Item = Create>, watchers_per_stream: usize) -> (Hub, Vec<StreamId>) {
    let mut hub = Hub::new(Config::default(), 1, 1, -1);
    let mut streams = Vec::new();
    for (place, create) in ranges.enumerate() {
        if place % watchers_per_stream == 0 {
            streams.push(hub.open_stream(Duration::ZERO));
        }
        hub.create(streams[streams.len() - 1], create).expect("it is valid");
    }
    for stream in &streams {
        hub.drain(*stream, usize::MAX);
    }
    hub.ready_streams();
    (hub, streams)
}

/// Publishes endless revisions, one put each, of the keys that `key` names.
struct Source {
    store: MemoryHistory,
    revision: i64,
    event: RevisionEvents,
}

impl Source {
    fn new() -> Self {
        let mut store = MemoryHistory::new();
        let event = store.put_one("key", vec![7; 256]);
        Self { store, revision: 1, event }
    }

    fn publish(&mut self, hub: &mut Hub, key: String) {
        self.revision += 1;
        self.event.revision = self.revision;
        let event = &mut self.event.events[0];
        event.revision.main = self.revision;
        event.key = key.into();
        hub.publish(std::slice::from_ref(&self.event), &self.store);
    }
}

fn matching(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");

    // As nodes of a large Kubernetes cluster watch their own objects: half single keys, half
    // prefixes; each put concerns two of them.
    let few = (0..100_000).map(|place| {
        let name = format!("/registry/pods/node-{:05}/", place / 2);
        let range = match place % 2 {
            0 => KeyRange::prefix(name.as_bytes()),
            _ => KeyRange::key(format!("{name}pod")),
        };
        Create { prev_kv: place % 4 < 2, ..Create::new(range) }
    });
    let (mut wide, _) = hub(few, 10);
    let mut source = Source::new();
    let mut place = 0;
    group.bench_function("100k_watchers_2_match", |b| {
        b.iter(|| {
            place = (place + 7919) % 50_000;
            source.publish(&mut wide, format!("/registry/pods/node-{place:05}/pod"));
            for stream in wide.ready_streams() {
                black_box(wide.drain(stream, usize::MAX));
            }
        });
    });

    for per_stream in [1, 100] {
        let all = (0..1000).map(|_| Create::new(KeyRange::prefix(b"/registry/pods/")));
        let (mut deep, _) = hub(all, per_stream);
        let mut source = Source::new();
        group.throughput(Throughput::Elements(1000));
        group.bench_function(format!("1k_watchers_all_match_{per_stream}_per_stream"), |b| {
            b.iter(|| {
                source.publish(&mut deep, "/registry/pods/default/web-0".to_owned());
                for stream in deep.ready_streams() {
                    black_box(deep.drain(stream, usize::MAX));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, matching);
criterion_main!(benches);
