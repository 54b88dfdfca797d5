//! The side that dials.

use crate::error::whole;
use crate::materials::{Found, Materials, Side};
use crate::pair::Always;
use crate::verify::{Path, ServerVerifier, explain};
use crate::{Error, Expiry, HANDSHAKE_MAX, Settings};
use rustls::ClientConfig;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::ServerName;
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Makes TLS streams of dialled ones. Clones share everything.
#[derive(Clone)]
pub struct Connector {
    shared: Arc<Shared>,
}

struct Shared {
    materials: Materials,
    protocols: Vec<Vec<u8>>,
    built: Mutex<Option<(Found, Arc<ClientConfig>)>>,
}

impl Connector {
    /// Checks the settings and reads the files. `protocols` is what is offered, such as `h2`;
    /// none lets the server assume HTTP/1.1.
    ///
    /// # Errors
    /// What cannot be used.
    pub fn new(settings: &Settings, protocols: &[&str]) -> Result<Self, Error> {
        let materials = Materials::open(settings, Side::Dials)?;
        let protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Ok(Self { shared: Arc::new(Shared { materials, protocols, built: Mutex::new(None) }) })
    }

    /// Shakes hands, within [`HANDSHAKE_MAX`]. `host` is the server as its URL names it: a
    /// name, or an address without brackets; [`Settings::server_name`] counts before it.
    ///
    /// # Errors
    /// Why this is not the server that is meant, or not one at all. The text is for people.
    pub async fn connect<S>(&self, stream: S, host: &str) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long");
        timeout(HANDSHAKE_MAX, self.shake_hands(stream, host)).await.map_err(late)?
    }

    /// Until when what this process shows when it dials, and what it trusts, is valid. Blocks
    /// on files.
    #[must_use]
    pub fn expiries(&self) -> Vec<Expiry> {
        self.shared.materials.expiries()
    }

    async fn shake_hands<S>(&self, stream: S, host: &str) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let host = self.shared.materials.settings.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{host:?}: {error}"))
        })?;
        let config = self.config().await.map_err(|error| io::Error::other(whole(&error)))?;
        let connected = TlsConnector::from(config).connect(name, stream).await;
        connected.map_err(|error| io::Error::new(error.kind(), explain(&error)))
    }

    /// The configuration that fits the files as they are now.
    async fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        let mut built = self.shared.built.lock().await;
        let shared = self.shared.clone();
        let looked = tokio::task::spawn_blocking(move || {
            shared.materials.find(!shared.materials.settings.skip_verify)
        });
        let found =
            looked.await.map_err(|error| Error::Refused { reason: error.to_string() })??;
        if let Some((_, config)) = built.as_ref().filter(|(of, _)| of.same(&found)) {
            return Ok(config.clone());
        }
        let config = Arc::new(config(&self.shared, &found)?);
        *built = Some((found, config.clone()));
        Ok(config)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("materials", &self.shared.materials).finish()
    }
}

fn config(shared: &Shared, found: &Found) -> Result<ClientConfig, Error> {
    let Shared { materials, protocols, .. } = shared;
    let provider = materials.chosen.provider.clone();
    let refused = |error: String| Error::Refused { reason: error };
    let path = if materials.settings.skip_verify {
        Path::Any
    } else {
        let trusted = found.trusted.clone().ok_or(Error::NoAuthorities)?;
        if trusted.roots.is_empty() {
            return Err(Error::NoAuthorities);
        }
        let roots = trusted.roots.clone();
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|error| refused(error.to_string()))?;
        Path::Verified(verifier, trusted)
    };
    let rules = materials.rules(found);
    let verifier = ServerVerifier { path, provider: provider.clone(), rules };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&materials.chosen.versions)
        .map_err(|error| refused(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &found.pair {
        Some(pair) => builder.with_client_cert_resolver(Arc::new(Always(pair.key.clone()))),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    config.alpn_protocols.clone_from(protocols);
    Ok(config)
}
