//! One wrong stream for each check of watches, beside right ones.

use crate::rig::{MEMBER, Run, command_of, compact, delete, header, put, txn_of};
use drystone_api::etcdserverpb::{
    DeleteRangeRequest, RequestOp, TxnRequest, WatchCancelRequest, WatchCreateRequest,
    WatchResponse, request_op::Request as Op,
};
use drystone_api::mvccpb::{Event, event::EventType};
use drystone_judge::{Request, StreamEnd, StreamEvent, StreamHeard, WatchStream, judge, watches};
use std::time::Duration;

/// Revisions 2 to 7: a=1, a=2, {b, c, d}, delete a, a=3, b=2.
fn run() -> Run {
    let mut run = Run::new();
    run.put("a", "1");
    run.put("a", "2");
    run.ask(Request::Txn(txn_of(&[("b", "1"), ("c", "1"), ("d", "1")])));
    run.ask(Request::DeleteRange(delete("a")));
    run.put("a", "3");
    run.put("b", "2");
    run.history.settled_at = Some(run.now());
    run
}

/// A watch of all keys from `start`.
fn all(start: i64) -> WatchCreateRequest {
    WatchCreateRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        start_revision: start,
        prev_kv: true,
        watch_id: 1,
        ..WatchCreateRequest::default()
    }
}

fn created(id: i64, revision: i64) -> WatchResponse {
    WatchResponse {
        header: header(revision),
        watch_id: id,
        created: true,
        ..WatchResponse::default()
    }
}

fn heard_of(id: i64, events: &[Event]) -> WatchResponse {
    let revision =
        events.last().and_then(|event| event.kv.as_ref()).map_or(0, |kv| kv.mod_revision);
    WatchResponse {
        header: header(revision),
        watch_id: id,
        events: events.to_vec(),
        ..WatchResponse::default()
    }
}

fn progress(id: i64, revision: i64) -> WatchResponse {
    WatchResponse { header: header(revision), watch_id: id, ..WatchResponse::default() }
}

fn ended(id: i64, compact_revision: i64) -> WatchResponse {
    let header = header(0);
    WatchResponse {
        header,
        watch_id: id,
        canceled: true,
        compact_revision,
        ..WatchResponse::default()
    }
}

/// A stream and the run it watches, at its end.
struct Scene {
    run: Run,
    stream: WatchStream,
}

impl Scene {
    fn new(run: Run) -> Self {
        let stream = WatchStream { member: MEMBER, events: Vec::new(), end: StreamEnd::Drained };
        Self { run, stream }
    }

    /// A watch from revision 2 on that has heard everything, a revision a response.
    fn whole() -> Self {
        let mut scene = Self::new(run());
        scene.create(all(2));
        scene.hear(created(1, 7));
        for revision in 2..=7 {
            let events = scene.revision(revision);
            scene.hear(heard_of(1, &events));
        }
        scene
    }

    fn revision(&self, revision: i64) -> Vec<Event> {
        let of = |event: &&Event| event.kv.as_ref().is_some_and(|kv| kv.mod_revision == revision);
        self.run.events.iter().filter(of).cloned().collect()
    }

    fn push(&mut self, what: StreamHeard) {
        let at = self.run.now() + Duration::from_millis(1);
        self.stream.events.push(StreamEvent { at, what });
    }

    fn create(&mut self, create: WatchCreateRequest) {
        self.push(StreamHeard::Create(create));
    }

    fn cancel(&mut self, watch_id: i64) {
        self.push(StreamHeard::Cancel(WatchCancelRequest { watch_id }));
    }

    fn hear(&mut self, response: WatchResponse) {
        let applied_revision = Some(self.run.model.revision());
        let compacted_revision = Some(self.run.model.compacted());
        self.push(StreamHeard::Response { response, applied_revision, compacted_revision });
    }

    /// The `number`-th response, counting from 0.
    fn response(&mut self, number: usize) -> &mut WatchResponse {
        let mut responses =
            self.stream.events.iter_mut().filter_map(|event| match &mut event.what {
                StreamHeard::Response { response, .. } => Some(response),
                _ => None,
            });
        responses.nth(number).expect("the response is there")
    }

