//! One server and its clients in a simulated network.
//!
//! turmoil simulates tokio's clock and the network in one thread, a step at a time. The member's
//! own threads (consensus, log, apply, watch, flush) stay real threads on real files. The two
//! meet between steps: [`Rig::step`] lets simulated time go on by [`TICK`], then waits, with
//! simulated time at rest, until the threads have done what they were asked. So no simulated
//! deadline passes because a disk was slow, and no test depends on how fast the machine is.
//! Leases and the hub count by the runtime's clock, which here is the simulated one.
//!
//! The price: a seed repeats what the network and the clients do, but not on which side of a
//! tick's end a thread answers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::socket::{Dialer, ServerSocket, Switch, Traffic};
use bytes::Bytes;
use drystone_api::etcdserverpb as pb;
use drystone_client::Client;
use drystone_server::{Config, Load, Observer, Parsed, Server, parse};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use turmoil::net::TcpListener;

/// Simulated time of one step.
pub(crate) const TICK: Duration = Duration::from_millis(5);
/// Steps after which the threads are waited for although nothing came over the network: leases
/// and time-outs pass meanwhile.
const QUIET_STEPS: u32 = 20;
/// Steps after something came over the network in which it may pass from task to thread and back.
const BUSY_STEPS: u32 = 4;
/// Simulated time that a scenario may take.
const SCENARIO_MAX: Duration = Duration::from_secs(600);

/// Flags with which the server finds out in three seconds that a client is gone.
pub(crate) const KEEPALIVE: &[&str] =
    &["--grpc-keepalive-interval=2s", "--grpc-keepalive-timeout=1s"];

/// What goes wrong in a simulated client.
pub(crate) type Outcome = turmoil::Result;

/// A server and its clients.
pub(crate) struct Rig {
    pub(crate) sim: turmoil::Sim<'static>,
    pub(crate) traffic: Arc<Traffic>,
    observer: Arc<Mutex<Option<Observer>>>,
    stop: Arc<Notify>,
    folder: tempfile::TempDir,
    /// What the server had read when the threads were waited for last, and what they held then.
    seen: (u64, Load),
    /// Steps since something came over the network.
    quiet: u32,
}

impl Rig {
    /// A server that serves. `words` are flags for it.
    pub(crate) fn new(seed: u64, words: &[&str]) -> Self {
        // In memory, where that is to be had: no test here loses power.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let config = config(folder.path(), words);
        let mut sim = turmoil::Builder::new()
            .rng_seed(seed)
            .tick_duration(TICK)
            .simulation_duration(SCENARIO_MAX)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(10))
            .enable_random_order()
            .build();
        let traffic = Arc::new(Traffic::default());
        let observer = Arc::new(Mutex::new(None));
        let stop = Arc::new(Notify::new());
        let (for_traffic, for_observer, told) = (traffic.clone(), observer.clone(), stop.clone());
        sim.host("server", move || {
            let (config, traffic) = (config.clone(), for_traffic.clone());
            let (observer, told) = (for_observer.clone(), told.clone());
            async move {
                let listener = TcpListener::bind("0.0.0.0:2379").await?;
                let incoming = futures::stream::unfold(listener, move |listener| {
                    let traffic = traffic.clone();
                    async move {
                        let accepted = listener.accept().await;
                        let socket = accepted.map(|(stream, _)| ServerSocket::new(stream, traffic));
                        Some((socket, listener))
                    }
                });
                let incoming: Incoming = Box::pin(incoming);
                let server = Server::start_over(config, Vec::new(), vec![incoming]).await?;
                *observer.lock().unwrap() = Some(server.observer());
                told.notified().await;
                server.stop().await;
                // It keeps the store open.
                *observer.lock().unwrap() = None;
                Ok(())
            }
        });
        let seen = (0, Load::default());
        let mut rig = Self { sim, traffic, observer, stop, folder, seen, quiet: 0 };
        rig.until_it_serves();
        rig
    }

    fn until_it_serves(&mut self) {
        while self.observer.lock().unwrap().is_none() {
            self.sim.step().unwrap();
        }
    }

    /// Starts the server again, over what it left.
    pub(crate) fn restart(&mut self) {
        self.sim.bounce("server");
        self.until_it_serves();
    }

    /// Adds a client, which begins to run with the next step.
    pub(crate) fn client(&mut self, name: &str, client: impl Future<Output = Outcome> + 'static) {
        self.sim.client(name, client);
    }

    /// One tick of simulated time, and all that the member's threads make of it. True when all
    /// clients have ended.
    pub(crate) fn step(&mut self) -> (bool, Load) {
        let done = self.sim.step().unwrap();
        let read = self.traffic.read();
        self.quiet = if read == self.seen.0 { self.quiet + 1 } else { 0 };
        if self.quiet < BUSY_STEPS || self.quiet.is_multiple_of(QUIET_STEPS) {
            let observer = self.observer.lock().unwrap().clone();
            let load = observer.and_then(|observer| observer.settle()).unwrap_or_default();
            self.seen = (read, load);
        }
        (done, self.seen.1)
    }

    /// Steps until all clients have ended; `look` sees what the server holds after each.
    pub(crate) fn run(&mut self, mut look: impl FnMut(&mut Self, Load)) {
        loop {
            let (done, load) = self.step();
            look(self, load);
            if done {
                return;
            }
        }
    }

    /// Steps for so much simulated time.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.sim.elapsed() + time;
        while self.sim.elapsed() < until {
            self.step();
        }
    }

    /// Steps until the server holds nothing for anyone, within `time`.
    pub(crate) fn until_idle(&mut self, time: Duration) {
        let until = self.sim.elapsed() + time;
        loop {
            let (_, load) = self.step();
            let idle = load.waiters == 0 && load.streams == 0 && load.watchers == 0;
            let open = self.traffic.open();
            if idle && load.queued_bytes == 0 && open.is_empty() {
                return;
            }
            assert!(self.sim.elapsed() < until, "{load:?} and connections are left: {open:?}");
        }
    }

    /// Tells the server to stop.
    pub(crate) fn tell_to_stop(&self) {
        self.stop.notify_one();
    }

    /// True when the server's task has ended.
    pub(crate) fn has_stopped(&mut self) -> bool {
        !self.sim.is_host_running("server")
    }
}

