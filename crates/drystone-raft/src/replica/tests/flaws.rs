//! The core's known flaws, one test each. Each fails when its guard is taken away.

use super::*;
use crate::error::LeadError;
use crate::message::SnapshotMeta;
use rand::RngCore;

/// A generator that always says the same.
struct Always(u64);

impl RngCore for Always {
    fn next_u32(&mut self) -> u32 {
        u32::try_from(self.0).unwrap()
    }

    fn next_u64(&mut self) -> u64 {
        self.0
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

#[test]
fn election_timeouts_come_from_the_given_generator_alone() {
    for drawn in [0, 3, 9] {
        let recovered = Recovered { conf_state: conf(&[1, 2, 3], &[]), ..Recovered::default() };
        let rng = Box::new(Always(drawn));
        let mut replica = Replica::new(Config::new(ME), recovered, rng).unwrap();
        for term in 1..20 {
            // A new term is a new draw of the core's.
            replica.step(from(TWO, MessageKind::Heartbeat, term)).unwrap();
            for _ in 0..9 + drawn {
                replica.tick();
                assert_eq!(replica.role(), Role::Follower);
            }
            replica.tick();
            assert_eq!(replica.role(), Role::PreCandidate);
            settle(&mut replica);
        }
    }
}

/// Reads, is answered by one peer, and reads again while the other's answer is still on its
/// way. Says whether the second read was confirmed by it.
fn late_answer_confirms(repeat_nonces: bool) -> bool {
    let mut replica = leader();
    replica.reads.repeat_nonces = repeat_nonces;
    replica.read_index("same".into()).unwrap();
    let out = settle(&mut replica);
    let answer = |peer| {
        let context = out.of(MessageKind::Heartbeat, peer).context.clone();
        Message { context, ..from(peer, MessageKind::HeartbeatResponse, 1) }
    };
    let (prompt, late) = (answer(TWO), answer(THREE));
    replica.step(prompt).unwrap();
    assert_eq!(settle(&mut replica).reads.len(), 1);
    // From here on others may lead and commit; this replica has not heard of it.
    replica.read_index("same".into()).unwrap();
    assert!(settle(&mut replica).reads.is_empty());
    replica.step(late).unwrap();
    let reads = settle(&mut replica).reads;
    reads.iter().any(|read| read.context == "same")
}

#[test]
fn a_late_heartbeat_answer_does_not_confirm_a_later_read() {
    assert!(late_answer_confirms(true), "without a name of its own the core is fooled");
    assert!(!late_answer_confirms(false));
}

#[test]
fn a_read_of_an_earlier_term_is_dropped() {
    let mut replica = leader();
    replica.read_index("mine".into()).unwrap();
    let out = settle(&mut replica);
    let context = out.of(MessageKind::Heartbeat, TWO).context.clone();
    replica.step(from(TWO, MessageKind::Heartbeat, 2)).unwrap();
    assert_eq!(settle(&mut replica).dropped, ["mine"]);

    // As a follower, too: an answer that overtakes the news of a new term means nothing.
    replica.read_index("theirs".into()).unwrap();
    let out = settle(&mut replica);
    let asked = out.of(MessageKind::ReadIndex, TWO).clone();
    assert_ne!(asked.entries[0].data, "theirs");
    replica.step(from(THREE, MessageKind::Heartbeat, 3)).unwrap();
    assert_eq!(settle(&mut replica).dropped, ["theirs"]);
    for peer in [TWO, THREE] {
        let response = from(peer, MessageKind::ReadIndexResponse, 3);
        let entries = asked.entries.clone();
        replica.step(Message { entries, index: LogIndex(1), ..response }).unwrap();
    }
    let answer = Message { context, ..from(TWO, MessageKind::HeartbeatResponse, 3) };
    replica.step(answer).unwrap();
    assert!(settle(&mut replica).reads.is_empty());
}

#[test]
fn a_late_rejection_leaves_next_above_matched() {
    let mut replica = leader();
    for _ in 0..4 {
        replica.propose("x".into()).unwrap();
    }
    settle(&mut replica);
    replica.step(ack(TWO, 1, 5)).unwrap();
    settle(&mut replica);
    replica.report_unreachable(TWO);
    let before = peer(&replica, TWO);
    assert_eq!((before.state, before.matched), (PeerState::Probe, LogIndex(5)));
    // Sent when the peer had nothing, and held up since.
    replica.step(Message { reject: true, ..ack(TWO, 1, 5) }).unwrap();
    assert_eq!(peer(&replica, TWO), PeerStatus { recently_active: true, ..before });
}

#[test]
fn a_late_hint_leaves_next_above_matched() {
    let mut replica = leader();
    for _ in 0..9 {
        replica.propose("x".into()).unwrap();
    }
    settle(&mut replica);
    replica.step(ack(THREE, 1, 10)).unwrap();
    settle(&mut replica);
    replica.step(ack(TWO, 1, 2)).unwrap();
    settle(&mut replica);
    // The peer falls behind the log and gets a snapshot.
    replica.compact_log(LogIndex(8));
    replica.report_unreachable(TWO);
    replica.step(from(TWO, MessageKind::HeartbeatResponse, 1)).unwrap();
    assert_eq!(settle(&mut replica).wanted, [TWO]);
    let snapshot = SnapshotMeta {
        conf_state: conf(&[1, 2, 3], &[]),
        index: LogIndex(9),
        term: Term(1),
        data: Bytes::new(),
    };
    replica.offer_snapshot(snapshot, &[TWO]).unwrap();
    settle(&mut replica);
    assert_eq!(peer(&replica, TWO).state, PeerState::Snapshot { index: LogIndex(9) });
    replica.step(ack(TWO, 1, 4)).unwrap();
    replica.report_snapshot(TWO, true);
    assert_eq!((peer(&replica, TWO).matched.0, peer(&replica, TWO).next.0), (4, 10));
    // Refused when its log ended at 1, says a message that was held up until now.
    let late = Message { reject: true, reject_hint: LogIndex(1), ..ack(TWO, 1, 9) };
    replica.step(late).unwrap();
    let after = peer(&replica, TWO);
    assert!(after.next > after.matched, "{after:?}");
}

#[test]
fn campaigning_does_not_load_what_is_not_applied() {
    let last = 50_000;
    let entries = (1..=last).map(|index| entry(index, 1, "command")).collect();
    let hard_state = HardState { term: Term(1), commit: LogIndex(last), ..HardState::default() };
    let conf_state = conf(&[1, 2, 3], &[]);
    let recovered = Recovered { hard_state, conf_state, entries, ..Recovered::default() };
    let mut replica = start(Config::new(ME), recovered);
    assert_eq!(replica.raw.store().loaded(), 0);
    replica.campaign().unwrap();
    assert_eq!(replica.role(), Role::PreCandidate);
    assert_eq!(replica.raw.store().loaded(), 0);
}

#[test]
fn an_unapplied_configuration_change_keeps_from_campaigning() {
    let change = ConfChange { member: MemberId(4), ..ConfChange::default() };
    let mut replica = group(&[1, 2, 3], &[]);
    let entries = vec![entry(1, 1, "x"), change_entry(2, 1, &change)];
    replica.step(append(1, 0, 0, entries, 2)).unwrap();
    // Not even handed out yet, then handed out, then durable.
    for _ in 0..3 {
        assert_eq!(replica.campaign(), Err(LeadError::NotReady));
        for _ in 0..100 {
            replica.tick();
        }
        assert_eq!(replica.role(), Role::Follower);
        replica.step(from(TWO, MessageKind::TimeoutNow, 1)).unwrap();
        assert_eq!(replica.role(), Role::Follower);
        if let Some(ready) = replica.ready() {
            replica.log_persisted(ready.number);
        }
    }
    // Others get its vote meanwhile: it does not take a leader to be alive.
    let mut vote = from(THREE, MessageKind::PreVote, 2);
    (vote.index, vote.log_term) = (LogIndex(2), Term(1));
    replica.step(vote).unwrap();
    let out = settle_messages(&mut replica);
    assert!(!out.of(MessageKind::PreVoteResponse, THREE).reject);

    replica.applied_to(LogIndex(2));
    assert_eq!(replica.status().applied, LogIndex(1), "not beyond a change it was not told of");
    replica.apply_conf_change(LogIndex(2), &change).unwrap();
    assert_eq!(replica.status().applied, LogIndex(2));
    replica.tick();
    assert_eq!(replica.role(), Role::PreCandidate);
}

/// Takes what there is to send and applies nothing.
fn settle_messages(replica: &mut Replica) -> Out {
    let mut out = Out::default();
    while let Some(mut ready) = replica.ready() {
        replica.log_persisted(ready.number);
        out.messages.append(&mut ready.messages);
        out.messages.append(&mut ready.messages_after_persist);
    }
    out
}

#[test]
fn reads_before_the_first_commit_of_a_term_wait_for_it() {
    let mut replica = group(&[1, 2, 3], &[]);
    elect(&mut replica, &[TWO]);
    replica.read_index("mine".into()).unwrap();
    let asked = Entry { data: "theirs".into(), ..Entry::default() };
    let read = Message { entries: vec![asked], ..from(THREE, MessageKind::ReadIndex, 0) };
    replica.step(read).unwrap();
    assert!(settle(&mut replica).messages.is_empty());

    replica.step(ack(TWO, 1, 1)).unwrap();
    let out = settle(&mut replica);
    // One heartbeat asks for both.
    let context = out.of(MessageKind::Heartbeat, TWO).context.clone();
    assert_eq!(out.messages.iter().filter(|m| m.kind == MessageKind::Heartbeat).count(), 2);
    replica.step(Message { context, ..from(TWO, MessageKind::HeartbeatResponse, 1) }).unwrap();
    let out = settle(&mut replica);
    assert_eq!(out.reads, [ReadState { context: "mine".into(), index: LogIndex(1) }]);
    let answer = out.of(MessageKind::ReadIndexResponse, THREE);
    assert_eq!((&answer.entries[0].data[..], answer.index.0), (&b"theirs"[..], 1));
}

#[test]
fn a_removed_leader_survives_late_acknowledgements() {
    let mut replica = leader();
    let remove =
        ConfChange { kind: crate::ConfChangeKind::RemoveNode, member: ME, ..ConfChange::default() };
    replica.propose_conf_change(&remove).unwrap();
    replica.propose("behind it".into()).unwrap();
    let pending = replica.ready().unwrap();
    replica.step(ack(TWO, 1, 2)).unwrap();
    replica.step(ack(THREE, 1, 2)).unwrap();
    replica.log_persisted(pending.number);
    let ready = replica.ready().unwrap();
    assert_eq!(ready.committed[0].index, LogIndex(2));
    replica.propose("more".into()).unwrap();
    let more = replica.ready().unwrap();
    replica.apply_conf_change(LogIndex(2), &remove).unwrap();
    replica.applied_to(LogIndex(2));
    assert_eq!(replica.role(), Role::Follower);
    replica.log_persisted(more.number);
    for peer in [TWO, THREE] {
        replica.step(ack(peer, 1, 4)).unwrap();
    }
    settle(&mut replica);
    assert_eq!(replica.campaign(), Err(LeadError::NotVoter(ME)));
}

#[test]
fn a_lone_voter_speaks_only_when_its_vote_is_durable() {
    let mut replica = group(&[1], &[2]);
    replica.campaign().unwrap();
    assert_eq!(replica.role(), Role::Leader);
    let first = replica.ready().unwrap();
    assert_eq!(first.hard_state.unwrap().vote, ME);
    assert!(first.messages.is_empty());
    // Nor does anything later overtake it.
    replica.tick();
    let second = replica.ready().unwrap();
    assert!(second.messages.is_empty());
    let held = first.messages_after_persist.iter().chain(&second.messages_after_persist);
    let held: Vec<_> = held.map(|message| message.kind).collect();
    assert_eq!(held, [MessageKind::Append, MessageKind::Heartbeat]);
    replica.log_persisted(second.number);
    replica.propose("x".into()).unwrap();
    replica.step(ack(TWO, 1, 0)).unwrap();
    settle(&mut replica);
    replica.tick();
    let ready = replica.ready().unwrap();
    assert!(!ready.messages.is_empty());
}

#[test]
fn a_lone_voter_does_not_elect_itself_over_an_unsynced_log() {
    let remove = ConfChange {
        kind: crate::ConfChangeKind::RemoveNode,
        member: TWO,
        ..ConfChange::default()
    };
    let mut replica = group(&[1, 2], &[]);
    replica.step(append(1, 0, 0, vec![change_entry(1, 1, &remove)], 1)).unwrap();
    replica.step(append(1, 1, 1, vec![entry(2, 1, "x")], 1)).unwrap();
    // The change is durable and applied, the entry behind it is being written.
    let ready = replica.ready().unwrap();
    replica.log_persisted(ready.number);
    replica.step(append(1, 2, 1, vec![entry(3, 1, "y")], 1)).unwrap();
    let unsynced = replica.ready().unwrap();
    assert_eq!(unsynced.entries.len(), 1);
    replica.apply_conf_change(LogIndex(1), &remove).unwrap();
    replica.applied_to(LogIndex(1));
    assert_eq!(replica.conf_state(), conf(&[1], &[]));
    assert_eq!(replica.campaign(), Err(LeadError::NotReady));
    for _ in 0..100 {
        replica.tick();
    }
    assert_eq!(replica.role(), Role::Follower);
    replica.log_persisted(unsynced.number);
    replica.tick();
    assert_eq!(replica.role(), Role::Leader);
    settle(&mut replica);
    assert_eq!(replica.commit(), LogIndex(4));
}

#[test]
fn a_vote_that_overtakes_the_news_of_the_disk_is_not_counted() {
    let mut replica = group(&[1, 2, 3], &[]);
    replica.step(append(1, 0, 0, vec![entry(1, 1, "x")], 0)).unwrap();
    let unsynced = replica.ready().unwrap();
    replica.campaign().unwrap();
    replica.step(from(TWO, MessageKind::PreVoteResponse, 2)).unwrap();
    assert_eq!(replica.role(), Role::Candidate);
    let asks = replica.ready().unwrap();
    assert!(asks.messages.is_empty());
    replica.step(from(TWO, MessageKind::VoteResponse, 2)).unwrap();
    assert_eq!(replica.role(), Role::Candidate);
    assert!(unsynced.number < asks.number);
    replica.log_persisted(asks.number);
    replica.step(from(THREE, MessageKind::VoteResponse, 2)).unwrap();
    assert_eq!(replica.role(), Role::Leader);
}

#[test]
fn nobody_campaigns_while_a_snapshot_is_installed() {
    let mut replica = group(&[1, 2, 3], &[]);
    let snapshot = SnapshotMeta {
        conf_state: conf(&[1, 2, 3], &[]),
        index: LogIndex(20),
        term: Term(1),
        data: Bytes::new(),
    };
    let message = from(TWO, MessageKind::Snapshot, 1);
    replica.step(Message { snapshot: Some(snapshot), ..message }).unwrap();
    for _ in 0..3 {
        assert_eq!(replica.campaign(), Err(LeadError::NotReady));
        for _ in 0..50 {
            replica.tick();
        }
        assert_eq!(replica.role(), Role::Follower);
        if let Some(ready) = replica.ready() {
            replica.log_persisted(ready.number);
        }
    }
    replica.applied_to(LogIndex(20));
    replica.tick();
    assert_eq!(replica.role(), Role::PreCandidate);
}

#[test]
fn a_snapshot_overtakes_configuration_changes_that_wait_to_be_applied() {
    let learner = ConfChange {
        kind: crate::ConfChangeKind::AddLearnerNode,
        member: MemberId(4),
        ..ConfChange::default()
    };
    let mut replica = group(&[1, 2, 3], &[]);
    replica.step(append(1, 0, 0, vec![change_entry(1, 1, &learner)], 1)).unwrap();
    settle_messages(&mut replica);
    // By entry 20 the learner has become a voter.
    let later = conf(&[1, 2, 3, 4], &[]);
    let snapshot = SnapshotMeta {
        conf_state: later.clone(),
        index: LogIndex(20),
        term: Term(1),
        data: Bytes::new(),
    };
    let message = from(TWO, MessageKind::Snapshot, 1);
    replica.step(Message { snapshot: Some(snapshot), ..message }).unwrap();
    let (index, by) = (LogIndex(1), LogIndex(20));
    let superseded = Err(crate::ApplyConfChangeError::Superseded { index, by });
    assert_eq!(replica.apply_conf_change(index, &learner), superseded);
    settle_messages(&mut replica);
    assert_eq!(replica.apply_conf_change(index, &learner), superseded);
    assert_eq!(replica.conf_state(), later);
}