    /// Removes the `number`-th response.
    fn forget(&mut self, number: usize) {
        let is_response = |event: &StreamEvent| matches!(event.what, StreamHeard::Response { .. });
        let mut places = (0..).zip(&self.stream.events).filter(|(_, event)| is_response(event));
        let place = places.nth(number).expect("the response is there").0;
        self.stream.events.remove(place);
    }

    fn judged(&mut self) -> drystone_judge::Verdict {
        self.run.history.streams = vec![self.stream.clone()];
        watches(&self.run.history)
    }

    #[track_caller]
    fn clean(&mut self) {
        let verdict = self.judged();
        assert!(verdict.is_clean(), "{verdict}");
        let verdict = judge(&self.run.history);
        assert!(verdict.is_clean(), "{verdict}");
    }

    #[track_caller]
    fn breaks(&mut self, rule: &str) {
        let verdict = self.judged();
        assert!(verdict.breaks(rule), "{rule}: {verdict}");
    }
}

#[test]
fn right_streams_are_clean() {
    Scene::whole().clean();
    // In one response, with progress, and cut where anything may be missing.
    let mut scene = Scene::new(run());
    scene.create(all(3));
    scene.hear(created(1, 7));
    let events: Vec<Event> = (3..=5).flat_map(|revision| scene.revision(revision)).collect();
    scene.hear(heard_of(1, &events));
    scene.hear(progress(-1, 5));
    scene.stream.end = StreamEnd::Cut;
    scene.clean();
    scene.stream.end = StreamEnd::Drained;
    scene.breaks("watch-14-liveness");
}

#[test]
fn check_1_filter() {
    let mut scene = Scene::new(run());
    scene.create(WatchCreateRequest { filters: vec![0], ..all(2) });
    scene.hear(created(1, 7));
    let delete = scene.revision(5);
    scene.hear(heard_of(1, &delete));
    scene.clean();
    let put = scene.revision(6);
    scene.hear(heard_of(1, &put));
    scene.breaks("watch-1-filter");
    let mut scene = Scene::new(run());
    scene.create(WatchCreateRequest { key: "c".into(), range_end: "".into(), ..all(2) });
    scene.hear(created(1, 7));
    let others = scene.revision(4);
    scene.hear(heard_of(1, &others[1..2]));
    scene.clean();
    scene.response(1).events = others[..2].to_vec();
    scene.breaks("watch-1-filter");
}

#[test]
fn check_2_order() {
    let mut scene = Scene::whole();
    scene.response(3).events.swap(0, 1);
    scene.breaks("watch-2-order");
    let mut scene = Scene::whole();
    let (early, late) = (scene.response(1).clone(), scene.response(2).clone());
    *scene.response(1) = late;
    *scene.response(2) = early;
    scene.breaks("watch-2-order");
}

#[test]
fn check_3_unique() {
    let mut scene = Scene::whole();
    let again = scene.revision(7);
    scene.hear(heard_of(1, &again));
    scene.breaks("watch-3-unique");
}

#[test]
fn check_4_atomic() {
    let mut scene = Scene::new(run());
    scene.create(WatchCreateRequest { fragment: true, ..all(4) });
    scene.hear(created(1, 7));
    let events = scene.revision(4);
    scene.hear(WatchResponse { fragment: true, ..heard_of(1, &events[..1]) });
    scene.hear(heard_of(1, &events[1..]));
    scene.stream.end = StreamEnd::Cut;
    scene.clean();
    scene.response(1).fragment = false;
    scene.breaks("watch-4-atomic");
    scene.forget(2);
    scene.breaks("watch-4-atomic");
}

#[test]
fn check_5_bookmark() {
    let mut scene = Scene::whole();
    scene.hear(progress(1, 7));
    scene.clean();
    scene.hear(progress(-1, 6));
    scene.breaks("watch-5-bookmark");
    // Ahead of an event, and ahead of the member.
    let mut scene = Scene::whole();
    *scene.response(5) = progress(1, 6);
    scene.breaks("watch-5-bookmark");
    let mut scene = Scene::whole();
    scene.hear(progress(1, 8));
    scene.breaks("watch-5-bookmark");
}

