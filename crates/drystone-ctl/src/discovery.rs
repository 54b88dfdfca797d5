//! Servers that a domain names (`--discovery-srv`).

use drystone_client::{Resolver, discover_endpoints};

use crate::cli::Parsed;
use crate::exit::{Exit, Failure};

/// Where servers are to be found.
#[derive(Clone, Debug)]
pub(crate) struct Discovery {
    domain: String,
    suffix: String,
    /// Whether servers without TLS are taken.
    takes_clear: bool,
    resolver: Resolver,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) endpoints: Vec<String>,
    /// Those without TLS, if they are not taken.
    pub(crate) ignored: Vec<String>,
}

impl Discovery {
    /// What the flags ask for; `None` if nothing.
    pub(crate) fn asked(flags: &Parsed) -> Option<Discovery> {
        let domain = flags.text("discovery-srv");
        (!domain.is_empty()).then(|| Discovery {
            domain: domain.to_owned(),
            suffix: flags.text("discovery-srv-name").to_owned(),
            takes_clear: flags.bool("insecure-discovery"),
            resolver: Resolver::System,
        })
    }

    /// The domain's servers.
    pub(crate) async fn endpoints(&self) -> Result<Found, Failure> {
        let found = discover_endpoints(&self.domain, &self.suffix, self.resolver).await;
        let found = found.map_err(|error| Failure::new(Exit::ERROR, error.to_string()))?;
        let is_taken = |endpoint: &String| self.takes_clear || !endpoint.starts_with("http://");
        let (endpoints, ignored) = found.into_iter().partition(is_taken);
        Ok(Found { endpoints, ignored })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drystone_client::testing::{NameServer, SrvRecord};

    #[tokio::test]
    async fn servers_without_tls_can_be_left_out() {
        let server = NameServer::start(vec![
            SrvRecord::new("_etcd-client._tcp.example.test", "a.example.test", 1),
            SrvRecord::new("_etcd-client-ssl._tcp.example.test", "b.example.test", 2),
        ])
        .await
        .unwrap();
        let (a, b) = ("http://a.example.test:1".to_owned(), "https://b.example.test:2".to_owned());
        let mut discovery = Discovery {
            domain: "example.test".to_owned(),
            suffix: String::new(),
            takes_clear: true,
            resolver: Resolver::At(server.address()),
        };
        let found = discovery.endpoints().await.unwrap();
        assert_eq!(found, Found { endpoints: vec![b.clone(), a.clone()], ignored: vec![] });
        discovery.takes_clear = false;
        let found = discovery.endpoints().await.unwrap();
        assert_eq!(found, Found { endpoints: vec![b], ignored: vec![a] });
        discovery.suffix = "red".to_owned();
        let refused = discovery.endpoints().await.unwrap_err();
        let begin = "dns lookup errors: lookup _etcd-client-ssl-red._tcp.example.test: ";
        assert!(refused.message.starts_with(begin), "{}", refused.message);
    }
}
