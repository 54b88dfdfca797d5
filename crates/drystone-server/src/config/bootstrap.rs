//! How the members of a new cluster are to be found.

use super::parse_urls;
use super::usage::UsageError;
use super::values::Values;
use drystone_client::Resolver;
use drystone_tls::{Pair, Settings};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Names of members, and their URLs.
type Members = Vec<(String, Vec<String>)>;

/// How the members of a new cluster are to be found. Only a member that is to begin minds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// They are listed.
    Listed {
        /// Why the list could not be read, if so.
        fault: Option<String>,
    },
    /// DNS knows them.
    Srv(SrvConfig),
    /// They meet in another cluster.
    Registry(Box<RegistryConfig>),
}

/// Discovery by DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrvConfig {
    /// The domain whose records name the members.
    pub domain: String,
    /// What follows the names of the services, if anything.
    pub service: String,
    /// Whom to ask. No flag says so: the system's name servers.
    pub resolver: Resolver,
}

/// Discovery by the keys of another cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryConfig {
    /// That cluster's endpoints.
    pub endpoints: Vec<String>,
    /// The name of the new cluster's registry there. Who knows it can join.
    pub token: String,
    /// How long a connection may take to be made.
    pub dial_timeout: Duration,
    /// How long a call may take.
    pub request_timeout: Duration,
    /// Silence after which a connection is probed.
    pub keepalive_time: Duration,
    /// How long a probe may stay unanswered.
    pub keepalive_timeout: Duration,
    /// How to speak TLS; endpoints of `https` speak it without, too.
    pub tls: Option<Settings>,
    /// Who asks; nobody when empty.
    pub user: String,
    /// The password of the user.
    pub password: String,
}

impl fmt::Debug for RegistryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RegistryConfig");
        shown.field("endpoints", &self.endpoints).field("user", &self.user);
        shown.finish_non_exhaustive()
    }
}

/// Which way the values name, and the members where that says them. The checks have left no two
/// ways.
///
/// # Errors
/// A certificate without its key.
pub(super) fn bootstrap(
    values: &Values,
    name: &str,
    peer_urls: &[String],
) -> Result<(Bootstrap, Members), UsageError> {
    let text = |name: &str| values.text(name).to_owned();
    if !values.text("discovery-srv").is_empty() {
        let (domain, service) = (text("discovery-srv"), text("discovery-srv-name"));
        let srv = SrvConfig { domain, service, resolver: Resolver::System };
        return Ok((Bootstrap::Srv(srv), Vec::new()));
    }
    if !values.text("discovery-endpoints").is_empty() {
        let registry = RegistryConfig {
            endpoints: values.list("discovery-endpoints"),
            token: text("discovery-token"),
            dial_timeout: values.duration("discovery-dial-timeout"),
            request_timeout: values.duration("discovery-request-timeout"),
            keepalive_time: values.duration("discovery-keepalive-time"),
            keepalive_timeout: values.duration("discovery-keepalive-timeout"),
            tls: registry_tls(values)?,
            user: text("discovery-user"),
            password: text("discovery-password"),
        };
        return Ok((Bootstrap::Registry(Box::new(registry)), Vec::new()));
    }
    Ok(match listed(values, name, peer_urls) {
        Ok(members) => (Bootstrap::Listed { fault: None }, members),
        Err(fault) => (Bootstrap::Listed { fault: Some(fault) }, Vec::new()),
    })
}

/// TLS towards the registry, asked for as etcdctl's flags ask for it.
fn registry_tls(values: &Values) -> Result<Option<Settings>, UsageError> {
    let pair = Pair::of(values.text("discovery-cert"), values.text("discovery-key"))
        .map_err(|error| UsageError::config(error.to_string()))?;
    let ca = values.text("discovery-cacert");
    let settings = Settings {
        client_pair: pair,
        trusted_ca: (!ca.is_empty()).then(|| ca.into()),
        skip_verify: values.bool("discovery-insecure-skip-tls-verify"),
        ..Settings::default()
    };
    let is_asked = settings != Settings::default();
    Ok((is_asked || !values.bool("discovery-insecure-transport")).then_some(settings))
}

/// The members that `--initial-cluster` lists; this one alone when it lists none.
///
/// # Errors
/// What is wrong with the list. Only a member that is to begin minds.
fn listed(values: &Values, name: &str, peer_urls: &[String]) -> Result<Members, String> {
    match values.text("initial-cluster") {
        "" => Ok(vec![(name.to_owned(), peer_urls.to_vec())]),
        text => parse_initial_cluster(text).map_err(|reason| {
            format!("{reason} (in --initial-cluster={text}; expected name=http://host:port,...)")
        }),
    }
}

/// Reads `name=url,name=url`, sorted by name; a repeated name gathers URLs, which are sorted.
///
/// # Errors
/// What is wrong with which URL.
pub(crate) fn parse_initial_cluster(text: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (name, url) = item.split_once('=').unwrap_or((item, ""));
        if url.is_empty() {
            // etcd's text for a URL that is not there.
            return Err("URL scheme must be http, https, unix, or unixs: ".to_owned());
        }
        by_name.entry(name.to_owned()).or_default().append(&mut parse_urls(url)?);
    }
    for urls in by_name.values_mut() {
        urls.sort();
    }
    Ok(by_name.into_iter().collect())
}
