//! Sockets that URLs ask for. URLs of one address share one, in clear and secure.

use super::is_secure;
use crate::config::bind_address;
use anyhow::{Context, bail};
use drystone_peer::Stream;
use rustix::net::sockopt;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};

/// How often a silent connection is probed by the system (etcd: 30 s).
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Connections that may wait to be accepted; the system may hold it to fewer.
const BACKLOG: u32 = 4096;
/// The first byte of a TLS record that carries a greeting; no line of HTTP begins with it.
const HANDSHAKE_RECORD: u8 = 22;

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Bound {
    socket: Socket,
    /// Whether some of its URLs are in clear.
    pub(super) is_clear: bool,
    /// Whether some of its URLs ask for TLS.
    pub(super) is_secure: bool,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// Kept to be dropped with the listener.
        removed: Removed,
    },
}

/// A socket's place in the file system, which goes with it.
#[derive(Debug)]
struct Removed {
    path: PathBuf,
}

impl Drop for Removed {
    fn drop(&mut self) {
        // Somebody else may have cleaned up.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Where a socket listens, for the log.
#[derive(Clone, Debug)]
pub(crate) struct At {
    address: String,
    is_clear: bool,
    is_secure: bool,
}

impl At {
    /// Says, in etcd's words, that clients are served here from now on.
    pub(crate) fn tell_served(&self, traffic: &str) {
        let address = &self.address;
        if self.is_clear {
            tracing::info!(
                traffic,
                address,
                "serving client traffic insecurely; this is strongly discouraged!"
            );
        }
        if self.is_secure {
            tracing::info!(traffic, address, "serving client traffic securely");
        }
    }
}

/// What a socket accepted.
#[derive(Debug)]
pub(super) enum Raw {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Bound {
    /// Where others reach it; `None` of a Unix socket.
    pub(crate) fn address(&self) -> io::Result<Option<SocketAddr>> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().map(Some),
            Socket::Unix { .. } => Ok(None),
        }
    }

    /// Where it listens, also when that is a file.
    pub(crate) fn at(&self) -> At {
        let address = match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().map(|address| address.to_string()),
            Socket::Unix { removed, .. } => Ok(removed.path.display().to_string()),
        };
        // A socket without an address fails elsewhere; the log can do without.
        let address = address.unwrap_or_default();
        At { address, is_clear: self.is_clear, is_secure: self.is_secure }
    }

    /// Waits for the next connection. Dropping the future loses none.
    pub(super) async fn accept(&self) -> io::Result<Raw> {
        match &self.socket {
            Socket::Tcp(listener) => {
                listener.accept().await.map(|(stream, address)| Raw::Tcp(stream, address))
            }
            Socket::Unix { listener, .. } => {
                listener.accept().await.map(|(stream, _)| Raw::Unix(stream))
            }
        }
    }
}

impl Raw {
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(_, address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Sets what connections have in common.
    pub(super) fn prepare(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream, _) => prepare(stream),
            Self::Unix(_) => Ok(()),
        }
    }

    /// Whether a far end that may speak in clear or not begins with TLS. The caller bounds the
    /// time.
    pub(super) async fn begins_secure(&self) -> io::Result<bool> {
        let Self::Tcp(stream, _) = self else { return Ok(false) };
        let mut first = [0];
        Ok(stream.peek(&mut first).await? == 1 && first[0] == HANDSHAKE_RECORD)
    }

    pub(super) fn into_stream(self) -> Box<dyn Stream> {
        match self {
            Self::Tcp(stream, _) => Box::new(stream),
            Self::Unix(stream) => Box::new(stream),
        }
    }
}

/// Sets what connections over TCP have in common: small messages leave at once, and a far end
/// that is gone is noticed.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE)?;
    Ok(())
}

/// Binds a socket for each address of `urls`, which a flag gave. With `reuse_port` other sockets
/// may be bound to the same port, if they ask for it too; Unix sockets have none.
///
/// # Errors
/// What cannot be bound, and why.
pub(crate) fn bind(urls: &[String], flag: &str, reuse_port: bool) -> anyhow::Result<Vec<Bound>> {
    let mut places: BTreeMap<&str, (bool, bool, &String)> = BTreeMap::new();
    for url in urls {
        let place = place(url);
        let entry = places.entry(place).or_insert((false, false, url));
        entry.0 |= !is_secure(url);
        entry.1 |= is_secure(url);
    }
    let mut all = Vec::with_capacity(places.len());
    for (is_clear, is_secure, url) in places.into_values() {
        let socket = if is_unix(url) {
            if is_clear && is_secure {
                bail!("{flag}: {url}: one socket is either unix or unixs");
            }
            unix(Path::new(place(url)))
        } else {
            let address =
                bind_address(url).map_err(|reason| anyhow::anyhow!("{flag}: {reason}"))?;
            tcp(address, reuse_port)
        };
        let socket = socket.with_context(|| format!("{flag}: cannot listen on {url}"))?;
        all.push(Bound { socket, is_clear, is_secure });
    }
    Ok(all)
}

fn is_unix(url: &str) -> bool {
    url.starts_with("unix:") || url.starts_with("unixs:")
}

/// What stands behind the scheme: `host:port`, or the path of a socket.
fn place(url: &str) -> &str {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    if place == url { url.split_once(':').map_or(url, |(_, place)| place) } else { place }
}

/// `SO_REUSEADDR` is always set: a server that is started again need not wait until the
/// connections of the last one are forgotten.
fn tcp(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(reuse_port)?;
    socket.bind(address)?;
    socket.listen(BACKLOG).map(Socket::Tcp)
}

fn unix(path: &Path) -> io::Result<Socket> {
    // What a process that was killed left behind. Nothing but a socket is removed.
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    Ok(Socket::Unix { listener, removed: Removed { path: path.to_owned() } })
}
