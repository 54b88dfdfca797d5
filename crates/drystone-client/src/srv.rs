//! SRV records of DNS: which servers a domain names for a service.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;

/// How long the records of one name are asked for, all name servers and repetitions included.
const LOOKUP_MAX: Duration = Duration::from_secs(15);
/// Go's words, and so etcd's, for a name without records.
const NOBODY: &str = "no such host";

/// Whom to ask for records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resolver {
    /// The name servers of `/etc/resolv.conf`.
    #[default]
    System,
    /// This name server, over UDP and, for what does not fit, TCP.
    At(SocketAddr),
}

/// A server as a record names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SrvTarget {
    /// Servers of the least number are to be used first.
    pub priority: u16,
    /// The host, without the dot that ends it in DNS.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl SrvTarget {
    /// Host and port as they stand in a URL.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Why there are no servers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SrvError {
    /// The system does not say which name servers to ask.
    #[error("the system's resolver cannot be used: {message}")]
    System {
        /// What is wrong with it.
        message: String,
    },
    /// No name server knows such records, or none answered.
    #[error("lookup {name}: {message}")]
    Lookup {
        /// The name that was asked for.
        name: String,
        /// The resolver's own words.
        message: String,
    },
    /// Neither of two services is there.
    #[error("dns lookup errors: {secure} and {clear}")]
    Neither {
        /// Why there are no servers that speak TLS.
        secure: Box<SrvError>,
        /// Why there are none that do not.
        clear: Box<SrvError>,
    },
}

/// Looks up the servers of `_SERVICE._tcp.DOMAIN`, those to be used first in front. Servers of
/// one priority come in the order of their names, whatever their weights.
///
/// # Errors
/// [`SrvError`]; also when there are such names without any server. Takes 15 s at most.
pub async fn lookup_srv(
    service: &str,
    domain: &str,
    resolver: Resolver,
) -> Result<Vec<SrvTarget>, SrvError> {
    let name = format!("_{service}._tcp.{domain}");
    let failed = |message: String| SrvError::Lookup { name: name.clone(), message };
    let resolver = open(resolver)?;
    let asked = tokio::time::timeout(LOOKUP_MAX, resolver.srv_lookup(name.as_str())).await;
    let found = asked
        .map_err(|_| failed(format!("no answer in {} s", LOOKUP_MAX.as_secs())))?
        .map_err(|error| match error.is_no_records_found() {
            true => failed(NOBODY.to_owned()),
            false => failed(error.to_string()),
        })?;
    let mut targets = Vec::new();
    for record in found.answers() {
        let RData::SRV(srv) = &record.data else { continue };
        let host = srv.target.to_utf8().trim_end_matches('.').to_owned();
        // A lone dot says that the service is not there on purpose (RFC 2782).
        if !host.is_empty() {
            targets.push(SrvTarget { priority: srv.priority, host, port: srv.port });
        }
    }
    targets.sort();
    targets.dedup();
    if targets.is_empty() { Err(failed(NOBODY.to_owned())) } else { Ok(targets) }
}

/// The endpoints of the clients' services of a domain, `etcd-client-ssl` before `etcd-client`,
/// each name followed by `-SUFFIX` unless that is empty.
///
/// # Errors
/// [`SrvError::Neither`] when neither service is there.
pub async fn discover_endpoints(
    domain: &str,
    suffix: &str,
    resolver: Resolver,
) -> Result<Vec<String>, SrvError> {
    let named = |service: &str| match suffix {
        "" => service.to_owned(),
        suffix => format!("{service}-{suffix}"),
    };
    let secure = lookup_srv(&named("etcd-client-ssl"), domain, resolver).await;
    let clear = lookup_srv(&named("etcd-client"), domain, resolver).await;
    if let (Err(secure), Err(clear)) = (&secure, &clear) {
        let (secure, clear) = (Box::new(secure.clone()), Box::new(clear.clone()));
        return Err(SrvError::Neither { secure, clear });
    }
    let urls = |scheme: &'static str, targets: Result<Vec<SrvTarget>, SrvError>| {
        let targets = targets.unwrap_or_default().into_iter();
        targets.map(move |target| format!("{scheme}://{}", target.authority()))
    };
    Ok(urls("https", secure).chain(urls("http", clear)).collect())
}

fn open(resolver: Resolver) -> Result<TokioResolver, SrvError> {
    let unusable = |error: &dyn std::error::Error| SrvError::System { message: error.to_string() };
    let builder = match resolver {
        Resolver::System => TokioResolver::builder_tokio().map_err(|error| unusable(&error))?,
        Resolver::At(server) => {
            let to = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            let connections = vec![to(ConnectionConfig::udp()), to(ConnectionConfig::tcp())];
            let server = NameServerConfig::new(server.ip(), true, connections);
            let config = ResolverConfig::from_name_servers(vec![server]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    builder.build().map_err(|error| unusable(&error))
}
