//! Clients' connections: none outlives a client that is gone.
//!
//! HTTP/2's own keep-alive begins after the preface, and when it gives a client up it still waits
//! until what it wrote last is taken. So both are bounded here, on the bytes.

use crate::brakes::{Budget, OfConnection};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tonic::transport::server::Connected;

/// How long a new connection may take to send its preface (gRPC's Go library: 120 s).
const PREFACE_MAX: Duration = Duration::from_secs(120);
/// Bytes of HTTP/2's preface (RFC 9113, 3.4).
const PREFACE_BYTES: usize = 24;

/// A client's connection: a byte stream that tonic can serve.
pub trait Connection: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static> Connection for T {}

/// A connection that fails when its client does not begin to speak, or neither takes nor sends
/// anything for too long.
pub(crate) struct Guarded<C> {
    connection: C,
    /// What is missing of the preface, and until when it may be.
    preface_bytes: usize,
    preface_due: Pin<Box<Sleep>>,
    /// How long a write may wait while nothing comes in; `None`: for ever.
    silence_max: Option<Duration>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<C> Guarded<C> {
    pub(crate) fn new(connection: C, silence_max: Option<Duration>) -> Self {
        Self {
            connection,
            preface_bytes: PREFACE_BYTES,
            preface_due: Box::pin(sleep(PREFACE_MAX)),
            silence_max,
            stalled: None,
        }
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

impl<C: Connected> Connected for Guarded<C> {
    type ConnectInfo = OfConnection;

    /// Asked once, when the connection begins to be served.
    fn connect_info(&self) -> OfConnection {
        OfConnection { requests: Budget::of_connection() }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Guarded<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.connection).poll_read(cx, buf);
        if outcome.is_ready() {
            let bytes = buf.filled().len() - before;
            self.preface_bytes = self.preface_bytes.saturating_sub(bytes);
            self.stalled = None;
        } else if self.preface_bytes > 0 {
            ready!(self.preface_due.as_mut().poll(cx));
            let late = io::Error::new(io::ErrorKind::TimedOut, "the client sent no preface");
            return Poll::Ready(Err(late));
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
