//! What members tell each other about the cluster, as etcd's JSON.

use drystone_types::{ClusterId, MemberId};
use serde::{Deserialize, Deserializer, Serialize};

/// One member as it stands in membership.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberInfo {
    /// Its id, a decimal number in JSON.
    pub id: u64,
    /// Where its peers reach it.
    #[serde(rename = "peerURLs", default, deserialize_with = "null_is_empty")]
    pub peer_urls: Vec<String>,
    /// Whether it only listens to the log.
    #[serde(rename = "isLearner", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_learner: bool,
    /// Its name; empty until it has started once.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where clients reach it; empty until it has started once.
    #[serde(
        rename = "clientURLs",
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub client_urls: Vec<String>,
}

impl MemberInfo {
    /// The id as a newtype.
    #[must_use]
    pub fn member(&self) -> MemberId {
        MemberId(self.id)
    }
}

/// The answer of `/members`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterInfo {
    /// The cluster that answered.
    pub cluster: ClusterId,
    /// Its members, ascending by id.
    pub members: Vec<MemberInfo>,
}

/// The answer of `/version`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// The version of the member.
    #[serde(rename = "etcdserver", default)]
    pub server: String,
    /// The version that the cluster agreed on, or `not_decided`.
    #[serde(rename = "etcdcluster", default)]
    pub cluster: String,
    /// The version of the stored data; empty before 3.6, and then left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub storage: String,
}

/// A member that lost its data, and the new one that is to take its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The name of both.
    pub name: String,
    /// The peer URLs of both.
    pub peer_urls: Vec<String>,
    /// Who lost its data.
    pub old: MemberId,
    /// The new one, which has no data yet.
    pub new: MemberId,
}

#[derive(Serialize, Deserialize)]
struct ReplacementJson {
    name: String,
    #[serde(rename = "peerURLs")]
    peer_urls: Vec<String>,
    old: String,
    new: String,
}

/// A hash of the key space at one revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashKv {
    /// The member's newest revision when it answered.
    pub revision: i64,
    /// The hash, CRC-32C.
    pub hash: u32,
    /// Up to where the history is compacted; -1 or 0 if never.
    pub compact_revision: i64,
    /// The revision that was hashed.
    pub hash_revision: i64,
}

#[derive(Serialize, Deserialize, Default)]
struct HashKvHeader {
    #[serde(default, skip_serializing_if = "is_zero")]
    revision: i64,
}

#[derive(Serialize, Deserialize)]
struct CommonNameJson {
    #[serde(rename = "common-name")]
    common_name: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct HashKvJson {
    #[serde(default)]
    header: HashKvHeader,
    #[serde(default, skip_serializing_if = "is_zero")]
    hash: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    compact_revision: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    hash_revision: i64,
}

#[derive(Serialize, Deserialize)]
struct HashKvRequestJson {
    #[serde(default)]
    revision: i64,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn null_is_empty<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// Go's encoder writes these inside strings as escapes; outside of strings JSON has none.
fn escape_as_go(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            _ => out.push(c),
        }
    }
    out
}

fn to_json<T: Serialize>(value: &T) -> String {
    escape_as_go(&serde_json::to_string(value).expect("strings and numbers always serialize"))
}

/// The body of `/members`: ascending by id, with a newline at the end.
#[must_use]
pub fn members_to_json(members: &[MemberInfo]) -> String {
    let mut members = members.to_vec();
    members.sort_by_key(|member| member.id);
    to_json(&members) + "\n"
}

/// Reads the body of `/members`.
///
/// # Errors
/// The body is not etcd's.
pub fn members_from_json(json: &[u8]) -> Result<Vec<MemberInfo>, serde_json::Error> {
    let mut members: Vec<MemberInfo> = serde_json::from_slice(json)?;
    members.sort_by_key(|member| member.id);
    Ok(members)
}

/// The body of `/version`.
#[must_use]
pub fn version_to_json(version: &VersionInfo) -> String {
    to_json(version)
}

pub(crate) fn replacement_to_json(replacement: &Replacement) -> String {
    let Replacement { name, peer_urls, old, new } = replacement.clone();
    let (old, new) = (old.to_string(), new.to_string());
    to_json(&ReplacementJson { name, peer_urls, old, new })
}

pub(crate) fn replacement_from_json(json: &[u8]) -> Option<Replacement> {
    let json: ReplacementJson = serde_json::from_slice(json).ok()?;
    let id = crate::headers::parse_member;
    let ReplacementJson { name, peer_urls, old, new } = json;
    Some(Replacement { name, peer_urls, old: id(&old)?, new: id(&new)? })
}

/// The body of a promotion that is passed on for a client whom only its certificate names.
pub(crate) fn common_name_to_json(common_name: &str) -> String {
    to_json(&CommonNameJson { common_name: Some(common_name.to_owned()) })
}

/// The name in such a body; `None` in one of etcd's, which is empty.
pub(crate) fn common_name_from_json(json: &[u8]) -> Result<Option<String>, serde_json::Error> {
    if json.is_empty() {
        return Ok(None);
    }
    let json: CommonNameJson = serde_json::from_slice(json)?;
    Ok(json.common_name.filter(|name| !name.is_empty()))
}

pub(crate) fn hash_kv_to_json(hash: &HashKv) -> String {
    to_json(&HashKvJson {
        header: HashKvHeader { revision: hash.revision },
        hash: hash.hash,
        compact_revision: hash.compact_revision,
        hash_revision: hash.hash_revision,
    })
}

pub(crate) fn hash_kv_from_json(json: &[u8]) -> Result<HashKv, serde_json::Error> {
    let json: HashKvJson = serde_json::from_slice(json)?;
    Ok(HashKv {
        revision: json.header.revision,
        hash: json.hash,
        compact_revision: json.compact_revision,
        hash_revision: json.hash_revision,
    })
}

pub(crate) fn hash_kv_request_to_json(revision: i64) -> String {
    to_json(&HashKvRequestJson { revision })
}

pub(crate) fn hash_kv_request_from_json(json: &[u8]) -> Result<i64, serde_json::Error> {
    Ok(serde_json::from_slice::<HashKvRequestJson>(json)?.revision)
}

#[cfg(test)]
mod tests;
