use super::*;
use bytes::Bytes;
use drystone_metrics::Scrape;
use http_body_util::{BodyExt as _, Full, StreamBody};

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
    let layer = CountCalls(calls);
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
    let layer = CountCalls(Calls::new(&registry, false));
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
    assert_eq!(versions, 2 * (VERSIONS_MAX + 1));
}
