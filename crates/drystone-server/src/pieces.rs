//! Messages with many pairs or events as pieces of about 64 KiB, made when the connection takes them.

use crate::long::{Long, framed_bytes};
use bytes::{BufMut, Bytes, BytesMut};
use drystone_api::limits::RESPONSE_BYTES_MAX;
use drystone_api::raw;
use futures::StreamExt as _;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};
use tokio_stream::Stream;
use tonic::{Code, Status};

/// gRPC's frame: a flag for compression and the length.
pub(crate) const FRAME_HEADER_BYTES: usize = 5;
/// Bytes of one piece, about.
const PIECE_BYTES: usize = 64 << 10;
/// From this size on a pair is handed on as it lies instead of being copied into a piece.
const SHARE_BYTES: usize = 16 << 10;
/// The key of `RangeResponse.kvs`: field 2, length-delimited.
const KVS_KEY: u8 = 2 << 3 | 2;
/// The key of `WatchResponse.events`: field 11, length-delimited.
const EVENTS_KEY: u8 = 11 << 3 | 2;
/// The key of `RangeStreamResponse.range_response`: field 1, length-delimited.
const RANGE_RESPONSE_KEY: u8 = 1 << 3 | 2;

/// What is sent for an answer.
type Sent = Result<Frame<Bytes>, Status>;

/// The trailers of a call that ended well.
pub(crate) fn well() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    debug_assert_eq!(Code::Ok as i32, 0);
    trailers
}

/// A message with pairs or events on its way out.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// The frame's header and what comes before the first pair, until the first piece is made.
    head: Option<Bytes>,
    /// The key of each pair's field.
    key: u8,
    kvs: std::vec::IntoIter<Bytes>,
    /// A large pair that follows the piece made last.
    shared: Option<Bytes>,
    /// What comes after the pairs.
    tail: Option<Bytes>,
}

impl Pieces {
    /// The message of a whole answer.
    ///
    /// # Errors
    /// The message is larger than gRPC's clients take.
    pub(crate) fn of(response: raw::RangeResponse) -> Result<Self, Status> {
        let raw::RangeResponse { header, kvs, more, count } = response;
        let pairs = kvs.iter().map(|kv| framed_bytes(kv.len())).sum();
        let (head, tail) = ends(header, more, count, pairs, false)?;
        Ok(Self { tail, ..Self::on(Some(head), kvs) })
    }

    /// One message of a list in chunks.
    ///
    /// # Errors
    /// As [`Pieces::of`].
    fn of_chunk(chunk: raw::RangeResponse) -> Result<Self, Status> {
        let raw::RangeResponse { header, kvs, more, count } = chunk;
        let pairs = kvs.iter().map(|kv| framed_bytes(kv.len())).sum();
        let (head, tail) = ends(header, more, count, pairs, true)?;
        Ok(Self { tail, ..Self::on(Some(head), kvs) })
    }

    /// What watchers are told. Its fields but the events come first: theirs has the highest number.
    ///
    /// # Errors
    /// As [`Pieces::of`].
    pub(crate) fn of_events(mut response: raw::WatchResponse) -> Result<Self, Status> {
        let events = std::mem::take(&mut response.events);
        let before_bytes = response.encoded_len();
        let length =
            before_bytes + events.iter().map(|event| framed_bytes(event.len())).sum::<usize>();
        let mut head = BytesMut::with_capacity(FRAME_HEADER_BYTES + before_bytes);
        frame(length, &mut head)?;
        response.encode_raw(&mut head);
        Ok(Self { key: EVENTS_KEY, ..Self::on(Some(head.freeze()), events) })
    }

    /// Pairs that a message goes on with.
    fn on(head: Option<Bytes>, kvs: Vec<Bytes>) -> Self {
        Self { head, key: KVS_KEY, kvs: kvs.into_iter(), shared: None, tail: None }
    }

