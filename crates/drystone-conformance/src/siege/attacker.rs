//! The attacker: one thread of the lowest priority that holds all connections of an attack.
//!
//! What is measured is what the server does to its clients, not how well the system shares
//! processors: the attacker gets only what nobody else wants (nice 19, which counts per thread
//! on Linux).

use super::attack::{Face, Plan};
use anyhow::Context as _;
use drystone_tls::Connector;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// The lowest priority there is.
const NICE: i32 = 19;
/// Pause after a connection could not be made.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);
/// How long a connection may take to be made, a handshake included.
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// The server's name in its certificate.
const SERVER_NAME: &str = "127.0.0.1";

/// A connection, in clear or secure.
pub(super) type Stream = Box<dyn Duplex>;

/// What is read and written.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What an attacker saw.
#[derive(Debug, Default)]
pub(super) struct Tally {
    opened: AtomicU64,
    served: AtomicU64,
    refused: AtomicU64,
    ended: AtomicU64,
    goodbyes: AtomicU64,
    sent: AtomicU64,
}

/// The numbers of a [`Tally`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Connections that were made.
    pub(super) opened: u64,
    /// Idle connections that the server has greeted.
    pub(super) served: u64,
    /// Connections that could not be made.
    pub(super) refused: u64,
    /// Connections that the server ended.
    pub(super) ended: u64,
    /// Of these, with a GOAWAY that was heard.
    pub(super) goodbyes: u64,
    /// Bytes that the server took, where that is the attack.
    pub(super) sent: u64,
}

impl Tally {
    pub(super) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn served(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn heard(&self, goodbye: bool) {
        self.goodbyes.fetch_add(u64::from(goodbye), Ordering::Relaxed);
    }

    pub(super) fn seen(&self) -> Seen {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Seen {
            opened: load(&self.opened),
            served: load(&self.served),
            refused: load(&self.refused),
            ended: load(&self.ended),
            goodbyes: load(&self.goodbyes),
            sent: load(&self.sent),
        }
    }
}

/// What a client needs for TLS.
#[derive(Clone)]
pub(super) struct Papers {
    /// Shows a certificate that the server takes.
    pub(super) good: Connector,
    /// Shows none.
    pub(super) none: Connector,
}

/// The way to the server.
pub(super) struct Door {
    address: SocketAddr,
    face: Face,
    papers: Option<Papers>,
    addresses: u8,
    pub(super) tally: Arc<Tally>,
}

impl Door {
    /// Makes the `n`th connection, from one of the attack's own addresses.
    async fn connect(&self, n: usize) -> std::io::Result<Stream> {
        let tcp = self.tcp(n).await?;
        match (&self.papers, self.face) {
            (Some(papers), Face::Secure) => {
                Ok(Box::new(papers.good.connect(tcp, SERVER_NAME).await?))
            }
            _ => Ok(Box::new(tcp)),
        }
    }

    async fn tcp(&self, n: usize) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        // All of 127.0.0.0/8 is this machine. The honest client comes from 127.0.0.1.
        let host = u8::try_from(n % usize::from(self.addresses)).unwrap_or_default();
        socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1 + host)), 0))?;
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A handshake that ends as soon as the server asks for papers.
    pub(super) async fn shake_hands_without_papers(&self, stream: Stream) {
        let Some(papers) = &self.papers else { return };
        if let Ok(mut stream) = papers.none.connect(stream, SERVER_NAME).await {
            // With TLS 1.3 a client is done before it is judged.
            let mut heard = [0; 16];
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut heard).await;
        }
    }
}

/// An attack under way. It ends when this is dropped.
pub(super) struct Attacker {
    tally: Arc<Tally>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Attacker {
    /// Begins an attack on what listens at `address`.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn begin(
        plan: Plan,
        address: SocketAddr,
        papers: Option<Papers>,
    ) -> anyhow::Result<Attacker> {
        let tally = Arc::new(Tally::default());
        let addresses = plan.addresses;
        let door = Door { address, face: plan.face, papers, addresses, tally: tally.clone() };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("attacker".into())
            .spawn(move || run(plan, Arc::new(door), stopped))
            .context("cannot start the attacker's thread")?;
        Ok(Attacker { tally, stop: Some(stop), thread: Some(thread) })
    }

    pub(super) fn seen(&self) -> Seen {
        self.tally.seen()
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(plan: Plan, door: Arc<Door>, stopped: oneshot::Receiver<()>) {
    // Where that is refused, the attacker only counts for more.
    let _ = rustix::process::setpriority_process(None, NICE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        for n in 0..plan.connections {
            tokio::spawn(besiege(plan, door.clone(), n));
        }
        // An error says that the sender is gone, which is what is waited for.
        let _ = stopped.await;
    });
    // Dropping the runtime drops all connections.
}

/// Keeps one connection under attack, and makes it anew when the server ends it.
async fn besiege(plan: Plan, door: Arc<Door>, n: usize) {
    // Each time from the next address, so that none is the only one that is turned away.
    for attempt in n.. {
        match timeout(CONNECT_MAX, door.connect(attempt)).await {
            Ok(Ok(stream)) => {
                door.tally.opened.fetch_add(1, Ordering::Relaxed);
                plan.attack.assail(&door, stream).await;
                door.tally.ended.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Err(_)) | Err(_) => {
                door.tally.refused.fetch_add(1, Ordering::Relaxed);
                sleep(REFUSED_PAUSE).await;
            }
        }
    }
}
