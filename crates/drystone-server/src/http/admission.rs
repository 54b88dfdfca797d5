//! Bounds on the connections that a server holds, in all and from one address, and on how fast
//! they come.

use super::pace::Pace;
use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Descriptors that are kept for the store, the log and the other members (etcd: 150).
const RESERVED_DESCRIPTORS: u64 = 150;
/// Connections of supervisors. They are among the descriptors that are kept.
const PROBE_CONNECTIONS_MAX: usize = 64;
/// A network of IPv6 counts as one address: whoever has one address of it has all.
const NETWORK_BITS: u32 = 64;

/// Lets this process open as many descriptors as it may allow itself, as Go's runtime does.
pub(crate) fn raise_descriptors() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Descriptors that this process may open. `u64::MAX` where there is no limit.
pub(crate) fn descriptors() -> u64 {
    rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Lets connections in, up to the bounds. Listeners share one.
#[derive(Debug)]
pub(crate) struct Admission {
    room: Arc<Semaphore>,
    per_address_max: usize,
    /// Connections that are open, by where they come from. No more entries than connections.
    addresses: Mutex<HashMap<IpAddr, usize>>,
    pace: Mutex<Pace>,
}

/// The place of one connection, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    address: Option<IpAddr>,
    _room: OwnedSemaphorePermit,
}

impl Admission {
    /// As many connections as `descriptors` allow, and `per_address_max` from one address, where
    /// 0 is half of all.
    ///
    /// # Errors
    /// There are too few descriptors for any.
    pub(crate) fn new(descriptors: u64, per_address_max: usize) -> anyhow::Result<Arc<Self>> {
        if descriptors <= RESERVED_DESCRIPTORS {
            anyhow::bail!(
                "file descriptor limit of etcd process is too low; please set higher \
                 (the limit is {descriptors}, of which {RESERVED_DESCRIPTORS} are kept for files \
                 and other members)"
            );
        }
        let all = usize::try_from(descriptors - RESERVED_DESCRIPTORS).unwrap_or(usize::MAX);
        let all = all.min(Semaphore::MAX_PERMITS);
        let per_address_max = if per_address_max == 0 { all.div_ceil(2) } else { per_address_max };
        Ok(Self::of(all, per_address_max))
    }

    /// The connections of supervisors, apart from those of clients: when clients take all there
    /// are, a probe still gets through.
    pub(crate) fn for_probes() -> Arc<Self> {
        Self::of(PROBE_CONNECTIONS_MAX, PROBE_CONNECTIONS_MAX)
    }

    fn of(all: usize, per_address_max: usize) -> Arc<Self> {
        let room = Arc::new(Semaphore::new(all));
        let (addresses, pace) = (Mutex::default(), Mutex::default());
        Arc::new(Self { room, per_address_max, addresses, pace })
    }

    /// Waits until there is room for one more connection. Those that cannot be held wait in the
    /// system's queue meanwhile.
    pub(crate) async fn room(self: &Arc<Self>) -> OwnedSemaphorePermit {
        self.room.clone().acquire_owned().await.expect("nobody closes it")
    }

    /// When a connection from this address may begin; `None` when too many of its connections
    /// wait for that already.
    pub(crate) fn begin(&self, address: Option<SocketAddr>) -> Option<Instant> {
        let now = Instant::now();
        match address {
            Some(address) => self.pace.lock().begin(network(address.ip()), now),
            None => Some(now),
        }
    }

    /// Gives a connection its place; `None` when its address has too many already.
    pub(crate) fn place(
        self: &Arc<Self>,
        room: OwnedSemaphorePermit,
        address: Option<SocketAddr>,
    ) -> Option<Place> {
        let address = address.map(|address| network(address.ip()));
        if let Some(address) = address {
            let mut addresses = self.addresses.lock();
            let count = addresses.entry(address).or_default();
            if *count >= self.per_address_max {
                return None;
            }
            *count += 1;
        }
        Some(Place { admission: self.clone(), address, _room: room })
    }
}

impl Place {
    /// The connection had to be ended for what its client did: more from there begin later.
    pub(crate) fn blame(&self) {
        if let Some(address) = self.address {
            self.admission.pace.lock().blame(address, Instant::now());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut addresses = self.admission.addresses.lock();
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
        }
    }
}

/// What counts as one address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let kept = u128::MAX << (Ipv6Addr::BITS - NETWORK_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & kept))
        }
        IpAddr::V4(address) => IpAddr::V4(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    async fn place(admission: &Arc<Admission>, address: &str) -> Option<Place> {
        let room = admission.room().await;
        admission.place(room, Some(SocketAddr::new(address.parse().unwrap(), 1)))
    }

    #[tokio::test]
    async fn an_address_has_its_share_and_gets_it_back() {
        let admission = Admission::new(RESERVED_DESCRIPTORS + 4, 0).unwrap();
        let first = place(&admission, "10.0.0.1").await.unwrap();
        let second = place(&admission, "::ffff:10.0.0.1").await.unwrap();
        assert!(place(&admission, "10.0.0.1").await.is_none(), "half of four");
        let other = place(&admission, "10.0.0.2").await.unwrap();
        drop(first);
        let again = place(&admission, "10.0.0.1").await.unwrap();
        drop((second, other, again));
        assert!(admission.addresses.lock().is_empty());
    }

    #[tokio::test]
    async fn a_network_of_ipv6_is_one_address() {
        let admission = Admission::new(RESERVED_DESCRIPTORS + 4, 1).unwrap();
        let _first = place(&admission, "2001:db8::1").await.unwrap();
        assert!(place(&admission, "2001:db8::ffff:2").await.is_none());
        assert!(place(&admission, "2001:db8:0:1::1").await.is_some());
    }

    #[tokio::test]
    async fn who_finds_no_room_waits_for_it() {
        let admission = Admission::new(RESERVED_DESCRIPTORS + 1, 0).unwrap();
        let only = place(&admission, "10.0.0.1").await.unwrap();
        assert!(admission.room().now_or_never().is_none());
        drop(only);
        assert!(admission.room().now_or_never().is_some());
    }

    #[test]
    fn too_few_descriptors_are_refused_in_etcds_words() {
        let error = Admission::new(RESERVED_DESCRIPTORS, 0).unwrap_err().to_string();
        let text = "file descriptor limit of etcd process is too low; please set higher";
        assert!(error.starts_with(text), "{error}");
    }
}
