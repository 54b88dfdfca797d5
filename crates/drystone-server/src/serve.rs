//! A running member: threads started, listeners served, and all of it ended again.

use crate::access::Authority;
use crate::auto_compact::auto_compact;
use crate::brakes::Brakes;
use crate::calls::Hearers;
use crate::changes::Changes;
use crate::config::Config;
use crate::connection::Connection;
use crate::corrupt;
use crate::download::DOWNLOADS_MAX;
use crate::founding::Beginning;
use crate::http::{Accept, Admission, Face, Traffic, descriptors};
use crate::hub::{Command, HubHandle, HubThread};
use crate::ids::Ids;
use crate::inbox::INBOX_MAX;
use crate::layout::Layout;
use crate::listing::Lists;
use crate::metrics::{Metrics, follow_peers};
use crate::milestones;
use crate::observe::Observer;
use crate::passwords::Passwords;
use crate::peers::{PeerHandler, follow};
use crate::raise::Raise;
use crate::recover::{Parts, open_store, recover};
use crate::shared::{ApplyInput, Input, Shared, Status, View};
use crate::threads::{ApplyThread, MemberThread, run_flusher, run_log};
use crate::tls::{self, At, Bound};
use crate::tokens::{Tokens, follow_keys};
use anyhow::Context;
use drystone_api::etcdserverpb::InternalRaftRequest;
use drystone_api::limits::TRANSPORT_OVERHEAD_BYTES;
use drystone_api::membershippb::{Attributes, ClusterMemberAttrSetRequest};
use drystone_machine::quota::Room;
use drystone_peer::{Dial, Fetch, Listen, PeerUrl, Transport};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::task::JoinSet;

/// How long a question to another member may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two tries to tell the cluster of this member.
const PUBLISH_PAUSE: Duration = Duration::from_millis(200);
/// How long a stopping leader waits for another to take over.
const HAND_OVER_MAX: Duration = Duration::from_secs(2);
/// How long open calls may go on after the server was told to stop.
const GRACE_MAX: Duration = Duration::from_secs(2);
/// How long a removed member goes on before it ends (etcd: 1 s).
const REMOVED_PAUSE: Duration = Duration::from_secs(1);

/// A member that runs. Dropping it without [`Server::stop`] leaves its threads running.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    log_thread: Option<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    peer_tasks: Vec<tokio::task::JoinHandle<()>>,
    /// Those that answer supervisors: they end last.
    probe_tasks: Vec<tokio::task::JoinHandle<()>>,
    stop_probes: watch::Sender<bool>,
    addresses: Addresses,
}

/// Where listeners are bound.
#[derive(Debug, Default)]
struct Addresses {
    clients: Vec<SocketAddr>,
    http: Vec<SocketAddr>,
    probes: Vec<SocketAddr>,
}

/// Where clients come in.
struct Listener<A> {
    traffic: Traffic,
    /// Which URLs it is of, where it is of any.
    at: Option<At>,
    incoming: A,
}

