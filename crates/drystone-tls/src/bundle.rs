//! The authorities whose word is taken.

use crate::Error;
use crate::files::Followed;
use crate::leaf::Leaf;
use crate::pair::certificates;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

/// Trusted certificates.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) roots: Arc<RootCertStore>,
    /// The same certificates whole.
    pub(crate) certs: Vec<CertificateDer<'static>>,
    /// When the first of them expires.
    pub(crate) expires: Option<SystemTime>,
}

impl Bundle {
    fn of(certs: Vec<CertificateDer<'static>>) -> (Self, usize) {
        let mut roots = RootCertStore::empty();
        let (_, unusable) = roots.add_parsable_certificates(certs.iter().cloned());
        let expires = certs.iter().filter_map(|cert| Leaf::of(cert).ok()?.expires()).min();
        (Self { roots: Arc::new(roots), certs, expires }, unusable)
    }

    /// Whether this very certificate is trusted, whoever signed it.
    pub(crate) fn holds(&self, cert: &CertificateDer<'_>) -> bool {
        self.certs.iter().any(|known| known.as_ref() == cert.as_ref())
    }
}

/// Follows a PEM bundle.
pub(crate) fn follow(path: &Path) -> Followed<Bundle> {
    let of = path.to_owned();
    let make = move |contents: &[Vec<u8>]| {
        let (bundle, unusable) = Bundle::of(certificates(&of, &contents.concat())?);
        if bundle.roots.is_empty() {
            let reason = "none of its certificates can be used".to_owned();
            return Err(Error::Content { path: of.clone(), what: "no authority", reason });
        }
        if unusable > 0 {
            let path = of.display().to_string();
            tracing::warn!(path, unusable, "some trusted authorities cannot be used");
        }
        Ok(bundle)
    };
    Followed::new("trusted authorities", &[path], make)
}

/// The system's authorities, read once. Blocks on files.
pub(crate) fn of_system() -> Arc<Bundle> {
    static SYSTEM: OnceLock<Arc<Bundle>> = OnceLock::new();
    let read = || {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the system's authorities cannot be read");
        }
        Arc::new(Bundle::of(found.certs).0)
    };
    SYSTEM.get_or_init(read).clone()
}
