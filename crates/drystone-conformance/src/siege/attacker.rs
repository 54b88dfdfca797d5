//! The attacker: one thread of the lowest priority that holds all connections of an attack.
//!
//! What is measured is what the server does to its clients, not how well the system shares
//! processors: the attacker gets only what nobody else wants. Niceness alone does not make it so:
//! Linux lets a thread of nice 19, once it runs, go on for milliseconds before others that wake,
//! but takes the processor at once from one of the policy SCHED_IDLE.

use super::attack::{Face, Plan};
use anyhow::Context as _;
use drystone_tls::Connector;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

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
    /// Sends pieces for as long as they are taken, and counts their bytes.
    pub(super) async fn send(
        &self,
        write: &mut (impl AsyncWrite + Unpin),
        pieces: impl Iterator<Item = Vec<u8>>,
    ) {
        for piece in pieces {
            if write.write_all(&piece).await.is_err() {
                return;
            }
            self.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
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
    /// Tells what share of a processor it used.
    thread: Option<JoinHandle<f64>>,
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

    /// Ends it. Returns what share of a processor it used, 0 to 1. Blocks.
    pub(super) fn end(mut self) -> f64 {
        self.join()
    }

    fn join(&mut self) -> f64 {
        drop(self.stop.take());
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        self.join();
    }
}

/// What this thread has used of processors.
pub(super) fn processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

/// Gives this thread the lowest priority there is. Where that is refused, the attacker only counts
/// for more.
pub(super) fn step_back() {
    let _ = rustix::process::setpriority_process(None, NICE);
    let thread = rustix::thread::gettid().to_string();
    // Of util-linux, which every Debian has.
    let _ = Command::new("chrt").args(["--idle", "--pid", "0", &thread]).status();
}

fn run(plan: Plan, door: Arc<Door>, stopped: oneshot::Receiver<()>) -> f64 {
    step_back();
    let (begun, used) = (Instant::now(), processor_time());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return 0.0 };
    runtime.block_on(async {
        for n in 0..plan.connections {
            tokio::spawn(besiege(plan, door.clone(), n));
        }
        // An error says that the sender is gone, which is what is waited for.
        let _ = stopped.await;
    });
    let share = (processor_time() - used).div_duration_f64(begun.elapsed());
    // All connections go with it.
    drop(runtime);
    share
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
