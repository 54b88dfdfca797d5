//! What a replica promises its member.

use super::*;
use crate::conf_change::ConfChangeKind;
use crate::error::{MembershipError, ProposeError, ReadError, SnapshotError, StepError};
use crate::message::SnapshotMeta;

#[test]
fn a_follower_promises_nothing_before_its_disk_has_it() {
    let mut replica = group(&[1, 2, 3], &[]);
    replica.step(append(1, 0, 0, vec![entry(1, 1, "x")], 0)).unwrap();
    replica.step(from(TWO, MessageKind::Heartbeat, 1)).unwrap();
    let first = replica.ready().unwrap();
    assert!(first.must_sync && first.writes());
    // The term is new as well, so that even the heartbeat's answer waits.
    assert!(first.messages.is_empty());
    assert_eq!(first.messages_after_persist.len(), 2);
    replica.log_persisted(first.number);

    replica.step(append(1, 1, 1, vec![entry(2, 1, "y")], 1)).unwrap();
    let heartbeat = from(TWO, MessageKind::Heartbeat, 1);
    replica.step(Message { context: "c".into(), commit: LogIndex(1), ..heartbeat }).unwrap();
    replica.propose("to the leader".into()).unwrap();
    let second = replica.ready().unwrap();
    let kinds = |messages: &[Message]| -> Vec<_> { messages.iter().map(|m| m.kind).collect() };
    assert_eq!(kinds(&second.messages), [MessageKind::HeartbeatResponse, MessageKind::Propose]);
    assert_eq!(second.messages[0].context, "c");
    assert_eq!(kinds(&second.messages_after_persist), [MessageKind::AppendResponse]);
    // What is committed but not durable here is not handed out.
    assert_eq!(second.committed.len(), 1);
    replica.step(append(1, 2, 1, Vec::new(), 2)).unwrap();
    let third = replica.ready().unwrap();
    assert!(third.committed.is_empty() && !third.must_sync);
    assert!(third.messages.is_empty(), "it acknowledges what is still being written");
    replica.log_persisted(second.number);
    assert_eq!(replica.ready().unwrap().committed, [entry(2, 1, "y")]);

    // With nothing being written, nothing waits.
    replica.log_persisted(third.number);
    replica.step(append(1, 2, 1, Vec::new(), 2)).unwrap();
    let fourth = replica.ready().unwrap();
    assert_eq!(kinds(&fourth.messages), [MessageKind::AppendResponse]);
}

#[test]
fn a_leader_replicates_while_it_writes() {
    let mut replica = leader();
    replica.propose_batch(vec!["a".into(), "b".into()]).unwrap();
    replica.propose("c".into()).unwrap();
    let first = replica.ready().unwrap();
    // One message for all of it.
    let sent: Vec<_> = first.messages.iter().map(|m| (m.to, m.entries.len())).collect();
    assert_eq!(sent, [(TWO, 3), (THREE, 3)]);
    replica.propose("d".into()).unwrap();
    let second = replica.ready().unwrap();
    assert_eq!(second.messages.len(), 2);
    // The followers' disks suffice for a majority; this one's does not count before its time.
    replica.step(ack(TWO, 1, 5)).unwrap();
    assert_eq!(replica.commit(), LogIndex(1));
    replica.step(ack(THREE, 1, 5)).unwrap();
    assert_eq!(replica.commit(), LogIndex(5));
    assert!(replica.ready().unwrap().committed.is_empty());
    replica.log_persisted(second.number);
    let committed = settle(&mut replica).committed;
    let data: Vec<_> = committed.iter().map(|entry| &entry.data[..]).collect();
    assert_eq!(data, [b"a", b"b", b"c", b"d"]);
}

