//! Members that are founded, start, stop and die.

use super::{Event, HUB_TICK, LEASE_TICK, World};
use crate::clock::{Clock, MILLISECOND, Micros, SECOND};
use crate::host::{Disks, Doom, Host, Process};
use crate::plan::{Crash, Moment};
use crate::random::Draw;
use drystone_backend::{Backend, MemBackend, MemConfig};
use drystone_lease::Config as LeaseConfig;
use drystone_machine::MachineConfig;
use drystone_member::{Applier, ApplierConfig, Feed, Leadership, LogWriter, Node, NodeConfig};
use drystone_raft::{Recovered, Replica};
use drystone_types::{Applied, Entry, HardState, LogIndex, MemberId};
use drystone_wal::testing::{CrashMode, Op, Sector, SimDisk};
use drystone_wal::{Identity, Wal};
use drystone_watch::Hub;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Where every member keeps its log.
pub(super) const LOG_DIR: &str = "/wal";

impl Host {
    fn new(id: MemberId, address: u16, clock: Clock) -> Self {
        Self {
            id,
            address,
            disks: None,
            is_awaited: false,
            is_removed: false,
            is_retired: false,
            up_since: 0,
            process: None,
            incarnation: 0,
            clock,
            leaps: 0,
            paused_until: 0,
            slow_disk: (0, 0),
            slow_apply: (0, 0),
            doom: None,
            impaired: false,
        }
    }
}

impl World {
    pub(super) fn log_settings(&self, m: usize) -> (drystone_wal::Config, Identity) {
        (self.wal_config(), self.identity(m))
    }

    fn wal_config(&self) -> drystone_wal::Config {
        drystone_wal::Config {
            segment_bytes: self.knobs.segment_bytes,
            recycle_segments_max: self.knobs.recycle_segments_max,
            buffer_bytes_max: self.knobs.wal_buffer_bytes_max,
            checksum_seed: self.seed,
            ..drystone_wal::Config::default()
        }
    }

    fn identity(&self, m: usize) -> Identity {
        Identity { cluster: self.founding.cluster, member: self.hosts[m].id }
    }

    /// Makes the disks of a new cluster and starts its members.
    pub(super) fn found(&mut self) {
        let founders = self.founding.members.clone();
        for member in &founders {
            let address = member.name.strip_prefix('m').and_then(|number| number.parse().ok());
            self.new_host(member.member_id(), address.unwrap_or(0));
        }
        let (entries, hard_state) = self.founding.log();
        for m in 0..self.hosts.len() {
            self.new_disks(m, &entries, Some(hard_state));
        }
        for m in 0..self.hosts.len() {
            self.start(m);
        }
    }

    /// A machine more, with nothing on it.
    pub(super) fn new_host(&mut self, id: MemberId, address: u16) -> usize {
        let most = self.knobs.drift_ppm_max;
        let start = self.timing.random_range(0..1_000 * SECOND);
        let ppm = self.timing.random_range(-most..=most);
        self.numbers.insert(id, self.hosts.len());
        self.hosts.push(Host::new(id, address, Clock::new(start, ppm)));
        self.judges.joined(id);
        self.hosts.len() - 1
    }

    /// Empty disks, and on them a log that begins with these entries.
    pub(super) fn new_disks(&mut self, m: usize, entries: &[Entry], hard_state: Option<HardState>) {
        let sector = if self.knobs.large_sectors { Sector::Bytes4096 } else { Sector::Bytes512 };
        let log = SimDisk::with_sector(self.disk_rng.random(), sector);
        let (config, identity) = (self.wal_config(), self.identity(m));
        let mut wal = Wal::create(Arc::new(log.clone()), Path::new(LOG_DIR), config, identity)
            .expect("a new disk takes a new log");
        if !entries.is_empty() {
            wal.append_and_sync(entries, hard_state).expect("a new disk takes entries");
        }
        let unflushed_batches_max = self.knobs.unflushed_batches_max;
        let store = MemBackend::with_config(MemConfig { unflushed_batches_max });
        self.hosts[m].disks = Some(Disks { log, store, received: BTreeMap::new() });
        self.judges.raft.founded(m, entries, hard_state.unwrap_or_default());
    }

