//! The members of a new cluster: listed or found, and checked to be a cluster with this member in
//! it.

mod registry;
mod srv;

use crate::config::{Bootstrap, ClusterState, Config};
use crate::resolve::{same_text, same_urls};
use anyhow::{Context, anyhow, bail};
use drystone_member::Founding;

/// Puts the members of the cluster into `config`, whichever way they are to be found, and checks
/// that they make a cluster with this member in it. Only for a member without a log: one that has
/// begun knows its cluster, and what the flags say of it is not looked at any more.
///
/// # Errors
/// Why members cannot be found, or are no cluster with this one in it, in etcd's words.
pub(crate) async fn find_members(config: &mut Config) -> anyhow::Result<()> {
    match config.bootstrap.clone() {
        Bootstrap::Listed { .. } => {
            check_list(config)?;
            own_urls(config).await
        }
        Bootstrap::Srv(srv) => {
            let found = srv::members(&srv, config).await;
            config.initial_cluster = found.context("error setting up initial cluster")?;
            free_of_repeats(config, "initial cluster")?;
            // The cluster knows this member by DNS's names for it.
            config.initial_advertise_peer_urls = own_entry(config)?.to_vec();
            Ok(())
        }
        Bootstrap::Registry(registry) => {
            if config.initial_cluster_state == ClusterState::Existing {
                bail!("discovery URL should not be set when joining existing initial cluster");
            }
            // The token sets this cluster apart, in the ids of its members too.
            config.initial_cluster_token.clone_from(&registry.token);
            let own = vec![(config.name.clone(), config.initial_advertise_peer_urls.clone())];
            let id = Founding::new(&own, &registry.token)?.id_of(&config.name);
            let id = id.context("a member is one of its own cluster")?;
            let found = registry::join(&registry, id, &entry(&own)).await;
            let found = found.map_err(anyhow::Error::from);
            config.initial_cluster =
                found.map_err(|error| anyhow!("failed to join discovery cluster ({error:#})"))?;
            own_entry(config)?;
            free_of_repeats(config, "discovery cluster")
        }
    }
}

/// What can be said of a list without asking for names.
///
/// # Errors
/// Why no member can begin with it, in etcd's words.
pub(crate) fn check_list(config: &Config) -> anyhow::Result<()> {
    match &config.bootstrap {
        Bootstrap::Listed { fault: None } => {}
        Bootstrap::Listed { fault: Some(fault) } => {
            bail!("error setting up initial cluster: {fault}")
        }
        // Nothing is known yet.
        Bootstrap::Srv(_) | Bootstrap::Registry(_) => return Ok(()),
    }
    own_entry(config)?;
    free_of_repeats(config, "initial cluster")
}

/// The URLs that the cluster has for this member.
fn own_entry(config: &Config) -> anyhow::Result<&[String]> {
    let own = config.initial_cluster.iter().find(|(name, _)| *name == config.name);
    own.map(|(_, urls)| urls.as_slice()).with_context(|| {
        format!("couldn't find local name {:?} in the initial cluster configuration", config.name)
    })
}

fn free_of_repeats(config: &Config, what: &str) -> anyhow::Result<()> {
    let mut all: Vec<&String> = config.initial_cluster.iter().flat_map(|(_, urls)| urls).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    if all.len() != count {
        bail!("{what} {} has duplicate url", entry(&config.initial_cluster));
    }
    Ok(())
}

/// The URLs that this member has in the cluster must be those that it advertises.
async fn own_urls(config: &Config) -> anyhow::Result<()> {
    let (listed, advertised) = (own_entry(config)?, &config.initial_advertise_peer_urls);
    if same_text(advertised, listed) {
        return Ok(());
    }
    let Err(reason) = same_urls(advertised, listed).await else { return Ok(()) };
    let without = |urls: &[String], others: &[String], prefix: &str| {
        let missing = urls.iter().filter(|url| !others.contains(url));
        missing.map(|url| format!("{prefix}{url}")).collect::<Vec<_>>().join(",")
    };
    let missing = without(listed, advertised, &format!("{}=", config.name));
    if !missing.is_empty() {
        bail!(
            "--initial-cluster has {missing} but missing from --initial-advertise-peer-urls={} \
             ({reason})",
            advertised.join(",")
        );
    }
    bail!(
        "--initial-advertise-peer-urls has {} but missing from --initial-cluster={}",
        without(advertised, listed, ""),
        entry(&[(config.name.clone(), listed.to_vec())])
    )
}

/// The members as `name=url,name=url`, sorted.
fn entry(members: &[(String, Vec<String>)]) -> String {
    let mut pairs: Vec<String> = members
        .iter()
        .flat_map(|(name, urls)| urls.iter().map(move |url| format!("{name}={url}")))
        .collect();
    pairs.sort();
    pairs.join(",")
}

#[cfg(test)]
mod tests;