#[test]
fn check_6_resume() {
    let mut scene = Scene::whole();
    scene.forget(1);
    scene.breaks("watch-6-resume");
    let mut scene = Scene::new(run());
    scene.create(all(3));
    scene.hear(created(1, 7));
    let before = scene.revision(2);
    scene.hear(heard_of(1, &before));
    scene.breaks("watch-6-resume");
}

#[test]
fn check_7_reliable() {
    let mut scene = Scene::whole();
    scene.forget(4);
    scene.breaks("watch-7-reliable");
    let mut scene = Scene::whole();
    scene.response(3).events.remove(1);
    scene.breaks("watch-7-reliable");
}

#[test]
fn check_8_create() {
    let mut scene = Scene::whole();
    let kv = scene.response(5).events[0].kv.as_mut().expect("events have pairs");
    kv.create_revision = 2;
    scene.breaks("watch-8-create");
}

#[test]
fn check_9_prev() {
    let mut scene = Scene::whole();
    scene.response(2).events[0].prev_kv = None;
    scene.breaks("watch-9-prev");
    let mut scene = Scene::whole();
    let wrong = scene.response(1).events[0].kv.clone();
    scene.response(1).events[0].prev_kv = wrong;
    scene.breaks("watch-9-prev");
    // Compaction may take what was before.
    let mut scene = Scene::new(run());
    scene.run.ask(compact(5));
    scene.create(all(5));
    scene.hear(created(1, 7));
    let events: Vec<Event> = (5..=7).flat_map(|revision| scene.revision(revision)).collect();
    scene.hear(heard_of(1, &events));
    scene.response(1).events[0].prev_kv = None;
    scene.clean();
    scene.response(1).events[2].prev_kv = None;
    scene.breaks("watch-9-prev");
}

#[test]
fn check_10_compacted() {
    let mut scene = Scene::new(run());
    scene.run.ask(compact(5));
    scene.create(all(3));
    scene.hear(created(1, 7));
    scene.hear(ended(1, 5));
    scene.clean();
    // A start that silently lies where nothing is left.
    scene.forget(1);
    let events: Vec<Event> = (5..=7).flat_map(|revision| scene.revision(revision)).collect();
    scene.hear(heard_of(1, &events));
    scene.breaks("watch-10-compacted");
    // What was not compacted, and what can be served, must not end.
    for (start, compacted) in [(3, 4), (5, 5)] {
        let mut scene = Scene::new(run());
        scene.run.ask(compact(5));
        scene.create(all(start));
        scene.hear(created(1, 7));
        scene.hear(ended(1, compacted));
        scene.breaks("watch-10-compacted");
    }
}

