//! Spans of calls, as a collector gets them.

use crate::auth::server;
use drystone_api::etcdserverpb::kv_client::KvClient;
use drystone_api::etcdserverpb::{PutRequest, RangeRequest};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

/// How long spans are waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const VALUE: &str = "planted-value";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Takes spans and passes them on.
struct Collector(mpsc::UnboundedSender<ResourceSpans>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for spans in request.into_inner().resource_spans {
            let _ = self.0.send(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A collector in this process.
async fn collector() -> (SocketAddr, mpsc::UnboundedReceiver<ResourceSpans>) {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (spans, received) = mpsc::unbounded_channel();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let service = TraceServiceServer::new(Collector(spans));
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(incoming));
    (address, received)
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|found| found.value.as_ref()?.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::BoolValue(flag)) => flag.to_string(),
        other => format!("{other:?}"),
    }
}

/// All spans of `wanted` names, once they have come.
async fn spans_named(
    received: &mut mpsc::UnboundedReceiver<ResourceSpans>,
    wanted: &[&str],
) -> (Vec<KeyValue>, Vec<Span>) {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    let mut spans: Vec<Span> = Vec::new();
    loop {
        let of_resource = tokio::time::timeout(PATIENCE, received.recv()).await.unwrap().unwrap();
        spans.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        if wanted.iter().all(|name| spans.iter().any(|span| span.name == *name)) {
            return (of_resource.resource.unwrap().attributes, spans);
        }
    }
}

/// A request that belongs to a sampled trace, or to one that is not.
fn traced<T>(message: T, sampled: bool) -> Request<T> {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    let mut request = Request::new(message);
    let parent = format!("00-{TRACE}-b7ad6b7169203331-0{}", u8::from(sampled));
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    request
}

fn put() -> PutRequest {
    PutRequest { key: "/folder/key".into(), value: VALUE.into(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_in_a_sampled_trace_comes_to_the_collector_with_its_steps() {
    let (address, mut received) = collector().await;
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        "--enable-distributed-tracing",
        &format!("--distributed-tracing-address={address}"),
        "--distributed-tracing-service-name=keys",
        "--distributed-tracing-instance-id=one",
    ];
    let (server, channel) = server(folder.path(), &flags).await;
    let mut kv = KvClient::new(channel.clone());
    // Neither of these is sampled: the rate is 0.
    kv.put(put()).await.unwrap();
    kv.range(traced(RangeRequest { key: "a".into(), ..Default::default() }, false)).await.unwrap();
    kv.put(traced(put(), true)).await.unwrap();
    let names = ["etcdserverpb.KV/Put", "put"];
    let (resource, spans) = spans_named(&mut received, &names).await;
    assert_eq!(text(&resource, "service.name"), "keys");
    assert_eq!(text(&resource, "service.instance.id"), "one");
    assert_eq!(spans.len(), 2, "{spans:?}");
    let named = |name| spans.iter().find(|span| span.name == name).unwrap();
    let (call, inner) = (named(names[0]), named(names[1]));
    for span in [call, inner] {
        let trace: String = span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(trace, TRACE);
    }
    assert_eq!(inner.parent_span_id, call.span_id);
    assert_eq!(call.parent_span_id, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
    for (key, value) in [
        ("rpc.system", "grpc"),
        ("rpc.service", "etcdserverpb.KV"),
        ("rpc.method", "Put"),
        ("rpc.grpc.status_code", "0"),
        ("network.peer.address", "127.0.0.1"),
    ] {
        assert_eq!(text(&call.attributes, key), value);
    }
    assert_eq!(text(&inner.attributes, "key"), "/folder/");
    let events: Vec<&str> = inner.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(events, ["Send raft proposal", "Receive raft result"]);
    assert!(inner.start_time_unix_nano <= inner.events[0].time_unix_nano);
    assert!(inner.events[1].time_unix_nano <= call.end_time_unix_nano);
    assert!(!format!("{spans:?}").contains(VALUE));
    drop((kv, channel));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_sends_its_last_spans() {
    let (address, mut received) = collector().await;
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        "--enable-distributed-tracing",
        &format!("--distributed-tracing-address={address}"),
        "--distributed-tracing-sampling-rate=1000000",
    ];
    let (server, channel) = server(folder.path(), &flags).await;
    KvClient::new(channel.clone()).put(put()).await.unwrap();
    drop(channel);
    server.stop().await;
    let (resource, _) = spans_named(&mut received, &["etcdserverpb.KV/Put"]).await;
    assert_eq!(text(&resource, "service.name"), "etcd");
}

/// More calls than spans may wait, first to nobody and then to a collector that never answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_collector_harms_no_call() {
    // Connections are taken by the kernel, and nothing is ever read.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for address in [nobody, silent.local_addr().unwrap()] {
        let folder = tempfile::tempdir().unwrap();
        let flags = [
            "--enable-distributed-tracing",
            &format!("--distributed-tracing-address={address}"),
            "--distributed-tracing-sampling-rate=1000000",
        ];
        let (server, channel) = server(folder.path(), &flags).await;
        let mut kv = KvClient::new(channel.clone());
        let range = RangeRequest { key: "a".into(), serializable: true, ..Default::default() };
        for _ in 0..3_000 {
            kv.range(range.clone()).await.unwrap();
        }
        drop((kv, channel));
        tokio::time::timeout(PATIENCE, server.stop()).await.unwrap();
    }
}
