use super::*;
use crate::Changes;
use std::cell::Cell;

/// Answers every look-up with `answer` and counts them.
struct One {
    answer: Result<Option<Bytes>, HistoryError>,
    asked: Cell<usize>,
    last: Cell<Revision>,
}

impl One {
    fn new(answer: Result<Option<Bytes>, HistoryError>) -> Self {
        Self { answer, asked: Cell::new(0), last: Cell::new(Revision::default()) }
    }
}

impl History for One {
    fn changes(&self, _: i64, _: i64, _: usize, _: usize) -> Result<Changes, HistoryError> {
        Ok(Changes::default())
    }
    fn value_at(&self, revision: Revision) -> Result<Option<Bytes>, HistoryError> {
        self.asked.set(self.asked.get() + 1);
        self.last.set(revision);
        self.answer.clone()
    }
    fn revision(&self) -> i64 {
        0
    }
    fn compacted(&self) -> i64 {
        -1
    }
}

fn event(kind: EventKind, main: i64, sub: i64, prev: Option<Revision>) -> Event {
    let revision = Revision { main, sub };
    Event { kind, key: "k".into(), revision, kv: "kv".into(), prev }
}

fn batch(events: Vec<Event>) -> RevisionEvents {
    RevisionEvents { revision: events[0].revision.main, events }
}

#[test]
fn bytes_are_those_of_mvccpb() {
    let put = event(EventKind::Put, 3, 0, None);
    assert_eq!(encode(&put, None), &b"\x12\x02kv"[..]);
    let delete = event(EventKind::Delete, 3, 0, None);
    assert_eq!(encode(&delete, Some(&"old".into())), &b"\x08\x01\x12\x02kv\x1a\x03old"[..]);
    let large = Bytes::from(vec![7; 300]);
    let bytes = encode(&put, Some(&large));
    assert_eq!(bytes[4..7], [0x1a, 0xac, 0x02]);
    assert_eq!(bytes.len(), 307);
}

#[test]
fn history_is_asked_once_and_only_when_it_matters() {
    let history = One::new(Ok(Some("old".into())));
    let mut encoder = Encoder::default();
    let batch = batch(vec![
        event(EventKind::Put, 9, 0, Some(Revision::first(4))),
        event(EventKind::Put, 9, 1, None),
    ]);
    encoder.begin(2);
    let plain = encoder.event(&batch, 0, false, -1, &history).unwrap();
    encoder.event(&batch, 1, true, -1, &history).unwrap();
    assert_eq!(history.asked.get(), 0);
    let full = encoder.event(&batch, 0, true, -1, &history).unwrap();
    assert_ne!(plain, full);
    assert_eq!(encoder.event(&batch, 0, true, -1, &history).unwrap().as_ptr(), full.as_ptr());
    assert_eq!(history.asked.get(), 1);

    encoder.begin(2);
    assert_eq!(encoder.event(&batch, 0, true, 9, &history).unwrap(), plain);
    assert_eq!(history.asked.get(), 1);
    assert_eq!(encoder.event(&batch, 1, true, 9, &history).unwrap(), plain);
}

#[test]
fn what_a_transaction_replaced_is_what_was_there_before_it() {
    let history = One::new(Ok(Some("old".into())));
    let mut encoder = Encoder::default();
    let twice = batch(vec![
        event(EventKind::Put, 9, 0, Some(Revision::first(4))),
        event(EventKind::Delete, 9, 1, Some(Revision::first(9))),
    ]);
    encoder.begin(2);
    encoder.event(&twice, 1, true, -1, &history).unwrap();
    assert_eq!(history.last.get(), Revision::first(4));

    let made_and_deleted = batch(vec![
        event(EventKind::Put, 9, 0, None),
        event(EventKind::Delete, 9, 1, Some(Revision::first(9))),
    ]);
    encoder.begin(2);
    encoder.event(&made_and_deleted, 1, true, -1, &history).unwrap();
    assert_eq!(history.asked.get(), 1);
}

#[test]
fn a_failing_store_is_reported_and_compaction_is_not() {
    let change = batch(vec![event(EventKind::Put, 9, 0, Some(Revision::first(4)))]);
    let mut encoder = Encoder::default();
    for (answer, fails) in [
        (Ok(None), false),
        (Err(HistoryError::Compacted { revision: 5 }), false),
        (Err(HistoryError::Failed { reason: "disk".into() }), true),
    ] {
        encoder.begin(1);
        let history = One::new(answer);
        for _ in 0..2 {
            assert_eq!(encoder.event(&change, 0, true, -1, &history).is_err(), fails);
        }
        assert_eq!(history.asked.get(), 1);
    }
}
