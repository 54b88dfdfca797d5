use super::*;
use crate::{History, MemoryHistory, Op};
use drystone_types::{KeyRange, RevisionEvents};

const ALL: usize = usize::MAX;

struct Fixture {
    store: MemoryHistory,
    hub: Hub,
}

impl Fixture {
    fn new(config: Config) -> Self {
        let store = MemoryHistory::new();
        let hub = Hub::new(config, 1, store.revision(), store.compacted());
        Self { store, hub }
    }

    fn put(&mut self, key: &str, value: impl Into<bytes::Bytes>) -> i64 {
        let batch = self.store.put_one(key.to_owned(), value);
        self.publish(&batch)
    }

    fn publish(&mut self, batch: &RevisionEvents) -> i64 {
        self.hub.publish(std::slice::from_ref(batch), &self.store);
        batch.revision
    }

    fn catch_up(&mut self) {
        while self.hub.catch_up(&self.store, 10_000).unwrap() {}
    }

    fn drain(&mut self, stream: StreamId) -> Vec<Response> {
        self.hub.drain(stream, ALL)
    }
}

fn fixture() -> (Fixture, StreamId) {
    let mut fixture = Fixture::new(Config::default());
    let stream = fixture.hub.open_stream(Duration::ZERO);
    (fixture, stream)
}

fn all() -> Create {
    Create::new(KeyRange::from_fields("\0", "\0"))
}

fn from(start_revision: i64) -> Create {
    Create { start_revision, ..all() }
}

fn counts(responses: &[Response]) -> Vec<usize> {
    responses.iter().map(|response| response.events.len()).collect()
}

#[test]
fn ids_are_given_as_etcd_gives_them() {
    let (mut fixture, stream) = fixture();
    let one = Create { watch_id: WatchId(1), ..all() };
    assert_eq!(fixture.hub.create(stream, one.clone()), Some(WatchId(1)));
    assert_eq!(fixture.hub.create(stream, all()), Some(WatchId(0)));
    assert_eq!(fixture.hub.create(stream, all()), Some(WatchId(2)));
    assert_eq!(fixture.hub.create(stream, one.clone()), None);
    assert!(fixture.hub.cancel(stream, WatchId(1)));
    assert!(!fixture.hub.cancel(stream, WatchId(1)));
    assert_eq!(fixture.hub.create(stream, one), Some(WatchId(1)));
    assert_eq!(fixture.hub.create(stream, all()), Some(WatchId(3)));
}

#[test]
fn refusals_carry_etcds_texts_and_keep_the_order_of_answers() {
    let (mut fixture, stream) = fixture();
    fixture.hub.create(stream, from(-1));
    fixture.hub.create(stream, Create::new(KeyRange::from_fields("b", "a")));
    fixture.hub.create(stream, all());
    fixture.hub.refuse(stream, "rpc error: code = PermissionDenied");
    fixture.hub.create(stream, Create { watch_id: WatchId(7), ..all() });
    fixture.hub.create(stream, Create { watch_id: WatchId(7), ..all() });
    let refused = |reason: &'static str| ResponseKind::Refused { reason: reason.into() };
    let kinds: Vec<_> = fixture.drain(stream).into_iter().map(|answer| answer.kind).collect();
    assert_eq!(
        kinds,
        [
            refused("etcdserver: mvcc: required revision has been compacted"),
            refused("mvcc: watcher range is empty"),
            ResponseKind::Created,
            refused("rpc error: code = PermissionDenied"),
            ResponseKind::Created,
            refused("mvcc: duplicate watch ID provided on the WatchStream"),
        ]
    );
}

#[test]
fn history_comes_in_responses_of_a_thousand_revisions() {
    let (mut fixture, stream) = fixture();
    for _ in 0..2301 {
        fixture.put("k", "v");
    }
    fixture.hub.create(stream, from(2));
    fixture.catch_up();
    let responses = fixture.drain(stream);
    assert_eq!(counts(&responses), [0, 1000, 1000, 301]);
    assert!(responses.iter().all(|response| response.header_revision == 2302));
}

