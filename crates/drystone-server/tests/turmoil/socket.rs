//! Sockets of the simulated network, with a switch on the client's side and counters.

use drystone_client::{Dial, Dialing, Endpoint, Stream};
use drystone_server::{Connection, FarEnd};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpStream;

/// What can be done to a client's connections, all of them at once.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    frozen: AtomicBool,
    /// Connections opened up to this number are cut.
    cut_upto: AtomicUsize,
    opened: AtomicUsize,
    sleepers: Mutex<Vec<Waker>>,
}

impl Switch {
    /// Stops reading from the network, as a process does that was suspended, or goes on.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::SeqCst);
        self.wake();
    }

    /// Whether it stands still.
    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::SeqCst)
    }

    /// Breaks the connections that are open now.
    pub(crate) fn cut(&self) {
        self.cut_upto.store(self.opened.load(Ordering::SeqCst), Ordering::SeqCst);
        self.wake();
    }

    /// Connections opened so far.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    fn wake(&self) {
        for waker in self.sleepers.lock().expect("nobody panics with it").drain(..) {
            waker.wake();
        }
    }

    fn check(&self, number: usize, cx: &Context<'_>) -> io::Result<()> {
        let mut sleepers = self.sleepers.lock().expect("nobody panics with it");
        if !sleepers.iter().any(|waker| waker.will_wake(cx.waker())) {
            sleepers.push(cx.waker().clone());
        }
        if number <= self.cut_upto.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

/// Dials in the simulated network.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dialer(pub(crate) Arc<Switch>);

impl Dial for Dialer {
    fn dial(&self, endpoint: &Endpoint) -> Dialing {
        let address = endpoint.authority().to_string();
        let switch = self.0.clone();
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            let number = switch.opened.fetch_add(1, Ordering::SeqCst) + 1;
            let stream: Box<dyn Stream> = Box::new(ClientSocket { stream, switch, number });
            Ok(stream)
        })
    }
}

/// A client's end.
struct ClientSocket {
    stream: TcpStream,
    switch: Arc<Switch>,
    number: usize,
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.switch.check(self.number, cx)?;
        if self.switch.frozen.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.switch.check(self.number, cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What the server's ends have seen.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    written: AtomicU64,
    read: AtomicU64,
    accepted: AtomicU64,
    /// Open connections, each with the bytes that came over it.
    open: Mutex<BTreeMap<u64, usize>>,
}

impl Traffic {
    /// Bytes that the server has written to all connections so far.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }

    /// Bytes that the server has read from all connections so far.
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::SeqCst)
    }

    /// Connections that the server has accepted and not let go of, as bytes that came over each.
    pub(crate) fn open(&self) -> Vec<usize> {
        self.open.lock().expect("nobody panics with it").values().copied().collect()
    }
}

/// The server's end.
pub(crate) struct ServerSocket {
    stream: TcpStream,
    traffic: Arc<Traffic>,
    number: u64,
}

impl ServerSocket {
    pub(crate) fn new(stream: TcpStream, traffic: Arc<Traffic>) -> Self {
        let number = traffic.accepted.fetch_add(1, Ordering::SeqCst);
        traffic.open.lock().expect("nobody panics with it").insert(number, 0);
        Self { stream, traffic, number }
    }
}

impl Drop for ServerSocket {
    fn drop(&mut self) {
        self.traffic.open.lock().expect("nobody panics with it").remove(&self.number);
    }
}

impl Connection for ServerSocket {
    type Stream = Self;

    fn address(&self) -> Option<SocketAddr> {
        None
    }

    async fn open(self) -> io::Result<(Self, FarEnd)> {
        Ok((self, FarEnd::in_clear(None)))
    }
}

impl AsyncRead for ServerSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let mut open = self.traffic.open.lock().expect("nobody panics with it");
        let bytes = buf.filled().len() - before;
        *open.entry(self.number).or_default() += bytes;
        self.traffic.read.fetch_add(bytes as u64, Ordering::SeqCst);
        read
    }
}

impl AsyncWrite for ServerSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.traffic.written.fetch_add(count as u64, Ordering::SeqCst);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
