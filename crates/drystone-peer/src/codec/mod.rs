//! Messages as bytes: one message, and the two framings of the streams.

mod frames;
mod message;
mod msgapp;

pub use frames::{FRAME_HEARTBEAT, FrameDecoder, encode_frame};
pub use message::{MessageError, decode_message, encode_message, message_bytes};
pub use msgapp::{MSGAPP_HEARTBEAT, MsgAppDecoder, MsgAppEncoder};

use bytes::{Buf, BytesMut};

/// One item of a stream.
#[expect(clippy::large_enum_variant, reason = "an item is taken apart where it is made")]
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// The far end lives and has nothing to say.
    Heartbeat,
    /// A message for raft.
    Message(drystone_raft::Message),
}

/// Bytes that no stream carries. The connection is of no use any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// A length above the bound.
    #[error("an item of {bytes} bytes exceeds {bytes_max}")]
    TooLong {
        /// The length that was announced.
        bytes: u64,
        /// The bound.
        bytes_max: usize,
    },
    /// An item type that msgappv2 does not have.
    #[error("unknown item type {0} in a msgapp stream")]
    UnknownItem(u8),
    /// A short form before any full message, or one whose index would overflow.
    #[error("a short append that follows on from nothing")]
    NoContext,
    /// The bytes of an item are no message.
    #[error("undecodable message")]
    Message(#[from] MessageError),
}

/// Takes a big-endian length off the front if it is complete and within bounds.
fn take_length(buf: &mut BytesMut, bytes_max: usize) -> Result<Option<usize>, CodecError> {
    if buf.len() < 8 {
        return Ok(None);
    }
    let bytes = buf.get_u64();
    match usize::try_from(bytes) {
        Ok(length) if length <= bytes_max => Ok(Some(length)),
        _ => Err(CodecError::TooLong { bytes, bytes_max }),
    }
}

#[cfg(test)]
mod tests;
