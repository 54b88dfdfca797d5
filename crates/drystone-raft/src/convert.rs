//! Between this crate's plain types and the core's protobuf ones.
//!
//! The core decodes the data of a proposed configuration change, with an enum that lacks
//! etcd's `UpdateNode` and numbers learners differently. So it never sees those bytes: they
//! ride in the entry's `context`, which the core carries and never reads, and `data` stays
//! empty, which decodes as a change that does nothing. On the way out they change back; what
//! is stored and sent is what was proposed, byte for byte.

use crate::message::{Message, MessageKind, SnapshotMeta};
use drystone_types::{ConfState, Entry, EntryKind, HardState, LogIndex, MemberId, Term};
use raft::eraftpb as pb;

pub(crate) fn entry_in(entry: Entry) -> pb::Entry {
    let mut out = pb::Entry { term: entry.term.0, index: entry.index.0, ..pb::Entry::default() };
    match entry.kind {
        EntryKind::Normal => out.data = entry.data,
        EntryKind::ConfChange => {
            out.set_entry_type(pb::EntryType::EntryConfChange);
            out.context = entry.data;
        }
        EntryKind::ConfChangeV2 => {
            out.set_entry_type(pb::EntryType::EntryConfChangeV2);
            out.context = entry.data;
        }
    }
    out
}

pub(crate) fn entry_out(entry: pb::Entry) -> Entry {
    let (kind, data) = match entry.get_entry_type() {
        pb::EntryType::EntryNormal => (EntryKind::Normal, entry.data),
        pb::EntryType::EntryConfChange => (EntryKind::ConfChange, entry.context),
        pb::EntryType::EntryConfChangeV2 => (EntryKind::ConfChangeV2, entry.context),
    };
    Entry { term: Term(entry.term), index: LogIndex(entry.index), kind, data }
}

pub(crate) fn entries_out(entries: impl IntoIterator<Item = pb::Entry>) -> Vec<Entry> {
    entries.into_iter().map(entry_out).collect()
}

pub(crate) fn hard_state_in(state: HardState) -> pb::HardState {
    pb::HardState {
        term: state.term.0,
        vote: state.vote.0,
        commit: state.commit.0,
        ..pb::HardState::default()
    }
}

pub(crate) fn hard_state_out(state: &pb::HardState) -> HardState {
    HardState { term: Term(state.term), vote: MemberId(state.vote), commit: LogIndex(state.commit) }
}

fn ids_in(ids: &[MemberId]) -> Vec<u64> {
    let mut out: Vec<_> = ids.iter().map(|id| id.0).collect();
    out.sort_unstable();
    out
}

fn ids_out(ids: &[u64]) -> Vec<MemberId> {
    let mut out: Vec<_> = ids.iter().copied().map(MemberId).collect();
    out.sort_unstable();
    out
}

pub(crate) fn conf_state_in(conf: &ConfState) -> pb::ConfState {
    pb::ConfState {
        voters: ids_in(&conf.voters),
        learners: ids_in(&conf.learners),
        ..pb::ConfState::default()
    }
}

pub(crate) fn conf_state_out(conf: &pb::ConfState) -> ConfState {
    ConfState { voters: ids_out(&conf.voters), learners: ids_out(&conf.learners) }
}

pub(crate) fn snapshot_in(snapshot: &SnapshotMeta) -> pb::Snapshot {
    let mut out = pb::Snapshot { data: snapshot.data.clone(), ..pb::Snapshot::default() };
    let metadata = out.mut_metadata();
    metadata.index = snapshot.index.0;
    metadata.term = snapshot.term.0;
    metadata.set_conf_state(conf_state_in(&snapshot.conf_state));
    out
}

pub(crate) fn snapshot_out(mut snapshot: pb::Snapshot) -> SnapshotMeta {
    let metadata = snapshot.take_metadata();
    SnapshotMeta {
        conf_state: conf_state_out(metadata.get_conf_state()),
        index: LogIndex(metadata.index),
        term: Term(metadata.term),
        data: snapshot.data,
    }
}

