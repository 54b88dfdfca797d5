//! Clients' connections: what is known of each, and none outlives a client that is gone.
//!
//! HTTP/2's own keep-alive begins after the preface, and when it gives a client up it still waits
//! until what it wrote last is taken. So both are bounded here, on the bytes.

use crate::brakes::Budget;
use crate::listing::turns;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::sync::Semaphore;
use tokio::time::{Sleep, sleep};

/// How long a new connection may take to say what it speaks (gRPC's Go library: 120 s).
pub(crate) const FIRST_BYTES_MAX: Duration = Duration::from_secs(120);
/// HTTP/2's preface (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Who is at the other end of a connection, as far as the connection itself tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FarEnd {
    /// Where it comes from; `None` where there are no such addresses.
    pub address: Option<SocketAddr>,
    /// Whether nobody in between reads along.
    pub is_secure: bool,
    /// The common name in a client certificate that was verified.
    pub common_name: Option<Arc<str>>,
}

impl FarEnd {
    /// Somebody who speaks in clear.
    #[must_use]
    pub fn in_clear(address: Option<SocketAddr>) -> Self {
        Self { address, is_secure: false, common_name: None }
    }
}

/// What every request carries of the connection it came on, among its extensions.
#[derive(Clone, Debug)]
pub(crate) struct OfConnection {
    pub(crate) far_end: Arc<FarEnd>,
    /// What its calls may take.
    pub(crate) calls: Arc<Budget>,
    /// The lists of it that are read or next to be: as many as are read at once of all.
    pub(crate) lists: Arc<Semaphore>,
}

impl OfConnection {
    pub(crate) fn new(far_end: FarEnd) -> Self {
        let lists = turns();
        Self { far_end: Arc::new(far_end), calls: Budget::of_connection(), lists }
    }
}

/// A connection that was accepted, and on which nothing was said yet.
pub trait Connection: Send + 'static {
    /// What HTTP is spoken over.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Where it comes from, if that is known already.
    fn address(&self) -> Option<SocketAddr>;

    /// Makes it ready for HTTP, which may take talk with the other end: it has a task of its own
    /// and is dropped when it takes too long.
    ///
    /// # Errors
    /// Why the connection is not to be served.
    fn open(self) -> impl Future<Output = io::Result<(Self::Stream, FarEnd)>> + Send;
}

/// What a connection begins with: up to as many bytes as HTTP/2's preface has, and no more than
/// it takes to tell that preface from all else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstBytes {
    bytes: [u8; PREFACE.len()],
    count: usize,
}

impl FirstBytes {
    /// Reads them. The caller bounds the time.
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut first = Self { bytes: [0; PREFACE.len()], count: 0 };
        while first.count < PREFACE.len() && first.may_be_http2() {
            let read = stream.read(&mut first.bytes[first.count..]).await?;
            if read == 0 {
                break;
            }
            first.count += read;
        }
        Ok(first)
    }

    /// How many bytes they are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    fn may_be_http2(&self) -> bool {
        self.bytes[..self.count] == PREFACE[..self.count]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the connection speaks HTTP/2; otherwise HTTP/1, or nonsense.
    pub(crate) fn is_http2(&self) -> bool {
        self.count == PREFACE.len() && self.may_be_http2()
    }
}

/// A connection that fails when its client neither takes nor sends anything for too long. What
/// was read of it to see what it speaks is read again.
pub(crate) struct Guarded<C> {
    connection: C,
    first: FirstBytes,
    /// Bytes of `first` that were read again.
    again: usize,
    /// How long a write may wait while nothing comes in; `None`: for ever.
    silence_max: Option<Duration>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<C> Guarded<C> {
    pub(crate) fn new(connection: C, first: FirstBytes, silence_max: Option<Duration>) -> Self {
        Self { connection, first, again: 0, silence_max, stalled: None }
    }

    /// Passes on what came of a write, unless it waits for a client that is gone.
    fn watch<R>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let Some(limit) = self.silence_max else { return Poll::Pending };
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no bytes")))
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Guarded<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.again < self.first.count {
            let end = self.first.count.min(self.again + buf.remaining());
            buf.put_slice(&self.first.bytes[self.again..end]);
            self.again = end;
            return Poll::Ready(Ok(()));
        }
        let outcome = Pin::new(&mut self.connection).poll_read(cx, buf);
        if outcome.is_ready() {
            self.stalled = None;
        }
        outcome
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Guarded<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.connection).poll_write(cx, buf);
        self.watch(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.connection).poll_write_vectored(cx, bufs);
        self.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.connection).poll_flush(cx);
        self.watch(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.connection).poll_shutdown(cx);
        self.watch(cx, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    async fn first(bytes: &[u8]) -> (FirstBytes, Vec<u8>) {
        let (mut near, mut far) = tokio::io::duplex(7);
        let sent = bytes.to_vec();
        let sender = tokio::spawn(async move {
            let _ = near.write_all(&sent).await;
        });
        let first = FirstBytes::read(&mut far).await.unwrap();
        let mut all = Vec::new();
        Guarded::new(far, first, None).read_to_end(&mut all).await.unwrap();
        sender.await.unwrap();
        (first, all)
    }

    #[tokio::test]
    async fn what_a_connection_speaks_is_seen_and_nothing_of_it_is_lost() {
        let preface = [&PREFACE[..], b"\0\0\0\x04\0\0\0\0\0"].concat();
        let cases: [(&[u8], bool); 5] = [
            (&preface, true),
            (b"GET /health HTTP/1.1\r\n\r\n", false),
            (b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n", false),
            (b"PRI", false),
            (b"", false),
        ];
        for (bytes, is_http2) in cases {
            let (first, all) = first(bytes).await;
            assert_eq!(first.is_http2(), is_http2, "{}", bytes.escape_ascii());
            assert_eq!(all, bytes);
        }
    }
}
