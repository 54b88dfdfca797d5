//! Whether a member may begin, and as what.
//!
//! A member that lost its data has forgotten what it voted for and what it acknowledged. If it
//! began anew under its old id, entries that a majority held would be held by fewer, and what was
//! acknowledged could be lost. So whoever is about to begin asks the others first whether they
//! know it already (etcd: `isMemberBootstrapped` in `server/etcdserver/bootstrap.go`).

use crate::config::{Bootstrap, ClusterState, Config};
use crate::discovery::find_members;
use crate::join::{Joining, join, other_urls};
use crate::layout::Layout;
use crate::rejoin::come_back;
use crate::resolve::same_text;
use anyhow::bail;
use drystone_member::Founding;
use drystone_peer::{Fetch, MemberInfo};
use drystone_types::MemberId;
use drystone_wal::{FsDisk, Wal};
use futures::future::join_all;
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

/// Decides how to begin. What the flags say of the cluster counts for a member without a log
/// alone. Only `--auto-join` notes something here and changes the cluster.
///
/// # Errors
/// Why this member must not begin like this, and what would help.
pub(crate) async fn beginning(config: &mut Config, layout: &Layout) -> anyhow::Result<Beginning> {
    if Wal::exists(&FsDisk, layout.wal())? {
        if matches!(config.bootstrap, Bootstrap::Registry(_)) {
            tracing::warn!(
                "discovery token is ignored since cluster already initialized; valid logs are \
                 found"
            );
        }
        return Ok(Beginning::Restored);
    }
    find_members(config).await?;
    if config.auto_join
        && config.initial_cluster.len() > 1
        && let Some(joining) = come_back(config, layout).await?
    {
        return Ok(Beginning::Joiner(joining));
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
    let fetch = Fetch::new(crate::tls::dialer(config)?, ASK_TIMEOUT);
    let urls = other_urls(config);
    let answers = join_all(urls.iter().map(|url| fetch.members(url))).await;
    let is_own = |member: &&MemberInfo| {
        // One that came back has another id than the one it was founded with.
        let urls = &config.initial_advertise_peer_urls;
        member.member() == own || same_text(&member.peer_urls, urls)
    };
    for cluster in answers.into_iter().flatten() {
        match cluster.members.iter().find(is_own) {
            Some(known) if was_started(known) => bail!(lost_its_data(known.member(), config)),
            Some(known) if known.member() != own => bail!(
                "the cluster {} runs and expects member {} here; start it with \
                 --initial-cluster-state=existing",
                cluster.cluster,
                known.member()
            ),
            _ => {}
        }
    }
    Ok(())
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
         directory and --initial-cluster-state=existing. With --auto-join it does so by itself",
        config.wal_path().display(),
        config.name,
        config.initial_advertise_peer_urls.join(",")
    )
}
