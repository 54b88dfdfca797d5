//! Messages in a gRPC body: each has five bytes before it, a flag and its length.

/// Where a body stands.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Bytes of the message that are still to come.
    left: usize,
    /// Bytes of the next message's head that came already, and what they say of its length.
    head_bytes: u8,
    length: u32,
}

/// What a piece of a body held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Messages that ended in it.
    pub(crate) messages: u64,
    /// Bytes of messages, without what stands before them.
    pub(crate) bytes: u64,
}

/// Bytes before a message.
pub(super) const HEAD_BYTES: u8 = 5;

impl Frames {
    /// Goes over the next piece.
    pub(super) fn see(&mut self, mut piece: &[u8]) -> Seen {
        let mut seen = Seen::default();
        while !piece.is_empty() {
            if self.left > 0 {
                let taken = self.left.min(piece.len());
                self.left -= taken;
                seen.bytes += taken as u64;
                piece = &piece[taken..];
                seen.messages += u64::from(self.left == 0);
                continue;
            }
            // The flag comes first and is pushed out by the length's four bytes.
            self.length = self.length << 8 | u32::from(piece[0]);
            self.head_bytes += 1;
            piece = &piece[1..];
            if self.head_bytes == HEAD_BYTES {
                self.left = self.length as usize;
                seen.messages += u64::from(self.left == 0);
                (self.head_bytes, self.length) = (0, 0);
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_the_body_is_cut() {
        let mut body = Vec::new();
        for message in [&b"abc"[..], b"", &[7; 300], b"x"] {
            body.push(1);
            body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
            body.extend(message);
        }
        for size in 1..body.len() {
            let mut frames = Frames::default();
            let (mut messages, mut bytes) = (0, 0);
            for piece in body.chunks(size) {
                let seen = frames.see(piece);
                messages += seen.messages;
                bytes += seen.bytes;
            }
            assert_eq!((messages, bytes), (4, 304), "in pieces of {size}");
        }
    }
}
