//! Discovery by a registry: the members of a new cluster write themselves into another cluster's
//! keys until as many are there as were announced (etcd's `v3discovery`).
//!
//! etcd watches the keys; here they are read again and again, which is as good for the time that
//! a founding takes, and leaves no stream to keep alive.

use crate::config::{RegistryConfig, parse_initial_cluster};
use drystone_api::etcdserverpb::{PutRequest, RangeRequest, range_request};
use drystone_client::{Client, Code, Config, Credentials};
use drystone_raft::MEMBERS_MAX;
use drystone_types::MemberId;
use std::collections::BTreeSet;
use std::time::Duration;

/// Where registries lie in the other cluster.
const ROOT: &str = "/_etcd/registry";
/// Bytes of the largest answer that is taken: room for all members with long URLs.
const RESPONSE_BYTES_MAX: usize = 4 << 20;
/// Pause between two looks at who is there.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// How often a call is tried; the pauses double from two seconds to 256.
const TRIES_MAX: u32 = 12;
/// The pause does not double further than to two to this power (etcd: 8).
const PAUSE_EXPONENT_MAX: u32 = 8;

/// Why members cannot be found by a registry.
#[derive(Debug, thiserror::Error)]
pub(super) enum RegistryError {
    #[error("discovery: size key not found")]
    SizeNotFound,
    #[error("discovery: size key is bad")]
    BadSize,
    #[error("discovery: cluster is full")]
    Full,
    #[error("discovery: invalid peer URL")]
    InvalidUrl,
    #[error("discovery: two members are called {0:?}; give each a --name of its own")]
    SameName(String),
    #[error("discovery: too many retries")]
    TooManyTries(#[source] drystone_client::Error),
    #[error("discovery: the registry refused")]
    Refused(#[source] drystone_client::Error),
    #[error("discovery: the registry cannot be asked")]
    Client(#[source] drystone_client::Error),
}

/// A member that has registered.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// The member's id, as its key writes it.
    id: String,
    /// `name=url,name=url`.
    urls: String,
}

/// The members of a cluster, by name, with their URLs.
type Members = Vec<(String, Vec<String>)>;

/// Registers a member, `urls` being its `name=url,name=url`, and waits until its cluster is
/// whole.
///
/// # Errors
/// [`RegistryError`]; that the cluster is full is also told in the log.
pub(super) async fn join(
    registry: &RegistryConfig,
    own: MemberId,
    urls: &str,
) -> Result<Members, RegistryError> {
    let keys = Keys { client: client(registry)?, root: format!("{ROOT}/{}", registry.token) };
    let found = keys.join(&own.to_string(), urls).await;
    if let Err(RegistryError::Full) = &found {
        tracing::warn!("failed to bootstrap; discovery token was already used");
        tracing::warn!("do not reuse discovery token; generate a new one to bootstrap a cluster");
    }
    found
}

fn client(registry: &RegistryConfig) -> Result<Client, RegistryError> {
    let mut config = Config::parse(&registry.endpoints).map_err(RegistryError::Client)?;
    config.timeouts.connect = registry.dial_timeout;
    config.timeouts.call = Some(registry.request_timeout);
    config.timeouts.keepalive_interval = registry.keepalive_time;
    config.timeouts.keepalive_answer = registry.keepalive_timeout;
    config.response_bytes_max = RESPONSE_BYTES_MAX;
    config.tls.clone_from(&registry.tls);
    if !registry.user.is_empty() {
        let (user, password) = (registry.user.clone(), registry.password.clone());
        config.credentials = Credentials::Password { user, password };
    }
    Client::new(config).map_err(RegistryError::Client)
}

/// The keys of one registry.
struct Keys {
    client: Client,
    root: String,
}

impl Keys {
    async fn join(&self, own: &str, urls: &str) -> Result<Members, RegistryError> {
        let size = self.size().await?;
        let there = self.members().await?;
        match there.iter().find(|entry| entry.id == own) {
            Some(entry) if entry.urls == urls => {}
            None if there.len() >= size => return Err(RegistryError::Full),
            // It is there when a start was cut short, and keeps its place if it is written anew.
            Some(_) | None => self.register(own, urls).await?,
        }
        let mut last = None;
        loop {
            let there = self.members().await?;
            if let Some(cluster) = cluster(&there, size, own)? {
                return Ok(cluster);
            }
            if last.replace(there.len()) != Some(there.len()) {
                let found = there.len();
                tracing::info!(found, needed = size, "waiting for the other members to register");
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    async fn size(&self) -> Result<usize, RegistryError> {
        let key = format!("{}/_config/size", self.root);
        let request = RangeRequest { key: key.into(), ..Default::default() };
        let found = tried(|| self.client.range(request.clone())).await?;
        let value = found.kvs.first().ok_or(RegistryError::SizeNotFound)?;
        size(&value.value)
    }

    /// Who has registered, in the order in which they came.
    async fn members(&self) -> Result<Vec<Entry>, RegistryError> {
        let prefix = format!("{}/members/", self.root);
        // The byte after `/` ends all keys that begin so.
        let end = format!("{}/members0", self.root);
        let request = RangeRequest {
            key: prefix.clone().into(),
            range_end: end.into(),
            // One more than can be a cluster: whoever comes after that is too late as well.
            limit: i64::try_from(MEMBERS_MAX).unwrap_or(i64::MAX).saturating_add(1),
            sort_order: range_request::SortOrder::Ascend.into(),
            sort_target: range_request::SortTarget::Create.into(),
            ..Default::default()
        };
        let found = tried(|| self.client.range(request.clone())).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let entries = found.kvs.iter().filter_map(|kv| {
            let id = kv.key.strip_prefix(prefix.as_bytes())?;
            Some(Entry { id: text(id), urls: text(&kv.value) })
        });
        Ok(entries.collect())
    }

    async fn register(&self, own: &str, urls: &str) -> Result<(), RegistryError> {
        let key = format!("{}/members/{own}", self.root);
        let value = urls.to_owned();
        let put = PutRequest { key: key.into(), value: value.into(), ..Default::default() };
        // Done twice it is done once, so that an answer that was lost does no harm.
        tried(|| self.client.put(put.clone())).await.map(drop)
    }
}

/// How many members a registry announces. etcd takes any number, and once ended on a negative
/// one (GHSA-9gp7-6833-wv89).
fn size(value: &[u8]) -> Result<usize, RegistryError> {
    let text = std::str::from_utf8(value).map_err(|_| RegistryError::BadSize)?;
    match text.parse() {
        Ok(size @ 1..=MEMBERS_MAX) => Ok(size),
        _ => Err(RegistryError::BadSize),
    }
}

/// The cluster, once as many are there as were announced; the first of them make it.
fn cluster(there: &[Entry], size: usize, own: &str) -> Result<Option<Members>, RegistryError> {
    let place = there.iter().position(|entry| entry.id == own);
    if place.is_some_and(|place| place >= size) {
        return Err(RegistryError::Full);
    }
    if there.len() < size {
        return Ok(None);
    }
    let mut members = Vec::with_capacity(size);
    let mut names = BTreeSet::new();
    for entry in &there[..size] {
        let entry = parse_initial_cluster(&entry.urls).map_err(|_| RegistryError::InvalidUrl)?;
        if entry.is_empty() {
            return Err(RegistryError::InvalidUrl);
        }
        for (name, urls) in entry {
            // Of one name etcd makes one member, and the cluster is smaller than announced.
            if !names.insert(name.clone()) {
                return Err(RegistryError::SameName(name));
            }
            members.push((name, urls));
        }
    }
    members.sort();
    Ok(Some(members))
}

/// Makes a call, again and again while the registry cannot be reached.
async fn tried<T, F>(call: impl Fn() -> F) -> Result<T, RegistryError>
where
    F: Future<Output = Result<T, drystone_client::Error>>,
{
    let mut tries = 0;
    loop {
        tries += 1;
        let error = match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if is_final(&error) {
            return Err(RegistryError::Refused(error));
        }
        if tries == TRIES_MAX {
            return Err(RegistryError::TooManyTries(error));
        }
        let pause = Duration::from_secs(1 << tries.min(PAUSE_EXPONENT_MAX));
        tracing::warn!(%error, ?pause, "the registry did not answer; it is asked again");
        tokio::time::sleep(pause).await;
    }
}

/// Whether asking again gives the same answer: who asks is not known, or may not (etcd asks
/// again and again).
fn is_final(error: &drystone_client::Error) -> bool {
    [Code::InvalidArgument, Code::PermissionDenied, Code::Unauthenticated, Code::Unimplemented]
        .contains(&error.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, urls: &str) -> Entry {
        Entry { id: id.to_owned(), urls: urls.to_owned() }
    }

    /// A negative size once ended etcd with a panic when it made room for so many members.
    #[test]
    fn ghsa_9gp7_6833_wv89_a_size_that_no_cluster_has_is_refused() {
        let large = (MEMBERS_MAX + 1).to_string();
        let sizes = ["-1", "0", "", "x", "3x", " 3", "1e3", "99999999999999999999", &large];
        for bad in sizes {
            assert!(matches!(size(bad.as_bytes()), Err(RegistryError::BadSize)), "{bad:?}");
        }
        assert!(matches!(size(&[0xff]), Err(RegistryError::BadSize)));
        assert_eq!(size(b"3").unwrap(), 3);
    }

    #[test]
    fn the_first_that_came_make_the_cluster() {
        let there =
            [entry("2", "b=http://b:1"), entry("1", "a=http://a:1"), entry("3", "c=http://c:1")];
        let two = cluster(&there, 2, "1").unwrap().unwrap();
        let member = |name: &str, url: &str| (name.to_owned(), vec![url.to_owned()]);
        assert_eq!(two, [member("a", "http://a:1"), member("b", "http://b:1")]);
        assert_eq!(cluster(&there[..1], 2, "2").unwrap(), None);
        let late = cluster(&there, 2, "3").unwrap_err();
        assert_eq!(late.to_string(), "discovery: cluster is full");
    }

    #[test]
    fn entries_that_make_no_cluster_are_refused() {
        for bad in ["", "a", "a=", "a=x", "a=http://a", "a=http://a:1/x", "\u{fffd}"] {
            let refused = cluster(&[entry("1", bad)], 1, "1").unwrap_err();
            assert_eq!(refused.to_string(), "discovery: invalid peer URL", "{bad}");
        }
        let twice = [entry("1", "default=http://a:1"), entry("2", "default=http://b:1")];
        let refused = cluster(&twice, 2, "1").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "discovery: two members are called \"default\"; give each a --name of its own"
        );
    }
}
