//! How connections are made: by the system's sockets, or by whatever stands in for them, and
//! with TLS where an endpoint asks for it.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use drystone_tls::Connector;

use crate::endpoint::Target;
use crate::{Config, Endpoint, Error};

/// A byte stream to a server.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that is being made.
pub type Dialing = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Makes connections to servers. [`SystemDialer`] uses the system's sockets; a test brings a
/// network of its own.
pub trait Dial: fmt::Debug + Send + Sync + 'static {
    /// Connects. The caller bounds the time, and drops the future to give up.
    ///
    /// # Errors
    /// Why there is no connection; the text is what the user is shown.
    fn dial(&self, endpoint: &Endpoint) -> Dialing;
}

/// TCP and Unix sockets of the system, without TLS: an endpoint that asks for it is not dialled.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDialer;

impl Dial for SystemDialer {
    fn dial(&self, endpoint: &Endpoint) -> Dialing {
        if endpoint.is_secure(false) {
            let refused = format!("{endpoint} asks for TLS, which is not set up here");
            return Box::pin(async { Err(io::Error::new(io::ErrorKind::Unsupported, refused)) });
        }
        Box::pin(connect(endpoint.target().clone()))
    }
}

async fn connect(target: Target) -> io::Result<Box<dyn Stream>> {
    let stream: Box<dyn Stream> = match target {
        Target::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
        Target::Unix(path) => Box::new(UnixStream::connect(path).await?),
    };
    Ok(stream)
}

/// Connections of the system, and a handshake where the endpoint or the configuration asks for
/// one.
#[derive(Debug)]
pub(crate) struct SecureDialer {
    connector: Connector,
    /// Whether endpoints that do not say so speak TLS too.
    by_default: bool,
}

impl SecureDialer {
    /// Reads the files that the configuration names.
    pub(crate) fn new(config: &Config) -> Result<SecureDialer, Error> {
        let settings = config.tls.clone().unwrap_or_default();
        let connector = Connector::new(&settings, &["h2"])
            .map_err(|error| Error::Tls { message: with_sources(&error) })?;
        Ok(SecureDialer { connector, by_default: config.tls.is_some() })
    }
}

impl Dial for SecureDialer {
    fn dial(&self, endpoint: &Endpoint) -> Dialing {
        let connecting = connect(endpoint.target().clone());
        if !endpoint.is_secure(self.by_default) {
            return Box::pin(connecting);
        }
        let (connector, authority) = (self.connector.clone(), endpoint.authority().clone());
        Box::pin(async move {
            let host = authority.host();
            let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
            let stream: Box<dyn Stream> =
                Box::new(connector.connect(connecting.await?, host).await?);
            Ok(stream)
        })
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(deeper) = source {
        text = format!("{text}: {deeper}");
        source = deeper.source();
    }
    text
}
