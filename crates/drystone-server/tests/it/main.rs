//! A whole server in this process, over real files and real connections.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access_log;
mod auth;
mod corrupt;
mod discovery;
mod downgrade;
mod download;
mod floods;
mod http;
mod ledger;
mod members;
mod metrics;
mod quota;
mod secure;
mod traces;

use bytes::Bytes;
use drystone_api::etcdserverpb::kv_client::KvClient;
use drystone_api::etcdserverpb::lease_client::LeaseClient;
use drystone_api::etcdserverpb::watch_client::WatchClient;
use drystone_api::etcdserverpb::{
    LeaseGrantRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest, WatchCreateRequest,
    WatchRequest, watch_request::RequestUnion,
};
use drystone_server::{Config, Parsed, Server, parse};
use std::path::Path;
use std::time::Duration;
use tonic::transport::Channel;

/// How long a server may take until it serves.
const READY_MAX: Duration = Duration::from_secs(30);

mod list;
mod lock;

fn config(folder: &Path) -> Config {
    config_with(folder, &[])
}

fn config_with(folder: &Path, flags: &[&str]) -> Config {
    let words = [
        format!("--data-dir={}", folder.display()),
        "--listen-client-urls=http://127.0.0.1:0".to_owned(),
        "--advertise-client-urls=http://127.0.0.1:1".to_owned(),
        "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
    ];
    let words = words.into_iter().chain(flags.iter().map(|flag| (*flag).to_owned()));
    match parse(words, []).unwrap() {
        Parsed::Run { config, .. } => *config,
        Parsed::Print(text) => panic!("{text}"),
    }
}

async fn start(folder: &Path) -> (Server, Channel) {
    start_as(config(folder)).await
}