#[test]
fn large_history_is_one_message_or_fragments_below_two_mebibytes() {
    let (mut fixture, stream) = fixture();
    for _ in 0..5 {
        fixture.put("k", vec![0; 900_000]);
    }
    for (fragment, sizes) in [(false, vec![0, 5]), (true, vec![0, 2, 2, 1])] {
        fixture.hub.create(stream, Create { fragment, ..from(2) });
        fixture.catch_up();
        let responses = fixture.drain(stream);
        assert_eq!(counts(&responses), sizes);
        let last = responses.len() - 1;
        let flags = responses[1..].iter().map(|response| response.fragment);
        assert!(flags.eq((1..=last).map(|place| place < last)));
    }
}

#[test]
fn compaction_ends_watchers_that_need_what_is_gone() {
    let (mut fixture, stream) = fixture();
    for _ in 0..6 {
        fixture.put("k", "v");
    }
    fixture.store.compact(5);
    fixture.hub.compacted(5);
    let ended = fixture.hub.create(stream, from(4)).unwrap();
    fixture.hub.create(stream, from(5));
    fixture.catch_up();
    let responses = fixture.drain(stream);
    assert_eq!(responses[1].kind, ResponseKind::Canceled { compact_revision: 5 });
    assert_eq!((responses[1].watch_id, responses[1].header_revision), (ended, 0));
    assert_eq!(counts(&responses), [0, 0, 0, 3]);

    // The id stays and blocks broadcasts until it is cancelled.
    assert_eq!(fixture.hub.create(stream, Create { watch_id: ended, ..all() }), Some(WatchId(2)));
    fixture.hub.request_progress(stream);
    assert_eq!(fixture.drain(stream).len(), 1);
    assert!(fixture.hub.cancel(stream, ended));
    fixture.hub.request_progress(stream);
    let kinds: Vec<_> = fixture.drain(stream).into_iter().map(|answer| answer.kind).collect();
    let canceled = ResponseKind::Canceled { compact_revision: 0 };
    assert_eq!(kinds, [canceled, ResponseKind::Progress]);
}

#[test]
fn a_watcher_whose_keys_were_taken_away_hears_so_and_nothing_after() {
    let (mut fixture, stream) = fixture();
    let one = |key: &'static str| Create::new(KeyRange::key(key));
    let lost = fixture.hub.create(stream, one("a")).unwrap();
    let kept = fixture.hub.create(stream, one("b")).unwrap();
    fixture.put("a", "1");
    let taken = fixture.hub.revoke(stream, "denied", |range| range.contains(b"a"));
    assert_eq!(taken, 1);
    fixture.put("a", "2");
    fixture.put("b", "3");
    let responses = fixture.drain(stream);
    let told: Vec<_> = responses.iter().map(|told| (told.watch_id, told.kind.clone())).collect();
    let revoked = ResponseKind::Revoked { reason: "denied".into() };
    assert_eq!(
        told,
        [
            (lost, ResponseKind::Created),
            (kept, ResponseKind::Created),
            (lost, ResponseKind::Events),
            (lost, revoked),
            (kept, ResponseKind::Events),
        ]
    );
}

#[test]
fn a_delete_of_two_keys_is_one_response_with_what_was_there() {
    let (mut fixture, stream) = fixture();
    fixture.hub.create(stream, Create { prev_kv: true, ..all() });
    fixture.put("a", "1");
    fixture.put("b", "2");
    fixture.drain(stream);
    let delete = ["a", "b"].map(|key| Op::Delete { key: key.into() });
    let batch = fixture.store.apply(delete).unwrap();
    fixture.publish(&batch);
    let responses = fixture.drain(stream);
    assert_eq!(counts(&responses), [2]);
    for (event, value) in responses[0].events.iter().zip([b'1', b'2']) {
        assert_eq!(event[..2], [0x08, 0x01]);
        assert_eq!(event.last(), Some(&value));
    }
}

