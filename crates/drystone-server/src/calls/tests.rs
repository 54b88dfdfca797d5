use super::*;
use crate::config::LogFormat;
use crate::logging::testing::{logged_from, side_log};
use bytes::Bytes;
use drystone_api::etcdserverpb::{AuthUserAddRequest, PutRequest, WatchRequest};
use drystone_metrics::Registry;
use drystone_metrics::Scrape;
use futures::FutureExt as _;
use http::HeaderValue;
use http_body_util::{BodyExt as _, Full, StreamBody};
use std::task::Context;

fn layer_of(calls: Arc<Calls>) -> TellOfCalls {
    TellOfCalls(Arc::new(Hearers { calls, slow: Duration::MAX, access: None, spans: None }))
}

/// Reads a request whole, then answers with a message and a code.
#[derive(Clone)]
struct Answering(&'static str);

impl Service<Request<Body>> for Answering {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let code = self.0;
        Box::pin(async move {
            let _ = request.into_body().collect().await;
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static(code));
            let frames =
                [Frame::data(Bytes::from_static(b"\0\0\0\0\x02ab")), Frame::trailers(trailers)];
            let body = StreamBody::new(tokio_stream::iter(frames.map(Ok::<_, Status>)));
            Ok(Response::new(Body::new(body)))
        })
    }
}

fn request(path: &str, version: Option<&str>) -> Request<Body> {
    let body = Body::new(Full::new(Bytes::from_static(b"\0\0\0\0\x03abc")));
    let mut request = Request::builder().uri(path).body(body).unwrap();
    if let Some(version) = version {
        let version = HeaderValue::from_str(version).unwrap();
        request.headers_mut().insert("client-api-version", version);
    }
    request
}

const PUT: &str = "/etcdserverpb.KV/Put";
const WATCH: &str = "/etcdserverpb.Watch/Watch";

#[tokio::test]
async fn calls_are_counted_by_how_they_end_with_their_messages_and_bytes() {
    let registry = Arc::new(Registry::new());
    let calls = Calls::new(&registry, true);
    let layer = layer_of(calls);
    let mut well = layer.layer(Answering("0"));
    let answer = well.call(request(PUT, Some("3.5"))).await.unwrap();
    answer.into_body().collect().await.unwrap();
    let mut refused = layer.layer(Answering("8"));
    let answer = refused.call(request(PUT, None)).await.unwrap();
    answer.into_body().collect().await.unwrap();
    // Its caller goes away before it has read the answer, or before there is one.
    drop(well.call(request(WATCH, Some("3.5"))).await.unwrap());
    drop(well.call(request(WATCH, Some("3.5"))));
    well.call(request("/no/Such", None)).await.unwrap();
    let scrape = Scrape::parse(&registry.render()).unwrap();
    let of = |method, code: Option<&str>| {
        let labels = [("grpc_method", method), ("grpc_code", code.unwrap_or_default())];
        let name = match code {
            Some(_) => "grpc_server_handled_total",
            None => "grpc_server_started_total",
        };
        scrape.value(name, &labels[..1 + usize::from(code.is_some())]).unwrap()
    };
    assert_eq!((of("Put", None), of("Put", Some("OK"))), (2.0, 1.0));
    assert_eq!(of("Put", Some("ResourceExhausted")), 1.0);
    let watch = [("grpc_service", "etcdserverpb.Watch"), ("grpc_code", "Canceled")];
    assert_eq!(scrape.value("grpc_server_handled_total", &watch), Some(2.0));
    assert_eq!(scrape.total("grpc_server_handled_total"), 4.0);
    assert_eq!(scrape.total("etcd_network_client_grpc_received_bytes_total"), 9.0);
    assert_eq!(scrape.total("etcd_network_client_grpc_sent_bytes_total"), 4.0);
    assert_eq!(scrape.total("grpc_server_msg_received_total"), 3.0);
    assert_eq!(scrape.total("grpc_server_msg_sent_total"), 2.0);
    let put = [("grpc_method", "Put")];
    assert_eq!(scrape.value("grpc_server_handling_seconds_count", &put), Some(2.0));
    let by = |form, version| {
        let labels = [("type", form), ("client_api_version", version)];
        scrape.value("etcd_server_client_requests_total", &labels)
    };
    assert_eq!((by("unary", "3.5"), by("stream", "3.5")), (Some(1.0), Some(2.0)));
    assert_eq!(by("unary", "unknown"), Some(1.0));
}

