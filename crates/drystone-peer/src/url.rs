//! Where a peer listens.

use std::fmt;
use std::str::FromStr;

/// How the connection to a peer is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// TCP.
    Http,
    /// TLS over TCP.
    Https,
    /// A Unix socket.
    Unix,
    /// TLS over a Unix socket.
    Unixs,
}

/// One peer URL: `scheme://host:port`, without a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerUrl {
    scheme: Scheme,
    authority: String,
}

/// A text that cannot be dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Not one of `http`, `https`, `unix`, `unixs`.
    #[error("URL scheme must be http, https, unix, or unixs: {0}")]
    Scheme(String),
    /// Not `host:port`.
    #[error("URL address does not have the form \"host:port\": {0}")]
    Authority(String),
    /// Something after the port.
    #[error("URL must not contain a path: {0}")]
    Path(String),
}

impl PeerUrl {
    /// How to connect.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// `host:port`; for the Unix schemes the path of the socket.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host without its port and without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(h, _)| h);
        host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
    }
}

impl fmt::Display for PeerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Unix => "unix",
            Scheme::Unixs => "unixs",
        };
        write!(f, "{scheme}://{}", self.authority)
    }
}

impl FromStr for PeerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let shown = || text.chars().take(256).collect::<String>();
        let (scheme, rest) = text.split_once("://").ok_or_else(|| UrlError::Scheme(shown()))?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "unix" => Scheme::Unix,
            "unixs" => Scheme::Unixs,
            _ => return Err(UrlError::Scheme(shown())),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(UrlError::Path(shown()));
        }
        let port = authority.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
        let sound = authority.bytes().all(|b| b.is_ascii_graphic() && b != b'@');
        match port {
            Some((host, Ok(_))) if !host.is_empty() && sound => {
                Ok(Self { scheme, authority: authority.to_owned() })
            }
            _ => Err(UrlError::Authority(shown())),
        }
    }
}

/// Parses the comma list of `X-PeerURLs`, leaving out what cannot be dialled.
pub(crate) fn parse_list(text: &str, urls_max: usize) -> Vec<PeerUrl> {
    text.split(',').filter_map(|url| url.trim().parse().ok()).take(urls_max).collect()
}

#[cfg(test)]
mod tests;
