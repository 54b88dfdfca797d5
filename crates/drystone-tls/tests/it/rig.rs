//! Two ends of a pipe and the files behind them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use drystone_tls::testing::{Authority, Order, write};
use drystone_tls::{Acceptor, Connector, FarEnd, Names, Rejected, Settings};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A folder with an authority, and a server's certificate for `localhost` that it signed.
pub(crate) struct Rig {
    folder: TempDir,
    pub(crate) authority: Authority,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let rig = Self { folder: tempfile::tempdir().unwrap(), authority: Authority::new("A") };
        write(&rig.path("ca.crt"), rig.authority.pem.as_bytes());
        rig.issue("server", &Order { common_name: "server", ..Order::default() });
        rig
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Signs a pair and writes it under a name.
    pub(crate) fn issue(&self, name: &str, order: &Order<'_>) -> drystone_tls::Pair {
        self.authority.issue(order).write(self.folder(), name)
    }

    fn pair(&self, name: &str) -> drystone_tls::Pair {
        drystone_tls::Pair {
            cert: self.path(&format!("{name}.crt")),
            key: self.path(&format!("{name}.key")),
        }
    }

    /// A listener with the server's certificate that asks nobody for one.
    pub(crate) fn listens(&self) -> Settings {
        Settings { pair: Some(self.pair("server")), ..Settings::default() }
    }

    /// A listener that wants certificates.
    pub(crate) fn demands(&self) -> Settings {
        Settings { trusted_ca: Some(self.path("ca.crt")), ..self.listens() }
    }

    /// A dialler without a certificate.
    pub(crate) fn dials(&self) -> Settings {
        Settings { trusted_ca: Some(self.path("ca.crt")), ..Settings::default() }
    }

    /// A dialler with this certificate.
    pub(crate) fn dials_as(&self, name: &str) -> Settings {
        Settings { client_pair: Some(self.pair(name)), ..self.dials() }
    }
}

/// What the two ends say of one handshake.
pub(crate) type Met = (Result<FarEnd, Rejected>, io::Result<()>);

/// One handshake over a pipe, and a byte each way.
pub(crate) async fn meet(acceptor: &Acceptor, connector: &Connector, host: &str) -> Met {
    meet_from(acceptor, connector, host, None).await
}

/// [`meet`], coming from an address.
pub(crate) async fn meet_from(
    acceptor: &Acceptor,
    connector: &Connector,
    host: &str,
    remote: Option<IpAddr>,
) -> Met {
    let (near, far) = tokio::io::duplex(64 << 10);
    let accepts = async {
        let mut accepted = acceptor.accept(near, remote).await?;
        let echoed = async {
            let byte = accepted.stream.read_u8().await?;
            accepted.stream.write_u8(byte).await?;
            accepted.stream.shutdown().await
        };
        // A client that does not trust this server may be gone.
        let _: io::Result<()> = echoed.await;
        Ok(accepted.far_end)
    };
    let connects = async {
        let mut stream = connector.connect(far, host).await?;
        stream.write_u8(7).await?;
        stream.flush().await?;
        stream.read_u8().await.map(drop)
    };
    tokio::join!(accepts, connects)
}

/// [`meet`] between settings.
pub(crate) async fn between(listens: &Settings, dials: &Settings, host: &str) -> Met {
    let acceptor = Acceptor::new(listens).unwrap();
    meet(&acceptor, &Connector::new(dials, &["h2"]).unwrap(), host).await
}

/// A resolver that knows nothing, or one thing.
#[derive(Debug)]
pub(crate) struct Knows(pub(crate) Option<(IpAddr, &'static str)>);

impl Names for Knows {
    fn names_of(&self, address: IpAddr) -> io::Result<Vec<String>> {
        let known = self.0.filter(|(known, _)| *known == address);
        known.map(|(_, name)| vec![name.to_owned()]).ok_or_else(|| io::Error::other("no such host"))
    }

    fn addresses_of(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let known = self.0.filter(|(_, known)| *known == name);
        known.map(|(address, _)| vec![address]).ok_or_else(|| io::Error::other("no such host"))
    }
}

pub(crate) fn knows(known: Option<(&str, &'static str)>) -> Arc<dyn Names> {
    Arc::new(Knows(known.map(|(address, name)| (address.parse().unwrap(), name))))
}
