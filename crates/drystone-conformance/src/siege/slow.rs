//! Attacks that take their time: connections on which nothing comes of anything.

use super::attacker::{Stream, Tally};
use super::frames::{PREFACE, hello};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Pause between two bytes of a head.
const DRIP: Duration = Duration::from_millis(500);
/// Pause between two bytes of a preface, which is soon over.
const PREFACE_DRIP: Duration = Duration::from_secs(4);
/// What a greeting of TLS begins with: a record that says it has more bytes than ever come.
const HALF_GREETING: [u8; 11] = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

/// Says something, and nothing more.
pub(super) async fn silence(mut stream: Stream, first: &[u8]) {
    if stream.write_all(first).await.is_err() {
        return;
    }
    heard_out(&mut stream).await;
}

/// Reads until the server ends the connection.
async fn heard_out(stream: &mut Stream) {
    let mut heard = [0; 4 << 10];
    while stream.read(&mut heard).await.is_ok_and(|count| count > 0) {}
}

/// A client that may ask something one day.
pub(super) async fn idle(tally: &Tally, mut stream: Stream) {
    let greeted = stream.write_all(&hello(None)).await.is_ok();
    if greeted && stream.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {
        tally.served();
        heard_out(&mut stream).await;
    }
}

/// Says hello, hears the server's, and goes.
pub(super) async fn hello_and_gone(mut stream: Stream) {
    if stream.write_all(&hello(None)).await.is_ok() {
        let _ = stream.read(&mut [0; 64]).await;
    }
}

pub(super) async fn half_handshake(stream: Stream) {
    silence(stream, &HALF_GREETING).await;
}

/// A head whose lines go on and on.
pub(super) async fn http_drip(stream: Stream) {
    let head = b"GET /health HTTP/1.1\r\nHost: localhost\r\n";
    drip(stream, head, b"X-Drip: drop\r\n".iter().copied().cycle(), DRIP).await;
}

/// HTTP/2's first words, byte by byte, of which the last never comes.
pub(super) async fn preface_drip(stream: Stream) {
    let most = PREFACE[..PREFACE.len() - 1].iter().copied();
    drip(stream, b"", most, PREFACE_DRIP).await;
}

/// Sends bytes one by one until the server ends the connection.
async fn drip(stream: Stream, first: &[u8], drops: impl Iterator<Item = u8>, pause: Duration) {
    let (mut read, mut write) = tokio::io::split(stream);
    if write.write_all(first).await.is_err() {
        return;
    }
    let dripping = async {
        for byte in drops {
            tokio::time::sleep(pause).await;
            if write.write_all(&[byte]).await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut heard = [0; 4 << 10];
    let hearing = async { while read.read(&mut heard).await.is_ok_and(|count| count > 0) {} };
    tokio::select! {
        () = dripping => {}
        () = hearing => {}
    }
}