    /// Bytes that are still to be handed out.
    pub(crate) fn bytes(&self) -> usize {
        let ends = [&self.head, &self.shared, &self.tail];
        let ends: usize = ends.into_iter().flatten().map(Bytes::len).sum();
        ends + self.kvs.as_slice().iter().map(|kv| framed_bytes(kv.len())).sum::<usize>()
    }

    /// The next piece of the message; `None` when all of it was handed out.
    pub(crate) fn next_piece(&mut self) -> Option<Bytes> {
        if let Some(shared) = self.shared.take() {
            return Some(shared);
        }
        if self.head.is_none() && self.kvs.len() == 0 {
            return self.tail.take();
        }
        let room = if self.kvs.len() > 1 { PIECE_BYTES } else { 512 };
        let mut piece = BytesMut::with_capacity(room);
        if let Some(head) = self.head.take() {
            piece.extend_from_slice(&head);
        }
        while piece.len() < PIECE_BYTES {
            let Some(kv) = self.kvs.next() else { break };
            piece.put_u8(self.key);
            encode_varint(kv.len() as u64, &mut piece);
            if kv.len() >= SHARE_BYTES {
                self.shared = Some(kv);
                return Some(piece.freeze());
            }
            piece.extend_from_slice(&kv);
        }
        if self.kvs.len() == 0
            && let Some(tail) = self.tail.take()
        {
            piece.extend_from_slice(&tail);
        }
        Some(piece.freeze())
    }
}

/// gRPC's frame around a message of so many bytes: what comes before them.
///
/// # Errors
/// As [`Pieces::of`].
pub(crate) fn frame(length: usize, head: &mut BytesMut) -> Result<(), Status> {
    let framed = u32::try_from(length).ok().filter(|_| length <= RESPONSE_BYTES_MAX);
    let Some(framed) = framed else {
        return Err(Status::resource_exhausted(format!(
            "grpc: trying to send message larger than max ({length} vs. {RESPONSE_BYTES_MAX})"
        )));
    };
    head.put_u8(0);
    head.put_u32(framed);
    Ok(())
}

/// What comes before the pairs of a message, gRPC's frame included, and what comes after them.
fn ends(
    header: Option<drystone_api::etcdserverpb::ResponseHeader>,
    more: bool,
    count: i64,
    pairs_bytes: usize,
    wrapped: bool,
) -> Result<(Bytes, Option<Bytes>), Status> {
    let before = raw::RangeResponse { header, ..Default::default() };
    let after = raw::RangeResponse { more, count, ..Default::default() };
    let (before_bytes, after_bytes) = (before.encoded_len(), after.encoded_len());
    let inner = before_bytes.saturating_add(pairs_bytes).saturating_add(after_bytes);
    let wrapping = if wrapped { 1 + encoded_len_varint(inner as u64) } else { 0 };
    let length = inner.saturating_add(wrapping);
    let mut head = BytesMut::with_capacity(FRAME_HEADER_BYTES + wrapping + before_bytes);
    frame(length, &mut head)?;
    if wrapped {
        head.put_u8(RANGE_RESPONSE_KEY);
        encode_varint(inner as u64, &mut head);
    }
    before.encode_raw(&mut head);
    let tail = (after_bytes > 0).then(|| after.encode_to_vec().into());
    Ok((head.freeze(), tail))
}

/// A long list as one message.
///
/// # Errors
/// As [`Pieces::of`].
pub(crate) fn of_long(long: Long) -> Result<impl Stream<Item = Sent> + Send, Status> {
    let Long { header, more, count, pairs_bytes, first, rest } = long;
    let (head, tail) = ends(header, more, count, pairs_bytes, false)?;
    Ok(async_stream::try_stream! {
        let (mut head, mut page, mut rest) = (Some(head), first, Some(rest));
        let mut sent = 0_usize;
        loop {
            sent += page.iter().map(|kv| framed_bytes(kv.len())).sum::<usize>();
            let mut pieces = Pieces::on(head.take(), page);
            while let Some(piece) = pieces.next_piece() {
                yield Frame::data(piece);
            }
            let Some(more) = rest.take() else { break };
            (rest, page) = more.next().await?;
        }
        // The client was told a length. If the pages do not come to it, nothing may look well.
        if sent != pairs_bytes {
            Err(Status::internal(format!("a list of {pairs_bytes} bytes came to {sent}")))?;
        }
        if let Some(tail) = tail {
            yield Frame::data(tail);
        }
        yield Frame::trailers(well());
    })
}

