//! Clients' connections: accepted, and made ready for HTTP, with a handshake where a URL asks
//! for one.

use super::listen::{Bound, Raw};
use super::{ClientTls, tell_rejected, turned_away};
use crate::connection::{Connection, FarEnd};
use crate::http::Accept;
use drystone_peer::Stream;
use std::io;
use std::net::SocketAddr;

/// A client's connection.
pub(crate) struct Incoming {
    raw: Raw,
    /// What to shake hands with, if that may be wanted.
    tls: Option<ClientTls>,
    /// Whether the client may also speak in clear.
    or_clear: bool,
}

impl Connection for Incoming {
    type Stream = Box<dyn Stream>;

    fn address(&self) -> Option<SocketAddr> {
        self.raw.address()
    }

    async fn open(self) -> io::Result<(Box<dyn Stream>, FarEnd)> {
        self.raw.prepare()?;
        let address = self.raw.address();
        let in_clear = match &self.tls {
            None => true,
            Some(_) => self.or_clear && !self.raw.begins_secure().await?,
        };
        let Some(tls) = self.tls.filter(|_| !in_clear) else {
            return Ok((self.raw.into_stream(), FarEnd::in_clear(address)));
        };
        let remote = address.map(|address| address.ip());
        let accepted = tls.acceptor.accept(self.raw.into_stream(), remote).await;
        let accepted = accepted.map_err(|why| {
            tell_rejected("client", address, &why);
            turned_away()
        })?;
        let common_name = accepted.far_end.common_name.filter(|_| tls.names_users);
        let far_end = FarEnd { address, is_secure: true, common_name: common_name.map(Into::into) };
        Ok((Box::new(accepted.stream), far_end))
    }
}

/// The connections that a socket accepts; those of its secure URLs by `tls`.
pub(crate) fn accepted(bound: Bound, tls: Option<&ClientTls>) -> impl Accept<Incoming> + use<> {
    let tls = tls.filter(|_| bound.is_secure).cloned();
    futures::stream::unfold((bound, tls), |(bound, tls)| async move {
        let raw = bound.accept().await;
        let incoming = raw.map(|raw| Incoming { raw, tls: tls.clone(), or_clear: bound.is_clear });
        Some((incoming, (bound, tls)))
    })
}
