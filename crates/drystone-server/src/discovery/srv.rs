//! Discovery by DNS: SRV records name the members of a new cluster.

use crate::config::{Config, SrvConfig, check_urls, split_host_port};
use anyhow::{anyhow, bail};
use drystone_client::{SrvTarget, lookup_srv};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::lookup_host;

/// How long the addresses of one host are asked for.
const ADDRESS_MAX: Duration = Duration::from_secs(10);

/// One of this member's URLs.
struct Own<'a> {
    url: &'a str,
    scheme: &'a str,
    host: &'a str,
    port: u16,
    addresses: Vec<IpAddr>,
    is_found: bool,
}

/// The cluster that the records of a domain make: a member for each record, those for TLS first.
/// A record whose place is one of this member's URLs is this member; the others have numbers for
/// names, of which each is sure to be given once (etcd begins anew for each service, so that two
/// members may become one).
///
/// A host whose address is not to be had is a member all the same: what a cluster is founded with
/// must not hang on which hosts are up (etcd leaves such a member out).
///
/// # Errors
/// There are no records, or none is this member's, in etcd's words.
pub(super) async fn members(
    srv: &SrvConfig,
    config: &Config,
) -> anyhow::Result<Vec<(String, Vec<String>)>> {
    let mut own = Vec::new();
    for url in &config.initial_advertise_peer_urls {
        let Some((scheme, authority)) = url.split_once("://") else { continue };
        let Some((host, port)) = split_host_port(authority) else { continue };
        let addresses = addresses(host).await;
        own.push(Own { url, scheme, host, port, addresses, is_found: false });
    }
    let suffix = if srv.service.is_empty() { String::new() } else { format!("-{}", srv.service) };
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut failures = Vec::new();
    let mut number = 0..;
    for (scheme, service) in [("https", "etcd-server-ssl"), ("http", "etcd-server")] {
        let service = format!("{service}{suffix}");
        let mut failed = |why: String| {
            failures.push(format!("error querying DNS SRV records for _{service} {why}"));
        };
        let targets = match lookup_srv(&service, &srv.domain, srv.resolver).await {
            Ok(targets) => targets,
            Err(error) => {
                failed(error.to_string());
                continue;
            }
        };
        for target in targets {
            let url = format!("{scheme}://{}", target.authority());
            let name = match find(&mut own, &target).await {
                Some(own) if own.scheme != scheme => {
                    failed(format!(
                        "bootstrap at {url} from DNS for {service} has scheme mismatch with \
                         expected peer {}",
                        own.url
                    ));
                    continue;
                }
                Some(own) => {
                    own.is_found = true;
                    config.name.clone()
                }
                None => {
                    let mut names = number.by_ref().map(|number: usize| number.to_string());
                    names.find(|name| *name != config.name).expect("numbers do not end")
                }
            };
            let mut checked = check_urls(&[url]).map_err(|reason| anyhow!(reason))?;
            tracing::info!(node = format!("{name}={}", checked[0]), "got bootstrap from DNS");
            members.entry(name).or_default().append(&mut checked);
        }
    }
    whole(members, &own, config, &failures)
}

/// Checks that this member is there with all of its URLs.
fn whole(
    mut members: BTreeMap<String, Vec<String>>,
    own: &[Own<'_>],
    config: &Config,
    failures: &[String],
) -> anyhow::Result<Vec<(String, Vec<String>)>> {
    let failures = failures.join("; ");
    if members.is_empty() {
        bail!("{failures}");
    }
    if !failures.is_empty() {
        tracing::warn!(error = failures, "failed to resolve during SRV discovery");
    }
    let Some(urls) = members.get_mut(&config.name) else {
        bail!("cannot find local etcd member {:?} in SRV records", config.name);
    };
    urls.sort();
    let missing: Vec<&str> = own.iter().filter(|own| !own.is_found).map(|own| own.url).collect();
    if !missing.is_empty() {
        let listed: Vec<String> = urls.iter().map(|url| format!("{}={url}", config.name)).collect();
        bail!(
            "--initial-advertise-peer-urls has {} but missing from --initial-cluster={}",
            missing.join(","),
            listed.join(",")
        );
    }
    Ok(members.into_iter().collect())
}

/// Which of this member's URLs a record names: by its text, or by the host's address.
async fn find<'a, 'b>(own: &'b mut [Own<'a>], target: &SrvTarget) -> Option<&'b mut Own<'a>> {
    let mut at_port: Vec<&mut Own<'a>> =
        own.iter_mut().filter(|own| own.port == target.port).collect();
    if at_port.is_empty() {
        return None;
    }
    let place = match at_port.iter().position(|own| own.host == target.host) {
        Some(place) => Some(place),
        None => {
            let there = addresses(&target.host).await;
            at_port.iter().position(|own| own.addresses.iter().any(|own| there.contains(own)))
        }
    };
    place.map(|place| at_port.swap_remove(place))
}

/// The addresses of a host; none when it cannot be resolved, which the log tells.
async fn addresses(host: &str) -> Vec<IpAddr> {
    if let Ok(address) = host.parse() {
        return vec![address];
    }
    let why = match tokio::time::timeout(ADDRESS_MAX, lookup_host((host, 0))).await {
        Ok(Ok(found)) => return found.map(|address| address.ip()).collect(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer in {} s", ADDRESS_MAX.as_secs()),
    };
    tracing::warn!(host, error = why, "failed to resolve a host of SRV discovery");
    Vec::new()
}
