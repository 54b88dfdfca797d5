//! Which calls are repeated, and where they go.

use std::time::{Duration, Instant};

use drystone_api::etcdserverpb as pb;
use drystone_client::{Client, Code, Config, Credentials, Error};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::Status;

use crate::fake::{Fake, client, client_with, dead};

fn put(key: &str) -> pb::PutRequest {
    pb::PutRequest { key: key.to_owned().into(), ..Default::default() }
}

fn unavailable() -> Status {
    Status::unavailable("etcdserver: request timed out")
}

#[tokio::test]
async fn writes_pass_over_an_endpoint_that_is_down_and_happen_once() {
    let fake = Fake::default();
    let client = client(&[dead().await, fake.serve().await]);
    for i in 0..10 {
        client.put(put(&i.to_string())).await.unwrap();
    }
    let keys: Vec<_> = fake.puts.lock().unwrap().iter().map(|put| put.key.clone()).collect();
    assert_eq!(keys, (0..10).map(|i| i.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn calls_are_spread_over_the_endpoints_that_are_up() {
    let (one, two) = (Fake::default(), Fake::default());
    let client = client(&[one.serve().await, two.serve().await]);
    let mut shares = [0, 0];
    // The second connection is opened beside the first calls.
    for _ in 0..2000 {
        client.range(pb::RangeRequest::default()).await.unwrap();
        shares = [&one, &two].map(|fake| fake.ranges.lock().unwrap().len());
        if shares.iter().all(|&share| share >= 10) {
            break;
        }
    }
    assert!(shares.iter().all(|&share| share >= 10), "{shares:?}");
}

#[tokio::test]
async fn reads_are_repeated_when_the_server_is_unavailable() {
    let fake = Fake::default();
    fake.failures.lock().unwrap().extend([unavailable(), unavailable()]);
    client(&[fake.serve().await]).range(pb::RangeRequest::default()).await.unwrap();
    assert_eq!(fake.ranges.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn reads_are_repeated_within_bounds() {
    let fake = Fake::default();
    fake.failures.lock().unwrap().extend(std::iter::repeat_n(unavailable(), 9));
    let client = client_with(&[fake.serve().await], |config| config.retries.attempts_max = 3);
    let error = client.range(pb::RangeRequest::default()).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(fake.ranges.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn answered_writes_are_not_repeated() {
    let fake = Fake::default();
    fake.failures.lock().unwrap().push_back(unavailable());
    let error = client(&[fake.serve().await]).put(put("k")).await.unwrap_err();
    assert!(error.is_server("etcdserver: request timed out"), "{error:?}");
    assert_eq!(fake.puts.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_learner_is_left_for_another_endpoint() {
    let fake = Fake::default();
    let learner = || Status::failed_precondition("etcdserver: rpc not supported for learner");
    fake.failures.lock().unwrap().push_back(learner());
    let address = fake.serve().await;
    client(&[address, address]).put(put("k")).await.unwrap();
    fake.failures.lock().unwrap().push_back(learner());
    client(&[address]).put(put("k")).await.unwrap_err();
}

#[tokio::test]
async fn nobody_listens() {
    let dead = dead().await;
    let limited = client_with(&[dead], |config| config.retries.attempts_max = 2);
    let error = limited.put(put("k")).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&dead.to_string()), "{error}");

    let patient = client_with(&[dead], |config| {
        config.timeouts.call = Some(Duration::from_millis(80));
        config.retries.attempts_max = u32::MAX;
    });
    let begun = Instant::now();
    let error = patient.put(put("k")).await.unwrap_err();
    assert_eq!(error.to_string(), "context deadline exceeded");
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn writes_wait_for_a_server_that_is_not_up_yet() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = client(&[address]);
    let waiting = tokio::spawn(async move { client.put(put("k")).await });
    tokio::time::sleep(Duration::from_millis(60)).await;
    let fake = Fake::default();
    fake.serve_on(TcpListener::bind(address).await.unwrap());
    waiting.await.unwrap().unwrap();
    assert_eq!(fake.puts.lock().unwrap().len(), 1);
}

/// Reads each connection up to its first request, and hangs up.
async fn hangs_up() -> std::net::SocketAddr {
    const HEADERS: u8 = 1;
    async fn until_request(stream: &mut TcpStream) -> std::io::Result<()> {
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await?;
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            stream.read_exact(&mut vec![0; length]).await?;
            if head[3] == HEADERS {
                return Ok(());
            }
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move { until_request(&mut stream).await });
        }
    });
    address
}

#[tokio::test]
async fn a_write_on_a_lost_connection_is_reported_not_repeated() {
    let fake = Fake::default();
    let broken = hangs_up().await;
    let client = client(&[broken, fake.serve().await]);
    let error = client.put(put("k")).await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    assert!(fake.puts.lock().unwrap().is_empty());
    client.range(pb::RangeRequest::default()).await.unwrap();
}

#[tokio::test]
async fn sizes_are_checked_before_sending() {
    let fake = Fake::default();
    let client = client_with(&[fake.serve().await], |config| config.request_bytes_max = 10);
    let error = client.put(put("0123456789")).await.unwrap_err();
    assert_eq!(error.to_string(), "trying to send message larger than max (12 vs. 10)");
    assert!(fake.puts.lock().unwrap().is_empty());
    client.put(put("01234567")).await.unwrap();
}

#[tokio::test]
async fn metadata_is_sent() {
    let fake = Fake::default();
    let client = client_with(&[fake.serve().await], |config| {
        config.credentials = Credentials::Token("secret".into());
        config.require_leader = true;
    });
    client.range(pb::RangeRequest::default()).await.unwrap();
    let metadata = fake.metadata.lock().unwrap().clone();
    assert_eq!(metadata[..2], [r#"token="secret""#, r#"hasleader="true""#]);
    assert!(metadata[2].starts_with("grpc-timeout="), "{metadata:?}");
    assert!(!format!("{client:?}").contains("secret\""));
}

#[tokio::test]
async fn unix_sockets() {
    let path = std::env::temp_dir().join(format!("drystone-client-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let fake = Fake::default();
    let incoming = UnixListenerStream::new(tokio::net::UnixListener::bind(&path).unwrap());
    let router = fake.router();
    tokio::spawn(async move { router.serve_with_incoming(incoming).await.unwrap() });
    let endpoint = format!("unix://{}", path.display());
    let client = Client::connect(Config::parse([endpoint]).unwrap()).await.unwrap();
    client.put(put("k")).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(fake.puts.lock().unwrap().len(), 1);
}

#[test]
fn a_client_needs_an_endpoint() {
    let error = Client::new(Config::new(Vec::new())).unwrap_err();
    assert_eq!(error.to_string(), "etcdclient: no available endpoints");
}

#[tokio::test]
async fn an_endpoint_that_asks_for_tls_is_never_dialled_in_clear() {
    let fake = Fake::default();
    let address = fake.serve().await;
    let mut config = Config::parse([format!("https://{address}")]).unwrap();
    config.retries.attempts_max = 1;
    let over = Client::over(config.clone(), std::sync::Arc::new(drystone_client::SystemDialer));
    let error = over.unwrap().put(put("k")).await.unwrap_err();
    assert!(error.to_string().contains("asks for TLS"), "{error}");
    // Nor by the dialler that can do both, of a server that cannot.
    assert!(Client::new(config).unwrap().put(put("k")).await.is_err());
    assert!(fake.puts.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_list_in_chunks_is_one_answer_when_merged() {
    let fake = Fake::default();
    fake.failures.lock().unwrap().push_back(unavailable());
    let client = client(&[fake.serve().await]);
    let request = pb::RangeRequest { key: "a".into(), limit: 3, ..Default::default() };
    let mut chunks = client.range_stream(request.clone()).await.unwrap();
    let first = chunks.message().await.unwrap().unwrap();
    assert_eq!((first.kvs.len(), first.header, first.count), (3, None, 0));
    let last = chunks.message().await.unwrap().unwrap();
    assert_eq!((last.kvs.len(), last.more, last.count), (3, true, 6));
    assert!(chunks.message().await.unwrap().is_none());

    let whole = client.range_stream(request).await.unwrap().merged().await.unwrap();
    assert_eq!((whole.kvs.len(), whole.more, whole.count), (6, true, 6));
    assert_eq!(whole.header.unwrap().revision, 3);
}