impl Rig {
    /// Stops the server and hands over its data directory.
    pub(crate) fn stop(mut self) -> tempfile::TempDir {
        self.tell_to_stop();
        while !self.has_stopped() {
            self.step();
        }
        self.folder
    }
}

type Incoming =
    std::pin::Pin<Box<dyn futures::Stream<Item = std::io::Result<ServerSocket>> + Send>>;

fn config(folder: &std::path::Path, words: &[&str]) -> Config {
    let folder = format!("--data-dir={}", folder.display());
    let words = std::iter::once(folder).chain(words.iter().map(|word| (*word).to_owned()));
    match parse(words, []).unwrap() {
        Parsed::Run { config, .. } => *config,
        Parsed::Print(text) => panic!("{text}"),
    }
}

/// A client of the server, and the switch of its connections.
pub(crate) fn connect() -> (Client, Arc<Switch>) {
    connect_with(|_| {})
}

/// [`connect`] with other settings than the defaults.
pub(crate) fn connect_with(
    set: impl FnOnce(&mut drystone_client::Config),
) -> (Client, Arc<Switch>) {
    let switch = Arc::new(Switch::default());
    let mut config = drystone_client::Config::parse(["server:2379"]).unwrap();
    set(&mut config);
    (Client::over(config, Arc::new(Dialer(switch.clone()))).unwrap(), switch)
}

/// A request to write one pair.
pub(crate) fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> pb::PutRequest {
    pb::PutRequest { key: key.into(), value: value.into(), ..Default::default() }
}

/// A request for all keys that begin with `prefix`, which ends in a byte below 255.
pub(crate) fn prefix(prefix: &str) -> pb::RangeRequest {
    let (key, range_end) = bounds(prefix);
    pb::RangeRequest { key, range_end, ..Default::default() }
}

/// A watch of all keys that begin with `prefix` from a revision on.
pub(crate) fn watch(prefix: &str, start_revision: i64) -> pb::WatchCreateRequest {
    let (key, range_end) = bounds(prefix);
    pb::WatchCreateRequest { key, range_end, start_revision, ..Default::default() }
}

fn bounds(prefix: &str) -> (Bytes, Bytes) {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().unwrap() += 1;
    (Bytes::copy_from_slice(prefix.as_bytes()), end.into())
}

/// The seeds to run: `DRYSTONE_TURMOIL_SEEDS=100..200`, or the first few.
pub(crate) fn seeds(few: u64) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("DRYSTONE_TURMOIL_SEEDS") else { return 0..few };
    let (from, to) = text.split_once("..").expect("seeds are given as FROM..TO");
    from.parse().unwrap()..to.parse().unwrap()
}
