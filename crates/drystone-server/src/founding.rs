//! Whether a member may found itself.
//!
//! A member that lost its data has forgotten what it voted for and what it acknowledged. If it
//! began anew under its old id, entries that a majority held would be held by fewer, and what was
//! acknowledged could be lost. So whoever is about to begin asks the others first whether they
//! know it already (etcd: `isMemberBootstrapped` in `server/etcdserver/bootstrap.go`).

use crate::config::{ClusterState, Config};
use crate::layout::Layout;
use anyhow::bail;
use drystone_member::Founding;
use drystone_peer::{Fetch, PeerUrl, TcpDialer};
use drystone_types::MemberId;
use drystone_wal::{FsDisk, Wal};
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// How long another member may take to say whom it knows (etcd: 1 s). Nobody else may be there
/// yet, so silence means no.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// Refuses to begin when there is no log here and another member knows this one as started.
///
/// # Errors
/// That it is known, and how it comes back.
pub(crate) async fn refuse_a_second_time(config: &Config, layout: &Layout) -> anyhow::Result<()> {
    let founds = config.initial_cluster_state == ClusterState::New;
    if !founds || config.initial_cluster.len() < 2 || Wal::exists(&FsDisk, layout.wal())? {
        return Ok(());
    }
    let founding = Founding::new(&config.initial_cluster, &config.initial_cluster_token)?;
    // Who is not in the list is told so when it is founded.
    let Some(own) = founding.id_of(&config.name) else { return Ok(()) };
    let fetch = Fetch::new(Arc::new(TcpDialer), ASK_TIMEOUT);
    let others = config.initial_cluster.iter().filter(|(name, _)| *name != config.name);
    let urls = others.flat_map(|(_, urls)| urls).filter_map(|url| url.parse().ok());
    let answers = join_all(urls.map(|url| knows(&fetch, url, own))).await;
    if answers.contains(&true) {
        bail!(
            "member {own} has already been bootstrapped, but {} holds no log: its data was lost. \
             Restore the data directory as it was; or remove the member from the cluster \
             (etcdctl member remove {own}) and add a new one with an empty data directory and \
             --initial-cluster-state=existing",
            layout.wal().display()
        );
    }
    Ok(())
}

/// Whether the member at `url` knows `id` as one that has started once.
async fn knows(fetch: &Fetch, url: PeerUrl, id: MemberId) -> bool {
    let Ok(cluster) = fetch.members(&url).await else { return false };
    cluster.members.iter().any(|member| member.member() == id && !member.client_urls.is_empty())
}