#[test]
fn a_compaction_may_take_what_its_own_revision_replaced() {
    // Revision 8: everything is deleted, a is put, and everything from a on is deleted again.
    let everything = || DeleteRangeRequest { range_end: "\0".into(), ..delete("a") };
    let ops = [
        Op::RequestDeleteRange(everything()),
        Op::RequestPut(put("a", "9")),
        Op::RequestDeleteRange(everything()),
    ];
    let success = ops.map(|op| RequestOp { request: Some(op) }).to_vec();
    let txn = Request::Txn(TxnRequest { success, ..TxnRequest::default() });
    for (compacted, clean) in [(8, true), (7, false)] {
        let mut scene = Scene::new(run());
        scene.run.ask(txn.clone());
        scene.run.ask(compact(compacted));
        scene.create(all(8));
        scene.hear(created(1, 8));
        let mut events = scene.revision(8);
        events.retain(|event| event.r#type == EventType::Delete as i32);
        events.iter_mut().for_each(|event| event.prev_kv = None);
        scene.hear(heard_of(1, &events));
        assert_eq!(scene.judged().is_clean(), clean, "compacted at {compacted}");
    }
}

#[test]
fn check_11_future() {
    let mut scene = Scene::new(run());
    scene.create(all(9));
    scene.hear(created(1, 7));
    scene.clean();
    scene.hear(progress(-1, 7));
    scene.breaks("watch-11-future");
    let mut scene = Scene::new(run());
    scene.create(all(9));
    scene.hear(created(1, 7));
    let old = scene.revision(7);
    scene.hear(heard_of(1, &old));
    scene.breaks("watch-11-future");
}

#[test]
fn check_12_frame() {
    // Answers without a question, of another id, of a watch that is over, beyond the member.
    let mut scene = Scene::whole();
    scene.hear(created(2, 7));
    scene.breaks("watch-12-frame");
    let mut scene = Scene::whole();
    scene.create(WatchCreateRequest { watch_id: 4, ..all(8) });
    scene.hear(created(5, 7));
    scene.breaks("watch-12-frame");
    let mut scene = Scene::whole();
    scene.cancel(1);
    scene.hear(WatchResponse { canceled: true, ..progress(1, 7) });
    scene.clean();
    scene.hear(progress(1, 7));
    scene.breaks("watch-12-frame");
    let mut scene = Scene::whole();
    scene.hear(WatchResponse { canceled: true, ..progress(1, 7) });
    scene.breaks("watch-12-frame");
    let mut scene = Scene::whole();
    scene.response(0).header = header(8);
    scene.breaks("watch-12-frame");
    let mut scene = Scene::whole();
    scene.response(3).header = header(3);
    scene.breaks("watch-12-frame");
    let mut scene = Scene::whole();
    scene.response(6).watch_id = 2;
    scene.breaks("watch-12-frame");
}

#[test]
fn check_12_frame_of_refusals() {
    let refused = WatchResponse {
        canceled: true,
        cancel_reason: "mvcc: watcher range is empty".to_owned(),
        ..created(-1, 7)
    };
    let mut scene = Scene::whole();
    scene.create(WatchCreateRequest { range_end: "\0".into(), key: "a".into(), ..all(8) });
    scene.hear(refused.clone());
    scene.clean();
    scene.create(WatchCreateRequest { watch_id: 2, ..all(8) });
    scene.hear(refused);
    scene.breaks("watch-12-frame");
    let mut scene = Scene::whole();
    scene.create(WatchCreateRequest { watch_id: 2, range_end: "a".into(), ..all(8) });
    scene.create(WatchCreateRequest { watch_id: 3, start_revision: -1, ..all(8) });
    scene.hear(created(2, 7));
    scene.hear(created(3, 7));
    scene.breaks("watch-12-frame");
}

#[test]
fn check_13_content() {
    let mut scene = Scene::whole();
    let kv = scene.response(2).events[0].kv.as_mut().expect("events have pairs");
    kv.value = "other".into();
    scene.breaks("watch-13-content");
    let mut scene = Scene::whole();
    scene.response(1).events[0].r#type = EventType::Delete as i32;
    scene.breaks("watch-13-content");
    let mut scene = Scene::whole();
    let kv = scene.response(2).events[0].kv.as_mut().expect("events have pairs");
    kv.key = "never".into();
    scene.breaks("watch-13-content");
}

#[test]
fn check_14_liveness() {
    let mut scene = Scene::whole();
    scene.forget(6);
    scene.breaks("watch-14-liveness");
    scene.stream.end = StreamEnd::Cut;
    scene.clean();
    let mut scene = Scene::whole();
    scene.create(WatchCreateRequest { watch_id: 2, ..all(8) });
    scene.breaks("watch-14-liveness");
    scene.run.history.settled_at = None;
    scene.clean();
    let mut scene = Scene::whole();
    scene.cancel(1);
    scene.breaks("watch-14-liveness");
}

#[test]
fn a_watch_from_now_begins_behind_its_created_response() {
    let mut scene = Scene::new(run());
    scene.create(all(0));
    scene.hear(created(1, 5));
    for revision in 6..=7 {
        let events = scene.revision(revision);
        scene.hear(heard_of(1, &events));
    }
    scene.clean();
    scene.response(0).header = header(4);
    scene.breaks("watch-6-resume");
}

#[test]
fn without_a_log_nothing_is_said() {
    let mut scene = Scene::whole();
    scene.forget(3);
    scene.run.history.log.clear();
    assert!(scene.judged().is_clean());
    scene.run.log(command_of(&Request::Put(put("a", "1"))).expect("puts are logged"));
    assert!(!scene.judged().is_clean());
}
