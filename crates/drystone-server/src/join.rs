//! Joining a cluster that runs: which of its members this one is, and whether they go together
//! (etcd's `bootstrapExistingClusterNoWAL` in `server/etcdserver/bootstrap.go`).

use crate::config::Config;
use crate::founding::was_started;
use crate::resolve::{same_text, same_urls};
use crate::version::OWN;
use anyhow::{Context, anyhow, bail};
use drystone_peer::{ApiVersion, ClusterInfo, Fetch, MemberInfo, PeerUrl, VersionInfo};
use drystone_types::{ClusterId, MemberId};
use futures::future::join_all;
use std::time::Duration;

/// How long a member may take to say who belongs to its cluster (etcd: 10 s).
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// The oldest cluster that can be joined.
const VERSION_MIN: (u64, u64) = (3, 0);

/// What a member knows of the cluster it joins: who it is there, and where the others are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joining {
    pub(crate) cluster: ClusterId,
    pub(crate) member: MemberId,
    /// True when it takes the place of a member that lost its data: what is left of that goes.
    pub(crate) replaces: bool,
    /// The others; the log will name them, but until then it is they who must be answered.
    pub(crate) others: Vec<(MemberId, Vec<PeerUrl>)>,
}

impl Joining {
    /// The part of `member` in a cluster as one of its members told of it.
    pub(crate) fn new(told: &ClusterInfo, member: MemberId) -> Self {
        let others = told.members.iter().filter(|other| other.member() != member);
        let others = others.map(|other| (other.member(), parse(&other.peer_urls))).collect();
        Self { cluster: told.cluster, member, replaces: false, others }
    }
}

/// Finds this member in the cluster that runs at the other URLs of `--initial-cluster`.
///
/// # Errors
/// Nobody answers, or what they say does not go with what was configured, in etcd's words; or
/// the cluster knows this member as one that has started, and so as one that lost its data.
pub(crate) async fn join(config: &Config) -> anyhow::Result<Joining> {
    let fetch = Fetch::new(crate::tls::dialer(config)?, ASK_TIMEOUT);
    let told = matching_cluster(&fetch, config).await?;
    let own = own_entry(config, &told).await?;
    if was_started(own) {
        bail!(crate::founding::lost_its_data(own.member(), config));
    }
    check_versions(&fetch, &told, own.member()).await?;
    let learners = told.members.iter().filter(|member| member.is_learner).count();
    if learners > config.learners_max {
        bail!("membership: too many learner members in cluster");
    }
    tracing::info!(cluster = %told.cluster, member = %own.member(), "joining a running cluster");
    Ok(Joining::new(&told, own.member()))
}

/// The peer URLs of the other members of `--initial-cluster`, sorted.
pub(crate) fn other_urls(config: &Config) -> Vec<PeerUrl> {
    let others = config.initial_cluster.iter().filter(|(name, _)| *name != config.name);
    let mut urls: Vec<&String> = others.flat_map(|(_, urls)| urls).collect();
    urls.sort();
    urls.into_iter().filter_map(|url| url.parse().ok()).collect()
}

/// The first answer that goes with `--initial-cluster`. A member that has not heard of this one
/// yet gives another picture than the rest, so all are asked before it is an error; etcd takes
/// the first answer for granted.
async fn matching_cluster(fetch: &Fetch, config: &Config) -> anyhow::Result<ClusterInfo> {
    let mut mismatch = None;
    for url in other_urls(config) {
        match fetch.members(&url).await {
            Ok(told) => match check_members(config, &told).await {
                Ok(()) => return Ok(told),
                Err(error) => mismatch = Some(error),
            },
            Err(error) => tracing::warn!(%url, %error, "failed to get cluster response"),
        }
    }
    Err(mismatch.unwrap_or_else(|| {
        anyhow!(
            "cannot fetch cluster info from peer urls: could not retrieve cluster information \
             from the given URLs"
        )
    }))
}