async fn start_as(config: Config) -> (Server, Channel) {
    let server = Server::start(config).await.unwrap();
    let endpoint = format!("http://{}", server.client_addresses()[0]);
    let connect = async {
        loop {
            // The listener is bound at once and served when the member is ready.
            if let Ok(channel) = Channel::from_shared(endpoint.clone()).unwrap().connect().await {
                return channel;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let channel = tokio::time::timeout(READY_MAX, connect).await.unwrap();
    (server, channel)
}

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    let mut kv = KvClient::new(channel.clone());
    for value in 0..50 {
        kv.put(put("a", &value.to_string())).await.unwrap();
    }
    let granted = LeaseClient::new(channel)
        .lease_grant(LeaseGrantRequest { ttl: 600, id: 7 })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(granted.ttl, 600);
    server.stop().await;

    let (server, channel) = start(folder.path()).await;
    let range = RangeRequest { key: "a".into(), ..Default::default() };
    let found = KvClient::new(channel.clone()).range(range).await.unwrap().into_inner();
    assert_eq!(found.kvs[0].value, "49");
    assert_eq!((found.kvs[0].version, found.kvs[0].mod_revision), (50, 51));
    let lease = LeaseTimeToLiveRequest { id: 7, keys: true };
    let left = LeaseClient::new(channel).lease_time_to_live(lease).await.unwrap().into_inner();
    assert_eq!(left.granted_ttl, 600);
    assert!(left.ttl >= 600, "a new leader gives every lease its whole time again");
    server.stop().await;
}

/// The hub once heard of a change only after its author was answered, so that a watch opened in
/// between began with an event that lay before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_now_on_hears_nothing_that_was_answered_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    let mut kv = KvClient::new(channel.clone());
    let mut watch = WatchClient::new(channel);
    for round in 0..100 {
        let answered = kv.put(put("a", &round.to_string())).await.unwrap().into_inner();
        let answered = answered.header.unwrap().revision;
        let create = WatchCreateRequest { key: "a".into(), ..Default::default() };
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        let open =
            tokio_stream::StreamExt::chain(tokio_stream::once(create), tokio_stream::pending());
        let mut responses = watch.watch(open).await.unwrap().into_inner();
        let created = responses.message().await.unwrap().unwrap();
        assert!(created.created);
        assert!(created.header.unwrap().revision >= answered, "round {round}");
        let next = kv.put(put("a", "next")).await.unwrap().into_inner().header.unwrap().revision;
        let heard = responses.message().await.unwrap().unwrap();
        assert_eq!(heard.events[0].kv.as_ref().unwrap().mod_revision, next, "round {round}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_data_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = start(folder.path()).await;
    let refused = Server::start(config(folder.path())).await.unwrap_err();
    let text = format!("{refused:#}");
    assert!(text.contains("in use by another process"), "{text}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_stops_the_start_with_the_file_and_the_offset() {
    let folder = tempfile::tempdir().unwrap();
    let (server, channel) = start(folder.path()).await;
    let mut kv = KvClient::new(channel);
    for value in 0..20 {
        kv.put(put("a", &format!("value-{value}"))).await.unwrap();
    }
    server.stop().await;

    let log = folder.path().join("member/wal");
    let segment = std::fs::read_dir(&log)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| std::fs::read(path).is_ok_and(|bytes| find(&bytes, b"value-5").is_some()))
        .unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = find(&bytes, b"value-5").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();

    let refused = Server::start(config(folder.path())).await.unwrap_err();
    let text = format!("{refused:#}");
    let name = segment.file_name().unwrap().to_string_lossy().into_owned();
    assert!(text.contains(&name) && text.contains("at byte"), "{text}");
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// Configurations of three members of one cluster, on ports that are free.
fn three(folders: &[tempfile::TempDir; 3]) -> [Config; 3] {
    three_with(folders, &[])
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn three_with(folders: &[tempfile::TempDir; 3], flags: &[&str]) -> [Config; 3] {
    let ports = [(); 3].map(|()| free_port());
    let url = |n: usize| format!("http://127.0.0.1:{}", ports[n]);
    let cluster: Vec<String> = (0..3).map(|n| format!("m{n}={}", url(n))).collect();
    [0, 1, 2].map(|n| {
        let words = [
            format!("--name=m{n}"),
            format!("--data-dir={}", folders[n].path().display()),
            "--listen-client-urls=http://127.0.0.1:0".to_owned(),
            "--advertise-client-urls=http://127.0.0.1:1".to_owned(),
            format!("--listen-peer-urls={}", url(n)),
            format!("--initial-advertise-peer-urls={}", url(n)),
            format!("--initial-cluster={}", cluster.join(",")),
        ];
        let words = words.into_iter().chain(flags.iter().map(|flag| (*flag).to_owned()));
        match parse(words, []).unwrap() {
            Parsed::Run { config, .. } => *config,
            Parsed::Print(text) => panic!("{text}"),
        }
    })
}

/// A member whose disk was wiped began anew under its old id: what it had acknowledged was held
/// by fewer than a majority then, and its votes were forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lost_its_data_does_not_found_itself_again() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let configs = three(&folders);
    let (a, b, c) = tokio::join!(
        Server::start(configs[0].clone()),
        Server::start(configs[1].clone()),
        Server::start(configs[2].clone()),
    );
    let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
    let endpoint = format!("http://{}", c.client_addresses()[0]);
    let served = async {
        loop {
            let channel = Channel::from_shared(endpoint.clone()).unwrap().connect().await;
            if let Ok(channel) = channel
                && KvClient::new(channel).put(put("a", "1")).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(READY_MAX, served).await.unwrap();
    c.stop().await;
    std::fs::remove_dir_all(folders[2].path()).unwrap();
    let refused = Server::start(configs[2].clone()).await.unwrap_err().to_string();
    assert!(refused.contains("has already been bootstrapped"), "{refused}");
    assert!(refused.contains("member remove"), "{refused}");
    assert!(!folders[2].path().join("member/wal").exists(), "nothing was begun");
    a.stop().await;
    b.stop().await;
}
