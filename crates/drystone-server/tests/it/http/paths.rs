//! The paths, and the rules that come before them.

use super::ask::{ask, get};
use crate::{config_with, put, start, start_as};
use drystone_api::etcdserverpb::RangeRequest;
use drystone_api::etcdserverpb::kv_client::KvClient;

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_leads_nowhere_is_answered_as_go_answers_it() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _channel) = start(folder.path()).await;
    let to = server.client_addresses()[0];
    for path in ["/", "/v2/keys", "/config/local/log", "/health/", "/livezz", "/livez/", "/livez/x"]
    {
        let answer = get(to, path).await;
        assert_eq!((answer.status, &*answer.body), (404, "404 page not found\n"), "{path}");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    for path in ["/health", "/livez", "/readyz/non_learner", "/version", "/debug/vars"] {
        for method in ["POST", "PUT", "HEAD"] {
            let answer = ask(to, method, path, &[]).await;
            assert_eq!((answer.status, answer.header("allow")), (405, "GET"), "{method} {path}");
            let body = if method == "HEAD" { "" } else { "Method Not Allowed\n" };
            assert_eq!(answer.body, body);
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_and_the_variables_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _channel) = start(folder.path()).await;
    let to = server.client_addresses()[0];
    let decided = async {
        loop {
            let answer = get(to, "/version").await;
            assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
            if !answer.body.contains("not_decided") {
                return answer.body;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let decided = tokio::time::timeout(super::ask::PATIENCE, decided).await.unwrap();
    let versions = r#"{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}"#;
    assert_eq!(decided, versions);
    let answer = get(to, "/debug/vars").await;
    assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    assert!(answer.body.starts_with("{\n\"cmdline\": [") && answer.body.ends_with("\n}\n"));
    let vars: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(vars["raft.status"]["raftState"], "StateLeader");
    assert!(vars["file_descriptor_limit"].as_u64() > Some(150));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_listed_is_misdirected_cve_2018_1099() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--host-whitelist=a.example,127.0.0.1"];
    let (server, _channel) = start_as(config_with(folder.path(), &flags)).await;
    let to = server.client_addresses()[0];
    assert_eq!(get(to, "/health").await.status, 200);
    for (host, status) in [("a.example", 200), ("a.example:1", 200), ("b.example:1", 421)] {
        let answer = ask(to, "GET", "/health", &[&format!("Host: {host}")]).await;
        assert_eq!(answer.status, status, "{host}");
        if status == 421 {
            assert!(answer.body.starts_with("\netcd received your request"), "{}", answer.body);
            assert!(answer.body.contains(r#"etcd --host-whitelist "b.example""#));
            assert!(answer.body.contains("CVE-2018-5702"));
            assert_eq!(answer.header("access-control-allow-origin"), "");
        }
    }
    server.stop().await;
}

/// CORS keeps answers from pages, not writes from the store.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_not_listed_writes_nothing_cve_2018_1098() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--cors=http://a.example:80"];
    let (server, channel) = start_as(config_with(folder.path(), &flags)).await;
    let to = server.client_addresses()[0];
    let mut kv = KvClient::new(channel);
    kv.put(put("first", "1")).await.unwrap();
    // What a form of a page can send: an empty body is a request, and so this one is well-formed.
    let post = async |headers: &[&str]| ask(to, "POST", "/v3/kv/range", headers).await;
    let refused = post(&["Origin: http://b.example", "Content-Length: 0"]).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.body, "pages of this origin may not call; list it in --cors\n");
    // Listed pages and those who are no page come to the gateway.
    for headers in
        [&["Origin: http://a.example:80", "Content-Length: 0"][..], &["Content-Length: 0"][..]]
    {
        let answer = post(headers).await;
        assert_eq!(answer.status, 400, "{}", answer.body);
        assert!(answer.body.contains("key is not provided"), "{}", answer.body);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_listed_origins_may_read_every_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _channel) = start(folder.path()).await;
    let to = server.client_addresses()[0];
    for (method, path, status) in
        [("GET", "/health", 200), ("GET", "/nothing", 404), ("OPTIONS", "/anything", 200)]
    {
        let answer = ask(to, method, path, &["Origin: http://a.example:80"]).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), "*", "without a list: all");
    }
    server.stop().await;

    let flags = ["--cors=http://a.example:80"];
    let (server, _channel) = start_as(config_with(folder.path(), &flags)).await;
    let to = server.client_addresses()[0];
    let origin = |origin: &'static str| async move {
        let answer = ask(to, "GET", "/health", &[&format!("Origin: {origin}")]).await;
        let allowed = answer.header("access-control-allow-origin").to_owned();
        (allowed, answer.header("access-control-allow-methods").to_owned())
    };
    let methods = "POST, GET, OPTIONS, PUT, DELETE".to_owned();
    assert_eq!(origin("http://a.example:80").await, ("http://a.example:80".to_owned(), methods));
    assert_eq!(origin("http://b.example").await, (String::new(), String::new()));
    assert_eq!(get(to, "/health").await.header("access-control-allow-origin"), "");
    server.stop().await;
}

/// CVE-2026-33186 of Go's gRPC: a path that is written otherwise went past what looked at paths.
/// Nothing is done for it: the caller is sent to the path that is meant.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_33186_an_unclean_path_is_sent_to_the_clean_one() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    let to = server.client_addresses()[0];
    let body = r#"{"key":"YQ==","value":"MQ=="}"#;
    let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    for (path, meant) in [
        ("//v3/kv/put", "/v3/kv/put"),
        ("/v3//kv/put?a=b", "/v3/kv/put?a=b"),
        ("/v3/../v3/kv/put", "/v3/kv/put"),
        ("/v3beta//kv/put", "/v3/kv/put"),
        ("//v3beta/kv/put", "/v3beta/kv/put"),
        ("/v3", "/v3/"),
        ("//version", "/version"),
    ] {
        let answer = ask(to, "POST", path, &[&length]).await;
        assert_eq!((answer.status, answer.header("location"), &*answer.body), (307, meant, ""));
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
    let answer = get(to, "//health").await;
    assert_eq!(answer.status, 307);
    assert_eq!(answer.body, "<a href=\"/health\">Temporary Redirect</a>.\n\n");
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(ask(to, "POST", "/v3alpha/kv/put", &[&length]).await.status, 404);
    let range = RangeRequest { key: "a".into(), ..Default::default() };
    let found = KvClient::new(channel).range(range).await.unwrap().into_inner();
    assert_eq!(found.count, 0, "nothing was put");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_taken_under_its_paths_and_not_when_that_is_off() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _channel) = start(folder.path()).await;
    let to = server.client_addresses()[0];
    let body = r#"{"key":"YQ==","value":"MQ=="}"#;
    let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(ask(to, "POST", "/v3/kv/put", &[&length]).await.status, 200);
    let body = r#"{"key":"YQ=="}"#;
    let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    let found = ask(to, "POST", "/v3beta/kv/range", &[&length]).await;
    assert!(found.body.contains(r#""value":"MQ==""#), "{}", found.body);
    server.stop().await;

    let flags = ["--enable-grpc-gateway=false"];
    let (server, _channel) = start_as(config_with(folder.path(), &flags)).await;
    let refused = get(server.client_addresses()[0], "/v3/kv/range").await;
    assert_eq!((refused.status, &*refused.body), (404, "404 page not found\n"));
    server.stop().await;
}
