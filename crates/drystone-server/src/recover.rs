//! From a data directory to a member that can run: a new one is founded, an old one restored.

use crate::config::{Bootstrap, Config};
use crate::founding::Beginning;
use crate::join::Joining;
use crate::layout::Layout;
use crate::metrics::{LogDisk, MeasuredStore, Metrics};
use crate::shared::ReadToken;
use anyhow::{Context, bail};
use drystone_backend::{Backend, Batch};
use drystone_machine::{Change, Machine, MachineConfig, Membership};
use drystone_member::{
    Applier, ApplierConfig, ForcedFrom, Founding, LogWriter, Node, NodeConfig, force_alone,
};
use drystone_raft::{Recovered, Replica};
use drystone_rocks::RocksBackend;
use drystone_types::{Applied, ClusterId, Entry, EntryKind, LogIndex, MemberId};
use drystone_wal::{Disk, Identity, Wal};
use rand::SeedableRng;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long reads may stay unanswered before their round is repeated (etcd: 500 ms).
const READ_RETRY: Duration = Duration::from_millis(500);
/// How long the log is kept for the receiver of a snapshot (etcd: 30 s).
const SNAPSHOT_HOLD: Duration = Duration::from_secs(30);
/// How long a lease that was asked to end is left alone before it is asked again (etcd: 3 s).
const EXPIRY_RETRY: Duration = Duration::from_secs(3);
/// How often the remaining time of long leases is logged (etcd: 5 min).
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(300);
/// Leases whose ends are on their way at once, and so the most that one look at the clock adds
/// to what clients wait for (etcd: 500 a pass).
const EXPIRIES_MAX: usize = 250;
/// Leases whose remaining time one look at the clock logs (etcd: 1,000 a second).
const CHECKPOINTS_MAX: usize = 100;

/// The parts of a member, restored.
pub(crate) struct Parts {
    pub(crate) cluster: ClusterId,
    pub(crate) member: MemberId,
    pub(crate) node: Node<ReadToken>,
    pub(crate) log: LogWriter,
    pub(crate) applier: Applier<ReadToken>,
    pub(crate) membership: Membership,
    /// The membership when all of the log is applied: whom to talk with.
    pub(crate) expected: Membership,
    pub(crate) applied: Applied,
}

/// Opens the store in a folder, with the memory that the configuration allows.
pub(crate) fn open_store(
    config: &Config,
    metrics: &Metrics,
    dir: &Path,
) -> anyhow::Result<Arc<dyn Backend>> {
    let settings = drystone_rocks::Config {
        block_cache_bytes: config.block_cache_bytes,
        write_buffer_bytes: config.write_buffer_bytes,
        ..drystone_rocks::Config::default()
    };
    let store = RocksBackend::open(dir, settings)
        .with_context(|| format!("cannot open the store in {}", dir.display()))?;
    Ok(Arc::new(MeasuredStore::new(store, &metrics.store)))
}

/// Begins a new member, or restores the one that the data directory holds.
pub(crate) fn recover(
    config: &Config,
    layout: &Layout,
    metrics: &Metrics,
    seed: u64,
    beginning: &Beginning,
) -> anyhow::Result<Parts> {
    layout.create()?;
    let disk: Arc<dyn Disk> = Arc::new(LogDisk::new(metrics.log.work.clone()));
    let wal_config =
        drystone_wal::Config { checksum_seed: seed, ..drystone_wal::Config::default() };
    let has_log = Wal::exists(disk.as_ref(), layout.wal())?;
    let identity = layout.identity()?;
    let (mut wal, mut recovered, identity, store_dir) = match identity {
        Some((cluster, member)) if has_log => {
            let identity = Identity { cluster, member };
            let dir = layout.current_store()?;
            let (wal, recovered) =
                Wal::open(disk, layout.wal(), wal_config, identity, LogIndex(0))?;
            let dir = choose_store(config, layout, metrics, &dir, recovered.start.index)?;
            (wal, recovered, identity, dir)
        }
        None if has_log => bail!(
            "{} holds a log but the data directory does not say whose; restore the whole data \
             directory or start with an empty one",
            layout.wal().display()
        ),
        // An identity without a log: the first start was cut short before anything was
        // promised, so it begins again.
        _ => {
            let (wal, first_log, identity) = match beginning {
                Beginning::Joiner(joining) => enter(joining, layout, disk, wal_config)?,
                Beginning::Founder | Beginning::Restored => {
                    found(config, layout, disk, wal_config)?
                }
            };
            (wal, first_log, identity, layout.current_store()?)
        }
    };
    if let Some(torn) = &recovered.torn {
        tracing::warn!(
            file = %torn.file.display(),
            offset = torn.offset,
            "cut off a write that was never finished"
        );
    }
    layout.set_current_store(&store_dir)?;
    layout.sweep(&store_dir)?;
    let store = open_store(config, metrics, &store_dir)?;
    let applier = Applier::open(store, applier_config(config))?;
    if config.force_new_cluster {
        force(config, identity, &mut wal, &mut recovered, applier.machine())?;
    }
    assemble(config, seed, identity, wal, recovered, applier)
}

