//! URLs of members and clients, checked as etcd checks them.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// Reads a list of URLs with commas between them: each is checked, repeats are dropped, and
/// the list is sorted, as etcd sorts it.
///
/// # Errors
/// What is wrong with which URL.
pub fn parse_urls(text: &str) -> Result<Vec<String>, String> {
    let mut urls = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        urls.push(parse_url(item)?);
    }
    urls.sort();
    urls.dedup();
    if urls.is_empty() {
        return Err("no valid URLs given".to_owned());
    }
    Ok(urls)
}

/// Checks each URL of a list, and sorts it.
///
/// # Errors
/// What is wrong with which URL.
pub(crate) fn check_urls(list: &[String]) -> Result<Vec<String>, String> {
    let mut urls = list.iter().map(|url| parse_url(url.trim())).collect::<Result<Vec<_>, _>>()?;
    urls.sort();
    if urls.is_empty() { Err("no valid URLs given".to_owned()) } else { Ok(urls) }
}

fn parse_url(text: &str) -> Result<String, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(format!("URL scheme must be http, https, unix, or unixs: {text}"));
    };
    match scheme {
        "http" | "https" => {
            let (authority, path) = rest.split_once('/').map_or((rest, ""), |(a, p)| (a, p));
            if split_host_port(authority).is_none() {
                return Err(format!(r#"URL address does not have the form "host:port": {text}"#));
            }
            if !path.is_empty() || rest.ends_with('/') {
                return Err(format!("URL must not contain a path: {text}"));
            }
        }
        "unix" | "unixs" => {}
        _ => return Err(format!("URL scheme must be http, https, unix, or unixs: {text}")),
    }
    Ok(text.to_owned())
}

/// Splits `host:port`, where the host may be an IPv6 address in brackets.
pub(crate) fn split_host_port(authority: &str) -> Option<(&str, u16)> {
    let (host, port) = authority.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    Some((host, port))
}

/// The part of an `http` URL after the scheme.
pub(crate) fn authority(url: &str) -> Option<&str> {
    url.strip_prefix("http://")
}

/// The address to bind for a listen URL: its host must be an IP address or `localhost`.
///
/// # Errors
/// What is wrong with the URL, and what would be right.
pub fn bind_address(url: &str) -> Result<SocketAddr, String> {
    let Some(authority) = authority(url) else {
        return Err(format!(
            "cannot listen on {url}: only http URLs are served yet (TLS and unix sockets are not)"
        ));
    };
    let (host, port) = split_host_port(authority)
        .ok_or_else(|| format!(r#"URL address does not have the form "host:port": {url}"#))?;
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    if host == "localhost" {
        let resolved = ("localhost", port).to_socket_addrs().ok();
        let v4 = resolved.and_then(|mut found| found.find(SocketAddr::is_ipv4));
        return Ok(v4.unwrap_or(SocketAddr::from(([127, 0, 0, 1], port))));
    }
    Err(format!("expected IP in URL for binding ({url})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_free_of_repeats() {
        assert_eq!(
            parse_urls("http://b:1, http://a:2,http://b:1").unwrap(),
            ["http://a:2", "http://b:1"]
        );
    }

    #[test]
    fn bad_urls_say_what_is_wrong() {
        for (url, text) in [
            ("a:1", "URL scheme must be http, https, unix, or unixs: a:1"),
            ("ftp://a:1", "URL scheme must be http, https, unix, or unixs: ftp://a:1"),
            ("http://a", r#"URL address does not have the form "host:port": http://a"#),
            ("http://a:1/x", "URL must not contain a path: http://a:1/x"),
            ("", "no valid URLs given"),
        ] {
            assert_eq!(parse_urls(url).unwrap_err(), text);
        }
    }

    #[test]
    fn only_addresses_and_localhost_can_be_bound() {
        assert_eq!(bind_address("http://127.0.0.1:2379").unwrap().port(), 2379);
        assert!(bind_address("http://[::1]:2379").unwrap().is_ipv6());
        assert!(bind_address("http://localhost:1").unwrap().ip().is_loopback());
        assert_eq!(
            bind_address("http://example.com:1").unwrap_err(),
            "expected IP in URL for binding (http://example.com:1)"
        );
    }
}