impl Server {
    /// Restores or founds the member, starts its threads, and serves peers at once and clients
    /// as soon as the cluster knows of it. Returns when all listeners are bound.
    ///
    /// # Errors
    /// What could not be opened or bound, and why.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let mut config = config;
        tls::prepare(&mut config)?;
        let faces = tls::Faces::open(&config)?;
        milestones::configuring_listeners(&config);
        let reuse_port = config.reuse_port;
        let peers = tls::bind(&config.listen_peer_urls, "--listen-peer-urls", reuse_port)?;
        let clients = tls::bind(&config.listen_client_urls, "--listen-client-urls", reuse_port)?;
        let http_urls = &config.listen_client_http_urls;
        let http = tls::bind(http_urls, "--listen-client-http-urls", reuse_port)?;
        let probes = tls::bind(&config.listen_metrics_urls, "--listen-metrics-urls", reuse_port)?;
        let addresses = Addresses {
            clients: addresses(&clients)?,
            http: addresses(&http)?,
            probes: addresses(&probes)?,
        };
        let peers = peers.into_iter().map(|bound| tls::listening(bound, faces.peer.as_ref()));
        let peers = peers.collect();
        // With ports for HTTP of its own, the others are left to gRPC.
        let shared_port = if http.is_empty() { Traffic::All } else { Traffic::Grpc };
        let client = |traffic, bound: Bound| Listener {
            traffic,
            at: Some(bound.at()),
            incoming: tls::accepted(bound, faces.client.as_ref()),
        };
        let clients = clients.into_iter().map(|bound| client(shared_port, bound));
        let http = http.into_iter().map(|bound| client(Traffic::Http, bound));
        let mut server = Self::start_at(config, peers, clients.chain(http).collect()).await?;
        let probe = |bound: Bound| tls::accepted(bound, faces.probes.as_ref());
        server.serve_probes(probes.into_iter().map(probe).collect());
        server.addresses = addresses;
        let _ = server.shared.faces.set(faces);
        milestones::serving(&server.shared);
        Ok(server)
    }

    /// [`Server::start`] with connections that come from elsewhere than the configured URLs:
    /// those of other members from `peers`, those of clients from `clients`.
    ///
    /// # Errors
    /// What could not be opened, and why.
    pub async fn start_over<A: Accept<C>, C: Connection>(
        config: Config,
        peers: Vec<Box<dyn Listen>>,
        clients: Vec<A>,
    ) -> anyhow::Result<Self> {
        let listener = |incoming| Listener { traffic: Traffic::All, at: None, incoming };
        let clients = clients.into_iter().map(listener).collect();
        Self::start_at(config, peers, clients).await
    }

    async fn start_at<A: Accept<C>, C: Connection>(
        config: Config,
        peers: Vec<Box<dyn Listen>>,
        clients: Vec<Listener<A>>,
    ) -> anyhow::Result<Self> {
        let mut config = config;
        let admission = Admission::new(descriptors(), config.connections_per_address_max)?;
        let layout = Layout::new(&config.data_dir, config.wal_dir.as_deref());
        let beginning = crate::founding::beginning(&mut config, &layout).await?;
        let initialized = matches!(beginning, Beginning::Restored);
        milestones::starting(&config, initialized);
        let seed: u64 = rand::random();
        let metrics = Metrics::new(config.metrics_extensive);
        let (parts, beginning) = {
            let (config, layout) = (config.clone(), layout.clone());
            let metrics = metrics.clone();
            let recover = move || {
                let parts = recover(&config, &layout, &metrics, seed, &beginning);
                parts.map(|parts| (parts, beginning))
            };
            tokio::task::spawn_blocking(recover).await??
        };
        let found = parts.applier.machine().reader().snapshot();
        let (shared, mut server) = launch(config, layout, metrics, parts, seed)?;
        milestones::started(&shared, initialized);
        let transport = shared.transport.get().context("the transport was just set")?.clone();
        if let Beginning::Joiner(joining) = beginning {
            for (id, urls) in joining.others {
                transport.add_remote(id, urls);
            }
        }
        for listener in peers {
            let transport = transport.clone();
            server.peer_tasks.push(tokio::spawn(async move { transport.serve(listener).await }));
        }
        if let Err(differs) = corrupt::check_at_start(&shared, found).await {
            server.stop().await;
            return Err(differs);
        }
        let announced = announce(shared.clone(), clients, admission, server.stop.subscribe());
        server.tasks.push(tokio::spawn(announced));
        let stop = || server.stop.subscribe();
        let versions = crate::version::keep(shared.clone(), stop());
        let downgrades = crate::version::end_downgrades(shared.clone(), stop());
        server.tasks.extend([tokio::spawn(versions), tokio::spawn(downgrades)]);
        let stores = corrupt::check_periodically(shared.clone(), stop());
        let compactions = corrupt::check_compactions(shared.clone(), stop());
        let digests = crate::digest::compare_always(shared.clone(), stop());
        let checks = [tokio::spawn(stores), tokio::spawn(compactions), tokio::spawn(digests)];
        server.tasks.extend(checks);
        server.tasks.push(tokio::spawn(follow_peers(shared.clone(), stop())));
        server.tasks.push(tokio::spawn(follow_keys(shared.tokens.clone(), stop())));
        if shared.config.auto_join {
            let vote_again = crate::rejoin::vote_again(shared.clone(), server.stop.subscribe());
            server.tasks.push(tokio::spawn(vote_again));
        }
        server.tasks.push(tokio::spawn(auto_compact(shared, server.stop.subscribe())));
        Ok(server)
    }

    /// Answers supervisors from now on, before the member is ready and until it has ended.
    fn serve_probes<A: Accept<C>, C: Connection>(&mut self, listeners: Vec<A>) {
        let face = Face::new(self.shared.clone(), Traffic::Probes);
        let admission = Admission::for_probes();
        for listener in listeners {
            let (face, admission) = (face.clone(), admission.clone());
            let serving =
                crate::http::serve(face, listener, admission, self.stop_probes.subscribe());
            self.probe_tasks.push(tokio::spawn(serving));
        }
    }

    /// The addresses that clients can reach, also where port 0 was asked for; none of a server
    /// whose connections come from elsewhere.
    #[must_use]
    pub fn client_addresses(&self) -> &[SocketAddr] {
        &self.addresses.clients
    }

    /// The addresses of `--listen-client-http-urls`, as [`Server::client_addresses`].
    #[must_use]
    pub fn http_addresses(&self) -> &[SocketAddr] {
        &self.addresses.http
    }

    /// The addresses of `--listen-metrics-urls`, as [`Server::client_addresses`].
    #[must_use]
    pub fn metrics_addresses(&self) -> &[SocketAddr] {
        &self.addresses.probes
    }

    /// Until when the certificates in force are valid, each with its face, `client` or `peer`.
    /// Blocks on files.
    #[must_use]
    pub fn certificate_expiries(&self) -> Vec<(&'static str, drystone_tls::Expiry)> {
        self.shared.faces.get().map(tls::Faces::expiries).unwrap_or_default()
    }

    /// A look at what the server holds for its clients. It may outlive the server.
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer::new(self.shared.clone())
    }

    /// Returns when the cluster knows of this member and clients are served. Without a quorum
    /// that is never.
    pub async fn ready(&self) {
        // The sender lives in what this server holds.
        let _ = self.shared.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// Returns when this member has been removed from its cluster and had a moment to pass that
    /// on and to answer who asked for it. It is to be stopped then, and its data removed.
    pub async fn removed(&self) {
        // The sender lives in what this server holds.
        let _ = self.shared.left.subscribe().wait_for(|left| *left).await;
        tokio::time::sleep(REMOVED_PAUSE).await;
    }

    /// Hands leadership over, ends open calls, flushes what waits and ends all threads.
    pub async fn stop(mut self) {
        milestones::closing(&self.shared.config);
        self.hand_over().await;
        self.shared.stopping.store(true, Ordering::Release);
        let _ = self.stop.send(true);
        end(self.tasks.drain(..)).await;
        let _ = self.stop_probes.send(true);
        end(self.probe_tasks.drain(..)).await;
        if let Some(transport) = self.shared.transport.get() {
            transport.stop().await;
        }
        end(self.peer_tasks.drain(..)).await;
        let shared = self.shared.clone();
        let threads = std::mem::take(&mut self.threads);
        let log_thread = self.log_thread.take();
        let ended = tokio::task::spawn_blocking(move || {
            shared.hub.send_blocking(Command::Stop);
            let _ = shared.inbox.send(Input::Stop);
            let _ = shared.apply.send(ApplyInput::Stop);
            for thread in threads.into_iter().chain(log_thread) {
                if thread.join().is_err() {
                    tracing::error!("a thread ended badly");
                }
            }
            // What is flushed now need not be applied again at the next start.
            let backend = shared.view.read().backend(&Authority::of_this_member()).clone();
            if let Err(error) = backend.flush() {
                tracing::error!(%error, "the store could not be flushed");
            }
            shared.hearers.close();
        });
        if ended.await.is_err() {
            tracing::error!("the member did not stop cleanly");
        }
        milestones::closed(&self.shared.config);
    }

    /// Gives leadership away, so that the others need not wait for an election timeout.
    async fn hand_over(&self) {
        let alone = self.shared.view.read().membership.members().count() < 2;
        if alone || !self.shared.status.is_leader.load(Ordering::Acquire) {
            milestones::keeps_leadership(&self.shared, alone);
            return;
        }
        let (done, told) = oneshot::channel();
        if self.shared.inbox.try_send(Input::HandOver(done)).is_err() || told.await.is_err() {
            return;
        }
        let deadline = Instant::now() + HAND_OVER_MAX;
        while self.shared.status.is_leader.load(Ordering::Acquire) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Waits a bounded time for tasks that were told to end.
async fn end(tasks: impl Iterator<Item = tokio::task::JoinHandle<()>>) {
    for task in tasks {
        let abort = task.abort_handle();
        if tokio::time::timeout(GRACE_MAX, task).await.is_err() {
            abort.abort();
        }
    }
}

/// Where sockets are reached; not those of files.
fn addresses(listeners: &[Bound]) -> std::io::Result<Vec<SocketAddr>> {
    listeners.iter().filter_map(|bound| bound.address().transpose()).collect()
}

/// Makes the shared state and starts the threads.
fn launch(
    config: Config,
    layout: Layout,
    metrics: Arc<Metrics>,
    parts: Parts,
    seed: u64,
) -> anyhow::Result<(Arc<Shared>, Server)> {
    let Parts { cluster, member, node, log, applier, membership, expected, applied } = parts;
    let (inbox, inbox_receiver) = crossbeam_channel::bounded(INBOX_MAX);
    let (apply, apply_receiver) = crossbeam_channel::unbounded();
    let (log_sender, log_receiver) = crossbeam_channel::unbounded();
    let (flush, flush_receiver) = crossbeam_channel::bounded(1);
    let machine = applier.machine();
    let snapshot = machine.reader().snapshot();
    let (hub, hub_commands) = HubHandle::new(snapshot.revision(), snapshot.compacted());
    drop(snapshot);
    let view = Arc::new(RwLock::new(View::of(machine)));
    let tokens = Tokens::open(&config.auth_token, config.auth_token_ttl)?;
    let passwords = Passwords::new(config.bcrypt_cost);
    let status = Status::default();
    status.applied.store(applied.index.0, Ordering::Release);
    status.applied_term.store(applied.term.0, Ordering::Release);
    status.flushed.store(applied.index.0, Ordering::Release);
    status.live_bytes.store(machine.live_bytes(), Ordering::Release);
    let origin = tokio::time::Instant::now();
    let dialer = tls::dialer(&config)?;
    let hearers = Hearers::open(&config, metrics.calls.clone())?;
    let shared = Arc::new(Shared {
        ids: Ids::new(member, SystemTime::now()),
        config,
        cluster,
        member,
        status,
        view: view.clone(),
        waiters: dashmap::DashMap::new(),
        inbox,
        apply,
        hub: hub.clone(),
        layout: layout.clone(),
        received: Mutex::new(BTreeMap::new()),
        transport: OnceLock::new(),
        faces: OnceLock::new(),
        fetch: Fetch::new(dialer.clone(), FETCH_TIMEOUT),
        origin,
        aside: OnceLock::new(),
        downloads: Arc::new(Semaphore::new(DOWNLOADS_MAX)),
        no_space: Raise::default(),
        view_changed: Notify::new(),
        tokens: Arc::new(tokens),
        passwords,
        stopping: AtomicBool::new(false),
        replacing: tokio::sync::Mutex::new(()),
        brakes: Brakes::new(),
        hearers,
        metrics: metrics.clone(),
        lists: Lists::new(),
        left: watch::Sender::new(false),
        ready: watch::Sender::new(false),
    });
    let own = membership.member(member);
    let is_learner = own.is_some_and(|member| member.is_learner);
    shared.status.is_learner.store(is_learner, Ordering::Release);
    if membership.is_removed(member) {
        shared.leave();
    }
    connect(&shared, &layout, &expected, dialer)?;

    let member_thread = MemberThread {
        shared: shared.clone(),
        node,
        inbox: inbox_receiver,
        log: log_sender,
        parked: VecDeque::new(),
        changes: Changes::default(),
    };
    let sweeping = applier.machine().is_sweeping();
    let room = Room::new(shared.config.quota());
    let (store_config, store_metrics) = (shared.config.clone(), metrics.clone());
    let apply_thread = ApplyThread {
        shared: shared.clone(),
        applier,
        inputs: apply_receiver,
        flush,
        hub: hub.clone(),
        open_store: Box::new(move |dir| open_store(&store_config, &store_metrics, dir)),
        swept_waiters: Vec::new(),
        sweep_began: None,
        sweeping,
        membership_since: applied.index,
        room,
    };
    let watch_config = drystone_watch::Config {
        fragment_bytes: shared.config.max_request_bytes + TRANSPORT_OVERHEAD_BYTES,
        progress_interval: shared.config.watch_progress_interval,
        ..drystone_watch::Config::default()
    };
    let hub_thread = HubThread::new(watch_config, seed, hub, hub_commands, view, origin, metrics);
    let for_log = shared.clone();
    let for_flusher = shared.clone();
    let threads = vec![
        spawn("member", move || member_thread.run())?,
        spawn("apply", move || apply_thread.run())?,
        spawn("watch", move || hub_thread.run())?,
        spawn("flush", move || run_flusher(&for_flusher, &flush_receiver))?,
    ];
    // The log's thread ends when the member's thread has, and everything appended is synced.
    let log_thread = spawn("log", move || run_log(&for_log, log, &log_receiver))?;
    let (stop, _) = watch::channel(false);
    let (stop_probes, _) = watch::channel(false);
    let server = Server {
        shared: shared.clone(),
        threads,
        log_thread: Some(log_thread),
        stop,
        tasks: Vec::new(),
        peer_tasks: Vec::new(),
        probe_tasks: Vec::new(),
        stop_probes,
        addresses: Addresses::default(),
    };
    Ok((shared, server))
}

/// Starts a thread. It belongs to the runtime, whose clock so is its clock too.
fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _belongs = runtime.enter();
            body();
        })
        .with_context(|| format!("cannot start the {name} thread"))
}