    /// Starts a member from its disks. A start that the disk refuses while a fault is on is
    /// tried again later; without one it is held against the member.
    pub(super) fn start(&mut self, m: usize) {
        match self.assemble(m) {
            Ok(process) => {
                let removed = process.applier.machine().membership().is_removed(self.hosts[m].id);
                let host = &mut self.hosts[m];
                host.process = Some(process);
                host.up_since = self.now;
                let incarnation = host.incarnation;
                self.counts.starts += 1;
                self.trace.say(self.now, format_args!("m{m} starts"));
                let tick = self.tick_span(m);
                let first = self.timing.random_range(1..=tick);
                self.after(first, Event::Tick(m, incarnation));
                self.after(LEASE_TICK, Event::Leases(m, incarnation));
                self.after(HUB_TICK, Event::HubTick(m, incarnation));
                let applied = process_applied(self.hosts[m].process.as_ref());
                self.judges.raft.installed(m, applied);
                self.confirm_start(m);
                let roll = &self.judges.raft.roll;
                let process = self.hosts[m].process.as_ref();
                self.judges.store.started(self.now, m, (process, roll));
                if removed {
                    // A server refuses to start then.
                    self.retire(m);
                }
            }
            Err(error) => {
                self.trace.say(self.now, format_args!("m{m} cannot start: {error:#}"));
                if !self.hosts[m].impaired {
                    self.judges.blame(
                        "life",
                        "a member starts from what it left",
                        format!("m{m} at {} us: {error:#}", self.now),
                    );
                }
                self.counts.starts_refused += 1;
                self.mend_disk(m);
                self.come_back(m, 500);
            }
        }
    }

    pub(super) fn start_again(&mut self, m: usize, incarnation: u64) {
        let host = &self.hosts[m];
        let may = host.disks.is_some() && !host.is_retired;
        if host.incarnation == incarnation && host.process.is_none() && may {
            self.start(m);
        }
    }

    /// The store to go on with, as the server chooses it: the current one, or the snapshot that
    /// the log already counts on when the crash came between the two.
    fn choose_store(disks: &mut Disks, log_start: LogIndex) -> anyhow::Result<()> {
        if disks.store.applied().index < log_start {
            let installed = disks.received.remove(&log_start);
            let installed =
                installed.filter(|store| store.applied().index >= log_start).ok_or_else(|| {
                    anyhow::anyhow!(
                        "the store ends at {} and the log begins after {log_start}",
                        disks.store.applied().index
                    )
                })?;
            disks.store = installed;
            drystone_probe::mark!("sim.started_from_received_snapshot");
        }
        disks.received.clear();
        Ok(())
    }