#[test]
fn a_watcher_of_the_future_hears_nothing_before_its_start() {
    let (mut fixture, stream) = fixture();
    fixture.hub.create(stream, Create { progress_notify: true, ..from(4) });
    fixture.put("k", "2");
    fixture.hub.request_progress(stream);
    fixture.hub.tick(Duration::from_secs(700));
    fixture.put("k", "3");
    fixture.hub.request_progress(stream);
    assert_eq!(counts(&fixture.drain(stream)), [0]);
    fixture.put("k", "4");
    assert_eq!(counts(&fixture.drain(stream)), [1]);
    assert!(!fixture.hub.has_output(stream), "the early requests were forgotten");
    fixture.hub.request_progress(stream);
    let progress = &fixture.drain(stream)[0];
    assert_eq!((progress.watch_id, progress.header_revision), (WatchId::NONE, 4));
}

#[test]
fn progress_waits_until_all_are_synced_and_needs_a_watcher() {
    let (mut fixture, stream) = fixture();
    fixture.hub.request_progress(stream);
    assert!(!fixture.hub.has_output(stream));
    fixture.put("k", "2");
    fixture.hub.create(stream, all());
    fixture.hub.create(stream, from(2));
    fixture.drain(stream);
    fixture.hub.request_progress(stream);
    fixture.hub.request_progress(stream);
    assert!(!fixture.hub.has_output(stream));
    fixture.catch_up();
    let responses = fixture.drain(stream);
    assert_eq!(counts(&responses), [1, 0]);
    assert_eq!(responses[1].watch_id, WatchId::NONE);
}

#[test]
fn ticks_tell_idle_watchers_alone() {
    let (mut fixture, stream) = fixture();
    let idle = Create { progress_notify: true, ..Create::new(KeyRange::key("idle")) };
    let busy = Create { progress_notify: true, ..Create::new(KeyRange::key("busy")) };
    let idle = fixture.hub.create(stream, idle).unwrap();
    let busy = fixture.hub.create(stream, busy).unwrap();
    fixture.hub.create(stream, all());
    fixture.put("busy", "2");
    fixture.drain(stream);
    let first = fixture.hub.next_tick().unwrap();
    assert!(first >= Duration::from_secs(600) && first < Duration::from_secs(660));
    fixture.hub.tick(first - Duration::from_nanos(1));
    assert!(!fixture.hub.has_output(stream));
    fixture.hub.tick(first);
    let told: Vec<_> = fixture.drain(stream).iter().map(|answer| answer.watch_id).collect();
    assert_eq!(told, [idle]);
    fixture.hub.tick(first * 2);
    let told: Vec<_> = fixture.drain(stream).iter().map(|answer| answer.watch_id).collect();
    assert_eq!(told, [idle, busy]);
}

#[test]
fn later_events_do_not_overtake_a_progress_response() {
    let (mut fixture, stream) = fixture();
    fixture.hub.create(stream, Create { progress_notify: true, ..all() });
    fixture.drain(stream);
    fixture.put("k", "2");
    fixture.put("k", "3");
    fixture.hub.tick(Duration::from_secs(700));
    fixture.hub.tick(Duration::from_secs(1400));
    fixture.put("k", "4");
    fixture.hub.request_progress(stream);
    fixture.put("k", "5");
    let responses = fixture.drain(stream);
    assert_eq!(counts(&responses), [2, 0, 1, 0, 1]);
    let headers: Vec<_> = responses.iter().map(|answer| answer.header_revision).collect();
    assert_eq!(headers, [3, 3, 4, 4, 5]);
}

#[test]
fn a_slow_reader_holds_little_and_misses_nothing() {
    let config = Config { queue_responses_max: 8, queue_bytes_max: 4096, ..Config::default() };
    let mut fixture = Fixture::new(config);
    let slow = fixture.hub.open_stream(Duration::ZERO);
    let fast = fixture.hub.open_stream(Duration::ZERO);
    fixture.hub.create(slow, all());
    fixture.hub.create(fast, all());
    let (mut slow_events, mut fast_events) = (Vec::new(), Vec::new());
    for round in 0..500 {
        fixture.put("k", vec![1; 100]);
        fixture.catch_up();
        fast_events.extend(fixture.drain(fast).into_iter().flat_map(|answer| answer.events));
        assert!(fixture.hub.stats().queued_bytes <= 2 * 4096 + 500);
        if round % 100 == 99 {
            let taken = fixture.hub.drain(slow, 600);
            slow_events.extend(taken.into_iter().flat_map(|answer| answer.events));
        }
    }
    assert_eq!(fast_events.len(), 500);
    assert_eq!(fixture.hub.stats().unsynced, 1);
    while fixture.hub.has_output(slow) || fixture.hub.wants_catch_up() {
        fixture.catch_up();
        slow_events.extend(fixture.drain(slow).into_iter().flat_map(|answer| answer.events));
    }
    assert_eq!(slow_events.len(), fast_events.len());
    assert!(slow_events == fast_events);
    assert_eq!(fixture.hub.stats().unsynced, 0);
}