#[test]
fn what_no_correct_peer_sends_is_an_error_and_changes_nothing() {
    let mut replica = group(&[1, 2, 3], &[]);
    replica.step(append(1, 0, 0, vec![entry(1, 1, "x")], 0)).unwrap();
    settle(&mut replica);
    let before = replica.status();
    let heartbeat = Message { commit: LogIndex(9), ..from(TWO, MessageKind::Heartbeat, 1) };
    let (commit, last) = (LogIndex(9), LogIndex(1));
    assert_eq!(replica.step(heartbeat), Err(StepError::LogLost { commit, last }));
    assert!(matches!(
        replica.step(from(THREE, MessageKind::Heartbeat, 1)),
        Err(StepError::TwoLeaders { claims: THREE, leads: TWO, .. })
    ));
    let stranger = MemberId(8);
    assert_eq!(replica.step(ack(stranger, 1, 1)), Err(StepError::UnknownPeer(stranger)));
    assert_eq!(replica.status(), before);

    let mut replica = leader();
    let before = replica.status();
    assert!(matches!(replica.step(ack(TWO, 1, 7)), Err(StepError::AckBeyondLog { .. })));
    assert!(matches!(
        replica.step(from(THREE, MessageKind::Append, 1)),
        Err(StepError::TwoLeaders { claims: THREE, leads: ME, .. })
    ));
    assert_eq!(replica.status(), before);
}

#[test]
fn a_transfer_asked_for_at_a_follower_is_let_go() {
    let mut replica = group(&[1, 2, 3], &[]);
    replica.step(from(TWO, MessageKind::Heartbeat, 1)).unwrap();
    settle(&mut replica);
    // The core would try to pass it on, and break on the term it carries.
    replica.step(from(THREE, MessageKind::TransferLeader, 1)).unwrap();
    replica.step(from(THREE, MessageKind::TransferLeader, 2)).unwrap();
    assert!(settle(&mut replica).messages.is_empty());
    assert_eq!(replica.leader(), Some(TWO));

    let mut replica = leader();
    replica.step(from(TWO, MessageKind::TransferLeader, 1)).unwrap();
    assert_eq!(replica.status().transferee, Some(TWO));
    assert_eq!(settle(&mut replica).kinds(), [MessageKind::TimeoutNow]);
}

#[test]
fn proposals_are_bounded() {
    let recovered = Recovered { conf_state: conf(&[1, 2, 3], &[]), ..Recovered::default() };
    let config = Config {
        proposal_bytes_max: 100,
        entry_bytes_max_per_message: 150,
        uncommitted_bytes_max: 150,
        ..Config::new(ME)
    };
    let mut replica = start(config, recovered);
    let bytes = |len| Bytes::from(vec![b'x'; len]);
    assert_eq!(replica.propose(bytes(1)), Err(ProposeError::NoLeader));
    assert_eq!(replica.read_index(bytes(1)), Err(ReadError::NoLeader));
    elect(&mut replica, &[TWO]);
    assert_eq!(
        replica.propose(bytes(101)),
        Err(ProposeError::TooLarge { bytes: 101, bytes_max: 100 })
    );
    assert_eq!(replica.propose_batch(Vec::new()), Err(ProposeError::Empty));
    replica.propose(bytes(100)).unwrap();
    assert_eq!(replica.propose(bytes(51)), Err(ProposeError::Full));
    replica.propose(bytes(50)).unwrap();
    settle(&mut replica);
    replica.step(ack(TWO, 1, 3)).unwrap();
    settle(&mut replica);
    replica.propose(bytes(100)).unwrap();

    replica.transfer_leader(TWO).unwrap();
    assert_eq!(replica.propose(bytes(1)), Err(ProposeError::Transferring));
}

/// A follower that may hold hardly more than two entries before it applies them.
fn narrow_follower() -> Replica {
    let recovered = Recovered { conf_state: conf(&[1, 2, 3], &[]), ..Recovered::default() };
    let config = Config {
        entry_bytes_max_per_message: 100,
        uncommitted_bytes_max: 100,
        unapplied_bytes_max: 101,
        ..Config::new(ME)
    };
    start(config, recovered)
}