/// Starts to talk with the other members.
fn connect(
    shared: &Arc<Shared>,
    layout: &Layout,
    membership: &drystone_machine::Membership,
    dialer: Arc<dyn Dial>,
) -> anyhow::Result<()> {
    let parse = |urls: &[String]| -> Vec<PeerUrl> {
        urls.iter().filter_map(|url| url.parse().ok()).collect()
    };
    let mut config = drystone_peer::Config::new(shared.member, shared.cluster);
    config.peer_urls = parse(&shared.config.initial_advertise_peer_urls);
    config.read_timeout = shared.config.raft_read_timeout;
    config.write_timeout = shared.config.raft_write_timeout;
    let handler = PeerHandler { shared: Arc::downgrade(shared), layout: layout.clone() };
    let transport = Transport::new(config, Arc::new(handler), dialer)?;
    follow(&transport, membership);
    shared.transport.set(transport).map_err(|_| anyhow::anyhow!("the transport is set already"))
}

/// Tells the cluster this member's name and client URLs, then serves clients.
async fn announce<A: Accept<C>, C: Connection>(
    shared: Arc<Shared>,
    listeners: Vec<Listener<A>>,
    admission: Arc<Admission>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let attributes = Attributes {
            name: shared.config.name.clone(),
            client_urls: shared.config.advertise_client_urls.clone(),
        };
        let known = {
            let view = shared.view.read();
            view.membership.member(shared.member).is_some_and(|member| {
                member.name == attributes.name && member.client_urls == attributes.client_urls
            })
        };
        // A restarted member that the cluster knows already still waits for a leader, so that
        // what it serves first is not older than what it served last.
        let done = if known {
            shared.confirm_read().await.is_ok()
        } else {
            let request = InternalRaftRequest {
                cluster_member_attr_set: Some(ClusterMemberAttrSetRequest {
                    member_id: shared.member.0,
                    member_attributes: Some(attributes),
                }),
                ..Default::default()
            };
            shared.propose(&Authority::of_this_member(), request).await.is_ok()
        };
        if done {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(PUBLISH_PAUSE) => {}
            _ = stop.changed() => return,
        }
    }
    // Entries that were applied before may have made tokens known anew that ended long ago: a
    // member that comes back knows none.
    shared.tokens.end_all();
    tracing::info!(
        "local-member-id" = %shared.member,
        "cluster-id" = %shared.cluster,
        "publish-timeout" = crate::slow::go_duration(shared.config.request_timeout()),
        "published local member to cluster through raft"
    );
    tracing::info!(
        name = shared.config.name,
        urls = shared.config.advertise_client_urls.join(","),
        "ready to serve client requests"
    );
    shared.ready.send_replace(true);
    // A set ends its tasks when it is dropped, so that ending this task ends them too.
    let mut served = JoinSet::new();
    for Listener { traffic, at, incoming } in listeners {
        let face = Face::new(shared.clone(), traffic);
        served.spawn(crate::http::serve(face, incoming, admission.clone(), stop.clone()));
        if let Some(at) = at {
            at.tell_served(traffic.name());
        }
    }
    while served.join_next().await.is_some() {}
}
