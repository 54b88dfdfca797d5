//! Clusters that speak TLS everywhere, and the papers they show.

use crate::harness::{Program, free_ports};
use anyhow::{Context as _, bail};
use drystone_api::etcdserverpb::RangeRequest;
use drystone_client::{Client, Config, Pair, TlsSettings};
use drystone_tls::testing::{Authority, Order, write};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// How long a member may take until it serves.
const READY_MAX: Duration = Duration::from_secs(60);
/// How often it is looked whether something has happened.
const POLL: Duration = Duration::from_millis(20);

/// Members whose every connection is TLS with certificates on both sides. They share a
/// certificate and an authority, which lie beside their data, and end when this is dropped.
#[derive(Debug)]
pub struct SecureCluster {
    program: PathBuf,
    folder: TempDir,
    flags: Vec<String>,
    peer_urls: Vec<String>,
    client_addresses: Vec<String>,
    children: Vec<Option<Child>>,
}

impl SecureCluster {
    /// Starts members with papers of `authority`, and waits until each serves the holder of
    /// `client.crt`.
    ///
    /// # Errors
    /// What could not be started, or who does not serve in time.
    pub async fn start(
        program: &Program,
        members: usize,
        authority: &Authority,
        flags: &[&str],
    ) -> anyhow::Result<SecureCluster> {
        let ports = free_ports(2 * members)?;
        let (peers, clients) = ports.split_at(members);
        let mut cluster = SecureCluster {
            program: program.path().to_owned(),
            folder: tempfile::tempdir()?,
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            peer_urls: peers.iter().map(|port| format!("https://127.0.0.1:{port}")).collect(),
            client_addresses: clients.iter().map(|port| format!("127.0.0.1:{port}")).collect(),
            children: (0..members).map(|_| None).collect(),
        };
        write(&cluster.path("ca.crt"), authority.pem.as_bytes());
        let member = Order { common_name: "member", serial: 1, ..Order::default() };
        cluster.issue(authority, "member", &member);
        let client = Order { common_name: "client", serial: 2, ..Order::default() };
        cluster.issue(authority, "client", &client);
        for n in 0..members {
            cluster.spawn(n)?;
        }
        for n in 0..members {
            cluster.ready(n, "client").await?;
        }
        Ok(cluster)
    }

    /// A file beside the papers.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the papers lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Has an authority sign a pair, `NAME.crt` and `NAME.key`.
    pub fn issue(&self, authority: &Authority, name: &str, order: &Order<'_>) {
        let _ = authority.issue(order).write(self.folder.path(), name);
    }

    /// `HOST:PORT` of each member for clients.
    pub fn client_addresses(&self) -> &[String] {
        &self.client_addresses
    }

    /// What a client of member `n` needs that holds the pair of this name. It tries nothing
    /// twice.
    pub fn client(&self, n: usize, name: &str) -> anyhow::Result<Config> {
        let mut config = Config::parse([format!("https://{}", self.client_addresses[n])])?;
        config.retries.attempts_max = 1;
        config.tls = Some(TlsSettings {
            trusted_ca: Some(self.path("ca.crt")),
            client_pair: Some(Pair {
                cert: self.path(&format!("{name}.crt")),
                key: self.path(&format!("{name}.key")),
            }),
            ..TlsSettings::default()
        });
        Ok(config)
    }

    /// Starts member `n` on its data.
    ///
    /// # Errors
    /// The process could not be started.
    pub fn spawn(&mut self, n: usize) -> anyhow::Result<()> {
        let entries: Vec<String> =
            self.peer_urls.iter().enumerate().map(|(n, url)| format!("m{n}={url}")).collect();
        let log = File::options().create(true).append(true).open(self.log(n))?;
        let client_url = format!("https://{}", self.client_addresses[n]);
        let paper = |flag: &str, file: &str| format!("--{flag}={}", self.path(file).display());
        let child = Command::new(&self.program)
            .arg(format!("--name=m{n}"))
            .arg(format!("--data-dir={}", self.path(&format!("m{n}")).display()))
            .arg(format!("--listen-client-urls={client_url}"))
            .arg(format!("--advertise-client-urls={client_url}"))
            .arg(format!("--listen-peer-urls={}", self.peer_urls[n]))
            .arg(format!("--initial-advertise-peer-urls={}", self.peer_urls[n]))
            .arg(format!("--initial-cluster={}", entries.join(",")))
            .args([
                paper("cert-file", "member.crt"),
                paper("key-file", "member.key"),
                paper("trusted-ca-file", "ca.crt"),
                paper("peer-cert-file", "member.crt"),
                paper("peer-key-file", "member.key"),
                paper("peer-trusted-ca-file", "ca.crt"),
            ])
            .arg("--peer-client-cert-auth")
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        self.children[n] = Some(child);
        Ok(())
    }

    /// Waits until member `n` answers a linearizable read of the holder of this pair.
    ///
    /// # Errors
    /// It does not within a minute.
    pub async fn ready(&self, n: usize, name: &str) -> anyhow::Result<()> {
        let client = Client::new(self.client(n, name)?)?;
        let until = Instant::now() + READY_MAX;
        loop {
            let read = RangeRequest { key: "ready".into(), ..Default::default() };
            match client.range(read).await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > until => {
                    let log = std::fs::read_to_string(self.log(n)).unwrap_or_default();
                    bail!("member {n} does not serve: {error}\n{log}");
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// The process of member `n`, while it runs.
    pub fn pid(&self, n: usize) -> Option<i32> {
        self.children[n].as_ref().and_then(|child| i32::try_from(child.id()).ok())
    }

    /// Ends member `n` without asking it.
    pub fn kill(&mut self, n: usize) {
        end(&mut self.children[n]);
    }

    fn log(&self, n: usize) -> PathBuf {
        self.path(&format!("m{n}.log"))
    }
}

impl Drop for SecureCluster {
    fn drop(&mut self) {
        self.children.iter_mut().for_each(end);
    }
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        // One that is gone already is what is wanted.
        let _ = child.kill();
        let _ = child.wait();
    }
}
