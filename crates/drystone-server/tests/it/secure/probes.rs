//! Probes and scrapes over TLS.

use super::Papers;
use crate::config_with;
use drystone_server::Server;
use drystone_tls::testing::Order;
use drystone_tls::{Connector, Pair, Settings};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Bound on every wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What comes back for `GET /livez` with this certificate; an error when the door stays shut.
async fn livez(papers: &Papers, to: SocketAddr, name: &str) -> std::io::Result<String> {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    let settings = Settings {
        trusted_ca: Some(papers.path("ca.crt")),
        client_pair: Some(Pair {
            cert: papers.path(&format!("{name}.crt")),
            key: papers.path(&format!("{name}.key")),
        }),
        ..Settings::default()
    };
    let connector = Connector::new(&settings, &[]).unwrap();
    let ask = async {
        let stream = TcpStream::connect(to).await?;
        let mut stream = connector.connect(stream, "127.0.0.1").await?;
        stream.write_all(b"GET /livez HTTP/1.0\r\nHost: x\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    tokio::time::timeout(PATIENCE, ask).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_scrapes_over_tls_comes_from_where_its_certificate_says_and_clients_from_anywhere() {
    let (papers, data) = (Papers::new(), tempfile::tempdir().unwrap());
    for (name, hosts) in [("near", &["127.0.0.1"][..]), ("far", &["10.9.8.7"]), ("anywhere", &[])] {
        let order = Order { hosts, ..Order::default() };
        let _ = papers.authority.issue(&order).write(papers.folder.path(), name);
    }
    let flags = [
        papers.flag("cert-file", "server.crt"),
        papers.flag("key-file", "server.key"),
        papers.flag("trusted-ca-file", "ca.crt"),
        "--listen-metrics-urls=https://127.0.0.1:0".to_owned(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut config = config_with(data.path(), &flags);
    config.listen_client_urls = vec!["https://127.0.0.1:0".to_owned()];
    let server = Server::start(config).await.unwrap();
    server.ready().await;
    let (probes, clients) = (server.metrics_addresses()[0], server.client_addresses()[0]);
    for name in ["near", "anywhere"] {
        let answer = livez(&papers, probes, name).await.unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{name}: {answer}");
    }
    let answer = livez(&papers, clients, "far").await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    // With TLS 1.3 the client's own handshake ends before its certificate is judged.
    let refused = livez(&papers, probes, "far").await;
    assert!(refused.as_ref().map_or(true, String::is_empty), "{refused:?}");
    server.stop().await;
}