/// Every member of the running cluster must be in `--initial-cluster`, and nobody else. Names
/// need not be the same.
async fn check_members(config: &Config, told: &ClusterInfo) -> anyhow::Result<()> {
    let context = || format!("error validating peerURLs {}", describe(told));
    if told.members.len() != config.initial_cluster.len() {
        return Err(anyhow!("member count is unequal")).with_context(context);
    }
    for member in &told.members {
        let listed = config.initial_cluster.iter().map(|(_, urls)| urls.as_slice());
        if let Err(last) = one_is(&member.peer_urls, listed).await {
            let (id, urls) = (member.member(), member.peer_urls.join(" "));
            return Err(anyhow!(
                "PeerURLs: no match found for existing member ({id}, [{urls}]), last resolver \
                 error ({last})"
            ))
            .with_context(context);
        }
    }
    Ok(())
}

/// Whether one of `lists` names the same places as `urls`; else how the last one differs. Names
/// are resolved only when no text is equal.
async fn one_is<'a>(
    urls: &[String],
    lists: impl Iterator<Item = &'a [String]> + Clone,
) -> Result<(), String> {
    if lists.clone().any(|list| same_text(urls, list)) {
        return Ok(());
    }
    let mut last = String::from("<nil>");
    for list in lists {
        match same_urls(urls, list).await {
            Ok(()) => return Ok(()),
            Err(reason) => last = reason,
        }
    }
    Err(last)
}

/// The entry of the running cluster that has this member's URLs.
async fn own_entry<'a>(config: &Config, told: &'a ClusterInfo) -> anyhow::Result<&'a MemberInfo> {
    let own = config.initial_cluster.iter().find(|(name, _)| *name == config.name);
    let (name, urls) = own.with_context(|| {
        format!("couldn't find local name {:?} in the initial cluster configuration", config.name)
    })?;
    if let Some(member) = told.members.iter().find(|member| same_text(&member.peer_urls, urls)) {
        return Ok(member);
    }
    for member in &told.members {
        if same_urls(&member.peer_urls, urls).await.is_ok() {
            return Ok(member);
        }
    }
    bail!("the cluster has no member at {} ({name})", urls.join(","))
}

/// At least one other member must say a version of the cluster that this member can serve, and
/// none may say another.
pub(crate) async fn check_versions(
    fetch: &Fetch,
    told: &ClusterInfo,
    own: MemberId,
) -> anyhow::Result<()> {
    let others = told.members.iter().filter(|member| member.member() != own);
    let urls: Vec<PeerUrl> = others.flat_map(|member| parse(&member.peer_urls)).collect();
    let downgrade = join_all(urls.iter().map(|url| fetch.downgrade_enabled(url))).await;
    let is_downgraded = downgrade.into_iter().flatten().any(|enabled| enabled);
    let versions = join_all(urls.iter().map(|url| fetch.version(url))).await;
    let said: Vec<VersionInfo> = versions.into_iter().flatten().collect();
    if versions_go_together(&said, is_downgraded) {
        return Ok(());
    }
    let clusters: Vec<&str> = said.iter().map(|version| version.cluster.as_str()).collect();
    tracing::error!(
        versions = clusters.join(","),
        own = %OWN,
        "the cluster's version is not one that this member can serve, or nobody told it"
    );
    bail!("incompatible with current running cluster")
}

/// During a downgrade only the version above this member's own, which it is to follow.
fn versions_go_together(said: &[VersionInfo], is_downgraded: bool) -> bool {
    let (major, minor) = OWN.release();
    let allowed = match is_downgraded {
        true => (major, minor + 1)..=(major, minor + 1),
        false => VERSION_MIN..=(major, minor),
    };
    let mut clusters = said.iter().filter_map(|said| said.cluster.parse::<ApiVersion>().ok());
    let mut told = clusters.by_ref().map(|version| allowed.contains(&version.release())).peekable();
    told.peek().is_some() && told.all(|fits| fits)
}

