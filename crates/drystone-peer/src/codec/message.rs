//! One raft message to etcd's `raftpb` bytes and back.

use bytes::{Bytes, BytesMut};
use drystone_api::raftpb;
use drystone_raft::{Message, MessageKind, SnapshotMeta};
use drystone_types::{ConfState, Entry, EntryKind, LogIndex, MemberId, Term};
use prost::Message as _;

/// Entries that a message may have beside those its length pays for: proposals and reads have
/// neither term nor index, so that theirs may take no bytes at all.
const ENTRIES_FREE: usize = 64;
/// Fewest bytes of an entry that is in a log.
const ENTRY_BYTES_MIN: usize = 6;

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Not `raftpb`.
    #[error("not a raftpb message")]
    Undecodable(#[from] prost::DecodeError),
    /// Not `raftpb` as far as its outermost fields go.
    #[error("a raftpb message with a broken field")]
    BrokenField,
    /// More entries than its bytes can hold.
    #[error("{0} entries in {1} bytes")]
    Entries(usize, usize),
    /// A message type that does not travel, or not on this stream.
    #[error("message type {0} has no place here")]
    Kind(i32),
    /// An entry type that raftpb does not have.
    #[error("unknown entry type {0}")]
    EntryKind(i32),
    /// A snapshot taken amid a joint change, which etcd's membership never makes.
    #[error("a snapshot with a joint configuration")]
    Joint,
}

/// Appends the bytes of one message, without its length, and says how many there are.
pub fn encode_message(message: &Message, out: &mut BytesMut) -> usize {
    append(&to_wire(message), out)
}

pub(super) fn encode_entry(entry: &Entry, out: &mut BytesMut) -> usize {
    append(&entry_to_wire(entry), out)
}

fn append(wire: &impl prost::Message, out: &mut BytesMut) -> usize {
    let length = wire.encoded_len();
    out.reserve(length);
    wire.encode(out).expect("a growing buffer has room");
    length
}

/// Reads one message that fills `bytes`. The data of entries shares their memory.
///
/// Says nothing about sense: [`Message::check`] does.
///
/// # Errors
/// The bytes are no message of a peer.
pub fn decode_message(bytes: Bytes) -> Result<Message, MessageError> {
    check_entry_count(&bytes)?;
    from_wire(raftpb::Message::decode(bytes)?)
}

pub(super) fn decode_entry(bytes: Bytes) -> Result<Entry, MessageError> {
    entry_from_wire(raftpb::Entry::decode(bytes)?)
}

/// Roughly the memory that a message keeps alive.
#[must_use]
pub fn message_bytes(message: &Message) -> usize {
    let entry_bytes = |entry: &Entry| entry.data.len() + size_of::<Entry>();
    let entries = message.entries.iter().map(entry_bytes).sum::<usize>();
    let snapshot = message.snapshot.as_ref().map_or(0, |snapshot| {
        snapshot.data.len()
            + 8 * (snapshot.conf_state.voters.len() + snapshot.conf_state.learners.len())
    });
    size_of::<Message>() + message.context.len() + entries + snapshot
}

/// Whether a frame is a heartbeat of the link and not of raft: from nobody to nobody. Etcd up
/// to 3.6 writes all its fields, later ones only the type.
pub(super) fn is_link_heartbeat(bytes: &Bytes) -> bool {
    // The long form has a few dozen bytes; a real message names its sender in the first ten.
    const LONG_FORM_BYTES_MAX: usize = 128;
    if bytes.len() > LONG_FORM_BYTES_MAX {
        return false;
    }
    if bytes.as_ref() == [8, 8] {
        return true;
    }
    raftpb::Message::decode(bytes.clone()).is_ok_and(|message| {
        message.r#type == raftpb::MessageType::MsgHeartbeat as i32
            && message.from == 0
            && message.to == 0
    })
}

/// The message that the short form of a msgapp stream stands for.
pub(super) fn append_of(
    from: MemberId,
    to: MemberId,
    term: Term,
    index: LogIndex,
    entries: Vec<Entry>,
    commit: LogIndex,
) -> Message {
    let mut message = Message::new(MessageKind::Append, from, to, term);
    message.log_term = term;
    message.index = index;
    message.entries = entries;
    message.commit = commit;
    message
}

fn to_wire(message: &Message) -> raftpb::Message {
    raftpb::Message {
        r#type: i32::from(message.kind as u8),
        to: message.to.0,
        from: message.from.0,
        term: message.term.0,
        log_term: message.log_term.0,
        index: message.index.0,
        entries: message.entries.iter().map(entry_to_wire).collect(),
        commit: message.commit.0,
        snapshot: message.snapshot.as_ref().map(snapshot_to_wire),
        reject: message.reject,
        reject_hint: message.reject_hint.0,
        context: message.context.clone(),
    }
}

