//! The message stream: `u64 length | Message`, over and over.

use super::message::{decode_message, encode_message, is_link_heartbeat};
use super::{CodecError, Item, take_length};
use bytes::{BufMut, BytesMut};
use drystone_raft::Message;

/// What an idle message stream sends, as etcd 3.7 does: a heartbeat from nobody to nobody.
pub const FRAME_HEARTBEAT: [u8; 10] = [0, 0, 0, 0, 0, 0, 0, 2, 8, 8];

/// Appends one framed message.
pub fn encode_frame(message: &Message, out: &mut BytesMut) {
    let start = out.len();
    out.put_u64(0);
    let length = encode_message(message, out) as u64;
    out[start..start + 8].copy_from_slice(&length.to_be_bytes());
}

/// Reads a message stream. Feed it a buffer that grows at its end.
#[derive(Debug)]
pub struct FrameDecoder {
    frame_bytes_max: usize,
    length: Option<usize>,
}

impl FrameDecoder {
    /// A decoder at the start of a stream that refuses longer frames.
    #[must_use]
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { frame_bytes_max, length: None }
    }

    /// Takes the next item off the front of `buf`; `None` asks for more bytes. Allocates
    /// nothing on the word of a length.
    ///
    /// # Errors
    /// The stream cannot be read on.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Item>, CodecError> {
        if self.length.is_none() {
            self.length = take_length(buf, self.frame_bytes_max)?;
        }
        let Some(length) = self.length else { return Ok(None) };
        if buf.len() < length {
            return Ok(None);
        }
        self.length = None;
        let body = buf.split_to(length).freeze();
        if is_link_heartbeat(&body) {
            return Ok(Some(Item::Heartbeat));
        }
        Ok(Some(Item::Message(decode_message(body)?)))
    }
}
