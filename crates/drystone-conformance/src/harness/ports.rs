//! Ports that nobody listens on.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range that Linux gives to outgoing connections, so that no client takes a port
/// between our look and the server's `bind`.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// Where this process looks next: a random start keeps parallel test programs apart.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// `count` different loopback ports that could be bound a moment ago.
///
/// # Errors
/// When fewer are free in the whole range that is searched.
pub fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    if NEXT.load(Ordering::Relaxed) == 0 {
        let start = rand::random_range(1..COUNT);
        // Whoever is first decides; the others go on from there.
        let _ = NEXT.compare_exchange(0, start, Ordering::Relaxed, Ordering::Relaxed);
    }
    let mut ports = Vec::with_capacity(count);
    for _ in 0..COUNT {
        if ports.len() == count {
            return Ok(ports);
        }
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            ports.push(port);
        }
    }
    if ports.len() == count {
        return Ok(ports);
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, format!("{count} free ports wanted")))
}
