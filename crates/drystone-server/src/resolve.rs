//! Whether two lists of URLs name the same places, by their texts or by what their hosts resolve
//! to (etcd's `netutil.URLStringsEqual`).

use crate::config::split_host_port;
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::lookup_host;

/// How long names are looked up at most (etcd: 30 s).
const RESOLVE_MAX: Duration = Duration::from_secs(30);
/// Pause between two tries (etcd: 1 s).
const RESOLVE_PAUSE: Duration = Duration::from_secs(1);

/// Whether both lists name the same places.
///
/// # Errors
/// How they differ, or what cannot be resolved.
pub(crate) async fn same_urls(a: &[String], b: &[String]) -> Result<(), String> {
    if a.len() != b.len() {
        return Err(format!("len({}) != len({})", quoted(a), quoted(b)));
    }
    if same_text(a, b) {
        return Ok(());
    }
    let both = async { Ok::<_, String>((resolved(a).await?, resolved(b).await?)) };
    let both = tokio::time::timeout(RESOLVE_MAX, both).await;
    let (here, there) =
        both.map_err(|_| format!("names took over {RESOLVE_MAX:?} to resolve"))??;
    if here == there {
        return Ok(());
    }
    Err(format!(
        "{}(resolved from {}) != {}(resolved from {})",
        quoted(&here),
        quoted(a),
        quoted(&there),
        quoted(b)
    ))
}

/// Whether both lists hold the same texts, in any order.
pub(crate) fn same_text(a: &[String], b: &[String]) -> bool {
    let sorted = |urls: &[String]| {
        let mut urls = urls.to_vec();
        urls.sort();
        urls
    };
    sorted(a) == sorted(b)
}

fn quoted(urls: &[String]) -> String {
    let urls: Vec<String> = urls.iter().map(|url| format!("{url:?}")).collect();
    format!("[{}]", urls.join(" "))
}

/// The URLs with addresses for hosts, sorted. The caller bounds the time.
async fn resolved(urls: &[String]) -> Result<Vec<String>, String> {
    let mut all = Vec::with_capacity(urls.len());
    for url in urls {
        all.push(resolve(url).await?);
    }
    all.sort();
    Ok(all)
}

async fn resolve(url: &str) -> Result<String, String> {
    let Some((scheme, authority)) = url.split_once("://") else { return Ok(url.to_owned()) };
    let Some((host, port)) = split_host_port(authority) else { return Ok(url.to_owned()) };
    // What is one machine's own is left as it is.
    let is_local = host == "localhost" || scheme.starts_with("unix");
    if is_local || host.parse::<IpAddr>().is_ok() {
        return Ok(url.to_owned());
    }
    loop {
        match lookup_host((host, port)).await {
            Ok(mut found) => {
                let first = found.next().ok_or_else(|| format!("{host} has no address"))?;
                return Ok(format!("{scheme}://{first}"));
            }
            Err(error) => tracing::warn!(host, %error, "failed to resolve a member's name"),
        }
        tokio::time::sleep(RESOLVE_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(urls: &[&str]) -> Vec<String> {
        urls.iter().map(|url| (*url).to_owned()).collect()
    }

    #[tokio::test]
    async fn texts_are_enough_and_their_order_does_not_matter() {
        let (a, b) = (list(&["http://x:1", "http://y:2"]), list(&["http://y:2", "http://x:1"]));
        assert_eq!(same_urls(&a, &b).await, Ok(()));
    }

    #[tokio::test]
    async fn what_differs_is_named_as_etcd_names_it() {
        let (a, b) = (list(&["http://127.0.0.1:1"]), list(&["http://127.0.0.1:2"]));
        let text = same_urls(&a, &b).await.unwrap_err();
        assert_eq!(
            text,
            r#"["http://127.0.0.1:1"](resolved from ["http://127.0.0.1:1"]) != ["http://127.0.0.1:2"](resolved from ["http://127.0.0.1:2"])"#
        );
        let text = same_urls(&a, &[]).await.unwrap_err();
        assert_eq!(text, r#"len(["http://127.0.0.1:1"]) != len([])"#);
    }
}
