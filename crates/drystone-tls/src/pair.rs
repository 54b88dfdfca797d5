//! A certificate and its key, ready for handshakes.

use crate::files::Followed;
use crate::leaf::Leaf;
use crate::{Error, Pair};
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// A pair that was read, and until when it may be shown.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) expires: Option<SystemTime>,
}

/// Follows the two files of a pair.
pub(crate) fn follow(pair: &Pair, provider: Arc<CryptoProvider>) -> Followed<Shown> {
    let of = pair.clone();
    let make = move |contents: &[Vec<u8>]| match contents {
        [cert, key] => shown(&of, cert, key, &provider),
        _ => Err(Error::NoPair),
    };
    Followed::new("certificate and key", &pair.files(), make)
}

fn shown(pair: &Pair, cert: &[u8], key: &[u8], provider: &CryptoProvider) -> Result<Shown, Error> {
    let chain = certificates(&pair.cert, cert)?;
    let refused =
        |path: &Path, what, reason: String| Error::Content { path: path.to_owned(), what, reason };
    // What the reader says of a key names no part of it.
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| refused(&pair.key, "no private key", error.to_string()))?;
    let expires = Leaf::of(&chain[0])
        .map_err(|reason| refused(&pair.cert, "no certificate", reason))?
        .expires();
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            Error::Mismatch { key: pair.key.clone(), cert: pair.cert.clone() }
        }
        other => refused(&pair.key, "a key that cannot be used", other.to_string()),
    })?;
    Ok(Shown { key: Arc::new(key), expires })
}

/// The certificates of a PEM file; at least one.
pub(crate) fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let refused =
        |reason: String| Error::Content { path: path.to_owned(), what: "no certificate", reason };
    let all: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| refused(error.to_string()))?;
    if all.is_empty() {
        return Err(refused("there is no PEM section CERTIFICATE in it".to_owned()));
    }
    Ok(all)
}

/// Shows one certificate whoever asks.
#[derive(Debug)]
pub(crate) struct Always(pub(crate) Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

impl ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
