//! TLS of this member's faces: what the configuration says, made ready to accept and to dial.

mod clients;
mod listen;
mod peers;

pub(crate) use clients::accepted;
pub(crate) use listen::{At, Bound, bind};
pub(crate) use peers::{dialer, listening};

use crate::config::{Config, split_host_port};
use anyhow::Context;
use drystone_tls::{Acceptor, Expiry, Rejected, Settings, self_signed};
use std::net::SocketAddr;

/// Accepts TLS, once for each face.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faces {
    /// For clients; `None` when nothing of theirs is secure.
    pub(crate) client: Option<ClientTls>,
    /// For probes and scrapes: as for clients, but who shows a certificate must come from where
    /// it says. Etcd, too, asks that on this face and not on that of clients.
    pub(crate) probes: Option<ClientTls>,
    /// For other members.
    pub(crate) peer: Option<Acceptor>,
}

/// TLS for clients.
#[derive(Clone, Debug)]
pub(crate) struct ClientTls {
    pub(crate) acceptor: Acceptor,
    /// Whether the common name of a certificate is a user.
    pub(crate) names_users: bool,
}

impl Faces {
    /// Reads the files of the faces that are secure somewhere.
    ///
    /// # Errors
    /// What cannot be used.
    pub(crate) fn open(config: &Config) -> anyhow::Result<Self> {
        let any_secure = |urls: &[String]| urls.iter().any(|url| is_secure(url));
        let tls = |settings: &Settings| {
            let acceptor = Acceptor::new(settings).context("TLS for clients")?;
            anyhow::Ok(ClientTls { acceptor, names_users: settings.client_cert_auth })
        };
        let for_clients = [&config.listen_client_urls, &config.listen_client_http_urls];
        let client = for_clients.into_iter().any(|urls| any_secure(urls));
        let client = client.then(|| tls(&config.tls.client));
        let probes = any_secure(&config.listen_metrics_urls)
            .then(|| tls(&Settings { check_remote_address: true, ..config.tls.client.clone() }));
        let peer = any_secure(&config.listen_peer_urls)
            .then(|| Acceptor::new(&config.tls.peer).context("TLS for members"));
        let (client, probes) = (client.transpose()?, probes.transpose()?);
        Ok(Self { client, probes, peer: peer.transpose()? })
    }

    /// Until when the certificates in force are valid, each with its face, `client` or `peer`.
    /// Blocks on files.
    pub(crate) fn expiries(&self) -> Vec<(&'static str, Expiry)> {
        // Clients and probes are shown the same files.
        let client = self.client.as_ref().or(self.probes.as_ref());
        let client = client.map(|tls| tls.acceptor.expiries()).unwrap_or_default();
        let peer = self.peer.as_ref().map(Acceptor::expiries).unwrap_or_default();
        let client = client.into_iter().map(|expiry| ("client", expiry));
        client.chain(peer.into_iter().map(|expiry| ("peer", expiry))).collect()
    }
}

/// Makes the certificates of `--auto-tls` and `--peer-auto-tls`, or finds those that were made
/// before, and warns of certificates that are not used. Blocks on files.
///
/// # Errors
/// What cannot be made or written.
pub(crate) fn prepare(config: &mut Config) -> anyhow::Result<()> {
    let years = config.tls.self_signed_years;
    let fixtures = config.data_dir.join("fixtures");
    let hosts = |urls: &[String]| -> Vec<String> {
        let mut hosts: Vec<String> = urls.iter().filter_map(|url| host(url)).collect();
        hosts.dedup();
        hosts
    };
    let tls = &mut config.tls;
    if tls.client_auto && tls.client.pair.is_some() {
        tracing::warn!("ignoring client auto TLS since certs given");
    } else if tls.client_auto {
        let made = self_signed(&fixtures.join("client"), &hosts(&config.listen_client_urls), years);
        tls.client.pair = Some(announce(made.context("--auto-tls")?));
    }
    if tls.peer_auto && tls.peer.pair.is_some() {
        tracing::warn!("ignoring peer auto TLS since certs given");
    } else if tls.peer_auto {
        let made = self_signed(&fixtures.join("peer"), &hosts(&config.listen_peer_urls), years);
        tls.peer.pair = Some(announce(made.context("--peer-auto-tls")?));
        // Nobody's word is taken here: members encrypt, and do not prove who they are.
        tls.peer.skip_verify = true;
    }
    warn_of_clear_urls(config);
    Ok(())
}

fn announce(made: drystone_tls::SelfSigned) -> drystone_tls::Pair {
    if let Some(until) = made.made_until {
        let path = made.pair.cert.display().to_string();
        tracing::warn!(path, until, "automatically generate certificates");
    }
    made.pair
}

/// As in etcd, a certificate does not make a URL secure: its scheme does.
fn warn_of_clear_urls(config: &Config) {
    for url in config.listen_peer_urls.iter().filter(|url| !is_secure(url)) {
        if config.tls.peer.pair.is_some() {
            tracing::warn!(
                "peer-url" = url,
                "scheme is HTTP while key and cert files are present; ignoring key and cert files"
            );
        }
        if config.tls.peer.client_cert_auth {
            tracing::warn!(
                "peer-url" = url,
                "scheme is HTTP while --peer-client-cert-auth is enabled; ignoring client cert \
                 auth for this URL"
            );
        }
    }
    for url in config.listen_client_urls.iter().filter(|url| !is_secure(url)) {
        if config.tls.client.pair.is_some() {
            tracing::warn!(
                "client-url" = url,
                "scheme is http or unix while key and cert files are present; ignoring key and \
                 cert files"
            );
        }
        if config.tls.client.client_cert_auth {
            tracing::warn!(
                "client-url" = url,
                "scheme is http or unix while --client-cert-auth is enabled; ignoring client cert \
                 auth for this URL"
            );
        }
    }
}

/// Whether a URL asks for TLS.
pub(crate) fn is_secure(url: &str) -> bool {
    url.starts_with("https:") || url.starts_with("unixs:")
}

/// The host of a URL, without the brackets of an IPv6 address.
fn host(url: &str) -> Option<String> {
    let (_, authority) = url.split_once("://")?;
    let (host, _) = split_host_port(authority)?;
    Some(host.to_owned())
}

/// Says that somebody was turned away, unless it merely went away.
fn tell_rejected(face: &str, remote: Option<SocketAddr>, why: &Rejected) {
    let remote = remote.map(|remote| remote.to_string()).unwrap_or_default();
    let (server_name, ips, names) = match why {
        Rejected::Closed => {
            tracing::debug!("remote-addr" = remote, face, "rejected connection: EOF");
            return;
        }
        Rejected::Handshake { server_name, .. } => (server_name.clone(), vec![], vec![]),
        Rejected::Address { ip_addresses, dns_names, .. } => {
            (None, ip_addresses.clone(), dns_names.clone())
        }
        _ => (None, vec![], vec![]),
    };
    let server_name = server_name.unwrap_or_default();
    let error = with_sources(why);
    tracing::warn!(
        "remote-addr" = remote,
        "server-name" = server_name,
        "ip-addresses" = ?ips,
        "dns-names" = ?names,
        error,
        "rejected connection on {face} endpoint"
    );
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

/// A connection that was turned away, and of which all has been said.
fn turned_away() -> std::io::Error {
    std::io::ErrorKind::UnexpectedEof.into()
}
