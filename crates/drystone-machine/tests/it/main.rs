//! The machine at its boundary: entries in, answers, events and a store out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod auth;
mod calls;

use bytes::Bytes;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{
    AlarmRequest, CompactionRequest, DeleteRangeRequest, InternalRaftRequest, LeaseGrantRequest,
    LeaseRevokeRequest, PutRequest, RequestHeader, RequestOp, TxnRequest,
    alarm_request::AlarmAction, request_op::Request,
};
use drystone_api::raftpb;
use drystone_backend::{Backend, MemBackend};
use drystone_machine::{Alarm, Answer, Machine, MachineConfig, MachineError, Output, RaisedBy};
use drystone_mvcc::RangeQuery;
use drystone_types::{Entry, EntryKind, KeyRange, LeaseId, LogIndex, MemberId, Term};
use proptest::prelude::*;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

mod ledger;
mod quota;

const NOW: Duration = Duration::ZERO;

struct Bench {
    store: MemBackend,
    machine: Machine,
    log: Vec<Entry>,
}

impl Bench {
    fn new() -> Self {
        let store = MemBackend::new();
        let machine = open(&store);
        Self { store, machine, log: Vec::new() }
    }

    fn entry(&mut self, kind: EntryKind, data: Vec<u8>) -> Entry {
        let index = LogIndex(self.log.len() as u64 + 1);
        let entry = Entry { term: Term(1), index, kind, data: data.into() };
        self.log.push(entry.clone());
        entry
    }

    fn apply(&mut self, mut request: InternalRaftRequest) -> Output {
        request.header = Some(RequestHeader { id: 7, ..Default::default() });
        let entry = self.entry(EntryKind::Normal, request.encode_to_vec());
        self.machine.apply(&[entry], NOW).unwrap()
    }

    fn answer(&mut self, request: InternalRaftRequest) -> Result<Answer, EtcdError> {
        let mut output = self.apply(request);
        assert_eq!(output.outcomes.len(), 1);
        let outcome = output.outcomes.remove(0);
        assert_eq!(outcome.request, 7);
        outcome.answer
    }

    fn keys(&self) -> usize {
        let mut all = RangeQuery::new(KeyRange::all());
        all.range.start = Bytes::from_static(b"\0");
        self.machine.reader().snapshot().range(&all).unwrap().kvs.len()
    }
}

fn open(store: &MemBackend) -> Machine {
    Machine::open(Arc::new(store.clone()), MachineConfig::default()).unwrap()
}

fn put(key: &str, lease: i64) -> InternalRaftRequest {
    let key = Bytes::copy_from_slice(key.as_bytes());
    let put = PutRequest { key, value: "v".into(), lease, ..Default::default() };
    InternalRaftRequest { put: Some(put), ..Default::default() }
}

fn grant(id: i64) -> InternalRaftRequest {
    let grant = LeaseGrantRequest { id, ttl: 60 };
    InternalRaftRequest { lease_grant: Some(grant), ..Default::default() }
}

fn revoke(id: i64) -> InternalRaftRequest {
    let revoke = LeaseRevokeRequest { id };
    InternalRaftRequest { lease_revoke: Some(revoke), ..Default::default() }
}

fn alarm(action: AlarmAction) -> InternalRaftRequest {
    let alarm =
        AlarmRequest { action: action as i32, member_id: 99, alarm: Alarm::NoSpace.number() };
    InternalRaftRequest { alarm: Some(alarm), ..Default::default() }
}

fn delete(key: &str) -> InternalRaftRequest {
    let key = Bytes::copy_from_slice(key.as_bytes());
    let delete = DeleteRangeRequest { key, ..Default::default() };
    InternalRaftRequest { delete_range: Some(delete), ..Default::default() }
}

fn compact(revision: i64) -> InternalRaftRequest {
    let compaction = CompactionRequest { revision, physical: false };
    InternalRaftRequest { compaction: Some(compaction), ..Default::default() }
}

#[test]
fn the_end_of_a_lease_deletes_its_keys_in_one_revision() {
    let mut bench = Bench::new();
    bench.answer(grant(5)).unwrap();
    for key in ["c", "a", "b"] {
        bench.answer(put(key, 5)).unwrap();
    }
    bench.answer(put("b", 0)).unwrap();
    let output = bench.apply(revoke(5));
    assert_eq!(output.events.len(), 1, "one revision");
    let keys: Vec<_> = output.events[0].events.iter().map(|event| event.key.clone()).collect();
    assert_eq!(keys, ["a", "c"], "in key order, and b left the lease before");
    assert_eq!(bench.answer(revoke(5)), Err(EtcdError::LeaseNotFound));
    assert_eq!(bench.answer(put("d", 5)), Err(EtcdError::LeaseNotFound));
    assert_eq!(bench.keys(), 1);
}

