//! Servers that a domain names, asked of a name server on loopback.

use drystone_client::testing::{NameServer, SrvRecord};
use drystone_client::{Resolver, discover_endpoints, lookup_srv};

async fn server(records: &[(&str, u16, &str, u16)]) -> NameServer {
    let record = |&(name, priority, target, port): &(&str, u16, &str, u16)| SrvRecord {
        priority,
        ..SrvRecord::new(name, target, port)
    };
    NameServer::start(records.iter().map(record).collect()).await.unwrap()
}

#[tokio::test]
async fn targets_come_by_priority_and_once() {
    let name = "_etcd-server._tcp.example.test";
    let server = server(&[
        (name, 2, "a.example.test", 1),
        (name, 1, "c.example.test", 1),
        (name, 1, "b.example.test", 2),
        (name, 1, "b.example.test", 2),
    ])
    .await;
    let at = Resolver::At(server.address());
    for domain in ["example.test", "example.test."] {
        let found = lookup_srv("etcd-server", domain, at).await.unwrap();
        let found: Vec<String> = found.iter().map(|target| target.authority()).collect();
        assert_eq!(found, ["b.example.test:2", "c.example.test:1", "a.example.test:1"]);
    }
    let error = lookup_srv("etcd-server-ssl", "example.test", at).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("lookup _etcd-server-ssl._tcp.example.test: "), "{text}");
}

#[tokio::test]
async fn a_service_that_is_not_there_on_purpose_has_no_servers() {
    let server = server(&[("_etcd-server._tcp.example.test", 0, ".", 0)]).await;
    let at = Resolver::At(server.address());
    let error = lookup_srv("etcd-server", "example.test", at).await.unwrap_err();
    assert_eq!(error.to_string(), "lookup _etcd-server._tcp.example.test: no such host");
}

#[tokio::test]
async fn endpoints_that_speak_tls_come_first() {
    let server = server(&[
        ("_etcd-client-blue._tcp.example.test", 0, "a.example.test", 1),
        ("_etcd-client-ssl-blue._tcp.example.test", 0, "b.example.test", 2),
        ("_etcd-client._tcp.example.test", 0, "c.example.test", 3),
    ])
    .await;
    let at = Resolver::At(server.address());
    let blue = discover_endpoints("example.test", "blue", at).await.unwrap();
    assert_eq!(blue, ["https://b.example.test:2", "http://a.example.test:1"]);
    let plain = discover_endpoints("example.test", "", at).await.unwrap();
    assert_eq!(plain, ["http://c.example.test:3"]);
    let error = discover_endpoints("example.test", "red", at).await.unwrap_err().to_string();
    let begin = "dns lookup errors: lookup _etcd-client-ssl-red._tcp.example.test: ";
    assert!(error.starts_with(begin), "{error}");
}
