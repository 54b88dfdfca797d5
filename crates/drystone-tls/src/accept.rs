//! The side that listens.

use crate::bundle::Bundle;
use crate::leaf::Leaf;
use crate::materials::{Found, Materials, Side};
use crate::pair::Always;
use crate::san::{Names, SystemNames};
use crate::verify::{ClientVerifier, explain};
use crate::{Error, Expiry, Settings, san};
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take, from the connection's first byte on (etcd: 10 s).
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// What is spoken over TLS, the better first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Makes TLS streams of accepted ones. Clones share everything.
#[derive(Clone)]
pub struct Acceptor {
    shared: Arc<Shared>,
}

struct Shared {
    materials: Materials,
    names: Arc<dyn Names>,
    /// Held while files are looked at, so that a crowd of handshakes occupies one thread.
    built: Mutex<Option<Built>>,
}

struct Built {
    of: Found,
    configs: Configs,
}

#[derive(Clone)]
struct Configs {
    /// For clients that know a protocol of ours, or do not say what they know.
    usual: Arc<ServerConfig>,
    /// For clients that only know others: they get none, as in Go, and so HTTP/1.1.
    silent: Arc<ServerConfig>,
}

/// What is known of who connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FarEnd {
    /// Whether both agreed on HTTP/2; HTTP/1.1 otherwise.
    pub http2: bool,
    /// The name it asked for.
    pub server_name: Option<String>,
    /// Whether it showed a certificate, which then was verified.
    pub verified: bool,
    /// The common name in its certificate, which was verified. `None` also when that is empty.
    pub common_name: Option<String>,
}

/// A connection that stands.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The bytes in clear.
    pub stream: TlsStream<S>,
    /// Who is at the other end.
    pub far_end: FarEnd,
}

/// Why a connection was turned away. It is closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// It was closed by the far end before it said anything of note.
    #[error("EOF")]
    Closed,
    /// The far end was slow.
    #[error("the TLS handshake took longer than {HANDSHAKE_MAX:?}")]
    Late,
    /// The handshake failed.
    #[error("{reason}")]
    Handshake {
        /// What rustls says.
        reason: String,
        /// The name that was asked for.
        server_name: Option<String>,
    },
    /// The files behind this listener cannot be used.
    #[error(transparent)]
    Files(#[from] Error),
    /// The certificate is of somebody at another address.
    #[error("{reason}")]
    Address {
        /// What does not match.
        reason: String,
        /// The addresses that the certificate names.
        ip_addresses: Vec<IpAddr>,
        /// The names it has.
        dns_names: Vec<String>,
    },
}