fn parse(urls: &[String]) -> Vec<PeerUrl> {
    urls.iter().filter_map(|url| url.parse().ok()).collect()
}

/// The cluster as etcd prints it.
fn describe(told: &ClusterInfo) -> String {
    let members: Vec<String> = told
        .members
        .iter()
        .map(|member| {
            format!(
                "&{{ID:{} RaftAttributes:{{PeerURLs:[{}] IsLearner:{}}} \
                 Attributes:{{Name:{} ClientURLs:[{}]}}}}",
                member.member(),
                member.peer_urls.join(" "),
                member.is_learner,
                member.name,
                member.client_urls.join(" ")
            )
        })
        .collect();
    let members = members.join(" ");
    format!("{{ClusterID:{} Members:[{members}] RemovedMemberIDs:[]}}", told.cluster)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Parsed, parse as parse_words};

    fn config(cluster: &str) -> Config {
        let words = [
            "--name=c",
            "--initial-advertise-peer-urls=http://127.0.0.1:3",
            &format!("--initial-cluster={cluster}"),
            "--initial-cluster-state=existing",
        ];
        match parse_words(words.map(str::to_owned), []).unwrap() {
            Parsed::Run { config, .. } => *config,
            Parsed::Print(text) => panic!("{text}"),
        }
    }

    fn told(members: &[(u64, &str)]) -> ClusterInfo {
        let members = members.iter().map(|(id, url)| MemberInfo {
            id: *id,
            peer_urls: vec![(*url).to_owned()],
            ..MemberInfo::default()
        });
        ClusterInfo { cluster: ClusterId(0xc), members: members.collect() }
    }

    #[tokio::test]
    async fn a_cluster_that_is_another_is_refused_in_etcds_words() {
        let config = config("a=http://127.0.0.1:1,c=http://127.0.0.1:3");
        let one = check_members(&config, &told(&[(1, "http://127.0.0.1:1")])).await.unwrap_err();
        assert_eq!(
            format!("{one:#}"),
            "error validating peerURLs {ClusterID:c Members:[&{ID:1 \
             RaftAttributes:{PeerURLs:[http://127.0.0.1:1] IsLearner:false} \
             Attributes:{Name: ClientURLs:[]}}] RemovedMemberIDs:[]}: member count is unequal"
        );
        let other = told(&[(1, "http://127.0.0.1:1"), (2, "http://127.0.0.1:2")]);
        let other = format!("{:#}", check_members(&config, &other).await.unwrap_err());
        let inner = "PeerURLs: no match found for existing member (2, [http://127.0.0.1:2]), \
                     last resolver error (";
        assert!(other.contains(inner), "{other}");
    }

    #[tokio::test]
    async fn a_member_finds_itself_by_its_urls() {
        let config = config("a=http://127.0.0.1:1,c=http://127.0.0.1:3");
        let told = told(&[(7, "http://127.0.0.1:3"), (1, "http://127.0.0.1:1")]);
        check_members(&config, &told).await.unwrap();
        let own = own_entry(&config, &told).await.unwrap();
        assert_eq!(own.id, 7);
        let joining = Joining::new(&told, own.member());
        assert_eq!(joining.others.len(), 1);
        assert_eq!(joining.others[0].0, MemberId(1));
    }

    #[test]
    fn versions_that_cannot_be_served_are_refused() {
        let said =
            |cluster: &str| VersionInfo { cluster: cluster.into(), ..VersionInfo::default() };
        let fits = |versions: &[&str], downgrade| {
            let said: Vec<_> = versions.iter().map(|version| said(version)).collect();
            versions_go_together(&said, downgrade)
        };
        assert!(fits(&["3.7.0"], false) && fits(&["3.5.0", "not_decided"], false));
        assert!(!fits(&[], false) && !fits(&["not_decided"], false));
        assert!(!fits(&["3.8.0"], false) && !fits(&["3.7.0", "3.8.0"], false));
        assert!(fits(&["3.8.0"], true) && !fits(&["3.7.0"], true));
    }
}