/// The first log of a new cluster's member.
fn found(
    config: &Config,
    layout: &Layout,
    disk: Arc<dyn Disk>,
    wal_config: drystone_wal::Config,
) -> anyhow::Result<(Wal, drystone_wal::Recovered, Identity)> {
    let founding = Founding::new(&config.initial_cluster, &config.initial_cluster_token)?;
    let member = founding.id_of(&config.name).with_context(|| {
        format!("couldn't find local name {:?} in the initial cluster configuration", config.name)
    })?;
    layout.set_identity(founding.cluster, member)?;
    let identity = Identity { cluster: founding.cluster, member };
    let founding = match &config.bootstrap {
        // Each member made up names for the others.
        Bootstrap::Srv(_) => founding.without_names(),
        Bootstrap::Listed { .. } | Bootstrap::Registry(_) => founding,
    };
    let (entries, hard_state) = founding.log();
    let mut wal = Wal::create(disk, layout.wal(), wal_config, identity)?;
    wal.append_and_sync(&entries, Some(hard_state))?;
    let last = wal.last();
    let recovered =
        drystone_wal::Recovered { hard_state, last, entries, ..drystone_wal::Recovered::default() };
    Ok((wal, recovered, identity))
}

/// Makes this member the only one of its cluster, in its own log.
fn force(
    config: &Config,
    identity: Identity,
    wal: &mut Wal,
    recovered: &mut drystone_wal::Recovered,
    machine: &Machine,
) -> anyhow::Result<()> {
    let from = ForcedFrom {
        membership: machine.membership(),
        applied: machine.applied().index,
        hard_state: recovered.hard_state,
        entries: &recovered.entries,
        last: recovered.last.index,
        learners_max: config.learners_max,
    };
    let own = identity.member;
    let forced = force_alone(own, &config.initial_advertise_peer_urls, from)
        .context("--force-new-cluster")?;
    wal.append_and_sync(&forced.entries, Some(forced.hard_state))?;
    tracing::warn!(
        member = %own,
        changes = forced.entries.len(),
        "forcing restart member: the cluster is this member alone; start it without \
         --force-new-cluster from now on"
    );
    recovered.entries.extend(forced.entries);
    recovered.hard_state = forced.hard_state;
    recovered.last = wal.last();
    Ok(())
}

/// The empty log of a member that joins: the leader gives it entries or a snapshot.
fn enter(
    joining: &Joining,
    layout: &Layout,
    disk: Arc<dyn Disk>,
    wal_config: drystone_wal::Config,
) -> anyhow::Result<(Wal, drystone_wal::Recovered, Identity)> {
    let leftover = layout.current_store()?;
    if leftover.exists() && joining.replaces {
        layout.discard_stores()?;
    } else if leftover.exists() {
        bail!(
            "{} holds a store, but there is no log for it in {}; a member that joins begins with \
             an empty data directory",
            leftover.display(),
            layout.wal().display()
        );
    }
    layout.set_identity(joining.cluster, joining.member)?;
    let identity = Identity { cluster: joining.cluster, member: joining.member };
    let wal = Wal::create(disk, layout.wal(), wal_config, identity)?;
    Ok((wal, drystone_wal::Recovered::default(), identity))
}

