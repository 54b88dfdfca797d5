//! What the first bytes of an answer tell of it.

use super::content::{Item, Wire, bytes, number};
use super::frames::{HEAD_BYTES, Seen};

/// Bytes that are kept: a frame's head, a response's header, and a number behind it.
const KEPT_BYTES: usize = 72;

/// An answer on its way out.
#[derive(Debug)]
pub(super) struct Answered {
    kept: [u8; KEPT_BYTES],
    kept_bytes: usize,
    /// Bytes of its messages.
    pub(super) bytes: u64,
}

impl Default for Answered {
    fn default() -> Self {
        Self { kept: [0; KEPT_BYTES], kept_bytes: 0, bytes: 0 }
    }
}

impl Answered {
    /// The next piece.
    pub(super) fn see(&mut self, seen: Seen, data: &[u8]) {
        self.bytes += seen.bytes;
        let room = &mut self.kept[self.kept_bytes..];
        let more = room.len().min(data.len());
        room[..more].copy_from_slice(&data[..more]);
        self.kept_bytes += more;
    }

    /// The second field of its first message, where that is a number: what was deleted, or
    /// whether a transaction's comparisons held.
    pub(super) fn second_field(&self) -> Option<u64> {
        let mut fields = self.message();
        fields.find_map(|(field, item)| match item {
            Item::Number(number) if field == 2 => Some(number),
            _ => None,
        })
    }

    /// The revision in its first response's header. In a stream of chunks that is a level deeper.
    pub(super) fn revision(&self, chunked: bool) -> Option<u64> {
        let message = self.message().0;
        let response = if chunked { bytes(message, 1)? } else { message };
        number(bytes(response, 1)?, 3).and_then(|revision| u64::try_from(revision).ok())
    }

    fn message(&self) -> Wire<'_> {
        Wire(self.kept[..self.kept_bytes].get(usize::from(HEAD_BYTES)..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drystone_api::etcdserverpb::{DeleteRangeResponse, ResponseHeader};
    use prost::Message as _;

    #[test]
    fn numbers_are_found_however_large_the_header_is() {
        for number in [0, 7, u64::MAX] {
            let signed = i64::from_ne_bytes(number.to_ne_bytes());
            let header = ResponseHeader {
                cluster_id: number,
                member_id: number,
                revision: signed,
                raft_term: number,
            };
            let response =
                DeleteRangeResponse { header: Some(header), deleted: signed, ..Default::default() };
            let mut frame = vec![0; usize::from(HEAD_BYTES)];
            frame.extend(response.encode_to_vec());
            frame.extend([7; 100]);
            let mut answered = Answered::default();
            for piece in frame.chunks(9) {
                answered.see(Seen { messages: 0, bytes: 9 }, piece);
            }
            assert_eq!(answered.second_field().unwrap_or_default(), number);
            let positive = u64::try_from(signed).ok().filter(|revision| *revision > 0);
            assert_eq!(answered.revision(false), positive);
        }
        assert_eq!(Answered::default().second_field(), None);
    }
}
