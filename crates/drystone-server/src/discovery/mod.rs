//! The members of a new cluster: found, and checked to be a cluster with this member in it.

use crate::config::Config;
use crate::resolve::{same_text, same_urls};
use anyhow::{Context, bail};

/// Checks that the members of the cluster make one with this member in it. Only for a member
/// without a log: one that has begun knows its cluster, and what the flags say of it is not
/// looked at any more.
///
/// # Errors
/// Why these members are no cluster with this one in it, in etcd's words.
pub(crate) async fn find_members(config: &Config) -> anyhow::Result<()> {
    check_list(config)?;
    own_urls(config).await
}

/// What can be said of the list without asking for names.
///
/// # Errors
/// Why no member can begin with it, in etcd's words.
pub(crate) fn check_list(config: &Config) -> anyhow::Result<()> {
    if let Some(fault) = &config.initial_cluster_fault {
        bail!("error setting up initial cluster: {fault}");
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
