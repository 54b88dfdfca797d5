//! Whether a member may begin, and as what.
//!
//! A member that lost its data has forgotten what it voted for and what it acknowledged. If it
//! began anew under its old id, entries that a majority held would be held by fewer, and what was
//! acknowledged could be lost. So whoever is about to begin asks the others first whether they
//! know it already (etcd: `isMemberBootstrapped` in `server/etcdserver/bootstrap.go`).

use crate::config::{ClusterState, Config};
use crate::join::{Joining, join, other_urls};
use crate::layout::Layout;
use anyhow::bail;
use drystone_member::Founding;
use drystone_peer::{Fetch, MemberInfo, PeerUrl, TcpDialer};
use drystone_types::MemberId;
use drystone_wal::{FsDisk, Wal};
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// How long another member may take to say whom it knows (etcd: 1 s). Nobody else may be there
/// yet, so silence means no.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// What a member is to begin as.
#[derive(Debug)]
pub(crate) enum Beginning {
    /// What its log makes of it.
    Restored,
    /// A founding member of a new cluster.
    Founder,
    /// A new member of a cluster that runs.
    Joiner(Joining),
}

/// Decides how to begin. Changes nothing here.
///
/// # Errors
/// Why this member must not begin like this, and what would help.
pub(crate) async fn beginning(config: &Config, layout: &Layout) -> anyhow::Result<Beginning> {
    if Wal::exists(&FsDisk, layout.wal())? {
        return Ok(Beginning::Restored);
    }
    match config.initial_cluster_state {
        ClusterState::Existing => Ok(Beginning::Joiner(join(config).await?)),
        ClusterState::New => {
            refuse_a_second_time(config).await?;
            Ok(Beginning::Founder)
        }
    }
}

/// Refuses to found when another member knows this one as started.
async fn refuse_a_second_time(config: &Config) -> anyhow::Result<()> {
    if config.initial_cluster.len() < 2 {
        return Ok(());
    }
    let founding = Founding::new(&config.initial_cluster, &config.initial_cluster_token)?;
    // Who is not in the list is told so when it is founded.
    let Some(own) = founding.id_of(&config.name) else { return Ok(()) };
    let fetch = Fetch::new(Arc::new(TcpDialer), ASK_TIMEOUT);
    let answers = join_all(other_urls(config).into_iter().map(|url| knows(&fetch, url, own))).await;
    if answers.contains(&true) {
        bail!(lost_its_data(own, config));
    }
    Ok(())
}

/// Whether the member at `url` knows `id` as one that has started once.
async fn knows(fetch: &Fetch, url: PeerUrl, id: MemberId) -> bool {
    let Ok(cluster) = fetch.members(&url).await else { return false };
    cluster.members.iter().any(|member| member.member() == id && was_started(member))
}

/// A member tells its client URLs when it starts for the first time.
pub(crate) fn was_started(member: &MemberInfo) -> bool {
    !member.client_urls.is_empty()
}

/// What to tell a member that the cluster knows although it has no log.
pub(crate) fn lost_its_data(own: MemberId, config: &Config) -> String {
    format!(
        "member {own} has already been bootstrapped, but {} holds no log: its data was lost. \
         Restore the data directory as it was; or replace the member: etcdctl member remove \
         {own}, then etcdctl member add {} --peer-urls={}, and start it with an empty data \
         directory and --initial-cluster-state=existing",
        config.wal_path().display(),
        config.name,
        config.initial_advertise_peer_urls.join(",")
    )
}
