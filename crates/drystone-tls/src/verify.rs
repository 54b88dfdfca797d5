//! Who is let in: a path to a trusted authority, then the lists.

use crate::bundle::Bundle;
use crate::leaf::Leaf;
use crate::materials::Rules;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use std::io;
use std::sync::Arc;

/// The far end has none of the allowed names. The text is etcd's.
#[derive(Debug, thiserror::Error)]
#[error("client certificate authentication failed")]
struct NotAllowed;

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// What a failed handshake says, without the wrappings of what was refused here.
pub(crate) fn explain(error: &io::Error) -> String {
    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match of_tls {
        Some(Error::InvalidCertificate(CertificateError::Other(OtherError(refused)))) => {
            refused.to_string()
        }
        Some(other) => other.to_string(),
        None => error.to_string(),
    }
}

/// Judges what clients show.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    pub(crate) inner: Arc<dyn ClientCertVerifier>,
    pub(crate) trusted: Arc<Bundle>,
    pub(crate) rules: Rules,
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let judged = self.inner.verify_client_cert(end_entity, intermediates, now);
        let trusted = || trusted_itself(&self.trusted, end_entity, now, Leaf::may_be_clients);
        if let Err(error) = judged
            && trusted().is_none()
        {
            return Err(error);
        }
        self.rules.check(end_entity, intermediates)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// How the path of a server's certificate is judged.
#[derive(Debug)]
pub(crate) enum Path {
    /// As it should be.
    Verified(Arc<dyn ServerCertVerifier>, Arc<Bundle>),
    /// Any certificate will do.
    Any,
}

/// Judges what servers show.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    pub(crate) path: Path,
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) rules: Rules,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Path::Verified(inner, bundle) = &self.path else {
            return Ok(ServerCertVerified::assertion());
        };
        if let Err(error) = inner.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            let leaf = trusted_itself(bundle, end_entity, now, Leaf::may_be_servers);
            if !leaf.is_some_and(|leaf| leaf.is_for(&name.to_str())) {
                return Err(error);
            }
        }
        self.rules.check(end_entity, intermediates)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate that is in the bundle itself needs no path to it, as in Go: so a self-signed one
/// can be its own authority, which webpki alone does not take.
fn trusted_itself(
    bundle: &Bundle,
    cert: &CertificateDer<'_>,
    now: UnixTime,
    may: impl FnOnce(&Leaf) -> bool,
) -> Option<Leaf> {
    let now = i64::try_from(now.as_secs()).ok()?;
    let leaf = bundle.holds(cert).then(|| Leaf::of(cert).ok())??;
    (leaf.is_valid_at(now) && may(&leaf)).then_some(leaf)
}

impl Rules {
    /// Asks the lists, once the path is known to be good.
    fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<(), Error> {
        let leaf = Leaf::of(end_entity)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let cns = &self.allowed_cns;
        let named = |cn: &String| leaf.common_name.as_ref() == Some(cn);
        let hostnames = &self.allowed_hostnames;
        let allowed = (cns.is_empty() || cns.iter().any(named))
            && (hostnames.is_empty() || hostnames.iter().any(|host| leaf.is_for(host)));
        if !allowed {
            return Err(other(NotAllowed));
        }
        let Some(revoked) = &self.revoked else { return Ok(()) };
        let all = std::iter::once(end_entity).chain(intermediates);
        revoked.check(all).map_err(other)
    }
}
