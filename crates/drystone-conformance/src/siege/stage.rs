//! The member that is attacked, in clear or over TLS, and what it tells of itself.

use super::attack::{Face, Plan};
use super::attacker::Papers;
use crate::harness::{Cluster, Launch, Program, free_ports};
use crate::secure::SecureCluster;
use anyhow::Context as _;
use drystone_api::etcdserverpb::PutRequest;
use drystone_client::Client;
use drystone_tls::testing::Authority;
use drystone_tls::{Connector, Pair, Settings};
use futures::{StreamExt as _, TryStreamExt as _};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Keys that attackers list, and bytes of each.
const FILL_KEYS: usize = 2_000;
const FILL_VALUE_BYTES: usize = 1 << 10;
/// Puts under way at once.
const FILL_CLIENTS: usize = 32;
/// What the server counts of connections that it ended itself, by reason.
const ENDED: &str = "drystone_client_connections_ended_total{";

/// Whether an attack wants a server that speaks TLS.
pub(super) fn is_secure(plan: &Plan) -> bool {
    plan.face != Face::Clear
}

/// One member.
pub(super) struct Stage {
    server: Server,
    address: SocketAddr,
    probes: SocketAddr,
    papers: Option<Papers>,
}

enum Server {
    Clear(Cluster),
    Secure(SecureCluster),
}

/// Numbers that a server counts up, by their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts(BTreeMap<String, u64>);

impl Counts {
    fn parse(text: &str) -> Counts {
        let lines = text.lines().filter_map(|line| line.strip_prefix(ENDED)?.split_once("} "));
        let lines = lines.filter_map(|(labels, number)| {
            let reason = labels.split('"').nth(1)?;
            Some((reason.to_owned(), number.parse().ok()?))
        });
        Counts(lines.collect())
    }

    /// What was counted since.
    pub(super) fn since(mut self, before: &Counts) -> Counts {
        for (name, number) in &mut self.0 {
            *number -= before.0.get(name).copied().unwrap_or_default().min(*number);
        }
        self.0.retain(|_, number| *number > 0);
        self
    }

    /// In words, with what each is called.
    pub(super) fn told(&self) -> String {
        let words: Vec<String> =
            self.0.iter().map(|(name, number)| format!("{name} {number}")).collect();
        words.join(", ")
    }
}

impl Stage {
    /// Starts a member and fills it with what attackers list.
    pub(super) async fn start(
        program: &Program,
        secure: bool,
        flags: &[String],
    ) -> anyhow::Result<Stage> {
        let probes = SocketAddr::from(([127, 0, 0, 1], free_ports(1)?[0]));
        let mut flags = flags.to_vec();
        flags.push(format!("--listen-metrics-urls=http://{probes}"));
        let (server, address, papers) = if secure {
            let words: Vec<&str> = flags.iter().map(String::as_str).collect();
            let authority = Authority::new("siege");
            let cluster = SecureCluster::start(program, 1, &authority, &words).await?;
            let address = cluster.client_addresses()[0].parse()?;
            let papers = papers(&cluster)?;
            (Server::Secure(cluster), address, Some(papers))
        } else {
            let launch = Launch { flags, ..Launch::of(1) };
            let cluster = Cluster::start(program, &launch).await?;
            let address = cluster.endpoints()[0].parse()?;
            (Server::Clear(cluster), address, None)
        };
        let stage = Stage { server, address, probes, papers };
        fill(&stage.client()?).await?;
        Ok(stage)
    }

    /// A client that the server knows no ill of.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        match &self.server {
            Server::Clear(cluster) => Ok(cluster.client()),
            Server::Secure(cluster) => Ok(Client::new(cluster.client(0, "client")?)?),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn papers(&self) -> Option<Papers> {
        self.papers.clone()
    }

    /// The server's process.
    pub(super) fn pid(&self) -> anyhow::Result<i32> {
        let pid = match &self.server {
            Server::Clear(cluster) => cluster.members()[0].pid(),
            Server::Secure(cluster) => cluster.pid(0),
        };
        pid.context("the server is gone")
    }

    /// What the server has counted so far, asked where no attacker goes.
    pub(super) async fn counts(&self) -> anyhow::Result<Counts> {
        let mut stream = TcpStream::connect(self.probes).await.context("no metrics")?;
        let ask = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(ask).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(Counts::parse(&String::from_utf8_lossy(&answer)))
    }
}

fn papers(cluster: &SecureCluster) -> anyhow::Result<Papers> {
    let none = Settings { trusted_ca: Some(cluster.path("ca.crt")), ..Settings::default() };
    let pair = Pair { cert: cluster.path("client.crt"), key: cluster.path("client.key") };
    let good = Settings { client_pair: Some(pair), ..none.clone() };
    let connector = |settings| Connector::new(settings, &["h2"]);
    Ok(Papers { good: connector(&good)?, none: connector(&none)? })
}

async fn fill(client: &Client) -> anyhow::Result<()> {
    let puts = (0..FILL_KEYS).map(|n| {
        let key = format!("siege/{n:05}").into();
        let put =
            PutRequest { key, value: vec![b'v'; FILL_VALUE_BYTES].into(), ..Default::default() };
        client.put(put)
    });
    let filling = futures::stream::iter(puts).buffer_unordered(FILL_CLIENTS);
    filling.try_for_each(|_| async { Ok(()) }).await.context("cannot fill the store")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_by_reason_and_since_a_moment() {
        let text = |flood: u64| {
            format!(
                "# HELP a\n{ENDED}reason=\"flood\"}} {flood}\n{ENDED}reason=\"slow\"}} 2\nb 1\n"
            )
        };
        let counted = Counts::parse(&text(7)).since(&Counts::parse(&text(3)));
        assert_eq!(counted.told(), "flood 4");
        assert_eq!(Counts::parse("").told(), "");
    }
}