#[tokio::test]
async fn series_of_locks_come_with_their_first_use_and_versions_are_bounded() {
    let registry = Arc::new(Registry::new());
    let layer = layer_of(Calls::new(&registry, false));
    let text = registry.render();
    assert!(!text.contains("v3lockpb") && !text.contains("grpc_server_handling_seconds"));
    assert_eq!(text.matches("\ngrpc_server_handled_total{").count(), 45 * 17);
    let mut service = layer.layer(Answering("0"));
    for n in 0..100 {
        let version = format!("4.{n}");
        service.call(request("/v3lockpb.Lock/Unlock", Some(&version))).await.unwrap();
    }
    let text = registry.render();
    assert!(text.contains("v3lockpb"));
    // Each with two forms, and those beyond the bound together.
    let versions = text.matches("\netcd_server_client_requests_total{").count();
    assert_eq!(versions, 2 * (32 + 1));
}

/// The lines that calls with these requests leave, when none may take longer than `slow`.
fn lines_of(slow: Duration, least: &str, requests: Vec<Request<Body>>) -> Vec<serde_json::Value> {
    let calls = Calls::new(&Arc::new(Registry::new()), false);
    let mut service = TellOfCalls(Arc::new(Hearers { calls, slow, access: None, spans: None }))
        .layer(Answering("0"));
    let lines = logged_from(LogFormat::Json, least, || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for request in requests {
                let answer = service.call(request).await.unwrap();
                answer.into_body().collect().await.unwrap();
            }
        });
    });
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sent(path: &str, message: &impl prost::Message) -> Request<Body> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.encoded_len()).unwrap().to_be_bytes());
    frame.extend(message.encode_to_vec());
    Request::builder().uri(path).body(Body::new(Full::new(Bytes::from(frame)))).unwrap()
}

#[test]
fn slow_calls_are_warned_of_and_the_others_told_of_at_debug() {
    let put = PutRequest {
        key: "/folder/key".into(),
        value: "a secret".repeat(1_000).into(),
        ..Default::default()
    };
    let user = AuthUserAddRequest { password: "a secret".into(), ..Default::default() };
    let requests = || vec![sent(PUT, &put), sent("/etcdserverpb.Auth/UserAdd", &user)];
    assert_eq!(lines_of(Duration::MAX, "info", requests()).len(), 0);
    for (slow, level) in [(Duration::ZERO, "warn"), (Duration::MAX, "debug")] {
        let lines = lines_of(slow, "debug", requests());
        assert_eq!(lines.len(), 2, "{lines:?}");
        for line in &lines {
            assert_eq!((&line["msg"], &line["level"]), (&"request stats".into(), &level.into()));
            assert_eq!(line["remote"], "No remote client info.");
            assert!(line["start time"].as_str().unwrap().ends_with('Z'));
            assert!(line["time spent"].as_str().unwrap().ends_with('s'));
            assert!(!line.to_string().contains("secret"), "{line}");
        }
        let (put_line, other) = (&lines[0], &lines[1]);
        assert_eq!(put_line["response type"], "/etcdserverpb.KV/Put");
        assert_eq!(put_line["request count"], 1);
        assert_eq!(put_line["request size"], prost::Message::encoded_len(&put));
        assert_eq!(
            (&put_line["response count"], &put_line["response size"]),
            (&0.into(), &2.into())
        );
        let content = "key:\"/folder/...\" key_size:11 value_size:8000 ...";
        assert_eq!(put_line["request content"], content);
        for size in ["request count", "request size", "response count", "response size"] {
            assert_eq!(other[size], -1);
        }
        assert_eq!(other["request content"], "");
    }
    let watch = sent(WATCH, &WatchRequest::default());
    assert_eq!(lines_of(Duration::ZERO, "debug", vec![watch]).len(), 0, "a stream is never slow");
}

#[tokio::test]
async fn an_access_log_that_hangs_holds_no_call_up_and_counts_what_it_loses() {
    const CALLS: u64 = 20_000;
    let (log, kept) = side_log();
    let calls = Calls::new(&Arc::new(Registry::new()), false);
    let access = Some(AccessLog::over(log, 1));
    let hearers = Arc::new(Hearers { calls, slow: Duration::MAX, access, spans: None });
    let mut service = TellOfCalls(hearers.clone()).layer(Answering("0"));
    {
        let _hung = kept.gate.lock();
        let put = PutRequest { key: "/a/b".into(), value: "a secret".into(), ..Default::default() };
        for _ in 0..CALLS {
            // Nothing in here waits for anything.
            let answer = service.call(sent(PUT, &put)).now_or_never().unwrap().unwrap();
            answer.into_body().collect().now_or_never().unwrap().unwrap();
        }
    }
    let told = || {
        let (mut written, mut lost) = (0, 0);
        for line in kept.lines() {
            assert!(!line.contains("secret"), "{line}");
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            match line["lost"].as_u64() {
                Some(count) => lost += count,
                None => written += 1,
            }
        }
        (written, lost)
    };
    while told().0 + told().1 < CALLS {
        hearers.close();
    }
    let (written, lost) = told();
    assert_eq!(written + lost, CALLS);
    assert!(lost > 0, "a queue without a bound");
}