    fn assemble(&mut self, m: usize) -> anyhow::Result<Process> {
        let (config, identity) = (self.wal_config(), self.identity(m));
        let (election_seed, first_read_context) =
            (self.elections.random(), self.elections.random());
        let hub_seed = self.elections.random();
        let Some(disks) = &mut self.hosts[m].disks else { anyhow::bail!("the disk is lost") };
        let disk = Arc::new(disks.log.clone());
        let (wal, recovered) = Wal::open(disk, Path::new(LOG_DIR), config, identity, LogIndex(0))?;
        self.judges.raft.recovered(self.now, m, &recovered);
        self.judges.stall.started(m);
        self.judges.expiry.started(m);
        Self::choose_store(disks, recovered.start.index)?;
        let store = disks.store.clone();
        let applier = Applier::open(Arc::new(store), self.applier_config())?;
        let applied = applier.machine().applied();
        let replica = Replica::new(
            drystone_raft::Config {
                election_ticks: self.knobs.election_ticks,
                entry_bytes_max_per_message: self.knobs.message_bytes_max,
                inflight_messages_max: self.knobs.inflight_messages_max,
                uncommitted_bytes_max: self.knobs.uncommitted_bytes_max,
                unapplied_bytes_max: self.knobs.uncommitted_bytes_max
                    + self.knobs.unapplied_bytes_more,
                committed_bytes_max_per_ready: self.knobs.committed_bytes_max_per_ready,
                ..drystone_raft::Config::new(self.hosts[m].id)
            },
            Recovered {
                hard_state: recovered.hard_state,
                conf_state: applier.machine().membership().conf_state(),
                start: Applied { index: recovered.before.index, term: recovered.before.term },
                entries: recovered.entries,
                applied: applied.index,
            },
            Box::new(StdRng::seed_from_u64(election_seed)),
        )?;
        let node_config = NodeConfig {
            catchup_entries: self.knobs.catchup_entries,
            reads_max: self.knobs.reads_max,
            read_retry_ticks: self.knobs.read_retry_ticks,
            first_read_context,
            snapshot_hold_ticks: self.knobs.snapshot_hold_ticks,
            log_bytes_max: self.knobs.log_bytes_max,
        };
        let snapshot = applier.machine().reader().snapshot();
        let (revision, compacted) = (snapshot.revision(), snapshot.compacted());
        let sweeping = applier.machine().is_sweeping();
        Ok(Process {
            awake: [false; 4],
            node: Node::new(node_config, replica, applied.index, applied.index),
            inbox: VecDeque::new(),
            parked: VecDeque::new(),
            changes: Vec::new(),
            announcement: None,
            started: false,
            serving: false,
            tick_due: false,
            told_persisted: 0,
            told_applied: 0,
            log: LogWriter::new(wal),
            log_inputs: VecDeque::new(),
            syncing: false,
            cut_log: None,
            log_rounds: 0,
            applier,
            apply_inputs: VecDeque::new(),
            apply_busy_until: 0,
            news: None,
            long_reads: BTreeMap::new(),
            sweeping,
            sweep_due: false,
            leases_due: false,
            swept_waiters: Vec::new(),
            flushing: false,
            flush_again: false,
            hub: Hub::new(self.hub_config(), hub_seed, revision, compacted),
            feed: Feed::new(revision, compacted, self.knobs.feed_bytes_max),
            commands: VecDeque::new(),
            outlets: BTreeMap::new(),
            drained: Vec::new(),
            asks: BTreeMap::new(),
            leadership: Leadership::default(),
            persisted: 0,
            applied: applied.index.0,
            applied_term: applied.term.0,
            flushed: 0,
        })
    }

    fn applier_config(&self) -> ApplierConfig {
        let knobs = &self.knobs;
        ApplierConfig {
            machine: MachineConfig {
                store: drystone_mvcc::Config::default()
                    .with_value_cache_bytes(knobs.value_cache_bytes),
                lease: LeaseConfig {
                    ttl_seconds_min: knobs.ttl_seconds_min,
                    expiry_retry: Duration::from_millis(knobs.expiry_retry_ms),
                    spread_leases_min: knobs.spread_leases_min,
                    spread_expiries_per_second_max: knobs.spread_leases_min,
                    checkpoint_interval: Some(Duration::from_millis(knobs.checkpoint_interval_ms)),
                },
                learners_max: knobs.learners_max,
            },
            flush_entries: knobs.flush_entries,
            lease_extend: Duration::from_millis(knobs.election_ms()),
            expiries_max: knobs.expiries_max,
            checkpoints_max: knobs.expiries_max,
        }
    }

    fn hub_config(&self) -> drystone_watch::Config {
        let knobs = &self.knobs;
        drystone_watch::Config {
            queue_responses_max: knobs.queue_responses_max,
            queue_bytes_max: knobs.queue_bytes_max,
            queues_bytes_max: knobs.queues_bytes_max,
            response_revisions_max: knobs.response_revisions_max,
            response_bytes_max: knobs.response_bytes_max,
            fragment_bytes: knobs.fragment_bytes,
            catch_up_watchers_max: knobs.catch_up_watchers_max,
            catch_up_deliveries_max: 8 * knobs.catch_up_watchers_max,
            progress_interval: Duration::from_millis(knobs.progress_interval_ms),
        }
    }

    /// How long the run takes for one tick of a member's clock.
    pub(super) fn tick_span(&self, m: usize) -> Micros {
        self.hosts[m].clock.span(self.knobs.tick_ms * MILLISECOND)
    }

    /// The waiting crash strikes now.
    pub(super) fn meet_doom(&mut self, m: usize) {
        if let Some(doom) = self.hosts[m].doom.take() {
            self.counts.fault(moment_name(doom.moment));
            self.crash(m, doom.crash);
            self.come_back(m, doom.ms);
        }
    }

    /// True when a crash waits for this moment, which has come.
    pub(super) fn is_doomed(&self, m: usize, moment: Moment) -> bool {
        self.hosts[m].doom.is_some_and(|doom| doom.moment == moment)
    }

