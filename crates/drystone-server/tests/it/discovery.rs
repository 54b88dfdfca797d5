//! Members of a new cluster that are not told of each other.

use crate::{config_with, free_port, put};
use drystone_api::etcdserverpb as pb;
use drystone_client::testing::{NameServer, SrvRecord};
use drystone_client::{Client, Config as ClientConfig, Resolver, TlsSettings};
use drystone_server::{Bootstrap, Config, Server};
use drystone_tls::testing::{Authority, Order, write};
use std::time::Duration;
use tempfile::TempDir;

/// Bound on every wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A member that is to find others: its peers' port on loopback, and where its data goes.
struct Seeker {
    name: String,
    port: u16,
    folder: TempDir,
}

impl Seeker {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), port: free_port(), folder: tempfile::tempdir().unwrap() }
    }

    fn config(&self, words: &[&str]) -> Config {
        let url = format!("http://127.0.0.1:{}", self.port);
        let own = [
            format!("--name={}", self.name),
            format!("--listen-peer-urls={url}"),
            format!("--initial-advertise-peer-urls={url}"),
        ];
        let words: Vec<&str> =
            own.iter().map(String::as_str).chain(words.iter().copied()).collect();
        config_with(self.folder.path(), &words)
    }
}

/// Starts members at the same time, since each waits for the others.
async fn start_all(configs: Vec<Config>) -> Vec<Server> {
    let started = futures::future::join_all(configs.into_iter().map(Server::start));
    let started = tokio::time::timeout(PATIENCE, started).await.unwrap();
    started.into_iter().map(Result::unwrap).collect()
}

fn client_of(server: &Server) -> Client {
    let endpoint = format!("http://{}", server.client_addresses()[0]);
    Client::new(ClientConfig::parse([endpoint]).unwrap()).unwrap()
}

/// Checks that members are one cluster: what is written at one is read at each, and they know
/// each other by the names that they gave themselves.
async fn check_one_cluster(servers: &[Server], names: &[&str]) {
    for server in servers {
        tokio::time::timeout(PATIENCE, server.ready()).await.unwrap();
    }
    client_of(&servers[0]).put(put("a", "1")).await.unwrap();
    for server in servers {
        let read = pb::RangeRequest { key: "a".into(), ..Default::default() };
        assert_eq!(client_of(server).range(read).await.unwrap().kvs[0].value, "1");
        let list = pb::MemberListRequest { linearizable: true };
        let members = client_of(server).member_list(list).await.unwrap().members;
        let mut known: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        known.sort_unstable();
        assert_eq!(known, names);
    }
}

