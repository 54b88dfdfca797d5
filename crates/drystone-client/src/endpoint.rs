//! Where a server listens: the forms that etcd's `--endpoints` takes.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use http::uri::Authority;

/// The address of one server, as text that has been understood.
///
/// Accepted forms: `host:port`, `http://host:port[/…]`, `unix:///absolute/path`,
/// `unix://relative/path` and `unix:path`, and the same with `https` and `unixs`. Spaces around it are ignored. The text that was
/// given is kept, because tools print it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    text: String,
    target: Target,
    authority: Authority,
    /// What the scheme says of TLS; `None` without a scheme.
    secure: Option<bool>,
}

/// What a connection is made to. Whoever connects must know every kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `host:port`, still to be resolved.
    Tcp(String),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// Why a text is not an [`Endpoint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The scheme is none of `http`, `https`, `unix` and `unixs`.
    #[error("endpoint {endpoint:?} has an unknown scheme {scheme:?}")]
    UnknownScheme {
        /// The text as given.
        endpoint: String,
        /// What stands before `://`.
        scheme: String,
    },
    /// There is no `:port`.
    #[error("endpoint {endpoint:?} has no port")]
    MissingPort {
        /// The text as given.
        endpoint: String,
    },
    /// Host or path is empty, or has bytes that cannot stand there.
    #[error("endpoint {endpoint:?} is not an address")]
    Malformed {
        /// The text as given.
        endpoint: String,
    },
}

impl Endpoint {
    /// Understands one endpoint.
    pub fn parse(text: &str) -> Result<Endpoint, EndpointError> {
        let given = || text.to_owned();
        let trimmed = text.trim();
        let malformed = || EndpointError::Malformed { endpoint: given() };
        let (scheme, rest) = match trimmed.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            None => match trimmed.split_once(':') {
                Some((scheme @ ("unix" | "unixs"), rest)) => (scheme, rest),
                _ => ("", trimmed),
            },
        };
        let (target, authority) = match scheme {
            "" | "http" | "https" => {
                let host = rest.split('/').next().unwrap_or_default();
                let authority: Authority = host.parse().map_err(|_| malformed())?;
                if authority.port_u16().is_none() {
                    return Err(EndpointError::MissingPort { endpoint: given() });
                }
                if authority.host().is_empty() || host.contains('@') {
                    return Err(malformed());
                }
                (Target::Tcp(host.to_owned()), authority)
            }
            "unix" | "unixs" if rest.is_empty() => return Err(malformed()),
            "unix" | "unixs" => {
                (Target::Unix(PathBuf::from(rest)), Authority::from_static("localhost"))
            }
            other => {
                let scheme = other.to_owned();
                return Err(EndpointError::UnknownScheme { endpoint: given(), scheme });
            }
        };
        let secure = (!scheme.is_empty()).then_some(matches!(scheme, "https" | "unixs"));
        Ok(Endpoint { text: text.to_owned(), target, authority, secure })
    }

    /// The text this endpoint was parsed from, unchanged.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What to connect to.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whether to speak TLS, where `by_default` is what a text without a scheme means.
    pub fn is_secure(&self, by_default: bool) -> bool {
        self.secure.unwrap_or(by_default)
    }

    /// What requests call the server, as HTTP's `:authority`.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;
    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        Endpoint::parse(text)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_etcd_takes() {
        let tcp = |text: &str| Endpoint::parse(text).unwrap().target;
        assert_eq!(tcp("127.0.0.1:2379"), Target::Tcp("127.0.0.1:2379".into()));
        assert_eq!(tcp(" http://localhost:1 "), Target::Tcp("localhost:1".into()));
        assert_eq!(tcp("http://localhost:1/"), Target::Tcp("localhost:1".into()));
        assert_eq!(tcp("[::1]:2379"), Target::Tcp("[::1]:2379".into()));
        assert_eq!(tcp("unix:///run/e.sock"), Target::Unix("/run/e.sock".into()));
        assert_eq!(tcp("unix://e.sock"), Target::Unix("e.sock".into()));
        assert_eq!(tcp("unix:e.sock"), Target::Unix("e.sock".into()));
    }

    #[test]
    fn the_scheme_says_whether_tls_is_spoken() {
        let secure = |text: &str| {
            let endpoint = Endpoint::parse(text).unwrap();
            (endpoint.is_secure(false), endpoint.is_secure(true))
        };
        assert_eq!(secure("https://a:1/"), (true, true));
        assert_eq!(secure("unixs:///run/e.sock"), (true, true));
        assert_eq!(secure("http://a:1"), (false, false));
        assert_eq!(secure("unix:e.sock"), (false, false));
        assert_eq!(secure("a:1"), (false, true));
    }

    #[test]
    fn forms_that_are_refused() {
        let err = |text: &str| Endpoint::parse(text).unwrap_err();
        assert!(matches!(err("a"), EndpointError::MissingPort { .. }));
        assert!(matches!(err("http://a"), EndpointError::MissingPort { .. }));
        assert!(matches!(err("ftp://a:1"), EndpointError::UnknownScheme { .. }));
        for text in ["", ":", ":2379", "http://", "unix://", "a b:1", "u@h:1"] {
            assert!(
                matches!(
                    err(text),
                    EndpointError::Malformed { .. } | EndpointError::MissingPort { .. }
                ),
                "{text}"
            );
        }
    }
}
