//! What must hold in every run, whatever the network and the disks do.

use drystone_raft::{Ready, Replica, Role};
use drystone_types::{ConfState, Entry, EntryKind, HardState, LogIndex, Term};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The state machine: a running hash of all it was given, and the membership.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Store {
    pub(crate) index: LogIndex,
    pub(crate) term: Term,
    pub(crate) chain: u64,
    pub(crate) conf: ConfState,
    pub(crate) removed: Vec<u64>,
}

impl Store {
    pub(crate) fn apply(&mut self, entry: &Entry) {
        assert_eq!(entry.index, self.index.next(), "entries are applied in order");
        let mut hasher = DefaultHasher::new();
        (self.chain, entry.index, entry.term, entry.kind as u8, &entry.data).hash(&mut hasher);
        self.chain = hasher.finish();
        (self.index, self.term) = (entry.index, entry.term);
    }
}

/// What the run has shown so far.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    leaders: BTreeMap<u64, u64>,
    committed: BTreeMap<u64, (u64, EntryKind, bytes::Bytes)>,
    stores: BTreeMap<u64, Store>,
    pub(crate) reads_confirmed: u64,
    pub(crate) elections: u64,
    pub(crate) snapshots: u64,
}

impl Checks {
    /// The newest entry that anybody was told is committed: no client can have heard of more.
    pub(crate) fn newest_commit(&self) -> u64 {
        self.committed.last_key_value().map_or(0, |(index, _)| *index)
    }

    /// A term has one leader, and what is committed stays so.
    pub(crate) fn ready(&mut self, id: u64, replica: &Replica, ready: &Ready) {
        let status = replica.status();
        if status.role == Role::Leader {
            let before = self.leaders.insert(status.term.0, id);
            assert!(before.is_none_or(|other| other == id), "two leaders of term {}", status.term);
            if before.is_none() {
                self.elections += 1;
            }
        }
        for peer in &status.peers {
            assert!(peer.next > peer.matched, "{peer:?}");
        }
        for entry in &ready.committed {
            let (index, kind, data) = (entry.index.0, entry.kind, entry.data.clone());
            let this = (entry.term.0, kind, data);
            let known = self.committed.entry(index).or_insert_with(|| this.clone());
            assert_eq!(*known, this, "entry {index} was committed as something else");
        }
    }

    /// Terms and commits only rise on a disk, and a vote is given once.
    pub(crate) fn hard_state(before: HardState, after: HardState) {
        assert!(after.term >= before.term && after.commit >= before.commit);
        if after.term == before.term && before.vote.0 != 0 {
            assert_eq!(after.vote, before.vote, "a vote was changed within a term");
        }
    }

    /// Equal logs give equal stores.
    pub(crate) fn store(&mut self, store: &Store) {
        let known = self.stores.entry(store.index.0).or_insert_with(|| store.clone());
        assert_eq!(known, store, "stores differ at entry {}", store.index);
    }

    pub(crate) fn store_at(&self, index: LogIndex) -> Store {
        self.stores[&index.0].clone()
    }

    /// A read sees everything that was acknowledged before it began.
    pub(crate) fn read(&mut self, floor: u64, index: LogIndex) {
        assert!(index.0 >= floor, "read at {index}, but {floor} was acknowledged before it began");
        self.reads_confirmed += 1;
    }
}