/// What the membership becomes by the entries behind what is applied. It is a guess, since not
/// all of them need be committed; it only tells whom to talk with.
fn expected(membership: &Membership, applied: LogIndex, entries: &[Entry]) -> Membership {
    let mut expected = membership.clone();
    let is_change = |entry: &&Entry| entry.kind == EntryKind::ConfChange && entry.index > applied;
    for entry in entries.iter().filter(is_change) {
        if let Ok((_, change)) = Change::decode(&entry.data)
            && expected.check(&change, usize::MAX).is_ok()
        {
            expected.apply(change, &mut Batch::new());
        }
    }
    expected
}

/// The store to go on with: the current one, or the snapshot that the log already counts on
/// when the crash came between the two.
fn choose_store(
    config: &Config,
    layout: &Layout,
    metrics: &Metrics,
    current: &Path,
    log_start: LogIndex,
) -> anyhow::Result<std::path::PathBuf> {
    let holds = |dir: &Path| -> anyhow::Result<LogIndex> {
        if !dir.exists() {
            return Ok(LogIndex(0));
        }
        Ok(open_store(config, metrics, dir)?.applied().index)
    };
    let applied = holds(current)?;
    if applied >= log_start {
        return Ok(current.to_path_buf());
    }
    let incoming = layout.store_at(log_start);
    let installed = holds(&incoming)?;
    if installed < log_start {
        bail!(
            "the store in {} ends at entry {applied}, but the log in {} begins after entry \
             {log_start}; what lies between is lost. Restore the whole data directory, or remove \
             the member and add a new one",
            current.display(),
            layout.wal().display()
        );
    }
    Ok(incoming)
}

fn assemble(
    config: &Config,
    seed: u64,
    identity: Identity,
    wal: Wal,
    recovered: drystone_wal::Recovered,
    applier: Applier<ReadToken>,
) -> anyhow::Result<Parts> {
    let membership = applier.machine().membership().clone();
    let applied = applier.machine().applied();
    crate::version::refuse_newer(&membership)?;
    tracing::info!(
        cluster = %identity.cluster,
        member = %identity.member,
        applied = %applied.index,
        last = %recovered.last.index,
        entries = recovered.entries.len(),
        "restored a member"
    );
    let expected = expected(&membership, applied.index, &recovered.entries);
    let replica = Replica::new(
        drystone_raft::Config {
            election_ticks: config.election_ticks,
            proposal_bytes_max: config.max_request_bytes + (1 << 20),
            ..drystone_raft::Config::new(identity.member)
        },
        Recovered {
            hard_state: recovered.hard_state,
            conf_state: membership.conf_state(),
            start: Applied { index: recovered.before.index, term: recovered.before.term },
            entries: recovered.entries,
            applied: applied.index,
        },
        Box::new(rand::rngs::StdRng::seed_from_u64(seed)),
    )?;
    let ticks = |time: Duration| {
        let ticks = time.as_millis() / config.heartbeat_interval.as_millis().max(1);
        usize::try_from(ticks).unwrap_or(usize::MAX).max(1)
    };
    let node_config = NodeConfig {
        catchup_entries: config.snapshot_catchup_entries,
        read_retry_ticks: ticks(READ_RETRY),
        snapshot_hold_ticks: ticks(SNAPSHOT_HOLD),
        first_read_context: seed,
        ..NodeConfig::default()
    };
    Ok(Parts {
        cluster: identity.cluster,
        member: identity.member,
        node: Node::new(node_config, replica, applied.index, applied.index),
        log: LogWriter::new(wal),
        applier,
        membership,
        expected,
        applied,
    })
}

fn applier_config(config: &Config) -> ApplierConfig {
    ApplierConfig {
        machine: MachineConfig {
            store: drystone_mvcc::Config::default()
                .with_value_cache_bytes(config.value_cache_bytes),
            lease: drystone_lease::Config {
                ttl_seconds_min: config.lease_ttl_seconds_min(),
                expiry_retry: EXPIRY_RETRY,
                checkpoint_interval: Some(CHECKPOINT_INTERVAL),
                ..drystone_lease::Config::default()
            },
            learners_max: config.learners_max,
        },
        flush_entries: config.snapshot_count,
        lease_extend: config.election_timeout(),
        expiries_max: EXPIRIES_MAX,
        checkpoints_max: CHECKPOINTS_MAX,
    }
}
