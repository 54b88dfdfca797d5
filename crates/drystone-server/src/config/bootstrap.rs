//! The members of a new cluster, as `--initial-cluster` writes them.

use super::parse_urls;
use super::values::Values;
use std::collections::BTreeMap;

/// The members that `--initial-cluster` lists; this one alone when it lists none.
///
/// # Errors
/// What is wrong with the list. Only a member that is to begin minds.
pub(super) fn listed(
    values: &Values,
    name: &str,
    peer_urls: &[String],
) -> Result<Vec<(String, Vec<String>)>, String> {
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