impl Acceptor {
    /// Checks the settings and reads the files.
    ///
    /// # Errors
    /// What cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        Self::with_names(settings, Arc::new(SystemNames))
    }

    /// [`Acceptor::new`] that asks `names` instead of the system's resolver, where certificates
    /// are compared with addresses.
    ///
    /// # Errors
    /// What cannot be used.
    pub fn with_names(settings: &Settings, names: Arc<dyn Names>) -> Result<Self, Error> {
        if settings.pair.is_none() {
            return Err(Error::NoPair);
        }
        let materials = Materials::open(settings, Side::Accepts)?;
        // Whatever does not depend on the list of revocations is tried now.
        let pair = materials.find_without_revoked(settings.wants_client_certs())?;
        configs(&materials, &pair)?;
        Ok(Self { shared: Arc::new(Shared { materials, names, built: Mutex::new(None) }) })
    }

    /// Shakes hands, within [`HANDSHAKE_MAX`]. `remote` is where the stream comes from, if that
    /// is an address. Whoever accepts calls this in a task of its own for each connection.
    ///
    /// # Errors
    /// Why the far end is not let in.
    pub async fn accept<S>(
        &self,
        stream: S,
        remote: Option<IpAddr>,
    ) -> Result<Accepted<S>, Rejected>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let shaken = timeout(HANDSHAKE_MAX, self.shake_hands(stream, remote)).await;
        shaken.unwrap_or(Err(Rejected::Late))
    }

    /// Until when what this listener shows and trusts is valid. Blocks on files.
    #[must_use]
    pub fn expiries(&self) -> Vec<Expiry> {
        self.shared.materials.expiries()
    }

    async fn shake_hands<S>(
        &self,
        stream: S,
        remote: Option<IpAddr>,
    ) -> Result<Accepted<S>, Rejected>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let started = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await;
        let started = started.map_err(|error| rejected(&error, None))?;
        let hello = started.client_hello();
        let server_name = hello.server_name().map(str::to_owned);
        let is_ours = hello.alpn().is_none_or(|mut known| known.any(|p| PROTOCOLS.contains(&p)));
        let configs = self.configs().await?;
        let config = if is_ours { configs.usual } else { configs.silent };
        let stream = started.into_stream(config).await;
        let stream = stream.map_err(|error| rejected(&error, server_name.clone()))?;
        let (_, connection) = stream.get_ref();
        // What the far end showed was verified, or it was not asked for anything.
        let shown = connection.peer_certificates().and_then(|certs| certs.first());
        let leaf = shown
            .map(Leaf::of)
            .transpose()
            .map_err(|reason| Rejected::Handshake { reason, server_name: server_name.clone() })?;
        if let (Some(leaf), Some(remote), true) =
            (&leaf, remote, self.shared.materials.settings.check_remote_address)
        {
            san::check(leaf, remote, &self.shared.names).await?;
        }
        let far_end = FarEnd {
            http2: connection.alpn_protocol() == Some(PROTOCOLS[0]),
            server_name,
            verified: leaf.is_some(),
            common_name: leaf.and_then(|leaf| leaf.common_name).filter(|name| !name.is_empty()),
        };
        Ok(Accepted { stream, far_end })
    }

    /// The configurations that fit the files as they are now.
    async fn configs(&self) -> Result<Configs, Error> {
        let mut built = self.shared.built.lock().await;
        let shared = self.shared.clone();
        let looked = tokio::task::spawn_blocking(move || {
            shared.materials.find(shared.materials.settings.wants_client_certs())
        });
        let found =
            looked.await.map_err(|error| Error::Refused { reason: error.to_string() })??;
        if let Some(built) = built.as_ref().filter(|built| built.of.same(&found)) {
            return Ok(built.configs.clone());
        }
        let configs = configs(&self.shared.materials, &found)?;
        *built = Some(Built { of: found, configs: configs.clone() });
        Ok(configs)
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("materials", &self.shared.materials).finish()
    }
}

fn configs(materials: &Materials, found: &Found) -> Result<Configs, Error> {
    let refused = |reason: String| Error::Refused { reason };
    let provider = materials.chosen.provider.clone();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&materials.chosen.versions)
        .map_err(|error| refused(error.to_string()))?;
    let builder = if materials.settings.wants_client_certs() {
        let trusted = found.trusted.clone().ok_or(Error::NoAuthorities)?;
        let verifier = verifier(materials, found, trusted)?;
        builder.with_client_cert_verifier(Arc::new(verifier))
    } else {
        builder.with_no_client_auth()
    };
    let pair = found.pair.as_ref().ok_or(Error::NoPair)?;
    let mut config = builder.with_cert_resolver(Arc::new(Always(pair.key.clone())));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    let silent = Arc::new(config.clone());
    config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Configs { usual: Arc::new(config), silent })
}

fn verifier(
    materials: &Materials,
    found: &Found,
    trusted: Arc<Bundle>,
) -> Result<ClientVerifier, Error> {
    if trusted.roots.is_empty() {
        return Err(Error::NoAuthorities);
    }
    if let Some(revoked) = &found.revoked {
        revoked.question(&trusted);
    }
    let provider = materials.chosen.provider.clone();
    let inner = WebPkiClientVerifier::builder_with_provider(trusted.roots.clone(), provider)
        .build()
        .map_err(|error| Error::Refused { reason: error.to_string() })?;
    Ok(ClientVerifier { inner, trusted, rules: materials.rules(found) })
}

fn rejected(error: &io::Error, server_name: Option<String>) -> Rejected {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => Rejected::Closed,
        _ => Rejected::Handshake { reason: explain(error), server_name },
    }
}
