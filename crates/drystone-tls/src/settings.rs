//! What is asked for: etcd's settings of one face, as data.

use crate::{Error, Version};
use std::path::{Path, PathBuf};

/// A certificate and its private key, in PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, followed by those of authorities between it and a trusted one.
    pub cert: PathBuf,
    /// The private key: PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
}

impl Pair {
    /// Both files, or neither (both empty).
    ///
    /// # Errors
    /// [`Error::HalfPair`] for one of two.
    pub fn of(cert: &str, key: &str) -> Result<Option<Self>, Error> {
        match (cert.is_empty(), key.is_empty()) {
            (true, true) => Ok(None),
            (false, false) => Ok(Some(Self { cert: cert.into(), key: key.into() })),
            _ => Err(Error::HalfPair { key: key.to_owned(), cert: cert.to_owned() }),
        }
    }

    /// [`Pair::of`] for a pair to dial with.
    ///
    /// # Errors
    /// [`Error::HalfClientPair`] for one of two.
    pub fn for_dialling(cert: &str, key: &str) -> Result<Option<Self>, Error> {
        Self::of(cert, key)
            .map_err(|_| Error::HalfClientPair { key: key.to_owned(), cert: cert.to_owned() })
    }

    pub(crate) fn files(&self) -> [&Path; 2] {
        [&self.cert, &self.key]
    }
}

/// Everything that etcd lets an operator say about TLS of one face (clients or peers).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What this process shows when it is dialled, and also when it dials and has no other.
    pub pair: Option<Pair>,
    /// What this process shows when it dials.
    pub client_pair: Option<Pair>,
    /// Whose word is taken: a PEM bundle. The system's authorities otherwise. Setting it makes
    /// clients show a certificate.
    pub trusted_ca: Option<PathBuf>,
    /// Makes clients show a certificate even without [`Settings::trusted_ca`].
    pub client_cert_auth: bool,
    /// If any, the far end's certificate must have one of these common names.
    pub allowed_cns: Vec<String>,
    /// If any, the far end's certificate must be valid for one of these host names. Not
    /// together with [`Settings::allowed_cns`].
    pub allowed_hostnames: Vec<String>,
    /// Certificates that nobody may come with any more: a CRL, in DER or PEM.
    pub crl: Option<PathBuf>,
    /// Whether who connects must do so from an address that its certificate names.
    pub check_remote_address: bool,
    /// The oldest version.
    pub version_min: Version,
    /// The newest version; `None` is the newest there is.
    pub version_max: Option<Version>,
    /// Suites of TLS 1.2 by their names at IANA or in Go; empty is all there are.
    pub suites: Vec<String>,
    /// Whether to dial servers that show any certificate at all.
    pub skip_verify: bool,
    /// The name that a dialled server must have instead of that in its URL.
    pub server_name: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pair: None,
            client_pair: None,
            trusted_ca: None,
            client_cert_auth: false,
            allowed_cns: Vec::new(),
            allowed_hostnames: Vec::new(),
            crl: None,
            check_remote_address: false,
            version_min: Version::Tls12,
            version_max: None,
            suites: Vec::new(),
            skip_verify: false,
            server_name: None,
        }
    }
}

impl Settings {
    /// Whether who connects must show a certificate that is verified.
    #[must_use]
    pub fn wants_client_certs(&self) -> bool {
        self.client_cert_auth || self.trusted_ca.is_some()
    }

    /// Checks what can be checked without files.
    ///
    /// # Errors
    /// What does not go together.
    pub fn check(&self) -> Result<(), Error> {
        if !self.allowed_cns.is_empty() && !self.allowed_hostnames.is_empty() {
            return Err(Error::TwoLists {
                cns: self.allowed_cns.clone(),
                hostnames: self.allowed_hostnames.clone(),
            });
        }
        crate::protocol::Chosen::of(self).map(drop)
    }
}
