//! Connections: how they are made, and that none may hang.

use crate::{PeerUrl, Scheme};
use futures::future::BoxFuture;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::{Sleep, sleep};

/// A byte stream to or from a peer.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Makes connections to peers. The server brings one that speaks TLS; [`TcpDialer`] serves
/// plain URLs.
pub trait Dial: Send + Sync + 'static {
    /// Connects, handshake included. The caller bounds the time and drops the future to cancel.
    fn dial(&self, url: PeerUrl) -> BoxFuture<'static, io::Result<Box<dyn Stream>>>;
}

/// A connection that was accepted and is ready.
pub struct Opened {
    /// Its bytes, in clear.
    pub stream: Box<dyn Stream>,
    /// Whether the far end has proven who it is, by a certificate that was verified.
    pub is_proven: bool,
}

impl Opened {
    /// A connection of somebody who may be anybody.
    #[must_use]
    pub fn by_anybody(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), is_proven: false }
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("is_proven", &self.is_proven).finish_non_exhaustive()
    }
}

/// A connection that was accepted and is being made ready, handshake included. It has a task of
/// its own, so that one that goes nowhere holds up nobody.
pub type Opening = BoxFuture<'static, io::Result<Opened>>;

/// Takes connections of peers in. The server brings one that speaks TLS; a [`TcpListener`] takes
/// plain ones.
pub trait Listen: Send + 'static {
    /// Waits for the next connection. Dropping the future loses none.
    ///
    /// # Errors
    /// One could not be accepted, most often for want of file descriptors; the next may be.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Opening>>;
}

impl<L: Listen + ?Sized> Listen for Box<L> {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Opening>> {
        (**self).accept()
    }
}

impl Listen for TcpListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Opening>> {
        Box::pin(async move {
            let (stream, _) = TcpListener::accept(self).await?;
            let opening: Opening = Box::pin(async move {
                stream.set_nodelay(true)?;
                Ok(Opened::by_anybody(stream))
            });
            Ok(opening)
        })
    }
}

/// Plain TCP and Unix sockets.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpDialer;

impl Dial for TcpDialer {
    fn dial(&self, url: PeerUrl) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream: Box<dyn Stream> = match url.scheme() {
                Scheme::Http => {
                    let stream = TcpStream::connect(url.authority()).await?;
                    stream.set_nodelay(true)?;
                    Box::new(stream)
                }
                Scheme::Unix => Box::new(UnixStream::connect(url.authority()).await?),
                Scheme::Https | Scheme::Unixs => {
                    return Err(io::Error::new(
                        io::ErrorKind::Unsupported,
                        format!("no TLS is set up to dial {url}"),
                    ));
                }
            };
            Ok(stream)
        })
    }
}

/// Fails a write that the far end lets wait for too long. Reads are not bounded here: an open
/// stream in the other direction may be silent for good reason.
pub(crate) struct WriteDeadline<T> {
    stream: T,
    limit: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<T> WriteDeadline<T> {
    pub(crate) fn new(stream: T, limit: Duration) -> Self {
        Self { stream, limit, stalled: None }
    }

    fn watch<R>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        self.stalled = None;
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the far end takes no bytes")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WriteDeadline<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, outcome)
    }
}

#[cfg(test)]
mod tests;