async fn stop_all(servers: Vec<Server>) {
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_find_each_other_by_dns() {
    let seekers = ["a", "b", "c"].map(Seeker::new);
    let record = |seeker: &Seeker| {
        SrvRecord::new("_etcd-server-x._tcp.example.test", "localhost", seeker.port)
    };
    let dns = NameServer::start(seekers.iter().map(record).collect()).await.unwrap();
    let at = Resolver::At(dns.address());
    let config = |seeker: &Seeker| {
        let words = ["--discovery-srv=example.test", "--discovery-srv-name=x"];
        let mut config = seeker.config(&words);
        match &mut config.bootstrap {
            Bootstrap::Srv(srv) => srv.resolver = at,
            other => panic!("{other:?}"),
        }
        config
    };
    let servers = start_all(seekers.iter().map(config).collect()).await;
    check_one_cluster(&servers, &["a", "b", "c"]).await;
    stop_all(servers).await;
    drop(dns);
    // Who has begun asks DNS for nothing.
    let servers = start_all(seekers.iter().map(config).collect()).await;
    check_one_cluster(&servers, &["a", "b", "c"]).await;
    stop_all(servers).await;
}

/// A server whose keys hold a registry of this size.
async fn registry(folder: &TempDir, size: &str) -> Server {
    let server = Server::start(crate::config(folder.path())).await.unwrap();
    tokio::time::timeout(PATIENCE, server.ready()).await.unwrap();
    announce(&client_of(&server), size).await;
    server
}

async fn announce(client: &Client, size: &str) {
    client.put(put("/_etcd/registry/blue/_config/size", size)).await.unwrap();
}

fn meeting_at(registry: &Server) -> String {
    format!("--discovery-endpoints={}", registry.client_addresses()[0])
}

async fn refusal(config: Config) -> String {
    let refused = tokio::time::timeout(PATIENCE, Server::start(config)).await.unwrap();
    format!("{:#}", refused.unwrap_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_find_each_other_in_another_clusters_keys() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(&folder, "3").await;
    let endpoints = meeting_at(&registry);
    let seekers = ["a", "b", "c"].map(Seeker::new);
    let words = ["--discovery-token=blue", endpoints.as_str()];
    let configs = || seekers.iter().map(|seeker| seeker.config(&words)).collect();
    let servers = start_all(configs()).await;
    check_one_cluster(&servers, &["a", "b", "c"]).await;
    let late = refusal(Seeker::new("d").config(&words)).await;
    assert_eq!(late, "failed to join discovery cluster (discovery: cluster is full)");
    stop_all(servers).await;
    registry.stop().await;
    // Who has begun does not ask the registry, which is gone.
    let servers = start_all(configs()).await;
    check_one_cluster(&servers, &["a", "b", "c"]).await;
    stop_all(servers).await;
}

/// A negative size once ended etcd with a panic when it made room for so many members.
#[tokio::test(flavor = "multi_thread")]
async fn ghsa_9gp7_6833_wv89_a_registry_of_no_size_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry(&folder, "-1").await;
    let endpoints = meeting_at(&registry);
    let seeker = Seeker::new("a");
    for size in ["-1", "-9223372036854775808", "0", "99999999999999999999", "three"] {
        announce(&client_of(&registry), size).await;
        let refused = refusal(seeker.config(&["--discovery-token=blue", &endpoints])).await;
        assert_eq!(refused, "failed to join discovery cluster (discovery: size key is bad)");
    }
    let refused = refusal(seeker.config(&["--discovery-token=red", &endpoints])).await;
    assert_eq!(refused, "failed to join discovery cluster (discovery: size key not found)");
    let existing = ["--initial-cluster-state=existing", "--discovery-token=red", &endpoints];
    let refused = refusal(seeker.config(&existing)).await;
    let words = "discovery URL should not be set when joining existing initial cluster";
    assert_eq!(refused, words);
    registry.stop().await;
}

/// The registry's server speaks TLS and asks who calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_behind_tls_and_a_password_is_asked() {
    let (folder, papers) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let authority = Authority::new("A");
    let ca = write(&papers.path().join("ca.crt"), authority.pem.as_bytes());
    let pair = authority.issue(&Order::default()).write(papers.path(), "server");
    let mut config = config_with(
        folder.path(),
        &[
            &format!("--cert-file={}", pair.cert.display()),
            &format!("--key-file={}", pair.key.display()),
            "--bcrypt-cost=4",
        ],
    );
    config.listen_client_urls = vec!["https://127.0.0.1:0".to_owned()];
    let registry = Server::start(config).await.unwrap();
    tokio::time::timeout(PATIENCE, registry.ready()).await.unwrap();
    let mut as_root = ClientConfig::parse([registry.client_addresses()[0].to_string()]).unwrap();
    as_root.tls = Some(TlsSettings { trusted_ca: Some(ca.clone()), ..TlsSettings::default() });
    let client = Client::new(as_root).unwrap();
    announce(&client, "1").await;
    let user = pb::AuthUserAddRequest {
        name: "root".to_owned(),
        password: "secret".to_owned(),
        ..Default::default()
    };
    client.user_add(user).await.unwrap();
    let granted = pb::AuthUserGrantRoleRequest { user: "root".to_owned(), role: "root".to_owned() };
    client.role_add(pb::AuthRoleAddRequest { name: "root".to_owned() }).await.unwrap();
    client.user_grant_role(granted).await.unwrap();
    client.auth_enable(pb::AuthEnableRequest {}).await.unwrap();

    let endpoints = meeting_at(&registry);
    let authority = format!("--discovery-cacert={}", ca.display());
    let trusted = ["--discovery-token=blue", &endpoints, &authority, "--discovery-user=root"];
    let nobody = refusal(Seeker::new("a").config(&trusted)).await;
    let begin = "failed to join discovery cluster (discovery: the registry refused: etcdserver: ";
    assert!(nobody.starts_with(begin), "{nobody}");
    let known = [trusted.as_slice(), &["--discovery-password=secret"]].concat();
    let servers = start_all(vec![Seeker::new("a").config(&known)]).await;
    check_one_cluster(&servers, &["a"]).await;
    stop_all(servers).await;
    registry.stop().await;
}
