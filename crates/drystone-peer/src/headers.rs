//! The headers of the peer protocol, as etcd writes and checks them.

use crate::{ApiVersion, Config};
use drystone_types::MemberId;
use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const SERVER_FROM: HeaderName = HeaderName::from_static("x-server-from");
pub(crate) const SERVER_VERSION: HeaderName = HeaderName::from_static("x-server-version");
pub(crate) const MIN_CLUSTER_VERSION: HeaderName = HeaderName::from_static("x-min-cluster-version");
pub(crate) const CLUSTER_ID: HeaderName = HeaderName::from_static("x-etcd-cluster-id");
pub(crate) const PEER_URLS: HeaderName = HeaderName::from_static("x-peerurls");
pub(crate) const RAFT_TO: HeaderName = HeaderName::from_static("x-raft-to");
/// Names the framing of snapshots that both ends understand.
pub(crate) const NATIVE_SNAPSHOT: HeaderName = HeaderName::from_static("x-drystone-snapshot");
pub(crate) const NATIVE_SNAPSHOT_1: HeaderValue = HeaderValue::from_static("1");

/// What every raft call of this member carries.
pub(crate) fn own(config: &Config) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(SERVER_FROM, value(&config.member));
    headers.insert(SERVER_VERSION, value(&config.version));
    headers.insert(MIN_CLUSTER_VERSION, value(&ApiVersion::OLDEST));
    headers.insert(CLUSTER_ID, value(&config.cluster));
    if !config.peer_urls.is_empty() {
        let urls = config.peer_urls.iter().map(ToString::to_string).collect::<Vec<_>>();
        headers.insert(PEER_URLS, value(&urls.join(",")));
    }
    headers
}

/// Ids, versions and checked URLs are visible ASCII.
pub(crate) fn value(text: &impl ToString) -> HeaderValue {
    HeaderValue::from_str(&text.to_string()).expect("ids, versions and URLs are visible ASCII")
}

/// The text of a header; empty if it is absent or no text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A version header. Absent counts as 2.0.0, as in etcd; broken is `None`.
pub(crate) fn version(headers: &HeaderMap, name: &HeaderName) -> Option<ApiVersion> {
    match headers.get(name) {
        None => Some(ApiVersion::UNKNOWN),
        Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()),
    }
}

/// An id as etcd prints it.
pub(crate) fn parse_member(text: &str) -> Option<MemberId> {
    let sound = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if sound { u64::from_str_radix(text, 16).ok().map(MemberId) } else { None }
}

/// Whether the far end offers or sends snapshots in this crate's framing.
pub(crate) fn native_snapshot(headers: &HeaderMap) -> bool {
    headers.get(NATIVE_SNAPSHOT) == Some(&NATIVE_SNAPSHOT_1)
}
