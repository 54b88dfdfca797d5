//! An HTTP/2 connection that is read no faster than its client may be heard.

use super::frames::{Allowance, Frames, Verdict};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Frames after which others are served first. HTTP/2's library handles all that can be read, and
/// bytes that came are read in no time: without a bound one connection keeps a worker to itself
/// for a hundred milliseconds.
const TURN_FRAMES: usize = 256;
/// Bytes that count as a frame in that: lists of headers take long to read.
const TURN_BYTES: usize = 256;

/// See [`Allowance`]. It fails with [`io::ErrorKind::QuotaExceeded`] when its client does not stop.
#[derive(Debug)]
pub(super) struct Metered<C> {
    connection: C,
    frames: Frames,
    allowance: Allowance,
    /// Frames since others were served.
    turn: usize,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<C> Metered<C> {
    /// Meters a connection that begins with `preface` bytes before its first frame.
    pub(super) fn new(connection: C, preface: usize) -> Self {
        Self {
            connection,
            frames: Frames::after(preface),
            allowance: Allowance::new(Instant::now()),
            turn: 0,
            waiting: None,
        }
    }

    /// Judges what was read last.
    fn judge(&mut self, read: &[u8]) -> io::Result<()> {
        let came = self.frames.read(read);
        self.turn += came.frames + read.len() / TURN_BYTES;
        match self.allowance.spend(came.cost, Instant::now) {
            Verdict::Go => Ok(()),
            Verdict::Wait(until) => {
                self.waiting = Some(Box::pin(sleep_until(until)));
                Ok(())
            }
            Verdict::End => {
                let told = "too many frames without a call";
                Err(io::Error::new(io::ErrorKind::QuotaExceeded, told))
            }
        }
    }

    fn wrote(&mut self, outcome: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = outcome {
            self.allowance.earn(*bytes);
        }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Metered<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
        }
        if self.turn >= TURN_FRAMES {
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.connection).poll_read(cx, buf);
        match outcome {
            Poll::Ready(Ok(())) => Poll::Ready(self.judge(&buf.filled()[before..])),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.turn = 0;
                Poll::Pending
            }
        }
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Metered<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.connection).poll_write(cx, buf);
        self.wrote(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.connection).poll_write_vectored(cx, bufs);
        self.wrote(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::poll_fn;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn others_are_served_between_two_turns_of_a_connection() {
        let (mut near, far) = tokio::io::duplex(1 << 20);
        // DATA with a byte each: nothing of it costs anything, and all of it is there.
        let frames = [0, 0, 1, 0, 0, 0, 0, 0, 1, b'x'].repeat(10 * TURN_FRAMES);
        near.write_all(&frames).await.unwrap();
        drop(near);
        let mut metered = Metered::new(far, 0);
        let (mut bytes, mut turns) = (0, 0);
        while bytes < frames.len() {
            let mut read = [0; 1_000];
            let mut buf = ReadBuf::new(&mut read);
            let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut metered).poll_read(cx, &mut buf)));
            match polled.await {
                Poll::Ready(outcome) => outcome.unwrap(),
                Poll::Pending => turns += 1,
            }
            bytes += buf.filled().len();
        }
        assert!(turns >= 8, "{turns} turns");
    }
}