    /// Arms a crash; a later one replaces one that has not found its moment.
    pub(super) fn doom(&mut self, m: usize, doom: Doom) {
        if self.hosts[m].process.is_none() {
            return;
        }
        self.hosts[m].doom = Some(doom);
        if doom.moment == Moment::Now {
            self.meet_doom(m);
        }
    }

    /// The process ends at once; its disks keep what the kind of crash leaves.
    pub(super) fn crash(&mut self, m: usize, crash: Crash) {
        let host = &mut self.hosts[m];
        let Some(process) = host.process.take() else { return };
        host.incarnation += 1;
        host.doom = None;
        let Some(disks) = &mut host.disks else { return };
        match crash {
            Crash::Kill => disks.log.kill(),
            Crash::PowerKeep => disks.log.crash(CrashMode::Keep),
            Crash::PowerLose => disks.log.crash(CrashMode::Lose),
            Crash::PowerPrefix => disks.log.crash(CrashMode::Prefix),
            Crash::PowerScatter => disks.log.crash(CrashMode::Scatter),
            Crash::PowerZeros => disks.log.crash(CrashMode::Zeros),
        }
        // The store has no log of its own: also a process that is merely killed loses what was
        // not flushed.
        let keep = self.disk_rng.random_range(0..=disks.store.unflushed());
        disks.store = disks.store.crash(keep);
        let durable = disks.store.applied();
        self.trace.say(
            self.now,
            format_args!("m{m} ends ({crash:?}); its store holds entry {}", durable.index),
        );
        self.judges.store.crashed(self.now, m, durable.index, LogIndex(process.flushed));
        drop(process);
        self.streams_cut(m);
        self.offered.retain(|(from, _), _| *from != m);
        self.counts.crashes += 1;
    }

    /// The process ends by itself, because something failed that it must not survive. Without
    /// a fault of a disk nothing may.
    pub(super) fn give_up(&mut self, m: usize, what: &str) {
        self.trace.say(self.now, format_args!("m{m} gives up: {what}"));
        if !self.hosts[m].impaired {
            self.judges.blame(
                "life",
                "no member stops by itself",
                format!("m{m} at {} us: {what}", self.now),
            );
        }
        self.counts.stops += 1;
        // Often the power goes as well: then names that were not synced may stand as they did.
        let crash = match self.disk_rng.random_range(0..4) {
            0 => Crash::PowerScatter,
            1 => Crash::PowerPrefix,
            _ => Crash::Kill,
        };
        self.crash(m, crash);
        self.mend_disk(m);
        self.come_back(m, 300);
    }

    /// Starts the member again after a while.
    pub(super) fn come_back(&mut self, m: usize, ms: u64) {
        let at = self.now + ms * MILLISECOND;
        let incarnation = self.hosts[m].incarnation;
        self.at(at, Event::Start(m, incarnation));
    }

    /// Whatever was wrong with a disk is repaired. What failed syncs lost stays lost.
    pub(super) fn mend_disk(&mut self, m: usize) {
        let host = &mut self.hosts[m];
        host.impaired = false;
        if let Some(disks) = &mut host.disks {
            disks.log.set_capacity_bytes(None);
            disks.log.drop_caches();
            // Faults that were still to come are called off.
            disks.log.kill();
        }
    }

    /// A crash in the middle of a write or a sync of the log.
    pub(super) fn crash_in_sync(&mut self, m: usize) {
        let op = if self.disk_rng.percent(50) { Op::Write } else { Op::SyncData };
        let host = &mut self.hosts[m];
        if let (Some(disks), Some(process)) = (&host.disks, &mut host.process) {
            disks.log.fail_nth(op, 1);
            // Whatever it says, nobody hears it any more.
            let _ = process.log.sync();
        }
        self.meet_doom(m);
    }
}

/// What a member has applied when it starts.
fn process_applied(process: Option<&Process>) -> LogIndex {
    process.map_or(LogIndex(0), Process::applied_index)
}

fn moment_name(moment: Moment) -> &'static str {
    match moment {
        Moment::Now => "crash at once",
        Moment::InSync => "crash in a sync",
        Moment::AfterSync => "crash after a sync",
        Moment::AfterApply => "crash after applying",
        Moment::AfterInstall => "crash after taking over a snapshot",
        Moment::InFlush => "crash in a flush",
        Moment::InSend => "crash between messages",
    }
}