#[test]
fn attachments_survive_a_restart() {
    let mut bench = Bench::new();
    bench.answer(grant(5)).unwrap();
    bench.answer(put("a", 5)).unwrap();
    bench.store.flush().unwrap();
    bench.machine = open(&bench.store);
    assert_eq!(bench.apply(revoke(5)).events[0].events[0].key, "a");
}

#[test]
fn a_full_store_takes_what_frees_space() {
    let mut bench = Bench::new();
    bench.answer(put("a", 0)).unwrap();
    bench.answer(alarm(AlarmAction::Activate)).unwrap();
    assert_eq!(bench.answer(put("b", 0)), Err(EtcdError::NoSpace));
    assert_eq!(bench.answer(grant(5)), Err(EtcdError::NoSpace));
    bench.answer(delete("a")).unwrap();
    bench.answer(compact(2)).unwrap();
    bench.store.flush().unwrap();
    bench.machine = open(&bench.store);
    assert_eq!(bench.answer(put("b", 0)), Err(EtcdError::NoSpace), "alarms are stored");
    bench.answer(alarm(AlarmAction::Deactivate)).unwrap();
    bench.answer(put("b", 0)).unwrap();
}

fn own_alarm(bench: &mut Bench, action: AlarmAction) -> Vec<u64> {
    let request = InternalRaftRequest { header: None, ..alarm(action) };
    let entry = bench.entry(EntryKind::Normal, request.encode_to_vec());
    let output = bench.machine.apply(&[entry], NOW).unwrap();
    match &output.outcomes[0].answer {
        Ok(Answer::Alarm(answer)) => answer.alarms.iter().map(|alarm| alarm.member_id).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_member_clears_by_itself_only_the_alarm_it_raised_by_itself() {
    let by = |bench: &Bench| bench.machine.alarms().raised_by(MemberId(99), Alarm::NoSpace);
    let mut bench = Bench::new();
    own_alarm(&mut bench, AlarmAction::Activate);
    bench.store.flush().unwrap();
    bench.machine = open(&bench.store);
    assert_eq!(by(&bench), Some(RaisedBy::Itself), "who raised it is stored");
    assert_eq!(own_alarm(&mut bench, AlarmAction::Deactivate), [99]);
    assert_eq!(by(&bench), None);

    own_alarm(&mut bench, AlarmAction::Activate);
    bench.answer(alarm(AlarmAction::Activate)).unwrap();
    own_alarm(&mut bench, AlarmAction::Activate);
    bench.store.flush().unwrap();
    bench.machine = open(&bench.store);
    assert_eq!(by(&bench), Some(RaisedBy::Operator), "an operator's word stands");
    assert!(own_alarm(&mut bench, AlarmAction::Deactivate).is_empty());
    assert_eq!(bench.answer(put("b", 0)), Err(EtcdError::NoSpace));
    bench.answer(alarm(AlarmAction::Deactivate)).unwrap();
    bench.answer(put("b", 0)).unwrap();
}

#[test]
fn live_bytes_fall_when_what_was_compacted_is_swept() {
    let mut bench = Bench::new();
    let empty = bench.machine.live_bytes();
    bench.answer(grant(5)).unwrap();
    bench.answer(put("a", 5)).unwrap();
    let one = bench.machine.live_bytes();
    for _ in 0..10 {
        bench.answer(put("a", 5)).unwrap();
    }
    bench.answer(compact(12)).unwrap();
    while bench.machine.sweep(3).unwrap() {}
    assert_eq!(bench.machine.live_bytes(), one, "one version is left, and the lease");
    bench.store.flush().unwrap();
    bench.machine = open(&bench.store);
    assert_eq!(bench.machine.live_bytes(), one, "a restart counts the same");
    bench.answer(revoke(5)).unwrap();
    bench.answer(delete("a")).unwrap();
    bench.answer(put("b", 0)).unwrap();
    bench.answer(delete("b")).unwrap();
    bench.answer(compact(15)).unwrap();
    while bench.machine.sweep(3).unwrap() {}
    assert!(bench.machine.live_bytes() - empty < 32, "the tombstone at the revision itself");
}

/// Ends an etcd cluster: applying panics on every member, and again at every restart.
#[test]
fn a_transaction_that_can_only_fail_fails_whole() {
    let mut bench = Bench::new();
    bench.answer(put("a", 0)).unwrap();
    let from_a = DeleteRangeRequest {
        key: "a".into(),
        range_end: Bytes::from_static(b"\0"),
        ..Default::default()
    };
    let keep = PutRequest { key: "a".into(), ignore_value: true, ..Default::default() };
    let ops = [Request::RequestDeleteRange(from_a), Request::RequestPut(keep)];
    let success = ops.into_iter().map(|op| RequestOp { request: Some(op) }).collect();
    let txn = TxnRequest { success, ..Default::default() };
    let refused = bench.answer(InternalRaftRequest { txn: Some(txn), ..Default::default() });
    assert_eq!(refused, Err(EtcdError::KeyNotFound));
    assert_eq!(bench.keys(), 1, "nothing was changed");
    assert_eq!(bench.machine.reader().revision(), 2);
}

#[test]
fn membership_follows_the_log() {
    use raftpb::ConfChangeType::{ConfChangeAddNode, ConfChangeRemoveNode};
    let mut bench = Bench::new();
    let change = |kind: raftpb::ConfChangeType, id: u64, context: &str| {
        raftpb::ConfChange {
            id: 0,
            r#type: kind as i32,
            node_id: id,
            context: Bytes::copy_from_slice(context.as_bytes()),
        }
        .encode_to_vec()
    };
    let mut valid = Vec::new();
    for data in [
        change(ConfChangeAddNode, 1, r#"{"id":1,"peerURLs":["http://a:1"],"name":"a"}"#),
        change(ConfChangeAddNode, 2, r#"{"id":2,"peerURLs":["http://b:1"]}"#),
        change(ConfChangeAddNode, 3, r#"{"id":3,"peerURLs":["http://b:1"]}"#),
        change(ConfChangeRemoveNode, 2, ""),
        change(ConfChangeAddNode, 2, r#"{"id":2,"peerURLs":["http://b:1"]}"#),
    ] {
        let entry = bench.entry(EntryKind::ConfChange, data);
        let output = bench.machine.apply(&[entry], NOW).unwrap();
        valid.push(output.membership[0].1);
    }
    assert_eq!(valid, [true, true, false, true, false], "a URL is taken; a removed id is gone");
    bench.store.flush().unwrap();
    let reopened = open(&bench.store);
    assert_eq!(reopened.membership().conf_state().voters, [MemberId(1)]);
    assert!(reopened.membership().is_removed(MemberId(2)));
}

#[test]
fn what_cannot_be_understood_stops_the_member() {
    let mut bench = Bench::new();
    let strange = bench.entry(EntryKind::Normal, vec![0xff; 9]);
    let stopped = bench.machine.apply(&[strange], NOW);
    assert!(matches!(stopped, Err(MachineError::Unknown { index: LogIndex(1), .. })));

    let mut bench = Bench::new();
    bench.log.push(Entry::default());
    let gap = bench.entry(EntryKind::Normal, put("a", 0).encode_to_vec());
    assert!(matches!(bench.machine.apply(&[gap], NOW), Err(MachineError::Gap { .. })));
}

fn request() -> impl Strategy<Value = InternalRaftRequest> {
    let key = prop::sample::select(vec!["a", "b", "c", "d"]);
    prop_oneof![
        6 => (key.clone(), 0i64..4).prop_map(|(key, lease)| put(key, lease)),
        2 => key.prop_map(delete),
        2 => (1i64..4).prop_map(grant),
        1 => (1i64..4).prop_map(revoke),
        1 => (1i64..20).prop_map(compact),
        1 => Just(alarm(AlarmAction::Activate)),
        2 => Just(alarm(AlarmAction::Deactivate)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// However the log is cut into batches, and whenever the member crashes and applies again
    /// what it had not flushed: the same log gives the same store, leases and answers.
    #[test]
    fn equal_logs_give_equal_machines(
        requests in prop::collection::vec(request(), 1..60),
        cuts in prop::collection::vec((1usize..6, 0u8..4), 60),
    ) {
        let mut steady = Bench::new();
        let mut answers = Vec::new();
        for request in &requests {
            answers.extend(steady.apply(request.clone()).outcomes);
        }
        let log = steady.log.clone();
        let mut store = MemBackend::new();
        let mut machine = open(&store);
        let mut again = vec![None; log.len()];
        for (length, fate) in cuts.into_iter().cycle() {
            let from = usize::try_from(machine.applied().index.0).unwrap();
            if from == log.len() {
                break;
            }
            let to = (from + length).min(log.len());
            let output = machine.apply(&log[from..to], NOW).unwrap();
            for (place, outcome) in output.outcomes.into_iter().enumerate() {
                again[from + place] = Some(outcome);
            }
            match fate {
                0 => drop(store.flush().unwrap()),
                1 if to < log.len() => {
                    store.flush().unwrap();
                    let ahead = machine.apply(&log[to..=to], NOW).unwrap();
                    again[to] = ahead.outcomes.into_iter().next();
                    store = store.crash(0);
                    machine = open(&store);
                    prop_assert_eq!(machine.applied().index, LogIndex(to as u64));
                }
                2 => while machine.sweep(3).unwrap() {},
                _ => {}
            }
        }
        let again: Vec<_> = again.into_iter().flatten().collect();
        prop_assert_eq!(answers, again);
        let hash = |machine: &Machine| {
            let hash = machine.reader().snapshot().hash_kv(0).unwrap();
            (hash.revision, hash.hash)
        };
        prop_assert_eq!(hash(&steady.machine), hash(&machine));
        for id in 1..4 {
            let keys = |machine: &Machine| {
                machine.time_to_live(LeaseId(id), NOW, true).map(|found| found.keys)
            };
            prop_assert_eq!(keys(&steady.machine), keys(&machine));
        }
    }
}
