use super::*;
use drystone_api::etcdserverpb::{
    LeaseGrantRequest, LeaseRevokeRequest, PutRequest, PutResponse, RequestHeader, ResponseHeader,
};
use drystone_judge::{Operation, Response, StreamEnd, StreamEvent, WatchStream};
use drystone_types::Term;

fn entry(index: u64, data: &[u8]) -> Entry {
    let data = data.to_vec().into();
    Entry { term: Term(1), index: LogIndex(index), kind: EntryKind::Normal, data }
}

fn command(id: u64, command: InternalRaftRequest) -> Vec<u8> {
    let header = Some(RequestHeader { id, ..Default::default() });
    InternalRaftRequest { header, ..command }.encode_to_vec()
}

fn put(value: &str, lease: i64) -> PutRequest {
    PutRequest { key: "k".into(), value: value.to_owned().into(), lease, ..Default::default() }
}

fn operation(request: Request, called_at: u64, outcome: Outcome) -> Operation {
    Operation {
        client: 1,
        member: MemberId(1),
        proposal: None,
        called_at: Duration::from_secs(called_at),
        returned_at: Duration::from_secs(called_at + 1),
        request,
        outcome,
    }
}

#[test]
fn logs_that_do_not_agree_are_told() {
    let log: Vec<Entry> = vec![entry(1, b""), entry(2, b""), entry(3, b"")];
    let mut other = log.clone();
    other[1].term = Term(2);
    let mut faults = Vec::new();
    assert_eq!(agree(&[log.clone(), log[..1].to_vec(), log.clone()], 2, &mut faults).len(), 2);
    assert_eq!(faults, [""; 0]);
    agree(&[log.clone(), other.clone(), log.clone()], 3, &mut faults);
    assert_eq!(faults.len(), 1, "{faults:?}");
    // What is not committed may differ.
    faults.clear();
    agree(&[log, other], 1, &mut faults);
    assert_eq!(faults, [""; 0]);
}

#[test]
fn committed_entries_that_no_majority_holds_are_told() {
    let log: Vec<Entry> = vec![entry(1, b""), entry(2, b"")];
    let mut faults = Vec::new();
    agree(&[log.clone(), log[..1].to_vec(), log[..1].to_vec()], 2, &mut faults);
    assert_eq!(faults.len(), 1, "{faults:?}");
}

/// A log of a put, a lease, a put under it, and the end of the lease.
fn history() -> History {
    let grant = LeaseGrantRequest { id: 7, ttl: 2 };
    let revoke = LeaseRevokeRequest { id: 7 };
    let commands = [
        InternalRaftRequest { put: Some(put("1", 0)), ..Default::default() },
        InternalRaftRequest { lease_grant: Some(grant), ..Default::default() },
        InternalRaftRequest { put: Some(put("2", 7)), ..Default::default() },
        InternalRaftRequest { lease_revoke: Some(revoke), ..Default::default() },
    ];
    let entries: Vec<Entry> = commands
        .into_iter()
        .zip(1..)
        .map(|(each, index)| {
            // The end of a lease that runs out is the cluster's own.
            let id = if each.lease_revoke.is_some() { NOBODY } else { 10 + index };
            entry(index, &command(id, each))
        })
        .collect();
    let mut faults = Vec::new();
    let log = agree(&[entries], 4, &mut faults);
    assert_eq!(faults, [""; 0]);
    let answer = |revision| {
        let header = Some(ResponseHeader { revision, ..Default::default() });
        Outcome::Answered(Response::Put(PutResponse { header, prev_kv: None }))
    };
    let operations = vec![
        operation(Request::Put(put("1", 0)), 1, answer(2)),
        operation(Request::LeaseGrant(grant), 2, Outcome::Unknown),
        operation(Request::Put(put("2", 7)), 3, answer(3)),
        operation(Request::Put(put("3", 0)), 4, Outcome::Unknown),
    ];
    let mut history = History { operations, log, ..Default::default() };
    assign(&mut history);
    history
}

#[test]
fn operations_find_their_entries() {
    let history = history();
    let proposals: Vec<Option<u64>> = history.operations.iter().map(|op| op.proposal).collect();
    assert_eq!(proposals, [Some(11), Some(12), Some(13), Some(NOBODY)]);
    let applied: Vec<Option<u64>> =
        history.log.iter().map(|entry| entry.applied_at.map(|at| at.as_secs())).collect();
    assert_eq!(applied, [Some(1), Some(2), Some(3), None]);
    let verdict = drystone_judge::witness(&history);
    assert!(verdict.is_clean(), "{verdict}");
}

#[test]
fn an_acknowledged_write_that_is_not_in_the_log_is_found() {
    let mut history = history();
    history.operations[3].outcome = history.operations[2].outcome.clone();
    assert!(drystone_judge::witness(&history).breaks("lost"));
}

#[test]
fn a_request_that_is_in_the_log_twice_is_found() {
    let mut history = history();
    let mut again = history.log[0].clone();
    again.index = LogIndex(5);
    if let Some(header) = again.command.as_mut().and_then(|command| command.header.as_mut()) {
        header.id = 99;
    }
    history.log.push(again);
    assign(&mut history);
    assert!(drystone_judge::witness(&history).breaks("nobody-asked"));
}

#[test]
fn a_lease_that_ran_out_before_its_time_is_found() {
    for (seen_at, early) in [(3, true), (4, false)] {
        let mut history = history();
        let header = Some(ResponseHeader { revision: 4, ..Default::default() });
        let what = StreamHeard::Response {
            response: drystone_api::etcdserverpb::WatchResponse { header, ..Default::default() },
            applied_revision: None,
            compacted_revision: None,
        };
        let heard = StreamEvent { at: Duration::from_secs(seen_at), what };
        let stream = WatchStream { member: MemberId(1), events: vec![heard], end: StreamEnd::Cut };
        history.streams.push(stream);
        time_expiries(&mut history);
        assert_eq!(history.log[3].applied_at, Some(Duration::from_secs(seen_at)));
        let verdict = drystone_judge::leases(&history);
        assert_eq!(verdict.breaks("lease-early"), early, "{verdict}");
    }
}

#[test]
fn the_end_of_a_lease_that_ran_out_is_not_taken_for_one_that_was_asked_for_in_vain() {
    let mut history = history();
    let revoke = Request::LeaseRevoke(LeaseRevokeRequest { id: 7 });
    history.operations.push(operation(revoke, 3, Outcome::Unknown));
    assign(&mut history);
    assert_eq!(history.operations[4].proposal, Some(NOBODY));
    assert_eq!(history.log[3].applied_at, None);
}
