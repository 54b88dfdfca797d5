//! No message whatever, in any state, makes a replica panic.

use super::*;
use crate::conf_change::check_membership;
use crate::message::NUMBER_MAX;
use crate::message::tests::any_message;
use proptest::prelude::*;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum Op {
    /// A message, and which of its fields are made to fit the replica.
    Step(Box<Message>, u8),
    Tick(u8),
    Propose,
    Change(u64, u8),
    Read,
    Campaign,
    Transfer(u64),
    StepDown,
    Report(u64, u8),
    Ready,
    Persist,
    Apply,
    Compact,
    Offer,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        24 => (any_message(), 0..64_u8)
            .prop_map(|(message, fit)| Op::Step(Box::new(message), fit)),
        3 => (1..20_u8).prop_map(Op::Tick),
        2 => Just(Op::Propose),
        1 => (0..6_u64, 0..4_u8).prop_map(|(id, kind)| Op::Change(id, kind)),
        1 => Just(Op::Read),
        2 => Just(Op::Campaign),
        1 => (0..5_u64).prop_map(Op::Transfer),
        1 => Just(Op::StepDown),
        1 => (0..5_u64, 0..3_u8).prop_map(|(id, what)| Op::Report(id, what)),
        6 => Just(Op::Ready),
        5 => Just(Op::Persist),
        5 => Just(Op::Apply),
        2 => Just(Op::Compact),
        1 => Just(Op::Offer),
    ]
}

/// A member that does its work whenever it is told to, and never out of turn.
struct Member {
    replica: Replica,
    writing: VecDeque<u64>,
    applying: VecDeque<Entry>,
    applied: LogIndex,
}

impl Member {
    fn do_it(&mut self, op: Op) {
        let replica = &mut self.replica;
        match op {
            Op::Step(mut message, fit) => {
                make_fit(replica, &mut message, fit);
                let _ = replica.step(*message);
            }
            Op::Tick(times) => (0..times).for_each(|_| replica.tick()),
            Op::Propose => drop(replica.propose("x".into())),
            Op::Change(id, kind) => {
                let kind = crate::ConfChangeKind::from_number(u64::from(kind)).unwrap();
                let change = ConfChange { kind, member: MemberId(id), ..ConfChange::default() };
                let _ = replica.propose_conf_change(&change);
            }
            Op::Read => drop(replica.read_index("r".into())),
            Op::Campaign => drop(replica.campaign()),
            Op::Transfer(id) => drop(replica.transfer_leader(MemberId(id))),
            Op::StepDown => replica.step_down(),
            Op::Report(id, 0) => replica.report_unreachable(MemberId(id)),
            Op::Report(id, what) => replica.report_snapshot(MemberId(id), what == 1),
            Op::Ready => self.ready(),
            Op::Persist => {
                if let Some(number) = self.writing.pop_front() {
                    replica.log_persisted(number);
                }
            }
            Op::Apply => self.apply(),
            Op::Compact => replica.compact_log(self.applied),
            Op::Offer => {
                let index = self.applied;
                let term = replica.term_at(index).unwrap_or_default();
                let (conf_state, data) = (replica.conf_state(), Bytes::new());
                let snapshot = crate::SnapshotMeta { conf_state, index, term, data };
                let _ = replica.offer_snapshot(snapshot, &members(&[0, 1, 2, 3, 4]));
            }
        }
    }

    fn ready(&mut self) {
        let Some(ready) = self.replica.ready() else { return };
        self.writing.push_back(ready.number);
        if let Some(snapshot) = ready.snapshot {
            self.applying.clear();
            self.applied = snapshot.index;
            self.replica.applied_to(snapshot.index);
        }
        for message in ready.messages.iter().chain(&ready.messages_after_persist) {
            let to = message.to;
            let forwarded = message.kind.is_termless();
            assert!(message.from == ME || forwarded, "{message:?}");
            // What it sends is what it would take; but it counts on from the largest numbers.
            let large = [message.term.0, message.index.0, message.commit.0];
            if !message.kind.is_termless() && large.iter().all(|n| *n < NUMBER_MAX) {
                assert_eq!(message.check(to), Ok(()), "{message:?}");
            }
        }
        self.applying.extend(ready.committed);
    }