fn entry_to_wire(entry: &Entry) -> raftpb::Entry {
    raftpb::Entry {
        term: entry.term.0,
        index: entry.index.0,
        r#type: i32::from(entry.kind as u8),
        data: entry.data.clone(),
    }
}

fn snapshot_to_wire(snapshot: &SnapshotMeta) -> raftpb::Snapshot {
    let ids = |ids: &[MemberId]| ids.iter().map(|id| id.0).collect();
    let conf_state = raftpb::ConfState {
        voters: ids(&snapshot.conf_state.voters),
        learners: ids(&snapshot.conf_state.learners),
        ..raftpb::ConfState::default()
    };
    let metadata = raftpb::SnapshotMetadata {
        conf_state: Some(conf_state),
        index: snapshot.index.0,
        term: snapshot.term.0,
    };
    raftpb::Snapshot { data: snapshot.data.clone(), metadata: Some(metadata) }
}

fn from_wire(wire: raftpb::Message) -> Result<Message, MessageError> {
    let number = wire.r#type;
    let kind = u64::try_from(number).ok().and_then(MessageKind::from_number);
    let kind = kind.filter(|kind| !kind.is_local()).ok_or(MessageError::Kind(number))?;
    // Etcd up to 3.5 puts an empty snapshot into every message.
    let snapshot = wire.snapshot.filter(|_| kind == MessageKind::Snapshot);
    Ok(Message {
        kind,
        to: MemberId(wire.to),
        from: MemberId(wire.from),
        term: Term(wire.term),
        log_term: Term(wire.log_term),
        index: LogIndex(wire.index),
        entries: wire.entries.into_iter().map(entry_from_wire).collect::<Result<_, _>>()?,
        commit: LogIndex(wire.commit),
        snapshot: snapshot.map(snapshot_from_wire).transpose()?,
        reject: wire.reject,
        reject_hint: LogIndex(wire.reject_hint),
        context: wire.context,
    })
}

fn entry_from_wire(wire: raftpb::Entry) -> Result<Entry, MessageError> {
    let kind = u8::try_from(wire.r#type).ok().and_then(EntryKind::from_number);
    Ok(Entry {
        term: Term(wire.term),
        index: LogIndex(wire.index),
        kind: kind.ok_or(MessageError::EntryKind(wire.r#type))?,
        data: wire.data,
    })
}

fn snapshot_from_wire(wire: raftpb::Snapshot) -> Result<SnapshotMeta, MessageError> {
    let metadata = wire.metadata.unwrap_or_default();
    let conf = metadata.conf_state.unwrap_or_default();
    if conf.auto_leave || !conf.voters_outgoing.is_empty() || !conf.learners_next.is_empty() {
        return Err(MessageError::Joint);
    }
    let ids = |ids: Vec<u64>| {
        let mut ids = ids.into_iter().map(MemberId).collect::<Vec<_>>();
        ids.sort_unstable();
        ids
    };
    Ok(SnapshotMeta {
        conf_state: ConfState { voters: ids(conf.voters), learners: ids(conf.learners) },
        index: LogIndex(metadata.index),
        term: Term(metadata.term),
        data: wire.data,
    })
}

/// An entry in memory is larger than a small one on the wire: counts them before they are
/// made, so that what is allocated stays in proportion to what arrived.
fn check_entry_count(bytes: &[u8]) -> Result<(), MessageError> {
    let (mut rest, mut entries) = (bytes, 0_usize);
    while !rest.is_empty() {
        let key = take_varint(&mut rest)?;
        let skip = match key & 7 {
            0 => {
                take_varint(&mut rest)?;
                0
            }
            1 => 8,
            2 => usize::try_from(take_varint(&mut rest)?).map_err(|_| MessageError::BrokenField)?,
            5 => 4,
            _ => return Err(MessageError::BrokenField),
        };
        rest = rest.get(skip..).ok_or(MessageError::BrokenField)?;
        if key >> 3 == 7 {
            entries += 1;
        }
    }
    if entries > ENTRIES_FREE + bytes.len() / ENTRY_BYTES_MIN {
        return Err(MessageError::Entries(entries, bytes.len()));
    }
    Ok(())
}

fn take_varint(bytes: &mut &[u8]) -> Result<u64, MessageError> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or(MessageError::BrokenField)?;
        *bytes = rest;
        value |= u64::from(first & 0x7f).checked_shl(shift).unwrap_or(0);
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(MessageError::BrokenField)
}
