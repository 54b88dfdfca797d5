//! One replica, message by message: each flaw of the core by its name, and the replica's own
//! promises.

mod flaws;
mod fuzz;
mod promises;

use super::*;
use crate::conf_change::ConfChange;
use crate::message::{Message, MessageKind};
use bytes::Bytes;
use drystone_types::EntryKind;
use rand::SeedableRng;
use rand::rngs::SmallRng;

const ME: MemberId = MemberId(1);
const TWO: MemberId = MemberId(2);
const THREE: MemberId = MemberId(3);

fn members(ids: &[u64]) -> Vec<MemberId> {
    ids.iter().copied().map(MemberId).collect()
}

fn conf(voters: &[u64], learners: &[u64]) -> ConfState {
    ConfState { voters: members(voters), learners: members(learners) }
}

fn entry(index: u64, term: u64, data: &'static str) -> Entry {
    let (term, index, data) = (Term(term), LogIndex(index), data.into());
    Entry { term, index, data, kind: EntryKind::Normal }
}

fn change_entry(index: u64, term: u64, change: &ConfChange) -> Entry {
    let (term, index, data) = (Term(term), LogIndex(index), change.encode());
    Entry { term, index, data, kind: EntryKind::ConfChange }
}

fn start(config: Config, recovered: Recovered) -> Replica {
    Replica::new(config, recovered, Box::new(SmallRng::seed_from_u64(1))).unwrap()
}

fn group(voters: &[u64], learners: &[u64]) -> Replica {
    let recovered = Recovered { conf_state: conf(voters, learners), ..Recovered::default() };
    start(Config::new(ME), recovered)
}

/// What came out while everything that was to be done was done at once.
#[derive(Default)]
struct Out {
    messages: Vec<Message>,
    reads: Vec<ReadState>,
    dropped: Vec<Bytes>,
    committed: Vec<Entry>,
    wanted: Vec<MemberId>,
}

impl Out {
    fn kinds(&self) -> Vec<MessageKind> {
        self.messages.iter().map(|message| message.kind).collect()
    }

    fn of(&self, kind: MessageKind, to: MemberId) -> &Message {
        let mut found = self.messages.iter().filter(|m| m.kind == kind && m.to == to);
        found.next().unwrap_or_else(|| panic!("no {kind:?} to {to} in {:?}", self.messages))
    }
}

/// Syncs and applies at once whatever there is to do.
fn settle(replica: &mut Replica) -> Out {
    let mut out = Out::default();
    while let Some(mut ready) = replica.ready() {
        out.messages.append(&mut ready.messages);
        replica.log_persisted(ready.number);
        out.messages.append(&mut ready.messages_after_persist);
        if let Some(snapshot) = &ready.snapshot {
            replica.applied_to(snapshot.index);
        }
        for entry in &ready.committed {
            if entry.kind == EntryKind::ConfChange {
                let change = ConfChange::decode(&entry.data).unwrap();
                let _ = replica.apply_conf_change(entry.index, &change);
            }
            replica.applied_to(entry.index);
        }
        out.committed.append(&mut ready.committed);
        out.reads.append(&mut ready.read_states);
        out.dropped.append(&mut ready.reads_dropped);
        out.wanted.append(&mut ready.snapshots_wanted);
    }
    out
}

fn from(peer: MemberId, kind: MessageKind, term: u64) -> Message {
    Message::new(kind, peer, ME, Term(term))
}

fn ack(peer: MemberId, term: u64, index: u64) -> Message {
    Message { index: LogIndex(index), ..from(peer, MessageKind::AppendResponse, term) }
}

fn append(term: u64, index: u64, log_term: u64, entries: Vec<Entry>, commit: u64) -> Message {
    let (index, log_term, commit) = (LogIndex(index), Term(log_term), LogIndex(commit));
    Message { index, log_term, entries, commit, ..from(TWO, MessageKind::Append, term) }
}

/// Makes the replica leader of the next term, with the votes of `peers`.
fn elect(replica: &mut Replica, peers: &[MemberId]) -> Out {
    replica.campaign().unwrap();
    let term = replica.term().0 + 1;
    for kind in [MessageKind::PreVoteResponse, MessageKind::VoteResponse] {
        settle(replica);
        for peer in peers {
            replica.step(from(*peer, kind, term)).unwrap();
        }
    }
    assert_eq!(replica.role(), Role::Leader);
    settle(replica)
}

/// A leader of three at term 1 whose first entry is committed.
fn leader() -> Replica {
    let mut replica = group(&[1, 2, 3], &[]);
    elect(&mut replica, &[TWO]);
    for peer in [TWO, THREE] {
        replica.step(ack(peer, 1, 1)).unwrap();
    }
    settle(&mut replica);
    assert_eq!(replica.commit(), LogIndex(1));
    replica
}

fn peer(replica: &Replica, id: MemberId) -> PeerStatus {
    *replica.status().peers.iter().find(|peer| peer.id == id).unwrap()
}
