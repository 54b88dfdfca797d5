//! Ports, and what each of them speaks; connections, and how many there may be.

use super::ask::{PATIENCE, get, try_ask};
use crate::{config_with, put, start, start_as};
use drystone_api::etcdserverpb::kv_client::KvClient;
use drystone_server::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Channel;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test(flavor = "multi_thread")]
async fn one_port_speaks_grpc_and_http() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    KvClient::new(channel).put(put("a", "1")).await.unwrap();
    assert_eq!(get(server.client_addresses()[0], "/health").await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_ports_of_its_own_http_leaves_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--listen-client-http-urls=http://127.0.0.1:0"];
    let (server, channel) = start_as(config_with(folder.path(), &flags)).await;
    let (grpc, http) = (server.client_addresses()[0], server.http_addresses()[0]);
    KvClient::new(channel).put(put("a", "1")).await.unwrap();
    assert!(try_ask(grpc, "GET", "/health", &[]).await.is_err());
    assert_eq!(get(http, "/health").await.status, 200);
    let mut stream = TcpStream::connect(http).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 64])).await.unwrap();
    assert!(!matches!(read, Ok(1..)), "in clear, HTTP/2 is gRPC's alone");
    server.stop().await;
}

/// A port for probes answers before the member is ready, and has none of what is for clients.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_for_probes_has_probes_alone() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--listen-metrics-urls=http://127.0.0.1:0", "--host-whitelist=a.example"];
    let (server, channel) = start_as(config_with(folder.path(), &flags)).await;
    let to = server.metrics_addresses()[0];
    // An answered write: there is a leader.
    KvClient::new(channel).put(put("a", "1")).await.unwrap();
    for (path, status) in [
        ("/health", 200),
        ("/livez", 200),
        ("/readyz", 200),
        ("/version", 404),
        ("/debug/vars", 404),
    ] {
        let answer = get(to, path).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
    assert_eq!(super::ask::ask(to, "OPTIONS", "/health", &[]).await.status, 405);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_with_too_many_connections_gets_no_more_until_it_lets_some_go() {
    let folder = tempfile::tempdir().unwrap();
    let flags =
        ["--drystone-max-connections-per-address=3", "--listen-metrics-urls=http://127.0.0.1:0"];
    let server = Server::start(config_with(folder.path(), &flags)).await.unwrap();
    let to = server.client_addresses()[0];
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(PREFACE).await.unwrap();
        // The server's SETTINGS: the connection is served.
        let mut settings = [0; 64];
        let read = stream.read(&mut settings);
        assert!(tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap() > 0);
        held.push(stream);
    }
    assert!(try_ask(to, "GET", "/health", &[]).await.is_err());
    assert_eq!(get(server.metrics_addresses()[0], "/health").await.status, 200, "probes apart");
    held.pop();
    let served = async {
        while try_ask(to, "GET", "/health", &[]).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, served).await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_large_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    let to = server.client_addresses()[0];
    let long = format!("X-Long: {}", "a".repeat(80 << 10));
    let refused = try_ask(to, "GET", "/health", &[&long]).await;
    assert!(refused.is_err() || refused.as_ref().unwrap().status == 431, "{refused:?}");
    let many: Vec<String> = (0..200).map(|n| format!("X-{n}: a")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(try_ask(to, "GET", "/health", &many).await.unwrap().status, 431);
    let mut request = tonic::Request::new(put("a", "1"));
    request.metadata_mut().insert("x-long", "a".repeat(80 << 10).parse().unwrap());
    assert!(KvClient::new(channel).put(request).await.is_err());
    // Far beyond the bound it is the connection that ends; others are served.
    let other = Channel::from_shared(format!("http://{to}")).unwrap().connect().await.unwrap();
    KvClient::new(other).put(put("a", "1")).await.unwrap();
    server.stop().await;
}
