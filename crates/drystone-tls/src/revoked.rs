//! Lists of revocations.

use crate::Error;
use crate::bundle::Bundle;
use crate::files::Followed;
use crate::leaf::{serial, serial_text};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use std::collections::BTreeSet;
use std::path::Path;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

/// The serial numbers that a list names.
///
/// As in etcd they count by themselves, whoever issued the list and the certificate, and after
/// the list's next update too: nobody gets in for whom etcd would shut the door. A list that no
/// trusted authority signed, or that is overdue, is warned of when it is taken up.
#[derive(Debug)]
pub(crate) struct Revoked {
    serials: BTreeSet<Vec<u8>>,
    der: Vec<u8>,
}

/// A certificate that was revoked. The text is etcd's.
#[derive(Debug, thiserror::Error)]
#[error("transport: certificate serial {serial} revoked")]
pub(crate) struct IsRevoked {
    serial: String,
}

impl Revoked {
    fn of(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let refused = |reason: String| Error::Content {
            path: path.to_owned(),
            what: "no list of revocations",
            reason,
        };
        // DER in current etcd; its older versions read PEM as well.
        let der = if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
            let list = CertificateRevocationListDer::from_pem_slice(bytes);
            list.map_err(|error| refused(error.to_string()))?.to_vec()
        } else {
            bytes.to_vec()
        };
        let serials = {
            let (rest, list) = CertificateRevocationList::from_der(&der)
                .map_err(|error| refused(error.to_string()))?;
            if !rest.is_empty() {
                return Err(refused("there are bytes behind its end".to_owned()));
            }
            list.iter_revoked_certificates().map(|entry| serial(entry.raw_serial())).collect()
        };
        Ok(Self { serials, der })
    }

    /// Passes certificates of which none is revoked.
    pub(crate) fn check<'a>(
        &self,
        certs: impl IntoIterator<Item = &'a CertificateDer<'a>>,
    ) -> Result<(), IsRevoked> {
        for cert in certs {
            // What cannot be read was refused before, or is no part of the path.
            let Ok((_, cert)) = X509Certificate::from_der(cert) else { continue };
            let serial = serial(cert.raw_serial());
            if self.serials.contains(&serial) {
                return Err(IsRevoked { serial: serial_text(&serial) });
            }
        }
        Ok(())
    }

    /// Says in the log what is wrong with the list beyond its form.
    pub(crate) fn question(&self, trusted: &Bundle) {
        let Ok((_, list)) = CertificateRevocationList::from_der(&self.der) else { return };
        let signed = trusted.certs.iter().any(|authority| {
            X509Certificate::from_der(authority).is_ok_and(|(_, authority)| {
                authority.subject() == list.issuer()
                    && list.verify_signature(authority.public_key()).is_ok()
            })
        });
        let issuer = list.issuer().to_string();
        if !signed {
            tracing::warn!(issuer, "no trusted authority signed the list of revocations");
        }
        if list.next_update().is_some_and(|due| due < ASN1Time::now()) {
            tracing::warn!(issuer, "the list of revocations is overdue");
        }
    }
}

/// Follows a list.
pub(crate) fn follow(path: &Path) -> Followed<Revoked> {
    let of = path.to_owned();
    let make = move |contents: &[Vec<u8>]| Revoked::of(&of, &contents.concat());
    Followed::new("list of revocations", &[path], make)
}