/// A list in chunks, a message each.
pub(crate) fn of_chunks(
    chunks: impl Stream<Item = Result<raw::RangeStreamResponse, Status>> + Send + Unpin,
) -> impl Stream<Item = Sent> + Send {
    async_stream::stream! {
        let mut chunks = chunks;
        while let Some(chunk) = chunks.next().await {
            match chunk.and_then(|chunk| Pieces::of_chunk(chunk.range_response.unwrap_or_default())) {
                Ok(mut pieces) => while let Some(piece) = pieces.next_piece() {
                    yield Ok(Frame::data(piece));
                },
                Err(refused) => {
                    let mut trailers = HeaderMap::new();
                    yield refused.add_header(&mut trailers).map(|()| Frame::trailers(trailers));
                    return;
                }
            }
        }
        yield Ok(Frame::trailers(well()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drystone_api::etcdserverpb::ResponseHeader;

    fn sent(mut pieces: Pieces) -> Vec<u8> {
        let mut sent = Vec::new();
        while let Some(piece) = pieces.next_piece() {
            assert!(!piece.is_empty());
            sent.extend_from_slice(&piece);
        }
        sent
    }

    fn framed(message: &impl Message) -> Vec<u8> {
        let mut whole = vec![0];
        whole.extend(u32::try_from(message.encoded_len()).unwrap().to_be_bytes());
        whole.extend(message.encode_to_vec());
        whole
    }

    #[test]
    fn the_pieces_are_what_watchers_are_told() {
        for sizes in [vec![], vec![3; 5], vec![1000; 1000], vec![1, SHARE_BYTES, PIECE_BYTES * 3]] {
            let events = sizes.iter().map(|size| Bytes::from(vec![0x5a; *size])).collect();
            let response = raw::WatchResponse {
                header: Some(ResponseHeader { revision: 7, cluster_id: 9, ..Default::default() }),
                watch_id: 300,
                cancel_reason: "why".to_owned(),
                fragment: true,
                events,
                ..Default::default()
            };
            let whole = sent(Pieces::of_events(response.clone()).unwrap());
            assert!(whole == framed(&response), "{} events", sizes.len());
        }
    }

    #[test]
    fn the_pieces_are_the_message() {
        let header = Some(ResponseHeader { revision: 7, cluster_id: 9, ..Default::default() });
        for sizes in [
            vec![],
            vec![0],
            vec![3; 5],
            vec![1000; 1000],
            vec![SHARE_BYTES, 1, SHARE_BYTES * 9, SHARE_BYTES - 1],
            vec![1, PIECE_BYTES * 3],
        ] {
            for (more, count, header) in [(false, 0, None), (true, 12, header)] {
                let kvs: Vec<Bytes> =
                    sizes.iter().map(|size| Bytes::from(vec![0x5a; *size])).collect();
                let response = raw::RangeResponse { header, kvs, more, count };
                let pieces = Pieces::of(response.clone()).unwrap();
                let bytes = pieces.bytes();
                let whole = sent(pieces);
                assert_eq!(bytes, whole.len(), "{} pairs", sizes.len());
                assert!(whole == framed(&response), "{} pairs", sizes.len());
                let chunk = sent(Pieces::of_chunk(response.clone()).unwrap());
                let response = raw::RangeStreamResponse { range_response: Some(response) };
                assert!(chunk == framed(&response), "{} pairs in a chunk", sizes.len());
            }
        }
    }
}
