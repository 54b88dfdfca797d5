//! How connections are made: by the system's sockets, or by whatever stands in for them.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::Endpoint;
use crate::endpoint::Target;

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

/// TCP and Unix sockets of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDialer;

impl Dial for SystemDialer {
    fn dial(&self, endpoint: &Endpoint) -> Dialing {
        let target = endpoint.target().clone();
        Box::pin(async move {
            let stream: Box<dyn Stream> = match target {
                Target::Tcp(address) => {
                    let stream = TcpStream::connect(address).await?;
                    stream.set_nodelay(true)?;
                    Box::new(stream)
                }
                Target::Unix(path) => Box::new(UnixStream::connect(path).await?),
            };
            Ok(stream)
        })
    }
}
