//! URLs of members and clients, checked as etcd checks them.

use super::note::Note;
use super::values::Values;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};

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

/// Scheme, host and port of an `http` or `https` URL; `None` for sockets of the file system.
fn parts(url: &str) -> Option<(&str, &str, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let (host, port) = split_host_port(rest)?;
    scheme.starts_with("http").then_some((scheme, host, port))
}

/// A listen URL's host must be an address or `localhost`.
pub(super) fn check_bind(url: &str) -> Result<(), String> {
    match parts(url) {
        Some((_, host, _)) if host != "localhost" && host.parse::<IpAddr>().is_err() => {
            Err(format!("expected IP in URL for binding ({url})"))
        }
        _ => Ok(()),
    }
}

/// An advertised URL must name a host.
pub(super) fn check_advertised_peer(url: &str) -> Result<(), String> {
    match parts(url) {
        Some((_, "", _)) => Err(format!(
            "--initial-advertise-peer-urls {url:?} must be \"host:port\" (unexpected empty host \
             ({url}))"
        )),
        _ => Ok(()),
    }
}

/// An advertised URL must name a host.
pub(super) fn check_advertised_client(url: &str) -> Result<(), String> {
    match parts(url) {
        Some((_, "", _)) => Err(format!(
            "--advertise-client-urls {url:?} must be in the format \"host:port\", \
             \"unix:/path/to/socket\" or \"unixs:/path/to/socket\" (unexpected empty host ({url}))"
        )),
        _ => Ok(()),
    }
}

/// The URLs to advertise. When they were left at the default and the member listens on all
/// addresses, the one of the default route stands in for `localhost`, as in etcd.
pub(super) fn advertised(
    values: &Values,
    advertise: &str,
    listen: &str,
    notes: &mut Vec<Note>,
) -> Vec<String> {
    let urls = values.urls(advertise);
    let listened = values.urls(listen);
    let open =
        listened.first().and_then(|url| parts(url)).filter(|(_, host, _)| *host == "0.0.0.0");
    let (Some((_, _, port)), false) = (open, values.is_set(advertise)) else { return urls };
    let Some(host) = default_host() else {
        notes.push(Note::info("failed to detect default host"));
        return urls;
    };
    notes.push(Note::info("detected default host for advertise").with("host", host.to_string()));
    let scheme = urls.first().and_then(|url| parts(url)).map_or("http", |(scheme, _, _)| scheme);
    vec![format!("{scheme}://{host}:{port}")]
}

/// The address that this machine sends from by default.
fn default_host() -> Option<Ipv4Addr> {
    /// Any address outside will do: a datagram socket that is connected sends nothing.
    const OUTSIDE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(OUTSIDE).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(ip) if !ip.is_unspecified() => Some(ip),
        _ => None,
    }
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

/// The address to bind for a listen URL over TCP: its host must be an IP address or `localhost`.
///
/// # Errors
/// What is wrong with the URL, and what would be right.
pub fn bind_address(url: &str) -> Result<SocketAddr, String> {
    let authority = url.split_once("://").map(|(_, authority)| authority);
    let (host, port) = authority
        .and_then(split_host_port)
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