    fn apply(&mut self) {
        let Some(entry) = self.applying.pop_front() else { return };
        if entry.kind == EntryKind::ConfChange {
            let change = ConfChange::decode(&entry.data).unwrap();
            let _ = self.replica.apply_conf_change(entry.index, &change);
        }
        self.applied = entry.index;
        self.replica.applied_to(entry.index);
    }
}

/// Random messages are mostly refused; those that nearly fit go deeper.
fn make_fit(replica: &Replica, message: &mut Message, fit: u8) {
    let yes = |bit: u8| fit & (1 << bit) != 0;
    message.to = ME;
    if yes(0) && !message.kind.is_termless() {
        let ahead = u64::from(matches!(message.kind, MessageKind::PreVoteResponse));
        message.term = Term(replica.term().0 + ahead);
    }
    if yes(1)
        && let Some(leader) = replica.leader()
        && leader != ME
    {
        message.from = leader;
    }
    if yes(2) {
        let last = replica.last_index();
        message.index = message.index.min(last);
        message.commit = message.commit.min(last);
        let appends = message.kind == MessageKind::Append;
        message.log_term = match replica.term_at(message.index) {
            Some(term) if appends => term,
            _ => message.log_term.min(message.term),
        };
    }
    if yes(3) {
        let mut floor = message.log_term.max(Term(1));
        for (at, entry) in message.entries.iter_mut().enumerate() {
            entry.index = LogIndex(message.index.0.wrapping_add(1 + at as u64));
            floor = entry.term.min(message.term).max(floor);
            entry.term = floor;
            if entry.kind == EntryKind::ConfChangeV2 {
                entry.kind = EntryKind::Normal;
            }
        }
    }
    if yes(4) {
        match message.kind {
            MessageKind::Append | MessageKind::Propose => {}
            MessageKind::ReadIndex | MessageKind::ReadIndexResponse => {
                message.entries = vec![Entry { data: "context".into(), ..Entry::default() }];
            }
            _ => message.entries.clear(),
        }
    }
    if yes(5) && message.kind != MessageKind::Snapshot {
        message.snapshot = None;
    }
}

fn check(member: &Member) {
    let status = member.replica.status();
    for peer in &status.peers {
        assert!(peer.next > peer.matched, "{peer:?}");
    }
    assert!(status.applied <= status.commit && status.commit <= status.last, "{status:?}");
    check_membership(&member.replica.conf_state()).unwrap();
}

fn begin(shape: u8) -> Replica {
    match shape {
        0 => group(&[], &[]),
        1 => group(&[1], &[2]),
        2 => leader(),
        3 => {
            let mut replica = group(&[1, 2, 3], &[4]);
            let entries = vec![entry(1, 1, "a"), entry(2, 2, "b"), entry(3, 2, "c")];
            replica.step(append(2, 0, 0, entries, 2)).unwrap();
            settle(&mut replica);
            replica
        }
        4 => group(&[2, 3], &[1]),
        _ => {
            let mut replica = group(&[1, 2, 3], &[]);
            replica.campaign().unwrap();
            replica
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn no_message_makes_a_replica_panic(
        shape in 0..6_u8,
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let (writing, applying) = (VecDeque::new(), VecDeque::new());
        let replica = begin(shape);
        let applied = replica.status().applied;
        let mut member = Member { replica, writing, applying, applied };
        for op in ops {
            member.do_it(op);
            check(&member);
        }
    }
}

fn cases() -> u32 {
    let set = std::env::var("PROPTEST_CASES").ok();
    set.and_then(|cases| cases.parse().ok()).unwrap_or(600)
}
