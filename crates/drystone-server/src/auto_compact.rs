//! Compaction that nobody asks for.

use crate::access::Authority;
use crate::config::AutoCompaction;
use crate::shared::Shared;
use drystone_api::errors::EtcdError;
use drystone_api::etcdserverpb::{CompactionRequest, InternalRaftRequest};
use drystone_member::{Compactor, Retention};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// Compacts, as the leader, what need not be kept, until told to stop. The messages are those
/// that etcd's operators look for.
pub(crate) async fn auto_compact(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mode = shared.config.auto_compaction;
    let retention = match mode {
        AutoCompaction::Off => return,
        AutoCompaction::Periodic(period) => Retention::Period(period),
        AutoCompaction::Revisions(kept) => Retention::Revisions(kept),
    };
    let mut compactor = Compactor::new(retention, shared.now());
    loop {
        compactor.sample(shared.revision());
        tokio::select! {
            () = tokio::time::sleep(compactor.pause()) => {}
            _ = stop.changed() => return,
        }
        let leads = shared.status.is_leader.load(Ordering::Acquire);
        let revision = shared.revision();
        let Some(target) = compactor.turn(shared.now(), revision, leads) else { continue };
        if compact(&shared, &compactor, retention, target).await {
            compactor.done(shared.now(), target);
        }
    }
}

/// Compacts up to `revision`; true when that is done, also when it was before.
async fn compact(
    shared: &Shared,
    compactor: &Compactor,
    retention: Retention,
    revision: i64,
) -> bool {
    let (mode, kept) = match retention {
        Retention::Period(period) => ("periodic", format!("compact-period {period:?}")),
        Retention::Revisions(kept) => ("revision", format!("revision-compaction-retention {kept}")),
    };
    tracing::info!(revision, kept, "starting auto {mode} compaction");
    let began = shared.now();
    let compaction = CompactionRequest { revision, physical: false };
    let request = InternalRaftRequest { compaction: Some(compaction), ..Default::default() };
    let took = |now: Duration| format!("{:?}", now.saturating_sub(began));
    match shared.propose(&Authority::of_this_member(), request).await {
        Ok(_) | Err(EtcdError::Compacted) => {
            let took = took(shared.now());
            tracing::info!(revision, kept, took, "completed auto {mode} compaction");
            true
        }
        Err(error) => {
            let again_in = format!("{:?}", compactor.pause());
            tracing::warn!(revision, kept, again_in, %error, "failed auto {mode} compaction");
            false
        }
    }
}
