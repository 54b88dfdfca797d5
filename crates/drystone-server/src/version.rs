//! The version that all members can live with, and the way down to an older one.
//!
//! The cluster's version is replicated. The leader raises it when every member runs a newer
//! release, and lowers it when an operator began a downgrade (etcd's
//! `server/etcdserver/version`). Members whose own release is older than the cluster's do not
//! start.

use crate::access::Authority;
use crate::shared::Shared;
use drystone_api::etcdserverpb::InternalRaftRequest;
use drystone_api::membershippb::{ClusterVersionSetRequest, DowngradeInfoSetRequest};
use drystone_machine::Membership;
use drystone_peer::{ApiVersion, PeerUrl, VersionInfo};
use futures::future::join_all;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// How often the leader compares the members' versions (etcd: 4 s).
const VERSION_INTERVAL: Duration = Duration::from_secs(4);
/// How often it looks while the cluster has no version yet.
const FIRST_VERSION_PAUSE: Duration = Duration::from_millis(500);

/// The server's own version, as other members see it.
pub(crate) const OWN: ApiVersion = ApiVersion::new(3, 7, 1);
/// From here on the version of stored data is written down (etcd 3.6).
const STORAGE_VERSION_SINCE: (u64, u64) = (3, 6);

/// A version as the cluster's version is written: the fix release plays no part in it.
pub(crate) fn release(version: ApiVersion) -> ApiVersion {
    ApiVersion { patch: 0, ..version }
}

/// True when a cluster of version `from` may be lowered to `to`: by one minor release.
pub(crate) fn may_lower(from: ApiVersion, to: ApiVersion) -> bool {
    from.major == to.major && from.minor == to.minor + 1
}

/// The version of the cluster, once it is decided.
pub(crate) fn cluster(membership: &Membership) -> Option<ApiVersion> {
    membership.version().and_then(|version| version.parse().ok())
}

/// The version of the stored data: it follows the cluster's; none before etcd wrote it down.
pub(crate) fn storage(membership: &Membership) -> Option<String> {
    let version = cluster(membership)?;
    (version.release() >= STORAGE_VERSION_SINCE).then(|| release(version).to_string())
}

/// The versions that `/version` tells; `None` before this member knows of its cluster.
pub(crate) fn info(membership: Option<&Membership>) -> VersionInfo {
    let cluster = membership.and_then(|known| known.version().map(str::to_owned));
    VersionInfo {
        server: crate::ETCD_VERSION.to_owned(),
        cluster: cluster.unwrap_or_else(|| "not_decided".to_owned()),
        storage: membership.and_then(storage).unwrap_or_else(|| "unknown".to_owned()),
    }
}

/// This server is older than the version that the cluster has decided on.
#[derive(Debug, thiserror::Error)]
#[error(
    "invalid downgrade; server version is lower than determined cluster version: this server \
     speaks {OWN}, the cluster {0}; run the cluster's version, or downgrade the cluster first \
     (etcdctl downgrade enable)"
)]
pub(crate) struct ServerTooOld(ApiVersion);

/// Refuses a cluster whose version is above this server's.
pub(crate) fn refuse_newer(membership: &Membership) -> Result<(), ServerTooOld> {
    match cluster(membership) {
        Some(version) if version.release() > OWN.release() => Err(ServerTooOld(version)),
        _ => Ok(()),
    }
}

/// What the leader should set the cluster's version to, given the versions of all members, a
/// `None` for each that did not say.
fn decide(
    cluster: Option<ApiVersion>,
    members: &[Option<ApiVersion>],
    downgrade: Option<ApiVersion>,
) -> Option<ApiVersion> {
    let all: Option<Vec<ApiVersion>> = members.iter().copied().collect();
    let lowest = all.and_then(|versions| versions.into_iter().min()).map(release);
    let Some(cluster) = cluster else { return Some(lowest.unwrap_or(ApiVersion::OLDEST)) };
    let lowest = lowest?;
    match downgrade {
        Some(target) => {
            let ready = lowest == target || may_lower(lowest, target);
            if !ready {
                tracing::error!(
                    minimal_server_version = %lowest,
                    downgrade_target_version = %target,
                    "Cannot downgrade from minimal-server-version to downgrade-target"
                );
            }
            (ready && may_lower(cluster, target)).then_some(target)
        }
        None => (lowest > cluster).then_some(lowest),
    }
}

/// The server versions of all members; `None` for one that cannot be asked.
async fn members(shared: &Shared) -> Vec<Option<ApiVersion>> {
    let membership = shared.view.read().membership.clone();
    join_all(membership.members().map(|member| async {
        if member.member_id() == shared.member {
            return Some(OWN);
        }
        for url in &member.peer_urls {
            let Ok(url) = url.parse::<PeerUrl>() else { continue };
            if let Ok(version) = shared.fetch.version(&url).await {
                return version.server.parse().ok();
            }
        }
        None
    }))
    .await
}

