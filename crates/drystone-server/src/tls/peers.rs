//! Other members' connections, in both directions.

use super::listen::{Bound, prepare};
use super::{tell_rejected, turned_away};
use crate::config::Config;
use anyhow::Context;
use drystone_peer::{Dial, Listen, Opened, Opening, PeerUrl, Scheme, Stream};
use drystone_tls::{Acceptor, Connector};
use futures::future::BoxFuture;
use std::io;
use std::sync::Arc;
use tokio::net::{TcpStream, UnixStream};

/// Listens for other members.
struct PeerListener {
    bound: Bound,
    acceptor: Option<Acceptor>,
}

/// A socket that members connect to; by `acceptor` on its secure URLs.
pub(crate) fn listening(bound: Bound, acceptor: Option<&Acceptor>) -> Box<dyn Listen> {
    let acceptor = acceptor.filter(|_| bound.is_secure).cloned();
    Box::new(PeerListener { bound, acceptor })
}

impl Listen for PeerListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Opening>> {
        Box::pin(async move {
            let raw = self.bound.accept().await?;
            let (acceptor, or_clear) = (self.acceptor.clone(), self.bound.is_clear);
            let opening: Opening = Box::pin(async move {
                raw.prepare()?;
                let address = raw.address();
                let in_clear = acceptor.is_none() || (or_clear && !raw.begins_secure().await?);
                let Some(acceptor) = acceptor.filter(|_| !in_clear) else {
                    return Ok(Opened::by_anybody(raw.into_stream()));
                };
                let remote = address.map(|address| address.ip());
                let accepted = acceptor.accept(raw.into_stream(), remote).await;
                let accepted = accepted.map_err(|why| {
                    tell_rejected("peer", address, &why);
                    turned_away()
                })?;
                let is_proven = accepted.far_end.verified;
                Ok(Opened { stream: Box::new(accepted.stream), is_proven })
            });
            Ok(opening)
        })
    }
}

/// Dials other members.
struct PeerDialer {
    connector: Connector,
}

/// What this member dials others with. Blocks on files.
///
/// # Errors
/// The certificate or the authorities to dial with cannot be used.
pub(crate) fn dialer(config: &Config) -> anyhow::Result<Arc<dyn Dial>> {
    // Members speak HTTP/1.1, as etcd's do: no protocol is offered.
    let connector = Connector::new(&config.tls.peer, &[]).context("TLS for members")?;
    Ok(Arc::new(PeerDialer { connector }))
}

impl Dial for PeerDialer {
    fn dial(&self, url: PeerUrl) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let connector = self.connector.clone();
        Box::pin(async move {
            let stream: Box<dyn Stream> = match url.scheme() {
                Scheme::Http => Box::new(connect(&url).await?),
                Scheme::Unix => Box::new(UnixStream::connect(url.authority()).await?),
                Scheme::Https => {
                    Box::new(connector.connect(connect(&url).await?, url.host()).await?)
                }
                Scheme::Unixs => {
                    let stream = UnixStream::connect(url.authority()).await?;
                    Box::new(connector.connect(stream, url.host()).await?)
                }
            };
            Ok(stream)
        })
    }
}

async fn connect(url: &PeerUrl) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(url.authority()).await?;
    prepare(&stream)?;
    Ok(stream)
}
