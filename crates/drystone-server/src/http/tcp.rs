//! Connections over TCP, as a listener accepts them.

use super::door::Accept;
use crate::connection::{Connection, FarEnd};
use rustix::net::sockopt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// How often a silent connection is probed by the system (etcd: 30 s).
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A connection over TCP.
#[derive(Debug)]
pub(crate) struct Tcp {
    stream: TcpStream,
    address: SocketAddr,
}

impl Connection for Tcp {
    type Stream = TcpStream;

    fn address(&self) -> Option<SocketAddr> {
        Some(self.address)
    }

    async fn open(self) -> io::Result<(TcpStream, FarEnd)> {
        // Answers are small; waiting to fill a segment only delays them.
        self.stream.set_nodelay(true)?;
        sockopt::set_socket_keepalive(&self.stream, true)?;
        sockopt::set_tcp_keepidle(&self.stream, KEEPALIVE)?;
        sockopt::set_tcp_keepintvl(&self.stream, KEEPALIVE)?;
        Ok((self.stream, FarEnd::in_clear(Some(self.address))))
    }
}

/// The connections that a listener accepts.
pub(crate) fn accepted(listener: TcpListener) -> impl Accept<Tcp> {
    futures::stream::unfold(listener, |listener| async move {
        let accepted = listener.accept().await;
        Some((accepted.map(|(stream, address)| Tcp { stream, address }), listener))
    })
}