pub(crate) fn message_in(message: Message) -> pb::Message {
    let mut out = pb::Message::default();
    out.set_msg_type(kind_in(message.kind));
    out.to = message.to.0;
    out.from = message.from.0;
    out.term = message.term.0;
    out.log_term = message.log_term.0;
    out.index = message.index.0;
    out.entries = message.entries.into_iter().map(entry_in).collect();
    out.commit = message.commit.0;
    out.reject = message.reject;
    out.reject_hint = message.reject_hint.0;
    out.context = message.context;
    if message.kind == MessageKind::Snapshot
        && let Some(snapshot) = &message.snapshot
    {
        out.set_snapshot(snapshot_in(snapshot));
    }
    out
}

/// `commit_term`, priorities and snapshot requests stay behind: etcd does not know them, and
/// this crate never sets what would make them matter.
pub(crate) fn message_out(mut message: pb::Message) -> Message {
    let snapshot = message.has_snapshot().then(|| snapshot_out(message.take_snapshot()));
    Message {
        kind: kind_out(message.get_msg_type()),
        to: MemberId(message.to),
        from: MemberId(message.from),
        term: Term(message.term),
        log_term: Term(message.log_term),
        index: LogIndex(message.index),
        entries: entries_out(message.take_entries()),
        commit: LogIndex(message.commit),
        snapshot,
        reject: message.reject,
        reject_hint: LogIndex(message.reject_hint),
        context: message.context,
    }
}

macro_rules! kinds {
    ($($ours:ident = $theirs:ident,)*) => {
        fn kind_in(kind: MessageKind) -> pb::MessageType {
            match kind {
                $(MessageKind::$ours => pb::MessageType::$theirs,)*
            }
        }

        fn kind_out(kind: pb::MessageType) -> MessageKind {
            match kind {
                $(pb::MessageType::$theirs => MessageKind::$ours,)*
            }
        }
    };
}

kinds! {
    Hup = MsgHup,
    Beat = MsgBeat,
    Propose = MsgPropose,
    Append = MsgAppend,
    AppendResponse = MsgAppendResponse,
    Vote = MsgRequestVote,
    VoteResponse = MsgRequestVoteResponse,
    Snapshot = MsgSnapshot,
    Heartbeat = MsgHeartbeat,
    HeartbeatResponse = MsgHeartbeatResponse,
    Unreachable = MsgUnreachable,
    SnapshotStatus = MsgSnapStatus,
    CheckQuorum = MsgCheckQuorum,
    TransferLeader = MsgTransferLeader,
    TimeoutNow = MsgTimeoutNow,
    ReadIndex = MsgReadIndex,
    ReadIndexResponse = MsgReadIndexResp,
    PreVote = MsgRequestPreVote,
    PreVoteResponse = MsgRequestPreVoteResponse,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_numbers_are_those_of_the_wire() {
        for kind in MessageKind::ALL {
            assert_eq!(kind_in(kind) as u64, kind as u64);
            assert_eq!(kind_out(kind_in(kind)), kind);
            assert_eq!(MessageKind::from_number(kind as u64), Some(kind));
        }
        assert_eq!(MessageKind::from_number(19), None);
    }

    #[test]
    fn a_change_that_the_core_cannot_read_goes_through_unchanged() {
        // Type 3 and 2 in etcd's numbers, which the core lacks or reads as something else.
        for data in [&[0x10, 3, 0x18, 9][..], &[0x10, 2, 0x18, 9]] {
            let entry = Entry {
                term: Term(2),
                index: LogIndex(5),
                kind: EntryKind::ConfChange,
                data: bytes::Bytes::copy_from_slice(data),
            };
            let inside = entry_in(entry.clone());
            assert!(inside.data.is_empty());
            assert_eq!(entry_out(inside), entry);
        }
    }
}
