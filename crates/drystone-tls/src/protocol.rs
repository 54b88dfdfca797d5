//! Versions and cipher suites, by the names that etcd takes.

use crate::{Error, Settings};
use rustls::crypto::CryptoProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, SupportedCipherSuite, SupportedProtocolVersion};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLS1.2",
            Self::Tls13 => "TLS1.3",
        })
    }
}

impl FromStr for Version {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        match word {
            "TLS1.2" => Ok(Self::Tls12),
            "TLS1.3" => Ok(Self::Tls13),
            _ => Err(Error::Version { word: word.to_owned() }),
        }
    }
}

/// What a suite's name stands for here.
enum Named {
    /// One of TLS 1.2 that is served.
    Served(CipherSuite),
    /// One of TLS 1.3: those are not chosen, they are always there.
    OfTls13,
    /// One that Go knows and that is not served, for it is weak.
    Weak,
}

/// What stands before the name of every suite.
const PREFIX: &str = "TLS_";

/// The suites of TLS 1.2 that are served, and etcd's short names of two of them.
const SERVED: &[(&str, CipherSuite)] = &[
    ("ECDHE_RSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE_RSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    (
        "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    ("ECDHE_RSA_WITH_CHACHA20_POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    (
        "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// The suites of TLS 1.3.
const OF_TLS13: &[&str] = &["AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"];

/// Suites that Go knows, with a cipher, a hash or a key exchange of yesterday.
const WEAK: &[&str] = &[
    "RSA_WITH_RC4_128_SHA",
    "RSA_WITH_3DES_EDE_CBC_SHA",
    "RSA_WITH_AES_128_CBC_SHA",
    "RSA_WITH_AES_256_CBC_SHA",
    "RSA_WITH_AES_128_CBC_SHA256",
    "RSA_WITH_AES_128_GCM_SHA256",
    "RSA_WITH_AES_256_GCM_SHA384",
    "ECDHE_ECDSA_WITH_RC4_128_SHA",
    "ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "ECDHE_RSA_WITH_RC4_128_SHA",
    "ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

fn named(name: &str) -> Option<Named> {
    let rest = name.strip_prefix(PREFIX)?;
    if let Some((_, suite)) = SERVED.iter().find(|(served, _)| *served == rest) {
        return Some(Named::Served(*suite));
    }
    if OF_TLS13.contains(&rest) {
        return Some(Named::OfTls13);
    }
    WEAK.contains(&rest).then_some(Named::Weak)
}

/// Versions and suites that were chosen, checked.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) versions: Vec<&'static SupportedProtocolVersion>,
    /// Names that were taken and have no effect.
    pub(crate) weak: Vec<String>,
}

impl Chosen {
    pub(crate) fn of(settings: &Settings) -> Result<Self, Error> {
        let min = settings.version_min;
        let max = settings.version_max.unwrap_or(Version::Tls13);
        if min > max {
            return Err(Error::Versions { min, max });
        }
        let chooses = !settings.suites.is_empty();
        let mut wanted = Vec::new();
        let mut weak = Vec::new();
        for name in &settings.suites {
            match named(name).ok_or_else(|| Error::Suite { name: name.clone() })? {
                Named::Served(suite) => wanted.push(suite),
                Named::Weak => weak.push(name.clone()),
                Named::OfTls13 => {}
            }
        }
        if chooses && min == Version::Tls13 {
            return Err(Error::SuitesOfTls13);
        }
        let mut provider = rustls::crypto::ring::default_provider();
        if chooses {
            provider.cipher_suites.retain(|suite| match suite {
                SupportedCipherSuite::Tls12(_) => wanted.contains(&suite.suite()),
                SupportedCipherSuite::Tls13(_) => true,
            });
        }
        let mut versions = Vec::new();
        if max == Version::Tls13 {
            versions.push(&TLS13);
        }
        if min == Version::Tls12 && (!chooses || !wanted.is_empty()) {
            versions.push(&TLS12);
        }
        if versions.is_empty() {
            return Err(Error::NoSuite { names: settings.suites.clone() });
        }
        Ok(Self { provider: Arc::new(provider), versions, weak })
    }
}

#[cfg(test)]
mod tests;
