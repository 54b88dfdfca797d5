//! The msgappv2 stream: appends that follow one another leave out what the last one said.
//!
//! The rules are those of etcd's `rafthttp/msgappv2_codec.go`.

use super::message::{append_of, decode_entry, decode_message, encode_entry, encode_message};
use super::{CodecError, Item, take_length};
use bytes::{Buf, BufMut, BytesMut};
use drystone_raft::{Message, MessageKind};
use drystone_types::{Entry, LogIndex, MemberId, Term};

/// What an idle msgapp stream sends.
pub const MSGAPP_HEARTBEAT: [u8; 1] = [HEARTBEAT];

const HEARTBEAT: u8 = 0;
const SHORT: u8 = 1;
const FULL: u8 = 2;

/// What both ends remember: the term and the index at which the next short form continues.
#[derive(Clone, Copy, Debug, Default)]
struct Context {
    term: Term,
    index: LogIndex,
}

impl Context {
    fn after(message: &Message) -> Self {
        let index = message.entries.last().map_or(message.index, |entry| entry.index);
        Self { term: message.term, index }
    }
}

/// Writes a msgapp stream. One encoder a connection.
#[derive(Debug, Default)]
pub struct MsgAppEncoder {
    context: Context,
}

impl MsgAppEncoder {
    /// An encoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `message`, in short form if it follows on from the last one.
    pub fn encode(&mut self, message: &Message, out: &mut BytesMut) {
        let Context { term, index } = self.context;
        let follows = message.kind == MessageKind::Append
            && term != Term(0)
            && message.index == index
            && message.log_term == term
            && message.term == term
            && message.context.is_empty();
        if !follows {
            out.put_u8(FULL);
            let start = out.len();
            out.put_u64(0);
            let length = encode_message(message, out) as u64;
            out[start..start + 8].copy_from_slice(&length.to_be_bytes());
            self.context = Context::after(message);
            return;
        }
        out.put_u8(SHORT);
        out.put_u64(message.entries.len() as u64);
        for entry in &message.entries {
            let start = out.len();
            out.put_u64(0);
            let length = encode_entry(entry, out) as u64;
            out[start..start + 8].copy_from_slice(&length.to_be_bytes());
        }
        out.put_u64(message.commit.0);
        self.context.index = Context::after(message).index;
    }
}

#[derive(Debug)]
enum State {
    Kind,
    Full { length: Option<usize> },
    Count,
    Entries { left: u64, length: Option<usize> },
    Commit,
}

/// Reads a msgapp stream from one peer. One decoder a connection.
#[derive(Debug)]
pub struct MsgAppDecoder {
    from: MemberId,
    to: MemberId,
    item_bytes_max: usize,
    context: Context,
    state: State,
    entries: Vec<Entry>,
    item_bytes: usize,
}

impl MsgAppDecoder {
    /// A decoder at the start of the stream from `from` to `to` that refuses longer items.
    #[must_use]
    pub fn new(from: MemberId, to: MemberId, item_bytes_max: usize) -> Self {
        Self {
            from,
            to,
            item_bytes_max,
            context: Context::default(),
            state: State::Kind,
            entries: Vec::new(),
            item_bytes: 0,
        }
    }

    /// Takes the next item off the front of `buf`; `None` asks for more bytes. Entries are
    /// kept as they arrive; nothing is allocated on the word of a length or a count.
    ///
    /// # Errors
    /// The stream cannot be read on.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Item>, CodecError> {
        loop {
            match &mut self.state {
                State::Kind => {
                    if !buf.has_remaining() {
                        return Ok(None);
                    }
                    match buf.get_u8() {
                        HEARTBEAT => return Ok(Some(Item::Heartbeat)),
                        SHORT if self.context.term == Term(0) => return Err(CodecError::NoContext),
                        SHORT => self.state = State::Count,
                        FULL => self.state = State::Full { length: None },
                        other => return Err(CodecError::UnknownItem(other)),
                    }
                }
                State::Full { length } => {
                    if length.is_none() {
                        *length = take_length(buf, self.item_bytes_max)?;
                    }
                    let Some(length) = length.filter(|length| buf.len() >= *length) else {
                        return Ok(None);
                    };
                    self.state = State::Kind;
                    let message = decode_message(buf.split_to(length).freeze())?;
                    if message.kind != MessageKind::Append {
                        return Err(super::MessageError::Kind(i32::from(message.kind as u8)).into());
                    }
                    self.context = Context::after(&message);
                    return Ok(Some(Item::Message(message)));
                }
                State::Count => {
                    if buf.len() < 8 {
                        return Ok(None);
                    }
                    let left = buf.get_u64();
                    self.entries.clear();
                    self.item_bytes = 0;
                    self.state = State::Entries { left, length: None };
                }
                State::Entries { left: 0, .. } => self.state = State::Commit,
                State::Entries { .. } => {
                    if !self.take_entry(buf)? {
                        return Ok(None);
                    }
                }
                State::Commit => {
                    if buf.len() < 8 {
                        return Ok(None);
                    }
                    return self.finish(LogIndex(buf.get_u64())).map(Some);
                }
            }
        }
    }

    fn take_entry(&mut self, buf: &mut BytesMut) -> Result<bool, CodecError> {
        let State::Entries { left, length } = &mut self.state else { return Ok(false) };
        if length.is_none() {
            let Some(next) = take_length(buf, self.item_bytes_max)? else { return Ok(false) };
            self.item_bytes = self.item_bytes.saturating_add(next).saturating_add(8);
            if self.item_bytes > self.item_bytes_max {
                let bytes = self.item_bytes as u64;
                return Err(CodecError::TooLong { bytes, bytes_max: self.item_bytes_max });
            }
            *length = Some(next);
        }
        let Some(bytes) = length.filter(|length| buf.len() >= *length) else { return Ok(false) };
        *length = None;
        *left -= 1;
        self.entries.push(decode_entry(buf.split_to(bytes).freeze())?);
        Ok(true)
    }

    fn finish(&mut self, commit: LogIndex) -> Result<Item, CodecError> {
        self.state = State::Kind;
        let entries = std::mem::take(&mut self.entries);
        let Context { term, index } = self.context;
        let next = index.0.checked_add(entries.len() as u64).ok_or(CodecError::NoContext)?;
        let message = append_of(self.from, self.to, term, index, entries, commit);
        self.context.index = LogIndex(next);
        Ok(Item::Message(message))
    }
}
