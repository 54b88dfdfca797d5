//! What went wrong in etcd where entries are applied, a test for each.

use super::*;
use drystone_api::etcdserverpb::RangeRequest;

/// Where a machine stands: index, revision, and the hash of all that it holds.
fn standing(machine: &Machine) -> (u64, i64, u32) {
    let hash = machine.reader().snapshot().hash_kv(0).unwrap();
    (machine.applied().index.0, machine.reader().revision(), hash.hash)
}

/// An index that was written apart from its data let a crash apply entries twice, or not at all,
/// and members disagreed for months (etcd 3.5.0 to 3.5.2).
#[test]
fn etcd_13766_a_crash_at_any_point_leaves_index_and_data_together() {
    let mut bench = Bench::new();
    let mut steps = vec![grant(1)];
    for round in 0..12 {
        let key = ["a", "b", "c"][round % 3];
        steps.push(if round % 5 == 4 { delete(key) } else { put(key, (round % 2) as i64) });
    }
    steps.push(compact(5));
    steps.push(revoke(1));
    // What the machine is after each entry, by index.
    let mut stands = vec![standing(&bench.machine)];
    for step in steps {
        bench.apply(step);
        stands.push(standing(&bench.machine));
    }
    for cut in 1..=5 {
        let store = MemBackend::new();
        let mut machine = open(&store);
        for batch in bench.log.chunks(cut) {
            machine.apply(batch, NOW).unwrap();
        }
        let batches = store.unflushed();
        assert!(batches >= bench.log.len() / cut);
        let mut seen = std::collections::BTreeSet::new();
        for kept in 0..=batches {
            let store = MemBackend::new();
            let mut machine = open(&store);
            for batch in bench.log.chunks(cut) {
                machine.apply(batch, NOW).unwrap();
            }
            let mut survivor = open(&store.crash(kept));
            let index = usize::try_from(survivor.applied().index.0).unwrap();
            seen.insert(index);
            assert_eq!(standing(&survivor), stands[index], "{kept} batches of {cut}");
            let rest = &bench.log[index..];
            survivor.apply(rest, NOW).unwrap();
            assert_eq!(standing(&survivor), *stands.last().unwrap(), "{kept} batches of {cut}");
        }
        assert!(seen.len() > bench.log.len() / cut, "every batch can be the last: {seen:?}");
    }
}

/// A read of a compacted revision inside a transaction was answered by what a member had removed
/// so far (etcd 3.6), or failed when half of the transaction was applied (up to 3.5).
#[test]
fn etcd_18667_and_21432_a_read_of_the_past_in_a_transaction_is_judged_alike_on_all() {
    let [mut swept, mut lazy] = [(); 2].map(|()| Bench::new());
    let both = |swept: &mut Bench, lazy: &mut Bench, request: InternalRaftRequest| {
        let answer = swept.answer(request.clone());
        while swept.machine.sweep(100).unwrap() {}
        assert_eq!(lazy.answer(request), answer);
        assert_eq!(standing(&swept.machine), standing(&lazy.machine));
        answer
    };
    for key in ["a", "b", "a", "b", "a"] {
        both(&mut swept, &mut lazy, put(key, 0)).unwrap();
    }
    both(&mut swept, &mut lazy, compact(5)).unwrap();
    assert!(lazy.machine.is_sweeping() && !swept.machine.is_sweeping());
    let cases = [
        (1, Some(EtcdError::Compacted)),
        (4, Some(EtcdError::Compacted)),
        (7, Some(EtcdError::FutureRev)),
        (99, Some(EtcdError::FutureRev)),
        (5, None),
        (6, None),
    ];
    for (revision, refused) in cases {
        let before = standing(&lazy.machine).1;
        let read = RangeRequest { key: "a".into(), revision, ..Default::default() };
        let write = PutRequest { key: "new".into(), value: "v".into(), ..Default::default() };
        let ops = [Request::RequestPut(write), Request::RequestRange(read)];
        let success = ops.into_iter().map(|op| RequestOp { request: Some(op) }).collect();
        let txn = TxnRequest { success, ..Default::default() };
        let request = InternalRaftRequest { txn: Some(txn), ..Default::default() };
        let answer = both(&mut swept, &mut lazy, request);
        assert_eq!(answer.err(), refused, "{revision}");
        let after = standing(&lazy.machine).1;
        assert_eq!(after, before + i64::from(refused.is_none()), "the whole or nothing");
    }
}

/// An update of a learner's URLs carries no word about learners; etcd before 3.6.12 took that for
/// the word that it was none.
#[test]
fn etcd_3_6_12_an_update_does_not_promote_a_learner() {
    use raftpb::ConfChangeType::{
        ConfChangeAddLearnerNode, ConfChangeAddNode, ConfChangeUpdateNode,
    };
    let mut bench = Bench::new();
    let changes = [
        (ConfChangeAddNode, 1, r#"{"id":1,"peerURLs":["http://a:1"],"name":"a"}"#),
        (ConfChangeAddLearnerNode, 2, r#"{"id":2,"peerURLs":["http://b:1"],"isLearner":true}"#),
        (ConfChangeUpdateNode, 2, r#"{"id":2,"peerURLs":["http://b:2"]}"#),
        (ConfChangeUpdateNode, 1, r#"{"id":1,"peerURLs":["http://a:2"],"isLearner":true}"#),
    ];
    for (kind, node_id, context) in changes {
        let context = Bytes::from_static(context.as_bytes());
        let change = raftpb::ConfChange { id: 0, r#type: kind as i32, node_id, context };
        let entry = bench.entry(EntryKind::ConfChange, change.encode_to_vec());
        let output = bench.machine.apply(&[entry], NOW).unwrap();
        assert!(output.membership[0].1, "{kind:?} of {node_id}");
    }
    bench.store.flush().unwrap();
    for machine in [&bench.machine, &open(&bench.store)] {
        let membership = machine.membership();
        let conf = membership.conf_state();
        assert_eq!(
            (&conf.voters[..], &conf.learners[..]),
            (&[MemberId(1)][..], &[MemberId(2)][..])
        );
        assert_eq!(membership.member(MemberId(2)).unwrap().peer_urls, ["http://b:2"]);
        assert_eq!(membership.member(MemberId(1)).unwrap().peer_urls, ["http://a:2"]);
    }
}