#[test]
fn a_follower_that_cannot_apply_takes_no_more() {
    let mut replica = narrow_follower();
    replica.step(append(1, 0, 0, vec![entry(1, 1, "x"), entry(2, 1, "y")], 1)).unwrap();
    let mut handed_out = 0;
    while let Some(ready) = replica.ready() {
        handed_out += ready.committed.len();
        replica.log_persisted(ready.number);
    }
    assert!(replica.unapplied_bytes() >= 101 && handed_out == 1);
    replica.step(append(1, 2, 1, vec![entry(3, 1, "z")], 2)).unwrap();
    assert_eq!(replica.last_index(), LogIndex(2));
    // Heartbeats still tell it what it may apply.
    replica.step(Message { commit: LogIndex(2), ..from(TWO, MessageKind::Heartbeat, 1) }).unwrap();
    assert_eq!(settle(&mut replica).committed.len(), 1);
    assert_eq!(replica.unapplied_bytes(), 0);
    replica.step(append(1, 2, 1, vec![entry(3, 1, "z")], 2)).unwrap();
    assert_eq!(replica.last_index(), LogIndex(3));
}

#[test]
fn a_follower_full_of_what_is_not_committed_takes_what_commits_it() {
    let mut replica = narrow_follower();
    replica.step(append(1, 0, 0, vec![entry(1, 1, "x"), entry(2, 1, "y")], 0)).unwrap();
    settle(&mut replica);
    assert!(replica.unapplied_bytes() >= 101, "as much as it may hold, and nothing to apply");
    // The next leader commits all of it by an entry of its own term, and by nothing else.
    replica.step(append(2, 2, 1, vec![entry(3, 2, "")], 0)).unwrap();
    assert_eq!(settle(&mut replica).of(MessageKind::AppendResponse, TWO).index, LogIndex(3));
}

#[test]
fn one_configuration_change_at_a_time() {
    let mut replica = leader();
    let add = |id| ConfChange {
        kind: ConfChangeKind::AddLearnerNode,
        member: MemberId(id),
        context: "{}".into(),
        ..ConfChange::default()
    };
    replica.propose_conf_change(&add(4)).unwrap();
    assert_eq!(replica.propose_conf_change(&add(5)), Err(ProposeError::ConfChangePending));
    settle(&mut replica);
    replica.step(ack(TWO, 1, 2)).unwrap();
    let out = settle(&mut replica);
    // The bytes are those of etcd: a learner is type 3.
    assert_eq!(&out.committed[0].data[..], [0x10, 3, 0x18, 4, 0x22, 2, b'{', b'}']);
    assert_eq!(replica.conf_state(), conf(&[1, 2, 3], &[4]));
    replica.propose_conf_change(&add(5)).unwrap();
}

#[test]
fn the_last_voter_cannot_be_removed() {
    let mut replica = group(&[1], &[]);
    replica.campaign().unwrap();
    settle(&mut replica);
    let remove =
        ConfChange { kind: ConfChangeKind::RemoveNode, member: ME, ..ConfChange::default() };
    assert!(replica.apply_conf_change(LogIndex(2), &remove).is_err());
    assert_eq!(replica.conf_state(), conf(&[1], &[]));
    assert_eq!(replica.role(), Role::Leader);
}

#[test]
fn reads_are_bounded_and_the_oldest_gives_way() {
    let recovered = Recovered { conf_state: conf(&[1, 2, 3], &[]), ..Recovered::default() };
    let mut replica = start(Config { reads_max: 2, ..Config::new(ME) }, recovered);
    replica.step(from(TWO, MessageKind::Heartbeat, 1)).unwrap();
    for context in ["a", "b", "c"] {
        replica.read_index(context.into()).unwrap();
    }
    assert_eq!(settle(&mut replica).dropped, ["a"]);
    assert_eq!(replica.status().reads_waiting, 2);
    let huge = Bytes::from(vec![0; 1024]);
    assert_eq!(replica.read_index(huge), Err(ReadError::Context(1024)));
}

