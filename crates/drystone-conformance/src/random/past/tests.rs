use super::*;
use bytes::Bytes;
use drystone_api::mvccpb::KeyValue;

fn event(kind: EventType, key: &'static str, revision: i64) -> Event {
    let kv = KeyValue { key: key.into(), mod_revision: revision, ..Default::default() };
    let prev_kv = Some(KeyValue { key: key.into(), ..Default::default() });
    Event { r#type: kind.into(), kv: Some(kv), prev_kv }
}

fn past() -> Past {
    let mut past = Past::new(2);
    past.append(vec![
        event(EventType::Put, "a", 2),
        event(EventType::Put, "b", 3),
        event(EventType::Delete, "a", 4),
        event(EventType::Delete, "b", 4),
        event(EventType::Put, "c", 5),
    ])
    .unwrap();
    past
}

fn watch(key: &'static str, range_end: &'static [u8]) -> WatchCreateRequest {
    let range_end = Bytes::from_static(range_end);
    WatchCreateRequest { key: key.into(), range_end, prev_kv: true, ..Default::default() }
}

fn revisions(request: &WatchCreateRequest, next: i64) -> Vec<i64> {
    past().told(request, next, 0).iter().map(revision).collect()
}

#[test]
fn a_gap_is_found() {
    let mut past = past();
    assert_eq!(past.next(), 6);
    assert!(past.append(vec![event(EventType::Put, "c", 7)]).is_err());
}

#[test]
fn keys_ranges_and_filters() {
    assert_eq!(revisions(&watch("a", b""), 0), [2, 4]);
    assert_eq!(revisions(&watch("a", b"c"), 3), [3, 4, 4]);
    assert_eq!(revisions(&watch("b", b"\0"), 0), [3, 4, 5]);
    assert_eq!(revisions(&watch("", b"\0"), 5), [5]);
    assert_eq!(revisions(&watch("a", b"\0"), 9), [0_i64; 0]);
    let puts = WatchCreateRequest { filters: vec![1], ..watch("a", b"\0") };
    assert_eq!(revisions(&puts, 0), [2, 3, 5]);
}

#[test]
fn what_was_before_a_compaction_is_not_told() {
    let mut past = past();
    past.forget_before(4);
    let events = past.told(&watch("a", b"\0"), 0, 4);
    let with: Vec<(i64, bool)> =
        events.iter().map(|event| (revision(event), event.prev_kv.is_some())).collect();
    assert_eq!(with, [(4, false), (4, false), (5, true)]);
    assert!(past.deletes_at(4) && !past.deletes_at(5) && !past.deletes_at(3));
}