#[test]
fn watchers_of_one_event_share_its_bytes() {
    let (mut fixture, stream) = fixture();
    for prev_kv in [false, true, false, true] {
        fixture.hub.create(stream, Create { prev_kv, ..all() });
    }
    fixture.put("k", "1");
    fixture.put("k", "2");
    let responses = fixture.drain(stream);
    let at = |watcher: usize| responses[4 + watcher].events[1].as_ptr();
    assert_eq!(at(0), at(2));
    assert_eq!(at(1), at(3));
    assert_ne!(at(0), at(1));
}

#[test]
fn watchers_go_on_after_the_store_was_replaced() {
    let (mut fixture, stream) = fixture();
    fixture.hub.create(stream, all());
    fixture.hub.create(stream, from(6));
    fixture.put("k", "2");
    fixture.drain(stream);
    for _ in 3..=5 {
        fixture.store.put_one("k", "v");
    }
    let other = fixture.hub.open_stream(Duration::ZERO);
    fixture.hub.restored(5);
    fixture.hub.create(other, all());
    fixture.catch_up();
    assert_eq!(counts(&fixture.drain(stream)), [3]);
    fixture.put("k", "6");
    assert_eq!(counts(&fixture.drain(stream)), [1, 1]);
    assert_eq!(counts(&fixture.drain(other)), [0, 1]);

    // A revision that was left out is made up for as well; one told twice is not.
    let left_out = fixture.store.put_one("k", "7");
    let next = fixture.store.put_one("k", "8");
    fixture.publish(&next);
    fixture.publish(&left_out);
    fixture.catch_up();
    assert_eq!(counts(&fixture.drain(other)), [2]);

    fixture.store.put_one("k", "9");
    fixture.store.put_one("k", "10");
    fixture.store.compact(10);
    fixture.hub.restored(10);
    fixture.hub.compacted(10);
    let kinds: Vec<_> = fixture.drain(other).into_iter().map(|answer| answer.kind).collect();
    assert_eq!(kinds, [ResponseKind::Canceled { compact_revision: 10 }]);
}

#[test]
fn a_stream_is_named_once_until_it_was_emptied() {
    let (mut fixture, stream) = fixture();
    fixture.hub.create(stream, all());
    fixture.put("k", "2");
    assert_eq!(fixture.hub.ready_streams(), [stream]);
    fixture.put("k", "3");
    assert!(fixture.hub.ready_streams().is_empty());
    fixture.hub.drain(stream, 1);
    fixture.put("k", "4");
    assert!(fixture.hub.ready_streams().is_empty());
    fixture.drain(stream);
    for _ in 0..3 {
        fixture.put("k", "5");
        fixture.drain(stream);
    }
    assert!(fixture.hub.ready_streams().is_empty());
    fixture.put("k", "6");
    assert_eq!(fixture.hub.ready_streams(), [stream]);
    fixture.hub.close_stream(stream);
    assert_eq!(fixture.hub.stats(), Stats::default());
}

#[test]
fn a_reader_of_nothing_is_given_no_further_answers() {
    let mut fixture = Fixture::new(Config { queue_responses_max: 3, ..Config::default() });
    let stream = fixture.hub.open_stream(Duration::ZERO);
    let mut asked = 0;
    while fixture.hub.accepts(stream) {
        fixture.hub.create(stream, all());
        fixture.hub.request_progress(stream);
        asked += 1;
        assert!(asked < 10);
    }
    assert_eq!(fixture.drain(stream).len(), 3);
    assert!(fixture.hub.accepts(stream));
    fixture.hub.close_stream(stream);
    assert!(!fixture.hub.accepts(stream));
}