#[test]
fn a_snapshot_on_offer_must_fit_the_log() {
    let mut replica = leader();
    let offer = |replica: &mut Replica, index, term, voters: &[u64]| {
        let (index, term, data) = (LogIndex(index), Term(term), Bytes::new());
        let snapshot = SnapshotMeta { conf_state: conf(voters, &[]), index, term, data };
        replica.offer_snapshot(snapshot, &[TWO, MemberId(9), ME])
    };
    assert_eq!(offer(&mut replica, 1, 1, &[1, 2, 3]), Ok(()));
    let (first, applied) = (LogIndex(0), LogIndex(1));
    for index in [0, 2].map(LogIndex) {
        let error = SnapshotError::Index { index, first, applied };
        assert_eq!(offer(&mut replica, index.0, 1, &[1]), Err(error));
    }
    let (index, claimed, found) = (LogIndex(1), Term(2), Term(1));
    let error = SnapshotError::Term { index, claimed, found };
    assert_eq!(offer(&mut replica, 1, 2, &[1]), Err(error));
    let error = SnapshotError::Membership(MembershipError::NoVoter);
    assert_eq!(offer(&mut replica, 1, 1, &[]), Err(error));
}

#[test]
fn impossible_recoveries_are_named() {
    let good = || Recovered {
        hard_state: HardState { term: Term(3), vote: ME, commit: LogIndex(6) },
        conf_state: conf(&[1, 2, 3], &[]),
        start: Applied { index: LogIndex(5), term: Term(2) },
        entries: vec![entry(6, 2, "a"), entry(7, 3, "b")],
        applied: LogIndex(7),
    };
    let replica = start(Config::new(ME), good());
    assert_eq!(replica.commit(), LogIndex(7), "what was applied was committed");
    assert_eq!(replica.term_at(LogIndex(5)), Some(Term(2)));
    assert_eq!(replica.term_at(LogIndex(4)), None);

    type Break = fn(&mut Recovered);
    let breaks: [(Break, &str); 6] = [
        (|r| drop(r.entries.remove(0)), "Gap"),
        (|r| r.entries[1].term = Term(1), "Terms"),
        (|r| r.hard_state.commit = LogIndex(8), "CommitBeyondLog"),
        (|r| r.applied = LogIndex(8), "AppliedBeyondLog"),
        (|r| r.applied = LogIndex(4), "AppliedBehindLog"),
        (|r| r.conf_state.learners = members(&[1]), "Membership"),
    ];
    for (break_it, expected) in breaks {
        let mut recovered = good();
        break_it(&mut recovered);
        let rng = Box::new(SmallRng::seed_from_u64(1));
        let error = Replica::new(Config::new(ME), recovered, rng).unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{error:?} is not {expected}");
    }
}

#[test]
fn entries_whose_hard_state_was_torn_off_do_not_keep_a_member_from_starting() {
    let recovered = Recovered {
        hard_state: HardState { term: Term(2), vote: ME, commit: LogIndex(1) },
        conf_state: conf(&[1, 2, 3], &[]),
        start: Applied::default(),
        entries: vec![entry(1, 2, "a"), entry(2, 5, "b")],
        applied: LogIndex(1),
    };
    let mut replica = start(Config::new(ME), recovered);
    assert_eq!(replica.term(), Term(5), "the term of the newest entry");
    let mut vote = from(TWO, MessageKind::Vote, 5);
    (vote.index, vote.log_term) = (LogIndex(2), Term(5));
    replica.step(vote).unwrap();
    let ready = replica.ready().unwrap();
    let voted = HardState { term: Term(5), vote: TWO, commit: LogIndex(1) };
    assert_eq!(ready.hard_state, Some(voted), "it had not voted in that term");
}

#[test]
fn a_replica_can_move_to_another_thread() {
    fn moves<T: Send>(_: &T) {}
    moves(&leader());
}

#[test]
fn what_comes_back_from_a_former_leader_is_taken() {
    let mut replica = leader();
    let mut propose = from(ME, MessageKind::Propose, 0);
    propose.entries = vec![Entry { data: "x".into(), ..Entry::default() }];
    replica.step(propose.clone()).unwrap();
    assert_eq!(replica.last_index(), LogIndex(2));
    settle(&mut replica);
    replica.step(Message { kind: MessageKind::ReadIndex, ..propose }).unwrap();
    assert!(settle(&mut replica).messages.is_empty());
}