/// The downgrade that is under way, to which version.
pub(crate) fn downgrade(membership: &Membership) -> Option<ApiVersion> {
    let downgrade = membership.downgrade();
    if downgrade.enabled { downgrade.target.parse().ok() } else { None }
}

/// Keeps the cluster's version, while this member leads.
pub(crate) async fn keep(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    loop {
        if shared.status.is_leader.load(Ordering::Acquire) {
            keep_once(&shared).await;
        }
        let decided = cluster(&shared.view.read().membership).is_some();
        let pause = if decided { VERSION_INTERVAL } else { FIRST_VERSION_PAUSE };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.changed() => return,
        }
    }
}

async fn keep_once(shared: &Shared) {
    let versions = members(shared).await;
    let membership = shared.view.read().membership.clone();
    let now = cluster(&membership);
    let Some(version) = decide(now, &versions, downgrade(&membership)) else { return };
    let request = InternalRaftRequest {
        cluster_version_set: Some(ClusterVersionSetRequest { ver: version.to_string() }),
        ..Default::default()
    };
    let before = now.map(|version| version.to_string());
    match shared.propose(&Authority::of_this_member(), request).await {
        Ok(_) => tracing::info!(
            from = before.as_deref().unwrap_or("not_decided"),
            to = %version,
            "set the cluster's version"
        ),
        Err(error) => tracing::debug!(%error, "the cluster's version could not be set yet"),
    }
}

/// Ends a downgrade that every member has made, while this member leads.
pub(crate) async fn end_downgrades(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let interval = shared.config.downgrade_check_interval;
    if interval.is_zero() {
        return;
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            _ = stop.changed() => return,
        }
        let target = downgrade(&shared.view.read().membership);
        let Some(target) = target.filter(|_| shared.status.is_leader.load(Ordering::Acquire))
        else {
            continue;
        };
        let done = members(&shared)
            .await
            .iter()
            .all(|version| version.is_some_and(|version| release(version) == release(target)));
        if !done {
            continue;
        }
        match shared.propose(&Authority::of_this_member(), set_downgrade(None)).await {
            Ok(_) => tracing::info!(cluster_version = %target, "the cluster has been downgraded"),
            Err(error) => tracing::warn!(%error, "failed to cancel downgrade"),
        }
    }
}

/// The request that begins a downgrade, or ends the one under way.
pub(crate) fn set_downgrade(target: Option<ApiVersion>) -> InternalRaftRequest {
    InternalRaftRequest {
        downgrade_info_set: Some(DowngradeInfoSetRequest {
            enabled: target.is_some(),
            ver: target.map(|target| target.to_string()).unwrap_or_default(),
        }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V30: ApiVersion = ApiVersion::new(3, 0, 0);
    const V36: ApiVersion = ApiVersion::new(3, 6, 0);
    const V37: ApiVersion = ApiVersion::new(3, 7, 0);
    const V371: ApiVersion = ApiVersion::new(3, 7, 1);

    #[test]
    fn the_own_version_is_the_one_that_clients_are_told() {
        assert_eq!(OWN.to_string(), crate::ETCD_VERSION);
    }

    #[test]
    fn a_new_cluster_takes_what_all_members_speak() {
        assert_eq!(decide(None, &[Some(V371)], None), Some(V37));
        let older = ApiVersion::new(3, 6, 9);
        assert_eq!(decide(None, &[Some(V371), Some(older)], None), Some(V36));
        assert_eq!(decide(None, &[Some(V371), None], None), Some(V30), "one did not say");
    }

    #[test]
    fn the_version_rises_when_everybody_has_risen_and_never_falls_by_itself() {
        assert_eq!(decide(Some(V30), &[Some(V371), Some(V371)], None), Some(V37));
        assert_eq!(decide(Some(V30), &[Some(V371), None], None), None);
        assert_eq!(decide(Some(V37), &[Some(V371), Some(V36)], None), None);
        assert_eq!(decide(Some(V37), &[Some(V371)], None), None);
    }

    #[test]
    fn a_downgrade_lowers_it_by_one_release_and_its_end_raises_it_again() {
        assert_eq!(decide(Some(V37), &[Some(V371)], Some(V36)), Some(V36));
        assert_eq!(decide(Some(V36), &[Some(V371)], Some(V36)), None, "it is there");
        let newer = ApiVersion::new(3, 8, 0);
        assert_eq!(decide(Some(V37), &[Some(newer)], Some(V36)), None, "not every binary can");
        assert_eq!(decide(Some(V36), &[Some(V371)], None), Some(V37));
    }
}
