//! TLS, as clients and members of a whole server meet it.

mod probes;
mod promote;

use crate::{READY_MAX, config_with, put};
use drystone_api::authpb::Permission;
use drystone_api::etcdserverpb::auth_client::AuthClient;
use drystone_api::etcdserverpb::{
    AuthEnableRequest, AuthRoleAddRequest, AuthRoleGrantPermissionRequest, AuthUserAddRequest,
    AuthUserGrantRoleRequest, RangeRequest, kv_client::KvClient,
};
use drystone_client::{Client, Config as ClientConfig, TlsSettings, Transport};
use drystone_server::{Config, Parsed, Server, parse};
use drystone_tls::testing::{Authority, Order, write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tonic::{Code, Request};

/// Certificates in a folder: `ca.crt`, a server's, and whatever else a test asks for.
struct Papers {
    folder: TempDir,
    authority: Authority,
}

impl Papers {
    fn new() -> Self {
        let papers = Self { folder: tempfile::tempdir().unwrap(), authority: Authority::new("A") };
        write(&papers.path("ca.crt"), papers.authority.pem.as_bytes());
        papers.issue("server", 1, "server");
        papers
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn issue(&self, name: &str, serial: u64, common_name: &str) {
        let order = Order { common_name, serial, ..Order::default() };
        let _ = self.authority.issue(&order).write(self.folder.path(), name);
    }

    fn flag(&self, flag: &str, file: &str) -> String {
        format!("--{flag}={}", self.path(file).display())
    }

    /// A server in clear and over TLS on one port, which asks for certificates.
    fn server(&self, data: &Path, more: &[String]) -> Config {
        let mut flags = vec![
            self.flag("cert-file", "server.crt"),
            self.flag("key-file", "server.key"),
            self.flag("trusted-ca-file", "ca.crt"),
        ];
        flags.extend_from_slice(more);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let mut config = config_with(data, &flags);
        let port = crate::free_port();
        config.listen_client_urls =
            vec![format!("http://127.0.0.1:{port}"), format!("https://127.0.0.1:{port}")];
        config
    }

    /// A client's settings, with a certificate if it has a name.
    fn client(&self, server: &Server, scheme: &str, name: Option<&str>) -> ClientConfig {
        let endpoint = format!("{scheme}://{}", server.client_addresses()[0]);
        let mut config = ClientConfig::parse([endpoint]).unwrap();
        config.retries.attempts_max = 1;
        config.tls = Some(TlsSettings {
            trusted_ca: Some(self.path("ca.crt")),
            client_pair: name.map(|name| drystone_client::Pair {
                cert: self.path(&format!("{name}.crt")),
                key: self.path(&format!("{name}.key")),
            }),
            ..TlsSettings::default()
        });
        config
    }
}

/// Waits until a client is served.
async fn ready(config: &ClientConfig) -> Client {
    let client = Client::new(config.clone()).unwrap();
    let served = async {
        while client.put(put("ready", "1")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(READY_MAX, served).await.unwrap();
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn one_port_serves_tls_and_clear_and_keeps_strangers_and_revoked_out() {
    let (papers, data) = (Papers::new(), tempfile::tempdir().unwrap());
    papers.issue("alice", 0xa11ce, "alice");
    papers.issue("bob", 0xb0b, "bob");
    let _ = Authority::new("A").issue(&Order::default()).write(papers.folder.path(), "stranger");
    let list = write(&papers.path("revoked.crl"), &papers.authority.revoke(&[0xb0b]));
    let flag = format!("--client-crl-file={}", list.display());
    let server = Server::start(papers.server(data.path(), &[flag])).await.unwrap();
    ready(&papers.client(&server, "https", Some("alice"))).await;
    ready(&papers.client(&server, "http", None)).await;
    let ends = server.certificate_expiries();
    let ends: Vec<_> = ends.iter().map(|(face, expiry)| (*face, expiry.of)).collect();
    assert_eq!(ends, [("client", "certificate"), ("client", "trusted_ca")]);
    for name in [Some("bob"), Some("stranger"), None] {
        let client = Client::new(papers.client(&server, "https", name)).unwrap();
        let refused = client.put(put("a", "1")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{name:?} {refused}");
    }
    // The door follows the list: the next connection is judged by what it says then.
    write(&list, &papers.authority.revoke(&[0xa11ce]));
    ready(&papers.client(&server, "https", Some("bob"))).await;
    let client = Client::new(papers.client(&server, "https", Some("alice"))).unwrap();
    assert!(client.put(put("a", "1")).await.is_err());
    server.stop().await;
}

/// Users `root` and `alice`, who may write `a` alone.
async fn enable_auth(transport: Transport) {
    let mut auth = AuthClient::new(transport);
    for name in ["root", "alice"] {
        let user =
            AuthUserAddRequest { name: name.into(), password: "p".into(), ..Default::default() };
        auth.user_add(user).await.unwrap();
        auth.role_add(AuthRoleAddRequest { name: name.into() }).await.unwrap();
        let grant = AuthUserGrantRoleRequest { user: name.into(), role: name.into() };
        auth.user_grant_role(grant).await.unwrap();
    }
    let perm = Some(Permission { perm_type: 2, key: "a".into(), range_end: Default::default() });
    let grant = AuthRoleGrantPermissionRequest { name: "alice".into(), perm };
    auth.role_grant_permission(grant).await.unwrap();
    auth.auth_enable(AuthEnableRequest {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_names_its_user_where_client_cert_auth_is_asked_for() {
    for asked_for in [true, false] {
        let (papers, data) = (Papers::new(), tempfile::tempdir().unwrap());
        papers.issue("alice", 2, "alice");
        papers.issue("root", 3, "root");
        let flag = format!("--client-cert-auth={asked_for}");
        let server = Server::start(papers.server(data.path(), &[flag])).await.unwrap();
        let alice = papers.client(&server, "https", Some("alice"));
        ready(&alice).await;
        enable_auth(Transport::new(&papers.client(&server, "https", Some("root"))).unwrap()).await;

        let mut kv = KvClient::new(Transport::new(&alice).unwrap());
        let code = |outcome: Result<_, tonic::Status>| outcome.map(drop).map_err(|s| s.code());
        let own = code(kv.put(put("a", "1")).await.map(drop));
        let other = code(kv.put(put("b", "1")).await.map(drop));
        let mut by_gateway = Request::new(put("a", "2"));
        by_gateway.metadata_mut().insert("grpcgateway-accept", "*/*".parse().unwrap());
        let by_gateway = kv.put(by_gateway).await.unwrap_err();
        assert_eq!(by_gateway.message(), "etcdserver: user name is empty");
        let mut by_token = Request::new(put("a", "3"));
        by_token.metadata_mut().insert("token", "nobody's".parse().unwrap());
        let by_token = kv.put(by_token).await.unwrap_err();
        assert_eq!(by_token.message(), "etcdserver: invalid auth token");
        if asked_for {
            assert_eq!((own, other), (Ok(()), Err(Code::PermissionDenied)));
        } else {
            assert_eq!((own, other), (Err(Code::InvalidArgument), Err(Code::InvalidArgument)));
        }
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_makes_its_own_certificate_with_auto_tls() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config_with(data.path(), &["--auto-tls"]);
    config.listen_client_urls = vec!["https://127.0.0.1:0".to_owned()];
    let server = Server::start(config).await.unwrap();
    let endpoint = format!("https://{}", server.client_addresses()[0]);
    let mut client = ClientConfig::parse([endpoint]).unwrap();
    client.retries.attempts_max = 1;
    client.tls = Some(TlsSettings { skip_verify: true, ..TlsSettings::default() });
    ready(&client).await;
    client.tls = None;
    assert!(Client::new(client).unwrap().put(put("a", "1")).await.is_err());
    assert!(data.path().join("fixtures/client/key.pem").exists());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_the_file_system_are_served_in_clear_and_over_tls() {
    let (papers, data) = (Papers::new(), tempfile::tempdir().unwrap());
    let mut config = papers.server(data.path(), &[]);
    let (clear, secure) = (papers.path("clear.sock"), papers.path("secure.sock"));
    // One that was left behind is no obstacle.
    drop(std::os::unix::net::UnixListener::bind(&clear).unwrap());
    let urls = [format!("unix://{}", clear.display()), format!("unixs://{}", secure.display())];
    config.listen_client_urls = urls.to_vec();
    let server = Server::start(config).await.unwrap();
    for url in &urls {
        let mut client = ClientConfig::parse([url]).unwrap();
        client.retries.attempts_max = 1;
        client.tls = Some(TlsSettings {
            trusted_ca: Some(papers.path("ca.crt")),
            pair: Some(drystone_client::Pair {
                cert: papers.path("server.crt"),
                key: papers.path("server.key"),
            }),
            ..TlsSettings::default()
        });
        ready(&client).await;
    }
    server.stop().await;
    assert!(!clear.exists() && !secure.exists(), "they go with their listeners");
}

/// Three members that speak TLS with each other.
fn three(papers: &Papers, folders: &[TempDir; 3]) -> [Config; 3] {
    let entry = |n| format!("m{n}=https://127.0.0.1:{}", crate::free_port());
    let cluster = [0, 1, 2].map(entry);
    [0, 1, 2].map(|n| member(papers, &folders[n], n, &cluster, &[]))
}

/// Member `m<n>` of those that `cluster` names, `NAME=URL` each; certificates of `server.crt`.
fn member(
    papers: &Papers,
    folder: &TempDir,
    n: usize,
    cluster: &[String],
    more: &[&str],
) -> Config {
    let (_, url) = cluster[n].split_once('=').unwrap();
    let mut words = vec![
        format!("--name=m{n}"),
        format!("--data-dir={}", folder.path().display()),
        "--listen-client-urls=https://127.0.0.1:0".to_owned(),
        "--advertise-client-urls=https://127.0.0.1:1".to_owned(),
        format!("--listen-peer-urls={url}"),
        format!("--initial-advertise-peer-urls={url}"),
        format!("--initial-cluster={}", cluster.join(",")),
        papers.flag("cert-file", "server.crt"),
        papers.flag("key-file", "server.key"),
        papers.flag("trusted-ca-file", "ca.crt"),
        papers.flag("peer-cert-file", "server.crt"),
        papers.flag("peer-key-file", "server.key"),
        papers.flag("peer-trusted-ca-file", "ca.crt"),
        "--peer-client-cert-auth".to_owned(),
    ];
    words.extend(more.iter().map(|&word| word.to_owned()));
    match parse(words, []).unwrap() {
        Parsed::Run { config, .. } => *config,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_change_certificates_and_authority_without_a_failed_request() {
    let papers = Papers::new();
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let configs = three(&papers, &folders);
    let (a, b, c) = tokio::join!(
        Server::start(configs[0].clone()),
        Server::start(configs[1].clone()),
        Server::start(configs[2].clone()),
    );
    let servers = [a.unwrap(), b.unwrap(), c.unwrap()];
    // A client that begins reads its files whole: each generation has files of its own. Members
    // follow theirs.
    let generation = Arc::new(AtomicU64::new(0));
    papers.issue("client-0", 9, "client");
    let client = |n: usize| papers.client(&servers[n], "https", Some("client-0"));
    for n in 0..3 {
        ready(&client(n)).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let counts = [(); 3].map(|()| Arc::new(AtomicU64::new(0)));
    let load: Vec<_> = (0..3)
        .map(|n| {
            let (config, folder) = (client(n), papers.folder.path().to_owned());
            let (stop, count, generation) = (stop.clone(), counts[n].clone(), generation.clone());
            let standing = Client::new(config.clone()).unwrap();
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    // On a connection that stands, and on a new one each time.
                    standing.put(put("a", "1")).await.unwrap();
                    let name = format!("client-{}", generation.load(Ordering::Relaxed));
                    let mut config = config.clone();
                    config.tls.as_mut().unwrap().client_pair = Some(drystone_client::Pair {
                        cert: folder.join(format!("{name}.crt")),
                        key: folder.join(format!("{name}.key")),
                    });
                    let range = RangeRequest { key: "a".into(), ..Default::default() };
                    Client::new(config).unwrap().range(range).await.unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    // Nobody holds what he read before any more once everybody has gone round.
    let all_go_round = async || {
        for (count, task) in counts.iter().zip(&load) {
            let goal = count.load(Ordering::Relaxed) + 4;
            while count.load(Ordering::Relaxed) < goal && !task.is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    let mut old = papers.authority.pem.clone();
    for next_generation in 1..4 {
        let next = Authority::new("next");
        write(&papers.path("ca.crt"), format!("{old}{}", next.pem).as_bytes());
        all_go_round().await;
        let order = Order { serial: next_generation, ..Order::default() };
        let _ = next.issue(&order).write(papers.folder.path(), "server");
        let name = format!("client-{next_generation}");
        let _ = next.issue(&order).write(papers.folder.path(), &name);
        generation.store(next_generation, Ordering::Relaxed);
        all_go_round().await;
        write(&papers.path("ca.crt"), next.pem.as_bytes());
        all_go_round().await;
        old = next.pem;
    }
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) >= 36));
    for server in servers {
        server.stop().await;
    }
}
